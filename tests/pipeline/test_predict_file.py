"""Rows in, the same rows and their labels out."""

import csv
import io
import json
import sys

import pytest
import torch

import cli
from lightning_modules import load_classifier, load_tokenizer, save_classifier
from lightning_modules.model_inputs import ModelInputs
from pipeline import predict_file as module

TEXTS = ["a good and charming film", "bad", "so, so\nsaid he", "a very good film"]


@pytest.fixture(scope="module")
def expected(tiny_task):
    """The teacher's probabilities, one row at a time."""
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
    # The other way of writing, and back.
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


def test_bad_rows_are_told_and_kept_apart(tiny_task, expected, tmp_path, capsys):
    bad = ['{"text": 3}', "{", '{"other": "x"}', '{"text": " "}']
    good = [json.dumps({"text": text}) for text in TEXTS]
    source, target = tmp_path / "my.jsonl", tmp_path / "out.csv"
    source.write_text("\n".join([good[0], *bad, *good[1:]]))
    command = ["predict-file", str(tiny_task.teacher), "--input", str(source), "--output", str(target)]
    cli.main(command)
    check(read_csv(target), expected)
    said = capsys.readouterr().err
    assert f"{source}, line 2: text is 3, not a text" in said
    assert f"{source}, line 3: no JSON" in said
    assert f"{source}, line 4: there is no text" in said
    assert f'{source}, line 5: text is " ", not a text' in said
    apart = tmp_path / "out.csv.bad.jsonl"
    assert f"{source}: 4 of 8 rows are bad and were left out; {apart} has them all" in said
    assert [json.loads(line)["line"] for line in apart.read_text().splitlines()] == [2, 3, 4, 5]
    # The file of an earlier call does not outlive it.
    source.write_text("\n".join(good))
    cli.main(command)
    assert not apart.exists()


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
    """The teacher in a run over pairs."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
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
        ("a.csv", "body,n\nx,1\n", [], "has the columns body, n: name that of the text by --text"),
        ("a.csv", "body,n\nx,1\n", ["--text", "nobody"], "has no column 'nobody', only body, n"),
        ("a.csv", "text,predicted\nx,1\n", [], "has a column 'predicted' already: rename it"),
        ("a.csv", "text\n", [], "a.csv: there is no row that can be read"),
        ("a.csv", "text,label\nfine\n", [], "line 2: 1 fields, the first line has 2; there is no row that can be read"),
        ("a.csv", "", [], "there is nothing in it"),
        ("a.csv", "text,text\n1,2\n", [], "line 1 names the column 'text' twice"),
        ("a.xlsx", "text\nx\n", [], "its ending is none of .csv, .tsv, .jsonl"),
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
    """Somebody else's, of which nothing says what it was trained on."""
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
