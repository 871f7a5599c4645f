import shutil

from datamodules import GLUEDataModule
from datamodules.added import MASKED_LANGUAGE_MODEL
from pipeline.commands.run import read_settings
from pipeline.execution.stage import CONTENT
from pipeline.method.context import RunContext
from pipeline.search.candidates import Candidate, RankedTeacher
from stark.model_folders.model_folder import model_digest
from tests.pipeline.runs import options
from tests.tasks import save_masked_language_model


def context(tiny_task, folder, *more):
    settings = read_settings([*options(tiny_task, folder)[1:], *more])[0]
    return RunContext(settings, tiny_task.data())


def test_results_of_fits_depend_on_data_trainer_and_their_own_settings(tiny_task, tmp_path):
    one = context(tiny_task, tmp_path)
    for more, changed in (
        (("--seed", "3"), ("fitting", "scoring", "distilling", "friendliness")),
        (("--distillation.temperature", "3"), ("distilling", "friendliness")),
        (("--distillation.epochs", "3"), ("distilling",)),
        (("--scoring.reduction", "batch"), ("scoring", "friendliness")),
        (("--trainer.precision", "bf16-mixed"), ("fitting", "distilling")),
        (("--teacher.lams", "[1]"), ("grid",)),
        (("--data.max_length", "9"), ("fitting", "scoring", "distilling", "friendliness")),
    ):
        other = context(tiny_task, tmp_path, *more)
        groups = ("fitting", "scoring", "distilling", "friendliness", "grid", "encoder", "dev")
        assert tuple(name for name in groups if getattr(one, name) != getattr(other, name)) == changed, more


def test_distillations_depend_on_the_masked_language_model_that_changes_rows(tiny_task, tmp_path):
    def of(model, *more):
        more = ("--data.changed_rows", "1", "--data.masked_language_model", str(model), *more)
        settings = read_settings([*options(tiny_task, tmp_path)[1:], *more])[0]
        return RunContext(settings, GLUEDataModule(model_name_or_path=str(tiny_task.encoder), **settings.data))

    masks = ("--data.changes", "[masked_lm]")
    first = save_masked_language_model(tmp_path / "first", tiny_task.encoder)
    other = save_masked_language_model(tmp_path / "other", tiny_task.encoder, seed=1)
    moved = shutil.copytree(first, tmp_path / "moved")
    groups = ("fitting", "scoring", "distilling", "friendliness", "alternatives", "encoder", "dev")

    def differ(one, two):
        return [name for name in groups if getattr(one, name) != getattr(two, name)]

    assert differ(of(first, *masks), of(other, *masks)) == ["distilling"]
    assert of(first, *masks).distilling[f"{CONTENT}{MASKED_LANGUAGE_MODEL}"] == model_digest(first)
    assert differ(of(first, *masks), of(moved, *masks)) == []
    assert differ(of(first), of(other)) == []  # without masked_lm nothing reads it


def test_a_teacher_needs_the_scores_of_its_ranking(tiny_task, tmp_path):
    run = context(tiny_task, tmp_path)
    cut, fit = run.cut(Candidate(0.5, 0.2)), run.distillation(Candidate(0.5, 0.2))
    assert (cut.name, cut.needs, cut.outputs) == ("sparsify/0.5_0.2", ("finetune", "sparsify"), ("sparsify/0.5_0.2",))
    assert (fit.name, fit.needs, fit.is_fit) == ("distill/0.5_0.2", ("sparsify/0.5_0.2", "prune"), True)
    assert run.cut(RankedTeacher("random", 0.2)).settings["seed"] == run.settings.seed


def test_a_baseline_whose_parts_the_teachers_score_has_not_is_scored_apart(tiny_task, tmp_path):
    names = "expressiveness,friendliness,signed_friendliness,kl_friendliness,magnitude,random"
    asked = ("--baselines", f"[{names}]")
    knowledgeable = context(tiny_task, tmp_path, *asked)
    by_magnitude = context(tiny_task, tmp_path, *asked, "--teacher.lams=null", "--teacher.score=stark.Magnitude")
    for run, apart in ((knowledgeable, names.split(",")[2:4]), (by_magnitude, names.split(",")[:4])):
        for name in names.split(","):
            scored = "score_baselines" if name in apart else "sparsify"
            assert run.cut(RankedTeacher(name, 0.2)).needs == ("finetune", scored)


def test_scores_and_budgets_of_a_plugin_count_with_its_content(tiny_task, tmp_path):
    (tmp_path / "my_plugin.py").write_text("A = 1\n")
    run = context(tiny_task, tmp_path, "--plugins", str(tmp_path / "my_plugin.py"))
    assert any("my_plugin.py" in name for name in run.cut(Candidate(0.5, 0.2)).settings)
