"""The tokenised splits of a task, each of which is read once and then known by its content."""

from __future__ import annotations

from functools import cached_property

from transformers import PreTrainedTokenizerFast

from datamodules.settings import DataSettings
from datamodules.sources.opening import open_source
from datamodules.sources.source import Rows, Source
from datamodules.sources.unlabelled import UnlabelledSource
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.tokenization import load_tokenizer, tokenize_split, tokenizer_digest
from datamodules.tokens.truncation import Truncation
from stark.errors import StarkError
from stark.telling import warn_once

__all__ = ["TokenisedSplits"]


class TokenisedSplits:
    """Reads the splits of a task: train, dev and test, and "unlabelled", the rows of the files without labels.

    Args:
        settings: Settings of the data module.

    Attributes:
        read: The splits that have been read so far, complete and in the file's order.
    """

    def __init__(self, settings: DataSettings) -> None:
        """Store the settings; nothing is read yet."""
        self.read: dict[str, TokenColumns] = {}
        self._settings = settings
        self._digests: dict[str, str] = {}

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer, loaded at first use."""
        return load_tokenizer(self._settings.model_name_or_path)

    @cached_property
    def tokenizer_digest(self) -> str:
        """A hash of the tokenizer."""
        return tokenizer_digest(self.tokenizer)

    def has(self, split: str) -> bool:
        """Whether there is such a split.

        Args:
            split: "train", "dev" or "test".
        """
        try:
            self._source.digest(split)
        except FileNotFoundError:
            return False
        return True

    def digest(self, split: str) -> str:
        """Return a digest of a split's content, independent of its path; of the content that was read, if it was.

        Args:
            split: Name of the split.

        Raises:
            StarkFileNotFoundError: There is no such split.
        """
        if split not in self._digests:
            self._digests[split] = self._source_of(split).digest(split)
        return self._digests[split]

    def rows(self, split: str) -> TokenColumns:
        """Return a split, from the cache of tokenised splits if it is there, and tell once how many rows are cut.

        Args:
            split: Name of the split.

        Raises:
            StarkFileNotFoundError: There is no such split.
            StarkError: A row cannot be read, or the content is not what is expected.
        """
        if split not in self.read:
            settings = self._settings
            rows, content = tokenize_split(
                self._source_of(split),
                settings.task,
                split,
                self.tokenizer,
                max_length=settings.max_length,
                segment_ids=settings.segment_ids,
                cache_dir=settings.cache_dir,
            )
            if content != settings.expected_content.get(split, self._digests.get(split, content)):
                raise StarkError(
                    f"{self.place(split)} changed while the run was working: nothing was computed from the changed "
                    "rows; give the same command again to use the rows as they are now"
                )
            self.read[split], self._digests[split] = rows, content
            if (found := Truncation.of(rows)).cut:
                warn_once(
                    f"task {settings.task.name!r}, {split}: {found.told(settings.max_length)}: train with a larger "
                    "--data.max_length, up to the encoder's positions, or classify with predict-file --windows"
                )
        return self.read[split]

    def texts(self, split: str) -> Rows:
        """Read the texts of a split, and its labels if it has some.

        Args:
            split: Name of the split.

        Raises:
            StarkError: The content is no longer that of the tokenised rows.
        """
        read = self._source_of(split).rows(split)
        if read.digest != self.digest(split):
            raise StarkError(f"{self.place(split)} changed: give the same command again")
        return read

    def place(self, split: str) -> str:
        """What a split is and where it is read from, for messages.

        Args:
            split: Name of the split.
        """
        if split == "unlabelled":
            return f"what is in {', '.join(str(path) for path, _ in self._settings.unlabelled_files)}"
        where = "" if self._settings.data_dir is None else f" in {self._settings.data_dir}"
        return f"the {split} split of task {self._settings.task.name!r}{where}"

    @cached_property
    def _source(self) -> Source:
        return open_source(self._settings.task, self._settings.data_dir)

    def _source_of(self, split: str) -> Source:
        if split == "unlabelled":
            return UnlabelledSource(self._settings.task, self._settings.unlabelled_files)
        return self._source
