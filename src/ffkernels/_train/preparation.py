"""From a table to the rows for each use, and to a model that has learnt nothing yet."""

from __future__ import annotations

import argparse
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from .._command import CommandError
from ..inputs import InputLayer, inspect
from ..layers import FeedForward
from ..tables import Column, TableNet, encode
from .columns import MAX_CATEGORIES, Target, choose_columns, find_column, find_target
from .csv_files import listed, read_csv
from .log import Log

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.intp]

_VALIDATION_SHARE = 0.1
# Remarks on columns that are printed before the list is cut short.
_MOST_REMARKS = 12


class Split(NamedTuple):
    """The positions of the rows for each use."""

    training: Positions
    validation: Positions
    test: Positions


def read_table(options: argparse.Namespace, log: Log) -> tuple[pd.DataFrame, Target]:
    """Return the columns but the target's, and the target, of the rows that have one."""
    if options.csv is None:
        title, name, frame = "scikit-learn's digits", "digit", _digits()
        remarks: list[str] = []
    else:
        title, (frame, remarks) = str(options.csv), read_csv(options.csv)
        if options.target is None:
            names = listed(frame.columns, 20)
            raise CommandError(f"--csv needs --target, one of the columns {names}")
        name = find_column(frame, options.target)
    target, more = find_target(frame[name], options.task)
    kind = "numbers, a regression" if target.classes is None else f"{len(target.classes)} classes"
    told = "" if options.task or options.csv is None else ", unless --task says otherwise"
    remarks = [*remarks, *more]
    log.say(
        "Data",
        f"{title}: {len(frame)} rows of {len(frame.columns)} columns",
        f"target {name}: {kind}{told}",
        *remarks,
        source=title,
        rows=len(frame),
        columns=len(frame.columns),
        target=name,
        classes=target.classes,
        remarks=remarks,
    )
    table = frame.drop(columns=name)
    for option, wanted in (("--keep", options.keep), ("--drop", options.drop)):
        wanted[:] = [find_column(frame, column) for column in wanted]
        if name in wanted:
            raise CommandError(f"{option} {name}: that is the target")
    if twice := [column for column in options.keep if column in options.drop]:
        raise CommandError(f"{twice[0]}: either --keep or --drop")
    return table.drop(columns=options.drop).iloc[target.rows], target


def split(target: Target, test_size: float, seed: int) -> Split:
    """Draw the rows for each use, of every class its share."""

    def draw(rows: Any, share: float) -> Any:
        # A row of each class; of a regression two, between which there is a variance.
        least = 2 if target.classes is None else len(target.classes)
        wanted = max(math.ceil(share * len(rows)), least)
        classes = None if target.classes is None else target.values[rows]
        return train_test_split(rows, test_size=wanted, stratify=classes, random_state=seed)

    try:
        rest, test = draw(np.arange(len(target.rows)), test_size)
        training, validation = draw(rest, _VALIDATION_SHARE)
        return Split(training, validation, test)
    except ValueError:
        raise CommandError(
            f"{len(target.rows)} rows are too few to train, to validate and to test with "
            f"{test_size:.0%} of them: add rows, or set --test-size"
        ) from None


def choose_inputs(
    options: argparse.Namespace, table: pd.DataFrame, target: Target, training: Positions, log: Log
) -> list[Column]:
    """Return the columns that a net can learn from, of all that the table has."""
    suspects: list[str] = []
    nominal: list[str] = []
    remarks: list[str] = []
    # All rows, in their order: identifiers show in it.
    for finding in inspect(table, target.values) if len(table.columns) else ():
        name, reason = finding.name, finding.reason
        if name in options.keep:
            continue
        if reason == "nominal codes":
            nominal.append(name)
            taken = "categories" if finding.figure <= MAX_CATEGORIES else "numbers"
            remarks.append(f"mind {finding}: taken as {taken}")
        elif reason != "gross outliers":
            suspects.append(name)
            remarks.append(f"left out {finding}")
        else:
            # An error, or the very thing to learn from: the user knows.
            remarks.append(f"mind {finding}")
    columns, more = choose_columns(
        table.iloc[training].drop(columns=suspects), nominal, options.keep
    )
    remarks += more
    if not columns:
        raise CommandError(
            "; ".join(["no column is left to learn from", *remarks[:_MOST_REMARKS]])
            + "; --keep COLUMN takes one all the same"
        )
    shown = remarks[:_MOST_REMARKS]
    if len(remarks) > _MOST_REMARKS:
        shown.append(f"and {len(remarks) - _MOST_REMARKS} more remarks of the kind")
    if remarks and options.csv:
        shown.append("(--keep COLUMN takes one as it is, --drop COLUMN leaves one out)")
    count = sum(len(column.inputs) for column in columns)
    log.say(
        "Inputs",
        f"{count}, from {len(columns)} of {table.shape[1]} columns",
        *shown,
        inputs=count,
        columns=[column.name for column in columns],
        remarks=remarks,
    )
    return columns


def untrained(
    options: argparse.Namespace,
    columns: list[Column],
    table: pd.DataFrame,
    target: Target,
    training: Positions,
) -> TableNet:
    """Return a model that is fitted to the training rows, but for its net."""
    x = encode(columns, table.iloc[training])
    # Pixels share one scale; what the columns of a table measure has a scale each.
    scale: Any = "minmax" if options.csv is None else "standard"
    input_layer = InputLayer(missing="mean", scale=scale).fit(x)
    outputs = 1 if target.classes is None else len(target.classes)
    net = FeedForward(
        [len(x), *options.hidden, outputs],
        options.activation,
        "sum_squared_error" if target.classes is None else "softmax_cross_entropy",
        seed=options.seed,
    )
    model = TableNet(columns, input_layer, net, target.name, target.classes)
    if target.classes is None:
        values = target.values[training]
        model.mean, model.scale = float(values.mean()), float(values.std()) or 1.0
    return model


def targets(model: TableNet, values: Array) -> Array:
    """Return numbers of classes, or values of the target, as the net takes them."""
    if model.classes is not None:
        return values
    return ((values - model.mean) / model.scale).astype(model.net.dtype)[:, None]


def _digits() -> pd.DataFrame:
    """Return scikit-learn's 1797 handwritten digits: 64 pixels of 0 to 16, and the digit."""
    images, digit = load_digits(return_X_y=True, as_frame=True)
    return images.astype(np.float64).assign(digit=digit.astype(np.float64))
