"""Checkpoint files: written atomically, verified when they are read, and loaded without unpickling arbitrary code."""

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

# Keys that Lightning and ClassificationModule write; a file without them is not from one of our fits.
_KEYS = {"state_dict", "loops", "global_step", "pytorch-lightning_version", "classifier_config", "phase"}
# Keys of file names in the state of a ModelCheckpoint.
_TRACKED = ("best_model_path", "kth_best_model_path", "last_model_path")


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint atomically.

    Args:
        checkpoint: Plain values and tensors.
        path: The file; its folder is created.

    Raises:
        WriteError: If the file cannot be written, for example because the disk is full.
    """
    with new_file(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:  # torch closes its archive after a failed write, which raises this second error
            reasons = (cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror)
            raise WriteError(path, next(reasons, str(error).splitlines()[0])) from error


def read_checkpoint(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint: plain values and tensors only, and only if its checksums are right.

    Args:
        path: The file.
        mapped: Whether tensors are memory-mapped, so that reading the other values is fast.

    Returns:
        The checkpoint, on the CPU.

    Raises:
        StarkFileNotFoundError: If there is no such file.
        DamagedError: If it is not a checkpoint of a fit, or is damaged.
        ReadError: If it cannot be read at the moment.
    """
    if not is_file(path):
        raise StarkFileNotFoundError(f"{path}: no such checkpoint")
    try:
        with reading(path):
            with zipfile.ZipFile(path) as archive:  # torch does not verify the archive's checksums
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
        raise DamagedError(f"{path} is not a checkpoint of `stark fit`: resume from one that it wrote")
    return checkpoint


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint from which an interrupted fit loses least; damaged ones are logged and skipped.

    After a kill between the writes of the best and the last checkpoint, the best one is the newer. Each of them is
    complete, so the fit can resume from either. A checkpoint that refers to another file for the best weights is only
    used if that file is intact as well.

    Args:
        folder: The fit's ``checkpoints/``.

    Returns:
        The checkpoint's path, or None if the fit cannot be resumed.

    Raises:
        ReadError: If one of them cannot be read at the moment, so that the latest one is not known.
    """
    return _latest(folder)[0]


def val_scores(folder: Path) -> list[tuple[int, float]]:
    """Return the scores of a fit's validations so far, from its latest checkpoint.

    Args:
        folder: The fit's ``checkpoints/``.

    Returns:
        The epoch number and ``val/score`` of each validation; empty without an intact checkpoint.

    Raises:
        ReadError: If a checkpoint cannot be read at the moment.
    """
    return [(epoch, score) for epoch, score in _latest(folder)[1].get("val_scores", [])]


def _latest(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """The path and the content of the latest checkpoint, tensors memory-mapped; each file is read once."""
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

    ``last.ckpt``, which a ModelCheckpoint without a monitor tracks, is not among them: the next write replaces it, and
    resuming from another checkpoint does not need it.
    """
    states = [state for key, state in checkpoint.get("callbacks", {}).items() if key.startswith("ModelCheckpoint")]
    return [
        Path(state["best_model_path"]).name for state in states if state.get("monitor") and state["best_model_path"]
    ]


def bring_home(state: dict[str, Any], folder: str) -> None:
    """Replace the folders in a ModelCheckpoint's saved state by this fit's folder.

    The run may have been moved, and a checkpoint must not cause files elsewhere to be read or removed.

    Args:
        state: Result of ``ModelCheckpoint.state_dict``; it is changed.
        folder: Folder of the callback's checkpoints.
    """

    def here(path: str) -> str:
        return str(Path(folder) / Path(path).name) if path else path

    state["dirpath"] = folder
    state.update({name: here(state[name]) for name in _TRACKED if name in state})
    state["best_k_models"] = {here(path): score for path, score in state.get("best_k_models", {}).items()}


class SafeCheckpointIO(CheckpointIO):
    """Makes a Trainer write checkpoints atomically, and read them with verification and without pickled code."""

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
        """Read a checkpoint; see `read_checkpoint`. No arbitrary code is unpickled, even if the arguments allow it."""
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
