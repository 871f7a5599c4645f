"""Grouping and order of the rows: pure functions of the rows' lengths, a seed and an epoch."""

import hashlib
from collections.abc import Callable, Sequence
from typing import overload

import torch
from torch import Tensor

__all__ = [
    "Batches",
    "balanced_batches",
    "batches_of_passes",
    "evaluation_batches",
    "length_grouped_batches",
    "seeded_generator",
    "shared_batch_size",
    "token_budget_batches",
]

# Number of batches whose rows are sorted by length together: enough for little padding, few enough that the rows of a
# batch still change from epoch to epoch.
MEGA_BATCH = 50

Lengths = Sequence[int] | Tensor


def seeded_generator(*key: int | str) -> torch.Generator:
    """Return a generator whose numbers depend only on the key.

    Args:
        key: Purpose of the stream and its seeds; similar keys give unrelated streams.

    Examples:
        >>> int(torch.randint(100, (), generator=seeded_generator(0, 1))) == int(
        ...     torch.randint(100, (), generator=seeded_generator(0, 1))
        ... )
        True
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Batches(Sequence[list[int]]):
    """Row numbers, batch by batch.

    All of them are in one tensor, because hundreds of thousands of Python numbers take much time and memory; only the
    requested batch becomes a list.

    Attributes:
        sizes: Number of rows of each batch.

    Examples:
        >>> batches = Batches(torch.tensor([7, 5, 6]), torch.tensor([2, 1]))
        >>> list(batches), batches[-1], list(batches[::-1])
        ([[7, 5], [6]], [6], [[6], [7, 5]])
    """

    def __init__(self, rows: Tensor, sizes: Tensor) -> None:
        """Cut rows into batches.

        Args:
            rows: Row numbers.
            sizes: Number of rows of each batch, in order; their sum is the number of rows.
        """
        self.sizes = sizes
        self._rows = rows
        self._starts = sizes.cumsum(0) - sizes

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> "Batches": ...
    def __getitem__(self, index: int | slice) -> "list[int] | Batches":
        """Return the row numbers of a batch, or some of the batches."""
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        start = int(self._starts[index])
        batch: list[int] = self._rows[start : start + int(self.sizes[index])].tolist()
        return batch

    def take(self, numbers: Lengths) -> "Batches":
        """Return batches in another order.

        Args:
            numbers: Numbers of the batches.
        """
        numbers = torch.as_tensor(numbers, dtype=torch.int64)
        taken = Batches(self._rows, self.sizes[numbers])
        # The rows are not moved.
        taken._starts = self._starts[numbers]
        return taken

    def renumbered(self, numbers: Tensor) -> "Batches":
        """Return the same batches of other rows.

        Args:
            numbers: The new number of each row.
        """
        changed = Batches(numbers[self._rows], self.sizes)
        changed._starts = self._starts
        return changed

    def rows(self) -> Tensor:
        """Return the row numbers of all batches in their order."""
        ends = self.sizes.cumsum(0)
        shifts = (self._starts - (ends - self.sizes)).repeat_interleave(self.sizes)
        return self._rows[torch.arange(len(shifts)) + shifts]


def length_grouped_batches(lengths: Lengths, batch_size: int, *, seed: int, epoch: int) -> Batches:
    """Return the shuffled batches of one epoch, each of rows of similar length.

    All rows are shuffled and cut into groups of ``MEGA_BATCH`` batches; each group is sorted by length and cut into
    batches; the batches are shuffled. Every row comes exactly once; at most one batch is short.

    Args:
        lengths: Number of tokens of each row.
        batch_size: Rows per batch.
        seed: Seed; with ``epoch`` the only source of randomness.
        epoch: Number of the epoch.

    Returns:
        Row numbers, batch by batch.

    Examples:
        >>> batches = length_grouped_batches([5, 9, 4, 8, 6], 2, seed=0, epoch=0)
        >>> sorted(row for batch in batches for row in batch)
        [0, 1, 2, 3, 4]
        >>> sorted(len(batch) for batch in batches)
        [1, 2, 2]
    """
    generator = seeded_generator("batches", seed, epoch)
    lengths = torch.as_tensor(lengths)
    groups = torch.randperm(len(lengths), generator=generator).split(MEGA_BATCH * batch_size)
    # Only the last batch of the last group can be short, because the batches are cut from the concatenated groups.
    batches = _cut(torch.cat([group[lengths[group].argsort(stable=True)] for group in groups]), batch_size)
    return batches.take(torch.randperm(len(batches), generator=generator))


def balanced_batches(
    lengths: Tensor, is_labelled: Tensor, ratio: float, batch_size: int, *, seed: int, epoch: int
) -> Batches:
    """Return the shuffled batches of one epoch with all labelled rows and as many of the others as a ratio gives.

    The unlabelled rows take turns: each comes once before any comes twice, in an order that is shuffled anew each time.

    Args:
        lengths: Number of tokens of each row.
        is_labelled: Whether each row has a label.
        ratio: Unlabelled rows per labelled row; if there are fewer, all come in each epoch.
        batch_size: Rows per batch.
        seed: Seed; with ``epoch`` the only source of randomness.
        epoch: Number of the epoch.

    Returns:
        Row numbers, batch by batch, as those of `length_grouped_batches`; their number is the same in each epoch.

    Examples:
        >>> labelled = torch.tensor([True, False, False, False, False])
        >>> epochs = [balanced_batches(torch.ones(5), labelled, 2.0, 3, seed=0, epoch=epoch) for epoch in (0, 1)]
        >>> [len(batches.rows()) for batches in epochs], sorted(torch.cat([b.rows() for b in epochs]).tolist())
        ([3, 3], [0, 0, 1, 2, 3, 4])
    """
    known, others = is_labelled.nonzero().flatten(), (~is_labelled).nonzero().flatten()
    count = min(max(round(ratio * len(known)), 1), len(others))
    first = count * epoch
    turns = range(first // len(others), (first + count - 1) // len(others) + 1) if count else range(0)
    orders = [torch.randperm(len(others), generator=seeded_generator("unlabelled", seed, turn)) for turn in turns]
    start = first - turns.start * len(others)
    drawn = others[torch.cat(orders)[start : start + count]] if orders else others
    rows = torch.cat([known, drawn])
    return length_grouped_batches(lengths[rows], batch_size, seed=seed, epoch=epoch).renumbered(rows)


def token_budget_batches(
    lengths: Lengths, tokens_per_batch: int, *, pad_to_multiple_of: int, seed: int, epoch: int
) -> Batches:
    """Return the shuffled batches of one epoch, each as large as a number of tokens allows, in few shapes.

    Rows of the same length, rounded up, form a bucket. Each bucket is shuffled and cut into as few batches as the
    budget allows, with sizes that differ by at most one: a last batch of the remaining rows could be a single row,
    which would determine a whole update. Then all batches are shuffled. Every row comes exactly once. The number and
    the sizes of the batches depend only on the lengths; a bucket has at most two shapes.

    Args:
        lengths: Number of tokens of each row.
        tokens_per_batch: Maximum number of tokens of a batch, padding included; a longer row is a batch by itself.
        pad_to_multiple_of: Number that lengths are rounded up to a multiple of.
        seed: Seed; with ``epoch`` the only source of randomness.
        epoch: Number of the epoch.

    Returns:
        Row numbers, batch by batch.

    Examples:
        Five rows of up to 4 tokens and one of 8, with room for 8 tokens:

        >>> batches = token_budget_batches([1, 2, 3, 4, 4, 8], 8, pad_to_multiple_of=4, seed=0, epoch=0)
        >>> sorted(len(batch) for batch in batches), [5] in batches
        ([1, 1, 2, 2], True)
    """
    generator = seeded_generator("token budget", seed, epoch)
    order = torch.randperm(len(lengths), generator=generator)
    units = -(-torch.as_tensor(lengths)[order] // pad_to_multiple_of)
    units, by_bucket = units.sort(stable=True)
    sizes = [torch.empty(0, dtype=torch.int64)]
    for unit, rows in zip(*(counts.tolist() for counts in units.unique_consecutive(return_counts=True)), strict=True):
        batches = -(-rows // max(1, tokens_per_batch // (unit * pad_to_multiple_of)))
        sizes.append(rows // batches + (torch.arange(batches) < rows % batches))
    batches = Batches(order[by_bucket], torch.cat(sizes))
    return batches.take(torch.randperm(len(batches), generator=generator))


def batches_of_passes(form: Callable[..., Batches], count: int, *, epoch: int) -> Batches:
    """Return the batches of an epoch that has a given number of batches instead of all rows.

    Epochs follow each other through passes over all rows: an epoch begins where the one before ended.

    Args:
        form: Function that returns the batches of a pass, given its number as ``epoch``, equally many in each pass.
        count: Number of batches of an epoch.
        epoch: Number of the epoch.

    Returns:
        Row numbers, batch by batch.

    Examples:
        >>> from functools import partial
        >>> form = partial(length_grouped_batches, [1, 1, 1], 1, seed=0)
        >>> passes = [list(form(epoch=number)) for number in (0, 1)]
        >>> list(batches_of_passes(form, 2, epoch=1)) == [passes[0][2], passes[1][0]]
        True
    """
    number, start = divmod(count * epoch, len(form(epoch=0)))
    parts: list[Batches] = []
    while count > 0:
        part = form(epoch=number)[start : start + count]
        parts.append(part)
        number, start, count = number + 1, 0, count - len(part)
    return Batches(torch.cat([part.rows() for part in parts]), torch.cat([part.sizes for part in parts]))


def evaluation_batches(lengths: Lengths, batch_size: int) -> Batches:
    """Return batches of all rows, sorted by length: always the same, with hardly any padding.

    Args:
        lengths: Number of tokens of each row.
        batch_size: Rows per batch; the last batch can be short.

    Returns:
        Row numbers, batch by batch; rows of the same length keep their order.

    Examples:
        >>> list(evaluation_batches([5, 9, 4, 9, 6], 2))
        [[2, 0], [4, 1], [3]]
    """
    return _cut(torch.as_tensor(lengths).argsort(stable=True), batch_size)


def shared_batch_size(rows: int, batch_size: int, num_replicas: int) -> int:
    """Return the batch size with which as many processes as possible get rows.

    Args:
        rows: Number of rows.
        batch_size: Maximum number of rows of a batch.
        num_replicas: Number of processes.

    Returns:
        ``batch_size``, or less if there would be fewer batches than processes; at least 1.

    Examples:
        >>> shared_batch_size(100, 32, num_replicas=2), shared_batch_size(10, 32, num_replicas=3)
        (32, 3)
    """
    return max(1, min(batch_size, rows // num_replicas))


def _cut(rows: Tensor, batch_size: int) -> Batches:
    """Cut rows into full batches; the last one may be short."""
    sizes = (len(rows) - torch.arange(0, len(rows), batch_size)).clamp_(max=batch_size)
    return Batches(rows, sizes)
