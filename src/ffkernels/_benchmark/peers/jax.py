"""JAX, each operation compiled as a whole by `jit`.

Tried, on one Zen 4 core with AVX-512, float32, times ffkernels:

- softmax cross-entropy, by `value_and_grad`, at 64x10, 512x1000, 64x50257, 512x32000: `logsumexp(x) -
  take_along_axis(x, t)`, which is optax's form, 22, 1.4, 1.6, 5.6; indexed by `x[arange, t]` the same;
  a one-hot product 21, 1.9, 2.2, 6.3, by comparison and `where` 23, 1.9, 2.3, 6.3; `take_along_axis`
  of `log_softmax` 23, 3.5, 4.3, 14; gradient written out 22, 1.5, 1.7, 5.8. On two threads the same
  order: 42, 2.6, 2.4, 7.6 against 44, 5.1, 25, 20. optax's form races.
- in a training step the loss's form makes no difference: 0.89, 0.99, 1.03 at batches of 16, 100, 512.
- softmax at 10,000 and a million elements: e · (1 / sum) 2.0, 1.7, e / sum 2.2, 1.7, `nn.softmax`
  2.2, 2.0; log_softmax: x - logsumexp 1.6, 1.5, `nn.log_softmax` 1.8, 2.0; logsumexp written out 1.6,
  1.3, `nn.logsumexp` 1.7, 1.4.
- softmax_backward: the sum of products by `einsum` 2.9, 3.2, by `sum` 2.8, 4.2.
- gradients at the class: softmax_cross_entropy_backward by a one-hot difference 3.3, 1.2, by `at[].add`
  4.6, 3.3; cross_entropy_backward by `at[].set` 8.1, 1.2, by `where` 8.3, 2.4.
- sigmoid: `nn.sigmoid` 1.74, 1.11, 1/(1 + e^-x) the same; 0.5·tanh(0.5·x) + 0.5, 1.61, 0.91, is left
  out, since it has lost all digits at -17.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..._operations import UPDATE_NUMBERS
from ..rounds import Call
from .base import ADAM_UPDATE, BETA1, BETA2, EPS, Array, Forms, Params, Peer, Train

_LOSSES = ("cross_entropy", "softmax_cross_entropy", "sigmoid_cross_entropy", "sum_squared_error")


class JAX(Peer):
    """`jit`, gradients of losses by `value_and_grad`, the memory of what changes donated."""

    title, package = "JAX", "jax"

    def __init__(self, threads: int) -> None:
        # Its pool takes its size from NPROC, when it starts: that is for `environment` to set.
        super().__init__(threads)
        self.jax = jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        self.jnp = jnp = importlib.import_module("jax.numpy")
        nn = jax.nn

        def picked(p: Any, t: Any) -> Any:
            return jnp.take_along_axis(p, t[:, None], axis=1)[:, 0]

        def softmax(x: Any, axis: int = -1) -> Any:
            e = jnp.exp(x - x.max(axis, keepdims=True))
            return e * (1 / e.sum(axis, keepdims=True))

        def logsumexp(x: Any) -> Any:
            m = x.max(-1, keepdims=True)
            return (m + jnp.log(jnp.exp(x - m).sum(-1, keepdims=True)))[:, 0]

        def cross_entropy_backward(p: Any, t: Any) -> Any:
            rows = jnp.arange(len(t))
            return jnp.zeros_like(p).at[rows, t].set(-1 / (p[rows, t] * len(t)))

        self.functions: Forms = {
            "relu": nn.relu,
            "relu_grad": lambda x: (x > 0).astype(x.dtype),
            "relu_backward": lambda dy, y: jnp.where(y > 0, dy, 0),
            "sigmoid": nn.sigmoid,
            "sigmoid_grad": lambda x: (y := nn.sigmoid(x)) * (1 - y),
            "sigmoid_backward": lambda dy, y: dy * y * (1 - y),
            "tanh": jnp.tanh,
            "tanh_grad": lambda x: 1 - jnp.tanh(x) ** 2,
            "tanh_backward": lambda dy, y: dy * (1 - y * y),
            "bias_relu": lambda x, b: nn.relu(x + b),
            "bias_sigmoid": lambda x, b: nn.sigmoid(x + b),
            "bias_tanh": lambda x, b: jnp.tanh(x + b),
            "bias_identity": lambda x, b: x + b,
            "softmax": softmax,
            "softmax_backward": lambda dy, y: y * (dy - jnp.einsum("ij,ij->i", dy, y)[:, None]),
            "log_softmax": lambda x, axis=-1: x - nn.logsumexp(x, axis, keepdims=True),
            "log_softmax_backward": lambda dy, y: dy - jnp.exp(y) * dy.sum(-1, keepdims=True),
            "logsumexp": logsumexp,
            "cross_entropy": lambda p, t: -jnp.log(picked(p, t)).mean(),
            "cross_entropy_backward": cross_entropy_backward,
            "softmax_cross_entropy": lambda x, t: (nn.logsumexp(x, -1) - picked(x, t)).mean(),
            "softmax_cross_entropy_backward": lambda p, t: (
                (p - nn.one_hot(t, p.shape[1], dtype=p.dtype)) / len(t)
            ),
            # By log_sigmoid, as optax has it, the gradient takes two to twenty times as long.
            "sigmoid_cross_entropy": lambda x, t: (
                (jnp.maximum(x, 0) - x * t + jnp.log1p(jnp.exp(-jnp.abs(x)))).mean()
            ),
            "sigmoid_cross_entropy_backward": lambda x, t: (nn.sigmoid(x) - t) / x.size,
            "sum_squared_error": lambda y, t: ((y - t) ** 2).sum() / (2 * len(y)),
            "sum_squared_error_backward": lambda y, t: (y - t) / len(y),
            "sgd_update": lambda w, g: (w - 0.1 * g,),
            "momentum_update": lambda w, g, v: (w - 0.1 * (n := 0.9 * v + g), n),
            "adam_update": lambda w, g, m, v: self._adam(w, g, m, v, *ADAM_UPDATE),
        }
        gelu = functools.partial(nn.gelu, approximate=False)
        for name, f in {
            "leaky_relu": nn.leaky_relu,
            "elu": nn.elu,
            "hard_sigmoid": nn.hard_sigmoid,
            "softplus": nn.softplus,
            "silu": nn.silu,
            "gelu": gelu,
        }.items():
            self.functions |= _from_input(jax, name, f)
        for name in ("relu", "sigmoid", "tanh"):
            self.functions[f"{name}_backward_bias"] = _with_sum(self.functions[f"{name}_backward"])
        for name in _LOSSES:
            self.functions[f"{name}_with_grad"] = jax.value_and_grad(self.functions[name])
        self.functions["linear_cross_entropy_with_grad"] = jax.value_and_grad(
            lambda x, w, t: self.functions["softmax_cross_entropy"](x @ w, t), argnums=(0, 1)
        )

    def _adam(self, w: Any, g: Any, m: Any, v: Any, rate: Any, eps: Any) -> Any:
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g**2
        return w - rate * m / (self.jnp.sqrt(v) + eps), m, v

    def own(self, array: Array) -> Any:
        return self.jnp.array(array.astype(np.int32) if array.dtype.kind == "i" else array)

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if name not in self.functions:
            return None
        function, arrays = self.functions[name], [self.own(array) for array in arguments]
        if name in UPDATE_NUMBERS:
            return self._in_place(function, arrays)
        if axis != -1:
            function = functools.partial(function, axis=axis)
        return Call(_finished(self.jax.jit(function), arrays), arrays)

    def _in_place(self, function: Callable[..., Any], arrays: list[Any]) -> Call:
        """Return a call that gives the memory of the old state to the new."""
        compiled = self.jax.jit(function, donate_argnums=(0, *range(2, len(arrays))))
        state = self.state = arrays
        grad = arrays[1]

        def update() -> None:
            state[0], *state[2:] = compiled(state[0], grad, *state[2:])
            state[0].block_until_ready()

        return Call(update)

    def trainer(self, params: Params, optimizer: str, lr: float) -> Train:
        jax, jnp, nn = self.jax, self.jnp, self.jax.nn
        cross_entropy = self.functions["softmax_cross_entropy"]
        weights = [self.own(param) for param in params.values()]

        def loss(weights: Any, x: Any, t: Any) -> Any:
            *hidden, (W, b) = zip(weights[::2], weights[1::2], strict=True)
            for V, c in hidden:
                x = nn.relu(x @ V + c)
            return cross_entropy(x @ W + b, t)

        def sgd(state: Any, x: Any, t: Any) -> Any:
            value, grads = jax.value_and_grad(loss)(state[0], x, t)
            moved = [w - lr * g for w, g in zip(state[0], grads, strict=True)]
            return (moved,), value

        def adam(state: Any, x: Any, t: Any) -> Any:
            weights, ms, vs, taken = state
            value, grads = jax.value_and_grad(loss)(weights, x, t)
            taken = taken + 1
            unbias = jnp.sqrt(1 - BETA2**taken)
            factors = lr * unbias / (1 - BETA1**taken), EPS * unbias
            moved = [
                self._adam(*each, *factors) for each in zip(weights, grads, ms, vs, strict=True)
            ]
            return (*map(list, zip(*moved, strict=True)), taken), value

        zeros = [jnp.zeros_like(w) for w in weights]
        state: Any = (weights,)
        if optimizer == "adam":
            state = weights, zeros, [jnp.copy(z) for z in zeros], jnp.float32(0)
        compiled = jax.jit(adam if optimizer == "adam" else sgd, donate_argnums=0)

        def train(x: Any, t: Any) -> Any:
            nonlocal state
            state, value = compiled(state, x, t)
            return value

        return train

    def finished(self, loss: Any) -> Any:
        return loss.block_until_ready()


def _with_sum(backward: Callable[..., Any]) -> Callable[..., Any]:
    def both(dy: Any, y: Any) -> Any:
        dz = backward(dy, y)
        return dz, dz.sum(0)

    return both


def _from_input(jax: Any, name: str, f: Callable[..., Any]) -> Forms:
    """Return an activation, its gradient by automatic differentiation, and both with a bias."""

    def backward(dy: Any, x: Any) -> Any:
        return jax.vjp(f, x)[1](dy)[0]

    def backward_bias(dy: Any, x: Any, b: Any) -> Any:
        dz = backward(dy, x + b)
        return dz, dz.sum(0)

    return {
        name: f,
        f"{name}_backward": backward,
        f"bias_{name}": lambda x, b: f(x + b),
        f"{name}_backward_bias": backward_bias,
    }


def _finished(compiled: Callable[..., Any], arrays: Sequence[Any]) -> Callable[..., Any]:
    """Return what calls a compiled function and waits; all its results are ready together."""

    def one(*arrays: Any) -> Any:
        return compiled(*arrays).block_until_ready()

    def several(*arrays: Any) -> Any:
        results = compiled(*arrays)
        results[0].block_until_ready()
        return results

    return several if isinstance(compiled(*arrays), tuple) else one
