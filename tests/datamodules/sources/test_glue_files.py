"""GLUE's original files."""

from datamodules.sources.glue_files import TSVSource
from datamodules.sources.opening import open_source
from datamodules.tasks.glue import find_task


def test_original_files(tmp_path):
    (tmp_path / "rte").mkdir()
    file = tmp_path / "rte" / "train.tsv"
    file.write_text("h\n0\ta\tb\tentailment\n")
    source = open_source(find_task("rte"), str(tmp_path))
    assert isinstance(source, TSVSource)
    before = source.digest("train")
    assert source.rows("train")[:4] == (["a"], ["b"], [0], [0])
    assert source.rows("train").digest == before
    file.write_text("h\n0\ta\tc\tentailment\n")
    assert source.digest("train") != before
