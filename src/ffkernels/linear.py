"""Cross-entropy of a linear layer with many classes, whose logits never exist as a whole.

The logits x·w + b of a large vocabulary are the largest array of a net, and are needed for a moment
only: blocks of rows go through BLAS, the fused kernel turns each into its gradient in place, BLAS folds
it into the gradients at x and w.  What the options mean, and what is refused, is as for
`ffkernels.softmax_cross_entropy`.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _arguments, _blas, _numpy
from . import backend as _backend
from ._arguments import MEAN, NONE, Array
from ._numpy._activations import quiet
from .activations import bias_identity, identity_backward_bias
from .losses import softmax_cross_entropy, softmax_cross_entropy_with_grad

__all__ = ["linear_cross_entropy", "linear_cross_entropy_with_grad", "merge_logsumexp"]


def __dir__() -> list[str]:
    return __all__


#: Bytes of working memory, unless told otherwise: less costs time, and more leaves the cache
#: (docs/large-vocabularies.md).
CHUNK_BYTES = 2**25

# Rows of all classes in a block, for gradients and for the loss alone, below which blocks are of some
# classes: BLAS takes as long to bring w in order as for a product of so few rows. With gradients whole
# rows take 1.2 to 1.4, 1.5, 2.1 x the products in blocks of 64, 32, 16, some classes 1.4 x, for their
# logits are made twice; the loss alone 1.4, 1.7, 2.5 x, and 1.1 to 1.3.
_LEAST_ROWS, _LEAST_ROWS_OF_LOSS = 64, 128

# Rows of a block of some classes.
_ROWS = 1024


class _Call(NamedTuple):
    """The arguments, checked, in the type to compute in."""

    x: Array
    w: Array
    b: Array | None
    targets: Array
    loss: _arguments.Loss  # whose scores have the logits' shape and no memory
    chunk_bytes: int
    dtype: np.dtype[Any]  # of the gradients


class _Grads(NamedTuple):
    """Arrays for the gradients."""

    dx: Array
    dw: Array
    db: Array | None


def _matrix(value: Any, name: str, shape: str) -> Array:
    array = _arguments.real_array(value, name)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return array


def _checked(
    x: Any, w: Any, targets: Any, b: Any, weight: Any, ignore_index: Any, label_smoothing: Any,
    reduction: Any, chunk_bytes: Any,
) -> _Call:  # fmt: skip
    x, w = _matrix(x, "x", "(N, D)"), _matrix(w, "w", "(D, C)")
    (rows, features), classes = x.shape, w.shape[1]
    if w.shape[0] != features:
        other = "; w.T has, and is not copied" if classes == features else ""
        raise ValueError(f"w: expected shape ({features}, C) to fit x, got {w.shape}{other}")
    for name, array, count in (("x", x, features), ("w", w, classes)):
        if not count:
            raise ValueError(f"{name}: expected at least one column, got shape {array.shape}")
    if w.dtype != x.dtype:
        raise TypeError(f"w: expected the dtype of x, {x.dtype}, got {w.dtype}")
    if b is not None:
        b = _arguments.real_array(b, "b")
        if b.dtype != x.dtype:
            raise TypeError(f"b: expected the dtype of x, {x.dtype}, got {b.dtype}")
        if b.shape != (classes,):
            raise ValueError(f"b: expected shape ({classes},) to fit w, got {b.shape}")
    work = _arguments._work_dtype(x.dtype)
    if rows * classes > sys.maxsize // work.itemsize:
        raise ValueError(
            f"w: expected fewer classes for {rows} rows, got {classes}, whose logits cannot be counted"
        )
    if chunk_bytes is None:
        chunk_bytes = CHUNK_BYTES
    try:
        chunk_bytes = operator.index(chunk_bytes)
    except TypeError:
        came = type(chunk_bytes).__name__
        raise TypeError(f"chunk_bytes: expected an integer or None, got {came}") from None
    if chunk_bytes < 1:
        raise ValueError(f"chunk_bytes: expected at least 1, got {chunk_bytes}")
    logits = np.broadcast_to(np.zeros((), work), (rows, classes))
    loss = _arguments.check_class_loss(
        "logits", logits, targets, -1, weight, ignore_index, label_smoothing, reduction
    )
    given = loss.indices if loss.indices is not None else loss.probabilities
    assert given is not None
    w = _arguments._as(w, work)
    if _blas.is_copied(w):  # once, not by each product
        w = w.copy("C")
    b = None if b is None else _arguments._as(b, work)
    return _Call(_arguments._as(x, work), w, b, given, loss, chunk_bytes, x.dtype)


def _counting(loss: _arguments.Loss) -> Array | None:
    """The rows that are not ignored, None for all."""
    if loss.indices is None or loss.ignore_index is None:
        return None
    counting = loss.indices != loss.ignore_index
    return None if counting.all() else np.flatnonzero(counting)


def _factor(loss: _arguments.Loss, counting: Array | None) -> float:
    """What the sum over rows is multiplied by."""
    if loss.reduction != MEAN:
        return 1.0
    total: float = loss.scores.shape[0] if counting is None else len(counting)
    if loss.indices is not None and loss.weight is not None:
        indices = loss.indices if counting is None else loss.indices[counting]
        total = float(loss.weight[indices].sum(dtype=np.float64))
    return 1 / total if total else 0.0


def _blocks(count: int, at_once: int) -> Iterator[slice]:
    """Slices of at most so many, all alike: a short last one costs nearly as much as a long one."""
    number = -(-count // max(1, at_once))
    for k in range(number):
        yield slice(k * count // number, (k + 1) * count // number)


def _rows_of(x: Array, rows: Any) -> Array:
    """Some rows of x, as BLAS takes them without a copy for each product."""
    part: Array = x[rows]
    return part.copy() if _blas.is_copied(part) else part


def _add_product(a: Array, b: Array, out: Array, factor: float, first: bool) -> None:
    """out <- out + factor aᵀ·b, in the order in which ``out`` lies."""
    if out.flags.f_contiguous and not out.flags.c_contiguous:
        a, b, out = b, a, out.T
    _blas.AddProduct(b, out)(a, factor, first)


def _run(call: _Call, grads: _Grads | None) -> Any:
    """Return the loss; put the gradients where there is memory for them."""
    counting = _counting(call.loss)
    rows, classes = call.loss.scores.shape
    count = rows if counting is None else len(counting)
    factor = _factor(call.loss, counting)
    losses = np.zeros(rows, call.x.dtype)
    if grads is not None and count < max(rows, 1):
        grads.dx.fill(0)
    if grads is not None and not count:
        for grad in grads[1:]:
            if grad is not None:
                grad.fill(0)
    if count:
        row = classes
        if counting is not None or _blas.is_copied(call.x):  # x and dx of these rows, one of the last
            row += 3 * call.x.shape[1]
        if _backend.active is _numpy:  # whose formulas keep a second array of the block's size
            row *= 2
        at_once = (call.chunk_bytes - 2 * 8 * classes) // (call.x.itemsize * row)
        few = at_once < min(_LEAST_ROWS_OF_LOSS if grads is None else _LEAST_ROWS, count)
        splits = few and call.loss.indices is not None and not call.loss.label_smoothing
        if splits:
            _by_classes(call, counting, factor, losses, grads)
        else:
            _by_rows(call, counting, at_once, factor, losses, grads)
    if call.loss.reduction == NONE:
        return losses
    return losses.dtype.type(float(losses.sum(dtype=np.float64)) * factor)


@quiet
def _by_rows(
    call: _Call, counting: Array | None, at_once: int, factor: float, losses: Array, grads: _Grads | None
) -> None:
    """Blocks of whole rows, each of which the loss's kernel turns into its gradient."""
    count, classes = len(losses) if counting is None else len(counting), call.w.shape[1]
    weight, smoothing = call.loss.weight, call.loss.label_smoothing
    memory = np.empty((min(max(1, at_once), count), classes), call.x.dtype)
    db = np.zeros(0 if grads is None or grads.db is None else classes)
    for block in _blocks(count, len(memory)):
        rows = block if counting is None else counting[block]
        x, t = _rows_of(call.x, rows), call.targets[rows]
        z = np.matmul(x, call.w, out=memory[: len(x)])
        if call.b is not None:
            bias_identity(z, call.b, z)
        if grads is None:
            losses[rows] = softmax_cross_entropy(
                z, t, weight=weight, label_smoothing=smoothing, reduction="none"
            )
            continue
        losses[rows], dz = softmax_cross_entropy_with_grad(
            z, t, weight=weight, label_smoothing=smoothing, reduction="none", out=z
        )
        _add_product(x, dz, grads.dw, factor, first=block.start == 0)
        dx = grads.dx[rows]
        np.matmul(dz, call.w.T, out=dx)
        dx *= dx.dtype.type(factor)
        if counting is not None:
            grads.dx[rows] = dx
        if grads.db is not None:
            db += identity_backward_bias(dz, dz, dz)[1]
    if grads is not None and grads.db is not None:
        np.multiply(db, factor, out=grads.db, casting="same_kind")


