"""Broken TSVs and YAMLs give one line of error and no files, or the result of a naive reader."""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cli import main
from datamodules import read_own_task
from datamodules.sources.glue_tsv import parse_rows
from datamodules.sources.records import BadRecord, Record, open_records
from datamodules.tasks.glue import TASKS, Layout
from datamodules.tasks.record_format import Quoting, record_format
from datamodules.tasks.task import Task
from tests.faults.commands import COMMAND, RUN, run_forked

pytestmark = pytest.mark.faults

PATH = Path("folder/file.tsv")
LAYOUTS = [(task, split) for task in TASKS.values() for split in task.layouts]

bounded = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),  # failing examples are small already, and shrinking them could take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# --- TSVs ---

cells = st.text(st.characters(exclude_characters="\t\n", codec="utf-8"), max_size=12)


@st.composite
def valid_lines(draw: Any, task: Task, layout: Layout) -> bytes:
    """A file of a task in its original layout."""
    lines = ["\t".join(draw(st.lists(cells, min_size=1, max_size=3)))] if layout.header else []
    for _ in range(draw(st.integers(1, 4))):
        columns = draw(st.lists(cells, min_size=layout.columns, max_size=layout.columns + 1))
        if layout.idx is not None:
            columns[layout.idx] = str(draw(st.integers(0, 10**6)))
        if layout.label is not None:
            labels = st.floats(0, 5).map(str) if not task.problem.has_classes else st.sampled_from(task.label_spelling)
            columns[layout.label] = draw(labels)
        lines.append("\t".join(columns))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return (draw(st.sampled_from(["", "\ufeff"])) + end.join(lines) + draw(st.sampled_from(["", end]))).encode()


@st.composite
def mutated(draw: Any, content: bytes) -> bytes:
    """The bytes after random changes, deletions, duplications or insertions."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 8)))
        piece = draw(
            st.one_of(st.just(b""), st.sampled_from([b"\t", b"\n", b"\r", b"\0", b"\xff"]), st.binary(max_size=4))
        )
        content = content[:start] + piece + content[end:]
    return content


def naive_rows(data: bytes, layout: Layout) -> list[list[str]]:
    """The columns of each row, read in the simplest way."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode()
    lines = text.split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    rows = lines[1:] if layout.header else lines
    return [row.removesuffix("\r").split("\t") for row in rows]


def check_rows(data: bytes, task: Task, split: str) -> None:
    layout = task.layouts[split]
    try:
        rows = parse_rows(data, task, split, PATH)
    except ValueError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert message.startswith((f"{PATH}, line ", f"{PATH}: no rows"))
        assert "\n" not in message
        return
    expected = naive_rows(data, layout)
    assert rows.text_a == [row[layout.text_a] for row in expected]
    assert (rows.text_b is not None) == task.is_pair
    if rows.text_b is not None:
        assert layout.text_b is not None
        assert rows.text_b == [row[layout.text_b] for row in expected]
    assert (rows.labels is None) == (layout.label is None)
    if rows.labels is not None:
        assert layout.label is not None
        words = [row[layout.label] for row in expected]
        assert rows.labels == [
            float(word) if not task.problem.has_classes else task.label_spelling.index(word) for word in words
        ]
        assert all(math.isfinite(label) for label in rows.labels)
    assert rows.idx == [n if layout.idx is None else int(row[layout.idx]) for n, row in enumerate(expected)]


def recorded(fault_table: Any, kind: str, check: Callable[..., None]) -> Callable[..., None]:
    """Count the examples of a property in the table."""

    def counted(*args: Any) -> None:
        try:
            check(*args)
        except BaseException:
            fault_table.record(kind, ["failed"])
            raise
        fault_table.record(kind, [])

    return counted


