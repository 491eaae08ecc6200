"""What a benchmark found: a summary for the terminal, all of it as JSON, Markdown and a picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .._command import in_red
from . import chart
from .goals import Result, best_peer, contiguous, gain
from .markdown import Row, aligned, table
from .peers import PEERS

TITLES = {name: peer.title for name, peer in PEERS.items()}

# What a summary shows of a whole run.
_SHOWN = (
    "softmax_cross_entropy_with_grad 64x10",
    "softmax_cross_entropy_with_grad 512x1000",
    "softmax_cross_entropy_with_grad 64x50257",
    "softmax_cross_entropy_with_grad 512x32000",
    "sigmoid 1000",
    "sigmoid 100000",
    "tanh 1000",
    "tanh 100000",
    "softmax 1000x1000",
    "relu_backward 16000000",
    "adam_update 1000000",
    "train_step 16x784",
    "train_step 100x784",
    "train_step 1024x784",
)
# A peer's share of our time from which it counts as faster: what is less may be noise.
_FASTER = 0.95


def text(measured: dict[str, Any], *, everything: bool, goals: bool) -> str:
    """Return what the command prints.

    Parameters
    ----------
    measured : dict
    everything : bool
        All cases, and not the few that tell most.
    goals : bool
        What the project holds itself to as well.
    """
    parts = [_about(measured), f"Times as long as {_ours(measured)}, by work and number of threads:"]
    for results in _blocks(measured, everything):
        parts.append(_aligned(measured, results))
    parts += [*_epochs_in_words(measured), _slower(measured)]
    if goals:
        (_, *header), rows = _wanted(measured["wanted"])
        by_work: dict[str, list[Row]] = {}
        for work, *figures in rows:
            by_work.setdefault(work, []).append(figures)
        parts.append(aligned(header, by_work))
    if "against" in measured:
        head, *lines = _against(measured["against"])
        parts.append("\n".join([head, *(in_red(line, sys.stdout) for line in lines)]))
    return "\n\n".join(parts) + "\n"


def markdown(measured: dict[str, Any], *, goals: bool) -> str:
    """Return the same, ready for a document, and all results."""
    parts = [_about(measured)]
    for results in _blocks(measured, everything=False):
        parts.append(table(*_figures(measured, results)))
    parts += [*_epochs_in_words(measured), _slower(measured)]
    if "against" in measured:
        head, *lines = _against(measured["against"])
        parts.append("\n\n".join([head, *(["\n".join(lines)] if lines else [])]))
    if goals:
        parts.append("### Wanted and measured\n\n" + table(*_wanted(measured["wanted"])))
    parts.append(
        "### All results\n\n"
        f"Under a peer's name stands how many times as long as {_ours(measured)} it takes; "
        "`out=` given. The roofline is a copy or sum of arrays of the same bytes, for a training step "
        "its matrix products alone; the gain is our time on one thread by that on several. Medians of "
        "alternating rounds in one process for each number of threads, before each turn a pause and "
        "an untimed call."
    )
    parts.append(table(*_figures(measured, measured["results"])))
    return "\n\n".join(parts) + "\n"


def _ours(measured: dict[str, Any]) -> str:
    numpy = measured["machine"]["backend"] == "numpy"
    return "ffkernels' NumPy backend" if numpy else "ffkernels"


def _about(measured: dict[str, Any]) -> str:
    machine = measured["machine"]
    versions = ", ".join(f"{TITLES[name]} {version}" for name, version in measured["peers"].items())
    code = "NumPy backend" if machine["backend"] == "numpy" else f"compiled for {machine['isa']}"
    return (
        f"{machine['date']}; {machine['processor']}, {machine['processors']} processor(s); ffkernels "
        f"{machine['ffkernels']}, {code}; {versions}."
    )


def _blocks(measured: dict[str, Any], everything: bool) -> list[list[Result]]:
    """Return what a summary shows: functions and steps, and epochs, which have peers of their own."""
    results = measured["results"]
    functions = [result for result in results if result["group"] != "epochs"]
    if not everything:
        chosen = [result for case in _SHOWN for result in functions if result["case"] == case]
        functions = chosen or functions
    epochs = [result for result in results if result["group"] == "epochs"]
    return [block for block in (functions, epochs) if block]


def _figures(measured: dict[str, Any], results: Iterable[Result]) -> tuple[Row, list[Row]]:
    names = list(measured["peers"])
    header = [
        "work", "threads", "a call", *(TITLES[name].replace(", ", ",\n") for name in names),
        "times the\nroofline", "times it\ncontiguous", "gain of\nthreads",
    ]  # fmt: skip
    return header, [_row(result, names) for result in results]


def _aligned(measured: dict[str, Any], results: Iterable[Result]) -> str:
    """Return the figures with sizes in lines under their function."""
    names = list(measured["peers"])
    by_operation: dict[str, list[Row]] = {}
    for result in results:
        row = [result["size"], *_row(result, names)[1:]]
        by_operation.setdefault(result["operation"], []).append(row)
    (_, *header), _ = _figures(measured, [])
    return aligned(["size", *header], by_operation)


def _row(result: Result, names: Sequence[str]) -> Row:
    times = result["times_as_long"]
    return [
        result["case"],
        str(result["threads"]),
        _time(result["us_a_call"]),
        *(_number(times.get(name), " x") for name in names),
        _number(result["of_the_roofline"]),
        _number(contiguous(result)),
        _number(gain(result), " x"),
    ]


def _epochs_in_words(measured: dict[str, Any]) -> list[str]:
    epochs = [result for result in measured["results"] if result["group"] == "epochs"]
    if not epochs:
        return []
    takes = []
    for name in measured["peers"]:
        times = [r["times_as_long"][name] for r in epochs if name in r["times_as_long"]]
        if times:
            takes.append(f"{TITLES[name]} {min(times):.1f} to {max(times):.1f} x")
    rows, inputs = epochs[0]["shape"]
    return [
        f"An epoch of {rows}x{inputs} through 784-256-256-10, by batch and optimiser, takes "
        + "; ".join(takes)
        + " as long."
    ]


def _slower(measured: dict[str, Any]) -> str:
    """Return in words what a peer does faster by more than the noise, each work's worst case."""
    results = [result for result in measured["results"] if best_peer(result) is not None]
    behind = [result for result in results if (best_peer(result) or 1) < _FASTER]
    if not behind:
        return f"In none of {len(results)} cases is a peer faster by more than 5 %."
    by_work: dict[tuple[str, int], list[Result]] = {}
    for result in sorted(behind, key=lambda result: best_peer(result) or 1):
        by_work.setdefault((result["operation"], result["threads"]), []).append(result)
    lines = []
    for (operation, threads), cases in by_work.items():
        times = {name: t for name, t in cases[0]["times_as_long"].items() if name in PEERS}
        name = min(times, key=lambda name: times[name])
        more = f", and less so in {len(cases) - 1} more" if len(cases) > 1 else ""
        where = f"{operation} {cases[0]['size']}, {_threads(threads)}"
        lines.append(f"- {where}: {TITLES[name]} {times[name]:.2f} x{more}")
    count = f"{len(behind)} of {len(results)}"
    head = f"A peer is faster by more than 5 % in {count} cases. In the worst of each work it takes:"
    return "\n".join([head, "", *lines])


