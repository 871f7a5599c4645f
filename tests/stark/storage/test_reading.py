"""A file that cannot be read at the moment is not treated as missing or damaged."""

import errno
import os

import pytest
import torch

from stark.storage import (
    DamagedError,
    ReadError,
    file_digest,
    files_below,
    is_file,
    is_intact_folder,
    matching_files,
    read_tensors,
    reading,
    verify_checksums,
    write_checksums,
    write_tensors,
)
from tests.passing import PASSING, few_descriptors, unreadable


@pytest.fixture
def folder(tmp_path):
    write_tensors(tmp_path / "a.bin", {"a": torch.ones(3)})
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.bin").write_bytes(b"1")
    write_checksums(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize(
    "read",
    [
        file_digest,
        read_tensors,
        is_file,
        lambda path: verify_checksums(path.parent),
        lambda path: is_intact_folder(path.parent),
    ],
)
def test_a_passing_error_is_told_as_such(folder, read, code):
    with unreadable("a.bin", code), pytest.raises(ReadError, match=r"^\S*a\.bin could not be read \(") as error:
        read(folder / "a.bin")
    assert os.strerror(code) in str(error.value)
    assert read(folder / "a.bin")


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("read", [lambda path: matching_files(path, "*"), files_below, verify_checksums])
def test_a_folder_that_cannot_be_listed_is_not_empty(folder, read, code):
    with unreadable(folder.name, code), pytest.raises(ReadError, match=r"could not be read"):
        read(folder)
    assert read(folder)


def test_what_is_missing_is_missing(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "none", tmp_path / "none/none", tmp_path / "loop", tmp_path):
        assert not is_file(path)
    assert matching_files(tmp_path / "none", "*") == []
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "none")
    with pytest.raises(DamagedError, match="cannot be read"):
        read_tensors(tmp_path / "none")


def test_links_are_followed_to_files_only(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/1").write_text("x")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a").symlink_to("../blobs/1")
    (tmp_path / "model/dangling").symlink_to("nowhere")
    (tmp_path / "model/folder").symlink_to("../blobs")
    assert files_below(tmp_path / "model") == [tmp_path / "model/a"]
    write_checksums(tmp_path / "model")
    assert verify_checksums(tmp_path / "model")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EINVAL, os.strerror(errno.EINVAL)),
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)),
        RuntimeError("PytorchStreamReader failed reading zip archive"),
        DamagedError("damaged"),
    ],
)
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as raised, reading("file"):
        raise error
    assert raised.value is error


def test_wrapped_errors_are_found():
    def wrap():
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError("cannot load") from error

    with pytest.raises(ReadError, match="Cannot allocate memory"), reading("file"):
        wrap()


@pytest.mark.parametrize("free", [0, 1])
def test_descriptors_run_out_for_real(folder, free):
    """With one descriptor left, safetensors can open the file, but not map it."""
    read_tensors(folder / "a.bin")
    with few_descriptors(free), pytest.raises(ReadError, match=r"Too many open files|could not be opened"):
        read_tensors(folder / "a.bin")
    with few_descriptors(0), pytest.raises(ReadError, match="Too many open files"):
        verify_checksums(folder)
    assert read_tensors(folder / "a.bin")
