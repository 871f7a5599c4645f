"""Mistakes of users give one line and defects keep their traceback, for errors from every package."""

import pytest

import cli
from pipeline.parsing.errors import mistake_of
from stark.errors import StarkError, StarkFileExistsError, StarkFileNotFoundError, StarkTypeError

# A function of each package that a fit calls, a constructor if there is one.
CALLED = {
    "stark": "stark.forward.lean_training.UsedRows.__init__",
    "datamodules": "datamodules.text.TextDataModule.setup",
    "lightning_modules": "lightning_modules.base.problem_for",
    "callbacks": "callbacks.saving.SaveModelFolder.setup",
    "pipeline": "pipeline.fits.lightning_cli.StarkCLI.instantiate_trainer",
}


@pytest.fixture
def fit(tiny_task, tmp_path, monkeypatch):
    """Function that starts `stark fit` with a broken function of a package."""
    data = f"--data.task sst2 --data.data_dir {tiny_task.data_dir} --data.cache_dir {tiny_task.cache}".split()
    model = ["--model.model_name_or_path", str(tiny_task.encoder), "--trainer.default_root_dir", str(tmp_path / "fit")]

    def start(package, error):
        def broken(*_, **__):
            raise error

        monkeypatch.setattr(CALLED[package], broken)
        cli.main(["fit", "--config", "configs/finetune.yaml", *data, *model])

    return start


@pytest.mark.parametrize("kind", [ValueError, TypeError, KeyError])
@pytest.mark.parametrize("package", CALLED)
def test_a_defect_keeps_its_traceback_and_asks_for_a_report(fit, package, kind, capsys):
    # The parser creates our objects and wraps the exceptions of their constructors; its traceback shows both.
    with pytest.raises((kind, ValueError), match="a defect") as raised:
        fit(package, kind("a defect"))
    assert "stark: error" not in capsys.readouterr().err
    (note,) = raised.value.__notes__
    assert "defect of stark-lightning" in note
    assert "stark-lightning 0." in note


@pytest.mark.parametrize("package", CALLED)
def test_a_mistake_is_one_line(fit, package, capsys):
    with pytest.raises(SystemExit) as stopped:
        fit(package, StarkError("what, where\nand what to do"))
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "stark: error: what, where and what to do"


@pytest.mark.parametrize(
    ("kind", "base"), [(StarkFileNotFoundError, FileNotFoundError), (StarkFileExistsError, FileExistsError)]
)
def test_errors_of_files_are_those_of_python_as_well(kind, base):
    error = kind("a.tsv: no such file")
    assert isinstance(error, base)
    assert mistake_of(error) is error
    assert str(error) == "a.tsv: no such file"
    assert isinstance(StarkTypeError("x"), TypeError)
