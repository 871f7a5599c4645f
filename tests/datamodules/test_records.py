import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.records import BadRecord, Record, read_records, record_format

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def read(data: bytes, form="csv"):
    return list(read_records(io.BytesIO(data), form))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_what_csv_writes_is_read(rows):
    for form, dialect in (("csv", "excel"), ("tsv", "excel-tab")):
        written = io.StringIO(newline="")
        writer = csv.writer(written, dialect)
        writer.writerows([("a", "b"), *rows])
        found = read(written.getvalue().encode(), form)
        assert [(row.values["a"], row.values["b"]) for row in found] == rows
    lines = "".join(json.dumps({"a": first, "b": second}) + "\n" for first, second in rows)
    assert [tuple(row.values.values()) for row in read(lines.encode(), "jsonl")] == rows


def test_lines_are_those_of_the_file():
    data = '\ufefftext,n\r\n"two\r\nlines",1\r\n\r\nlast,2'.encode()
    assert read(data) == [Record(2, {"text": "two\r\nlines", "n": "1"}), Record(5, {"text": "last", "n": "2"})]


def test_bad_rows_spoil_no_other():
    table = b'text,n\ngood,1\n\xff\xfe,2\nthree,3,3\n"a"b,4\nbest,5\n'
    found = read(table)
    assert [row for row in found if isinstance(row, Record)] == [
        Record(2, {"text": "good", "n": "1"}),
        Record(6, {"text": "best", "n": "5"}),
    ]
    assert found[1:4] == [
        BadRecord(3, "not UTF-8"),
        BadRecord(4, "3 fields, the first line has 2"),
        BadRecord(5, "',' expected after '\"'"),
    ]
    lines = read(b'{"text": "good"}\n{"text": \n\n[1]\n"\xff"\n{"text": "best"}', "jsonl")
    assert [row.line for row in lines] == [1, 2, 4, 5, 6]
    assert [row.reason.split(" (")[0] for row in lines[1:4]] == ["no JSON", "no JSON object", "not UTF-8"]


def test_a_quote_that_is_never_closed_is_one_bad_row():
    assert read(b'text\ngood\n"never closed\nmore\n') == [
        Record(2, {"text": "good"}),
        BadRecord(3, "unexpected end of data"),
    ]


def test_columns_must_be_named_once():
    with pytest.raises(ValueError, match="there is nothing in it"):
        read(b"\n")
    with pytest.raises(ValueError, match="line 1 names the column 'a' twice"):
        read(b"a,b,a\n1,2,3\n")
    with pytest.raises(ValueError, match="line 1 does not name the columns"):
        read(b'"a"b\n1\n')


def test_the_ending_tells_the_format():
    assert [record_format(name) for name in ("a.csv", "b.c/d.TSV", "e.jsonl", "e.ndjson")] == [
        *("csv", "tsv", "jsonl", "jsonl")
    ]
    with pytest.raises(ValueError, match=r"a.xlsx: its ending is none of .csv, .tsv, .jsonl"):
        record_format("a.xlsx")
