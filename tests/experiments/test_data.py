"""The parts of the experiments' data share no sentence."""

import csv
import random

import pytest

from datamodules import open_task
from experiments import data
from experiments.data import groups_of, write_task


def contains(whole, part):
    return f" {part} " in f" {whole} "


def test_a_phrase_is_in_the_group_of_the_longest_phrase_that_contains_it():
    draw = random.Random(0)
    words = [f"w{number}" for number in range(30)]
    sentences = [[draw.choice(words) for _ in range(draw.randint(1, 9))] for _ in range(60)]
    phrases = []
    for sentence in sentences:
        for _ in range(3):
            start = draw.randrange(len(sentence))
            phrases.append(" ".join(sentence[start : start + draw.randint(1, 6)]))
    draw.shuffle(phrases)
    groups = groups_of(phrases)
    for place, phrase in enumerate(phrases):
        longest = max((other for other in phrases if contains(other, phrase)), key=lambda other: len(other.split()))
        heads = [other for other, group in zip(phrases, groups, strict=True) if group == groups[place]]
        head = max(heads, key=lambda other: len(other.split()))
        assert contains(head, phrase)
        assert len(head.split()) == len(longest.split())


@pytest.fixture
def originals(tmp_path, tiny_task, monkeypatch):
    """A folder like that of the original data, with the sample rows in the place of GLUE's."""
    monkeypatch.setattr(data, "_LABELLED", 60)
    monkeypatch.setattr(data, "_HELD_OUT", 30)
    (tmp_path / "original").mkdir()
    (tmp_path / "original/glue").symlink_to(tiny_task.data_dir)
    return tmp_path / "original"


def test_sst2_is_divided_by_sentence(originals, tmp_path):
    description = write_task("sst2", originals, tmp_path / "data")
    parts = {}
    for part in ("train", "unlabelled", "dev", "glue_dev"):
        with (description.parent / f"{part}.csv").open(newline="") as file:
            parts[part] = list(csv.reader(file))[1:]
    lines = (originals / "glue/SST-2/train.tsv").read_text().splitlines()[1:]
    texts = [text for part in ("train", "unlabelled", "dev") for text, _ in parts[part]]
    assert sorted(texts) == sorted(line.split("\t")[0].strip() for line in lines)
    assert (len(parts["train"]), len(parts["glue_dev"])) == (60, 24)
    assert 30 <= len(parts["dev"]) < 40
    assert {label for _, label in parts["unlabelled"]} == {""}
    groups = dict(zip(texts, groups_of(texts), strict=True))
    trained = {groups[text] for part in ("train", "unlabelled") for text, _ in parts[part]}
    assert not trained & {groups[text] for text, _ in parts["dev"]}
    task = open_task(str(description))
    assert task.label_names == ("negative", "positive")
    before = description.stat().st_mtime_ns
    assert write_task("sst2", originals, tmp_path / "data").stat().st_mtime_ns == before


def test_goemotions_has_several_labels_a_row(tmp_path):
    folder = tmp_path / "original/own/goemotions"
    folder.mkdir(parents=True)
    rows = ['{"text": "a, b", "labels": ["joy", "love"]}\n', '{"text": "c", "labels": ["anger"]}\n']
    for part, own in (("train", rows), ("dev", rows[:1]), ("test", rows[1:])):
        (folder / f"{part}.jsonl").write_text("".join(own))
    task = open_task(str(write_task("goemotions", tmp_path / "original", tmp_path / "data")))
    assert task.label_names == ("anger", "joy", "love")
    assert task.kind == "multi_label"