def _against(compared: dict[str, Any]) -> list[str]:
    """Return in words how a run compares with a saved one, and a line for each case that is slower."""
    low, median, high = compared["quartiles"]
    slower = compared["slower"]
    count = f"{len(slower)} are" if len(slower) > 1 else "1 is" if slower else "None is"
    turns = ", every time of three" if slower else ""
    head = (
        f"Against ffkernels {compared['ffkernels']} of {compared['date']} ({compared['file']}):\n"
        f"{compared['cases']} cases take {median:.2f} times as long, half of them {low:.2f} to "
        f"{high:.2f} times. {count} slower by more than 10 %{turns}."
    )
    return [head] + [
        f"- {row['case']}, {_threads(row['threads'])}: "
        + ", ".join(f"{times:.2f}" for times in row["times_as_long"])
        + " x"
        for row in slower
    ]


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _wanted(rows: Iterable[dict[str, Any]]) -> tuple[Row, list[Row]]:
    header = ["work", "figure", "threads", "wanted", "measured", "worst case", "met"]
    return header, [
        [
            row["work"],
            row["figure"],
            str(row["threads"]),
            row["wanted"],
            f"{row['measured']:.3g}" if row["measured"] < 1000 else f"{row['measured']:.0f}",
            row["worst"],
            "yes" if row["met"] else f"missed in {row['missed']} of {row['cases']}",
        ]
        for row in rows
    ]


def _time(us: float) -> str:
    if us < 1000:
        return f"{us:.3g} us"
    return f"{us / 1000:.3g} ms"


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    return (f"{value:.2f}" if value < 10 else f"{value:.0f}") + unit


def save(measured: dict[str, Any], folder: Path, *, goals: bool) -> list[Path]:
    """Write everything to a folder; return the files."""
    files = [folder / name for name in ("bench.json", "bench.md", "bench.png")]
    files[0].write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    files[1].write_text(markdown(measured, goals=goals), encoding="utf-8")
    chart.times_as_long(measured, TITLES, files[2])
    return files
