"""Files and folders are complete or absent."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stark.storage import (
    WriteError,
    copy_folder,
    inside,
    is_temporary,
    new_file,
    new_folder,
    remove_folder,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(WriteError, match=r"cannot write .*file\.txt: No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_whose_filling_fails_leaves_the_old_one(tmp_path):
    write_text(tmp_path / "folder/old.txt", "old")

    def fill() -> None:
        with new_folder(tmp_path / "folder") as temporary:
            (temporary / "new.txt").write_text("new")
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert names(tmp_path) == ["folder"]
    assert names(tmp_path / "folder") == ["old.txt"]


def test_text_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Whenever a crash could happen, the file with this name is complete."""
    path = tmp_path / "file.txt"
    write_text(path, "old")
    seen = []
    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (seen.append(path.read_text()), flush(descriptor)))
    write_text(path, "new")
    assert seen == ["old", "new"]  # first the file, then its folder


@pytest.mark.parametrize("umask", [0o022, 0o007, 0o077])
def test_who_may_read_an_ordinary_file_may_read_these(umask, tmp_path):
    """The test makes files private, as save_file of safetensors 0.8 does."""

    def private(path):
        path.write_text("text")
        path.chmod(0o600)

    before = os.umask(umask)
    try:
        (tmp_path / "ordinary").write_text("text")
        with new_file(tmp_path / "file") as temporary:
            private(temporary)
        with new_folder(tmp_path / "folder") as temporary:
            (temporary / "sub").mkdir()
            private(temporary / "sub/file")
            (temporary / "script").write_text("text")
            (temporary / "script").chmod(0o755)
        copy_folder(tmp_path / "folder", tmp_path / "copy")
    finally:
        os.umask(before)
    ordinary = (tmp_path / "ordinary").stat().st_mode
    assert ordinary & 0o777 == 0o666 & ~umask
    for path in ("file", "folder/sub/file", "copy/sub/file"):
        assert (tmp_path / path).stat().st_mode == ordinary
    assert (tmp_path / "folder/script").stat().st_mode & 0o111 == 0o111
    assert names(tmp_path / "folder") == ["script", "sub"]


def test_json_round_trip(tmp_path):
    values = {"a": [1, 2.5, None, "é"]}
    write_json(tmp_path / "sub/values.json", values)
    assert json.loads((tmp_path / "sub/values.json").read_text()) == values
    assert names(tmp_path / "sub") == ["values.json"]


def test_a_copy_replaces_the_whole_folder(tmp_path):
    for name, file in (("source", "new.txt"), ("target", "old.txt")):
        write_text(tmp_path / name / file, file)
    copy_folder(tmp_path / "source", tmp_path / "target")
    assert names(tmp_path / "target") == ["new.txt"]
    assert names(tmp_path) == ["source", "target"]


def test_of_two_that_make_the_same_folder_the_first_stays(tmp_path):
    for text in ("first", "second"):
        with new_folder(tmp_path / "folder", replace=False) as temporary:
            (temporary / "file").write_text(text)
    assert (tmp_path / "folder/file").read_text() == "first"
    assert names(tmp_path) == ["folder"]


KILLED = """
import cli, os, signal  # cli: as in the command, `stark` then imports no model
from pathlib import Path
from stark.storage.files import new_file, new_folder

with new_file(Path("file")) as file, new_folder(Path("folder")) as folder:
    file.write_text("half")
    (folder / "content").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_processes_left_is_cleared_away_and_what_living_ones_write_is_not(tmp_path):
    """A lock shows whether a process lives, also across containers, where process ids may be equal."""
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [name.split(".")[1] for name in names(tmp_path)] == ["file", "folder"]
    with new_file(tmp_path / "file") as theirs, new_folder(tmp_path / "folder") as folder:
        working = names(tmp_path)
        assert len(working) == 2  # the killed process's files are removed
        write_text(tmp_path / "file", "ours")
        write_text(tmp_path / "folder/content", "ours")
        remove_folder(tmp_path / "folder")
        assert names(tmp_path) == sorted([*working, "file"])
        theirs.write_text("theirs")
        (folder / "content").write_text("theirs")
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == (tmp_path / "folder/content").read_text() == "theirs"


def test_what_only_looks_like_ours_stays(tmp_path):
    others = [".file.txt", ".file.abcdefgh.stark-new.txt", ".file.x.abcdefgh.stark-new", ".other.abcdefgh.stark-new"]
    for name in others:
        (tmp_path / name).mkdir()
    write_text(tmp_path / "file", "x")
    assert names(tmp_path) == sorted([*others, "file"])


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_no_link_is_written_through(tmp_path, monkeypatch, make):
    """An attacker who guesses the next random name puts a link there."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
    (theirs / "file").write_text("theirs")
    (ours / ".file.aaaaaaaa.stark-new").symlink_to(theirs)
    monkeypatch.setattr("tempfile._get_candidate_names", lambda: iter(["aaaaaaaa", "bbbbbbbb"]))
    with make(ours / "file") as temporary:
        (temporary if make is new_file else temporary / "file").write_text("ours")
    assert (theirs / "file").read_text() == "theirs"
    assert (ours / "file").exists()
    assert (ours / ".file.aaaaaaaa.stark-new").is_symlink()


def test_a_folder_is_removed_under_another_name(tmp_path, monkeypatch):
    write_text(tmp_path / "folder/file", "x")

    def crash(path: Path, **_: object) -> None:
        assert not (tmp_path / "folder").exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("shutil.rmtree", crash)
        with pytest.raises(KeyboardInterrupt):
            remove_folder(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert len(names(tmp_path)) == 1
    remove_folder(tmp_path / "folder")  # the next removal also removes the rest of the former one
    assert names(tmp_path) == []
    remove_folder(tmp_path / "none/none")


def test_of_a_link_the_link_is_removed(tmp_path):
    write_text(tmp_path / "target/file", "x")
    (tmp_path / "link").symlink_to("target")
    remove_folder(tmp_path / "link")
    assert names(tmp_path) == ["target"]
    assert names(tmp_path / "target") == ["file"]


def test_a_folder_that_cannot_be_replaced_keeps_its_name(tmp_path, monkeypatch):
    write_text(tmp_path / "folder/file", "old")
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if target == tmp_path / "folder" and not path.name.endswith(".old"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(WriteError, match="Input/output error"), new_folder(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["folder"]
    assert (tmp_path / "folder/file").read_text() == "old"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "link/x", "link"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leads out of"):
        inside(tmp_path / "run", name)


def test_names_inside_are_paths(tmp_path):
    assert inside(tmp_path, "a/b.txt") == tmp_path / "a/b.txt"
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")  # a link that the user made to the whole folder
    assert inside(tmp_path / "linked", "x") == tmp_path / "linked/x"


def test_what_is_being_made_is_told_from_what_is_there(tmp_path):
    with new_folder(tmp_path / "model") as temporary:
        assert is_temporary(temporary.parent)
        assert [path for path in tmp_path.iterdir() if not is_temporary(path)] == []
    assert not is_temporary(tmp_path / "model")
    (tmp_path / ".model.abcdefgh.stark-new").write_text("a file")
    assert not is_temporary(tmp_path / ".model.abcdefgh.stark-new")
