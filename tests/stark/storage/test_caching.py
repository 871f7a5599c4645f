"""Where tokenised rows and measured latencies are kept."""

from stark.storage import cache_folder


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("STARK_CACHE", str(tmp_path))
    assert cache_folder(None) == tmp_path
    assert cache_folder("here").name == "here"
    monkeypatch.delenv("STARK_CACHE")
    assert cache_folder(None).name == "stark-lightning"
