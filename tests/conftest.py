"""Settings and fixtures for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Before transformers is imported: no test may reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from filelock import FileLock

from tests.warm import start_warm

if TYPE_CHECKING:  # the process that only hands tests to others need not wait for torch
    from tests.tasks import TinyTask


def pytest_configure(config) -> None:
    """Hide GPUs, whose results have other bits and of which Lightning warns that they lie idle, but from their tests.

    The processes that tests start inherit it.
    """
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture
def unscored(monkeypatch) -> None:
    """Leave `val/score` to the callback Scored."""
    monkeypatch.setattr("lightning_modules.base.ClassificationModule._log_metrics", lambda *_: float("nan"))


@pytest.fixture(scope="session")
def tiny_task(tmp_path_factory) -> TinyTask:
    """Sample data, a random encoder, and a teacher with a head for it."""
    from tests.tasks import make_tiny_task

    return make_tiny_task(tmp_path_factory.mktemp("tiny_task"))


@pytest.fixture(scope="session")
def warm(tmp_path_factory) -> Path:
    """Folder of a `python` and a `stark` that are forks of a warm process, one for all workers; see tests/warm."""
    base, owner = tmp_path_factory.getbasetemp(), os.getpid()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base, owner = base.parent, os.getppid()
    folder = base / "warm"
    with FileLock(base / "warm.lock"):
        if not folder.exists():
            folder.mkdir()
            return start_warm(folder, owner)
    return folder / "bin"


@pytest.fixture
def warm_python(warm, monkeypatch) -> None:
    """Let commands that the test or our code starts with `sys.executable` be forks of a warm process."""
    monkeypatch.setattr(sys, "executable", str(warm / "python"))
