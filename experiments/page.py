"""docs/results.md's tables, from the table of results."""

from __future__ import annotations

from pathlib import Path

from experiments.table import Table

__all__ = ["write_page"]


def write_page(table: Table, docs: Path) -> None:
    """Write it."""
