"""A stage: a part of a run, with everything that its result depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytorch_lightning import Callback

__all__ = ["CONTENT", "Stage"]

CONTENT = "content of "
"""Prefix of settings whose values are digests, which are not shown to users."""


@dataclass(frozen=True)
class Stage:
    """A part of a run that reads files and writes files.

    All inputs of its work must be declared; otherwise a changed input would not cause the stage to run again. A test
    checks this: it runs each stage with settings that record which of them are read, and without the results of stages
    that are not in ``needs``.

    Args:
        name: Name of the stage, such as ``trial`` or ``distill/0.5_0.1``.
        needs: Names of the stages whose results it reads.
        settings: All settings that affect its result, and digests of the inputs from outside of the run.
        outputs: Files and folders that it writes, by their paths in the run's folder.
        work: Function that does the work. Its arguments are callbacks for a fit, and whether to resume from the files
            of an interrupted attempt.
        is_fit: Whether the stage trains, in a folder with its name.
    """

    name: str
    needs: tuple[str, ...]
    settings: dict[str, Any]
    outputs: tuple[str, ...]
    work: Callable[[Sequence[Callback], bool], None]
    is_fit: bool = False
