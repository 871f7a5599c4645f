"""Settings and fixtures for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Set before transformers is imported, so that no test can reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from filelock import FileLock

from tests.warm import start_warm

if TYPE_CHECKING:  # the process that only distributes tests need not import torch
    from tests.tasks import TinyTask


def pytest_configure(config) -> None:
    """Hide GPUs except from the tests marked `gpu`.

    GPUs give results with other bits, and Lightning warns if they are not used. The processes that tests start inherit
    this setting.
    """
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture
def unscored(monkeypatch) -> None:
    """Let only the callback `Scored` log `val/score`."""
    monkeypatch.setattr("lightning_modules.base.ClassificationModule._log_metrics", lambda *_: float("nan"))


@pytest.fixture(scope="session")
def tiny_task(tmp_path_factory) -> TinyTask:
    """Sample data, a random encoder, and a teacher with a head for it."""
    from tests.tasks import make_tiny_task

    return make_tiny_task(tmp_path_factory.mktemp("tiny_task"))


@pytest.fixture(scope="session")
def warm(tmp_path_factory) -> Path:
    """Folder of a `python` and a `stark` that run as forks of a warm process, shared by all workers; see tests/warm."""
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
    """Run commands that the test or our code starts with `sys.executable` as forks of a warm process."""
    monkeypatch.setattr(sys, "executable", str(warm / "python"))
