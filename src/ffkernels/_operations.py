"""The table of operations, one row for each public function.

Tests and benchmarks draw their cases from it: `draw` makes well-formed arguments, `textbook` is the
formula as a textbook prints it in NumPy, stable but neither fused nor careful with the last digits.
In float64 or longer it is the tests' independent reference; in the arguments' own type it is what
the benchmarks compare with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Draw = Callable[[np.random.Generator, tuple[int, ...], Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Operation:
    """How to call one function, and what it should give.

    `kind` is "elementwise" (any shape), "bias" (rows and a vector), "rows" (along the last axis),
    "loss" (a value and perhaps a gradient) or "update" (in place, the last operands are state).
    """

    name: str
    kind: str
    draw: Draw
    textbook: Callable[..., Any]


def _one(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
    return ((3 * rng.standard_normal(shape)).astype(dtype),)


def _two(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
    return (*_one(rng, shape, dtype), rng.uniform(-1, 1, shape).astype(dtype))


def _with_bias(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
    return (*_one(rng, shape, dtype), rng.standard_normal(shape[-1:]).astype(dtype))


def _probabilities(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    return _softmax(2 * rng.standard_normal(shape)).astype(dtype)


def _indices(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, max(shape[-1], 1), shape[:-1])


def _grad_and_softmax(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    return (*_one(rng, shape, dtype), _probabilities(rng, shape, dtype))


def _grad_and_log(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    dy, p = _grad_and_softmax(rng, shape, np.float64)
    return dy.astype(dtype), np.log(p).astype(dtype)


def _logits_and_indices(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    return (*_one(rng, shape, dtype), _indices(rng, shape))


def _probs_and_indices(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    return _probabilities(rng, shape, dtype), _indices(rng, shape)


def _logits_and_labels(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    return (*_one(rng, shape, dtype), rng.integers(0, 2, shape).astype(dtype))


def _state(count: int) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
        return tuple(rng.uniform(0, 1, shape).astype(dtype) for _ in range(count))

    return draw


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _sech2(x: Any) -> Any:
    return 4 * _sigmoid(2 * x) * _sigmoid(-2 * x)


def _relu_backward(dy: Any, y: Any) -> Any:
    return dy * (y > 0)


def _columns(dz: Any) -> tuple[Any, Any]:
    return dz, dz.reshape(-1, dz.shape[-1]).sum(axis=0)


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _logsumexp(x: Any) -> Any:
    m = x.max(axis=-1, keepdims=True)
    return (m + np.log(np.exp(x - m).sum(axis=-1, keepdims=True)))[..., 0]


def _one_hot(t: Any, like: Any) -> Any:
    return np.eye(like.shape[-1], dtype=like.dtype)[t]


def _cross_entropy(p: Any, t: Any) -> Any:
    return -np.log(np.take_along_axis(p, t[..., None], -1)).mean()


def _softmax_cross_entropy(x: Any, t: Any) -> Any:
    return (_logsumexp(x) - np.take_along_axis(x, t[..., None], -1)[..., 0]).mean()


def _softmax_cross_entropy_grad(x: Any, t: Any) -> Any:
    return (_softmax(x) - _one_hot(t, x)) / t.size


def _sigmoid_cross_entropy(x: Any, t: Any) -> Any:
    return (np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))).mean() if x.size else x.sum()


def _sigmoid_cross_entropy_grad(x: Any, t: Any) -> Any:
    return (_sigmoid(x) - t) / max(x.size, 1)


def _rows(y: Any) -> int:
    return int(y.shape[0]) if y.ndim > 1 else 1


def _squared_error(y: Any, t: Any) -> Any:
    return 0.5 * ((y - t) ** 2).sum() / _rows(y)


def _sgd(param: Any, grad: Any) -> tuple[Any, ...]:
    return (param - 0.1 * grad,)


def _momentum(param: Any, grad: Any, velocity: Any) -> tuple[Any, ...]:
    velocity = 0.9 * velocity + grad
    return param - 0.1 * velocity, velocity


def _adam(param: Any, grad: Any, m: Any, v: Any) -> tuple[Any, ...]:
    m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
    unbiased = (m / (1 - 0.9**3)) / (np.sqrt(v / (1 - 0.999**3)) + 1e-8)
    return param - 1e-3 * unbiased, m, v


OPERATIONS: tuple[Operation, ...] = (
    Operation("relu", "elementwise", _one, lambda x: np.maximum(x, 0)),
    Operation("relu_grad", "elementwise", _one, lambda x: (x > 0) * np.ones_like(x)),
    Operation("relu_backward", "elementwise", _two, _relu_backward),
    Operation("sigmoid", "elementwise", _one, _sigmoid),
    Operation("sigmoid_grad", "elementwise", _one, lambda x: _sigmoid(x) * _sigmoid(-x)),
    Operation("sigmoid_backward", "elementwise", _two, lambda dy, y: dy * y * (1 - y)),
    Operation("tanh", "elementwise", _one, np.tanh),
    Operation("tanh_grad", "elementwise", _one, _sech2),
    Operation("tanh_backward", "elementwise", _two, lambda dy, y: dy * (1 - y) * (1 + y)),
    Operation("identity", "elementwise", _one, lambda x: x.copy()),
    Operation("identity_grad", "elementwise", _one, np.ones_like),
    Operation("identity_backward", "elementwise", _two, lambda dy, y: dy.copy()),
    Operation("bias_relu", "bias", _with_bias, lambda x, b: np.maximum(x + b, 0)),
    Operation("bias_sigmoid", "bias", _with_bias, lambda x, b: _sigmoid(x + b)),
    Operation("bias_tanh", "bias", _with_bias, lambda x, b: np.tanh(x + b)),
    Operation("bias_identity", "bias", _with_bias, lambda x, b: x + b),
    Operation(
        "relu_backward_bias", "bias", _two, lambda dy, y: _columns(_relu_backward(dy, y))
    ),
    Operation(
        "sigmoid_backward_bias", "bias", _two, lambda dy, y: _columns(dy * y * (1 - y))
    ),
    Operation(
        "tanh_backward_bias", "bias", _two, lambda dy, y: _columns(dy * (1 - y) * (1 + y))
    ),
    Operation("identity_backward_bias", "bias", _two, lambda dy, y: _columns(dy.copy())),
    Operation("softmax", "rows", _one, _softmax),
    Operation(
        "softmax_backward",
        "rows",
        _grad_and_softmax,
        lambda dy, y: y * (dy - (dy * y).sum(axis=-1, keepdims=True)),
    ),
    Operation("log_softmax", "rows", _one, lambda x: x - _logsumexp(x)[..., None]),
    Operation(
        "log_softmax_backward",
        "rows",
        _grad_and_log,
        lambda dy, y: dy - np.exp(y) * dy.sum(axis=-1, keepdims=True),
    ),
    Operation("logsumexp", "rows", _one, _logsumexp),
    Operation("cross_entropy", "loss", _probs_and_indices, _cross_entropy),
    Operation(
        "cross_entropy_with_grad",
        "loss",
        _probs_and_indices,
        lambda p, t: (_cross_entropy(p, t), -_one_hot(t, p) / p / t.size),
    ),
    Operation(
        "cross_entropy_backward",
        "loss",
        _probs_and_indices,
        lambda p, t: -_one_hot(t, p) / p / t.size,
    ),
    Operation("softmax_cross_entropy", "loss", _logits_and_indices, _softmax_cross_entropy),
    Operation(
        "softmax_cross_entropy_with_grad",
        "loss",
        _logits_and_indices,
        lambda x, t: (_softmax_cross_entropy(x, t), _softmax_cross_entropy_grad(x, t)),
    ),
    Operation(
        "softmax_cross_entropy_backward",
        "loss",
        _probs_and_indices,
        lambda p, t: (p - _one_hot(t, p)) / t.size,
    ),
    Operation("sigmoid_cross_entropy", "loss", _logits_and_labels, _sigmoid_cross_entropy),
    Operation(
        "sigmoid_cross_entropy_with_grad",
        "loss",
        _logits_and_labels,
        lambda x, t: (_sigmoid_cross_entropy(x, t), _sigmoid_cross_entropy_grad(x, t)),
    ),
    Operation(
        "sigmoid_cross_entropy_backward", "loss", _logits_and_labels, _sigmoid_cross_entropy_grad
    ),
    Operation("sum_squared_error", "loss", _two, _squared_error),
    Operation(
        "sum_squared_error_with_grad",
        "loss",
        _two,
        lambda y, t: (_squared_error(y, t), (y - t) / _rows(y)),
    ),
    Operation("sum_squared_error_backward", "loss", _two, lambda y, t: (y - t) / _rows(y)),
    Operation("sgd_update", "update", _state(2), _sgd),
    Operation("momentum_update", "update", _state(3), _momentum),
    Operation("adam_update", "update", _state(4), _adam),
)

#: What an update takes after its arrays, in tests and benchmarks.
UPDATE_NUMBERS: dict[str, tuple[float, ...]] = {
    "sgd_update": (0.1,),
    "momentum_update": (0.1, 0.9),
    "adam_update": (3,),
}
