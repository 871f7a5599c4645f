"""Exported models, read by the runtimes themselves."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch

import cli
from lightning_modules import load_classifier, load_tokenizer, save_classifier
from lightning_modules.encoders import shrink_
from pipeline import export
from pipeline.classifier import open_answer
from pipeline.export import OPSET, export_model
from pipeline.export_check import CHECK
from pipeline.latency import Latency
from tests.tiny import FAMILIES, random_masks, tiny_classifier


@pytest.fixture
def quick(monkeypatch):
    """Without the time that measuring takes."""
    monkeypatch.setattr(export, "measure_latency", lambda models, *_: dict.fromkeys(models, Latency(1.0, 0.5, 2.0)))


@pytest.fixture(scope="module")
def student(tiny_task, tmp_path_factory):
    """Uneven; one layer has no heads, the other one no neurons."""
    model = load_classifier(tiny_task.teacher)
    shrink_(model, *random_masks(model, empty_heads=0, empty_neurons=1))
    return save_classifier(model, tmp_path_factory.mktemp("export") / "student")


def rows(tokenizer, number, length):
    """Ids of words, and a mask with padding in the first row."""
    generator = torch.Generator().manual_seed(number * length)
    ids = torch.randint(5, len(tokenizer), (number, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, length // 2 + 1 :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def onnx_answer(folder, batch):
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [entry.name for entry in session.get_inputs()]
    return torch.from_numpy(session.run(None, {name: batch[name].numpy() for name in names})[0])


def openvino_answer(folder, batch):
    compiled = openvino.Core().compile_model(folder / "openvino_model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = {port.any_name: port for port in compiled.inputs}
    said = compiled({port: batch[name].numpy() for name, port in names.items()})
    return torch.from_numpy(np.array(said[0]))


def torch_answer(folder, batch):
    module = torch.export.load(folder / "model.pt2").module()
    # Operations of torch alone: who loads it needs nothing of what made it int8.
    assert all("aten" in str(node.target) for node in module.graph.nodes if node.op == "call_function")
    return module(**batch).logits


def dense_answer(folder, batch):
    with torch.no_grad():
        return load_classifier(folder)(**batch).logits


ANSWERS = {"onnx": onnx_answer, "openvino": openvino_answer, "torch": torch_answer, "dense": dense_answer}


@pytest.mark.filterwarnings("ignore")  # the runtimes' own
@pytest.mark.parametrize(
    ("form", "int8"), [*((form, False) for form in ANSWERS), *((form, True) for form in ("onnx", "openvino", "torch"))]
)
def test_runtimes_say_what_the_model_says(form, int8, student, tiny_task, tmp_path, quick):
    folder = tmp_path / "exported"
    most = 0.2 if int8 else 1e-3
    loss = 1.0 if int8 else 0.0
    check = export_model(
        student, form, folder, tiny_task.data(), int8=int8, max_logit_difference=most, max_score_loss=loss
    )
    model, tokenizer = load_classifier(student), load_tokenizer(folder)
    for number, length in ((1, 3), (5, 17)):
        batch = rows(tokenizer, number, length)
        with torch.no_grad():
            expected = model(**batch).logits
        for said in (ANSWERS[form](folder, batch), open_answer(folder)(batch)):
            torch.testing.assert_close(said, expected, atol=most, rtol=0)
    lines = (tiny_task.data_dir / "SST-2/dev.tsv").read_text().splitlines()
    assert check.rows == len(lines) - 1
    assert (check.logit_difference > 1e-5) is int8
    written = json.loads((folder / CHECK).read_text())
    assert written["score"] == check.score
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "negative", "1": "positive"}
    here = str(Path(torch.__file__).parents[1]).encode()
    assert [file.name for file in folder.iterdir() if here in file.read_bytes()] == []
    if form == "onnx":
        graph = onnx.load(folder / "model.onnx", load_external_data=False)
        assert {entry.version for entry in graph.opset_import if not entry.domain} == {OPSET}
        assert any("MatMulInteger" in node.op_type for node in graph.graph.node) is int8


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES[1:])
def test_every_family_is_exported(family, tiny_task, tmp_path):
    model = tiny_classifier(family)
    shrink_(model, *random_masks(model, empty_heads=1, empty_neurons=0))
    tokenizer = load_tokenizer(tiny_task.encoder)
    if family != "electra":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    export._write(model, tokenizer, "onnx", tmp_path / "made", int8=False)
    batch = rows(tokenizer, 3, 9)
    batch["input_ids"] = batch["input_ids"] % 100
    inputs = {name: batch[name] for name in tokenizer.model_input_names}
    with torch.no_grad():
        torch.testing.assert_close(onnx_answer(tmp_path / "made", batch), model(**inputs).logits)


@pytest.mark.filterwarnings("ignore")
def test_a_wrong_model_leaves_nothing(student, tiny_task, tmp_path, monkeypatch, quick):
    monkeypatch.setattr(export, "graph_form", lambda model: load_classifier(tiny_task.teacher))
    with pytest.raises(ValueError, match=r"logits differ by up to .* nothing was kept"):
        export_model(student, "torch", tmp_path / "out/exported", tiny_task.data())
    monkeypatch.setattr(export, "score_function", lambda *_: lambda said, _: float(said.sum()))
    with pytest.raises(ValueError, match=r"it lost more than --max_score_loss -1000.*nothing was kept"):
        export_model(
            student, "torch", tmp_path / "out/exported", tiny_task.data(), max_logit_difference=1e9, max_score_loss=-1e3
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command(student, tiny_task, tmp_path, capsys, monkeypatch, quick):
    options = ["--data.task", "sst2", "--data.data_dir", str(tiny_task.data_dir)]
    monkeypatch.setenv("STARK_CACHE", str(tiny_task.cache))
    cli.main(["export", str(student), "--format", "dense", "--output", str(tmp_path / "dense"), *options])
    said = capsys.readouterr().out
    assert "dropped units are zeros" in said
    assert "1.00 [0.50, 2.00]" in said
    # Again into the same place, and not into one of somebody else.
    cli.main(["export", str(student), "--format", "dense", "--output", str(tmp_path / "dense"), *options])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/thesis.tex").write_text("x")
    for wrong, message in (
        (["--format", "dense", "--output", str(tmp_path / "thesis"), *options], "exists and is not an earlier output"),
        (["--format", "dense", "--output", str(student), *options], "exists and is not an earlier output"),
        (["--format", "dense", "--output", str(tmp_path / "thesis/thesis.tex"), *options], "is not an earlier output"),
        (["--format", "dense", "--int8", *options], "--int8 is not for --format dense: choose onnx, openvino or torch"),
        (["--format", "torch", *options[:3], str(tmp_path / "none")], "none: no such folder (data of task 'sst2')"),
        (["--format", "torch"], "lies in no run, so that its data are unknown: give --data.task and --data.data_dir"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(["export", str(student), *wrong])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


HIDE = """
import importlib.util, sys

class Hidden:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf", "onnx_ir"):
            raise ModuleNotFoundError(name, name=name)

find = importlib.util.find_spec

def find_spec(name, *rest):
    try:
        return find(name, *rest)
    except ModuleNotFoundError:
        return None

sys.meta_path.insert(0, Hidden())
importlib.util.find_spec = find_spec
from pathlib import Path
from lightning_modules import load_classifier, load_tokenizer
from pipeline import export
export._write(load_classifier(sys.argv[1]), load_tokenizer(sys.argv[1]), "torch", Path(sys.argv[2]), int8=False)
import cli
cli.main(["export", sys.argv[1], "--format", "onnx", "--data.task", "sst2"])
"""


def test_without_the_extra_the_command_names_it(student, tmp_path):
    """In a process in which ONNX cannot be found the other formats work all the same."""
    command = [sys.executable, "-c", HIDE, str(student), str(tmp_path / "made")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.stderr == (
        "stark: error: --format onnx needs the extra [onnx] (onnx, onnxscript, onnxruntime): "
        "pip install 'stark-lightning[onnx]'\n"
    )
    assert said.returncode == 2
    assert (tmp_path / "made/model.pt2").is_file()
