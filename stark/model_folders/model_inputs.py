"""How rows become a model's inputs; stored in its configuration, so that a moved or copied model predicts the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from stark.errors import StarkError
from stark.problems.table import PROBLEMS, problem_of

__all__ = ["LEAST_TOKENS", "ModelInputs", "lowercases"]

LEAST_TOKENS = 4
"""The smallest maximum length: a pair of texts has three special tokens."""

_KEY = "stark_inputs"
_OPTIONAL = "separator"
_MOST_TOKENS = 1_000_000
_Segments = Literal["tokenizer", "stark"]


@dataclass(frozen=True)
class ModelInputs:
    """Preparation of the rows that a model was trained on.

    A fit writes it into the configuration of the model that it saves. Models that are derived from that one (pruned,
    sparsified, distilled, exported) inherit it.

    Args:
        max_length: Maximum number of tokens of a row; longer rows are cut.
        segment_ids: Kind of segment ids: "tokenizer", or "stark" for those of the released code.
        texts: Names of the one or two columns of text.
        kind: Name of the kind of label.
        lowercase: Whether the tokenizer turns texts into lower case.
        task: Name of the task.
        separator: What separates the labels of a row, where a row may have several; None for lists. Predictions are
            written with it.

    Raises:
        StarkError: If a value is of the wrong type or out of range.

    Examples:
        >>> config = PreTrainedConfig(num_labels=2)
        >>> ModelInputs(64, "tokenizer", ("body",), "classification", True, "reviews").write_(config)
        >>> ModelInputs.read(config).texts
        ('body',)
    """

    max_length: int
    segment_ids: _Segments
    texts: tuple[str, ...]
    kind: str
    lowercase: bool
    task: str
    separator: str | None = None

    def __post_init__(self) -> None:
        """Check the values, which may come from a foreign model folder."""
        if type(self.max_length) is not int or not LEAST_TOKENS <= self.max_length <= _MOST_TOKENS:
            raise _wrong("max_length", self.max_length, f"a whole number from {LEAST_TOKENS} to {_MOST_TOKENS}")
        for name, value, choices in (
            ("segment_ids", self.segment_ids, get_args(_Segments)),
            ("kind", self.kind, tuple(PROBLEMS)),
        ):
            if value not in choices:
                raise _wrong(name, value, f"one of {', '.join(choices)}")
        if (
            not isinstance(self.texts, tuple)
            or len(self.texts) not in (1, 2)
            or not all(isinstance(text, str) and text for text in self.texts)
        ):
            raise _wrong("texts", self.texts, "the names of one or two columns")
        if not isinstance(self.lowercase, bool):
            raise _wrong("lowercase", self.lowercase, "true or false")
        if not isinstance(self.task, str) or not self.task:
            raise _wrong("task", self.task, "a name")
        if self.separator is not None and (not isinstance(self.separator, str) or not self.separator):
            raise _wrong("separator", self.separator, "a text")

    @property
    def is_pair(self) -> bool:
        """Whether a row has two texts."""
        return len(self.texts) == 2

    @classmethod
    def read(cls, config: PreTrainedConfig) -> ModelInputs | None:
        """Read the values from a configuration.

        Args:
            config: A model's configuration, which may come from a foreign model folder.

        Returns:
            The inputs; None if the configuration has none, as for an encoder or a model from elsewhere.

        Raises:
            StarkError: If the values are invalid.
        """
        values = getattr(config, _KEY, None)
        if values is None:
            return None
        names = [field.name for field in fields(cls) if field.name != _OPTIONAL]
        if not isinstance(values, Mapping) or {*map(str, values)} - {_OPTIONAL} != set(names):
            raise StarkError(f"{_KEY} in its configuration must have {', '.join(names)}, and nothing else")
        texts = values["texts"]
        inputs = cls(**{**values, "texts": tuple(texts) if isinstance(texts, list | tuple) else texts})
        if inputs.kind != problem_of(config).kind:
            raise _wrong("kind", inputs.kind, f"that of {config.num_labels} labels")
        return inputs

    def write_(self, config: PreTrainedConfig) -> None:
        """Write the values into a configuration.

        Args:
            config: The model's configuration; it is changed.
        """
        values: dict[str, Any] = {**asdict(self), "texts": list(self.texts)}
        if self.separator is None:
            del values[_OPTIONAL]
        setattr(config, _KEY, values)


def lowercases(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether a tokenizer turns texts into lower case.

    Args:
        tokenizer: The tokenizer.

    Returns:
        True if it does.
    """
    normalizer = tokenizer.backend_tokenizer.normalizer
    return normalizer is not None and "a" in normalizer.normalize_str("A")


def _wrong(name: str, value: object, wanted: str) -> ValueError:
    return StarkError(f"{_KEY}.{name} in its configuration is {str(value)[:100]!r}, not {wanted}")
