from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from stark.storage import check_output, is_intact_folder, is_signed, open_output, signed, write_checksums, write_output


def test_an_existing_file_is_kept_unless_it_is_ours_or_overwrite_is_given(tmp_path):
    file = tmp_path / "notes.md"
    file.write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_output(file, "new")
    assert file.read_text() == "mine"
    write_output(file, "new", is_ours=lambda path: path.read_text() == "mine")
    assert file.read_text() == "new"
    write_output(file, "newer", overwrite=True)
    assert file.read_text() == "newer"


def test_nothing_is_written_when_writing_fails(tmp_path):
    def fail() -> None:
        with open_output(tmp_path / "out.csv") as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to("target.csv")
    write_output(link, "rows")
    assert link.is_symlink()
    assert (tmp_path / "target.csv").read_text() == "rows"
    with pytest.raises(FileExistsError):
        write_output(link, "other")


def test_a_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write_output(pipe, "rows")
    reader.join(10)
    assert found == ["rows"]
    assert pipe.is_fifo()


def test_a_device_is_written_into():
    before = os.stat("/dev/null")
    write_output(Path("/dev/null"), "rows")
    after = os.stat("/dev/null")
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(OSError, match="folder"):
        write_output(tmp_path, "rows")
    (tmp_path / "mine").touch()
    with pytest.raises(FileExistsError):
        check_output(tmp_path)


def test_a_signed_page_that_was_edited_is_not_ours(tmp_path):
    page = tmp_path / "page.md"
    write_output(page, signed("# Card"))
    assert is_signed(page)
    page.write_text(page.read_text().replace("Card", "My card"))
    assert not is_signed(page)
    page.write_text("# no signature")
    assert not is_signed(page)
    assert not is_signed(tmp_path)


def test_a_folder_is_intact_only_with_exactly_its_files(tmp_path):
    assert not is_intact_folder(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"1")
    write_checksums(tmp_path)
    assert is_intact_folder(tmp_path)
    (tmp_path / "mine.txt").touch()
    assert not is_intact_folder(tmp_path)
    (tmp_path / "mine.txt").unlink()
    (tmp_path / "a.bin").write_bytes(b"2")
    assert not is_intact_folder(tmp_path)
