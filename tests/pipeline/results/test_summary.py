"""What is chosen, of models whose scores are made up; test_run.py has real ones."""

from pipeline.execution.manifest import Manifest, Record
from pipeline.results import summary
from stark.storage import write_json


def test_it_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / "summary.json", {"schema": 2, "best": {"folder": "x"}})
    manifest = Manifest(tmp_path, {"evaluate": Record({}, {})})
    manifest.finish("evaluate", ("summary.json",), 0)
    assert summary.read_summary(tmp_path) == {"schema": 2, "best": {"folder": "x"}}
