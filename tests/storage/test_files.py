"""Files and folders are there completely or not at all."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from storage import WriteError, copy_folder, inside, new_file, new_folder, remove_folder, write_json, write_text


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
    """At every call that a crash could follow, the file under the name is whole."""
    path = tmp_path / "file.txt"
    write_text(path, "old")
    seen = []
    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (seen.append(path.read_text()), flush(descriptor)))
    write_text(path, "new")
    assert seen == ["old", "new"]  # first the file, then its folder


@pytest.mark.parametrize("umask", [0o022, 0o007, 0o077])
def test_who_may_read_an_ordinary_file_may_read_these(umask, tmp_path):
    """As save_file of safetensors 0.8 does, files are made private here."""

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


def test_what_killed_processes_left_is_cleared_away_and_what_living_ones_write_is_not(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    host = socket.gethostname()
    dead, alive = (tmp_path / f".file.{host}-{process}.new" for process in (child.pid, os.getppid()))
    elsewhere = tmp_path / f".file.not-{host}-{child.pid}.new"
    for left in (dead, alive, elsewhere):
        left.write_text("half")
    with new_file(tmp_path / "file") as temporary:
        temporary.write_text("whole")
    assert not dead.exists()
    assert alive.exists()
    assert elsewhere.exists()


def test_a_folder_is_removed_under_another_name(tmp_path, monkeypatch):
    write_text(tmp_path / "folder/file", "x")

    def crash(path: Path) -> None:
        assert not (tmp_path / "folder").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", crash)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    remove_folder(tmp_path / "nothing")


def test_what_a_killed_removal_left_goes_with_the_next_one(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    write_text(tmp_path / f".folder.{socket.gethostname()}-{child.pid}.old/file", "x")
    remove_folder(tmp_path / "folder")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "link/x", "link"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="leads out of"):
        inside(tmp_path / "run", name)


def test_names_inside_are_paths(tmp_path):
    assert inside(tmp_path, "a/b.txt") == tmp_path / "a/b.txt"
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")  # the user's own link to all of it
    assert inside(tmp_path / "linked", "x") == tmp_path / "linked/x"
