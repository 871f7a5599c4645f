"""Parse YAML, and refuse documents that would keep a program busy forever, by aliases that multiply or form a cycle."""

from __future__ import annotations

import yaml

__all__ = ["TooMuchError", "compose_yaml"]

_MOST_LEVELS = 50
_MOST_NODES = 100_000


class TooMuchError(yaml.YAMLError):
    """A well-formed document that is too deep or too large for settings."""


def compose_yaml(text: str, loader: type[yaml.SafeLoader | yaml.BaseLoader] = yaml.SafeLoader) -> yaml.Node | None:
    """Parse a document into its nodes, without converting them into values.

    Args:
        text: The YAML.
        loader: PyYAML's loader; it determines the tags of values that have no explicit tag.

    Returns:
        The document's root node; None if the document is empty.

    Raises:
        yaml.YAMLError: If it is no YAML, contains itself, is nested too deeply or has too many values.

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
