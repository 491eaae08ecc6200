"""Numbers and dates as people write them in tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import numpy as np

from ._arguments import Array

#: Text that says nothing.
MISSING = frozenset((
    "", "?", "-", "--", ".",
    "#N/A", "#NA", "N/A", "n/a", "<NA>", "NA", "NaN", "nan", "NULL", "null", "None",
))  # fmt: skip

# Beside the digits: a currency before or behind, a percent sign.
_SIGNS = re.compile(r"^([+-]?)\s*[$€£¥]\s*|\s*[%$€£¥]$")
# Spaces and apostrophes between groups of three digits.
_GAPS = re.compile(r"(?<=\d)[ '\u2019\u00a0\u202f](?=\d{3}(?!\d))")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_COMMAS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_POINTS = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")

_ISO_DATE = re.compile(
    r"(\d{4})[-/](\d\d?)[-/](\d\d?)([T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?\s*(?:Z|[+-]\d\d:?\d\d)?)?"
)
_DOTTED_DATE = re.compile(r"(\d\d?)\.(\d\d?)\.(\d{4})")


def _with_commas(text: str) -> str:
    """As in 2,213.88."""
    return text.replace(",", "") if _COMMAS.fullmatch(text) else text


def _with_decimal_comma(text: str) -> str:
    """As in 2213,88, or 2213.88."""
    return text.replace(",", ".")


def _with_points(text: str) -> str:
    """As in 2.213,88."""
    return (text.replace(".", "") if _POINTS.fullmatch(text) else text).replace(",", ".")


def numbers(texts: Iterable[str | None], decimal_commas: bool = False) -> Array:
    """Return text as float64, NaN where it is None or no number.

    Points and commas are read in the way that leaves fewest out; where two leave out the same, commas
    are decimal points if ``decimal_commas``, else they stand between thousands.
    """
    texts = list(texts)
    bare = {
        text: _GAPS.sub("", _SIGNS.sub(lambda sign: sign[1] or "", text.strip()))
        for text in set(texts)
        if text is not None
    }
    ways: list[Callable[[str], str]] = [_with_commas, _with_decimal_comma, _with_points]
    if decimal_commas:
        ways = [_with_decimal_comma, _with_points, _with_commas]
    read: dict[str, float] = {}
    for way in ways:
        plain = {text: way(written) for text, written in bare.items()}
        found = {text: float(number) for text, number in plain.items() if _NUMBER.fullmatch(number)}
        if len(found) > len(read):
            read = found
    return np.array([np.nan if text is None else read.get(text, np.nan) for text in texts], np.float64)


def dates(texts: Iterable[str | None]) -> Array:
    """Return dates as ISO 8601 or with points in them as datetime64[us], NaT where text is none."""
    texts = list(texts)
    read = {text: _date(text.strip()) for text in set(texts) if text is not None}
    return np.array([None if text is None else read[text] for text in texts], "M8[us]")


def _date(text: str) -> datetime | None:
    iso, dotted = _ISO_DATE.fullmatch(text), _DOTTED_DATE.fullmatch(text)
    if iso is not None:
        year, month, day, clock = iso.groups(default="")
    elif dotted is not None:
        (day, month, year), clock = dotted.groups(), ""
    else:
        return None
    try:
        moment = datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}{clock.replace(',', '.')}")
    except ValueError:  # a 13th month
        return None
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
