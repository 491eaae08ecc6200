"""What is measured: the operations of the table, training steps, epochs, as contenders by name."""

from __future__ import annotations

import fnmatch
import functools
import gc
import inspect
import math
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

import ffkernels

from .._operations import OPERATIONS, UPDATE_NUMBERS, Operation
from ..layers import FeedForward
from ..optimizers import SGD, Adam
from .peers import LEARNING_RATE, Peer
from .peers.base import in_batches
from .rooflines import ROOFLINE, THREADS_FROM, linear_products, matrix_products, rooflines, streams
from .rounds import PAUSE, Call

Array = npt.NDArray[Any]
Contenders = dict[str, Call]

OURS = "ffkernels"
#: The same function along the last axis of a C-ordered array with rows of the same number and length.
CONTIGUOUS = "contiguous"

SIZES = (10, 100, 1000, 10**4, 10**5, 10**6, 16 * 10**6)
_SIZES_OF_DOUBLE = (1000, 10**5, 10**6)
_CROSS_ENTROPY_SHAPES = (
    (64, 10), (1000, 2), (1000, 32), (512, 1000), (64, 50257), (512, 32000),
)  # fmt: skip
_LINEAR_SHAPES = ((1024, 256, 1000), (1024, 256, 32000))  # rows, features, classes
_BATCHES = (16, 100, 1024)
_EPOCH_BATCHES = (16, 100, 512)
_EPOCH_ROWS = 20000
NET = (784, 256, 256, 10)

# What the quick run leaves out takes the most time and tells the least about the rest.
_QUICK_SIZES = (1000, 10**5)
_QUICK_SHAPES = ((64, 10), (512, 1000))
_QUICK_BATCHES = (100,)


@dataclass(frozen=True)
class Case:
    """Something to measure; `contenders` makes its arrays and the calls on them."""

    operation: str
    group: str  # "functions", "cross-entropy", "layouts", "linear", "steps" or "epochs"
    shape: tuple[int, ...]
    dtype: str
    contenders: Callable[[dict[str, Peer], int], Contenders] = field(compare=False, repr=False)
    layout: str = ""

    @property
    def name(self) -> str:
        """The operation and its size."""
        return f"{self.operation} {self.size}"

    @property
    def size(self) -> str:
        """The shape and layout, and the dtype where that is not float32."""
        parts = ["x".join(map(str, self.shape)), self.layout]
        if self.dtype != "float32":
            parts.append(self.dtype)
        return " ".join(filter(None, parts))

    @property
    def multiplies(self) -> bool:
        """Whether it makes matrix products, and so needs BLAS."""
        return self.group in ("linear", "steps", "epochs")

    @property
    def elements(self) -> int:
        """Of one array; for a step or an epoch, of the inputs; for a linear layer, of the logits."""
        if self.group == "linear":
            return self.shape[0] * self.shape[-1]
        return math.prod(self.shape)

    @property
    def pause(self) -> float:
        """Seconds after which a contender's idle threads sleep, those of BLAS later than others."""
        return 3 * PAUSE if self.multiplies else PAUSE

    def limits(self, threads: int) -> AbstractContextManager[Any]:
        """Return the context to measure in."""
        blas = threadpool_limits(threads, user_api="blas")
        return blas if self.multiplies else nullcontext()


def cases(only: Sequence[str], quick: bool, threads: int) -> list[Case]:
    """Return the cases whose name matches one of the patterns, all without one; smaller ones first.

    Measured with one thread only are those in which nobody uses a second, and, to save time,
    functions of float64.
    """
    patterns = [f"*{pattern}*" for pattern in only or [""]]
    return [
        case
        for case in (_quick() if quick else _all())
        if any(fnmatch.fnmatchcase(case.name, pattern) for pattern in patterns)
        and (threads == 1 or _worth_threads(case))
    ]


def _worth_threads(case: Case) -> bool:
    if case.group == "functions" and case.dtype == "float64":
        return False
    return case.multiplies or case.elements >= THREADS_FROM


