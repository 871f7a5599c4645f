"""Remove layers from a model."""

from collections.abc import Sequence

from transformers import PreTrainedModel

from stark.choices import LayerChoice
from stark.encoders.cutting import own_config_
from stark.encoders.families.table import family_of
from stark.encoders.family import SHRUNK_PREFIX
from stark.encoders.layers import encoder_passes, kept_units
from stark.errors import StarkError

__all__ = ["drop_layers", "drop_layers_", "layers_to_keep"]


def layers_to_keep(num_layers: int, k: int, which: LayerChoice) -> list[int]:
    """Numbers of the layers that a student of ``k`` layers keeps.

    ``first`` and ``last`` take consecutive layers; ``alternate`` takes the first layer of each of ``k`` groups of
    nearly equal size.

    Raises:
        StarkError: If ``k`` is not between 1 and ``num_layers``, or ``which`` is unknown.

    Source: GeneZC/StarK run_distillation.py takes the first layers.

    Examples:
        >>> layers_to_keep(12, 4, "first"), layers_to_keep(12, 4, "last"), layers_to_keep(12, 4, "alternate")
        ([0, 1, 2, 3], [8, 9, 10, 11], [0, 3, 6, 9])
    """
    if not 1 <= k <= num_layers:
        raise StarkError(f"cannot keep {k} of {num_layers} layers")
    chosen = {
        "first": list(range(k)),
        "last": list(range(num_layers - k, num_layers)),
        "alternate": [group * num_layers // k for group in range(k)],
    }
    if which not in chosen:
        raise StarkError(f"which layers to keep is one of {', '.join(chosen)}, not '{which}'")
    return chosen[which]


def drop_layers_(model: PreTrainedModel, keep: Sequence[int]) -> PreTrainedModel:
    """Remove all layers but some, in place; a model that is not shrunk keeps its transformers class.

    If all passes share the weights of one layer, only the number of passes becomes smaller.

    Args:
        model: A classifier; it may be shrunk.
        keep: Numbers of the layers to keep, ascending; of the passes, if layers share weights.

    Returns:
        The same model.

    Raises:
        StarkError: If ``keep`` is empty, not ascending, or names a layer that the model does not have, or lacks a first
            layer that differs from the others, or passes share the weights of several layers.
    """
    family = family_of(model)
    passes = family.passes(model)
    count = len(passes)
    if not keep or list(keep) != sorted(set(keep)) or keep[0] < 0 or keep[-1] >= count:
        raise StarkError(f"layers to keep must be ascending numbers below {count}, got {list(keep)}")
    if family.first_layer_differs and keep[0] != 0:
        raise StarkError(
            f"the first layer of {family.model_type} has other parts than the others, so it cannot be dropped: "
            "keep the first or alternate layers, not the last ones"
        )
    units = kept_units(model)
    family.keep_layers_(model, keep)
    config = own_config_(model, type(model.config))
    config.num_hidden_layers = len(keep)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = [config.layer_types[number] for number in keep]
    if config.model_type.startswith(SHRUNK_PREFIX):
        config.kept_units = units.of_layers(sorted({passes[number] for number in keep})).to_json()
    return model


def drop_layers(model: PreTrainedModel, layers: int, which: LayerChoice = "first") -> PreTrainedModel:
    """Keep some of a model's layers.

    Args:
        model: The model; it is changed.
        layers: Number of layers to keep.
        which: Choice of these layers: ``first``, ``last`` or ``alternate``.

    Returns:
        The model.

    Raises:
        StarkError: If the model has fewer layers.
    """
    return drop_layers_(model, layers_to_keep(len(encoder_passes(model)), layers, which))
