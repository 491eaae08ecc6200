"""Losses, with and without their gradients.

A class index stays an index: of the classes a row does not have, a loss needs a sum, and its gradient
there is a multiple of the probability. Only probabilities as targets and label smoothing have a
coefficient for every class.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _arguments
from .._arguments import MEAN, NONE
from ._activations import RUN, Rows, add_last, groups_of_rows, others, quiet, sums_of_squares

Array = np.ndarray[Any, np.dtype[Any]]

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_backward",
    "sigmoid_cross_entropy_with_grad",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_with_grad",
    "sum_squared_error",
    "sum_squared_error_backward",
    "sum_squared_error_with_grad",
]


def _reduced(
    losses: Array,
    factor: float,
    code: int,
    shape: tuple[int, ...],
    out: Array | None,
    sample_weight: Array | None = None,
) -> Any:
    """The rows' losses, or their sum in float64 times `factor`, in the compute type."""
    dtype = losses.dtype.type
    if sample_weight is not None:
        losses = _weighted(losses, sample_weight)
    if code == NONE:
        value: Any = losses.astype(dtype, copy=False).reshape(shape)
        if out is None:
            return value if shape else dtype(value)
    else:
        value = dtype(float(np.add.reduce(losses, None, np.float64)) * factor)
        if out is None:
            return value
    out[...] = value
    return out


def _weighted(losses: Array, sample_weight: Array) -> Array:
    """The rows' losses times their weights; without weight a row has none, whatever is in it."""
    losses = losses * sample_weight
    losses[sample_weight == 0] = 0
    return losses


def _one_over(total: float) -> float:
    """1 over what a mean divides by, 0 where that is nothing."""
    return 1 / total if total else 0.0


def _class_inputs(
    name: str, scores: Any, targets: Any, weight: Any, sample_weight: Any
) -> dict[str, Any]:
    """What an output may not overlap, by the names in messages."""
    return {name: scores, "targets": targets, "weight": weight, "sample_weight": sample_weight}


# ---- cross-entropy from logits: one class a row, none ignored, none weighted -----------------------
#
# What nearly every call is, without the steps that the rest needs; at 64x10 half of the time.


def _is_common(call: _arguments.Loss, result: Array) -> bool:
    """Class indices alone, and an array to write to that lies row after row."""
    return (
        call.indices is not None
        and call.weight is None
        and call.sample_weight is None
        and call.ignore_index is None
        and call.label_smoothing == 0
        and call.axis == result.ndim - 1
        and result.size > 0
        and result.flags.c_contiguous
    )


@quiet
def common_loss(
    x: Array, t: Array, factor: float, code: int, grad: Array | None, out: Array | None
) -> Any:
    """sum of (max - x_t + log(sum of e^(x - max))); in `grad`, if there, (p - one_hot(t)) factor.

    As in `Rows.exp`, all of the sum but its leading term goes into log1p. p_t - 1 is ((e_t - 1) - rest)
    / (1 + rest), in which nothing cancels: where the target leads e_t is 1, elsewhere rest is no less.
    """
    shape, classes = x.shape[:-1], x.shape[-1]
    x, t = np.ascontiguousarray(x).reshape(-1, classes), t.reshape(-1)
    e = np.empty_like(x) if grad is None else grad.reshape(-1, classes)
    flat = e.reshape(-1)
    rows = np.arange(0, flat.size, classes)
    leaders, targets = rows + x.argmax(-1), rows + t
    m = x.take(leaders)
    np.subtract(x, m[:, None], out=e)
    gap = flat[targets]
    np.exp(e, out=e)
    flat[leaders] = m - m  # 0; NaN without a finite maximum
    rest = np.add.reduce(e, -1)
    losses = np.log1p(rest)
    losses -= gap
    if grad is not None:
        flat[leaders] = 1
        at = flat[targets]
        at -= 1
        at -= rest
        scale = factor / (rest + 1)
        at *= scale
        np.multiply(e, scale[:, None], out=e)
        flat[targets] = at
    return _reduced(losses, factor, code, shape, out)


# ---- cross-entropy from logits: every case ---------------------------------------------------------


