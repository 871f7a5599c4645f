from functools import partial

import pytest
import torch

from datamodules.batches.grouping import (
    evaluation_batches,
    length_grouped_batches,
    shared_batch_size,
    token_budget_batches,
)
from datamodules.batches.samplers import EpochBatchSampler, EvaluationSampler, LazyDataLoader

LENGTHS = [5 + i * i * 37 % 91 for i in range(1003)]


def grouped(lengths=LENGTHS):
    return partial(length_grouped_batches, lengths, 8, seed=0)


def budgeted(lengths=LENGTHS):
    return partial(token_budget_batches, lengths, 512, pad_to_multiple_of=16, seed=0)


FORMS = pytest.mark.parametrize("form", [grouped, budgeted])


@FORMS
@pytest.mark.parametrize(("replicas", "rank"), [(1, 0), (2, 1), (3, 2)])
def test_first_batch_gives_the_rest_of_the_epoch(form, replicas, rank):
    sampler = EpochBatchSampler(form(), num_replicas=replicas, rank=rank)
    sampler.set_epoch(5)
    whole = list(sampler)
    assert len(sampler) == len(whole)
    for first in (0, 1, 17, len(whole)):
        sampler.set_epoch(5, first_batch=first)
        assert list(sampler) == whole[first:]
        assert len(sampler) == len(whole)
    with pytest.raises(ValueError, match=rf"first_batch is {len(whole) + 1} but an epoch has {len(whole)} batches"):
        sampler.set_epoch(5, first_batch=len(whole) + 1)


@FORMS
@pytest.mark.parametrize("replicas", [1, 2, 3, 5, 127])
def test_ranks_get_whole_batches_and_equally_many(form, replicas):
    ranks = [list(EpochBatchSampler(form(), num_replicas=replicas, rank=r)) for r in range(replicas)]
    whole = list(form()(epoch=0))
    assert len({len(batches) for batches in ranks}) == 1
    dealt = [batches[step] for step in range(len(ranks[0])) for batches in ranks]
    assert dealt[: len(whole)] == whole
    assert dealt[len(whole) :] == (whole * replicas)[: len(dealt) - len(whole)]
    assert len(dealt) - len(whole) < replicas


@FORMS
@pytest.mark.parametrize("count", [1, 7, 40, 99])
@pytest.mark.parametrize("replicas", [1, 2, 5])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("limit", [None, 3])
def test_weighted_gradients_are_the_mean_over_the_rows_of_an_update(form, count, replicas, accumulate, limit):
    """Each row's gradient is its number; the test combines the losses as Lightning and DDP do."""
    samplers = [EpochBatchSampler(form(LENGTHS[:count]), num_replicas=replicas, rank=r) for r in range(replicas)]
    for epoch in (0, 3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        steps = list(zip(*samplers, strict=True))[:limit]
        once: set[int] = set()  # a repeated batch does not count
        for first in range(0, len(steps), accumulate):
            numbers = range(first, min(first + accumulate, len(steps)))
            gradients = [
                sum(
                    samplers[rank].loss_weight(step, accumulate, len(steps)) * sum(batch) / len(batch) / accumulate
                    for step in numbers
                    for batch in [steps[step][rank]]
                )
                for rank in range(replicas)
            ]
            rows = {row for step in numbers for batch in steps[step] for row in batch} - once
            once |= rows
            assert sum(gradients) / replicas == pytest.approx(sum(rows) / len(rows))


def test_full_batches_weigh_exactly_one():
    for replicas, accumulate in ((1, 1), (2, 3), (3, 7)):
        sampler = EpochBatchSampler(grouped(LENGTHS[: 8 * 42]), num_replicas=replicas, rank=replicas - 1)
        assert {sampler.loss_weight(step, accumulate) for step in range(len(sampler))} == {1.0}


def test_sampler_does_nothing_before_the_first_batch():
    sampler = EpochBatchSampler(grouped())
    iterator = iter(sampler)
    sampler.set_epoch(2, first_batch=3)
    assert next(iterator) == grouped()(epoch=2)[3]


def test_sampler_does_not_look_like_torchs():
    sampler = EpochBatchSampler(grouped())
    assert not [name for name in ("batch_size", "drop_last", "sampler") if hasattr(sampler, name)]
    with pytest.raises(ValueError, match="rank is 2 but must be in 0 to 1"):
        EpochBatchSampler(grouped(), num_replicas=2, rank=2)


@pytest.mark.parametrize("replicas", [1, 2, 3, 200])
def test_evaluation_gives_every_row_once_over_all_ranks(replicas):
    batches = list(evaluation_batches(LENGTHS, 8))
    order = [row for batch in batches for row in batch]
    assert [LENGTHS[row] for row in order] == sorted(LENGTHS)
    seen = []
    for rank in range(replicas):
        sampler = EvaluationSampler(evaluation_batches(LENGTHS, 8), num_replicas=replicas, rank=rank)
        rows = list(sampler)
        assert len(sampler) == len(rows)
        assert [rows[i : i + 8] for i in range(0, len(rows), 8)] == batches[rank::replicas]
        seen += rows
    assert sorted(seen) == list(range(len(LENGTHS)))


@pytest.mark.parametrize(("rows", "replicas"), [(1, 1), (15, 2), (16, 2), (17, 3), (11, 4), (3, 5), (0, 2)])
def test_as_many_processes_as_possible_get_rows(rows, replicas):
    size = shared_batch_size(rows, 8, replicas)
    assert 1 <= size <= 8
    batches = evaluation_batches(LENGTHS[:rows], size)
    busy = [rank for rank in range(replicas) if len(EvaluationSampler(batches, num_replicas=replicas, rank=rank))]
    assert len(busy) == min(rows, replicas)
    if rows >= 8 * replicas:
        assert size == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_lazy_loader_sees_what_is_set_after_iter(workers):
    sampler = EpochBatchSampler(grouped())
    loader = LazyDataLoader(
        range(len(LENGTHS)), batch_sampler=sampler, num_workers=workers, generator=torch.Generator(), collate_fn=list
    )
    state = torch.get_rng_state()
    iterator = iter(loader)
    sampler.set_epoch(1, first_batch=len(sampler) - 2)
    assert list(iterator) == list(grouped()(epoch=1)[-2:])
    assert torch.equal(torch.get_rng_state(), state)
