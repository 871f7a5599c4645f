"""Checkpoint files: complete, checked and free of code; finding the newest one."""

import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback

from lightning_modules.checkpoints import (
    SafeCheckpointIO,
    bring_home,
    latest_checkpoint,
    read_checkpoint,
    val_scores,
    write_checkpoint,
)
from stark.storage import DamagedError, ReadError, WriteError
from tests.passing import PASSING, few_descriptors, unreadable
from tests.payload import Payload
from tests.tasks import StopAt, Stopped, differences, fit, make_trainer


@pytest.fixture(scope="module")
def fitted(tiny_task, tmp_path_factory):
    """The folder of a fit of two epochs, stopped in the middle of the second."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.raises(Stopped):
        fit(
            make_trainer(folder, [StopAt(folder / "stopped.ckpt", ("step", 10))]),
            tiny_task.finetuning(),
            tiny_task.data(),
        )
    return folder


@pytest.fixture
def checkpoints(fitted, tmp_path):
    return Path(shutil.copytree(fitted / "checkpoints", tmp_path / "checkpoints"))


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 16
    path.write_bytes(content)


def test_what_was_written_comes_back(fitted, tmp_path):
    checkpoint = read_checkpoint(fitted / "stopped.ckpt")
    assert checkpoint["global_step"] == 10
    write_checkpoint(checkpoint, tmp_path / "new/copy.ckpt")
    again = read_checkpoint(tmp_path / "new/copy.ckpt", mapped=True)
    assert differences(again["state_dict"], checkpoint["state_dict"]) == []
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy.ckpt"]


@pytest.mark.parametrize("part", ["data.pkl", "data/7"])
def test_a_flipped_bit_is_seen_in_every_part(checkpoints, part):
    path = checkpoints / "best.ckpt"
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith(part))
    # The content follows the local header, the name and the extra field.
    header = path.read_bytes()[info.header_offset : info.header_offset + 30]
    start = info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    flip(path, start + info.file_size // 2)
    with pytest.raises(DamagedError, match=r"best\.ckpt.* damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(100), "half"])
def test_what_is_no_checkpoint_is_named(checkpoints, content):
    path = checkpoints / "best.ckpt"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(DamagedError, match=r"best\.ckpt is no checkpoint, or damaged"):
        read_checkpoint(path)


def test_checkpoints_of_others_are_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(DamagedError, match=r"other\.ckpt is not a checkpoint of `stark fit`"):
        read_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_does_not_run(tmp_path, zipped, tiny_task):
    path, mark = tmp_path / "evil.ckpt", tmp_path / "ran"
    if zipped:
        torch.save({"state_dict": Payload(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(DamagedError, match=r"evil\.ckpt"):
        read_checkpoint(path)
    with pytest.raises(DamagedError, match=r"evil\.ckpt"):  # even if the caller allows it
        SafeCheckpointIO().load_checkpoint(path, weights_only=False)
    with pytest.raises(DamagedError, match=r"evil\.ckpt"):
        fit(make_trainer(tmp_path), tiny_task.finetuning(), tiny_task.data(), path)
    assert not mark.exists()


def test_a_failed_write_says_so_and_leaves_the_old_one(tmp_path, monkeypatch):
    write_checkpoint({"a": torch.ones(3)}, tmp_path / "x.ckpt")
    before = (tmp_path / "x.ckpt").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match=r"cannot write .*x\.ckpt: No space left on device"):
        write_checkpoint({"a": torch.zeros(3)}, tmp_path / "x.ckpt")
    assert (tmp_path / "x.ckpt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_the_latest_is_the_one_with_most_steps(checkpoints, fitted):
    assert latest_checkpoint(checkpoints).name == "last.ckpt"  # same step as best.ckpt, but written after it
    shutil.copy(fitted / "stopped.ckpt", checkpoints / "zzz.ckpt")
    assert latest_checkpoint(checkpoints).name == "zzz.ckpt"
    (checkpoints / "zzz.ckpt").rename(checkpoints / "aaa.ckpt")
    assert latest_checkpoint(checkpoints).name == "aaa.ckpt"
    assert latest_checkpoint(checkpoints / "none") is None


def test_damaged_ones_are_named_and_passed_over(checkpoints, caplog):
    flip(checkpoints / "last.ckpt", 5000)
    assert latest_checkpoint(checkpoints).name == "best.ckpt"
    assert "last.ckpt" in caplog.text


def test_a_checkpoint_whose_best_weights_are_damaged_or_gone_is_of_no_use(checkpoints):
    flip(checkpoints / "best.ckpt", 5000)
    assert latest_checkpoint(checkpoints) is None
    (checkpoints / "best.ckpt").unlink()
    assert latest_checkpoint(checkpoints) is None


@pytest.mark.parametrize("damage", [lambda path: flip(path, 5000), Path.unlink])
def test_a_damaged_last_one_leaves_the_best_one_usable(checkpoints, damage):
    """From the second validation on, the best checkpoint also names the last one, but does not need it."""
    best = read_checkpoint(checkpoints / "best.ckpt")
    (monitored,) = (state for key, state in best["callbacks"].items() if key.startswith("ModelCheckpoint"))
    latest = {**monitored, "monitor": None, "best_model_path": str(checkpoints / "last.ckpt"), "best_k_models": {}}
    best["callbacks"]["ModelCheckpoint{'monitor': None}"] = latest
    write_checkpoint(best, checkpoints / "best.ckpt")
    damage(checkpoints / "last.ckpt")
    assert latest_checkpoint(checkpoints).name == "best.ckpt"
    assert val_scores(checkpoints) == [tuple(entry) for entry in best["val_scores"]]


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt", "checkpoints"])
def test_what_cannot_be_read_now_is_not_damaged(checkpoints, name, code):
    for look in (latest_checkpoint, val_scores):
        with (
            unreadable(name, code),
            pytest.raises(ReadError, match=rf"{name} could not be read .*: nothing was changed"),
        ):
            look(checkpoints)
    assert latest_checkpoint(checkpoints).name == "last.ckpt"


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("free", [0, 1])
def test_without_file_descriptors_nothing_is_damaged(checkpoints, free, mapped):
    """Mapping needs two file descriptors; without them torch raises a RuntimeError."""
    read_checkpoint(checkpoints / "last.ckpt", mapped=mapped)
    if free and not mapped:
        return
    with few_descriptors(free), pytest.raises(ReadError, match=r"last\.ckpt could not be read \(Too many open files\)"):
        read_checkpoint(checkpoints / "last.ckpt", mapped=mapped)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
                     "tried to allocate 4000000000 bytes. Error code 12 (Cannot allocate memory)"),
    ],
)  # fmt: skip
def test_too_little_memory_is_no_damage(checkpoints, monkeypatch, error):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("torch.load", fail)
    with pytest.raises(ReadError, match=r"Cannot allocate memory"):
        latest_checkpoint(checkpoints)


def test_scores_are_those_that_validations_gave(checkpoints):
    states = read_checkpoint(checkpoints / "last.ckpt")["callbacks"]
    (best,) = (float(state["best_model_score"]) for state in states.values() if state.get("best_model_score"))
    assert val_scores(checkpoints) == [(0, best)]  # the second epoch has no score yet
    assert val_scores(checkpoints / "none") == []


def test_names_in_a_state_stay_in_the_folder():
    state = {
        "dirpath": "/elsewhere",
        "best_model_path": "/etc/passwd",
        "kth_best_model_path": "../../x.ckpt",
        "last_model_path": "",
        "best_k_models": {"/etc/passwd": 0.5},
        "best_model_score": 0.5,
    }
    bring_home(state, "runs/a/checkpoints")
    assert state == {
        "dirpath": "runs/a/checkpoints",
        "best_model_path": "runs/a/checkpoints/passwd",
        "kth_best_model_path": "runs/a/checkpoints/x.ckpt",
        "last_model_path": "",
        "best_k_models": {"runs/a/checkpoints/passwd": 0.5},
        "best_model_score": 0.5,
    }


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.usefixtures("unscored")
def test_a_run_that_has_moved_keeps_its_best_weights(fitted, tiny_task, tmp_path):
    """The fit is resumed in another folder, where no validation is better."""
    moved = Path(shutil.copytree(fitted, tmp_path / "moved"))
    trainer = make_trainer(moved, [Nothing()])
    fit(trainer, tiny_task.finetuning(), tiny_task.data(), moved / "stopped.ckpt")
    best = Path(trainer.checkpoint_callback.best_model_path)
    assert best == moved / "checkpoints/best.ckpt"
    assert best.read_bytes() == (fitted / "checkpoints/best.ckpt").read_bytes()


class Nothing(Callback):
    """Gives every further validation a bad score."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/score", -1.0)
