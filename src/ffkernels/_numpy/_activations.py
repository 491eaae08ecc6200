"""Activations, their derivatives and their vector-Jacobian products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _arguments

Array = np.ndarray[Any, np.dtype[Any]]


def _unary(x: Any, out: Any, formula: Callable[[Array], Any]) -> Any:
    (x,), work, result = _arguments.elementwise(("x",), (x,), out)
    with np.errstate(all="ignore"):
        work[...] = formula(x)
    return _arguments.deliver(work, result, out)


def _binary(dy: Any, y: Any, out: Any, formula: Callable[[Array, Array], Any]) -> Any:
    (dy, y), work, result = _arguments.elementwise(("dy", "y"), (dy, y), out)
    with np.errstate(all="ignore"):
        work[...] = formula(dy, y)
    return _arguments.deliver(work, result, out)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, np.ones_like(e)) / (1 + e)


def _sigmoid_grad(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return e / ((1 + e) * (1 + e))


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _relu_backward(dy: Array, y: Array) -> Array:
    return np.where(y > 0, dy, np.where(y <= 0, y.dtype.type(0), y))


def _sigmoid_backward(dy: Array, y: Array) -> Array:
    return dy * (y * (1 - y))


def _tanh_backward(dy: Array, y: Array) -> Array:
    return dy * ((1 - y) * (1 + y))


def _identity_backward(dy: Array, y: Array) -> Array:
    return np.where(np.isnan(y), y, dy)


def relu(x: Any, out: Any) -> Any:
    return _unary(x, out, _relu)


def relu_grad(x: Any, out: Any) -> Any:
    return _unary(x, out, lambda x: np.where(np.isnan(x), x, x > 0))


def relu_backward(dy: Any, y: Any, out: Any) -> Any:
    return _binary(dy, y, out, _relu_backward)


def sigmoid(x: Any, out: Any) -> Any:
    return _unary(x, out, _sigmoid)


def sigmoid_grad(x: Any, out: Any) -> Any:
    return _unary(x, out, _sigmoid_grad)


def sigmoid_backward(dy: Any, y: Any, out: Any) -> Any:
    return _binary(dy, y, out, _sigmoid_backward)


def tanh(x: Any, out: Any) -> Any:
    return _unary(x, out, np.tanh)


def tanh_grad(x: Any, out: Any) -> Any:
    return _unary(x, out, lambda x: 4 * _sigmoid_grad(2 * x))


def tanh_backward(dy: Any, y: Any, out: Any) -> Any:
    return _binary(dy, y, out, _tanh_backward)


def identity(x: Any, out: Any) -> Any:
    return _unary(x, out, lambda x: x)


def identity_grad(x: Any, out: Any) -> Any:
    return _unary(x, out, lambda x: np.where(np.isnan(x), x, 1))


def identity_backward(dy: Any, y: Any, out: Any) -> Any:
    return _binary(dy, y, out, _identity_backward)


def _bias(x: Any, b: Any, out: Any, formula: Callable[[Array], Any]) -> Any:
    x, b, work, result = _arguments.bias(x, b, out)
    with np.errstate(all="ignore"):
        work[...] = formula(x + b)
    return _arguments.deliver(work, result, out)


def bias_relu(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _relu)


def bias_sigmoid(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, _sigmoid)


def bias_tanh(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, np.tanh)


def bias_identity(x: Any, b: Any, out: Any) -> Any:
    return _bias(x, b, out, lambda z: z)


def _backward_bias(
    dy: Any, y: Any, out: Any, out_bias: Any, formula: Callable[[Array, Array], Array]
) -> tuple[Any, Any]:
    dy, y, work, result, work_bias, result_bias = _arguments.backward_bias(dy, y, out, out_bias)
    with np.errstate(all="ignore"):
        work[...] = formula(dy, y)
        work_bias[...] = work.sum(axis=tuple(range(work.ndim - 1)), dtype=np.float64)
    return _arguments.deliver(work, result, out), _arguments.deliver(work_bias, result_bias, out_bias)


def relu_backward_bias(dy: Any, y: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _backward_bias(dy, y, out, out_bias, _relu_backward)


def sigmoid_backward_bias(dy: Any, y: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _backward_bias(dy, y, out, out_bias, _sigmoid_backward)


def tanh_backward_bias(dy: Any, y: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _backward_bias(dy, y, out, out_bias, _tanh_backward)


def identity_backward_bias(dy: Any, y: Any, out: Any, out_bias: Any) -> tuple[Any, Any]:
    return _backward_bias(dy, y, out, out_bias, _identity_backward)


def shifted_exp(x: Array) -> tuple[Array, Array, Array]:
    """For rows along the last axis: max, e^(x - max), and the sum of these without its leading
    term, which log1p needs to keep the digits of a confident row."""
    m = np.max(x, axis=-1, keepdims=True, initial=-np.inf)
    d = x - m
    e = np.exp(d)
    leaders = np.count_nonzero(d == 0, axis=-1, keepdims=True)
    rest = np.where(d == 0, 0, e).sum(axis=-1, keepdims=True, dtype=np.float64) + (leaders - 1)
    return m, e, rest


def _rows(
    names: tuple[str, ...], values: tuple[Any, ...], axis: Any, out: Any, formula: Callable[..., Any]
) -> Any:
    arrays, axis, work, result = _arguments.rows(names, values, axis, out)
    with np.errstate(all="ignore"):
        rows = formula(*(np.moveaxis(array, axis, -1) for array in arrays))
        work[...] = np.moveaxis(rows, -1, axis)
    return _arguments.deliver(work, result, out)


def _softmax(x: Array) -> Array:
    _, e, rest = shifted_exp(x)
    return e * (1 / (1 + rest)).astype(x.dtype)


def _log_softmax(x: Array) -> Array:
    m, _, rest = shifted_exp(x)
    return (x - m) - np.log1p(rest).astype(x.dtype)


def _softmax_backward(dy: Array, y: Array) -> Array:
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def _log_softmax_backward(dy: Array, y: Array) -> Array:
    return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)


def softmax(x: Any, axis: Any, out: Any) -> Any:
    return _rows(("x",), (x,), axis, out, _softmax)


def softmax_backward(dy: Any, y: Any, axis: Any, out: Any) -> Any:
    return _rows(("dy", "y"), (dy, y), axis, out, _softmax_backward)


def log_softmax(x: Any, axis: Any, out: Any) -> Any:
    return _rows(("x",), (x,), axis, out, _log_softmax)


def log_softmax_backward(dy: Any, y: Any, axis: Any, out: Any) -> Any:
    return _rows(("dy", "y"), (dy, y), axis, out, _log_softmax_backward)


def logsumexp(x: Any, axis: Any, keepdims: Any, out: Any) -> Any:
    x, axis, work, result = _arguments.logsumexp(x, axis, keepdims, out)
    with np.errstate(all="ignore"):
        m, _, rest = shifted_exp(np.moveaxis(x, axis, -1))
        m, rest = m[..., 0], rest[..., 0]
        # Without a finite maximum the limit is the maximum itself, or NaN where there is one.
        limit = np.where(np.isnan(x).any(axis), np.nan, m)
        work[...] = np.where(np.isfinite(m), m + np.log1p(rest), limit)
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
