"""Second derivatives of the losses, in operators that arrays of every library have.

`xp` is the library: numpy, or one with its ``asarray``, ``where`` and ``arange``.
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
    sample_weight: Any = None,
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
    targets, axis, weight, ignore_index, label_smoothing, sample_weight, reduction
        As `softmax_cross_entropy` takes them; it has accepted them.
    """
    classes = zeros.shape[axis]
    along = [classes if k == axis % zeros.ndim else 1 for k in range(zeros.ndim)]
    across = [1 if k == axis % zeros.ndim else n for k, n in enumerate(zeros.shape)]
    weights: Any = 1 + zeros if weight is None else xp.asarray(weight).reshape(along) + zeros
    each: Any = 1.0 if sample_weight is None else xp.asarray(sample_weight).reshape(across)
    targets = xp.asarray(targets)
    counted: Any = None
    if targets.ndim == zeros.ndim:
        t = targets + zeros
        rows = math.prod(zeros.shape) // max(classes, 1)
        factor: Any = 1 / rows if rows else 0.0
        if sample_weight is not None:
            factor = inverse(xp, each.sum())
    else:
        index = targets.reshape(across)
        t = xp.where(index == xp.arange(classes).reshape(along), 1 + zeros, zeros)
        if ignore_index is not None:
            counted = index != ignore_index
            t = xp.where(counted, t, zeros)
        factor = inverse(xp, (weights * t * each).sum())
    a = weights * ((1 - label_smoothing) * t + label_smoothing / max(classes, 1)) * each
    if counted is not None:
        a = xp.where(counted, a, zeros)
    if reduction == "mean":
        a = a * factor
    return a, inverse(xp, a.sum(axis, keepdims=True))


def row_weights(xp: Any, zeros: Any, sample_weight: Any = None, reduction: str = "mean") -> Any:
    """The second derivative of sum_squared_error: a number, or one a row."""
    rows = zeros.shape[0] if zeros.ndim > 1 else 1
    if sample_weight is None:
        return 1 / rows if reduction == "mean" and rows else 1.0
    each = xp.asarray(sample_weight).reshape([rows, *(1 for _ in zeros.shape[1:])])
    return each * inverse(xp, each.sum()) if reduction == "mean" else each


def element_weights(
    xp: Any,
    zeros: Any,
    targets: Any,
    weight: Any = None,
    pos_weight: Any = None,
    sample_weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """The a of each element of `sigmoid_cross_entropy`, whose second derivative is a s(x) s(-x)."""
    t = xp.asarray(targets) + zeros
    a = 1 - t + (t if pos_weight is None else t * xp.asarray(pos_weight))
    if weight is not None:
        a = a * xp.asarray(weight)
    size = math.prod(zeros.shape)
    factor: Any = 1 / size if size else 0.0
    if sample_weight is not None:
        each = xp.asarray(sample_weight).reshape([*zeros.shape[:1], *(1 for _ in zeros.shape[1:])])
        a = a * each
        factor = inverse(xp, each.sum() * math.prod(zeros.shape[1:]))
    return a * factor if reduction == "mean" else a


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


def logistic_curvature(xp: Any, sigmoid: Any, x: Any, v: Any, a: Any) -> Any:
    """The second derivative of sigmoid_cross_entropy times v; where a is 0 it is, whatever x."""
    bell = sigmoid(x) * sigmoid(-x) * a
    return xp.where(a == 0, xp.zeros_like(bell), bell) * v


def refuse_none(reduction: Any) -> None:
    """ValueError where losses would stay apart, of which `linear_cross_entropy` has no gradients."""
    if reduction == "none":
        raise ValueError('reduction: expected "mean" or "sum", got \'none\'')
