"""What a benchmark found: what was wanted and what came, as JSON, as Markdown and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import chart
from .cases import CONTIGUOUS, NET, ONE_THREAD
from .markdown import table
from .peers import PEERS

Result = dict[str, Any]
Measure = Callable[[Result], float | None]

TITLES = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "scipy": "SciPy"}


@dataclass(frozen=True)
class Goal:
    """A bound on one figure, over all the cases it is for; the worst of them counts."""

    work: str
    figure: str
    measure: Measure
    bound: float
    at_most: bool
    chosen: Callable[[Result], bool]
    threads: int | None = None  # None: however many


def _us(result: Result) -> float | None:
    return result["us a call"]


def _ns(result: Result) -> float | None:
    return result["ns an element"]


def _roofline(result: Result) -> float | None:
    return result["of the roofline"]


def _peer(name: str) -> Measure:
    return lambda result: result["times as long"].get(name)


def _best_peer(result: Result) -> float | None:
    return _best_of(PEERS)(result)


def _best_of(names: Iterable[str]) -> Measure:
    return lambda result: min(
        (t for name, t in result["times as long"].items() if name in names), default=None
    )


def _contiguous(result: Result) -> float | None:
    times = result["times as long"].get(CONTIGUOUS)
    return times and 1 / times


def _one_thread(result: Result) -> float | None:
    return result["times as long"].get(ONE_THREAD)


def _case(*names: str) -> Callable[[Result], bool]:
    return lambda result: result["case"] in names


def _functions(*names: str, elements: int) -> Callable[[Result], bool]:
    return lambda result: (
        result["operation"] in names
        and result["elements"] == elements
        and result["dtype"] == "float32"
        and result["group"] == "functions"
    )


def _tiny(result: Result) -> bool:
    return result["group"] == "functions" and result["elements"] <= 1000


def _any(result: Result) -> bool:
    return True


def _batch(*sizes: int) -> Callable[[Result], bool]:
    return lambda result: result["group"] == "steps" and result["shape"][0] in sizes


def _cross_entropy(shape: str, *figures: tuple[str, Measure, float, bool, int | None]) -> list[Goal]:
    work = f"softmax cross-entropy with gradient {shape}"
    case = _case(f"softmax_cross_entropy_with_grad {shape}")
    return [
        Goal(work, figure, measure, bound, at_most, case, threads)
        for figure, measure, bound, at_most, threads in figures
    ]


_BACKWARDS = ("relu_backward", "sigmoid_backward", "tanh_backward")
_MILLIONS = 16 * 10**6
_TIMES = "{} takes, times as long"
_OF_COPY = "times a copy"
_NOISE = 0.95

GOALS: tuple[Goal, ...] = (
    *_cross_entropy(
        "64x10",
        ("us a call", _us, 1.0, True, 1),
        (_TIMES.format("NumPy"), _peer("numpy"), 16, False, 1),
        (_TIMES.format("PyTorch"), _peer("torch"), 40, False, 1),
        (_TIMES.format("JAX"), _peer("jax"), 20, False, 1),
    ),
    *_cross_entropy(
        "512x1000",
        (_TIMES.format("PyTorch"), _peer("torch"), 7, False, 1),
        (_TIMES.format("JAX"), _peer("jax"), 1.8, False, 1),
    ),
    *_cross_entropy(
        "64x50257",
        (_TIMES.format("PyTorch"), _peer("torch"), 7, False, 1),
        (_TIMES.format("JAX"), _peer("jax"), 1.8, False, 1),
    ),
    *_cross_entropy(
        "512x32000",
        (_TIMES.format("PyTorch"), _peer("torch"), 14, False, 1),
        (_TIMES.format("JAX"), _peer("jax"), 5, False, 1),
        (_OF_COPY, _roofline, 1.4, True, 1),
        (_OF_COPY, _roofline, 1.1, True, 2),
    ),
    Goal(
        "relu, sigmoid, tanh backward, 16 million", "times a triad", _roofline, 1.1, True,
        _functions(*_BACKWARDS, elements=_MILLIONS),
    ),
    Goal(
        "sigmoid, tanh, 100,000", _TIMES.format("the best of NumPy, SciPy and PyTorch"),
        _best_of(("numpy", "scipy", "torch")), 2, False,
        _functions("sigmoid", "tanh", elements=10**5), 1,
    ),
    Goal(
        "sigmoid, tanh, 100,000", "ns an element", _ns, 0.2, True,
        _functions("sigmoid", "tanh", elements=10**5), 1,
    ),
    Goal("tiny arrays, up to 1000", "us a call", _us, 0.5, True, _tiny, 1),
    Goal("tiny arrays, up to 1000", _TIMES.format("the best peer"), _best_peer, 1, False, _tiny, 1),
    Goal("every size, less noise", _TIMES.format("the best peer"), _best_peer, _NOISE, False, _any),
    Goal("training step, batch 16", "times its matrix products", _roofline, 1.2, True, _batch(16)),
    Goal("training step, batch 100", "times its matrix products", _roofline, 1.05, True, _batch(100)),
    Goal("training step, batch 1024", "times its matrix products", _roofline, 1.05, True, _batch(1024)),
    Goal(
        "training step", _TIMES.format("the best peer"), _best_peer, 1, False, _batch(16, 100, 1024)
    ),
    Goal(
        "other axes and orders", "times the contiguous case", _contiguous, 1.5, True,
        lambda result: result["group"] == "layouts",
    ),
    Goal(
        "several threads, less noise", _TIMES.format("one thread"), _one_thread, _NOISE, False, _any
    ),
)  # fmt: skip

# Bytes a step may take for its Python objects; an array of a number a row has 8192 at batch 1024.
_STEP_BYTES = 8000


def judge(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was wanted, what came and whether that is met, for each goal that was measured."""
    rows = []
    for goal in GOALS:
        for threads in measured["threads"]:
            if goal.threads not in (None, threads):
                continue
            figures = [
                (value, result["case"])
                for result in measured["results"]
                if result["threads"] == threads
                and goal.chosen(result)
                and (value := goal.measure(result)) is not None
            ]
            if not figures:
                continue
            value, case = (max if goal.at_most else min)(figures)
            missed = sum(not _holds(v, goal) for v, _ in figures)
            rows.append(
                {
                    "work": goal.work,
                    "figure": goal.figure,
                    "threads": threads,
                    "wanted": f"{'<=' if goal.at_most else '>='} {goal.bound:g}",
                    "measured": value,
                    "worst": case,
                    "cases": len(figures),
                    "missed": missed,
                    "met": not missed,
                }
            )
    for batch, count in measured["memory of a training step"].items():
        rows.append(
            {
                "work": f"training step, batch {batch}, from the second on",
                "figure": "bytes allocated",
                "threads": max(measured["threads"]),
                "wanted": f"<= {_STEP_BYTES}",
                "measured": count,
                "worst": f"train_step {batch}x{NET[0]}",
                "cases": 1,
                "missed": int(count > _STEP_BYTES),
                "met": count <= _STEP_BYTES,
            }
        )
    return rows


