"""The dense teacher and the chosen student with weights of 8 bits, which a report compares with the student."""

from __future__ import annotations

import math
from importlib.util import find_spec

import torch
from torch import Tensor

from pipeline.deploy.classifier import open_answer
from pipeline.deploy.export.check import read_check
from pipeline.deploy.export.export import export_model
from pipeline.deploy.model_data import data_of
from pipeline.execution.belongings import is_export
from pipeline.parsing.extras import needs_extra
from pipeline.parsing.progress import step
from pipeline.results.summary import Summary
from pipeline.run_folder import Place, RunFolder
from stark.errors import StarkError
from stark.model_folders.model_folder import model_digest
from stark.storage import CHECKSUMS_FILE, DamagedError, file_digest, is_file, read_tensors, write_tensors

__all__ = ["dev_logits", "quantised", "quantised_teacher", "why_not_quantised"]

_MODULES = ("onnx", "onnxscript", "onnxruntime")


def why_not_quantised() -> str:
    """Why models with 8 bits are not made.

    Returns:
        One line; empty if the extra is installed.
    """
    missing = [name for name in _MODULES if find_spec(name) is None]
    return needs_extra("comparing with 8 bits", "onnx", ", ".join(missing)) if missing else ""


def quantised(run: RunFolder, summary: Summary, *, make: bool) -> dict[str, Place]:
    """The dense teacher and the chosen student as ONNX with 8 bits.

    Exports of the present models that `stark export` left in its usual place are used. Others are made in the run's
    folder ``int8`` and used again as long as the models stay the same.

    Args:
        run: Places of the run.
        summary: Its results.
        make: Whether to make exports that are not there.

    Returns:
        The folders of ``teacher`` and ``student``, as far as there are any.

    Raises:
        StarkError: If the data do not exist any more, or the place of an export has something else.
    """
    teacher = quantised_teacher(run, make=make)
    usual = run.at(f"{run.student.name}-onnx-int8")
    student = _quantised(run, "student", run.at(summary.best.folder), usual, make=make)
    return {name: place for name, place in (("teacher", teacher), ("student", student)) if place is not None}


def quantised_teacher(run: RunFolder, *, make: bool) -> Place | None:
    """The dense teacher alone, see `quantised`.

    Args:
        run: Places of the run.
        make: Whether to make an export that is not there.

    Returns:
        Folder of the export; None if there is none.

    Raises:
        StarkError: If the data do not exist any more, or the place of the export has something else.
    """
    return _quantised(run, "teacher", run.dense_teacher, run.finetune / "model-onnx-int8", make=make)


def _quantised(run: RunFolder, name: str, folder: Place, usual: Place, *, make: bool) -> Place | None:
    """A model with 8 bits, which may be in the usual place of `stark export`."""
    source, own = model_digest(folder.path), run.int8 / name
    kept = next((place for place in (usual, own) if _is_of(place, source)), None)
    if kept is None and make:
        with step(f"making the {name} with 8 bits, to compare with"):
            export_model(
                folder.path,
                "onnx",
                own.path,
                data_of(folder.path),
                int8=True,
                # Whatever it loses is reported.
                max_logit_difference=math.inf,
                max_score_loss=math.inf,
            )
        kept = own
    return kept


def _is_of(place: Place, source: str) -> bool:
    """Whether an unchanged export with 8 bits is that of a model."""
    if not is_export(place.path):
        return False
    try:
        check = read_check(place.path)
    except StarkError:
        return False
    return (check.format, check.int8, check.source) == ("onnx", True, source)


def dev_logits(run: RunFolder, exported: Place) -> Tensor:
    """Logits of an exported model for dev, which are kept in the run's folder ``int8``.

    Args:
        run: Places of the run.
        exported: Folder of the export.

    Returns:
        Logits, ``(rows, num_labels)``, in the order of the data file.
    """
    digest = file_digest(exported.path / CHECKSUMS_FILE)
    kept = (run.int8 / f"{exported.name.replace('/', '-')}.safetensors").path
    if is_file(kept):
        try:
            tensors, notes = read_tensors(kept)
        except DamagedError:  # it is only a copy of what can be computed
            tensors, notes = {}, {}
        if notes.get("export") == digest:
            return tensors["logits"]
    data = data_of(exported.path)
    with step(f"evaluating {exported.path} on dev"):
        data.prepare_data()
        data.setup("test")
        answer, batches = open_answer(exported.path), list(data.test_dataloader())
        logits = torch.cat([answer(batch) for batch in batches])[
            torch.cat([batch["idx"] for batch in batches]).argsort()
        ]
    write_tensors(kept, {"logits": logits}, export=digest)
    return logits
