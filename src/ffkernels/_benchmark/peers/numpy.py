"""NumPy, twice: the book's listing, and the best plain form of a user who knows `out`.

Two columns, so that nobody mistakes one for the other: the first is what most NumPy nets are, the
second what is left to gain over the best of them. Which forms won is told in `plain`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._operations import OPERATIONS, UPDATE_NUMBERS
from ..rounds import Call
from . import plain, textbook
from .base import BETA1, BETA2, EPS, Forms, Params, Peer, Train


class Textbook(Peer):
    """The formulas as textbooks print them, one operator after the other, a fresh array for each."""

    title, package = "NumPy, textbook", "numpy"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.functions: Forms = {
            operation.name: functools.partial(operation.textbook, **operation.options[0])
            for operation in OPERATIONS
        }
        # The losses of the table make a one-hot matrix, fit for checking; books index instead.
        self.functions |= {
            "softmax_cross_entropy": lambda x, t: textbook.SoftmaxWithLoss().forward(x, t),
            "softmax_cross_entropy_with_grad": _loss_with_grad,
            "softmax_cross_entropy_backward": _loss_backward,
            "linear_cross_entropy_with_grad": _linear_loss_with_grad,
            "cross_entropy": _cross_entropy,
            "cross_entropy_with_grad": lambda p, t: (
                _cross_entropy(p, t), _cross_entropy_backward(p, t),
            ),
            "cross_entropy_backward": _cross_entropy_backward,
            "sgd_update": _sgd,
            "momentum_update": _momentum,
            "adam_update": _adam,
        }  # fmt: skip

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if name in UPDATE_NUMBERS:
            self.state = arguments = [a.copy() for a in arguments]
        return Call(self.functions[name], [np.moveaxis(a, axis, -1) for a in arguments])

    def trainer(self, params: Params, optimizer: str, lr: float) -> Train:
        net = textbook.Net(params, "relu", "softmax_cross_entropy")
        rule: Any = textbook.Adam(lr) if optimizer == "adam" else _PlainSGD(lr)
        return lambda x, t: net.train_step(x, t, rule)


class _PlainSGD:
    def __init__(self, lr: float) -> None:
        self.lr = lr

    def update(self, params: Any, grads: Any) -> None:
        for key in params:
            params[key] -= self.lr * grads[key]


def _loss_with_grad(x: Any, t: Any) -> Any:
    layer = textbook.SoftmaxWithLoss()
    return layer.forward(x, t), layer.backward()


def _linear_loss_with_grad(x: Any, w: Any, t: Any) -> Any:
    loss, dz = _loss_with_grad(np.dot(x, w), t)
    return loss, (np.dot(dz, w.T), np.dot(x.T, dz))


def _loss_backward(p: Any, t: Any) -> Any:
    layer = textbook.SoftmaxWithLoss()
    layer.y, layer.t = p, t
    return layer.backward()


def _cross_entropy(p: Any, t: Any) -> Any:
    return -np.log(p[np.arange(len(t)), t]).mean()


def _cross_entropy_backward(p: Any, t: Any) -> Any:
    rows, grad = np.arange(len(t)), np.zeros_like(p)
    grad[rows, t] = -1 / p[rows, t] / len(t)
    return grad


def _sgd(param: Any, grad: Any) -> None:
    param -= 0.1 * grad


def _momentum(param: Any, grad: Any, velocity: Any) -> None:
    velocity *= 0.9
    velocity += grad
    param -= 0.1 * velocity


def _adam(param: Any, grad: Any, m: Any, v: Any) -> None:
    m += (1 - BETA1) * (grad - m)
    v += (1 - BETA2) * (grad * grad - v)
    param -= 1e-3 * (m / (1 - BETA1**3)) / (np.sqrt(v / (1 - BETA2**3)) + EPS)


class Plain(Peer):
    """`plain`: `out`, operators in place, indexing by class, one softmax for loss and gradient."""

    title, package = "NumPy, plain", "numpy"

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        call = plain.call(name, arguments, out, axis)
        if name in UPDATE_NUMBERS:
            self.state = list(call.arguments[: len(arguments)])
        return call

    def trainer(self, params: Params, optimizer: str, lr: float) -> Train:
        net = plain.Net(params)
        rule: Any = {"sgd": plain.SGD, "adam": plain.Adam}[optimizer](lr)
        return lambda x, t: net.train_step(x, t, rule)
