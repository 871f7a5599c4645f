"""The family, kind of label, loss, score and budget of docs/extending.md, as plugins in one run."""

import csv
import json

import pytest
from safetensors import safe_open

from tests.docs.pages import BLOCK, DOCS, ROWS, files, follow

PLUGINS = ["my_family.py", "my_labels.py", "my_losses.py", "my_scores.py", "my_budgets.py"]


@pytest.fixture(scope="module")
def followed(tmp_path_factory, warm):
    folder = tmp_path_factory.mktemp("extending")
    follow("extending.md", folder, warm)
    return folder


@pytest.mark.parametrize("name", PLUGINS)
def test_each_is_one_small_file(name):
    assert len(files("extending.md")[name].splitlines()) < 30


def test_the_run_of_the_page_has_them_all():
    (command,) = [text for _, _, text in BLOCK.findall((DOCS / "extending.md").read_text()) if "stark run" in text]
    assert all(name in command for name in PLUGINS)


def test_models_of_the_family_have_the_kind_of_label(followed):
    config = json.loads((followed / "runs/extended/student/config.json").read_text())
    assert config["model_type"] == "stark-rembert"
    assert (config["stark_kind"], config["stark_inputs"]["kind"]) == ("ordered", "ordered")
    assert config["problem_type"] == "single_label_classification"


def names_in(file):
    with safe_open(file, "pt") as tensors:
        return set(tensors.keys())


def test_units_are_ranked_by_the_score(followed):
    run = followed / "runs/extended"
    for file in ("prune/student_scores.safetensors", "sparsify/teacher_scores.safetensors"):
        assert {name.split("/")[1] for name in names_in(run / file)} == {"certainty"}
    assert [model["lam"] for model in json.loads((run / "summary.json").read_text())["models"]].count(None) >= 3


def test_every_layer_loses_the_fraction_of_the_budget(followed):
    run = followed / "runs/extended"
    student, teacher = (
        json.loads((run / name / "config.json").read_text())["kept_units"] for name in ("prune/model", "sparsify/0.25")
    )
    for units, heads, neurons in ((student, 2, 32), (teacher, 3, 48)):
        assert [count(layer) for layer in units["heads"]] == [heads, heads]
        assert [count(layer) for layer in units["neurons"]] == [neurons, neurons]


def count(ranges):
    ends = [part.split("-") for part in ranges.split(",")]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def test_the_loss_was_trained(followed):
    assert names_in(followed / "runs/extended/trial/loss.safetensors") == {"project.weight", "project.bias"}


def test_the_student_predicts(followed):
    with (followed / "predicted.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == ROWS - 1
    for row in rows:
        names = ("contradiction", "neutral", "entailment")
        mean = sum(place * float(row[f"probability_{name}"]) for place, name in enumerate(names))
        assert row["predicted"] == names[round(mean)]
        assert row["probability"] == row[f"probability_{row['predicted']}"]
