"""How each peer spells an operation of the table.

A peer gets what it is best at: its own arrays, made before the timing; `out` where its functions
take it; its fused kernel where it has one. Gradients of losses come from its automatic
differentiation, forward and backward, as users write it. What a peer lacks is left out.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np

from .._operations import OPERATIONS, UPDATE_NUMBERS
from . import textbook
from .rounds import Call

Spelling = dict[str, Callable[..., Any]]

LEARNING_RATE = 1e-6  # so small that the thousandth step of a benchmark costs what the first did


class Peer:
    """A library with its spelling of the operations; `package` is what has to be installed."""

    package = ""

    def __init__(self, threads: int) -> None:
        self.functions: Spelling = {}

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        """Return a call of an operation, None if the peer has none.

        Parameters
        ----------
        name : str
        arguments : sequence of ndarray
            The peer copies what it changes.
        out : ndarray or None
            For its shape and layout, if the operation has an array to give.
        axis : int
        """
        raise NotImplementedError

    def step(self, params: dict[str, Any], x: Any, t: Any) -> Call | None:
        """Return a training step with SGD of a ReLU net with softmax cross-entropy."""
        return None


class NumPy(Peer):
    """The formulas as textbooks print them, one operator after the other."""

    package = "numpy"

    def __init__(self, threads: int) -> None:
        self.functions = {operation.name: operation.textbook for operation in OPERATIONS}
        # The losses of the table make a one-hot matrix, fit for checking; books index instead.
        self.functions |= {
            "softmax_cross_entropy": lambda x, t: textbook.SoftmaxWithLoss().forward(x, t),
            "softmax_cross_entropy_with_grad": _textbook_loss_with_grad,
            "softmax_cross_entropy_backward": _textbook_loss_backward,
            "cross_entropy": lambda p, t: -np.log(p[np.arange(len(t)), t]).mean(),
            "cross_entropy_with_grad": lambda p, t: (
                -np.log(p[np.arange(len(t)), t]).mean(),
                _textbook_cross_entropy_backward(p, t),
            ),
            "cross_entropy_backward": _textbook_cross_entropy_backward,
            "sgd_update": _textbook_sgd,
            "momentum_update": _textbook_momentum,
            "adam_update": _textbook_adam,
        }

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if name in _NUMPY_OUT:
            return _NUMPY_OUT[name](*arguments, np.empty_like(out))
        if name in UPDATE_NUMBERS:
            arguments = [a.copy() for a in arguments]
        return Call(self.functions[name], [np.moveaxis(a, axis, -1) for a in arguments])

    def step(self, params: dict[str, Any], x: Any, t: Any) -> Call | None:
        net = textbook.Net(params, "relu", "softmax_cross_entropy")
        return Call(net.train_step, (x, t, _PlainSGD()))


# One function each, which takes `out`.
_NUMPY_OUT: dict[str, Callable[..., Call]] = {
    "relu": lambda x, out: Call(np.maximum, (x, 0), {"out": out}),
    "tanh": lambda x, out: Call(np.tanh, (x,), {"out": out}),
    "identity": lambda x, out: Call(np.copyto, (out, x)),
    "identity_backward": lambda dy, y, out: Call(np.copyto, (out, dy)),
    "bias_identity": lambda x, b, out: Call(np.add, (x, b), {"out": out}),
}


class _PlainSGD:
    def update(self, params: Any, grads: Any) -> None:
        for key in params:
            params[key] -= LEARNING_RATE * grads[key]


def _textbook_loss_with_grad(x: Any, t: Any) -> Any:
    layer = textbook.SoftmaxWithLoss()
    return layer.forward(x, t), layer.backward()


def _textbook_loss_backward(p: Any, t: Any) -> Any:
    layer = textbook.SoftmaxWithLoss()
    layer.y, layer.t = p, t
    return layer.backward()


def _textbook_cross_entropy_backward(p: Any, t: Any) -> Any:
    rows, grad = np.arange(len(t)), np.zeros_like(p)
    grad[rows, t] = -1 / p[rows, t] / len(t)
    return grad


def _textbook_sgd(param: Any, grad: Any) -> None:
    param -= 0.1 * grad


def _textbook_momentum(param: Any, grad: Any, velocity: Any) -> None:
    velocity *= 0.9
    velocity += grad
    param -= 0.1 * velocity


def _textbook_adam(param: Any, grad: Any, m: Any, v: Any) -> None:
    m += 0.1 * (grad - m)
    v += 0.001 * (grad * grad - v)
    param -= 1e-3 * (m / (1 - 0.9**3)) / (np.sqrt(v / (1 - 0.999**3)) + 1e-8)


class SciPy(Peer):
    """scipy.special."""

    package = "scipy"

    def __init__(self, threads: int) -> None:
        special = importlib.import_module("scipy.special")
        self._expit = special.expit
        self.functions = {
            "softmax": special.softmax,
            "log_softmax": special.log_softmax,
            "logsumexp": special.logsumexp,
        }

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if name == "sigmoid":
            return Call(self._expit, arguments, {"out": np.empty_like(out)})
        if name not in self.functions:
            return None
        return Call(self.functions[name], arguments, {"axis": axis})


class PyTorch(Peer):
    """PyTorch's eager mode on the CPU."""

    package = "torch"

    def __init__(self, threads: int) -> None:
        self.torch = torch = importlib.import_module("torch")
        functional = torch.nn.functional
        aten = torch.ops.aten
        torch.set_num_threads(threads)
        self.functions = {
            "relu_grad": lambda x: (x > 0).to(x.dtype),
            "relu_backward": lambda dy, y: aten.threshold_backward(dy, y, 0),
            "sigmoid_grad": lambda x: (y := torch.sigmoid(x)) * (1 - y),
            "sigmoid_backward": aten.sigmoid_backward,
            "tanh_grad": lambda x: 1 - torch.tanh(x) ** 2,
            "tanh_backward": aten.tanh_backward,
            "identity_grad": torch.ones_like,
            "bias_relu": lambda x, b: torch.relu_(x + b),
            "bias_sigmoid": lambda x, b: torch.sigmoid_(x + b),
            "bias_tanh": lambda x, b: torch.tanh_(x + b),
            "relu_backward_bias": _with_sum(lambda dy, y: aten.threshold_backward(dy, y, 0)),
            "sigmoid_backward_bias": _with_sum(aten.sigmoid_backward),
            "tanh_backward_bias": _with_sum(aten.tanh_backward),
            "softmax_backward": lambda dy, y: torch._softmax_backward_data(dy, y, -1, y.dtype),
            "log_softmax_backward": lambda dy, y: torch._log_softmax_backward_data(
                dy, y, -1, y.dtype
            ),
            "logsumexp": lambda x: torch.logsumexp(x, -1),
            "cross_entropy": lambda p, t: functional.nll_loss(p.log(), t),
            "softmax_cross_entropy": functional.cross_entropy,
            "sum_squared_error": lambda y, t: (
                functional.mse_loss(y, t, reduction="sum") / (2 * len(y))
            ),
        }
        for name in ("cross_entropy", "softmax_cross_entropy", "sum_squared_error"):
            self.functions[f"{name}_with_grad"] = _backward(self.functions[name])
        # With `out`. The kernels above have forms with it too, which take 5 us longer to call.
        self._out: dict[str, Callable[..., Call]] = {
            "relu": lambda x, axis, out: Call(torch.clamp_min, (x, 0), {"out": out}),
            "sigmoid": lambda x, axis, out: Call(torch.sigmoid, (x,), {"out": out}),
            "tanh": lambda x, axis, out: Call(torch.tanh, (x,), {"out": out}),
            "identity": lambda x, axis, out: Call(out.copy_, (x,)),
            "identity_backward": lambda dy, y, axis, out: Call(out.copy_, (dy,)),
            "bias_identity": lambda x, b, axis, out: Call(torch.add, (x, b), {"out": out}),
            "softmax": lambda x, axis, out: Call(torch.softmax, (x, axis), {"out": out}),
            "log_softmax": lambda x, axis, out: Call(torch.log_softmax, (x, axis), {"out": out}),
        }

    def _own(self, array: Any) -> Any:
        return self.torch.from_numpy(array.copy(order="K"))

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        tensors = [self._own(array) for array in arguments]
        if name in UPDATE_NUMBERS:
            return Call(self._optimizer(name, *tensors[:2]).step)
        if name in self._out:
            return self._out[name](*tensors, axis, self._own(out))
        if name not in self.functions:
            return None
        if name.endswith("_with_grad"):
            tensors[0].requires_grad_()
        return Call(self.functions[name], tensors)

    def _optimizer(self, name: str, param: Any, grad: Any) -> Any:
        optim = self.torch.optim
        param.requires_grad_()
        param.grad = grad
        # Its one-pass kernels.
        if name == "adam_update":
            return optim.Adam([param], lr=1e-3, fused=True)
        lr, *momentum = UPDATE_NUMBERS[name]
        return optim.SGD([param], lr, *momentum, fused=True)

    def step(self, params: dict[str, Any], x: Any, t: Any) -> Call | None:
        torch, nn = self.torch, self.torch.nn
        layers: list[Any] = []
        for k in range(1, len(params) // 2 + 1):
            linear = nn.Linear(*params[f"W{k}"].shape)
            with torch.no_grad():
                linear.weight.copy_(self._own(params[f"W{k}"].T))
                linear.bias.copy_(self._own(params[f"b{k}"]))
            layers += [linear, nn.ReLU()]
        net = nn.Sequential(*layers[:-1])
        optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE)
        criterion = nn.CrossEntropyLoss()

        def step(x: Any, t: Any) -> Any:
            optimizer.zero_grad()
            loss = criterion(net(x), t)
            loss.backward()
            optimizer.step()
            return loss

        return Call(step, (self._own(x), self._own(t)))


