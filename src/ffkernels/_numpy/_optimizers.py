"""Optimiser updates: parameters and state change in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _arguments
from ._activations import quietly

Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["adam_update", "momentum_update", "sgd_update"]


def _decayed(grad: Array, param: Array, weight_decay: float) -> Array:
    """grad + weight_decay param."""
    if weight_decay == 0:
        return grad
    decayed = np.multiply(param, weight_decay, out=np.empty_like(param))
    decayed += grad
    return decayed


def sgd_step(param: Array, grad: Array, lr: float, weight_decay: float) -> None:
    """param <- param - lr g."""
    param -= lr * _decayed(grad, param, weight_decay)


def momentum_step(
    param: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float
) -> None:
    """velocity <- momentum velocity + g;  param <- param - lr velocity."""
    velocity *= momentum
    velocity += _decayed(grad, param, weight_decay)
    param -= lr * velocity


def adam_step(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    unbias1: float,
    unbias2: float,
) -> None:
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    param <- param - lr m unbias1 / (sqrt(v unbias2) + eps), with the corrections in two numbers: the
    square root of unbias2 goes out of the denominator."""
    grad = _decayed(grad, param, weight_decay)
    work = np.multiply(grad, 1 - beta1, out=np.empty_like(param))
    m *= beta1
    m += work
    np.multiply(grad, grad, out=work)
    work *= 1 - beta2
    v *= beta2
    v += work
    unbias = math.sqrt(unbias2)
    np.sqrt(v, out=work)
    work += eps / unbias
    np.divide(m, work, out=work)
    work *= lr * unbias1 / unbias
    param -= work


def sgd_update(param: Any, grad: Any, lr: Any, weight_decay: Any) -> None:
    lr = _arguments.real_number(lr, "lr")
    weight_decay = _arguments.real_number(weight_decay, "weight_decay")
    param, grad = _arguments.check_parameters(("param", "grad"), (param, grad))
    quietly(sgd_step, param, grad, lr, weight_decay)


def momentum_update(
    param: Any, grad: Any, velocity: Any, lr: Any, momentum: Any, weight_decay: Any
) -> None:
    lr = _arguments.real_number(lr, "lr")
    momentum = _arguments.real_number(momentum, "momentum")
    weight_decay = _arguments.real_number(weight_decay, "weight_decay")
    param, grad, velocity = _arguments.check_parameters(
        ("param", "grad", "velocity"), (param, grad, velocity)
    )
    quietly(momentum_step, param, grad, velocity, lr, momentum, weight_decay)


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
    numbers = _arguments.check_adam(step, lr, beta1, beta2, eps, weight_decay)
    param, grad, m, v = _arguments.check_parameters(("param", "grad", "m", "v"), (param, grad, m, v))
    quietly(adam_step, param, grad, m, v, *numbers)
