"""What an experiment hands back: tables, figures, and claims of which each holds or does not; how they are written.

An experiment is a function `run(config, key) -> Findings`, with `config` the whole ConfigDict of its file in
`configs/toys/` and `key` a `jax.random.key`. It prints nothing and writes nothing: `launch.toys` does.
"""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from rich import box
from rich import table as rich_table
from rich.text import Text

# A word, a number, (value, spread), which is written value ± spread, or None, which is written -.
Cell = str | bool | int | float | tuple[float, float] | None
PARAGRAPH = 60  # letters in a cell, beyond which blank lines part the rows


class Table(NamedTuple):
    """Rows of cells under their columns; the caption says units and counts."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


class Claim(NamedTuple):
    """What must hold, what was measured, what it is held against (such as "≤ 0.013"), and whether it holds."""

    text: str
    value: Cell
    bound: Cell
    holds: bool


class Findings(NamedTuple):
    """All that an experiment found; `figures` by the names of their files, without a suffix."""

    tables: Sequence[Table]
    figures: dict[str, Figure]
    claims: Sequence[Claim] = ()


def written(cell: Cell) -> str:
    """Words as they are, numbers to four digits, a value with its spread to two digits of the spread."""
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
    """A table for a rich console, its words as they are: brackets are no markup."""
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
        # Heads and words may be broken into lines, numbers may not.
        width = None if words else max((len(written(row[index])) for row in table.rows), default=None)
        shown.add_column(Text(column), justify="left" if words else "right", min_width=width)
    for row in table.rows:
        shown.add_row(*(Text(written(cell)) for cell in row))
    return shown


def markdown(table: Table) -> str:
    """A table as it stands in a README."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    lines = [line(table.columns), "|" + "---|" * len(table.columns), *(line([*map(written, r)]) for r in table.rows)]
    return "\n".join([f"### {table.title}", "", *lines, *(["", table.caption] if table.caption else []), ""])


def comma_separated(table: Table) -> str:
    """A table with its numbers to all digits; a column in which any value has a spread becomes two."""
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
