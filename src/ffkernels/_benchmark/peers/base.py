"""What a peer is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..._operations import UPDATE_NUMBERS
from ..rounds import Call

Array = npt.NDArray[Any]
Params = dict[str, Array]
Forms = dict[str, Callable[..., Any]]
#: Takes one training step on a batch of the peer's own arrays; returns the loss before it.
Train = Callable[[Any, Any], Any]

LEARNING_RATE = 1e-6  # so small that the thousandth step of a benchmark costs what the first did
# Adam's usual numbers.
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class Peer:
    """A library with its spelling of the operations.

    Attributes
    ----------
    title : str
        What tables call it.
    package : str
        What has to be installed.
    slow : bool
        Whether it takes seconds to get ready for a case, too many for a quick run.
    state : list
        What the update of the last `call` changes, in the order of its arguments.
    """

    title: ClassVar[str]
    package: ClassVar[str]
    slow: ClassVar[bool] = False

    def __init__(self, threads: int) -> None:
        self.state: list[Any] = []

    @classmethod
    def lacks(cls) -> str | None:
        """Return what keeps it from running here, in words; None for nothing."""
        return None if importlib.util.find_spec(cls.package) else "is not installed"

    @classmethod
    def version(cls) -> str:
        return version(cls.package)

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        """Return a call of an operation, None if the peer has none.

        Parameters
        ----------
        name : str
        arguments : sequence of ndarray
            The peer copies what it changes.
        out : ndarray or None
            For its shape and layout, if the operation has an array to give.
        axis : int
        """
        return None

    def own(self, array: Array) -> Any:
        """Return a copy as the peer's users hold arrays."""
        return array.copy(order="K")

    def trainer(self, params: Params, optimizer: str, lr: float) -> Train | None:
        """Return the training step of a ReLU net with softmax cross-entropy, None if there is none.

        Parameters
        ----------
        params : dict of ndarray
            ``W1``, ``b1``, ``W2``, ... to start from copies of.
        optimizer : {"sgd", "adam"}
        lr : float
        """
        return None

    def finished(self, loss: Any) -> Any:
        """Return a loss once it is there."""
        return loss

    def step(self, params: Params, x: Array, t: Array) -> Call | None:
        """Return a training step with SGD."""
        train = self.trainer(params, "sgd", LEARNING_RATE)
        if train is None:
            return None

        def step(x: Any, t: Any) -> Any:
            return self.finished(train(x, t))

        return Call(step, (self.own(x), self.own(t)))

    def epoch(
        self, params: Params, x: Array, t: Array, batch: int, optimizer: str, lr: float = LEARNING_RATE
    ) -> Call | None:
        """Return the training steps on all batches, the last of which may be smaller."""
        train = self.trainer(params, optimizer, lr)
        if train is None:
            return None

        def epoch(batches: list[Any]) -> Any:
            for x, t in batches:
                loss = train(x, t)
            return self.finished(loss)

        return Call(epoch, ([(self.own(a), self.own(b)) for a, b in in_batches(x, t, batch)],))


def in_batches(x: Array, t: Array, batch: int) -> list[tuple[Array, Array]]:
    """Return the batches of an epoch, views in the order of the rows."""
    return [(x[k : k + batch], t[k : k + batch]) for k in range(0, len(x), batch)]


def layers(params: Params) -> list[tuple[Array, Array]]:
    """Return weights and biases, layer by layer."""
    depth = len(params) // 2
    return [(params[f"W{k}"], params[f"b{k}"]) for k in range(1, depth + 1)]


def adam_factors(step: float, lr: float) -> tuple[float, float]:
    """Return step length and eps of Adam's update a·m / (√v + eps), the bias corrections in them."""
    unbias = float(np.sqrt(1 - BETA2**step))
    return lr * unbias / (1 - BETA1**step), EPS * unbias


#: Of the table's update.
ADAM_UPDATE = adam_factors(UPDATE_NUMBERS["adam_update"][0], 1e-3)
