"""The arguments of parameter updates."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .arrays import Array, at_least, real_array, real_number, to_work
from .outputs import are_plain, check_out


def _are_plain_parameters(values: tuple[Any, ...]) -> bool:
    if not are_plain(*values):
        return False
    for i, value in enumerate(values):
        if i != 1 and not value.flags.carray:
            return False
        for k in range(i):
            if np.may_share_memory(value, values[k]):
                return False
    return True


def check_parameters(
    names: tuple[str, ...], values: tuple[Any, ...], halves: bool = False
) -> list[Array]:
    """A parameter, its gradient and its optimiser state: all but the gradient updated in place."""
    if _are_plain_parameters(values):
        return list(values)
    param, grad, *state = values
    everything = dict(zip(names, values, strict=True))
    for name, value in everything.items():
        if name == names[1]:
            continue
        if not isinstance(value, np.ndarray) or isinstance(value, (np.ma.MaskedArray, np.matrix)):
            raise TypeError(f"{name}: expected a NumPy array, got {type(value).__name__}")
        if not value.dtype.isnative or value.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name}: expected dtype float32 or float64, got {value.dtype}")
        if not value.flags.aligned:
            raise ValueError(f"{name}: expected an aligned array, got an unaligned one")
        others = {n: v for n, v in everything.items() if n != name}
        check_out(value, param.shape, param.dtype, others, name, in_place=False)
    grad = real_array(grad, names[1])
    if grad.shape != param.shape:
        raise ValueError(
            f"{names[1]}: expected the shape of {names[0]}, {param.shape}, got {grad.shape}"
        )
    grad = to_work(grad, param.dtype, halves)
    return [param, grad, *state]


def check_adam(
    step: Any, lr: Any, beta1: Any, beta2: Any, eps: Any, weight_decay: Any
) -> tuple[float, ...]:
    """Adam's numbers and its two bias corrections, 1 / (1 - beta^step)."""
    try:
        step = operator.index(step)
    except TypeError:
        raise TypeError(f"step: expected an integer, got {type(step).__name__}") from None
    if step < 1:
        raise ValueError(f"step: expected at least 1, got {step}")
    lr = real_number(lr, "lr")
    beta1 = at_least(beta1, "beta1", 0, 1)
    beta2 = at_least(beta2, "beta2", 0, 1)
    eps = real_number(eps, "eps")
    weight_decay = real_number(weight_decay, "weight_decay")
    step = min(step, 2**63)  # of which no power of what is below 1 is more than 0
    return lr, beta1, beta2, eps, weight_decay, 1 / (1 - beta1**step), 1 / (1 - beta2**step)
