"""Go from a file of rows to an ONNX file with 8 bits by the commands of docs/tutorial.md, on data that no test has.

The scores are computed by scikit-learn from what `stark predict-file` wrote for rows that no command before had seen.
What has been done already is not done again.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, ndcg_score
from sklearn.preprocessing import MultiLabelBinarizer

from experiments.command import chosen, markdown_table, run_command
from pipeline.fits.isolation import stark_command
from pipeline.run_folder import RunFolder
from stark.storage import files_below, write_text

__all__ = ["ROWS", "Rows", "go", "write_ranked"]

_SETTINGS = (
    *("--finetuning.epochs", "2", "--finetuning.learning_rate", "1e-4"),
    *("--student.sparsity", "0.9", "--distillation.steps", "1500", "--distillation.learning_rate", "3e-4"),
    *("--baselines", "[]"),
)
_QUERIES, _HELD_OUT, _DOCUMENTS = 800, 200, 4
_MODELS = {"teacher": "finetune/model", "student": "student", "student, ONNX int8": "student-onnx-int8"}

Line = dict[str, Any]
"""A row of a file of predictions."""


@dataclass(frozen=True)
class Rows:
    """A data set.

    Args:
        name: Its name, and that of its run.
        train: File of rows, or its description, in the folder of the data or in the one of `made`.
        test: File of the rows that are measured on, likewise.
        score: Name of the score, and its function of the predictions.
        options: Further options of `stark run`.
        texts: Options of `stark predict-file` that name columns.
        made: Makes the files from the folder of the data in a folder; None if they are there already.
    """

    name: str
    train: str
    test: str
    score: tuple[str, Callable[[Sequence[Line]], float]]
    options: Sequence[str] = ()
    texts: Sequence[str] = ()
    made: Callable[[Path, Path], None] | None = None


def _accuracy(label: str) -> tuple[str, Callable[[Sequence[Line]], float]]:
    return "accuracy", lambda rows: float(accuracy_score([r[label] for r in rows], [r["predicted"] for r in rows]))


def _micro_f1(rows: Sequence[Line]) -> float:
    right, said = [row["labels"] for row in rows], [row["predicted"] for row in rows]
    marks = MultiLabelBinarizer().fit([*right, *said])
    return float(f1_score(marks.transform(right), marks.transform(said), average="micro"))


def _ndcg(rows: Sequence[Line]) -> float:
    queries: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        right, said = queries.setdefault(row["query"], ([], []))
        right.append(float(row["relevance"]))
        said.append(float(row["predicted"]))
    return float(np.mean([ndcg_score([right], [said], k=10) for right, said in queries.values() if any(right)]))


def write_ranked(data: Path, folder: Path) -> None:
    """Make queries of STS-B: a pair's first sentence, its second one with its score, and four others with 0.

    Args:
        data: Folder of the original data.
        folder: Folder to write ``train.csv``, ``test.csv`` and ``ranked.yaml`` to.
    """
    text = (data / "glue/STS-B/train.tsv").read_text(encoding="utf-8")
    pairs = {
        first: (second, score) for *_, first, second, score in (line.split("\t") for line in text.splitlines()[1:])
    }
    draw = random.Random(0)
    queries = draw.sample(sorted(pairs), _QUERIES)
    folder.mkdir(parents=True, exist_ok=True)
    for part, own in (("train", queries[:-_HELD_OUT]), ("test", queries[-_HELD_OUT:])):
        documents = [pairs[query][0] for query in own]  # so that train has no document of test
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["query", "document", "relevance"])
            for query in own:
                document, score = pairs[query]
                others = draw.sample([other for other in documents if other != document], _DOCUMENTS)
                writer.writerows([[query, document, score], *([query, other, 0] for other in others)])
    write_text(
        folder / "ranked.yaml",
        "train: train.csv\nsplit: {dev: 0.2}\ntext: query\ntext_pair: document\nlabel: relevance\nkind: ranking\n",
    )


ROWS = (
    Rows(
        "goemotions",
        "own/goemotions/train.jsonl",
        "own/goemotions/test.jsonl",
        ("micro F1", _micro_f1),
        ("--finetuning.epochs", "1"),  # of 35,000 rows
    ),
    Rows("clinc150", "own/clinc150/train.csv", "own/clinc150/test.csv", _accuracy("intent")),
    Rows(
        "mnli",
        "glue/MNLI/train.tsv",
        "glue/MNLI/dev_matched.tsv",
        _accuracy("gold_label"),
        ("--text", "sentence1", "--text_pair", "sentence2", "--label", "gold_label"),
        ("--text", "sentence1", "--text_pair", "sentence2"),
    ),
    Rows("ranked", "ranked.yaml", "test.csv", ("nDCG@10", _ndcg), made=write_ranked),
)
"""The data sets, in the order of the table."""


def go(rows: Rows, data: Path, encoder: Path, root: Path) -> list[str]:
    """Run the commands.

    Args:
        rows: The data set.
        data: Folder of the original data.
        encoder: The encoder's folder.
        root: Folder of the runs.

    Returns:
        The line of the table: data set and score, rows, each model's value, and each model's megabytes.

    Raises:
        subprocess.CalledProcessError: If a command fails.
    """
    name, run = rows.name, root / rows.name
    if rows.made is not None:
        rows.made(data, root / f"{name}-made")
        data = root / f"{name}-made"
    train, test = data / rows.train, data / rows.test
    arguments = ["run", "--config", "configs/run.yaml", "--model_name_or_path", str(encoder), "--data.task", str(train)]
    _call([*arguments, "--name", name, "--root", str(root), *_SETTINGS, *rows.options])
    if not (run / _MODELS["student, ONNX int8"]).is_dir():
        _call(["export", str(RunFolder(run).student.path), "--format", "onnx", "--int8"])
    values, sizes = [], []
    measure, score = rows.score
    for model, folder in _MODELS.items():
        output = run.with_name(f"{name}-{model.replace(', ', '-').replace(' ', '-')}{test.suffix}")
        _call(["predict-file", str(run / folder), "--input", str(test), "--output", str(output), *rows.texts])
        found, expected = _lines(output), _lines(test)
        if len(found) != len(expected):
            raise ValueError(f"{output} has {len(found)} rows, and {test} has {len(expected)}")
        values.append(f"{100 * score(found):.1f}")
        sizes.append(f"{sum(file.stat().st_size for file in files_below(run / folder)) / 1e6:.1f}")
    return [f"{name}, {measure}", f"{len(expected):,}", *values, *sizes]


def _call(arguments: Sequence[str]) -> None:
    print(f"\n== stark {' '.join(arguments)}", flush=True)
    subprocess.run(stark_command(list(arguments)), check=True)


def _lines(path: Path) -> list[Line]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    if path.suffix == ".tsv":
        return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Run all data sets, or those that are named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, required=True, help="the encoder's folder")
    parser.add_argument("--data", type=Path, required=True, help="folder of the original data, with glue/ and own/")
    parser.add_argument("--root", type=Path, default=Path("runs/from_file"), help="folder of the runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these data sets")
    options = parser.parse_args()
    places = (options.data.absolute(), options.encoder.absolute(), options.root.absolute())
    head = ["data, score", "rows", *_MODELS, *(f"MB, {model}" for model in _MODELS)]
    print(markdown_table(head, [go(rows, *places) for rows in chosen(ROWS, options.only, "data set")]))


if __name__ == "__main__":
    run_command(main, "from_file")
