"""SHA256SUMS: coreutils agree, and every kind of damage is named."""

import shutil
import subprocess

import pytest

from stark.storage import CHECKSUMS_FILE, DamagedError, verify_checksums, write_checksums


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    (tmp_path / "sub/b.txt").write_text("b")
    write_checksums(tmp_path)
    return tmp_path


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils are not installed")
def test_sha256sum_agrees(folder):
    done = subprocess.run(
        ["sha256sum", "--check", CHECKSUMS_FILE], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["a.bin: OK", "sub/b.txt: OK"]


def test_what_was_written_is_intact(folder):
    assert verify_checksums(folder)


def test_a_folder_without_checksums_is_not_known(folder):
    (folder / CHECKSUMS_FILE).unlink()
    assert not verify_checksums(folder)


@pytest.mark.parametrize("name", ["a.bin", "sub/b.txt"])
@pytest.mark.parametrize(
    "damage", [lambda content: bytes([content[0] ^ 1]) + content[1:], lambda content: content[:-1], lambda _: b""]
)
def test_damage_is_named(folder, name, damage):
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedError, match=f"{name} is damaged"):
        verify_checksums(folder)
    path.unlink()
    with pytest.raises(DamagedError, match=f"{name} is missing"):
        verify_checksums(folder)


def test_only_what_is_asked_for_is_looked_at(folder):
    (folder / "a.bin").write_bytes(b"")
    assert verify_checksums(folder, ["*.txt"])
    with pytest.raises(DamagedError):
        verify_checksums(folder, ["a.*"])


@pytest.mark.parametrize("line", ["nonsense", f"{'0' * 64}  ../x", f"{'0' * 64}  /etc/passwd"])
def test_damaged_lists_are_named_by_line(folder, line):
    with (folder / CHECKSUMS_FILE).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DamagedError, match=f"{CHECKSUMS_FILE}, line 3"):
        verify_checksums(folder)


def test_a_list_that_lost_lines_is_named(folder):
    listed = folder / CHECKSUMS_FILE
    listed.write_text(listed.read_text().splitlines()[0] + "\n")
    assert verify_checksums(folder, ["*.bin"])
    with pytest.raises(DamagedError, match=r"it does not list sub/b\.txt"):
        verify_checksums(folder)
