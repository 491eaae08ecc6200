"""CSV files as people have them: numbers, dates and text, with gaps, read into columns."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .. import _text
from .._command import CommandError
from ..tables import Column, label

# A column is one of numbers where so much of what it holds is numbers; the rest is then missing.
_MOSTLY = 0.9
# Values by which most text is told from numbers and dates.
_FEW = 1000
# Marks at the beginning of a file by which its encoding is known, the longer first.
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def read_csv(
    path: Path, known: Mapping[str, Column] | None = None, as_text: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Read a file with commas, semicolons, tabs or bars between the values.

    A first line of names is told from a first line of values. Decimal commas are understood where
    semicolons or tabs stand between the values; so are thousands separators, and signs of percent and
    currency beside numbers.

    Parameters
    ----------
    path : Path
    known : dict of Column, optional
        What columns hold by name, of those for which it is not to be told from the file.
    as_text : names of columns, optional
        Those that are text whatever they hold.

    Returns
    -------
    DataFrame
        Columns of float64, NaN where missing; of datetime64, NaT where missing; or of strings, None
        where missing. Its index counts the rows as pandas does; its attribute "decimal_commas" says
        how text was read that can be read in two ways.
    list of str
        What the user should know of the reading.
    """
    known = dict(known or {}) | {name: Column(name, [""]) for name in as_text}
    try:
        encoding = _encoding(path)
        delimiter, names, header, remarks = _layout(path, encoding)
        texts = [name for name in names if _holds_text(known.get(name))]
        frame = pd.read_csv(
            path,
            sep=delimiter,
            names=names,
            header=header,
            dtype=dict.fromkeys(texts, str),
            encoding=encoding,
            encoding_errors="replace",
            decimal="," if delimiter in ";\t" else ".",
            na_values=list(_text.MISSING),
            keep_default_na=False,
            skipinitialspace=True,
            index_col=False,
            low_memory=False,
        )
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    except (csv.Error, ValueError) as error:  # of which pandas' parser errors are
        raise CommandError(f"{path}: {' '.join(str(error).split())}") from None
    if frame.empty:
        raise CommandError(f"{path}: no rows below the names")
    columns = {}
    for name, column in frame.items():
        columns[name], more = _tidy(column, delimiter in ";\t", known.get(str(name)))
        remarks += [f"{name}: {remark}" for remark in more]
    table = pd.DataFrame(columns)
    table.attrs["decimal_commas"] = delimiter in ";\t"
    return table, remarks


def _holds_text(column: Column | None) -> bool:
    return column is not None and column.categories is not None and isinstance(column.categories[0], str)


