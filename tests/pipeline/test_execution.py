"""Executing single stages; test_run.py has whole runs."""

import pytest

from pipeline.display import Display
from pipeline.execution import begin, execute
from pipeline.manifest import Manifest
from pipeline.plan import Decision, Stage, decide


@pytest.fixture
def manifest(tmp_path):
    return Manifest.read(tmp_path / "run")


def make_stage(manifest, done, *, fails=False, is_fit=False, **settings):
    def work(watch, resume):
        done.append(resume)
        (manifest.folder / "one").mkdir(parents=True, exist_ok=True)
        (manifest.folder / "one/file").write_text("x")
        if fails:
            raise RuntimeError("power cut")

    return Stage("one", (), settings, ("one/file",), work, is_fit=is_fit)


def test_a_stage_runs_once_and_again_when_its_settings_change(manifest):
    done = []
    for setting in (1, 1, 2):
        execute(make_stage(manifest, done, setting=setting), manifest, Display())
    assert done == [False, False]
    assert Manifest.read(manifest.folder).stages["one"].finished


def test_an_interrupted_stage_goes_on(manifest):
    done = []
    with pytest.raises(RuntimeError, match="power cut"):
        execute(make_stage(manifest, done, fails=True), manifest, Display())
    assert not Manifest.read(manifest.folder).stages["one"].finished
    execute(make_stage(manifest, done), manifest, Display())
    assert done == [False, True]


@pytest.mark.parametrize(("action", "left"), [("run", False), ("continue", True)])
def test_only_a_fit_that_starts_anew_loses_its_folder(manifest, action, left):
    stage = make_stage(manifest, [], is_fit=True)
    stage.work([], False)
    assert begin(stage, manifest, Decision(action, "")) is left
    assert (manifest.folder / "one/file").exists() is left
    assert decide(stage, manifest).action == "continue"
