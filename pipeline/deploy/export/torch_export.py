"""Export to `torch.export`."""

from __future__ import annotations

from typing import Any

from transformers.exporters.base import HfExporter

__all__ = ["to_torch"]


def to_torch(int8: bool) -> tuple[HfExporter, Any]:
    """Make the exporter to torch.export; its packages are imported only by this call.

    Args:
        int8: Ignored; with 8 bits the model is quantised before it is exported, see `int8_weights_`.

    Returns:
        The exporter of transformers, and its configuration.
    """
    from transformers.exporters.configs import DynamoConfig
    from transformers.exporters.exporter_dynamo import DynamoExporter

    return DynamoExporter(), DynamoConfig()
