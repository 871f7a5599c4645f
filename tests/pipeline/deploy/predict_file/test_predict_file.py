"""Rows of a file are written with their predicted labels."""

import csv
import gzip
import io
import json
import math
import os
import re
import sys
import threading
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cli
from datamodules.sources.records import open_records
from datamodules.tasks.record_format import record_format
from pipeline.deploy.classifier import Classified
from pipeline.deploy.predict_file import predict_file as module
from pipeline.deploy.predict_file.writer import RowWriter
from pipeline.execution.manifest import Manifest
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.problems.table import problem_for

TEXTS = ["a good and charming film", "bad", "so, so\nsaid he", "a very good film"]


@pytest.fixture(scope="module")
def expected(tiny_task):
    """The teacher's probabilities, computed one row at a time."""
    model, tokenizer = load_classifier(tiny_task.teacher), load_tokenizer(tiny_task.teacher)
    with torch.no_grad():
        return [model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0].tolist() for text in TEXTS]


def write_csv(path, rows, columns):
    with path.open("w", newline="") as text:
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_csv(path):
    with path.open(newline="") as text:
        return list(csv.DictReader(text))


def check(found, expected):
    for row, text, probabilities in zip(found, TEXTS, expected, strict=True):
        names = ("negative", "positive")
        assert row["text"] == text
        assert row["predicted"] == names[probabilities.index(max(probabilities))]
        assert float(row["probability"]) == pytest.approx(max(probabilities), abs=1e-5)
        assert [float(row[f"probability_{name}"]) for name in names] == pytest.approx(probabilities, abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 4096])
def test_rows_keep_their_order_and_columns(tiny_task, expected, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    rows = [{"id": number, "text": text, "label": "x"} for number, text in enumerate(TEXTS)]
    source, target = write_csv(tmp_path / "my.csv", rows, ["id", "text", "label"]), tmp_path / "out.csv"
    cli.main(["predict-file", str(tiny_task.teacher), "--input", str(source), "--output", str(target)])
    found = read_csv(target)
    check(found, expected)
    assert [(row["id"], row["label"]) for row in found] == [(str(number), "x") for number in range(4)]
    # The same as JSON lines, and back.
    lines = tmp_path / "out.jsonl"
    cli.main(["predict-file", str(tiny_task.teacher), "--input", str(source), "--output", str(lines)])
    check([json.loads(line) for line in lines.read_text().splitlines()], expected)


def test_standard_input_and_output(tiny_task, expected, capsysbinary, monkeypatch):
    text = "".join(json.dumps({"text": text, "more": [1]}) + "\n" for text in TEXTS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode()))))
    cli.main(["predict-file", str(tiny_task.teacher), "--input", "-"])
    found = [json.loads(line) for line in capsysbinary.readouterr().out.decode().splitlines()]
    check(found, expected)
    assert all(row["more"] == [1] for row in found)


def predict(tiny_task, source, target, *options, status=0):
    command = ["predict-file", str(tiny_task.teacher), "--input", str(source), "--output", str(target), *options]
    found = 0
    try:
        cli.main(command)
    except SystemExit as stop:
        found = stop.code
    assert found == status


def test_bad_rows_are_told_and_kept_apart(tiny_task, expected, tmp_path, capsys):
    bad = [
        '{"text": 3}',
        "{",
        '{"other": "x"}',
        '{"text": null, "n": 1.10}',
        '{"text": "caf\xe9"}',
        '{"text": "\\ud83d"}',
    ]
    good = [json.dumps({"text": text}) for text in TEXTS]
    source, target = tmp_path / "my.jsonl", tmp_path / "out.csv"
    source.write_bytes("\n".join([*bad, *good]).encode("latin-1"))
    predict(tiny_task, source, target, status=1)  # more than a tenth of the rows are bad
    check(read_csv(target), expected)
    said = capsys.readouterr().err
    reasons = [
        *("text is 3, not a text", "no JSON", "no column 'text', only 'other'", "text is null, not a text"),
        *("not UTF-8: set the encoding, such as latin-1 or cp1252", "text has half a surrogate pair"),
    ]
    for line, reason in enumerate(reasons, start=1):
        assert f"{source}, line {line}: {reason}" in said
    apart = tmp_path / "out.csv.bad.jsonl"
    assert f"{source}: 6 of 10 rows are bad and were left out; {apart} has them all" in said
    kept = [json.loads(line) for line in apart.read_text().splitlines()]
    assert [row["line"] for row in kept] == [1, 2, 3, 4, 5, 6]
    assert [row["row"] for row in kept] == [*bad[:4], '{"text": "caf\\xe9"}', bad[5]]
    assert all(row["reason"].startswith(reason) for row, reason in zip(kept, reasons, strict=True))
    # The next call removes the earlier file of bad rows.
    source.write_text("\n".join(good))
    predict(tiny_task, source, target)
    assert not apart.exists()