def _encoding(path: Path) -> str:
    """Return the encoding that a mark names, UTF-8 if the file is that, else what Windows writes."""
    with open(path, "rb") as file:
        start = file.read(1 << 20)
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if b"\0" in start:
        raise CommandError(f"{path}: expected text, got a file with zero bytes; save it as CSV")
    try:
        with open(path, encoding="utf-8-sig") as text:
            while text.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _layout(path: Path, encoding: str) -> tuple[str, list[str], int | None, list[str]]:
    """Return what stands between the values, the names, pandas' number of their line, and remarks."""

    def records(delimiter: str) -> Iterable[tuple[int, list[str]]]:
        """Yield each with the number of the line that it ends on; blank ones count for nothing."""
        with open(path, encoding=encoding, errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            for record in reader:
                if record and (len(record) > 1 or record[0].strip()):
                    yield reader.line_num, record

    samples = {
        delimiter: [record for _, record in islice(records(delimiter), 20)] for delimiter in "\t;|,"
    }

    def regular(delimiter: str) -> tuple[bool, int]:
        widths = [len(record) for record in samples[delimiter]]
        same = min(widths) == max(widths) > 1
        return same, 0 if same else widths[0]

    if not samples[","]:
        raise CommandError(f"{path}: the file is empty")
    delimiter = max(samples, key=regular)
    first, width = samples[delimiter][0], len(samples[delimiter][0])
    remarks, short = [], []
    for line, record in records(delimiter):
        if len(record) > width:
            # pandas would drop the last values, or take the first for names of rows.
            raise CommandError(
                f"{path}: the first line has {width} values, line {line} has {len(record)}"
            )
        if len(record) < width:
            short.append(line)
    if short:
        lines = f"line {short[0]}" if len(short) == 1 else f"lines {listed(short, 3)}"
        remarks.append(f"fewer than {width} values in {lines}: the rest taken as missing")
    if not _begins_with_names(samples[delimiter]):
        names = [f"column {k}" for k in range(width)]
        remarks.insert(0, f"no line of names: the columns are called {listed(names, 2)}")
        return delimiter, names, None, remarks
    names = unique(name.strip() or f"column {k}" for k, name in enumerate(first))
    if all(name.isdigit() for name in names):
        remarks.insert(0, f"the first line, {listed(names, 3)}, taken for names")
    return delimiter, names, 0, remarks


def unique(names: Iterable[str]) -> list[str]:
    """Return names as pandas tells equal ones apart: a, a.1, a.2."""
    taken: list[str] = []
    for name in names:
        count, free = 0, name
        while free in taken:
            count += 1
            free = f"{name}.{count}"
        taken.append(free)
    return taken


def _begins_with_names(records: list[list[str]]) -> bool:
    width = max(map(len, records))
    columns = [[record[k].strip() for record in records if k < len(record)] for k in range(width)]
    is_value = [~np.isnan(_text.numbers(cells)) | ~np.isnat(_text.dates(cells)) for cells in columns]
    names = [cells[0] for cells in columns]
    first, below = (np.array([which(values) for values in is_value]) for which in (_first, _any_below))
    is_word = ~first & np.array([name not in _text.MISSING for name in names])
    # Tables without names are often written with 0, 1, 2, ... in their place.
    numbers = [name for name, is_number in zip(names, first, strict=True) if is_number]
    counts_up = len(numbers) > 2 and numbers == [str(k) for k in range(len(numbers))]
    return bool(not first.any() or (is_word & below).any() or counts_up)


def _first(values: npt.NDArray[np.bool_]) -> bool:
    return bool(values[0])


def _any_below(values: npt.NDArray[np.bool_]) -> bool:
    return bool(values[1:].any())


def _tidy(column: pd.Series, decimal_commas: bool, known: Column | None) -> tuple[pd.Series, list[str]]:
    """Return a column as `read_csv` does, and what is to be said of it."""
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and not (known and known.dates):
        return column.astype(np.float64).replace([np.inf, -np.inf], np.nan), []
    texts = [None if pd.isna(item) else str(item).strip() for item in column.tolist()]
    texts = [None if text in _text.MISSING else text for text in texts]
    as_text = pd.Series(texts, column.index, object)
    given = [text for text in texts if text is not None]
    if _holds_text(known):
        return as_text, []
    if known is None:  # a few rows from everywhere tell most text from numbers and dates
        few = given[:: max(1, len(given) // _FEW)]
        if max(_count(_text.numbers(few)), _count(_text.dates(few))) < len(few) / 2:
            return as_text, []
    numbers, dates = _text.numbers(texts, decimal_commas), _text.dates(texts)
    as_dates = _count(dates) > _count(numbers) if known is None else known.dates
    values, kind = (dates, "dates") if as_dates else (numbers, "numbers")
    if known is None and _count(values) < _MOSTLY * len(given):
        return as_text, []
    if known is not None and given and not _count(values):
        raise CommandError(f"{column.name}: expected {kind} as in the training, got {given[0]!r}")
    remarks = []
    gone = np.isnat(values) if as_dates else np.isnan(values)
    if strays := dict.fromkeys(
        repr(text) for text, none in zip(texts, gone, strict=True) if none and text is not None
    ):
        remarks.append(f"{listed(strays, 3)} taken as missing among {kind}")
    if not as_dates:
        for text, number in zip(texts, numbers.tolist(), strict=True):
            if text is not None and not np.isnan(number) and not _is_plain(text, decimal_commas):
                remarks.append(f"{text!r} and the like read as numbers: {label(number)}")
                break
    return pd.Series(values, column.index), remarks


def _count(values: npt.NDArray[Any]) -> int:
    return int(np.count_nonzero(~np.isnat(values) if values.dtype.kind == "M" else ~np.isnan(values)))


def _is_plain(text: str, decimal_commas: bool) -> bool:
    try:
        float(text.replace(",", ".") if decimal_commas else text)
    except ValueError:
        return False
    return True


def is_text(column: pd.Series) -> bool:
    """Tell text from the other kinds of columns that `read_csv` returns."""
    return bool(column.dtype == object)


def is_dates(column: pd.Series) -> bool:
    """Tell dates from the other kinds of columns that `read_csv` returns."""
    return bool(column.dtype.kind == "M")


def listed(items: Iterable[object], most: int) -> str:
    """Join items for a message, cut short where they are many."""
    strings = [str(item) for item in items]
    more = f" and {len(strings) - most} more" if len(strings) > most else ""
    return ", ".join(strings[:most]) + more
