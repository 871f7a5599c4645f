"""What is written of it is looked at in test_export.py."""

from types import SimpleNamespace

import torch

from pipeline.source_paths import forget_source_paths_


class Doubling(torch.nn.Module):
    def forward(self, x):
        return 2 * x


def test_no_node_knows_its_source(tmp_path):
    program = torch.export.export(Doubling(), (torch.ones(2),))
    assert any("stack_trace" in node.meta for node in program.graph.nodes)
    forget_source_paths_(
        SimpleNamespace(components={"model": SimpleNamespace(program=program)}, export_format="dynamo")
    )
    torch.export.save(program, tmp_path / "model.pt2")
    assert __file__.encode() not in (tmp_path / "model.pt2").read_bytes()
    torch.testing.assert_close(program.module()(torch.ones(2)), torch.full((2,), 2.0))
