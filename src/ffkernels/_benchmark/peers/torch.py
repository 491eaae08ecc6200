"""PyTorch, twice: eager, as nearly all its users run it, and by `torch.compile`.

Tried, on one Zen 4 core with AVX-512, float32, times ffkernels.

Softmax cross-entropy with gradient at 64x10, 512x1000, 64x50257, 512x32000:

- eager, `F.cross_entropy` and `backward()`, which is what its users write: 40, 3.3, 4.1 to 7, 15. By
  hand, exp of the log-softmax less one at the class: 31, 4.0, 4.0, 7.9; nobody writes it without
  compiling it, where it is faster still.
- compiled: the loss alone with `backward()` 119, 4.3, 3.9, 7.7; `torch.func.grad_and_value` of it 28,
  3.7, 3.6, 7.5; written out from `logsumexp` or `log_softmax` 21, 2.9, 2.8, 6.8, from max, exp and
  sum with the one at the class by `where` 21, 2.1, 2.1, 5.7, by `scatter_add` 21, 1.5, 2.2, 5.6; into
  an array that is there, by `where` 21, 2.3, 2.2, 2.0, by `scatter_add` 21, 2.2, 3.5, 6.4. Written out
  by `scatter_add` races below a million elements, by `where` into an array from there on.

Other functions, eager against compiled: below 10,000 elements the compiled call's guards decide (20 us
against 1 to 5). From there on eager kernels with `out` win where one kernel is all there is (100,000
elements: sigmoid 1.1 against 1.8, relu 1.2 against 4.7), compiled code where several become one
(logsumexp 2.7 against 1.7). Compiled code that copies into an array that is there beats one that
makes it: 1.3 against 2.0 for relu_backward at a million.

The training step at batches of 16, 100, 512:

- eager: SGD by `foreach`, the default, 1.76, 1.44, 1.21, fused 1.76, 1.41, 1.19; Adam by `foreach`
  2.75, 1.61, 1.32, fused 1.88, 1.32, 1.21.
- compiled, SGD: the net alone 2.14, 1.77, 1.19; net and loss 1.97, 1.40, 1.17; all by
  `grad_and_value` 1.15, 1.26, 1.10; all written out 1.08, 1.08, 1.06. Adam: net and loss 2.07, 1.37,
  1.19; by `grad_and_value` 1.87, 1.29, 1.12; written out with its fused kernel 1.26, 1.13, 1.08; all
  written out 1.18, 1.11, 1.07. All written out races.
"""

from __future__ import annotations

import functools
import importlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..._operations import UPDATE_NUMBERS
from ..rounds import Call
from .base import ADAM_UPDATE, BETA1, BETA2, Array, Forms, Params, Peer, Train, adam_factors, layers

# Elements from which compiled code may outweigh its slower call; and from which a fresh array, whose
# pages have to be found, costs more than a comparison of every column with the class.
_COMPILED_FROM = 10**4
_IN_PLACE_FROM = 10**6


_LOSSES = ("cross_entropy", "softmax_cross_entropy", "sigmoid_cross_entropy", "sum_squared_error")


