"""Activations, their derivatives and their vector-Jacobian products.

A formula writes what it makes into its last argument, where the steps of it take place too, since a
pass over memory is what an operator costs. That array may be one of those it reads: what is needed
after the first step is read from memory of its own then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _arguments

Array = np.ndarray[Any, np.dtype[Any]]

#: Overflow to an infinity and NaN from NaN are the results, not accidents.
quiet = np.errstate(all="ignore")


@quiet
def _quietly(formula: Callable[..., Any], *arguments: Any) -> Any:
    return formula(*arguments)


# Products summed at once in the compute type, few enough for BLAS not to wake its threads; such sums
# are added in float64.
RUN = 8192


def sums_of_squares(x: Array, rows: int) -> Array:
    """Of each of the rows that an array consists of."""
    matrix = x.reshape(rows, x.size // max(rows, 1))
    if matrix.shape[1] <= RUN:
        return np.vecdot(matrix, matrix)
    whole = matrix.shape[1] // RUN * RUN
    runs, rest = matrix[:, :whole].reshape(rows, -1, RUN), matrix[:, whole:]
    return np.vecdot(runs, runs).sum(-1, dtype=np.float64) + np.vecdot(rest, rest)


def _room(result: Array, *inputs: Array) -> Array:
    """The result's own memory to work in, or other where an input lies there."""
    for array in inputs:
        if array is result or np.may_share_memory(array, result):
            return np.empty_like(result)
    return result


# Elements of half precision converted at a time, which stay in the cache, and how many there are at all.
_PIECE = 1 << 14
_HALVES = 1 << 16


def _in_pieces(formula: Callable[..., Any], arrays: tuple[Array, ...], *dtypes: Any) -> None:
    """The formula over arrays in other dtypes, the last of which it writes."""
    flags = [["readonly"]] * (len(arrays) - 1) + [["writeonly"]]
    how = ["buffered", "external_loop", "zerosize_ok"]
    with np.nditer(arrays, how, flags, dtypes, casting="unsafe", buffersize=_PIECE) as pieces:  # type: ignore[arg-type, call-overload]
        for piece in pieces:
            formula(*piece)


@quiet
def _elementwise(formula: Callable[..., None], *arrays: Array) -> None:
    """The formula over arrays, the last of which it writes, in float32 where there is half precision.

    NumPy takes ten times as long to convert float16 as to look a number up: a function of one array
    that is large is computed for all the numbers there are.
    """
    half = [array.dtype.itemsize == 2 for array in arrays]
    if not any(half):
        formula(*arrays)
    elif len(arrays) == 2 and all(half) and arrays[0].size > 2 * _HALVES:
        values = np.arange(_HALVES, dtype=np.uint16).view(arrays[0].dtype)
        _in_pieces(formula, (values, values), np.float32, np.float32)
        table, numbers = values.view(np.uint16), tuple(array.view(np.uint16) for array in arrays)
        _in_pieces(lambda x, y: table.take(x, out=y, mode="clip"), numbers, np.intp, np.uint16)
    else:
        _in_pieces(formula, arrays, *(np.float32 for _ in arrays))


def _unary(x: Any, out: Any, formula: Callable[[Array, Array], None]) -> Any:
    (x,), work, result = _arguments.check_elementwise(("x",), (x,), out, halves=True)
    _elementwise(formula, x, work)
    return _arguments.deliver(work, result, out)


def _binary(dy: Any, y: Any, out: Any, formula: Callable[[Array, Array, Array], None]) -> Any:
    (dy, y), work, result = _arguments.check_elementwise(("dy", "y"), (dy, y), out, halves=True)
    _elementwise(formula, dy, y, work)
    return _arguments.deliver(work, result, out)


# ---- formulas --------------------------------------------------------------------------------------


def _relu(x: Array, y: Array) -> None:
    """max(x, 0); NumPy's clip is its fastest form."""
    x.clip(0, np.inf, out=y)


