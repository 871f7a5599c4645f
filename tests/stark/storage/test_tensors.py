"""Tensor files: they are read back unchanged, and every flipped bit is detected."""

import contextlib
import pickle

import pytest
import torch

from stark.storage import DamagedError, hash_tensors, read_tensors, write_tensors
from tests.payload import Payload

TENSORS = {"a": torch.arange(6, dtype=torch.float64).reshape(2, 3), "empty": torch.zeros(0), "b": torch.tensor([1])}


def test_tensors_and_notes_come_back(tmp_path):
    write_tensors(tmp_path / "sub/file", TENSORS, model="x")
    tensors, notes = read_tensors(tmp_path / "sub/file")
    assert notes == {"model": "x"}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_tensors(tmp_path / name, TENSORS, model="x", task="y")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_any_flipped_bit_is_seen(tmp_path):
    path = tmp_path / "file"
    write_tensors(path, TENSORS, model="x")
    content = path.read_bytes()
    unseen = 0
    for position in range(8, len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        with contextlib.suppress(DamagedError):
            tensors, notes = read_tensors(path)
            # The flipped bit was in a space of the header's padding.
            assert hash_tensors(tensors) == hash_tensors(TENSORS)
            assert notes == {"model": "x"}
            unseen += 1
    assert unseen < 8


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(64), pickle.dumps({"a": 1})])
def test_foreign_files_are_named(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=f"{path} cannot be read"):
        read_tensors(path)


@pytest.mark.parametrize("dump", [pickle.dump, torch.save])
def test_pickled_code_does_not_run(tmp_path, dump):
    with (tmp_path / "scores.safetensors").open("wb") as file:
        dump(Payload(tmp_path / "ran"), file)
    with pytest.raises(DamagedError, match=r"scores\.safetensors cannot be read"):
        read_tensors(tmp_path / "scores.safetensors")
    assert not (tmp_path / "ran").exists()


def test_the_hash_sees_names_shapes_types_and_values():
    base = {"a": torch.tensor([1.0, 2.0])}
    others = [{"b": base["a"]}, {"a": base["a"][None]}, {"a": base["a"].double()}, {"a": torch.tensor([1.0, -2.0])}]
    assert len({hash_tensors(tensors) for tensors in (base, *others)}) == 5
    assert hash_tensors({"a": torch.tensor([1.0, 2.0, 3.0])[:2]}) == hash_tensors(base)
