"""The values that a sweep tries for a setting: a range of numbers, or a list."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stark.errors import StarkError

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["Choices", "Range", "Values", "read_values"]

_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Range:
    """Numbers from a range; integers if both ends are.

    Args:
        low: Smallest value.
        high: Largest value.
        log: Whether the logarithm is spread evenly, so that each factor of ten is tried as often.
        step: Distance of neighbouring values; None for any number, and 1 for integers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def examples(self) -> tuple[Any, ...]:
        """The ends, which are outside of what is allowed if any value is."""
        return (self.low, self.high)

    def suggest(self, trial: BaseTrial, name: str) -> Any:  # noqa: ANN401 - an integer or a float
        """The value of a trial; the sampler chooses it if the trial has none yet.

        Args:
            trial: A trial of Optuna, running or finished.
            name: Full name of the setting.
        """
        if self.is_whole:
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


@dataclass(frozen=True)
class Choices:
    """Any values, such as class paths; Optuna knows them by their text, because it takes no mappings.

    Args:
        values: The values.
    """

    values: tuple[Any, ...]

    @property
    def examples(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values

    def suggest(self, trial: BaseTrial, name: str) -> Any:  # noqa: ANN401 - any value of YAML
        """As for `Range`.

        Args:
            trial: A trial of Optuna, running or finished.
            name: Full name of the setting.
        """
        texts = [json.dumps(value) for value in self.values]
        return self.values[texts.index(trial.suggest_categorical(name, texts))]


Values = Range | Choices


def read_values(given: Any) -> Values:  # noqa: ANN401 - whatever a file contains
    """Read the values that a sweep tries for a setting.

    Args:
        given: A mapping with ``low``, ``high`` and perhaps ``log`` or ``step``, or a list.

    Returns:
        The values.

    Raises:
        StarkError: If it is neither, or no such range.

    Examples:
        >>> read_values({"low": 2, "high": 8})
        Range(low=2, high=8, log=False, step=None)
        >>> read_values(["stark.Expressiveness", "stark.Fisher"])
        Choices(values=('stark.Expressiveness', 'stark.Fisher'))
    """
    if isinstance(given, list):
        texts = [json.dumps(value, default=str) for value in given]
        if len(set(texts)) < max(len(texts), 2):
            raise StarkError(f"{given}: give at least two values, each once")
        return Choices(tuple(given))
    if not isinstance(given, dict) or not {"low", "high"} <= given.keys():
        raise StarkError(f"{given!r}: give a list of values, or a range such as {{low: 0.5, high: 0.9}}")
    if unknown := sorted(str(key) for key in given if key not in _KEYS):
        raise StarkError(f"unknown key {unknown[0]!r}: choose out of {', '.join(_KEYS)}")
    found = Range(**given)
    numbers = [found.low, found.high, *([] if found.step is None else [found.step])]
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise StarkError(f"{given}: low, high and step are numbers")
    if not isinstance(found.log, bool):
        raise StarkError(f"log is {found.log!r}: give true or false")
    if not found.low < found.high < float("inf"):
        raise StarkError(f"low is {found.low} and high {found.high}: low must be the smaller one")
    if found.log and (found.low <= 0 or found.step is not None):
        raise StarkError("a range with log needs a low above 0 and has no step")
    if found.step is not None and (found.step <= 0 or (found.is_whole and not isinstance(found.step, int))):
        raise StarkError(f"step is {found.step}: give a number above 0, for integers an integer")
    return found
