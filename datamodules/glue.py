"""GLUE as a LightningDataModule."""

from __future__ import annotations

from datamodules.text import TextDataModule

__all__ = ["GLUEDataModule"]


class GLUEDataModule(TextDataModule):
    """`TextDataModule` under the name that configurations and checkpoints use for it.

    GLUE's tasks are given by name, user-defined tasks by the YAML file that describes them.

    Examples:
        >>> data = GLUEDataModule("mrpc", "datasets", "some-model")
        >>> data.label_names, data.metrics
        (['not_equivalent', 'equivalent'], ['accuracy', 'f1'])
    """
