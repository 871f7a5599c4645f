"""The shape of the code base: who imports whom, and a test for every module."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("storage", "datamodules", "lightning_modules", "callbacks", "pipeline")
OURS = {*PACKAGES, "cli", "configs", "stark_main", "tests"}
# What each part may import of ours; `functional` packages are looked at by themselves.
ALLOWED = {
    "storage": {"storage"},
    "datamodules": {"datamodules", "storage"},
    "lightning_modules": {"lightning_modules", "storage"},
    "callbacks": {"callbacks", "datamodules", "lightning_modules", "storage"},
    "pipeline": {"pipeline", "callbacks", "configs", "datamodules", "lightning_modules", "storage"},
    "cli": {"cli", "pipeline"},
    "stark_main": {"cli"},
}


def modules(*packages):
    return [path.relative_to(ROOT) for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


MODULES = [*modules(*PACKAGES), Path("cli.py"), Path("stark_main.py")]
TESTED_MODULES = [path for path in modules(*PACKAGES) if path.name != "__init__.py"]


def imported(path):
    """Dotted names that a file imports, wherever in it."""
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


@pytest.mark.parametrize("path", [path for path in MODULES if "functional" in path.parts], ids=str)
def test_functional_code_imports_only_torch(path):
    for name in imported(path):
        top = name.split(".")[0]
        assert top == "torch" or top in sys.stdlib_module_names or "functional" in name.split("."), name


@pytest.mark.parametrize("path", TESTED_MODULES, ids=str)
def test_every_module_has_its_test(path):
    assert (ROOT / "tests" / path.with_name(f"test_{path.name}")).is_file()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_names_that_are_offered_exist(path):
    module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == []


def test_there_is_something_to_look_at():
    assert {path.parts[0] for path in MODULES} == {*PACKAGES, "cli.py", "stark_main.py"}
    assert sum("functional" in path.parts for path in MODULES) >= 6
