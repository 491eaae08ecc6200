"""The picture of a benchmark: how many times as long peers take, by size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .._style import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE

# Colour and line: libraries that are there twice keep their colour.
_LOOKS = {
    "textbook": (BLUE, "--"),
    "numpy": (BLUE, "-"),
    "torch": (ORANGE, "-"),
    "torch-compile": (ORANGE, "--"),
    "jax": (GREEN, "-"),
    "scipy": (PURPLE, "-"),
    "numba": ("#c23b4b", "-"),
    "tensorflow": ("#7a5c3a", "-"),
    "sklearn": ("#12909b", "-"),
}

# Drawn first; other operations fill the panels of those that were not measured.
_PANELS = (
    "softmax_cross_entropy_with_grad", "softmax", "sigmoid", "tanh", "relu_backward", "adam_update",
)  # fmt: skip
_ACROSS = 4
# By batch instead of elements.
_NETS = {"train_step": "training step, SGD", "epoch": "epoch, Adam"}


@mpl.rc_context(STYLE)
def times_as_long(measured: dict[str, Any], titles: dict[str, str], path: Path) -> None:
    """Draw the peers' time by ours over size, a panel for each of a few operations, a line a peer."""
    threads = measured["threads"][0]
    results = [r for r in measured["results"] if r["threads"] == threads]
    series: dict[str, list[dict[str, Any]]] = {}
    for result in sorted(results, key=lambda r: r["elements"]):
        function = result["dtype"] == "float32" and result["group"] in ("functions", "steps")
        if function or (result["group"] == "epochs" and result["case"].endswith("adam")):
            series.setdefault(result["operation"], []).append(result)
    if not series:
        for result in results:
            series.setdefault(result["case"], []).append(result)
    functions = [name for name in (*_PANELS, *series) if name in series and name not in _NETS]
    panels = list(dict.fromkeys(functions))[: len(_PANELS)] + [n for n in _NETS if n in series]
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(max(3.1 * across, 6.5), 2.7 * down + 1.4))
    figure.suptitle(f"Times as long as ffkernels takes: {_where(measured, threads)}")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, name in zip(grid, panels, strict=False):
        _panel(axes, name, series[name], list(measured["peers"]))
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    handles = {
        label: handle
        for axes in grid[: len(panels)]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    shown = [titles.get(label, label) for label in handles]
    figure.legend(handles.values(), shown, loc="outside lower center", ncols=min(6, len(shown)))
    figure.savefig(path)


def _where(measured: dict[str, Any], threads: int) -> str:
    machine = measured["machine"]
    code = "NumPy backend" if machine["backend"] == "numpy" else machine["isa"]
    return f"{machine['processor']}, {code}, {threads} thread{'s' if threads > 1 else ''}, float32"


def _panel(axes: Axes, name: str, results: Sequence[dict[str, Any]], peers: Sequence[str]) -> None:
    def at(result: dict[str, Any]) -> Any:
        if name == "epoch":
            return int(result["size"].split("batch ")[1].split()[0])
        return result["shape"][0] if name in _NETS else result["elements"]

    results = sorted(results, key=at)
    for peer in peers:
        points = [(at(r), r["times_as_long"][peer]) for r in results if peer in r["times_as_long"]]
        if points:
            colour, line = _LOOKS[peer]
            axes.plot(
                *zip(*points, strict=True), "o", ls=line, ms=3.5, color=colour, label=peer
            )
    axes.axhline(1, color="black", lw=1.3, label="ffkernels")
    axes.set(xscale="log", yscale="log", title=_title(name))
    axes.set_xlabel("batch" if name in _NETS else "elements")
    bounds = [(at(r), 1 / r["of_the_roofline"]) for r in results if r["of_the_roofline"]]
    low, high = axes.get_ylim()
    low, high = min(low, 0.5, *(0.6 * bound for _, bound in bounds)), max(high, 2.5)
    axes.set_ylim(low, high)
    if bounds:
        where, bound = zip(*bounds, strict=True)
        what = "its products alone" if name in _NETS else "a copy of the bytes"
        if len(bounds) == 1:
            where, bound = (0.7 * where[0], where[0] / 0.7), 2 * bound
        axes.plot(where, bound, ":", color="#5f6368", lw=1.3)
        axes.fill_between(where, low, bound, color=GREY, alpha=0.3, lw=0)
        axes.text(
            0.5, 0.03, f"faster than {what}",
            transform=axes.transAxes, ha="center", color="#5f6368", fontsize="small",
        )  # fmt: skip
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if name in _NETS:
        batches = [at(r) for r in results]
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.xaxis.set_minor_formatter(NullFormatter())


def _title(name: str) -> str:
    if name == "softmax_cross_entropy_with_grad":
        return "softmax cross-entropy + gradient"
    return _NETS.get(name, name.replace("_", " "))
