"""Names that a package offers and imports only when they are asked for: torch and its kin take seconds to import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

__all__ = ["lazy_names"]


def lazy_names(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make what looks names of a package up when they are asked for, so that a module of it costs only its own imports.

    The package writes its imports as ever, but under ``if TYPE_CHECKING:``, where type checkers, editors and the
    documentation find them. They are read from there, so that no name is written down once more.

    Args:
        package: Its ``__name__``.

    Returns:
        Its ``__getattr__`` and ``__dir__``.
    """

    def find(name: str) -> object:
        module = _origins(package).get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(module), name)
        setattr(sys.modules[package], name, found)  # not asked again
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *_origins(package)})

    return find, names


@cache
def _origins(package: str) -> dict[str, str]:
    """The modules that names come from, by the imports that only type checkers see."""
    source = Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8")
    return {
        alias.name: str(statement.module)
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
