"""The options of `stark run`."""

from pathlib import Path

import pytest
import yaml

from datamodules import open_task
from pipeline.commands.run import read_settings
from pipeline.settings import StudentSettings, TeacherSettings
from stark.errors import StarkError
from tests.pipeline.runs import NEEDED


def test_later_files_and_options_override(tmp_path):
    for name, text in (("a.yaml", "seed: 1\ndistillation: {epochs: 3, learning_rate: 0.1}\n"), ("b.yaml", "seed: 2\n")):
        (tmp_path / name).write_text(text)
    files = ["--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml")]
    settings, *_ = read_settings([*files, *NEEDED, "--distillation.epochs", "4"])
    assert settings.seed == 2
    assert (settings.distillation.epochs, settings.distillation.learning_rate) == (4, 0.1)


def test_text_gives_the_same_settings_again(tmp_path):
    settings, text, _ = read_settings([*NEEDED, "--teacher.sparsities", "[0.9, 0.1]", "--name", "x"])
    (tmp_path / "again.yaml").write_text(text)
    assert read_settings(["--config", str(tmp_path / "again.yaml")])[:2] == (settings, text)
    assert yaml.safe_load(text)["data"]["task"] == "rte"


@pytest.mark.parametrize(
    ("part", "values", "complaint"),
    [
        (StudentSettings, {}, "student.layers"),
        (StudentSettings, {"sparsity": 0.5, "layers": 2}, "student.layers"),
        (StudentSettings, {"sparsity": 1.0}, "sparsity is 1"),
        (TeacherSettings, {"lams": [1.5]}, r"lams are \[1.5\]"),
        (TeacherSettings, {"sparsities": [0.1, 1.0]}, "sparsity is 1"),
        (TeacherSettings, {"sparsities": [0.1, 0.1]}, "sparsities are .* once"),
        (TeacherSettings, {"lams": [0.5, 0.5]}, "lams are .* once"),
        (TeacherSettings, {"lams": []}, "at least one"),
    ],
)
def test_ranges(part, values, complaint):
    with pytest.raises(ValueError, match=complaint):
        part(**values)


