"""How much room there is on a disk and in memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["free_disk", "free_memory", "gigabytes"]


def free_disk(folder: Path) -> int:
    """Bytes that can be written to a folder.

    Args:
        folder: The folder; it need not exist yet.

    Returns:
        The free bytes of its disk.

    Examples:
        >>> free_disk(Path("no/such/folder")) > 0
        True
    """
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    return shutil.disk_usage(existing).free


def free_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes of memory that can be used without swapping; limits of containers are not known to it.

    Args:
        meminfo: Linux' file with the sizes. Where it is missing, half of the machine's memory is taken for free.

    Returns:
        The bytes.

    Examples:
        >>> free_memory() > 0
        True
    """
    try:
        sizes = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    except FileNotFoundError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return int(sizes["MemAvailable"].split()[0]) * 1024


def gigabytes(size: float) -> str:
    """A size as text.

    Args:
        size: Number of bytes.

    Returns:
        Gigabytes, to two digits.

    Examples:
        >>> gigabytes(1_234_000_000)
        '1.2 GB'
    """
    return f"{size / 1e9:.2g} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"
