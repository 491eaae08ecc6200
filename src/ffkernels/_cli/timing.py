"""The time of a training step, beside the NumPy backend and beside textbook code."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from types import ModuleType
from typing import Any

import numpy as np

from .. import backend, optimizers
from ..layers import FeedForward
from . import textbook
from .training import Rows, blas_threads

# Seconds for all contenders together, and for one turn: shorter than the slices in which a busy
# machine hands out its processors, or most turns would hold a wait for the next one.
_BUDGET = 1.5
_TURN = 0.001
_BATCHES = 32


def step_times(
    net: FeedForward, optimizer: Callable[[ModuleType], Any], training: Rows, batch_size: int
) -> dict[str, float]:
    """Return the median seconds of a training step of nets like this, by implementation.

    Parameters
    ----------
    net : FeedForward
        Left as it is.
    optimizer : callable
        Makes the optimiser out of the classes in the module it is given.
    training : Rows
    batch_size : int

    Returns
    -------
    dict of float
        Of the active backend, of ``"numpy"`` and of ``"textbook"``.
    """
    # Numbers of classes are one a row, values of a regression are columns.
    loss: Any = "softmax_cross_entropy" if training.t.ndim == 1 else "sum_squared_error"
    starts = range(0, max(1, len(training.x) - batch_size + 1), batch_size)[:_BATCHES]
    batches = [Rows(*(rows[start : start + batch_size] for rows in training)) for start in starts]

    def train(net: Any, optimizer: Any) -> Callable[[], Any]:
        following = cycle(batches)
        return lambda: net.train_step(*next(following), optimizer)

    steps: dict[str, Callable[[], Any]] = {}
    for name in (backend.get_backend(), "numpy"):
        like = FeedForward(net.sizes, net.activation, loss, net.dtype, seed=0)
        steps[name] = train(like, optimizer(optimizers))
    plain = textbook.Net(net.params, net.activation, loss)
    steps["textbook"] = train(plain, optimizer(textbook))

    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in steps}
    end = time.perf_counter() + _BUDGET
    with blas_threads(net, batch_size):
        while time.perf_counter() < end or len(times["textbook"]) < 5:
            # In a fixed order, the ends of those slices would meet the same contender each time.
            for name in rng.permutation(list(steps)):
                with backend.use_backend("compiled" if name == "compiled" else "numpy"):
                    times[name].append(_turn(steps[name]))
    return {name: float(np.median(turns)) for name, turns in times.items()}


def _turn(step: Callable[[], Any]) -> float:
    count, seconds, begin = 0, 0.0, time.perf_counter()
    while seconds < _TURN:
        step()
        count += 1
        seconds = time.perf_counter() - begin
    return seconds / count
