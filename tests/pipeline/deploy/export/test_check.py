import json

import pytest

from pipeline.deploy.export.check import (
    Alone,
    Check,
    TeacherForm,
    alone_text,
    read_check,
    write_check,
)
from pipeline.execution.belongings import EXPORT_CHECK, is_export
from stark.forward.latency import Latency
from stark.storage import write_checksums

LATENCY = {"1x32": Latency(1.0, 0.5, 2.0)}
EARLIER = {
    **{"format": "onnx", "int8": True, "task": "sst2", "rows": 600, "score": 0.79, "score_before": 0.8},
    **{"logit_difference": 0.1, "changed": 6, "megabytes": 0.8, "megabytes_before": 1.0},
}


def test_what_is_written_is_read(tmp_path):
    check = Check(
        **EARLIER,
        latency=LATENCY,
        latency_before=LATENCY,
        alone=Alone(256, 8, 0.25),
        teacher=TeacherForm(0.81, 1.5, LATENCY),
    )
    write_check(tmp_path, check)
    assert read_check(tmp_path) == check
    assert alone_text(check.alone).startswith("8 of 256 rows get another class alone")


def test_one_of_the_earlier_version_is_read(tmp_path):
    latency = {"1x32": {"median": 1.0, "low": 0.5, "high": 2.0}}
    (tmp_path / EXPORT_CHECK).write_text(json.dumps({**EARLIER, "latency": latency, "latency_before": latency}))
    check = read_check(tmp_path)
    assert (check.rows, check.latency, check.alone, check.teacher) == (600, LATENCY, None, None)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"latency": {}, "latency_before": {}, "all tests": "passed"}'])
def test_any_other_check_is_refused(tmp_path, content):
    (tmp_path / EXPORT_CHECK).write_text(content)
    with pytest.raises(ValueError, match=r"check\.json is not what stark export writes: "):
        read_check(tmp_path)


def test_an_export_is_a_whole_folder_with_its_check(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"x")
    write_checksums(tmp_path)
    assert not is_export(tmp_path)  # a folder with checksums need not be an export
    write_check(tmp_path, Check(**EARLIER, latency=LATENCY, latency_before=LATENCY))
    write_checksums(tmp_path)
    assert is_export(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert not is_export(tmp_path)
    (tmp_path / EXPORT_CHECK).write_text("{}")
    write_checksums(tmp_path)
    assert not is_export(tmp_path)
