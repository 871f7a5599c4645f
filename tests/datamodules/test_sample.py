import hashlib

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from datamodules import GLUEDataModule
from datamodules.sample import sample_vocabulary, write_sample_data
from datamodules.sources.opening import open_source
from datamodules.tasks.glue import find_task

TASKS = ("rte", "mrpc", "stsb", "sst2", "qnli", "qqp", "mnli", "mnlimm")


def digests(folder):
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.rglob("*.*")}


def test_same_bytes_every_time_and_others_left_alone(sample_dir, tmp_path):
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "train.tsv").write_text("old")
    other = tmp_path / "RTE" / "other.txt"
    other.write_text("mine")
    with pytest.raises(FileExistsError, match=r"RTE/train\.tsv exists and is not an earlier output"):
        write_sample_data(tmp_path, rows=300)
    assert {file.name for file in tmp_path.rglob("*.*")} == {"train.tsv", "other.txt"}
    files = write_sample_data(tmp_path, rows=300, overwrite=True)
    write_sample_data(tmp_path, rows=300)  # an unchanged earlier output may be replaced
    assert other.read_text() == "mine"
    other.unlink()
    assert digests(tmp_path) == digests(sample_dir)
    assert {str(file.relative_to(tmp_path)) for file in files} == set(digests(tmp_path))
    # If you change the generated rows, the demo's numbers change too: update them together with this hash.
    assert digests(tmp_path)["SST-2/dev.tsv"].startswith("09d60a0641e7168c")


def test_too_few_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="rows is 100 but must be at least 120"):
        write_sample_data(tmp_path, rows=100)
    write_sample_data(tmp_path, rows=120)
    for name in TASKS:
        task = find_task(name)
        labels = open_source(task, str(tmp_path)).rows("dev").labels
        assert len(set(labels)) == (6 if not task.problem.has_classes else task.num_labels)


@pytest.mark.parametrize("name", TASKS)
def test_files_can_be_read_and_have_quirks(sample_dir, name):
    source = open_source(find_task(name), str(sample_dir))
    size = 300 if name in ("sst2", "mrpc") else 200
    texts = []
    for split, rows in (("train", size), ("dev", size // 5), ("test", size // 10)):
        read = source.rows(split)
        texts += read.text_a + (read.text_b or [])
        assert len(read.text_a) == rows
        assert read.idx == list(range(rows))
    assert len({len(text.split()) for text in texts}) > 8
    assert any('"' in text for text in texts)
    assert not all(text.isascii() for text in texts)
    assert {word for text in texts for word in text.split()} <= set(sample_vocabulary())


def test_original_headers(sample_dir):
    first = {
        name: (sample_dir / name).read_text().split("\n")[0] for name in ("MRPC/train.tsv", "MNLI/dev_matched.tsv")
    }
    assert first["MRPC/train.tsv"] == "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    assert first["MNLI/dev_matched.tsv"].split("\t")[8:] == [
        "sentence1",
        "sentence2",
        *(f"label{i}" for i in range(1, 6)),
        "gold_label",
    ]


def test_every_word_is_in_the_vocabulary(sample_dir, tokenizer):
    rows = open_source(find_task("mrpc"), str(sample_dir)).rows("train")
    ids = tokenizer([*rows.text_a, *rows.text_b])["input_ids"]
    assert not [row for row in ids if tokenizer.unk_token_id in row]


@pytest.mark.slow
def test_a_tiny_encoder_learns_it(tmp_path, tokenizer_dir):
    """The demo needs this: after a few seconds of training the accuracy is clearly above chance."""
    write_sample_data(tmp_path, rows=1600)
    data = GLUEDataModule("sst2", str(tmp_path), str(tokenizer_dir), cache_dir=str(tmp_path / "cache"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(data.tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=128,
    )
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loader = data.train_dataloader()
    for epoch in range(4):
        loader.batch_sampler.set_epoch(epoch)
        for batch in loader:
            batch.pop("idx")
            model(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    right = []
    with torch.no_grad():
        for batch in data.test_dataloader():
            batch.pop("idx")
            labels = batch.pop("labels")
            right.append((model(**batch).logits.argmax(1) == labels).float())
    assert torch.cat(right).mean() > 0.7
