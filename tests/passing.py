"""Simulates temporary errors of the operating system in the calls of Python and its libraries."""

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

# The first argument of each is a path.
_CALLS = ("open", "stat", "listdir", "scandir")


@contextmanager
def unreadable(name: str, code: int) -> Iterator[None]:
    """Let all of Python's system calls on certain paths fail.

    Args:
        name: Pattern of the paths' ends, such as ``cache/*.safetensors``.
        code: Error number (errno).
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
    """Limit the file descriptors that this process has left.

    Args:
        free: Number of files that it can still open.
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
