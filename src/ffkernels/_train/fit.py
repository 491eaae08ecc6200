"""The training of a net: epochs of shuffled batches, watched on validation rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from .._command import CommandError, progress_bar
from .._epochs import Best, epoch, share
from ..layers import FeedForward
from ..optimizers import SGD, Adam
from .ranks import Ranks

Array = npt.NDArray[Any]
# A measure of the net's outputs against the targets, higher is better.
Score = Callable[[Array, Array], float]

# Epochs without a lower validation loss after which training stops.
_PATIENCE = 20
# Training rows on which the score is computed after each epoch.
_SCORED_ROWS = 10_000
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


@dataclass
class State:
    """A training at the end of an epoch: all that it needs to go on."""

    net: FeedForward
    optimizer: SGD | Adam
    rng: np.random.Generator
    best: Best
    history: History = field(default_factory=History)

    @classmethod
    def begin(cls, net: FeedForward, optimizer: SGD | Adam, seed: int) -> Self:
        """Return the state before the first epoch."""
        return cls(net, optimizer, np.random.default_rng(seed), Best(net))


@dataclass
class Job:
    """What every rank trains on; each class can have a weight."""

    state: State
    training: Rows
    validation: Rows
    score: Score
    epochs: int
    batch_size: int
    weight: Array | None = None


def fit(
    job: Job,
    ranks: Ranks,
    threads: int | None = None,
    after_epoch: Callable[[State], None] | None = None,
) -> History:
    """Train until the validation loss has stopped falling; leave the net as it was at its best.

    ``threads`` limits what BLAS takes. All ranks have the same losses; the first alone has scores.
    """
    state, training, validation = job.state, job.training, job.validation
    net, best, history = state.net, state.best, state.history
    targets, validation_targets = training.t, validation.t
    if job.weight is not None:
        # A class's probabilities times its weight: a row with the weight in the class's place.
        targets, validation_targets = (np.diag(job.weight)[t] for t in (training.t, validation.t))
    own = share(len(validation.x), ranks.rank, ranks.size)
    watched = Rows(validation.x[own], validation_targets[own])
    parallel = ranks.parallel(net)
    before, begin = history.seconds, time.perf_counter()
    steps = -(-len(training.x) // job.batch_size)

    def scored(rows: Rows) -> float:
        outputs = ranks.joined(net.predict(rows.x[share(len(rows.x), ranks.rank, ranks.size)]))
        return float("nan") if outputs is None else job.score(outputs, rows.t)

    with (
        progress_bar(
            total=job.epochs * steps,
            initial=history.epochs * steps,
            unit=" steps",
            seconds=2,
            disable=not ranks.first,
        ) as bar,
        blas_threads(net, -(-job.batch_size // ranks.size), threads),
        np.errstate(all="ignore"),  # a learning rate set too high is told below, once
    ):
        while history.epochs < job.epochs and history.epochs - best.epoch < _PATIENCE:
            number, loss = history.epochs + 1, 0.0
            for part in epoch(
                parallel,
                state.optimizer,
                training.x,
                targets,
                job.batch_size,
                state.rng,
                ranks.rank,
                ranks.size,
            ):
                loss += part
                bar.update()
            first = Rows(training.x[:_SCORED_ROWS], training.t[:_SCORED_ROWS])
            watched_loss = ranks.mean(float(net.loss(*watched)), len(watched.x))
            history.training_loss.append(loss)
            history.training_score.append(scored(first))
            history.validation_loss.append(watched_loss)
            history.validation_score.append(scored(validation))
            if not np.isfinite(loss + watched_loss):
                raise CommandError(f"the loss grew past all bounds in epoch {number}: lower --lr")
            bar.set_postfix_str(
                f"epoch {number}, loss {history.training_loss[-1]:.3g}, "
                f"{job.score.__name__} {history.training_score[-1]:.3f}, "
                f"validation {history.validation_score[-1]:.3f}",
                refresh=False,
            )
            best.update(watched_loss, number)
            history.seconds = before + time.perf_counter() - begin
            if after_epoch is not None:
                after_epoch(state)
        bar.total = bar.n
    best.restore()
    history.best_epoch, history.seconds = best.epoch, before + time.perf_counter() - begin
    return history
