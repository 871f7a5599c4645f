"""The first sentences of a run's page."""

import pytest
import torch

from pipeline.deploy.export.check import Check
from pipeline.report.answer import answer, export_answer, paired_difference
from pipeline.report.measuring import MeasuredModel
from pipeline.results.latency import Latency
from pipeline.results.statistics import Estimate


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


def test_a_manager_reads_one_sentence():
    text = answer(TEACHER, STUDENT, Estimate(-2.0, -3.9, -0.1))
    assert text.startswith(
        "The student is 3.0 times as fast as its teacher (1 row of 128 tokens on the CPU), its file has"
    )
    assert "45.0 MB instead of 90.0 MB, and it scores 2.0 points less on dev: 91.0 instead of 93.0." in text
    assert text.endswith("for other rows is -3.9 to -0.1 points.")
    assert "0.5 points more on dev" in answer(TEACHER, STUDENT, Estimate(0.5, -0.2, 1.2))


def test_the_difference_is_paired():
    """Both are right on 80 % of the rows; the interval depends on how many rows they disagree on."""
    labels = torch.zeros(500)
    first = (torch.arange(500) >= 400).float()
    near, far = first.clone(), first.flip(0)
    near[:5], near[400:405] = 1, 0

    def accuracy(predicted, labels):
        return float((predicted == labels).double().mean())

    widths = []
    for second, disagreeing in ((near, 10), (far, 200)):
        predictions = {"finetune/model": first, "student": second}
        found = paired_difference(TEACHER, STUDENT, predictions, labels, accuracy)
        assert found.value == pytest.approx(0)
        widths.append((found.high - found.low) / 2)
        assert widths[-1] == pytest.approx(100 * 1.96 * disagreeing**0.5 / 500, rel=0.15)


def test_exported_forms_follow():
    latency = {"1x32": Latency(1.0, 1.0, 1.0), "1x128": Latency(2.0, 2.0, 2.0), "32x128": Latency(9.0, 9.0, 9.0)}
    before = {shape: Latency(2.5 * value.median, 1.0, 9.0) for shape, value in latency.items()}
    check = Check("onnx", True, "sst2", 872, 0.905, 0.91, 0.1, 4, 23.0, 45.0, latency, before)
    assert export_answer("student-onnx-int8", check) == (
        "As onnx with weights of 8 bits (student-onnx-int8) it has 23.0 MB, is 2.5 times as fast as the student in "
        "PyTorch (1 row of 128 tokens) and scores 90.5, 4 of 872 rows with another class than before."
    )