def _relu_grad(x: Array, slope: Array) -> None:
    """1 where x > 0, else 0; NaN where x is NaN, if there is any, which the maximum tells."""
    nan = np.isnan(x) if x.size and np.isnan(x.max()) else None
    np.greater(x, 0, out=slope)
    if nan is not None:
        np.copyto(slope, np.nan, where=nan)


def _is_finite(x: Array) -> bool:
    """Whether all of x is finite, and not so large that its squares are not: their sum tells."""
    if x.size <= RUN:
        return math.isfinite(np.vdot(x, x))
    if x.flags.c_contiguous:
        return math.isfinite(sums_of_squares(x, 1)[0])
    return bool(np.isfinite(x).all())


def _relu_backward(dy: Array, y: Array, dx: Array) -> None:
    """dy where y > 0, 0 where y <= 0, NaN where y is NaN.

    The product with the slope; but 0 times infinity would be NaN too.
    """
    if _is_finite(dy):
        _times_relu_slope(dy, y, dx)
    else:
        dx[...] = np.where(y > 0, dy, np.where(y <= 0, y.dtype.type(0), y))


def _times_relu_slope(dy: Array, y: Array, dx: Array) -> None:
    """The slope is y clipped to [0, 1] and rounded up, so that NaN stays."""
    room = _room(dx, dy)
    y.clip(0, 1, out=room)
    np.ceil(room, out=room)
    np.multiply(dy, room, out=dx)


def _sigmoid(x: Array, y: Array) -> None:
    """1 / (1 + e^-x), and e^x where e^-x would overflow."""
    far = -709.0 if x.itemsize == 8 else -88.0
    below = x < far if x.size and not x.min() >= far else None
    small = None if below is None else np.exp(x[below])
    np.negative(x, out=y)
    np.exp(y, out=y)
    np.add(y, 1, out=y)
    np.divide(1, y, out=y)
    if below is not None:
        y[below] = small


def _slope_of_logistic(e: Array) -> None:
    """e^a / (1 + e^a)^2 of a, which is not positive, in place."""
    np.exp(e, out=e)
    square = np.add(e, 1, out=np.empty_like(e))
    np.multiply(square, square, out=square)
    np.divide(e, square, out=e)


def _sigmoid_grad(x: Array, slope: Array) -> None:
    """s(x) s(-x) = e^-|x| / (1 + e^-|x|)^2, which keeps its digits where s(1 - s) loses them."""
    np.abs(x, out=slope)
    np.negative(slope, out=slope)
    _slope_of_logistic(slope)


def _sigmoid_backward(dy: Array, y: Array, dx: Array) -> None:
    """dy y (1 - y)."""
    room = _room(dx, dy, y)
    np.subtract(1, y, out=room)
    np.multiply(room, y, out=room)
    np.multiply(room, dy, out=dx)


def _tanh(x: Array, y: Array) -> None:
    np.tanh(x, out=y)


def _tanh_grad(x: Array, slope: Array) -> None:
    """1 / cosh(x)^2 = 4 s(2x) s(-2x)."""
    np.abs(x, out=slope)
    np.multiply(slope, -2, out=slope)
    _slope_of_logistic(slope)
    np.multiply(slope, 4, out=slope)


def _tanh_backward(dy: Array, y: Array, dx: Array) -> None:
    """dy (1 - y^2), in factors: the square would be rounded where the difference cancels."""
    room = _room(dx, dy, y)
    np.subtract(1, y, out=room)
    np.multiply(room, 1 + y, out=room)
    np.multiply(room, dy, out=dx)


def _identity(x: Array, y: Array) -> None:
    if y is not x:
        np.copyto(y, x)


def _identity_backward(dy: Array, y: Array, dx: Array) -> None:
    _identity(dy, dx)


# ---- elementwise -----------------------------------------------------------------------------------


def relu(x: Any, out: Any) -> Any:
    return _unary(x, out, _relu)


