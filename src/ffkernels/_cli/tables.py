"""Tables as people have them: CSV files of numbers, dates and text, with gaps, read into columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import load_digits

from ..tables import Column, label
from . import CommandError

# Beside what pandas takes for missing: nothing, NA, N/A, NaN, null, None and their kin.
_MISSING = ["?", "-", "--", "."]
# A column is one of numbers where so much of what it holds is numbers; the rest is then missing.
_MOSTLY = 0.9
_FEW = 1000
# Text with more different values is left out rather than one-hot encoded.
MAX_CATEGORIES = 32
# Whole numbers with no more different values are classes, unless told otherwise.
_MAX_CLASSES = 20
# A class is to be found among the training, the validation and the test rows.
_MIN_CLASS_ROWS = 3

# What spreadsheets write beside the digits: a currency before or behind, a percent sign.
_SIGNS = r"^(?P<sign>[+-]?)\s*[$€£¥]\s*|\s*[%$€£¥]$"
# Spaces and apostrophes between groups of three digits.
_GAPS = r"(?<=\d)[ '\u2019\u00a0\u202f](?=\d{3}(?!\d))"
_ISO_DATE = r"\d{4}([-/])\d\d?\1\d\d?(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?\s*(?:Z|[+-]\d\d:?\d\d)?)?"
_DOTTED_DATE = r"\d\d?\.\d\d?\.\d{4}"
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
        where missing. Its index counts the rows as pandas does.
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
            na_values=_MISSING,
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
    return pd.DataFrame(columns), remarks


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
    cells = pd.DataFrame(records).fillna("").map(str.strip)
    is_value = cells.apply(lambda text: _numbers(text, False).notna() | _is_date(text)).to_numpy()
    first, below = is_value[0], is_value[1:].any(axis=0)
    is_word = ~first & ~cells.iloc[0].isin(["", "NA", *_MISSING]).to_numpy()
    # Tables without names are often written with 0, 1, 2, ... in their place.
    numbers = cells.iloc[0].to_numpy()[first]
    counts_up = len(numbers) > 2 and list(numbers) == [str(k) for k in range(len(numbers))]
    return bool(not first.any() or (is_word & below).any() or counts_up)


def _is_date(text: pd.Series) -> pd.Series:
    return text.str.fullmatch(_ISO_DATE).fillna(False) | text.str.fullmatch(_DOTTED_DATE).fillna(False)


def _numbers(text: pd.Series, decimal_commas: bool) -> pd.Series:
    """Return text as numbers, with the points and separators by which most of it can be read."""

    def grouped(separator: str, point: str) -> pd.Series:
        pattern = rf"[+-]?\d{{1,3}}(?:{re.escape(separator)}\d{{3}})+(?:{re.escape(point)}\d+)?"
        whole = bare.str.replace(separator, "", regex=False)
        return bare.where(~bare.str.fullmatch(pattern).fillna(False), whole)

    def parsed(written: pd.Series, point: str) -> pd.Series:
        number = pd.to_numeric(written.str.replace(point, ".", regex=False), errors="coerce")
        return number.astype("Float64").astype(np.float64).replace([np.inf, -np.inf], np.nan)

    bare = text.str.replace(_SIGNS, r"\g<sign>", regex=True).str.replace(_GAPS, "", regex=True)
    commas, points = parsed(grouped(",", "."), "."), parsed(grouped(".", ","), ",")
    ways = [commas, parsed(bare, ","), points]
    if decimal_commas:
        ways = [parsed(bare, ","), points, commas]
    return max(ways, key=lambda number: number.count())


def _dates(text: pd.Series) -> pd.Series:
    iso = text.where(text.str.fullmatch(_ISO_DATE).fillna(False)).str.replace("/", "-")
    iso = iso.str.replace(r"-(\d)(?!\d)", r"-0\1", regex=True)
    found = pd.to_datetime(iso, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    dotted = text.where(text.str.fullmatch(_DOTTED_DATE).fillna(False))
    return found.fillna(pd.to_datetime(dotted, format="%d.%m.%Y", errors="coerce"))


def _tidy(column: pd.Series, decimal_commas: bool, known: Column | None) -> tuple[pd.Series, list[str]]:
    """Return a column as `read_csv` does, and what is to be said of it."""
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and not (known and known.dates):
        return column.astype(np.float64).replace([np.inf, -np.inf], np.nan), []
    text = column.astype("string").str.strip()
    text = text.mask(text.isin(["", *_MISSING]))
    as_text = text.astype(object).where(text.notna(), None)
    if _holds_text(known):
        return as_text, []
    if known is None:  # a few rows from everywhere tell most text from numbers and dates
        few = text.dropna().iloc[:: max(1, len(text) // _FEW)]
        if max(_numbers(few, decimal_commas).count(), _dates(few).count()) < len(few) / 2:
            return as_text, []
    numbers, dates = _numbers(text, decimal_commas), _dates(text)
    if dates.count() > numbers.count() if known is None else known.dates:
        values, kind = dates, "dates"
    else:
        values, kind = numbers, "numbers"
    if known is None and values.count() < _MOSTLY * text.count():
        return as_text, []
    if known is not None and text.count() and not values.count():
        example = text.dropna().iloc[0]
        raise CommandError(f"{column.name}: expected {kind} as in the training, got {example!r}")
    remarks = []
    if strays := [repr(stray) for stray in text[values.isna()].dropna().unique()]:
        remarks.append(f"{listed(strays, 3)} taken as missing among {kind}")
    if kind == "numbers":
        plain = pd.to_numeric(text.str.replace("," if decimal_commas else ".", "."), errors="coerce")
        for row in numbers.index[numbers.notna() & plain.isna()][:1]:
            remarks.append(f"{text[row]!r} and the like read as numbers: {label(float(numbers[row]))}")
    return values, remarks


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
    for name in frame.columns:
        given = frame[name].dropna()
        if is_dates(frame[name]):
            columns.append(Column(name, dates=True))
            continue
        if not is_text(frame[name]):
            codes = np.sort(given.unique()).tolist() if name in nominal else []
            columns.append(Column(name, codes if 1 < len(codes) <= MAX_CATEGORIES else None))
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
