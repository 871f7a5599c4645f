"""Settings and fixtures for all tests."""

import os

# Before transformers is imported: no test may reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

from tests.tasks import TinyTask, make_tiny_task


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
    return make_tiny_task(tmp_path_factory.mktemp("tiny_task"))
