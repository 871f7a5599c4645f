"""Runs the commands and the code of a page of docs/."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ROWS = 240
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def shorten(folder):
    """Keep only a few rows of generated data, because training and measuring on all of them takes long."""
    for file in folder.glob("sample_data/**/*.tsv"):
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:ROWS]))


def files(page):
    """The contents of the files that a page shows, by name."""
    return {title: text for _, title, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")) if title}


def follow(page, folder, warm):
    """Write a page's files and run its commands, in their order, on few rows and for one epoch.

    Args:
        page: Name of the page.
        folder: Folder in which the commands run.
        warm: Folder of `python` and `stark` (see tests/warm).
    """
    environment = {**os.environ, "PATH": f"{warm}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    environment["STARK_TESTS_BEFORE"] = "tests.docs.shorter"
    done = []
    for language, title, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if title:
            (folder / title).write_text(text)
        elif language == "console":
            command = re.sub(r"epochs \d+", "epochs 1", text).replace("[0.1,0.3]", "[0.2]")
            # Run by bash, so that the test notices a missing backslash.
            ran = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
            done.append(ran.stdout)
            if "stark sample-data" in command:
                shorten(folder)
    return done
