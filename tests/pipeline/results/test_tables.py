"""The table at the end of a run."""

from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.results.statistics import Estimate
from pipeline.results.summary import Alternative, Asked, Choice, Comparison, Model, Removed
from pipeline.results.tables import choice_text, comparison_lines, contenders, summary_table, verdict_line
from tests.pipeline.runs import model_of, summary_of


def model(name: str, folder: str, score: float, sparsity: float | None, seed: int = 1, **known: object) -> Model:
    values = {
        "teacher_sparsity": sparsity,
        "lam": 0.25 if sparsity else None,
        "seed": None if sparsity is None else seed,
        "dev": {"accuracy": score - 0.01, "score": score - 0.01},
        "achieved": Removed(heads=0.6875, neurons=0.7),
        "parameters": 1_234_567,
        "encoder_parameters": 500_000,
    }
    return model_of(folder, score, name=name, **{**values, **known})


def shown(models: list[Model], width: int = 80) -> str:
    console = Console(width=width, record=True)
    console.print(summary_table(summary_of(*models)))
    return console.export_text()


def test_table_marks_the_best_and_shows_every_number():
    dense = model("dense teacher", "a", 0.9, None, parameters=2_345_678, encoder_parameters=1_500_000)
    models = [dense, model("student", "b", 0.8, 0.0), model("student", "c", 0.85, 0.2)]
    text = shown(models)
    assert "rte, seed 7, search exhaustive" in text
    (best,) = (line for line in text.splitlines() if "student *" in line)
    assert best.split() == ["student", "*", "0.25", "0.2", "0.8500", "0.8400", "12"]
    assert "teacher: 2.35 M parameters, 1.50 M in the encoder" in text
    assert "student: 1.23 M parameters, 0.50 M in the encoder" in text
    assert "removed: 69% of the heads, 70% of the neurons" in text


def test_layers_that_were_kept_are_named():
    student = model("student", "b", 0.8, 0.0, asked=Asked(None, 4))
    text = shown([model("dense teacher", "a", 0.9, None), student])
    assert "kept: 4 layers of the encoder" in text
    assert "removed" not in text


@pytest.mark.parametrize(
    "metrics", [("accuracy",), ("accuracy", "f1"), ("matthews_corrcoef",), ("pearson", "spearmanr")]
)
def test_a_row_is_a_line_of_80_columns(metrics):
    name = "student of sparse teacher"
    dev = dict.fromkeys((*metrics, "score"), 0.8125)
    students = [model(name, f"{s}", 0.8, 0.25, s, dev=dev) for s in (41, 42)]
    models = [model("dense teacher", "a", 0.9, None, dev=dev), *students]
    models = models if metrics[0] in ("accuracy", "f1") else models[:2]  # others leave no room for the seed
    text = shown(models)
    (best,) = (line for line in text.splitlines() if f"{name} *" in line)
    assert best.split()[-len(metrics) - 2 : -1] == ["0.8000", *["0.8125"] * len(metrics)]
    assert text.count("0.8125") == len(models) * len(metrics)


@pytest.mark.parametrize(
    "metrics",
    [
        ("accuracy", "macro_f1", "balanced_accuracy"),
        ("accuracy", "f1", "matthews_corrcoef"),
        ("pearson", "mae", "rmse"),
    ],
)
def test_nothing_is_cut_with_three_metrics(metrics):
    dev = dict.fromkeys((*metrics, "score"), 0.8125)
    text = shown([model("dense teacher", "a", 0.9, None, dev=dev), model("student of d", "b", 0.8, 0.25, dev=dev)])
    assert "\u2026" not in text
    words = text.split()
    assert all(part in words for name in metrics for part in name.replace("_", "_ ").split())


def test_seeds_are_told_apart_where_there_are_several():
    models = [model("dense teacher", "a", 0.9, None), *(model("student", f"{s}", 0.8, 0.2, s) for s in (41, 42))]
    for some, expected in ((models, ["seed", "41", "42"]), (models[:2], [])):
        text = shown(some).split("search exhaustive")[1]
        assert [word for word in ("seed", "41", "42") if word in text] == expected


