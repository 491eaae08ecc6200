"""The table of operations, one row for each public function.

Tests and benchmarks draw their cases from it: `draw` makes well-formed arguments, `textbook` is the
formula as a textbook prints it in NumPy, stable but neither fused nor careful with the last digits.
In float64 or longer it is the tests' independent reference; in the arguments' own type it is what
the benchmarks compare with.
"""

from __future__ import annotations

import math
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
    `options` are the keywords of each call that tests make, for function and formula alike; benchmarks
    make the first.
    """

    name: str
    kind: str
    draw: Draw
    textbook: Callable[..., Any]
    options: tuple[dict[str, Any], ...] = ({},)


def _one(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
    return ((3 * rng.standard_normal(shape)).astype(dtype),)


def _two(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
    return (*_one(rng, shape, dtype), rng.uniform(-1, 1, shape).astype(dtype))


def _two_inputs(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
    return (*_one(rng, shape, dtype), *_one(rng, shape, dtype))


def _two_with_bias(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
    x, b = _with_bias(rng, shape, dtype)
    return (*_one(rng, shape, dtype), x, b)


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


def _leaky_relu(x: Any, negative_slope: float) -> Any:
    return np.where(x < 0, negative_slope * x, x)


def _leaky_relu_slope(x: Any, negative_slope: float) -> Any:
    return np.where(x > 0, 1, negative_slope * np.ones_like(x))


def _elu(x: Any, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _elu_slope(x: Any, alpha: float) -> Any:
    return np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _hard_sigmoid(x: Any) -> Any:
    return np.clip(x / 6 + 0.5, 0, 1)


def _hard_sigmoid_slope(x: Any) -> Any:
    return (np.abs(x) < 3) * np.ones_like(x) / 6


def _silu(x: Any) -> Any:
    return x * _sigmoid(x)


def _silu_slope(x: Any) -> Any:
    return _sigmoid(x) * (1 + x * _sigmoid(-x))


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def _gelu(x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _gelu_slope(x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * (1 + _erf(x / math.sqrt(2))) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


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


def _from_input(
    name: str, f: Callable[..., Any], slope: Callable[..., Any], *options: dict[str, Any]
) -> tuple[Operation, ...]:
    """Return the rows of an activation that goes back from its input."""
    chosen = options or ({},)
    return (
        Operation(name, "elementwise", _one, f, chosen),
        Operation(
            f"{name}_backward", "elementwise", _two_inputs, lambda dy, x, **o: dy * slope(x, **o), chosen
        ),
        Operation(f"bias_{name}", "bias", _with_bias, lambda x, b, **o: f(x + b, **o), chosen),
        Operation(
            f"{name}_backward_bias",
            "bias",
            _two_with_bias,
            lambda dy, x, b, **o: _columns(dy * slope(x + b, **o)),
            chosen,
        ),
    )


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
    *_from_input(
        "leaky_relu", _leaky_relu, _leaky_relu_slope, {"negative_slope": 0.01}, {"negative_slope": -1.5}
    ),
    *_from_input("elu", _elu, _elu_slope, {"alpha": 1.0}, {"alpha": 0.3}),
    *_from_input("hard_sigmoid", _hard_sigmoid, _hard_sigmoid_slope),
    *_from_input("softplus", _softplus, _sigmoid),
    *_from_input("silu", _silu, _silu_slope),
    *_from_input("gelu", _gelu, _gelu_slope, {"approximate": "none"}, {"approximate": "tanh"}),
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

#: The activations that go back from their input.
FROM_INPUT = ("leaky_relu", "elu", "hard_sigmoid", "softplus", "silu", "gelu")

#: What an update takes after its arrays, in tests and benchmarks.
UPDATE_NUMBERS: dict[str, tuple[float, ...]] = {
    "sgd_update": (0.1,),
    "momentum_update": (0.1, 0.9),
    "adam_update": (3,),
}