class PyTorch(Peer):
    """Eager mode: its fused kernels, `out` where they take it, gradients of losses by autograd."""

    title, package = "PyTorch", "torch"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.torch = torch = importlib.import_module("torch")
        functional = torch.nn.functional
        aten = torch.ops.aten
        torch.set_num_threads(threads)
        self.functions: Forms = {
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
            "sigmoid_cross_entropy": functional.binary_cross_entropy_with_logits,
            "sigmoid_cross_entropy_backward": lambda x, t: (torch.sigmoid(x) - t) / x.numel(),
            "sum_squared_error": lambda y, t: (
                functional.mse_loss(y, t, reduction="sum") / (2 * len(y))
            ),
        }
        self._from_input: dict[str, tuple[Callable[..., Any], ...]] = {
            "leaky_relu": (
                functional.leaky_relu,
                lambda dy, x: aten.leaky_relu_backward(dy, x, 0.01, False),
                lambda x, out: aten.leaky_relu.out(x, 0.01, out=out),
            ),
            "elu": (
                functional.elu,
                lambda dy, x: aten.elu_backward(dy, 1, 1, 1, False, x),
                lambda x, out: aten.elu.out(x, out=out),
            ),
            "hard_sigmoid": (
                functional.hardsigmoid,
                aten.hardsigmoid_backward,
                lambda x, out: aten.hardsigmoid.out(x, out=out),
            ),
            "softplus": (
                functional.softplus,
                lambda dy, x: aten.softplus_backward(dy, x, 1, 20),
                lambda x, out: aten.softplus.out(x, out=out),
            ),
            "silu": (functional.silu, aten.silu_backward, lambda x, out: aten.silu.out(x, out=out)),
            "gelu": (functional.gelu, aten.gelu_backward, lambda x, out: aten.gelu.out(x, out=out)),
        }  # fmt: skip
        for name, (f, backward, _) in self._from_input.items():
            self.functions |= {
                f"{name}_backward": backward,
                f"bias_{name}": functools.partial(_with_bias, f),
                f"{name}_backward_bias": functools.partial(_backward_with_bias, backward),
            }
        for name in _LOSSES:
            self.functions[f"{name}_with_grad"] = _backward(self.functions[name])
        self.functions["linear_cross_entropy_with_grad"] = self._linear
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
        for name, (_, _, into) in self._from_input.items():
            self._out[name] = functools.partial(_into, into)

    def own(self, array: Array) -> Any:
        return self.torch.from_numpy(array.copy(order="K"))

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        tensors = [self.own(array) for array in arguments]
        if name in UPDATE_NUMBERS:
            return Call(self._optimizer(name, tensors).step)
        if name in self._out:
            return self._out[name](*tensors, axis, self.own(out))
        if name not in self.functions:
            return None
        if name.endswith("_with_grad"):
            tensors[0].requires_grad_()
        return Call(self.functions[name], tensors)

    def _linear(self, x: Any, w: Any, t: Any) -> Any:
        functional = self.torch.nn.functional
        x.grad = w.grad = None
        w.requires_grad_()
        if hasattr(functional, "linear_cross_entropy"):  # since 2.13
            loss = functional.linear_cross_entropy(x, w.T, t)
        else:
            loss = functional.cross_entropy(x @ w, t)
        loss.backward()
        return loss, (x.grad, w.grad)

    def _optimizer(self, name: str, tensors: list[Any]) -> Any:
        """Return an optimiser with the state given, whose next step is that of the table."""
        param, grad, *means = self.state = tensors
        param.requires_grad_()
        param.grad = grad
        numbers = UPDATE_NUMBERS[name]
        optim = self.torch.optim
        # Its one-pass kernels.
        if name == "adam_update":
            optimizer = optim.Adam([param], lr=1e-3, fused=True)
            taken = self.torch.tensor(float(numbers[0] - 1))
            state = dict(zip(("step", "exp_avg", "exp_avg_sq"), (taken, *means), strict=True))
        else:
            optimizer = optim.SGD([param], *numbers, fused=True)
            state = dict(zip(("momentum_buffer",), means, strict=False))
        optimizer.state[param] = state
        return optimizer

    def trainer(self, params: Params, optimizer: str, lr: float) -> Train:
        torch, nn = self.torch, self.torch.nn
        net = nn.Sequential()
        for W, b in layers(params):
            linear = nn.Linear(*W.shape)
            with torch.no_grad():
                linear.weight.copy_(self.own(W.T))
                linear.bias.copy_(self.own(b))
            net.extend([linear, nn.ReLU()])
        net.pop(-1)
        classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        rule = classes[optimizer](net.parameters(), lr, fused=True)
        criterion = nn.CrossEntropyLoss()

        def train(x: Any, t: Any) -> Any:
            rule.zero_grad()
            loss = criterion(net(x), t)
            loss.backward()
            rule.step()
            return loss

        return train


def _with_bias(f: Callable[..., Any], x: Any, b: Any) -> Any:
    return f(x + b)


def _backward_with_bias(backward: Callable[..., Any], dy: Any, x: Any, b: Any) -> Any:
    dz = backward(dy, x + b)
    return dz, dz.sum(0)


def _into(function: Callable[..., Any], x: Any, axis: int, out: Any) -> Call:
    return Call(function, (x, out))


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


