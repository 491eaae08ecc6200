"""Rows whose classes lie in several shards: what one tells of its own, and its part of the gradient.

What becomes of the numbers in between is in `.._shards`, which also says what they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arguments import Array
from .._shards import EXCESS, GAP, IGNORED, LEADER, MAXIMUM, OTHERS, POINT, TOTAL, Shard
from ._activations import add_last, others, quiet

__all__ = ["shard_gradient", "shard_statistics"]


def _coefficients(call: Shard, rows: int, classes: int, dtype: Any) -> Array:
    """The weighted, smoothed targets of each row; none for rows that do not count."""
    if call.probabilities is not None:
        probabilities = call.probabilities.reshape(rows, classes)
        a = np.multiply(probabilities, dtype.type(call.hard), order="C")
        a += dtype.type(call.soft)
    else:
        assert call.classes is not None
        a = np.full((rows, classes), call.soft, dtype)
        (here,) = (call.classes >= 0).nonzero()
        a[here, call.classes[here]] += dtype.type(call.hard)
        a[call.classes == IGNORED] = 0
    if call.weight is not None:
        a *= call.weight
    return a


@quiet
def shard_statistics(call: Shard, work: Array, columns: Array) -> None:
    rows, classes = columns.shape[1], work.shape[-1]
    if not rows:
        return
    x = call.scores.reshape(rows, classes)
    e = work if work.ndim == 2 and work.flags.c_contiguous else np.empty_like(x, order="C")
    columns[...] = 0
    maximum = np.fmax.reduce(x, -1, initial=-np.inf)
    nearest = np.where(maximum > -np.inf, maximum, x.dtype.type(0))
    columns[MAXIMUM], columns[EXCESS] = maximum, -1
    if call.has_coefficients:
        a = _coefficients(call, rows, classes, x.dtype)
        columns[TOTAL] = add_last(a)
    else:
        assert call.classes is not None
        (here,) = (call.classes >= 0).nonzero()
        at = here, call.classes[here]
        weight = 1.0 if call.weight is None else call.weight[at[1]]
        gap = nearest[here].astype(np.float64) - x[at]
        columns[TOTAL, here], columns[GAP, here] = weight, np.where(weight == 0, 0, weight * gap)
    np.subtract(x, nearest[:, None], out=e)
    if call.has_coefficients:
        terms = a * e
        np.copyto(terms, 0, where=a == 0)
        columns[GAP] = -add_last(terms)
    np.exp(e, out=e)
    if classes:
        leader = e.argmax(-1)
        at_leader = np.arange(rows), leader
        leading = e[at_leader]
        e[at_leader] = 0
        columns[EXCESS] = add_last(e) + (leading.astype(np.float64) - 1)
        e[at_leader] = leading
        if call.has_coefficients:
            columns[LEADER], columns[OTHERS] = leader, others(a, leader)
        else:
            columns[POINT, here] = e[at]
    if call.classes is not None:
        ignored = call.classes == IGNORED
        columns[:, ignored], e[ignored] = 0, 0
    if e is not work:
        work[...] = e.reshape(work.shape)


@quiet
def shard_gradient(call: Shard, work: Array, columns: Array) -> None:
    rows, classes = columns.shape[1], work.shape[-1]
    scale, place, value, factor = columns
    dx = work.reshape(rows, classes)
    np.multiply(dx, scale.astype(dx.dtype)[:, None], out=dx)
    if call.has_coefficients:
        a = _coefficients(call, rows, classes, dx.dtype)
        a *= factor.astype(dx.dtype)[:, None]
        dx -= a
    (here,) = (place >= 0).nonzero()
    dx[here, place[here].astype(np.intp)] = value[here]
    if call.classes is not None:
        dx[call.classes == IGNORED] = 0
    if not np.may_share_memory(dx, work):
        work[...] = dx.reshape(work.shape)
