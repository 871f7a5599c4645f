"""Exported models, run by the runtimes themselves."""

import ast
import inspect
import json
import operator
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import tokenizers
import torch

import cli
from pipeline.deploy.classifier import open_answer, open_classifier
from pipeline.deploy.export import export
from pipeline.deploy.export.check import read_check
from pipeline.deploy.export.export import export_model
from pipeline.deploy.export.onnx import OPSET
from pipeline.execution.manifest import Manifest
from pipeline.report.run_page import _exported
from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers_
from stark.forward.latency import Latency
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.storage import DamagedError, is_intact_folder, write_checksums
from stark.vocabulary.factorizing import factorise_embeddings_
from tests.tiny import FAMILIES, random_masks, tiny_classifier

DOCUMENTED = re.compile(r"```python\n(.*?)```", re.DOTALL)
LENGTH = 128
"""The maximal length of the student's rows."""


def texts_of(task):
    lines = (task.data_dir / "SST-2/dev.tsv").read_text().splitlines()
    return [line.split("\t")[0] for line in lines[1:41]]


@pytest.fixture
def quick(monkeypatch):
    """Replace latency measurements, which take time."""
    monkeypatch.setattr(export, "measure_latency", lambda models, *_: dict.fromkeys(models, Latency(1.0, 0.5, 2.0)))


@pytest.fixture(scope="module")
def student(tiny_task, tmp_path_factory):
    """An uneven student: one layer has no heads, the other one has no neurons."""
    model = drop_layers_(load_classifier(tiny_task.teacher), [0, 1])
    tokenizer = load_tokenizer(tiny_task.teacher)
    shrink_(model, random_masks(model, empty_heads=0, empty_neurons=1))
    # The model predicts both classes.
    rows = tokenizer(texts_of(tiny_task), padding=True, return_tensors="pt")
    with torch.no_grad():
        model.classifier.bias[0] -= model(**rows).logits.diff(dim=1).quantile(0.5).neg()
    model.config.of_ours = {"texts": ["sentence"]}
    tokenizer.model_max_length = LENGTH
    return save_classifier(model, tmp_path_factory.mktemp("export") / "student", tokenizer)


def rows(tokenizer, number, length):
    """Token ids, and a mask with padding in the first row."""
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
    # Only torch's operations, so that loading does not need the library that quantised the model.
    targets = {node.target for node in module.graph.nodes if node.op == "call_function"}
    assert all("aten" in str(target) for target in targets - {operator.getitem})
    return module(**batch).logits


def dense_answer(folder, batch):
    with torch.no_grad():
        return load_classifier(folder)(**batch).logits


ANSWERS = {"onnx": onnx_answer, "openvino": openvino_answer, "torch": torch_answer, "dense": dense_answer}


def said_without_us(folder, texts, tmp_path):
    """Output of the program in docs/use.md if only ONNX Runtime, NumPy and tokenizers are installed."""
    (program,) = (code for code in DOCUMENTED.findall(Path("docs/use.md").read_text()) if "onnxruntime" in code)
    assert "student-onnx" in program
    program = re.sub(r"(?m)^folder, texts = .*?(  #.*)?$", f"folder, texts = {str(folder)!r}, {texts!r}", program)
    packages = tmp_path / "packages"
    packages.mkdir()
    for module in (np, onnxruntime, tokenizers):
        place = Path(module.__file__).parent
        for found in place.parent.glob(f"{place.name}*"):  # with the libraries of NumPy's wheel
            (packages / found.name).symlink_to(found)
    start = f"import sys\nsys.path.append({str(packages)!r})\n"
    end = "\nassert not {'torch', 'transformers', 'pipeline'} & set(sys.modules)"
    # Neither the current folder nor site-packages is on the path.
    command = [sys.executable, "-I", "-S", "-c", f"{start}{program}{end}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    return ast.literal_eval(said.stdout)


@pytest.mark.filterwarnings("ignore")  # the runtimes cause warnings
@pytest.mark.parametrize(
    ("form", "int8"),
    [
        *((form, False) for form in ANSWERS if form != "openvino"),
        ("onnx", True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("openvino", False), ("openvino", True), ("torch", True))
        ),
    ],
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
    assert is_intact_folder(folder)
    assert read_check(folder) == check
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert (config["model_type"], config["architectures"]) == ("bert", ["BertForSequenceClassification"])
    assert config["of_ours"] == {"texts": ["sentence"]}
    assert "kept_units" not in config
    tokenizer_config = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer_config["model_max_length"] == LENGTH
    # The arguments of the tokenizer's last call are not saved.
    assert (folder / "tokenizer.json").read_bytes() == (student / "tokenizer.json").read_bytes()
    assert (check.alone is not None) is int8
    # If only the weights are 8-bit, rows do not depend on each other.
    assert form == "onnx" or not int8 or (check.alone.changed, check.alone.logit_difference < 0.05) == (0, True)
    for package in (torch, export):  # folders of the traced sources on this machine
        place = str(Path(package.__file__).parents[1]).encode()
        assert [file.name for file in folder.iterdir() if place in file.read_bytes()] == []
    if form == "onnx":
        graph = onnx.load(folder / "model.onnx", load_external_data=False)
        assert {entry.version for entry in graph.opset_import if not entry.domain} == {OPSET}
        assert any("MatMulInteger" in node.op_type for node in graph.graph.node) is int8
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        assert [entry.shape for entry in session.get_inputs()] == [["batch", "sequence"]] * 3
        assert session.get_outputs()[0].shape == ["batch", 2]
        if not int8:
            classifier = open_classifier(folder, max_length=LENGTH)
            texts = [*texts_of(tiny_task), "so so " * LENGTH]
            numbers = classifier(texts).predictions.tolist()
            expected = [classifier.label_names[number] for number in numbers]
            assert said_without_us(folder, texts, tmp_path) == expected
            assert len(set(expected)) > 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["onnx", "torch", "openvino"])
