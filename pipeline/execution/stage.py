"""A stage: a part of a run, with all that its result depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pytorch_lightning import Callback

__all__ = ["CONTENT", "Stage"]

CONTENT = "content of "
"""Prefix of settings whose values are digests, which say nothing to a reader."""


@dataclass(frozen=True)
class Stage:
    """A part of a run: files in, files out.

    What its work reads has to be declared, or a change of it would not run the stage again. A test runs each stage
    with settings that note what is read of them, and without the results of other stages than those in ``needs``.

    Args:
        name: Such as ``trial`` or ``distill/0.5_0.1``.
        needs: Names of the stages whose results go in.
        settings: All settings on which its result depends, and digests of what comes from outside of the run.
        outputs: Files and folders that it leaves, by their paths in the run's folder.
        work: The function that does it. It gets callbacks that watch a fit, and whether to go on with what an
            interrupted one left.
        is_fit: Whether it trains, in a folder of its name.
    """

    name: str
    needs: tuple[str, ...]
    settings: dict[str, Any]
    outputs: tuple[str, ...]
    work: Callable[[Sequence[Callback], bool], None]
    is_fit: bool = False
