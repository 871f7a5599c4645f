"""Plugins: Python files with a user's own classes, and the modules that a ``class_path`` may name."""

from __future__ import annotations

import hashlib
import importlib.util
import keyword
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser, set_parsing_settings

from pipeline.parsing.yaml_text import load_yaml, read_yaml_text
from stark.errors import StarkError, StarkFileNotFoundError
from stark.storage import write_text

__all__ = [
    "IMPORTABLE",
    "PLUGINS_HELP",
    "Plugin",
    "PluginPaths",
    "add_plugins",
    "keep_plugins",
    "load_plugins",
    "named_plugins",
    "plugin_copies",
]

PluginPaths = list[str] | str
PLUGINS_HELP = "Python files with your own classes; in a class_path, a class of my_losses.py is my_losses.NAME"

IMPORTABLE = (
    *("callbacks", "datamodules", "lightning_modules", "stark"),
    *("lightning_fabric", "pytorch_lightning", "torch", "torchmetrics"),
)
"""Packages whose classes any YAML may name. There are no others, because importing a module runs its code, and the
YAML may come from an untrusted source."""

# The parser checks a path before it imports it, and then the module that defines the imported object, because modules
# import other modules. In a value of any type, a mapping that looks like a class stays a mapping.
set_parsing_settings(
    import_path_denylist=["*"], import_path_allowlist=list(IMPORTABLE), instantiate_subclass_spec_in_any=False
)


@dataclass(frozen=True)
class Plugin:
    """A Python file with a user's own classes, imported as a module of the same name.

    Attributes:
        path: Absolute path of the file.
        source: Content of the file when it was imported.
    """

    path: Path
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.source.encode()).hexdigest()


_loaded: dict[str, Plugin] = {}


def add_plugins(parser: ArgumentParser) -> None:
    """Add the option ``--plugins`` to a command that reads a model, for the model's family or kind of label.

    Args:
        parser: The command's parser.
    """
    parser.add_argument(
        "--plugins", type=PluginPaths, default=[], help="Python files that define the model's family or kind of label"
    )


def named_plugins(args: Sequence[str]) -> PluginPaths:
    """Find the plugins that a command line and its YAML files name, before a parser needs their classes.

    Args:
        args: The options. Errors in them are ignored here; the parser reports them.

    Returns:
        The files. As for every option, the last value counts.

    Examples:
        >>> named_plugins(["--model", "mine.Model", "--plugins=[mine.py, other.py]"])
        ['mine.py', 'other.py']
    """
    found: PluginPaths = []
    for name, value in _options(args):
        try:
            config = load_yaml(value if name == "plugins" or not Path(value).exists() else read_yaml_text(Path(value)))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if name == "config":
            config = config.get("plugins") if isinstance(config, dict) else None
        if isinstance(config, str) or (isinstance(config, list) and all(isinstance(item, str) for item in config)):
            found = config
    return found


def _options(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, arg in enumerate(args):
        name, given, value = arg.partition("=")
        name = {"-c": "config", "--config": "config", "--plugins": "plugins"}.get(name, "")
        if name and (given or number + 1 < len(args)):
            yield name, value if given else args[number + 1]


def load_plugins(paths: PluginPaths) -> tuple[Plugin, ...]:
    """Import plugins, so that ``class_path: my_losses.MyLoss`` names a class of ``my_losses.py``.

    Args:
        paths: The files, in the order of their import: a later file may import an earlier one.

    Returns:
        The plugins.

    Raises:
        StarkError: If a file has the name of another module, or its code fails; then its traceback is printed.
        StarkFileNotFoundError: If a file does not exist.
    """
    found: dict[str, Plugin] = {}
    for path in dict.fromkeys(Path(path).absolute() for path in ([paths] if isinstance(paths, str) else paths)):
        if path.suffix != ".py" or not path.stem.isidentifier() or keyword.iskeyword(path.stem):
            raise StarkError(f"plugins: {path}: give a Python file whose name can be a module's, such as my_losses.py")
        if not path.is_file():
            raise StarkFileNotFoundError(f"plugins: {path}: no such file")
        if (other := _other_module(path, found)) is not None:
            raise StarkError(f"plugins: {path} has the name of another module, {other}: rename the file")
        found[path.stem] = plugin = Plugin(path, read_yaml_text(path))
        known = _loaded.get(path.stem)
        # A loaded plugin may be given again with another path: a run's fits get the run's copy of the file.
        if known is None or known.source != plugin.source or path.stem not in sys.modules:
            _import(plugin)
            _loaded[path.stem] = plugin
            set_parsing_settings(import_path_allowlist=[path.stem])
    return tuple(found.values())


def plugin_copies(plugins: Sequence[Plugin], folder: Path) -> list[Path]:
    """Return the paths of a run's copies of plugins, which its fits import.

    Args:
        plugins: The plugins.
        folder: The folder of the run's copies.

    Returns:
        The paths of the copies.
    """
    return [folder / plugin.path.name for plugin in plugins]


def keep_plugins(plugins: Sequence[Plugin], folder: Path) -> None:
    """Write a run's copies of plugins, with the content that was imported: the files may change during the run.

    Args:
        plugins: The plugins.
        folder: The folder of the run's copies.
    """
    for plugin, copy in zip(plugins, plugin_copies(plugins, folder), strict=True):
        write_text(copy, plugin.source)


def _other_module(path: Path, found: dict[str, Plugin]) -> str | None:
    """The location of another module with the same name, or None; nothing is imported."""
    name = path.stem
    if name in found:
        return str(found[name].path)
    if name in _loaded:
        return None
    if name in sys.stdlib_module_names:
        return "of Python's own library"
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or Path(spec.origin).resolve() == path.resolve():
        return None
    return spec.origin


def _import(plugin: Plugin) -> None:
    """Run a plugin's code as a module, from the content that was read; no bytecode file is written."""
    path = plugin.path
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        exec(compile(plugin.source, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:  # a plugin's code can raise any exception
        del sys.modules[path.stem]
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None  # without this function
        traceback.print_exception(type(error), error, frames)
        lines = [frame.lineno for frame in traceback.extract_tb(frames) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        raise StarkError(f"plugins: {path}, line {line}: {type(error).__name__}: {error}") from error
