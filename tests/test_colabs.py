"""The notebooks run from top to bottom at toy size, and each .ipynb is what its .py says."""

import pathlib

import jupytext
import nbclient
import nbformat
import pytest

COLABS = sorted((pathlib.Path(__file__).parent.parent / "colabs").glob("*.py"))


@pytest.mark.parametrize("script", COLABS, ids=lambda path: path.stem)
def test_notebook_is_that_of_its_script(script):
    expected = jupytext.read(script)
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in expected.cells
    ], f"make it anew: jupytext --to notebook {script.name}"


@pytest.mark.parametrize("script", COLABS, ids=lambda path: path.stem)
def test_notebook_runs(script, monkeypatch):
    monkeypatch.setenv("PGM_TOY", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert pictures, "a notebook shows pictures"
