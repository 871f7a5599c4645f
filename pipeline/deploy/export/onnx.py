"""Export to ONNX."""

from __future__ import annotations

from typing import Any

from transformers.exporters.base import HfExporter

__all__ = ["OPSET", "to_onnx"]


OPSET = 18
"""Of ONNX graphs: torch's exporter is written for it, and ONNX Runtime has had it since 1.14."""


def to_onnx(int8: bool) -> tuple[HfExporter, Any]:
    """The exporter to ONNX, which is imported when it is used.

    Args:
        int8: Whether weights are to have 8 bits.

    Returns:
        The exporter of transformers, and its configuration.
    """
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter
    from transformers.exporters.quantizers.quantizer_onnxruntime import OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    quantizer = OnnxRuntimeQuantizer(OnnxRuntimeDynamicConfig(per_channel=True)) if int8 else None
    return OnnxExporter(), OnnxConfig(opset_version=OPSET, quantizer=quantizer)