@pytest.mark.parametrize("option", [["--trainer.devics", "2"], ["--distillation.epochs", "many"], ["--data.seed", "1"]])
def test_unknown_keys_and_wrong_types(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        read_settings([*NEEDED, *option])
    assert stopped.value.code == 2
    assert option[0].removeprefix("--") in capsys.readouterr().err


def test_the_encoder_is_the_masked_language_model_unless_one_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    changes = ("--data.changed_rows", "1", "--data.changes", "[swap,masked_lm]")
    for more, expected in (
        ((), None),
        (changes, "bert"),
        ((*changes, "--data.masked_language_model", "mine"), str(tmp_path / "mine")),
    ):
        settings, text, _ = read_settings([*NEEDED, *more])
        assert settings.data["masked_language_model"] == expected
        assert yaml.safe_load(text)["data"]["masked_language_model"] == expected


def test_options_of_a_call_are_no_settings():
    _, plain, none = read_settings(NEEDED)
    _, text, options = read_settings([*NEEDED, "--dry-run", "--from", "trial"])
    assert text == plain
    assert (none.dry_run, none.start) == (False, None)
    assert (options.dry_run, options.start) == (True, "trial")


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--seed=-1", "seed is -1"),
        ("--distillation.class_weights=[1,2,3]", r"distillation.class_weights are \[1.0, 2.0, 3.0\]: give one number"),
        (f"--seed={2**32}", "seed is 4294967296"),
        ("--finetuning.epochs=-1", "finetuning.epochs is -1: choose a number at least 0"),
        ("--distillation.learning_rate=.nan", "distillation.learning_rate is nan: choose a number from 0 to 1e"),
        ("--distillation.temperature=0", "distillation.temperature is 0"),
        ("--finetuning.warmup_proportion=2", "finetuning.warmup_proportion is 2.0: choose a number from 0 to 1"),
        ("--student.round_to=0", "student.round_to is 0"),
        ("--trainer.devices=0", "trainer.devices is 0"),
        ("--trainer.val_check_interval=0", "trainer.val_check_interval is 0"),
        ("--trainer.accelerator=abacus", "trainer.accelerator is 'abacus': choose one of auto, gpu, "),
        ("--name=", "name is ''"),
        ("--distillation.weights=averaged", "search.mode is halving, but distillation.weights is averaged"),
        ("--student.cuts=3", "search.mode is halving, but student.cuts is 3"),
        ("--name=../elsewhere", "name is '../elsewhere'"),
    ],
)
def test_values_that_would_stop_a_run_later(option, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_settings([*NEEDED, "--search.mode=halving", option])


@pytest.mark.parametrize(
    ("gpus", "chosen", "is_told"),
    [
        (1, ["--workers", "2"], True),
        (2, ["--workers", "2"], False),
        (2, ["--workers", "2", "--trainer.devices", "2"], True),
        (1, ["--workers", "4", "--trainer.accelerator", "cpu"], False),
        (0, ["--workers", "4"], False),
        (1, [], False),
    ],
)
def test_workers_that_would_share_a_gpu(gpus, chosen, is_told, monkeypatch, caplog):
    monkeypatch.setattr("pytorch_lightning.accelerators.CUDAAccelerator.auto_device_count", lambda: gpus)
    read_settings([*NEEDED, *chosen])
    assert ("fits that share a GPU" in caplog.text) == is_told


def test_an_accelerator_that_is_not_there(monkeypatch):
    for name in ("CUDAAccelerator", "MPSAccelerator"):
        monkeypatch.setattr(f"pytorch_lightning.accelerators.{name}.is_available", staticmethod(lambda: False))
    for name in ("gpu", "cuda"):
        with pytest.raises(ValueError, match="this machine has none"):
            read_settings([*NEEDED, f"--trainer.accelerator={name}"])


@pytest.mark.parametrize("part", ["data", "student", "trainer"])
@pytest.mark.parametrize("value", ["null", "3", "[1]", "!!set {a}"])
def test_a_part_that_is_no_mapping(part, value, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(f"{part}: {value}\n")
    with pytest.raises((SystemExit, ValueError)) as stopped:
        read_settings([*NEEDED, "--config", str(tmp_path / "run.yaml")])
    assert part in f"{stopped.value} {capsys.readouterr().err}"


def test_local_files_are_named_absolutely(tmp_path, monkeypatch):
    """Therefore text and settings have the same meaning in every current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encoder").mkdir()
    (tmp_path / "mine.yaml").write_text("{train: a.csv, dev: b.csv, text: t, label: l, labels: [x, y]}")
    given = ["--model_name_or_path", "encoder", "--data.task", "mine.yaml", "--student.sparsity", "0.7"]
    settings, text, _ = read_settings([*given, "--data.data_dir", "rows", "--data.cache_dir", "~/cache"])
    assert settings.model_name_or_path == str(tmp_path / "encoder")
    assert (settings.data["task"], settings.data["data_dir"]) == (str(tmp_path / "mine.yaml"), str(tmp_path / "rows"))
    assert settings.folder == tmp_path / "runs/stark"
    assert settings.data["cache_dir"] == str(Path.home() / "cache")
    (tmp_path / "again.yaml").write_text(text)
    monkeypatch.chdir("/")
    assert read_settings(["--config", str(tmp_path / "again.yaml")])[:2] == (settings, text)
    # Results do not depend on the places of files.
    assert str(tmp_path) not in str([settings.group(part) for part in ("data", "trainer", "finetuning")])


def test_ids_of_the_hub_and_names_of_tasks_are_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rte").mkdir()
    settings, *_ = read_settings(NEEDED)
    assert (settings.model_name_or_path, settings.data["task"], settings.data["data_dir"]) == ("bert", "rte", None)


@pytest.mark.parametrize("sparsities", ["[]", "[0.0]"])
def test_baselines_that_would_have_no_student_are_refused(sparsities):
    command = [*NEEDED, "--teacher.sparsities", sparsities, "--baselines"]
    message = r"baselines contain random, dense_teacher_best_of_k, for comparison with sparse teachers, but"
    with pytest.raises(ValueError, match=message):
        read_settings([*command, "[simple,random,no_teacher,dense_teacher_best_of_k]"])
    settings, *_ = read_settings([*command, "[simple,no_teacher,teacher_assistant]"])
    assert settings.teacher.sparsities == [float(value) for value in sparsities.strip("[]").split(",") if value]


def test_a_file_of_rows_is_described_and_becomes_the_task(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{n},film number {n} is good,yes\n{n}b,film number {n} is bad,no\n" for n in range(40))
    Path("reviews.csv").write_text(f"id,body,stars\n{rows}")
    given = ["--model_name_or_path", "bert", "--student.sparsity", "0.7", "--root", "all", "--name", "mine"]
    settings, config, _ = read_settings([*given, "--data.task", "reviews.csv"])
    written = tmp_path / "all/mine-rows/reviews.yaml"
    assert settings.data["task"] == str(written)
    assert yaml.safe_load(config)["data"]["task"] == str(written)
    assert {"text", "text_pair", "label"}.isdisjoint(yaml.safe_load(config))
    assert (open_task(str(written)).texts, open_task(str(written)).label_names) == (("body",), ("no", "yes"))
    told = "reviews.csv: text: body, label: stars; described in all/mine-rows/reviews.yaml"
    assert told in capsys.readouterr().err
    # The run's own settings name the description.
    (tmp_path / "config.yaml").write_text(config)
    assert read_settings(["--config", "config.yaml"])[0].data["task"] == str(written)


def test_groups_of_a_file_of_rows_are_described(tmp_path, capsys):
    rows = "".join(f"film {n} is good,yes,{n % 7}\nfilm {n} is bad,no,{n % 7}\n" for n in range(40))
    (tmp_path / "reviews.csv").write_text(f"body,label,author\n{rows}")
    given = ["--model_name_or_path", "bert", "--student.sparsity", "0.7", "--root", str(tmp_path), "--name", "mine"]
    settings, config, _ = read_settings([*given, "--data.task", str(tmp_path / "reviews.csv"), "--group", "author"])
    assert open_task(settings.data["task"]).group == "author"
    assert "group" not in yaml.safe_load(config)
    assert "reviews.csv: text: body, label: label, group: author; described in" in capsys.readouterr().err


def test_columns_are_for_files_of_rows(tmp_path):
    given = ["--model_name_or_path", "bert", "--student.sparsity", "0.7", "--root", str(tmp_path)]
    with pytest.raises(StarkError, match=r"data.task is sst2, whose columns are known: --text, --text_pair"):
        read_settings([*given, "--data.task", "sst2", "--label", "stars"])
    with pytest.raises(StarkError, match=r"none.csv: no such file"):
        read_settings([*given, "--data.task", str(tmp_path / "none.csv")])
