"""A process that has imported everything, and forks for each command that python.py sends.

It computes nothing itself, so that a fork starts without threads and without used random numbers. A fork does what
`python` would do with the same arguments: it runs the file, module or text as ``__main__``. Before that, it calls
`before` of the module that STARK_TESTS_BEFORE names, so that a test can change what a command does.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import threading
import types
from typing import Any, NoReturn


def serve(place: str, owner: int) -> dict[str, Any] | None:
    """Serve commands while the owner lives.

    Args:
        place: Path of the socket to create; it is ready when standard output is closed.
        owner: Process id of the owner.

    Returns:
        In a fork, the command to run; None in the server, when the owner has ended.
    """
    import torch.distributed.run  # noqa: F401
    import transformers.models.bert.modeling_bert  # noqa: F401  # otherwise imported on first use

    # The modules that commands import when they run, and with them torch, Lightning and transformers.
    for module in (
        *(
            "pipeline.deploy.export.export",
            "pipeline.deploy.predict_file.predict_file",
            "pipeline.deploy.serve",
            "pipeline.report.card",
        ),
        *("pipeline.fits.lightning_cli", "pipeline.report.run_page", "pipeline.report.runs_page", "pipeline.run"),
        "stark.model_folders.sample_encoder",
    ):
        importlib.import_module(module)

    gc.collect()
    gc.freeze()  # a fork's garbage collections do not touch these objects
    if threading.active_count() > 1:
        raise RuntimeError(f"a fork would lack the threads {threading.enumerate()}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the server does not wait for the watchers
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen(64)
        nowhere = os.open(os.devnull, os.O_RDWR)
        print("ready", flush=True)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        lives = os.pidfd_open(owner)
        while lives not in select.select([listening, lives], [], [])[0]:
            client = listening.accept()[0]
            if os.fork() == 0:
                listening.close()
                os.close(lives)
                return _watch(client)
            client.close()
    return None


def _watch(client: socket.socket) -> dict[str, Any]:
    """Fork once more, and send the client the fork's process id and status. If the client is killed, kill the fork."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    header, streams, *_ = socket.recv_fds(client, 8, 3)
    with client.makefile("rb") as file:
        asked = json.loads(file.read(int.from_bytes(header, "big")))
    number = os.fork()
    if number == 0:
        client.close()
        for own, stream in enumerate(streams):
            os.dup2(stream, own)
            os.close(stream)
        return asked
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    try:
        client.sendall(f"{number}\n".encode())
        ended = os.pidfd_open(number)
        lost = ended not in select.select([ended, client], [], [])[0]
    except OSError:
        lost = True
    if lost:
        os.kill(number, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
    with contextlib.suppress(OSError):
        client.sendall(f"{status}\n".encode())
    os._exit(0)


def become(asked: dict[str, Any]) -> None:
    """Turn this fork into the requested process: environment, folder and path, and then its ``__main__``."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    os.getppid = lambda: asked["parent"]
    sys.executable = asked["executable"]
    random.seed()
    if threads := os.environ.get("OMP_NUM_THREADS"):
        import torch

        torch.set_num_threads(int(threads))
    # These modules read the rank when they are imported; processes other than the first do not warn.
    rank = int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0)
    for module in ("lightning_utilities.core.rank_zero", "torchmetrics.utilities.prints"):
        sys.modules[module].rank_zero_only.rank = rank
    first, *rest = asked["arguments"]
    sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if not asked["safe"]:
        sys.path.insert(0, {"-c": "", "-m": asked["folder"]}.get(first, os.path.dirname(os.path.realpath(first))))
    if name := os.environ.get("STARK_TESTS_BEFORE"):
        importlib.import_module(name).before()
    if first == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = asked["arguments"]
        runpy.run_path(first, run_name="__main__")


def end(status: object) -> NoReturn:
    """End as Python does, but without freeing all objects, which takes a second.

    Args:
        status: Code of `SystemExit`.
    """
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    code = int(status or 0)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            code = 120
    os._exit(code)


if __name__ == "__main__":
    if (asked := serve(sys.argv[1], int(sys.argv[2]))) is not None:
        try:
            become(asked)
        except SystemExit as stop:
            end(stop.code)
        end(0)
