"""The command `stark`: help, and one line with exit status 2 for every kind of bad input."""

import configparser
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import cli
from cli import main
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.storage import folder_lock
from tests.tasks import TinyTask

FAST = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]


@pytest.fixture
def workplace(tiny_task: TinyTask, tmp_path, monkeypatch):
    """An empty working directory with links to the tiny task's data, encoder and teacher."""
    (tmp_path / "glue").symlink_to(tiny_task.data_dir)
    (tmp_path / "encoder").symlink_to(tiny_task.encoder)
    (tmp_path / "teacher").symlink_to(tiny_task.teacher)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data(task: str = "sst2", folder: str = "glue") -> list[str]:
    return f"--data.task {task} --data.data_dir {folder} --data.cache_dir cache --data.batch_size 16".split()


def finetune(*options: str, task: str = "sst2", folder: str = "glue") -> list[str]:
    model = ["--model.model_name_or_path", "encoder"]
    return ["fit", "--config", "configs/finetune.yaml", *data(task, folder), *model, *FAST, *options]


def distill(*options: str, teacher: str = "teacher", student: str = "teacher", task: str = "sst2") -> list[str]:
    models = ["--model.teacher", teacher, "--model.student", student]
    return ["fit", "--config", "configs/distill.yaml", *data(task), *models, *FAST, *options]


def run(*options: str, task: str = "sst2", folder: str = "glue") -> list[str]:
    return ["run", "--config", "configs/run.yaml", "--model_name_or_path", "encoder", *data(task, folder), *options]


def error_of(args: list[str], capsys) -> str:
    """The single line that a command prints before it exits with status 2."""
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert stopped.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stark: error: ")]
    assert len(lines) == 1
    return lines[0]


def nothing_written(folder: Path) -> bool:
    return not any(path.is_file() for path in (folder / "runs").rglob("*"))


def test_help_needs_no_torch():
    code = "import sys, cli; cli.main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sample-data" in done.stdout


def start(folder: Path, *, path: str = ".") -> subprocess.CompletedProcess[str]:
    """Call for the help, which needs no library, in a folder and with a PYTHONPATH."""
    code = "from cli import main; main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, "--help"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((path, str(cli._HOME)))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("file", ["callbacks.py", "stark/__init__.py", "random.py", "json/__init__.py", "yaml.py"])
def test_a_folder_that_hides_a_module_is_named(file, tmp_path):
    hiding = tmp_path / file
    hiding.parent.mkdir(exist_ok=True)
    hiding.write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    for path in (".", "", str(tmp_path)):  # an empty entry means the current folder as well
        done = start(tmp_path, path=path)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        name = file.partition("/")[0].removesuffix(".py")
        assert line.startswith(f"stark: error: {name} is taken from {tmp_path}")
        assert line.endswith(f"rename {name} there, or remove {tmp_path} from PYTHONPATH")
    assert not (tmp_path / "mark").exists()


def test_folders_that_hide_nothing_are_no_matter(tmp_path):
    for name in ("callbacks", "json", "datasets"):  # without __init__.py they are searched last
        (tmp_path / name).mkdir()
    for name in ("my_losses.py", "time.py"):  # time is built in, so it is found first
        (tmp_path / name).touch()
    assert start(tmp_path).stdout.startswith("usage: ")
    # A library that is installed in that folder on purpose.
    (tmp_path / "yaml.py").touch()
    assert start(tmp_path).returncode == 2
    (tmp_path / "pyyaml-9.dist-info").mkdir()
    assert start(tmp_path).stdout.startswith("usage: ")


def test_another_distribution_with_our_names_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "stark").mkdir()
    (tmp_path / "stark/__init__.py").touch()
    found = importlib.util.spec_from_file_location(
        "stark", tmp_path / "stark/__init__.py", submodule_search_locations=[str(tmp_path / "stark")]
    )
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found if name == "stark" else find(name))
    message = error_of(["nothing"], capsys)
    assert f"stark is taken from {tmp_path / 'stark'}, not from stark-lightning" in message
    assert message.endswith("uninstall the distribution that has put it there")


def test_all_required_libraries_are_looked_for():
    """Compared by the names of their distributions."""
    setup = configparser.ConfigParser()
    setup.read(Path(cli._HOME, "setup.cfg"))
    lines = [line for line in setup["options"]["install_requires"].splitlines() if line and not line.startswith("#")]
    required = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in lines} - {"pyyaml"}
    assert {*required, "yaml", "lightning_fabric"} == set(cli._LIBRARIES)


def test_unknown_command(capsys):
    assert "'distil'" in error_of(["distil"], capsys)


@pytest.mark.parametrize("command", [finetune, run])
def test_unknown_task(command, workplace, capsys):
    message = error_of(command(task="mrcp"), capsys)
    assert "'mrcp'" in message
    assert "mrpc" in message  # names the known values
    assert nothing_written(workplace)


