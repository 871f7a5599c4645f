"""Names of a package that are imported at their first use, because torch and similar libraries import slowly."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

__all__ = ["lazy_names"]


def lazy_names(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Let a package import its names at their first use, so that importing one module costs only that module's imports.

    The package writes its imports as usual, but under ``if TYPE_CHECKING:``, where type checkers, editors and the
    documentation find them. This function reads them from there, so that no name has to be written twice.

    Args:
        package: The package's ``__name__``.

    Returns:
        The package's ``__getattr__`` and ``__dir__``.
    """

    def find(name: str) -> object:
        module = _origins(package).get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(module), name)
        setattr(sys.modules[package], name, found)  # no look-up next time
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *_origins(package)})

    return find, names


@cache
def _origins(package: str) -> dict[str, str]:
    """The module of each name, from the imports under ``if TYPE_CHECKING:``."""
    source = Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8")
    return {
        alias.name: str(statement.module)
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
