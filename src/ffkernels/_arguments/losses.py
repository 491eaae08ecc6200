"""The arguments of losses: records of them, checked."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import numpy as np

from .arrays import (
    INDEX,
    Array,
    any_array,
    dtype_of,
    is_half,
    normalise_axis,
    real_array,
    real_number,
    to_work,
    without_axis,
    work_dtype,
)
from .functions import check_together
from .outputs import are_plain, check_out, is_plain_output, make_output

REDUCTIONS = ("none", "mean", "sum")
NONE, MEAN, SUM = range(3)


def check_reduction(name: Any) -> int:
    """NONE, MEAN or SUM."""
    if type(name) is str and name in REDUCTIONS:
        return REDUCTIONS.index(name)
    if isinstance(name, str) and name in REDUCTIONS:
        return REDUCTIONS.index(name)
    raise ValueError(f'reduction: expected "mean", "sum" or "none", got {name!r}')


class Loss(NamedTuple):
    """The arguments of a loss over classes, checked."""

    scores: Array  # logits or probabilities, in the type to compute in, or with `halves` in half
    axis: int
    indices: Array | None  # class of each row, C-ordered intp where all are in range
    probabilities: Array | None  # or the targets' full shape, in the type to compute in
    weight: Array | None
    ignore_index: int | None
    label_smoothing: float
    reduction: int
    dtype: np.dtype[Any]  # of the gradient
    sample_weight: Array | None = None  # of each row, C-ordered float64


def check_class_loss(
    name: str,
    scores: Any,
    targets: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    reduction_name: Any,
    sample_weight: Any = None,
    halves: bool = False,
) -> Loss:
    """Checks the arguments that all cross-entropies share; class indices are in range after it."""
    call = loss_of_some_classes(
        name,
        scores,
        targets,
        axis,
        weight,
        ignore_index,
        label_smoothing,
        reduction_name,
        sample_weight,
        halves,
    )
    if call.indices is not None:
        classes = call.scores.shape[call.axis]
        refuse_index(call.indices, classes, call.ignore_index, _targets_of(name))
    return call


def _targets_of(name: str) -> str:
    """What targets are called beside scores of some name."""
    return "t" if name == "p" else "targets"


def loss_of_some_classes(
    name: str,
    scores: Any,
    targets: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    reduction_name: Any,
    sample_weight: Any = None,
    halves: bool = False,
) -> Loss:
    """The same where class indices may be those of classes that others hold: they may be anything."""
    if are_plain(scores):
        work = dtype = scores.dtype
    else:
        scores = real_array(scores, name)
        dtype = scores.dtype
        work = work_dtype(dtype)
    code = check_reduction(reduction_name)
    axis = normalise_axis(axis, scores.ndim)
    classes = scores.shape[axis]
    if weight is not None:
        weight = real_array(weight, "weight")
        if weight.shape != (classes,):
            rows = "; rows are weighted by sample_weight"
            raise ValueError(
                f"weight: expected one number a class, shape ({classes},), got {weight.shape}"
                f"{rows if weight.shape == without_axis(scores.shape, axis) else ''}"
            )
        with np.errstate(over="ignore"):  # beyond the range of the type to compute in: refused next
            weight = np.ascontiguousarray(weight, work)
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise ValueError(f"weight: expected finite numbers of at least 0 in {work}, got others")
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, without_axis(scores.shape, axis))
    label_smoothing = real_number(label_smoothing, "label_smoothing")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing: expected 0 to 1, got {label_smoothing}")
    if ignore_index is not None:
        try:
            ignore_index = operator.index(ignore_index)
        except TypeError:
            raise TypeError(
                f"ignore_index: expected an integer or None, got {type(ignore_index).__name__}"
            ) from None
    indices, probabilities = _class_targets(name, scores.shape, targets, axis)
    if indices is None and ignore_index is not None:
        raise ValueError(
            "ignore_index: expected None where targets are probabilities, "
            f"got {ignore_index}"
        )
    if indices is not None:
        indices, ignore_index = _as_indices(indices, ignore_index)
    if probabilities is not None:
        probabilities = to_work(probabilities, work, halves)
    return Loss(
        scores if dtype == work else to_work(scores, work, halves),
        axis,
        indices,
        probabilities,
        weight,
        ignore_index,
        label_smoothing,
        code,
        dtype,
        sample_weight,
    )


def check_sample_weight(sample_weight: Any, shape: tuple[int, ...]) -> Array:
    """One finite number of at least 0 for each row, C-ordered float64."""
    array = real_array(sample_weight, "sample_weight")
    if array.shape != shape:
        raise ValueError(
            f"sample_weight: expected one number a row, shape {shape}, got {array.shape}"
        )
    return _refuse_weight(np.require(array, np.float64, ["C", "A"]), "sample_weight", "")


def _refuse_weight(array: Array, name: str, where: str) -> Array:
    """ValueError for the first weight that is not finite or below 0."""
    bad = ~((array >= 0) & (array < math.inf))
    if bad.any():
        place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), array.shape))
        at = f" at position {place[0] if len(place) == 1 else place}" if place else ""
        raise ValueError(
            f"{name}: expected finite numbers of at least 0{where}, got {array[place]:g}{at}"
        )
    return array


def _class_targets(
    name: str, shape: tuple[int, ...], targets: Any, axis: int
) -> tuple[Array | None, Array | None]:
    """Class indices or probabilities: told by dimension and type, since with one class or one
    sample sizes say nothing."""
    if type(targets) is np.ndarray and targets.dtype == INDEX and targets.ndim == len(shape) - 1:
        flags = targets.flags
        if flags.c_contiguous and flags.aligned and targets.shape == without_axis(shape, axis):
            return targets, None
    own = _targets_of(name)
    array = any_array(targets, own)
    reduced = without_axis(shape, axis)
    if array.shape == shape:
        return None, real_array(array, own)
    if array.shape != reduced:
        raise ValueError(
            f"{own}: expected class indices of shape {reduced} or probabilities of shape "
            f"{shape} for {name} of shape {shape} along axis {axis}, got {array.shape}"
        )
    if array.size == 0 and not isinstance(targets, np.ndarray):
        array = array.astype(np.intp)  # an empty list, which NumPy makes float64
    if array.dtype.kind not in "iu":
        raise TypeError(f"{own}: expected integers as class indices, got dtype {dtype_of(array)}")
    return array, None


def _as_indices(array: Array, ignore_index: int | None) -> tuple[Array, int | None]:
    """Class indices as C-ordered intp, and which of them is ignored.

    No class has a number beyond intp. Where such a number is ignored another stands for it; any other is
    left as it is, in an array of its type, for `refuse_index` to name it.
    """
    limits, ignored = np.iinfo(INDEX), ignore_index
    if ignored is not None and not limits.min <= ignored <= limits.max:
        ignored = None
    if array.dtype == INDEX and array.flags.c_contiguous and array.flags.aligned:
        return array, ignored
    if np.can_cast(array.dtype, INDEX):
        return np.require(array, INDEX, ["C", "A"]), ignored
    beyond = (array < limits.min) | (array > limits.max)
    if (array[beyond] != ignore_index).any():
        return array, ignored
    indices = array.astype(INDEX, "C")
    if beyond.any():
        indices[beyond] = ignored = limits.min
    return indices, ignored


def refuse_index(
    indices: Array, classes: int, ignore_index: int | None, name: str = "targets"
) -> None:
    """IndexError for the first class index out of range."""
    if not indices.size:
        return
    # argmin and argmax take a quarter of the time of min and max.
    if indices.item(indices.argmin()) >= 0 and indices.item(indices.argmax()) < classes:
        return
    bad = (indices < 0) | (indices >= classes)
    if ignore_index is not None:
        bad &= indices != ignore_index
    if bad.any():
        position = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), indices.shape))
        where = f" at position {position[0] if len(position) == 1 else position}" if position else ""
        index, instead = int(indices[position]), ""
        if index < 0 and ignore_index is None:
            instead = f"; softmax_cross_entropy leaves such rows out with ignore_index={index}"
        elif index == classes and indices.min() > 0:
            instead = "; the first class is 0"
        raise IndexError(
            f"{name}: class index {index}{where} is out of range for {classes} "
            f"classes{instead}"
        )


def check_loss_out(
    out: Any, shape: tuple[int, ...], code: int, dtype: np.dtype[Any], inputs: dict[str, Any]
) -> Array | None:
    """`out` for the value of a loss at scores of this type, checked; None where there is none."""
    if out is None:
        return None
    return check_out(out, shape if code == NONE else (), work_dtype(dtype), inputs, in_place=False)


def check_gradient_out(
    out: Any, scores: Array, dtype: np.dtype[Any], inputs: dict[str, Any]
) -> tuple[Array, Array]:
    """What to compute a gradient into, what to return; it may overwrite what it derives from."""
    if dtype == scores.dtype:
        if out is None:
            target = np.empty_like(scores)
            return target, target
        if is_plain_output(out, scores.shape, dtype, *inputs.values()):
            return out, out
    first, *others = inputs
    work = dtype if is_half(scores.dtype) else scores.dtype
    target, result = make_output(out, scores, work, dtype, {first: inputs[first]})
    for name in others:
        if out is not None:
            # The scores' own layout may be overwritten; targets of that layout may be too, since
            # each row is read before it is written.
            check_out(out, scores.shape, dtype, {name: inputs[name]})
    return target, result


def check_dloss(dloss: Any, shape: tuple[int, ...], code: int) -> float | Array:
    """The factor that comes from behind: a number, or with no reduction one for each row."""
    if type(dloss) is float:
        return dloss
    array = real_array(dloss, "dloss").astype(np.float64)
    if array.ndim == 0:
        return float(array)
    if code != NONE or array.shape != shape:
        expected = f" or an array of shape {shape}" if code == NONE else ""
        raise ValueError(f"dloss: expected a number{expected}, got an array of shape {array.shape}")
    return np.ascontiguousarray(array)


class SquaredError(NamedTuple):
    """The arguments of sum_squared_error, checked; rows are the first axis."""

    y: Array  # C-ordered, in the type to compute in, or with `halves` in half precision
    t: Array
    loss_shape: tuple[int, ...]
    reduction: int
    dtype: np.dtype[Any]
    sample_weight: Array | None = None  # of each row, C-ordered float64


def check_squared_error(
    y: Any, t: Any, reduction_name: Any, sample_weight: Any = None, halves: bool = False
) -> SquaredError:
    """Checks y and t; one dimension is one row."""
    if are_plain(y, t):
        outputs, targets, dtype = y, t, y.dtype
    else:
        (outputs, targets), _, dtype = check_together(("y", "t"), (y, t), halves)
    code = check_reduction(reduction_name)
    if outputs.ndim == 0:
        raise ValueError("y: expected at least one dimension, got none")
    loss_shape = outputs.shape[:1] if outputs.ndim > 1 else ()
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, loss_shape)
    outputs, targets = np.ascontiguousarray(outputs), np.ascontiguousarray(targets)
    return SquaredError(outputs, targets, loss_shape, code, dtype, sample_weight)


class SigmoidLoss(NamedTuple):
    """The arguments of sigmoid_cross_entropy, checked; weights broadcast to the logits' shape."""

    logits: Array  # C-ordered, in the type to compute in, or with `halves` in half precision
    targets: Array
    weight: Array | None  # in the type to compute in
    pos_weight: Array | None
    sample_weight: Array | None  # of rows, C-ordered float64
    reduction: int
    dtype: np.dtype[Any]  # of the gradient


