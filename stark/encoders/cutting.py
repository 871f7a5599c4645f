"""Remove heads and FFN neurons from a model."""

import copy
from typing import cast

from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, PreTrainedConfig, PreTrainedModel

from stark.encoders.families.table import family_of
from stark.encoders.family import SHRUNK_PREFIX
from stark.encoders.layers import encoder_layers, kept_units
from stark.encoders.units import KeptUnits, UnitMasks

__all__ = ["become_shrunk_", "cut_", "own_config_", "shrink_", "shrink_to_"]


def shrink_(model: PreTrainedModel, masks: UnitMasks) -> PreTrainedModel:
    """Remove heads and neurons from a model's weights, in place.

    The logits equal those under `unit_masks` with the same masks. A layer may lose all its heads or all its neurons;
    that block then adds only its output bias. The model becomes one of the registered ``stark-<family>`` classes with
    ``config.kept_units``, unless nothing is removed; its other configuration values stay those of the original model.
    The cut parameters are new objects, so create optimizers afterwards.

    Args:
        model: A classifier; it may already be shrunk.
        masks: A mask for each unit that the model has now; 1 or True keeps, 0 or False removes.

    Returns:
        The same model.

    Raises:
        StarkError: If a mask does not fit or holds other values than 0 and 1, or the family is not supported.

    Source: the paper's densified students; GeneZC/StarK modeling_sparsebert.py ``densify``.
    Deviation: nothing is rounded to multiples of 8, and an empty block keeps residual and bias.
    """
    before = kept_units(model)
    after = before.select(masks)
    if after == before:
        return model
    cut_(model, masks)
    become_shrunk_(model).kept_units = after.to_json()
    return model


def become_shrunk_(model: PreTrainedModel) -> PreTrainedConfig:
    """Make a model one of the registered ``stark-<family>`` classes, in place; it keeps its units and its weights.

    Args:
        model: A classifier; it may already be shrunk.

    Returns:
        Its new configuration, a separate object whose ``kept_units`` are those of the old one.

    Raises:
        StarkError: If the family is not supported.
    """
    units = (
        model.config.kept_units if model.config.model_type.startswith(SHRUNK_PREFIX) else kept_units(model).to_json()
    )
    family = model.config.model_type.removeprefix(SHRUNK_PREFIX)
    config = own_config_(model, CONFIG_MAPPING[SHRUNK_PREFIX + family])
    config.kept_units = units
    model.__class__ = cast(type[PreTrainedModel], MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)])
    return config


def shrink_to_(model: PreTrainedModel, keep: KeptUnits) -> PreTrainedModel:
    """Shrink a model in place until it has exactly these units of the original model.

    Args:
        model: A classifier, dense or shrunk less.
        keep: Units to keep, as `kept_units` returns them afterwards.

    Returns:
        The same model.

    Raises:
        StarkError: If the model lacks one of the units or has another number of layers.
    """
    return shrink_(model, keep.masks_within(kept_units(model)))


def cut_(model: PreTrainedModel, masks: UnitMasks) -> None:
    """Cut like `shrink_`, but without changing the configuration; for building a model from its configuration."""
    family = family_of(model)
    for layer, head_mask, neuron_mask in zip(encoder_layers(model), masks.heads, masks.neurons, strict=True):
        family.cut_layer_(layer.module, head_mask.nonzero().flatten(), neuron_mask.nonzero().flatten())


def own_config_(model: PreTrainedModel, config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    """Give a model a separate configuration object, so that changing it does not change another model's.

    Args:
        model: The model; all of its modules that hold its configuration get the new one.
        config_class: The new configuration's class.

    Returns:
        The new configuration, equal to the old one.
    """
    # Models may share a configuration object, so it is copied before it is changed, for every module that holds it.
    shared, config = model.config, copy.deepcopy(model.config)
    config.__class__ = config_class
    # A configuration read from a file has the family's type as an instance attribute, which would hide the class's.
    vars(config).pop("model_type", None)
    for module in model.modules():
        if getattr(module, "config", None) is shared:
            module.config = config  # type: ignore[assignment]  # plain attribute of a module
    return config