@quiet
def _by_classes(
    call: _Call, counting: Array | None, factor: float, losses: Array, grads: _Grads | None
) -> None:
    """Blocks of rows and classes: one round for maxima and sums, for the gradient a second.

    The logits are made twice, since they are not kept.
    """
    numbers = call.chunk_bytes // call.x.itemsize
    if _backend.active is _numpy:
        numbers //= 2
    count = len(losses) if counting is None else len(counting)
    features, classes = call.w.shape
    height = min(count, _ROWS, max(1, min(math.isqrt(numbers), numbers // (6 * features))))
    width = min(classes, max(1, numbers // height - 3 * features))  # beside x and dx of the rows
    memory = np.empty(height * width, call.x.dtype)
    weight = call.loss.weight
    db = np.zeros(0 if grads is None or grads.db is None else classes)

    def logits(x: Array, block: slice) -> Array:
        w = call.w[:, block]
        shape = len(x), w.shape[1]
        z = np.matmul(x, w, out=memory[: math.prod(shape)].reshape(shape))
        return z if call.b is None else bias_identity(z, call.b[block], z)

    for part in _blocks(count, height):
        rows = part if counting is None else counting[part]
        x, t = _rows_of(call.x, rows), call.targets[rows]
        m, s, at_target = np.full(len(x), -np.inf), np.zeros(len(x)), np.empty(len(x))
        for block in _blocks(classes, width):
            z = logits(x, block)
            (here,) = ((t >= block.start) & (t < block.stop)).nonzero()
            at_target[here] = z[here, t[here] - block.start]
            m, s = _merged(m, s, *_statistics(z))
        scale = np.ones(len(x)) if weight is None else weight[t].astype(np.float64)
        each = scale * ((m - at_target) + np.log1p(s))
        losses[rows] = np.where((scale == 0) & ~np.isnan(s), 0, each)
        if grads is None:
            continue
        scale /= 1 + s
        leads, scale = m.astype(x.dtype)[:, None], scale.astype(x.dtype)[:, None]
        dx = np.zeros(x.shape, x.dtype)
        for block in _blocks(classes, width):
            dz = logits(x, block)
            np.subtract(dz, leads, out=dz)
            np.exp(dz, out=dz)
            (here,) = ((t >= block.start) & (t < block.stop)).nonzero()
            at = here, t[here] - block.start
            dz[at] = dz[at] - 1 - s[here]  # minus the others; where the target leads, 1 - 1 goes first
            dz *= scale
            _add_product(x, dz, grads.dw[:, block], factor, first=part.start == 0)
            _blas.AddProduct(call.w[:, block].T, dx)(dz.T, factor)
            if grads.db is not None:
                db[block] += identity_backward_bias(dz, dz, dz)[1]
        grads.dx[rows] = dx
    if grads is not None and grads.db is not None:
        np.multiply(db, factor, out=grads.db, casting="same_kind")


def _statistics(z: Array) -> tuple[Array, Array]:
    """The maximum of each row, and the sum of e^(z - maximum) without its leading term.

    The loss of a row whose target is its maximum is log(1 + that sum), with all its digits.
    """
    leaders = z.argmax(1)
    m = np.take_along_axis(z, leaders[:, None], 1)[:, 0].astype(np.float64)
    s = np.expm1(softmax_cross_entropy(z, leaders, reduction="none").astype(np.float64))
    return m, np.where(m == -np.inf, 0, s)


def _merged(m1: Array, s1: Array, m2: Array, s2: Array) -> tuple[Array, Array]:
    m = np.maximum(m1, m2)
    shrunk = np.where(m1 == m2, 1, np.exp(-abs(m1 - m2)))
    return m, np.where(m1 >= m2, s1 + shrunk * (1 + s2), s2 + shrunk * (1 + s1))


def _memory_for(call: _Call, x: Any, w: Any, b: Any, targets: Any, weight: Any, out: Any) -> list[Any]:
    """For each gradient an array to compute into, one to return, what was given; None without b."""
    likes = {"dx": call.x, "dw": call.w, "db": call.b}
    if out is None:
        out = (None, None, None)
    elif not isinstance(out, (tuple, list)) or len(out) != len(likes):
        came = f"{len(out)} of them" if isinstance(out, (tuple, list)) else type(out).__name__
        raise TypeError(f"out: expected arrays (dx, dw, db) or None, got {came}")
    apart = {"x": x, "w": w, "b": b, "targets": targets, "weight": weight}
    for (name, like), given in zip(likes.items(), out, strict=True):
        if given is None:
            continue
        if like is None:
            raise TypeError(f"out: expected None as db without b, got {type(given).__name__}")
        _arguments.check_out(given, like.shape, call.dtype, apart, f"out ({name})", in_place=False)
        apart[name] = given
    return [
        None if like is None else (*_arguments._output(given, like, like.dtype, call.dtype, {}), given)
        for like, given in zip(likes.values(), out, strict=True)
    ]


def linear_cross_entropy(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    targets: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    *,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
    chunk_bytes: int | None = None,
) -> Any:
    """`softmax_cross_entropy` of x·w + b, without the N x C logits: they are made block by block.

    Parameters
    ----------
    x : array_like, shape (N, D)
        Inputs of the last layer, of any strides.
    w : array_like, shape (D, C)
        Its weights, of the dtype of ``x``.  What is kept as (C, D) is given as its transpose, which is
        not copied; copied is only an array in which neither rows nor columns are contiguous.
    targets : array_like
        Class indices, of shape (N,), or probabilities, of shape (N, C).
    b : array_like, shape (C,), optional
        Its bias, of the dtype of ``x``.
    weight : array_like, shape (C,), optional
        Weight of each class, not of each row; finite, at least 0.
    ignore_index : int, optional
        Class index of rows that do not count: nothing is computed of them, their loss is exactly 0.
    label_smoothing : float in [0, 1]
        Share of each target spread evenly over the classes (Szegedy et al., 2016).
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by the number of rows, for class indices by the
        summed weights of the rows that are not ignored; ``"none"`` keeps them apart.
    chunk_bytes : int, optional
        Working memory, 32 MiB unless told otherwise; but at least the logits of one row, where
        ``targets`` are probabilities or smoothed.

    Returns
    -------
    scalar or ndarray
        In the dtype of ``x``: float64 for integers and bools, float32 for float16 and bfloat16.
        With ``reduction="none"`` an array, one loss a row.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range, no features or no classes; the message names the
        argument.

    Notes
    -----
    NumPy's BLAS makes the products.  float16 and bfloat16 are converted to float32 as whole arrays.

    References
    ----------
    Wijmans, E., Huval, B., Hertzberg, A., Koltun, V., Kraehenbuehl, P. (2024). Cut your losses in
    large-vocabulary language models. arXiv:2411.09009.
    Weights and smoothing are defined as in PyTorch's ``torch.nn.CrossEntropyLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import linear_cross_entropy, softmax_cross_entropy
    >>> rng = np.random.default_rng(0)
    >>> x, w, t = rng.normal(size=(5, 8)), rng.normal(size=(8, 1000)), [17, 4, -1, 999, 0]
    >>> loss = linear_cross_entropy(x, w, t, ignore_index=-1)
    >>> float((loss - softmax_cross_entropy(x @ w, t, ignore_index=-1)).round(12))
    0.0
    >>> embedding = w.T.copy()  # kept class by class
    >>> losses = linear_cross_entropy(x, embedding.T, t, ignore_index=-1, reduction="none")
    >>> float((losses.sum() / 4 - loss).round(12)), float(losses[2])
    (0.0, 0.0)
    """
    return _run(
        _checked(x, w, targets, b, weight, ignore_index, label_smoothing, reduction, chunk_bytes), None
    )


def linear_cross_entropy_with_grad(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    targets: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    *,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
    chunk_bytes: int | None = None,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> tuple[Any, tuple[Array, Array, Array | None]]:
    """`linear_cross_entropy` and its gradients at x, w and b, in the time of the three products.

    With dz = softmax(x·w + b) - targets, in blocks: dx = dz·wᵀ, dw = xᵀ·dz, db = Σ dz.  Nothing is left
    out because it is small.  With ``reduction="none"`` they are those of the losses' sum.

    Parameters
    ----------
    x : array_like, shape (N, D)
        Inputs of the last layer, of any strides.
    w : array_like, shape (D, C)
        Its weights, of the dtype of ``x``.  What is kept as (C, D) is given as its transpose, which is
        not copied; copied is only an array in which neither rows nor columns are contiguous.
    targets : array_like
        Class indices, of shape (N,), or probabilities, of shape (N, C).
    b : array_like, shape (C,), optional
        Its bias, of the dtype of ``x``.
    weight : array_like, shape (C,), optional
        Weight of each class, not of each row; finite, at least 0.
    ignore_index : int, optional
        Class index of rows that do not count: nothing is computed of them, their loss and their gradient
        are exactly 0, and they add nothing to those at w and b.
    label_smoothing : float in [0, 1]
        Share of each target spread evenly over the classes (Szegedy et al., 2016).
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by the number of rows, for class indices by the
        summed weights of the rows that are not ignored; ``"none"`` keeps them apart.
    chunk_bytes : int, optional
        Working memory beside the gradients, 32 MiB unless told otherwise; but at least the logits of one
        row, where ``targets`` are probabilities or smoothed.
    out : tuple (dx, dw, db) of ndarray, optional
        Where to put the gradients; None for one to be made, and for that of no ``b``.  None may overlap
        another or an argument.

    Returns
    -------
    loss : scalar or ndarray
        As `linear_cross_entropy` returns it.
    dx, dw, db : tuple of ndarray
        Of the shapes and dtype of ``x``, ``w`` and ``b``; float64 for integers and bools.  That of no
        ``b`` is None.  Without ``out`` they lie as ``x`` and ``w`` do: dw of a transpose is a transpose.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range, no features or no classes; the message names the
        argument.

    Notes
    -----
    NumPy's BLAS makes the products.  float16 and bfloat16 are converted to float32 as whole arrays.

    References
    ----------
    Wijmans, E., Huval, B., Hertzberg, A., Koltun, V., Kraehenbuehl, P. (2024). Cut your losses in
    large-vocabulary language models. arXiv:2411.09009.
    Weights and smoothing are defined as in PyTorch's ``torch.nn.CrossEntropyLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import linear_cross_entropy_with_grad, softmax_cross_entropy_with_grad
    >>> rng = np.random.default_rng(0)
    >>> x, w, b, t = rng.normal(size=(5, 8)), rng.normal(size=(8, 1000)), np.zeros(1000), np.arange(5)
    >>> loss, (dx, dw, db) = linear_cross_entropy_with_grad(x, w, t, b)
    >>> _, dz = softmax_cross_entropy_with_grad(x @ w + b, t)
    >>> np.allclose(dx, dz @ w.T), np.allclose(dw, x.T @ dz), np.allclose(db, dz.sum(axis=0))
    (True, True, True)
    >>> again, grads = linear_cross_entropy_with_grad(x, w, t, b, out=(dx, dw, db))
    >>> grads[1] is dw
    True
    """
    call = _checked(x, w, targets, b, weight, ignore_index, label_smoothing, reduction, chunk_bytes)
    memory = _memory_for(call, x, w, b, targets, weight, out)
    loss = _run(call, _Grads(*(each and each[0] for each in memory)))
    grads = (each if each is None else _arguments.deliver(*each) for each in memory)
    return loss, tuple(grads)  # type: ignore[return-value]


def merge_logsumexp(
    m1: npt.ArrayLike, s1: npt.ArrayLike, m2: npt.ArrayLike, s2: npt.ArrayLike
) -> tuple[Any, Any]:
    """Put together what two blocks of classes say of the same rows: the step of an online softmax.

    Of its classes a block keeps m, the largest logit, and s, the sum of e^(x - m) over all others:
    without the leading term, which is 1, so that a confident row keeps the digits of what it has left.
    Then logsumexp(x) = m + log1p(s), and with M = max(m1, m2), where m1 ≥ m2

    s = s1 + e^(m2 - M) (1 + s2),

    else the other way round.  A block of no classes has m = -inf and s = 0, with which to begin.

    Parameters
    ----------
    m1, m2 : array_like, any one shape
        Maxima of the blocks, a number for each row.
    s1, s2 : array_like, of the same shape
        Their sums of e^(x - m) without the leading term.

    Returns
    -------
    m, s : scalar or ndarray
        Those of both together, in the widest dtype of the four; NaN where one is NaN.

    Raises
    ------
    TypeError, ValueError
        If one is not real, or of another shape.

    References
    ----------
    Milakov, M., Gimelshein, N. (2018). Online normalizer calculation for softmax. arXiv:1805.02867.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import logsumexp, merge_logsumexp
    >>> x = np.random.default_rng(0).normal(size=(3, 10))
    >>> m, s = np.full(3, -np.inf), np.zeros(3)
    >>> for block in (x[:, :4], x[:, 4:]):
    ...     top = block.max(axis=1)
    ...     rest = np.exp(block - top[:, None]).sum(axis=1) - 1  # exact enough where it is not small
    ...     m, s = merge_logsumexp(m, s, top, rest)
    >>> np.allclose(m + np.log1p(s), logsumexp(x))
    True
    """
    names = ("m1", "s1", "m2", "s2")
    (m1, s1, m2, s2), _, dtype = _arguments._together(names, (m1, s1, m2, s2))
    with np.errstate(all="ignore"):
        merged = _merged(m1, s1, m2, s2)
        m, s = (np.asarray(each).astype(dtype) for each in merged)
    return m[()], s[()]
