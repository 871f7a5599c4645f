"""Exported folders from any source, run by the runtimes; the graphs here are small and made by hand."""

import logging
import os

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from openvino import opset14 as ops

import cli
from pipeline.deploy.classifier import open_answer
from pipeline.deploy.export.opening import check_exported, is_exported, open_exported
from stark.storage import CHECKSUMS_FILE, DamagedError, write_checksums
from tests.tiny import tiny_classifier

BATCH = {name: torch.tensor([[1, 2, 3], [4, 5, 0]]) for name in ("input_ids", "attention_mask", "token_type_ids")}
WEIGHTS = np.array([[0.5, -1.0]], dtype=np.float32)
LOGITS = torch.tensor([[3.0, -6.0], [4.5, -9.0]])


def write_onnx(folder, name="input_ids", location="model.onnx.data"):
    """Write a model whose logits are the sum of a row's ids times weights, which are in a separate file."""
    weights = numpy_helper.from_array(WEIGHTS, "weights")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(WEIGHTS.nbytes))):
        weights.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", [name], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["floats", "axes"], ["sums"], keepdims=1),
            helper.make_node("MatMul", ["sums", "weights"], ["logits"]),
        ],
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [weights, numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "model.onnx.data").write_bytes(WEIGHTS.tobytes())


def write_openvino(folder):
    ids = ops.parameter([-1, -1], openvino.Type.i64, name="input_ids")
    ids.output(0).set_names({"input_ids"})
    logits = ops.matmul(ops.reduce_sum(ops.convert(ids, "f32"), [1], True), ops.constant(WEIGHTS), False, False)
    logits.output(0).set_names({"logits"})
    openvino.save_model(openvino.Model([logits], [ids]), folder / "openvino_model.xml", compress_to_fp16=False)


WRITERS = {"onnx": write_onnx, "openvino": write_openvino}


@pytest.fixture
def folder(tmp_path, request):
    tiny_classifier().config.save_pretrained(tmp_path)
    (tmp_path / "export.json").write_text('{"export_format": "dynamo", "components": {"antigravity": {}}}')
    WRITERS[getattr(request, "param", "onnx")](tmp_path)
    write_checksums(tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", WRITERS, indirect=True)
def test_only_the_graph_and_its_weights_are_read(folder):
    """The files that export.json names are not read."""
    assert is_exported(folder)
    torch.testing.assert_close(open_answer(folder)(BATCH), LOGITS)
    (folder / "README.md").write_text("Made later.")
    torch.testing.assert_close(open_exported(folder)(BATCH), LOGITS)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        *(("onnx", name) for name in ("model.onnx", "model.onnx.data", "config.json", "export.json")),
        *(("openvino", name) for name in ("openvino_model.xml", "openvino_model.bin")),
    ],
    indirect=["folder"],
)
def test_one_flipped_bit_is_told_in_one_line(folder, name, capsys, tmp_path):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedError, match=f"{name} is damaged: it does not have the checksum"):
        open_exported(folder)
    with pytest.raises(SystemExit) as stop:
        cli.main(["push", str(folder), "me/model"])
    assert stop.value.code == 2
    assert f"{name} is damaged" in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_without_checksums_is_used_with_a_warning(folder, caplog):
    (folder / CHECKSUMS_FILE).unlink()
    with caplog.at_level(logging.WARNING):
        check_exported(folder)
    assert [record.message for record in caplog.records] == [
        f"{folder} has no SHA256SUMS: whether its files belong together is not known; export it again"
    ]
    torch.testing.assert_close(open_exported(folder)(BATCH), LOGITS)


def leave_the_folder(folder):
    write_onnx(folder, location="../outside.data")
    (folder.parent / "outside.data").write_bytes(WEIGHTS.tobytes())


def leave_it_through_a_link(folder):
    (folder.parent / "outside.data").write_bytes(WEIGHTS.tobytes())
    (folder / "model.onnx.data").unlink()
    os.symlink(folder.parent / "outside.data", folder / "model.onnx.data")


def use_an_unknown_operation(folder):
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    model.graph.node[0].domain = "somebody"
    model.opset_import.append(helper.make_opsetid("somebody", 1))
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def take_another_configuration(folder):
    tiny_classifier(num_labels=3).config.save_pretrained(folder)


def put_onnx_under_the_name_of_openvino(folder):
    (folder / "model.onnx").rename(folder / "openvino_model.xml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (leave_the_folder, "model.onnx: .*escapes model directory"),
        (leave_it_through_a_link, "model.onnx: .*escapes model directory"),
        (use_an_unknown_operation, "somebody:Cast"),
        (take_another_configuration, r"names 3 labels, and the graph has logits of shape \(2, 2\)"),
        (put_onnx_under_the_name_of_openvino, "openvino_model.xml: it is no XML"),
        (lambda folder: write_onnx(folder, name="pixels"), "the input 'pixels', which no tokenizer gives"),
        (lambda folder: (folder / "model.onnx").unlink(), "it needs one of model.onnx, .*, and has 0 of them"),
        (lambda folder: (folder / "model.pt2").touch(), "it needs one of model.onnx, .*, and has 2 of them"),
        (lambda folder: (folder / "model.onnx").write_bytes(b""), "model.onnx: "),
    ],
)
def test_what_is_no_export_of_ours_is_refused(folder, change, message):
    change(folder)
    (folder / CHECKSUMS_FILE).unlink()
    with pytest.raises(ValueError, match=f"^cannot load .*{message}") as error:
        open_exported(folder)
    assert "\n" not in str(error.value)


def test_an_unknown_layer_of_openvino_is_refused(tmp_path):
    """It could be a layer of an extension, which would be a shared library."""
    tiny_classifier().config.save_pretrained(tmp_path)
    write_openvino(tmp_path)
    file = tmp_path / "openvino_model.xml"
    file.write_text(file.read_text().replace('version="opset1"', 'version="extension"', 1))
    with pytest.raises(ValueError, match=r"cannot load .*openvino_model\.xml: "):
        open_exported(tmp_path)
