"""The page of a sweep: its front as a picture, and all finished trials."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from pipeline.report.page import Page, Table
from pipeline.run_folder import RunFolder
from pipeline.sweep.front_picture import front_picture, trial_marks
from pipeline.sweep.results import TRIALS, Results, Trial, number_text, read_results, short

__all__ = ["page_of_sweep", "pages_to_make"]

_VERBS = {"maximize": "as large as possible", "minimize": "as small as possible"}


def pages_to_make(folder: Path) -> list[Path]:
    """The runs of the front that have no page yet.

    Args:
        folder: The sweep's folder.

    Returns:
        Their folders.

    Raises:
        StarkError: If ``sweep.json`` is damaged.
    """
    runs = [folder / TRIALS / trial.name for trial in read_results(folder).trials if trial.is_best]
    return [run for run in runs if RunFolder(run).is_run and not RunFolder(run).report.is_file()]


def page_of_sweep(folder: Path, target: Path) -> Page:
    """Make the page of a sweep.

    Args:
        folder: The sweep's folder.
        target: The page's file, from which links lead to the pages of the runs that have one.

    Returns:
        The page.

    Raises:
        StarkError: If ``sweep.json`` is damaged.
    """
    results = read_results(folder)
    pages = {trial.name: RunFolder(folder / TRIALS / trial.name).report for trial in results.trials}
    links = {
        name: quote(os.path.relpath(page.absolute(), target.absolute().parent))
        for name, page in pages.items()
        if page.is_file()
    }
    return Page(
        title=f"{folder.absolute().name}: a sweep of {len(results.trials)} trials",
        headline=_headline(results),
        pictures=[front_picture(results, links)] if results.trials else [],
        tables=[_trials(results, links)] if results.trials else [],
    )


def _headline(results: Results) -> list[str]:
    asked = ", ".join(f"{name} {_VERBS[direction]}" for name, direction in results.objectives.items())
    limits = ", ".join(f"{name} at most {number_text(name, most)}" for name, most in results.constraints.items())
    above = sum(not trial.is_allowed for trial in results.trials)
    lines = [_answer(results), f"Asked for: {asked}."]
    if limits:
        lines.append(f"Limits: {limits}; {above} of the {len(results.trials)} trials are above.")
    if "score" in results.measured:
        lines.append(
            "The score is that on the selection split. The best of many trials is also the luckiest one there: the "
            "page of its run has the score on the development set, which decided nothing."
        )
    return lines


def _answer(results: Results) -> str:
    best = [trial for trial in results.trials if trial.is_best]
    if not best:
        return "No trial is finished." if not results.trials else "No trial keeps the limits."
    if len(results.objectives) == 1:
        return f"The best trial is {best[0].name}: {_numbers(results, best[0])}."
    other = "no other trial that keeps the limits" if results.constraints else "no other trial"
    return (
        f"{len(best)} of {len(results.trials)} trials are on the front: {other} is better in one objective and as good "
        "in the others."
    )


def _numbers(results: Results, trial: Trial) -> str:
    return ", ".join(f"{name} {number_text(name, trial.measured[name])}" for name in results.measured)


def _trials(results: Results, links: dict[str, str]) -> Table:
    marks = trial_marks(results)
    names, searched = [trial.name for trial in results.trials], list(results.trials[0].settings)
    rows = [
        [
            trial.name + (" *" if trial.is_best else "" if trial.is_allowed else " -"),
            *(short(value) for value in trial.settings.values()),
            *(number_text(name, trial.measured[name]) for name in results.measured),
        ]
        for trial in results.trials
    ]
    note = "* the best one" if len(results.objectives) == 1 else "* on the front"
    if results.constraints:
        note += "; - above a limit"
    note += ". Each trial is a run, a name leads to the run's page if it has one, which stark report makes."
    return Table(
        "Trials",
        ["", *searched, *results.measured],
        rows,
        note,
        [marks[name] for name in names],
        [links.get(name) for name in names],
    )