def _with_sum(backward: Callable[..., Any]) -> Callable[..., Any]:
    def both(dy: Any, y: Any) -> Any:
        dz = backward(dy, y)
        return dz, dz.sum(0)

    return both


def _backward(loss: Callable[..., Any]) -> Callable[..., Any]:
    def both(x: Any, t: Any) -> Any:
        x.grad = None
        value = loss(x, t)
        value.backward()
        return value, x.grad

    return both


class JAX(Peer):
    """JAX, each operation compiled as a whole."""

    package = "jax"

    def __init__(self, threads: int) -> None:
        # Its pool takes its size from here, when it starts; NPROC is for `environment` to set.
        self.jax = jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        self.jnp = jnp = importlib.import_module("jax.numpy")
        nn = jax.nn

        def picked(p: Any, t: Any) -> Any:
            return jnp.take_along_axis(p, t[:, None], axis=1)

        self.functions = functions = {
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
            "softmax": nn.softmax,
            "softmax_backward": lambda dy, y: y * (dy - (dy * y).sum(-1, keepdims=True)),
            "log_softmax": nn.log_softmax,
            "log_softmax_backward": lambda dy, y: dy - jnp.exp(y) * dy.sum(-1, keepdims=True),
            "logsumexp": lambda x: nn.logsumexp(x, axis=-1),
            "cross_entropy": lambda p, t: -jnp.log(picked(p, t)).mean(),
            "softmax_cross_entropy": lambda x, t: -picked(nn.log_softmax(x), t).mean(),
            "sum_squared_error": lambda y, t: ((y - t) ** 2).sum() / (2 * len(y)),
            "sgd_update": lambda w, g: (w - 0.1 * g,),
            "momentum_update": lambda w, g, v: (w - 0.1 * (n := 0.9 * v + g), n),
            "adam_update": _adam(jnp),
        }
        for name in ("relu", "sigmoid", "tanh"):
            functions[f"{name}_backward_bias"] = _with_sum(functions[f"{name}_backward"])
        for name in ("cross_entropy", "softmax_cross_entropy", "sum_squared_error"):
            functions[f"{name}_with_grad"] = jax.value_and_grad(functions[name])

    def _own(self, array: Any) -> Any:
        return self.jnp.asarray(array.astype(np.int32) if array.dtype.kind == "i" else array)

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if name not in self.functions:
            return None
        function, arrays = self.functions[name], [self._own(array) for array in arguments]
        if name in UPDATE_NUMBERS:
            return self._in_place(function, arrays)
        if axis != -1:
            function = functools.partial(function, axis=axis)
        return Call(_finished(self.jax.jit(function), arrays), arrays)

    def _in_place(self, function: Callable[..., Any], arrays: list[Any]) -> Call:
        """Return a call that gives the memory of the old state to the new."""
        param, grad, *rest = arrays
        compiled = self.jax.jit(function, donate_argnums=(0, *range(2, len(arrays))))
        state = [param, *rest]

        def update() -> None:
            state[:] = compiled(state[0], grad, *state[1:])
            state[-1].block_until_ready()

        return Call(update)

    def step(self, params: dict[str, Any], x: Any, t: Any) -> Call | None:
        jax, nn, cross_entropy = self.jax, self.jax.nn, self.functions["softmax_cross_entropy"]
        weights = [self._own(params[name]) for name in params]

        def loss(weights: Any, x: Any, t: Any) -> Any:
            layers = list(pairwise(weights))[::2]
            for k, (W, b) in enumerate(layers, start=1):
                x = x @ W + b
                if k < len(layers):
                    x = nn.relu(x)
            return cross_entropy(x, t)

        def descent(weights: Any, x: Any, t: Any) -> Any:
            value, grads = jax.value_and_grad(loss)(weights, x, t)
            moved = [w - LEARNING_RATE * g for w, g in zip(weights, grads, strict=True)]
            return moved, value

        compiled = jax.jit(descent, donate_argnums=0)

        def step(x: Any, t: Any) -> Any:
            weights[:], value = compiled(weights, x, t)
            return value.block_until_ready()

        return Call(step, (self._own(x), self._own(t)))