@pytest.mark.parametrize("command", [finetune, run])
def test_missing_split(command, workplace, capsys):
    shutil.copytree(workplace / "glue/SST-2", workplace / "partial/SST-2")
    (workplace / "partial/SST-2/train.tsv").unlink()
    message = error_of(command(folder="partial"), capsys)
    assert "partial/SST-2" in message
    assert "train" in message
    assert nothing_written(workplace)


@pytest.mark.parametrize(
    ("line", "complaint"), [("only a sentence", "1 columns"), ("a sentence\tpositive", "label 'positive'")]
)
@pytest.mark.parametrize("command", [finetune, run])
def test_bad_row(command, line, complaint, workplace, capsys):
    shutil.copytree(workplace / "glue/SST-2", workplace / "broken/SST-2")
    train = workplace / "broken/SST-2/train.tsv"
    rows = train.read_text().splitlines()
    rows[6] = line
    train.write_text("\n".join(rows) + "\n")
    message = error_of(command(folder="broken"), capsys)
    assert "broken/SST-2/train.tsv" in message
    assert "line 7" in message
    assert complaint in message
    assert nothing_written(workplace)


@pytest.mark.parametrize("command", [finetune, run])
def test_rows_longer_than_the_encoder_takes(command, workplace, capsys):
    more = ["--dry-run"] if command is run else []
    message = error_of(command("--data.max_length", "129", *more), capsys)
    assert "max_length is 129 but" in message
    assert "has positions for 128 tokens: give --data.max_length 128, or less" in message
    assert nothing_written(workplace)


@pytest.mark.parametrize("command", [finetune, run])
def test_more_tokens_than_the_embedding_has_rows(command, workplace, tiny_task, capsys):
    """They may not occur in train; then the first one in dev would end a run in its last stage."""
    tokenizer = load_tokenizer(tiny_task.encoder)
    known = len(tokenizer)
    tokenizer.add_tokens(["[URL]"])
    (workplace / "encoder").unlink()
    shutil.copytree(tiny_task.encoder, workplace / "encoder", ignore=shutil.ignore_patterns("SHA256SUMS"))
    tokenizer.save_pretrained(workplace / "encoder")
    message = error_of(command(), capsys)
    assert f"has {known + 1} tokens but the encoder's embedding has {known} rows: call resize_token" in message
    assert nothing_written(workplace)


def test_teacher_with_other_labels(workplace, capsys):
    message = error_of(distill(task="mrpc"), capsys)
    assert "teacher" in message
    assert "not_equivalent" in message
    assert nothing_written(workplace)


def test_student_with_other_vocabulary(workplace, tiny_task, capsys):
    tokenizer = load_tokenizer(tiny_task.teacher)
    tokenizer.add_tokens(["another"])
    save_classifier(load_classifier(tiny_task.teacher), workplace / "other", tokenizer)
    message = error_of(distill(student="other"), capsys)
    assert "other" in message
    assert "vocabular" in message
    assert nothing_written(workplace)


@pytest.mark.parametrize("sparsity", ["70", "1", "-0.1"])
def test_sparsity_that_is_no_fraction(sparsity, workplace, capsys):
    pruning = ["--trainer.callbacks+", f'{{"class_path": "Pruning", "init_args": {{"sparsity": {sparsity}}}}}']
    for command in (
        finetune(*pruning),
        run("--student.sparsity", sparsity),
        run("--teacher.sparsities", f"[{sparsity}]"),
    ):
        assert f"sparsity is {float(sparsity):g}" in error_of(command, capsys)
    assert nothing_written(workplace)


def test_more_layers_than_the_teacher_has(workplace, capsys):
    dropping = ["--trainer.callbacks+", '{"class_path": "LayerDropping", "init_args": {"layers": 9}}']
    for command in (finetune(*dropping), run("--student.sparsity", "null", "--student.layers", "9")):
        message = error_of(command, capsys)
        assert "9" in message
        assert "4 layers" in message
    assert nothing_written(workplace)


def test_family_without_adapter(workplace, capsys):
    shutil.copytree(workplace / "encoder", workplace / "gpt")
    (workplace / "gpt/SHA256SUMS").unlink()
    (workplace / "gpt/config.json").write_text(json.dumps({"model_type": "gpt2"}))
    for command in (finetune("--model.model_name_or_path", "gpt"), run("--model_name_or_path", "gpt")):
        message = error_of(command, capsys)
        assert "gpt2" in message
        assert "distilbert" in message  # names the known values
    assert nothing_written(workplace)


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed_stage_3", "FSDPStrategy", "no_such_strategy"])
def test_strategy_that_splits_the_weights(strategy, workplace, capsys):
    message = error_of(finetune("--trainer.strategy", strategy), capsys)
    assert "trainer.strategy" in message
    assert strategy in message
    assert "use auto or ddp" in message
    assert nothing_written(workplace)


