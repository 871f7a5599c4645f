"""Export to OpenVINO."""

from __future__ import annotations

from typing import Any

from transformers.exporters.base import HfExporter

__all__ = ["to_openvino"]


def to_openvino(int8: bool) -> tuple[HfExporter, Any]:
    """Make the exporter to OpenVINO; its packages are imported only by this call.

    Args:
        int8: Whether to quantise weights to 8 bits.

    Returns:
        The exporter of transformers, and its configuration.
    """
    from transformers.exporters.configs import OpenVINOConfig
    from transformers.exporters.exporter_openvino import OpenVINOExporter
    from transformers.exporters.quantizers.quantizer_nncf import NNCFOpenVINOQuantizer, NNCFWeightCompressionConfig

    quantizer = NNCFOpenVINOQuantizer(NNCFWeightCompressionConfig()) if int8 else None
    return OpenVINOExporter(), OpenVINOConfig(quantizer=quantizer)
