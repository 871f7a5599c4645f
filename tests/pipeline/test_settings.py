"""The settings of `stark run`: YAML, command line, defaults and ranges."""

import pytest
import yaml

from pipeline.settings import StudentSettings, TeacherSettings, read_settings

NEEDED = ["--model_name_or_path", "bert", "--data.task", "rte", "--student.sparsity", "0.7"]


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


def test_defaults_of_the_issue():
    settings, *_ = read_settings(NEEDED)
    assert settings.teacher.sparsities == [0.05, 0.1, 0.2, 0.3, 0.4]
    assert (settings.teacher.lam, settings.scoring.split, settings.scoring.reduction) == (0.5, "selection", "example")


@pytest.mark.parametrize(
    ("part", "values", "complaint"),
    [
        (StudentSettings, {}, "student.layers"),
        (StudentSettings, {"sparsity": 0.5, "layers": 2}, "student.layers"),
        (StudentSettings, {"sparsity": 1.0}, "sparsity is 1"),
        (TeacherSettings, {"lam": 1.5}, "lam is 1.5"),
        (TeacherSettings, {"sparsities": [0.1, 1.0]}, "sparsity is 1"),
        (TeacherSettings, {"sparsities": [0.1, 0.1]}, "once"),
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


def test_options_of_a_call_are_no_settings():
    _, plain, none = read_settings(NEEDED)
    _, text, options = read_settings([*NEEDED, "--dry-run", "--from", "trial"])
    assert text == plain
    assert (none.dry_run, none.start) == (False, None)
    assert (options.dry_run, options.start) == (True, "trial")


def test_groups_leave_out_what_has_no_effect_on_results():
    settings, *_ = read_settings(NEEDED)
    assert settings.group("scoring") == {"scoring.split": "selection", "scoring.reduction": "example"}
    assert "trainer.checkpoint_every_n_steps" not in settings.group("trainer")
    assert settings.group("trainer")["trainer.precision"] == "32-true"
    assert not {"data.data_dir", "data.cache_dir", "data.num_workers"} & settings.group("data").keys()
