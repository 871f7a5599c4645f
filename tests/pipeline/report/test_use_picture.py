import random
import re

from pipeline.report.marks import run_marks
from pipeline.report.usable import Usable
from pipeline.report.use_picture import front, use_picture
from pipeline.results.statistics import Estimate
from pipeline.results.verdict import Contender
from tests.pipeline.conftest import USE


def test_every_model_that_is_not_on_the_front_is_beaten_by_one_that_is():
    draw = random.Random(0)
    for _ in range(50):
        points = {str(number): (draw.randint(1, 9), draw.randint(1, 9)) for number in range(8)}
        found = front(points)
        for name, (price, score) in points.items():
            beaten = any(
                points[other][0] <= price and points[other][1] >= score and points[other] != (price, score)
                for other in points
            )
            assert not (beaten and name in found)
            assert beaten or points[name] in [points[other] for other in found]


def test_the_picture_has_every_model_with_its_mark_and_tells_the_front():
    marks = run_marks()
    models = [
        Usable(name, name, Contender(name, "simple", 80), Estimate(score, score - 0.1, min(score + 0.1, 1)), USE)
        for name, score in (("TF-IDF", 0.7), ("dense teacher", 0.9), ("teacher in int8", 0.8))
    ]
    picture = use_picture(models, marks)
    assert "Front by latency: dense teacher. Front by size: dense teacher" in picture.svg
    for model in models:
        assert model.name in picture.svg
        assert marks[model.name].color in picture.svg
    assert len(set(re.findall(r"milliseconds for one row|size of all files", picture.svg))) == 2
