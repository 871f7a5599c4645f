"""The names of the forms that a model is exported to, for a command line that is read before torch is imported."""

from __future__ import annotations

from typing import Literal

__all__ = ["Format"]

Format = Literal["onnx", "torch", "openvino", "dense"]
"""What `stark export` writes."""
