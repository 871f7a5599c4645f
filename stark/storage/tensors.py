"""Safetensors files that contain their checksum and notes, such as what they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stark.storage.files import WriteError, new_file
from stark.storage.reading import DamagedError, ReadError, is_file, reading

__all__ = ["hash_tensors", "read_tensors", "write_tensors"]

# A single metadata entry, because safetensors writes several entries in an order that changes from run to run.
_NOTES = "stark"


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Identify named tensors by their content.

    Args:
        tensors: Tensors of any shape, type and device.

    Returns:
        SHA-256 over names, shapes, types and values in the order of the names, hexadecimal.

    Examples:
        >>> one = {"a": torch.zeros(2), "b": torch.ones(1)}
        >>> hash_tensors(one) == hash_tensors({"b": torch.ones(1), "a": torch.zeros(2)})
        True
        >>> hash_tensors(one) == hash_tensors({**one, "a": torch.zeros(1, 2)})
        False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], **notes: str) -> None:
    """Write a safetensors file atomically, with a checksum of its content.

    Args:
        path: The file; its folder is created.
        tensors: Tensors to write.
        notes: Texts that are stored with them, such as what the tensors belong to.

    Raises:
        WriteError: If the file cannot be written, for example on a full disk.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with new_file(path) as temporary:
        try:
            save_file(stored, temporary, metadata={_NOTES: json.dumps({"sha256": _checksum(stored, notes), **notes})})
        except SafetensorError as error:
            raise WriteError(path, str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote.

    Args:
        path: The file.

    Returns:
        The tensors, and the notes.

    Raises:
        DamagedError: If the file is missing, has another format, or is damaged.
        ReadError: If the file could not be read now.
    """
    try:
        # Opened here as well, because safetensors reports every file that it cannot open as missing.
        with reading(path), path.open("rb"), safe_open(path, framework="pt") as file:
            notes = dict(json.loads((file.metadata() or {}).get(_NOTES, "{}")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except ReadError:
        raise
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        if isinstance(error, FileNotFoundError) and error.errno is None and is_file(path):
            raise ReadError(path, "it could not be opened") from error
        raise DamagedError(f"{path} cannot be read: {error}; make it again") from error
    if notes.pop("sha256", None) != _checksum(tensors, notes):
        raise DamagedError(f"{path} is damaged: its content does not have its checksum; make it again")
    return tensors, notes


def _checksum(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    return hashlib.sha256(f"{hash_tensors(tensors)} {sorted(notes.items())}".encode()).hexdigest()
