"""Optimiser updates: parameters and state change in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arguments
from ._activations import quiet

Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["adam_update", "momentum_update", "sgd_update"]


@quiet
def _decayed(grad: Array, param: Array, weight_decay: float) -> Array:
    """grad + weight_decay param."""
    if weight_decay == 0:
        return grad
    decayed = np.multiply(param, weight_decay, out=np.empty_like(param))
    decayed += grad
    return decayed


@quiet
def _descend(param: Array, direction: Array, lr: float) -> None:
    param -= lr * direction


@quiet
def _gather(velocity: Array, momentum: float, grad: Array) -> None:
    velocity *= momentum
    velocity += grad


@quiet
def _adam(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    unbias1: float,
    unbias2: float,
) -> None:
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    param <- param - lr m unbias1 / (sqrt(v unbias2) + eps), in one array besides."""
    work = np.multiply(grad, 1 - beta1, out=np.empty_like(param))
    m *= beta1
    m += work
    np.multiply(grad, grad, out=work)
    work *= 1 - beta2
    v *= beta2
    v += work
    np.multiply(v, unbias2, out=work)
    np.sqrt(work, out=work)
    work += eps
    np.divide(m, work, out=work)
    work *= lr * unbias1
    param -= work


def sgd_update(param: Any, grad: Any, lr: Any, weight_decay: Any) -> None:
    param, grad = _arguments.parameters(("param", "grad"), (param, grad))
    lr = _arguments.real_number(lr, "lr")
    weight_decay = _arguments.real_number(weight_decay, "weight_decay")
    _descend(param, _decayed(grad, param, weight_decay), lr)


def momentum_update(
    param: Any, grad: Any, velocity: Any, lr: Any, momentum: Any, weight_decay: Any
) -> None:
    param, grad, velocity = _arguments.parameters(
        ("param", "grad", "velocity"), (param, grad, velocity)
    )
    lr = _arguments.real_number(lr, "lr")
    momentum = _arguments.real_number(momentum, "momentum")
    weight_decay = _arguments.real_number(weight_decay, "weight_decay")
    _gather(velocity, momentum, _decayed(grad, param, weight_decay))
    _descend(param, velocity, lr)


def adam_update(
    param: Any,
    grad: Any,
    m: Any,
    v: Any,
    step: Any,
    lr: Any,
    beta1: Any,
    beta2: Any,
    eps: Any,
    weight_decay: Any,
) -> None:
    param, grad, m, v = _arguments.parameters(("param", "grad", "m", "v"), (param, grad, m, v))
    lr, beta1, beta2, eps, weight_decay, unbias1, unbias2 = _arguments.adam(
        step, lr, beta1, beta2, eps, weight_decay
    )
    _adam(
        param, _decayed(grad, param, weight_decay), m, v, lr, beta1, beta2, eps, unbias1, unbias2
    )
