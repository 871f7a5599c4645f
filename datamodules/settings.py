"""What `GLUEDataModule` can be told, checked: for a command line that is read before torch is imported."""

from typing import Literal, get_args

from datamodules.tasks.own import open_task
from stark.errors import StarkError

__all__ = ["DataSettings", "SegmentIds", "Selection"]

Selection = Literal["train", "validation"]

SegmentIds = Literal["tokenizer", "stark"]


class DataSettings:
    """Batches of a GLUE task or an own one, in parts that are kept apart.

    These are the settings that decide on them, and no row is read; `GLUEDataModule`, which has the rows, is told the
    same.
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
    ) -> None:
        """Check the arguments; nothing is read yet.

        Args:
            task: rte, mrpc, stsb, sst2, qnli, qqp, mnli, mnlimm, cola, wnli or ax; or a YAML file that describes an own
                one, see `read_own_task`.
            data_dir: The task's original files, a folder written by ``save_to_disk``, or a folder that has either in
                it; None for the hub's ``glue``. Of an own task where its files lie; None for the YAML's folder.
            model_name_or_path: Folder or id of the tokenizer; the command line links it from the model.
            max_length: The most tokens of a row; longer ones are cut.
            selection_fraction: The selection part's share of train, in (0, 1); without effect for
                ``selection="validation"``.
            batch_size: Rows per batch and process; with ``tokens_per_batch`` of evaluation and scoring only.
            selection: Split that the selection part is cut from.
            train_limit: Use only so many rows of train.
            segment_ids: "stark" for checkpoints that were trained with the released code.
            pad_to_multiple_of: Rounds the length of each batch up, at most to ``max_length``; 1 leaves it. Each length
                that occurs costs kernels, in bf16 on a CPU much time and memory; with 16, the short rows of SST-2
                would be padded by 60 % of their tokens, with 8 by 25 %.
            num_workers: Worker processes of each loader; 0 is fastest: making a batch costs less than handing it over.
            cache_dir: Folder of tokenised splits; default ``$STARK_CACHE`` or ``~/.cache/stark-lightning``.
            seed: Seed of cuts and order.
            tokens_per_batch: Trains on batches of up to so many tokens per process, padding included, instead of
                ``batch_size`` rows: few rows if they are long, many if they are short. Each epoch has the same shapes,
                at most two per rounded length. At least ``max_length``, rounded up, so that any row fits.
            cut_seed: Seed of the cuts, where fits of several seeds shall have the same rows; None for ``seed``.
            labelled_limit: Number of train's rows that have a label, not counting the selection part; None for all.
            use_unlabelled: Train on the other rows as well, whose label is -100 (NaN for regression), which only a
                teacher can say something of; `stark run` does so in its distillations.
            expected_content: What `digest` must give for splits; `stark run` lets its stages check so that all of them
                read the same rows.

        Raises:
            StarkError: An argument is out of range.
        """
        super().__init__()  # Lightning's, in a data module
        self.task = open_task(task, data_dir)
        self.label_names: list[str] = list(self.task.label_names)
        self.kind = self.task.kind
        self.metrics: list[str] = list(self.task.metrics)
        for name, value, least in (
            ("max_length", max_length, 4),
            ("batch_size", batch_size, 1),
            ("train_limit", train_limit, 2),
            ("labelled_limit", labelled_limit, 1),
            ("pad_to_multiple_of", pad_to_multiple_of, 1),
            ("num_workers", num_workers, 0),
            ("tokens_per_batch", tokens_per_batch, 1),
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
        self.segment_ids: SegmentIds = segment_ids
        self.pad_to_multiple_of = pad_to_multiple_of
        self.num_workers = num_workers
        self.cache_dir = cache_dir
        self.seed = seed
        self.cut_seed = cut_seed
        self.expected_content = dict(expected_content or {})
