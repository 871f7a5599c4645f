"""The manifest: the inputs and outputs of stages, and later changes of these outputs."""

import json

import pytest

from pipeline.execution.manifest import Manifest
from stark.storage import DamagedError

SETTINGS = {"seed": 1, "data.task": "sst2", "trainer.val_check_interval": None}


@pytest.fixture
def folder(tmp_path):
    """A run with a finished and an unfinished stage."""
    (tmp_path / "trial/model").mkdir(parents=True)
    (tmp_path / "trial/model/config.json").write_text("{}")
    (tmp_path / "trial/model/model.safetensors").write_bytes(bytes(100))
    manifest = Manifest.read(tmp_path / "new")
    manifest.folder = tmp_path
    manifest.start("trial", SETTINGS, {"finetune": "abc"})
    manifest.finish("trial", ("trial/model",), 1.5)
    manifest.start("sparsify", SETTINGS, {"trial": manifest.stages["trial"].result()})
    return tmp_path


def test_remembers_stages(folder):
    stages = Manifest.read(folder).stages
    assert stages["trial"].finished
    assert (stages["trial"].settings, stages["trial"].inputs) == (SETTINGS, {"finetune": "abc"})
    assert sorted(stages["trial"].outputs) == ["trial/model/config.json", "trial/model/model.safetensors"]
    assert stages["trial"].seconds == 1.5
    assert not stages["sparsify"].finished


def test_reading_a_new_folder_writes_nothing(tmp_path):
    assert Manifest.read(tmp_path / "new").stages == {}
    assert Manifest.read(tmp_path).stages == {}
    (tmp_path / ".manifest.json.abcdefgh.stark-new").mkdir()  # killed while the first manifest was written
    assert Manifest.read(tmp_path).stages == {}
    assert len(list(tmp_path.iterdir())) == 1


def test_names_what_was_damaged_or_removed(folder):
    manifest = Manifest.read(folder)
    assert manifest.damage("trial") is None
    path = folder / "trial/model/model.safetensors"
    path.write_bytes(bytes(99) + b"\x01")
    assert manifest.damage("trial") == f"{path} is damaged or was changed"
    path.unlink()
    assert manifest.damage("trial") == f"{path} is missing"


def test_the_result_changes_with_any_output(folder):
    manifest = Manifest.read(folder)
    before = manifest.stages["trial"].result()
    (folder / "trial/model/config.json").write_text("{ }")
    manifest.finish("trial", ("trial/model",), 0)
    assert manifest.stages["trial"].result() != before


def test_seconds_add_up_over_interruptions(folder):
    manifest, inputs = Manifest.read(folder), Manifest.read(folder).stages["sparsify"].inputs
    for spent in (1.5, 2):
        manifest.start("sparsify", SETTINGS, inputs)
        assert not Manifest.read(folder).stages["sparsify"].finished
        manifest.spend("sparsify", spent)
    assert manifest.stages["sparsify"].seconds == 3.5
    manifest.start("sparsify", {**SETTINGS, "seed": 2}, inputs)
    assert manifest.stages["sparsify"].seconds == 0


def test_seconds_start_anew_when_a_finished_stage_does(folder):
    manifest = Manifest.read(folder)
    manifest.start("trial", SETTINGS, {"finetune": "abc"})
    manifest.finish("trial", ("trial/model",), 2)
    assert Manifest.read(folder).stages["trial"].seconds == 2


def test_keeps_what_validations_gave_until_the_fit_starts_anew(folder):
    manifest = Manifest.read(folder)
    manifest.keep("trial", [(0, 0.1 + 0.2), (1, 0.75)])
    assert [tuple(entry) for entry in Manifest.read(folder).stages["trial"].val_scores] == [(0, 0.1 + 0.2), (1, 0.75)]
    manifest.start("trial", SETTINGS, {"finetune": "abc"})
    assert Manifest.read(folder).stages["trial"].val_scores == []


def test_forgets(folder):
    manifest = Manifest.read(folder)
    manifest.forget({"trial", "none"})
    assert list(Manifest.read(folder).stages) == ["trial", "sparsify"]
    manifest.write()
    assert list(Manifest.read(folder).stages) == ["sparsify"]


def test_refuses_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="is no run"):
        Manifest.read(tmp_path)


def test_refuses_another_schema(folder):
    values = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**values, "schema": 99}))
    with pytest.raises(ValueError, match="schema 99"):
        Manifest.read(folder)


def test_any_flipped_bit_is_seen(folder):
    path = folder / "manifest.json"
    content = path.read_bytes()
    before = Manifest.read(folder).stages
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 2]) + content[position + 1 :])
        try:
            after = Manifest.read(folder).stages
        except (DamagedError, ValueError):
            continue
        assert after == before, position  # white space
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedError, match=r"manifest\.json is damaged"):
        Manifest.read(folder)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "link/x"])
def test_outputs_outside_of_the_run_are_refused(folder, name):
    (folder / "link").symlink_to("/etc")
    manifest = Manifest.read(folder)
    manifest.stages["trial"].outputs[name] = "0" * 64
    manifest.write()
    with pytest.raises(ValueError, match=r"stage trial: .* leads out of"):
        Manifest.read(folder)


def test_the_settings_file_is_known_and_covered_by_the_checksum(folder):
    manifest = Manifest.read(folder)
    assert manifest.config == ""  # as in earlier versions
    manifest.config = "0" * 64
    manifest.write()
    assert Manifest.read(folder).config == "0" * 64
    path = folder / "manifest.json"
    for config in ("1" * 64, ""):
        values = json.loads(path.read_text()) | {"config": config}
        path.write_text(json.dumps(values))
        with pytest.raises(DamagedError):
            Manifest.read(folder)


def test_a_change_of_threads_is_told_once_when_something_is_computed(folder, caplog):
    manifest = Manifest.read(folder)
    manifest.machine = {"threads": "2", "CPU": "AVX2"}
    inputs = manifest.stages["sparsify"].inputs
    manifest.start("prune", SETTINGS, {})  # stages of an earlier version do not record the machine
    assert not caplog.text
    assert Manifest.read(folder).stages["prune"].machine == {"threads": "2", "CPU": "AVX2"}
    manifest = Manifest.read(folder)
    manifest.machine = {"threads": "4", "CPU": "AVX2"}
    assert not caplog.text  # nothing is computed yet
    manifest.start("prune", SETTINGS, {})
    manifest.start("sparsify", SETTINGS, inputs)
    assert (
        caplog.text.count("earlier parts of this run had threads 2, now 4: on a CPU its results are not bit for") == 1
    )
    # A continued stage keeps the record of the first machine.
    assert Manifest.read(folder).stages["prune"].machine["threads"] == "2"
