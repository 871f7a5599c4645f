"""Users' classes by --plugins, and modules that no YAML may import."""

import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from jsonargparse import Namespace

from cli import main
from pipeline.commands.dispatch import find_configs
from pipeline.commands.run import read_settings
from pipeline.fits.lightning_cli import StarkCLI
from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import keep_plugins, load_plugins, named_plugins
from pipeline.run_folder import RunFolder
from pipeline.stages.finetune import finetune
from tests.pipeline.runs import options

LOSS = """
from lightning_modules import FinetuningModule

class OwnLoss(FinetuningModule):
    factor = 2

    def __init__(self, scale: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A current folder with a plugin, a module that no YAML may import, and a path that has both."""
    (tmp_path / "own_losses.py").write_text(LOSS)
    (tmp_path / "foreign.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n{LOSS}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("own_losses", "foreign"):
        sys.modules.pop(name, None)


@pytest.fixture
def fit(tiny_task):
    """Options of a fit, without a model."""
    return [
        *("--data.task", "sst2", "--data.data_dir", str(tiny_task.data_dir), "--data.cache_dir", str(tiny_task.cache)),
        *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
        *("--trainer.fast_dev_run", "1", "--model.model_name_or_path", str(tiny_task.encoder)),
    ]


def error_of(args, capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("stark: error: "))
    return line


@pytest.fixture
def untrained(monkeypatch):
    """Create all objects of a fit, but do not run it."""
    monkeypatch.setattr(StarkCLI, "_run_subcommand", lambda *_: None)


@pytest.mark.usefixtures("untrained")
def test_a_class_of_a_plugin_is_found(place, fit):
    cli = StarkCLI(["fit", "--model", "own_losses.OwnLoss", "--model.scale", "3", *fit, "--plugins", "own_losses.py"])
    assert (type(cli.model).__name__, cli.model.factor, cli.model.scale) == ("OwnLoss", 2, 3.0)
    # The saved path is absolute, so that it works in another folder.
    assert cli.config.fit.plugins == [str(place / "own_losses.py")]
    assert not list(place.rglob("*.pyc"))


@pytest.mark.usefixtures("untrained")
def test_a_yaml_names_plugins_for_every_command(place, fit):
    Path("own.yaml").write_text("model: own_losses.OwnLoss\nplugins: [own_losses.py]\n")
    for command in ("validate", "test", "predict"):
        cli = StarkCLI([command, "--config=own.yaml", *fit])
        assert type(cli.model).__name__ == "OwnLoss"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], []),
        (["--plugins", "a.py"], "a.py"),
        (["--config", "one.yaml", "--plugins=[b.py]"], ["b.py"]),
        (["-c", "one.yaml", "--config=two.yaml"], ["three.py"]),
        (["--config", "one.yaml", "--config", "broken.yaml", "--config", "nowhere.yaml", "--plugins"], ["one.py"]),
        (["--config", "{plugins: inline.py}"], "inline.py"),
        (["--config", "one.yaml", "--plugins", "3"], ["one.py"]),
    ],
)
def test_the_last_place_that_names_plugins_counts(args, expected, place):
    for name, text in (("one", "plugins: [one.py]"), ("two", "plugins:\n- three.py"), ("broken", "[")):
        Path(f"{name}.yaml").write_text(text)
    assert named_plugins(args) == expected


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("nowhere.py", None, "nowhere.py: no such file"),
        ("own-losses.py", "", "own-losses.py: give a Python file whose name can be a module's"),
        ("class.py", "", "class.py: give a Python file"),
        ("own", "", "own: give a Python file"),
        ("json.py", "", "json.py has the name of another module, of Python's own library: rename"),
        ("sub/callbacks.py", "", "sub/callbacks.py has the name of another module, "),
        ("torch.py", "", "torch.py has the name of another module, "),
        ("sub/own_losses.py", "", "sub/own_losses.py has the name of another module, "),
        ("broken.py", "x = 1\nraise SystemExit(0)", "broken.py, line 2: SystemExit: 0"),
        ("broken.py", "import no_such_module", "broken.py, line 1: ModuleNotFoundError: No module named"),
        ("broken.py", "x = 1\n\nif:", "broken.py, line 3: SyntaxError: invalid syntax"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "run"])
