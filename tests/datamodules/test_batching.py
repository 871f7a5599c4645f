import pytest
import torch

from datamodules.batching import (
    EvaluationSampler,
    LazyDataLoader,
    LengthGroupedBatchSampler,
    NoRows,
    PadCollator,
    evaluation_batches,
    length_grouped_batches,
    shared_batch_size,
)

LENGTHS = [5 + i * i * 37 % 91 for i in range(1003)]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 400, 401, 1003])
def test_every_row_once_and_one_short_batch_at_most(count):
    batches = length_grouped_batches(LENGTHS[:count], 8, seed=0, epoch=0)
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    assert sorted(len(batch) for batch in batches)[1:] == [8] * (len(batches) - 1)


def test_order_is_a_pure_function_of_seed_and_epoch():
    torch.manual_seed(1)
    first = length_grouped_batches(LENGTHS, 8, seed=0, epoch=3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert length_grouped_batches(LENGTHS, 8, seed=0, epoch=3) == first
    assert torch.equal(torch.get_rng_state(), state)
    others = [length_grouped_batches(LENGTHS, 8, seed=s, epoch=e) for s, e in ((0, 4), (1, 3), (3, 0))]
    assert all(other != first for other in others)


def test_grouping_saves_padding():
    def padded(batches):
        return sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in batches)

    plain = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(0)).tolist()
    plain_batches = [plain[i : i + 8] for i in range(0, len(plain), 8)]
    grouped = padded(length_grouped_batches(LENGTHS, 8, seed=0, epoch=0))
    assert grouped < 1.08 * sum(LENGTHS)
    assert grouped < 0.7 * padded(plain_batches)


@pytest.mark.parametrize(("replicas", "rank"), [(1, 0), (2, 1), (3, 2)])
def test_first_batch_gives_the_rest_of_the_epoch(replicas, rank):
    sampler = LengthGroupedBatchSampler(LENGTHS, 8, seed=0, num_replicas=replicas, rank=rank)
    sampler.set_epoch(5)
    whole = list(sampler)
    assert len(sampler) == len(whole)
    for first in (0, 1, 17, len(whole)):
        sampler.set_epoch(5, first_batch=first)
        assert list(sampler) == whole[first:]
        assert len(sampler) == len(whole)
    with pytest.raises(ValueError, match=rf"first_batch is {len(whole) + 1} but an epoch has {len(whole)} batches"):
        sampler.set_epoch(5, first_batch=len(whole) + 1)


@pytest.mark.parametrize("replicas", [1, 2, 3, 5, 127])
def test_ranks_get_whole_batches_and_equally_many(replicas):
    ranks = [
        list(LengthGroupedBatchSampler(LENGTHS, 8, seed=0, num_replicas=replicas, rank=r)) for r in range(replicas)
    ]
    whole = length_grouped_batches(LENGTHS, 8, seed=0, epoch=0)
    assert len({len(batches) for batches in ranks}) == 1
    dealt = [batches[step] for step in range(len(ranks[0])) for batches in ranks]
    assert dealt[: len(whole)] == whole
    assert dealt[len(whole) :] == (whole * replicas)[: len(dealt) - len(whole)]
    assert len(dealt) - len(whole) < replicas


@pytest.mark.parametrize("count", [1, 7, 40, 99])
@pytest.mark.parametrize("replicas", [1, 2, 5])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("limit", [None, 3])
def test_weighted_gradients_are_the_mean_over_the_rows_of_an_update(count, replicas, accumulate, limit):
    """Each row's gradient is its number; what Lightning and DDP do with the losses is done by hand."""
    samplers = [
        LengthGroupedBatchSampler(LENGTHS[:count], 8, seed=0, num_replicas=replicas, rank=r) for r in range(replicas)
    ]
    for epoch in (0, 3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        steps = list(zip(*samplers, strict=True))[:limit]
        once: set[int] = set()  # a batch that comes again counts nothing
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
        sampler = LengthGroupedBatchSampler(LENGTHS[: 8 * 42], 8, seed=0, num_replicas=replicas, rank=replicas - 1)
        assert {sampler.loss_weight(step, accumulate) for step in range(len(sampler))} == {1.0}


def test_sampler_does_nothing_before_the_first_batch():
    sampler = LengthGroupedBatchSampler(LENGTHS, 8, seed=0)
    iterator = iter(sampler)
    sampler.set_epoch(2, first_batch=3)
    assert next(iterator) == length_grouped_batches(LENGTHS, 8, seed=0, epoch=2)[3]


def test_sampler_does_not_look_like_torchs():
    sampler = LengthGroupedBatchSampler(LENGTHS, 8, seed=0)
    assert not [name for name in ("batch_size", "drop_last", "sampler") if hasattr(sampler, name)]
    with pytest.raises(ValueError, match="rank is 2 but must be in 0 to 1"):
        LengthGroupedBatchSampler(LENGTHS, 8, seed=0, num_replicas=2, rank=2)


@pytest.mark.parametrize("replicas", [1, 2, 3, 200])
def test_evaluation_gives_every_row_once_over_all_ranks(replicas):
    batches = evaluation_batches(LENGTHS, 8)
    order = [row for batch in batches for row in batch]
    assert [LENGTHS[row] for row in order] == sorted(LENGTHS)
    seen = []
    for rank in range(replicas):
        sampler = EvaluationSampler(batches, num_replicas=replicas, rank=rank)
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
    sampler = LengthGroupedBatchSampler(LENGTHS, 8, seed=0)
    loader = LazyDataLoader(
        range(len(LENGTHS)), batch_sampler=sampler, num_workers=workers, generator=torch.Generator(), collate_fn=list
    )
    state = torch.get_rng_state()
    iterator = iter(loader)
    sampler.set_epoch(1, first_batch=len(sampler) - 2)
    assert list(iterator) == length_grouped_batches(LENGTHS, 8, seed=0, epoch=1)[-2:]
    assert torch.equal(torch.get_rng_state(), state)


def test_collator():
    rows = [
        {"input_ids": [2, 7, 3], "token_type_ids": [0, 0, 1], "labels": 1, "idx": 5, "length": 3},
        {"input_ids": [2, 3], "token_type_ids": [0, 1], "labels": 0, "idx": 9, "length": 2},
    ]
    batch = PadCollator(pad_token_id=4, pad_token_type_id=8)(rows)
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[2, 7, 3], [2, 3, 4]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "token_type_ids": [[0, 0, 1], [0, 1, 8]],
        "labels": [1, 0],
        "idx": [5, 9],
    }
    assert {value.dtype for value in batch.values()} == {torch.int64}
    scored = [{"input_ids": [2], "labels": 2.5, "idx": 0}]
    batch = PadCollator(0, pad_to_multiple_of=8)(scored)
    assert batch["input_ids"].shape == (1, 8)
    assert batch["labels"].dtype == torch.float32
    assert "token_type_ids" not in batch


def test_a_batch_without_rows_has_the_form_of_one():
    rows = [{"input_ids": [2, 7], "token_type_ids": [0, 0], "labels": 1.5, "idx": 5}]
    batch, empty = PadCollator(0)(rows), NoRows(PadCollator(0))(rows)
    assert empty.keys() == batch.keys()
    for name, tensor in batch.items():
        assert empty[name].shape == (0, *tensor.shape[1:])
        assert empty[name].dtype == tensor.dtype
