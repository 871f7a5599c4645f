"""Exported graphs without the files that they were traced from, whose paths name folders of the maker's machine."""

from __future__ import annotations

import torch
from transformers.exporters.base import ExportedModel

__all__ = ["forget_source_paths_"]


def forget_source_paths_(exported: ExportedModel) -> None:
    """Remove the stack traces that torch and its ONNX exporter keep with every node.

    Args:
        exported: What an exporter made, before it is saved.
    """
    for component in exported.components.values():
        program = component.program
        if isinstance(program, torch.export.ExportedProgram):
            for module in program.graph_module.modules():
                for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
                    node.meta.pop("stack_trace", None)
        elif exported.export_format == "onnx":
            for node in program.graph.all_nodes():
                node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
