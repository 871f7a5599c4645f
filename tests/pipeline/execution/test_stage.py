"""Every stage declares the settings, the data and the stages on which its result depends.

Each stage of a tiny run works with settings and data that record which fields and splits are read, and in a folder
without the results of stages that it does not need.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

import pytest

from datamodules import GLUEDataModule
from datamodules.sources.answers import ANSWERS
from datamodules.tokenised import TokenisedSplits
from pipeline.commands.run import read_settings
from pipeline.execution.execute import begin
from pipeline.execution.manifest import Manifest
from pipeline.execution.plan import Decision
from pipeline.execution.stage import CONTENT, Stage
from pipeline.method.method import Method
from pipeline.parsing.plugins import keep_plugins
from pipeline.run_folder import RunFolder, kind_of
from pipeline.settings import PARTS, RunSettings
from stark.errors import StarkError
from stark.storage import write_json
from tests.pipeline.runs import options

BASELINES = (
    *("no_teacher", "dense_teacher_best_of_k", "teacher_assistant", "restored_teacher"),
    *("expressiveness", "kl_friendliness", "magnitude", "random"),
)
REFIT = ("--student.refit", "true", "--teacher.refit", "true")
# Settings without effect on results: the run's place, parallel fits, logging, and the interval of checkpoints.
NO_EFFECT = {"name", "root", "workers", "executor", "trainer.loggers", "trainer.checkpoint_every_n_steps"}
# The same function cuts all sparse teachers. The seed matters only for the ranking ``random``, which declares it, as
# tests/pipeline/method/test_context.py tests.
ALLOWED = {"sparsify": {"seed"}}


class Reads:
    """Records what is read."""

    def __init__(self):
        self.names = set()

    def noting(self, cls, prefix=""):
        """A subclass of a dataclass that records reads of its fields, but not those of copying an instance."""
        known, names, parts = {field.name for field in fields(cls)}, self.names, set(PARTS)

        class Noting(cls):
            def __getattribute__(self, name):
                copied = sys._getframe(1).f_code.co_name in ("replace", "__post_init__")
                if name in known and not copied and (prefix or name not in parts):
                    names.add(f"{prefix}{name}")
                return super().__getattribute__(name)

        return Noting

    def settings(self, settings: RunSettings) -> RunSettings:
        """The same settings, which record reads."""
        values = {field.name: getattr(settings, field.name) for field in fields(settings)}
        for part in PARTS:
            values[part] = self.noting(type(values[part]), f"{part}.")(**vars(values[part]))
        return self.noting(RunSettings)(**values)


@pytest.fixture
def reads(monkeypatch):
    """Records of what is read, including the data's splits."""
    found, original = Reads(), TokenisedSplits.rows

    def rows(splits, name):
        if sys._getframe(1).f_code.co_name != "prepare_data":  # prepare_data tokenises all splits into the cache
            found.names.add(f"{CONTENT}{name}")
        return original(splits, name)

    monkeypatch.setattr(TokenisedSplits, "rows", rows)
    return found


def undeclared(stage: Stage, read: set[str], settings: RunSettings) -> set[str]:
    """Names that a stage has read but does not declare."""
    answers = settings.distillation.teacher_answers
    stands_for = {
        "data": set(settings.group("data")),
        "model_name_or_path": {f"{CONTENT}the encoder"},
        "plugins": {f"{CONTENT}{plugin.path.name}" for plugin in settings.plugins},
        "distillation.teacher_answers": set() if answers is None else {f"{CONTENT}{ANSWERS}"},
    }
    needed = set().union(*(stands_for.get(name, {name}) for name in read - NO_EFFECT))
    return needed - stage.settings.keys() - ALLOWED.get(kind_of(stage.name), set())


@contextmanager
def nothing_but(manifest: Manifest, needs: tuple[str, ...]) -> Iterator[None]:
    """Hide the results and the records of all stages that are not needed."""
    hidden = {name: record for name, record in manifest.stages.items() if name not in needs}
    away = manifest.folder.with_name("away")
    files = [output for record in hidden.values() for output in record.outputs]
    for file in files:
        (away / file).parent.mkdir(parents=True, exist_ok=True)
        (manifest.folder / file).rename(away / file)
    manifest.forget(set(hidden))
    try:
        yield
    finally:
        for file in files:
            (away / file).rename(manifest.folder / file)
        manifest.stages = {**hidden, **manifest.stages}


def work_on(stage: Stage, manifest: Manifest, reads: Reads, settings: RunSettings) -> set[str]:
    """Run a stage with only the stages that it needs, and return what it has read but does not declare."""
    with nothing_but(manifest, stage.needs):
        begin(stage, manifest, Decision("run", ""))
        reads.names.clear()
        stage.work([], False)
        read = set(reads.names)
        manifest.finish(stage.name, stage.outputs, 0)
    manifest.write()
    return undeclared(stage, read, settings)


