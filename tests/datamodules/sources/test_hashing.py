import hashlib
import io

from datamodules.sources.hashing import HashingReader

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
