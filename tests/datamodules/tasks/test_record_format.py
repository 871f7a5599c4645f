import pytest

from datamodules.tasks.record_format import RecordFormat, record_format


def test_the_ending_tells_the_format():
    assert record_format("a.csv") == RecordFormat()
    assert record_format("b.c/d.TSV") == RecordFormat(delimiter="\t")
    assert record_format("e.jsonl") == record_format("e.v2.ndjson") == RecordFormat(json_lines=True)
    assert record_format("a.tsv.gz") == RecordFormat(delimiter="\t", compressed=True)


def test_the_content_tells_it_where_there_is_no_ending():
    for name in ("-", "/dev/stdin", "a.b/rows"):
        assert record_format(name, b' {"text": 1}') == RecordFormat(json_lines=True)
        assert record_format(name, b"text") == RecordFormat()


def test_what_is_given_comes_first():
    chosen = record_format("rows.txt", delimiter=r"\t", quoting="none", encoding="Latin1", header=False)
    assert chosen == RecordFormat(delimiter="\t", quoting="none", encoding="iso8859-1", header=False)
    assert record_format("a.csv", delimiter=";").delimiter == ";"
    assert record_format("a.csv", encoding="utf8") == RecordFormat()


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        (
            "a.xlsx",
            {},
            r"a\.xlsx: its ending is none of \.csv, \.tsv, \.jsonl, with or without \.gz, or \.parquet: of a table",
        ),
        ("a.json", {}, r"a\.json: its ending .* JSON lines \(\.jsonl\) have one object per line"),
        ("a.gz", {}, r"a\.gz: its ending is none of"),
        ("a.jsonl", {"delimiter": ";"}, "delimiter is ';', but JSON lines have none"),
        ("a.csv", {"delimiter": ";;"}, "delimiter is ';;': give a single character"),
        ("a.csv", {"delimiter": '"'}, "give a single character that is no quotation mark"),
        ("a.csv", {"quoting": "some"}, "quoting is 'some': choose one of auto, none, standard"),
        ("a.csv", {"encoding": "latin-99"}, "encoding is 'latin-99', which is not known"),
        ("a.csv", {"encoding": "zlib"}, "encoding is 'zlib', which is not known"),
    ],
)
def test_what_cannot_be_used_is_one_line(name, choices, message):
    with pytest.raises(ValueError, match=message):
        record_format(name, **choices)
