"""`make bench`: runs all benchmarks that need no GPU one after the other; prints all ratios as lines and as a table."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.measuring import header, python_environment

__all__ = ["main", "table"]

_ALL = ("distillation_step", "scoring", "run", "latency", "startup")
_THREADS = 2


def table(lines: list[str]) -> str:
    """Ratio lines as a table in Markdown.

    Args:
        lines: Lines that `ratio_line` returned.

    Returns:
        The table.

    Examples:
        >>> print(table(["scoring/rte ratio 3.00 [2.00-10.00]"]))
        | measured | ratio | lowest and highest |
        |---|---:|---|
        | scoring/rte | 3.00 | 2.00-10.00 |
    """
    rows = ["| measured | ratio | lowest and highest |", "|---|---:|---|"]
    for line in lines:
        name, _, median, spread = line.split()
        rows.append(f"| {name} | {median} | {spread.strip('[]')} |")
    return "\n".join(rows)


def main() -> None:
    """Run all benchmarks; if one fails, the others still run, and the command fails at the end."""
    lines, failed = [], []
    for name in sys.argv[1:] or _ALL:
        print(f"\n== {name}: load average {os.getloadavg()[0]:.2f} ==", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=python_environment(_THREADS)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                if " ratio " in line:
                    lines.append(line.strip())
        if process.returncode:
            failed.append(name)
    print(f"\n== all ==\n{header(_THREADS)}\n")
    print("\n".join(lines))
    print(f"\n{table(lines)}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
