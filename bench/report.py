"""Documents that keep tables between two markers."""

from __future__ import annotations

from pathlib import Path


def write_section(path: str, name: str, text: str) -> None:
    """Replaces what stands between `<!-- name -->` and `<!-- end of name -->`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    document = Path(path).read_text()
    before, found_begin, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{path}: expected the lines {begin.strip()} and {end.strip()}")
    Path(path).write_text(before + begin + "\n" + text + "\n" + end + after)