def test_few_bad_rows_are_no_failure(tiny_task, tmp_path):
    source, target = tmp_path / "my.csv", tmp_path / "out.csv"
    for bad, status in ((2, 0), (3, 1)):
        source.write_text("text,n\n" + "good,1\n" * 20 + "bad\n" * bad)
        predict(tiny_task, source, target, status=status)
        assert len(read_csv(target)) == 20


def test_a_stray_quotation_mark_loses_no_row(tiny_task, tmp_path, capsys):
    rows = [f"{number}|comment {number}" for number in range(60)]
    rows[3], rows[9] = '3|"It starts with a mark', '9|and ends with one"'
    for ending, delimiter, lost in (("tsv", "\t", 0), ("csv", ",", 1)):
        source, target = tmp_path / f"my.{ending}", tmp_path / f"out.{ending}"
        source.write_text("\n".join(["id|text", *rows]).replace("|", delimiter))
        predict(tiny_task, source, target)
        assert len(target.read_text().splitlines()) == 61 - lost
        # Python's csv reads the same rows.
        assert len(list(csv.reader(target.read_text().splitlines(), delimiter=delimiter))) == 61 - lost
    assert target.read_text().splitlines()[9].startswith('9,"and ends with one""",')
    assert "line 5: a quotation mark that is opened here swallows lines 6 to 11" in capsys.readouterr().err
    assert json.loads((tmp_path / "out.csv.bad.jsonl").read_text())["row"] == '3,"It starts with a mark'


def test_empty_texts_are_answered_and_told(tiny_task, tmp_path, capsys):
    source, target = tmp_path / "my.csv", tmp_path / "out.csv"
    source.write_text("id,text\n1,good\n2,\n3,  \n")
    predict(tiny_task, source, target)
    assert [row["text"] for row in read_csv(target)] == ["good", "", "  "]
    assert f"{source}: 2 rows have an empty text (lines 3, 4) and are used as they are" in capsys.readouterr().err


def test_json_rows_stay_as_they_are_written(tiny_task, tmp_path, capsys):
    lines = [
        r'{"id": "user\ud83d", "text": "good", "n": 1.10, "m": 12345678901234567890.5, "x": NaN, "t": true}',
        r'{ "text" : "bad", "\ud83d": [1.0] }',
        *['{"text": "bad"}'] * 20,
    ]
    source, target = tmp_path / "my.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(lines))
    predict(tiny_task, source, target)
    for line, found in zip(lines, target.read_text().splitlines(), strict=True):
        start = line.rstrip("}").rstrip()
        assert found.startswith(f'{start}, "predicted": "')
        assert json.loads(found)["predicted"] in ("negative", "positive")
    # A table cannot contain half of a surrogate pair; other values are written unchanged.
    source.write_text("\n".join([*lines[:2], *[r'{"text": "bad", "n": 2.50, "t": null, "m": [1, "é"]}'] * 20]))
    predict(tiny_task, source, tmp_path / "out.csv")
    found = read_csv(tmp_path / "out.csv")
    assert len(found) == 20
    assert (found[0]["n"], found[0]["t"], found[0]["m"]) == ("2.50", "", '[1, "é"]')
    said = capsys.readouterr().err
    assert "line 1: id has half a surrogate pair, which a table cannot hold" in said
    assert r"line 2: \ud83d has half a surrogate pair, which a table cannot hold" in said


def test_json_rows_that_are_labelled_already_are_told(tiny_task, tmp_path, capsys):
    source, target = tmp_path / "my.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "x", "predicted": "own"}\n' + '{"text": "bad"}\n' * 20)
    predict(tiny_task, source, target)
    assert len(target.read_text().splitlines()) == 20
    assert "line 1: it has a column 'predicted' already: rename it" in capsys.readouterr().err


