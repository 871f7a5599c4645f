"""The plan of a run: its stages, their dependencies, and which of them have to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.execution.manifest import Manifest, Record
from pipeline.execution.stage import CONTENT, Stage
from pipeline.run_folder import without_seed
from pipeline.settings import EARLIER
from stark.errors import StarkError

__all__ = ["Decision", "decide", "plan", "stages_from"]


@dataclass(frozen=True)
class Decision:
    """The decision on a stage, with its reason.

    Args:
        action: ``skip`` a finished stage, ``continue`` an interrupted one, or ``run`` it from the start.
        reason: Reason, as shown to the user.
    """

    action: Literal["skip", "continue", "run"]
    reason: str


def decide(stage: Stage, manifest: Manifest) -> Decision:
    """Decide on a stage after all stages that it needs are finished.

    Args:
        stage: The stage.
        manifest: The run's manifest.

    Returns:
        The decision.
    """
    record = manifest.stages.get(stage.name)
    if record is None:
        return Decision("run", "it has not run yet")
    if changed := _changed_setting(record, stage):
        return Decision("run", changed)
    for name in stage.needs:
        if record.inputs.get(name) != manifest.stages[name].result():
            return Decision("run", f"the result of {name} has changed")
    if gone := sorted(set(record.inputs) - set(stage.needs)):
        return Decision("run", f"the result of {gone[0]} is no longer part of it")
    if not record.finished:
        return Decision("continue", "it was interrupted")
    if damage := manifest.damage(stage.name):
        return Decision("run", damage)  # a finished fit has no checkpoint to resume from
    return Decision("skip", "finished earlier")


def plan(stages: Sequence[Stage], manifest: Manifest) -> dict[str, Decision]:
    """Predict the decisions of a run.

    Args:
        stages: The stages in their order.
        manifest: The run's manifest.

    Returns:
        A decision for each stage. A stage that needs one which runs again may be skipped if the result is the same;
        this is only known later, so the decision is ``run`` and the reason says so.
    """
    decisions: dict[str, Decision] = {}
    for stage in stages:
        # A needed stage that runs from the start, or is unfinished, may give another result.
        waits = [name for name in stage.needs if decisions[name].action == "run" or not manifest.stages[name].finished]
        record = manifest.stages.get(stage.name)
        if not waits:
            decisions[stage.name] = decide(stage, manifest)
        elif record is None:
            decisions[stage.name] = Decision("run", f"it has not run yet; after {waits[-1]}")
        elif changed := _changed_setting(record, stage):
            decisions[stage.name] = Decision("run", changed)
        else:
            decisions[stage.name] = Decision("run", f"unless {waits[-1]} gives the same result as before")
    return decisions


def stages_from(name: str, stages: Sequence[Stage]) -> set[str]:
    """Return a stage and all stages that depend on it.

    Args:
        name: Name of a stage; ``sparsify`` and ``distill`` mean all stages of that kind, ``trial`` the trial of every
            seed.
        stages: The stages in their order.

    Returns:
        The names of these stages.

    Raises:
        StarkError: If there is no such stage.

    Examples:
        >>> chain = [Stage(n, needs, {}, (), lambda *_: None) for n, needs in (("a", ()), ("b", ("a",)), ("c", ()))]
        >>> sorted(stages_from("a", chain))
        ['a', 'b']
        >>> repeated = [Stage(n, (), {}, (), lambda *_: None) for n in ("prune", "seed_1/trial", "seed_2/trial")]
        >>> sorted(stages_from("trial", repeated)), sorted(stages_from("seed_2/trial", repeated))
        (['seed_1/trial', 'seed_2/trial'], ['seed_2/trial'])
    """
    chosen = {
        stage.name
        for stage in stages
        for known in (stage.name, without_seed(stage.name))
        if known == name or known.startswith(f"{name}/")
    }
    if not chosen:
        raise StarkError(f"there is no stage {name!r}: choose one of {', '.join(stage.name for stage in stages)}")
    for stage in stages:
        if chosen & set(stage.needs):
            chosen.add(stage.name)
    return chosen


def _changed_setting(record: Record, stage: Stage) -> str | None:
    for key in sorted(record.settings.keys() | stage.settings.keys()):
        then, now = record.settings.get(key), stage.settings.get(key)
        if key not in record.settings and (now is False or (key in EARLIER and now == EARLIER[key])):
            continue  # the setting did not exist when the stage ran
        if then != now and key.startswith(CONTENT):
            done = "was not read before" if then is None else "is no longer read" if now is None else "has changed"
            return f"the {key} {done}"
        if then != now:
            return f"{key} was {then!r}, is {now!r}"
    return None
