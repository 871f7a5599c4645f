"""Packages whose names are imported on first use."""

import importlib
import pickle
import sys

import pytest

from stark.storage.lazy import lazy_names

INIT = '''"""A package."""
from typing import TYPE_CHECKING

from stark.storage.lazy import lazy_names

if TYPE_CHECKING:
    from lazily.first import A, b
    from lazily.second import C
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["A", "C", "b"]
'''


@pytest.fixture
def lazily(tmp_path, monkeypatch):
    folder = tmp_path / "lazily"
    folder.mkdir()
    (folder / "__init__.py").write_text(INIT)
    (folder / "first.py").write_text("class A: pass\nb = []\n")
    (folder / "second.py").write_text("C = 3\nhidden = 4\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield importlib.import_module("lazily")
    for name in set(sys.modules) - before:
        del sys.modules[name]


def loaded():
    return {name for name in sys.modules if name.startswith("lazily.")}


def test_asking_for_a_name_imports_its_module_alone(lazily):
    assert loaded() == set()
    assert lazily.C == 3
    assert loaded() == {"lazily.second"}
    from lazily import A

    assert A is sys.modules["lazily.first"].A
    assert lazily.b is sys.modules["lazily.first"].b


def test_a_module_of_the_package_imports_no_other(lazily):
    import lazily.second as found

    assert found.hidden == 4
    assert loaded() == {"lazily.second"}


def test_what_was_found_stays(lazily, monkeypatch):
    found = lazily.b
    monkeypatch.setattr("lazily.first.b", "another")
    assert lazily.b is found


def test_all_can_be_had_at_once(lazily):
    found: dict[str, object] = {}
    exec("from lazily import *", found)
    assert {"A", "C", "b"} <= set(found)


def test_other_names_are_missing_as_in_any_module(lazily):
    with pytest.raises(AttributeError, match="module 'lazily' has no attribute 'hidden'"):
        lazily.hidden  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'D'"):
        from lazily import D  # noqa: F401
    assert loaded() == set()


def test_names_are_listed(lazily):
    assert {"A", "C", "b", "__all__", "__name__"} <= set(dir(lazily))
    assert loaded() == set()


def test_classes_are_pickled_by_their_module(lazily):
    assert b"lazily.first" in pickle.dumps(lazily.A)
    assert pickle.loads(pickle.dumps(lazily.A)) is lazily.A


@pytest.mark.parametrize("package", ["callbacks", "datamodules", "stark.storage"])
def test_each_name_that_is_read_is_offered(package):
    find, _ = lazy_names(package)
    offered = importlib.import_module(package).__all__
    found = [name for name in dir(importlib.import_module(package)) if not name.startswith("_") and name in offered]
    assert sorted(found) == sorted(offered)
    with pytest.raises(AttributeError):
        find("no_such_name")
