"""The settings of `stark run`: YAML, command line, defaults and ranges."""

import pytest

from pipeline.commands.run import read_settings
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
    for given in ("--teacher.sparsities=[0.1,0.2]", "--teacher.lams=[0.1,0.2]", "--teacher.sparsities=[]"):
        with pytest.raises(ValueError, match=r"search.mode is none, but"):
            read_settings([*NEEDED, "--search.mode", "none", "--teacher.sparsities", "[0.2]", given])


def test_groups_leave_out_what_has_no_effect_on_results():
    settings, *_ = read_settings(NEEDED)
    assert settings.group("scoring") == {"scoring.split": "selection", "scoring.reduction": "example"}
    assert "trainer.checkpoint_every_n_steps" not in settings.group("trainer")
    assert settings.group("trainer")["trainer.precision"] == "32-true"
    assert not {"data.data_dir", "data.cache_dir", "data.num_workers"} & settings.group("data").keys()