def prepared(task, folder, reads, *more):
    """The settings of a run, its manifest and its method."""
    (folder / "own_loss.py").write_text("SCALE = 2\n")
    quick = (
        "--distillation.epochs",
        "1",
        "--teacher.sparsities",
        "[0.2,0.4]",
        "--plugins",
        str(folder / "own_loss.py"),
    )
    settings = reads.settings(read_settings([*options(task, folder)[1:], *quick, *more])[0])
    keep_plugins(settings.plugins, RunFolder(settings.folder).plugins)
    manifest = Manifest(settings.folder)
    data = GLUEDataModule(model_name_or_path=settings.model_name_or_path, seed=settings.seed, **settings.data)
    return settings, manifest, Method(settings, data, manifest)


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        pytest.param(
            ("--search.mode", "predict", "--baselines", f"[{','.join(BASELINES)}]", "--student.refit", "true"),
            {"trial", "sparsify", "search", "distill", "score_baselines", "baselines"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--search.mode", "predict", "--scoring.split", "validation"),
            {"trial", "sparsify", "search", "distill"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--search.mode", "halving", "--distillation.epochs", "2", *REFIT, "--baselines", "[simple]"),
            {"trial", "sparsify", "search", "distill", "alternatives"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            (
                *("--student.path", "[0.2,0.4]", "--student.path_teaches", "true", "--teacher.sparsities", "[]"),
                *("--seeds", "[3]", "--baselines", "[no_teacher]", "--student.refit", "true"),
            ),
            {"path", "trial", "baselines"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--student.cuts", "2", "--search.mode", "none", "--teacher.sparsities", "[0.2]"),
            {"trial", "sparsify", "distill"},
            marks=pytest.mark.slow,
        ),
        (
            (
                *("--student.sparsity", "null", "--student.layers", "2", "--data.labelled_limit", "40"),
                *("--student.embedding_rank", "4"),
                *("--seeds", "[3]", "--baselines", "[no_teacher,teacher_assistant]", "--search.mode", "none"),
                *("--teacher.sparsities", "[0.2]"),
                *("--data.unlabelled", "[{folder}/more.jsonl]", "--data.unlabelled_ratio", "2"),
            ),
            {"trial", "sparsify", "distill", "baselines"},
        ),
    ],
    ids=[
        "predict and baselines",
        "predict from stored scores",
        "halving and alternatives",
        "path of teachers",
        "several cuts",
        "layers, seeds and rows without a label",
    ],
)
def test_stages_declare_what_they_read(tiny_task, tmp_path, reads, more, kinds):
    (tmp_path / "more.jsonl").write_text('{"sentence": "a row without a label"}\n' * 20)
    more = [option.format(folder=tmp_path) for option in more]
    settings, manifest, method = prepared(tiny_task, tmp_path, reads, *more)
    found = {}
    while todo := [stage for stage in method.stages() if stage.name not in found]:
        found[todo[0].name] = work_on(todo[0], manifest, reads, settings)
    assert {name: keys for name, keys in found.items() if keys} == {}
    assert {kind_of(name) for name in found} == {"finetune", "prune", "evaluate", "student", *kinds}


def test_what_is_forgotten_is_found(tiny_task, tmp_path, reads):
    """Tests this test: real stages without one of their declarations are found."""
    settings, manifest, method = prepared(tiny_task, tmp_path, reads)
    finetune, prune, *_ = method.stages()
    for key, expected in (
        ("finetuning.learning_rate", {"finetuning.learning_rate"}),
        ("trainer.precision", {"trainer.precision"}),
        ("data.max_length", {"data.max_length"}),
        ("seed", {"seed"}),
        (f"{CONTENT}train", {f"{CONTENT}train"}),
        (f"{CONTENT}the encoder", {f"{CONTENT}the encoder"}),
        (f"{CONTENT}own_loss.py", {f"{CONTENT}own_loss.py"}),
        ("finetuning.warmup_proportion", {"finetuning.warmup_proportion"}),
    ):
        assert key in finetune.settings
        forgetful = {name: value for name, value in finetune.settings.items() if name != key}
        if not manifest.stages:
            work_on(finetune, manifest, reads, settings)
            read = set(reads.names)
        assert undeclared(replace(finetune, settings=forgetful), read, settings) == expected
    with pytest.raises(StarkError, match=r"finetune/model: no config\.json"):
        work_on(replace(prune, needs=()), manifest, reads, settings)
    assert work_on(prune, manifest, reads, settings) == set()
    assert (tmp_path / "tiny/finetune/model/config.json").is_file()


def test_a_file_of_another_stage_is_hidden_and_comes_back(tmp_path):
    manifest = Manifest(tmp_path / "run")
    for name in ("one", "two"):
        write_json(manifest.folder / name / "result.json", name)
        manifest.start(name, {}, {})
        manifest.finish(name, (name,), 0)
    with nothing_but(manifest, ("two",)):
        assert not (manifest.folder / "one/result.json").exists()
        assert (manifest.folder / "two/result.json").is_file()
        assert set(manifest.stages) == {"two"}
    assert (manifest.folder / "one/result.json").is_file()
    assert list(manifest.stages) == ["one", "two"]