def _all() -> Iterator[Case]:
    for dtype, sizes in (("float32", SIZES), ("float64", _SIZES_OF_DOUBLE)):
        for size in sizes:
            for operation in OPERATIONS:
                yield _function(operation, _shape(operation, size), dtype)
        for shape in _CROSS_ENTROPY_SHAPES:
            yield _cross_entropy(shape, dtype)
    for name in ("softmax", "log_softmax"):
        for layout in _LAYOUTS:
            yield _layout(name, *layout)
    for linear_shape in _LINEAR_SHAPES:
        yield _linear(linear_shape)
    for batch in _BATCHES:
        yield _step(batch)
    for batch in _EPOCH_BATCHES:
        for optimizer in _OPTIMIZERS:
            yield epoch(_EPOCH_ROWS, batch, optimizer)


def _quick() -> Iterator[Case]:
    for size in _QUICK_SIZES:
        for operation in OPERATIONS:
            yield _function(operation, _shape(operation, size), "float32")
    for shape in _QUICK_SHAPES:
        yield _cross_entropy(shape, "float32")
    yield _layout("softmax", *_LAYOUTS[0])
    for batch in _QUICK_BATCHES:
        yield _step(batch)


def _shape(operation: Operation, size: int) -> tuple[int, ...]:
    """Return a shape of so many elements; rows grow with it, from ten classes to a vocabulary."""
    if operation.kind in ("elementwise", "update"):
        return (size,)
    columns = 10 if size <= 1000 else 100 if size <= 10**5 else 1000
    if size > 10**6 and operation.kind != "bias":
        columns = 32000
    return size // columns, columns


