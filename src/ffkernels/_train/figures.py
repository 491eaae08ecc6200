"""The pictures of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from sklearn.metrics import confusion_matrix

from .. import _style
from .._style import BLUE, GREY, ORANGE
from ..tables import label
from .fit import History

Array = npt.NDArray[Any]

# Names are what users call things: a dollar sign begins no mathematics.
STYLE = {**_style.STYLE, "text.parse_math": False}


def cut(name: str, most: int) -> str:
    """Return a name of at most so many characters; what is too long lacks some of its middle."""
    if len(name) <= most:
        return name
    end = most // 3
    return f"{name[: most - end - 1]}…{name[-end:]}"


@mpl.rc_context(STYLE)
def curves(history: History, score: str, path: Path) -> None:
    """Draw loss and score epoch by epoch."""
    figure = Figure(figsize=(9, 3.8))
    left, right = figure.subplots(1, 2)
    epochs = range(1, history.epochs + 1)
    for axes, name, training, validation in (
        (left, "loss", history.training_loss, history.validation_loss),
        (right, score, history.training_score, history.validation_score),
    ):
        axes.axvline(history.best_epoch, color=GREY, linestyle=":", linewidth=1)
        axes.plot(epochs, training, color=BLUE, label="training rows")
        axes.plot(epochs, validation, color=ORANGE, label="validation rows")
        kept = validation[history.best_epoch - 1]
        label = f"kept: epoch {history.best_epoch}"
        axes.plot(history.best_epoch, kept, "o", color=ORANGE, linestyle=":", label=label)
        axes.set(xlabel="epoch", title=name, xlim=(0, history.epochs + 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    # What is learnt late is as much of the tale as the fall from the start.
    left.set_yscale("log")
    low, high = left.get_ylim()
    ticks = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7)
    left.yaxis.set_major_locator(LogLocator(subs=ticks))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter(NullFormatter())
    if score == "accuracy":
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
    # A net that starts from noise can be off by more than all the rest of the curve.
    last = (*history.validation_score[-3:], *history.training_score[-3:])
    right.set_ylim(bottom=max(right.get_ylim()[0], min(0.0, *last)))
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.savefig(path)


@mpl.rc_context(STYLE)
def confusion(true: Array, predicted: Array, classes: Sequence[str], heading: str, path: Path) -> None:
    """Draw how many rows of each class were taken for which: right ones blue, mistakes orange."""
    counts = confusion_matrix(true, predicted, labels=range(len(classes)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    on_diagonal = np.eye(len(classes), dtype=bool)
    side = min(max(4.5, 2.5 + 0.42 * len(classes)), 14)
    figure = Figure(figsize=(side + 0.6, side))
    axes = figure.subplots()
    # A scale of their own: a few mistakes are pale beside hundreds of rows that are right.
    most = max(0.2, shares[~on_diagonal].max(initial=0))
    for cells, colours, top in ((on_diagonal, "Blues", 1.0), (~on_diagonal, "Oranges", most)):
        filled = np.ma.masked_where(~cells | (counts == 0), shares)
        axes.imshow(filled, cmap=colours, vmin=0, vmax=1.3 * top)
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = shares[row, column] > 0.6 * (1.0 if row == column else most)
                color = "white" if dark else "black"
                axes.text(column, row, count, ha="center", va="center", color=color)
        recalls = axes.secondary_yaxis("right")
        recalls.set_yticks(range(len(classes)), [f"{share:.0%}" for share in shares[on_diagonal]])
        recalls.set_ylabel("right, of the true class")
        recalls.tick_params(length=0)
        recalls.spines[:].set_visible(False)
    shown = range(0, len(classes), 1 + len(classes) // 50)
    labels = [cut(classes[k], 18) for k in shown]
    upright = max(map(len, labels)) * len(labels) < 8 * side
    axes.set_xticks(shown, labels, rotation=0 if upright else 45, ha="center" if upright else "right")
    axes.set_yticks(shown, labels)
    axes.set(xlabel="predicted", ylabel="true", title=heading)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.grid(which="minor", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    figure.savefig(path)


@mpl.rc_context(STYLE)
def predicted(true: Array, values: Array, name: str, heading: str, path: Path) -> None:
    """Draw predicted against true values."""
    figure = Figure(figsize=(5.6, 5.6))
    axes = figure.subplots()
    ends = np.array([min(true.min(), values.min()), max(true.max(), values.max())])
    axes.plot(ends, ends, color=GREY, linestyle="--", label="predicted = true")
    size = float(np.clip(3000 / len(true), 4, 30))
    axes.scatter(true, values, s=size, color=BLUE, alpha=0.6, linewidths=0)
    margin = 0.03 * (ends[1] - ends[0])
    limits = (ends[0] - margin, ends[1] + margin)
    name = cut(name, 40)
    axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}", title=heading)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.legend(loc="upper left")
    figure.savefig(path)


@mpl.rc_context(STYLE)
def images(pictures: Array, captions: Sequence[str], heading: str, path: Path) -> None:
    """Draw images with their captions."""
    figure, panels = _panels(len(pictures), 6, (1.6, 2.0), heading)
    for axes, picture, caption in zip(panels, pictures, captions, strict=True):
        axes.imshow(picture, cmap="gray_r")
        axes.set_title(caption)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, alpha=0.5)
    figure.savefig(path)


@mpl.rc_context(STYLE)
def rows(
    frame: pd.DataFrame, positions: Array, captions: Sequence[str], heading: str, path: Path
) -> None:
    """Draw rows of a table: the columns in which they are furthest from the others."""
    dates = frame.select_dtypes("datetime")
    seconds = {name: (dates[name] - dates[name].min()).dt.total_seconds() for name in dates}
    numbers = frame.assign(**seconds).select_dtypes(np.number)
    deviations = ((numbers - numbers.mean()) / numbers.std().replace(0, 1)).fillna(0.0)
    furthest = deviations.iloc[positions].abs().to_numpy()
    reach = 1.05 * max(2.0, furthest.max(initial=0))
    figure, panels = _panels(len(positions), 2, (5.4, 2.6), heading)
    for axes, position, caption in zip(panels, positions, captions, strict=True):
        row = deviations.iloc[position]
        names = list(row.abs().sort_values(ascending=False, kind="stable").index[:_SHOWN])
        names += [name for name in frame.columns if name not in numbers][: _SHOWN - len(names)]
        lengths = row.reindex(names).fillna(0.0)
        axes.barh(range(len(names)), lengths, color=[BLUE if z < 0 else ORANGE for z in lengths])
        axes.set_yticks(range(len(names)), [_cell(n, frame[n].iloc[position]) for n in names])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set(xlim=(-reach, reach), title=caption)
    figure.supxlabel("standard deviations from the mean of the held-out rows", fontsize="medium")
    figure.savefig(path)


# Columns of a row that are drawn.
_SHOWN = 7


def _cell(name: str, value: Any) -> str:
    shown = f"{value:.4g}" if isinstance(value, float) else label(value)
    shown = "missing" if pd.isna(value) else shown
    return f"{cut(name, 24)} = {cut(shown, 24)}"


def _panels(
    count: int, across: int, size: tuple[float, float], heading: str
) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, in rows of `across`."""
    down = -(-count // across)
    across = -(-count // down)
    width, height = size
    figure = Figure(figsize=(max(across * width, 5), down * height + 0.5))
    figure.suptitle(heading)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    return figure, list(grid[:count])
