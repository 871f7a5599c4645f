"""Which files in a run's folders the run may remove when a stage starts again, and which are the user's."""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.run_folder import (
    ALTERNATIVES,
    BASELINE_SCORES,
    CHECKPOINTS,
    FIT_CONFIG,
    LOSS_WEIGHTS,
    METRICS,
    MODEL,
    OUTPUT_LOG,
    STAGE_CONFIG,
    STUDENT_SCORES,
    TEACHER_SCORES,
    earlier_metrics,
)
from stark.errors import StarkFileExistsError
from stark.storage import (
    CHECKSUMS_FILE,
    is_file,
    is_intact_folder,
    is_signed,
    is_temporary,
    matching_files,
    reading,
    remove_folder,
)

__all__ = ["EXPORT_CHECK", "check_own", "drop_own_checkpoints", "is_export", "remove_own"]

EXPORT_CHECK = "check.json"
"""File in an export's folder with the results of the export's check."""

# Files of Lightning's ModelCheckpoint, with the names that configs/trainer.yaml sets.
_CHECKPOINT = re.compile(r"(best|last)(-v\d+)?\.ckpt")
# Files that stages write, by subfolder of the stage's folder. Names are compared and not checksums, because damaged
# files are made again.
_OF_A_FIT = (
    *(STAGE_CONFIG, FIT_CONFIG, "hparams.yaml", METRICS, earlier_metrics("*"), OUTPUT_LOG, f"{OUTPUT_LOG}.running"),
    LOSS_WEIGHTS,
)
_OF_A_MODEL = (
    *("config.json", "generation_config.json", CHECKSUMS_FILE, "model.safetensors", "model-*-of-*.safetensors"),
    *("model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "*.model", "chat_template.jinja"),
)
_SCORES = (STUDENT_SCORES, TEACHER_SCORES, BASELINE_SCORES)
_OF_AN_ALTERNATIVE = ("*.safetensors", "vocabulary.json", "tokenizer.json", "max_length.txt", "fit.json")


def check_own(place: Path) -> list[Path]:
    """Check that everything in a place was made by `stark`, so that it may be removed.

    `stark` made the files with names that stages write, damaged or not, and an unchanged card or export of the model
    there. Everything else belongs to the user.

    Args:
        place: A folder or file of a stage; it need not exist.

    Returns:
        Cards and exports, which are removed together with the model that they were made from.

    Raises:
        StarkFileExistsError: If a file of the user is there.
        ReadError: If a file or folder cannot be read at the moment.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "metrics.csv").write_text("epoch")
        ...     assert check_own(Path(folder)) == []
        ...     _ = Path(folder, "notes.txt").write_text("Try a lower rate.")
        ...     check_own(Path(folder))
        Traceback (most recent call last):
        stark.errors.StarkFileExistsError: .../notes.txt was not written by this run, which would remove it: move it ...
    """
    if place.is_symlink():
        raise _error(place)
    others = [path for path in _entries(place) if not _is_stages(place, path)] if place.is_dir() else []
    for path in others:
        if path.is_symlink() or not (is_export(path) or is_signed(path)):
            raise _error(path)
    return others


def remove_own(place: Path) -> None:
    """Remove a place that a stage makes again, if no file of the user is there.

    Args:
        place: As in `check_own`.

    Raises:
        StarkFileExistsError: As in `check_own`; nothing is removed then.
    """
    check_own(place)
    remove_folder(place)


def drop_own_checkpoints(fit: Path) -> None:
    """Remove the checkpoints of a fit; other files in their folder are kept.

    Args:
        fit: The fit's folder.
    """
    folder = fit / CHECKPOINTS
    try:
        check_own(folder)
    except FileExistsError:
        if not folder.is_symlink():
            for path in matching_files(folder, "*.ckpt"):
                if _is_stages(folder, path):
                    path.unlink()
        return
    remove_folder(folder)


def _error(path: Path) -> FileExistsError:
    return StarkFileExistsError(
        f"{path} was not written by this run, which would remove it: move it elsewhere, or remove it yourself"
    )


def _entries(place: Path) -> Iterator[Path]:
    """Yield files and links below a folder, and exports as a whole; without temporary files of killed writes."""
    with reading(place), os.scandir(place) as listed:
        found = sorted(listed, key=lambda entry: entry.name)
    for entry in found:
        path = Path(entry.path)
        if is_temporary(path):
            continue
        if entry.is_dir(follow_symlinks=False) and not is_export(path):
            yield from _entries(path)
        else:
            yield path


def _is_stages(place: Path, path: Path) -> bool:
    """Whether a file below a stage's place has a name that stages write."""
    if path.is_symlink() or not is_file(path):
        return False
    parents, name = path.relative_to(place).parts[:-1], path.name
    if parents == (CHECKPOINTS,) or (place.name == CHECKPOINTS and not parents):
        return _CHECKPOINT.fullmatch(name) is not None
    if place.name == ALTERNATIVES and parents:
        return _fits(name, _OF_AN_ALTERNATIVE if len(parents) == 1 else _OF_A_MODEL)
    if parents == (MODEL,):
        return _fits(name, _OF_A_MODEL)
    return not parents and _fits(name, (*_OF_A_FIT, *_OF_A_MODEL, *_SCORES))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def is_export(folder: Path) -> bool:
    """Whether a folder is an export in which nothing was changed or added afterwards.

    Args:
        folder: The folder.
    """
    if not is_file(folder / EXPORT_CHECK) or not is_intact_folder(folder):
        return False
    try:
        check = json.loads((folder / EXPORT_CHECK).read_bytes())
    except ValueError:
        return False
    return isinstance(check, dict) and {"format", "rows", "score_before"} <= check.keys()
