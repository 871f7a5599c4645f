import csv
import gzip
import io
import json
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.sources.records import BadRecord, Record, open_records, spelled
from datamodules.tasks.record_format import RecordFormat, record_format

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def opened(data: bytes, name="a.csv", **choices):
    return open_records(io.BytesIO(data), record_format(name, **choices))


def read(data: bytes, name="a.csv", **choices):
    with opened(data, name, **choices) as records:
        return list(records)


def good(rows):
    return [(row.line, list(row.cells)) for row in rows if isinstance(row, Record)]


def bad(rows):
    return [row for row in rows if isinstance(row, BadRecord)]


def notes(data: bytes, name="a.csv", **choices):
    with opened(data, name, **choices) as records:
        list(records)
        return records.notes


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_what_csv_writes_is_read(rows):
    for name, dialect in (("a.csv", "excel"), ("a.tsv", "excel-tab")):
        written = io.StringIO(newline="")
        csv.writer(written, dialect).writerows([("a", "b"), *rows])
        found = read(written.getvalue().encode(), name, quoting="standard")
        assert [tuple(row.cells) for row in found] == rows
    lines = "".join(json.dumps({"a": first, "b": second}) + "\n" for first, second in rows)
    assert [tuple(row.values.values()) for row in read(lines.encode(), "a.jsonl")] == rows


def test_lines_are_those_of_the_file():
    data = '\ufefftext,n\r\n"two\r\nlines",1\r\n\r\nlast,2'.encode()
    assert read(data) == [
        Record(2, ("text", "n"), ["two\r\nlines", "1"], '"two\r\nlines",1'),
        Record(5, ("text", "n"), ["last", "2"], "last,2"),
    ]
    assert notes(data) == [
        "1 row spans several lines (first: lines 2 to 3): set quoting to none if quotation marks are text, to standard "
        "if this is right"
    ]
    assert notes(data, quoting="standard") == []


def test_bad_rows_spoil_no_other():
    table = b'text,n\ngood,1\n\xff\xfe,2\nthree,3,3\n"a"b,4\nbest,5\n'
    found = read(table)
    assert good(found) == [(2, ["good", "1"]), (6, ["best", "5"])]
    doubled = 'text after a closing quotation mark (within a quoted field it is written twice, "")'
    assert bad(found) == [
        BadRecord(3, "not UTF-8: set the encoding, such as latin-1 or cp1252", "\udcff\udcfe,2"),
        BadRecord(4, "3 fields, the first line has 2", "three,3,3"),
        BadRecord(5, doubled, '"a"b,4'),
    ]
    lines = read(b'{"text": "good"}\n{"text": \n\n[1]\n"\xff"\n{"a": 1, "a": 2}\n{"text": "best"}', "a.jsonl")
    assert [row.line for row in lines] == [1, 2, 4, 5, 6, 7]
    assert [row.reason.split(" (")[0] for row in bad(lines)] == [
        *("no JSON", "no JSON object, of which JSON lines have one per line"),
        *("not UTF-8: set the encoding, such as latin-1 or cp1252", "no JSON"),
    ]
    assert "the key 'a' is there twice" in lines[4].reason


def table(delimiter, changes, rows=20):
    lines = [f"id{delimiter}text"] + [f"{number}{delimiter}comment {number}" for number in range(rows)]
    for line, text in changes.items():
        lines[line - 1] = text.replace("|", delimiter)
    return "\n".join([*lines, ""]).encode()


STRAY = [
    # Never closed; closed at the end of a later row, at the end of the next row, in the middle of a row; the last two.
    {4: '2|"I said it'},
    {4: '2|"It starts', 10: '8|and ends"'},
    {4: '2|"It starts', 5: '3|and ends"'},
    {4: '2|"It starts', 10: '8|with "this" in it'},
    {4: '2|"It starts', 10: '8|and ends"', 12: '10|"once more', 16: '14|"and" again'},
]


@pytest.mark.parametrize("changes", STRAY)
def test_a_stray_quotation_mark_swallows_no_row_of_a_tsv(changes):
    found = read(table("\t", changes), "a.tsv")
    assert [row.line for row in found] == list(range(2, 22))
    assert bad(found) == []
    assert list(found[2].cells) == changes[4].split("|")


@pytest.mark.parametrize("changes", [*STRAY[:2], *STRAY[3:]])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_stray_quotation_mark_swallows_no_row_of_a_csv(changes, delimiter):
    found = read(table(delimiter, changes), delimiter=delimiter)
    assert [row.line for row in found] == list(range(2, 22))
    opening = [line for line, text in changes.items() if '|"' in text and line != 16]
    assert [row.line for row in bad(found)][: len(opening)] == opening
    assert bad(found)[0].raw == changes[4].replace("|", delimiter)
    assert len(bad(found)) <= len(changes)


