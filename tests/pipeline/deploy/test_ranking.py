"""A reranker, from its training to predictions and exports."""

import csv

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cli import main
from pipeline.deploy.classifier import open_classifier
from pipeline.deploy.export.export import export_model
from pipeline.deploy.model_data import data_of
from pipeline.deploy.serve import Side, said
from pipeline.report import measuring
from pipeline.report.card import card_of
from pipeline.report.reading import read_run
from pipeline.report.run_page import page_of_run
from stark.encoders.cutting import shrink_
from stark.forward.latency import Latency
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.problems.ranking import Ranking
from tests.own import write_ranking
from tests.pipeline.runs import options, read
from tests.tiny import random_masks


def probabilities(folder, pairs):
    """The sigmoid of the logits, by transformers alone."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        rows = [tokenizer(*pair, truncation=True, max_length=24, return_tensors="pt") for pair in pairs]
        return [model(**row).logits.sigmoid().item() for row in rows]


def test_predictions_and_exports(tiny_task, tmp_path):
    model = load_classifier(tiny_task.encoder, label_names=["relevance"], kind="ranking")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # so that texts differ
    inputs = ModelInputs(24, "tokenizer", ("query", "document"), "ranking", True, "ranked")
    model = shrink_(model, random_masks(model))
    folder = save_classifier(model, tmp_path / "model", load_tokenizer(tiny_task.encoder), inputs)
    (tmp_path / "data").mkdir()
    path = write_ranking(tiny_task, tmp_path / "data")
    main(["predict-file", str(folder), "--input", str(path.with_name("dev.csv")), "--output", str(tmp_path / "o.csv")])
    rows = list(csv.DictReader((tmp_path / "o.csv").read_text().splitlines()))
    pairs = [(row["query"], row["document"]) for row in rows[:9]]
    expected = probabilities(folder, pairs)
    assert [float(row["predicted"]) for row in rows[:9]] == pytest.approx(expected, abs=1e-5)
    ((shown, _),) = said([Side("model", folder, open_classifier(folder))], *pairs[0])
    assert shown == f"{expected[0]:.3f}"
    check = export_model(folder, "dense", tmp_path / "exported", data_of(folder, str(path)), int8=False)
    assert check.changed is None
    assert check.score == pytest.approx(check.score_before)
    assert 0.3 < check.score < 1
    main(
        [
            "predict-file",
            str(tmp_path / "exported"),
            "--input",
            str(path.with_name("dev.csv")),
            "--output",
            str(tmp_path / "e.csv"),
        ]
    )
    exported = list(csv.DictReader((tmp_path / "e.csv").read_text().splitlines()))
    for one, other in zip(rows, exported, strict=True):
        assert float(one["predicted"]) == pytest.approx(float(other["predicted"]), abs=1e-4)


@pytest.mark.slow
def test_a_run_from_a_cross_encoder(tiny_task, tmp_path, monkeypatch, capsys):
    """The whole method, with a teacher that says nothing of its kind, as those of Sentence Transformers."""
    path = write_ranking(tiny_task, tmp_path)
    theirs = load_classifier(tiny_task.encoder, label_names=["LABEL_0"])
    theirs.config.problem_type = None
    theirs.save_pretrained(tmp_path / "theirs")
    load_tokenizer(tiny_task.encoder).save_pretrained(tmp_path / "theirs")
    more = [*("--data.task", str(path), "--model_name_or_path", str(tmp_path / "theirs"), "--baselines", "[simple]")]
    own = ["--finetuning.epochs", "0", "--teacher.sparsities", "[0.2]"]
    command = [
        name for name in options(tiny_task, tmp_path) if name not in ("--data.data_dir", str(tiny_task.data_dir))
    ]
    main([*command, *more, *own])
    run = tmp_path / "tiny"
    summary = read(run)
    assert all(set(model["dev"]) == {"ndcg", "mrr", "score"} for model in summary["models"])
    (comparison,) = summary["comparisons"]
    assert "mcnemar" not in comparison
    assert summary.get("classes") is None
    assert len(summary["alternatives"]) == 4
    read_config = load_classifier(run / "student").config
    assert (read_config.stark_kind, read_config.id2label) == (Ranking.kind, {0: "relevance"})
    monkeypatch.setattr(measuring, "measure_latency", lambda models, *_: dict.fromkeys(models, Latency(2.0, 1.0, 4.0)))
    monkeypatch.setattr(measuring, "_memory", lambda *_: 123.0)
    assert "ndcg" in str(card_of(run / "student"))
    assert "ndcg" in str(page_of_run(read_run(run)))
