"""Which columns of a file are a model's texts and label."""

import pytest

from datamodules import open_task
from datamodules.sources.opening import open_source
from pipeline.describing.columns import Columns, KnownLabels, find_columns
from pipeline.describing.description import described
from stark.errors import StarkError

NAMES = ("bad", "good")


def find(tmp_path, content, *, names=NAMES, trained=None, texts=(), label=None, ending="csv"):
    known = KnownLabels(names) if isinstance(names, tuple) else names
    path = tmp_path / f"rows.{ending}"
    path.write_text(content)
    return find_columns(path, texts, label, known=known, trained=trained)


@pytest.mark.parametrize(
    ("first", "second", "codes"),
    [("bad", "good", ["bad", "good"]), ("0", "1", ["0", "1"]), ("LABEL_1", "LABEL_0", ["LABEL_0", "LABEL_1"])],
)
def test_the_label_is_the_column_with_the_models_labels(tmp_path, first, second, codes):
    found = find(tmp_path, f"id,review,stars\n7,fine film,{first}\n8,dull,{second}\n", texts=("review",))
    assert found == Columns(("review",), "stars", dict(zip(codes, NAMES, strict=True)))


def test_the_text_is_that_of_the_training_or_called_text_or_the_only_other(tmp_path):
    rows = "sentence,text,y\na,b,bad\nc,d,good\n"
    assert find(tmp_path, rows, trained=("sentence",)).texts == ("sentence",)
    assert find(tmp_path, rows).texts == ("text",)
    assert find(tmp_path, "review,y\na b,bad\nc,good\n").texts == ("review",)
    assert find(tmp_path, rows, texts=("text",), trained=("sentence",)).texts == ("text",)
    assert find(tmp_path, "a,b,y\nx,y,bad\n", trained=("a", "b")).texts == ("a", "b")


def test_rows_may_lack_labels(tmp_path):
    assert find(tmp_path, "utterance\na film\nanother\n") == Columns(("utterance",), None, {})
    assert find(tmp_path, '{"text": "a film"}\n{"text": "b"}\n', ending="jsonl") == Columns(("text",), None, {})
    empty = find(tmp_path, "text,label\na film,\nanother,good\n")
    assert (empty.label, list(empty.labels)) == ("label", ["bad", "good"])


def test_a_score_is_found_by_its_name(tmp_path):
    rows = "text,year,label\na,1999,2.5\nb,2001,1\n"
    assert find(tmp_path, rows, names=("similarity",)) == Columns(("text",), "label", {"similarity": "similarity"})
    assert find(tmp_path, rows, names=("similarity",), label="year").label == "year"
    assert find(tmp_path, "text,year\na,1999\n", names=("similarity",)).label is None


@pytest.mark.parametrize(
    ("content", "asked", "message"),
    [
        ("text,a,b\nx,0,1\n", {}, "the label may be in a or in b: name its column by --label"),
        ("one,two,y\nx,z,bad\n", {}, "has the columns one, two besides the label: name one by --text"),
        ("y\nbad\n", {}, "has no column besides that of the label: its rows need a text, too"),
        ("one,two,y\nx,z,bad\n", {"trained": ("s1", "s2")}, "name two columns of the texts by --text and --text_pair"),
        ("text,y\nx,bad\n", {"label": "stars"}, "has no column 'stars', only text, y"),
        ("text,y\nx,fine\n", {"label": "y"}, "such as 'fine': they are bad, good, or their numbers from 0"),
        ("text,y\nx,bad,1\n", {}, "rows.csv, line 2: "),
        ("", {}, "there is nothing in it"),
        ("text,y\n", {}, "no rows in it"),
    ],
)
def test_what_is_not_clear_is_asked_in_one_line(tmp_path, content, asked, message):
    with pytest.raises(StarkError, match=message) as raised:
        find(tmp_path, content, **asked)
    assert "\n" not in str(raised.value)
    with pytest.raises(StarkError, match="no such file"):
        find_columns(tmp_path / "none.csv")


def test_without_a_model_the_label_is_found_by_its_name_or_its_few_values(tmp_path):
    few = "".join(f"{number},a longer text {number},{number % 3}\n" for number in range(60))
    assert find(tmp_path, f"id,body,stars\n{few}", names=None) == Columns(("body",), "stars", {})
    assert find(tmp_path, f"id,body,target\n{few}", names=None).label == "target"
    assert find(tmp_path, f"id,sentence,stars\n{few}", names=None).texts == ("sentence",)
    scores = "".join(f"a text {number},{number / 7}\n" for number in range(60))
    assert find(tmp_path, f"text,label\n{scores}", names=None).label == "label"
    with pytest.raises(StarkError, match="has the columns text, grade, none of which looks like a label: name it by"):
        find(tmp_path, f"text,grade\n{scores}", names=None)
    two = "".join(f"a text {number},{number % 2},{number % 3}\n" for number in range(60))
    with pytest.raises(StarkError, match="the label may be in a or in b: name its column by --label"):
        find(tmp_path, f"text,a,b\n{two}", names=None)
    assert find(tmp_path, f"text,a,b\n{two}", names=None, label="b").label == "b"


