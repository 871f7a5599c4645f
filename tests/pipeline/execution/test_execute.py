"""Executing single stages; test_run.py tests whole runs."""

import errno
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from callbacks import Interrupted
from lightning_modules.checkpoints import write_checkpoint
from pipeline.execution.display import Display
from pipeline.execution.execute import begin, execute_all, run_fits
from pipeline.execution.manifest import Manifest
from pipeline.execution.plan import Decision, decide
from pipeline.execution.stage import Stage
from stark.storage import ReadError, signed
from tests.passing import unreadable


@pytest.fixture
def manifest(tmp_path):
    return Manifest.read(tmp_path / "run")


def make_stage(manifest, done, *, fails=False, is_fit=False, **settings):
    def work(watch, resume):
        done.append(resume)
        (manifest.folder / "one").mkdir(parents=True, exist_ok=True)
        (manifest.folder / "one/metrics.csv").write_text("x")
        if fails:
            raise RuntimeError("power cut")

    return Stage("one", (), settings, ("one/metrics.csv",), work, is_fit=is_fit)


def run(stages, manifest, workers=1):
    execute_all(lambda: stages, manifest, Display(), workers, here=workers == 1)


def test_a_stage_runs_once_and_again_when_its_settings_change(manifest):
    done = []
    for setting in (1, 1, 2):
        run([make_stage(manifest, done, setting=setting)], manifest)
    assert done == [False, False]
    assert Manifest.read(manifest.folder).stages["one"].finished


def test_an_interrupted_stage_goes_on(manifest):
    done = []
    with pytest.raises(RuntimeError, match="power cut"):
        run([make_stage(manifest, done, fails=True)], manifest)
    assert not Manifest.read(manifest.folder).stages["one"].finished
    run([make_stage(manifest, done)], manifest)
    assert done == [False, True]


@pytest.mark.parametrize(("action", "left"), [("run", False), ("continue", True)])
def test_only_a_fit_that_starts_anew_loses_its_folder(manifest, action, left):
    stage = make_stage(manifest, [], is_fit=True)
    stage.work([], False)
    assert begin(stage, manifest, Decision(action, "")) is left
    assert (manifest.folder / "one/metrics.csv").exists() is left
    assert decide(stage, manifest).action == "continue"


@pytest.mark.parametrize("is_fit", [True, False])
def test_a_stage_that_begins_anew_removes_no_file_of_the_users(manifest, is_fit):
    notes = manifest.folder / "one/notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("Try a lower rate.")
    done: list[bool] = []
    stage = replace(make_stage(manifest, done, is_fit=is_fit), outputs=("one",))
    with pytest.raises(FileExistsError, match=r"one/notes\.txt was not written by this run"):
        run([stage], manifest)
    assert (done, notes.read_text(), manifest.stages) == ([], "Try a lower rate.", {})
    notes.rename(manifest.folder / "notes.txt")
    run([stage], manifest)
    assert done == [False]


def test_a_fit_goes_on_beside_files_of_the_users(manifest):
    stage = make_stage(manifest, [], is_fit=True)
    stage.work([], False)
    (manifest.folder / "one/notes.txt").write_text("x")
    assert begin(stage, manifest, Decision("continue", ""))
    assert (manifest.folder / "one/notes.txt").exists()


def test_what_was_made_of_a_model_goes_with_it_and_is_named(manifest, caplog):
    stage = replace(make_stage(manifest, []), outputs=("one",))
    stage.work([], False)
    (manifest.folder / "one/README.md").write_text(signed("# A card"))
    run([stage], manifest)
    assert "one/README.md is removed with the model that it was made from" in caplog.text


def fits(manifest, work, **needs):
    """Stages that are fits, each with the stages that it needs."""

    def make(name, needed):
        def fit(watch, resume):
            (manifest.folder / name).mkdir(parents=True, exist_ok=True)
            work(name, resume)
            (manifest.folder / name / "metrics.csv").write_text(name)

        return Stage(name, needed, {}, (f"{name}/metrics.csv",), fit, is_fit=True)

    return [make(name, needed) for name, needed in needs.items()]


