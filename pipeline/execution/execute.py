"""Executing stages: each is begun, goes on or is skipped as the manifest says, and what it left is recorded."""

from __future__ import annotations

import gc
import logging
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from callbacks import Interrupted
from lightning_modules.checkpoints import val_scores
from pipeline.execution.belongings import check_own, drop_own_checkpoints, remove_own
from pipeline.execution.display import Display
from pipeline.execution.manifest import Manifest
from pipeline.execution.plan import Decision, decide
from pipeline.execution.stage import Stage
from pipeline.fits.processes import are_stopping, go_on, stop_all, was_lost
from pipeline.run_folder import RunFolder
from stark.storage import folder_lock

__all__ = ["begin", "check_places", "drop_checkpoints", "execute_all", "run_fits"]

_log = logging.getLogger(__name__)

# Seconds for a fit that lost its pipeline to notice it.
_PATIENCE = 30.0
# How often a fit may be tried whose process is killed.
_ATTEMPTS = 3


def begin(stage: Stage, manifest: Manifest, decision: Decision) -> bool:
    """Record that a stage is at work, and clear the place of a fit that starts anew.

    Args:
        stage: The stage.
        manifest: The run's manifest.
        decision: Decision on it, which is not to skip it.

    Returns:
        Whether it goes on with what it left.

    Raises:
        StarkFileExistsError: If a file of the user's is where the stage writes; nothing is removed then.
    """
    resume = decision.action == "continue"
    if not (resume and stage.is_fit):  # which sees what it has to remove when it looks for its checkpoint
        for made in check_places(stage, manifest):
            _log.warning("%s goes with the model that it was made of: make it again", made)
    if stage.is_fit:
        folder = manifest.folder / stage.name
        with folder_lock(folder, _PATIENCE):
            if not resume:
                # Before the record, or a crash in between would go on with checkpoints of other settings.
                remove_own(folder)
    manifest.start(stage.name, stage.settings, {name: manifest.stages[name].result() for name in stage.needs})
    return resume


def check_places(stage: Stage, manifest: Manifest) -> list[Path]:
    """Find out whether a stage may make its folders anew.

    Args:
        stage: The stage.
        manifest: The run's manifest.

    Returns:
        Cards and exports there, which go with the model that they were made of.

    Raises:
        StarkFileExistsError: If a file of the user's is in one of them.
    """
    places = (stage.name,) if stage.is_fit else stage.outputs
    return [made for place in places for made in check_own(manifest.folder / place)]


def drop_checkpoints(name: str, manifest: Manifest) -> None:
    """Remove the checkpoints of a fit that will not go on: they have the weights six times, with AdamW's two moments.

    Args:
        name: Name of the stage.
        manifest: The run's manifest; it keeps what the fit's validations gave, which a search asks.

    Raises:
        ReadError: If a checkpoint could not be read now; all of them stay.
    """
    fit = RunFolder(manifest.folder).at(name)
    if not manifest.stages[name].val_scores and (scores := val_scores(fit.checkpoints.path)):
        manifest.keep(name, scores)
    drop_own_checkpoints(fit.path)


