"""The pictures of a training run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import confusion_matrix

from .style import BLUE, GREY, ORANGE, STYLE
from .training import History

Array = npt.NDArray[Any]


@mpl.rc_context(STYLE)
def curves(history: History, score: str, path: Path) -> None:
    """Draw loss and score epoch by epoch."""
    figure = Figure(figsize=(9, 3.6))
    panels = {
        "loss": (history.training_loss, history.validation_loss),
        score: (history.training_score, history.validation_score),
    }
    epochs = range(1, history.epochs + 1)
    for axes, (name, (training, validation)) in zip(
        figure.subplots(1, 2), panels.items(), strict=True
    ):
        axes.plot(epochs, training, color=BLUE, label="training rows")
        axes.plot(epochs, validation, color=ORANGE, label="validation rows")
        kept = validation[history.best_epoch - 1]
        axes.plot(history.best_epoch, kept, "o", color=ORANGE, label="kept")
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # A net that starts from noise can be off by more than all the rest of the curve.
    axes.set_ylim(bottom=max(axes.get_ylim()[0], min(0.0, *validation[-3:], *training[-3:])))
    axes.legend(loc="lower right")
    figure.savefig(path)


@mpl.rc_context(STYLE)
def confusion(
    true: Array, predicted: Array, classes: Sequence[str], heading: str, path: Path
) -> None:
    """Draw how many rows of each class were taken for which."""
    counts = confusion_matrix(true, predicted, labels=range(len(classes)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(4.5, 2.5 + 0.42 * len(classes)), 14)
    figure = Figure(figsize=(side + 0.6, side))
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.55 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color)
    shown = range(0, len(classes), 1 + len(classes) // 50)
    labels = [textwrap.shorten(classes[k], 18, placeholder="…") for k in shown]
    upright = max(map(len, labels)) <= 3
    axes.set_xticks(shown, labels, rotation=0 if upright else 45, ha="center" if upright else "right")
    axes.set_yticks(shown, labels)
    axes.set(xlabel="predicted", ylabel="true", title=heading)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    figure.savefig(path)


@mpl.rc_context(STYLE)
def predicted(true: Array, values: Array, name: str, heading: str, path: Path) -> None:
    """Draw predicted against true values."""
    figure = Figure(figsize=(5.6, 5.4))
    axes = figure.subplots()
    ends = [min(true.min(), values.min()), max(true.max(), values.max())]
    axes.plot(ends, ends, color=GREY, linestyle="--", label="predicted = true")
    size = float(np.clip(3000 / len(true), 4, 30))
    axes.scatter(true, values, s=size, color=BLUE, alpha=0.6, linewidths=0)
    axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}", title=heading)
    axes.legend(loc="upper left")
    figure.savefig(path)


@mpl.rc_context(STYLE)
def images(pictures: Array, captions: Sequence[str], heading: str, path: Path) -> None:
    """Draw images with their captions."""
    figure, panels = _panels(len(pictures), 4, (1.9, 2.2), heading)
    for axes, picture, caption in zip(panels, pictures, captions, strict=True):
        axes.imshow(picture, cmap="gray_r")
        axes.set_title(caption)
        axes.set(xticks=[], yticks=[])
    figure.savefig(path)


@mpl.rc_context(STYLE)
def rows(
    frame: pd.DataFrame, positions: Sequence[int], captions: Sequence[str], heading: str, path: Path
) -> None:
    """Draw rows of a table: the columns in which they are furthest from the others."""
    numbers = frame.select_dtypes(np.number)
    deviations = ((numbers - numbers.mean()) / numbers.std().replace(0, 1)).fillna(0.0)
    figure, panels = _panels(len(positions), 3, (4.2, 2.7), heading)
    for axes, position, caption in zip(panels, positions, captions, strict=True):
        row = deviations.iloc[position]
        names = list(row.abs().sort_values(ascending=False, kind="stable").index[:_SHOWN])
        names += [name for name in frame.columns if name not in numbers][: _SHOWN - len(names)]
        lengths = row.reindex(names).fillna(0.0)
        axes.barh(range(len(names)), lengths, color=[BLUE if z < 0 else ORANGE for z in lengths])
        axes.set_yticks(range(len(names)), [_cell(n, frame[n].iloc[position]) for n in names])
        axes.invert_yaxis()
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_xlim(-1.05 * (reach := max(2.0, lengths.abs().max())), 1.05 * reach)
        axes.set_title(caption)
        axes.set_xlabel("standard deviations from the mean")
    figure.savefig(path)


# Columns of a row that are drawn.
_SHOWN = 7


def _cell(name: str, value: Any) -> str:
    shown = "missing" if pd.isna(value) else f"{value:.4g}" if isinstance(value, float) else value
    return f"{textwrap.shorten(name, 24, placeholder='…')} = {shown}"


def _panels(
    count: int, across: int, size: tuple[float, float], heading: str
) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, in rows of `across`."""
    across = min(across, count)
    down = -(-count // across)
    width, height = size
    figure = Figure(figsize=(max(across * width, 5), down * height + 0.5))
    figure.suptitle(heading)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    return figure, list(grid[:count])
