import re

from tests.docs.pages import follow


def test_what_is_added_works(tmp_path, warm):
    _, scored, _ = follow("extending.md", tmp_path, warm)
    heads, neurons = map(int, re.findall(r"\d+", scored))
    assert 0 < heads < neurons
    assert (tmp_path / "certain_teacher/model.safetensors").is_file()
    assert (tmp_path / "runs/distill/model/model.safetensors").is_file()
