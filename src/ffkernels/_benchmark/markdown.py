"""Tables: as Markdown, and aligned for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Row = Sequence[str]


def _filled(header: Row, rows: Iterable[Row]) -> list[list[str]]:
    """Return the lines of a table without the columns that are empty."""
    rows = list(rows)
    kept = [k for k in range(len(header)) if any(row[k] for row in rows)]
    return [[line[k] for k in kept] for line in (header, *rows)]


def table(header: Row, rows: Iterable[Row]) -> str:
    """Return a Markdown table without the columns that are empty."""
    first, *lines = _filled([name.replace("\n", " ") for name in header], rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in (first, ["---"] * len(first), *lines))


def aligned(header: Row, groups: Mapping[str, Iterable[Row]], left: int = 1) -> str:
    """Return a table for a terminal: some columns to the left, figures to the right.

    A header may have two lines. Each group of rows stands under its name.
    """
    groups = {name: list(rows) for name, rows in groups.items()}
    first, *lines = _filled(header, [row for rows in groups.values() for row in rows])
    split = [name.rpartition("\n") for name in first]
    heads = [[above for above, *_ in split], [below for *_, below in split]]
    widths = [max(map(len, column)) for column in zip(*heads, *lines, strict=True)]

    def line(cells: Row) -> str:
        to = [str.ljust] * left + [str.rjust] * (len(cells) - left)
        filled = (f(cell, width) for f, cell, width in zip(to, cells, widths, strict=True))
        return ("  " + "  ".join(filled)).rstrip()

    text = [line(head) for head in heads if any(head)]
    for name, rows in groups.items():
        text.append(name)
        text += [line(lines.pop(0)) for _ in rows]
    return "\n".join(text)
