import re
import xml.dom.minidom

import torch

from pipeline.execution.manifest import Record
from pipeline.report.marks import (
    DENSE_TEACHER,
    SPARSE_TEACHER,
    STUDENT_OF_DENSE,
    STUDENT_OF_SPARSE,
    marks_of,
    run_marks,
)
from pipeline.report.measuring import Kept, MeasuredModel
from pipeline.report.pictures import (
    curve_pictures,
    kept_picture,
    latency_picture,
    score_picture,
    seconds_picture,
    sparsity_picture,
    unit_pictures,
)
from pipeline.report.reading import Curve, RunRecord, UnitScatter
from pipeline.results.statistics import Estimate
from stark.forward.latency import Latency
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
    names = [set(re.findall(r'\bid="([^"]*)"', curve_pictures(curves)[0].svg)) for _ in range(2)]
    assert not names[0] & names[1]


def colors(picture):
    """The colours in which a picture draws."""
    return set(re.findall(r"(?:stroke|fill): (#[0-9a-f]{6})", picture.svg))


def test_curves_name_the_models_that_the_fits_train():
    curves = [
        Curve("finetune", [(1, 0.5), (2, 0.4)], [(2, 0.8)]),
        Curve("seed_1/trial", [(1, 0.5)], []),
        Curve("seed_1/distill/0.5_0.1", [(1, 0.5)], [(1, 0.5)]),
        Curve("seed_2/distill/0.5_0.1", [(1, 0.5)], [(1, 0.5)]),
        Curve("seed_1/distill/random_0.1", [(1, 0.5)], [(1, 0.5)]),
    ]
    (losses,) = curve_pictures(curves)  # a picture of the scores would have dots alone
    assert {
        *("dense teacher", "student of dense teacher", "student of sparse teacher, 2 fits"),
        *("student of a baseline", "training loss"),
    } <= texts(losses)
    assert {run_marks()[name].color for name in (DENSE_TEACHER, STUDENT_OF_DENSE, STUDENT_OF_SPARSE)} <= colors(losses)
    assert curve_pictures(curves[1:]) == []
    both = curve_pictures([Curve("finetune", [(1, 0.5), (2, 0.4)], [(1, 0.8), (2, 0.9)])])
    assert "score on the selection part" in texts(both[1])


def test_scores_of_units():
    scatter = UnitScatter([torch.rand(3), torch.rand(3)], [torch.rand(3), torch.rand(3)])
    for picture, kind in zip(unit_pictures({"heads": scatter, "neurons": scatter}), ("heads", "neurons"), strict=True):
        assert picture.title == f"Scores of the teacher's {kind}, each layer divided by its norm"
        assert {"expressiveness", "friendliness", "layer", "0", "1"} <= texts(picture)
        assert not any("mathdefault" in text for text in texts(picture))


def test_many_decades_have_fewer_numbers():
    scatter = UnitScatter([torch.logspace(-4, 0, 9)], [torch.logspace(-4, 0, 9)])
    (picture,) = unit_pictures({"neurons": scatter})
    assert {"0.01", "0.1"} <= texts(picture)
    assert "0.03" not in texts(picture)
    (picture,) = unit_pictures({"neurons": UnitScatter([torch.logspace(-2, -1, 9)], [torch.logspace(-2, -1, 9)])})
    assert "0.03" in texts(picture)


def test_kept_units():
    half = torch.tensor([True, False, False, True])
    kept, whole = Kept([half, ~half], [half, torch.ones(4, dtype=torch.bool)]), Kept([half] * 2, [half] * 2)
    marks = run_marks()
    picture = kept_picture([("student", marks[SPARSE_TEACHER], kept), ("other", marks[DENSE_TEACHER], whole)])
    assert {"student", "other", "neurons", "50%", "100%"} <= texts(picture)
    assert {marks[SPARSE_TEACHER].color, marks[DENSE_TEACHER].color} <= colors(picture)


def model(name, score=0.8):
    latency = {"cpu": {(1, 128): Latency(2.0, 1.0, 3.0)}}
    return MeasuredModel(name, "model", Estimate(score, 0.7, 0.9), 1, 1, 1.0, 128, 1.0, latency, 1.0, None)


def test_long_names_are_shown_whole():
    """Also a name without a space. In order, its pieces are the name, and no piece is too long for a phone."""
    path = "/a/very/long/path/that/no/line/of/any/picture/has/room/for/in/runs/of-last-month/mrpc, student"
    models = [model("runs/mrpc"), model(path), model(path.replace("student", "teacher"))]
    marks = marks_of(each.name for each in models)
    for picture in (score_picture(models, marks), latency_picture(models, marks, "cpu", (1, 128))):
        shown = [
            node.firstChild.data
            for node in xml.dom.minidom.parseString(picture.svg).getElementsByTagName("text")
            if node.firstChild is not None
        ]
        assert path.replace(" ", "") in "".join(shown).replace(" ", "")
        assert max(map(len, shown)) <= 52
        assert {mark.color for mark in marks.values()} <= colors(picture)


def test_scores_by_sparsity():
    def model(sparsity, lam, score, baseline=None):
        return model_of(score=score, teacher_sparsity=sparsity, lam=lam, baseline=baseline)

    models = [model(0.0, None, 0.7), model(0.1, 0.5, 0.8), model(0.3, 0.5, 0.75), model(0.3, 1.0, 0.6)]
    picture = sparsity_picture(summary_of(*models, model(0.1, 0.5, 0.1, "random"), model(None, None, 0.9)))
    assert {
        *("student of sparse teacher, lam 0.5", "student of sparse teacher, lam 1", "student of dense teacher"),
        *("0.1", "0.3"),
    } <= texts(picture)
    marks = run_marks()
    assert {marks[STUDENT_OF_DENSE].color, marks[STUDENT_OF_SPARSE].color} <= colors(picture)
    assert marks[DENSE_TEACHER].color not in colors(picture)
    for few in (models[:1], models[:2]):
        assert sparsity_picture(summary_of(*few)) is None  # a single dot says nothing


def test_seconds_are_added_up(tmp_path):
    stages = {
        name: Record({}, {}, seconds=seconds)
        for name, seconds in (("finetune", 7.0), ("seed_1/trial", 2.0), ("seed_2/trial", 3.0))
    }
    assert {"7 s", "5 s in 2", "trial"} <= texts(seconds_picture(RunRecord(tmp_path, {}, stages, [])))
