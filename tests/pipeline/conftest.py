"""Fixtures of the pipeline's tests."""

import pytest

from cli import main
from tests.pipeline.runs import options


@pytest.fixture(scope="session")
def pruned_run(tiny_task, tmp_path_factory):
    """A finished run with a pruned student; to be copied before it is changed."""
    folder = tmp_path_factory.mktemp("runs")
    main(options(tiny_task, folder))
    return folder / "tiny"
