"""The models of a run that could be used, and the verdict in words."""

import shutil
from dataclasses import replace

import pytest

from pipeline.report import usable
from pipeline.report.reading import read_run
from pipeline.report.usable import usable_models, verdict_lines
from pipeline.results.statistics import estimate_difference_of_means
from pipeline.run_folder import RunFolder
from stark.problems.metrics import score_function
from stark.storage import read_tensors
from tests.pipeline.conftest import USE


def test_scores_and_differences_are_those_of_the_predictions_of_dev(simple_run, quick):
    record = read_run(simple_run)
    found = {model.folder: model for model in usable_models(record, measure=True).models}
    tensors, _ = read_tensors(simple_run / "dev_logits.safetensors")
    labels, accuracy = tensors["labels"], score_function(["accuracy"], 2)
    teacher, tfidf = tensors["finetune/model"].argmax(1), tensors["alternatives/tfidf"]
    assert found["alternatives/tfidf"].score.value == pytest.approx(float((tfidf == labels).double().mean()))
    expected = estimate_difference_of_means(teacher[None], tfidf[None], labels, accuracy)
    over = found["alternatives/tfidf"].contender.over_teacher
    assert (over.value, over.low, over.high) == pytest.approx(
        (100 * expected.value, 100 * expected.low, 100 * expected.high)
    )
    kinds = [model.contender.kind for model in found.values()]
    assert kinds == ["teacher", "student", "constant", "simple", "simple", "simple"]
    assert {model.use for model in found.values()} == {USE}
    assert found[record.summary.best.folder].contender.milliseconds == USE.p50


def test_a_constant_answer_is_the_share_of_the_most_frequent_class(simple_run):
    tensors, _ = read_tensors(simple_run / "dev_logits.safetensors")
    (constant,) = tensors["alternatives/majority"].unique().tolist()
    summary = read_run(simple_run).summary
    assert summary.alternatives[0].dev["accuracy"] == pytest.approx(
        float((tensors["labels"] == constant).double().mean())
    )


def test_without_the_data_the_verdict_says_what_is_missing(simple_run, quick, monkeypatch):
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError("dev.tsv does not exist")

    monkeypatch.setattr(usable, "data_of", gone)
    found = usable_models(read_run(simple_run), measure=True)
    assert found.notes == ["The models are not measured on rows of dev: dev.tsv does not exist."]
    assert all(model.use is None for model in found.models)
    assert verdict_lines(found)[-1] == found.notes[0]
    assert not any("Dollars" in line for line in verdict_lines(found))


def test_what_is_missing_is_said(pruned_run, simple_run, quick, monkeypatch):
    assert usable_models(read_run(pruned_run), measure=True).notes[0].startswith("The run has no simple alternatives")
    monkeypatch.setattr(usable, "why_not_quantised", lambda: "install it")
    assert usable_models(read_run(simple_run), measure=True).notes == [
        "Models with 8 bits are not compared: install it."
    ]


def test_a_run_of_an_earlier_version_has_no_verdict(simple_run):
    record = read_run(simple_run)
    old = replace(record, summary=replace(record.summary, over_teacher=None))
    found = usable_models(old, measure=True)
    assert found.models == []
    assert verdict_lines(found) == [
        "An earlier version made this run, without simple alternatives: give its command again for a verdict."
    ]
    assert verdict_lines(usable_models(replace(record, summary=None), measure=True)) == []


def test_nothing_is_measured_for_a_card(simple_run, tmp_path, monkeypatch):
    folder = shutil.copytree(simple_run, tmp_path / "run")
    monkeypatch.setattr(usable, "measure_uses", lambda *_: pytest.fail("measured"))
    found = usable_models(read_run(folder), measure=False)
    assert len(found.models) == 6
    assert all(model.use is None for model in found.models)
    assert not RunFolder(folder).int8.path.exists()
