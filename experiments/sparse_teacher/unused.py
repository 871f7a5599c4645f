"""SST-2's training rows that a run with `data.train_limit` does not use, as a second evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from datamodules import GLUEDataModule
from pipeline.executors.executor import usable_cores
from stark.forward.classifying import classify
from stark.model_folders.model_folder import load_classifier, model_digest
from stark.storage import write_json, write_text

__all__ = ["UnusedRows"]

_BATCH_SIZE = 256


class UnusedRows:
    """The training rows that are neither in the training split nor in the selection split.

    Args:
        data: The run's data, with ``train_limit``.
        folder: Folder to which the rows are written as a dev split. Accuracies are kept there in ``accuracies.json``,
            because half an hour of evaluations may be interrupted.
    """

    def __init__(self, data: GLUEDataModule, folder: Path) -> None:
        """Write the unused rows."""
        data.setup("fit")
        used = {
            int(index)
            for loader in (data.scoring_dataloader("train"), data.scoring_dataloader("selection"))
            for batch in loader
            for index in batch["idx"]
        }
        assert data.data_dir is not None
        lines = (Path(data.data_dir) / "SST-2/train.tsv").read_text(encoding="utf-8").splitlines()
        kept = [line for number, line in enumerate(lines[1:]) if number not in used]
        if len(kept) + len(used) != len(lines) - 1:
            raise ValueError(f"{data.data_dir}: {len(used)} rows are used and {len(kept)} are not, of {len(lines) - 1}")
        write_text(folder / "SST-2/dev.tsv", "\n".join([lines[0], *kept, ""]))
        self._data = GLUEDataModule(
            data.task.name,
            str(folder),
            data.model_name_or_path,
            batch_size=_BATCH_SIZE,
            cache_dir=str(folder / "cache"),
        )
        self._data.setup("test")
        self._file = folder / "accuracies.json"

    def accuracy(self, model_folder: Path) -> float:
        """The accuracy of a model.

        Args:
            model_folder: The model's folder.

        Returns:
            The accuracy in [0, 1].
        """
        key = f"{self._data.digest('dev')} {model_digest(model_folder)}"
        known: dict[str, float] = json.loads(self._file.read_text()) if self._file.is_file() else {}
        if key in known:
            return known[key]
        model = load_classifier(model_folder).eval()
        right = total = 0
        with torch.inference_mode(), _all_cores():
            for batch in self._data.test_dataloader():
                right += int((self._data.task.problem.predictions(classify(model, batch)) == batch["labels"]).sum())
                total += len(batch["labels"])
        write_json(self._file, {**known, key: right / total})
        return right / total


@contextmanager
def _all_cores() -> Iterator[None]:
    """Use all cores that this process may use. No fit runs meanwhile; parallel fits get fewer cores each."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(before, usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
