"""Loading Hugging Face data sets, from the hub or from folders, with errors of one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stark.errors import StarkError, StarkFileNotFoundError
from stark.storage import ReadError, reading

__all__ = ["from_hub", "from_saved"]

_MOST_REASON = 300


def from_hub(name: str, config: str | None = None, split: str | None = None, *, instead: str) -> Any:  # noqa: ANN401 - datasets is not annotated
    """Load a data set of the hub, or of a folder that is laid out like a repository of the hub.

    Args:
        name: Id on the hub, or path of the folder.
        config: Name of its configuration; None for the only one, or the default one.
        split: Name of a split; None for all of them.
        instead: What the user can do if the hub does not answer, for the message.

    Returns:
        A ``datasets.Dataset``, or a ``datasets.DatasetDict`` of all splits.

    Raises:
        StarkFileNotFoundError: The hub does not answer and the data set is not in its cache, or it cannot be loaded.
    """
    import datasets  # imported here because it takes half a second and original files do not need it
    from datasets.exceptions import DatasetsError

    what = (f"{split} of " if split is not None else "") + (config or name)
    try:
        with reading(f"{name}/{config}" if config else name), _without_bars():
            return datasets.load_dataset(name, config, split=split)
    except ReadError:
        raise
    except (OSError, ValueError, DatasetsError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:_MOST_REASON]
        if Path(name).is_dir():
            raise StarkFileNotFoundError(f"{name}: cannot load {what} from this folder: {reason}") from error
        raise StarkFileNotFoundError(f"{name}: cannot load {what} from the hub ({instead}): {reason}") from error


def from_saved(path: Path) -> Any:  # noqa: ANN401 - datasets is not annotated
    """Load a data set, or several splits, that ``save_to_disk`` wrote.

    Args:
        path: The folder.

    Returns:
        A ``datasets.Dataset``, or a ``datasets.DatasetDict``, whose files are mapped into memory.

    Raises:
        StarkError: The folder is damaged, or is none that ``save_to_disk`` wrote.
    """
    import datasets

    try:
        with reading(path):
            return datasets.load_from_disk(str(path))
    except ReadError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:_MOST_REASON]
        raise StarkError(f"{path} is no data set of `save_to_disk`, or damaged: {reason}") from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Hide the progress bars of the library, which would disturb those of a command."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