def test_what_a_stray_mark_swallows_is_told():
    def reason(changes):
        return bad(read(table(",", changes)))[0].reason

    assert reason(STRAY[0]).startswith("a quotation mark that is opened here is never closed: set quoting to none")
    assert reason(STRAY[1]).startswith(
        "a quotation mark that is opened here swallows lines 5 to 10, which look like rows: set quoting to none"
    )
    assert reason(STRAY[3]).startswith(
        "a quotation mark that is opened here swallows lines 5 to 10: set quoting to none"
    )
    # Two lines may be a text of several lines, so they are read, but reported.
    assert len(read(table(",", STRAY[2]))) == 19
    assert "1 row spans several lines (first: lines 4 to 5)" in notes(table(",", STRAY[2]))[0]
    assert good(read(table(",", STRAY[2]), quoting="none"))[2] == (4, ["2", '"It starts'])


@pytest.mark.parametrize(
    "text",
    [
        "Dear all,\nthank you, I liked it,\nBest,\nBob",
        "one\ntwo\nthree\nfour",
        'she said ""no"", and\nleft',
        "I paid\n1,000 dollars",
        ",,\n\n,",
    ],
)
@pytest.mark.parametrize("row", ['7,"{}"', '"{}",7', '7,"{}",x'])
def test_texts_of_several_lines_are_one_row(text, row):
    names = ",".join("abc"[: row.count(",") + 1])
    found = read(f"{names}\n{row.format(text)}\n{row.format('next')}\n".encode())
    assert bad(found) == []
    assert len(found) == 2
    assert text.replace('""', '"') in found[0].cells


def test_tsv_with_quoting_is_read_with_it():
    # They quote if a field contains a tab or a line end, or if the names are quoted.
    assert good(read(b'a\tb\n"x\ty"\t"1"\nz\t2\n', "a.tsv")) == [(2, ["x\ty", "1"]), (3, ["z", "2"])]
    assert good(read(b'a\tb\n"x\ny"\t1\nz\t2\n', "a.tsv")) == [(2, ["x\ny", "1"]), (4, ["z", "2"])]
    assert good(read(b'"a"\t"b"\n"x"\t"1"\nz\t2\n', "a.tsv")) == [(2, ["x", "1"]), (3, ["z", "2"])]
    # Otherwise they are text, unless quoting is set, or all of them are placed as csv places them.
    assert good(read(b'a\tb\n"x"\t1\n', "a.tsv")) == [(2, ['"x"', "1"])]
    assert good(read(b'a\tb\n"x"\t1\n', "a.tsv", quoting="standard")) == [(2, ["x", "1"])]
    written = b'a\tb\n"say ""x"""\t1\n"y"\t2\n'
    assert good(read(written, "a.tsv")) == [(2, ['say "x"', "1"]), (3, ["y", "2"])]
    assert notes(written, "a.tsv") == [
        "each quotation mark in it seems to quote: set quoting to none if they are text, to standard if not"
    ]
    assert notes(written, "a.tsv", quoting="standard") == []
    assert good(read(written + b'an "x"\t3\n', "a.tsv"))[:2] == [(2, ['"say ""x"""', "1"]), (3, ['"y"', "2"])]
    assert notes(written + b'an "x"\t3\n', "a.tsv") == []


@given(
    st.lists(st.text(st.sampled_from('ab"\n,\t \r'), max_size=10), max_size=8),
    st.sampled_from(["a.csv", "a.tsv"]),
    st.sampled_from(["auto", "none", "standard"]),
)
def test_every_line_is_a_row_or_part_of_one_or_told(lines, name, quoting):
    data = "\n".join(["x,y" if name == "a.csv" else "x\ty", *lines])
    rows = read(data.encode(), name, quoting=quoting)
    # The naive reading: all lines in their order, except for empty lines outside of rows.
    expected = {number: line for number, line in enumerate(data.split("\n"), start=1) if number > 1}
    seen = 1
    for row in rows:
        assert all(not expected[number].strip("\r") for number in range(seen + 1, row.line))
        parts = row.raw.split("\n")
        for offset, part in enumerate(parts):
            assert part.rstrip("\r") == expected[row.line + offset].rstrip("\r")
        seen = row.line + len(parts) - 1
        if quoting == "none":
            assert len(parts) == 1
    assert all(not line.strip("\r") for number, line in expected.items() if number > seen)


def test_line_ends():
    for end in ("\n", "\r\n", "\r\r\n", "\r"):
        assert good(read(f"a,b{end}x,1{end}y,2{end}".encode())) == [(2, ["x", "1"]), (3, ["y", "2"])]
        assert good(read(f"a{end}x{end}".encode(), "a.tsv")) == [(2, ["x"])]
        lines = f'{{"a": 1}}{end}{{"a": 2}}{end}'.encode()
        assert [row.cells for row in read(lines, "a.jsonl")] == [(1,), (2,)]
    # If lines end with line feeds, the other characters are text.
    text = "x\ry\fz\u2028\x85\0w"
    assert good(read(f"a,b\n{text},1\n".encode())) == [(2, [text, "1"])]
    assert good(read(f"a\tb\r\n{text}\t1\r\n".encode(), "a.tsv")) == [(2, [text, "1"])]
    assert read('{"a": "x\u2028\x85y"}\n'.encode(), "a.jsonl")[0].cells == ("x\u2028\x85y",)
    # A field of a megabyte, quoted or not.
    long = "word " * 200_000
    assert [row.cells[0] for row in read(f'a,b\n{long},1\n"{long}",2\n'.encode())] == [long, long]


