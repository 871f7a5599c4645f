"""`stark run` on tiny data: its files, resuming, and equality with the method of stark.yaml."""

import json
import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from cli import main
from pipeline import stages
from pipeline.deploy.model_data import data_of
from pipeline.execution.manifest import Manifest
from pipeline.report import measuring
from pipeline.report.card import card_of
from pipeline.report.reading import read_run
from pipeline.report.run_page import page_of_run
from pipeline.stages import distil, fit
from stark.encoders.layers import kept_units
from stark.forward.latency import Latency
from stark.model_folders.model_folder import load_classifier
from stark.storage import file_digest, folder_lock
from tests.own import write_own
from tests.pipeline.runs import SEED, copy_begun, home_of, options, read, same_weights, without_seconds
from tests.tasks import save_masked_language_model


def test_leaves_what_the_readme_lists(pruned_run):
    for folder in ("finetune", "trial", "distill/0.5_0.2", "distill/0.5_0.4"):
        for name in ("config.yaml", "metrics.csv", "model/model.safetensors"):
            assert (pruned_run / folder / name).exists()
    assert not list(pruned_run.rglob("*.ckpt"))
    for name in ("config.yaml", "manifest.json", "summary.json", "prune/student_scores.safetensors"):
        assert (pruned_run / name).exists()
    assert (pruned_run / "sparsify/teacher_scores.safetensors").exists()


def test_summary_names_every_model(pruned_run):
    summary = read(pruned_run)
    assert (summary["schema"], summary["task"], summary["seed"], summary["search"]) == (
        3,
        "sst2",
        SEED,
        "exhaustive",
    )
    assert [model["lam"] for model in summary["models"]] == [None, None, None, 0.5, 0.5]
    assert [model["teacher_sparsity"] for model in summary["models"]] == [None, None, 0.0, 0.2, 0.4]
    for model in summary["models"]:
        assert set(model["dev"]) == set(model["selection"]) == {"accuracy", "score"}
        assert model["seconds"] >= 0
    dense, undistilled, *students = summary["models"]
    assert dense["achieved"] == {"heads": 0, "neurons": 0}
    assert undistilled["asked"] == {"sparsity": 0.7, "layers": None}
    assert {student["encoder_parameters"] for student in students} == {undistilled["encoder_parameters"]}
    assert undistilled["encoder_parameters"] < 0.4 * dense["encoder_parameters"]


def test_achieved_sparsities_are_those_of_the_folders(pruned_run):
    for model in read(pruned_run)["models"][1:]:
        units = kept_units(load_classifier(pruned_run / model["folder"]))
        assert model["achieved"]["heads"] == pytest.approx(1 - sum(map(len, units.heads)) / 16)
        assert model["achieved"]["neurons"] == pytest.approx(1 - sum(map(len, units.neurons)) / 1024)
        assert model["achieved"]["heads"] == 11 / 16  # round(0.7 * 16)
        if model["teacher_sparsity"]:
            units = kept_units(load_classifier(pruned_run / model["teacher_folder"]))
            assert 1 - sum(map(len, units.neurons)) / 1024 == pytest.approx(
                round(model["teacher_sparsity"] * 1024) / 1024
            )
            assert model["teacher_achieved"]["neurons"] == pytest.approx(model["teacher_sparsity"], abs=1e-3)


