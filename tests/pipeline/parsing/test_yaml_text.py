"""YAML that contains no valid settings is refused in one line, and quickly."""

import time

import pytest
import yaml

from pipeline.parsing.yaml_text import lines_of_keys, load_yaml, read_yaml_text

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{f'*a{n - 1}, ' * 10}]" for n in range(1, 9)]
)


def test_plain_documents_are_what_pyyaml_reads():
    text = "a: &x {b: [1, 2.5, true, null]}\nc: {<<: *x, d: text}\n"
    assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("&a [*a]", "leads back"),
        ("a: &a {b: *a}", "leads back"),
        ("[" * 60 + "]" * 60, "levels deep"),
        ("[" * 100_000, "levels deep|expected"),
        (LAUGHS, "more than 100,000 values"),
        ("!!int text", "tag"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: [", "expected"),
        ("\0", "special characters"),
    ],
)
def test_what_is_of_no_use_is_a_yaml_error(text, complaint):
    start = time.perf_counter()
    with pytest.raises(yaml.YAMLError, match=complaint):
        load_yaml(text)
    assert time.perf_counter() - start < 10


def test_a_file_that_is_not_utf8_is_named_with_its_line(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes("seed: 1\nname: naïve\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"run\.yaml, line 2: not UTF-8"):
        read_yaml_text(path)
    path.write_text("name: naïve\n", encoding="utf-8")
    assert read_yaml_text(path) == "name: naïve\n"


def test_the_lines_of_keys(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("a: 1\nlist:\n- b: {c: 2}\n- d:\n    c: 3\nx.y: {z: 4}\n")
    assert lines_of_keys(path) == {
        **{"a": 1, "list": 2, "list.0.b": 3, "list.0.b.c": 3, "list.1.d": 4, "list.1.d.c": 5, "x.y": 6, "x.y.z": 6}
    }
    assert lines_of_keys(tmp_path / "nowhere.yaml") == {}
