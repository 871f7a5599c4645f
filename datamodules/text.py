"""Rows of texts as a LightningDataModule, for any task and source."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from datamodules.added import MASKED_LANGUAGE_MODEL, AddedRows
from datamodules.answered import answers_for
from datamodules.batches.collating import NoRows, PadCollator
from datamodules.batches.grouping import (
    balanced_batches,
    batches_of_passes,
    evaluation_batches,
    length_grouped_batches,
    seeded_generator,
    shared_batch_size,
    token_budget_batches,
)
from datamodules.batches.samplers import EpochBatchSampler, EvaluationSampler, FormBatches, LazyDataLoader
from datamodules.checks import warn_of_doubts
from datamodules.parts import cut_train, limit_labels
from datamodules.settings import DataSettings
from datamodules.sources.source import Rows
from datamodules.tokenised import TokenisedSplits
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.truncation import Truncation
from stark.errors import StarkError

__all__ = ["TextDataModule"]

# Settings that determine the rows and the shape of each batch: a resumed fit must have the same values.
_BATCH_SETTINGS = (
    "task",
    "max_length",
    "batch_size",
    "tokens_per_batch",
    "selection",
    "selection_fraction",
    "train_limit",
    "labelled_limit",
    "use_unlabelled",
    "unlabelled_ratio",
    "changed_rows",
    "changes",
    "batches_per_epoch",
    "segment_ids",
    "pad_to_multiple_of",
    "seed",
    "cut_seed",
)
# Settings that determine the shape of a batch of given rows.
_SHAPE_SETTINGS = ("max_length", "batch_size", "pad_to_multiple_of")
# Splits that each of the trainer's functions reads ("selection": the split that this part is taken from).
_NEEDED = {"fit": ("train", "selection"), "validate": ("selection",), "test": ("dev",), "predict": ("test",)}


class TextDataModule(DataSettings, pl.LightningDataModule):
    """Batches of a GLUE task or a user-defined task, split into disjoint parts.

    - ``train_dataloader``: train without the selection part, in batches of rows of similar length; a seed and the
      epoch determine them.
    - ``val_dataloader``: the *selection part*. Every choice (of checkpoints, early stopping, settings, units to prune)
      uses this part only. With ``selection="train"`` it is cut off train, so that GLUE's dev stays unseen; with
      ``selection="validation"`` it is GLUE's dev, as in the released code, and nothing is cut off train.
    - ``test_dataloader``: GLUE's labelled dev split; results are reported on it.
    - ``predict_dataloader``: GLUE's unlabelled test split, for submissions.

    All cuts are stratified by label (for regression by ten bins of the score's rank) and depend on row numbers and
    ``seed`` alone; with groups of rows, the first two take whole groups, and so about as many rows. First
    ``train_limit`` rows are chosen from train, then the selection part from those, then the
    remaining rows that keep their labels. With ``use_unlabelled`` the rows without labels are added at the end; their
    row numbers follow those of train's file.

    Batches have ``input_ids``, ``attention_mask``, ``token_type_ids`` (if the tokenizer has them), ``labels`` (int64,
    or float32 for regression; not in test) and ``idx`` (row number in the split's file; in test the file's own index).

    Examples:
        >>> data = TextDataModule("mrpc", "datasets", "some-model")
        >>> data.label_names, data.metrics
        (['not_equivalent', 'equivalent'], ['accuracy', 'f1'])
    """

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer, loaded at first use."""
        return self._splits.tokenizer

    @property
    def is_pair(self) -> bool:
        """Whether a row has two texts."""
        return self.task.is_pair

    def prepare_data(self) -> None:
        """Tokenise the splits that the trainer's function needs (without a trainer all that exist) into the cache."""
        stage = self.trainer.state.fn if self.trainer is not None else None
        for split in self._needed(stage):
            self._splits.rows(split)
        if stage == "fit" and self._adds_rows and self.fills_rows:
            self._rows("train")  # stores the changed rows, so that all processes have the same ones

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage from the cache."""
        # An attribute of Lightning, for data without any row; otherwise each process has a batch.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        for split in self._needed(stage):
            self._splits.rows(split)

    def train_dataloader(self) -> LazyDataLoader:
        """Return batches of train without the selection part; ``batch_sampler.set_epoch`` sets their order."""
        rows = self._rows("train")
        world_size, rank = self._processes()
        if rank == 0:
            parts = {"train": rows, "the selection part": self._rows("selection")}
            warn_of_doubts(self.task, parts, self._splits.read)
        form = self._form(rows)
        if self.batches_per_epoch is not None:
            form = partial(batches_of_passes, form, self.batches_per_epoch)
        sampler = EpochBatchSampler(form, num_replicas=world_size, rank=rank)
        return self._loader(rows, "train", batch_sampler=sampler)

    def val_dataloader(self) -> LazyDataLoader:
        """Return this process's batches of the selection part."""
        return self._evaluation_loader(self._rows("selection"), "val")

    def test_dataloader(self) -> LazyDataLoader:
        """Return this process's batches of GLUE's dev split."""
        rows = self._splits.rows("dev")
        if self._processes()[1] == 0:
            warn_of_doubts(self.task, {}, self._splits.read)
        return self._evaluation_loader(rows, "test")

    def predict_dataloader(self) -> LazyDataLoader:
        """Return this process's batches of GLUE's unlabelled test split."""
        return self._evaluation_loader(self._splits.rows("test"), "predict")

    def scoring_dataloader(
        self, split: Literal["selection", "validation", "train"], grouped: bool = True
    ) -> LazyDataLoader:
        """Return all batches of a part in a fixed order, the same on every process.

        Args:
            split: The selection part, GLUE's dev ("validation") or train without the selection part.
            grouped: Whether rows are sorted by length, which saves padding; otherwise they are in the file's order.

        Returns:
            A loader that gives every row once, for any number of processes.

        Raises:
            StarkError: There is no such part.
        """
        if split not in ("selection", "validation", "train"):
            raise StarkError(f"split is {split!r}: choose one of selection, validation, train")
        rows = self._splits.rows("dev") if split == "validation" else self._rows(split)
        # With equal lengths the rows stay in the file's order.
        lengths = rows.lengths if grouped else torch.zeros(len(rows))
        return self._loader(rows, f"scoring {split}", batch_sampler=evaluation_batches(lengths, self.batch_size))

    def refitting_dataloader(self, tokens: int) -> LazyDataLoader:
        """Return batches of randomly chosen rows of train, the same on every process, and sorted by length.

        The rows depend on ``seed``. Rows without a label are among them.

        Args:
            tokens: Number of tokens that the rows have together, at least; all rows of train if they have fewer.
        """
        rows = self._rows("train")
        order = torch.randperm(len(rows), generator=seeded_generator("refitting", self.seed))
        before = rows.lengths[order].cumsum(0) - rows.lengths[order]
        chosen = rows.select(order[before < tokens])
        return self._loader(chosen, "refitting", batch_sampler=evaluation_batches(chosen.lengths, self.batch_size))

    def train_token_ids(self) -> Tensor:
        """Return the distinct token ids that occur in training, ascending, including padding."""
        known = self._rows("train").token_ids()
        padding = torch.tensor([self.tokenizer.pad_token_id])
        return known if padding in known else torch.cat([padding, known]).sort().values

    def train_labels(self) -> Tensor:
        """Return the labels of the rows that are trained on, with marks where a row has none."""
        return self._rows("train").fields["labels"]

    def train_answers(self, files: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return a teacher's answers for the rows that are trained on, from files instead of a model.

        A row is found by its tokens. If there are several answers for a row, of several teachers, their mean is taken.

        Args:
            files: See `read_answers`.

        Returns:
            Row numbers, and the answers: ``(rows, num_labels)``, float32.

        Raises:
            StarkError: A file is wrong, or a row has no answer.
        """
        return answers_for(self._rows("train"), files, self, self._splits)

    def truncation(self, split: str) -> Truncation:
        """Return how many rows of a split are cut to ``max_length`` tokens.

        Args:
            split: "train", "dev" or "test".

        Raises:
            StarkFileNotFoundError: There is no such split.
        """
        return Truncation.of(self._splits.rows(split))

    def labelled_texts(self, part: Literal["train", "selection", "dev"]) -> Rows:
        """Return the texts and labels of a part's rows, without those that have no label, in the file's order.

        Args:
            part: Train without the selection part, the selection part, or GLUE's dev split.

        Raises:
            StarkError: The file has changed since the rows were loaded.
        """
        tokens = self._splits.rows("dev") if part == "dev" else self._rows(part)
        split = "train" if part == "train" or (part == "selection" and self.selection == "train") else "dev"
        is_labelled = self.task.problem.is_labelled(tokens.fields["labels"])
        return self._splits.texts(split).select(tokens.fields["idx"][is_labelled].sort().values.tolist())

    def training_texts(self) -> list[str]:
        """Return all texts of train and of the files without labels, in their order, those of the selection part, too.

        Raises:
            StarkError: A file has changed since the rows were loaded.
        """
        parts = ["train", *(["unlabelled"] if self.unlabelled_files else [])]
        columns = [column for rows in map(self._splits.texts, parts) for column in (rows.text_a, rows.text_b)]
        return [text for column in columns if column is not None for text in column]

    def digest(self, split: str) -> str:
        """Return a digest of a split's content, independent of its path; for a loaded split of the loaded content.

        Args:
            split: "train", "dev" or "test"; "unlabelled" for the files of rows without labels, `MASKED_LANGUAGE_MODEL`
                for the model that changes rows.

        Raises:
            StarkFileNotFoundError: There is no such split.
        """
        return self._added.model_digest if split == MASKED_LANGUAGE_MODEL else self._splits.digest(split)

    def contents(self) -> dict[str, str]:
        """Return the digests of all content that trainings and their choices may read."""
        return {**{split: self.digest(split) for split in ("train", "dev")}, **self._added.contents()}

    def fingerprint(self, split: Literal["selection", "validation", "train"]) -> str:
        """Return a hash of the batches of `scoring_dataloader`: the rows, their tokens and their grouping.

        Args:
            split: The selection part, GLUE's dev ("validation") or train without the selection part.
        """
        file = "dev" if split == "validation" or (split, self.selection) == ("selection", "validation") else "train"
        chosen = None if split == "validation" or file == "dev" else self._rows(split).fields["idx"].tolist()
        key = {
            "content": self.digest(file),
            **(self._added.identity(self._rows("train")) if file == "train" and self._adds_rows else {}),
            "rows": chosen,
            "tokenizer": self._splits.tokenizer_digest,
            **{name: self._setting(name) for name in ("task", "segment_ids", *_SHAPE_SETTINGS)},
        }
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """Return the settings and the digests of the content that determine the batches."""
        content = {split: self.digest(split) for split in self._needed("fit")}
        content |= self._added.contents() if self._adds_rows else {}
        settings = {name: self._setting(name) for name in _BATCH_SETTINGS}
        return {**settings, "content": content, "tokenizer": self._splits.tokenizer_digest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to continue a fit with other batches.

        Args:
            state_dict: The settings that the checkpoint was made with.

        Raises:
            StarkError: A setting differs.
        """
        # A checkpoint may be tested with other batches.
        if self.trainer is not None and self.trainer.state.fn != "fit":
            return
        for name in _BATCH_SETTINGS:
            # A setting that is missing in the checkpoint did not exist yet, which is the same as not being set.
            value = state_dict.get(name, False if isinstance(self._setting(name), bool) else None)
            if self._setting(name) != value:
                raise StarkError(
                    f"data.{name} is {self._setting(name)} but the checkpoint was made with {value}: "
                    f"resume with the same data.{name} or start a new run"
                )
        for split, content in state_dict["content"].items():
            if self.digest(split) != content:
                where = self._splits.place(split)
                if split == MASKED_LANGUAGE_MODEL:
                    where = f"data.masked_language_model is {self.masked_language_model}: it"
                raise StarkError(f"{where} is not what the checkpoint was made with; restore it or start a new run")
        # Checkpoints of earlier versions lack it.
        if state_dict.get("tokenizer", self._splits.tokenizer_digest) != self._splits.tokenizer_digest:
            raise StarkError(
                f"the tokenizer of {self.model_name_or_path} is not the one that the checkpoint was made with: restore "
                "it or start a new run"
            )

    @cached_property
    def _splits(self) -> TokenisedSplits:
        return TokenisedSplits(self)

    @cached_property
    def _added(self) -> AddedRows:
        return AddedRows(self, self._splits)

    @cached_property
    def _parts(self) -> dict[str, TokenColumns]:
        rows = self._splits.rows("train")
        cut = cut_train(rows.fields["labels"], self.task, self, rows.fields.get("group"))
        parts = {name: rows.select(chosen).without("group") for name, chosen in cut.items()}
        parts["train"] = limit_labels(parts["train"], self.task, self)
        if self._adds_rows:
            parts["train"] = self._added.added_to(parts["train"], parts.get("selection"), len(rows))
        return parts

    @property
    def _adds_rows(self) -> bool:
        """Whether there are rows in training that are not in train."""
        return self.use_unlabelled and self.adds_rows

    def _setting(self, name: str) -> Any:  # noqa: ANN401 - one of the settings
        return self.task.name if name == "task" else getattr(self, name)

    def _needed(self, stage: str | None) -> list[str]:
        """Return the splits to load for a stage."""
        if stage is None:
            return [split for split in self.task.splits if self.data_dir is None or self._splits.has(split)]
        if stage != "predict" and "train" not in self.task.splits:
            raise StarkError(f"task {self.task.name!r} has only a test split: models trained on mnli predict it")
        selection = "train" if self.selection == "train" else "dev"
        needed = [selection if name == "selection" else name for name in _NEEDED[stage]]
        if stage == "fit" and self._adds_rows:
            needed += self._added.reads()
        return list(dict.fromkeys(needed))

    def _rows(self, part: Literal["selection", "train"]) -> TokenColumns:
        """Return the rows of the selection part, or of train without it."""
        if part == "selection" and self.selection == "validation":
            return self._splits.rows("dev")
        return self._parts[part]

    def _form(self, rows: TokenColumns) -> FormBatches:
        """Return the function that forms the batches of an epoch of training."""
        if self.use_unlabelled and self.unlabelled_ratio is not None:
            is_labelled = self.task.problem.is_labelled(rows.fields["labels"])
            return partial(
                balanced_batches, rows.lengths, is_labelled, self.unlabelled_ratio, self.batch_size, seed=self.seed
            )
        if self.tokens_per_batch is None:
            return partial(length_grouped_batches, rows.lengths, self.batch_size, seed=self.seed)
        return partial(
            token_budget_batches,
            rows.lengths,
            self.tokens_per_batch,
            pad_to_multiple_of=self.pad_to_multiple_of,
            seed=self.seed,
        )

    def _processes(self) -> tuple[int, int]:
        """Return the number of processes and the number of this one."""
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def _evaluation_loader(self, rows: TokenColumns, purpose: str) -> LazyDataLoader:
        world_size, rank = self._processes()
        batch_size = shared_batch_size(len(rows), self.batch_size, world_size)
        sampler = EvaluationSampler(evaluation_batches(rows.lengths, batch_size), num_replicas=world_size, rank=rank)
        if not len(sampler) and len(rows):  # more processes than rows
            return self._loader(rows, purpose, sampler=EvaluationSampler(evaluation_batches([0], 1)), empty=True)
        return self._loader(rows, purpose, sampler=sampler, batch_size=batch_size)

    def _loader(self, rows: TokenColumns, purpose: str, *, empty: bool = False, **batching: Any) -> LazyDataLoader:  # noqa: ANN401 - passed on
        collator = PadCollator(
            self.tokenizer.pad_token_id, self.tokenizer.pad_token_type_id, self.pad_to_multiple_of, self.max_length
        )
        return LazyDataLoader(
            rows,
            # The rows of a batch are not a list here.
            collate_fn=NoRows(collator) if empty else collator,  # type: ignore[arg-type]
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            # Without a generator a loader draws its seed from the global random state. A resumed run makes another
            # number of loaders, so it would continue with other dropout masks.
            generator=seeded_generator("loader", purpose, self.seed),
            **batching,
        )
