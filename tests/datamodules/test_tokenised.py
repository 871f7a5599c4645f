"""Splits that are read once, and their content."""

import shutil

import pytest

from datamodules.settings import DataSettings
from datamodules.tokenised import TokenisedSplits
from stark.telling import warn_once


@pytest.fixture
def splits(tokenizer_dir, sample_dir, tmp_path):
    shutil.copytree(sample_dir, tmp_path / "data")
    settings = {"data_dir": str(tmp_path / "data"), "cache_dir": str(tmp_path / "cache"), "max_length": 20}
    return lambda **more: TokenisedSplits(
        DataSettings("sst2", model_name_or_path=str(tokenizer_dir), **{**settings, **more})
    )


def test_a_split_is_read_once_and_holds_the_files_rows(splits, tokenizer, tmp_path):
    found = splits()
    rows = found.rows("dev")
    assert found.rows("dev") is rows is found.read["dev"]
    assert found.read.keys() == {"dev"}
    lines = (tmp_path / "data/SST-2/dev.tsv").read_text().splitlines()[1:]
    expected = tokenizer([line.split("\t")[0] for line in lines], truncation=True, max_length=20)["input_ids"]
    assert [rows[number]["input_ids"] for number in range(len(rows))] == expected
    assert found.texts("dev").labels == rows.fields["labels"].tolist()


def test_rows_that_are_cut_are_told_once_also_if_they_come_from_the_cache(splits, tokenizer, tmp_path, caplog):
    lines = (tmp_path / "data/SST-2/dev.tsv").read_text().splitlines()[1:]
    whole = [len(ids) for ids in tokenizer([line.split("\t")[0] for line in lines])["input_ids"]]
    cut, share = sum(length > 12 for length in whole), sum(max(length - 12, 0) for length in whole) / sum(whole)
    for process in range(2):
        warn_once.cache_clear()  # as in another process
        caplog.clear()
        for _ in range(2):
            splits(max_length=12).rows("dev")
        (told,) = [message for message in caplog.messages if "dev" in message]
        assert f"'sst2', dev: {cut} of {len(whole)} rows have more than 12 tokens and are cut, which loses" in told, (
            process
        )
        assert f"loses {100 * share:.1f} % of all tokens: train with a larger --data.max_length, up to" in told
    caplog.clear()
    splits(max_length=max(whole)).rows("dev")
    assert caplog.messages == []


def test_files_without_labels_are_a_split(splits, tmp_path):
    (tmp_path / "more.csv").write_text("sentence\ngood\nbad\n")
    assert len(splits(unlabelled=[str(tmp_path / "more.csv")]).rows("unlabelled")) == 2


def test_a_split_that_does_not_exist(splits, tmp_path):
    (tmp_path / "data/SST-2/test.tsv").unlink()
    assert [splits().has(name) for name in ("train", "dev", "test")] == [True, True, False]
    with pytest.raises(FileNotFoundError):
        splits().digest("test")


def test_content_that_changes(splits, tmp_path):
    """The digest stays that of the rows that were read; other content is refused."""
    read, asked = splits(), splits()
    digest = asked.digest("dev")
    read.rows("dev")
    path = tmp_path / "data/SST-2/dev.tsv"
    path.write_text(path.read_text().replace("film", "movie"))
    assert read.digest("dev") == digest != splits().digest("dev")
    with pytest.raises(ValueError, match=r"the dev split of task 'sst2' in .* changed: give the same command again"):
        read.texts("dev")
    with pytest.raises(ValueError, match=r"the dev split of task 'sst2' in .* changed while the run was working"):
        asked.rows("dev")
    with pytest.raises(ValueError, match="changed while the run was working"):
        splits(expected_content={"dev": digest}).rows("dev")
