"""Export to ONNX."""

from __future__ import annotations

from typing import Any

from transformers.exporters.base import HfExporter

__all__ = ["OPSET", "to_onnx"]


OPSET = 18
"""Opset of ONNX graphs. Torch's exporter is written for this one, and ONNX Runtime supports it since 1.14."""


def to_onnx(int8: bool) -> tuple[HfExporter, Any]:
    """Make the exporter to ONNX; its packages are imported only by this call.

    Args:
        int8: Whether to quantise to 8 bits.

    Returns:
        The exporter of transformers, and its configuration.
    """
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter
    from transformers.exporters.quantizers.quantizer_onnxruntime import OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    quantizer = OnnxRuntimeQuantizer(OnnxRuntimeDynamicConfig(per_channel=True)) if int8 else None
    return OnnxExporter(), OnnxConfig(opset_version=OPSET, quantizer=quantizer)
