"""Epochs of shuffled batches, the net as it was at its best, and how fast it learns by default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ._arguments import Array
from .layers import FeedForward
from .optimizers import Optimizer

if TYPE_CHECKING:
    from .distributed import DataParallel

# Where the user sets no other; SGD has this momentum.
LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
MOMENTUM = 0.9


def share(rows: int, rank: int, ranks: int) -> slice:
    """Which of so many rows are a rank's: consecutive ones, as many for each or one more."""
    return slice(rows * rank // ranks, rows * (rank + 1) // ranks)


def epoch(
    net: FeedForward | DataParallel,
    optimizer: Optimizer,
    x: Array,
    t: Array,
    batch_size: int,
    rng: np.random.Generator,
    rank: int = 0,
    ranks: int = 1,
    sample_weight: Array | None = None,
) -> Iterator[float]:
    """Train on every row once, in random order; yield of each step its share of the mean loss.

    Of several ranks, which draw the same order, each takes its share of the rows of every batch.
    """
    order = rng.permutation(len(x))
    batches = [order[start : start + batch_size] for start in range(0, len(x), batch_size)]
    own = [batch[share(len(batch), rank, ranks)] for batch in batches]
    rows = np.concatenate(own)
    own_x, own_t = x[rows], t[rows]
    own_weight = None if sample_weight is None else sample_weight[rows]
    weights = [len(batch) if sample_weight is None else sample_weight[batch].sum() for batch in batches]
    end = 0
    for weight, part in zip(weights, own, strict=True):
        start, end = end, end + len(part)
        given = None if own_weight is None else own_weight[start:end]
        loss = net.train_step(own_x[start:end], own_t[start:end], optimizer, sample_weight=given)
        yield float(loss) * weight / sum(weights)


class Best:
    """The parameters at the lowest loss so far."""

    def __init__(self, net: FeedForward) -> None:
        self.loss, self.epoch = np.inf, 0
        self._net, self.params = net, {name: param.copy() for name, param in net.params.items()}

    def update(self, loss: float, epoch: int) -> int:
        """Keep the parameters if the loss is lower; return the epochs since it was last."""
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            for name, param in self._net.params.items():
                self.params[name][...] = param
        return epoch - self.epoch

    def restore(self) -> None:
        """Leave the net as it was at its best."""
        for name, param in self._net.params.items():
            param[...] = self.params[name]
