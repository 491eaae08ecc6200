"""A net in plain NumPy as textbooks write it: what the kernels are timed against.

One NumPy operator for every step of the formulas, a fresh array for every result. It computes the
same training step as `ffkernels.layers.FeedForward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._operations import FROM_INPUT, OPERATIONS

Array = npt.NDArray[Any]

_BY_NAME = {operation.name: operation for operation in OPERATIONS}


class Affine:
    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dout: Array) -> Array:
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return np.dot(dout, self.W.T)


class Relu:
    def forward(self, x: Array) -> Array:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Array) -> Array:
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


class Sigmoid:
    def forward(self, x: Array) -> Array:
        self.y = 1 / (1 + np.exp(-x))
        return self.y

    def backward(self, dout: Array) -> Array:
        return dout * (1 - self.y) * self.y


class Tanh:
    def forward(self, x: Array) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        return dout * (1 - self.y**2)


class Identity:
    def forward(self, x: Array) -> Array:
        return x

    def backward(self, dout: Array) -> Array:
        return dout


class Dropout:
    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def forward(self, x: Array, train: bool = True) -> Array:
        if not train:
            return x * (1 - self.ratio)
        self.mask = np.random.rand(*x.shape) > self.ratio  # noqa: NPY002
        return x * self.mask

    def backward(self, dout: Array) -> Array:
        return dout * self.mask


class BatchNormalization:
    def __init__(self, gamma: Array, beta: Array, momentum: float = 0.9) -> None:
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.running_mean, self.running_var = np.zeros(gamma.size), np.zeros(gamma.size)

    def forward(self, x: Array, train: bool = True) -> Array:
        if train:
            mean = np.mean(x, axis=0)
            self.xc = x - mean
            var = np.mean(self.xc**2, axis=0)
            self.std = np.sqrt(var + 1e-6)
            self.xn = self.xc / self.std
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
            return self.gamma * self.xn + self.beta
        return self.gamma * ((x - self.running_mean) / np.sqrt(self.running_var + 1e-6)) + self.beta

    def backward(self, dout: Array) -> Array:
        # One step of the chain rule at a time: scale, quotient, standard deviation, variance, mean.
        self.dbeta = np.sum(dout, axis=0)
        self.dgamma = np.sum(dout * self.xn, axis=0)
        dxn = dout * self.gamma
        dstd = -np.sum(dxn * self.xc / self.std**2, axis=0)
        dvar = dstd / (2 * self.std)
        dxc = dxn / self.std + dvar * 2 * self.xc / len(dout)
        return dxc - np.mean(dxc, axis=0)


class SoftmaxWithLoss:
    def forward(self, x: Array, t: Array) -> Any:
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        self.y = e / np.sum(e, axis=1, keepdims=True)
        self.t = t
        return -np.sum(np.log(self.y[np.arange(len(t)), t] + 1e-7)) / len(t)

    def backward(self) -> Array:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dx / len(self.t)


class IdentityWithLoss:
    def forward(self, x: Array, t: Array) -> Any:
        self.y, self.t = x, t
        return 0.5 * np.sum((x - t) ** 2) / len(t)

    def backward(self) -> Array:
        return (self.y - self.t) / len(self.t)


def _from_input(name: str) -> type:
    """Return the layer of an activation that goes back from its input, by the table's formulas."""
    forward, backward = (_BY_NAME[name + suffix] for suffix in ("", "_backward"))

    class Activation:
        def forward(self, x: Array) -> Array:
            self.x = x
            return forward.textbook(x, **forward.options[0])

        def backward(self, dout: Array) -> Array:
            return backward.textbook(dout, self.x, **backward.options[0])

    return Activation


ACTIVATIONS = {
    "relu": Relu,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "identity": Identity,
    **{name: _from_input(name) for name in FROM_INPUT},
}
LOSSES = {"softmax_cross_entropy": SoftmaxWithLoss, "sum_squared_error": IdentityWithLoss}


def backpropagate(layers: Sequence[Any], last_layer: Any, x: Array, t: Array) -> Any:
    """Return the loss, and leave the gradients in the layers."""
    for layer in layers:
        x = layer.forward(x)
    loss = last_layer.forward(x, t)
    dout = last_layer.backward()
    for layer in reversed(layers):
        dout = layer.backward(dout)
    return loss


class Net:
    """A net that starts with the parameters ``W1``, ``b1``, ``W2``, ... of `params`."""

    def __init__(self, params: dict[str, Array], activation: str, loss: str) -> None:
        self.params = {name: param.copy() for name, param in params.items()}
        depth = len(params) // 2
        self.affine = [
            Affine(self.params[f"W{k}"], self.params[f"b{k}"]) for k in range(1, depth + 1)
        ]
        self.layers: list[Any] = []
        for affine in self.affine[:-1]:
            self.layers += [affine, ACTIVATIONS[activation]()]
        self.layers += [self.affine[-1]]
        self.last_layer: Any = LOSSES[loss]()

    def gradient(self, x: Array, t: Array) -> tuple[Any, dict[str, Array]]:
        loss = backpropagate(self.layers, self.last_layer, x, t)
        grads = {}
        for k, affine in enumerate(self.affine, start=1):
            grads[f"W{k}"], grads[f"b{k}"] = affine.dW, affine.db
        return loss, grads

    def train_step(self, x: Array, t: Array, optimizer: SGD | Adam) -> Any:
        loss, grads = self.gradient(x, t)
        optimizer.update(self.params, grads)
        return loss


class SGD:
    def __init__(self, lr: float, momentum: float) -> None:
        self.lr, self.momentum = lr, momentum
        self.v: dict[str, Array] = {}

    def update(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        for key in params:
            if key not in self.v:
                self.v[key] = np.zeros_like(params[key])
            self.v[key] = self.momentum * self.v[key] + grads[key]
            params[key] -= self.lr * self.v[key]


class Adam:
    def __init__(self, lr: float, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.step = 0
        self.m: dict[str, Array] = {}
        self.v: dict[str, Array] = {}

    def update(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        self.step += 1
        for key in params:
            if key not in self.m:
                self.m[key] = np.zeros_like(params[key])
                self.v[key] = np.zeros_like(params[key])
            self.m[key] = self.beta1 * self.m[key] + (1 - self.beta1) * grads[key]
            self.v[key] = self.beta2 * self.v[key] + (1 - self.beta2) * grads[key] ** 2
            m = self.m[key] / (1 - self.beta1**self.step)
            v = self.v[key] / (1 - self.beta2**self.step)
            params[key] -= self.lr * m / (np.sqrt(v) + 1e-8)
