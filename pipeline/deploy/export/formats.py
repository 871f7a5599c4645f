"""The names of the export formats, in a module without torch, so that the command line is read quickly."""

from __future__ import annotations

from typing import Literal

__all__ = ["Format"]

Format = Literal["onnx", "torch", "openvino", "dense"]
"""Format that `stark export` writes."""
