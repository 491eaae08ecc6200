"""Plain loops under Numba's `njit`, which is what many NumPy users would write instead of us.

`fastmath`, and with several threads `parallel` over rows or elements; results go into arrays that are
there. Without Intel's SVML, which pip does not bring, its exp and tanh are scalar calls.

Tried, on one Zen 4 core with AVX-512, float32, times ffkernels: softmax cross-entropy with gradient in
three loops at 64x10, 512x1000, 64x50257, 512x32000: 2.6, 8.6, 6.5, 6.0, without `fastmath` 2.6, 9.1,
8.5, 7.9, the maximum by `x[i].max()` and exp by `np.exp` 3.2, 7.0, 6.5, 6.0. Softmax, the maximum by
`if`: 3.3, 7.0, 6.3, by `max` 3.3, 7.0, 6.4, by `x[i].max()` 4.3, 7.1, 6.4; sum and exp in loops of
their own 4.3, 7.5, 6.8. `if` and `math.exp` race. Constants are of the arrays' type: sigmoid takes 8.0
with Python's numbers, which make doubles of everything, 7.2 without. tanh is `math.tanh`, 35;
1 - 2/(1 + e^2x), 6.5, is left out, since it loses its digits near 0.

The training step has its products by NumPy, into arrays that it keeps, and its loops on one thread:
parallel ones wait for the threads of BLAS, which made a step of 16 rows take 100 times as long as ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..._operations import FROM_INPUT, UPDATE_NUMBERS
from ..rounds import Call
from .base import ADAM_UPDATE, BETA1, BETA2, Array, Forms, Params, Peer, Train, adam_factors, layers


class Numba(Peer):
    """The functions of `loops`, compiled at their first call with arrays of a type."""

    title, package = "Numba", "numba"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._threads = threads
        loops = importlib.import_module(".loops", __package__)
        njit = importlib.import_module("numba").njit

        def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
            return njit(function, fastmath=True, parallel=threads > 1)

        self.functions: Forms = {}
        for name in ("relu", "sigmoid", "tanh"):
            f, grad, backward = (
                njit(getattr(loops, name + suffix), fastmath=True)
                for suffix in ("", "_grad", "_backward")
            )
            self.functions |= {
                name: compiled(loops.over_one(f)),
                f"{name}_grad": compiled(loops.over_one(grad)),
                f"{name}_backward": compiled(loops.over_two(backward)),
                f"bias_{name}": compiled(loops.with_bias(f)),
                f"{name}_backward_bias": compiled(loops.with_sum(backward, threads)),
            }
        for name in FROM_INPUT:
            f, backward = (
                njit(getattr(loops, name + suffix), fastmath=True) for suffix in ("", "_backward")
            )
            self.functions |= {
                name: compiled(loops.over_one(f)),
                f"{name}_backward": compiled(loops.over_two(backward)),
                f"bias_{name}": compiled(loops.with_bias(f)),
                f"{name}_backward_bias": compiled(loops.with_bias_and_sum(backward, threads)),
            }
        self._elementwise = [name for name in self.functions if "bias" not in name]
        self.functions["bias_identity"] = compiled(loops.add_bias)
        for name in _WHOLE:
            self.functions[name] = compiled(getattr(loops, name))

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if name not in self.functions or axis != -1 or not arguments[0].flags.c_contiguous:
            return None
        function = self.functions[name]
        if name in UPDATE_NUMBERS:
            own = self.state = [self.own(array).reshape(-1) for array in arguments]
            return Call(function, [*own, *_numbers(own[0].dtype, *_UPDATES[name])])
        arrays = [*arguments, *([] if out is None else [np.empty_like(out)])]
        if name.endswith("_backward_bias"):
            arrays.append(np.empty(out.shape[-1:], out.dtype))
        if name in self._elementwise:  # loops over one dimension
            arrays = [array.reshape(-1) for array in arrays]
        return Call(function, arrays)

    def trainer(self, params: Params, optimizer: str, lr: float) -> Train:
        functions = self.functions if self._threads == 1 else Numba(1).functions
        return _Net(functions, params, optimizer, lr).train


class _Net:
    """A training step in memory that is kept: products by NumPy, loops for all between them."""

    def __init__(self, functions: Forms, params: Params, optimizer: str, lr: float) -> None:
        self.functions = functions
        self.layers = [(W.copy(), b.copy()) for W, b in layers(params)]
        self.grads = [(np.empty_like(W), np.empty_like(b)) for W, b in self.layers]
        self.dtype = self.layers[0][0].dtype
        self.lr, self.taken = lr, 0
        self.update = functions[f"{optimizer}_update"]
        self.means = 2 if optimizer == "adam" else 0
        self.updated = [
            [a.reshape(-1), g.reshape(-1), *(np.zeros_like(a.reshape(-1)) for _ in range(self.means))]
            for layer, grads in zip(self.layers, self.grads, strict=True)
            for a, g in zip(layer, grads, strict=True)
        ]
        self.outputs: list[Array] = []
        self.douts: list[Array] = []

    def train(self, x: Array, t: Array) -> Any:
        if not self.outputs or len(self.outputs[0]) != len(x):
            self.outputs = [np.empty((len(x), len(b)), self.dtype) for _, b in self.layers]
            self.douts = [np.empty_like(z) for z in self.outputs]
        inputs = [x, *self.outputs[:-1]]
        for before, (W, b), z in zip(inputs, self.layers, self.outputs, strict=True):
            np.matmul(before, W, out=z)
            last = z is self.outputs[-1]
            self.functions["bias_identity" if last else "bias_relu"](z, b, z)
        dout = self.douts[-1]
        loss = self.functions["softmax_cross_entropy_with_grad"](self.outputs[-1], t, dout)
        self.grads[-1][1][:] = dout.sum(axis=0)
        for k in range(len(self.layers) - 1, -1, -1):
            np.matmul(inputs[k].T, dout, out=self.grads[k][0])
            if k:
                below = self.douts[k - 1]
                np.matmul(dout, self.layers[k][0].T, out=below)
                db = self.grads[k - 1][1]
                self.functions["relu_backward_bias"](below, inputs[k], below, db)
                dout = below
        self.taken += 1
        numbers = [self.lr]
        if self.means:
            numbers = [BETA1, BETA2, *adam_factors(self.taken, self.lr)]
        for arrays in self.updated:
            self.update(*arrays, *_numbers(self.dtype, *numbers))
        return loss


def _numbers(dtype: Any, *numbers: float) -> list[Any]:
    """Return numbers of the arrays' type, for the loops to stay in it."""
    return [dtype.type(number) for number in numbers]


_UPDATES: dict[str, tuple[float, ...]] = {
    **UPDATE_NUMBERS,
    "adam_update": (BETA1, BETA2, *ADAM_UPDATE),
}
# Loops that are there as they stand.
_WHOLE = (
    "softmax", "softmax_backward", "log_softmax", "log_softmax_backward", "logsumexp", "cross_entropy",
    "cross_entropy_with_grad", "cross_entropy_backward", "softmax_cross_entropy",
    "softmax_cross_entropy_with_grad", "softmax_cross_entropy_backward", "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_with_grad", "sigmoid_cross_entropy_backward", "sum_squared_error",
    "sum_squared_error_with_grad", "sum_squared_error_backward", *UPDATE_NUMBERS,
)  # fmt: skip
