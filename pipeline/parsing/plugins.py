"""Own classes: Python files that a command is given, and the modules that a ``class_path`` may name at all."""

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
PLUGINS_HELP = "Python files with own classes: those of my_losses.py are my_losses.NAME in a class_path"

IMPORTABLE = (
    *("callbacks", "datamodules", "lightning_modules", "stark"),
    *("lightning_fabric", "pytorch_lightning", "torch", "torchmetrics"),
)
"""Packages whose classes any YAML may name. Importing a module runs its code, and the YAML may be somebody else's."""

# The parser asks before it imports, and once more where what it found was defined, as modules import others. What looks
# like a class in a value of any type stays that value.
set_parsing_settings(
    import_path_denylist=["*"], import_path_allowlist=list(IMPORTABLE), instantiate_subclass_spec_in_any=False
)


@dataclass(frozen=True)
class Plugin:
    """A Python file with own classes, imported as a module of its name.

    Attributes:
        path: The file, an absolute path.
        source: Its content when it was imported.
    """

    path: Path
    source: str

    @property
    def digest(self) -> str:
        """Of the content."""
        return hashlib.sha256(self.source.encode()).hexdigest()


_loaded: dict[str, Plugin] = {}


def add_plugins(parser: ArgumentParser) -> None:
    """Let a command that reads a model be given the files that define its family or its kind of label.

    Args:
        parser: The command's parser.
    """
    parser.add_argument(
        "--plugins", type=PluginPaths, default=[], help="Python files that define the model's family or kind of label"
    )


def named_plugins(args: Sequence[str]) -> PluginPaths:
    """Find the plugins that a command line and its YAML files name, before a parser looks for classes in them.

    Args:
        args: The options. What is wrong with them is left to the parser to say.

    Returns:
        The files; as for every option the last place that names any counts.

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
        paths: The files, in this order: a later one may import an earlier one.

    Returns:
        What was imported.

    Raises:
        StarkError: If one has the name of another module, or its own code fails; the traceback is printed then.
        StarkFileNotFoundError: If there is no such file.
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
        # A run's fits are given its copy of the file.
        if known is None or known.source != plugin.source or path.stem not in sys.modules:
            _import(plugin)
            _loaded[path.stem] = plugin
            set_parsing_settings(import_path_allowlist=[path.stem])
    return tuple(found.values())


def plugin_copies(plugins: Sequence[Plugin], folder: Path) -> list[Path]:
    """Where a run's fits find plugins.

    Args:
        plugins: The plugins.
        folder: The folder of the run's copies.

    Returns:
        The paths of the copies.
    """
    return [folder / plugin.path.name for plugin in plugins]


def keep_plugins(plugins: Sequence[Plugin], folder: Path) -> None:
    """Write these copies: plugins as they were imported, whatever becomes of the files during the run.

    Args:
        plugins: The plugins.
        folder: The folder of the run's copies.
    """
    for plugin, copy in zip(plugins, plugin_copies(plugins, folder), strict=True):
        write_text(copy, plugin.source)


def _other_module(path: Path, found: dict[str, Plugin]) -> str | None:
    """Where a module of the same name lies; nothing is imported."""
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
    """Run a plugin's code as a module; from the content that was read, and nothing is written beside it."""
    path = plugin.path
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        exec(compile(plugin.source, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:  # whatever its code raises
        del sys.modules[path.stem]
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None  # without this function
        traceback.print_exception(type(error), error, frames)
        lines = [frame.lineno for frame in traceback.extract_tb(frames) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        raise StarkError(f"plugins: {path}, line {line}: {type(error).__name__}: {error}") from error
