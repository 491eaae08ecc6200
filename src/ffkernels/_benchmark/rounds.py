"""Alternating rounds: several ways to do the same thing, timed in one process and in turns."""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A function with its arguments."""

    function: Callable[..., Any]
    arguments: Sequence[Any] = ()
    keywords: Mapping[str, Any] = {}

    def __call__(self) -> Any:
        return self.function(*self.arguments, **self.keywords)


class Effort(NamedTuple):
    """How long to measure one case."""

    rounds: int  # wanted
    least: int  # however long they take
    seconds: float  # after which no more than the least
    turn: float = 1e-3  # seconds of one turn, at least


DEFAULT = Effort(rounds=15, least=3, seconds=1.0)
QUICK = Effort(rounds=3, least=3, seconds=0.0)

# Idle threads keep the processors busy for a while, in case there is more to do: seen on two cores,
# PyTorch's and JAX's made what came after them take up to six times as long. This lets them fall asleep.
PAUSE = 0.01


def measure(
    calls: Mapping[str, Call],
    effort: Effort,
    *,
    threads: int = 1,
    pause: float = PAUSE,
    before: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, list[float]]:
    """Return the seconds of a call in each round.

    One turn repeats a call until it has taken a millisecond; a round gives every contender one, after
    a pause in which the threads of the one before fall asleep, and an untimed call, which wakes the
    contender's own. Garbage is not collected meanwhile. One thread is timed by the processor time of
    the process, so that what else the machine does counts for little; several by the clock on the
    wall.

    Parameters
    ----------
    calls : mapping of Call
        The contenders by name.
    effort : Effort
    threads : int
        How many the contenders may use.
    pause : float
        Seconds.
    before : mapping of callable, optional
        What to do before the turn of a contender, untimed.
    """
    before = before or {}
    timers = {name: _timer(call, threads, pause, before.get(name)) for name, call in calls.items()}
    repeats = {
        name: _repeats(_timer(call, threads, 0.0, before.get(name)), effort.turn)
        for name, call in calls.items()
    }
    turns: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + effort.seconds
    for done in range(effort.rounds):
        if done >= effort.least and time.perf_counter() > end:
            break
        for name, timer in timers.items():
            turns[name].append(timer.timeit(repeats[name]) / repeats[name])
    return turns


def medians(turns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each contender."""
    return {name: statistics.median(seconds) for name, seconds in turns.items()}


def _timer(
    call: Call, threads: int, pause: float, before: Callable[[], Any] | None
) -> timeit.Timer:
    # Written out, so that a call costs what it costs a user, without an unpacking of arguments.
    arguments = {f"a{k}": argument for k, argument in enumerate(call.arguments)}
    passed = [*arguments, *(f"{name}={name}" for name in call.keywords)]

    def setup() -> None:
        if before:
            before()
        time.sleep(pause)
        call()

    return timeit.Timer(
        f"f({', '.join(passed)})",
        setup="setup()",
        timer=time.process_time if threads == 1 else time.perf_counter,
        globals={"f": call.function, "setup": setup, **arguments, **call.keywords},
    )


def _repeats(timer: timeit.Timer, turn: float) -> int:
    """Return how many calls last one turn."""
    repeat = 1
    while (seconds := timer.timeit(repeat)) < turn:
        repeat = max(2 * repeat, min(100 * repeat, round(1.2 * repeat * turn / max(seconds, 1e-7))))
    return repeat
