"""Notebooks become pages of the gallery: prose, code, and what the cells print and draw.

`make docs` runs them into .cache/notebooks/ first; without that, the pages show the code alone.
"""

import base64
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_EXECUTED = _ROOT / ".cache" / "notebooks"
_LINK = re.compile(r"`(\d\d_\w+)\.ipynb`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, and the pictures that it draws."""
    for script in sorted((_ROOT / "colabs").glob("*.py")):
        executed, bare = _EXECUTED / f"{script.stem}.ipynb", script.with_suffix(".ipynb")
        notebook = nbformat.read(executed if executed.exists() else bare, as_version=4)
        for path, content in _page(script.stem, notebook):
            files.append(File.generated(config, path, content=content))
    return files


def _page(name: str, notebook: Any) -> Iterator[tuple[str, str | bytes]]:
    parts, pictures, title = [], 0, name
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = re.search(r"^#+ (.+)$", cell.source, re.MULTILINE)
            title = heading[1] if heading else title
            parts.append(_LINK.sub(r"[\1](\1.md)", cell.source))
            continue
        parts.append(_fence("python", cell.source))
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                pictures += 1
                yield f"gallery/{name}/{pictures}.png", base64.b64decode(data["image/png"])
                parts.append(f"![{title}, figure {pictures}]({name}/{pictures}.png)")
            elif text := output.get("text") if output.output_type == "stream" else data.get("text/plain"):
                parts.append(_fence("{ .text .output }", text))
    note = f"*This page is the notebook `colabs/{name}.ipynb`.*"
    head, *rest = parts
    yield f"gallery/{name}.md", "\n\n".join([head, note, *rest])


def _fence(language: str, text: str) -> str:
    return f"````{language}\n{text.rstrip()}\n````"
