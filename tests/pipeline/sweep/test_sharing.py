import pytest

from pipeline.execution.manifest import Manifest
from pipeline.execution.plan import decide
from pipeline.execution.stage import Stage
from pipeline.sweep.sharing import Teachers, share_stages

SETTINGS = {"finetuning.epochs": 3}


def run_of(folder, *, finished=True):
    """A run with a finetuned teacher, simple alternatives and a distilled student."""
    manifest = Manifest(folder)
    for name in ("finetune", "alternatives", "trial"):
        (folder / name / "model").mkdir(parents=True)
        (folder / name / "model/weights").write_text(name)
        manifest.start(name, SETTINGS, {})
        if finished:
            manifest.finish(name, (name,), 5.0)
    return folder


def decision(folder, settings):
    return decide(Stage("finetune", (), settings, ("finetune",), lambda *_: None), Manifest.read(folder)).action


def test_a_trial_begins_with_the_teacher_of_another_one(tmp_path):
    run, new = run_of(tmp_path / "0000"), tmp_path / "0001"
    share_stages(new, {"student.sparsity": 0.5}, [(run, {"student.sparsity": 0.7})])
    assert sorted(path.name for path in new.iterdir()) == ["alternatives", "finetune", "manifest.json"]
    assert (new / "finetune/model/weights").read_text() == "finetune"
    assert Manifest.read(new).stages == {
        name: record for name, record in Manifest.read(run).stages.items() if name != "trial"
    }
    # The run itself decides whether it is the right one.
    assert decision(new, SETTINGS) == "skip"
    assert decision(new, {"finetuning.epochs": 4}) == "run"


def test_checkpoints_which_the_other_trial_may_remove_meanwhile_are_not_copied(tmp_path):
    run, new = run_of(tmp_path / "0000"), tmp_path / "0001"
    (run / "finetune/checkpoints").mkdir()
    (run / "finetune/checkpoints/last.ckpt").symlink_to("removed")  # copying it fails
    share_stages(new, {}, [(run, {})])
    assert [path.name for path in (new / "finetune").iterdir()] == ["model"]


def test_a_damaged_teacher_is_trained_again(tmp_path):
    run, new = run_of(tmp_path / "0000"), tmp_path / "0001"
    (run / "finetune/model/weights").write_text("changed")
    share_stages(new, {}, [(run, {})])
    assert decision(new, SETTINGS) == "run"


@pytest.mark.parametrize("name", ["finetuning.epochs", "seed", "data.batch_size", "trainer.precision"])
def test_a_teacher_of_other_settings_is_not_taken(tmp_path, name):
    other, same, new = run_of(tmp_path / "0000"), run_of(tmp_path / "0001"), tmp_path / "0002"
    (same / "finetune/model/weights").write_text("same")
    share_stages(new, {name: 1}, [(other, {name: 2})])
    assert not new.exists()
    share_stages(new, {name: 1}, [(other, {name: 2}), (same, {name: 1})])
    assert (new / "finetune/model/weights").read_text() == "same"


def test_nothing_is_taken_from_what_is_not_finished_or_has_not_begun(tmp_path):
    unfinished, new = run_of(tmp_path / "0000", finished=False), tmp_path / "0002"
    share_stages(new, {}, [(unfinished, {}), (tmp_path / "0001", {})])
    assert not new.exists()


def test_a_run_that_has_begun_is_left_alone(tmp_path):
    run, begun = run_of(tmp_path / "0000"), run_of(tmp_path / "0001", finished=False)
    before = Manifest.read(begun).stages
    share_stages(begun, {}, [(run, {})])
    assert Manifest.read(begun).stages == before


def test_one_trial_trains_a_teacher_and_the_others_wait_for_it(tmp_path):
    first, second, other = (tmp_path / f"{number:04}" for number in range(3))
    teachers = Teachers()
    values = {first: {"student.sparsity": 0.5}, second: {"student.sparsity": 0.7}, other: {"seed": 2}}
    for folder, own in values.items():
        teachers.claim(folder, own)
    assert [teachers.awaited(folder, own) for folder, own in values.items()] == [None, first, None]
    manifest = Manifest(first)
    manifest.start("finetune", SETTINGS, {})
    assert teachers.awaited(second, values[second]) == first
    (first / "finetune/checkpoints").mkdir(parents=True)
    manifest.finish("finetune", ("finetune",), 5.0)
    assert teachers.awaited(second, values[second]) == first
    (first / "finetune/checkpoints").rmdir()
    assert teachers.awaited(second, values[second]) is None
    teachers.release(first)
    assert [teachers.awaited(folder, values[second]) for folder in (second, first)] == [None, second]
