"""Checkpoint files: written whole or not at all, checked before they are believed, never unpickled freely."""

from __future__ import annotations

import logging
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO

from stark.errors import StarkFileNotFoundError
from stark.storage import DamagedError, ReadError, WriteError, is_file, matching_files, new_file, reading

__all__ = ["SafeCheckpointIO", "bring_home", "latest_checkpoint", "read_checkpoint", "val_scores", "write_checkpoint"]

_log = logging.getLogger(__name__)

# What Lightning and ClassificationModule write; anything else was not made by a fit of ours.
_KEYS = {"state_dict", "loops", "global_step", "pytorch-lightning_version", "classifier_config", "phase"}
# Names of files in the state of a ModelCheckpoint.
_TRACKED = ("best_model_path", "kth_best_model_path", "last_model_path")


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint atomically.

    Args:
        checkpoint: Plain values and tensors.
        path: The file; its folder is made.

    Raises:
        WriteError: If the disk is full or the like.
    """
    with new_file(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:  # torch closes its archive after a failed write, and complains about that
            reasons = (cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror)
            raise WriteError(path, next(reasons, str(error).splitlines()[0])) from error


def read_checkpoint(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint: only plain values and tensors, only if every byte is as it was written.

    Args:
        path: The file.
        mapped: Leave the tensors in the file until they are used, for a look at the rest.

    Returns:
        The checkpoint, on the CPU.

    Raises:
        StarkFileNotFoundError: If there is no such file.
        DamagedError: If it is no checkpoint of a fit, or damaged.
        ReadError: If it could not be read now.
    """
    if not is_file(path):
        raise StarkFileNotFoundError(f"{path}: no such checkpoint")
    try:
        with reading(path):
            with zipfile.ZipFile(path) as archive:  # torch itself does not look at the archive's checksums
                damaged = archive.testzip()
            if damaged is not None:
                raise DamagedError(f"{path} is damaged, in its part {damaged}: remove it, or resume from another one")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except ReadError:
        raise
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, EOFError, OSError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedError(
            f"{path} is no checkpoint, or damaged ({reason}): remove it, or resume from another one"
        ) from error
    if not isinstance(checkpoint, dict) or not checkpoint.keys() >= _KEYS:
        raise DamagedError(f"{path} is not a checkpoint of `stark fit`: resume from one of its own")
    return checkpoint


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with which an interrupted fit loses least; damaged ones are named and passed over.

    A kill between the writing of the best checkpoint and of the last one leaves the former as the newer. Each of them
    is complete, so either will do. One that counts on another file, for the best weights, needs that as well.

    Args:
        folder: The fit's ``checkpoints/``.

    Returns:
        Its path, or None if there is none to go on with.

    Raises:
        ReadError: If one of them could not be read now, so that it is not known which is the latest.
    """
    return _latest(folder)[0]


def val_scores(folder: Path) -> list[tuple[int, float]]:
    """What the validations of a fit gave so far, according to its latest checkpoint.

    Args:
        folder: The fit's ``checkpoints/``.

    Returns:
        The number of the epoch and ``val/score`` of each validation; empty without an intact checkpoint.

    Raises:
        ReadError: If a checkpoint could not be read now.
    """
    return [(epoch, score) for epoch, score in _latest(folder)[1].get("val_scores", [])]


def _latest(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """The path of the latest checkpoint and what it holds, its tensors left in the file: each file is read once."""
    found: dict[Path, dict[str, Any]] = {}
    for path in filter(is_file, matching_files(folder, "*.ckpt")):
        try:
            found[path] = read_checkpoint(path, mapped=True)
        except DamagedError as error:
            _log.warning("%s", error)
    intact = {path.name for path in found}
    usable = [path for path in found if set(_tracked_names(found[path])) <= intact]
    latest = max(usable, key=lambda path: _progress(path, found[path]), default=None)
    return latest, {} if latest is None else found[latest]


def _tracked_names(checkpoint: dict[str, Any]) -> list[str]:
    """Names of the files that hold the best weights so far, according to a checkpoint.

    A ModelCheckpoint without a monitor tracks ``last.ckpt``, which the next write replaces: nobody needs that one to go
    on from another checkpoint.
    """
    states = [state for key, state in checkpoint.get("callbacks", {}).items() if key.startswith("ModelCheckpoint")]
    return [
        Path(state["best_model_path"]).name for state in states if state.get("monitor") and state["best_model_path"]
    ]


def bring_home(state: dict[str, Any], folder: str) -> None:
    """Let the saved state of a ModelCheckpoint name files of this fit's folder, whatever folder it names.

    A run may have moved; and a checkpoint must not make anybody read, or remove, files elsewhere.

    Args:
        state: What ``ModelCheckpoint.state_dict`` gave; it is changed.
        folder: Where the callback keeps its checkpoints.
    """

    def here(path: str) -> str:
        return str(Path(folder) / Path(path).name) if path else path

    state["dirpath"] = folder
    state.update({name: here(state[name]) for name in _TRACKED if name in state})
    state["best_k_models"] = {here(path): score for path, score in state.get("best_k_models", {}).items()}


class SafeCheckpointIO(CheckpointIO):
    """Lets a Trainer write checkpoints atomically and read them only whole and without pickled code."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ANN401 - Lightning's signature
    ) -> None:
        """Write a checkpoint; see `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = None,  # noqa: ANN401 - Lightning's signature
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint; see `read_checkpoint`. Whatever is asked, nothing is unpickled freely."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint that a better one has replaced."""
        Path(path).unlink(missing_ok=True)


def _progress(path: Path, checkpoint: dict[str, Any]) -> tuple[int, int, bool]:
    validated = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]["total"]["completed"]
    return checkpoint["global_step"], validated, path.name == "last.ckpt"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