def test_columns_that_are_not_used_stay(tiny_task, tmp_path, capsys):
    source, target = tmp_path / "my.csv", tmp_path / "out.csv"
    source.write_text("text,v1,,,v1\ngood,1,2,3,4\n")
    predict(tiny_task, source, target)
    assert target.read_text().splitlines()[0].startswith("text,v1,,,v1,predicted,")
    assert target.read_text().splitlines()[1].startswith("good,1,2,3,4,")
    predict(tiny_task, source, tmp_path / "out.jsonl", status=2)
    assert "has columns of the same name, which JSON lines cannot hold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("my.csv", "text;n\ncafé ;1\n".encode("latin-1"), ["--delimiter", ";", "--encoding", "latin-1"]),
        ("my.tsv", "text\tn\ncafé \t1\n".encode("utf-16"), []),
        ("my.txt", "text\tn\ncafé \t1\n".encode(), ["--delimiter", r"\t"]),
        ("my.csv.gz", gzip.compress("text,n\ncafé ,1\n".encode()), []),
        ("my.csv", "café ,1\n".encode(), ["--header", "false", "--text", "0"]),
        ("my.jsonl.gz", gzip.compress(b'{"text": "caf\\u00e9 ", "n": 1}\n'), []),
    ],
    # Fixed names, because compressed content contains the time and both processes of make test need the same names.
    ids=["semicolons", "utf-16", "txt", "csv.gz", "no header", "jsonl.gz"],
)
def test_how_the_input_is_written(tiny_task, tmp_path, name, content, options):
    (tmp_path / name).write_bytes(content)
    for ending in ("csv", "jsonl.gz"):
        target = tmp_path / f"out.{ending}"
        predict(tiny_task, tmp_path / name, target, *options)
        text = (gzip.decompress(target.read_bytes()) if ending.endswith("gz") else target.read_bytes()).decode()
        if ending == "csv":
            (row,) = csv.reader(text.splitlines()[1:], delimiter=";" if ";" in options else ",")
        else:
            row = list(json.loads(text).values())
        assert row[0] == "café "
        assert str(row[1]) == "1"
        assert row[2] in ("negative", "positive")


def test_a_wrong_delimiter_is_named(tiny_task, tmp_path, capsys):
    (tmp_path / "my.csv").write_text("id;text\n1;good\n")
    predict(tiny_task, tmp_path / "my.csv", tmp_path / "out.csv", status=2)
    assert "(line 1 has no ',' but 1 ';': set the delimiter)" in capsys.readouterr().err


def test_formulas_are_told_or_escaped(tiny_task, tmp_path, capsys):
    source, target = tmp_path / "my.csv", tmp_path / "out.csv"
    source.write_text('text,n\n"=HYPERLINK(""x"")",-5.5\n@me,+1\n- a list,1\n')
    predict(tiny_task, source, target)
    assert [row["text"] for row in read_csv(target)] == ['=HYPERLINK("x")', "@me", "- a list"]
    assert (
        "3 cells look like a formula to a spreadsheet: --escape_formulas puts a ' in front" in capsys.readouterr().err
    )
    predict(tiny_task, source, target, "--escape_formulas")
    found = read_csv(target)
    assert [row["text"] for row in found] == ['\'=HYPERLINK("x")', "'@me", "'- a list"]
    assert [row["n"] for row in found] == ["-5.5", "+1", "1"]
    assert "3 cells look like a formula and got a ' in front" in capsys.readouterr().err


CELLS = st.text(st.one_of(st.sampled_from("ab\"'\t\n\r,; =\u2028"), st.characters(codec="utf-8")), max_size=8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4), st.sampled_from(["csv", "tsv"]), st.booleans())
def test_what_is_written_can_be_read(rows, ending, from_json):
    model = SimpleNamespace(separator=None, label_names=["a", 'b"c'], problem=problem_for(["a", 'b"c']))
    source = io.StringIO(newline="")
    if from_json:
        source.writelines(json.dumps({"id": first, "text": second}) + "\n" for first, second in rows)
    else:
        csv.writer(source).writerows([("id", "text"), *rows])
    target, stream = record_format(f"x.{ending}"), io.BytesIO()
    form = record_format("x.jsonl" if from_json else "x.csv", quoting=None if from_json else "standard")
    with open_records(io.BytesIO(source.getvalue().encode()), form) as records:
        writer = RowWriter(stream, target, records, model, ["text"], "x", False)
        read = list(records)
        assert [writer.refuses(row) for row in read] == [None] * len(rows)
        writer.write(read, Classified(torch.ones(len(rows)), torch.tensor([[0.25, 0.75]] * len(rows))))
    # Quoting in a TSV is detected. In a CSV it is set, because a text of several lines could look like rows.
    again = record_format(f"x.{ending}", quoting=None if ending == "tsv" else "standard")
    with open_records(io.BytesIO(stream.getvalue()), again) as records:
        found = [row.cells for row in records]
    assert found == [[*row, 'b"c', "0.75", "0.25", "0.75"] for row in rows]


