"""Cross-entropy of rows whose classes lie in several shards, of which none sees another's logits.

A shard looks at its own logits once: it leaves e^(x - maximum) where the gradient is to be, and keeps a
few numbers a row, its statistics. What shards tell each other is the maximum of each row, then what each
adds to the sums of all (`shares`). The statistics of several shards (`merged`) are of the same kind as
those of one, so that shards may be blocks of classes in one process, ranks of many, or blocks on ranks.

The leading term of a row is left out of its sum once, wherever it lies: of several shards that hold a
maximum all but one are counted back in. So a confident row keeps the digits of what it has left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _arguments
from ._arguments import MEAN, Array

#: The statistics, a number a row each, as `shards.pxi` numbers them:
#:
#: MAXIMUM  of the logits, without NaN; -inf where there are none
#: EXCESS   sum of e^(x - maximum) less its leading term; -1 where there are none, NaN where there is one
#: GAP      sum of a (maximum - x) where a is not 0; inf where only -inf has any
#: TOTAL    sum of a, the coefficients: targets, smoothed and weighted
#: OTHERS   sum of a without that of the leading class, if EXCESS < 1, where all classes have any
#: LEADER   that class
#: POINT    e^(x - maximum) at the target, where one class has all of a
MAXIMUM, EXCESS, GAP, TOTAL, OTHERS, LEADER = range(6)
POINT = OTHERS
STATISTICS = 6

#: What shards add up: how many hold the maximum, their sums of e^(x - maximum) without leading terms,
#: the rest as above.
_SUMMED = 5

# Shards times rows whose shares are there at once, which bounds the memory that they take.
_AT_ONCE = 2**11

#: Classes of rows whose target another shard has, and of those that do not count.
ELSEWHERE, IGNORED = -1, -2


class Shard(NamedTuple):
    """Arguments for some of the classes, checked, in the type to compute in."""

    scores: Array  # the classes along the last axis
    classes: Array | None  # of each row, in a vector of intp: which of the shard's, ELSEWHERE or IGNORED
    probabilities: Array | None  # or of each class and row; `classes` then tells those that are ignored
    weight: Array | None
    hard: float  # share of a target that stays
    soft: float  # what every class gets instead
    sample_weight: Array | None  # of each row, in float64
    counting: float  # rows that count, each by its weight

    @property
    def has_coefficients(self) -> bool:
        """Whether all classes have coefficients."""
        return self.probabilities is not None or self.soft > 0


def shard(call: _arguments.Loss, first: int, classes: int) -> Shard:
    """What a call with all targets is for a shard that begins with class `first` of so many."""
    own, rows = None, math.prod(call.scores.shape[:-1])
    if call.indices is not None:
        given = call.indices.reshape(-1)
        own = given - first
        own[(own < 0) | (own >= call.scores.shape[-1])] = ELSEWHERE
        if call.ignore_index is not None:
            own[given == call.ignore_index] = IGNORED
    sample_weight = call.sample_weight
    if sample_weight is not None:
        sample_weight = sample_weight.reshape(-1)
        if own is None:
            own = np.full(rows, ELSEWHERE, np.intp)
        own[sample_weight == 0] = IGNORED
    counting: float = rows
    if own is not None:
        counts = own != IGNORED
        counting = float(counts.sum() if sample_weight is None else sample_weight[counts].sum())
    smoothing = call.label_smoothing
    soft = smoothing / max(classes, 1)
    return Shard(
        call.scores, own, call.probabilities, call.weight, 1 - smoothing, soft, sample_weight, counting
    )


def part(own: Shard, rows: Any, classes: slice, scores: Array) -> Shard:
    """What that is for some of its rows and classes, with their logits."""
    indices, probabilities, weight = own.classes, own.probabilities, own.weight
    if indices is not None:
        given = indices[rows]
        indices = given - classes.start
        indices[(given < classes.start) | (given >= classes.stop)] = ELSEWHERE
        indices[given == IGNORED] = IGNORED
    if probabilities is not None:
        probabilities = probabilities[rows, classes]
    if weight is not None:
        weight = weight[classes]
    sample_weight = None if own.sample_weight is None else own.sample_weight[rows]
    return own._replace(
        scores=scores, classes=indices, probabilities=probabilities, weight=weight,
        sample_weight=sample_weight,
    )  # fmt: skip


def counted(own: Shard) -> float:
    """The weights of the rows with a target in this shard, which the mean of all rows divides by."""
    if own.classes is None or own.weight is None:
        return 0.0
    here = own.classes >= 0
    weights = own.weight[own.classes[here]].astype(np.float64)
    if own.sample_weight is not None:
        weights *= own.sample_weight[here]
    return float(weights.sum())


def _shrunk(own: Array, maximum: Array) -> Array:
    """e^(own maximum - maximum of all), with the error of the difference made up for."""
    difference = own[MAXIMUM] - maximum
    back = difference - own[MAXIMUM]
    error = (own[MAXIMUM] - (difference - back)) - (maximum + back)
    shrunk: Array = np.exp(difference)
    return shrunk * (1 + np.where(np.isfinite(error), error, 0))


@np.errstate(all="ignore")
def shares(own: Array, maximum: Array, soft: bool) -> Array:
    """What shards of these statistics add to the sums over all, given the maximum of all."""
    out = np.empty((_SUMMED if soft else _SUMMED - 1, *own.shape[1:]))
    leads = own[MAXIMUM] == maximum
    total = own[TOTAL]
    out[0] = leads
    out[1] = np.where(leads, own[EXCESS], _shrunk(own, maximum) * (1 + own[EXCESS]))
    out[2] = own[GAP] + np.where(total == 0, 0, total * (maximum - own[MAXIMUM]))
    out[3] = total
    if soft:
        out[4] = np.where(leads, own[OTHERS], total)
    return out


class Everyone(NamedTuple):
    """What others who hold classes of the same rows know of them."""

    largest: Callable[[Array], Array]
    total: Callable[[Array], Array]


#: All classes are here.
ALONE = Everyone(lambda maximum: maximum, lambda sums: sums)


def together(own: Array, soft: bool, everyone: Everyone = ALONE) -> Array:
    """The statistics of whole rows from those of shards, of shape (STATISTICS, shards, rows)."""
    maximum = everyone.largest(own[MAXIMUM].max(0, initial=-np.inf))
    sums = np.empty((_SUMMED if soft else _SUMMED - 1, len(maximum)))
    at_once = max(1, _AT_ONCE // max(1, own.shape[1]))
    for start in range(0, len(maximum), at_once):
        rows = slice(start, start + at_once)
        sums[:, rows] = shares(own[..., rows], maximum[rows], soft).sum(1)
    return complete(everyone.total(sums), maximum)


def merged(sums: Array, maximum: Array) -> Array:
    """The statistics of several shards as of one."""
    several = np.empty((STATISTICS, *sums.shape[1:]))
    several[MAXIMUM] = maximum
    several[EXCESS] = (sums[0] - 1) + sums[1]
    several[GAP : GAP + len(sums) - 2] = sums[2:]
    return several


@np.errstate(all="ignore")
def complete(sums: Array, maximum: Array) -> Array:
    """Those of whole rows, NaN where a row has no finite maximum."""
    whole = merged(sums, maximum)
    whole[EXCESS] += maximum - maximum
    return whole


@np.errstate(all="ignore")
def losses(whole: Array, sample_weight: Array | None) -> Array:
    """sum of a (maximum - x) + sum of a log(sum of e^(x - maximum)), times the weight of the row."""
    each: Array = whole[GAP] + whole[TOTAL] * np.log1p(whole[EXCESS])
    return each if sample_weight is None else each * sample_weight


def factor(own: Shard, reduction: int, weights: float) -> float:
    """What the sum over rows is multiplied by, `weights` being the sum of `counted` over the shards."""
    if reduction != MEAN:
        return 1.0
    total = own.counting if own.probabilities is not None or own.weight is None else weights
    return 1 / total if total else 0.0


@np.errstate(all="ignore")
def gradient(own: Array, whole: Array, call: Shard, factor: float) -> Array:
    """By what each row is multiplied, in which class of it that gives way to which value, and the factor
    of the row's coefficients.

    The gradient at a target is minus what the other classes have, not p - 1; with coefficients for all
    classes the same is said of a leader without rivals.
    """
    columns = np.empty((4, whole.shape[1]))
    scale, at, value, each = columns
    rest = whole[EXCESS]
    shrunk = _shrunk(own, whole[MAXIMUM])
    each[...] = factor if call.sample_weight is None else factor * call.sample_weight
    scale[...] = whole[TOTAL] * each / (1 + rest)
    if call.has_coefficients:
        at[...] = np.where((own[MAXIMUM] == whole[MAXIMUM]) & (rest < 1), own[LEADER], ELSEWHERE)
        value[...] = (whole[OTHERS] - whole[TOTAL] * rest / (1 + rest)) * each
    else:
        point = own[POINT] * shrunk
        at[...] = call.classes
        value[...] = -np.where(point == 1, rest, (1 + rest) - point) * scale
    scale *= shrunk
    return columns
