"""README's ways to install: the installed package works without the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("callbacks", "configs", "datamodules", "lightning_modules", "pipeline", "stark")
SOURCES = (*PACKAGES, "cli.py", "stark_main.py", "setup.cfg")
DOCUMENTS = ("pyproject.toml", "README.md", "LICENSE", "Makefile", "constraints.txt")
# The folders of the installed libraries, without the checkout.
LIBRARIES = [path for path in sys.path if Path(path).name == "site-packages"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLING = README.partition("\n## Installing\n")[2].partition("\n## ")[0]
BY_MAKE, FROM_SOURCE, BY_WHEEL = re.findall(r"^```console\n(.*?)^```$", INSTALLING, re.MULTILINE | re.DOTALL)


@pytest.fixture
def source(tmp_path):
    """A copy of the source in a folder whose name has a space, so that no file is written into the checkout."""
    return copy_to(tmp_path / "the source")


def copy_to(folder):
    folder.mkdir()
    for name in (*SOURCES, *DOCUMENTS):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def fresh(folder):
    """Make an environment without stark but with the libraries, because installing these would take minutes."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site_packages(folder) / "libraries.pth").write_text("\n".join(LIBRARIES))
    return folder


def site_packages(environment):
    return Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))


def follow(commands, folder, **variables):
    """Run commands of the README unchanged; pip finds the installed libraries and uses no network."""
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # make sets some of these if it runs the tests; the inner make would then print each folder that it enters.
    others = ("PYTHONPATH", "VIRTUAL_ENV", "MAKELEVEL", "MAKEFLAGS", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    return subprocess.run(
        ["bash", "-ec", commands],
        cwd=folder,
        env={**environment, **offline, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def path_with(environment):
    return f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment with the wheel, made by the README's commands, and without the source."""
    folder = tmp_path_factory.mktemp("by wheel")
    source, environment = copy_to(folder / "source"), fresh(folder / "environment")
    done = follow(BY_WHEEL, source, PATH=path_with(environment))
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(source)
    return environment


@pytest.fixture(scope="module")
def installed(environment):
    return site_packages(environment)


def check_command(environment, folder, code_in):
    """Check that stark is installed and runs the expected code."""
    code = (
        "import cli, pipeline.commands.dispatch; print(cli.__file__, pipeline.commands.dispatch.__file__, sep=chr(10))"
    )
    done = follow(f"stark report --help; python -c '{code}'", folder, PATH=path_with(environment))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: stark report")
    assert done.stdout.splitlines()[-2:] == [str(code_in / "cli.py"), str(code_in / "pipeline/commands/dispatch.py")]


@pytest.mark.slow
def test_by_make(source, tmp_path):
    # The Makefile creates an environment, whose pip finds the libraries by PYTHONPATH.
    done = follow(f"{BY_MAKE}\ncommand -v stark", source, PYTHON=sys.executable, PYTHONPATH=os.pathsep.join(LIBRARIES))
    assert done.returncode == 0, done.stdout + done.stderr
    told, installed, command = done.stdout.splitlines()
    assert re.fullmatch(r"Installing \d{3} packages, pinned in constraints.txt, into .venv: .*", told)
    assert installed.startswith("Installed")
    assert command == str(source / ".venv/bin/stark")
    (site_packages(source / ".venv") / "libraries.pth").write_text("\n".join(LIBRARIES))
    check_command(source / ".venv", tmp_path, source)
    assert follow("make venv", source).stdout == "make: Nothing to be done for 'venv'.\n"


@pytest.mark.slow
def test_from_the_source(source, tmp_path):
    environment = fresh(tmp_path / "environment")
    done = follow(FROM_SOURCE, source, PATH=path_with(environment))
    assert done.returncode == 0, done.stdout + done.stderr
    check_command(environment, tmp_path, site_packages(environment))


@pytest.mark.slow
def test_by_wheel(environment, tmp_path):
    check_command(environment, tmp_path, site_packages(environment))


def test_every_extra_is_listed():
    lines = (ROOT / "setup.cfg").read_text().partition("[options.extras_require]\n")[2].partition("\n[")[0].splitlines()
    extras = {line.removesuffix(" =") for line in lines if line.endswith(" =")}
    cells = re.findall(r"^\| (`\[.*?) \|", INSTALLING, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`\[(\w+)\]`", cell)} == extras


def test_nothing_is_said_to_be_on_a_registry():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    pages += [path for package in PACKAGES for path in (ROOT / package).rglob("*.*") if path.suffix in (".py", ".md")]
    said = [path for path in pages if re.search(r"pip install '?stark", path.read_text(encoding="utf-8"))]
    assert said == []


@pytest.mark.slow
def test_has_every_config_and_no_tests(installed):
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert (installed / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    assert not (installed / "tests").exists()


@pytest.mark.slow
def test_has_every_template_and_module(installed):
    templates = [path for path in (ROOT / "pipeline").rglob("*") if path.suffix in (".html", ".md")]
    assert len(templates) == 3
    for path in templates:
        assert (installed / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    for package in ("callbacks", "datamodules", "lightning_modules", "pipeline", "stark"):
        for path in (ROOT / package).rglob("*.py"):
            assert (installed / path.relative_to(ROOT)).is_file()


@pytest.mark.slow
def test_a_configuration_is_read_from_the_wheel(environment, tmp_path):
    layers = "--config configs/distill.yaml --config configs/task/rte.yaml"
    done = follow(f"stark fit {layers} --print_config", tmp_path, PATH=path_with(environment))
    assert done.returncode == 0, done.stderr
    assert "class_path: lightning_modules.DistillationModule" in done.stdout
    assert "task: rte" in done.stdout
