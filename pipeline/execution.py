"""Executing stages: each is begun, goes on or is skipped as the manifest says, and what it left is recorded."""

from __future__ import annotations

import gc
import time

from pipeline.display import Display
from pipeline.manifest import Manifest
from pipeline.plan import Decision, Stage, decide
from storage import folder_lock, remove_folder

__all__ = ["begin", "execute"]

# Seconds for a fit that lost its pipeline to notice it.
_PATIENCE = 30.0


def begin(stage: Stage, manifest: Manifest, decision: Decision) -> bool:
    """Record that a stage is at work, and clear the place of a fit that starts anew.

    Args:
        stage: The stage.
        manifest: Of the run.
        decision: On it; not to skip it.

    Returns:
        Whether it goes on with what it left.
    """
    resume = decision.action == "continue"
    if stage.is_fit:
        folder = manifest.folder / stage.name
        with folder_lock(folder, _PATIENCE):
            if not resume:
                # Before the record, or a crash in between would go on with checkpoints of other settings.
                remove_folder(folder)
    manifest.start(stage.name, stage.settings, {name: manifest.stages[name].result() for name in stage.needs})
    return resume


def execute(stage: Stage, manifest: Manifest, display: Display) -> None:
    """Run a stage, or go on with it, unless it is finished.

    Args:
        stage: The stage; all that it needs is finished.
        manifest: Of the run.
        display: Shows it.
    """
    decision = decide(stage, manifest)
    if decision.action == "skip":
        display.skipped(stage.name)
        return
    resume = begin(stage, manifest, decision)
    with display.stage(stage.name, decision.reason) as progress:
        start = time.perf_counter()
        stage.work([progress], resume)
        manifest.finish(stage.name, stage.outputs, time.perf_counter() - start)
    gc.collect()
