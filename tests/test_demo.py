"""`make demo` and the tutorial show that pruning lowers the score and that distillation recovers it."""

import json
import shlex

import pytest
import yaml

from cli import main
from tests.docs.pages import BLOCK, DOCS
from tests.pipeline.runs import read

SEEDS = (776, 1, 2)
"""The first one is the default of `stark run`."""
SETTINGS = (
    *("data.batch_size", "student.sparsity", "finetuning.epochs", "finetuning.learning_rate"),
    *("distillation.epochs", "distillation.learning_rate"),
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "sample_data"
    main(["sample-data", str(folder)])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_students_reach_their_teacher(sample, tmp_path, seed):
    place = ("--model_name_or_path", str(sample / "encoder"), "--data.data_dir", str(sample))
    cache = ("--data.cache_dir", str(sample.parent / "cache"))
    main(["run", "--config", "configs/demo.yaml", "--root", str(tmp_path), "--seed", str(seed), *place, *cache])
    teacher, pruned, *students = (100 * model["dev"]["accuracy"] for model in read(tmp_path / "stark")["models"])
    assert teacher >= 90
    assert len(students) == 3
    assert all(student >= teacher - 3 for student in students)
    if seed == SEEDS[0]:
        assert pruned <= teacher - 8


def test_the_tutorial_has_the_settings_of_the_demo():
    """Both use the same rows; the tutorial's test runs its commands with fewer epochs."""
    (command,) = (text for _, _, text in BLOCK.findall((DOCS / "tutorial.md").read_text()) if "stark run" in text)
    words = shlex.split(command)
    asked = {name: json.loads(words[words.index(f"--{name}") + 1]) for name in SETTINGS}
    demo = yaml.safe_load((DOCS.parent / "configs/demo.yaml").read_text())
    assert asked == {name: demo[name.split(".")[0]][name.split(".")[1]] for name in SETTINGS}
