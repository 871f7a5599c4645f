import pytest

from pipeline.commands.run import try_settings
from pipeline.settings import SlurmSettings
from pipeline.sweep.description import read_sweep
from pipeline.sweep.space import Choices, Range
from stark.errors import StarkError
from tests.pipeline.runs import NEEDED

KNOWN = ["model_name_or_path", "seed", "data.task", "student.sparsity", "student.score", "distillation.epochs"]
GOOD = """\
run: {config: [a.yaml, b.yaml], data.task: sst2, student.score: null}
search:
  student.sparsity: {low: 0.5, high: 0.9}
  distillation.epochs: [2, 4]
objectives:
  score: maximize
constraints:
  latency: 5
trials: 7
seed: 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(GOOD)
    return path


def test_what_is_read(file):
    sweep = read_sweep(file, KNOWN)
    assert sweep.search == {"student.sparsity": Range(0.5, 0.9), "distillation.epochs": Choices((2, 4))}
    assert (sweep.objectives, sweep.constraints, sweep.trials, sweep.seed) == (
        {"score": "maximize"},
        {"latency": 5},
        7,
        3,
    )
    assert sweep.measured == ["score", "latency"]
    assert sweep.arguments({"student.sparsity": 0.75}) == [
        *("--config=a.yaml", "--config=b.yaml", "--data.task=sst2", "--student.score=null"),
        "--student.sparsity=0.75",
    ]


def test_where_trials_run(file):
    assert (read_sweep(file, KNOWN).executor, read_sweep(file, KNOWN).slurm) == ("local", SlurmSettings())
    file.write_text(f"{GOOD}executor: slurm\nslurm: {{partition: gpu, time: 2h, gpus: 1}}\n")
    sweep = read_sweep(file, KNOWN)
    assert (sweep.executor, sweep.slurm) == ("slurm", SlurmSettings("gpu", "2h", gpus=1, cpus=4))


@pytest.mark.parametrize(
    ("good", "bad", "complaint"),
    [
        ("trials: 7", "trails: 7", "line 9: trails: no such key"),
        ("trials: 7", "trials: 0", "line 9: trials is 0: give an integer from 1"),
        ("seed: 3", "seed: 1.5", "line 10: seed is 1.5: give an integer from 0"),
        ("student.sparsity:", "student.sparsty:", "line 3: search.student.sparsty: .* did you mean student.sparsity?"),
        ("data.task:", "data.tsk:", "line 1: run.data.tsk: .* did you mean data.task?"),
        ("config: [a.yaml, b.yaml]", "config: {a: 1}", "line 1: run.config is .*: give a file or a list of files"),
        ("  distillation.epochs: [2, 4]", "  config: [a, b]", "line 4: search.config: no such setting"),
        ("student.score: null", "student.sparsity: 0.5", "line 3: search.student.sparsity: it is fixed in run"),
        ("high: 0.9", "high: 0.1", "line 3: search.student.sparsity: low is 0.5 and high 0.1"),
        ("score: maximize", "accuracy: maximize", "line 6: objectives.accuracy: no such objective"),
        ("score: maximize", "score: max", "line 6: objectives.score is 'max': choose out of maximize"),
        ("latency: 5", "score: 5", "line 8: constraints.score: it has no limit"),
        ("latency: 5", "latency: -5", "line 8: constraints.latency is -5: give the largest value"),
        ("objectives:\n  score: maximize", "objectives: {}", "line 5: objectives is empty"),
        ("objectives:\n  score: maximize", "objectives: [score]", "line 5: objectives is .*: give a mapping"),
        ("seed: 3", "executor: slrum", "line 10: executor is 'slrum': choose out of local, ray, slurm"),
        ("seed: 3", "slurm: fast", "line 10: slurm is 'fast': give a mapping"),
        ("seed: 3", "slurm:\n  gpu: 1", "line 11: slurm.gpu is unknown: slurm has partition, time, gpus, cpus"),
        ("seed: 3", "slurm:\n  cpus: many", "line 11: slurm.cpus is 'many': slurm has"),
        ("seed: 3", "slurm: {cpus: 0}", "slurm.cpus is 0: choose a number at least 1"),
        ("seed: 3", "slurm: {time: soon}", "line 10: slurm: time is 'soon': give a duration such as"),
        (GOOD, "[1, 2]", "give a mapping with the keys run"),
        (GOOD, "{run: ", "no YAML"),
    ],
)
def test_mistakes_are_told_with_file_line_and_key(file, good, bad, complaint):
    file.write_text(GOOD.replace(good, bad))
    with pytest.raises(StarkError, match=rf"^{file}.*{complaint}"):
        read_sweep(file, KNOWN)


def test_values_reach_the_run_as_they_are(file):
    """The oracle is the parser of stark run."""
    values = {"student.score": {"class_path": "stark.Fisher"}, "student.sparsity": 0.123456789012345, "seed": 4}
    settings, _ = try_settings([*NEEDED, *read_sweep(file, KNOWN).arguments(values)[3:]])
    assert settings.student.score["class_path"] == "stark.Fisher"
    assert (settings.student.sparsity, settings.seed) == (0.123456789012345, 4)
