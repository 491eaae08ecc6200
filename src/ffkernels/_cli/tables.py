"""Tables as people have them: CSV files of numbers, dates and text, with gaps, read into columns."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import load_digits

from .. import _text
from ..tables import Column, label
from . import CommandError

# A column is one of numbers where so much of what it holds is numbers; the rest is then missing.
_MOSTLY = 0.9
_FEW = 1000
# Text with more different values is left out rather than one-hot encoded.
MAX_CATEGORIES = 32
# Whole numbers with no more different values are classes, unless told otherwise.
_MAX_CLASSES = 20
# A class is to be found among the training, the validation and the test rows.
_MIN_CLASS_ROWS = 3

# What looks like a date, in whatever order.
_ANY_DATE = (
    r"\d{1,4}[-/. ](?:\d\d?|[A-Za-z]{3,9})[-/. ,]+\d{1,4}(?:[T ,].*)?"
    r"|[A-Za-z]{3,9}\.? \d\d?,? \d{4}"
)
# Marks at the beginning of a file by which its encoding is known, the longer first.
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def digits() -> pd.DataFrame:
    """Return scikit-learn's 1797 handwritten digits: 64 pixels of 0 to 16, and the digit."""
    images, digit = load_digits(return_X_y=True, as_frame=True)
    return images.astype(np.float64).assign(digit=digit.astype(np.float64))


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


def find_column(frame: pd.DataFrame, wanted: str) -> str:
    """Return the name of the column that was asked for by name, or by position from 0."""
    names: list[str] = list(frame.columns)
    if wanted in names:
        return wanted
    try:
        return names[int(wanted)]
    except (ValueError, IndexError):
        raise CommandError(f"no column {wanted!r}; there are {listed(names, 20)}") from None


def listed(items: Iterable[object], most: int) -> str:
    """Join items for a message, cut short where they are many."""
    strings = [str(item) for item in items]
    more = f" and {len(strings) - most} more" if len(strings) > most else ""
    return ", ".join(strings[:most]) + more


class Target(NamedTuple):
    """What is to be learnt, of the rows that have it."""

    name: str
    rows: npt.NDArray[np.intp]  # positions in the table
    values: npt.NDArray[Any]  # numbers of classes, intp; or for regression the values, float64
    classes: list[Any] | None  # texts or numbers; None for regression


def find_target(column: pd.Series, task: str | None) -> tuple[Target, list[str]]:
    """Return the target with remarks; whether it holds classes is told from it without a task."""
    name, remarks = str(column.name), []
    given = column.notna().to_numpy()
    if missing := np.count_nonzero(~given):
        remarks.append(f"{missing} of {len(column)} rows left out: {name} is missing")
    rows, values = np.flatnonzero(given), column[given].to_numpy()
    if not len(rows):
        raise CommandError(f"{name}: every value is missing")
    if is_dates(column):
        raise CommandError(f"{name}: expected numbers or classes to predict, got dates")
    if task is None:
        task = "classification" if _are_classes(column) else "regression"
    if task == "regression":
        if is_text(column):
            raise CommandError(f"{name}: regression needs numbers, got {values[0]!r}")
        if (values == values[0]).all():
            raise CommandError(f"{name}: nothing to learn, every value is {label(values[0])}")
        return Target(name, rows, values, None), remarks
    found, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    enough = counts >= _MIN_CLASS_ROWS
    if len(found) == 1:
        raise CommandError(f"{name}: nothing to learn, every value is {label(found[0])}")
    if np.count_nonzero(enough) < 2:
        raise CommandError(
            f"{name}: expected two classes or more of {_MIN_CLASS_ROWS} rows at least, "
            f"got {len(found)} different values in {len(rows)} rows"
        )
    if rare := [label(value) for value in found[~enough]]:
        remarks.append(
            f"rows left out where {name} is {listed(rare, 5)}: fewer than {_MIN_CLASS_ROWS} of a class"
        )
        kept = enough[numbers]
        rows, numbers = rows[kept], (np.cumsum(enough) - 1)[numbers[kept]]
    classes = found[enough].tolist()
    if all(isinstance(value, float) and value.is_integer() for value in classes):
        classes = [int(value) for value in classes]
    return Target(name, rows, numbers, classes), remarks


def _are_classes(column: pd.Series) -> bool:
    if is_text(column):
        return True
    different = column.dropna().unique()
    few = len(different) <= min(_MAX_CLASSES, column.count() / _MIN_CLASS_ROWS)
    return few and bool((different == np.round(different)).all())


def choose_columns(
    frame: pd.DataFrame, nominal: Collection[str] = (), keep: Collection[str] = ()
) -> tuple[list[Column], list[str]]:
    """Return the columns that can be inputs, and why others are left out.

    Parameters
    ----------
    frame : DataFrame
    nominal : names of columns
        Those of numbers that are codes, to be taken for categories if they are few.
    keep : names of columns
        Those of text to be taken however many different values they have.
    """
    columns, remarks = [], []
    decimal_commas = bool(frame.attrs.get("decimal_commas"))
    for name in frame.columns:
        given = frame[name].dropna()
        if is_dates(frame[name]):
            columns.append(Column(name, dates=True))
            continue
        if not is_text(frame[name]):
            codes = np.sort(given.unique()).tolist() if name in nominal else []
            few = 1 < len(codes) <= MAX_CATEGORIES
            columns.append(Column(name, codes if few else None, decimal_commas=decimal_commas))
            continue
        categories = sorted(given.unique())
        figure = f"{len(categories)} different values in {len(given)} rows"
        if len(categories) < 2:
            remarks.append(f"left out {name}: text, the same in every row")
        elif name in keep or len(categories) <= min(MAX_CATEGORIES, len(given) / 2):
            columns.append(Column(name, categories))
        elif given.str.fullmatch(_ANY_DATE).mean() >= _MOSTLY:
            remarks.append(
                f"left out {name}: dates such as {given.iloc[0]!r}, of which the order of day, month "
                "and year is not certain; such as 2024-01-31 can be read"
            )
        else:
            remarks.append(f"left out {name}: text ({figure})")
    return columns, remarks