def test_a_plugin_that_cannot_be_used_is_named(command, file, text, said, place, tiny_task, capsys, monkeypatch):
    if text is not None:
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text(text)
    # The plugin's folder need not be on sys.path.
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(place)])
    plugins = f"[own_losses.py, {file}]"
    args = ["fit", "--plugins", plugins] if command == "fit" else options(tiny_task, place, "--plugins", plugins)
    assert f"plugins: {place}/{said}" in error_of(args, capsys)
    assert not (place / "tiny").exists()


def test_the_traceback_of_a_plugin_is_its_own(place, capsys):
    Path("broken.py").write_text("def work():\n    return 1 / 0\n\nwork()\n")
    with pytest.raises(ValueError, match=r"broken.py, line 2: ZeroDivisionError"):
        load_plugins("broken.py")
    said = capsys.readouterr().err
    assert "return 1 / 0" in said
    assert "pipeline/parsing/plugins.py" not in said
    assert "broken" not in sys.modules


def test_a_later_plugin_may_import_an_earlier_one(place):
    Path("more_losses.py").write_text("import own_losses\nfactor = own_losses.OwnLoss.factor")
    names = [plugin.path.name for plugin in load_plugins(["own_losses.py", "more_losses.py", "own_losses.py"])]
    assert names == ["own_losses.py", "more_losses.py"]
    assert sys.modules.pop("more_losses").factor == 2


def test_the_next_command_sees_a_changed_plugin(place):
    (first,) = load_plugins("own_losses.py")
    Path("own_losses.py").write_text(LOSS.replace("factor = 2", "factor = 3"))
    (second,) = load_plugins("own_losses.py")
    assert first.digest != second.digest
    assert sys.modules["own_losses"].OwnLoss.factor == 3


@pytest.mark.parametrize(
    "asked",
    [
        "model: foreign.OwnLoss",
        "model: {class_path: foreign.OwnLoss, init_args: {scale: 2}}",
        "trainer: {logger: {class_path: foreign.OwnLoss}}",
        "trainer: {callbacks: [{class_path: foreign.OwnLoss}]}",
        "trainer: {callbacks+: foreign.OwnLoss}",
        "trainer: {strategy: {class_path: foreign.OwnLoss}}",
        "trainer: {plugins: [{class_path: foreign.OwnLoss}]}",
        "trainer: {profiler: {class_path: foreign.OwnLoss}}",
        "trainer: {accelerator: {class_path: foreign.OwnLoss}}",
        # Modules that allowed modules import, functions that run code, and functions that no setting needs.
        "trainer: {logger: {class_path: torch.os.system}}",
        "trainer: {logger: {class_path: builtins.eval}}",
        "trainer: {logger: {class_path: pipeline.deploy.export.export.export}}",
    ],
)
def test_a_class_path_that_is_refused_is_not_imported(asked, place, fit, capsys):
    Path("foreign.yaml").write_text(f"{asked}\n")
    message = error_of(["fit", "--config", "configs/finetune.yaml", "--config", "foreign.yaml", *fit], capsys)
    assert not (place / "mark").exists()
    assert "is not imported: name a class of callbacks, " in message
    assert message.endswith("given with --plugins FILE.py")


@pytest.mark.parametrize("asked", [["--model.help", "foreign.OwnLoss"], ["--trainer.strategy", "foreign.OwnLoss"]])
def test_nor_is_one_on_the_command_line(asked, place, fit, capsys):
    assert "foreign.OwnLoss" in error_of(["fit", "--config", "configs/finetune.yaml", *fit, *asked], capsys)
    assert not (place / "mark").exists()


