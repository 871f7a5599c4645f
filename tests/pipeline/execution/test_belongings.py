"""The files that a run may remove; test_execute.py and test_run.py test the stages that remove them."""

import errno
import shutil
from pathlib import Path

import pytest

from pipeline.deploy.export.check import Check, write_check
from pipeline.execution.belongings import check_own, drop_own_checkpoints, remove_own
from stark.storage import ReadError, new_file, signed, write_checksums
from tests.passing import unreadable

FIT = (
    *("stage.yaml", "config.yaml", "hparams.yaml", "metrics.csv", "metrics.0.csv", "output.log"),
    *("checkpoints/best.ckpt", "checkpoints/best-v1.ckpt", "checkpoints/last.ckpt"),
    *("model/config.json", "model/model.safetensors", "model/tokenizer.json", "model/SHA256SUMS"),
)
USERS = (
    *("notes.txt", "metrics.csv.bak", "SST-2.tsv", ".hidden", "predictions.csv"),
    *("checkpoints/keep.ckpt", "checkpoints/old/best.ckpt", "model/README.md", "model/deep/config.json"),
    *("backup/config.json", "model/stage.yaml"),
)


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_file_of_a_finished_run_is_its_own(pruned_run):
    """Files directly in the run's folder, and teacher outputs, are never removed."""
    folders = [path.parent for path in pruned_run.rglob("SHA256SUMS")]
    assert len(folders) >= 6
    for folder in folders:
        assert check_own(folder.parent if folder.name == "model" else folder) == []


def test_what_a_fit_leaves_is_removed(tmp_path):
    fill(tmp_path / "fit", *FIT)
    with new_file(tmp_path / "fit/model.txt") as temporary:  # the temporary file of a killed write
        temporary.write_text("x")
        shutil.copytree(temporary.parent, tmp_path / "fit" / temporary.parent.name.replace("model.txt", "x.txt"))
    (tmp_path / "fit/model.txt").unlink()
    remove_own(tmp_path / "fit")
    assert list(tmp_path.iterdir()) == []
    remove_own(tmp_path / "fit")


@pytest.mark.parametrize("name", USERS)
def test_what_a_fit_does_not_write_is_the_users(tmp_path, name):
    fill(tmp_path / "fit", *FIT, name)
    with pytest.raises(FileExistsError, match="was not written by this run") as error:
        remove_own(tmp_path / "fit")
    assert str(error.value).startswith(str(tmp_path / "fit" / name))
    assert names(tmp_path / "fit") == sorted([*FIT, name])


@pytest.mark.parametrize("link", ["fit", "fit/model", "fit/metrics.csv", "fit/nowhere"])
def test_links_are_the_users(tmp_path, link):
    fill(tmp_path / "elsewhere", "model.safetensors")
    target = tmp_path / "elsewhere" / ("model.safetensors" if link.endswith("csv") else "")
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "none" if link.endswith("nowhere") else target)
    with pytest.raises(FileExistsError, match=f"{link} was not written"):
        remove_own(tmp_path / "fit")
    assert (tmp_path / link).is_symlink()


def test_cards_and_exports_that_nobody_changed_are_ours(tmp_path):
    export, card = tmp_path / "onnx", tmp_path / "README.md"
    fill(tmp_path, "config.json", "onnx/model.onnx", "onnx/tokenizer.json")
    figures = dict.fromkeys(("score", "score_before", "logit_difference", "megabytes", "megabytes_before"), 1.0)
    write_check(export, Check("onnx", False, "sst2", 9, changed=0, latency={}, latency_before={}, **figures))
    write_checksums(export)
    card.write_text(signed("# A card"))
    assert check_own(tmp_path) == [card, export]
    card.write_text(card.read_text().replace("card", "better card"))
    with pytest.raises(FileExistsError, match=r"README\.md was not"):
        check_own(tmp_path)
    card.unlink()
    fill(export, "ours.onnx")
    with pytest.raises(FileExistsError, match="was not"):
        check_own(tmp_path)


def test_of_checkpoints_only_ours_go(tmp_path):
    fill(tmp_path, "checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.csv")
    drop_own_checkpoints(tmp_path)
    assert names(tmp_path) == ["metrics.csv"]
    assert not (tmp_path / "checkpoints").exists()
    kept = ["checkpoints/keep.ckpt", "checkpoints/old/best.ckpt", "metrics.csv"]
    fill(tmp_path, "checkpoints/best.ckpt", *kept)
    drop_own_checkpoints(tmp_path)
    assert names(tmp_path) == kept
    drop_own_checkpoints(tmp_path / "none")


def test_where_it_cannot_be_found_out_nothing_goes(tmp_path):
    fill(tmp_path / "fit", *FIT)
    with unreadable("fit/checkpoints", errno.EIO), pytest.raises(ReadError):
        remove_own(tmp_path / "fit")
    assert names(tmp_path / "fit") == sorted(FIT)


def test_a_file_is_replaced_by_its_name(tmp_path):
    fill(tmp_path, "summary.json")
    assert check_own(tmp_path / "summary.json") == check_own(Path(tmp_path, "none")) == []