@pytest.mark.parametrize(("task", "split"), LAYOUTS, ids=lambda value: getattr(value, "name", value))
def test_tsv_is_read_as_it_is_or_refused(task, split, fault_table):
    content = st.one_of(st.binary(max_size=60), valid_lines(task, task.layouts[split]).flatmap(mutated))
    check = recorded(fault_table, "broken TSV, parser", check_rows)
    given(content)(bounded(lambda data: check(data, task, split)))()


BROKEN_TSVS: dict[str, Callable[[bytes], bytes]] = {
    "no-bytes": lambda _: b"",
    "header-only": lambda data: data.split(b"\n")[0] + b"\n",
    "cut-in-a-line": lambda data: data[: len(data) // 2 - len(data[: len(data) // 2].rsplit(b"\t", 1)[1]) - 1],
    "latin-1": lambda data: data.replace(b"the", b"th\xe9", 1),
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "zeros": lambda data: bytes(len(data)),
    "commas": lambda data: data.replace(b"\t", b","),
    "missing-label": lambda data: data.replace(b"\t1\n", b"\t\n", 1),
    "image": lambda _: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1",
    "one-row": lambda data: b"\n".join(data.split(b"\n")[:2]) + b"\n",
    "one-class": lambda data: b"\n".join(line for line in data.split(b"\n") if not line.endswith(b"\t0")),
    "empty-texts": lambda data: b"sentence\tlabel\n" + b"\t1\n\t0\n" * 500,
    "huge-line": lambda data: data + b"word " * 500_000 + b"\t7\n",
}
READABLE = {"one-class", "empty-texts"}


@pytest.mark.parametrize("name", BROKEN_TSVS)
def test_command_refuses_a_broken_tsv(name, reference, tmp_path, fault_table):
    place = reference.new_place(tmp_path / "place", own=("sample_data", "cache"))
    train = place / "sample_data/SST-2/train.tsv"
    train.write_bytes(BROKEN_TSVS[name](train.read_bytes()))
    outcome = run_forked(place)
    if name in READABLE and outcome.status == 0:
        complaints = [] if (place / RUN / "summary.json").is_file() else ["no summary.json"]
    else:
        complaints = outcome.complaints()
        if (place / "runs").exists():
            complaints.append("something was written")
        # If there are too few rows, the message names no line.
        if not outcome.names("train.tsv") and not outcome.names("rows of train"):
            complaints.append(f"train.tsv is not named: {outcome.tail}")
    fault_table.record("broken TSV, command", complaints)
    shutil.rmtree(place)
    assert not complaints, "\n".join(complaints)


# --- own rows ---

OWN_CELLS = st.one_of(
    st.text(st.sampled_from("ab\"'\\, ;\t\r\f\0é\u2028\ufeff"), max_size=8),
    st.sampled_from(['"', '""', '"a', 'a"', '"a ""b"""', "=1", "a,b", "x" * 200]),
)


@st.composite
def own_table(draw: Any, delimiter: str) -> bytes:
    """Lines of a table: most have the right number of fields, some are quoted, some have stray quotation marks."""
    lines = [f"text{delimiter}label"]
    for _ in range(draw(st.integers(0, 8))):
        fields = draw(st.lists(OWN_CELLS, min_size=1, max_size=3)) if draw(st.integers(0, 4)) == 0 else []
        fields = fields or [draw(OWN_CELLS), draw(st.sampled_from(["neg", "pos", '"pos"']))]
        if draw(st.integers(0, 3)) == 0:
            fields[0] = '"' + fields[0].replace('"', '""') + draw(st.sampled_from(['"', '\n"', ""]))
        lines.append(delimiter.join(fields))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return draw(mutated((end.join(lines) + draw(st.sampled_from(["", end]))).encode()))


@st.composite
def own_json(draw: Any) -> bytes:
    """JSON lines, some of which are truncated, nested, or contain halves of surrogate pairs."""
    values = st.one_of(
        OWN_CELLS, st.none(), st.booleans(), st.floats(), st.just("\ud83d"), st.lists(OWN_CELLS, max_size=2)
    )
    keys = st.sampled_from(["text", "text", "label", "predicted", "\ud83d"])
    lines = [json.dumps(row) for row in draw(st.lists(st.dictionaries(keys, values, max_size=3), max_size=8))]
    lines += draw(
        st.lists(st.sampled_from(["[1]", "{", "", '{"text": "a", "text": "b"}', "1" * 5000, "[" * 3000]), max_size=2)
    )
    return draw(mutated("\n".join(draw(st.permutations(lines))).encode()))


def ends_at_line_feeds(data: bytes) -> bool:
    """Whether lines end with line feeds and the file is not UTF-16, so that the naive reading of lines is right."""
    head = data.split(b"\n")[0].rstrip(b"\r")
    return b"\r" not in head and b"\n" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff"))


def check_own_rows(data: bytes, name: str, quoting: Quoting | None) -> None:
    """Check that each line is a row, a part of the row before it, empty, or reported, unchanged and in its order."""
    naive = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    rows, message = [], ""
    try:
        with open_records(io.BytesIO(data), record_format(name, quoting=quoting)) as records:
            rows = list(records)
    except ValueError as error:
        message = str(error)
    if message:
        assert message.startswith(("line ", "there is nothing in it"))
        assert "\n" not in message
        return
    seen = -1
    for row in rows:
        start, parts = row.line - 1, row.raw.split("\n")
        skipped = naive[seen + 1 : start]
        # The line before the first row has the names of the columns.
        names = [line for line in skipped if line.strip("\r" if "csv" in name or "tsv" in name else " \t\r")]
        assert not names or (seen == -1 and not name.endswith("jsonl"))
        for part, line in zip(parts, naive[start:], strict=False):
            assert part.strip(" \t\r") == line.strip(" \t\r")
        seen = start + len(parts) - 1
    told = [row for row in rows if isinstance(row, BadRecord)]
    assert all(row.reason and "\n" not in row.reason for row in told)
    for row in rows:
        if isinstance(row, Record) and row.raw.count("\n") == 0 and '"' not in row.raw and not name.endswith("jsonl"):
            assert list(row.cells) == row.raw.split("\t" if name.endswith("tsv") else ",")


@pytest.mark.parametrize("quoting", [None, "none", "standard"])
@pytest.mark.parametrize("name", ["own.csv", "own.tsv"])
def test_no_line_of_an_own_table_is_lost(name, quoting, fault_table):
    check = recorded(fault_table, "broken rows of own files", check_own_rows)
    content = own_table("\t" if name == "own.tsv" else ",")
    given(content.filter(ends_at_line_feeds))(
        settings(bounded, max_examples=80)(lambda data: check(data, name, quoting))
    )()


def test_no_line_of_own_json_is_lost(fault_table):
    check = recorded(fault_table, "broken rows of own files", check_own_rows)
    given(own_json().filter(ends_at_line_feeds))(
        settings(bounded, max_examples=100)(lambda data: check(data, "own.jsonl", None))
    )()


# --- YAMLs ---

RUN_YAML = {
    "model_name_or_path": "encoder",
    "data": {"task": "sst2", "data_dir": "glue", "max_length": 64, "train_limit": 100},
    "finetuning": {"epochs": 4, "learning_rate": 1e-3, "patience": 3},
    "student": {"sparsity": 0.7},
    "distillation": {"epochs": 4, "temperature": 2.0},
    "teacher": {"lams": [0.5], "sparsities": [0.1, 0.3]},
    "scoring": {"split": "selection"},
    "trainer": {"devices": 1, "precision": "32-true", "val_check_interval": 5},
}
FIT_YAML = {
    "seed_everything": 7,
    "trainer": {"max_epochs": 2, "default_root_dir": "runs/x", "callbacks+": [{"class_path": "Pruning"}]},
    "early_stopping": {"patience": 2},
    "model": {"class_path": "lightning_modules.FinetuningModule", "init_args": {"learning_rate": 0.1}},
    "data": {"task": "sst2", "data_dir": "glue", "batch_size": 8},
}
ODD_VALUES = [
    *(
        "null",
        "~",
        "[]",
        "{}",
        "text",
        "''",
        "-1",
        "0",
        "1e400",
        "-.inf",
        ".nan",
        "true",
        "9" * 30,
        "0x1F",
        "1_000",
        "5000.5",
    ),
    *("2020-01-01", "[1, [2, [3]]]", "{a: {b: {c: 1}}}", "!!binary aGk=", "!!set {a, b}", "!!timestamp 2020-01-01"),
    *(
        "&a [*a]",
        "&a {b: *a}",
        "*nothing",
        "<<: *a",
        "!unknown x",
        "!!python/name:os.system",
        "!!int text",
        "'\\ud800'",
    ),
    "!!python/object/apply:builtins.open [payload-was-run, w]",
    "!!python/object/new:os.system ['touch payload-was-run']",
    "{class_path: os.system, init_args: {command: touch payload-was-run}}",
    "{class_path: subprocess.run, init_args: {args: [touch, payload-was-run]}}",
    "[" * 2000,
    "[" * 300 + "]" * 300,
    "{a: " * 200 + "1" + "}" * 200,
    '"\\xzz"',
    "|\n  two\n  lines",
]


def places(values: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all keys."""
    found = []
    for key, value in values.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += places(value, (*prefix, key))
    return found


@st.composite
def odd_settings(draw: Any, values: dict[str, Any]) -> bytes:
    """YAML in which some values are replaced by odd ones, or with unknown keys."""
    document = yaml.safe_load(yaml.safe_dump(values))
    odd = []
    for number in range(draw(st.integers(1, 2))):
        *path, key = draw(st.sampled_from(places(document)))
        part = document
        for name in path:
            part = part[name]
        key = draw(st.sampled_from([key, key, key, f"{key}x", "", "__class__", "1"]))
        part[key] = f"ODD{number}"
        odd.append(draw(st.sampled_from(ODD_VALUES)))
    text = yaml.safe_dump(document, default_flow_style=False)
    for number, value in enumerate(odd):
        text = text.replace(f"ODD{number}", value)
    return text.encode()


def broken_yaml(values: dict[str, Any]) -> st.SearchStrategy[bytes]:
    text = yaml.safe_dump(values).encode()
    return st.one_of(
        odd_settings(values),
        odd_settings(values),
        st.just(text).flatmap(mutated),
        st.integers(0, len(text)).map(lambda end: text[:end]),
        st.binary(max_size=40),
        st.text(max_size=40).map(lambda drawn: drawn.encode("utf-8", "surrogatepass")),
    )


def check_command(args: list[str], place: Path) -> None:
    """Run a command that ends after parsing, and check for no error, or one line and status 2, and no files."""
    before = sorted(place.rglob("*"))
    printed, errors, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            main(args)
        except SystemExit as stopped:
            status = stopped.code if isinstance(stopped.code, int) else 1
    lines = [line for line in errors.getvalue().splitlines() if line.startswith("stark: error: ")]
    assert (status, len(lines)) in ((0, 0), (2, 1)), errors.getvalue()
    assert sorted(place.rglob("*")) == before


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Only the part before the run is tested.
    monkeypatch.setattr("pipeline.run.run", lambda *_: None)
    (tmp_path / "broken.yaml").touch()
    return tmp_path


def fuzz(place: Path, args: list[str], values: dict[str, Any], check: Callable[..., None], examples: int) -> None:
    @given(broken_yaml(values))
    @settings(bounded, max_examples=examples)
    def broken(content: bytes) -> None:
        (place / "broken.yaml").write_bytes(content)
        check([*args, "--config", "broken.yaml"], place)

    broken()


def test_run_refuses_a_broken_yaml(place, fault_table):
    check = recorded(fault_table, "broken YAML, stark run", check_command)
    fuzz(place, ["run"], RUN_YAML, check, 300)


def test_fit_refuses_a_broken_yaml(place, fault_table):
    check = recorded(fault_table, "broken YAML, stark fit", check_command)
    config = ["--config", "configs/finetune.yaml", "--model.model_name_or_path", "encoder", "--print_config"]
    fuzz(place, ["fit", *config], FIT_YAML, check, 60)


@pytest.mark.parametrize("values", ODD_VALUES, ids=range(len(ODD_VALUES)))
def test_every_odd_value(values, place, fault_table):
    check = recorded(fault_table, "broken YAML, stark run", check_command)
    for key in ("seed", "name", "data", "student", "teacher"):
        (place / "broken.yaml").write_text(f"{key}: {values}\n")
        check(["run", "--model_name_or_path", "encoder", "--data.task", "rte", "--config", "broken.yaml"], place)


TASK_YAML = {
    **{"train": "a.csv", "dev": "b.tsv", "split": {"test": "0.1"}, "text": "body", "label": "stars"},
    "labels": ["no", "yes"],
    **{"metrics": ["accuracy"], "text_pair": "other", "delimiter": ";", "quoting": "auto", "encoding": "utf-8"},
    "header": "true",
}


def check_description(content: bytes, path: Path) -> None:
    """Check that a description is read as text, or that one line names the file."""
    path.write_bytes(content)
    task, message = None, ""
    try:
        task = read_own_task(path)
    except ValueError as error:
        message = str(error)
    if task is None:
        assert message.startswith(str(path))
        assert "\n" not in message
        return
    assert all(isinstance(word, str) for word in (*task.texts, task.label, *task.label_names, *task.metrics))


def test_a_broken_description_of_an_own_task_is_one_line(tmp_path, fault_table):
    check = recorded(fault_table, "broken YAML, own task", check_description)
    path = tmp_path / "mine.yaml"
    given(broken_yaml(TASK_YAML))(settings(bounded, max_examples=60)(lambda content: check(content, path)))()
    for value in ODD_VALUES:
        check(f"labels: {value}\n".encode(), path)


OUT_OF_RANGE = (
    *("--seed=-1", f"--seed={10**30}", "--finetuning.epochs=-1", "--distillation.epochs=-2"),
    *("--finetuning.learning_rate=-1", "--finetuning.learning_rate=.nan", "--distillation.learning_rate=.inf"),
    *("--finetuning.weight_decay=-1", "--finetuning.warmup_proportion=2", "--finetuning.patience=-1"),
    *("--distillation.temperature=0", "--distillation.temperature=.nan", "--distillation.distillation_weight=2"),
    *("--student.sparsity=.nan", "--student.round_to=0", "--teacher.lams=[.nan]", "--teacher.sparsities=[.nan]"),
    *("--trainer.devices=0", "--trainer.devices=-1", "--trainer.accelerator=abacus"),
    *("--trainer.gradient_clip_val=-1", "--trainer.gradient_clip_val=.nan", "--trainer.accumulate_grad_batches=0"),
    *("--trainer.val_check_interval=0", "--trainer.val_check_interval=100000", "--data.selection_fraction=.nan"),
    *("--name=", "--name=../x", "--name=/tmp"),
)


@pytest.mark.parametrize("option", OUT_OF_RANGE)
def test_run_refuses_values_out_of_range(option, reference, tmp_path, fault_table):
    place = reference.new_place(tmp_path / "place")
    outcome = run_forked(place, [*COMMAND, option])
    complaints = outcome.complaints()
    if (place / "runs").exists() or len(list(place.parent.iterdir())) > 1:
        complaints.append("something was written")
    fault_table.record("value out of range", complaints)
    assert not complaints, "\n".join(complaints)
