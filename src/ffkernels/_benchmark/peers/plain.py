"""Every operation of the table in the best plain NumPy: what a careful user writes without us.

Results go where there is room for them (`out`), operators work in place, losses index by class and
make one softmax do for value and gradient. Each is the fastest of the forms that were tried, over
64x10 and 512x1000 in float32, and none goes beyond what such a user knows. Neither is it more exact
than usual: a confident row loses its digits, and sigmoid warns where e^-x overflows.

What lost, where it surprises:

- relu's gradients: `dy * (y > 0)` made in one array beats `copyto` with a mask, 2 against 3 us at
  64x10, 0.12 against 2.4 ms at 512x1000, where branches are mispredicted.
- sigmoid: 1/(1 + e^-x) by `divide`; `reciprocal` is slower at 512x1000; (1 + tanh(x/2))/2 is a quarter
  faster and left out, since it is 0 from x = -17 on.
- tanh_grad: 1 - tanh² and 1/cosh² take the same; the first is what everybody writes.
- sums over columns: `np.dot` with ones halves them, sums over rows too, but no user writes it; with a
  product to sum `vecdot` beats `einsum` and the sum of a product.
- means: `.sum() / len(t)` takes half as long as `.mean()` at 64 rows.
- the loss alone: log(sum) - (x - m) at the class, from logits less their maximum, where books index
  a softmax.
- Adam: the bias corrections as two numbers, one of the step's length, one of eps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._operations import UPDATE_NUMBERS
from ..rounds import Call

Array = npt.NDArray[Any]

# ---- elementwise -----------------------------------------------------------------------------------


def relu(x: Array, out: Array) -> None:
    np.maximum(x, 0, out=out)


def relu_grad(x: Array, out: Array) -> None:
    np.greater(x, 0, out=out)


def relu_backward(dy: Array, y: Array, out: Array) -> None:
    np.greater(y, 0, out=out)
    np.multiply(out, dy, out=out)


def sigmoid(x: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.divide(1, out, out=out)


def sigmoid_grad(x: Array, out: Array) -> None:
    sigmoid(x, out)
    np.multiply(out, 1 - out, out=out)


def sigmoid_backward(dy: Array, y: Array, out: Array) -> None:
    np.subtract(1, y, out=out)
    np.multiply(out, y, out=out)
    np.multiply(out, dy, out=out)


def tanh(x: Array, out: Array) -> None:
    np.tanh(x, out=out)


def tanh_grad(x: Array, out: Array) -> None:
    np.tanh(x, out=out)
    np.multiply(out, out, out=out)
    np.subtract(1, out, out=out)


def tanh_backward(dy: Array, y: Array, out: Array) -> None:
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)
    np.multiply(out, dy, out=out)


def identity(x: Array, out: Array) -> None:
    np.copyto(out, x)


def identity_grad(x: Array, out: Array) -> None:
    out.fill(1)


def identity_backward(dy: Array, y: Array, out: Array) -> None:
    np.copyto(out, dy)


def leaky_relu(x: Array, out: Array) -> None:
    np.multiply(x, 0.01, out=out)
    np.maximum(x, out, out=out)


def leaky_relu_backward(dy: Array, x: Array, out: Array) -> None:
    one = x.dtype.type(1)
    np.multiply(dy, np.where(x > 0, one, one * 0.01), out=out)


def elu(x: Array, out: Array) -> None:
    np.expm1(x, out=out)
    np.copyto(out, np.where(x > 0, x, out))


def elu_backward(dy: Array, x: Array, out: Array) -> None:
    np.minimum(x, 0, out=out)
    np.exp(out, out=out)
    np.multiply(out, dy, out=out)


def hard_sigmoid(x: Array, out: Array) -> None:
    np.add(x, 3, out=out)
    out.clip(0, 6, out=out)
    np.divide(out, 6, out=out)


def hard_sigmoid_backward(dy: Array, x: Array, out: Array) -> None:
    np.less(np.abs(x), 3, out=out)
    np.multiply(out, dy, out=out)
    np.divide(out, 6, out=out)


def softplus(x: Array, out: Array) -> None:
    small = np.abs(x)
    np.negative(small, out=small)
    np.exp(small, out=small)
    np.log1p(small, out=small)
    np.maximum(x, 0, out=out)
    np.add(out, small, out=out)


def softplus_backward(dy: Array, x: Array, out: Array) -> None:
    sigmoid(x, out)
    np.multiply(out, dy, out=out)


def silu(x: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.divide(x, out, out=out)


def silu_backward(dy: Array, x: Array, out: Array) -> None:
    sigmoid(x, out)
    slope = 1 - out
    np.multiply(slope, x, out=slope)
    np.add(slope, 1, out=slope)
    np.multiply(out, slope, out=out)
    np.multiply(out, dy, out=out)


# NumPy has no erf.
_erf = np.frompyfunc(math.erf, 1, 1)


def gelu(x: Array, out: Array) -> None:
    np.multiply(x, math.sqrt(0.5), out=out)
    out[...] = _erf(out)
    np.add(out, 1, out=out)
    np.multiply(out, x, out=out)
    np.multiply(out, 0.5, out=out)


def gelu_backward(dy: Array, x: Array, out: Array) -> None:
    np.multiply(x, x, out=out)
    np.multiply(out, -0.5, out=out)
    np.exp(out, out=out)
    np.multiply(out, x, out=out)
    np.multiply(out, 1 / math.sqrt(2 * math.pi), out=out)
    normal: Array = np.empty_like(x)
    normal[...] = _erf(math.sqrt(0.5) * x)
    np.multiply(normal, 0.5, out=normal)
    np.add(normal, 0.5, out=normal)
    np.add(out, normal, out=out)
    np.multiply(out, dy, out=out)


# ---- with a bias -----------------------------------------------------------------------------------


def _bias(function: Callable[[Array, Array], None]) -> Callable[[Array, Array, Array], None]:
    def bias_function(x: Array, b: Array, out: Array) -> None:
        np.add(x, b, out=out)
        function(out, out)

    return bias_function


def bias_identity(x: Array, b: Array, out: Array) -> None:
    np.add(x, b, out=out)


def _backward_bias(
    backward: Callable[[Array, Array, Array], None],
) -> Callable[[Array, Array, Array, Array], None]:
    def backward_bias(dy: Array, y: Array, out: Array, out_bias: Array) -> None:
        backward(dy, y, out)
        out.sum(axis=0, out=out_bias)

    return backward_bias


def _of_sum(function: Callable[[Array, Array], None]) -> Callable[[Array, Array, Array], None]:
    def bias_function(x: Array, b: Array, out: Array) -> None:
        function(x + b, out)

    return bias_function


def _input_backward_bias(
    backward: Callable[[Array, Array, Array], None],
) -> Callable[[Array, Array, Array, Array, Array], None]:
    def backward_bias(dy: Array, x: Array, b: Array, out: Array, out_bias: Array) -> None:
        backward(dy, x + b, out)
        out.sum(axis=0, out=out_bias)

    return backward_bias


# ---- along the last axis -----------------------------------------------------------------------------


def softmax(x: Array, out: Array) -> None:
    np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=-1, keepdims=True), out=out)


def softmax_backward(dy: Array, y: Array, out: Array) -> None:
    np.subtract(dy, np.vecdot(dy, y)[..., None], out=out)
    np.multiply(out, y, out=out)


def log_softmax(x: Array, out: Array) -> None:
    np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.subtract(out, np.log(np.exp(out).sum(axis=-1, keepdims=True)), out=out)


def log_softmax_backward(dy: Array, y: Array, out: Array) -> None:
    np.exp(y, out=out)
    np.multiply(out, dy.sum(axis=-1, keepdims=True), out=out)
    np.subtract(dy, out, out=out)


def logsumexp(x: Array) -> Any:
    m = x.max(axis=-1, keepdims=True)
    e = x - m
    np.exp(e, out=e)
    return m[..., 0] + np.log(e.sum(axis=-1))


# ---- losses, averaged over rows --------------------------------------------------------------------


def cross_entropy(p: Array, t: Array) -> Any:
    return -np.log(p[np.arange(len(t)), t]).sum() / len(t)


def cross_entropy_with_grad(p: Array, t: Array, out: Array) -> Any:
    rows = np.arange(len(t))
    q = p[rows, t]
    out.fill(0)
    out[rows, t] = -1 / (q * len(t))
    return -np.log(q).sum() / len(t)


def cross_entropy_backward(p: Array, t: Array, out: Array) -> None:
    rows = np.arange(len(t))
    out.fill(0)
    out[rows, t] = -1 / (p[rows, t] * len(t))


def softmax_cross_entropy(x: Array, t: Array) -> Any:
    d = x - x.max(axis=1, keepdims=True)
    at_class = d[np.arange(len(t)), t]
    np.exp(d, out=d)
    return (np.log(d.sum(axis=1)) - at_class).sum() / len(t)


def softmax_cross_entropy_with_grad(x: Array, t: Array, out: Array) -> Any:
    softmax(x, out)
    rows = np.arange(len(t))
    loss = -np.log(out[rows, t]).sum() / len(t)
    out[rows, t] -= 1
    np.multiply(out, 1 / len(t), out=out)
    return loss


def linear_cross_entropy_with_grad(x: Array, w: Array, t: Array, dw: Array) -> Any:
    z = x @ w
    loss = softmax_cross_entropy_with_grad(z, t, z)
    np.matmul(x.T, z, out=dw)
    return loss, z @ w.T


def softmax_cross_entropy_backward(p: Array, t: Array, out: Array) -> None:
    np.multiply(p, 1 / len(t), out=out)
    out[np.arange(len(t)), t] -= 1 / len(t)


def sigmoid_cross_entropy(x: Array, t: Array) -> Any:
    loss = np.abs(x)
    np.negative(loss, out=loss)
    np.exp(loss, out=loss)
    np.log1p(loss, out=loss)
    return (loss.sum() + np.maximum(x, 0).sum() - np.vdot(x, t)) / x.size


def sigmoid_cross_entropy_with_grad(x: Array, t: Array, out: Array) -> Any:
    loss = sigmoid_cross_entropy(x, t)
    sigmoid_cross_entropy_backward(x, t, out)
    return loss


def sigmoid_cross_entropy_backward(x: Array, t: Array, out: Array) -> None:
    sigmoid(x, out)
    out -= t
    out *= 1 / x.size


def sum_squared_error(y: Array, t: Array) -> Any:
    d = y - t
    return 0.5 * np.vdot(d, d) / len(y)


def sum_squared_error_with_grad(y: Array, t: Array, out: Array) -> Any:
    np.subtract(y, t, out=out)
    loss = 0.5 * np.vdot(out, out) / len(y)
    np.multiply(out, 1 / len(y), out=out)
    return loss


def sum_squared_error_backward(y: Array, t: Array, out: Array) -> None:
    np.subtract(y, t, out=out)
    np.multiply(out, 1 / len(y), out=out)


# ---- updates -----------------------------------------------------------------------------------------


def sgd_update(param: Array, grad: Array, lr: float = 0.1) -> None:
    param -= lr * grad


def momentum_update(
    param: Array, grad: Array, velocity: Array, lr: float = 0.1, momentum: float = 0.9
) -> None:
    velocity *= momentum
    velocity += grad
    param -= lr * velocity


def adam_update(
    param: Array, grad: Array, m: Array, v: Array, step: int, lr: float = 1e-3
) -> None:
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    unbias = math.sqrt(1 - beta2**step)
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * (grad * grad)
    d = np.sqrt(v)
    d += eps * unbias
    np.divide(m, d, out=d)
    d *= lr * unbias / (1 - beta1**step)
    param -= d


# ---- as a peer ---------------------------------------------------------------------------------------

# What takes an array for its result after its arguments.
_WITH_OUT: dict[str, Callable[..., Any]] = {
    "relu": relu,
    "relu_grad": relu_grad,
    "relu_backward": relu_backward,
    "sigmoid": sigmoid,
    "sigmoid_grad": sigmoid_grad,
    "sigmoid_backward": sigmoid_backward,
    "tanh": tanh,
    "tanh_grad": tanh_grad,
    "tanh_backward": tanh_backward,
    "identity": identity,
    "identity_grad": identity_grad,
    "identity_backward": identity_backward,
    "bias_relu": _bias(relu),
    "bias_sigmoid": _bias(sigmoid),
    "bias_tanh": _bias(tanh),
    "bias_identity": bias_identity,
    "relu_backward_bias": _backward_bias(relu_backward),
    "sigmoid_backward_bias": _backward_bias(sigmoid_backward),
    "tanh_backward_bias": _backward_bias(tanh_backward),
    "identity_backward_bias": _backward_bias(identity_backward),
    "softmax": softmax,
    "softmax_backward": softmax_backward,
    "log_softmax": log_softmax,
    "log_softmax_backward": log_softmax_backward,
    "cross_entropy_with_grad": cross_entropy_with_grad,
    "cross_entropy_backward": cross_entropy_backward,
    "softmax_cross_entropy_with_grad": softmax_cross_entropy_with_grad,
    "softmax_cross_entropy_backward": softmax_cross_entropy_backward,
    "linear_cross_entropy_with_grad": linear_cross_entropy_with_grad,
    "sigmoid_cross_entropy_with_grad": sigmoid_cross_entropy_with_grad,
    "sigmoid_cross_entropy_backward": sigmoid_cross_entropy_backward,
    "sum_squared_error_with_grad": sum_squared_error_with_grad,
    "sum_squared_error_backward": sum_squared_error_backward,
}
_FROM_INPUT: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "leaky_relu": (leaky_relu, leaky_relu_backward),
    "elu": (elu, elu_backward),
    "hard_sigmoid": (hard_sigmoid, hard_sigmoid_backward),
    "softplus": (softplus, softplus_backward),
    "silu": (silu, silu_backward),
    "gelu": (gelu, gelu_backward),
}
for _name, (_f, _backward) in _FROM_INPUT.items():
    _WITH_OUT |= {_name: _f, f"{_name}_backward": _backward, f"bias_{_name}": _of_sum(_f)}
    _WITH_OUT[f"{_name}_backward_bias"] = _input_backward_bias(_backward)
_WITHOUT_OUT: dict[str, Callable[..., Any]] = {
    "logsumexp": logsumexp,
    "cross_entropy": cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
    "sigmoid_cross_entropy": sigmoid_cross_entropy,
    "sum_squared_error": sum_squared_error,
}
_UPDATES: dict[str, Callable[..., Any]] = {
    "sgd_update": sgd_update,
    "momentum_update": momentum_update,
    "adam_update": adam_update,
}


def call(name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call:
    """Return a call of an operation, as a peer of the benchmark does: see `base.Peer.call`."""
    if name in _UPDATES:
        own = [a.copy() for a in arguments]
        return Call(_UPDATES[name], (*own, *UPDATE_NUMBERS[name]))
    if axis != -1:
        arguments = [np.moveaxis(a, axis, -1) for a in arguments]
    if name in _WITHOUT_OUT:
        return Call(_WITHOUT_OUT[name], arguments)
    outs = [np.moveaxis(np.empty_like(out), axis, -1)]
    if name.endswith("_backward_bias"):
        outs += [np.empty(out.shape[-1:], out.dtype)]
    return Call(_WITH_OUT[name], (*arguments, *outs))


class Net:
    """A ReLU net with softmax cross-entropy, its training step in memory that it keeps.

    It starts with copies of the parameters ``W1``, ``b1``, ``W2``, ...
    """

    def __init__(self, params: dict[str, Array]) -> None:
        self.params = {name: param.copy() for name, param in params.items()}
        self.grads = {name: np.empty_like(param) for name, param in params.items()}
        self.depth = len(params) // 2
        self._rows = -1

    def train_step(self, x: Array, t: Array, optimizer: SGD | Adam) -> Any:
        """Return the loss before one step down the gradient."""
        params, grads = self.params, self.grads
        if len(x) != self._rows:
            self._rows = len(x)
            biases = [params[f"b{k}"] for k in range(1, self.depth + 1)]
            self._outputs = [np.empty((len(x), len(b)), b.dtype) for b in biases]
            self._douts = [np.empty_like(z) for z in self._outputs[:-1]]
        inputs = [x, *self._outputs[:-1]]
        for k, (before, z) in enumerate(zip(inputs, self._outputs, strict=True), start=1):
            np.matmul(before, params[f"W{k}"], out=z)
            z += params[f"b{k}"]
            if k < self.depth:
                np.maximum(z, 0, out=z)
        dout = self._outputs[-1]
        loss = softmax_cross_entropy_with_grad(dout, t, dout)
        for k in range(self.depth, 0, -1):
            np.matmul(inputs[k - 1].T, dout, out=grads[f"W{k}"])
            dout.sum(axis=0, out=grads[f"b{k}"])
            if k > 1:
                dx = self._douts[k - 2]
                np.matmul(dout, params[f"W{k}"].T, out=dx)
                dx *= inputs[k - 1] > 0
                dout = dx
        optimizer.update(params, grads)
        return loss


class SGD:
    """Stochastic gradient descent, with momentum if wanted."""

    def __init__(self, lr: float, momentum: float = 0.0) -> None:
        self.lr, self.momentum = lr, momentum
        self.v: dict[str, Array] = {}

    def update(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        for key, param in params.items():
            if self.momentum == 0:
                sgd_update(param, grads[key], self.lr)
                continue
            if key not in self.v:
                self.v[key] = np.zeros_like(param)
            momentum_update(param, grads[key], self.v[key], self.lr, self.momentum)


class Adam:
    """Adam with the usual betas and eps."""

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.step = 0
        self.m: dict[str, Array] = {}
        self.v: dict[str, Array] = {}

    def update(self, params: dict[str, Array], grads: dict[str, Array]) -> None:
        self.step += 1
        for key, param in params.items():
            if key not in self.m:
                self.m[key], self.v[key] = np.zeros_like(param), np.zeros_like(param)
            adam_update(param, grads[key], self.m[key], self.v[key], self.step, self.lr)
