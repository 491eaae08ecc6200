"""Second derivatives of the cross-entropies, in operators that arrays of every library have.

`xp` is the library: numpy, or one with its ``where`` and ``arange``.
"""

from __future__ import annotations

import math
from typing import Any


def target_weights(
    xp: Any,
    zeros: Any,
    targets: Any,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, Any]:
    """The a of softmax_cross_entropy = Σ_c a_c (logsumexp(x) - x_c), and 1/Σ_c a_c.

    Of `cross_entropy` = -Σ_c a_c log p_c it is the a too. Where a sum is 0, no row's gradient needs
    its inverse, and 0 takes its place.

    Parameters
    ----------
    xp : module
    zeros : array
        Of the shape of the logits or probabilities, and of the type to compute in.
    targets, axis, weight, ignore_index, label_smoothing, reduction
        As `softmax_cross_entropy` takes them; it has accepted them.
    """
    classes = zeros.shape[axis]
    along = [classes if k == axis % zeros.ndim else 1 for k in range(zeros.ndim)]
    weights: Any = 1 + zeros if weight is None else xp.asarray(weight).reshape(along) + zeros
    targets = xp.asarray(targets)
    counted: Any = None
    if targets.ndim == zeros.ndim:
        t = targets + zeros
        rows = math.prod(zeros.shape) // max(classes, 1)
        factor: Any = 1 / rows if rows else 0.0
    else:
        index = targets.reshape([1 if k == axis % zeros.ndim else n for k, n in enumerate(zeros.shape)])
        t = xp.where(index == xp.arange(classes).reshape(along), 1 + zeros, zeros)
        if ignore_index is not None:
            counted = index != ignore_index
            t = xp.where(counted, t, zeros)
        factor = inverse(xp, (weights * t).sum())
    a = weights * ((1 - label_smoothing) * t + label_smoothing / max(classes, 1))
    if counted is not None:
        a = xp.where(counted, a, zeros)
    if reduction == "mean":
        a = a * factor
    return a, inverse(xp, a.sum(axis, keepdims=True))


def inverse(xp: Any, x: Any) -> Any:
    """1/x, and 0 where x is 0."""
    return xp.where(x == 0, x, 1 / xp.where(x == 0, 1 + x, x))


def softmax_curvature(grad: Any, v: Any, a: Any, inverse_total: Any, axis: int) -> Any:
    """The second derivative of softmax_cross_entropy times v: (diag(q) - q qᵀ/Σa) v, q = grad + a.

    The gradient is softmax(x)·Σa - a, so that q is softmax(x)·Σa.
    """
    q = grad + a
    return q * v - q * ((q * v).sum(axis, keepdims=True) * inverse_total)


def logarithm_curvature(grad: Any, v: Any, inverse_a: Any) -> Any:
    """The second derivative of cross_entropy times v: a/p² v = grad²/a v, as grad = -a/p."""
    return grad * grad * inverse_a * v