def test_misspelt_key_in_yaml(workplace, capsys):
    (workplace / "fit.yaml").write_text("trainer:\n  max_epoch: 3\n")
    assert "trainer.max_epoch" in error_of(finetune("--config", "fit.yaml"), capsys)
    (workplace / "run.yaml").write_text("student:\n  sparsty: 0.5\n")
    message = error_of(run("--config", "run.yaml"), capsys)
    assert "'student'" in message
    assert "'sparsty'" in message
    assert nothing_written(workplace)


@pytest.mark.parametrize("command", [finetune, run])
def test_an_epoch_shorter_than_the_interval_of_validation(command, workplace, capsys):
    message = error_of(command("--trainer.val_check_interval", "1000"), capsys)
    assert "val_check_interval" in message
    assert "1000" in message


def test_student_cut_in_both_ways_or_in_none(workplace, capsys):
    assert "student.layers" in error_of(run("--student.layers", "2"), capsys)
    assert "student.layers" in error_of(run("--student.sparsity", "null"), capsys)
    assert nothing_written(workplace)


def test_missing_model(workplace, capsys):
    assert "/no/where" in error_of(finetune("--model.model_name_or_path", "/no/where"), capsys)
    assert "no_such.ckpt" in error_of(finetune("--ckpt_path", "no_such.ckpt"), capsys)
    assert nothing_written(workplace)


class TestExistingFolder:
    """A fit that ran, and commands that would spoil it."""

    @pytest.fixture
    def fitted(self, workplace):
        main(finetune("--trainer.max_epochs", "1", "--trainer.default_root_dir", "runs/a"))
        return workplace

    def test_output_folder_of_another_run(self, fitted, capsys):
        folder = fitted / "runs/a"
        files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "metrics.csv"}
        assert "runs/a" in error_of(finetune("--trainer.default_root_dir", "runs/a"), capsys)
        assert all(path.read_bytes() == content for path, content in files.items())
        # Nor may a run use the folder of a fit.
        assert "runs/a" in error_of(run("--name", "a"), capsys)

    def test_a_folder_in_use(self, fitted, capsys):
        folder = fitted / "runs/a"
        resumed = ["--trainer.default_root_dir", "runs/a", "--ckpt_path", "runs/a/checkpoints/last.ckpt"]
        with folder_lock(folder):
            assert "runs/a is in use by another process" in error_of(finetune(*resumed), capsys)

    def test_damaged_checkpoints(self, fitted, capsys):
        for content in (b"", b"text", (fitted / "runs/a/checkpoints/last.ckpt").read_bytes()[:-100]):
            (fitted / "broken.ckpt").write_bytes(content)
            assert "broken.ckpt is no checkpoint, or damaged" in error_of(
                finetune("--ckpt_path", "broken.ckpt"), capsys
            )
            test = ["test", "--config", "configs/test.yaml", *data(), "--model.model_name_or_path", "teacher", *FAST]
            assert "broken.ckpt is no checkpoint" in error_of([*test, "--ckpt_path", "broken.ckpt"], capsys)

    @pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
    def test_a_signal_says_how_to_go_on(self, signum, fitted, monkeypatch, capsys):
        options = finetune("--trainer.max_epochs", "1", "--trainer.default_root_dir", "runs/b")

        def send(module, batch, batch_idx):
            if module.trainer.global_step == 3:
                os.kill(os.getpid(), signum)

        with monkeypatch.context() as signalled:
            signalled.setattr("lightning_modules.FinetuningModule.on_train_batch_start", send)
            with pytest.raises(SystemExit) as stopped:
                main(options)
        assert stopped.value.code == 128 + signum
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(f"stark: stopped by {signal.Signals(signum).name}; go on with: stark fit ")
        main(shlex.split(line.partition("go on with: stark ")[2]))
        assert (fitted / "runs/b/model/model.safetensors").read_bytes() == (
            fitted / "runs/a/model/model.safetensors"
        ).read_bytes()

    @pytest.mark.parametrize(
        ("option", "value"),
        [("model.learning_rate", "0.5"), ("data.batch_size", "8"), ("trainer.max_epochs", "3"), ("data.task", "mrpc")],
    )
    def test_resume_with_other_settings(self, option, value, fitted, capsys):
        resumed = ["--trainer.default_root_dir", "runs/a", "--ckpt_path", "runs/a/checkpoints/last.ckpt"]
        options = ["--trainer.max_epochs", "1", *resumed, f"--{option}", value]
        config = (fitted / "runs/a/config.yaml").read_text()
        message = error_of(finetune(*options), capsys)
        # Another task has other labels, which are a setting of the model.
        assert ("model.label_names" if option == "data.task" else option) in message
        assert (fitted / "runs/a/config.yaml").read_text() == config


def test_the_version_is_that_of_the_package(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"stark-lightning {version('stark-lightning')}\n"