def check_sigmoid_loss(
    logits: Any,
    targets: Any,
    weight: Any,
    pos_weight: Any,
    sample_weight: Any,
    reduction_name: Any,
    halves: bool = False,
) -> SigmoidLoss:
    """Checks logits, targets and all weights; rows are the first axis."""
    if are_plain(logits, targets):
        x, t = logits, targets
        work = dtype = logits.dtype
    else:
        x, t = real_array(logits, "logits"), real_array(targets, "targets")
        if t.shape != x.shape:
            raise ValueError(f"targets: expected the shape of logits, {x.shape}, got {t.shape}")
        dtype = x.dtype
        work = work_dtype(dtype)
        x, t = to_work(x, work, halves), to_work(t, work, halves)
    code = check_reduction(reduction_name)
    if weight is not None:
        weight = _broadcast_weight(weight, "weight", x.shape, work)
    if pos_weight is not None:
        pos_weight = _broadcast_weight(pos_weight, "pos_weight", x.shape, work)
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, x.shape[:1])
        sample_weight = sample_weight.reshape(x.shape[:1] + (1,) * (x.ndim - 1))
    x, t = np.asarray(x, order="C"), np.asarray(t, order="C")
    return SigmoidLoss(x, t, weight, pos_weight, sample_weight, code, dtype)


