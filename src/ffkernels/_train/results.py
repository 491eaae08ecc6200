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


def judge(outputs: Array, true: Array, classes: Any) -> dict[str, Any]:
    """Return how good the net is on held-out rows, and how good one that knows no inputs is."""
    judged = {"rows": len(true)} | score(outputs, true, classes)
    if classes is None:
        rmse = float(root_mean_squared_error(true, outputs))
        return judged | {"rmse": rmse, "standard_deviation": float(true.std())}
    right = int(np.count_nonzero(outputs.argmax(axis=1) == true))
    return judged | {"right": right, "commonest_class": float(np.bincount(true).max() / len(true))}


def judged_in_words(judged: dict[str, Any]) -> str:
    """Say what `judge` found."""
    if "rmse" in judged:
        return (
            f"RMSE {judged['rmse']:.4g}, {score_in_words(judged)} on {judged['rows']} held-out rows "
            f"(their standard deviation: {judged['standard_deviation']:.4g})"
        )
    return (
        f"accuracy {score_in_words(judged)}, {judged['right']} of {judged['rows']} held-out rows "
        f"(the commonest class alone: {judged['commonest_class']:.2%})"
    )


def score(outputs: Array, true: Array, classes: Any) -> dict[str, float]:
    """Return the figure by which nets are compared, by its name."""
    if classes is None:
        return {"r_squared": float(r2_score(true, outputs))}
    return {"accuracy": float(np.mean(outputs.argmax(axis=1) == true))}


def score_in_words(scored: dict[str, Any]) -> str:
    """Say what `score` found."""
    return f"{scored['accuracy']:.2%}" if "accuracy" in scored else f"R² {scored['r_squared']:.3f}"


def steps_in_words(times: dict[str, float]) -> list[str]:
    """Say how long a training step takes, by implementation."""
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
