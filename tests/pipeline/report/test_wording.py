from pipeline.report.wording import environment, shape_text


def test_the_environment_has_versions():
    found = environment()
    assert found["torch"].startswith("2.")
    assert "cores" in found["processor"]


def test_shapes():
    assert shape_text({"sparsity": 0.7, "layers": None}) == "70% of heads and neurons removed"
    assert shape_text({"sparsity": None, "layers": 4}) == "4 layers kept"
