"""Optimiser updates: parameters and state change in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arguments

__all__ = ["adam_update", "momentum_update", "sgd_update"]


def sgd_update(param: Any, grad: Any, lr: Any, weight_decay: Any) -> None:
    param, grad = _arguments.parameters(("param", "grad"), (param, grad))
    lr = _arguments.real_number(lr, "lr")
    weight_decay = _arguments.real_number(weight_decay, "weight_decay")
    with np.errstate(all="ignore"):
        param -= lr * (grad + weight_decay * param)


def momentum_update(
    param: Any, grad: Any, velocity: Any, lr: Any, momentum: Any, weight_decay: Any
) -> None:
    param, grad, velocity = _arguments.parameters(
        ("param", "grad", "velocity"), (param, grad, velocity)
    )
    lr = _arguments.real_number(lr, "lr")
    momentum = _arguments.real_number(momentum, "momentum")
    weight_decay = _arguments.real_number(weight_decay, "weight_decay")
    with np.errstate(all="ignore"):
        velocity *= momentum
        velocity += grad + weight_decay * param
        param -= lr * velocity


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
    with np.errstate(all="ignore"):
        g = grad + weight_decay * param
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * (g * g)
        param -= lr * (m * unbias1) / (np.sqrt(v * unbias2) + eps)