@pytest.mark.parametrize("family", FAMILIES[1:])
def test_every_family_is_exported(family, form, tiny_task, tmp_path):
    model = tiny_classifier(family)
    shrink_(model, random_masks(model, empty_heads=1, empty_neurons=0))
    tokenizer = load_tokenizer(tiny_task.encoder)
    if "token_type_ids" not in inspect.signature(model.forward).parameters or model.config.type_vocab_size < 2:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    export.write_form(model, tokenizer, form, tmp_path / "made", int8=False)
    batch = rows(tokenizer, 3, 9)
    batch["input_ids"] = batch["input_ids"] % 100
    inputs = {name: batch[name] for name in tokenizer.model_input_names}
    with torch.no_grad():
        torch.testing.assert_close(ANSWERS[form](tmp_path / "made", inputs), model(**inputs).logits)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("form", ["onnx", "torch", "openvino"])
def test_factorised_embeddings_are_exported(form, int8, tiny_task, tmp_path):
    model, tokenizer = tiny_classifier(), load_tokenizer(tiny_task.encoder)
    factorise_embeddings_(model, 20, torch.ones(120))
    export.write_form(model, tokenizer, form, tmp_path / "made", int8=int8)
    batch = rows(tokenizer, 3, 9)
    batch["input_ids"] = batch["input_ids"] % 100
    with torch.no_grad():
        expected = model(**batch).logits
    torch.testing.assert_close(ANSWERS[form](tmp_path / "made", batch), expected, rtol=0, atol=0.2 if int8 else 1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_wrong_model_leaves_nothing(student, tiny_task, tmp_path, monkeypatch, quick):
    monkeypatch.setattr(export, "graph_form", lambda model: load_classifier(tiny_task.teacher))
    with pytest.raises(ValueError, match=r"logits differ by up to .* nothing was kept"):
        export_model(student, "torch", tmp_path / "out/exported", tiny_task.data())
    monkeypatch.setattr("stark.problems.problem.score_function", lambda *_: lambda said, _: float(said.sum()))
    with pytest.raises(ValueError, match=r"it lost more than --max_score_loss -1000.*nothing was kept"):
        export_model(student, "dense", tmp_path / "out/exported", tiny_task.data(), max_score_loss=-1e3)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command(student, tiny_task, tmp_path, capsys, monkeypatch, quick):
    options = ["--data.task", "sst2", "--data.data_dir", str(tiny_task.data_dir)]
    monkeypatch.setenv("STARK_CACHE", str(tiny_task.cache))
    cli.main(["export", str(student), "--format", "dense", "--output", str(tmp_path / "dense"), *options])
    said = capsys.readouterr().out
    assert "dropped units are zeros" in said
    assert "1.00 [0.50, 2.00]" in said
    # It is written again into the same folder, but not into a foreign or a changed one.
    cli.main(["export", str(student), "--format", "dense", "--output", str(tmp_path / "dense"), *options])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/thesis.tex").write_text("x")
    (tmp_path / "thesis/check.json").write_text("{}")
    write_checksums(tmp_path / "thesis")
    (tmp_path / "dense/notes.txt").write_text("x")
    (tmp_path / "run").mkdir()
    shutil.copytree(student, tmp_path / "run/student")
    (tmp_path / "run/student-dense").mkdir()
    (tmp_path / "run/student-dense/notes.txt").write_text("x")
    with pytest.raises(SystemExit):
        cli.main(["export", str(tmp_path / "run/student"), "--format", "dense", *options])
    assert "student-dense exists and is not an earlier output" in capsys.readouterr().err
    for wrong, message in (
        (["--format", "dense", "--output", str(tmp_path / "thesis"), *options], "exists and is not an earlier output"),
        (["--format", "dense", "--output", str(tmp_path / "dense"), *options], "is not an earlier output"),
        (["--format", "dense", "--output", str(student.parent), "--overwrite", *options], "the model lies in"),
        (["--format", "dense", "--output", "/dev/null", "--overwrite", *options], "/dev/null is no folder"),
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
    assert (tmp_path / "thesis/thesis.tex").read_text() == "x"
    cli.main(
        ["export", str(student), "--format", "dense", "--output", str(tmp_path / "thesis"), "--overwrite", *options]
    )
    assert not (tmp_path / "thesis/thesis.tex").exists()
    assert is_intact_folder(tmp_path / "thesis")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_dense_teacher_in_8_bits_stands_beside_the_student(student, tiny_task, tmp_path, capsys, quick):
    run = tmp_path / "run"
    shutil.copytree(student, run / "student")
    shutil.copytree(tiny_task.teacher, run / "finetune/model")
    (run / "config.yaml").write_text(f"data: {{task: sst2, data_dir: {tiny_task.data_dir}}}\n")
    Manifest(run).write()
    cli.main(["export", str(run / "student"), "--format", "torch", "--int8", "--max_score_loss", "1"])
    said = capsys.readouterr().out
    assert "dense teacher, int8" in said
    assert re.search(r"\d+ of \d+ rows get another class alone than in their batch", said)
    folder = run / "student-torch-int8"
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set()
    check = read_check(folder)
    assert check.teacher.megabytes > check.megabytes
    data, answer = tiny_task.data(), open_answer(tiny_task.teacher)
    data.setup("test")
    right = torch.cat([answer(batch).argmax(1) == batch["labels"] for batch in data.test_dataloader()])
    assert check.teacher.score == pytest.approx(float(right.float().mean()), abs=0.02)
    assert export._teacher_of(run / "finetune/model") is None
    table = _exported(run)
    assert [row[0] for row in table.rows] == ["student-torch-int8", "dense teacher, beside student-torch-int8"]
    assert [row[2] for row in table.rows] == [f"{100 * score:.1f}" for score in (check.score, check.teacher.score)]
    assert table.rows[0][5:] == [f"{check.changed} of {check.rows}", f"{check.alone.changed} of {check.alone.rows}"]
    (folder / "check.json").write_text((folder / "check.json").read_text().replace('"changed": ', '"changed": 1'))
    with pytest.raises(DamagedError, match=r"check\.json is damaged"):
        _exported(run)


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
from lightning_modules import drop_layers_, load_classifier, load_tokenizer
from pipeline.deploy.export import export
export.write_form(load_classifier(sys.argv[1]), load_tokenizer(sys.argv[1]), "torch", Path(sys.argv[2]), int8=False)
import cli
cli.main(["export", sys.argv[1], "--format", "onnx", "--data.task", "sst2"])
"""


@pytest.mark.slow
def test_without_the_extra_the_command_names_it(student, tmp_path):
    """In a process in which ONNX cannot be found, the other formats still work."""
    command = [sys.executable, "-c", HIDE, str(student), str(tmp_path / "made")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.stderr.startswith("stark: loading the libraries\n")
    assert said.stderr.endswith(
        "\nstark: error: --format onnx needs the extra [onnx] (onnx, onnxscript, onnxruntime): "
        "pip install '.[onnx]' in the folder of the source, or see README.md, Installing\n"
    )
    assert said.returncode == 2
    assert (tmp_path / "made/model.pt2").is_file()
