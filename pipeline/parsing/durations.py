"""Durations on the command line, such as 30min."""

from __future__ import annotations

import re

from stark.errors import StarkError

__all__ = ["seconds_of"]

_UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(h|min|s)")


def seconds_of(text: str) -> float:
    """Read a duration.

    Args:
        text: Numbers with units: h, min and s.

    Returns:
        Seconds.

    Raises:
        StarkError: If it is no duration.

    Examples:
        >>> seconds_of("30min"), seconds_of("1h 15min"), seconds_of("1.5 h")
        (1800.0, 4500.0, 5400.0)
    """
    found = _PART.findall(text)
    if not found or _PART.sub("", text).strip():
        raise StarkError(f"time is {text!r}: give a duration such as 30min, 1h15min or 90s")
    return sum(float(number) * _UNITS[unit] for number, unit in found)
