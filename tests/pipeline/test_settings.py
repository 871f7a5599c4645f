"""The settings of `stark run`: YAML, command line, defaults and ranges."""

from dataclasses import fields

import pytest

from pipeline.commands.run import read_settings
from pipeline.search.candidates import candidates
from pipeline.settings import EARLIER, PARTS
from tests.pipeline.runs import NEEDED


def test_defaults_of_the_issue():
    settings, *_ = read_settings(NEEDED)
    assert settings.teacher.sparsities == [0.05, 0.1, 0.2, 0.3, 0.4]
    assert (settings.teacher.lams, settings.scoring.split, settings.scoring.reduction) == (
        [0.5],
        "selection",
        "example",
    )


def test_without_a_search_there_is_one_candidate():
    read_settings([*NEEDED, "--search.mode", "none", "--teacher.sparsities", "[0.2]"])
    read_settings([*NEEDED, "--search.mode", "none", "--teacher.sparsities", "[]"])
    for given in ("--teacher.sparsities=[0.1,0.2]", "--teacher.lams=[0.1,0.2]"):
        with pytest.raises(ValueError, match=r"search.mode is none, but"):
            read_settings([*NEEDED, "--search.mode", "none", "--teacher.sparsities", "[0.2]", given])


def test_groups_leave_out_what_has_no_effect_on_results():
    settings, *_ = read_settings(NEEDED)
    scoring = {"scoring.split": "selection", "scoring.reduction": "example", "scoring.use_unlabelled": False}
    assert settings.group("scoring") == scoring
    assert "trainer.checkpoint_every_n_steps" not in settings.group("trainer")
    assert settings.group("trainer")["trainer.precision"] == "32-true"
    assert not {"data.data_dir", "data.cache_dir", "data.num_workers"} & settings.group("data").keys()


def test_values_of_earlier_runs_are_those_of_settings_that_exist():
    settings, *_ = read_settings(NEEDED)
    every = {name: value for part in PARTS for name, value in settings.group(part).items()}
    assert EARLIER.items() <= every.items()  # and are the defaults still


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--teacher.score=stark.Magnitude"], r"teacher.lams are \[0.5\] and teacher.score stark.Magnitude: give"),
        (["--teacher.lams=null"], "teacher.lams are None and teacher.score None: give one of them"),
        (
            ["--student.sparsity=null", "--student.layers=2", "--student.score=stark.Random"],
            "student.layers drops layers",
        ),
        (
            ["--student.sparsity=null", "--student.layers=2", "--student.refit=true"],
            "student.refit makes up for removed heads and neurons, but student.layers drops layers: leave it out",
        ),
    ],
)
def test_units_are_ranked_in_one_way(given, said):
    with pytest.raises(ValueError, match=said):
        read_settings([*NEEDED, *given])
    settings, *_ = read_settings([*NEEDED, "--teacher.score=stark.Magnitude", "--teacher.lams=null"])
    assert [candidate.name for candidate in candidates(settings.teacher)] == ["0.05", "0.1", "0.2", "0.3", "0.4"]


def test_every_number_has_its_range():
    checked = {"student.sparsity", "student.layers"}  # checked by StudentSettings and by the model's number of layers
    for name, part in PARTS.items():
        for item in fields(part):
            if str(item.type).split(" | ")[0] in ("int", "float") and f"{name}.{item.name}" not in checked:
                assert "range" in item.metadata, f"{name}.{item.name}"
