"""Errors of the system that pass, simulated where Python and its libraries meet them."""

from __future__ import annotations

import builtins
import errno
import fnmatch
import io
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

PASSING = (errno.EMFILE, errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOMEM)

# Each takes a path first.
_CALLS = ("open", "stat", "listdir", "scandir")


@contextmanager
def unreadable(name: str, code: int) -> Iterator[None]:
    """Let everything that Python asks the system about certain paths fail.

    Args:
        name: How the paths end, a pattern such as ``cache/*.safetensors``.
        code: The error's number.
    """

    def failing(call: Callable[..., Any]) -> Callable[..., Any]:
        def fail(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            if isinstance(path, str | os.PathLike) and fnmatch.fnmatch(str(os.fspath(path)).rstrip("/"), f"*{name}"):
                raise OSError(code, os.strerror(code), os.fspath(path))
            return call(path, *args, **kwargs)

        return fail

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(builtins, "open", failing(open)))
        patches.enter_context(mock.patch.object(io, "open", failing(io.open)))
        for call in _CALLS:
            patches.enter_context(mock.patch.object(os, call, failing(getattr(os, call))))
        yield


@contextmanager
def few_descriptors(free: int) -> Iterator[None]:
    """Leave this process so many file descriptors.

    Args:
        free: How many more files it can open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 1, hard))
    taken = []
    try:
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for _ in range(free):
            os.close(taken.pop())
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