VAL_SCORES = [(0, 0.5), (1, 0.75)]


def leave_checkpoint(folder):
    """Write a checkpoint with the entries that `latest_checkpoint` and `val_scores` read."""
    loops = {"fit_loop": {"epoch_loop.val_loop.batch_progress": {"total": {"completed": 2}}}}
    checkpoint = {"state_dict": {}, "global_step": 9, "pytorch-lightning_version": "", "classifier_config": {}}
    values = {**checkpoint, "loops": loops, "phase": [0, None], "val_scores": [list(entry) for entry in VAL_SCORES]}
    write_checkpoint(values, folder / "checkpoints/last.ckpt")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_finished_fit_leaves_its_scores_and_no_checkpoint(manifest, workers):
    def work(name, resume):
        leave_checkpoint(manifest.folder / name)
        if name == "b":
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run(fits(manifest, work, a=(), b=("a",)), manifest, workers)
    assert Manifest.read(manifest.folder).stages["a"].val_scores == [list(entry) for entry in VAL_SCORES]
    assert sorted(path.name for path in manifest.folder.glob("*/*")) == ["checkpoints", "metrics.csv"]
    assert (manifest.folder / "b/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("killed_at", ["pipeline.execution.manifest.Manifest.keep", "shutil.rmtree"])
def test_what_a_kill_left_of_checkpoints_goes_with_the_next_command(manifest, monkeypatch, killed_at, workers):
    remove = shutil.rmtree

    def kill(path: Any, *_: object, **how: Any) -> None:
        if how and ".checkpoints." not in str(path):  # the removal of another folder
            remove(path, **how)
            return
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:

        def work(name, _):
            leave_checkpoint(manifest.folder / name)
            broken.setattr(killed_at, kill)

        stages = fits(manifest, work, a=())
        with pytest.raises(KeyboardInterrupt):
            run(stages, manifest, workers)
    assert len(list(manifest.folder.glob("a/.checkpoints.*"))) == (killed_at == "shutil.rmtree")
    again = Manifest.read(manifest.folder)
    run(stages, again, workers)
    assert again.stages["a"].val_scores
    assert [path.name for path in (manifest.folder / "a").iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fit_in_a_process_that_was_killed_goes_on(manifest, workers):
    """This also holds for one worker, because a fit with several devices has separate processes."""
    tries = []

    def work(_, resume):
        tries.append(resume)
        if len(tries) < 3:
            raise subprocess.CalledProcessError(128 + signal.SIGKILL, ["fit"])

    run(fits(manifest, work, a=()), manifest, workers)
    assert tries == [False, True, True]


def test_what_is_no_fit_is_not_tried_again(manifest):
    """Such a stage has already repeated its own fits."""
    tries = []

    def work(*_):
        tries.append(0)
        raise subprocess.CalledProcessError(128 + signal.SIGKILL, ["fit"])

    with pytest.raises(subprocess.CalledProcessError):
        run([Stage("search", (), {}, ("search",), work)], manifest)
    assert len(tries) == 1


def test_checkpoints_that_cannot_be_read_now_stay(manifest):
    stages = fits(manifest, lambda name, _: leave_checkpoint(manifest.folder / name), a=())
    with (
        unreadable("a/checkpoints/last.ckpt", errno.EIO),
        pytest.raises(ReadError, match=r"last\.ckpt could not"),
    ):
        run(stages, manifest)
    assert (manifest.folder / "a/checkpoints/last.ckpt").is_file()
    run(stages, manifest)
    assert manifest.stages["a"].val_scores == VAL_SCORES
    assert not (manifest.folder / "a/checkpoints").exists()


def test_fits_run_together_when_they_do_not_need_each_other(manifest):
    together, order = threading.Barrier(2, timeout=20), []

    def work(name, _):
        if name in ("b", "c"):
            together.wait()  # passed only when both run
        order.append(name)

    run(fits(manifest, work, a=(), b=("a",), c=("a",), d=("b", "c")), manifest, workers=2)
    assert order[0] == "a"
    assert order[3] == "d"
    assert all(record.finished for record in Manifest.read(manifest.folder).stages.values())


def test_what_is_no_fit_runs_beside_fits(manifest):
    together = threading.Barrier(2, timeout=10)

    def work(*_):
        together.wait()  # passed only when both run

    def score(*_):
        together.wait()
        (manifest.folder / "score").write_text("x")

    first = Stage("score", (), {}, ("score",), score)
    run([first, *fits(manifest, work, a=())], manifest, workers=2)
    assert all(record.finished for record in Manifest.read(manifest.folder).stages.values())


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_fit_keeps_its_seconds(manifest, workers):
    begun = threading.Event()

    def work(*_):
        begun.set()
        time.sleep(0.1)
        if workers == 1:
            raise Interrupted(signal.SIGTERM)

    def interrupted(*_):
        begun.wait(10)
        time.sleep(0.1)
        raise Interrupted(signal.SIGTERM)

    stages = [*fits(manifest, work, a=()), Stage("score", (), {}, ("score",), interrupted)]
    with pytest.raises(Interrupted):
        run(stages, manifest, workers=workers)
    records = Manifest.read(manifest.folder).stages
    assert not records["a"].finished
    before = records["a"].seconds
    assert before >= 0.1
    run(fits(manifest, lambda *_: time.sleep(0.1), a=()), manifest)
    assert Manifest.read(manifest.folder).stages["a"].seconds > before + 0.09  # seconds are rounded


def test_no_more_than_the_workers(manifest):
    at_work, most, lock = 0, [], threading.Lock()

    def work(*_):
        nonlocal at_work
        with lock:
            at_work += 1
            most.append(at_work)
        threading.Event().wait(0.15)  # longer than the writing of two records
        with lock:
            at_work -= 1

    # New stage objects are created at every call.
    make = partial(fits, manifest, work, **dict.fromkeys("abcdefg", ()))
    execute_all(make, manifest, Display(), workers=3, here=False)
    assert max(most) == 3
    assert len(most) == 7


def test_a_lost_fit_goes_on_and_no_other_is_touched(manifest, caplog):
    tries = []

    def work(name, resume):
        tries.append((name, resume))
        if name == "b" and len([1 for tried, _ in tries if tried == "b"]) < 3:
            raise subprocess.CalledProcessError(137, [])

    run(fits(manifest, work, a=(), b=(), c=()), manifest, workers=2)
    assert [resume for name, resume in tries if name == "b"] == [False, True, True]
    assert len([1 for name, _ in tries if name != "b"]) == 2
    assert "b was killed (status 137) and continues from its checkpoint" in caplog.text


@pytest.mark.parametrize("status", [137, 2])
def test_a_fit_that_fails_for_good_ends_the_run(manifest, status):
    tries = []

    def work(name, _):
        tries.append(name)
        raise subprocess.CalledProcessError(status, [])

    with pytest.raises(subprocess.CalledProcessError):
        run(fits(manifest, work, a=()), manifest, workers=2)
    assert len(tries) == (3 if status == 137 else 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_fits_of_a_stage(workers):
    done = []

    def fit(lost, number):
        done.append((number, lost))
        if number == 3 and not lost:
            raise subprocess.CalledProcessError(137, [])

    run_fits({str(number): partial(fit, number=number) for number in range(5)}, workers)
    assert sorted(done) == [(0, False), (1, False), (2, False), (3, False), (3, True), (4, False)]


def test_a_stage_whose_needs_are_no_stages_is_named(manifest):
    with pytest.raises(RuntimeError, match="stage b needs a, which is no stage"):
        run(fits(manifest, lambda *_: None, b=("a",)), manifest)
