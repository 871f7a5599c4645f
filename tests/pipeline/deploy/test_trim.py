"""Removing tokens from a model folder."""

import shutil

import pytest
import torch

import cli
from pipeline.deploy.classifier import open_classifier
from pipeline.deploy.model_data import data_of
from pipeline.deploy.trim import trim_model
from pipeline.execution.manifest import Manifest
from stark.encoders.layers import count_parameters
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.storage import is_intact_folder
from stark.vocabulary.factorizing import count_tokens


@pytest.fixture
def student(tiny_task, tmp_path):
    """A model in a run whose training data are only the first rows, which lack some words."""
    data = shutil.copytree(tiny_task.data_dir / "SST-2", tmp_path / "data/SST-2")
    lines = (data / "train.tsv").read_text().splitlines(keepends=True)
    (data / "train.tsv").write_text("".join(lines[:40]))
    run = tmp_path / "runs/mine"
    save_classifier(load_classifier(tiny_task.teacher), run / "student", load_tokenizer(tiny_task.teacher))
    Manifest(run).write()
    settings = f"task: sst2, data_dir: {tmp_path / 'data'}, max_length: 64, cache_dir: {tmp_path / 'cache'}"
    (run / "config.yaml").write_text(f"data: {{{settings}}}\n")
    return run / "student"


def train_texts(student):
    lines = (student.parents[2] / "data/SST-2/train.tsv").read_text().splitlines()[1:]
    return [line.split("\t")[0] for line in lines]


def test_training_rows_keep_their_predictions_and_the_folder_is_smaller(student, capsys):
    cli.main(["trim", str(student), "--max_score_loss", "1"])
    target = student.with_name("student-trimmed")
    texts = train_texts(student)
    before, after = open_classifier(student), open_classifier(target)
    assert torch.equal(before(texts).probabilities, after(texts).probabilities)
    assert len(after.tokenizer) < len(before.tokenizer)
    assert load_classifier(target).config.vocab_size == len(after.tokenizer)
    assert is_intact_folder(target)
    printed = capsys.readouterr().out
    assert f"{len(before.tokenizer):,}" in printed
    assert f"{len(after.tokenizer):,}" in printed
    assert f"0 of {len(texts)} of the training data" in printed
    assert printed.splitlines()[-1] == str(target)


def test_what_it_finds_is_what_the_models_score(student):
    data = data_of(student)
    found = trim_model(student, student.with_name("small"), data, max_score_loss=1)
    again = data_of(student.with_name("small"))
    for folder, one, side in ((student, data, found.before), (student.with_name("small"), again, found.after)):
        rows = one.labelled_texts("dev")
        predicted = open_classifier(folder)(rows.text_a).predictions
        assert side.score == pytest.approx(float((predicted == torch.tensor(rows.labels)).double().mean()))
        assert side.parameters == sum(p.numel() for p in load_classifier(folder).parameters())
        # The report of the folder's size leaves nothing out.
        assert side.megabytes == pytest.approx(sum(f.stat().st_size for f in folder.iterdir()) / 1e6, rel=0.01)
    assert (found.changed, found.texts) == (0, len(train_texts(student)))
    assert 0 < found.dev_changed < found.dev_texts


def test_more_texts_and_more_tokens_can_be_kept(student, tmp_path):
    dev = student.parents[2] / "data/SST-2/dev.tsv"
    with_dev = trim_model(student, tmp_path / "a", data_of(student, unlabelled=[str(dev)]), max_score_loss=1)
    assert with_dev.dev_changed == 0
    few = trim_model(student, tmp_path / "b", data_of(student), max_score_loss=1)
    more = trim_model(student, tmp_path / "c", data_of(student), few.after.tokens + 5, max_score_loss=1)
    assert more.after.tokens == few.after.tokens + 5


def test_embeddings_are_factorised_with_all_tokens_or_fewer(student, tmp_path, capsys):
    cli.main(["trim", str(student), "--rank", "4", "--max_score_loss", "1", "--output", str(tmp_path / "few")])
    few = load_classifier(tmp_path / "few")
    assert few.get_input_embeddings().table.weight.shape == (few.config.vocab_size, 4)
    assert "embeddings of rank 4: " in capsys.readouterr().out
    found = trim_model(student, tmp_path / "all", data_of(student), 10**6, max_score_loss=1, rank=4)
    assert found.after.tokens == found.before.tokens > few.config.vocab_size
    assert found.after.parameters == count_parameters(load_classifier(tmp_path / "all"))[0] < found.before.parameters
    whole = load_classifier(student).get_input_embeddings().weight.detach()
    counts = count_tokens(load_tokenizer(student), train_texts(student), len(whole))
    error = (load_classifier(tmp_path / "all").get_input_embeddings().weight.detach() - whole).square().sum(
        1
    ) @ counts.float()
    assert found.kept_share == pytest.approx(1 - float(error / (whole.square().sum(1) @ counts.float())), abs=1e-5)
    with pytest.raises(StarkError, match="rank 1000 does not make the"):
        trim_model(student, tmp_path / "other", data_of(student), rank=1000)


def test_a_loss_of_score_is_refused_and_nothing_is_written(student, tmp_path):
    with pytest.raises(StarkError, match=r"it lost more than --max_score_loss -1, nothing was kept; keep more by"):
        trim_model(student, tmp_path / "small", data_of(student), max_score_loss=-1)
    assert not (tmp_path / "small").exists()


def test_a_vocabulary_that_is_needed_is_left_alone(student, tmp_path):
    with pytest.raises(StarkError, match="tokens would be kept: there is nothing to remove"):
        trim_model(student, tmp_path / "small", data_of(student), 10**6)


def test_another_folder_is_not_replaced(student, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["trim", str(student), "--output", str(tmp_path / "other")])
    assert stopped.value.code == 2
    assert "it was not replaced" in capsys.readouterr().err
