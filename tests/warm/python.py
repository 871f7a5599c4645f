"""Replaces `python` in tests that start commands: a fork of a warm process does the work (see server.py).

Importing torch, Lightning and transformers takes seven seconds of CPU time, far more than most of these commands need.
This file imports little, because it is started each time. The real Python runs everything that it does not handle.
"""

import json
import os
import signal
import socket
import sys

FLAGS = ("-P", "-u")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(real: str, place: str, own: str, *arguments: str) -> None:
    """Send arguments, folder, environment and streams, forward signals, and end with the status of the fork.

    Args:
        real: Path of the real Python.
        place: Path of the server's socket.
        own: Path of this script's command, which is the fork's `sys.executable`.
        arguments: Arguments of `python`.
    """
    rest = list(arguments)
    while rest and rest[0] in FLAGS:
        del rest[0]
    if not rest or (rest[0].startswith("-") and rest[0] not in ("-c", "-m")):
        os.execv(real, [real, *arguments])
    asked = {
        "arguments": rest,
        "environment": dict(os.environ),
        "executable": own,
        "folder": os.getcwd(),
        "parent": os.getppid(),
        "safe": "-P" in arguments[: len(arguments) - len(rest)] or bool(os.environ.get("PYTHONSAFEPATH")),
    }
    content = json.dumps(asked).encode()
    # The fork may print, and a test send a signal, before this process knows to whom to forward it: the signal waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        socket.send_fds(server, [len(content).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(content)
        answers = server.makefile("r")
        number = int(answers.readline())
        for signum in SIGNALS:
            signal.signal(signum, lambda signum, _: os.kill(number, signum))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        status = int(answers.readline())
    if status < 0:  # ended by a signal, as the fork was
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
