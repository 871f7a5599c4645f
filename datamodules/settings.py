"""The settings of `GLUEDataModule` and their checks, without torch, so that the command line can read them quickly."""

import math
from pathlib import Path
from typing import Literal, get_args

from datamodules.sources.opening import open_task
from datamodules.tasks.own import OwnTask
from datamodules.tasks.record_format import RecordFormat, record_format
from stark.errors import StarkError
from stark.problems.score_names import score_names

__all__ = ["ChangeName", "DataSettings", "SegmentIds", "Selection"]

ChangeName = Literal["swap", "delete", "cut", "mix", "masked_lm"]

Selection = Literal["train", "validation"]

SegmentIds = Literal["tokenizer", "stark"]


class DataSettings:
    """Settings of the batches of a GLUE task or a user-defined task, split into disjoint parts.

    This class checks the settings and reads no row; `GLUEDataModule`, which reads the rows, takes the same settings.
    """

    def __init__(
        self,
        task: str,
        data_dir: str | None = None,
        model_name_or_path: str = "bert-base-uncased",
        max_length: int = 128,
        selection_fraction: float = 0.1,
        batch_size: int = 32,
        selection: Selection = "train",
        train_limit: int | None = None,
        segment_ids: SegmentIds = "tokenizer",
        pad_to_multiple_of: int = 8,
        num_workers: int = 0,
        cache_dir: str | None = None,
        seed: int = 0,
        tokens_per_batch: int | None = None,
        cut_seed: int | None = None,
        labelled_limit: int | None = None,
        use_unlabelled: bool = False,
        expected_content: dict[str, str] | None = None,
        select_by: str | None = None,
        unlabelled: list[str] | None = None,
        unlabelled_ratio: float | None = None,
        changed_rows: float | None = None,
        changes: list[ChangeName] | None = None,
        batches_per_epoch: int | None = None,
        masked_language_model: str | None = None,
    ) -> None:
        """Check the arguments; nothing is read yet.

        Args:
            task: rte, mrpc, stsb, sst2, qnli, qqp, mnli, mnlimm, cola, wnli or ax; or a YAML file that describes your
                own task, see `read_own_task`.
            data_dir: Folder of the task's original files, a folder written by ``save_to_disk``, or a folder that
                contains one of these; None for the hub's ``glue``. For your own task the folder of its files; None for
                the YAML's folder.
            model_name_or_path: Folder or id of the tokenizer; the command line links it from the model.
            max_length: Maximum number of tokens per row; longer rows are truncated.
            selection_fraction: The selection part's share of train, in (0, 1); has no effect with
                ``selection="validation"``.
            batch_size: Rows per batch and process; with ``tokens_per_batch`` for evaluation and scoring only.
            selection: Split that the selection part is taken from.
            train_limit: Maximum number of train's rows that are used; None for all.
            segment_ids: "stark" for checkpoints that were trained with the released code.
            pad_to_multiple_of: Number that the length of each batch is rounded up to a multiple of, at most to
                ``max_length``; 1 does not round. Each distinct length needs its own kernels, which costs much time and
                memory in bf16 on a CPU. With 16, padding would add 60 % to the tokens of SST-2's short rows, with 8 it
                adds 25 %.
            num_workers: Worker processes of each loader; 0 is fastest, because making a batch costs less than passing
                it between processes.
            cache_dir: Folder of tokenised splits; default ``$STARK_CACHE`` or ``~/.cache/stark-lightning``.
            seed: Seed of the cuts and of the order of the rows.
            tokens_per_batch: Maximum number of tokens per training batch and process, padding included, in the place
                of ``batch_size`` rows: a batch has few long rows or many short ones. Each epoch has the same shapes,
                at most two per rounded length. It must be at least ``max_length``, rounded up, so that any row fits.
            cut_seed: Seed of the cuts, for fits with several seeds that must have the same rows; None for ``seed``.
            labelled_limit: Number of train's rows that have a label, without the selection part; None for all.
            use_unlabelled: Whether the rows without a label are trained on as well, those of train and of
                ``unlabelled``. Their label is -100 (NaN for regression), and only a teacher gives them a target;
                `stark run` uses them in its distillations.
            expected_content: The value that `digest` must return for each split. `stark run` sets it, so that all of
                its stages read the same rows.
            select_by: The one of the task's metrics by which epochs and models are chosen; None for the mean of all
                of them but errors (mae, rmse).
            unlabelled: Files of rows without labels: .csv, .tsv or .jsonl, also with .gz, or .parquet. Their columns
                have the names of the task's texts (such as ``sentence`` for sst2). Your own task may name such files
                itself; these are added. Rows that are in dev, test or the selection part are left out.
            unlabelled_ratio: Number of rows without a label per row with one in each epoch, in which the former take
                turns; None for all rows in each epoch.
            changed_rows: Number of changed rows per row of training that are made and added to the rows without a
                label; None for none. If the rows without a label are more than three times as many as the labelled
                ones already, none are made.
            changes: How rows are changed, in turns: swap (tokens of another row), delete (words), cut (to a span), mix
                (halves of two rows), masked_lm (words that a masked language model predicts); None for swap.
            batches_per_epoch: Number of batches of an epoch of training, of all processes together; an epoch begins
                where the one before ended in the passes over all rows. None for epochs of one pass. `stark run` sets
                it if the length of a fit is given in steps.
            masked_language_model: Folder or hub id of the model for the change masked_lm, which has the same vocabulary
                as the tokenizer; without masked_lm it has no effect. `stark run` takes its encoder if None.

        Raises:
            StarkError: An argument is out of range.
        """
        super().__init__()  # Lightning's, in a data module
        self.task = open_task(task, data_dir)
        self.label_names: list[str] = list(self.task.label_names)
        self.kind = self.task.kind
        self.metrics: list[str] = list(self.task.metrics)
        self.select_by = select_by
        self.score_metrics: list[str] = score_names(self.metrics, select_by)
        for name, value, least in (
            ("max_length", max_length, 4),
            ("batch_size", batch_size, 1),
            ("train_limit", train_limit, 2),
            ("labelled_limit", labelled_limit, 1),
            ("pad_to_multiple_of", pad_to_multiple_of, 1),
            ("num_workers", num_workers, 0),
            ("tokens_per_batch", tokens_per_batch, 1),
            ("batches_per_epoch", batches_per_epoch, 1),
        ):
            if value is not None and value < least:
                raise StarkError(f"{name} is {value} but must be at least {least}")
        for name, choice, choices in (
            ("selection", selection, get_args(Selection)),
            ("segment_ids", segment_ids, get_args(SegmentIds)),
        ):
            if choice not in choices:
                raise StarkError(f"{name} is {choice!r}: choose one of {', '.join(choices)}")
        if not 0 < selection_fraction < 1:
            raise StarkError(f"selection_fraction is {selection_fraction} but must lie between 0 and 1")
        if unlabelled_ratio is not None and not 0 < unlabelled_ratio < math.inf:
            raise StarkError(f"unlabelled_ratio is {unlabelled_ratio} but must be a number above 0")
        if changed_rows is not None and not 0 < changed_rows < math.inf:
            raise StarkError(f"changed_rows is {changed_rows} but must be a number above 0")
        if changes is not None and (not changes or set(changes) - set(get_args(ChangeName))):
            raise StarkError(f"changes are {changes}: name some of {', '.join(get_args(ChangeName))}")
        if "masked_lm" in (changes or ()) and masked_language_model is None:
            raise StarkError(
                f"changes are {changes}, but no masked_language_model is given: give its folder or hub id, or leave "
                "masked_lm out"
            )
        if unlabelled_ratio is not None and tokens_per_batch is not None:
            raise StarkError(
                "unlabelled_ratio and tokens_per_batch are given, but the rows of such epochs have other lengths each "
                "time: choose one of them"
            )
        own = self.task.unlabelled if isinstance(self.task, OwnTask) else ()
        named = [Path(name).expanduser() for name in unlabelled or ()]
        #: Files of rows without labels, with their formats.
        self.unlabelled_files: tuple[tuple[Path, RecordFormat], ...] = (
            *own,
            *((path, record_format(str(path))) for path in named),
        )
        if tokens_per_batch is not None:
            longest = -(-max_length // pad_to_multiple_of) * pad_to_multiple_of
            if tokens_per_batch < longest:
                raise StarkError(
                    f"tokens_per_batch is {tokens_per_batch} but must be at least {longest}: max_length is "
                    f"{max_length}, which padding rounds up to a multiple of {pad_to_multiple_of}"
                )
        self.model_name_or_path = model_name_or_path
        self.data_dir = data_dir
        self.max_length = max_length
        self.batch_size = batch_size
        self.tokens_per_batch = tokens_per_batch
        self.selection: Selection = selection
        self.selection_fraction = selection_fraction
        self.train_limit = train_limit
        self.labelled_limit = labelled_limit
        self.use_unlabelled = use_unlabelled
        self.unlabelled = unlabelled
        self.unlabelled_ratio = unlabelled_ratio
        self.changed_rows = changed_rows
        self.changes = changes
        self.masked_language_model = masked_language_model
        self.batches_per_epoch = batches_per_epoch
        self.segment_ids: SegmentIds = segment_ids
        self.pad_to_multiple_of = pad_to_multiple_of
        self.num_workers = num_workers
        self.cache_dir = cache_dir
        self.seed = seed
        self.cut_seed = cut_seed
        self.expected_content = dict(expected_content or {})

    @property
    def adds_rows(self) -> bool:
        """Whether there are rows to distil on that are not in train."""
        return bool(self.unlabelled_files) or self.changed_rows is not None

    @property
    def fills_rows(self) -> bool:
        """Whether a masked language model changes rows."""
        return self.changed_rows is not None and "masked_lm" in (self.changes or ())
