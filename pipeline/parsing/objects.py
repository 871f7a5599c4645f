"""Creating objects from settings: a class path, or a class path with arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from jsonargparse import Namespace

from pipeline.parsing.errors import OneLineErrors

__all__ = ["build", "plain"]

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
    # A copy, because the parser changes lists of objects in place.
    value: Any = {"class_path": described} if isinstance(described, str) else plain(described)
    for part in reversed(key.split(".")):
        value = {part: value}
    built: Built = parser.instantiate_classes(parser.parse_object(value))[key]
    return built


def plain(described: Any) -> Any:  # noqa: ANN401 - anything that YAML can hold
    """A description of an object whose parts may be objects of the parser, as YAML and JSON can hold it: a copy.

    Args:
        described: A setting; the parser makes a namespace of each object inside of it, such as the losses of a sum.

    Returns:
        The same setting of dictionaries, lists and values.

    Examples:
        >>> plain({"init_args": {"losses": [Namespace(class_path="stark.DIST")]}})
        {'init_args': {'losses': [{'class_path': 'stark.DIST'}]}}
    """
    if isinstance(described, Namespace):
        described = vars(described)
    if isinstance(described, Mapping):
        return {name: plain(value) for name, value in described.items()}
    return [plain(value) for value in described] if isinstance(described, (list, tuple)) else described
