"""What `FeedForward` and the optimisers call on arrays that need no second look.

At a batch of 32 the checks of a training step take as long as half of its matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from .. import _arguments
from . import _activations as formulas
from . import _optimizers as updates
from ._activations import quiet
from ._losses import common_loss

Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["FUSED", "run", "softmax_cross_entropy_with_grad"]


def _pair(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A function with its bias, and its backward pass with the bias's gradient, as the public ones."""
    function, backward = formulas.FORMULAS[name], formulas.FORMULAS[f"{name}_backward"]

    @quiet
    def bias_function(x: Array, b: Array, out: Array) -> Array:
        np.add(x, b, out=out)
        function(out, out)
        return out

    @quiet
    def backward_bias(dy: Array, y: Array, out: Array, out_bias: Array) -> tuple[Array, Array]:
        backward(dy, y, out)
        formulas.add_rows(out, out_bias)
        return out, out_bias

    return bias_function, backward_bias


def _pair_from_input(name: str, *number: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The same of an activation that goes back from its input."""
    function, backward = formulas.FORMULAS[name], formulas.FORMULAS[f"{name}_backward"]

    def bias_function(x: Array, b: Array, out: Array) -> Array:
        formulas.add_bias(x, b, out, function, *number)
        return out

    def backward_bias(dy: Array, x: Array, b: Array, out: Array, out_bias: Array) -> tuple[Array, Array]:
        formulas.sum_from_input(dy, x, b, out, out_bias, backward, *number)
        return out, out_bias

    return bias_function, backward_bias


FUSED = {
    "relu": _pair("relu"),
    "sigmoid": _pair("sigmoid"),
    "tanh": _pair("tanh"),
    "identity": _pair("identity"),
    "leaky_relu": _pair_from_input("leaky_relu", 0.01),
    "elu": _pair_from_input("elu", 1.0),
    "hard_sigmoid": _pair_from_input("hard_sigmoid"),
    "softplus": _pair_from_input("softplus"),
    "silu": _pair_from_input("silu"),
    "gelu": _pair_from_input("gelu", False),
}


def softmax_cross_entropy_with_grad(
    scores: Array, targets: Any, out: Array, reduction: Literal["mean", "sum"]
) -> tuple[Any, Array] | None:
    """The loss and the gradient for class indices as `FeedForward` has them; None for all else."""
    if type(targets) is not np.ndarray or targets.dtype != np.intp or targets.ndim != 1:
        return None
    if len(targets) != len(scores) or not out.size or not targets.flags.c_contiguous:
        return None
    _arguments.refuse_index(targets, scores.shape[1], None)
    if reduction == "sum":
        return common_loss(scores, targets, 1.0, _arguments.SUM, out, None), out
    return common_loss(scores, targets, 1 / len(targets), _arguments.MEAN, out, None), out


def _adam(param: Array, grad: Array, m: Array, v: Array, step: int, *numbers: float) -> None:
    lr, beta1, beta2, eps, weight_decay = numbers
    unbias1, unbias2 = 1 / (1 - beta1**step), 1 / (1 - beta2**step)
    updates.adam_step(param, grad, m, v, lr, beta1, beta2, eps, weight_decay, unbias1, unbias2)


_UPDATES: dict[str, Callable[..., None]] = {
    "sgd_update": updates.sgd_step,
    "momentum_update": updates.momentum_step,
    "adam_update": _adam,
}


@quiet
def run(name: str, arguments: Iterable[tuple[Any, ...]], numbers: tuple[float, ...]) -> None:
    """An update for each of several parameters, with their arrays and the numbers they share."""
    update = _UPDATES[name]
    for each in arguments:
        update(*each, *numbers)
