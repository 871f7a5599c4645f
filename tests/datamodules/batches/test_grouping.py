import random
from collections import Counter
from functools import partial

import pytest
import torch

from datamodules.batches.grouping import (
    MEGA_BATCH,
    Batches,
    balanced_batches,
    batches_of_passes,
    evaluation_batches,
    length_grouped_batches,
    seeded_generator,
    token_budget_batches,
)

LENGTHS = [5 + i * i * 37 % 91 for i in range(1003)]


def grouped_slowly(lengths, batch_size, *, seed, epoch):
    """Group with Python's lists and sort."""
    generator = seeded_generator("batches", seed, epoch)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), MEGA_BATCH * batch_size):
        group = sorted(order[start : start + MEGA_BATCH * batch_size], key=lambda row: lengths[row])
        batches += [group[i : i + batch_size] for i in range(0, len(group), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 799, 800, 801, 5003])
@pytest.mark.parametrize("batch_size", [1, 16, 37])
def test_order_is_that_of_sorting_lists(count, batch_size):
    draw = random.Random(count)
    lengths = [draw.randrange(3, 60) for _ in range(count)]  # many ties
    for seed, epoch in ((0, 0), (3, 7)):
        expected = grouped_slowly(lengths, batch_size, seed=seed, epoch=epoch)
        assert list(length_grouped_batches(lengths, batch_size, seed=seed, epoch=epoch)) == expected
    order = sorted(range(count), key=lambda row: lengths[row])
    expected = [order[i : i + batch_size] for i in range(0, count, batch_size)]
    assert list(evaluation_batches(torch.tensor(lengths, dtype=torch.int64), batch_size)) == expected


def flat(lists):
    return [row for batch in lists for row in batch]


def test_batches_are_a_sequence_of_lists():
    lists = [[4], [0, 9, 1], [], [3, 2]]
    batches = Batches(torch.tensor(flat(lists)), torch.tensor([len(batch) for batch in lists]))
    assert list(batches) == lists
    assert (batches[-1], len(batches), [3, 2] in batches) == ([3, 2], 4, True)
    with pytest.raises(IndexError):
        batches[4]
    for part in (slice(1, None, 2), slice(None, None, -1), slice(4, None)):
        assert list(batches[part]) == lists[part]
        assert batches[part].rows().tolist() == flat(lists[part])
        assert list(batches[::-1][part]) == lists[::-1][part]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 400, 401, 1003])
def test_every_row_once_and_one_short_batch_at_most(count):
    batches = length_grouped_batches(LENGTHS[:count], 8, seed=0, epoch=0)
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    assert sorted(len(batch) for batch in batches)[1:] == [8] * (len(batches) - 1)


def test_order_is_a_pure_function_of_seed_and_epoch():
    torch.manual_seed(1)
    first = list(length_grouped_batches(LENGTHS, 8, seed=0, epoch=3))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert list(length_grouped_batches(LENGTHS, 8, seed=0, epoch=3)) == first
    assert torch.equal(torch.get_rng_state(), state)
    others = [list(length_grouped_batches(LENGTHS, 8, seed=s, epoch=e)) for s, e in ((0, 4), (1, 3), (3, 0))]
    assert all(other != first for other in others)


def test_grouping_saves_padding():
    def padded(batches):
        return sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in batches)

    plain = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(0)).tolist()
    plain_batches = [plain[i : i + 8] for i in range(0, len(plain), 8)]
    grouped = padded(length_grouped_batches(LENGTHS, 8, seed=0, epoch=0))
    assert grouped < 1.08 * sum(LENGTHS)
    assert grouped < 0.7 * padded(plain_batches)


BUDGET = {"tokens_per_batch": 512, "pad_to_multiple_of": 16}


