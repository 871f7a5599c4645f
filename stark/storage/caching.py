"""The folder of what is made once and can be made again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder(cache_dir: str | None = None) -> Path:
    """The folder of tokenised rows and measured latencies.

    Args:
        cache_dir: The folder, if the user named one.

    Returns:
        The argument, ``$STARK_CACHE`` or ``~/.cache/stark-lightning``.

    Examples:
        >>> cache_folder("/tmp/cache")
        PosixPath('/tmp/cache')
    """
    return Path(cache_dir or os.environ.get("STARK_CACHE") or "~/.cache/stark-lightning").expanduser()
