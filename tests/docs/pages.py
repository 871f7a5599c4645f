"""Runs what a page of docs/ says."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def follow(page, folder):
    """Write a page's files and run its commands, in their order; training is cut short."""
    place = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    done = []
    for language, title, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if title:
            (folder / title).write_text(text)
        elif language == "console":
            command = re.sub(r"epochs \d+", "epochs 1", text).replace("[0.1,0.3]", "[0.2]")
            # As bash would read it, so that a page that lacks a backslash is noticed.
            ran = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
            done.append(ran.stdout)
    return done
