"""What the project holds itself to, and what of it a benchmark found met."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .cases import CONTIGUOUS, NET
from .peers import PEERS

Result = dict[str, Any]
Measure = Callable[[Result], float | None]


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
    return result["us_a_call"]


def _ns(result: Result) -> float | None:
    return result["ns_an_element"]


def _roofline(result: Result) -> float | None:
    return result["of_the_roofline"]


def best_peer(result: Result) -> float | None:
    """Return how many times as long as ours the fastest peer takes, None without one."""
    return min((t for name, t in result["times_as_long"].items() if name in PEERS), default=None)


def _of_plain(result: Result) -> float | None:
    times = result["times_as_long"].get("numpy")
    return times and 1 / times


def _us_beyond_plain(result: Result) -> float | None:
    times = result["times_as_long"].get("numpy")
    return times and result["us_a_call"] * (1 - times)


def contiguous(result: Result) -> float | None:
    """Return our time by that for the same rows one after the other."""
    times = result["times_as_long"].get(CONTIGUOUS)
    return times and 1 / times


def gain(result: Result) -> float | None:
    """Return our time on one thread by that on as many as here."""
    return result["gain_over_one_thread"]


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


def _group(group: str) -> Callable[[Result], bool]:
    return lambda result: result["group"] == group


def _loss(shape: str, *figures: tuple[str, Measure, float, int]) -> list[Goal]:
    case = _case(f"softmax_cross_entropy_with_grad {shape}")
    return [
        Goal(f"softmax cross-entropy with gradient {shape}", figure, measure, bound, True, case, threads)
        for figure, measure, bound, threads in figures
    ]


def _rows_or_loss(result: Result) -> bool:
    return "softmax" in result["operation"] or "entropy" in result["operation"]


def _large(result: Result) -> bool:
    return result["group"] in ("functions", "cross-entropy") and result["elements"] >= 10**5


_MILLIONS = 16 * 10**6
_NOISE = 0.95
_BEST = "the best peer takes, times as long"
_PLAIN = "times plain NumPy"

#: By backend.
GOALS: dict[str, tuple[Goal, ...]] = {
    "compiled": (
        *_loss("64x10", ("us a call", _us, 1.0, 1)),
        *_loss("512x1000", ("ns an element", _ns, 0.36, 1)),
        *_loss("64x50257", ("ns an element", _ns, 0.40, 1)),
        *_loss("512x32000", ("times a copy", _roofline, 1.4, 1), ("times a copy", _roofline, 1.0, 2)),
        Goal(
            "relu, sigmoid, tanh backward, 16 million", "times a triad", _roofline, 1.05, True,
            _functions("relu_backward", "sigmoid_backward", "tanh_backward", elements=_MILLIONS),
        ),
        Goal(
            "sigmoid, tanh, 100,000", _BEST, best_peer, _NOISE, False,
            _functions("sigmoid", "tanh", elements=10**5),
        ),
        Goal("tiny arrays, up to 1000", "us a call", _us, 0.5, True, _tiny, 1),
        Goal("training step", "times its matrix products", _roofline, 1.05, True, _group("steps")),
        Goal("training step", _BEST, best_peer, 1.0, False, _group("steps")),
        Goal("epoch", _BEST, best_peer, 1.0, False, _group("epochs")),
        Goal("every case, less noise", _BEST, best_peer, _NOISE, False, _any),
        Goal(
            "other axes and orders", "times the contiguous case", contiguous, 1.5, True,
            _group("layouts"),
        ),
        Goal(
            "several threads, less noise", "one thread takes, times as long", gain, _NOISE, False, _any
        ),
    ),
    "numpy": (
        Goal("tiny arrays, up to 1000", "us beyond plain NumPy", _us_beyond_plain, 6, True, _tiny, 1),
        Goal(
            "softmax family and losses, 1000", _PLAIN, _of_plain, 1.6, True,
            lambda result: _tiny(result) and result["elements"] == 1000 and _rows_or_loss(result), 1,
        ),
        Goal(
            "softmax family and losses, from 100,000", _PLAIN, _of_plain, 1.2, True,
            lambda result: _large(result) and _rows_or_loss(result), 1,
        ),
        Goal(
            "other functions, from 100,000", _PLAIN, _of_plain, 1.1, True,
            lambda result: _large(result) and not _rows_or_loss(result), 1,
        ),
        Goal("training step", _PLAIN, _of_plain, 1.2, True, _group("steps")),
    ),
}  # fmt: skip

# Bytes a step may take for its Python objects; an array of a number a row has 8192 at batch 1024.
_STEP_BYTES = 8000


def judge(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was wanted, what came and whether that is met, for each goal that was measured."""
    rows = []
    for goal in GOALS[measured["machine"]["backend"]]:
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
            if figures:
                rows.append(_judged(goal, threads, figures))
    for batch, count in measured["step_bytes"].items():
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


def _judged(goal: Goal, threads: int, figures: Iterable[tuple[float, str]]) -> dict[str, Any]:
    figures = list(figures)
    value, case = (max if goal.at_most else min)(figures)
    missed = sum(not _holds(v, goal) for v, _ in figures)
    return {
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


def _holds(value: float, goal: Goal) -> bool:
    return value <= goal.bound if goal.at_most else value >= goal.bound
