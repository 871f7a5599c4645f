"""A finished and an unfinished run, and their pages; latency measurements are replaced, because they take time."""

import shutil

import pytest

from pipeline.execution.manifest import Manifest
from pipeline.report.page import write_page
from pipeline.report.reading import read_run
from pipeline.report.run_page import page_of_run


@pytest.fixture
def unfinished(pruned_run, tmp_path):
    """A run in its state between the trial and the scoring."""
    run = tmp_path / "unfinished"
    shutil.copytree(pruned_run, run, ignore=shutil.ignore_patterns("sparsify", "distill", "summary.json"))
    manifest = Manifest.read(run)
    manifest.forget(manifest.stages.keys() - {"finetune", "prune", "trial"})
    manifest.write()
    return run


@pytest.fixture
def report(pruned_run, tmp_path, quick):
    """HTML and Markdown of the finished run."""
    return write_page(page_of_run(read_run(pruned_run)), tmp_path / "pages/report.html")
