"""A model of several labels a row, from its folder to predictions and exports, with its own threshold."""

import csv
import json
import math

import pytest
import torch

import cli
from pipeline.deploy.classifier import open_classifier
from pipeline.deploy.export.export import export_model
from pipeline.deploy.model_data import data_of
from pipeline.deploy.serve import Side, said
from stark.encoders.cutting import shrink_
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.problems.table import problem_of
from tests.own import write_several
from tests.tiny import random_masks

NAMES = ["good", "long", "short"]
TEXTS = ["a good and charming film", "bad", "so, so", "a very good film"]


def save(tiny_task, folder, *, threshold, separator, shrunk=False):
    """A model with random weights, whose probabilities lie on both sides of the threshold."""
    torch.manual_seed(3)
    model = load_classifier(tiny_task.encoder, label_names=NAMES, kind="multi_label")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that texts differ
    model.config.stark_threshold = threshold
    inputs = ModelInputs(24, "tokenizer", ("text",), "multi_label", True, "several", separator)
    model = shrink_(model, random_masks(model)) if shrunk else model
    return save_classifier(model, folder, load_tokenizer(tiny_task.encoder), inputs)


def probabilities_of(folder):
    """The model's probabilities, by transformers alone."""
    model, tokenizer = load_classifier(folder), load_tokenizer(folder)
    with torch.no_grad():
        rows = [model(**tokenizer(text, return_tensors="pt")).logits[0].double().sigmoid() for text in TEXTS]
    return torch.stack(rows)


@pytest.fixture
def threshold(tiny_task, tmp_path):
    """The middle of all probabilities."""
    found = probabilities_of(save(tiny_task, tmp_path / "unknown", threshold=0.5, separator=None))
    return round(found.median().item(), 2)


@pytest.mark.parametrize(("separator", "ending"), [("|", "csv"), (None, "csv"), ("|", "tsv"), ("|", "jsonl")])
def test_rows_get_the_labels_above_the_threshold_as_the_training_data_have_them(
    tiny_task, tmp_path, threshold, separator, ending
):
    folder = save(tiny_task, tmp_path / "model", threshold=threshold, separator=separator)
    source, target = tmp_path / "in.jsonl", tmp_path / f"out.{ending}"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    command = ["predict-file", str(folder), "--input", str(source), "--output", str(target)]
    cli.main(command)
    first = target.read_bytes()
    cli.main(command)  # its own output is replaced
    assert target.read_bytes() == first
    if ending == "jsonl":
        found = [json.loads(line) for line in first.splitlines()]
    else:
        found = list(csv.DictReader(first.decode().splitlines(), delimiter="\t" if ending == "tsv" else ","))
    seen = set()
    for row, probabilities in zip(found, probabilities_of(folder), strict=True):
        labels = [name for name, value in zip(NAMES, probabilities.tolist(), strict=True) if value > threshold]
        seen.add(len(labels))
        listed = json.dumps(labels)
        spelt = labels if ending == "jsonl" else "|".join(labels) if separator and labels else listed
        assert row["predicted"] == spelt
        assert [float(row[f"probability_{name}"]) for name in NAMES] == pytest.approx(probabilities.tolist(), abs=1e-5)
        assert "probability" not in row
    assert len(seen) > 1


def test_somebody_elses_labels_are_not_replaced(tiny_task, tmp_path, threshold, capsys):
    folder = save(tiny_task, tmp_path / "model", threshold=threshold, separator="|")
    source, target = tmp_path / "in.jsonl", tmp_path / "out.csv"
    source.write_text(json.dumps({"text": TEXTS[0]}) + "\n")
    command = ["predict-file", str(folder), "--input", str(source), "--output", str(target)]
    cli.main(command)
    row = next(csv.DictReader(target.read_text().splitlines()))
    order = sorted(NAMES, key=lambda name: -float(row[f"probability_{name}"]))
    target.write_text(target.read_text().replace(f",{row['predicted']},", f",{order[-1]},"))
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "out.csv exists" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["dense", "torch"])
def test_an_export_has_the_threshold_of_its_model(tiny_task, tmp_path, threshold, form):
    path = tmp_path / "data"
    path.mkdir()
    folder = save(tiny_task, tmp_path / "model", threshold=threshold, separator="|", shrunk=True)
    data = data_of(folder, str(write_several(tiny_task, path)))
    check = export_model(folder, form, tmp_path / "exported", data, int8=False)
    first, second = (open_classifier(place) for place in (folder, tmp_path / "exported"))
    assert (second.problem.threshold, second.separator) == (threshold, "|")
    assert torch.equal(first(TEXTS).predictions, second(TEXTS).predictions)
    assert (check.changed, check.score) == (0, pytest.approx(check.score_before))
    rows = data.labelled_texts("dev")
    above = first(rows.text_a).probabilities.logit() - math.log(threshold / (1 - threshold))
    expected = problem_of(load_classifier(folder).config).score_function(data.score_metrics)(
        above, torch.tensor(rows.labels)
    )
    assert check.score_before == pytest.approx(expected, abs=1e-4)


def test_the_page_names_the_threshold(tiny_task, tmp_path, threshold):
    folder = save(tiny_task, tmp_path / "model", threshold=threshold, separator=None)
    ((labels, line),) = said([Side("model", folder, open_classifier(folder))], TEXTS[0])
    assert [labels[name] for name in NAMES] == pytest.approx(probabilities_of(folder)[0].tolist(), abs=1e-5)
    assert f"above {threshold:g}" in line