def test_encodings():
    text = "a;b\ncafé “ok” €5;1\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252", "utf-16-le", "shift_jis"):
        data = text.encode(encoding, "ignore")
        named = None if encoding in ("utf-8-sig", "utf-16") else encoding
        assert good(read(data, delimiter=";", encoding=named))[0][1][1] == "1"
    assert notes(text.encode("utf-16"), delimiter=";") == ["read as UTF-16 because of its byte order mark"]
    assert notes(text.encode("utf-16"), "a.tsv") == ["read as UTF-16 because of its byte order mark"]
    with pytest.raises(ValueError, match="line 1 has zero bytes: set the encoding, perhaps utf-16-le"):
        read(text.encode("utf-16-le"))
    with pytest.raises(ValueError, match="line 1: not UTF-8: set the encoding, such as latin-1 or cp1252"):
        read("é,b\nx,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match="line 3 or one after it: not utf-16-le"):
        read("a,b\nx,1\ny,2".encode("utf-16")[:-1])
    # Undefined in cp1252.
    assert bad(read(b"a,b\nx\x81,1\ny,2\n", encoding="cp1252")) == [BadRecord(2, "not cp1252", "x\udc81,1")]


def test_without_names_of_columns():
    with opened(b"x,1\ny,2\n", header=False) as records:
        assert records.columns == ("0", "1")
        assert good(records) == [(1, ["x", "1"]), (2, ["y", "2"])]
    found = read(b'2,"I said it\ny,2\n', header=False)
    assert [row.line for row in found] == [1, 2]
    assert [row.line for row in bad(found)] == [1]
    assert read(b"x,1\ny\n", header=False)[1].reason == "1 fields, the first row has 2"


def test_names_that_are_not_used_may_be_equal_or_empty():
    with opened(b"v1,v2,,,\nham,hello,,,\n") as records:
        records.check_columns("v1", "v2")
        (row,) = records
    assert (row.text("v2"), row.columns, row.cells) == ("hello", ("v1", "v2", "", "", ""), ["ham", "hello", "", "", ""])
    with (
        opened(b"a,b,a\n1,2,3\n") as records,
        pytest.raises(ValueError, match="the column 'a' is there more than once"),
    ):
        records.check_columns("b", "a")


def test_columns_must_be_named():
    with pytest.raises(ValueError, match="there is nothing in it: its first line must name the columns"):
        read(b"\n")
    with pytest.raises(ValueError, match="line 1 does not name the columns: text after a closing quotation mark"):
        read(b'"a"b\n1\n')
    for data, message in (
        (b"a;b;c\n1;2;3\n", r"^line 1: no column 'a', only 'a;b;c' \(line 1 has no ',' but 2 ';': set the delimiter\)"),
        (b"a , b\n1,2\n", r"no column 'a', only 'a ', ' b' \(there are spaces around it: name it with them, in quot"),
        (b"x, b\n1,2\n", r"no column 'a', only 'x', ' b' \(set header to false if line 1 is a row\)"),
    ):
        with opened(data) as records, pytest.raises(ValueError, match=message):
            records.check_columns("a")
    assert "set the delimiter" in bad(read(b"a;b\nx, y;1\n"))[0].reason


def test_cells_of_json():
    line = rb'{"a": "x\ud83d", "b": 1.10, "c": null, "d": [1, "e"], "f": true, "g": 12}'
    (row,) = read(line, "a.jsonl")
    assert [spelled(cell) for cell in row.cells] == ["x\ud83d", "1.10", "null", '[1, "e"]', "true", "12"]
    for column, message in (
        ("a", "a has half a surrogate pair"),
        ("b", r"b is 1\.10, not a text"),
        ("c", "c is null, not a text"),
        ("h", "no column 'h', only 'a', 'b', 'c', 'd', 'f', 'g'"),
    ):
        with pytest.raises(ValueError, match=message):
            row.text(column)


def test_compressed_files():
    data = b'a\tb\n"x\t1\ny\t2\n'
    assert good(read(gzip.compress(data), "a.tsv.gz")) == [(2, ['"x', "1"]), (3, ["y", "2"])]
    for broken in (gzip.compress(data)[:-9], b"text", gzip.compress(data)[:4] + b"\xff" * 30):
        with pytest.raises(ValueError, match=r"line \d or one after it: the compressed file is damaged or cut"):
            read(broken, "a.csv.gz")


def test_a_pipe_is_read_as_a_file_is():
    data = table("\t", STRAY[1])
    ends = os.pipe()

    def write():
        with os.fdopen(ends[1], "wb") as stream:
            stream.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(ends[0], "rb") as stream, open_records(stream, RecordFormat(delimiter="\t")) as records:
        assert list(records) == read(data, "a.tsv")
    thread.join()
