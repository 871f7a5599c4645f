"""`stark run` on tiny data: what it leaves, how it goes on, and that it is the method of stark.yaml."""

import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from cli import main
from lightning_modules import kept_units, load_classifier
from pipeline import stages
from tests.tasks import TinyTask

SEED = 776


def options(task: TinyTask, folder: Path, *more: str) -> list[str]:
    return [
        *("run", "--config", "configs/run.yaml", "--root", str(folder), "--name", "tiny"),
        *("--model_name_or_path", str(task.encoder), "--data.task", "sst2", "--data.data_dir", str(task.data_dir)),
        *("--data.cache_dir", str(task.cache), "--data.batch_size", "16", "--teacher.sparsities", "[0.0,0.2,0.4]"),
        *("--finetuning.epochs", "1", "--distillation.epochs", "2", "--distillation.learning_rate", "1e-3"),
        *more,
    ]


@pytest.fixture(scope="module")
def pruned_run(tiny_task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    main(options(tiny_task, folder))
    return folder / "tiny"


def read(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def without_seconds(summary: dict) -> dict:
    return {**summary, "models": [{**model, "seconds": 0} for model in summary["models"]], "best": None}


def test_leaves_what_the_readme_lists(pruned_run):
    for folder in ("finetune", "trial", "distill/0.5_0.2", "distill/0.5_0.4"):
        for name in ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "model/model.safetensors"):
            assert (pruned_run / folder / name).exists()
    for name in ("config.yaml", "manifest.json", "summary.json", "prune/student_scores.safetensors"):
        assert (pruned_run / name).exists()
    assert (pruned_run / "sparsify/teacher_scores.safetensors").exists()


def test_summary_names_every_model(pruned_run):
    summary = read(pruned_run)
    assert (summary["schema"], summary["task"], summary["seed"], summary["lam"]) == (1, "sst2", SEED, 0.5)
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


def test_same_command_again_runs_nothing(pruned_run, tiny_task, monkeypatch, capsys):
    before = (pruned_run / "summary.json").read_bytes()
    for name in ("finetune", "cut_student", "distill", "score_dense_teacher", "cut_teacher"):
        monkeypatch.setattr(stages, name, None)
    main(options(tiny_task, pruned_run.parent))
    assert "finished earlier" in capsys.readouterr().out
    assert (pruned_run / "summary.json").read_bytes() == before


def test_goes_on_after_an_interruption(pruned_run, tiny_task, tmp_path, monkeypatch):
    """Stopped in the third stage's second epoch, and then before a candidate: the result is the unbroken run's."""

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
        broken.setattr(stages, "cut_teacher", cut)
        with pytest.raises(PowerCutError):
            main(options(tiny_task, tmp_path))
    main(options(tiny_task, tmp_path))
    assert without_seconds(read(tmp_path / "tiny")) == without_seconds(read(pruned_run))
    for folder in ("trial", "distill/0.5_0.4"):
        name = f"{folder}/model/model.safetensors"
        assert (tmp_path / "tiny" / name).read_bytes() == (pruned_run / name).read_bytes()


def test_other_settings_need_another_name(pruned_run, tiny_task, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(options(tiny_task, pruned_run.parent, "--distillation.temperature", "4"))
    assert stopped.value.code == 2
    assert "distillation.temperature" in capsys.readouterr().err


def test_one_fit_of_stark_yaml_is_the_chained_fits(pruned_run, tiny_task, tmp_path):
    callbacks = yaml.safe_load((Path(stages.__file__).parent.parent / "configs/stark.yaml").read_text())
    listed = callbacks["trainer"]["callbacks+"]
    listed[2]["init_args"]["trial_epochs"] = 2
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
    ).read_bytes()  # no epochs: the finetuned model as it is
    for model in students:
        assert model["achieved"] == {"heads": 0.5, "neurons": 0.5}
        assert model["encoder_parameters"] == teacher["encoder_parameters"] / 2
        assert load_classifier(tmp_path / "tiny" / model["folder"]).config.model_type == "bert"
