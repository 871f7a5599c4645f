"""A split of a Hugging Face data set, as a description names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DatasetSplit", "is_hub_id"]

_WORD = r"[A-Za-z0-9][\w.-]*"
_HUB_ID = re.compile(rf"({_WORD}/)?{_WORD}")


@dataclass(frozen=True)
class DatasetSplit:
    """A split of a Hugging Face data set.

    Attributes:
        dataset: Path of the data set's folder, or its id on the hub.
        config: Name of its configuration; None for the only one, or the default one.
        split: Name of the split.
    """

    dataset: str
    config: str | None
    split: str

    @property
    def path(self) -> Path:
        """A path for messages.

        Examples:
            >>> DatasetSplit("SetFit/subj", None, "train").path.as_posix()
            'SetFit/subj/train'
        """
        return Path(self.dataset) / self.split


def is_hub_id(name: str) -> bool:
    """Whether a name can be that of a data set on the hub.

    Args:
        name: The name.

    Examples:
        >>> [is_hub_id(name) for name in ("SetFit/subj", "imdb", "./rows", "a/b/c", "~/rows")]
        [True, True, False, False, False]
    """
    return _HUB_ID.fullmatch(name) is not None
