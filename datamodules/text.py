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
from datamodules.changes.changed import changed_rows
from datamodules.checks import warn_of_doubts
from datamodules.parts import add_unlabelled, cut_train, limit_labels, mean_answers, seed_of_rows
from datamodules.settings import DataSettings
from datamodules.sources.answers import ANSWERS, read_answers
from datamodules.sources.opening import open_source
from datamodules.sources.source import Rows, Source
from datamodules.sources.unlabelled import UnlabelledSource
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.tokenization import load_tokenizer, tokenize_rows, tokenize_split, tokenizer_digest
from stark.errors import StarkError
from stark.telling import warn_once

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
# Number of characters of a text that a message shows.
_MOST_SHOWN = 100
# With more rows without a label per row with one, changed rows add nothing.
_ENOUGH = 3
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
    ``seed`` alone: first ``train_limit`` rows are chosen from train, then the selection part from those, then the
    remaining rows that keep their labels. With ``use_unlabelled`` the rows without labels are added at the end; their
    row numbers follow those of train's file.

    Batches have ``input_ids``, ``attention_mask``, ``token_type_ids`` (if the tokenizer has them), ``labels`` (int64,
    or float32 for regression; not in test) and ``idx`` (row number in the split's file; in test the file's own index).

    Examples:
        >>> data = TextDataModule("mrpc", "datasets", "some-model")
        >>> data.label_names, data.metrics
        (['not_equivalent', 'equivalent'], ['accuracy', 'f1'])
    """

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer, loaded at first use."""
        return load_tokenizer(self.model_name_or_path)

    @cached_property
    def _tokenizer_digest(self) -> str:
        return tokenizer_digest(self.tokenizer)

    @property
    def is_pair(self) -> bool:
        """Whether a row has two texts."""
        return self.task.is_pair

    def prepare_data(self) -> None:
        """Tokenise the splits that the trainer's function needs (without a trainer all that exist) into the cache."""
        for split in self._needed(self.trainer.state.fn if self.trainer is not None else None):
            self._split(split)

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage from the cache."""
        # An attribute of Lightning, for data without any row; otherwise each process has a batch.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        for split in self._needed(stage):
            self._split(split)

    def train_dataloader(self) -> LazyDataLoader:
        """Return batches of train without the selection part; ``batch_sampler.set_epoch`` sets their order."""
        rows = self._rows("train")
        world_size, rank = self._processes()
        if rank == 0:
            warn_of_doubts(
                self.task, {"train": rows, "the selection part": self._rows("selection")}, self._splits, self.max_length
            )
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
        rows = self._split("dev")
        if self._processes()[1] == 0:
            warn_of_doubts(self.task, {}, self._splits, self.max_length)
        return self._evaluation_loader(rows, "test")

    def predict_dataloader(self) -> LazyDataLoader:
        """Return this process's batches of GLUE's unlabelled test split."""
        return self._evaluation_loader(self._split("test"), "predict")

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
        rows = self._split("dev") if split == "validation" else self._rows(split)
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
        rows, values = read_answers(files, self.task)
        if self.changed_rows is not None:
            raise StarkError("data.changed_rows make rows that no file has answers for: leave them out")
        if rows.digest != self.expected_content.get(ANSWERS, rows.digest):
            raise StarkError(f"{', '.join(files)}: changed while the run was working: give the same command again")
        answered = TokenColumns.from_tensors(tokenize_rows(rows, self.tokenizer, self.max_length, self.segment_ids))
        train = self._rows("train")
        means, lacking = mean_answers(train, answered, torch.tensor(values))
        if lacking:
            first = self.tokenizer.decode(train[lacking[0]]["input_ids"], skip_special_tokens=True)[:_MOST_SHOWN]
            raise StarkError(
                f"{', '.join(files)}: no answer for {len(lacking):,} of {len(train):,} rows, such as {first!r}"
            )
        return train.fields["idx"], means

    def labelled_texts(self, part: Literal["train", "selection", "dev"]) -> Rows:
        """Return the texts and labels of a part's rows, without those that have no label, in the file's order.

        Args:
            part: Train without the selection part, the selection part, or GLUE's dev split.

        Raises:
            StarkError: The file has changed since the rows were loaded.
        """
        tokens = self._split("dev") if part == "dev" else self._rows(part)
        split = "train" if part == "train" or (part == "selection" and self.selection == "train") else "dev"
        read = self._source.rows(split)
        if read.digest != self.digest(split):
            raise StarkError(f"the {split} split of task {self.task.name!r} changed: give the same command again")
        labels = tokens.fields["labels"]
        chosen = tokens.fields["idx"][self.task.problem.is_labelled(labels)].sort().values.tolist()
        known = read.labels or []
        return Rows(
            [read.text_a[row] for row in chosen],
            None if read.text_b is None else [read.text_b[row] for row in chosen],
            [known[row] for row in chosen],
            chosen,
            read.digest,
        )

    def digest(self, split: str) -> str:
        """Return a digest of a split's content, independent of its path; for a loaded split of the loaded content.

        Args:
            split: "train", "dev" or "test"; "unlabelled" for the files of rows without labels.

        Raises:
            StarkFileNotFoundError: There is no such split.
        """
        if split not in self._digests:
            self._digests[split] = self._source_of(split).digest(split)
        return self._digests[split]

    def contents(self) -> dict[str, str]:
        """Return the digests of all content that trainings and their choices may read."""
        more = self._read_for_more() if self.unlabelled_files or self.changed_rows is not None else []
        return {split: self.digest(split) for split in dict.fromkeys(["train", "dev", *more])}

    def fingerprint(self, split: Literal["selection", "validation", "train"]) -> str:
        """Return a hash of the batches of `scoring_dataloader`: the rows, their tokens and their grouping.

        Args:
            split: The selection part, GLUE's dev ("validation") or train without the selection part.
        """
        file = "dev" if split == "validation" or (split, self.selection) == ("selection", "validation") else "train"
        chosen = None if split == "validation" or file == "dev" else self._rows(split).fields["idx"].tolist()
        key = {
            "content": self.digest(file),
            **(self._added() if file == "train" and self._adds_rows else {}),
            "rows": chosen,
            "tokenizer": self._tokenizer_digest,
            **{name: self._setting(name) for name in ("task", "segment_ids", *_SHAPE_SETTINGS)},
        }
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()

    def _added(self) -> dict[str, Any]:
        """Return what decides about the rows that are added to those of train, for `fingerprint`."""
        files = {"unlabelled": self.digest("unlabelled")} if self.unlabelled_files else {}
        changed = (
            {} if self.changed_rows is None else {"changed": [self.changed_rows, self.changes, seed_of_rows(self)]}
        )
        return {**files, **changed}

    def state_dict(self) -> dict[str, Any]:
        """Return the settings and the digests of the content that determine the batches."""
        content = {split: self.digest(split) for split in self._needed("fit")}
        settings = {name: self._setting(name) for name in _BATCH_SETTINGS}
        return {**settings, "content": content, "tokenizer": self._tokenizer_digest}

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
                raise StarkError(
                    f"data.data_dir is {self.data_dir}: its {split} split is not what the checkpoint was made with; "
                    "restore it or start a new run"
                )
        # Checkpoints of earlier versions lack it.
        if state_dict.get("tokenizer", self._tokenizer_digest) != self._tokenizer_digest:
            raise StarkError(
                f"the tokenizer of {self.model_name_or_path} is not the one that the checkpoint was made with: restore "
                "it or start a new run"
            )

    # Everything that has been read so far.
    @cached_property
    def _splits(self) -> dict[str, TokenColumns]:
        return {}

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {}

    @cached_property
    def _parts(self) -> dict[str, TokenColumns]:
        return {}

    @cached_property
    def _source(self) -> Source:
        return open_source(self.task, self.data_dir)

    def _source_of(self, split: str) -> Source:
        return UnlabelledSource(self.task, self.unlabelled_files) if split == "unlabelled" else self._source

    @property
    def _adds_rows(self) -> bool:
        """Whether there are rows in training that are not in train."""
        return self.use_unlabelled and (bool(self.unlabelled_files) or self.changed_rows is not None)

    def _setting(self, name: str) -> str | int | float | None:
        value: str | int | float | None = self.task.name if name == "task" else getattr(self, name)
        return value

    def _needed(self, stage: str | None) -> list[str]:
        """Return the splits to load for a stage."""
        if stage is None:
            return [split for split in self.task.splits if self.data_dir is None or self._has(split)]
        if stage != "predict" and "train" not in self.task.splits:
            raise StarkError(f"task {self.task.name!r} has only a test split: models trained on mnli predict it")
        selection = "train" if self.selection == "train" else "dev"
        needed = [selection if name == "selection" else name for name in _NEEDED[stage]]
        if stage == "fit" and self._adds_rows:
            needed += self._read_for_more()
        return list(dict.fromkeys(needed))

    def _read_for_more(self) -> list[str]:
        """Return the splits that decide which rows are added to those of train."""
        return [*self._held_out(), *(["unlabelled"] if self.unlabelled_files else [])]

    def _held_out(self) -> list[str]:
        """Return the splits whose rows must not be trained on."""
        return [split for split in ("dev", "test") if split in self.task.splits and self._has(split)]

    def _has(self, split: str) -> bool:
        try:
            self._source.digest(split)
        except FileNotFoundError:
            return False
        return True

    def _split(self, split: str) -> TokenColumns:
        """Return a tokenised split, complete and in the file's order."""
        if split not in self._splits:
            rows, content = tokenize_split(
                self._source_of(split),
                self.task,
                split,
                self.tokenizer,
                max_length=self.max_length,
                segment_ids=self.segment_ids,
                cache_dir=self.cache_dir,
            )
            if content != self.expected_content.get(split, self._digests.get(split, content)):
                place = "" if self.data_dir is None else f" in {self.data_dir}"
                raise StarkError(
                    f"the {split} split of task {self.task.name!r}{place} changed while the run was working: nothing "
                    "was computed from the changed rows; give the same command again to use the rows as they are now"
                )
            self._splits[split], self._digests[split] = rows, content
        return self._splits[split]

    def _rows(self, part: Literal["selection", "train"]) -> TokenColumns:
        """Return the rows of the selection part, or of train without it."""
        if part == "selection" and self.selection == "validation":
            return self._split("dev")
        if not self._parts:
            rows = self._split("train")
            parts = {
                name: rows.select(chosen) for name, chosen in cut_train(rows.fields["labels"], self.task, self).items()
            }
            parts["train"] = limit_labels(parts["train"], self.task, self)
            if self._adds_rows:
                parts["train"] = self._with_more(parts["train"], parts.get("selection"), len(rows))
            self._parts = parts
        return self._parts[part]

    def _with_more(self, train: TokenColumns, selection: TokenColumns | None, first: int) -> TokenColumns:
        """Return the rows to train on with those of other files and changed ones, which are numbered from ``first``."""
        held_out = {name: self._split(name) for name in self._held_out()}
        if selection is not None:
            held_out["the selection part"] = selection
        if self.unlabelled_files:
            more = self._split("unlabelled")
            train, first = add_unlabelled(train, more, held_out, self.task, first), first + len(more)
        if self.changed_rows is None:
            return train
        labelled = int(self.task.problem.is_labelled(train.fields["labels"]).sum())
        if len(train) - labelled > _ENOUGH * labelled:
            warn_once(
                f"task {self.task.name!r}: no row is changed, because there are {len(train) - labelled:,} rows without "
                f"a label for {labelled:,} with one"
            )
            return train
        number, seed = round(self.changed_rows * len(train)), seed_of_rows(self)
        changed = changed_rows(train, number, self.changes or ["swap"], self.tokenizer, self.max_length, seed)
        return add_unlabelled(train, changed, held_out, self.task, first, "changed rows")

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