def rounded(row, multiple=16):
    return -(-LENGTHS[row] // multiple) * multiple


@pytest.mark.parametrize("count", [0, 1, 7, 400, 1003])
def test_budget_gives_every_row_once_and_is_kept(count):
    batches = token_budget_batches(LENGTHS[:count], **BUDGET, seed=0, epoch=0)
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    for batch in batches:
        assert len({rounded(row) for row in batch}) == 1
        assert len(batch) * rounded(batch[0]) <= 512


def test_budget_is_used():
    """Each length has as few batches as possible, of sizes that differ by at most one."""
    rows = Counter(rounded(row) for row in range(len(LENGTHS)))
    sizes = {width: [] for width in rows}
    for batch in token_budget_batches(LENGTHS, **BUDGET, seed=0, epoch=0):
        sizes[rounded(batch[0])].append(len(batch))
    for width, of_width in sizes.items():
        assert len(of_width) == -(-rows[width] // (512 // width))
        assert max(of_width) - min(of_width) <= 1


def test_budget_has_the_same_shapes_in_every_epoch_but_other_batches():
    def shapes(batches):
        return Counter((len(batch), rounded(batch[0])) for batch in batches)

    first, second, other = (
        list(token_budget_batches(LENGTHS, **BUDGET, seed=seed, epoch=epoch))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    )
    assert shapes(first) == shapes(second) == shapes(other)
    assert max(Counter(width for _, width in shapes(first)).values()) <= 2
    assert len({frozenset(batch) for batch in first} & {frozenset(batch) for batch in second}) < len(first) / 10
    assert first != other
    assert [rounded(batch[0]) for batch in first] != sorted(rounded(batch[0]) for batch in first)


def test_budget_is_a_pure_function_of_seed_and_epoch():
    state = torch.get_rng_state()
    first = list(token_budget_batches(LENGTHS, **BUDGET, seed=0, epoch=3))
    torch.manual_seed(2)
    assert list(token_budget_batches(LENGTHS, **BUDGET, seed=0, epoch=3)) == first
    torch.set_rng_state(state)


def test_a_row_beyond_the_budget_is_alone():
    assert sorted(token_budget_batches([3, 40, 40, 5], 16, pad_to_multiple_of=8, seed=0, epoch=0)) in (
        [[0, 3], [1], [2]],
        [[1], [2], [3, 0]],
    )


@pytest.mark.parametrize("ratio", [0.01, 0.5, 1.0, 2.5, 1000.0])
def test_unlabelled_rows_take_turns(ratio):
    is_labelled = torch.tensor([row % 7 == 3 for row in range(len(LENGTHS))])
    known = set(is_labelled.nonzero().flatten().tolist())
    others, lengths = len(LENGTHS) - len(known), torch.tensor(LENGTHS)
    expected = min(max(round(ratio * len(known)), 1), others)
    seen, numbers = [], set()
    for epoch in range(6):
        batches = balanced_batches(lengths, is_labelled, ratio, 16, seed=4, epoch=epoch)
        rows = [row for batch in batches for row in batch]
        assert rows == batches.rows().tolist()
        assert {row for row in rows if row in known} == known
        drawn = [row for row in rows if row not in known]
        assert len(rows) == len(known) + len(drawn) == len(known) + expected
        seen += drawn
        numbers.add(len(batches))
        # The rows of one epoch may belong to two turns, so that one row can be ahead of another by two.
        counts = Counter(seen)
        assert max(counts.values()) - min(counts[row] for row in set(range(len(LENGTHS))) - known) <= 2
    assert numbers == {-(-(len(known) + expected) // 16)}
    assert list(batches) == list(balanced_batches(lengths, is_labelled, ratio, 16, seed=4, epoch=5))


def test_turns_end_before_the_next_begin():
    is_labelled = torch.tensor([True] * 2 + [False] * 6)
    epochs = [balanced_batches(torch.ones(8), is_labelled, 1.5, 4, seed=0, epoch=epoch).rows() for epoch in range(4)]
    drawn = [sorted(row for row in rows.tolist() if row > 1) for rows in epochs]
    assert sorted(drawn[0] + drawn[1]) == sorted(drawn[2] + drawn[3]) == [2, 3, 4, 5, 6, 7]
    assert drawn[0] != drawn[2]


def test_batches_of_similar_length_stay_so_with_turns():
    is_labelled = torch.arange(len(LENGTHS)) % 2 == 0
    lengths = torch.tensor(LENGTHS)
    batches = balanced_batches(lengths, is_labelled, 1.0, 16, seed=0, epoch=0)
    spread = [int(lengths[batch].max() - lengths[batch].min()) for batch in batches]
    assert sorted(spread)[len(spread) // 2] < 10 < int(lengths.max() - lengths.min())


@pytest.mark.parametrize("count", [1, 7, 63, 64, 200])
def test_epochs_of_a_number_of_batches_follow_each_other_through_the_rows(count):
    form = partial(length_grouped_batches, LENGTHS, 16, seed=3)
    assert len(form(epoch=0)) == 63
    passes = [batch for number in range(12) for batch in form(epoch=number)]
    epochs = [batches_of_passes(form, count, epoch=epoch) for epoch in range(3)]
    assert [len(batches) for batches in epochs] == [count] * 3
    assert [batch for batches in epochs for batch in batches] == passes[: 3 * count]
