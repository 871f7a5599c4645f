import torch

from pipeline.latency import Latency
from pipeline.report.wording import environment, shape_text, spread_text, threads_text


def test_the_environment_has_versions():
    found = environment()
    assert found["torch"].startswith("2.")
    assert "cores" in found["processor"]


def test_shapes_and_spreads():
    assert shape_text({"sparsity": 0.7, "layers": None}) == "70% of heads and neurons removed"
    assert shape_text({"sparsity": None, "layers": 4}) == "4 layers kept"
    assert spread_text(Latency(2.04, 1.0, 4.0)) == "2.0 [1.0, 4.0]"
    number = torch.get_num_threads()
    assert threads_text() == ("one thread" if number == 1 else f"{number} threads")
