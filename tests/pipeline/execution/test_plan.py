"""Deciding which stages run: by settings, by the content of inputs, and by the state of outputs."""

import pytest

from pipeline.execution.manifest import Manifest
from pipeline.execution.plan import decide, plan, stages_from
from pipeline.execution.stage import CONTENT, Stage


def stage(name, *needs, **settings):
    return Stage(name, needs, settings, (f"{name}.txt",), lambda *_: None)


def finish(manifest, todo, content):
    (manifest.folder / f"{todo.name}.txt").write_text(content)
    manifest.start(todo.name, todo.settings, {name: manifest.stages[name].result() for name in todo.needs})
    manifest.finish(todo.name, todo.outputs, 1)


CHAIN = [stage("a", x=1), stage("b", "a", y=2), stage("c", "b", z=3)]


@pytest.fixture
def manifest(tmp_path):
    manifest = Manifest(tmp_path)
    for todo in CHAIN:
        finish(manifest, todo, todo.name)
    return manifest


def test_what_is_finished_is_skipped(manifest):
    assert {decision.action for decision in plan(CHAIN, manifest).values()} == {"skip"}


def test_first_time(tmp_path):
    decisions = plan(CHAIN, Manifest(tmp_path))
    assert [decision.action for decision in decisions.values()] == ["run"] * 3
    assert decisions["c"].reason == "it has not run yet; after b"


def test_settings_are_named_by_their_values_and_content_is_not(manifest):
    assert decide(stage("a", x=5), manifest).reason == "x was 1, is 5"
    assert decide(stage("a", x=1, w=None, v=0), manifest).reason == "v was None, is 0"
    assert decide(stage("a", x=1, w=False), manifest).action == "skip"  # an option that is newer than the run
    assert decide(stage("a", x=1, **{"finetuning.weights": "best"}), manifest).action == "skip"
    changed = decide(stage("a", x=1, **{"finetuning.weights": "averaged"}), manifest)
    assert changed.reason == "finetuning.weights was None, is 'averaged'"
    for content, told in (("1", "was not read before"), ("2", "has changed"), (None, "is no longer read")):
        todo = stage("a", x=1, **({} if content is None else {f"{CONTENT}train": content}))
        assert decide(todo, manifest).reason == f"the content of train {told}"
        finish(manifest, todo, "a")


def test_a_stage_that_no_longer_needs_another_one_runs_again(manifest):
    """Such as the evaluation when a candidate is left out."""
    both = stage("d", "a", "b")
    finish(manifest, both, "d")
    assert decide(both, manifest).action == "skip"
    assert decide(stage("d", "a"), manifest).reason == "the result of b is no longer part of it"


def test_the_same_result_of_a_stage_that_ran_again_keeps_the_others(manifest):
    changed = [stage("a", x=5), *CHAIN[1:]]
    decisions = plan(changed, manifest)
    assert [decisions[name].action for name in "abc"] == ["run", "run", "run"]
    assert decisions["b"].reason == "unless a gives the same result as before"
    finish(manifest, changed[0], "a")
    assert decide(CHAIN[1], manifest).action == "skip"
    finish(manifest, changed[0], "other")
    assert decide(CHAIN[1], manifest).reason == "the result of a has changed"
    finish(manifest, CHAIN[1], "b")  # as before
    assert decide(CHAIN[2], manifest).action == "skip"


def test_interrupted_ones_go_on_and_damaged_ones_start_anew(manifest):
    manifest.start("b", CHAIN[1].settings, manifest.stages["b"].inputs)
    assert decide(CHAIN[1], manifest).action == "continue"
    assert plan(CHAIN, manifest)["c"].reason == "unless b gives the same result as before"
    (manifest.folder / "a.txt").unlink()
    assert decide(CHAIN[0], manifest).action == "run"
    assert "a.txt is missing" in decide(CHAIN[0], manifest).reason


def test_from_a_stage_means_all_behind_it():
    chain = [*CHAIN, stage("d"), stage("d/1", "d"), stage("d/2", "a")]
    assert stages_from("b", chain) == {"b", "c"}
    assert stages_from("d", chain) == {"d", "d/1", "d/2"}
    assert stages_from("d/2", chain) == {"d/2"}
    with pytest.raises(ValueError, match="no stage 'x': choose one of a, b, c, d"):
        stages_from("x", chain)
