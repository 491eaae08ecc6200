"""Losses, with and without their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arguments
from .._arguments import MEAN, NONE
from ._activations import shifted_exp

Array = np.ndarray[Any, np.dtype[Any]]

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_with_grad",
    "sum_squared_error",
    "sum_squared_error_backward",
    "sum_squared_error_with_grad",
]


def _reduced(losses: Array, factor: float, code: int, dtype: Any, out: Array | None) -> Any:
    """The rows' losses, or their sum in float64 times `factor`, in the compute type."""
    value = losses.astype(dtype) if code == NONE else dtype.type(losses.sum() * factor)
    if out is None:
        return value if np.ndim(value) else dtype.type(value)
    out[...] = value
    return out


# ---- cross-entropy from logits -------------------------------------------------------------------


def _coefficients(call: _arguments.Loss, shape: tuple[int, ...]) -> tuple[Array, Array]:
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


def _factor(call: _arguments.Loss, rows: int, counted: Array) -> float:
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


def _without(a: Array, position: Array) -> Array:
    """Sums along the last axis that leave out one position of each row."""
    rest = a.astype(np.float64)
    np.put_along_axis(rest, position, 0, -1)
    return rest.sum(axis=-1, keepdims=True)


def _softmax_cross_entropy(
    with_grad: bool,
    logits: Any,
    targets: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    reduction: Any,
    out: Any,
) -> Any:
    call = _arguments.class_loss(
        "logits", logits, targets, axis, weight, ignore_index, label_smoothing, reduction
    )
    x = np.moveaxis(call.scores, call.axis, -1)
    inputs = {"logits": logits, "targets": targets, "weight": weight}
    if with_grad:
        work, result = _arguments.gradient_output(out, call.scores, call.dtype, inputs)
        out = None
    else:
        out = _arguments.loss_output(out, x.shape[:-1], call.reduction, x.dtype, inputs)
    with np.errstate(all="ignore"):
        a, counted = _coefficients(call, x.shape)
        factor = _factor(call, counted.size, counted)
        m, e, rest = shifted_exp(x)
        total = a.sum(axis=-1, keepdims=True, dtype=np.float64)
        gap = np.where(a == 0, 0, a * (m - x)).sum(axis=-1, dtype=np.float64)
        spread = total * np.log1p(rest)
        losses = gap + np.where((total == 0) & ~np.isnan(rest), 0, spread)[..., 0]
        losses = np.where(counted, losses, 0)
        if not with_grad:
            return _reduced(losses, factor, call.reduction, x.dtype, out)
        dx = e * (total / (1 + rest)) - a
        # At a leader without rivals, p - t as the difference of what the others hold.
        if x.shape[-1]:
            leader = (x == m).argmax(axis=-1)[..., None]
            exact = _without(a, leader) - total * rest / (1 + rest)
            value = np.where(rest < 1, exact, np.take_along_axis(dx, leader, -1))
            np.put_along_axis(dx, leader, value, -1)
        dx = np.where(counted[..., None], dx * factor, 0)
        work[...] = np.moveaxis(dx, -1, call.axis)
    return _reduced(losses, factor, call.reduction, x.dtype, None), _arguments.deliver(work, result, out)


def softmax_cross_entropy(*arguments: Any) -> Any:
    return _softmax_cross_entropy(False, *arguments)


def softmax_cross_entropy_with_grad(*arguments: Any) -> Any:
    return _softmax_cross_entropy(True, *arguments)


def softmax_cross_entropy_backward(
    probs: Any,
    targets: Any,
    dloss: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    reduction: Any,
    out: Any,
) -> Any:
    call = _arguments.class_loss(
        "probs", probs, targets, axis, weight, ignore_index, label_smoothing, reduction
    )
    p = np.moveaxis(call.scores, call.axis, -1)
    behind = _arguments.loss_gradient(dloss, p.shape[:-1], call.reduction)
    inputs = {"probs": probs, "targets": targets, "weight": weight, "dloss": dloss}
    work, result = _arguments.gradient_output(out, call.scores, call.dtype, inputs)
    with np.errstate(all="ignore"):
        a, counted = _coefficients(call, p.shape)
        factor = np.asarray(_factor(call, counted.size, counted) * behind)[..., None]
        total = a.sum(axis=-1, keepdims=True, dtype=np.float64)
        dx = p * total - a
        if p.shape[-1]:
            # Where p - t may cancel: at the target, or with more than one at the leader.
            if call.indices is not None and not call.label_smoothing:
                leader = np.where(counted, call.indices, 0)[..., None]
            else:
                leader = np.where(np.isnan(p), -np.inf, p).argmax(axis=-1)[..., None]
            exact = _without(a, leader) - total * _without(p, leader)
            value = np.where(
                np.take_along_axis(p, leader, -1) > 0.5, exact, np.take_along_axis(dx, leader, -1)
            )
            np.put_along_axis(dx, leader, value, -1)
        work[...] = np.moveaxis(np.where(counted[..., None], dx * factor, 0), -1, call.axis)
    return _arguments.deliver(work, result, out)


# ---- cross-entropy from probabilities --------------------------------------------------------------