def relu_grad(x: Any, out: Any) -> Any:
    return _unary(x, out, _relu_grad)


def relu_backward(dy: Any, y: Any, out: Any) -> Any:
    return _binary(dy, y, out, _relu_backward)


def sigmoid(x: Any, out: Any) -> Any:
    return _unary(x, out, _sigmoid)


def sigmoid_grad(x: Any, out: Any) -> Any:
    return _unary(x, out, _sigmoid_grad)


def sigmoid_backward(dy: Any, y: Any, out: Any) -> Any:
    return _binary(dy, y, out, _sigmoid_backward)


def tanh(x: Any, out: Any) -> Any:
    return _unary(x, out, _tanh)


def tanh_grad(x: Any, out: Any) -> Any:
    return _unary(x, out, _tanh_grad)


def tanh_backward(dy: Any, y: Any, out: Any) -> Any:
    return _binary(dy, y, out, _tanh_backward)


def identity(x: Any, out: Any) -> Any:
    return _unary(x, out, _identity)


def identity_grad(x: Any, out: Any) -> Any:
    return _unary(x, out, lambda x, slope: slope.fill(1))


def identity_backward(dy: Any, y: Any, out: Any) -> Any:
    return _binary(dy, y, out, _identity_backward)


# ---- with a bias -----------------------------------------------------------------------------------


def _bias(x: Any, b: Any, out: Any, formula: Callable[[Array, Array], None]) -> Any:
    def of_sum(x: Array, b: Array, z: Array) -> None:
        np.add(x, b, out=z)
        formula(z, z)

    x, b, work, result = _arguments.check_bias(x, b, out, halves=True)
    _elementwise(of_sum, x, b, work)
    return _arguments.deliver(work, result, out)


def bias_relu(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _relu)


def bias_sigmoid(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _sigmoid)


def bias_tanh(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _tanh)


def bias_identity(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _identity)


def add_rows(dz: Array, sums: Array) -> None:
    """The sum of all rows."""
    if dz.ndim == 2 and len(dz) <= 2 * _GROUP:
        np.add.reduce(dz, 0, out=sums)
    elif dz.size:
        np.copyto(sums, add_last(dz.reshape(-1, dz.shape[-1]).T))
    else:
        sums.fill(0)


@quiet
def _with_sum(
    dy: Array, y: Array, dz: Array, sums: Array, formula: Callable[[Array, Array, Array], None]
) -> None:
    if formula is _relu_backward and not np.may_share_memory(dz, y):
        _relu_with_sum(dy, y, dz, sums)
        return
    formula(dy, y, dz)
    add_rows(dz, sums)


def _relu_with_sum(dy: Array, y: Array, dz: Array, sums: Array) -> None:
    """`_relu_backward` without its look at dy: where a product is NaN, so is a sum."""
    _times_relu_slope(dy, y, dz)
    add_rows(dz, sums)
    if not _is_finite(sums):
        np.copyto(dz, 0, where=y <= 0)
        add_rows(dz, sums)


def _backward_bias(
    dy: Any, y: Any, out: Any, out_bias: Any, formula: Callable[[Array, Array, Array], None]
) -> tuple[Any, Any]:
    dy, y, work, result, work_bias, result_bias = _arguments.check_backward_bias(dy, y, out, out_bias)
    _with_sum(dy, y, work, work_bias, formula)
    return _arguments.deliver(work, result, out), _arguments.deliver(work_bias, result_bias, out_bias)


