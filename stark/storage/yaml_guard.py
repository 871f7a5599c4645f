"""Parsing YAML, but not documents that keep a program busy for ever: their aliases multiply or lead back."""

from __future__ import annotations

import yaml

__all__ = ["TooMuchError", "compose_yaml"]

_MOST_LEVELS = 50
_MOST_NODES = 100_000


class TooMuchError(yaml.YAMLError):
    """A document that is well-formed, but of no use as settings."""


def compose_yaml(text: str, loader: type[yaml.SafeLoader | yaml.BaseLoader] = yaml.SafeLoader) -> yaml.Node | None:
    """Parse a document into its nodes, none of which is converted into a value yet.

    Args:
        text: The YAML.
        loader: PyYAML's loader, which decides on the tags of values that have none.

    Returns:
        The document's node; None if there is none.

    Raises:
        yaml.YAMLError: If it is no YAML, leads back into itself, is nested too deeply or stands for too many values.

    Examples:
        >>> compose_yaml("{epochs: 3}").value[0][1].value
        '3'
        >>> compose_yaml("&a [*a]")
        Traceback (most recent call last):
        stark.storage.yaml_guard.TooMuchError: an alias (*) leads back into what it is part of, or values are nested ...
    """
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=loader)
        _count(node, 0)
    except RecursionError as error:
        raise _too_deep() from error
    return node


def _too_deep() -> TooMuchError:
    return TooMuchError(
        f"an alias (*) leads back into what it is part of, or values are nested more than {_MOST_LEVELS} levels deep"
    )


def _count(node: yaml.Node | None, level: int, total: int = 0) -> int:
    """Count the nodes with all aliases followed."""
    total += 1
    if level > _MOST_LEVELS:
        raise _too_deep()
    if total > _MOST_NODES:
        raise TooMuchError(f"with its aliases (*) it has more than {_MOST_NODES:,} values")
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            total = _count(item, level + 1, total)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            total = _count(value, level + 1, _count(key, level + 1, total))
    return total
