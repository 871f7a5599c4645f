"""The trials of a sweep: Optuna chooses settings, and each trial is a run of `stark run` in a process of its own."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from pipeline.execution.execute import ATTEMPTS, run_fits
from pipeline.executors.elsewhere import are_stopping, run_elsewhere, was_lost
from pipeline.executors.table import open_executor
from pipeline.fits.isolation import stark_command
from pipeline.parsing.plain_text import PlainConsole
from pipeline.results.summary import Summary
from pipeline.run_folder import RunFolder
from pipeline.sweep.description import Sweep
from pipeline.sweep.objectives import LATENCY, measure_student
from pipeline.sweep.results import RESULTS, TRIALS, short, table_of, write_results
from pipeline.sweep.sharing import Teachers, share_stages
from pipeline.sweep.study import MEASURED, finished_trials, name_of, open_study
from stark.errors import StarkError
from stark.storage import folder_lock

__all__ = ["Trials", "run_sweep"]

# Seconds in which the run of a killed sweep notices that its parent died, and exits.
_PATIENCE = 30.0
# Seconds between looks at a teacher that another trial trains.
_POLL = 1.0


def run_sweep(sweep: Sweep, folder: Path, fixed: str, workers: int = 1, gpus: int = 0) -> None:
    """Run the trials that a sweep still lacks.

    The same call continues a sweep that was killed: finished trials are kept, and a trial that was running goes on in
    its folder with the same settings.

    Args:
        sweep: The sweep.
        folder: Its folder.
        fixed: The settings that all trials share, as text.
        workers: Number of trials that run at a time.
        gpus: Number of GPUs of a trial; only Ray uses it.

    Raises:
        StarkFileExistsError: If the folder holds a sweep that asks for something else, or is in use.
        StarkError: If latency is to be measured while other trials train.
        CalledProcessError: If the run of a trial fails, which has printed its error. No other trial begins then.
    """
    if workers < 1:
        raise StarkError(f"workers is {workers}: give at least 1")
    # Jobs of SLURM run on other machines; a Ray cluster may be on this one.
    if workers > 1 and sweep.executor != "slurm" and LATENCY in sweep.measured:
        raise StarkError(
            f"workers is {workers}, but {sweep.path} asks for the latency, which cannot be measured while other trials "
            "train: leave out --workers, or take encoder_parameters instead"
        )
    with folder_lock(folder):
        trials = Trials(sweep, folder, fixed, workers, gpus)
        missing = sweep.trials - trials.count()
        fits = {f"trial {number + 1} of {missing} left": trials.next_one() for number in range(missing)}
        run_fits(fits, workers, here=sweep.executor == "local")
        if missing <= 0:
            trials.tell()


class Trials:
    """The trials of a sweep, which are recorded by Optuna in a journal in the sweep's folder.

    Args:
        sweep: The sweep.
        folder: Its folder.
        fixed: The settings that all trials share, as text.
        workers: Number of trials that run at a time.
        gpus: Number of GPUs of a trial.

    Raises:
        StarkFileExistsError: If the folder holds a sweep that asks for something else.
    """

    def __init__(self, sweep: Sweep, folder: Path, fixed: str, workers: int, gpus: int) -> None:
        """Open the journal, or begin one."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._sweep, self._folder, self._workers, self._gpus = sweep, folder, workers, gpus
        self._study = open_study(sweep, folder, fixed)
        self._interrupted = self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        self._console, self._warned, self._has_failed = PlainConsole(), set[str](), False
        # The threads that wait for the runs of trials take turns in using the study and the console.
        self._lock = threading.RLock()
        self._teachers, self._measuring = Teachers(), threading.Lock()

    def count(self) -> int:
        """Number of the finished trials."""
        return len(finished_trials(self._study, self._sweep))

    def tell(self) -> None:
        """Write the finished trials to ``sweep.json``, and print them."""
        trials = finished_trials(self._study, self._sweep)
        write_results(self._folder, self._sweep, trials)
        self._console.print(table_of(self._sweep, trials))
        self._console.print(
            f"All numbers are in {self._folder / RESULTS}, the students in {self._folder / TRIALS}/TRIAL/student",
            highlight=False,
            soft_wrap=True,
        )

    def next_one(self) -> Callable[[bool], None]:
        """The next trial, whose settings are chosen when it starts, by the trials that are finished then.

        Returns:
            Function that runs it. Its argument is whether the trial's process was killed in an earlier call; then it
            goes on with the same settings. It does nothing if another trial has failed.
        """
        begun: list[tuple[optuna.Trial, dict[str, Any]]] = []
        attempts = count(1)

        def run(lost: bool) -> None:
            if self._has_failed and not lost:
                return
            attempt = next(attempts)
            try:
                if not begun:
                    begun.append(self._begin())
                self._run(*begun[0])
            except Exception as error:
                goes_on = isinstance(error, subprocess.CalledProcessError) and was_lost(error) and attempt < ATTEMPTS
                self._has_failed = self._has_failed or not goes_on
                raise

        return run

    def _begin(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """Continue an interrupted trial, or begin one."""
        with self._lock:
            if self._interrupted:
                trial = optuna.Trial(self._study, self._interrupted.pop(0)._trial_id)
            else:
                # A new generator for each trial: a sweep that continues would repeat the choices of its start.
                state = np.random.SeedSequence((self._sweep.seed, len(self._study.trials))).generate_state(1)
                self._study.sampler = TPESampler(seed=int(state[0]))
                trial = self._study.ask()
            values = {name: known.suggest(trial, name) for name, known in self._sweep.search.items()}
            self._teachers.claim(self._place(trial), values)
            told = ", ".join(f"{name} {short(value)}" for name, value in values.items())
            self._console.print(
                f"trial {name_of(trial)}: {told}; its output: {self._log(trial)}", highlight=False, soft_wrap=True
            )
            return trial, values

    def _run(self, trial: optuna.Trial, values: dict[str, Any]) -> None:
        """Run a trial, measure its student and record what was measured."""
        folder = self._place(trial)
        if (measured := trial.user_attrs.get(MEASURED)) is None:  # else it was killed right before its end
            with folder_lock(folder, _PATIENCE):
                pass
            if not self._await_teacher(trial, values):
                return
            with self._lock:
                share_stages(folder, values, self._others(trial))
            run = ["run", *self._sweep.arguments(values), f"--root={folder.parent}", f"--name={folder.name}"]
            executor = open_executor(self._sweep.executor, self._sweep.slurm, RunFolder(self._folder).jobs)
            run_elsewhere(
                stark_command(run), self._log(trial), executor=executor, workers=self._workers, gpus=self._gpus
            )
            with self._measuring:  # one at a time, for the latency
                measured = measure_student(folder, self._sweep.measured)
        with self._lock:
            self._teachers.release(folder)
            trial.set_user_attr(MEASURED, measured)
            known = self._study.trials[trial.number].constraints
            for name, most in self._sweep.constraints.items():
                if name not in known:
                    trial.set_constraint(name, measured[name] - most)
            self._study.tell(trial, [measured[name] for name in self._sweep.objectives])
            self._warn(Summary.read(folder))
            self.tell()

    def _await_teacher(self, trial: optuna.Trial, values: Mapping[str, Any]) -> bool:
        """Wait while another trial trains the teacher that a trial needs; whether the trial may run then."""
        told = False
        while True:
            with self._lock:
                trainer = self._teachers.awaited(self._place(trial), values)
            if trainer is None:
                return True
            if self._has_failed or are_stopping():
                return False
            if not told:
                with self._lock:
                    self._console.print(f"trial {name_of(trial)} waits for the teacher of {trainer.name}")
                told = True
            time.sleep(_POLL)

    def _warn(self, summary: Summary) -> None:
        """Print what looks wrong in a run, unless another trial has had it, too."""
        for line in summary.alarms or ():
            if line not in self._warned:
                self._warned.add(line)
                self._console.print(f"warning: {line}", highlight=False, soft_wrap=True)

    def _others(self, trial: optuna.Trial) -> list[tuple[Path, dict[str, Any]]]:
        """Folders and values of the other trials, as far as all their values are chosen."""
        return [
            (self._place(other), {name: known.suggest(other, name) for name, known in self._sweep.search.items()})
            for other in self._study.trials
            if other.number != trial.number and self._sweep.search.keys() <= other.params.keys()
        ]

    def _place(self, trial: optuna.Trial | FrozenTrial) -> Path:
        return self._folder.absolute() / TRIALS / name_of(trial)

    def _log(self, trial: optuna.Trial) -> Path:
        return self._folder / TRIALS / f"{name_of(trial)}.log"