class PyTorchCompiled(PyTorch):
    """`torch.compile` for the very shapes, forward and backward in one function, results in place."""

    title, slow = "PyTorch, compiled", True

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        torch = self.torch
        functional = torch.nn.functional

        def squared_error(y: Any, t: Any) -> Any:
            d = y - t
            return (d * d).sum() / (2 * len(y)), d / len(y)

        def cross_entropy(p: Any, t: Any) -> Any:
            q = p.gather(1, t[:, None])
            grad = torch.zeros_like(p).scatter(1, t[:, None], -1 / (q * len(t)))
            return -q.log().mean(), grad

        self.functions |= {
            "relu": torch.relu,
            "sigmoid": torch.sigmoid,
            "tanh": torch.tanh,
            "bias_identity": torch.add,
            "bias_relu": lambda x, b: torch.relu(x + b),
            "bias_sigmoid": lambda x, b: torch.sigmoid(x + b),
            "bias_tanh": lambda x, b: torch.tanh(x + b),
            **{name: f for name, (f, _, _) in self._from_input.items()},
            "cross_entropy_with_grad": cross_entropy,
            "cross_entropy_backward": lambda p, t: cross_entropy(p, t)[1],
            "softmax_cross_entropy_with_grad": self._loss_with_grad,
            "softmax_cross_entropy_backward": lambda p, t: (
                torch.where(self._at_class(p, t), p - 1, p) / len(t)
            ),
            "sigmoid_cross_entropy_with_grad": lambda x, t: (
                functional.binary_cross_entropy_with_logits(x, t), (torch.sigmoid(x) - t) / x.numel(),
            ),
            "sum_squared_error_with_grad": squared_error,
            "sum_squared_error_backward": lambda y, t: (y - t) / len(y),
        }
        for name in ("identity_grad", "linear_cross_entropy_with_grad"):  # nothing to fuse
            del self.functions[name]

    @classmethod
    def lacks(cls) -> str | None:
        if why := super().lacks():
            return why
        default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
        compiler = os.environ.get("CXX", default)
        return None if shutil.which(compiler) else f"needs the C++ compiler {compiler}"

    def _at_class(self, array: Any, t: Any) -> Any:
        return self.torch.arange(array.shape[1]) == t[:, None]

    def _loss_with_grad(self, x: Any, t: Any) -> Any:
        n = len(x)
        m = x.amax(-1, keepdim=True)
        e = (x - m).exp()
        total = e.sum(-1, keepdim=True)
        loss = (total.log() + m - x.gather(1, t[:, None])).mean()
        grad = e * (1 / (total * n))
        if x.numel() >= _IN_PLACE_FROM:
            return loss, self.torch.where(self._at_class(x, t), grad - 1 / n, grad)
        column = t[:, None]
        share = self.torch.full_like(column, -1 / n, dtype=x.dtype)
        return loss, grad.scatter_add(1, column, share)

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # Without what was compiled for earlier cases: after eight shapes it would give up.
        self.torch.compiler.reset()
        return self.torch.compile(function, dynamic=False, fullgraph=True)

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if arguments[0].size < _COMPILED_FROM and not name.endswith("_with_grad"):
            return None
        tensors = [self.own(array) for array in arguments]
        if name in UPDATE_NUMBERS:
            self.state = tensors
            return Call(self._compiled(getattr(self, f"_{name}")), tensors)
        if name in ("softmax", "log_softmax"):
            along = getattr(self.torch, name)

            def function(x: Any) -> Any:
                return along(x, axis)

        elif name in self.functions:
            function = self.functions[name]
        else:
            return None
        loss_first = name.endswith("_with_grad")
        fresh = name == "softmax_cross_entropy_with_grad" and arguments[0].size < _IN_PLACE_FROM
        if out is None or fresh:
            return Call(self._compiled(function), tensors)

        def into(*arrays: Any) -> Any:
            results, out = function(*arrays[:-1]), arrays[-1]
            if not isinstance(results, tuple):
                out.copy_(results)
                return None
            first, second = results
            out.copy_(second if loss_first else first)
            return first if loss_first else second

        return Call(self._compiled(into), [*tensors, self.own(out)])

    def _sgd_update(self, param: Any, grad: Any) -> None:
        param.sub_(0.1 * grad)

    def _momentum_update(self, param: Any, grad: Any, velocity: Any) -> None:
        velocity.mul_(0.9).add_(grad)
        param.sub_(0.1 * velocity)

    def _adam_update(self, param: Any, grad: Any, m: Any, v: Any) -> None:
        _adam(param, grad, m, v, *ADAM_UPDATE)

    def trainer(self, params: Params, optimizer: str, lr: float) -> Train:
        torch = self.torch
        # Weights as (outputs, inputs), as `nn.Linear` has them.
        own = [(self.own(np.ascontiguousarray(W.T)), self.own(b)) for W, b in layers(params)]
        flat = [param for layer in own for param in layer]

        def gradients(x: Any, t: Any) -> Any:
            inputs = [x]
            for W, b in own[:-1]:
                inputs.append(torch.relu(torch.addmm(b, inputs[-1], W.T)))
            W, b = own[-1]
            loss, dout = self._loss_with_grad(torch.addmm(b, inputs[-1], W.T), t)
            grads: list[Any] = []
            for (W, _), before in reversed(list(zip(own, inputs, strict=True))):
                grads = [dout.T @ before, dout.sum(0), *grads]
                if before is not x:
                    dout = torch.where(before > 0, dout @ W, 0)
            return loss, grads

        if optimizer == "sgd":

            def sgd(x: Any, t: Any) -> Any:
                loss, grads = gradients(x, t)
                for param, grad in zip(flat, grads, strict=True):
                    param.sub_(lr * grad)
                return loss

            return self._compiled(sgd)

        means = [(torch.zeros_like(param), torch.zeros_like(param)) for param in flat]

        def adam(x: Any, t: Any, factors: Any) -> Any:
            loss, grads = gradients(x, t)
            for param, grad, (m, v) in zip(flat, grads, means, strict=True):
                _adam(param, grad, m, v, factors[0], factors[1])
            return loss

        compiled = self._compiled(adam)
        taken = 0

        def train(x: Any, t: Any) -> Any:
            nonlocal taken
            taken += 1
            # A tensor: numbers would be compiled in, anew for each step.
            return compiled(x, t, torch.tensor(adam_factors(taken, lr)))

        return train


def _adam(param: Any, grad: Any, m: Any, v: Any, rate: Any, eps: Any) -> None:
    m.mul_(BETA1).add_((1 - BETA1) * grad)
    v.mul_(BETA2).add_((1 - BETA2) * grad * grad)
    param.sub_(rate * m / (v.sqrt() + eps))