def test_a_file_of_others_is_kept(tiny_task, tmp_path, capsys, monkeypatch):
    source = tmp_path / "my.csv"
    source.write_text("text,n\ngood,1\nbad\n" + "good,1\n" * 20)
    results, listing, empty = tmp_path / "results.csv", tmp_path / "out.csv.bad.jsonl", tmp_path / "empty.csv"
    results.write_text("text,label\nmine,1\n")
    listing.write_text('{"mine": 1}\n')
    empty.touch()
    with monkeypatch.context() as patched:
        patched.setattr(module, "open_classifier", None)  # the errors come before the model is loaded
        predict(tiny_task, source, results, status=2)
        predict(tiny_task, source, tmp_path / "out.csv", status=2)
        predict(tiny_task, tmp_path / "out.csv.bad.jsonl", tmp_path / "out.csv", status=2)
    said = capsys.readouterr().err
    assert f"{results} exists and is not an earlier output of this command" in said
    assert f"{listing} exists and is not an earlier output of this command" in said
    assert f"{listing} is the input, whose bad rows would be lost" in said
    assert (results.read_text(), listing.read_text()) == ("text,label\nmine,1\n", '{"mine": 1}\n')
    # Empty files, earlier outputs, and with --overwrite other files are replaced.
    for options, target in (
        ([], empty),
        ([], empty),
        (["--overwrite"], results),
        (["--overwrite"], tmp_path / "out.csv"),
    ):
        predict(tiny_task, source, target, *options)
        assert len(read_csv(target)) == 21
    assert json.loads(listing.read_text())["row"] == "bad"


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_an_earlier_output_that_somebody_corrected_is_kept(ending, tiny_task, tmp_path, capsys):
    source, target = tmp_path / "my.csv", tmp_path / f"out.{ending}"
    source.write_text('text,n\n"good, it is",1\nbad,2\n')
    for _ in range(2):
        predict(tiny_task, source, target)
    written = target.read_text()
    labels = (
        ("negative", "positive")
        if "negative" in written.rsplit("bad", 1)[1].split("0.")[0]
        else ("positive", "negative")
    )
    head, row = written.rsplit("bad", 1)
    corrected = f"{head}bad{row.replace(*labels, 1)}"
    assert corrected != written
    target.write_text(corrected)
    predict(tiny_task, source, target, status=2)
    assert target.read_text() == corrected
    assert f"{target} exists and is not an earlier output of this command" in capsys.readouterr().err


@pytest.mark.parametrize(
    "theirs", ["text,predicted\nmine,positive\n", "text,predicted\nmine,1\n", "text,predicted,note\nmine,0.5,x\n"]
)
def test_a_column_that_is_called_as_ours_makes_no_output(theirs, tiny_task, tmp_path):
    source, target = tmp_path / "my.csv", tmp_path / "out.csv"
    source.write_text("text\ngood\n")
    target.write_text(theirs)
    predict(tiny_task, source, target, status=2)
    assert target.read_text() == theirs


def test_links_and_pipes_are_written_into(tiny_task, tmp_path):
    source, link, fifo = tmp_path / "my.csv", tmp_path / "link.csv", tmp_path / "fifo"
    source.write_text("text\ngood\n")
    link.symlink_to(tmp_path / "real.csv")
    predict(tiny_task, source, link)
    assert link.is_symlink()
    os.mkfifo(fifo)
    expected = (tmp_path / "real.csv").read_bytes()
    reading, writing = os.pipe()
    predict(tiny_task, source, f"/dev/fd/{writing}")
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == expected
    thread = threading.Thread(target=lambda: fifo.write_bytes(source.read_bytes()))
    thread.start()
    predict(tiny_task, fifo, tmp_path / "from_fifo.csv")
    thread.join()
    assert (tmp_path / "from_fifo.csv").read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("fifo", "from_fifo.csv", "link.csv", "my.csv", "real.csv")
    ]


