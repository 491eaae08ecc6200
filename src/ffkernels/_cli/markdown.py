"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table without the columns that are empty."""
    rows = list(rows)
    kept = [k for k in range(len(header)) if any(row[k] for row in rows)]
    lines = [[header[k] for k in kept], ["---"] * len(kept), *([row[k] for k in kept] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