def _holds(value: float, goal: Goal) -> bool:
    return value <= goal.bound if goal.at_most else value >= goal.bound


# What the README shows, where it has been measured.
_SHOWN = (
    "softmax_cross_entropy_with_grad 64x10",
    "softmax_cross_entropy_with_grad 512x1000",
    "softmax_cross_entropy_with_grad 512x32000",
    "sigmoid 1000",
    "sigmoid 100000",
    "tanh 100000",
    "softmax 1000x1000",
    "relu_backward 16000000",
    "adam_update 1000000",
    "train_step 16x784",
    "train_step 100x784",
    "train_step 1024x784",
)


def markdown(measured: dict[str, Any]) -> str:
    """Return the tables: a few results, what was wanted, and all results."""
    machine, results = measured["machine"], measured["results"]
    names = list(measured["peers"])
    versions = ", ".join(f"{TITLES[name]} {version}" for name, version in measured["peers"].items())
    about = (
        f"{machine['date']}; {machine['processor']}, {machine['processors']} processor(s); "
        f"ffkernels {machine['ffkernels']}, {machine['backend']} {machine['isa']}; {versions}. "
        "Medians of alternating rounds in one process for each number of threads. Under a peer's "
        "name stands how many times as long as ffkernels it takes; the roofline is a copy or sum of "
        "arrays of the same bytes, for a training step its matrix products alone."
    )
    absent = [f"{TITLES[name]} is not installed and was left out." for name in measured["not installed"]]
    shown = [result for case in _SHOWN for result in results if result["case"] == case]
    parts = [" ".join([about, *absent])]
    if shown and len(shown) < len(results):
        parts.append(table(_header(names), (_row(result, names) for result in shown)))
    if measured["wanted"]:
        parts.append("### Wanted and measured\n\n" + _wanted(measured["wanted"]))
    parts.append("### All results\n\n" + table(_header(names), (_row(r, names) for r in results)))
    return "\n\n".join(parts) + "\n"


def _header(names: Sequence[str]) -> list[str]:
    return [
        "work", "threads", "a call", "ns an element", *(TITLES[name] for name in names),
        "times the roofline", "times itself contiguous", "one thread",
    ]  # fmt: skip


def _row(result: Result, names: Sequence[str]) -> list[str]:
    times = [result["times as long"].get(name) for name in names]
    return [
        result["case"],
        str(result["threads"]),
        _time(result["us a call"]),
        "" if result["group"] == "steps" else f"{result['ns an element']:.3g}",
        *(_number(value, " x") for value in times),
        _number(_roofline(result)),
        _number(_contiguous(result)),
        _number(_one_thread(result), " x"),
    ]


def _wanted(rows: Iterable[dict[str, Any]]) -> str:
    header = ["work", "figure", "threads", "wanted", "measured", "worst case", ""]
    return table(
        header,
        (
            [
                row["work"],
                row["figure"],
                str(row["threads"]),
                row["wanted"],
                f"{row['measured']:.3g}" if row["measured"] < 1000 else f"{row['measured']:.0f}",
                row["worst"],
                "met" if row["met"] else _missed(row),
            ]
            for row in rows
        ),
    )


def _missed(row: dict[str, Any]) -> str:
    return "**missed**" + (f" in {row['missed']} of {row['cases']}" if row["cases"] > 1 else "")


def _time(us: float) -> str:
    if us < 1000:
        return f"{us:.3g} us"
    return f"{us / 1000:.3g} ms"


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    return (f"{value:.2f}" if value < 10 else f"{value:.0f}") + unit


def save(measured: dict[str, Any], folder: Path) -> list[Path]:
    """Write everything to a folder; return the files."""
    files = [folder / name for name in ("bench.json", "bench.md", "bench.png")]
    files[0].write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    files[1].write_text(markdown(measured), encoding="utf-8")
    chart.speed_up(measured, TITLES, files[2])
    return files
