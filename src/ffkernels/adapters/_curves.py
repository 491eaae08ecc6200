"""Second derivatives of the activations that go back from their input, in operators that arrays of every
library have, and the constants that first derivatives need too.

`xp` is the library, one with its ``clip``, ``exp``, ``where`` and ``zeros_like``, and `sigmoid` ours for
its arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

#: What stands in for all beyond: the derivatives are 0 there, and not infinity times 0.
FAR = 1000.0

#: gelu by tanh is x times the sigmoid of GELU_1 x + GELU_3 x³; the exact one has the normal density.
GELU_1 = math.sqrt(8 / math.pi)
GELU_3 = GELU_1 * 0.044715
DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)


def leaky_relu(xp: Any, sigmoid: Any, x: Any, negative_slope: float = 0.01) -> Any:
    return xp.zeros_like(x)


def hard_sigmoid(xp: Any, sigmoid: Any, x: Any) -> Any:
    return xp.zeros_like(x)


def elu(xp: Any, sigmoid: Any, x: Any, alpha: float = 1.0) -> Any:
    zero = xp.zeros_like(x)
    return xp.where(x > 0, zero, alpha * xp.exp(xp.where(x > 0, zero, x)))


def softplus(xp: Any, sigmoid: Any, x: Any) -> Any:
    return sigmoid(x) * sigmoid(-x)


def silu(xp: Any, sigmoid: Any, x: Any) -> Any:
    x = xp.clip(x, -FAR, FAR)
    yes, no = sigmoid(x), sigmoid(-x)
    return yes * no * (2 + x * (no - yes))


def gelu(xp: Any, sigmoid: Any, x: Any, approximate: str = "none") -> Any:
    x = xp.clip(x, -FAR, FAR)
    square = x * x
    if approximate == "none":
        return xp.exp(square * -0.5) * (2 - square) * DENSITY_AT_0
    # Of x s(z) it is s(z) s(-z) (2 z' + x z'' + x z'² (s(-z) - s(z))).
    z = x * (GELU_1 + GELU_3 * square)
    yes, no = sigmoid(z), sigmoid(-z)
    slope = GELU_1 + 3 * GELU_3 * square
    return yes * no * (2 * slope + square * (6 * GELU_3) + x * slope * slope * (no - yes))


#: By the name of the function.
BENDS: dict[str, Callable[..., Any]] = {
    "elu": elu,
    "gelu": gelu,
    "hard_sigmoid": hard_sigmoid,
    "leaky_relu": leaky_relu,
    "silu": silu,
    "softplus": softplus,
}
