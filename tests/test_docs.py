"""The pages of docs/ do what they say: their commands and programs are run, and the site is built without a warning."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parent.parent
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


def test_the_tutorial_ends_with_labelled_rows(tmp_path):
    follow("tutorial.md", tmp_path)
    rows = (tmp_path / "labelled.csv").read_text().splitlines()
    assert rows[0] == "body,stars,predicted,probability,probability_bad,probability_good"
    assert len(rows) == len((tmp_path / "dev.csv").read_text().splitlines())
    assert (tmp_path / "runs/reviews/report.html").is_file()
    assert (tmp_path / "runs/reviews/student/README.md").read_text().startswith("---\nlanguage: en\n")


def test_what_is_added_works(tmp_path):
    _, scored, _ = follow("extending.md", tmp_path)
    heads, neurons = map(int, re.findall(r"\d+", scored))
    assert 0 < heads < neurons
    assert (tmp_path / "certain_teacher/model.safetensors").is_file()
    assert (tmp_path / "runs/distill/model/model.safetensors").is_file()


def test_the_notebook_ends_with_three_students(monkeypatch):
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(DOCS / "method.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('learning_rate=1e-3), "finetune", 4)', 'learning_rate=1e-3), "finetune", 2)')
        cell.source = cell.source.replace("return fit(module, name, 4,", "return fit(module, name, 1,")
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    said = "".join(output.text for output in outputs if output.get("name") == "stdout")
    teacher, student = (int(number.replace(",", "")) for number in re.findall(r": ([\d,]+) parameters", said))
    assert student < 0.35 * teacher
    scores = re.findall(r"^(nobody|dense teacher|sparse teacher) +(0\.\d{4})$", said, re.MULTILINE)
    assert [name for name, _ in scores] == ["nobody", "dense teacher", "sparse teacher"]
    assert all(float(score) > 0.6 for _, score in scores)


def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    reference = (tmp_path / "site/reference/functional.html").read_text()
    assert "<math" in reference
    assert "arithmatex" not in reference
    # Configs are the packaged ones.
    page = re.sub(r"<[^>]+>", "", (tmp_path / "site/stages/prune.html").read_text())
    assert (ROOT / "configs/prune.yaml").read_text().splitlines()[1] in page


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("*.md")))
def test_links_of_the_front_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
        assert target.startswith(("https://", "mailto:")) or (ROOT / target).exists(), target