def test_the_first_rows_are_enough(tmp_path):
    rows = "".join(f"text {number},{'yes' if number % 2 else 'no'}\n" for number in range(10_000))
    assert find(tmp_path, f"text,y\n{rows}broken,row,here\n", names=None).label == "y"


def test_lists_are_several_labels_a_row(tmp_path):
    rows = (
        '{"body": "a longer text", "year": 1, "emotions": ["joy", "love"]}\n{"body": "b", "year": 2, "emotions": []}\n'
    )
    found = find(tmp_path, rows, names=None, ending="jsonl")
    assert found == Columns(("body",), "emotions", {}, several=True)
    table = 'body,year,emotions\n"a longer text",1,"[""joy"", ""love""]"\n"b",2,[]\n'
    assert find(tmp_path, table, names=None) == Columns(("body",), "emotions", {}, several=True)
    mixed = table.replace("[]", "joy")
    assert find(tmp_path, mixed, names=None, label="emotions") == Columns(("body",), "emotions", {})


def test_the_several_labels_of_a_model(tmp_path):
    model, same = KnownLabels(("joy", "love"), several=True), {name: name for name in ("joy", "love")}
    table = 'body,tags,emotions\n"a longer text","[""x""]","[""joy"", ""love""]"\n"b",[],[]\n'
    assert find(tmp_path, table, names=model) == Columns(("body",), "emotions", same, several=True)
    coded = find(tmp_path, table.replace("joy", "0").replace("love", "1"), names=model)
    assert coded.labels == {"0": "joy", "1": "love"}
    marks = "love,body,joy\n1,a longer text,0\n,another,true\n"
    assert find(tmp_path, marks, names=model) == Columns(("body",), ("joy", "love"), same, several=True)
    none = find(tmp_path, "body,love\na longer text,1\n", names=model)
    assert (none.label, none.several) == (None, False)
    with pytest.raises(StarkError, match="the column 'tags' has values that are no labels of the model, such as 'x': "):
        find(tmp_path, table, names=model, label="tags")
    joined = "body,emotions\na longer text,joy | love\nb,[]\nc,love\n"
    assert find(tmp_path, joined, names=model, texts=("body",)).label is None
    separated = find(tmp_path, joined, names=KnownLabels(("joy", "love"), several=True, separator="|"))
    assert separated == Columns(("body",), "emotions", same, several=True, separator="|")


def test_a_column_of_groups_is_neither_label_nor_text(tmp_path):
    path = tmp_path / "rows.csv"
    rows = "".join(f"{['good', 'bad'][n % 2]},film {n},a very long name of author {n % 3}\n" for n in range(30))
    path.write_text(f"stars,body,class\n{rows}")
    assert find_columns(path, group="class") == Columns(("body",), "stars", {}, group="class")
    with pytest.raises(StarkError, match=r"rows\.csv has no column 'author', only stars, body, class"):
        find_columns(path, group="author")


@pytest.mark.parametrize(("delimiter", "ending"), [(";", "csv"), ("|", "csv"), ("\t", "csv"), (";", "tsv")])
def test_another_delimiter_than_the_endings_is_found(tmp_path, delimiter, ending):
    path = tmp_path / f"rows.{ending}"
    rows = [["Text", "Label"], *([f"so, gut {n}", "ja"] for n in range(9)), *([f"nein {n}", "nein"] for n in range(9))]
    path.write_text("".join(f"{delimiter.join(row)}\n" for row in rows))
    found = find_columns(path, label="Label")
    assert (found.texts, found.label, found.delimiter) == (("Text",), "Label", delimiter)
    task = open_task(described(str(path), tmp_path, label="Label"))
    assert task.label_names == ("ja", "nein")
    parts = [open_source(task, None).rows(part).text_a for part in ("train", "dev")]
    assert sorted(text for part in parts for text in part) == sorted(text for text, _ in rows[1:])


def test_a_delimiter_that_the_rows_do_not_have_is_not_taken(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("good; or bad\nfine\ndull\n")
    with pytest.raises(StarkError, match=r"rows.csv has no column besides that of the label"):
        find_columns(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("text,label\ncaf\xe9,yes\n", "line 2: not UTF-8: set the encoding, such as latin-1 or cp1252"),
        ("caf\xe9,label\na,yes\n", "line 1: not UTF-8: set the encoding, such as latin-1 or cp1252"),
        ("text,label\na,b,yes\n", "line 2: 3 fields, the first line has 2"),
    ],
)
def test_rows_that_cannot_be_read_need_a_description(tmp_path, content, reason):
    path = tmp_path / "rows.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(StarkError) as error:
        find_columns(path)
    done = "(correct it, or say in a YAML that describes the rows how to read them)"
    assert str(error.value) == f"{path}, {reason} {done}"