class _Targets:
    """The coefficients of the classes in each row.

    Every class has what `base` says, one number a class or one a row and class; the class at `at` has
    `point` more, a number or one a row. With class indices alone `base` is None, with probabilities
    `at` is. The rows in `ignored` do not count; each is multiplied by its `sample_weight`, if there are
    any, the sum over rows by `factor`.
    """

    def __init__(self, call: _arguments.Loss, rows: Rows) -> None:
        self.base: Array | None = None
        self.classes: Any = None
        self.at: Any = None
        self.point: Any = 0.0
        self.ignored: Array | None = None
        self.factor = 1.0
        weight, smoothing = call.weight, call.label_smoothing
        self.sample_weight: Array | None = None
        if call.sample_weight is not None:
            self.sample_weight = rows.vector(call.sample_weight)
        self.weighted = weight is not None or smoothing > 0 or call.indices is None
        if call.probabilities is not None:
            view = rows.view(call.probabilities)
            self.base = view * (1 - smoothing)
            self.base += smoothing / rows.classes
            if weight is not None:
                self.base *= weight
            self._leave_out(None)
            if call.reduction == MEAN:
                self.factor = self._one_over_counted(call.scores.size // rows.classes, None)
            return
        self.classes = rows.vector(call.indices)
        ignored = None
        if call.ignore_index is not None:
            ignored = self.classes == call.ignore_index
            self.classes = np.where(ignored, 0, self.classes)
        self._leave_out(ignored)
        self.at = rows.at(self.classes)
        self.point = 1 - smoothing
        if smoothing:
            self.base = np.full(rows.classes, smoothing / rows.classes, call.scores.dtype)
        if weight is not None:
            self.point = weight[self.classes] * self.point
            if self.base is not None:
                self.base *= weight
        if call.reduction == MEAN:
            weights = None if weight is None else weight[self.classes]
            self.factor = self._one_over_counted(self.classes.size, weights)

    def _leave_out(self, ignored: Array | None) -> None:
        """Ignored rows, and those that have no weight."""
        if self.sample_weight is not None:
            absent = self.sample_weight == 0
            ignored = absent if ignored is None else ignored | absent
        if ignored is not None and ignored.any():
            self.ignored = ignored

    def _one_over_counted(self, rows: int, weights: Array | None) -> float:
        """1 over the number of the rows that count, or over their weights."""
        total = float(rows)
        if self.sample_weight is not None:
            weights = self.sample_weight if weights is None else weights * self.sample_weight
        if weights is not None:
            if self.ignored is not None:
                weights = np.where(self.ignored, 0, weights)
            total = float(np.add.reduce(weights, None, np.float64))
        elif self.ignored is not None:
            total -= np.count_nonzero(self.ignored)
        return _one_over(total)

    def row_factor(self, behind: Any = 1.0) -> Any:
        """What the gradient of each row is multiplied by, in all one number or a vector of float64."""
        factor: Any = self.factor * behind
        return factor if self.sample_weight is None else factor * self.sample_weight

    def total(self) -> Any:
        """The sum of each row's coefficients."""
        return self.point if self.base is None else add_last(self.base) + self.point

    def gap(self, rows: Rows, d: Array) -> Array:
        """The sum of a (max - x) in each row; a coefficient of 0 silences an infinite term."""
        gap: Any = 0
        if self.at is not None:
            gap = -rows.get(d, self.at)
            if self.weighted:
                gap = np.where(np.equal(self.point, 0), 0, gap * self.point)
        if self.base is not None:
            terms = self.base * d
            np.copyto(terms, 0, where=self.base == 0)
            gap = gap - add_last(terms)
        return gap

    def others(self, chosen: Array, classes: Array) -> Array:
        """The sum of the coefficients of all classes but one, in the chosen rows."""
        assert self.base is not None
        if self.base.ndim == 1:
            rest: Any = self.base.sum(dtype=np.float64) - self.base[classes[chosen]]
        else:
            rest = others(self.base[chosen], classes[chosen])
        if self.at is None:
            return rest
        return rest + np.where(self.classes == classes, 0, self.point)[chosen]


def _losses(targets: _Targets, gap: Array, rest: Array) -> Array:
    """sum of a (max - x) + sum of a log(sum of e^(x - max)), 0 for rows that do not count."""
    losses = np.log1p(rest)
    if targets.weighted:
        losses *= targets.total()
    losses += gap
    if targets.ignored is not None:
        losses[targets.ignored] = 0
    return losses


def _gradient(rows: Rows, targets: _Targets, e: Array, rest: Array, leaders: Any) -> None:
    """p (sum of a) - a, times the factor, with p = e / (1 + rest), in place of e.

    With one class a row it is taken as in `common_loss`. Else, where the leading class has all of a, or
    p near 1, the difference cancels; there it is taken the other way round: what the other classes have
    of a, less what they have of p.
    """
    factor = targets.row_factor()
    if isinstance(factor, np.ndarray):
        factor = factor.astype(e.dtype, copy=False)
    if targets.base is None:
        at = rows.get(e, targets.at) - 1
        at -= rest
        scale = targets.point * factor / (1 + rest)
        at *= scale
        np.multiply(e, scale[..., None], out=e)
        rows.put(e, targets.at, at)
    else:
        total = targets.total()
        classes, sure = rows.leading(e, leaders), rest < 1
        exact = targets.others(sure, classes) - (total * rest / (1 + rest))[sure]
        np.multiply(e, (total * factor / (1 + rest))[..., None], out=e)
        np.subtract(e, targets.base * np.asarray(factor, e.dtype)[..., None], out=e)
        if targets.at is not None:
            rows.put(e, targets.at, rows.get(e, targets.at) - targets.point * factor)
        leading = rows.at(classes)
        at = rows.get(e, leading)
        at[sure] = exact * (factor[sure] if isinstance(factor, np.ndarray) else factor)
        rows.put(e, leading, at)
    if targets.ignored is not None:
        e[targets.ignored] = 0


def _from_logits(call: _arguments.Loss, grad: Array | None, out: Array | None) -> Any:
    """The loss; in `grad`, if there, its gradient."""
    x = call.scores
    if grad is None and call.axis == x.ndim - 1:
        x = np.ascontiguousarray(x)
    common = _is_common(call, x if grad is None else grad)
    if x.dtype.itemsize == 2:
        return (_common_loss_of_half if common else _any_loss_of_half)(call, grad, out)
    if not common:
        return _any_loss(call, grad, out)
    assert call.indices is not None
    return common_loss(x, call.indices, _common_factor(call), call.reduction, grad, out)


def _common_factor(call: _arguments.Loss) -> float:
    return call.scores.shape[-1] / call.scores.size if call.reduction == MEAN else 1.0


@quiet
def _common_loss_of_half(call: _arguments.Loss, grad: Array | None, out: Array | None) -> Any:
    """Converted some rows at a time."""
    assert call.indices is not None
    x = np.ascontiguousarray(call.scores)
    rows, t, factor = x.reshape(-1, x.shape[-1]), call.indices.reshape(-1), _common_factor(call)
    losses = np.empty(len(rows), np.float32)
    for group in groups_of_rows(losses.shape, x.shape[-1]):
        work = rows[group].astype(np.float32)
        losses[group] = common_loss(work, t[group], factor, NONE, work, None)
        if grad is not None:
            grad.reshape(rows.shape)[group] = work
    return _reduced(losses, factor, call.reduction, x.shape[:-1], out)


@quiet
def _any_loss_of_half(call: _arguments.Loss, grad: Array | None, out: Array | None) -> Any:
    work = call.scores.astype(np.float32)
    loss = _any_loss(call._replace(scores=work), None if grad is None else work, out)
    if grad is not None:
        grad[...] = work
    return loss


@quiet
def _any_loss(call: _arguments.Loss, grad: Array | None, out: Array | None) -> Any:
    if call.probabilities is not None:
        call = call._replace(probabilities=call.probabilities.astype(call.scores.dtype, copy=False))
    work = np.empty_like(call.scores) if grad is None else grad
    shape = _arguments.without_axis(work.shape, call.axis)
    if not work.size:
        return _reduced(np.zeros(shape, work.dtype), 1.0, call.reduction, shape, out)
    rows = Rows(call.axis, call.scores, work)
    x, e = rows.views
    targets = _Targets(call, rows)
    m, leaders = rows.shift(x, e)
    gap = targets.gap(rows, e)
    rest = rows.exp(e, e, m, leaders)
    if grad is not None:
        _gradient(rows, targets, e, rest, leaders)
    losses = _losses(targets, gap, rest)
    return _reduced(losses, targets.factor, call.reduction, shape, out, targets.sample_weight)


def softmax_cross_entropy(
    logits: Any,
    targets: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    sample_weight: Any,
    reduction: Any,
    out: Any,
) -> Any:
    call = _arguments.check_class_loss(
        "logits", logits, targets, axis, weight, ignore_index, label_smoothing, reduction, sample_weight,
        halves=True,
    )  # fmt: skip
    x = call.scores
    if out is not None:
        inputs = _class_inputs("logits", logits, targets, weight, sample_weight)
        shape = _arguments.without_axis(x.shape, call.axis)
        out = _arguments.check_loss_out(out, shape, call.reduction, x.dtype, inputs)
    return _from_logits(call, None, out)


def softmax_cross_entropy_with_grad(
    logits: Any,
    targets: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    sample_weight: Any,
    reduction: Any,
    out: Any,
) -> Any:
    call = _arguments.check_class_loss(
        "logits", logits, targets, axis, weight, ignore_index, label_smoothing, reduction, sample_weight,
        halves=True,
    )  # fmt: skip
    inputs = _class_inputs("logits", logits, targets, weight, sample_weight)
    work, result = _arguments.check_gradient_out(out, call.scores, call.dtype, inputs)
    loss = _from_logits(call, work, None)
    return loss, _arguments.deliver(work, result, out)


@quiet
def _common_backward(call: _arguments.Loss, behind: Any, work: Array) -> None:
    """(p - one_hot(t)) factor; where p_t > 1/2, minus the sum of the other classes for p_t - 1."""
    assert call.indices is not None
    classes = work.shape[-1]
    p, t = np.ascontiguousarray(call.scores).reshape(-1, classes), call.indices.reshape(-1)
    dx = work.reshape(-1, classes)
    targets = np.arange(0, p.size, classes)
    targets += t
    factor = behind / len(t) if call.reduction == MEAN else behind
    at = p.take(targets)
    (sure,) = (at > 0.5).nonzero()
    at -= 1
    if sure.size:
        at[sure] = -others(p[sure], t[sure])
    if isinstance(factor, np.ndarray):
        factor = factor.reshape(-1).astype(p.dtype)
        at *= factor
        np.multiply(p, factor[:, None], out=dx)
    else:
        at *= factor
        np.multiply(p, factor, out=dx)
    dx.reshape(-1)[targets] = at


@quiet
def _any_backward(call: _arguments.Loss, behind: float | Array, work: Array) -> None:
    """(p (sum of a) - a) times the factors, in `work`.

    Where p is near 1 and a has most there, the difference cancels: with more than a half it is taken
    the other way round, as in `_gradient`.
    """
    if not work.size:
        return
    rows = Rows(call.axis, call.scores, work)
    p, dx = rows.views
    targets = _Targets(call, rows)
    factor = targets.row_factor(rows.vector(behind) if isinstance(behind, np.ndarray) else behind)
    if isinstance(factor, np.ndarray):
        factor = factor.astype(p.dtype)
    if targets.base is None:
        scale = np.broadcast_to(np.asarray(targets.point * factor, p.dtype), targets.classes.shape)
        at = rows.get(p, targets.at)
        sure = at > 0.5
        at = (at - 1) * scale
        if sure.any():
            at[sure] = -scale[sure] * others(p[sure], targets.classes[sure])
        np.multiply(p, scale[..., None], out=dx)
        rows.put(dx, targets.at, at)
    else:
        total = targets.total()
        classes = p.argmax(-1)
        if np.isnan(rows.get(p, rows.at(classes))).any():
            classes = np.where(np.isnan(p), -np.inf, p).argmax(-1)
        leading = rows.at(classes)
        sure = rows.get(p, leading) > 0.5
        total_sure = np.broadcast_to(total, sure.shape)[sure]
        exact = targets.others(sure, classes) - total_sure * others(p[sure], classes[sure])
        np.multiply(p, np.asarray(total)[..., None], out=dx)
        np.subtract(dx, targets.base, out=dx)
        if targets.at is not None:
            rows.put(dx, targets.at, rows.get(dx, targets.at) - targets.point)
        at = rows.get(dx, leading)
        at[sure] = exact
        rows.put(dx, leading, at)
        np.multiply(dx, np.asarray(factor, p.dtype)[..., None], out=dx)
    if targets.ignored is not None:
        dx[targets.ignored] = 0


def softmax_cross_entropy_backward(
    probs: Any,
    targets: Any,
    dloss: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    sample_weight: Any,
    reduction: Any,
    out: Any,
) -> Any:
    call = _arguments.check_class_loss(
        "probs", probs, targets, axis, weight, ignore_index, label_smoothing, reduction, sample_weight
    )
    shape = _arguments.without_axis(call.scores.shape, call.axis)
    behind = _arguments.check_dloss(dloss, shape, call.reduction)
    inputs = _class_inputs("probs", probs, targets, weight, sample_weight) | {"dloss": dloss}
    work, result = _arguments.check_gradient_out(out, call.scores, call.dtype, inputs)
    common = _is_common(call, work)
    (_common_backward if common else _any_backward)(call, behind, work)
    return _arguments.deliver(work, result, out)


# ---- cross-entropy from probabilities --------------------------------------------------------------


def _common_cross_entropy(
    call: _arguments.Loss,
    eps: float,
    behind: float | Array,
    work: Array | None,
    with_loss: bool,
    out: Array | None,
) -> Any:
    """`_cross_entropy` of class indices along the last axis."""
    assert call.indices is not None
    p = call.scores
    classes = p.shape[-1]
    factor = classes / p.size if call.reduction == MEAN else 1.0
    targets = np.arange(0, p.size, classes)
    targets += call.indices.reshape(-1)
    q = p.take(targets)
    np.maximum(q, eps, out=q)
    if work is not None:
        scale: Any = -factor * behind
        if isinstance(behind, np.ndarray):
            scale = scale.reshape(-1).astype(p.dtype)
        work.fill(0)
        work.reshape(-1)[targets] = scale / q
    if not with_loss:
        return None
    losses = np.log(q, out=q)
    np.negative(losses, out=losses)
    return _reduced(losses, factor, call.reduction, call.indices.shape, out)


@quiet
def _cross_entropy(
    call: _arguments.Loss,
    eps: float,
    behind: float | Array,
    work: Array | None,
    with_loss: bool,
    out: Array | None,
) -> Any:
    """The loss, -sum of t log q with q = max(p, eps), if wanted; in `work`, if there, its gradient
    -t/q times the factor of the mean and what comes from behind.

    Class indices say nothing of the other classes; a probability of 0 silences an infinite term but
    not a NaN.
    """
    scores = call.scores
    result = scores if work is None else work
    if _is_common(call, result):
        return _common_cross_entropy(call, eps, behind, work, with_loss, out)
    shape = _arguments.without_axis(scores.shape, call.axis)
    if not scores.size:
        return _reduced(np.zeros(shape, scores.dtype), 1.0, call.reduction, shape, out)
    rows = Rows(call.axis, scores, result)
    p, dp = rows.views
    factor, scale, sample_weight = 1.0, behind, None
    if call.reduction == MEAN:
        factor = rows.classes / scores.size
    if call.sample_weight is not None:
        sample_weight = rows.vector(call.sample_weight)
        if call.reduction == MEAN:
            factor = _one_over(float(np.add.reduce(sample_weight, None)))
        scale = call.sample_weight * behind
    scale = -factor * scale
    scale = rows.vector(scale).astype(p.dtype) if np.ndim(scale) else float(scale)
    losses = None
    if call.indices is not None:
        at = rows.at(rows.vector(call.indices))
        q = np.maximum(rows.get(p, at), eps)
        if work is not None:
            dp.fill(0)
            rows.put(dp, at, scale / q)
        if with_loss:
            losses = -np.log(q)
    else:
        assert call.probabilities is not None
        t = rows.view(call.probabilities)
        q = np.maximum(p, eps)
        absent = (t == 0) & ~np.isnan(q)
        if with_loss:
            terms = t * np.log(q)
            np.copyto(terms, 0, where=absent)
            losses = -add_last(terms)
        if work is not None:
            np.divide(t, q, out=q)
            np.multiply(q, np.asarray(scale, q.dtype)[..., None], out=q)
            np.copyto(q, 0, where=absent)
            np.copyto(dp, q)
    if sample_weight is not None and work is not None:
        dp[sample_weight == 0] = 0
    if losses is None:
        return None
    return _reduced(losses, factor, call.reduction, shape, out, sample_weight)


def cross_entropy(
    p: Any, t: Any, axis: Any, eps: Any, sample_weight: Any, reduction: Any, out: Any
) -> Any:
    call = _arguments.check_class_loss("p", p, t, axis, None, None, 0.0, reduction, sample_weight)
    eps = _arguments.check_eps(eps)
    if out is not None:
        shape = _arguments.without_axis(call.scores.shape, call.axis)
        inputs = {"p": p, "t": t, "sample_weight": sample_weight}
        out = _arguments.check_loss_out(out, shape, call.reduction, call.scores.dtype, inputs)
    return _cross_entropy(call, eps, 1.0, None, with_loss=True, out=out)


def cross_entropy_with_grad(
    p: Any, t: Any, axis: Any, eps: Any, sample_weight: Any, reduction: Any, out: Any
) -> Any:
    call = _arguments.check_class_loss("p", p, t, axis, None, None, 0.0, reduction, sample_weight)
    eps = _arguments.check_eps(eps)
    inputs = {"p": p, "t": t, "sample_weight": sample_weight}
    work, result = _arguments.check_gradient_out(out, call.scores, call.dtype, inputs)
    loss = _cross_entropy(call, eps, 1.0, work, with_loss=True, out=None)
    return loss, _arguments.deliver(work, result, out)


def cross_entropy_backward(
    p: Any, t: Any, dloss: Any, axis: Any, eps: Any, sample_weight: Any, reduction: Any, out: Any
) -> Any:
    call = _arguments.check_class_loss("p", p, t, axis, None, None, 0.0, reduction, sample_weight)
    eps = _arguments.check_eps(eps)
    shape = _arguments.without_axis(call.scores.shape, call.axis)
    behind = _arguments.check_dloss(dloss, shape, call.reduction)
    inputs = {"p": p, "t": t, "sample_weight": sample_weight, "dloss": dloss}
    work, result = _arguments.check_gradient_out(out, call.scores, call.dtype, inputs)
    _cross_entropy(call, eps, behind, work, with_loss=False, out=None)
    return _arguments.deliver(work, result, out)


# ---- sigmoid cross-entropy -------------------------------------------------------------------------


def _sigmoid_factor(call: _arguments.SigmoidLoss) -> float:
    """1 over the elements, or over the weights of their rows, for their mean, else 1."""
    if call.reduction != MEAN:
        return 1.0
    weight, size = call.sample_weight, call.logits.size
    if weight is None:
        return _one_over(size)
    return _one_over(float(np.add.reduce(weight, None)) * (size // max(weight.size, 1)))


# Elements taken at a time, whose temporaries stay in the cache.
_SPAN = 1 << 16


@quiet
def _sigmoid_cross_entropy(
    call: _arguments.SigmoidLoss, behind: Any, grad: Array | None, with_loss: bool, out: Array | None
) -> Any:
    """The loss, if wanted; in `grad`, if there, its gradient."""
    factor, shape, size = _sigmoid_factor(call), call.logits.shape, call.logits.size
    given: list[Any] = [call.pos_weight, call.weight, call.sample_weight]
    given.append(behind if np.ndim(behind) else None)
    scale = factor if np.ndim(behind) else factor * behind
    weights = [_flat(array, shape) for array in given]
    added_up = call.reduction != NONE and all(w is None for w in weights)
    x, t, total = call.logits.reshape(-1), call.targets.reshape(-1), 0.0
    dtype = _arguments.work_dtype(call.dtype)
    losses = np.empty(size, dtype) if with_loss and call.reduction == NONE else None
    slopes = None
    if grad is not None:
        slopes = grad.reshape(-1) if grad.flags.c_contiguous else np.empty(size, dtype)
    for first in range(0, size, _SPAN):
        part = slice(first, first + _SPAN)
        pair = x[part].astype(dtype, copy=False), t[part].astype(dtype, copy=False)
        room = None if slopes is None else slopes[part]
        if room is not None and room.dtype != dtype:  # half precision
            room = np.empty_like(pair[0])
        arrays = [None if w is None else w[part] for w in weights]
        value = _logistic(*pair, arrays, scale, with_loss, added_up, room)
        if losses is not None:
            losses[part] = value
        elif with_loss:
            total += value if added_up else float(np.add.reduce(value, None, np.float64))
        if slopes is not None and slopes.dtype != dtype:
            slopes[part] = room
    if grad is not None and slopes is not None and not grad.flags.c_contiguous:
        grad[...] = slopes.reshape(shape)
    if losses is not None:
        return _reduced(losses, 1.0, NONE, shape, out)
    if out is None:
        return dtype.type(total * factor)
    out[...] = total * factor
    return out


def _flat(array: Array | None, shape: tuple[int, ...]) -> Array | None:
    """Every element of what broadcasts to a shape."""
    if array is None:
        return None
    return (array if array.shape == shape else np.broadcast_to(array, shape)).reshape(-1)


def _logistic(
    x: Array,
    t: Array,
    weights: list[Any],
    factor: float,
    with_loss: bool,
    added_up: bool,
    slope: Array | None,
) -> Any:
    """The losses (a + b) log1p(e^-|x|) - d x with a = pos_weight t, b = 1 - t, and d = -b where x > 0,
    else a; or without weights their sum. In `slope`, -d - (a + b) sigmoid(-|x|) with the sign of x.

    d is 0 where a target of 0 or 1 and the sign of x agree: nothing is left then but what is small. It
    is made without choices, which take NumPy longer than products by 0, as `copysign` does.
    """
    pos_weight, weight, sample_weight, behind = weights
    e = np.abs(x)
    np.negative(e, out=e)
    np.exp(e, out=e)
    side = (x > 0).view(np.int8).astype(x.dtype)
    if pos_weight is None and weight is None and sample_weight is None:
        d, both = t - side, None
    else:  # as the kernels: an infinite target is no number then
        a, b = t if pos_weight is None else pos_weight * t, 1 - t
        both = a + b
        d = a * (1 - side) - b * side
    loss: Any = 0.0
    if with_loss:
        loss = np.log1p(e)
        if both is not None:
            loss *= both
        loss = float(np.add.reduce(loss)) - _dot(d, x) if added_up else loss - _products(d, x)
    if slope is not None:
        # What is written to may be a weight, which is looked at last.
        weighted = weight is not None or sample_weight is not None
        small = np.add(e, 1, out=None if weighted else slope)
        np.divide(e, small, out=small)
        if both is not None:
            small *= both
        side *= small  # small less twice itself where x > 0
        side += side
        small -= side
        small -= d
        small *= factor
        if weighted:
            slope[...] = _times(small, weight, sample_weight)
        if behind is not None:
            np.multiply(slope, behind, out=slope, casting="same_kind")
    return loss if added_up or not with_loss else _times(loss, weight, sample_weight)


def _products(d: Array, x: Array) -> Array:
    """d x, and 0 where d is: an infinite logit may be on its right side."""
    products = d * x
    if not math.isfinite(np.add.reduce(products)):
        np.copyto(products, 0, where=d == 0)
    return products


def _dot(d: Array, x: Array) -> float:
    """Their sum."""
    total = 0.0
    for first in range(0, x.size, RUN):
        total += float(np.vdot(d[first : first + RUN], x[first : first + RUN]))
    if math.isfinite(total):
        return total
    return float(np.add.reduce(_products(d, x), None, np.float64))  # perhaps in float32 alone


def _times(values: Array, *weights: Array | None) -> Array:
    """Values times their weights, of which one of 0 silences whatever there is."""
    for weight in weights:
        if weight is not None:
            values = np.where(weight == 0, 0, values * weight)
    return values


def _sigmoid_inputs(
    logits: Any, targets: Any, weight: Any, pos_weight: Any, sample_weight: Any
) -> dict[str, Any]:
    own = {"logits": logits, "targets": targets}
    return own | {"weight": weight, "pos_weight": pos_weight, "sample_weight": sample_weight}


def sigmoid_cross_entropy(
    logits: Any,
    targets: Any,
    weight: Any,
    pos_weight: Any,
    sample_weight: Any,
    reduction: Any,
    out: Any,
) -> Any:
    call = _arguments.check_sigmoid_loss(
        logits, targets, weight, pos_weight, sample_weight, reduction, halves=True
    )
    if out is not None:
        inputs = _sigmoid_inputs(logits, targets, weight, pos_weight, sample_weight)
        shape, dtype = call.logits.shape, call.logits.dtype
        out = _arguments.check_loss_out(out, shape, call.reduction, dtype, inputs)
    return _sigmoid_cross_entropy(call, 1.0, None, with_loss=True, out=out)


def sigmoid_cross_entropy_with_grad(
    logits: Any,
    targets: Any,
    weight: Any,
    pos_weight: Any,
    sample_weight: Any,
    reduction: Any,
    out: Any,
) -> Any:
    call = _arguments.check_sigmoid_loss(
        logits, targets, weight, pos_weight, sample_weight, reduction, halves=True
    )
    inputs = _sigmoid_inputs(logits, targets, weight, pos_weight, sample_weight)
    work, result = _arguments.check_gradient_out(out, call.logits, call.dtype, inputs)
    loss = _sigmoid_cross_entropy(call, 1.0, work, with_loss=True, out=None)
    return loss, _arguments.deliver(work, result, out)


def sigmoid_cross_entropy_backward(
    logits: Any,
    targets: Any,
    dloss: Any,
    weight: Any,
    pos_weight: Any,
    sample_weight: Any,
    reduction: Any,
    out: Any,
) -> Any:
    call = _arguments.check_sigmoid_loss(
        logits, targets, weight, pos_weight, sample_weight, reduction, halves=True
    )
    behind = _arguments.check_dloss(dloss, call.logits.shape, call.reduction)
    inputs = _sigmoid_inputs(logits, targets, weight, pos_weight, sample_weight) | {"dloss": dloss}
    work, result = _arguments.check_gradient_out(out, call.logits, call.dtype, inputs)
    _sigmoid_cross_entropy(call, behind, work, with_loss=False, out=None)
    return _arguments.deliver(work, result, out)


# ---- squared error -----------------------------------------------------------------------------------

def _sums(difference: Array, rows: int) -> Array:
    sums = sums_of_squares(difference, rows)
    if np.isinf(sums).any():  # perhaps only in float32
        sums = np.square(difference.reshape(rows, -1), dtype=np.float64).sum(-1)
    return sums


def _sum(difference: Array) -> float:
    """The same for one row, in half the time where it is short."""
    total = float(np.vdot(difference, difference)) if difference.size <= RUN else math.inf
    return total if total < math.inf else float(_sums(difference, 1)[0])


def _rows_of(call: _arguments.SquaredError) -> int:
    return call.loss_shape[0] if call.loss_shape else 1


def _factor(call: _arguments.SquaredError) -> float:
    """1 over the rows, or over their weights, for their mean, else 1."""
    if call.reduction != MEAN:
        return 1.0
    if call.sample_weight is not None:
        return _one_over(float(np.add.reduce(call.sample_weight, None)))
    return 1 / (_rows_of(call) or 1)


def _scale_difference(
    call: _arguments.SquaredError, difference: Array, factor: Any, behind: Any = 1.0
) -> None:
    """y - t to its gradient, in place."""
    scale = factor * behind
    if call.sample_weight is not None:
        scale = scale * call.sample_weight
    if np.ndim(scale):
        scale = scale.astype(difference.dtype).reshape(-1, *[1] * (difference.ndim - 1))
    else:
        scale = float(scale)
    np.multiply(difference, scale, out=difference)
    if call.sample_weight is not None:
        difference[call.sample_weight == 0] = 0


@quiet
def _squared_error(
    call: _arguments.SquaredError, difference: Array, with_grad: bool, out: Array | None
) -> Any:
    """Half the sum of the squares of y - t; its gradient, if wanted, in `difference`."""
    np.subtract(call.y, call.t, out=difference)
    dtype, factor, weight = difference.dtype, _factor(call), call.sample_weight
    value: Any
    if call.reduction == NONE or weight is not None:
        losses = 0.5 * _sums(difference, _rows_of(call))
        if weight is not None:
            losses = _weighted(losses, weight.reshape(-1))
        if call.reduction == NONE:
            value = losses.astype(dtype, copy=False).reshape(call.loss_shape)
        else:
            value = dtype.type(float(np.add.reduce(losses, None, np.float64)) * factor)
    else:
        value = dtype.type(0.5 * _sum(difference) * factor)
    if with_grad:
        _scale_difference(call, difference, factor)
    if out is None:
        return value if np.ndim(value) else dtype.type(value)
    out[...] = value
    return out


def sum_squared_error(y: Any, t: Any, sample_weight: Any, reduction: Any, out: Any) -> Any:
    call = _arguments.check_squared_error(y, t, reduction, sample_weight)
    if out is not None:
        inputs = {"y": y, "t": t, "sample_weight": sample_weight}
        out = _arguments.check_loss_out(out, call.loss_shape, call.reduction, call.y.dtype, inputs)
    return _squared_error(call, np.empty(call.y.shape, call.y.dtype), with_grad=False, out=out)


def sum_squared_error_with_grad(y: Any, t: Any, sample_weight: Any, reduction: Any, out: Any) -> Any:
    call = _arguments.check_squared_error(y, t, reduction, sample_weight)
    inputs = {"y": y, "t": t, "sample_weight": sample_weight}
    work, result = _arguments.check_gradient_out(out, call.y, call.dtype, inputs)
    loss = _squared_error(call, work, with_grad=True, out=None)
    return loss, _arguments.deliver(work, result, out)


def sum_squared_error_backward(
    y: Any, t: Any, dloss: Any, sample_weight: Any, reduction: Any, out: Any
) -> Any:
    call = _arguments.check_squared_error(y, t, reduction, sample_weight)
    behind = _arguments.check_dloss(dloss, call.loss_shape, call.reduction)
    inputs = {"y": y, "t": t, "sample_weight": sample_weight, "dloss": dloss}
    work, result = _arguments.check_gradient_out(out, call.y, call.dtype, inputs)
    _squared_error_backward(call, work, behind)
    return _arguments.deliver(work, result, out)


@quiet
def _squared_error_backward(call: _arguments.SquaredError, difference: Array, behind: Any) -> None:
    np.subtract(call.y, call.t, out=difference)
    _scale_difference(call, difference, _factor(call), behind)
