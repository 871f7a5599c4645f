import re
import xml.dom.minidom

import torch

from pipeline.execution.manifest import Record
from pipeline.report.measuring import Kept, MeasuredModel
from pipeline.report.pictures import (
    curve_picture,
    kept_picture,
    latency_picture,
    score_picture,
    seconds_picture,
    sparsity_picture,
    unit_picture,
)
from pipeline.report.reading import Curve, RunRecord, UnitScatter
from pipeline.results.latency import Latency
from pipeline.results.statistics import Estimate
from tests.pipeline.runs import model_of, summary_of


def texts(picture):
    """The texts of a picture. Checks that it is well-formed, has the page's colour and no external references."""
    document = xml.dom.minidom.parseString(picture.svg)
    names = {node.getAttribute("id") for node in document.getElementsByTagName("*") if node.hasAttribute("id")}
    referred = re.findall(r'href="([^"]*)"', picture.svg) + re.findall(r"url\(([^)]*)\)", picture.svg)
    assert all(name.startswith("data:image/png") or name.removeprefix("#") in names for name in referred)
    assert "currentColor" in picture.svg
    assert "#010203" not in picture.svg
    return {node.firstChild.data for node in document.getElementsByTagName("text") if node.firstChild is not None}


def test_two_pictures_share_no_names():
    curves = [Curve("finetune", [(1, 0.5), (2, 0.4)], [(2, 0.8)])]
    names = [set(re.findall(r'\bid="([^"]*)"', curve_picture(curves).svg)) for _ in range(2)]
    assert not names[0] & names[1]


def test_curves_name_the_fits():
    curves = [
        Curve("finetune", [(1, 0.5), (2, 0.4)], [(2, 0.8)]),
        Curve("trial", [(1, 0.5)], []),
        Curve("distill/0.5_0.1", [(1, 0.5)], [(1, 0.5)]),
    ]
    assert {"finetune", "trial", "other fits", "training loss"} <= texts(curve_picture(curves))


def test_scores_of_units():
    scatter = UnitScatter([torch.rand(3), torch.rand(3)], [torch.rand(3), torch.rand(3)])
    assert {"heads", "neurons", "expressiveness", "friendliness"} <= texts(
        unit_picture({"heads": scatter, "neurons": scatter})
    )


def test_kept_units():
    half = torch.tensor([True, False, False, True])
    said = texts(kept_picture({"student": Kept([half, ~half], [half, torch.ones(4, dtype=torch.bool)])}))
    assert {"student", "neurons", "50%", "100%"} <= said


def test_long_names_leave_room():
    estimate = Estimate(0.8, 0.7, 0.9)
    path = "/a/very/long/path/that/no/picture/has/room/for/runs/mrpc"
    model = MeasuredModel(
        path, "model", estimate, 1, 1, 1.0, 128, 1.0, {"cpu": {(1, 128): Latency(2.0, 1.0, 3.0)}}, 1.0, None
    )
    for picture in (score_picture([model]), latency_picture([model], "cpu", (1, 128))):
        (shown,) = {text for text in texts(picture) if text.endswith("runs/mrpc")}
        assert len(shown) == 30


def test_scores_by_sparsity():
    def model(sparsity, lam, score, baseline=None):
        return model_of(score=score, teacher_sparsity=sparsity, lam=lam, baseline=baseline)

    models = [model(0.0, None, 0.7), model(0.1, 0.5, 0.8), model(0.3, 0.5, 0.75), model(0.3, 1.0, 0.6)]
    picture = sparsity_picture(summary_of(*models, model(0.1, 0.5, 0.1, "random"), model(None, None, 0.9)))
    assert {"of sparse, lam 0.5", "of sparse, lam 1", "of dense teacher", "0.1", "0.3"} <= texts(picture)
    for few in (models[:1], models[:2]):
        assert sparsity_picture(summary_of(*few)) is None  # a single dot says nothing


def test_seconds_are_added_up(tmp_path):
    stages = {
        name: Record({}, {}, seconds=seconds)
        for name, seconds in (("finetune", 7.0), ("seed_1/trial", 2.0), ("seed_2/trial", 3.0))
    }
    assert {"7 s", "5 s in 2", "trial"} <= texts(seconds_picture(RunRecord(tmp_path, {}, stages, [])))
