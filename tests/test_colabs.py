"""The notebooks run from top to bottom at toy size, and each .ipynb is what its .py says.

They run as scripts in this process, so that they share its programs; building the documentation runs them as notebooks.
"""

import pathlib
import runpy

import jupytext
import matplotlib.pyplot as plt
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
def test_notebook_runs(script, monkeypatch, tmp_path):
    pictures = []

    def show():
        for number in plt.get_fignums():
            pictures.append(tmp_path / f"{len(pictures)}.png")
            plt.figure(number).savefig(pictures[-1])
        plt.close("all")

    monkeypatch.setenv("PGM_TOY", "1")
    monkeypatch.setattr(plt, "show", show)
    runpy.run_path(str(script), run_name="__main__")
    assert pictures, "a notebook shows pictures"
