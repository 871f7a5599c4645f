"""GLUE as a LightningDataModule."""

from __future__ import annotations

from datamodules.text import TextDataModule

__all__ = ["GLUEDataModule"]


class GLUEDataModule(TextDataModule):
    """The data module of configurations and checkpoints: `TextDataModule` under the name that they have for it.

    It takes GLUE's tasks by their names, and own tasks by the YAML files that describe them.

    Examples:
        >>> data = GLUEDataModule("mrpc", "datasets", "some-model")
        >>> data.label_names, data.metrics
        (['not_equivalent', 'equivalent'], ['accuracy', 'f1'])
    """
