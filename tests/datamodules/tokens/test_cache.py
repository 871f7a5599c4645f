"""Stored rows; test_tokenization.py damages the files of splits."""

import torch

from datamodules.tokens.cache import CacheFile

COLUMNS = {"input_ids": torch.tensor([2, 7, 3, 2, 3]), "lengths": torch.tensor([3, 2]), "idx": torch.arange(2)}


def test_rows_are_found_by_what_they_depend_on(tmp_path, caplog):
    file = CacheFile.of(str(tmp_path), "rows", {"a": 1, "b": 2})
    assert file == CacheFile.of(str(tmp_path), "rows", {"b": 2, "a": 1})
    assert file.read() is None
    written = file.write(COLUMNS)
    for rows in (written, file.read()):
        assert [row["input_ids"] for row in (rows[0], rows[1])] == [[2, 7, 3], [2, 3]]
    other = CacheFile.of(str(tmp_path), "rows", {"a": 1, "b": 3})
    assert other.read() is None
    assert not caplog.text
    file.path.rename(other.path)
    assert other.read() is None
    assert "tokenised data is made again: it holds another split or other rows than its name says" in caplog.text
