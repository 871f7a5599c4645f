"""Data sets that cannot be loaded; test_hub.py and test_dataset.py load some."""

import datasets
import pytest

from datamodules.sources.loading import from_hub, from_saved


def test_a_hub_that_does_not_answer_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(
        FileNotFoundError, match=r"^someone/rows: cannot load someone/rows from the hub \(do this\): "
    ) as error:
        from_hub("someone/rows", instead="do this")
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"^someone/rows: cannot load train of small from the hub \("):
        from_hub("someone/rows", "small", "train", instead="")


def test_folders_that_are_no_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "rows").mkdir()
    with pytest.raises(FileNotFoundError, match=r"rows: cannot load .*rows from this folder: "):
        from_hub(str(tmp_path / "rows"), instead="")
    (tmp_path / "rows/train.csv").write_bytes(b'a,b\n1,2\n3,4,5\n"')
    with pytest.raises(FileNotFoundError, match=r"from this folder: .*(tokeniz|EOF)") as error:
        from_hub(str(tmp_path / "rows"), instead="")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="rows is no data set of `save_to_disk`, or damaged"):
        from_saved(tmp_path / "rows")


def test_bars_are_as_before(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/train.csv").write_text("text,label\na,b\n")
    assert from_hub(str(tmp_path / "rows"), split="train", instead="")["text"][:] == ["a"]
    assert capfd.readouterr().err == ""
    assert not datasets.are_progress_bars_disabled()
