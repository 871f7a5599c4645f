import hashlib
import io

from datamodules.sources.hashing import HashingReader, hashed_records
from datamodules.tasks.record_format import RecordFormat

CONTENT = bytes(range(256)) * 1000


def test_whatever_is_read_of_a_file_its_digest_is_of_all():
    expected = hashlib.sha256(CONTENT).hexdigest()
    for size in (0, 1, 100_000, len(CONTENT), len(CONTENT) + 1):
        reader = HashingReader(io.BytesIO(CONTENT))
        assert io.BufferedReader(reader).read(size) == CONTENT[:size]
        assert reader.digest() == expected
    lines = io.TextIOWrapper(io.BufferedReader(reader := HashingReader(io.BytesIO(CONTENT))), encoding="latin-1")
    assert "".join(lines)
    assert reader.digest() == expected


def test_rows_and_checksum_come_from_one_reading(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,stars\nso,2\n")
    with hashed_records(path, RecordFormat()) as (records, hashing):
        assert [row.cells for row in records] == [["so", "2"]]
        assert hashing.digest() == hashlib.sha256(b"text,stars\nso,2\n").hexdigest()
