import re
from pathlib import Path

import pytest

from datamodules.sources.glue_tsv import find_file, find_folder, parse_rows
from datamodules.sources.source import Rows
from datamodules.tasks.glue import TASKS, find_task

MNLI = [f"c{i}" for i in range(8)]
# (task, split, one line in the original layout, what must be read)
LINES = [
    ("rte", "train", ["7", "A “b” .", "C .", "not_entailment"], ("A “b” .", "C .", 1, 0)),
    ("rte", "test", ["4", "A .", "C ."], ("A .", "C .", None, 4)),
    ("mrpc", "train", ["1", "702", "703", 'He said " no .', "No ."], ('He said " no .', "No .", 1, 0)),
    ("mrpc", "test", ["3", "702", "703", "He .", "No ."], ("He .", "No .", None, 3)),
    ("stsb", "dev", ["0", "g", "f", "y", "o", "s", "t", "A.", "B.", "3.800"], ("A.", "B.", 3.8, 0)),
    ("stsb", "test", ["9", "g", "f", "y", "o", "s", "t", "A.", "B."], ("A.", "B.", None, 9)),
    ("sst2", "train", ["fine film ", "1"], ("fine film ", None, 1, 0)),
    ("sst2", "test", ["2", "fine film"], ("fine film", None, None, 2)),
    ("qnli", "dev", ["5", "Who?", "He.", "entailment"], ("Who?", "He.", 0, 0)),
    ("qqp", "train", ["13", "1", "2", "Why?", "How?", "0"], ("Why?", "How?", 0, 0)),
    ("qqp", "test", ["12", "Why?", "How?"], ("Why?", "How?", None, 12)),
    ("mnli", "train", [*MNLI, "P", "H", "neutral", "contradiction"], ("P", "H", 2, 0)),
    ("mnli", "dev", [*MNLI, "P", "H", *["neutral"] * 5, "entailment"], ("P", "H", 0, 0)),
    ("mnlimm", "dev", [*MNLI, "P", "H", *["neutral"] * 5, "neutral"], ("P", "H", 1, 0)),
    ("mnli", "test", ["8", *MNLI[1:], "P", "H"], ("P", "H", None, 8)),
    ("cola", "dev", ["gj04", "0", "*", "Him ran."], ("Him ran.", None, 0, 0)),
    ("cola", "test", ["6", "Him ran."], ("Him ran.", None, None, 6)),
    ("wnli", "train", ["0", "A it.", "A.", "1"], ("A it.", "A.", 1, 0)),
    ("ax", "test", ["11", "The cat.", "No cat."], ("The cat.", "No cat.", None, 11)),
]


@pytest.mark.parametrize(("name", "split", "cells", "expected"), LINES, ids=lambda value: str(value)[:8])
def test_every_layout(name, split, cells, expected):
    task = find_task(name)
    header = b"" if name == "cola" and split != "test" else b"any header\n"
    rows = parse_rows(header + "\t".join(cells).encode() + b"\n", task, split, Path("file.tsv"))
    text_a, text_b, label, idx = expected
    assert rows == Rows([text_a], None if text_b is None else [text_b], None if label is None else [label], [idx])


def test_only_newlines_end_a_line_and_quotes_are_characters():
    data = '\ufeffsentence\tlabel\r\na "b\u2028c\x85 d \t0\r\n"e \t1'.encode()
    rows = parse_rows(data, find_task("sst2"), "dev", Path("dev.tsv"))
    assert rows.text_a == ['a "b\u2028c\x85 d ', '"e ']
    assert rows.labels == [0, 1]


