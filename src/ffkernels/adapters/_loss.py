"""What the gradients of the cross-entropies leave out and their second derivatives need."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import Array, class_loss
from .._numpy._losses import _coefficients, _factor


def target_weights(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    axis: int,
    weight: npt.ArrayLike | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
) -> Array:
    """The a of softmax_cross_entropy = Σ_c a_c (logsumexp(x) - x_c), in the shape of the logits x.

    With its sums A along the axis, the gradient is A·softmax(x) - a, and the second derivative is
    diag(q) - q qᵀ/A, where q = A·softmax(x) is the gradient plus a.
    """
    call = class_loss(
        "logits", logits, targets, axis, weight, ignore_index, label_smoothing, reduction
    )
    shape = np.moveaxis(call.scores, call.axis, -1).shape
    a, counted = _coefficients(call, shape)
    factor: Any = _factor(call, counted.size, counted)
    a = np.where(counted[..., None], a * factor, 0).astype(call.dtype)
    return np.moveaxis(a, -1, call.axis)