def test_without_sparse_teachers_no_search_is_shown():
    models = [model("dense teacher", "a", 0.9, None), model("student of dense teacher", "b", 0.8, 0.0)]
    text = shown(models)
    assert not any(word in text for word in ("search", "lam", "sparsity"))
    assert text.splitlines()[0].strip() == "rte, seed 7"
    (row,) = (line for line in text.splitlines() if line.startswith("student of dense"))
    assert row.split()[-3:] == ["0.8000", "0.7900", "12"]


def test_comparisons_are_in_points():
    compared = [Comparison("random", "sparse_teacher", Estimate(value=0.5, low=-1.25, high=2.0))]
    choices = (Choice(1, {}), Choice(2, {}))
    found = comparison_lines(summary_of(choices=choices, comparisons=compared))
    assert found == ["sparse_teacher minus random: +0.50 points on dev, 95 % interval [-1.25, +2.00]"]
    (alone,) = comparison_lines(summary_of(choices=choices[:1], comparisons=compared))
    assert alone == "sparse_teacher minus random: +0.50 points on dev, one run: no interval for other seeds"


@pytest.mark.parametrize(
    ("scores", "best", "search", "said"),
    [
        ((0.8, 0.85), 1, "exhaustive", "best distilled student on the selection part (200 rows)"),
        (
            (0.84, 0.85),
            0,
            "exhaustive",
            "chosen: the dense teacher's student, within one standard error of the best",
        ),
        ((0.9, 0.85), 1, "none", "student of the only candidate: search.mode is none"),
    ],
)
def test_the_star_says_why(scores, best, search, said):
    dense = model("dense teacher", "a", 0.99, None)
    undistilled = model("student, not distilled", "b", 0.95, None)
    students = [model("of dense", "c", scores[0], 0.0), model("of sparse", "d", scores[1], 0.2)]
    summary = replace(summary_of(dense, undistilled, *students), best=students[best], search=search, selection_rows=200)
    assert choice_text(summary).startswith(said)


def alternative(name, score, folder="alternatives/tfidf", over=-9.0):
    values = {"accuracy": score, "score": score}
    points = Estimate(over, over - 1, over + 1)
    known = {"name": name, "folder": folder, "rows": 100, "megabytes": 0.5, "over_teacher": points}
    return Alternative(**known, selection=values, dev=values, over_student=points)


def test_alternatives_are_below_the_models_and_the_line_says_whether_one_is_enough():
    dense, student = model("dense teacher", "a", 0.9, None), model("student", "b", 0.85, 0.0)
    constant = alternative("constant answer", 0.5, "alternatives/majority", over=-40.0)
    lost = Estimate(-1.0, -2.0, 0.0)
    far = replace(summary_of(dense, student), over_teacher=lost, alternatives=[constant, alternative("TF-IDF", 0.7)])
    console = Console(width=80, record=True)
    console.print(summary_table(far))
    lines = console.export_text().splitlines()
    (row,) = (line for line in lines if line.startswith("TF-IDF"))
    assert row.split() == ["TF-IDF", "0.7000", "0.7000"]
    assert lines.index(row) > next(place for place, line in enumerate(lines) if line.startswith("student"))
    assert verdict_line(far).startswith("Verdict: use the student. ")
    near = replace(far, alternatives=[constant, alternative("TF-IDF", 0.84, over=-1.0)])
    assert verdict_line(near).startswith("Verdict: do not use the student, take TF-IDF. Rule: it is smaller than")
    assert [found.kind for found in contenders(near)] == ["teacher", "student", "constant", "simple"]
    assert contenders(near)[1].megabytes == 4 * student.parameters / 1e6
    assert verdict_line(replace(far, alternatives=None)) == ""
    assert contenders(summary_of(dense)) == []
