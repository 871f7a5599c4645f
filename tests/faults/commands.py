"""Runs stark in a separate folder: as a user does, or as a fork of a warm process, with a fault or without."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.victim import run_with

ROOT = Path(__file__).resolve().parents[2]
RUN = Path("runs/demo")

# A small version of the demo: an epoch has 40 batches, with a validation after every 20.
COMMAND = (
    *("run", "--config", "configs/demo.yaml", "--name", "demo", "--data.cache_dir", "cache"),
    *("--data.train_limit", "711", "--data.batch_size", "16", "--trainer.val_check_interval", "20"),
    *("--finetuning.epochs", "2", "--distillation.epochs", "2", "--distillation.learning_rate", "3e-3"),
    *("--teacher.sparsities", "[0.2]"),
)
BATCHES = 40
BETWEEN_VALIDATIONS = 20

# The modules that commands import when they run.
HEAVY = (
    "pipeline.fits.lightning_cli",
    "pipeline.deploy.predict_file.predict_file",
    "pipeline.report.run_page",
    "pipeline.report.runs_page",
    "pipeline.run",
    "stark.model_folders.sample_encoder",
)

PATIENCE = 300
"""Seconds after which a command is regarded as hanging."""


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    Attributes:
        status: Exit status, or minus the number of the signal that killed the command.
        output: Standard output and standard error.
    """

    status: int
    output: str

    @property
    def errors(self) -> list[str]:
        """The error lines of the output."""
        return [line for line in self.output.splitlines() if line.startswith("stark: error: ")]

    def names(self, text: str) -> bool:
        """Whether a text is in the output, regardless of line breaks."""
        return "".join(text.split()) in "".join(self.output.split())

    def complaints(self) -> list[str]:
        """Deviations from the required result of a command that cannot do its work: one line and status 2."""
        found = []
        if self.status != 2:
            found.append(f"exit status {self.status}")
        if len(self.errors) != 1:
            found.append(f"{len(self.errors)} lines of error")
        if "Traceback" in self.output:
            found.append("a traceback")
        return [f"{', '.join(found)}:\n{self.tail}"] if found else []

    @property
    def tail(self) -> str:
        """The end of the output, for messages."""
        return "\n".join(self.output.splitlines()[-25:])


def run_stark(place: Path, args: Sequence[str] = COMMAND) -> Outcome:
    """Run a command in a folder, as a user does."""
    output = _output_of(place)
    with output.open("wb") as file:
        process = subprocess.run(
            [sys.executable, "-m", "cli", *args],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
    return Outcome(process.returncode, output.read_text(errors="replace"))


def run_forked(place: Path, args: Sequence[str] = COMMAND) -> Outcome:
    """Run a command in a fork that has imported everything, which saves the seconds of starting."""
    return _fork(place, args, None)


def run_victim(place: Path, fault: dict[str, Any], args: Sequence[str] = COMMAND) -> Outcome:
    """Run a command with a fault (see victim.py), in a fork that has imported everything."""
    return _fork(place, args, fault)


def _fork(place: Path, args: Sequence[str], fault: dict[str, Any] | None) -> Outcome:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.commands", "pipeline.commands.dispatch", *HEAVY, "pytest"])
    output = _output_of(place)
    process = context.Process(target=_main, args=(str(place), str(output), tuple(args), fault))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode is not None
    text = output.read_text(errors="replace")
    output.unlink()
    return Outcome(process.exitcode, text)


def _output_of(place: Path) -> Path:
    """File for a command's output, next to the place and not in it, because the place's disk may be full."""
    return place.with_name(f"{place.name}.txt")


def _main(place: str, output: str, args: tuple[str, ...], fault: dict[str, Any] | None) -> None:
    """Main function of a forked process."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(place)
    import cli

    if fault is None:
        cli.main(list(args))
    else:
        run_with(fault, list(args))
