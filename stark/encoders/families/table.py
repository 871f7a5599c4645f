"""The families, by the type in their configuration."""

from stark.encoders.family import SHRUNK_PREFIX, EncoderAdapter
from stark.errors import StarkError

__all__ = ["ADAPTERS", "adapter_of"]


ADAPTERS = {
    "bert": EncoderAdapter(),
    "roberta": EncoderAdapter(positions_after_padding=True),
    "xlm-roberta": EncoderAdapter(positions_after_padding=True),
    "electra": EncoderAdapter(),
    "distilbert": EncoderAdapter(
        layers="transformer.layer",
        attention="attention",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        attention_norm="sa_layer_norm",
        ffn_in="ffn.lin1",
        ffn_out="ffn.lin2",
        num_heads_attribute="n_heads",
        heads_width_attribute=None,
    ),
}
"""Adapters by ``config.model_type``."""


def adapter_of(model_type: str | None) -> EncoderAdapter:
    """The adapter for a ``config.model_type``, also ``stark-<family>``.

    Raises:
        ValueError: If there is none.

    Examples:
        >>> adapter_of("stark-distilbert").ffn_in
        'ffn.lin1'
    """
    if (family := str(model_type).removeprefix(SHRUNK_PREFIX)) not in ADAPTERS:
        supported = ", ".join(ADAPTERS)
        raise StarkError(
            f"no adapter for model type '{model_type}': one of {supported} is supported (stark/encoders/layers.py)"
        )
    return ADAPTERS[family]
