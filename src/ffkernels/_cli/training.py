"""The training of a net: epochs of shuffled batches, watched on validation rows."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from .._training import Best, epoch
from ..layers import FeedForward
from ..optimizers import Optimizer
from . import CommandError

Array = npt.NDArray[Any]
# A measure of the net's outputs against the targets, higher is better.
Score = Callable[[Array, Array], float]

# Epochs without a lower validation loss after which training stops.
_PATIENCE = 20
# Training rows on which the score is computed after each epoch.
_SCORED_ROWS = 10_000
# Epochs by which the time of one is measured of scikit-learn's net.
_PROBED = 3
# Multiplications in a matrix product from which BLAS gains by its threads.
_WORTH_THREADS = 2**25


class Rows(NamedTuple):
    """Inputs and targets as the net takes them."""

    x: Array
    t: Array


@dataclass
class History:
    """What was measured epoch by epoch."""

    training_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    training_score: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    best_epoch: int = 0  # its parameters are those that the net is left with
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """How many epochs were run."""
        return len(self.training_loss)


def accuracy(probabilities: Array, classes: Array) -> float:
    """Return the share of rows whose likeliest class is the right one."""
    return float(np.mean(probabilities.argmax(axis=1) == classes))


def r_squared(values: Array, targets: Array) -> float:
    """Return the share of the targets' variance that the values explain."""
    targets = targets.astype(np.float64)
    variance = np.mean((targets - targets.mean()) ** 2)
    return float(1 - np.mean((values - targets) ** 2) / variance) if variance > 0 else float("nan")


def blas_threads(net: FeedForward, rows: int, most: int | None = None) -> threadpool_limits:
    """Return a context in which BLAS uses its threads only where that pays.

    OpenBLAS shares out products far too small for it; where another program keeps one of the
    processors busy, its threads wait for each other a hundred times as long as they compute.
    """
    largest = rows * max(inputs * outputs for inputs, outputs in pairwise(net.sizes))
    return threadpool_limits(1 if largest < _WORTH_THREADS else most, user_api="blas")


def fit(
    net: FeedForward,
    optimizer: Optimizer,
    training: Rows,
    validation: Rows,
    *,
    score: Score,
    epochs: int,
    batch_size: int,
    seed: int,
    threads: int | None = None,
    weight: Array | None = None,
) -> History:
    """Train until the validation loss has stopped falling; leave the net as it was at its best.

    Each class can have a weight; those of ``threads`` limit what BLAS takes.
    """
    history = History()
    targets, validation_targets = training.t, validation.t
    if weight is not None:
        # A class's probabilities times its weight: a row with the weight in the class's place.
        targets, validation_targets = (np.diag(weight)[t] for t in (training.t, validation.t))
    rng, best = np.random.default_rng(seed), Best(net)
    begin = time.perf_counter()
    steps = epochs * -(-len(training.x) // batch_size)
    # A log takes a line where a terminal draws over the last.
    interval = 0.1 if sys.stderr.isatty() else 2.0
    with (
        tqdm(total=steps, unit=" steps", mininterval=interval) as bar,
        blas_threads(net, batch_size, threads),
        np.errstate(all="ignore"),  # a learning rate set too high is told below, once
    ):
        for number in range(1, epochs + 1):
            loss = 0.0
            for part in epoch(net, optimizer, training.x, targets, batch_size, rng):
                loss += part
                bar.update()
            scored = Rows(training.x[:_SCORED_ROWS], training.t[:_SCORED_ROWS])
            history.training_loss.append(loss)
            history.training_score.append(score(net.predict(scored.x), scored.t))
            history.validation_loss.append(float(net.loss(validation.x, validation_targets)))
            history.validation_score.append(score(net.predict(validation.x), validation.t))
            if not np.isfinite(history.training_loss[-1] + history.validation_loss[-1]):
                raise CommandError(f"the loss grew past all bounds in epoch {number}: lower --lr")
            bar.set_postfix_str(
                f"epoch {number}, loss {history.training_loss[-1]:.3g}, "
                f"{score.__name__} {history.training_score[-1]:.3f}, "
                f"validation {history.validation_score[-1]:.3f}",
                refresh=False,
            )
            if best.update(history.validation_loss[-1], number) >= _PATIENCE:
                bar.total = bar.n
                break
    best.restore()
    history.best_epoch, history.seconds = best.epoch, time.perf_counter() - begin
    return history


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