def execute_all(
    stages: Callable[[], list[Stage]], manifest: Manifest, display: Display, workers: int = 1, *, here: bool = True
) -> None:
    """Run all stages, each when what it needs is finished.

    Either they run in their order, in this process; or fits that do not need each other run at the same time, each in a
    separate process, and what is no fit still runs here. The results are the same.

    Args:
        stages: Those that are known now; more may be known when one of them is finished.
        manifest: The run's manifest.
        display: Shows them.
        workers: How many fits run at a time, where they do not run here.
        here: Whether fits run in this process.

    Raises:
        CalledProcessError: If a fit in a separate process fails; one that was killed is resumed before.
    """
    done: set[str] = set()
    running: dict[Future[float], tuple[Stage, float]] = {}
    with _pool(workers) as pool:
        try:
            while todo := [stage for stage in stages() if stage.name not in done]:
                at_work = {stage.name for stage, _ in running.values()}  # not by the stage itself, which is made again
                waiting = [stage for stage in todo if stage.name not in at_work and done.issuperset(stage.needs)]
                fits = [stage for stage in waiting if stage.is_fit and not here]
                # These first, so that they run while this process works on what is no fit.
                for stage in fits[: workers - len(running)]:
                    decision = decide(stage, manifest)
                    if decision.action == "skip":
                        _skip(stage, manifest, display)
                        done.add(stage.name)
                    else:
                        display.started(stage.name, decision.reason)
                        resume, start = begin(stage, manifest, decision), time.perf_counter()
                        running[pool.submit(_work_on, stage, resume)] = stage, start
                if not waiting and not running:
                    raise RuntimeError(f"stage {todo[0].name} needs {', '.join(todo[0].needs)}, which is no stage")
                own = next((stage for stage in waiting if stage not in fits), None)
                if own is not None:
                    _execute(own, manifest, display)
                    done.add(own.name)
                for future in wait(running, None if own is None else 0, FIRST_COMPLETED).done:
                    stage, _ = running.pop(future)
                    _finish(stage, manifest, seconds := future.result())
                    display.finished(stage.name, seconds)
                    done.add(stage.name)
        except Interrupted:
            for stage, start in running.values():
                manifest.spend(stage.name, time.perf_counter() - start)
            raise


def run_fits(fits: Mapping[str, Callable[[bool], None]], workers: int = 1) -> None:
    """Run fits that a stage consists of.

    Args:
        fits: Functions by name, each of which runs one; its argument is whether it was begun here before and lost.
        workers: How many run at a time; with several, each in a separate process.

    Raises:
        CalledProcessError: If a fit in a separate process fails; one that was killed is resumed before.
    """
    if workers == 1:
        for name, fit in fits.items():
            _persist(name, fit)
        return
    with _pool(workers) as pool:
        for future in [pool.submit(_persist, name, fit) for name, fit in fits.items()]:
            future.result()


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for fits elsewhere; a signal to this process is handed on to all of these."""
    try:
        with ThreadPoolExecutor(workers) as pool:
            try:
                yield pool
            except Interrupted as stop:
                stop_all(stop.signum)
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        go_on()


def _work_on(stage: Stage, resume: bool) -> float:
    """Run a fit elsewhere; the seconds that it took."""
    start = time.perf_counter()
    _persist(stage.name, lambda lost: stage.work([], resume or lost))
    return time.perf_counter() - start


def _persist(name: str, fit: Callable[[bool], None]) -> None:
    """Run a fit, and again from its checkpoint if its process is lost."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            fit(attempt > 1)
            return
        except subprocess.CalledProcessError as error:
            if attempt == _ATTEMPTS or not was_lost(error) or are_stopping():
                raise
            _log.warning("%s was killed (status %d) and goes on from its checkpoint", name, error.returncode)


def _execute(stage: Stage, manifest: Manifest, display: Display) -> None:
    """Run a stage here, or go on with it, unless it is finished."""
    decision = decide(stage, manifest)
    if decision.action == "skip":
        _skip(stage, manifest, display)
        return
    resume = begin(stage, manifest, decision)
    with display.stage(stage.name, decision.reason) as progress:
        start = time.perf_counter()
        try:
            if stage.is_fit:  # with several devices it has a separate process, which may be lost
                _persist(stage.name, lambda lost: stage.work([progress], resume or lost))
            else:
                stage.work([progress], resume)
        except Interrupted:
            manifest.spend(stage.name, time.perf_counter() - start)
            raise
        _finish(stage, manifest, time.perf_counter() - start)
    gc.collect()


def _finish(stage: Stage, manifest: Manifest, seconds: float) -> None:
    """Record what a stage left, and only then remove what it could have gone on with."""
    manifest.finish(stage.name, stage.outputs, seconds)
    if stage.is_fit:
        drop_checkpoints(stage.name, manifest)


def _skip(stage: Stage, manifest: Manifest, display: Display) -> None:
    """Leave a finished stage as it is; it may have been killed before it had tidied up."""
    display.skipped(stage.name)
    if stage.is_fit:
        drop_checkpoints(stage.name, manifest)
