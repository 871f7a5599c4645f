"""Export to `torch.export`."""

from __future__ import annotations

from typing import Any

from transformers.exporters.base import HfExporter

__all__ = ["to_torch"]


def to_torch(int8: bool) -> tuple[HfExporter, Any]:
    """The exporter to torch.export, which is imported when it is used.

    Args:
        int8: Whether weights are to have 8 bits.

    Returns:
        The exporter of transformers, and its configuration.
    """
    from transformers.exporters.configs import DynamoConfig
    from transformers.exporters.exporter_dynamo import DynamoExporter

    return DynamoExporter(), DynamoConfig()
