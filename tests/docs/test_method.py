"""The notebook."""

import re

import nbclient
import nbformat
import pytest

from tests.docs.pages import DOCS, ROOT


@pytest.mark.slow
def test_the_notebook_ends_with_three_students(monkeypatch):
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(DOCS / "method.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('learning_rate=5e-4), "finetune", 4)', 'learning_rate=5e-4), "finetune", 2)')
        cell.source = cell.source.replace("return fit(module, name, 4,", "return fit(module, name, 1,")
        cell.source = cell.source.replace(
            'write_sample_data(work / "glue")', 'write_sample_data(work / "glue", rows=1500)'
        )
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    said = "".join(output.text for output in outputs if output.get("name") == "stdout")
    teacher, student = (int(number.replace(",", "")) for number in re.findall(r": ([\d,]+) parameters", said))
    assert student < 0.35 * teacher
    scores = re.findall(r"^(nobody|dense teacher|sparse teacher) +(0\.\d{4})$", said, re.MULTILINE)
    assert [name for name, _ in scores] == ["nobody", "dense teacher", "sparse teacher"]
    assert all(float(score) > 0.6 for _, score in scores)
