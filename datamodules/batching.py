"""Batches: which rows go together in which order, and how they become tensors."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

__all__ = [
    "EvaluationSampler",
    "LazyDataLoader",
    "LengthGroupedBatchSampler",
    "NoRows",
    "PadCollator",
    "evaluation_batches",
    "length_grouped_batches",
    "seeded_generator",
    "shared_batch_size",
]

# Batches that are sorted by length among themselves: enough to leave little padding, few enough that which rows meet in
# a batch still changes from epoch to epoch.
MEGA_BATCH = 50


def seeded_generator(*key: int | str) -> torch.Generator:
    """Return a generator whose numbers depend on nothing but the key.

    Args:
        key: what the stream is for; neighbouring keys give unrelated streams.

    Example:
        >>> int(torch.randint(100, (), generator=seeded_generator(0, 1))) == int(
        ...     torch.randint(100, (), generator=seeded_generator(0, 1))
        ... )
        True
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def length_grouped_batches(lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Return the shuffled batches of one epoch, each of rows of similar length.

    All rows are shuffled and cut into groups of ``MEGA_BATCH`` batches; each group is sorted by length and cut into
    batches; the batches are shuffled. Every row comes exactly once; at most one batch is short.

    Args:
        lengths: number of tokens of each row.
        batch_size: rows per batch.
        seed: with ``epoch`` the only source of randomness.
        epoch: number of the epoch.

    Returns:
        Row numbers, batch by batch.

    Example:
        >>> batches = length_grouped_batches([5, 9, 4, 8, 6], 2, seed=0, epoch=0)
        >>> sorted(row for batch in batches for row in batch)
        [0, 1, 2, 3, 4]
        >>> sorted(len(batch) for batch in batches)
        [1, 2, 2]
    """
    generator = seeded_generator("batches", seed, epoch)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), MEGA_BATCH * batch_size):
        group = sorted(order[start : start + MEGA_BATCH * batch_size], key=lambda row: lengths[row])
        batches += [group[i : i + batch_size] for i in range(0, len(group), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def shared_batch_size(rows: int, batch_size: int, num_replicas: int) -> int:
    """Return the batch size with which as many processes as possible get some of the rows.

    Args:
        rows: how many there are.
        batch_size: the most rows of a batch.
        num_replicas: number of processes.

    Returns:
        ``batch_size``, or less where there would be fewer batches than processes; at least 1.

    Example:
        >>> shared_batch_size(100, 32, num_replicas=2), shared_batch_size(10, 32, num_replicas=3)
        (32, 3)
    """
    return max(1, min(batch_size, rows // num_replicas))


def evaluation_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return batches of all rows, sorted by length: always the same, with hardly any padding.

    Args:
        lengths: number of tokens of each row.
        batch_size: rows per batch; the last batch can be short.

    Returns:
        Row numbers, batch by batch; rows of one length stay in their order.

    Example:
        >>> evaluation_batches([5, 9, 4, 9, 6], 2)
        [[2, 0], [4, 1], [3]]
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


class LengthGroupedBatchSampler:
    """The batches of :func:`length_grouped_batches`, dealt to the processes of a run.

    Whole batches are formed as if there was one process, then process ``rank`` takes every ``num_replicas``-th. Where
    their number is not divisible, the epoch's first batches are dealt a second time at its end, so that all processes
    make equally many steps; they are to count nothing there, see :meth:`loss_weight`. With one process nothing is
    dropped or repeated.

    No attribute is named as those of torch's BatchSampler (``sampler``, ``batch_size``, ``drop_last``), or Lightning
    would rebuild it as one.

    Example:
        >>> sampler = LengthGroupedBatchSampler([3, 1, 2, 5, 4], 2, seed=0)
        >>> whole = list(sampler)
        >>> sampler.set_epoch(0, first_batch=1)
        >>> list(sampler) == whole[1:], len(sampler)
        (True, 3)
    """

    def __init__(
        self, lengths: Sequence[int], rows_per_batch: int, *, seed: int, num_replicas: int = 1, rank: int = 0
    ) -> None:
        """Start with epoch 0.

        Args:
            lengths: number of tokens of each row.
            rows_per_batch: rows per batch.
            seed: of the order.
            num_replicas: number of processes.
            rank: number of this process.

        Raises:
            ValueError: there is no such process.
        """
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank is {rank} but must be in 0 to {num_replicas - 1}")
        self.lengths = list(lengths)
        self.rows_per_batch = rows_per_batch
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.first_batch = 0
        self._sizes: tuple[int, list[int]] = (-1, [])

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose what the next iteration gives.

        Args:
            epoch: number of the epoch, which decides on the order.
            first_batch: how many of its batches (of this process) are left out because they were trained on already.

        Raises:
            ValueError: the epoch has fewer batches.
        """
        if not 0 <= first_batch <= len(self):
            raise ValueError(f"first_batch is {first_batch} but an epoch has {len(self)} batches")
        self.epoch = epoch
        self.first_batch = first_batch

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch of this process."""
        batches = -(-len(self.lengths) // self.rows_per_batch)
        return -(-batches // self.num_replicas)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row numbers of each batch."""
        # A generator: epoch and first_batch are read when the first batch is asked for, not when iter() is called.
        batches = self._batches()
        for step in range(self.first_batch, len(self)):
            yield batches[(step * self.num_replicas + self.rank) % len(batches)]

    def loss_weight(self, step: int, accumulate: int = 1, steps: int | None = None) -> float:
        r"""Return the factor for a batch's mean loss that makes an update's gradient the mean over all of its rows.

        An update has the batches of ``accumulate`` steps of every process, the epoch's last update perhaps those of
        fewer steps. What is trained with divides each loss by ``accumulate`` and takes the mean of the gradients over
        the processes. So the factor is :math:`n a r / R`, with n processes, a the number to accumulate, r the rows of
        this batch (0 if it is dealt a second time) and R the rows of the whole update. It is exactly 1 where all
        batches are full.

        Args:
            step: number of the batch among this process's batches of the epoch.
            accumulate: steps per update.
            steps: how many steps of the epoch are made; None for all.

        Returns:
            The factor.

        Example:
            Three rows, one of them alone in its batch, are one update of two batches:

            >>> sampler = LengthGroupedBatchSampler([3, 1, 2], 2, seed=0)
            >>> sorted(sampler.loss_weight(step, accumulate=2) for step in range(2))
            [0.6666666666666666, 1.3333333333333333]
        """
        if self._sizes[0] != self.epoch:
            self._sizes = (self.epoch, [len(batch) for batch in self._batches()])
        sizes = self._sizes[1]
        first = step - step % accumulate
        last = min(first + accumulate, len(self) if steps is None else steps)
        # Numbers beyond the last batch are those that are dealt a second time.
        rows = sum(sizes[first * self.num_replicas : last * self.num_replicas])
        number = step * self.num_replicas + self.rank
        own = sizes[number] if number < len(sizes) else 0
        return self.num_replicas * accumulate * own / rows

    def _batches(self) -> list[list[int]]:
        return length_grouped_batches(self.lengths, self.rows_per_batch, seed=self.seed, epoch=self.epoch)


class EvaluationSampler(DistributedSampler[int]):
    """The rows of every ``num_replicas``-th batch, in order and without the usual padding by repeated rows.

    As only the last batch of all can be short, cutting these rows into batches again gives the same batches. It is a
    DistributedSampler because Lightning leaves those alone in every stage, and anything else it either replaces (rows
    would be dealt out twice) or warns about when predicting.

    Example:
        >>> list(EvaluationSampler([[2, 0], [4, 1], [3]], num_replicas=2, rank=0))
        [2, 0, 3]
    """

    def __init__(self, batches: list[list[int]], *, num_replicas: int = 1, rank: int = 0) -> None:
        """Choose this process's rows.

        Args:
            batches: row numbers, batch by batch; all full except for the last.
            num_replicas: number of processes.
            rank: number of this process.
        """
        rows = [row for batch in batches[rank::num_replicas] for row in batch]
        # Lightning asks for the size of the data set; everything else is overridden below.
        super().__init__(rows, num_replicas=num_replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of rows of this process, which can be none."""
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        """Yield the row numbers."""
        yield from self.rows


class LazyDataLoader(DataLoader[Any]):
    """A DataLoader that does nothing before its first batch is asked for.

    Lightning calls ``iter()`` before the position of a checkpoint is known. An ordinary loader with workers has by then
    drawn its first batches, from the start of the epoch.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches."""
        yield from super().__iter__()


class PadCollator:
    """Makes a batch of tensors from tokenised rows.

    A class, not a closure, so that workers can be given it.

    Example:
        >>> batch = PadCollator(0)([{"input_ids": [2, 7, 3], "idx": 0}, {"input_ids": [2, 3], "idx": 1}])
        >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist()
        ([[2, 7, 3], [2, 3, 0]], [[1, 1, 1], [1, 1, 0]])
    """

    def __init__(self, pad_token_id: int, pad_token_type_id: int = 0, pad_to_multiple_of: int | None = None) -> None:
        """Keep what rows are filled with.

        Args:
            pad_token_id: fills ``input_ids``.
            pad_token_type_id: fills ``token_type_ids``.
            pad_to_multiple_of: rows are padded to the longest of the batch, rounded up to a multiple of this if given.
        """
        self.pad_token_id = pad_token_id
        self.pad_token_type_id = pad_token_type_id
        self.pad_to_multiple_of = pad_to_multiple_of or 1

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return ``input_ids``, ``attention_mask``, ``idx``; ``token_type_ids`` and ``labels`` if rows have them."""
        longest = max(len(row["input_ids"]) for row in rows)
        width = -(-longest // self.pad_to_multiple_of) * self.pad_to_multiple_of

        def padded(columns: list[list[int]], fill: int) -> Tensor:
            return torch.tensor([column + [fill] * (width - len(column)) for column in columns])

        batch = {
            "input_ids": padded([row["input_ids"] for row in rows], self.pad_token_id),
            "attention_mask": padded([[1] * len(row["input_ids"]) for row in rows], 0),
        }
        if "token_type_ids" in rows[0]:
            batch["token_type_ids"] = padded([row["token_type_ids"] for row in rows], self.pad_token_type_id)
        if "labels" in rows[0]:
            # as the losses want them, whatever the default dtype is
            dtype = torch.float32 if isinstance(rows[0]["labels"], float) else torch.int64
            batch["labels"] = torch.tensor([row["labels"] for row in rows], dtype=dtype)
        batch["idx"] = torch.tensor([row["idx"] for row in rows])
        return batch


class NoRows:
    """A collator that keeps nothing of a batch but its form: tensors of zero rows.

    Lightning leaves out the whole evaluation, with its hooks, on a process that has no batch, while the others wait for
    it there to share their metrics. So such a process is given a batch of which this leaves nothing.

    Example:
        >>> {name: tensor.shape[0] for name, tensor in NoRows(PadCollator(0))([{"input_ids": [2], "idx": 0}]).items()}
        {'input_ids': 0, 'attention_mask': 0, 'idx': 0}
    """

    def __init__(self, collator: PadCollator) -> None:
        """Keep what forms the batch.

        Args:
            collator: of the other processes.
        """
        self.collator = collator

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the collator's tensors without their rows."""
        return {name: tensor[:0] for name, tensor in self.collator(rows).items()}
