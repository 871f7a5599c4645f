"""The shrunk families: for each family a ``stark-<family>`` configuration and classifier, for the Auto classes.

Importing this module registers them, so that ``AutoModelForSequenceClassification.from_pretrained`` and
``transformers.pipeline`` load shrunk model folders like any other.
"""

import functools
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    TOKENIZER_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)

from stark.encoders.cutting import cut_
from stark.encoders.families.table import on_registration
from stark.encoders.family import SHRUNK_PREFIX, EncoderFamily
from stark.encoders.layers import encoder_layers
from stark.encoders.token_table import FactorisedEmbedding
from stark.encoders.units import KeptUnits
from stark.forward.lean_attention import attention_mask_of, lean_attention

__all__ = ["ShrunkClassifier"]


if TYPE_CHECKING:
    _Classifier = PreTrainedModel
else:
    # The family's class is the next base class, and it derives from PreTrainedModel.
    _Classifier = object


class ShrunkClassifier(_Classifier):
    """Mixin of every shrunk classifier: builds the layers at the sizes of ``config.kept_units``.

    With ``config.embedding_rank``, the token embeddings are a `FactorisedEmbedding` of this rank.

    The classes derived from it are named ``Stark<family's classifier>``, such as
    ``StarkBertForSequenceClassification``, and are attributes of this module.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        """Build the original model and cut it.

        Args:
            config: A configuration with ``kept_units``.

        Raises:
            StarkError: If ``kept_units`` does not fit the configuration.
        """
        super().__init__(config)
        layers = encoder_layers(self)
        original = KeptUnits.all_of([layer.num_heads for layer in layers], [layer.num_neurons for layer in layers])
        cut_(self, KeptUnits.from_json(config.kept_units).masks_within(original))
        if (rank := config.embedding_rank) is not None:
            whole = cast(nn.Embedding, self.get_input_embeddings())
            self.set_input_embeddings(FactorisedEmbedding.like(whole, rank))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,  # noqa: ANN401 - these differ between families
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """The family's forward; in evaluation, the last layer computes only the first token, which the logits need.

        All tokens are computed in training, in compiled code, if hidden states or attentions are requested, or with a
        mask that is not ``(batch, length)``. A model exported by `torch.export` (not strict) skips the same work. A
        hook on the last layer sees only what is computed: give ``output_hidden_states=True`` to get all tokens.
        """
        shown = ("output_hidden_states", "output_attentions")
        if (
            self.training
            or torch.compiler.is_dynamo_compiling()
            or (attention_mask is not None and attention_mask.dim() != 2)
            or any(getattr(self.config, name) if kwargs.get(name) is None else kwargs[name] for name in shown)
        ):
            return super().forward(input_ids, attention_mask, *args, **kwargs)
        with lean_attention(self) as lean:
            if lean and attention_mask is not None:
                attention_mask = attention_mask_of(attention_mask)
            return super().forward(input_ids, attention_mask, *args, **kwargs)


def _register(family: EncoderFamily) -> None:
    config_base = CONFIG_MAPPING[family.model_type]
    model_base: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[config_base]
    config_class: Any = type(
        f"Stark{config_base.__name__}",
        (config_base,),
        {
            "__module__": __name__,
            "__doc__": f"`{config_base.__name__}` of the original model, with the units that its layers kept.",
            "__annotations__": {"kept_units": dict[str, list[str]] | None, "embedding_rank": int | None},
            "kept_units": None,
            "embedding_rank": None,
            "model_type": SHRUNK_PREFIX + family.model_type,
        },
    )

    @functools.wraps(model_base.forward)  # keeps the signature, by which pipelines choose the inputs
    def forward(self: ShrunkClassifier, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return ShrunkClassifier.forward(self, *args, **kwargs)

    model_class: Any = type(
        f"Stark{model_base.__name__}",
        (ShrunkClassifier, model_base),
        {
            "__module__": __name__,
            "__doc__": f"`{model_base.__name__}` without the heads and neurons that were removed.",
            "config_class": config_class,
            "forward": forward,
        },
    )
    AutoConfig.register(config_class.model_type, config_class)
    AutoModelForSequenceClassification.register(config_class, model_class)
    AutoTokenizer.register(config_class, TOKENIZER_MAPPING[config_base])
    # Pickling and saved class paths look the classes up here.
    for made in (config_class, model_class):
        globals()[made.__name__] = made
        __all__.append(made.__name__)


on_registration(_register)
