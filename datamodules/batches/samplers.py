"""Distributing batches over processes, and the data loader."""

from collections.abc import Iterator
from typing import Any, Protocol

from torch.utils.data import DataLoader, DistributedSampler

from datamodules.batches.grouping import Batches
from stark.errors import StarkError

__all__ = ["EpochBatchSampler", "EvaluationSampler", "FormBatches", "LazyDataLoader"]


class FormBatches(Protocol):
    """Function that returns the batches of an epoch; the same on every call."""

    def __call__(self, *, epoch: int) -> Batches:
        """Return the batches."""


class EpochBatchSampler:
    """The batches of an epoch, distributed over the processes of a run.

    The batches are formed as for a single process, then process ``rank`` takes every ``num_replicas``-th of them. If
    their number is not divisible, the epoch's first batches are repeated at its end, so that all processes make the
    same number of steps; the repeated batches have weight 0, see `loss_weight`. With one process nothing is dropped or
    repeated.

    No attribute has the name of one of torch's BatchSampler (``sampler``, ``batch_size``, ``drop_last``), because
    Lightning would then rebuild this sampler as a BatchSampler.

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
            form: Function that returns the batches of all processes for an ``epoch``, equally many in each epoch.
            num_replicas: Number of processes.
            rank: Number of this process.

        Raises:
            StarkError: ``rank`` is not in 0 to ``num_replicas - 1``.
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
        """Set the epoch and the first batch of the next iteration.

        Args:
            epoch: Number of the epoch; it determines the order.
            first_batch: Number of this process's batches that are skipped because they were trained on already.

        Raises:
            StarkError: The epoch has fewer batches.
        """
        if not 0 <= first_batch <= len(self):
            raise StarkError(f"first_batch is {first_batch} but an epoch has {len(self)} batches")
        self.epoch = epoch
        self.first_batch = first_batch

    def __len__(self) -> int:
        """Return the number of this process's batches in a whole epoch."""
        return -(-len(self._formed[1]) // self.num_replicas)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row numbers of each batch."""
        # As a generator, it reads epoch and first_batch when the first batch is requested, not when iter() is called.
        batches = self._batches()
        for step in range(self.first_batch, len(self)):
            yield batches[(step * self.num_replicas + self.rank) % len(batches)]

    def loss_weight(self, step: int, accumulate: int = 1, steps: int | None = None) -> float:
        r"""Return the factor for a batch's mean loss that makes an update's gradient the mean over all of its rows.

        An update has the batches of ``accumulate`` steps of every process; the epoch's last update may have fewer
        steps. The trainer divides each loss by ``accumulate`` and takes the mean of the gradients over the processes.
        So the factor is $n a r / R$, with n processes, a accumulated steps, r rows of this batch (0 for a repeated
        batch) and R rows of the whole update. It is exactly 1 if all batches are full.

        Args:
            step: Number of the batch among this process's batches of the epoch.
            accumulate: Steps per update.
            steps: Number of steps of the epoch that are made; None for all.

        Returns:
            The factor.

        Examples:
            An update of two batches with three rows, one batch having a single row:

            >>> from functools import partial
            >>> from datamodules.batches.grouping import length_grouped_batches
            >>> sampler = EpochBatchSampler(partial(length_grouped_batches, [3, 1, 2], 2, seed=0))
            >>> sorted(sampler.loss_weight(step, accumulate=2) for step in range(2))
            [0.6666666666666666, 1.3333333333333333]
        """
        sizes = self._batches().sizes
        first = step - step % accumulate
        last = min(first + accumulate, len(self) if steps is None else steps)
        # Numbers beyond the last batch are repeated batches.
        rows = int(sizes[first * self.num_replicas : last * self.num_replicas].sum())
        number = step * self.num_replicas + self.rank
        own = int(sizes[number]) if number < len(sizes) else 0
        return self.num_replicas * accumulate * own / rows

    def _batches(self) -> Batches:
        # Stored, because both the order and the weights of an epoch need them.
        if self._formed[0] != self.epoch:
            self._formed = (self.epoch, self.form(epoch=self.epoch))
        return self._formed[1]


class EvaluationSampler(DistributedSampler[int]):
    """The rows of every ``num_replicas``-th batch, in order and without the usual padding by repeated rows.

    Only the last batch of all can be short, so cutting these rows into batches again gives the same batches. The class
    is a DistributedSampler because Lightning keeps such a sampler in every stage. It would replace any other sampler
    (rows would be distributed twice), or warn about it when predicting.

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
        # Lightning reads the size of the data set; everything else is overridden below.
        super().__init__(rows, num_replicas=num_replicas, rank=rank, shuffle=False)  # type: ignore[arg-type]
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of rows of this process; it can be 0."""
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        """Yield the row numbers."""
        yield from self.rows.tolist()


class LazyDataLoader(DataLoader[Any]):
    """A DataLoader that does nothing before its first batch is requested.

    Lightning calls ``iter()`` before the position of a checkpoint is known. An ordinary loader with workers would then
    already load its first batches, from the start of the epoch.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches."""
        yield from super().__iter__()
