"""Executing stages: the manifest decides whether each one starts, resumes or is skipped; its outputs are recorded."""

from __future__ import annotations

import gc
import logging
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from pipeline.executors.elsewhere import are_stopping, go_on, stop_all, was_lost
from pipeline.run_folder import RunFolder
from stark.storage import folder_lock

__all__ = ["ATTEMPTS", "begin", "check_places", "drop_checkpoints", "execute_all", "is_complete", "run_fits"]

_log = logging.getLogger(__name__)

# Seconds in which an orphaned fit notices that its parent died, and exits.
_PATIENCE = 30.0
ATTEMPTS = 3
"""Number of attempts for a fit whose process is killed."""


def begin(stage: Stage, manifest: Manifest, decision: Decision) -> bool:
    """Record that a stage is running, and clear the folder of a fit that starts from the beginning.

    Args:
        stage: The stage.
        manifest: The run's manifest.
        decision: Decision on the stage; not ``skip``.

    Returns:
        Whether the stage resumes from its earlier files.

    Raises:
        StarkFileExistsError: If a file of the user is where the stage writes; then nothing is removed.
    """
    resume = decision.action == "continue"
    if not (resume and stage.is_fit):  # a resumed fit checks this itself when it looks for its checkpoint
        for made in check_places(stage, manifest):
            _log.warning("%s is removed with the model that it was made from: make it again", made)
    if stage.is_fit:
        folder = manifest.folder / stage.name
        with folder_lock(folder, _PATIENCE):
            if not resume:
                # Before the record is written: after a crash in between, the stage would resume from checkpoints of
                # other settings.
                remove_own(folder)
    manifest.start(stage.name, stage.settings, {name: manifest.stages[name].result() for name in stage.needs})
    return resume


def check_places(stage: Stage, manifest: Manifest) -> list[Path]:
    """Check that a stage may make its folders again.

    Args:
        stage: The stage.
        manifest: The run's manifest.

    Returns:
        Cards and exports there, which are removed together with the model that they were made from.

    Raises:
        StarkFileExistsError: If a file of the user is in one of the folders.
    """
    places = (stage.name,) if stage.is_fit else stage.outputs
    return [made for place in places for made in check_own(manifest.folder / place)]


def drop_checkpoints(name: str, manifest: Manifest) -> None:
    """Remove the checkpoints of a fit that will not be resumed.

    With AdamW's two moments, a fit's checkpoints are six times the size of its model.

    Args:
        name: Name of the stage.
        manifest: The run's manifest; the fit's validation scores are stored in it, because a search reads them.

    Raises:
        ReadError: If a checkpoint cannot be read at the moment; then none is removed.
    """
    fit = RunFolder(manifest.folder).at(name)
    if not manifest.stages[name].val_scores and (scores := val_scores(fit.checkpoints.path)):
        manifest.keep(name, scores)
    drop_own_checkpoints(fit.path)


def execute_all(
    stages: Callable[[], list[Stage]], manifest: Manifest, display: Display, workers: int = 1, *, here: bool = True
) -> None:
    """Run all stages, each after the stages that it needs.

    Either all stages run in their order, in this process. Or fits that do not depend on each other run at the same
    time, each in a separate process, and other stages run in this process. The results are the same.

    Args:
        stages: Function that returns the stages known so far; there may be more after one of them has finished.
        manifest: The run's manifest.
        display: Display of the progress.
        workers: Number of fits that run at a time if they do not run in this process.
        here: Whether fits run in this process.

    Raises:
        CalledProcessError: If a fit in a separate process fails; one that was killed is resumed before.
    """
    done: set[str] = set()
    running: dict[Future[float], tuple[Stage, float]] = {}
    with _pool(workers) as pool:
        try:
            while todo := [stage for stage in _known(stages, manifest, display) if stage.name not in done]:
                at_work = {stage.name for stage, _ in running.values()}  # names, as stages() makes new objects
                waiting = [stage for stage in todo if stage.name not in at_work and done.issuperset(stage.needs)]
                fits = [stage for stage in waiting if stage.is_fit and not here]
                # Fits first, so that they run while this process works on other stages.
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


def _known(stages: Callable[[], list[Stage]], manifest: Manifest, display: Display) -> list[Stage]:
    """The stages that are known so far, which the display counts."""
    known = stages()
    seconds = {name: record.seconds for name, record in manifest.stages.items() if record.finished}
    display.expect([stage.name for stage in known], seconds, has_more=not is_complete(known, manifest.folder))
    return known


def is_complete(stages: Sequence[Stage], root: Path) -> bool:
    """Whether all stages of a run are known, and no search will add some.

    Args:
        stages: The known stages.
        root: The run's folder.
    """
    return stages[-1].name == RunFolder(root).student.name


def run_fits(fits: Mapping[str, Callable[[bool], None]], workers: int = 1, *, here: bool = True) -> None:
    """Run the fits of a stage that consists of several.

    Args:
        fits: Functions by name of the fit; each runs a fit, and its argument is whether the fit's process was lost
            in an earlier attempt.
        workers: Number of fits that run at a time; if several, each runs in a separate process.
        here: Whether a fit that runs alone runs in this process, or in one that gets this process's signals.

    Raises:
        CalledProcessError: If a fit in a separate process fails; one that was killed is resumed before.
    """
    if workers == 1 and here:
        for name, fit in fits.items():
            _persist(name, fit)
        return
    with _pool(workers) as pool:
        for future in [pool.submit(_persist, name, fit) for name, fit in fits.items()]:
            future.result()


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for fits in separate processes; a signal to this process is forwarded to all of these."""
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
    """Run a fit in a separate process and return its seconds."""
    start = time.perf_counter()
    _persist(stage.name, lambda lost: stage.work([], resume or lost))
    return time.perf_counter() - start


def _persist(name: str, fit: Callable[[bool], None]) -> None:
    """Run a fit, and resume it from its checkpoint if its process is killed."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            fit(attempt > 1)
            return
        except subprocess.CalledProcessError as error:
            if attempt == ATTEMPTS or not was_lost(error) or are_stopping():
                raise
            _log.warning("%s was killed (status %d) and continues from its checkpoint", name, error.returncode)


def _execute(stage: Stage, manifest: Manifest, display: Display) -> None:
    """Run or resume a stage in this process, unless it is finished."""
    decision = decide(stage, manifest)
    if decision.action == "skip":
        _skip(stage, manifest, display)
        return
    resume = begin(stage, manifest, decision)
    with display.stage(stage.name, decision.reason) as progress:
        start = time.perf_counter()
        try:
            if stage.is_fit:  # with several devices it runs in a separate process, which may be killed
                _persist(stage.name, lambda lost: stage.work([progress], resume or lost))
            else:
                stage.work([progress], resume)
        except Interrupted:
            manifest.spend(stage.name, time.perf_counter() - start)
            raise
        _finish(stage, manifest, time.perf_counter() - start)
    gc.collect()


def _finish(stage: Stage, manifest: Manifest, seconds: float) -> None:
    """Record a stage's outputs, and only then remove the checkpoints that it could have resumed from."""
    manifest.finish(stage.name, stage.outputs, seconds)
    if stage.is_fit:
        drop_checkpoints(stage.name, manifest)


def _skip(stage: Stage, manifest: Manifest, display: Display) -> None:
    """Skip a finished stage, but remove its checkpoints: it may have been killed before it removed them."""
    display.skipped(stage.name)
    if stage.is_fit:
        drop_checkpoints(stage.name, manifest)
