"""Second derivatives of the cross-entropies, in operators that arrays of every library have."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import MEAN, Array, Loss, class_loss


def _coefficients(call: Loss, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Weighted, smoothed targets for rows along the last axis, and which rows count."""
    classes = shape[-1]
    counted = np.ones(shape[:-1], bool)
    if call.probabilities is not None:
        t = np.moveaxis(call.probabilities, call.axis, -1)
    else:
        indices = np.asarray(call.indices)
        if call.ignore_index is not None:
            counted = np.not_equal(indices, call.ignore_index)
        t = np.zeros(shape, call.scores.dtype)
        known = np.where(counted, indices, 0)
        if classes:
            np.put_along_axis(t, known[..., None], 1, -1)
    weight: Any = 1 if call.weight is None else call.weight
    a = weight * ((1 - call.label_smoothing) * t + call.label_smoothing / max(classes, 1))
    return a.astype(call.scores.dtype, copy=False), counted


def _factor(call: Loss, rows: int, counted: Array) -> float:
    """What the sum over rows is multiplied by: 1, or 1 over the rows or the weights that count."""
    if call.reduction != MEAN:
        return 1.0
    if call.indices is None:
        total = float(rows)
    elif call.weight is None:
        total = float(np.count_nonzero(counted))
    else:
        total = float(call.weight[call.indices[counted]].sum(dtype=np.float64))
    return 1 / total if total else 0.0


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
