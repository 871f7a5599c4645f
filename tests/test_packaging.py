"""An installed wheel works without the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("callbacks", "configs", "datamodules", "lightning_modules", "pipeline", "storage")
SOURCES = (*PACKAGES, "cli.py", "stark_main.py", "setup.cfg")
DOCUMENTS = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The unpacked wheel, built from a copy so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in (*SOURCES, *DOCUMENTS):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(folder / "source")], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    shutil.rmtree(folder / "source")
    return folder / "installed"


def test_has_every_config_and_no_tests(installed):
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert (installed / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    assert not (installed / "tests").exists()


def test_has_every_template_and_module(installed):
    templates = [path for path in (ROOT / "pipeline").rglob("*") if path.suffix in (".html", ".md")]
    assert len(templates) == 3
    for path in templates:
        assert (installed / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    for package in ("callbacks", "datamodules", "lightning_modules", "pipeline", "storage"):
        for path in (ROOT / package).rglob("*.py"):
            assert (installed / path.relative_to(ROOT)).is_file()


def test_command_runs_from_the_wheel(installed, tmp_path):
    code = (
        "import sys, stark_main, cli; assert cli.__file__.startswith(sys.argv.pop(1)), cli.__file__; stark_main.main()"
    )
    layers = ["--config", "configs/distill.yaml", "--config", "configs/task/rte.yaml"]
    done = subprocess.run(
        [sys.executable, "-c", code, str(installed), "fit", *layers, "--print_config"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "class_path: lightning_modules.DistillationModule" in done.stdout
    assert "task: rte" in done.stdout