def test_standard_output_is_utf8_and_every_bad_row_is_told(tiny_task, tmp_path, capsys, monkeypatch):
    (tmp_path / "my.tsv").write_text("text\tn\ncafé \U0001f60d\t1\n" + "bad\n" * 12)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    predict(tiny_task, tmp_path / "my.tsv", "-", status=1)
    assert written.getvalue().decode().splitlines()[1].startswith("café \U0001f60d\t1\t")
    said = capsys.readouterr().err
    assert [f"line {number}: 1 fields, the first line has 2" in said for number in range(3, 15)] == [True] * 12


def test_pairs_by_their_names(tiny_task, tmp_path):
    source, target = tmp_path / "my.tsv", tmp_path / "out.tsv"
    source.write_text("first\tsecond\ngood\tbad\n")
    options = ["--input", str(source), "--output", str(target), "--text", "first", "--text_pair", "second"]
    cli.main(["predict-file", str(tiny_task.teacher), *options])
    model, tokenizer = load_classifier(tiny_task.teacher), load_tokenizer(tiny_task.teacher)
    with torch.no_grad():
        logits = model(**tokenizer("good", "bad", return_tensors="pt")).logits
    header, row = (line.split("\t") for line in target.read_text().splitlines())
    assert float(row[header.index("probability")]) == pytest.approx(float(logits.softmax(-1).max()), abs=1e-5)


@pytest.fixture
def in_a_run(tiny_task, tmp_path):
    """The teacher in a run on pairs of texts."""
    run = tmp_path / "run"
    run.mkdir()
    Manifest(run).write()
    (run / "config.yaml").write_text("data: {task: mrpc, data_dir: x}\n")
    return save_classifier(load_classifier(tiny_task.teacher), run / "student")


def test_columns_are_called_as_in_its_task(in_a_run, tmp_path):
    source, target = tmp_path / "my.csv", tmp_path / "out.csv"
    source.write_text("sentence2,sentence1\nbad,good\n")
    cli.main(["predict-file", str(in_a_run), "--input", str(source), "--output", str(target)])
    assert len(read_csv(target)) == 1


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.csv", "body,n\nx,1\n", [], "has the columns body, n: name the column of the text by --text"),
        ("a.csv", "body,n\nx,1\n", ["--text", "nobody"], "has no column 'nobody', only body, n"),
        ("a.csv", "text,predicted\nx,1\n", [], "has a column 'predicted' already: rename it"),
        ("a.csv", "text\n", [], "a.csv: there is no row that can be read"),
        ("a.csv", "text,label\nfine\n", [], "line 2: 1 fields, the first line has 2; there is no row that can be read"),
        ("a.csv", "", [], "there is nothing in it"),
        ("a.csv", "text,text\n1,2\n", [], "a.csv: line 1: the column 'text' is there more than once"),
        ("a.xlsx", "text\nx\n", [], "its ending is none of .csv, .tsv, .jsonl"),
        ("a.csv", "text\nx\n", ["--quoting", "some"], "quoting is 'some': choose one of auto, none, standard"),
        ("a.csv", "text\nx\n", ["--batch_size", "0"], "batch_size is 0 but must be at least 1"),
        ("a.csv", "text\nx\n", ["--output", "out.pdf"], "its ending is none of .csv, .tsv, .jsonl"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tiny_task, tmp_path, capsys, name, content, options, message):
    (tmp_path / name).write_text(content)
    output = [] if "--output" in options else ["--output", str(tmp_path / "out.csv")]
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict-file", str(tiny_task.teacher), "--input", str(tmp_path / name), *output, *options])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert message in said.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_input_is_not_replaced(tiny_task, tmp_path, capsys):
    source = tmp_path / "a.csv"
    source.write_text('text\ngood\n"broken\n')
    with pytest.raises(SystemExit):
        cli.main(["predict-file", str(tiny_task.teacher), "--input", str(source), "--output", str(source)])
    assert "is the input, whose bad rows would be lost: choose another --output" in capsys.readouterr().err
    assert source.read_text() == 'text\ngood\n"broken\n'


def test_a_model_of_pairs_needs_a_second_column(in_a_run, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("text\nx\n")
    with pytest.raises(SystemExit):
        cli.main(["predict-file", str(in_a_run), "--input", str(tmp_path / "a.csv")])
    assert "was trained on pairs: name the second column by --text_pair" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["predict-file", str(in_a_run), "--input", str(tmp_path / "b.csv")])
    assert "b.csv: no such file" in capsys.readouterr().err


