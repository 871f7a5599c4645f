"""Reading settings from YAML: plain values only, and no document that would take endless time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from stark.errors import StarkError
from stark.storage import TooMuchError, compose_yaml

__all__ = ["CONFIGS", "lines_of_keys", "load_yaml", "read_yaml_text"]

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
"""The YAML files that ship with the package."""

_plain_load = get_loader("yaml")


def read_yaml_text(path: Path) -> str:
    """Read a file of settings.

    Args:
        path: The file.

    Returns:
        The file's text.

    Raises:
        StarkError: If the file is not UTF-8.
        OSError: If it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise StarkError(f"{path}, line {line}: not UTF-8 ({error.reason}): is this the right file?") from error


def load_yaml(text: str) -> Any:  # noqa: ANN401 - anything that YAML can hold
    """Load a document or a single value as jsonargparse does, but refuse a document that would take endless time.

    An alias may refer to a value that contains it, or a few aliases may expand to millions of values.

    Args:
        text: The YAML.

    Returns:
        The value.

    Raises:
        yaml.YAMLError: If it is not YAML, has tags of Python objects, contains itself, or is nested too deeply.

    Examples:
        >>> load_yaml("{epochs: 3, layers: [1, 2]}")
        {'epochs': 3, 'layers': [1, 2]}
        >>> load_yaml("&a [*a]")
        Traceback (most recent call last):
        stark.storage.yaml_guard.TooMuchError: an alias (*) leads back into what it is part of, or values are nested ...
    """
    try:
        compose_yaml(text)
        return _plain_load(text)
    except yaml.YAMLError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # PyYAML's constructors raise these for values such as `!!int text`.
        raise TooMuchError(f"a value does not fit its tag ({error})") from error


def lines_of_keys(path: Path) -> dict[str, int]:
    """Return the line number of each key in a file of settings.

    Args:
        path: The file; `load_yaml` must accept it.

    Returns:
        Line numbers by full name of the key, such as ``student.sparsity``, or ``trainer.callbacks.0.class_path`` with
        numbers for items of lists. Empty if the file cannot be read.
    """
    try:
        return dict(_keys(yaml.compose(read_yaml_text(path), Loader=yaml.SafeLoader), ""))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}  # another error in the file is reported already


def _keys(node: yaml.Node | None, above: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _keys(item, f"{above}{number}.")
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield f"{above}{key.value}", key.start_mark.line + 1
                yield from _keys(value, f"{above}{key.value}.")
