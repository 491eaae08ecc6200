"""Activations, their derivatives and their vector-Jacobian products.

A formula writes what it makes into its last argument, where the steps of it take place too, since a
pass over memory is what an operator costs. That array may be one of those it reads: what is needed
after the first step is read from memory of its own then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import _arguments

Array = np.ndarray[Any, np.dtype[Any]]

#: Overflow to an infinity and NaN from NaN are the results, not accidents.
quiet = np.errstate(all="ignore")


@quiet
def quietly(formula: Callable[..., Any], *arguments: Any) -> Any:
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


def _unary(x: Any, out: Any, formula: Callable[..., None], *number: float) -> Any:
    (x,), work, result = _arguments.check_elementwise(("x",), (x,), out, halves=True)
    _elementwise(lambda x, y: formula(x, y, *number), x, work)
    return _arguments.deliver(work, result, out)


def _binary(dy: Any, y: Any, out: Any, formula: Callable[[Array, Array, Array], None]) -> Any:
    (dy, y), work, result = _arguments.check_elementwise(("dy", "y"), (dy, y), out, halves=True)
    _elementwise(formula, dy, y, work)
    return _arguments.deliver(work, result, out)


def _from_input(dy: Any, x: Any, out: Any, formula: Callable[..., None], *number: float) -> Any:
    (dy, x), work, result = _arguments.check_elementwise(("dy", "x"), (dy, x), out, halves=True)
    _elementwise(lambda dy, x, dx: formula(dy, x, dx, *number), dy, x, work)
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


def _negate(x: Array, y: Array) -> None:
    """-x.  Where the output has a stride, too, np.negative of NumPy 2.4 reads the next numbers, not
    every fourth float or eighth double."""
    np.multiply(x, -1, out=y)


def _sigmoid(x: Array, y: Array) -> None:
    """1 / (1 + e^-x), and e^x where e^-x would overflow."""
    far = -709.0 if x.itemsize == 8 else -88.0
    below = x < far if x.size and not x.min() >= far else None
    small = None if below is None else np.exp(x[below])
    _negate(x, y)
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
    _negate(slope, slope)
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


# ---- formulas from the input -----------------------------------------------------------------------


def _put_nan(x: Array, result: Array) -> None:
    """NaN where x, which is not the result, has it; if it has any, which the maximum tells."""
    if x.size and np.isnan(x.max()):
        np.copyto(result, np.nan, where=np.isnan(x))


def _leaky_relu(x: Array, y: Array, negative_slope: float) -> None:
    """x, times the slope where it is negative: the larger or the smaller one of both, but for the signs
    of zeros and for 0 times infinity."""
    if negative_slope <= 0:
        y[...] = np.where(x < 0, x * x.dtype.type(negative_slope), x)
        return
    room = _room(y, x)
    np.multiply(x, negative_slope, out=room)
    (np.maximum if negative_slope <= 1 else np.minimum)(x, room, out=y)


def _leaky_relu_backward(dy: Array, x: Array, dx: Array, negative_slope: float) -> None:
    """dy where x > 0, dy times the slope where x <= 0, NaN where x is NaN."""
    room = _room(dx, x)
    one = x.dtype.type(1)
    np.multiply(dy, np.where(x > 0, one, one * negative_slope), out=room)
    _put_nan(x, room)
    _identity(room, dx)


def _elu(x: Array, y: Array, alpha: float) -> None:
    """x where x > 0, alpha (e^x - 1) elsewhere."""
    below = x.copy()  # NumPy's expm1 of numbers side by side is another one
    np.expm1(below, out=below)
    np.multiply(below, alpha, out=below)
    y[...] = np.where(x > 0, x, below)


def _elu_backward(dy: Array, x: Array, dx: Array, alpha: float) -> None:
    """dy where x > 0, dy alpha e^x elsewhere."""
    below = np.exp(x, out=np.empty_like(x))
    np.multiply(below, alpha, out=below)
    np.multiply(below, dy, out=below)
    dx[...] = np.where(x > 0, dy, below)


def _hard_sigmoid(x: Array, y: Array) -> None:
    """x / 6 + 1/2 within [0, 1]."""
    np.add(x, 3, out=y)
    y.clip(0, 6, out=y)
    np.divide(y, 6, out=y)


def _hard_sigmoid_backward(dy: Array, x: Array, dx: Array) -> None:
    """dy / 6 where |x| < 3, 0 beyond, NaN where x is NaN."""
    room = _room(dx, x)
    room[...] = np.where(np.abs(x) < 3, dy / 6, x.dtype.type(0))
    _put_nan(x, room)
    _identity(room, dx)


def _softplus(x: Array, y: Array) -> None:
    """max(x, 0) + log1p(e^-|x|), which does not overflow."""
    small = np.abs(x, out=np.empty_like(x))
    _negate(small, small)
    np.exp(small, out=small)
    np.log1p(small, out=small)
    np.maximum(x, 0, out=y)
    np.add(y, small, out=y)


def _softplus_backward(dy: Array, x: Array, dx: Array) -> None:
    """dy s(x)."""
    slope = np.empty_like(x)
    _sigmoid(x, slope)
    np.multiply(dy, slope, out=dx)


def _over_sum(x: Array, z: Array, y: Array) -> None:
    """x / (1 + e^-z), and x e^z where e^-z would overflow."""
    far = -709.0 if x.itemsize == 8 else -88.0
    below = z < far if z.size and not z.min() >= far else None
    if below is not None:
        root = np.exp(z[below] / 2)  # so that what is subnormal is rounded once
        small = x[below] * root * root
    room = _room(y, x)
    _negate(z, room)
    np.exp(room, out=room)
    np.add(room, 1, out=room)
    np.divide(x, room, out=y)
    if below is not None:
        y[below] = small


def _gated_backward(dy: Array, z: Array, w: Array, dx: Array) -> None:
    """dy (s(z) + w s(z) s(-z)) as dy s (1 + w (1 - s))."""
    s = np.empty_like(z)
    _sigmoid(z, s)
    slope = np.subtract(1, s, out=np.empty_like(s))
    np.multiply(slope, w, out=slope)
    np.add(slope, 1, out=slope)
    np.multiply(slope, s, out=slope)
    np.multiply(dy, slope, out=dx)


def _bounded(x: Array, low: float, high: float) -> Array:
    """x, a copy within bounds where some of it is not."""
    if x.size and low <= x.min() and x.max() <= high:
        return x
    return x.clip(low, high, out=np.empty_like(x))


# From where on x e^x and x e^(-x^2/2) are 0, and the functions their limits.
_FAR = {4: 110.0, 8: 753.0}
_FAR_NORMAL = {4: 14.6, 8: 39.0}


def _silu(x: Array, y: Array) -> None:
    """x s(x)."""
    bounded = _bounded(x, -_FAR[x.itemsize], np.inf)
    _over_sum(bounded, bounded, y)
    if bounded is not x:
        np.copyto(y, np.inf, where=bounded == np.inf)


def _silu_backward(dy: Array, x: Array, dx: Array) -> None:
    """dy (s(x) + x s(x) s(-x))."""
    bounded = _bounded(x, -_FAR[x.itemsize], _FAR[x.itemsize])
    _gated_backward(dy, bounded, bounded, dx)


_PHI_0 = 1 / math.sqrt(2 * math.pi)
_C1 = math.sqrt(8 / math.pi)
_C3 = _C1 * 0.044715

#: By the size of a number k and the coefficients of ((a + k) e^(a^2/2) Phi(-a) - k/2) / w in powers of
#: w = a / (a + k) (Remez).  NumPy has no erf.
_TAIL: dict[int, tuple[float, tuple[float, ...]]] = {
    4: (3.0, (
        -2.0904808, 1.0690552, 0.206784233, -0.256786555, -0.137977481, 0.113548025, -0.109655783,
        0.258950233, -0.209852606, 0.055362016,
    )),
    8: (4.0, (
        -4.3830764864229215, 5.233847027153911, -3.1923040535111342, 0.29539567698356023,
        0.71603292523486306, -0.12031626763672615, -0.21786869922068625, -0.0019176377233259072,
        0.0701496491519564, 0.027048750273849887, -0.025665737495837199, 0.029154635148064278,
        -0.14727049229262271, 0.37318064564117326, -0.74624415150727974, 1.2149365264971277,
        -1.5533434842616296, 1.5429047983647881, -1.1664609418105889, 0.64278383768904002,
        -0.24102207523433833, 0.054629696134244607, -0.0056318607567027836,
    )),
}  # fmt: skip


def _normal(a: Array) -> tuple[Array, Array]:
    """e^(-a^2/2) and e^(a^2/2) Phi(-a) for a >= 0.  The square of the upper half of a is exact."""
    half = a * a.dtype.type(2**12 + 1 if a.itemsize == 4 else 2**27 + 1)
    upper = half - (half - a)
    bell = np.exp(upper * upper * -0.5)
    bell *= np.exp((a - upper) * (a + upper) * -0.5)
    k, coefficients = _TAIL[a.itemsize]
    divisor = a + k
    w = a / divisor
    ratio = np.full_like(a, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        ratio *= w
        ratio += coefficient
    ratio *= w
    ratio += k / 2
    ratio /= divisor
    return bell, ratio


def _gelu(x: Array, y: Array, by_tanh: bool) -> None:
    """x Phi(x) as max(x, 0) - |x| Phi(-|x|); or x s(2u), 2u = sqrt(8/pi) (x + 0.044715 x^3)."""
    far = _FAR_NORMAL[x.itemsize]
    bounded = _bounded(x, -far, far)
    room = np.empty_like(bounded)
    if by_tanh:
        np.multiply(bounded, bounded, out=room)
        np.multiply(room, _C3, out=room)
        np.add(room, _C1, out=room)
        np.multiply(room, bounded, out=room)
        _over_sum(bounded, room, room)
    else:
        size = np.abs(bounded, out=np.empty_like(bounded))
        bell, ratio = _normal(size)
        np.multiply(size, ratio, out=size)
        np.multiply(size, bell, out=size)
        np.maximum(bounded, 0, out=room)
        np.subtract(room, size, out=room)
        np.copysign(room, bounded, out=room)
    if bounded is not x:
        np.copyto(room, x, where=x > far)
    _identity(room, y)


def _gelu_backward(dy: Array, x: Array, dx: Array, by_tanh: bool) -> None:
    """dy (Phi(x) + x phi(x)), or the same of the form by tanh."""
    far = _FAR_NORMAL[x.itemsize]
    a = _bounded(x, -far, far)
    if by_tanh:
        square = a * a
        z = np.asarray(a * (_C1 + _C3 * square))
        _gated_backward(dy, z, a * (_C1 + 3 * _C3 * square), dx)
        return
    size = np.abs(a)
    bell, ratio = _normal(size)
    size *= -_PHI_0
    ratio += size
    ratio *= bell
    np.multiply(dy, np.where(a < 0, ratio, 1 - ratio), out=dx)


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


def leaky_relu(x: Any, negative_slope: Any, out: Any) -> Any:
    return _unary(x, out, _leaky_relu, _arguments.finite_number(negative_slope, "negative_slope"))


def leaky_relu_backward(dy: Any, x: Any, negative_slope: Any, out: Any) -> Any:
    number = _arguments.finite_number(negative_slope, "negative_slope")
    return _from_input(dy, x, out, _leaky_relu_backward, number)


def elu(x: Any, alpha: Any, out: Any) -> Any:
    return _unary(x, out, _elu, _arguments.finite_number(alpha, "alpha"))


def elu_backward(dy: Any, x: Any, alpha: Any, out: Any) -> Any:
    return _from_input(dy, x, out, _elu_backward, _arguments.finite_number(alpha, "alpha"))


def hard_sigmoid(x: Any, out: Any) -> Any:
    return _unary(x, out, _hard_sigmoid)


def hard_sigmoid_backward(dy: Any, x: Any, out: Any) -> Any:
    return _from_input(dy, x, out, _hard_sigmoid_backward)


def softplus(x: Any, out: Any) -> Any:
    return _unary(x, out, _softplus)


def softplus_backward(dy: Any, x: Any, out: Any) -> Any:
    return _from_input(dy, x, out, _softplus_backward)


def silu(x: Any, out: Any) -> Any:
    return _unary(x, out, _silu)


def silu_backward(dy: Any, x: Any, out: Any) -> Any:
    return _from_input(dy, x, out, _silu_backward)


def gelu(x: Any, approximate: Any, out: Any) -> Any:
    return _unary(x, out, _gelu, _arguments.is_by_tanh(approximate))


def gelu_backward(dy: Any, x: Any, approximate: Any, out: Any) -> Any:
    return _from_input(dy, x, out, _gelu_backward, _arguments.is_by_tanh(approximate))


# ---- with a bias -----------------------------------------------------------------------------------


@quiet
def add_bias(x: Array, b: Array, z: Array, formula: Callable[..., None], *number: float) -> None:
    np.add(x, b, out=z)
    formula(z, z, *number)


def _bias(x: Any, b: Any, out: Any, formula: Callable[..., None], *number: float) -> Any:
    x, b, work, result = _arguments.check_bias(x, b, out, halves=True)
    _elementwise(lambda x, b, z: add_bias(x, b, z, formula, *number), x, b, work)
    return _arguments.deliver(work, result, out)


def bias_relu(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _relu)


def bias_sigmoid(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _sigmoid)


def bias_tanh(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _tanh)


def bias_identity(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _identity)


def bias_leaky_relu(x: Any, b: Any, negative_slope: Any, out: Any) -> Any:
    return _bias(x, b, out, _leaky_relu, _arguments.finite_number(negative_slope, "negative_slope"))


def bias_elu(x: Any, b: Any, alpha: Any, out: Any) -> Any:
    return _bias(x, b, out, _elu, _arguments.finite_number(alpha, "alpha"))


def bias_hard_sigmoid(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _hard_sigmoid)


def bias_softplus(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _softplus)


def bias_silu(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _silu)


def bias_gelu(x: Any, b: Any, approximate: Any, out: Any) -> Any:
    return _bias(x, b, out, _gelu, _arguments.is_by_tanh(approximate))


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


@quiet
def sum_from_input(
    dy: Array, x: Array, b: Array, dz: Array, sums: Array, formula: Callable[..., None], *number: float
) -> None:
    formula(dy, x + b, dz, *number)
    add_rows(dz, sums)


def _input_backward_bias(
    dy: Any, x: Any, b: Any, out: Any, out_bias: Any, formula: Callable[..., None], *number: float
) -> tuple[Any, Any]:
    dy, x, b, work, result, work_bias, result_bias = _arguments.check_backward_input_bias(
        dy, x, b, out, out_bias
    )
    sum_from_input(dy, x, b, work, work_bias, formula, *number)
    return _arguments.deliver(work, result, out), _arguments.deliver(work_bias, result_bias, out_bias)


def leaky_relu_backward_bias(
    dy: Any, x: Any, b: Any, negative_slope: Any, out: Any, out_bias: Any
) -> tuple[Any, Any]:
    number = _arguments.finite_number(negative_slope, "negative_slope")
    return _input_backward_bias(dy, x, b, out, out_bias, _leaky_relu_backward, number)


def elu_backward_bias(dy: Any, x: Any, b: Any, alpha: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    number = _arguments.finite_number(alpha, "alpha")
    return _input_backward_bias(dy, x, b, out, out_bias, _elu_backward, number)


def hard_sigmoid_backward_bias(dy: Any, x: Any, b: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _input_backward_bias(dy, x, b, out, out_bias, _hard_sigmoid_backward)


def softplus_backward_bias(dy: Any, x: Any, b: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _input_backward_bias(dy, x, b, out, out_bias, _softplus_backward)


def silu_backward_bias(dy: Any, x: Any, b: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _input_backward_bias(dy, x, b, out, out_bias, _silu_backward)


def gelu_backward_bias(
    dy: Any, x: Any, b: Any, approximate: Any, out: Any, out_bias: Any
) -> tuple[Any, Any]:
    number = _arguments.is_by_tanh(approximate)
    return _input_backward_bias(dy, x, b, out, out_bias, _gelu_backward, number)


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


def groups_of_rows(leading: tuple[int, ...], size: int) -> Iterator[tuple[Any, ...]]:
    """Indices of groups of rows, each of `size` elements, that stay in the cache."""
    first, *rest = leading
    inner = math.prod(rest) * size
    if not rest or inner <= _PIECE:
        step = max(1, _PIECE // max(inner, 1))
        yield from ((slice(start, start + step),) for start in range(0, first, step))
        return
    for k in range(first):
        yield from ((k, *group) for group in groups_of_rows(tuple(rest), size))


@quiet
def _in_rows(formula: Callable[..., None], axis: int, arrays: Sequence[Array], result: Array) -> None:
    """The formula over rows, in float32 where there is half precision: some rows at a time if the result
    lies row after row."""
    if all(array.dtype.itemsize > 2 for array in (*arrays, result)):
        rows = Rows(axis, *arrays, result)
        formula(rows, *rows.views)
        return
    whole = result.ndim == 1 or axis != result.ndim - 1 or not result.flags.c_contiguous
    for group in [()] if whole else groups_of_rows(result.shape[:-1], result.shape[-1]):
        wide = [array[group].astype(np.float32, copy=False) for array in arrays]
        room = np.empty_like(result[group], np.float32)
        rows = Rows(axis if whole else room.ndim - 1, *wide, room)
        formula(rows, *rows.views)
        result[group] = room


def _rows(
    names: tuple[str, ...],
    values: tuple[Any, ...],
    axis: Any,
    out: Any,
    formula: Callable[..., None],
) -> Any:
    arrays, axis, work, result = _arguments.check_rows(names, values, axis, out, halves=True)
    if work.size:
        _in_rows(formula, axis, arrays, work)
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


@quiet
def _logsumexp(x: Array, axis: int, result: Array) -> None:
    """max + log(sum of e^(x - max)); without a finite maximum the limit is the maximum itself."""
    rows = Rows(axis, np.ascontiguousarray(x) if axis == x.ndim - 1 else x)
    (x,) = rows.views
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
    x, axis, work, result = _arguments.check_logsumexp(x, axis, keepdims, out, halves=True)
    if not x.size:
        work.fill(-np.inf)
    elif x.dtype.itemsize > 2 or x.ndim == 1 or axis != x.ndim - 1:
        _logsumexp(x.astype(work.dtype, copy=False), axis, work)
    else:
        for group in groups_of_rows(work.shape, x.shape[-1]):
            part = x[group].astype(work.dtype)
            _logsumexp(part, part.ndim - 1, work[group])
    return _arguments.deliver(work, result, out)


#: By the names of their functions, for `_nets`, which has checked its arrays.
FORMULAS: dict[str, Callable[..., None]] = {
    "relu": _relu,
    "relu_backward": _relu_backward,
    "sigmoid": _sigmoid,
    "sigmoid_backward": _sigmoid_backward,
    "tanh": _tanh,
    "tanh_backward": _tanh_backward,
    "identity": _identity,
    "identity_backward": _identity_backward,
    "leaky_relu": _leaky_relu,
    "leaky_relu_backward": _leaky_relu_backward,
    "elu": _elu,
    "elu_backward": _elu_backward,
    "hard_sigmoid": _hard_sigmoid,
    "hard_sigmoid_backward": _hard_sigmoid_backward,
    "softplus": _softplus,
    "softplus_backward": _softplus_backward,
    "silu": _silu,
    "silu_backward": _silu_backward,
    "gelu": _gelu,
    "gelu_backward": _gelu_backward,
}

__all__ = [
    "bias_elu",
    "bias_gelu",
    "bias_hard_sigmoid",
    "bias_identity",
    "bias_leaky_relu",
    "bias_relu",
    "bias_sigmoid",
    "bias_silu",
    "bias_softplus",
    "bias_tanh",
    "elu",
    "elu_backward",
    "elu_backward_bias",
    "gelu",
    "gelu_backward",
    "gelu_backward_bias",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_sigmoid_backward_bias",
    "identity",
    "identity_backward",
    "identity_backward_bias",
    "identity_grad",
    "leaky_relu",
    "leaky_relu_backward",
    "leaky_relu_backward_bias",
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
    "silu",
    "silu_backward",
    "silu_backward_bias",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "softplus_backward_bias",
    "tanh",
    "tanh_backward",
    "tanh_backward_bias",
    "tanh_grad",
]
