"""What nothing can be faster than: the same bytes moved, or the matrix products alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from .._operations import Operation
from ..layers import FeedForward
from .rounds import Call

Array = npt.NDArray[Any]

ROOFLINE = "roofline"

# The arrays an operation has to read and write, where its arguments do not say it.
_STREAMS: dict[str, tuple[int, int] | None] = {
    "identity_grad": (0, 1),
    "identity_backward": (1, 1),
    "identity_backward_bias": (1, 1),
    "cross_entropy": None,  # reads one element of a row
    "cross_entropy_with_grad": (0, 1),
    "cross_entropy_backward": (0, 1),
}

# Elements below which neither we nor a peer use a second thread.
THREADS_FROM = 2**14


def streams(operation: Operation, arguments: Sequence[Any], out: Any) -> tuple[int, int]:
    """Return how many arrays of the first argument's size are read and written; 0, 0 if not all."""
    if operation.name in _STREAMS:
        return _STREAMS[operation.name] or (0, 0)
    reads = sum(a.shape == arguments[0].shape for a in arguments)
    if operation.kind == "update":
        return reads, reads - 1  # all but the gradient
    return reads, int(out is not None and out.shape == arguments[0].shape)


def rooflines(
    reads: int, writes: int, like: Array, threads: int, *, in_place: bool = False
) -> dict[str, Call]:
    """Return the fastest plain way to move the same bytes through the processor, as contenders.

    NumPy's own loops, each a single pass: `fill` for an array that is only written, `max` for one
    that is only read, `copyto` for one in and one out, which the C library streams past the cache
    where it is large, `add` for two in and one out; for more arrays several of these, for an update
    in place. `add` does not stream: before it writes a large array it reads that, so that a kernel
    that streams can be faster.

    The loops let go of the interpreter's lock, so that with more threads each takes its part of the
    arrays. Waking them costs more than a small array: the roofline is the faster one of one thread
    and all.
    """
    passes: list[Callable[[Array, Array, Array], Call]] = []
    if in_place:
        passes = [lambda a, b, c: Call(np.add, (a, b, a))]
        passes += [lambda a, b, c: Call(np.negative, (c, c))] * (writes - 1)
    elif writes:
        passes = [_PASSES[reads]]
    else:
        passes = [lambda a, b, c: Call(np.max, (a,))] * reads
    if not passes:
        return {}

    def call(arrays: Sequence[Array]) -> Call:
        made = [one_pass(*arrays) for one_pass in passes]
        return made[0] if len(made) == 1 else Call(_in_turn, made)

    arrays = [np.ones(like.size, like.dtype) for _ in range(3)]
    arrays[1].fill(0)
    calls = {ROOFLINE: call(arrays)}
    if threads > 1 and like.size >= THREADS_FROM:
        split = [np.array_split(array, threads) for array in arrays]
        parts = [call(part) for part in zip(*split, strict=True)]
        calls[f"{ROOFLINE}, {threads} threads"] = Call(_at_once, parts)
    return calls


# By the arrays that are read, for one that is written.
_PASSES: tuple[Callable[[Array, Array, Array], Call], ...] = (
    lambda a, b, c: Call(a.fill, (1,)),
    lambda a, b, c: Call(np.copyto, (b, a)),
    lambda a, b, c: Call(np.add, (a, b, c)),
)


def _in_turn(*calls: Call) -> None:
    for call in calls:
        call()


def _at_once(*calls: Call) -> None:
    others = [_pool().submit(call.function, *call.arguments, **call.keywords) for call in calls[1:]]
    calls[0]()
    for other in others:
        other.result()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor()


def matrix_products(net: FeedForward, x: Array) -> Callable[[], None]:
    """Return the products of a training step alone, into arrays that are there."""
    weights = [param for name, param in net.params.items() if name.startswith("W")]
    layers = [x, *(np.ones((len(x), W.shape[1]), W.dtype) for W in weights)]
    douts = [layer.copy() for layer in layers]
    grads = [np.empty_like(W) for W in weights]

    def products() -> None:
        for W, before, after in zip(weights, layers, layers[1:], strict=False):
            np.matmul(before, W, out=after)
        for k in reversed(range(len(weights))):
            np.matmul(layers[k].T, douts[k + 1], out=grads[k])
            if k:
                np.matmul(douts[k + 1], weights[k].T, out=douts[k])

    return products


def linear_products(x: Array, w: Array) -> Callable[[], None]:
    """Return the products of a linear layer and its gradients alone, into arrays that are there."""
    logits, dx, dw = x @ w, np.empty_like(x), np.empty_like(w)

    def products() -> None:
        np.matmul(x, w, out=logits)
        np.matmul(logits, w.T, out=dx)
        np.matmul(x.T, logits, out=dw)

    return products
