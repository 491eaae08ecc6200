"""What the columns of a table are for: the target, and those that can be inputs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from .._command import CommandError
from ..tables import Column, label
from .csv_files import is_dates, is_text, listed

# Text with more different values is left out rather than one-hot encoded.
MAX_CATEGORIES = 32
# Whole numbers with no more different values are classes, unless told otherwise.
_MAX_CLASSES = 20
# A class is to be found among the training, the validation and the test rows.
_MIN_CLASS_ROWS = 3

# What looks like a date, in whatever order, and the share of a column from which it holds dates.
_ANY_DATE = (
    r"\d{1,4}[-/. ](?:\d\d?|[A-Za-z]{3,9})[-/. ,]+\d{1,4}(?:[T ,].*)?"
    r"|[A-Za-z]{3,9}\.? \d\d?,? \d{4}"
)
_MOSTLY = 0.9


def find_column(frame: pd.DataFrame, wanted: str) -> str:
    """Return the name of the column that was asked for by name, or by position from 0."""
    names: list[str] = list(frame.columns)
    if wanted in names:
        return wanted
    try:
        return names[int(wanted)]
    except (ValueError, IndexError):
        raise CommandError(f"no column {wanted!r}; there are {listed(names, 20)}") from None


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
