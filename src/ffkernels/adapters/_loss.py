"""Second derivatives of the cross-entropies, in operators that arrays of every library have."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import Array, class_loss
from .._numpy._losses import _coefficients, _factor


def target_weights(
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    targets: npt.ArrayLike,
    axis: int = -1,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Array, Array]:
    """The a of softmax_cross_entropy = Σ_c a_c (logsumexp(x) - x_c), and 1/Σ_c a_c.

    Of `cross_entropy` = -Σ_c a_c log p_c it is the a too. Where a sum is 0, no row's gradient needs
    its inverse, and 0 takes its place.

    Parameters
    ----------
    shape, dtype
        Of the logits or probabilities.
    targets, axis, weight, ignore_index, label_smoothing, reduction
        As `softmax_cross_entropy` takes them.
    """
    call = class_loss(
        "logits",
        np.empty(shape, dtype),
        targets,
        axis,
        weight,
        ignore_index,
        label_smoothing,
        reduction,
    )
    rows = np.moveaxis(call.scores, call.axis, -1)
    a, counted = _coefficients(call, rows.shape)
    factor: Any = _factor(call, counted.size, counted)
    a = np.where(counted[..., None], a * factor, 0)
    a = np.moveaxis(a, -1, call.axis).astype(dtype)
    return a, inverse(a.sum(axis=axis, keepdims=True))


def inverse(x: Array) -> Array:
    """1/x, and 0 where x is 0."""
    return np.where(x == 0, 0, 1 / np.where(x == 0, 1, x)).astype(x.dtype)


def softmax_curvature(grad: Any, v: Any, a: Any, inverse_total: Any, axis: int) -> Any:
    """The second derivative of softmax_cross_entropy times v: (diag(q) - q qᵀ/Σa) v, q = grad + a.

    The gradient is softmax(x)·Σa - a, so that q is softmax(x)·Σa.
    """
    q = grad + a
    return q * v - q * ((q * v).sum(axis, keepdims=True) * inverse_total)


def logarithm_curvature(grad: Any, v: Any, inverse_a: Any) -> Any:
    """The second derivative of cross_entropy times v: a/p² v = grad²/a v, as grad = -a/p."""
    return grad * grad * inverse_a * v