def test_student_is_the_best_on_the_selection_part(pruned_run):
    summary = read(pruned_run)
    students = [model for model in summary["models"] if model["teacher_sparsity"] is not None]
    best = max(students, key=lambda model: model["selection"]["score"])
    assert summary["best"]["folder"] == best["folder"]
    assert (pruned_run / "student/model.safetensors").read_bytes() == (
        pruned_run / best["folder"] / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_scores_are_those_of_averaged_weights(pruned_run, tiny_task, tmp_path, capsys):
    """The shown and reported scores are those of the last validations, whatever the earlier ones were."""
    averaged = ["--distillation.weights", "averaged", "--search.mode", "none", "--teacher.sparsities", "[0.2]"]
    run = copy_begun(pruned_run, tmp_path / "tiny")
    main(options(tiny_task, tmp_path, *averaged, "--distillation.patience", "0"))
    shown = capsys.readouterr().out
    assert "stage 1 of 8: finetune, finished earlier" in shown
    manifest, summary = Manifest.read(run), read(run)
    students = [model for model in summary["models"] if model["teacher_sparsity"] is not None]
    assert len(students) == 2
    for model, stage in zip(students, ("trial", "distill/0.5_0.2"), strict=True):
        epochs, scores = zip(*manifest.stages[stage].val_scores, strict=True)
        assert epochs == (0, 1)
        assert model["selection"]["score"] == pytest.approx(scores[-1])
        assert f"{stage}, epoch 2 of 2: score {scores[-1]:.4f}, averaged, loss" in shown
        assert not same_weights(run / stage / "model", pruned_run / stage / "model")


def test_same_command_again_runs_nothing(pruned_run, tiny_task, monkeypatch, capsys):
    before = (pruned_run / "summary.json").read_bytes()
    for name in ("finetune", "cut_student", "distill", "score_dense_teacher", "cut_teacher"):
        monkeypatch.setattr(home_of(name), name, None)
    main(options(tiny_task, pruned_run.parent))
    assert "finished earlier" in capsys.readouterr().out
    assert (pruned_run / "summary.json").read_bytes() == before


def test_goes_on_after_an_interruption(pruned_run, tiny_task, tmp_path, monkeypatch):
    """Stopped in the third stage's second epoch, and then before a candidate, it gives the usual result."""
    cuts, students = ("sparsify/0.5_0.2", "sparsify/0.5_0.4"), ("distill/0.5_0.2", "distill/0.5_0.4")
    copy_begun(pruned_run, tmp_path / "tiny", "trial", *cuts, "sparsify", *students)

    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as broken:
        broken.setattr("lightning_modules.DistillationModule.on_train_epoch_end", cut)
        with pytest.raises(PowerCutError):
            main(options(tiny_task, tmp_path))
    assert (tmp_path / "tiny/trial/checkpoints/last.ckpt").exists()
    with monkeypatch.context() as broken:
        broken.setattr("pipeline.stages.sparsify.cut_teacher", cut)
        with pytest.raises(PowerCutError):
            main(options(tiny_task, tmp_path))
    main(options(tiny_task, tmp_path))
    assert without_seconds(read(tmp_path / "tiny")) == without_seconds(read(pruned_run))
    for folder in ("trial", "distill/0.5_0.4"):
        name = f"{folder}/model/model.safetensors"
        assert (tmp_path / "tiny" / name).read_bytes() == (pruned_run / name).read_bytes()


def plan_of(out: str) -> dict[str, tuple[str, str]]:
    """The table of --dry-run."""
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in out.splitlines() if line.startswith("│")]
    return {stage: (what, why) for stage, what, why in rows}


@pytest.mark.parametrize("installed", [True, False])
def test_alternatives_are_a_stage_where_their_extra_is_installed(simple_run, tiny_task, monkeypatch, capsys, installed):
    if not installed:
        monkeypatch.setattr("pipeline.alternatives.table.find_spec", lambda _: None)
    more = ("--baselines", "[simple]", "--search.mode", "none", "--teacher.sparsities", "[0.2]")
    main([*options(tiny_task, simple_run.parent), *more, "--distillation.epochs", "1", "--dry-run"])
    said = capsys.readouterr().out
    assert ("alternatives" in plan_of(said)) is installed
    assert ("pip install '.[baselines]'" in said.replace("\n", "")) is not installed


@pytest.mark.parametrize(
    ("changed", "expected"),
    [("--distillation.epochs=2", "skip"), ("--data.labelled_limit=50", "run"), ("--data.max_length=64", "run")],
)
def test_alternatives_are_made_again_if_what_they_read_changes(simple_run, tiny_task, capsys, changed, expected):
    more = ("--baselines", "[simple]", "--search.mode", "none", "--teacher.sparsities", "[0.2]")
    main([*options(tiny_task, simple_run.parent), *more, "--distillation.epochs", "1", changed, "--dry-run"])
    assert plan_of(capsys.readouterr().out)["alternatives"][0] == expected


