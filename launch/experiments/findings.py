"""What an experiment returns (tables, figures, and claims that hold or fail), and how it is written.

An experiment is a function `run(config, key) -> Findings`, with `config` the whole ConfigDict of its file in
`configs/toys/` and `key` a `jax.random.key`. It prints nothing and writes nothing: `launch.toys` does,
by `show` and `write`.
"""

import csv
import io
import math
import operator
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from rich import box
from rich import table as rich_table
from rich.console import Console
from rich.text import Text

from launch.runs import METRICS, write_json, write_text

# A word, a number, (value, spread), which is written value ± spread, or None, which is written -.
Cell = str | bool | int | float | tuple[float, float] | None
PARAGRAPH = 60  # characters; a table with a longer cell has blank lines between its rows


class Table(NamedTuple):
    """Rows of cells under column heads; the caption gives units and counts."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


class Claim(NamedTuple):
    """What is claimed, the measured value, its bound (such as "≤ 0.013"), and whether the claim holds."""

    text: str
    value: Cell
    bound: Cell
    holds: bool


def bounded(text: str, value: float, sign: str, bound: float, words: str = "") -> Claim:
    """The claim that a value is "≤", "≥", "<", ">" or "=" a bound, which is written as `words`."""
    holds = {"≤": operator.le, "≥": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq}[sign]
    return Claim(text, value, f"{sign} {words or f'{bound:g}'}", bool(holds(value, bound)))


class Findings(NamedTuple):
    """The result of an experiment; the keys of `figures` are file names without a suffix."""

    tables: Sequence[Table]
    figures: dict[str, Figure]
    claims: Sequence[Claim] = ()


def mean_and_deviation(values: ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation as a cell; the deviation of a single value is 0."""
    values = np.asarray(values)
    return float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else 0.0


def written(cell: Cell) -> str:
    """A cell as text: numbers to four digits, a value with a spread to two digits of the spread."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str | int):
        return str(cell)
    if isinstance(cell, tuple):
        value, spread = cell
        if not (spread > 0 and math.isfinite(spread) and math.isfinite(value)):
            return f"{written(value)} ± {written(spread)}"
        digits = max(0, 1 - math.floor(math.log10(spread)))
        return f"{value:.{digits}f} ± {spread:.{digits}f}" if digits < 7 else f"{value:.4g} ± {spread:.2g}"
    return f"{cell:.4g}"


def printable(table: Table) -> rich_table.Table:
    """A table for a rich console; brackets in its cells are not markup."""
    shown = rich_table.Table(
        title=Text(table.title),
        title_justify="left",
        title_style="bold",
        caption=Text(table.caption) if table.caption else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        leading=any(len(written(cell)) > PARAGRAPH for row in table.rows for cell in row),
    )
    for index, column in enumerate(table.columns):
        words = any(isinstance(row[index], str) for row in table.rows)
        # Heads and text may wrap, numbers may not.
        width = None if words else max((len(written(row[index])) for row in table.rows), default=None)
        shown.add_column(Text(column), justify="left" if words else "right", min_width=width)
    for row in table.rows:
        shown.add_row(*(Text(written(cell)) for cell in row))
    return shown


def markdown(table: Table) -> str:
    """A table in Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    lines = [line(table.columns), "|" + "---|" * len(table.columns), *(line([*map(written, r)]) for r in table.rows)]
    return "\n".join([f"### {table.title}", "", *lines, *(["", table.caption] if table.caption else []), ""])


def comma_separated(table: Table) -> str:
    """A table as CSV, numbers to all digits; a column in which any value has a spread becomes two columns."""
    paired = [any(isinstance(row[i], tuple) for row in table.rows) for i in range(len(table.columns))]

    def line(row: Sequence[Any]) -> list[Any]:
        cells = []
        for cell, pair in zip(row, paired, strict=True):
            cells += [*(cell if isinstance(cell, tuple) else (cell, None))] if pair else [cell]
        return cells

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [[name, f"{name} spread"] if pair else [name] for name, pair in zip(table.columns, paired, strict=True)]
    writer.writerow([name for head in heads for name in head])
    writer.writerows(line(row) for row in table.rows)
    return text.getvalue()


def write(folder: Path, findings: Findings, seconds: float) -> None:
    """Write figures, tables and metrics.json into the folder of a run."""
    for name, figure in findings.figures.items():
        figure.savefig(folder / f"{name}.png", dpi=160)
    for table in findings.tables:
        write_text(folder / f"{file_name(table.title)}.csv", comma_separated(table))
    write_text(folder / "tables.md", "\n".join(map(markdown, findings.tables)))
    claims, tables = ([each._asdict() for each in kind] for kind in (findings.claims, findings.tables))
    write_json(folder / METRICS, dict(seconds=round(seconds, 2), claims=claims, tables=tables))


def file_name(title: str) -> str:
    """A file name made from the title of a table."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:60]


def show(console: Console, findings: Findings) -> None:
    """Print the tables, then each claim with a tick or a cross."""
    for table in findings.tables:
        console.print(printable(table), "")
    for claim in findings.claims:
        mark = ("✓", "green") if claim.holds else ("✗", "bold red")
        console.print(Text.assemble(mark, f" {claim.text}: {written(claim.value)} ({written(claim.bound)})"))