def test_pairs_for_a_model_that_has_one_segment(tiny_task, tmp_path, capsys):
    """The model is from another source and does not record its training data."""
    model = load_classifier(tiny_task.teacher)
    model.config.type_vocab_size = 1
    table = model.bert.embeddings.token_type_embeddings
    table.weight = torch.nn.Parameter(table.weight[:1].detach())
    folder = save_classifier(model, tmp_path / "foreign", load_tokenizer(tiny_task.teacher))
    (tmp_path / "a.csv").write_text("text,text_pair\nx,y\n")
    with pytest.raises(SystemExit):
        cli.main(["predict-file", str(folder), "--input", str(tmp_path / "a.csv")])
    assert (
        f"the tokenizer of {folder} gives pairs of texts 2 segment ids but the encoder has 1" in capsys.readouterr().err
    )


def test_a_copied_model_knows_its_columns_and_that_they_are_pairs(tiny_task, tmp_path, capsys):
    inputs = ModelInputs(32, "tokenizer", ("one", "two"), "classification", True, "mine")
    model, tokenizer = load_classifier(tiny_task.teacher), load_tokenizer(tiny_task.teacher)
    folder = save_classifier(model, tmp_path / "copied", tokenizer, inputs)
    source, target = tmp_path / "a.csv", tmp_path / "out.csv"
    source.write_text("two,one\nbad,good\n")
    cli.main(["predict-file", str(folder), "--input", str(source), "--output", str(target)])
    assert len(read_csv(target)) == 1
    with pytest.raises(SystemExit):
        cli.main(["predict-file", str(folder), "--input", str(source), "--text", "one"])
    assert "was trained on pairs: name the second column by --text_pair" in capsys.readouterr().err


def test_rows_that_are_too_long_are_told_or_classified_in_windows(tiny_task, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "_CHUNK", 2)
    texts = [*TEXTS, "a film of charm " * 9, "so bad " * 12]
    source = write_csv(tmp_path / "my.csv", [{"text": text} for text in texts], ["text"])
    tokenizer = load_tokenizer(tiny_task.teacher)
    whole = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    lost = sum(max(length - 16, 0) for length in whole)
    predict(tiny_task, source, tmp_path / "cut.csv", "--max_length", "16")
    share = f"{100 * lost / sum(whole):.1f} %"
    assert (
        f"{source}: 2 of 6 rows have more than 16 tokens and are cut, which loses {share} of all tokens: give "
        "--max_length (at most 128) or --windows\n"
    ) in capsys.readouterr().err
    predict(tiny_task, source, tmp_path / "windows.csv", "--max_length", "16", "--windows")
    # Of the 14 tokens of a window without special ones, 3 are those of the window before.
    windows = sum(1 + math.ceil((length - 16) / 11) for length in whole if length > 16)
    assert (
        f"{source}: 2 rows have more than 16 tokens: the means of the probabilities of {windows} windows\n"
        in capsys.readouterr().err
    )
    cut, windows = read_csv(tmp_path / "cut.csv"), read_csv(tmp_path / "windows.csv")
    assert [first == second for first, second in zip(cut, windows, strict=True)] == [True] * 4 + [False] * 2
    classifier = module.open_classifier(tiny_task.teacher, 16, windows=True)
    expected = classifier(texts).probabilities[:, 1].tolist()
    assert [float(row["probability_positive"]) for row in windows] == pytest.approx(expected, abs=1e-5)
    predict(tiny_task, source, tmp_path / "whole.csv", "--max_length", "128")
    assert "more than" not in capsys.readouterr().err


def test_pairs_with_a_long_first_text_are_told(tiny_task, tmp_path, capsys):
    rows = [{"text": "so bad " * 12, "text_pair": "good"}, {"text": "bad", "text_pair": "so good " * 12}]
    source = write_csv(tmp_path / "my.csv", rows, ["text", "text_pair"])
    model = save_classifier(load_classifier(tiny_task.teacher), tmp_path / "pairs", load_tokenizer(tiny_task.teacher))
    options = ["--max_length", "16", "--windows", "--output", str(tmp_path / "out.csv"), "--text_pair", "text_pair"]
    cli.main(["predict-file", str(model), "--input", str(source), *options])
    told = capsys.readouterr().err
    assert re.search(r"1 row has more than 16 tokens: the means of the probabilities of \d windows\n", told)
    assert "1 of 2 rows has more than 16 tokens and is cut, which loses " in told
    assert told.rstrip().endswith("give --max_length (at most 128) or shorter first texts")