DISTILLATIONS = {"distill/0.5_0.2", "distill/0.5_0.4"}
END = {"evaluate", "student"}


@pytest.mark.parametrize(
    ("changed", "runs", "key"),
    [
        (["--finetuning.learning_rate", "2e-5"], {"finetune"}, "finetuning.learning_rate was 3e-05, is 2e-05"),
        (["--student.sparsity", "0.6"], {"prune", "evaluate"}, "student.sparsity was 0.7, is 0.6"),
        (
            ["--distillation.temperature", "4"],
            {"trial", "sparsify", "distill/0.5_0.2", "distill/0.5_0.4"},
            "temperature",
        ),
        (["--scoring.reduction", "batch"], {"prune", "sparsify"}, "scoring.reduction was 'example', is 'batch'"),
        (["--teacher.sparsities", "[0.2,0.3]"], {"sparsify/0.5_0.3", "distill/0.5_0.3"}, "not run yet"),
        (["--teacher.sparsities", "[0.2]"], {"evaluate"}, ""),
        (["--trainer.checkpoint_every_n_steps", "3"], set(), ""),
        (["--data.num_workers", "1"], set(), ""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_changed_setting_runs_what_depends_on_it_and_nothing_else(pruned_run, tiny_task, capsys, changed, runs, key):
    """Tested by --dry-run, which writes nothing. Later stages run only if the results of these differ."""
    before = {path: path.stat().st_mtime_ns for path in pruned_run.rglob("*")}
    main(options(tiny_task, pruned_run.parent, *changed, "--dry-run"))
    plan = plan_of(capsys.readouterr().out)
    sure = {name for name, (what, why) in plan.items() if what == "run" and not why.startswith("unless")}
    assert sure - END == runs - END
    assert all(key in plan[name][1] for name in runs - END)
    unsure = {name for name, (what, why) in plan.items() if why.startswith("unless")}
    assert all(plan[name][0] == "skip" for name in plan.keys() - sure - unsure)
    if "finetune" in runs:
        assert unsure >= {"prune", "trial", "sparsify"}
    if not runs:
        assert all(what == "skip" for what, _ in plan.values())
    assert {path: path.stat().st_mtime_ns for path in pruned_run.rglob("*")} == before


def test_one_more_candidate_costs_one_more_distillation(pruned_run, tiny_task, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(pruned_run, tmp_path / "tiny"))
    distilled = []
    original = distil.distill
    monkeypatch.setattr(
        "pipeline.stages.distil.distill", lambda s, f, *a: (distilled.append(f.name), original(s, f, *a))
    )
    main(options(tiny_task, tmp_path, "--teacher.sparsities", "[0.2,0.4,0.0001]"))
    assert distilled == ["0.5_0.0001"]
    summary = read(folder)
    assert [model["teacher_sparsity"] for model in summary["models"]] == [None, None, 0.0, 0.0001, 0.2, 0.4]
    # So small a sparsity removes no unit: the candidate has the trial's seed and teacher, and so the trial's weights.
    assert (folder / "distill/0.5_0.0001/model/model.safetensors").read_bytes() == (
        folder / "trial/model/model.safetensors"
    ).read_bytes()
    kept = [model for model in summary["models"] if model["teacher_sparsity"] != 0.0001]
    assert without_seconds({**summary, "models": kept})["models"] == without_seconds(read(pruned_run))["models"]


def test_from_a_stage(pruned_run, tiny_task, tmp_path, monkeypatch, capsys):
    folder = Path(shutil.copytree(pruned_run, tmp_path / "tiny"))
    done = []
    for name in ("finetune", "cut_student", "distill", "score_dense_teacher", "cut_teacher"):
        original = getattr(home_of(name), name)
        monkeypatch.setattr(
            home_of(name), name, lambda *a, name=name, original=original: (done.append(name), original(*a))
        )
    main(options(tiny_task, tmp_path, "--from", "sparsify/0.5_0.4", "--dry-run"))
    assert plan_of(capsys.readouterr().out)["distill/0.5_0.4"][0] == "run"
    assert done == []
    main(options(tiny_task, tmp_path, "--from", "sparsify/0.5_0.4"))
    assert done == ["cut_teacher", "distill"]
    assert without_seconds(read(folder)) == without_seconds(read(pruned_run))
    with pytest.raises(SystemExit):
        main(options(tiny_task, tmp_path, "--from", "rewind"))
    assert "no stage 'rewind': choose one of finetune, prune" in capsys.readouterr().err


@pytest.mark.parametrize(
    "place", ["finetune/notes.txt", "prune/model/notes.txt", "student/notes.txt", "student/README.md"]
)
def test_no_file_of_the_users_is_removed(pruned_run, tiny_task, tmp_path, monkeypatch, capsys, place):
    """A file that the last stage would remove is reported before the first stage begins, not hours later."""
    folder = Path(shutil.copytree(pruned_run, tmp_path / "tiny"))
    (folder / place).write_text("Written by hand.\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in ("finetune", "cut_student", "distill", "score_dense_teacher", "cut_teacher"):
        monkeypatch.setattr(home_of(name), name, None)
    for more in (["--dry-run"], []):
        with pytest.raises(SystemExit) as stopped:
            main(options(tiny_task, tmp_path, "--finetuning.learning_rate", "1e-4", *more))
        assert stopped.value.code == 2
        assert f"{folder / place} was not written by this run" in capsys.readouterr().err
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    main(options(tiny_task, tmp_path))  # runs no stage again


def test_changed_data_and_damaged_files_run_what_depends_on_them(pruned_run, tiny_task, tmp_path, capsys):
    folder = Path(shutil.copytree(pruned_run, tmp_path / "tiny"))
    data = Path(shutil.copytree(tiny_task.data_dir, tmp_path / "data"))
    elsewhere = ("--data.data_dir", str(data), "--dry-run")
    main(options(tiny_task, tmp_path, *elsewhere))
    assert {what for what, _ in plan_of(capsys.readouterr().out).values()} == {"skip"}  # the same data elsewhere
    (data / "SST-2/dev.tsv").write_text((data / "SST-2/dev.tsv").read_text().replace("good", "bad"))
    main(options(tiny_task, tmp_path, *elsewhere))
    plan = plan_of(capsys.readouterr().out)
    assert plan["evaluate"] == ("run", "the content of dev has changed")
    assert {what for name, (what, _) in plan.items() if name not in END} == {"skip"}
    damaged = folder / "distill/0.5_0.2/model/config.json"
    damaged.write_text(damaged.read_text().replace("bert", "bart"))
    (folder / "summary.json").unlink()
    main(options(tiny_task, tmp_path))
    out = capsys.readouterr().out
    assert f"{damaged} is damaged or was changed" in out
    assert "summary.json is missing" in out
    assert damaged.read_bytes() == (pruned_run / "distill/0.5_0.2/model/config.json").read_bytes()
    assert without_seconds(read(folder)) == without_seconds(read(pruned_run))


@pytest.mark.slow
def test_rows_without_labels_are_for_the_distillations(pruned_run, tiny_task, tmp_path, capsys, caplog):
    shutil.copytree(pruned_run, tmp_path / "tiny")
    more = tmp_path / "more.csv"
    more.write_text("sentence\nnew words\n")
    command = options(tiny_task, tmp_path, "--data.unlabelled", f"[{more}]")
    main([*command, "--dry-run"])
    plan = plan_of(capsys.readouterr().out)
    assert {name for name, (what, _) in plan.items() if what == "skip"} == {"finetune", "prune"}
    assert plan["trial"] == ("run", "the content of dev was not read before")
    main(command)
    assert "rows without labels for distillation: 1" in caplog.text
    main([*command, "--dry-run"])
    assert {what for what, _ in plan_of(capsys.readouterr().out).values()} == {"skip"}
    more.write_text("sentence\nother words\n")
    main([*command, "--dry-run"])
    plan = plan_of(capsys.readouterr().out)
    assert plan["distill/0.5_0.2"] == ("run", "the content of unlabelled has changed")
    assert plan["finetune"][0] == plan["prune"][0] == "skip"


@pytest.mark.slow
def test_a_masked_language_model_is_for_the_distillations(pruned_run, tiny_task, tmp_path, capsys):
    shutil.copytree(pruned_run, tmp_path / "tiny")
    folder = save_masked_language_model(tmp_path / "model", tiny_task.encoder)
    changes = ("--data.changed_rows", "1", "--data.changes", "[masked_lm]")
    command = options(tiny_task, tmp_path, *changes, "--data.masked_language_model", str(folder))
    main(command)
    capsys.readouterr()
    main([*command, "--dry-run"])
    assert {what for what, _ in plan_of(capsys.readouterr().out).values()} == {"skip"}
    shutil.rmtree(folder)
    save_masked_language_model(folder, tiny_task.encoder, seed=1)
    main([*command, "--dry-run"])
    plan = plan_of(capsys.readouterr().out)
    assert plan["trial"] == plan["distill/0.5_0.2"] == ("run", "the content of the masked language model has changed")
    assert plan["finetune"][0] == plan["prune"][0] == "skip"


def test_an_encoder_without_the_head_cannot_change_rows(tiny_task, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(options(tiny_task, tmp_path, "--data.changed_rows", "1", "--data.changes", "[masked_lm]"))
    [line] = [line for line in capsys.readouterr().err.splitlines() if "masked" in line]
    assert f"{tiny_task.encoder}: it is no masked language model: 6 weights are missing" in line
    assert "by data.masked_language_model, or leave masked_lm out" in line
    assert not (tmp_path / "tiny").exists()


@pytest.mark.slow
def test_rows_that_change_while_the_run_works_and_are_put_back(pruned_run, tiny_task, tmp_path, monkeypatch, capsys):
    """Only the fit itself reads a changed file; the plan and the next command read the original one."""
    folder = shutil.copytree(pruned_run, tmp_path / "runs/tiny")
    data = shutil.copytree(tiny_task.data_dir, tmp_path / "data")
    command = options(tiny_task, folder.parent, "--data.data_dir", str(data))
    file, original = data / "SST-2/train.tsv", fit.run_fit
    before = file.read_bytes()

    def meanwhile(*args):
        file.write_bytes(before.replace(b"\t1\n", b"\t0\n", 5))
        try:
            original(*args)
        finally:
            file.write_bytes(before)

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.stages.distil.run_fit", meanwhile)
        with pytest.raises(SystemExit, match="2"):
            main([*command, "--from", "distill/0.5_0.4"])
    assert f"the train split of task 'sst2' in {data} changed while the run was working" in capsys.readouterr().err
    assert not Manifest.read(folder).stages["distill/0.5_0.4"].finished
    main(command)
    assert without_seconds(read(folder)) == without_seconds(read(pruned_run))


def test_its_own_settings_go_on_with_a_run_from_anywhere(pruned_run, tiny_task, tmp_path, monkeypatch, capsys):
    """This also works after the run and the folder in which it was started were renamed, if both are given."""
    project = tmp_path / "project"
    (project / "glue").parent.mkdir()
    shutil.copytree(tiny_task.data_dir, project / "glue")
    shutil.copytree(pruned_run, project / "runs/tiny")
    monkeypatch.chdir(project)
    main([*options(tiny_task, Path("runs"), "--data.data_dir", "glue")])
    assert yaml.safe_load(Path("runs/tiny/config.yaml").read_text())["data"]["data_dir"] == str(project / "glue")
    capsys.readouterr()
    monkeypatch.chdir("/")
    main(["run", "--config", str(project / "runs/tiny/config.yaml"), "--dry-run"])
    assert {what for what, _ in plan_of(capsys.readouterr().out).values()} == {"skip"}
    project.rename(tmp_path / "renamed")
    again = ["run", "--config", str(tmp_path / "renamed/runs/tiny/config.yaml"), "--dry-run"]
    main([*again, "--root", str(tmp_path / "renamed/runs"), "--data.data_dir", str(tmp_path / "renamed/glue")])
    assert {what for what, _ in plan_of(capsys.readouterr().out).values()} == {"skip"}


def test_another_task_needs_another_name(pruned_run, tiny_task, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(options(tiny_task, pruned_run.parent, "--data.task", "mrpc"))
    assert stopped.value.code == 2
    assert "holds a run of task sst2, not mrpc" in capsys.readouterr().err


def test_a_run_in_use_is_left_alone(pruned_run, tiny_task, capsys):
    with folder_lock(pruned_run), pytest.raises(SystemExit) as stopped:
        main(options(tiny_task, pruned_run.parent))
    assert stopped.value.code == 2
    assert f"{pruned_run} is in use by another process" in capsys.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_says_how_to_go_on(pruned_run, tiny_task, tmp_path, monkeypatch, capsys, signum):
    """The signal comes in the actual distillation; the printed command gives the uninterrupted run's result."""
    copy_begun(pruned_run, tmp_path / "tiny", "distill/0.5_0.2")

    def send(module, batch, batch_idx):
        if module.trainer.global_step == 3 and "distill" in module.trainer.default_root_dir:
            os.kill(os.getpid(), signum)

    with monkeypatch.context() as signalled:
        signalled.setattr("lightning_modules.DistillationModule.on_train_batch_start", send)
        with pytest.raises(SystemExit) as stopped:
            main(options(tiny_task, tmp_path))
    assert stopped.value.code == 128 + signum
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"stark: stopped by {signal.Signals(signum).name}; go on with: stark run ")
    assert (tmp_path / "tiny/distill/0.5_0.2/checkpoints/last.ckpt").is_file()
    main(shlex.split(line.partition("go on with: stark ")[2]))
    assert without_seconds(read(tmp_path / "tiny")) == without_seconds(read(pruned_run))


def test_paths_that_lead_out_of_the_run_are_refused(pruned_run, tiny_task, tmp_path, capsys):
    """The summary and the manifest were forged."""
    folder = Path(shutil.copytree(pruned_run, tmp_path / "tiny"))
    (tmp_path / "secret").write_text("x")
    manifest = Manifest.read(folder)
    manifest.stages["trial"].outputs["../secret"] = "0" * 64
    manifest.write()
    for dry in ([], ["--dry-run"]):
        with pytest.raises(SystemExit) as stopped:
            main(options(tiny_task, tmp_path, *dry))
        assert stopped.value.code == 2
        assert "'../secret' leads out of" in capsys.readouterr().err
    del manifest.stages["trial"].outputs["../secret"]
    summary = read(folder)
    summary["best"]["folder"] = ".."
    (folder / "summary.json").write_text(json.dumps(summary))
    manifest.stages["evaluate"].outputs["summary.json"] = file_digest(folder / "summary.json")
    manifest.write()
    with pytest.raises(SystemExit):
        main(options(tiny_task, tmp_path))
    assert "'..' leads out of" in capsys.readouterr().err


def test_one_fit_of_stark_yaml_is_the_chained_fits(pruned_run, tiny_task, tmp_path):
    callbacks = yaml.safe_load((Path(stages.__file__).parents[2] / "configs/stark.yaml").read_text())
    listed = callbacks["trainer"]["callbacks+"]
    (rewinding,) = (callback for callback in listed if callback["class_path"] == "callbacks.Rewinding")
    rewinding["init_args"]["trial_epochs"] = 2
    (tmp_path / "callbacks.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": listed}}))
    dense = str(pruned_run / "finetune/model")
    main(
        [
            *("fit", "--config", "configs/distill.yaml", "--config", str(tmp_path / "callbacks.yaml")),
            *("--model.teacher", dense, "--model.student", dense, "--model.learning_rate", "1e-3"),
            *("--data.task", "sst2", "--data.data_dir", str(tiny_task.data_dir), "--data.cache_dir"),
            *(str(tiny_task.cache), "--data.batch_size", "16", "--trainer.max_epochs", "4"),
            *("--trainer.min_epochs", "3", "--trainer.default_root_dir", str(tmp_path / "one")),
            *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
        ]
    )
    for one, chained in (
        ("student_scores.safetensors", "prune/student_scores.safetensors"),
        ("teacher_scores.safetensors", "sparsify/teacher_scores.safetensors"),
        ("teacher/model.safetensors", "sparsify/0.5_0.2/model.safetensors"),
        ("model/model.safetensors", "distill/0.5_0.2/model/model.safetensors"),
    ):
        first, second = load_file(tmp_path / "one" / one), load_file(pruned_run / chained)
        assert first.keys() == second.keys()
        assert [name for name in first if not first[name].equal(second[name])] == [], one


def test_layer_dropped_student(pruned_run, tiny_task, tmp_path):
    dense = str(pruned_run / "finetune/model")
    student = ("--student.sparsity", "null", "--student.layers", "2", "--teacher.sparsities", "[0.2]")
    main(options(tiny_task, tmp_path, "--model_name_or_path", dense, "--finetuning.epochs", "0", *student))
    teacher, *students = read(tmp_path / "tiny")["models"]
    assert (tmp_path / "tiny/finetune/model/model.safetensors").read_bytes() == (
        pruned_run / "finetune/model/model.safetensors"
    ).read_bytes()  # with no epochs, the finetuned model is unchanged
    for model in students:
        assert model["achieved"] == {"heads": 0.5, "neurons": 0.5}
        assert model["encoder_parameters"] == teacher["encoder_parameters"] / 2
        assert load_classifier(tmp_path / "tiny" / model["folder"]).config.model_type == "bert"


@pytest.mark.slow
def test_own_data_in_another_form_give_the_same_models(pruned_run, tiny_task, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    description = write_own("sst2", tiny_task, tmp_path / "data", "jsonl")
    own = ["--data.task", str(description), "--data.data_dir", str(tmp_path / "data"), "--teacher.sparsities", "[0.2]"]
    main(options(tiny_task, tmp_path, *own))
    run = tmp_path / "tiny"
    assert read(run)["task"] == "own_sst2"
    for stage in ("finetune", "trial", "distill/0.5_0.2"):
        first, second = (load_file(root / stage / "model/model.safetensors") for root in (pruned_run, run))
        assert all(first[name].equal(second[name]) for name in first)
    # Rows for the student have the same names of columns as in its task.
    main(
        [
            "predict-file",
            str(run / "student"),
            "--input",
            str(tmp_path / "data/test.jsonl"),
            "--output",
            str(run / "o.csv"),
        ]
    )
    lines = (run / "o.csv").read_text().splitlines()
    assert lines[0] == "sentence,predicted,probability,probability_negative,probability_positive"
    # The files may be moved; no stage runs again.
    (tmp_path / "data").rename(tmp_path / "moved")
    before = read(run)
    own[1], own[3] = str(tmp_path / "moved" / description.name), str(tmp_path / "moved")
    main(options(tiny_task, tmp_path, *own))
    assert without_seconds(read(run)) == without_seconds(before)
    assert [model["seconds"] for model in read(run)["models"]] == [model["seconds"] for model in before["models"]]
    # Using the run needs neither the files nor the description; another description of that name is in this folder.
    (tmp_path / "moved" / description.name).rename(tmp_path / "kept.yaml")
    (tmp_path / "moved").rename(tmp_path / "gone")
    (tmp_path / "here").mkdir()
    opposite = (tmp_path / "kept.yaml").read_text().replace("[negative, positive]", "[positive, negative]")
    (tmp_path / "here" / description.name).write_text(opposite)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(measuring, "measure_latency", lambda models, *_: dict.fromkeys(models, Latency(2.0, 1.0, 4.0)))
    monkeypatch.setattr(measuring, "_memory", lambda *_: 123.0)
    assert (run / "task" / description.name).read_bytes() == (tmp_path / "kept.yaml").read_bytes()
    assert "positive" in str(card_of(run / "student"))
    assert shlex.split(page_of_run(read_run(run)).command)[2:] == [
        *("--config", str(run / "config.yaml"), "--root", str(tmp_path))
    ]
    with pytest.raises(FileNotFoundError, match=r"moved/dev\.jsonl: no such file .*: give --data\.data_dir"):
        data_of(run / "student")
    assert data_of(run / "student", data_dir=str(tmp_path / "gone")).digest("dev")
    # The same labels in another order are another task.
    with pytest.raises(ValueError, match="name the task's labels in the model's order"):
        data_of(run / "student", description.name, str(tmp_path / "gone"))
