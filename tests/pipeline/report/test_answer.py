"""The first sentences of a run's page."""

import torch

from pipeline.deploy.export.check import Check
from pipeline.report.answer import answer, export_answer, score_explained
from pipeline.report.difference import DevAnswers, Difference
from pipeline.report.measuring import MeasuredModel
from pipeline.report.reading import RunRecord
from pipeline.results.statistics import Estimate
from stark.forward.latency import Latency
from tests.pipeline.runs import summary_of


def measured(folder, score, milliseconds, megabytes):
    return MeasuredModel(
        name=folder,
        folder=folder,
        score=Estimate(score, score - 0.01, score + 0.01),
        parameters=10,
        encoder_parameters=5,
        megabytes=megabytes,
        tokens=128,
        gflops=1.0,
        latency={"cpu": {(1, 128): Latency(milliseconds, milliseconds, milliseconds)}},
        memory=100.0,
        calibration=None,
    )


TEACHER, STUDENT = measured("finetune/model", 0.93, 6.0, 90.0), measured("student", 0.91, 2.0, 45.0)


def said(seeds=(7,)):
    labels = torch.zeros(1872)
    predictions = torch.zeros(len(seeds), 1872)
    return DevAnswers("sst2", "a", ["accuracy"], labels, lambda *_: 0.0, predictions[:1], predictions, list(seeds))


def test_a_manager_reads_one_sentence():
    found = Difference(Estimate(-2.0, -3.9, -0.1), "other rows")
    text = answer(TEACHER, STUDENT, found, said())
    assert text.startswith(
        "The student is 3.0 times as fast as its teacher (1 row of 128 tokens on the CPU), its file has"
    )
    assert "45.0 MB instead of 90.0 MB, and its score on dev is 2.0 points lower: 91.0 instead of 93.0." in text
    assert text.endswith("The 95 % interval of this difference for other rows is -3.9 to -0.1 points.")
    more = Difference(Estimate(0.5, -0.2, 1.2), "other rows and seeds")
    text = answer(TEACHER, STUDENT, more, said((1, 2, 3)))
    assert "its score on dev is 0.5 points higher: 91.0 (mean of 3 seeds) instead of 93.0." in text
    assert "for other rows and seeds is -0.2 to +1.2 points." in text


def test_the_score_is_explained(tmp_path):
    settings = {"data": {"selection": "train"}}
    summary = summary_of(selection_rows=1300, score_metrics=["accuracy", "f1"])
    assert score_explained(RunRecord(tmp_path, settings, {}, []), summary, 1872) == (
        "The score is the mean of accuracy and f1, in hundredths, on the 1,872 rows of dev. Dev was used for no "
        "choice: the student was chosen by the score on the selection part, 1,300 rows held out of the training rows."
    )
    settings["data"]["selection"] = "validation"  # as in the released code
    text = score_explained(RunRecord(tmp_path, settings, {}, []), summary_of(), 1872)
    assert text.startswith("The score is accuracy, in hundredths, on the 1,872 rows of dev. The student was chosen by")
    assert text.endswith("on the same rows, so that its score is too good.")


def test_exported_forms_follow():
    latency = {"1x32": Latency(1.0, 1.0, 1.0), "1x128": Latency(2.0, 2.0, 2.0), "32x128": Latency(9.0, 9.0, 9.0)}
    before = {shape: Latency(2.5 * value.median, 1.0, 9.0) for shape, value in latency.items()}
    check = Check("onnx", True, "sst2", 872, 0.905, 0.91, 0.1, 4, 23.0, 45.0, latency, before)
    assert export_answer("student-onnx-int8", check) == (
        "As onnx with weights of 8 bits (student-onnx-int8) it has 23.0 MB, is 2.5 times as fast as the student in "
        "PyTorch (1 row of 128 tokens) and scores 90.5; 4 of 872 rows of dev get another class (logits differ by "
        "up to 0.1)."
    )


def test_exported_forms_of_a_model_without_classes_have_no_changed_classes():
    check = Check("onnx", True, "stsb", 1500, 0.766, 0.767, 1.25, None, 16.2, 61.2, {}, {})
    assert export_answer("student-onnx-int8", check) == (
        "As onnx with weights of 8 bits (student-onnx-int8) it has 16.2 MB and scores 76.6; scores of 1500 rows of dev "
        "differ by up to 1.2."
    )
