"""Objects that settings describe: a class path, or a class path with its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pipeline.parsing.errors import OneLineErrors

__all__ = ["build"]

Built = TypeVar("Built")


def build(kind: type[Built], key: str, described: str | Mapping[str, Any]) -> Built:
    """Build what a setting describes.

    Args:
        kind: The class of which it must be.
        key: Name of the setting, for messages.
        described: Class path, or its ``class_path`` and ``init_args``.

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
