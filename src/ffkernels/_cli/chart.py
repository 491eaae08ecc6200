"""The picture of a benchmark: how many times as fast as its peers, by size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .cases import ROOFLINE
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE

_COLOURS = {"numpy": BLUE, "torch": ORANGE, "jax": GREEN, "scipy": PURPLE}

# Drawn first; other operations fill the panels of those that were not measured.
_PANELS = (
    "softmax_cross_entropy_with_grad", "softmax", "sigmoid", "tanh", "relu_backward", "adam_update",
)  # fmt: skip
_ACROSS = 4
_STEP = "train_step"


@mpl.rc_context(STYLE)
def speed_up(measured: dict[str, Any], titles: dict[str, str], path: Path) -> None:
    """Draw speed-up over size, a panel for each of a few operations, one line a peer."""
    threads = measured["threads"][0]
    results = [r for r in measured["results"] if r["threads"] == threads]
    series: dict[str, list[dict[str, Any]]] = {}
    for result in sorted(results, key=lambda r: r["elements"]):
        if result["dtype"] == "float32" and result["group"] in ("functions", "steps"):
            series.setdefault(result["operation"], []).append(result)
    if not series:
        for result in results:
            series.setdefault(result["case"], []).append(result)
    functions = [name for name in (*_PANELS, *series) if name in series and name != _STEP]
    steps = [_STEP] if _STEP in series else []
    panels = list(dict.fromkeys(functions))[: len(_PANELS)] + steps
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(max(3.1 * across, 5.5), 2.7 * down + 1.0))
    figure.suptitle("Times as fast as each peer" + _where(measured, threads))
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, name in zip(grid, panels, strict=False):
        _panel(axes, name, series[name], list(measured["peers"]))
    spare = grid[len(panels) :]
    for axes in spare:
        axes.set_axis_off()
    handles = {
        label: handle
        for axes in grid[: len(panels)]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    shown = [titles.get(label, label) for label in handles]
    if len(spare):
        spare[0].legend(handles.values(), shown, loc="center left", fontsize="large")
    else:
        figure.legend(handles.values(), shown, loc="outside lower center", ncols=len(shown))
    figure.savefig(path)


def _where(measured: dict[str, Any], threads: int) -> str:
    machine = measured["machine"]
    return f": {machine['processor']}, {threads} thread{'s' if threads > 1 else ''}, float32"


def _panel(axes: Axes, name: str, results: Sequence[dict[str, Any]], peers: Sequence[str]) -> None:
    steps = name == _STEP
    # A line below 1 is of something faster than ffkernels; a peer's should not be there.
    for peer in peers:
        points = [
            (r["shape"][0] if steps else r["elements"], r["times as long"][peer])
            for r in results
            if peer in r["times as long"]
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", ms=3.5, color=_COLOURS[peer], label=peer)
    bounds = [
        (r["shape"][0] if steps else r["elements"], 1 / r["of the roofline"])
        for r in results
        if r["of the roofline"]
    ]
    if bounds:
        axes.plot(*zip(*bounds, strict=True), ":", color="black", lw=1.3, label=ROOFLINE)
    axes.axhline(1, color=GREY, lw=1.3, label="ffkernels")
    axes.set(xscale="log", yscale="log", title=_title(name), xlabel="batch" if steps else "elements")
    low, high = axes.get_ylim()
    axes.set_ylim(max(min(low, 0.8), 0.02), max(high, 2.5))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if axes.get_ylim()[1] < 50 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if steps:
        batches = [r["shape"][0] for r in results]
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.xaxis.set_minor_formatter(NullFormatter())


def _title(name: str) -> str:
    return {
        "softmax_cross_entropy_with_grad": "softmax cross-entropy + gradient",
        _STEP: "training step",
    }.get(name, name.replace("_", " "))
