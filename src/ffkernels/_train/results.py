"""What came of a training: how good the net is, in words and in pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import r2_score, root_mean_squared_error

from ..tables import TableNet, label
from . import figures

Array = npt.NDArray[Any]

_COUNTED = "(rows count from 0 below the names, as pandas.read_csv counts them)"
# How many of the worst rows are drawn: as images, as charts.
_IMAGES, _CHARTS = 12, 6


def judge(outputs: Array, true: Array, classes: Any) -> str:
    """Say how good the net is on held-out rows, and how good one that knows no inputs is."""
    if classes is None:
        return (
            f"RMSE {root_mean_squared_error(true, outputs):.4g}, R² {r2_score(true, outputs):.3f} "
            f"on {len(true)} held-out rows (their standard deviation: {true.std():.4g})"
        )
    right = np.count_nonzero(outputs.argmax(axis=1) == true)
    return (
        f"accuracy {right / len(true):.2%}, {right} of {len(true)} held-out rows "
        f"(the commonest class alone: {np.bincount(true).max() / len(true):.2%})"
    )


def score(outputs: Array, true: Array, classes: Any) -> str:
    if classes is None:
        return f"R² {r2_score(true, outputs):.3f}"
    return f"{np.mean(outputs.argmax(axis=1) == true):.2%}"


def compare(times: dict[str, float]) -> list[str]:
    named = {
        "compiled": "compiled kernels",
        "numpy": "NumPy backend",
        "textbook": "textbook NumPy",
    }
    first = next(iter(times.values()))
    return [
        f"{1e6 * seconds:8.1f} µs  {named[name]}"
        + ("" if seconds == first else f", {seconds / first:.2f} times as long")
        for name, seconds in times.items()
    ]


def draw(
    options: argparse.Namespace, model: TableNet, table: pd.DataFrame, outputs: Array, true: Array
) -> list[Path]:
    """Draw predicted against true, and the worst of the held-out rows."""
    worst_path = options.output / "mistakes.png"
    count = f"{len(true)} held-out rows"
    if model.classes is None:
        path = options.output / "predicted.png"
        explained = f"R² {r2_score(true, outputs):.3f} on {count}"
        figures.predicted(true, outputs, model.target, explained, path)
        worst = np.argsort(-np.abs(outputs - true), kind="stable")
        heading = f"The largest errors among {count}"
        captions = [f"true {true[k]:.4g}, predicted {outputs[k]:.4g}" for k in worst[:_CHARTS]]
    else:
        path = options.output / "confusion.png"
        guess, sure = outputs.argmax(axis=1), outputs.max(axis=1)
        wrong = np.flatnonzero(guess != true)
        right = f"{figures.cut(model.target, 24)}: {len(true) - len(wrong)} of {count} right"
        names = [label(name) for name in model.classes]
        figures.confusion(true, guess, names, right, path)
        if len(wrong):
            worst = wrong[np.argsort(-sure[wrong], kind="stable")]
            heading = f"Most confidently wrong, of {len(wrong)} mistakes among {count}"
        else:
            worst = np.argsort(sure, kind="stable")
            heading = f"No mistakes among {count}: the least confident"
        captions = [
            f"true {figures.cut(names[true[k]], 24)},\n"
            f"predicted {figures.cut(names[guess[k]], 24)} ({sure[k]:.0%})"
            for k in worst[:_IMAGES]
        ]
    if options.csv is None:
        pictures = table.to_numpy()[worst[:_IMAGES]].reshape(-1, 8, 8)
        figures.images(pictures, captions, heading, worst_path)
    else:
        worst = worst[:_CHARTS]
        numbered = [
            f"row {table.index[k]}: {caption}" for k, caption in zip(worst, captions, strict=False)
        ]
        inputs = table[[column.name for column in model.columns]]
        figures.rows(inputs, worst, numbered, f"{heading}\n{_COUNTED}", worst_path)
    return [path, worst_path]
