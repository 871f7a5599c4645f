"""Students on a path: what each is cut from, and who teaches it."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from cli import main
from pipeline.settings import StudentSettings
from stark.encoders.layers import kept_units
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier
from tests.pipeline.runs import copy_begun, options, read

PATH = ("--student.path", "[0.3,0.5]", "--teacher.sparsities", "[]")


def heads_of(model):
    return sum(map(len, kept_units(model).heads))


def taught(run: Path, stage: str) -> tuple[str, str]:
    """The teacher and the initial student of a stage's fit."""
    model = yaml.safe_load((run / stage / "stage.yaml").read_text())["model"]["init_args"]
    return tuple(Path(model[name]).relative_to(run).as_posix() for name in ("teacher", "student"))


@pytest.fixture(scope="module")
def path_run(pruned_run, tiny_task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("path")
    run = copy_begun(pruned_run, folder / "tiny", "prune", "trial", "sparsify", "distill")
    main(options(tiny_task, folder, *PATH))
    return run


@pytest.mark.slow
def test_each_student_is_cut_from_the_one_before_it(path_run):
    """Sparsities are those of the dense teacher; the last student is the run's result."""
    order = ("path/0.3_cut", "path/0.3", "path/0.5_cut", "path/0.5", "prune", "trial")
    models = {"finetune": load_classifier(path_run / "finetune/model")}
    models |= {name: load_classifier(path_run / name / "model") for name in order}
    for name, sparsity in (("path/0.3", 0.3), ("path/0.5", 0.5), ("prune", 0.7)):
        assert heads_of(models[name]) == 16 - round(sparsity * 16)
    for before, after in (("finetune", "path/0.3_cut"), ("path/0.3", "path/0.5_cut"), ("path/0.5", "prune")):
        kept_units(models[after]).masks_within(kept_units(models[before]))  # raises if a unit is new
        first, second = (models[name].get_input_embeddings().weight for name in (before, after))
        assert torch.equal(first, second)
    for cut, fit in (("path/0.3_cut", "path/0.3"), ("path/0.5_cut", "path/0.5"), ("prune", "trial")):
        assert kept_units(models[cut]) == kept_units(models[fit])
        first, second = (models[name].get_input_embeddings().weight for name in (cut, fit))
        assert not torch.equal(first, second)
    assert read(path_run)["best"]["folder"] == "trial/model"


@pytest.mark.slow
def test_the_dense_teacher_teaches_all(path_run):
    assert taught(path_run, "path/0.3") == ("finetune/model", "path/0.3_cut/model")
    assert taught(path_run, "path/0.5") == ("finetune/model", "path/0.5_cut/model")
    assert taught(path_run, "trial") == ("finetune/model", "prune/model")


@pytest.mark.slow
def test_each_teaches_the_next_one_if_asked(path_run, tiny_task, tmp_path, capsys):
    run = Path(shutil.copytree(path_run, tmp_path / "tiny"))
    command = options(tiny_task, tmp_path, *PATH, "--student.path_teaches", "true")
    main(command)
    assert taught(run, "path/0.3") == ("finetune/model", "path/0.3_cut/model")
    assert taught(run, "path/0.5") == ("path/0.3/model", "path/0.5_cut/model")
    assert taught(run, "trial") == ("path/0.5/model", "prune/model")
    capsys.readouterr()
    main([*command, "--dry-run"])
    assert " run " not in capsys.readouterr().out


@pytest.mark.slow
def test_a_finished_path_is_kept(path_run, tiny_task, capsys):
    main([*options(tiny_task, path_run.parent, *PATH), "--dry-run"])
    shown = capsys.readouterr().out
    assert "path/0.3_cut" in shown
    assert " run " not in shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": [0.5, 0.3]}, r"student.path is \[0.5, 0.3\] and student.sparsity 0.7: give ascending sparsities"),
        ({"path": [0.7]}, "below that of the student"),
        ({"path": [0.0]}, "above 0"),
        ({"path": [0.3, 0.3]}, "ascending"),
        ({"path": [1.2]}, "sparsity"),
        ({"path": [0.3], "cuts": 3}, "leave one of the two out"),
        ({"path_teaches": True}, "there is no student.path"),
        ({"path": [0.3], "sparsity": None, "layers": 2}, "student.layers drops layers"),
    ],
)
def test_impossible_paths_are_refused(settings, message):
    with pytest.raises(StarkError, match=message):
        StudentSettings(**{"sparsity": 0.7, **settings})