@functools.lru_cache(maxsize=4)
def _draw(draw: Any, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    """Return arguments from the table; large ones repeat a million elements, which are drawn fast."""
    rng = np.random.default_rng(0)
    parts = max(1, math.prod(shape) // 10**6)
    if shape[0] % parts:
        parts = 1
    part = (shape[0] // parts, *shape[1:])
    return tuple(
        # All but a bias, which has no rows.
        np.concatenate([array] * parts) if array.shape == part or array.dtype.kind == "i" else array
        for array in draw(rng, part, np.dtype(dtype))
    )


def our_call(operation: Operation, arguments: Sequence[Any]) -> tuple[Call, Any]:
    """Return our call, with `out` for all it gives, and the first array it gives, None for none."""
    function = getattr(ffkernels, operation.name)
    if operation.kind == "update":
        own = [*(a.copy() for a in arguments), *UPDATE_NUMBERS[operation.name]]
        return Call(function, own), None
    keywords = operation.options[0]
    result = function(*arguments, **keywords)
    names = [name for name in inspect.signature(function).parameters if name.startswith("out")]
    values = result if isinstance(result, tuple) else (result,)
    arrays = [value for value in values if isinstance(value, np.ndarray) and value.ndim]
    # strict=False: `out` of a loss is for the values of the rows, of which there are none here.
    outs = {name: np.empty_like(array) for name, array in zip(names, arrays, strict=False)}
    return Call(function, arguments, keywords | outs), arrays[0] if arrays else None


def _function(
    operation: Operation, shape: tuple[int, ...], dtype: str, group: str = "functions"
) -> Case:
    def contenders(peers: dict[str, Peer], threads: int) -> Contenders:
        arguments = _draw(operation.draw, shape, dtype)
        ours, out = our_call(operation, arguments)
        calls: dict[str, Call | None] = {OURS: ours}
        for name, peer in peers.items():
            calls[name] = peer.call(operation.name, arguments, out)
        reads, writes = streams(operation, arguments, out)
        in_place = operation.kind == "update"
        calls |= rooflines(reads, writes, arguments[0], threads, in_place=in_place)
        return _there(calls)

    return Case(operation.name, group, shape, dtype, contenders)


def _cross_entropy(shape: tuple[int, int], dtype: str) -> Case:
    by_name = {operation.name: operation for operation in OPERATIONS}
    return _function(by_name["softmax_cross_entropy_with_grad"], shape, dtype, "cross-entropy")


# Shape, axis, order; the contiguous case of each has rows of the same number and length.
_LAYOUTS: tuple[tuple[tuple[int, ...], int, str], ...] = (
    ((1000, 1000), 0, "C"),
    ((1000, 1000), -1, "F"),
    ((100, 100, 100), 1, "C"),
    ((10, 10000), 0, "C"),
)


def _layout(operation: str, shape: tuple[int, ...], axis: int, order: str) -> Case:
    function = getattr(ffkernels, operation)

    def contenders(peers: dict[str, Peer], threads: int) -> Contenders:
        rng = np.random.default_rng(0)
        c_ordered = (3 * rng.standard_normal(shape)).astype(np.float32)
        x = np.asarray(c_ordered, order=order)  # type: ignore[call-overload]
        length = shape[axis]
        rows = np.ascontiguousarray(np.moveaxis(x, axis, -1)).reshape(-1, length)
        calls: dict[str, Call | None] = {OURS: Call(function, (x, axis), {"out": np.empty_like(x)})}
        calls[CONTIGUOUS] = Call(function, (rows, -1), {"out": np.empty_like(rows)})
        for name, peer in peers.items():
            calls[name] = peer.call(operation, (x,), np.empty_like(x), axis)
        calls |= rooflines(1, 1, rows, threads)
        return _there(calls)

    layout = f"axis {axis}" if order == "C" else "Fortran order"
    return Case(operation, "layouts", shape, "float32", contenders, layout)


def _linear(shape: tuple[int, int, int]) -> Case:
    rows, features, classes = shape

    def contenders(peers: dict[str, Peer], threads: int) -> Contenders:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((rows, features), np.float32)
        w = rng.standard_normal((features, classes), np.float32) / np.float32(math.sqrt(features))
        arguments = x, w, rng.integers(0, classes, rows)
        outs = np.empty_like(x), np.empty_like(w), None
        name = "linear_cross_entropy_with_grad"
        calls: dict[str, Call | None] = {
            OURS: Call(ffkernels.linear_cross_entropy_with_grad, arguments, {"out": outs})
        }
        for peer_name, peer in peers.items():
            calls[peer_name] = peer.call(name, arguments, w)
        calls[ROOFLINE] = Call(linear_products(x, w))
        return _there(calls)

    return Case("linear_cross_entropy_with_grad", "linear", shape, "float32", contenders)


def _step(batch: int) -> Case:
    def contenders(peers: dict[str, Peer], threads: int) -> Contenders:
        net, x, t = step_arguments(batch)
        calls: dict[str, Call | None] = {OURS: Call(net.train_step, (x, t, SGD(LEARNING_RATE)))}
        for name, peer in peers.items():
            calls[name] = peer.step(net.params, x, t)
        calls[ROOFLINE] = Call(matrix_products(net, x))
        return _there(calls)

    return Case("train_step", "steps", (batch, NET[0]), "float32", contenders)


def epoch(rows: int, batch: int, optimizer: str) -> Case:
    """Return the case of an epoch, in batches of the rows' order, none of them shuffled."""

    def contenders(peers: dict[str, Peer], threads: int) -> Contenders:
        net, x, t = step_arguments(rows)
        rule = _OPTIMIZERS[optimizer](LEARNING_RATE)

        def ours(batches: list[tuple[Array, Array]]) -> Any:
            for x, t in batches:
                loss = net.train_step(x, t, rule)
            return loss

        calls: dict[str, Call | None] = {OURS: Call(ours, (in_batches(x, t, batch),))}
        for name, peer in peers.items():
            calls[name] = peer.epoch(net.params, x, t, batch, optimizer)
        return _there(calls)

    layout = f"batch {batch} {optimizer}"
    return Case("epoch", "epochs", (rows, NET[0]), "float32", contenders, layout)


_OPTIMIZERS: dict[str, Callable[[float], SGD | Adam]] = {"sgd": SGD, "adam": Adam}


def step_arguments(rows: int) -> tuple[FeedForward, Array, Array]:
    """Return a net and rows for it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, NET[0])).astype(np.float32)
    return FeedForward(NET, seed=0), x, rng.integers(0, NET[-1], rows)


def step_memory(batch: int) -> int:
    """Return the bytes a training step takes at its peak, from the second one on."""
    net, x, t = step_arguments(batch)
    optimizer = SGD(LEARNING_RATE)
    net.train_step(x, t, optimizer)
    gc.collect()
    tracemalloc.start()
    try:
        net.train_step(x, t, optimizer)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        net.train_step(x, t, optimizer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before


def _there(calls: dict[str, Call | None]) -> Contenders:
    return {name: call for name, call in calls.items() if call is not None}
