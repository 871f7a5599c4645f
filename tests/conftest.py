"""Settings and fixtures for all tests."""

import os

import pytest

# Before transformers is imported: no test may reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def tiny_task(tmp_path_factory):
    """Folders that fits read and never write; see tests.tasks."""
    from tests.tasks import make_tiny_task  # torch and Lightning take seconds to import

    return make_tiny_task(tmp_path_factory.mktemp("tiny_task"))
