import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

import cli
from pipeline.execution.manifest import Manifest
from pipeline.parsing.yaml_text import load_yaml
from pipeline.report import card as module
from pipeline.report import measuring
from pipeline.report.card import card_of, entry_of
from stark.forward.latency import Latency
from stark.model_folders.model_folder import load_classifier
from tests.pipeline.runs import leave, read


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(measuring, "measure_latency", lambda models, *_: dict.fromkeys(models, Latency(2.0, 1.0, 4.0)))
    monkeypatch.setattr(measuring, "_memory", lambda *_: 123.0)
    monkeypatch.setattr(measuring, "keep_session", lambda *_: None)  # other tests use the run, too


def test_the_hub_reads_what_it_says(pruned_run, tmp_path, capsys):
    target = tmp_path / "README.md"
    options = ["--license", "apache-2.0", "--language", "en", "--repo", "me/small", "--output", str(target)]
    cli.main(["card", str(pruned_run / "student"), *options])
    assert capsys.readouterr().out.strip() == str(target)
    data = ModelCard.load(target).data
    best = read(pruned_run)["best"]
    (result,) = data.eval_results
    assert (result.dataset_config, result.dataset_split, result.metric_type) == ("sst2", "validation", "accuracy")
    assert result.metric_value == round(best["dev"]["accuracy"], 4)
    assert (data.license, data.language, data.pipeline_tag, data.model_name) == (
        *("apache-2.0", "en", "text-classification", "small"),
    )
    text = target.read_text()
    assert f"| this model | {100 * best['dev']['accuracy']:.1f} |" in text
    assert 'pipeline("text-classification", model="me/small")' in text
    assert "import stark" in text
    assert "pip install stark" not in text
    assert "ask whoever gave you this model for its wheel" in " ".join(text.split())
    assert "Licence: apache-2.0" in text
    assert re.search(r"of five rounds, .*, torch [\w.+]+, measured \d{4}-\d\d-\d\d \d\d:\d\d UTC, load [\d.]+\.", text)
    assert "\n\n\n" not in text
    # The card has no path of the machine.
    assert not re.search(r"(?<![\w.])/[\w.]+/", text)
    assert str(pruned_run) not in text
    for found in read(pruned_run)["classes"]:
        f1 = 2 * found["precision"] * found["recall"] / ((found["precision"] + found["recall"]) or 1)
        shown = f"{100 * f1:.1f} | {100 * found['precision']:.1f} | {100 * found['recall']:.1f}"
        assert f"| {found['label']} | {found['rows']} | {shown} |" in text
    # Empty lines inside a table or a list would break it.
    assert re.search(r"\|---\|(---:\|)+\n\| teacher \|.*\|\n\| this model \|", text)


def test_each_device_has_its_latency(pruned_run, monkeypatch):
    """The CPU is used as the second device, too."""
    monkeypatch.setattr(measuring, "_devices", lambda: ["cpu", "cpu:0"])
    times = " | 2.00 [1.00, 4.00] | 2.00 [1.00, 4.00] |"
    shapes = ["1 x 32", "1 x 128", "8 x 128", "32 x 128"]
    rows = [f"| CPU, {shape}{times}" for shape in shapes]
    rows += [f"| CPU:0, {shape}{times}" for shape in [*shapes, "256 x 128"]]
    header = "| milliseconds for rows x tokens | teacher | this model |\n|---|---:|---:|"
    assert "\n".join(["", "", header, *rows, "", "Median"]) in str(card_of(pruned_run / "student"))


def test_the_lineage_is_that_of_the_summary(pruned_run):
    students = {model["folder"]: model for model in read(pruned_run)["models"]}
    text = str(card_of(pruned_run / "distill/0.5_0.2/model"))
    lost = students["distill/0.5_0.2/model"]["teacher_achieved"]
    assert f"without the {lost['heads']:.0%} of heads and {lost['neurons']:.0%} of neurons" in text
    assert "knowledgeable score (lam 0.5)" in text
    assert "No licence was named" in text
    dense = str(card_of(pruned_run / "trial/model"))
    assert "sparse teacher:" not in dense.lower()
    assert "(`student of dense teacher`)" in dense
    plain = str(card_of(pruned_run / "finetune/model"))
    assert "import stark" not in plain
    assert "wheel" not in plain


def test_the_student_is_the_chosen_one(pruned_run):
    run, entry = entry_of(pruned_run / "student")
    assert (run, entry.folder) == (pruned_run.resolve(), read(pruned_run)["best"]["folder"])


def test_what_is_no_model_of_a_finished_run_is_refused(pruned_run, tmp_path):
    with pytest.raises(ValueError, match="lies in no run"):
        entry_of(tmp_path)
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run)
    with pytest.raises(ValueError, match=r"none of the models that .* measured: name student, finetune/model"):
        entry_of(run / "sparsify/0.5_0.2")
    manifest = Manifest.read(run)
    manifest.forget({"evaluate"})
    manifest.write()
    with pytest.raises(ValueError, match="is not finished"):
        entry_of(run / "student")


def test_bases_on_the_hub_are_named(tmp_path):
    assert module._is_on_hub("bert-base-uncased")
    assert module._is_on_hub("google/bert")
    assert not module._is_on_hub(str(tmp_path))
    assert not module._is_on_hub("runs/a/b/model")
    assert not module._is_on_hub("./encoder")
    assert not module._is_on_hub("~/encoder")


def test_without_an_id_the_folder_has_its_last_name_alone(pruned_run):
    text = str(card_of(pruned_run / "student"))
    assert 'pipeline("text-classification", model="student")' in text
    encoder = Path(load_yaml((pruned_run / "config.yaml").read_text())["model_name_or_path"])
    assert f"1. `{encoder.name}`, finetuned: the dense teacher" in text
    assert str(encoder.parent) not in text
    assert str(pruned_run.parent) not in text


def test_a_card_that_somebody_changed_is_kept(pruned_run, tmp_path, capsys, monkeypatch):
    target = tmp_path / "README.md"
    command = ["card", str(pruned_run / "student"), "--output", str(target)]
    cli.main(command)
    cli.main([*command, "--license", "mit"])  # allowed, because the card is unchanged
    mine = target.read_text().replace("## Limits", "## Limits\n\nMine.")
    target.write_text(mine)
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(module, "card_of", None)  # refused before any work
        with pytest.raises(SystemExit) as stop:
            cli.main(command)
    assert stop.value.code == 2
    assert f"{target} exists and is not an earlier output of this command" in capsys.readouterr().err
    assert target.read_text() == mine
    cli.main([*command, "--overwrite"])
    assert "Mine." not in target.read_text()


def test_the_folder_of_a_card_keeps_its_checksums(pruned_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run)
    cli.main(["card", str(run / "student")])
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=run / "student", check=True)
    load_classifier(run / "student")


def test_seeds_are_told(pruned_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run)
    summary = read(run)
    summary["best_by_method"] = [{**summary["best_by_method"][0], "seed": seed} for seed in (1, 2)]
    leave(run, "summary.json", json.dumps(summary))
    assert "the run had 2 seeds, this model is of one" in str(card_of(Path(run) / "student"))


@pytest.mark.slow
def test_it_has_the_verdict_and_measures_nothing_for_it(simple_run, quick, monkeypatch):
    monkeypatch.setattr("pipeline.report.usable.measure_uses", lambda *_: pytest.fail("measured"))
    text = str(card_of(simple_run / "student"))
    assert "## Is the student needed?\n\nVerdict: " in text
    assert "Rule: " in text
    assert str(simple_run) not in text
