"""GLUE's sample data as a user's own task, shared by the tests of data and pipeline."""

import csv
import json
from pathlib import Path

from datamodules import find_task, read_own_task
from datamodules.sources.opening import open_source
from tests.tasks import TinyTask

DESCRIPTIONS = {
    "sst2": "text: sentence\nlabel: feeling\nlabels: [negative, positive]\n",
    "mrpc": "text: one\ntext_pair: two\nlabel: same\nlabels: ['0', '1']\nmetrics: [accuracy, f1]\n",
    "stsb": "text: one\ntext_pair: two\nlabel: score\nlabels: [similarity]\n",
}


def write_own(task: str, tiny_task: TinyTask, folder: Path, ending: str) -> Path:
    """Write GLUE's sample files of a task as a user's own task, and return the path of its description."""
    glue, source = find_task(task), open_source(find_task(task), str(tiny_task.data_dir))
    text = "".join(f"{split}: {split}.{ending}\n" for split in ("train", "dev", "test")) + DESCRIPTIONS[task]
    (folder / f"own_{task}.yaml").write_text(text)
    own = read_own_task(folder / f"own_{task}.yaml")
    for split in own.splits:
        rows = source.rows(split)
        columns = dict(zip(own.texts, (rows.text_a, rows.text_b), strict=False))
        if rows.labels is not None:
            names = own.label_names
            columns[own.label] = (
                rows.labels if not glue.problem.has_classes else [names[int(label)] for label in rows.labels]
            )
        lines = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        with own.files[split].open("w", newline="") as file:
            if ending == "jsonl":
                file.writelines(json.dumps(line) + "\n" for line in lines)
            elif ending == "tsv":  # quotation marks are text
                file.writelines(
                    "\t".join(map(str, cells)) + "\n" for cells in [columns, *(line.values() for line in lines)]
                )
            else:
                writer = csv.DictWriter(file, list(columns))
                writer.writeheader()
                writer.writerows(lines)
    return folder / f"own_{task}.yaml"


def write_several(tiny_task: TinyTask, folder: Path) -> Path:
    """Write SST-2's sample rows with any of three labels each, and return the path of the description.

    One label is the feeling; the others are known from the text's length, so that all of them can be learned.
    """
    source = open_source(find_task("sst2"), str(tiny_task.data_dir))
    for split in ("train", "dev"):
        rows = source.rows(split)
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "labels"])
            for text, label in zip(rows.text_a, rows.labels or (), strict=True):
                words = len(text.split())
                known = {"good": label == 1, "long": words > 12, "short": words < 9}
                writer.writerow([text, "|".join(name for name, has in known.items() if has) or "[]"])
    path = folder / "several.yaml"
    path.write_text(
        "train: train.csv\ndev: dev.csv\ntext: text\nlabel: labels\nlabel_separator: '|'\nlabels: [good, long, short]\n"
        "metrics: [micro_f1, macro_f1, mean_average_precision, accuracy]\n"
    )
    return path


def write_ranking(tiny_task: TinyTask, folder: Path) -> Path:
    """Write STS-B's sample rows as documents of queries, three for each, and return the path of the description."""
    source = open_source(find_task("stsb"), str(tiny_task.data_dir))
    for split in ("train", "dev"):
        rows = source.rows(split)
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["query", "document", "relevance"])
            for row, (text, label) in enumerate(zip(rows.text_b or (), rows.labels or (), strict=True)):
                writer.writerow([f"query {row // 3}", text, label])
    path = folder / "ranked.yaml"
    path.write_text(
        "train: train.csv\ndev: dev.csv\ntext: query\ntext_pair: document\nlabel: relevance\nkind: ranking\n"
    )
    return path
