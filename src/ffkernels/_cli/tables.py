"""Tables as people have them: CSV files of numbers and text, with gaps, read into columns."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import load_digits

from . import CommandError

# Beside what pandas takes for missing: nothing, NA, N/A, NaN, null, None and their kin.
_MISSING = ["?", "-", "--", "."]
# A column is one of numbers where so much of what it holds is numbers; the rest is then missing.
_MOSTLY = 0.9
# Text with more different values is left out rather than one-hot encoded.
_MAX_CATEGORIES = 32
# Whole numbers with no more different values are classes, unless told otherwise.
_MAX_CLASSES = 20
# A class is to be found among the training, the validation and the test rows.
_MIN_CLASS_ROWS = 3


def digits() -> pd.DataFrame:
    """Return scikit-learn's 1797 handwritten digits: 64 pixels of 0 to 16, and the digit."""
    images, digit = load_digits(return_X_y=True, as_frame=True)
    return images.astype(np.float64).assign(digit=digit.astype(np.float64))


def read_csv(path: Path, as_text: Collection[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Read a file with commas, semicolons, tabs or bars between the values.

    A first line of names is told from a first line of values. Decimal commas are understood where
    semicolons or tabs stand between the values.

    Parameters
    ----------
    path : Path
    as_text : names of columns
        Those that are text even if all that they hold are numbers.

    Returns
    -------
    DataFrame
        Columns of float64, NaN where missing, or of strings, None where missing.
    list of str
        What the user should know of the reading.
    """
    try:
        encoding = _encoding(path)
        delimiter, names = _layout(path, encoding)
        decimal = "," if delimiter in ";\t" else "."
        frame = pd.read_csv(
            path,
            sep=delimiter,
            names=names,
            header=None if names else 0,
            dtype=dict.fromkeys(as_text, str),
            encoding=encoding,
            encoding_errors="replace",
            decimal=decimal,
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
    remarks: list[str] = []
    columns = {}
    for name, column in frame.items():
        columns[name], strays = _tidy(column, decimal, name in as_text)
        if strays:
            remarks.append(f"{name}: {listed(strays, 3)} taken as missing among numbers")
    return pd.DataFrame(columns), remarks


def _encoding(path: Path) -> str:
    """Return UTF-8 if the file is that, else what spreadsheets on Windows write."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _layout(path: Path, encoding: str) -> tuple[str, list[str] | None]:
    """Return what stands between the values, and names if the first line holds none."""
    samples = {}
    for delimiter in "\t;|,":
        with open(path, encoding=encoding, errors="replace", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            samples[delimiter] = list(islice((record for record in reader if record), 20))

    def regular(delimiter: str) -> tuple[bool, int]:
        widths = [len(record) for record in samples[delimiter]]
        same = min(widths) == max(widths) > 1
        return same, 0 if same else widths[0]

    if not samples[","]:
        raise CommandError(f"{path}: the file is empty")
    delimiter = max(samples, key=regular)
    records = samples[delimiter]
    first, widest = len(records[0]), max(map(len, records))
    if widest > first:
        # pandas would drop the last values, or take the first for names of rows.
        raise CommandError(f"{path}: the first line has {first} values, another has {widest}")
    return delimiter, None if _begins_with_names(records) else [f"column {k}" for k in range(first)]


def _begins_with_names(records: list[list[str]]) -> bool:
    is_number = pd.DataFrame(records).apply(pd.to_numeric, errors="coerce").notna().to_numpy()
    first, below = is_number[0], is_number[1:].any(axis=0)
    is_word = ~first & np.array([cell.strip() not in ("", "NA", *_MISSING) for cell in records[0]])
    # Tables without names are often written with 0, 1, 2, ... in their place.
    numbers = np.array(records[0])[first].astype(float)
    counts_up = len(numbers) > 1 and bool((np.diff(numbers) == 1).all())
    return bool(not first.any() or (is_word & below).any() or counts_up)


def _tidy(column: pd.Series, decimal: str, as_text: bool) -> tuple[pd.Series, list[str]]:
    """Return a column as float64 or as stripped strings, and what of it is no number."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(np.float64).replace([np.inf, -np.inf], np.nan), []
    text = column.astype("string").str.strip()
    text = text.mask(text.isin(["", *_MISSING]))
    if not as_text:
        number = pd.to_numeric(text.str.replace(decimal, "."), errors="coerce")
        number = number.astype("Float64").astype(np.float64).replace([np.inf, -np.inf], np.nan)
        if number.count() >= _MOSTLY * text.count():
            return number, [repr(stray) for stray in text[number.isna()].dropna().unique()]
    return text.astype(object).where(text.notna(), None), []


def is_text(column: pd.Series) -> bool:
    """Tell the two kinds of columns that `read_csv` returns."""
    return bool(column.dtype == object)


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
    classes: list[str] | None  # None for regression


def find_target(column: pd.Series, task: str | None) -> tuple[Target, list[str]]:
    """Return the target with remarks; whether it holds classes is told from it without a task."""
    name, remarks = str(column.name), []
    given = column.notna().to_numpy()
    if missing := np.count_nonzero(~given):
        remarks.append(f"{missing} of {len(column)} rows left out: {name} is missing")
    rows, values = np.flatnonzero(given), column[given].to_numpy()
    if not len(rows):
        raise CommandError(f"{name}: every value is missing")
    if task is None:
        task = "classification" if _are_classes(column) else "regression"
    if task == "regression":
        if is_text(column):
            raise CommandError(f"{name}: regression needs numbers, got {values[0]!r}")
        if (values == values[0]).all():
            raise CommandError(f"{name}: nothing to learn, every value is {_label(values[0])}")
        return Target(name, rows, values, None), remarks
    found, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    enough = counts >= _MIN_CLASS_ROWS
    if len(found) == 1:
        raise CommandError(f"{name}: nothing to learn, every value is {_label(found[0])}")
    if np.count_nonzero(enough) < 2:
        raise CommandError(
            f"{name}: expected two classes or more of {_MIN_CLASS_ROWS} rows at least, "
            f"got {len(found)} different values in {len(rows)} rows"
        )
    if rare := [_label(value) for value in found[~enough]]:
        remarks.append(
            f"rows left out where {name} is {listed(rare, 5)}: "
            f"fewer than {_MIN_CLASS_ROWS} of a class"
        )
        kept = enough[numbers]
        rows, numbers = rows[kept], (np.cumsum(enough) - 1)[numbers[kept]]
    return Target(name, rows, numbers, [_label(value) for value in found[enough]]), remarks


def _are_classes(column: pd.Series) -> bool:
    if is_text(column):
        return True
    different = column.dropna().unique()
    few = len(different) <= min(_MAX_CLASSES, column.count() / _MIN_CLASS_ROWS)
    return few and bool((different == np.round(different)).all())


def _label(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


class Column(NamedTuple):
    """A column as inputs: itself, or a column of 0 and 1 for each category of its text."""

    name: str
    categories: Sequence[str] | None = None

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        if self.categories is None:
            return [self.name]
        return [f"{self.name}={category}" for category in self.categories]


def codes(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return every column as one of numbers, text as its place in the alphabet, NaN if missing."""
    columns = [np.empty((len(frame), 0))]
    for name in frame.columns:
        values = frame[name].to_numpy()
        if is_text(frame[name]):
            values = pd.factorize(values, sort=True)[0].astype(np.float64)
            values[values < 0] = np.nan
        columns.append(values[:, None])
    return np.concatenate(columns, axis=1)


def choose_columns(frame: pd.DataFrame) -> tuple[list[Column], list[str]]:
    """Return the columns that can be inputs, and remarks on those that are left out."""
    columns, remarks = [], []
    for name in frame.columns:
        if not is_text(frame[name]):
            columns.append(Column(name))
            continue
        given = frame[name].dropna()
        categories = sorted(given.unique())
        if len(categories) > min(_MAX_CATEGORIES, len(given) / 2):
            remarks.append(f"{name}: left out, text with {len(categories)} different values")
        elif len(categories) < 2:
            remarks.append(f"{name}: left out, the same text in every row")
        else:
            columns.append(Column(name, categories))
    return columns, remarks


def encode(frame: pd.DataFrame, columns: Sequence[Column]) -> npt.NDArray[np.float64]:
    """Return the inputs side by side, NaN where a number is missing, 0 where a text is."""
    if missing := [column.name for column in columns if column.name not in frame]:
        raise CommandError(f"the table lacks columns of the training: {listed(missing, 20)}")
    blocks = [np.empty((len(frame), 0))]
    for column in columns:
        values = frame[column.name]
        if column.categories is None:
            blocks.append(pd.to_numeric(values, errors="coerce").to_numpy(np.float64)[:, None])
        else:
            equal = values.to_numpy(object)[:, None] == np.array(column.categories, object)
            blocks.append(equal.astype(np.float64))
    return np.concatenate(blocks, axis=1)
