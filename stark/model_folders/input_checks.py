"""Checks before anything is computed: whether a model's tables are large enough for the inputs that it will get."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from stark.encoders.families.table import family_of_type
from stark.errors import StarkError
from stark.model_folders.model_inputs import LEAST_TOKENS, ModelInputs, lowercases

__all__ = ["HasInputs", "check_inputs", "check_segments", "check_tokenizer_limit", "check_tokens", "most_tokens"]

# Texts that two tokenizers with the same vocabulary may split differently.
_PROBES = (
    "The QUICK Brown Fox didn't jump",
    "Café, naïve Übergröße; façade",
    "a.b@c-d (3.14%) #tag x_y",
    "日本語 \ufb01ne \u00bd  two  spaces",
)


@runtime_checkable
class HasInputs(Protocol):
    """A data module that knows how its rows become inputs."""

    max_length: int

    @property
    def is_pair(self) -> bool:
        """Whether a row has two texts."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Tokenizer of the rows."""


def most_tokens(config: PreTrainedConfig) -> int:
    """Count the tokens that an encoder has positions for.

    Args:
        config: The encoder's configuration.

    Returns:
        Maximum number of tokens of a row. RoBERTa's positions start after that of padding, so their number is by two
        smaller than the number of rows of its table.
    """
    return int(config.max_position_embeddings) - family_of_type(config.model_type).unused_positions(config)


def check_inputs(
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    *,
    is_pair: bool,
    where: str,
    option: str = "--data.max_length",
) -> None:
    """Check that an encoder's tables have rows for all inputs, so that no input fails in the middle of the work.

    Args:
        config: The encoder's configuration.
        tokenizer: Tokenizer of the rows.
        max_length: Maximum number of tokens of a row.
        is_pair: Whether a row has two texts.
        where: Folder or id of the encoder, for messages.
        option: Option with which the user sets the length, for messages.

    Raises:
        StarkError: If a row could have more tokens, another token or another segment than the encoder has rows for.
    """
    if max_length < LEAST_TOKENS:
        raise StarkError(f"max_length is {max_length} but must be at least {LEAST_TOKENS}")
    if max_length > (most := most_tokens(config)):
        raise StarkError(
            f"max_length is {max_length} but {where} has positions for {most} tokens: give {option} {most}, or less; "
            "longer rows are cut"
        )
    used = 1 + max(tokenizer.get_vocab().values())
    if used > config.vocab_size:
        raise StarkError(
            f"the tokenizer of {where} has {used} tokens but the encoder's embedding has {config.vocab_size} rows: "
            f"call resize_token_embeddings({used}) of the model and save it, or remove the tokens that were added"
        )
    if is_pair:
        check_segments(config, tokenizer, where)


def check_segments(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, where: str) -> None:
    """Check that an encoder has a row for each segment id of a pair of texts.

    Args:
        config: The encoder's configuration.
        tokenizer: Tokenizer of the pairs.
        where: Folder or id of the encoder, for messages.

    Raises:
        StarkError: If it has fewer rows.
    """
    rows = getattr(config, "type_vocab_size", None)  # DistilBERT ignores segments
    used = 1 + max(_segments(tokenizer))
    if rows is not None and used > rows:
        raise StarkError(
            f"the tokenizer of {where} gives pairs of texts {used} segment ids but the encoder has {rows}: write "
            '"model_input_names": ["input_ids", "attention_mask"] into its tokenizer_config.json'
        )


def check_tokenizer_limit(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, max_length: int, where: str
) -> None:
    """Check that training rows are no longer than a pretrained model's tokenizer allows.

    Args:
        config: The model's configuration.
        tokenizer: The model's tokenizer.
        max_length: Maximum number of tokens of a row.
        where: Folder or id of the model, for messages.

    Raises:
        StarkError: If they are longer. A model that was trained by this project may be trained on longer rows: its
            tokenizer has the length of the earlier fit, which is no limit.
    """
    if ModelInputs.read(config) is None and max_length > tokenizer.model_max_length:
        raise StarkError(
            f"max_length is {max_length} but the tokenizer of {where} takes at most {tokenizer.model_max_length}: give "
            f"--data.max_length {tokenizer.model_max_length}, or less; longer rows are cut"
        )


def check_tokens(teacher: PreTrainedTokenizerFast, student: PreTrainedTokenizerFast, *, is_pair: bool = False) -> None:
    """Check that a student's tokenizer gives the teacher the tokens that it was trained on.

    Args:
        teacher: The teacher's tokenizer.
        student: The student's tokenizer, which is used for both models.
        is_pair: Whether a row has two texts; then their segment ids are compared.

    Raises:
        StarkError: If the vocabularies differ, or the tokens or segments of the same text.
    """
    if teacher.get_vocab() != student.get_vocab():
        raise StarkError("have different vocabularies")
    if lowercases(teacher) != lowercases(student):
        kinds = {True: "lower-cases texts", False: "keeps their case"}
        raise StarkError(
            f"read texts differently: the student's tokenizer {kinds[lowercases(student)]}, the teacher's "
            f"{kinds[lowercases(teacher)]}"
        )
    for text in _PROBES:
        if student(text)["input_ids"] != teacher(text)["input_ids"]:
            raise StarkError(f"read texts differently: their tokenizers give other tokens for {text!r}")
    if is_pair and _segments(teacher) != _segments(student):
        raise StarkError("read pairs differently: their tokenizers give other segment ids (token_type_ids)")


def _segments(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The segment ids of a pair of texts; zeros if the tokenizer gives none, because encoders then use zeros."""
    encoded = tokenizer("a", "b")
    given: list[int] = encoded.get("token_type_ids") or [0] * len(encoded["input_ids"])
    return given
