"""Fixtures of the pipeline's tests."""

import shutil
from pathlib import Path

import pytest

from cli import main
from pipeline.commands.run import read_settings
from pipeline.execution.manifest import Manifest
from pipeline.report import measuring, usable
from pipeline.report.using import Uses
from pipeline.results.measurements import Use
from pipeline.stages import distil
from stark.forward.latency import Latency
from tests.pipeline.runs import options

USE = Use("abc", p50=2.0, p95=3.0, p99=4.0, rows_per_second=100.0, cold_start=5.0, megabytes=6.0, cores=1)
"""What the fixture `quick` takes for a measurement of real rows."""


@pytest.fixture(scope="session")
def simple_run(tiny_task, tmp_path_factory):
    """A finished run with simple alternatives. Copy it before you change it."""
    folder = tmp_path_factory.mktemp("simple_runs")
    more = ("--baselines", "[simple]", "--search.mode", "none", "--teacher.sparsities", "[0.2]")
    main([*options(tiny_task, folder), *more, "--distillation.epochs", "1"])
    return folder / "tiny"


@pytest.fixture(scope="session")
def pruned_run(tiny_task, tmp_path_factory):
    """A finished run with a pruned student. Copy it before you change it."""
    folder = tmp_path_factory.mktemp("runs")
    main(options(tiny_task, folder))
    return folder / "tiny"


@pytest.fixture
def settings(tiny_task):
    data = f"--data.data_dir {tiny_task.data_dir} --data.cache_dir {tiny_task.cache} --data.task sst2".split()
    options = ["--student.sparsity", "0.5", "--data.batch_size", "16", "--seed", "1"]
    return read_settings(["--model_name_or_path", str(tiny_task.encoder), *options, *data])[0]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(measuring, "measure_latency", lambda models, *_: dict.fromkeys(models, Latency(2.0, 1.0, 4.0)))
    monkeypatch.setattr(measuring, "_memory", lambda *_: 123.0)
    monkeypatch.setattr(measuring, "keep_session", lambda *_: None)  # other tests use the run, too
    monkeypatch.setattr(usable, "quantised", lambda *_, **__: {})
    monkeypatch.setattr(usable, "measure_uses", lambda _, folders, __: Uses("noon", dict.fromkeys(folders, USE)))


@pytest.fixture
def trained(monkeypatch):
    """The distillations in their order, each with its folder and the epoch after which it pauses."""
    found, original = [], distil.distill

    def distill(settings, folder, teacher, student, watch, resume=False, pause_after=None):
        found.append((folder.relative_to(settings.folder).as_posix(), pause_after))
        original(settings, folder, teacher, student, watch, resume, pause_after)

    monkeypatch.setattr("pipeline.stages.distil.distill", distill)
    return found


@pytest.fixture
def scored(pruned_run, tiny_task, tmp_path, monkeypatch):
    """A copy of a run up to its scores, which is the part that all search modes share."""
    folder = Path(shutil.copytree(pruned_run, tmp_path / "tiny"))
    for name in ("distill", "student"):
        shutil.rmtree(folder / name)
    manifest = Manifest.read(folder)
    manifest.forget({name for name in manifest.stages if name.startswith("distill/")} | {"evaluate", "student"})
    manifest.write()
    return folder
