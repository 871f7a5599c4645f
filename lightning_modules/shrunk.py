"""The shrunk families: for each adapter a ``stark-<family>`` configuration and classifier, known to the Auto classes.

Importing this module registers them, so that ``AutoModelForSequenceClassification.from_pretrained`` and
``transformers.pipeline`` load shrunk model folders like any other.
"""

from typing import TYPE_CHECKING, Any

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

from lightning_modules.encoders import ADAPTERS, SHRUNK_PREFIX, cut_, encoder_layers
from lightning_modules.units import KeptUnits

__all__ = ["ShrunkClassifier"]


if TYPE_CHECKING:
    _Classifier = PreTrainedModel
else:
    # The family's own class comes next in the order of bases, and it brings PreTrainedModel.
    _Classifier = object


class ShrunkClassifier(_Classifier):
    """Mixin of every shrunk classifier: builds the layers at the sizes of ``config.kept_units``.

    The classes derived from it are named ``Stark<family's classifier>``, such as
    ``StarkBertForSequenceClassification``, and are attributes of this module.
    """

    def __init__(self, config: PreTrainedConfig) -> None:
        """Build the original model and cut it.

        Args:
            config: A configuration with ``kept_units``.

        Raises:
            ValueError: If ``kept_units`` does not fit the configuration.
        """
        super().__init__(config)
        layers = encoder_layers(self)
        original = KeptUnits.all_of([layer.num_heads for layer in layers], [layer.num_neurons for layer in layers])
        cut_(self, *KeptUnits.from_json(config.kept_units).masks_within(original))


def _register(family: str) -> None:
    config_base = CONFIG_MAPPING[family]
    model_base: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[config_base]
    config_class: Any = type(
        f"Stark{config_base.__name__}",
        (config_base,),
        {
            "__module__": __name__,
            "__doc__": f"`{config_base.__name__}` of the original model, with the units that its layers kept.",
            "__annotations__": {"kept_units": dict[str, list[str]] | None},
            "kept_units": None,
            "model_type": SHRUNK_PREFIX + family,
        },
    )
    model_class: Any = type(
        f"Stark{model_base.__name__}",
        (ShrunkClassifier, model_base),
        {
            "__module__": __name__,
            "__doc__": f"`{model_base.__name__}` without the heads and neurons that were removed.",
            "config_class": config_class,
        },
    )
    AutoConfig.register(config_class.model_type, config_class)
    AutoModelForSequenceClassification.register(config_class, model_class)
    AutoTokenizer.register(config_class, TOKENIZER_MAPPING[config_base])
    # Pickling and saved class paths look the classes up here.
    for made in (config_class, model_class):
        globals()[made.__name__] = made
        __all__.append(made.__name__)


for _family in ADAPTERS:
    _register(_family)
