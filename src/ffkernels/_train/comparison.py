"""What a training is compared with: scikit-learn's net, the NumPy backend and textbook code."""

from __future__ import annotations

import functools
import os
import time
import warnings
from collections.abc import Callable
from itertools import cycle
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from .. import backend, optimizers
from .._benchmark.peers import textbook
from .._benchmark.rounds import Call, Effort, measure, medians
from ..layers import FeedForward
from .fit import Rows, blas_threads

Array = npt.NDArray[Any]

_EFFORT = Effort(rounds=1000, least=5, seconds=1.5)
_BATCHES = 32
# Epochs by which the time of one is measured of scikit-learn's net.
_PROBED = 3


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

    def train(net: Any, optimizer: Any) -> Call:
        following = cycle(batches)
        return Call(lambda: net.train_step(*next(following), optimizer))

    steps: dict[str, Call] = {}
    for name in (backend.get_backend(), "numpy"):
        like = FeedForward(net.sizes, net.activation, loss, net.dtype, seed=0)
        steps[name] = train(like, optimizer(optimizers))
    plain = textbook.Net(net.params, net.activation, loss)
    steps["textbook"] = train(plain, optimizer(textbook))

    active = backend.get_backend()
    before: dict[str, Callable[[], None]] = {
        name: functools.partial(backend.set_backend, name) for name in (active, "numpy")
    }
    try:
        with blas_threads(net, batch_size):
            # BLAS may use more threads than ours do.
            return medians(measure(steps, _EFFORT, threads=os.cpu_count() or 1, before=before))
    finally:
        backend.set_backend(active)


def peer_outputs(training: Rows, x: Array, seconds: float, seed: int) -> tuple[Array, int]:
    """Return what scikit-learn's default net says of x after so many seconds, and its epochs in them.

    Probabilities of classes, or the values of a regression. How many epochs it has time for is measured
    before; more than its default it is not given.
    """
    classes = training.t.ndim == 1
    net = (MLPClassifier if classes else MLPRegressor)(random_state=seed)
    t = training.t if classes else training.t[:, 0]
    most = net.max_iter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        begin = time.perf_counter()
        net.set_params(max_iter=_PROBED).fit(training.x, t)
        possible = _PROBED * seconds / (time.perf_counter() - begin)
        net.set_params(max_iter=int(np.clip(possible, 1, most))).fit(training.x, t)
    return net.predict_proba(x) if classes else net.predict(x), net.n_iter_
