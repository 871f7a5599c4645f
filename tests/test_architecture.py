"""The structure of the code base: allowed imports, no import cycles, and a test for every module."""

import ast
import importlib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stark", "datamodules", "lightning_modules", "callbacks", "pipeline")
OURS = {*PACKAGES, "cli", "configs", "stark_main", "tests"}
# The packages of this project that each package may import.
ALLOWED = {
    "stark": {"stark"},
    "datamodules": {"datamodules", "stark"},
    "lightning_modules": {"lightning_modules", "stark"},
    "callbacks": {"callbacks", "datamodules", "lightning_modules", "stark"},
    "pipeline": {"pipeline", "callbacks", "configs", "datamodules", "lightning_modules", "stark"},
    "cli": {"cli", "pipeline"},
    "stark_main": {"cli"},
}
# The folders of a package: each may import from itself and from the folders before it.
ROOMS = {
    "stark": (
        *("storage", "problems", "encoders", "forward", "model_folders", "vocabulary", "schedules", "losses"),
        *("budgets", "scores"),
    ),
    "pipeline": (
        *("parsing", "fits", "executors", "execution", "results", "alternatives", "search", "stages", "method"),
        *("deploy", "report", "describing", "shrinking", "sweep", "commands"),
    ),
    "datamodules": ("tasks", "sources", "tokens", "batches", "changes"),
}
# Libraries that a package must not import, so that it can be used without them.
WITHOUT = {"stark": {"pytorch_lightning", "lightning_fabric", "datasets", "jsonargparse"}}


# Folders of similar files that one test covers.
TESTED_TOGETHER = {
    "pipeline/alternatives": "tests/pipeline/alternatives/test_alternatives.py",
    "datamodules/changes": "tests/datamodules/changes/test_changed.py",
    "pipeline/commands": "tests/pipeline/commands/test_every_command.py",
    "pipeline/executors": "tests/pipeline/executors/test_elsewhere.py",
    "pipeline/deploy/export": "tests/pipeline/deploy/export/test_export.py",
    "pipeline/deploy/predict_file": "tests/pipeline/deploy/predict_file/test_predict_file.py",
    "stark/encoders/families": "tests/stark/encoders/test_family.py",
    "pipeline/stages": "tests/pipeline/test_run.py",
}


def modules(*packages):
    return [path.relative_to(ROOT) for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


MODULES = [*modules(*PACKAGES), Path("cli.py"), Path("stark_main.py")]
TESTED_MODULES = [path for path in modules(*PACKAGES) if path.name != "__init__.py"]


def dotted(path):
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


NAMES = {dotted(path): path for path in MODULES}


def imported(path):
    """Dotted names of all imports in a file, also those inside functions."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_one_way(path):
    found = {name.split(".")[0] for name in imported(path)} & OURS
    assert found <= ALLOWED[path.with_suffix("").parts[0]]


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] in ROOMS and len(path.parts) > 2], ids=str)
def test_rooms_import_from_those_below(path):
    package, room = path.parts[:2]
    below = ROOMS[package][: ROOMS[package].index(room) + 1]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == package and len(parts) > 1 and parts[1] in ROOMS[package]:
            assert parts[1] in below, f"{path} imports {name}"


def test_all_rooms_but_parsing_may_import_the_places_of_a_run():
    found = {name for name in imported(Path("pipeline/run_folder.py")) if name.split(".")[0] in OURS}
    assert [name for name in found if not name.startswith(("stark", "pipeline.parsing"))] == []
    parsing = {name for path in MODULES if path.parts[:2] == ("pipeline", "parsing") for name in imported(path)}
    assert "pipeline.run_folder" not in parsing


@pytest.mark.parametrize("package", ROOMS)
def test_every_folder_is_a_room(package):
    assert {path.parts[1] for path in modules(package) if len(path.parts) > 2} == set(ROOMS[package])


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] in WITHOUT], ids=str)
def test_heavy_libraries_stay_above(path):
    assert {name.split(".")[0] for name in imported(path)} & WITHOUT[path.parts[0]] == set()


def test_there_is_no_circle():
    TopologicalSorter({name: (imported(path) & NAMES.keys()) - {name} for name, path in NAMES.items()}).prepare()


@pytest.mark.parametrize("path", TESTED_MODULES, ids=str)
def test_every_module_has_its_test(path):
    together = TESTED_TOGETHER.get(path.parent.as_posix(), "nothing")
    assert (ROOT / "tests" / path.with_name(f"test_{path.name}")).is_file() or (ROOT / together).is_file()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_names_that_are_offered_exist(path):
    module = importlib.import_module(dotted(path))
    assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == []


def test_there_is_something_to_look_at():
    assert {path.parts[0] for path in MODULES} == {*PACKAGES, "cli.py", "stark_main.py"}
    assert len(MODULES) > 100
