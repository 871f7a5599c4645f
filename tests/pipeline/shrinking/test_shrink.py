"""Shrinking a trained classifier from the command line."""

import csv
import re

import pytest

import cli
from pipeline.deploy.export.export import megabytes_of
from pipeline.results.summary import Summary
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier, load_tokenizer


@pytest.fixture
def rows(tiny_task, tmp_path):
    """A file of rows with labels."""
    lines = [line.split("\t") for line in (tiny_task.data_dir / "SST-2/train.tsv").read_text().splitlines()]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines[:121])
    return tmp_path / "rows.csv"


def shrink(model, rows, tmp_path, *options):
    cli.main(["shrink", str(model), "--data", str(rows), "--root", str(tmp_path / "runs"), "--name", "s", *options])
    return tmp_path / "runs/s"


def test_half_of_the_units_go_without_training(tiny_task, tmp_path, rows, capsys):
    run = shrink(tiny_task.teacher, rows, tmp_path, "--sparsity", "0.5")
    units, before = (kept_units(load_classifier(folder)) for folder in (run / "student", tiny_task.teacher))
    assert 2 * sum(map(len, units.heads)) == sum(map(len, before.heads))
    summary = Summary.read(run)
    assert summary.models[0].seconds < 60
    last = capsys.readouterr().out.splitlines()[-2:]
    scores = f"{summary.models[0].dev_score:.4f} -> {summary.best.dev_score:.4f}"
    assert last == [f"score on held-out rows {scores}", str(run / "student")]


@pytest.mark.slow
def test_a_fraction_of_the_operations_can_be_asked_for(tiny_task, tmp_path, rows):
    run = shrink(tiny_task.teacher, rows, tmp_path, "--flops", "0.5")
    assert "budget: stark.FLOPs" in (run / "config.yaml").read_text()


def test_a_size_is_kept_by_removing_tokens_and_units(tiny_task, tmp_path, rows, capsys, monkeypatch):
    # Embeddings are a small part of the tiny model, so that tokens would be removed only with a larger sparsity.
    monkeypatch.setattr("pipeline.shrinking.shrink._FIRST", 0.1)
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:1] + 3 * lines[1:15]))
    whole = megabytes_of(tiny_task.teacher)
    asked = 0.6 * whole
    run = shrink(tiny_task.teacher, rows, tmp_path, "--size", f"{1000 * asked:.1f}kB")
    assert megabytes_of(run / "student") <= asked
    captured = capsys.readouterr()
    assert re.search(r"299 -> \d+ tokens: score", captured.err)
    assert len(load_tokenizer(run / "student")) < 299
    assert f"asked: {asked:.2f} MB (the model folder); reached: {megabytes_of(run / 'student'):.2f} MB" in captured.out
    # A second call measures nothing again, so that it goes on with the same run.
    monkeypatch.setattr("pipeline.shrinking.shrink.cost_of", None)
    shrink(tiny_task.teacher, rows, tmp_path, "--size", f"{1000 * asked:.1f}kB")
    assert "prune, finished earlier" in capsys.readouterr().out


@pytest.mark.slow
def test_rows_without_labels_and_a_lost_promise(tiny_task, tmp_path, rows, capsys):
    lines = list(csv.reader(rows.read_text().splitlines()))
    with rows.open("w", newline="") as file:
        csv.writer(file).writerows([text] for text, _ in lines)
    with pytest.raises(SystemExit) as stopped:
        shrink(tiny_task.teacher, rows, tmp_path, "--sparsity", "0.9", "--max_loss", "-101")
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert "agreement with the model on held-out rows 1.0000 -> " in captured.out
    assert "more than --max_loss -101: train longer (--train), or allow a larger model" in captured.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing is asked for: give one of --sparsity 0.7, --flops 0.3, --size 10MB and --latency 5ms"),
        (["--sparsity", "0.5", "--size", "1MB"], "--sparsity and --size is asked for: give one of"),
        (["--sparsity", "70"], r"sparsity is 70: give the fraction of units to remove"),
        (["--flops", "20"], "flops is 20: give the fraction to keep"),
        (["--sparsity", "0.5", "--int8"], "--int8 needs a format: give --format onnx, openvino or torch"),
        (["--latency", "fast"], "latency is 'fast': give a number with its unit, such as 5ms"),
        (["--sparsity", "0.5", "--train", "long"], "time is 'long': give a duration"),
    ],
)
def test_mistakes_are_told_in_one_line(tiny_task, tmp_path, rows, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        shrink(tiny_task.teacher, rows, tmp_path, *options)
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_folder_that_is_no_model_is_told(tmp_path, rows, capsys):
    with pytest.raises(SystemExit):
        shrink(tmp_path / "none", rows, tmp_path, "--sparsity", "0.5")
    assert "there is no such folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_of_the_hub_is_downloaded(tiny_task, tmp_path, rows, monkeypatch):
    asked = []

    def download(name, allow_patterns):
        asked.append((name, "config.json" in allow_patterns, "*.bin" in allow_patterns))
        return str(tiny_task.teacher)

    monkeypatch.setattr("pipeline.shrinking.shrink.snapshot_download", download)
    arguments = ["--data", str(rows), "--root", str(tmp_path / "runs"), "--sparsity", "0.5"]
    cli.main(["shrink", "someone/reviews", *arguments])
    assert asked == [("someone/reviews", True, False)]
    assert (tmp_path / "runs/reviews-small/student").is_dir()


def test_a_model_that_the_hub_does_not_give_is_told(tmp_path, rows, capsys):
    with pytest.raises(SystemExit) as stopped:
        shrink("someone/reviews", rows, tmp_path, "--sparsity", "0.5")
    assert stopped.value.code == 2
    assert "cannot load someone/reviews: " in capsys.readouterr().err


def test_a_classifier_of_transformers_alone_is_enough(tiny_task, tmp_path, rows):
    load_classifier(tiny_task.teacher).save_pretrained(tmp_path / "plain")
    load_tokenizer(tiny_task.teacher).save_pretrained(tmp_path / "plain")
    rows.write_text(rows.read_text().replace("sentence,label", "review,stars"))
    run = shrink(tmp_path / "plain", rows, tmp_path, "--sparsity", "0.5")
    assert load_classifier(run / "student").config.model_type == "stark-bert"
