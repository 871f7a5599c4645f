import pytest

from pipeline.parsing.extras import need_extra


def test_what_is_missing_is_named():
    need_extra("onnx", "--format onnx", "json", "torch")
    with pytest.raises(
        ValueError, match=r"needs the extra \[x\] \(no_such, nor_this\): pip install '\.\[x\]' in the folder"
    ):
        need_extra("x", "--format x", "no_such", "json", "nor_this")
