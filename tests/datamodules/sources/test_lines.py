"""Numbered lines of a file's bytes."""

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.sources.lines import Lines, decoded, is_unicode, numbered_lines


def lines_of(content, encoding=None):
    with decoded(io.BytesIO(content), encoding) as (text, name):
        return list(numbered_lines(text)), name


@given(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\0\ufeff")),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_lines_that_end_with_line_feeds_are_those_of_python(text, encoding):
    found, _ = lines_of(text.encode(encoding))
    assert found == list(enumerate(io.StringIO(text, newline="\n"), 1))


def test_no_character_of_a_line_is_lost():
    for content in (b"a\r\r\nb\r\n", b"a\rb\rc", b"a\nb\r", b"\n\n"):
        found, _ = lines_of(content)
        assert "".join(line for _, line in found).encode() == content
    assert [line for _, line in lines_of(b"a\rb\rc")[0]] == ["a\r", "b\r", "c"]
    assert [line for _, line in lines_of(b"a\r\r\nb")[0]] == ["a\r\r\n", "b"]


def test_bytes_that_cannot_be_decoded_become_surrogates_or_are_named():
    (number, line), name = lines_of(b"a\nb\xff")[0][1], lines_of(b"a\nb\xff")[1]
    assert (number, name) == (2, "utf-8-sig")
    assert line.encode("utf-8", "surrogateescape") == b"b\xff"
    assert not is_unicode(line)
    with pytest.raises(ValueError, match="line 1 or one after it: not utf-16"):
        lines_of("a\nb".encode("utf-16") + b"x")


def test_a_cut_compressed_file_is_named():
    content = gzip.compress(b"".join(b"%d\n" % number for number in range(10_000)))
    with (
        pytest.raises(ValueError, match="the compressed file is damaged or cut"),
        gzip.open(io.BytesIO(content[: len(content) // 2])) as stream,
        decoded(stream, None) as (text, _),
    ):
        list(numbered_lines(text))


def test_lines_are_put_back_in_their_order():
    lines = Lines(iter([(1, "a"), (2, "b"), (3, "c"), (4, "d")]))
    first, *rest = (next(lines) for _ in range(3))
    lines.put_back(rest)
    assert [first, *lines] == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