def test_nor_is_one_in_a_group_of_settings(place, capsys):
    """In a group the parser does not catch its own error."""
    Path("foreign.yaml").write_text("seed: 1\nstudent: {class_path: foreign.OwnLoss}\n")
    asked = ["run", "--model_name_or_path", "encoder", "--data.task", "rte", "--config", "foreign.yaml"]
    message = error_of(asked, capsys)
    assert not (place / "mark").exists()
    assert "foreign.yaml" in message
    assert "foreign.OwnLoss is not imported: name a class of callbacks, " in message


@pytest.mark.parametrize("kind", [Any, Callable, type, ModuleType, object, dict])
@pytest.mark.parametrize("path", ["foreign.OwnLoss", "torch.hub.os.system", "foreign"])
def test_nor_is_one_in_an_argument_of_another_kind(kind, path, place):
    parser = OneLineErrors()
    parser.add_argument("--value", type=kind)
    for value in (path, f"{{class_path: {path}}}"):
        with suppress(SystemExit):
            built = parser.instantiate(parser.parse_args(["--value", value])).value
            assert built in (path, {"class_path": path}, Namespace(class_path=path))
    assert not (place / "mark").exists()


def test_a_value_of_any_type_is_never_built():
    """This holds for allowed classes too, because torch has functions that run code in the files that they load."""
    parser = OneLineErrors()
    parser.add_argument("--value", type=Any)
    built = parser.instantiate(parser.parse_args(["--value", "{class_path: torch.nn.Identity}"])).value
    assert built["class_path"].endswith("Identity")


def test_in_a_yaml_it_is_refused_with_its_line(place, fit, capsys):
    Path("foreign.yaml").write_text("trainer:\n  max_epochs: 1\n  logger: {class_path: foreign.OwnLoss}\n")
    message = error_of(["fit", "--config", "configs/finetune.yaml", "--config", "foreign.yaml", *fit], capsys)
    assert message.startswith("stark: error: foreign.yaml, line 3: trainer.logger: foreign.OwnLoss is not imported: ")


@pytest.mark.usefixtures("untrained")
def test_a_run_hands_its_plugins_to_its_fits(place, tiny_task, monkeypatch):
    args = options(tiny_task, place, "--plugins", "own_losses.py", "--trainer.devices", "2")
    settings, text, _ = read_settings(find_configs(args[1:]))
    assert yaml.safe_load(text)["plugins"] == [str(place / "own_losses.py")]
    keep_plugins(settings.plugins, RunFolder(settings.folder).plugins)
    # The fits use the plugin as it was at the run's start.
    Path("own_losses.py").write_text("raise SystemExit")
    commands: list[list[str]] = []
    monkeypatch.setattr("pipeline.stages.fit.run_elsewhere", lambda command, *_, **__: commands.append(command))
    monkeypatch.setattr("pipeline.stages.finetune._alarms", lambda *_: [])  # no fit leaves a model to look at
    finetune(settings, settings.folder / "finetune", [])
    config = commands[0][-1]
    sys.modules.pop("own_losses")
    cli = StarkCLI(["fit", "--config", config, "--trainer.devices", "1", "--trainer.fast_dev_run", "1"])
    assert cli.config.fit.plugins == [str(place / "tiny/plugins/own_losses.py")]
    assert sys.modules["own_losses"].OwnLoss.factor == 2


def test_a_run_depends_on_the_content_of_its_plugins(pruned_run, place, tiny_task, capsys):
    shutil.copytree(pruned_run, place / "tiny")
    main(options(tiny_task, place, "--dry-run"))
    assert "run" not in capsys.readouterr().out.split()
    main(options(tiny_task, place, "--plugins", "own_losses.py", "--dry-run"))
    shown = capsys.readouterr().out
    assert "the content of own_losses.py was not read before" in shown
    assert "finished earlier" not in shown.split("trial")[0].split("finetune")[1].split("prune")[0]