def _broadcast_weight(
    weight: Any, name: str, shape: tuple[int, ...], work: np.dtype[Any]
) -> Array:
    """Weights that broadcast to the shape of the logits, C-ordered and in the type to compute in."""
    array = real_array(weight, name)
    missing = len(shape) - array.ndim
    fits = missing >= 0 and all(
        n in (1, of) for n, of in zip(array.shape, shape[missing:], strict=True)
    )
    if not fits:
        rows = "; rows are weighted by sample_weight" if array.shape == shape[:1] else ""
        raise ValueError(
            f"{name}: expected a shape that broadcasts to that of logits, {shape}, "
            f"got {array.shape}{rows}"
        )
    with np.errstate(over="ignore"):  # beyond the range of the type to compute in: refused next
        array = np.require(array, work, ["C", "A"])
    return _refuse_weight(array, name, f" in {work}")


def in_runs(weights: Array, shape: tuple[int, ...]) -> tuple[Array, int, int]:
    """What broadcasts to a shape as a C-ordered array, in which element i of that shape is number
    i // run % count, with `run` and `count`; a copy where its axes lie apart."""
    own = (1,) * (len(shape) - weights.ndim) + weights.shape
    axes = [i for i, n in enumerate(own) if n != 1]
    if not axes:
        return weights, max(math.prod(shape), 1), 1
    first, stop = axes[0], axes[-1] + 1
    if own[first:stop] != shape[first:stop]:
        own = (1,) * first + shape[first:stop]
        weights = np.ascontiguousarray(np.broadcast_to(weights, own + (1,) * (len(shape) - stop)))
    return weights, math.prod(shape[stop:]), max(weights.size, 1)


def check_eps(eps: Any) -> float:
    """The least probability cross_entropy takes a logarithm of."""
    eps = real_number(eps, "eps")
    if not 0 <= eps <= 1:
        raise ValueError(f"eps: expected 0 to 1, got {eps}")
    return eps
