"""Runs a stark command with a fault, in a separate process.

The fault is patched in from outside; the program has no hooks for it. A fault is described by these keys:

- ``do``: "kill" (SIGKILL), "terminate" (SIGTERM), "interrupt" (SIGINT), "fill" (create the file ``ballast``, which
  fills its disk until only ``leave`` bytes are free) or "swap" (replace the content of ``file`` by that of ``other``).
- When to act: ``seconds`` after the command's imports, or at an ``event``. Events are a hook of Lightning
  ("on_train_batch_end"; the target is the fit's folder), "rename", "fsync", "open" (for writing), "mkdir" and
  "save_checkpoint" (the target is the path). Of the events whose target contains ``target``, the fault acts at the
  ``call``-th one (counted from 1), just before it or, with ``after``, just after it ("open" and "mkdir": only before).
- ``unreadable``: a pattern of paths that cannot be opened or listed or whose status cannot be read, and ``code``, the
  error number.
- ``limit``: the largest size that a file may get, in bytes.
- ``log``: a file to which a line per event is written, and the seconds that the command took.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.passing import unreadable

SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT}


class Fault:
    """A fault, which acts at the described moment."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        self.calls = 0
        self.log = open(description["log"], "w") if "log" in description else None  # noqa: SIM115 - until the end
        self.acting = False

    def event(self, name: str, target: str, *, after: bool = False) -> None:
        """Log an event, and act if it is the described one."""
        if self.acting:
            return
        if self.log is not None and not after and target != self.description["log"]:
            print(name, target, sep="\t", file=self.log, flush=True)
        wanted = self.description
        if name != wanted.get("event") or after != wanted.get("after", False) or wanted.get("target", "") not in target:
            return
        self.calls += 1
        if self.calls == wanted["call"]:
            self.strike()

    def strike(self) -> None:
        """Do what the description says."""
        self.acting = True
        if self.description["do"] == "fill":
            fill_disk(Path(self.description["ballast"]), self.description["leave"])
        elif self.description["do"] == "swap":
            shutil.copyfile(self.description["other"], self.description["file"])
        else:
            os.kill(os.getpid(), SIGNALS[self.description["do"]])
        self.acting = False


def fill_disk(ballast: Path, leave: int) -> None:
    """Create a file so large that only `leave` bytes of its disk are free."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
        file.truncate(file.tell() // 4096 * 4096 - leave)


def watch(owner: Any, name: str, event: str, target: Callable[..., str], fault: Fault) -> None:
    """Patch a function so that it reports its calls to the fault."""
    original = getattr(owner, name)

    def told(*args: Any, **kwargs: Any) -> Any:
        where = target(*args)
        fault.event(event, where)
        result = original(*args, **kwargs)
        fault.event(event, where, after=True)
        return result

    setattr(owner, name, told)


def watch_hooks(fault: Fault) -> None:
    """Patch Lightning's hooks so that they report their calls to the fault, once per call of all callbacks."""
    from pytorch_lightning.trainer import call

    original = call._call_callback_hooks

    def told(trainer: Any, hook: str, *args: Any, monitoring_callbacks: bool | None = None, **kwargs: Any) -> None:
        # At the end of an epoch the callbacks are called in two groups.
        first, last = monitoring_callbacks is not True, monitoring_callbacks is not False
        if first:
            fault.event(hook, trainer.default_root_dir)
        original(trainer, hook, *args, monitoring_callbacks=monitoring_callbacks, **kwargs)
        if last:
            fault.event(hook, trainer.default_root_dir, after=True)

    call._call_callback_hooks = told


def watch_audit(fault: Fault) -> None:
    """Report the creation of files and folders to the fault."""

    def told(event: str, args: tuple[Any, ...]) -> None:
        if event == "os.mkdir":
            fault.event("mkdir", str(args[0]))
        elif event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR):
            fault.event("open", str(args[0]))

    sys.addaudithook(told)


def arm(description: dict[str, Any]) -> Fault:
    """Prepare a fault; the program's modules that it patches must be imported already."""
    from pytorch_lightning import Trainer

    fault = Fault(description)
    if "limit" in description:
        resource.setrlimit(resource.RLIMIT_FSIZE, (description["limit"], resource.RLIM_INFINITY))
    if "seconds" in description:
        timer = threading.Timer(description["seconds"], fault.strike)
        timer.daemon = True
        timer.start()
    if "event" in description or "log" in description:
        watch_hooks(fault)
        watch(Trainer, "save_checkpoint", "save_checkpoint", lambda _, path, *__: str(path), fault)
        for name in ("rename", "replace"):
            watch(os, name, "rename", lambda _, target, *__: str(target), fault)
        watch(os, "fsync", "fsync", lambda file: os.readlink(f"/proc/self/fd/{int(file)}"), fault)
        watch_audit(fault)
    return fault


def run_with(description: dict[str, Any], args: list[str]) -> None:
    """Run a command with a fault.

    Args:
        description: Description of the fault.
        args: Arguments of the command.
    """
    import cli
    from pipeline.commands import dispatch as commands  # noqa: F401 - so that seconds count from after it

    fault = arm(description)
    start = time.perf_counter()
    with ExitStack() as errors:
        if "unreadable" in description:
            errors.enter_context(unreadable(description["unreadable"], description["code"]))
        cli.main(args)
    if fault.log is not None:
        fault.acting = True
        print("seconds", time.perf_counter() - start, sep="\t", file=fault.log, flush=True)
