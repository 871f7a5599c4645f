"""The table of faults: for each kind, the numbers of injected and survived faults, and the lost bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Row:
    """Counts of one kind of fault."""

    injected: int = 0
    survived: int = 0
    lost: int = 0


@dataclass
class FaultTable:
    """Collects the results of the tests."""

    rows: dict[str, Row] = field(default_factory=dict)

    def record(self, kind: str, complaints: Sequence[str], lost: int = 0, faults: int = 1) -> None:
        """Add faults of a kind.

        Args:
            kind: Name of the row.
            complaints: Reasons why the faults were not survived; empty if they were.
            lost: Number of lost bytes.
            faults: Number of faults.
        """
        row = self.rows.setdefault(kind, Row())
        row.injected += faults
        row.survived += 0 if complaints else faults
        row.lost += lost

    def markdown(self) -> str:
        """The table, with a last line of sums."""
        total = Row(
            *(sum(getattr(row, name) for row in self.rows.values()) for name in ("injected", "survived", "lost"))
        )
        cells = [("fault", "injected", "survived", "bytes lost")]
        for kind, row in [*self.rows.items(), ("all", total)]:
            cells.append((kind, f"{row.injected:,}", f"{row.survived:,}", f"{row.lost:,}"))
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        lines = []
        for line in cells:
            padded = [
                line[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
            ]
            lines.append(f"| {' | '.join(padded)} |")
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]]) + "\n"