def relu_backward_bias(dy: Any, y: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _backward_bias(dy, y, out, out_bias, _relu_backward)


def sigmoid_backward_bias(dy: Any, y: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _backward_bias(dy, y, out, out_bias, _sigmoid_backward)


def tanh_backward_bias(dy: Any, y: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _backward_bias(dy, y, out, out_bias, _tanh_backward)


def identity_backward_bias(dy: Any, y: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _backward_bias(dy, y, out, out_bias, _identity_backward)


# ---- along an axis ---------------------------------------------------------------------------------

# Additions in a row that NumPy makes one after the other where it does not sum in pairs.
_GROUP = 64


def add_last(x: Array) -> Array:
    """The sum along the last axis, with an error that hardly grows with its length.

    NumPy adds in pairs where that axis is contiguous, else one after the other: in groups then.
    """
    n = x.shape[-1]
    if n <= 2 * _GROUP or x.strides[-1] == x.itemsize:
        return np.add.reduce(x, -1)
    whole = n - n % _GROUP
    groups = x[..., :whole].reshape(*x.shape[:-1], -1, _GROUP)  # a view: only an axis is split
    total = add_last(np.add.reduce(groups, -1))
    if whole < n:
        total += np.add.reduce(x[..., whole:], -1)
    return total


def others(part: Array, classes: Array) -> Array:
    """The sum of all classes but one of each row in a matrix, where that becomes 0."""
    part.reshape(-1)[np.arange(0, part.size, part.shape[-1]) + classes] = 0
    return np.add.reduce(part, -1)


class Rows:
    """Rows along an axis: views with that axis last, and how to reach one class of each row.

    Of the arrays the last is written to. Where it lies row after row, the views are matrices, copies
    of arrays that lie otherwise, and a class is found by its number in the flat array, which NumPy
    follows several times faster than an index for each axis. So are the leading terms then; elsewhere,
    where to look for them is slow, only those of confident rows are.
    """

    def __init__(self, axis: int, *arrays: Array) -> None:
        result = arrays[-1]
        self.classes = result.shape[axis]
        self._axis = axis
        self._flat = axis == result.ndim - 1 and result.flags.c_contiguous
        self.views = [self.view(array) for array in arrays]
        if self._flat:
            self._starts = np.arange(0, result.size, self.classes)

    def view(self, array: Array) -> Array:
        """An array as the others, of at least two dimensions."""
        if not self._flat:
            return np.moveaxis(array if array.ndim > 1 else array[None], self._axis - array.ndim, -1)
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        return array if array.ndim == 2 else array.reshape(-1, self.classes)

    def vector(self, values: Any) -> Any:
        """What is given for each row, of at least one dimension."""
        return values.reshape(-1) if values.ndim == 0 or self._flat else values

    def at(self, classes: Array) -> Any:
        """Where the class of each row is."""
        if self._flat:
            return self._starts + classes
        return (*np.indices(classes.shape, sparse=True), classes)

    def get(self, view: Array, at: Any) -> Array:
        return view.reshape(-1)[at] if self._flat else view[at]

    def put(self, view: Array, at: Any, values: Any) -> None:
        (view.reshape(-1) if self._flat else view)[at] = values

    def shift(self, x: Array, d: Array) -> tuple[Array, Any]:
        """Writes x - max to d; returns the maximum of each row, and where it is or None."""
        if self._flat:
            leaders = self._starts + x.argmax(-1)
            m = x.reshape(-1)[leaders]
        else:
            leaders, m = None, x.max(-1)
        np.subtract(x, m[..., None], out=d)
        return m, leaders

    def exp(self, d: Array, e: Array, m: Array, leaders: Any) -> Array:
        """Writes e^d to e; returns the sum of each row without its leading term, which is 1.

        log1p needs this to keep the digits of a confident row. NaN where there is no finite maximum.
        """
        np.exp(d, out=e)
        if self._flat:
            e.reshape(-1)[leaders] = m - m  # 0; NaN without a finite maximum
            rest = np.add.reduce(e, -1)
            e.reshape(-1)[leaders] = 1
            return rest
        rest = add_last(e)
        rest -= 1
        confident = (rest < 1).nonzero()
        if confident[0].size:
            part = e[confident]
            rest[confident] = others(part, part.argmax(-1))
        return rest

    def dot(self, a: Array, b: Array) -> Array:
        """The sum of the products of each row."""
        return np.vecdot(a, b) if self._flat else add_last(a * b)

    def leading(self, e: Array, leaders: Any) -> Array:
        """The first leading class of each row."""
        return e.argmax(-1) if leaders is None else leaders - self._starts


def _rows(
    names: tuple[str, ...],
    values: tuple[Any, ...],
    axis: Any,
    out: Any,
    formula: Callable[..., None],
) -> Any:
    arrays, axis, work, result = _arguments.check_rows(names, values, axis, out)
    if work.size:
        rows = Rows(axis, *arrays, work)
        _quietly(formula, rows, *rows.views)
    return _arguments.deliver(work, result, out)


def _softmax(rows: Rows, x: Array, y: Array) -> None:
    """e^(x - max) over its sum."""
    m, leaders = rows.shift(x, y)
    total = rows.exp(y, y, m, leaders)
    total += 1
    np.divide(y, total[..., None], out=y)


def _log_softmax(rows: Rows, x: Array, y: Array) -> None:
    """(x - max) - log(sum of e^(x - max))."""
    m, leaders = rows.shift(x, y)
    rest = rows.exp(y, np.empty_like(y), m, leaders)
    np.subtract(y, np.log1p(rest)[..., None], out=y)


def _logsumexp(rows: Rows, x: Array, result: Array) -> None:
    """max + log(sum of e^(x - max)); without a finite maximum the limit is the maximum itself."""
    d = np.empty_like(x)
    m, leaders = rows.shift(x, d)
    rest = rows.exp(d, d, m, leaders)
    np.log1p(rest, out=rest)
    result = result.reshape(m.shape)
    np.add(m, rest, out=result)
    if not _is_finite(m):
        np.copyto(result, m, where=~np.isfinite(m))


def _softmax_backward(rows: Rows, dy: Array, y: Array, dx: Array) -> None:
    """y (dy - sum of dy y)."""
    room = _room(dx, y)
    np.subtract(dy, rows.dot(dy, y)[..., None], out=room)
    np.multiply(room, y, out=dx)


def _log_softmax_backward(rows: Rows, dy: Array, y: Array, dx: Array) -> None:
    """dy - e^y (sum of dy)."""
    room = _room(dx, dy)
    np.exp(y, out=room)
    np.multiply(room, add_last(dy)[..., None], out=room)
    np.subtract(dy, room, out=dx)


def softmax(x: Any, axis: Any, out: Any) -> Any:
    return _rows(("x",), (x,), axis, out, _softmax)


def softmax_backward(dy: Any, y: Any, axis: Any, out: Any) -> Any:
    return _rows(("dy", "y"), (dy, y), axis, out, _softmax_backward)


def log_softmax(x: Any, axis: Any, out: Any) -> Any:
    return _rows(("x",), (x,), axis, out, _log_softmax)


def log_softmax_backward(dy: Any, y: Any, axis: Any, out: Any) -> Any:
    return _rows(("dy", "y"), (dy, y), axis, out, _log_softmax_backward)


def logsumexp(x: Any, axis: Any, keepdims: Any, out: Any) -> Any:
    x, axis, work, result = _arguments.check_logsumexp(x, axis, keepdims, out)
    if x.size:
        rows = Rows(axis, np.ascontiguousarray(x) if axis == x.ndim - 1 else x)
        _quietly(_logsumexp, rows, *rows.views, work)
    else:
        work.fill(-np.inf)
    return _arguments.deliver(work, result, out)


__all__ = [
    "bias_identity",
    "bias_relu",
    "bias_sigmoid",
    "bias_tanh",
    "identity",
    "identity_backward",
    "identity_backward_bias",
    "identity_grad",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "relu",
    "relu_backward",
    "relu_backward_bias",
    "relu_grad",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_backward_bias",
    "sigmoid_grad",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
    "tanh_backward_bias",
    "tanh_grad",
]