@pytest.mark.parametrize(
    ("name", "split", "data", "message"),
    [
        ("mrpc", "train", b"h\n1\t2\t3\t4\t5\n1\t2\n", "f.tsv, line 3: 2 columns, mrpc needs at least 5"),
        (
            "mnli",
            "dev",
            b"h\n" + b"\t".join([b"neutral"] * 12),
            "f.tsv, line 2: 12 columns, mnli needs at least 16",
        ),
        (
            "rte",
            "dev",
            b"h\n0\ta\tb\tfoo\n",
            "f.tsv, line 2: label 'foo' is not one of entailment, not_entailment",
        ),
        ("sst2", "dev", b"h\ngood\t1\n\nbad\t0\n", "f.tsv, line 3: 1 columns, sst2 needs at least 2"),
        ("sst2", "dev", b"h\ngood\t2\n", "f.tsv, line 2: label '2' is not one of 0, 1"),
        ("stsb", "dev", b"h\n" + b"\t".join([b"a"] * 10), "f.tsv, line 2: score 'a' is not a number"),
        ("stsb", "dev", b"h\n" + b"\t".join([b"nan"] * 10), "f.tsv, line 2: score 'nan' is not a number"),
        (
            "sst2",
            "dev",
            b"h\ngood\t1\ncaf\xe9\t1\n",
            "f.tsv, line 3: not UTF-8 (invalid continuation byte at byte 3)",
        ),
        ("sst2", "test", b"h\none\tgood\n", "f.tsv, line 2: index 'one' is not a whole number"),
        ("sst2", "dev", b"h\n", "f.tsv: no rows in it (the dev split of task 'sst2')"),
    ],
)
def test_bad_lines_are_named(name, split, data, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        parse_rows(data, find_task(name), split, Path("f.tsv"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("sst2", "SST-2"),
        ("sst2", "sst2"),
        ("stsb", "STS-B"),
        ("cola", "CoLA"),
        ("mnli", "MNLI"),
        ("mnlimm", "MNLI"),
        ("mnlimm", "mnli-mm"),
        ("ax", "diagnostic"),
        ("ax", "AX"),
        ("mrpc", "MRPC"),
    ],
)
def test_folders_are_found_in_any_spelling(tmp_path, name, folder):
    (tmp_path / "other").mkdir()
    (tmp_path / folder).mkdir()
    task = find_task(name)
    assert find_folder(tmp_path, task) == tmp_path / folder
    split = next(reversed(task.layouts))
    file = tmp_path / folder / task.layouts[split].file.upper()
    file.touch()
    assert find_folder(tmp_path / folder, task) == tmp_path / folder
    assert find_file(tmp_path / folder, task, split) == file


def test_missing_folders_and_files_are_named(tmp_path):
    task = find_task("mrpc")
    with pytest.raises(FileNotFoundError, match=r"/none: no such folder \(data of task 'mrpc'\)$"):
        find_folder(tmp_path / "none", task)
    with pytest.raises(FileNotFoundError, match=r"neither dev.tsv nor .* nor a folder named mrpc in it"):
        find_folder(tmp_path, task)
    with pytest.raises(FileNotFoundError, match=r"/dev.tsv: no such file \(the dev split of task 'mrpc'\)$"):
        find_file(tmp_path, task, "dev")
    with pytest.raises(FileNotFoundError, match=r"^task 'ax' has no train split, only test$"):
        find_file(tmp_path, find_task("ax"), "train")


REAL = Path(__file__).parents[4] / "shared" / "data"
COUNTS = {
    "rte": (2490, 277, 3000),
    "mrpc": (3668, 408, 1725),
    "stsb": (5749, 1500, 1379),
    "sst2": (67349, 872, 1821),
    "mnli": (8999, 1000, None),
    "mnlimm": (8999, 1000, None),
    "wnli": (635, 71, 146),
    "ax": (None, None, 1104),
}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not here")
@pytest.mark.parametrize("name", COUNTS)
def test_row_counts_of_real_files(name):
    task = find_task(name)
    folder = find_folder(REAL / "glue", task)
    for split, count in zip(("train", "dev", "test"), COUNTS[name], strict=True):
        if count is not None:
            path = find_file(folder, task, split)
            assert len(parse_rows(path.read_bytes(), task, split, path).text_a) == count


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not here")
def test_real_lines_of_every_task():
    read = 0
    for task in TASKS.values():
        for split in task.layouts:
            try:
                path = find_file(find_folder(REAL / "one_row_per_task", task), task, split)
            except FileNotFoundError:
                continue
            rows = parse_rows(path.read_bytes(), task, split, path)
            assert all(len(text) > 5 for text in rows.text_a + (rows.text_b or []))
            read += 1
    assert read >= 27
