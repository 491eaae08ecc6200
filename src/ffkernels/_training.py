"""Epochs of shuffled batches, the net as it was at its best, and how fast it learns by default."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ._arguments import Array
from .layers import FeedForward
from .optimizers import Optimizer

# Where the user sets no other; SGD has this momentum.
LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
MOMENTUM = 0.9


def epoch(
    net: FeedForward, optimizer: Optimizer, x: Array, t: Array, batch_size: int, rng: np.random.Generator
) -> Iterator[float]:
    """Train on every row once, in random order; yield of each step its share of the mean loss."""
    order = rng.permutation(len(x))
    x, t = x[order], t[order]
    for start in range(0, len(x), batch_size):
        batch = slice(start, start + batch_size)
        yield float(net.train_step(x[batch], t[batch], optimizer)) * len(t[batch]) / len(x)


class Best:
    """The parameters at the lowest loss so far."""

    def __init__(self, net: FeedForward) -> None:
        self.loss, self.epoch = np.inf, 0
        self._net, self._params = net, {name: param.copy() for name, param in net.params.items()}

    def update(self, loss: float, epoch: int) -> int:
        """Keep the parameters if the loss is lower; return the epochs since it was last."""
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            for name, param in self._net.params.items():
                self._params[name][...] = param
        return epoch - self.epoch

    def restore(self) -> None:
        """Leave the net as it was at its best."""
        for name, param in self._net.params.items():
            param[...] = self._params[name]
