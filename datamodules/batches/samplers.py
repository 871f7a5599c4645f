"""Batches: how they are dealt to processes, and how they become tensors."""

from collections.abc import Iterator
from typing import Any, Protocol

from torch.utils.data import DataLoader, DistributedSampler

from datamodules.batches.grouping import Batches
from stark.errors import StarkError

__all__ = ["EpochBatchSampler", "EvaluationSampler", "FormBatches", "LazyDataLoader"]


class FormBatches(Protocol):
    """Gives the batches of an epoch, always the same."""

    def __call__(self, *, epoch: int) -> Batches:
        """Return them."""


class EpochBatchSampler:
    """The batches of an epoch, dealt to the processes of a run.

    Whole batches are formed as if there was one process, then process ``rank`` takes every ``num_replicas``-th. Where
    their number is not divisible, the epoch's first batches are dealt a second time at its end, so that all processes
    make equally many steps; they are to count nothing there, see `loss_weight`. With one process nothing is
    dropped or repeated.

    No attribute is named as those of torch's BatchSampler (``sampler``, ``batch_size``, ``drop_last``), or Lightning
    would rebuild it as one.

    Examples:
        >>> from functools import partial
        >>> from datamodules.batches.grouping import length_grouped_batches
        >>> sampler = EpochBatchSampler(partial(length_grouped_batches, [3, 1, 2, 5, 4], 2, seed=0))
        >>> whole = list(sampler)
        >>> sampler.set_epoch(0, first_batch=1)
        >>> list(sampler) == whole[1:], len(sampler)
        (True, 3)
    """

    def __init__(self, form: FormBatches, *, num_replicas: int = 1, rank: int = 0) -> None:
        """Start with epoch 0.

        Args:
            form: Gives the batches of all processes for an ``epoch``, equally many in each epoch.
            num_replicas: Number of processes.
            rank: Number of this process.

        Raises:
            StarkError: There is no such process.
        """
        if not 0 <= rank < num_replicas:
            raise StarkError(f"rank is {rank} but must be in 0 to {num_replicas - 1}")
        self.form = form
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.first_batch = 0
        self._formed = (0, form(epoch=0))

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose what the next iteration gives.

        Args:
            epoch: Number of the epoch, which decides on the order.
            first_batch: How many of its batches (of this process) are left out because they were trained on already.

        Raises:
            StarkError: The epoch has fewer batches.
        """
        if not 0 <= first_batch <= len(self):
            raise StarkError(f"first_batch is {first_batch} but an epoch has {len(self)} batches")
        self.epoch = epoch
        self.first_batch = first_batch

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch of this process."""
        return -(-len(self._formed[1]) // self.num_replicas)

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
        the processes. So the factor is $n a r / R$, with n processes, a the number to accumulate, r the rows of
        this batch (0 if it is dealt a second time) and R the rows of the whole update. It is exactly 1 where all
        batches are full.

        Args:
            step: Number of the batch among this process's batches of the epoch.
            accumulate: Steps per update.
            steps: How many steps of the epoch are made; None for all.

        Returns:
            The factor.

        Examples:
            Three rows, one of them alone in its batch, are one update of two batches:

            >>> from functools import partial
            >>> from datamodules.batches.grouping import length_grouped_batches
            >>> sampler = EpochBatchSampler(partial(length_grouped_batches, [3, 1, 2], 2, seed=0))
            >>> sorted(sampler.loss_weight(step, accumulate=2) for step in range(2))
            [0.6666666666666666, 1.3333333333333333]
        """
        sizes = self._batches().sizes
        first = step - step % accumulate
        last = min(first + accumulate, len(self) if steps is None else steps)
        # Numbers beyond the last batch are those that are dealt a second time.
        rows = int(sizes[first * self.num_replicas : last * self.num_replicas].sum())
        number = step * self.num_replicas + self.rank
        own = int(sizes[number]) if number < len(sizes) else 0
        return self.num_replicas * accumulate * own / rows

    def _batches(self) -> Batches:
        # Both the order and the weights of an epoch need them.
        if self._formed[0] != self.epoch:
            self._formed = (self.epoch, self.form(epoch=self.epoch))
        return self._formed[1]


class EvaluationSampler(DistributedSampler[int]):
    """The rows of every ``num_replicas``-th batch, in order and without the usual padding by repeated rows.

    As only the last batch of all can be short, cutting these rows into batches again gives the same batches. It is a
    DistributedSampler because Lightning leaves those alone in every stage, and anything else it either replaces (rows
    would be dealt out twice) or warns about when predicting.

    Examples:
        >>> from datamodules.batches.grouping import evaluation_batches
        >>> list(EvaluationSampler(evaluation_batches([5, 9, 4, 9, 6], 2), num_replicas=2, rank=0))
        [2, 0, 3]
    """

    def __init__(self, batches: Batches, *, num_replicas: int = 1, rank: int = 0) -> None:
        """Choose this process's rows.

        Args:
            batches: Row numbers, batch by batch; all full except for the last.
            num_replicas: Number of processes.
            rank: Number of this process.
        """
        rows = batches[rank::num_replicas].rows()
        # Lightning asks for the size of the data set; everything else is overridden below.
        super().__init__(rows, num_replicas=num_replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of rows of this process, which can be none."""
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        """Yield the row numbers."""
        yield from self.rows.tolist()


class LazyDataLoader(DataLoader[Any]):
    """A DataLoader that does nothing before its first batch is asked for.

    Lightning calls ``iter()`` before the position of a checkpoint is known. An ordinary loader with workers has by then
    drawn its first batches, from the start of the epoch.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches."""
        yield from super().__iter__()
