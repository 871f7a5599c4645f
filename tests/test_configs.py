"""Every YAML in configs/ works with the command in its first line, on tiny data."""

import re
import shlex
from pathlib import Path

import pytest

from cli import main
from datamodules import find_task
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier

CONFIGS = Path(__file__).parent.parent / "configs"
# Run in this order, because the output of a command is the input of the next one.
CHAIN = ("finetune", "prune", "distill", "sparsify", "rewind", "stark", "test", "predict")
FILES = sorted(CONFIGS.glob("**/*.yaml"), key=lambda path: (*CHAIN, path.stem).index(path.stem))

QUICK_FIT = "--trainer.max_epochs 1"
NO_TRACE = "--trainer.fast_dev_run true"
# Options that make a command quick or give it another folder; the other files need none.
OVERRIDES = {
    "finetune": f"{QUICK_FIT} --model.model_name_or_path encoder",
    "distill": QUICK_FIT,
    "rewind": QUICK_FIT,
    "stark": "--trainer.max_epochs 2 --trainer.min_epochs 2 --trainer.callbacks.init_args.trial_epochs 1",
    "drop_layers": "--trainer.default_root_dir runs/drop_layers --trainer.callbacks.init_args.layers 2",
    "trainer": f"{NO_TRACE} --model.model_name_or_path encoder",
    "run": "--model_name_or_path encoder --finetuning.epochs 1 --distillation.epochs 1 --teacher.sparsities [0.2] "
    "--baselines []",
    "paper": "--model_name_or_path encoder --finetuning.epochs 1 --distillation.epochs 1 --teacher.sparsities [0.2] "
    "--trainer.val_check_interval null",
    "demo": "--model_name_or_path encoder --finetuning.epochs 1 --distillation.epochs 1 --teacher.sparsities [0.2]",
    "ax": "--model.model_name_or_path mnli",
}


def write_small_tasks(data: Path) -> None:
    """Write CoLA, WNLI and the diagnostic set, which the sample data does not have."""
    words = [f"word {n}" for n in range(40)]
    (data / "CoLA").mkdir()
    (data / "WNLI").mkdir()
    (data / "diagnostic").mkdir()
    labelled = "".join(f"x\t{n % 2}\t\t{word}\n" for n, word in enumerate(words))
    pairs = "index\tsentence1\tsentence2\tlabel\n" + "".join(f"{n}\t{w}\tb\t{n % 2}\n" for n, w in enumerate(words))
    for split in ("train", "dev"):
        (data / "CoLA" / f"{split}.tsv").write_text(labelled)
        (data / "WNLI" / f"{split}.tsv").write_text(pairs)
    (data / "diagnostic" / "diagnostic.tsv").write_text("index\tsentence1\tsentence2\n0\ta\tb\n1\tc\td\n")


@pytest.fixture(scope="module")
def workplace(tiny_task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "encoder").symlink_to(tiny_task.encoder)
    (folder / "glue").mkdir()
    for task in tiny_task.data_dir.iterdir():
        (folder / "glue" / task.name).symlink_to(task)
    write_small_tasks(folder / "glue")
    names = list(find_task("mnli").label_names)
    save_classifier(
        load_classifier(tiny_task.encoder, label_names=names), folder / "mnli", load_tokenizer(tiny_task.encoder)
    )
    return folder


# Whole runs, most parts of which configs/run.yaml tests, too.
SLOW = ("paper", "demo")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=str(path.relative_to(CONFIGS)), marks=[pytest.mark.slow] if path.stem in SLOW else [])
        for path in FILES
    ],
)
def test_first_line_runs(path, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)  # has no configs/, so the packaged ones are found
    command = re.fullmatch(r"# stark (.+)", path.read_text().splitlines()[0])
    assert command is not None, "the first line is the command that runs the file"
    assert path.name in command[1] or path.name == "trainer.yaml"
    overrides = OVERRIDES.get(path.stem, "")
    if path.parent.name == "task" and not overrides:
        overrides = f"{NO_TRACE} --model.model_name_or_path encoder"
    data = "--data.data_dir glue --data.cache_dir cache --data.train_limit 40 --data.batch_size 16"
    quiet = "" if command[1].startswith("run ") else "--trainer.enable_progress_bar false"
    main(shlex.split(f"{command[1]} {data} {quiet} {overrides}"))


def test_stages_leave_their_folders(workplace):
    """This test needs the output of the chain above."""
    for folder in ("finetune/model", "prune/model", "distill/model", "sparsify/teacher", "rewind/model", "stark/model"):
        assert load_classifier(workplace / "runs" / folder)
    lines = (workplace / "runs/predict/MRPC.tsv").read_text().splitlines()
    test_rows = (workplace / "glue/MRPC/test.tsv").read_text().splitlines()
    assert lines[0] == "index\tprediction"
    assert len(lines) == len(test_rows)
    assert (workplace / "runs/predict/AX.tsv").exists()


def test_files_are_short():
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 25, path
