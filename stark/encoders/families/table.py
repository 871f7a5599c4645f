"""The supported encoder families, by the model type in a configuration."""

from collections.abc import Callable

from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from stark.encoders.families.albert import ALBERT
from stark.encoders.families.bert import BERT, ELECTRA, ERNIE
from stark.encoders.families.deberta import DEBERTA_V2
from stark.encoders.families.distilbert import DISTILBERT
from stark.encoders.families.modernbert import MODERNBERT
from stark.encoders.families.mpnet import MPNET
from stark.encoders.families.roberta import CAMEMBERT, DATA2VEC_TEXT, ROBERTA, ROBERTA_PRELAYERNORM, XLM_ROBERTA
from stark.encoders.family import SHRUNK_PREFIX, EncoderFamily
from stark.errors import StarkError

__all__ = ["FAMILIES", "family_of", "family_of_type", "on_registration", "register_family"]

FAMILIES = {
    family.model_type: family
    for family in (
        BERT,
        ROBERTA,
        XLM_ROBERTA,
        ELECTRA,
        DISTILBERT,
        CAMEMBERT,
        ERNIE,
        DATA2VEC_TEXT,
        ROBERTA_PRELAYERNORM,
        ALBERT,
        MPNET,
        DEBERTA_V2,
        MODERNBERT,
    )
}
"""Families by ``config.model_type``."""

_told: list[Callable[[EncoderFamily], None]] = []


def register_family(family: EncoderFamily) -> None:
    """Support one more family of encoders, such as one that a plugin defines.

    Args:
        family: The family. transformers must know its model type, its classifier and its tokenizer.

    Raises:
        StarkError: If another family has the same model type.
    """
    if FAMILIES.setdefault(family.model_type, family) != family:
        raise StarkError(f"model type '{family.model_type}' has a family already")
    for tell in _told:
        tell(family)


def on_registration(tell: Callable[[EncoderFamily], None]) -> None:
    """Call a function with each family: now with the registered ones, and later with each new one.

    Args:
        tell: Function to call.
    """
    _told.append(tell)
    for family in FAMILIES.values():
        tell(family)


def family_of(model: PreTrainedModel) -> EncoderFamily:
    """The family of a model, shrunk or not.

    Args:
        model: A classifier or an encoder.

    Returns:
        Its family.

    Raises:
        StarkError: If its family is not supported.
    """
    return family_of_type(model.config.model_type)


def family_of_type(model_type: str | None) -> EncoderFamily:
    """The family for a ``config.model_type``, also ``stark-<family>``.

    Args:
        model_type: The type.

    Returns:
        The family.

    Raises:
        StarkError: If it is not supported.

    Examples:
        >>> family_of_type("stark-distilbert").ffn_in
        'ffn.lin1'
    """
    if (name := str(model_type).removeprefix(SHRUNK_PREFIX)) not in FAMILIES:
        supported = ", ".join(FAMILIES)
        raise StarkError(
            f"no family for model type '{model_type}'{_reason(name)}: choose an encoder of one of the types "
            f"{supported} (docs/encoders.md)"
        )
    return FAMILIES[name]


def _reason(model_type: str) -> str:
    """Why a model type is not supported, as far as transformers knows what it is."""
    if model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return ", which has an encoder and a decoder"
    if model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return ", which transformers lists as a decoder (for generating text)"
    return ""