def _finished(compiled: Callable[..., Any], arrays: Sequence[Any]) -> Callable[..., Any]:
    """Return what calls a compiled function and waits; all its results are ready together."""

    def one(*arrays: Any) -> Any:
        return compiled(*arrays).block_until_ready()

    def several(*arrays: Any) -> Any:
        results = compiled(*arrays)
        results[-1].block_until_ready()
        return results

    return several if isinstance(compiled(*arrays), tuple) else one


def _adam(jnp: Any) -> Callable[..., Any]:
    def adam(w: Any, g: Any, m: Any, v: Any) -> Any:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        unbiased = (m / (1 - 0.9**3)) / (jnp.sqrt(v / (1 - 0.999**3)) + 1e-8)
        return w - 1e-3 * unbiased, m, v

    return adam


PEERS: dict[str, type[Peer]] = {"numpy": NumPy, "torch": PyTorch, "jax": JAX, "scipy": SciPy}


def installed(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of those peers that are installed."""
    found = [name for name in names if importlib.util.find_spec(PEERS[name].package)]
    return {name: version(PEERS[name].package) for name in found}


def environment(threads: int) -> dict[str, str]:
    """Return the environment for a process that measures with so many threads."""
    # OpenBLAS chooses its kernels by this variable, where it is set, and not by the processor.
    kept = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    # What sizes the pools of JAX, which no call can change, and of OpenMP.
    sizes = dict.fromkeys(("NPROC", "OMP_NUM_THREADS", "FFKERNELS_NUM_THREADS"), str(threads))
    return kept | sizes | {"JAX_PLATFORMS": "cpu"}
