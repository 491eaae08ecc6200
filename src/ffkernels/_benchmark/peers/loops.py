"""The loops that `numba` compiles; without `parallel`, Numba takes `prange` for `range`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange

Scalar = Callable[..., Any]

# ---- of one number; `one` is of the arrays' type ---------------------------------------------------


def relu(x: Any, one: Any) -> Any:
    return x if x > 0 else one - one


def relu_grad(x: Any, one: Any) -> Any:
    return one if x > 0 else one - one


def relu_backward(dy: Any, y: Any, one: Any) -> Any:
    return dy if y > 0 else one - one


def sigmoid(x: Any, one: Any) -> Any:
    return one / (one + math.exp(-x))


def sigmoid_grad(x: Any, one: Any) -> Any:
    y = one / (one + math.exp(-x))
    return y * (one - y)


def sigmoid_backward(dy: Any, y: Any, one: Any) -> Any:
    return dy * y * (one - y)


def tanh(x: Any, one: Any) -> Any:
    return math.tanh(x)


def tanh_grad(x: Any, one: Any) -> Any:
    y = math.tanh(x)
    return one - y * y


def tanh_backward(dy: Any, y: Any, one: Any) -> Any:
    return dy * (one - y * y)


def leaky_relu(x: Any, one: Any) -> Any:
    return x if x > 0 else x * (one / (100 * one))


def leaky_relu_backward(dy: Any, x: Any, one: Any) -> Any:
    return dy if x > 0 else dy * (one / (100 * one))


def elu(x: Any, one: Any) -> Any:
    return x if x > 0 else math.expm1(x)


def elu_backward(dy: Any, x: Any, one: Any) -> Any:
    return dy if x > 0 else dy * math.exp(x)


def hard_sigmoid(x: Any, one: Any) -> Any:
    three = one + one + one
    return min(max(x + three, one - one), three + three) / (three + three)


def hard_sigmoid_backward(dy: Any, x: Any, one: Any) -> Any:
    three = one + one + one
    return dy / (three + three) if abs(x) < three else one - one


def softplus(x: Any, one: Any) -> Any:
    return max(x, one - one) + math.log1p(math.exp(-abs(x)))


def softplus_backward(dy: Any, x: Any, one: Any) -> Any:
    return dy / (one + math.exp(-x))


def silu(x: Any, one: Any) -> Any:
    return x / (one + math.exp(-x))


def silu_backward(dy: Any, x: Any, one: Any) -> Any:
    y = one / (one + math.exp(-x))
    return dy * y * (one + x * (one - y))


def gelu(x: Any, one: Any) -> Any:
    half = one / (one + one)
    return x * half * (one + math.erf(x * math.sqrt(half)))


def gelu_backward(dy: Any, x: Any, one: Any) -> Any:
    half = one / (one + one)
    density = math.exp(-half * x * x) * math.sqrt(half * half * half / math.atan(one))
    return dy * (half * (one + math.erf(x * math.sqrt(half))) + x * density)


# ---- loops around them -----------------------------------------------------------------------------


def over_one(f: Scalar) -> Callable[..., None]:
    def loop(x: Any, out: Any) -> None:
        one = out.dtype.type(1)
        for i in prange(out.size):
            out[i] = f(x[i], one)

    return loop


def over_two(f: Scalar) -> Callable[..., None]:
    def loop(dy: Any, y: Any, out: Any) -> None:
        one = out.dtype.type(1)
        for i in prange(out.size):
            out[i] = f(dy[i], y[i], one)

    return loop


def with_bias(f: Scalar) -> Callable[..., None]:
    def loop(x: Any, b: Any, out: Any) -> None:
        one = out.dtype.type(1)
        rows, columns = out.shape
        for i in prange(rows):
            for j in range(columns):
                out[i, j] = f(x[i, j] + b[j], one)

    return loop


def with_sum(f: Scalar, parts: int) -> Callable[..., None]:
    """Return the loop that also sums over rows, in as many parts as there are threads."""

    def loop(dy: Any, y: Any, out: Any, out_bias: Any) -> None:
        one = out.dtype.type(1)
        rows, columns = out.shape
        sums = np.zeros((parts, columns), out.dtype)
        for part in prange(parts):
            for i in range(rows * part // parts, rows * (part + 1) // parts):
                for j in range(columns):
                    dz = f(dy[i, j], y[i, j], one)
                    out[i, j] = dz
                    sums[part, j] += dz
        for j in range(columns):
            total = sums[0, j]
            for part in range(1, parts):
                total += sums[part, j]
            out_bias[j] = total

    return loop


def with_bias_and_sum(f: Scalar, parts: int) -> Callable[..., None]:
    """Return the same of a function that goes back from its input, x + b."""

    def loop(dy: Any, x: Any, b: Any, out: Any, out_bias: Any) -> None:
        one = out.dtype.type(1)
        rows, columns = out.shape
        sums = np.zeros((parts, columns), out.dtype)
        for part in prange(parts):
            for i in range(rows * part // parts, rows * (part + 1) // parts):
                for j in range(columns):
                    dz = f(dy[i, j], x[i, j] + b[j], one)
                    out[i, j] = dz
                    sums[part, j] += dz
        for j in range(columns):
            total = sums[0, j]
            for part in range(1, parts):
                total += sums[part, j]
            out_bias[j] = total

    return loop


def add_bias(x: Any, b: Any, out: Any) -> None:
    rows, columns = out.shape
    for i in prange(rows):
        for j in range(columns):
            out[i, j] = x[i, j] + b[j]


# ---- rows ------------------------------------------------------------------------------------------


@njit(fastmath=True)  # type: ignore[untyped-decorator]
def highest(row: Any) -> Any:
    m = row[0]
    for j in range(1, row.size):
        if row[j] > m:
            m = row[j]
    return m


def softmax(x: Any, out: Any) -> None:
    rows, columns = x.shape
    one = out.dtype.type(1)
    for i in prange(rows):
        m = highest(x[i])
        total = one - one
        for j in range(columns):
            e = math.exp(x[i, j] - m)
            out[i, j] = e
            total += e
        scale = one / total
        for j in range(columns):
            out[i, j] *= scale


def softmax_backward(dy: Any, y: Any, out: Any) -> None:
    rows, columns = y.shape
    for i in prange(rows):
        dot = out.dtype.type(0)
        for j in range(columns):
            dot += dy[i, j] * y[i, j]
        for j in range(columns):
            out[i, j] = y[i, j] * (dy[i, j] - dot)


def log_softmax(x: Any, out: Any) -> None:
    rows, columns = x.shape
    for i in prange(rows):
        m = highest(x[i])
        total = out.dtype.type(0)
        for j in range(columns):
            total += math.exp(x[i, j] - m)
        shift = m + math.log(total)
        for j in range(columns):
            out[i, j] = x[i, j] - shift


def log_softmax_backward(dy: Any, y: Any, out: Any) -> None:
    rows, columns = y.shape
    for i in prange(rows):
        total = out.dtype.type(0)
        for j in range(columns):
            total += dy[i, j]
        for j in range(columns):
            out[i, j] = dy[i, j] - math.exp(y[i, j]) * total


def logsumexp(x: Any, out: Any) -> None:
    rows, columns = x.shape
    for i in prange(rows):
        m = highest(x[i])
        total = out.dtype.type(0)
        for j in range(columns):
            total += math.exp(x[i, j] - m)
        out[i] = m + math.log(total)


# ---- losses, averaged over rows --------------------------------------------------------------------


def cross_entropy(p: Any, t: Any) -> Any:
    loss = p.dtype.type(0)
    for i in prange(len(t)):
        loss -= math.log(p[i, t[i]])
    return loss / p.dtype.type(len(t))


def cross_entropy_with_grad(p: Any, t: Any, out: Any) -> Any:
    loss, share = p.dtype.type(0), out.dtype.type(1 / len(t))
    for i in prange(len(t)):
        out[i] = 0
        q = p[i, t[i]]
        loss -= math.log(q)
        out[i, t[i]] = -share / q
    return loss * share


def cross_entropy_backward(p: Any, t: Any, out: Any) -> None:
    share = out.dtype.type(1 / len(t))
    for i in prange(len(t)):
        out[i] = 0
        out[i, t[i]] = -share / p[i, t[i]]


def softmax_cross_entropy(x: Any, t: Any) -> Any:
    rows, columns = x.shape
    loss = x.dtype.type(0)
    for i in prange(rows):
        m = highest(x[i])
        total = x.dtype.type(0)
        for j in range(columns):
            total += math.exp(x[i, j] - m)
        loss += math.log(total) + m - x[i, t[i]]
    return loss / x.dtype.type(rows)


def softmax_cross_entropy_with_grad(x: Any, t: Any, out: Any) -> Any:
    rows, columns = x.shape
    loss, share = x.dtype.type(0), out.dtype.type(1 / rows)
    for i in prange(rows):
        m = highest(x[i])
        target = x[i, t[i]]
        total = x.dtype.type(0)
        for j in range(columns):
            e = math.exp(x[i, j] - m)
            out[i, j] = e
            total += e
        scale = share / total
        for j in range(columns):
            out[i, j] *= scale
        out[i, t[i]] -= share
        loss += math.log(total) + m - target
    return loss * share


def softmax_cross_entropy_backward(p: Any, t: Any, out: Any) -> None:
    rows, columns = p.shape
    share = out.dtype.type(1 / rows)
    for i in prange(rows):
        for j in range(columns):
            out[i, j] = p[i, j] * share
        out[i, t[i]] -= share


def sigmoid_cross_entropy(x: Any, t: Any) -> Any:
    rows, columns = x.shape
    one = x.dtype.type(1)
    loss = x.dtype.type(0)
    for i in prange(rows):
        for j in range(columns):
            e = math.exp(-abs(x[i, j]))
            loss += max(x[i, j], one - one) - x[i, j] * t[i, j] + math.log(one + e)
    return loss / x.dtype.type(rows * columns)


def sigmoid_cross_entropy_with_grad(x: Any, t: Any, out: Any) -> Any:
    rows, columns = x.shape
    one, share = x.dtype.type(1), out.dtype.type(1 / (rows * columns))
    loss = x.dtype.type(0)
    for i in prange(rows):
        for j in range(columns):
            e = math.exp(-abs(x[i, j]))
            y = one / (one + e)
            loss += max(x[i, j], one - one) - x[i, j] * t[i, j] - math.log(y)
            out[i, j] = ((y if x[i, j] > 0 else e * y) - t[i, j]) * share
    return loss * share


def sigmoid_cross_entropy_backward(x: Any, t: Any, out: Any) -> None:
    rows, columns = x.shape
    one, share = x.dtype.type(1), out.dtype.type(1 / (rows * columns))
    for i in prange(rows):
        for j in range(columns):
            out[i, j] = (one / (one + math.exp(-x[i, j])) - t[i, j]) * share


def sum_squared_error(y: Any, t: Any) -> Any:
    rows, columns = y.shape
    loss = y.dtype.type(0)
    for i in prange(rows):
        for j in range(columns):
            d = y[i, j] - t[i, j]
            loss += d * d
    return loss / y.dtype.type(2 * rows)


def sum_squared_error_with_grad(y: Any, t: Any, out: Any) -> Any:
    rows, columns = y.shape
    loss, share = y.dtype.type(0), out.dtype.type(1 / rows)
    for i in prange(rows):
        for j in range(columns):
            d = y[i, j] - t[i, j]
            loss += d * d
            out[i, j] = d * share
    return loss / y.dtype.type(2 * rows)


def sum_squared_error_backward(y: Any, t: Any, out: Any) -> None:
    rows, columns = y.shape
    share = out.dtype.type(1 / rows)
    for i in prange(rows):
        for j in range(columns):
            out[i, j] = (y[i, j] - t[i, j]) * share


# ---- updates; numbers are of the arrays' type ------------------------------------------------------


def sgd_update(param: Any, grad: Any, lr: Any) -> None:
    for i in prange(param.size):
        param[i] -= lr * grad[i]


def momentum_update(param: Any, grad: Any, velocity: Any, lr: Any, momentum: Any) -> None:
    for i in prange(param.size):
        v = momentum * velocity[i] + grad[i]
        velocity[i] = v
        param[i] -= lr * v


def adam_update(
    param: Any, grad: Any, m: Any, v: Any, beta1: Any, beta2: Any, rate: Any, eps: Any
) -> None:
    one = param.dtype.type(1)
    for i in prange(param.size):
        g = grad[i]
        m[i] = beta1 * m[i] + (one - beta1) * g
        v[i] = beta2 * v[i] + (one - beta2) * g * g
        param[i] -= rate * m[i] / (math.sqrt(v[i]) + eps)
