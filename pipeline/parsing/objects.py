"""Creating objects from settings: a class path, or a class path with arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pipeline.parsing.errors import OneLineErrors

__all__ = ["build"]

Built = TypeVar("Built")


def build(kind: type[Built], key: str, described: str | Mapping[str, Any]) -> Built:
    """Create the object that a setting describes.

    Args:
        kind: Required class of the object.
        key: Name of the setting, for messages.
        described: A class path, or a mapping with ``class_path`` and ``init_args``.

    Returns:
        The object.

    Raises:
        SystemExit: With status 2 if there is no such class, or its arguments are wrong.

    Examples:
        >>> from stark import Score
        >>> build(Score, "teacher.score", {"class_path": "stark.Random", "init_args": {"seed": 3}})
        Random(seed=3)
    """
    parser = OneLineErrors(prog="stark run")
    parser.add_argument(f"--{key}", type=kind, required=True)
    value: Any = {"class_path": described} if isinstance(described, str) else dict(described)
    for part in reversed(key.split(".")):
        value = {part: value}
    built: Built = parser.instantiate_classes(parser.parse_object(value))[key]
    return built