def _cross_entropy_call(
    p: Any, t: Any, axis: Any, eps: Any, reduction: Any
) -> tuple[_arguments.Loss, Array, Array, Array, float]:
    """The call, clipped probabilities, coefficients, which terms are 0 and what to multiply by."""
    call = _arguments.class_loss("p", p, t, axis, None, None, 0.0, reduction)
    eps = _arguments.clip(eps)
    q = np.moveaxis(call.scores, call.axis, -1)
    a, counted = _coefficients(call, q.shape)
    q = np.where(q < eps, q.dtype.type(eps), q)
    # Class indices say nothing of the other classes; a probability of 0 does not silence a NaN.
    absent = (a == 0) & (~np.isnan(q) if call.indices is None else True)
    return call, q, a, absent, _factor(call, counted.size, counted)


def _cross_entropy_losses(q: Array, a: Array, absent: Array) -> Array:
    return -np.where(absent, 0, a * np.log(q.astype(np.float64))).sum(axis=-1)


def _cross_entropy_grad(q: Array, a: Array, absent: Array, factor: Any) -> Array:
    return np.where(absent, 0, -factor * (a / q))


def cross_entropy(p: Any, t: Any, axis: Any, eps: Any, reduction: Any, out: Any) -> Any:
    with np.errstate(all="ignore"):
        call, q, a, absent, factor = _cross_entropy_call(p, t, axis, eps, reduction)
        inputs = {"p": p, "t": t}
        out = _arguments.loss_output(out, q.shape[:-1], call.reduction, q.dtype, inputs)
        return _reduced(_cross_entropy_losses(q, a, absent), factor, call.reduction, q.dtype, out)


def cross_entropy_with_grad(p: Any, t: Any, axis: Any, eps: Any, reduction: Any, out: Any) -> Any:
    with np.errstate(all="ignore"):
        call, q, a, absent, factor = _cross_entropy_call(p, t, axis, eps, reduction)
        work, result = _arguments.gradient_output(out, call.scores, call.dtype, {"p": p, "t": t})
        loss = _reduced(_cross_entropy_losses(q, a, absent), factor, call.reduction, q.dtype, None)
        work[...] = np.moveaxis(_cross_entropy_grad(q, a, absent, factor), -1, call.axis)
    return loss, _arguments.deliver(work, result, out)


def cross_entropy_backward(
    p: Any, t: Any, dloss: Any, axis: Any, eps: Any, reduction: Any, out: Any
) -> Any:
    with np.errstate(all="ignore"):
        call, q, a, absent, factor = _cross_entropy_call(p, t, axis, eps, reduction)
        behind = _arguments.loss_gradient(dloss, q.shape[:-1], call.reduction)
        inputs = {"p": p, "t": t, "dloss": dloss}
        work, result = _arguments.gradient_output(out, call.scores, call.dtype, inputs)
        scale = np.asarray(factor * behind)[..., None]
        work[...] = np.moveaxis(_cross_entropy_grad(q, a, absent, scale), -1, call.axis)
    return _arguments.deliver(work, result, out)


# ---- squared error -----------------------------------------------------------------------------------


def _rows_factor(code: int, rows: int) -> float:
    return 1 / rows if code == MEAN and rows else 1.0


def _squared_error(y: Any, t: Any, reduction: Any, out: Any, with_grad: bool) -> Any:
    call = _arguments.squared_error(y, t, reduction)
    dtype = call.y.dtype
    inputs = {"y": y, "t": t}
    if with_grad:
        work, result = _arguments.gradient_output(out, call.y, call.dtype, inputs)
        out = None
    else:
        out = _arguments.loss_output(out, call.loss_shape, call.reduction, dtype, inputs)
    rows = call.loss_shape[0] if call.loss_shape else 1
    factor = _rows_factor(call.reduction, rows)
    with np.errstate(all="ignore"):
        difference = call.y - call.t
        features = tuple(range(len(call.loss_shape), call.y.ndim))
        losses = 0.5 * (difference.astype(np.float64) ** 2).sum(axis=features)
        loss = _reduced(losses, factor, call.reduction, dtype, out)
        if not with_grad:
            return loss
        work[...] = difference * factor
    return loss, _arguments.deliver(work, result, out)


def sum_squared_error(y: Any, t: Any, reduction: Any, out: Any) -> Any:
    return _squared_error(y, t, reduction, out, with_grad=False)


def sum_squared_error_with_grad(y: Any, t: Any, reduction: Any, out: Any) -> Any:
    return _squared_error(y, t, reduction, out, with_grad=True)


def sum_squared_error_backward(y: Any, t: Any, dloss: Any, reduction: Any, out: Any) -> Any:
    call = _arguments.squared_error(y, t, reduction)
    behind = _arguments.loss_gradient(dloss, call.loss_shape, call.reduction)
    inputs = {"y": y, "t": t, "dloss": dloss}
    work, result = _arguments.gradient_output(out, call.y, call.dtype, inputs)
    rows = call.loss_shape[0] if call.loss_shape else 1
    scale = np.asarray(_rows_factor(call.reduction, rows) * behind)
    with np.errstate(all="ignore"):
        difference = call.y - call.t
        work[...] = difference * scale.reshape(scale.shape + (1,) * (difference.ndim - scale.ndim))
    return _arguments.deliver(work, result, out)
