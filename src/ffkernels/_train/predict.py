"""``python -m ffkernels predict``: a saved model applied to a table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from .._command import CommandError
from ..tables import TableNet, label
from .columns import find_column
from .csv_files import listed, read_csv, unique


def run(options: argparse.Namespace) -> None:
    """Print a prediction for each row, for classes with their probability."""
    model = load(options.model)
    known = {column.name: column for column in model.columns}
    as_text = [options.id] if isinstance(options.id, str) and options.id not in known else []
    frame, remarks = read_csv(options.csv, known, as_text)
    if lacking := [name for name in known if name not in frame]:
        raise CommandError(f"{options.csv} lacks columns of the training: {listed(lacking, 20)}")
    for remark in (*remarks, *_unknown(model, frame)):
        print(remark, file=sys.stderr)
    columns: list[tuple[str, object]] = []
    if options.id is True:
        columns.append(("row", frame.index))
    elif options.id is not None:
        name = find_column(frame, options.id)
        columns.append((name, ["" if pd.isna(item) else label(item) for item in frame[name].tolist()]))
    outputs = model.outputs(frame)
    if model.classes is None:
        if options.probabilities:
            raise CommandError(f"--probabilities is for classes, {options.model} predicts numbers")
        columns.append((model.target, outputs))
    else:
        likeliest = outputs.argmax(axis=1)
        columns.append((model.target, np.array(model.classes)[likeliest]))
        columns.append(("probability", outputs.max(axis=1)))
        if options.probabilities:
            each = [f"P({label(value)})" for value in model.classes]
            columns += zip(each, outputs.T, strict=True)
    names = unique(name for name, _ in columns)  # the target may be called "probability"
    predictions = pd.DataFrame({name: values for name, (_, values) in zip(names, columns, strict=True)})
    predictions.to_csv(sys.stdout, index=False, float_format="%.7g")


def load(path: Path) -> TableNet:
    """Read a saved model, or say why it cannot be read."""
    try:
        return TableNet.load(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise CommandError(str(error).removeprefix("path: ")) from None


def _unknown(model: TableNet, frame: pd.DataFrame) -> list[str]:
    """Say where the table holds categories that the training did not."""
    remarks = []
    for column in model.columns:
        if column.categories is not None:
            values = frame[column.name].dropna()
            others = values[~values.isin(column.categories)]
            if len(others):
                shown = listed((repr(label(value)) for value in others.unique().tolist()), 3)
                remarks.append(f"{column.name}: not in the training, in {len(others)} rows: {shown}")
    return remarks
