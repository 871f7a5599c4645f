"""Dataclasses as JSON and back, with the name and the type of each value checked."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

__all__ = ["WrongValueError", "plain", "typed"]

Kind = TypeVar("Kind")


class WrongValueError(ValueError):
    """A value that the class does not have, has not there, or has with another type."""


def plain(value: Any) -> Any:  # noqa: ANN401 - any part of a file
    """Turn a dataclass into values that JSON can hold.

    Args:
        value: A dataclass whose fields are dataclasses, lists, dictionaries, texts and numbers; or one of these.

    Returns:
        The same as dictionaries and lists. Fields with a default are left out where they are None.

    Examples:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Point:
        ...     x: float
        ...     name: str | None = None
        >>> plain([Point(1.5), Point(2.0, "b")])
        [{'x': 1.5}, {'x': 2.0, 'name': 'b'}]
    """
    if is_dataclass(value):
        known = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: plain(item) for field, item in known if item is not None or field.default is MISSING}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def typed(kind: type[Kind], value: Any, where: str = "") -> Kind:  # noqa: ANN401 - whatever a file contains
    """Turn values from JSON into a dataclass.

    Args:
        kind: The class, or the annotation of a part of it.
        value: What JSON holds.
        where: Place of the value in the file, for the message.

    Returns:
        The dataclass.

    Raises:
        WrongValueError: If a value is missing, unknown or of another type.

    Examples:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Point:
        ...     x: float
        >>> typed(Point, {"x": "far"})
        Traceback (most recent call last):
        pipeline.results.typed_json.WrongValueError: x is 'far'
    """
    origin, arguments = get_origin(kind), get_args(kind)
    found: Any = value
    if origin is types.UnionType:
        found = None if value is None else typed(arguments[0], value, where)  # each of them is X | None
    elif origin is list and isinstance(value, list):
        found = [typed(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        found = {key: typed(arguments[1], item, _inside(where, key)) for key, item in value.items()}
    elif is_dataclass(kind) and isinstance(value, dict):
        hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
        for name in sorted(value.keys() - known.keys()):
            raise WrongValueError(f"{_inside(where, name)} is unknown")
        for name, field in known.items():
            if name not in value and field.default is MISSING:
                raise WrongValueError(f"{_inside(where, name)} is missing")
        found = kind(**{name: typed(hints[name], item, _inside(where, name)) for name, item in value.items()})
    elif not _is_one(kind, value):
        raise WrongValueError(f"{where or 'it'} is {str(value)[:50]!r}")
    return found  # type: ignore[no-any-return]


def _inside(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _is_one(kind: type[Any], value: Any) -> bool:  # noqa: ANN401 - whatever a file contains
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return kind in (int, str) and type(value) is kind
