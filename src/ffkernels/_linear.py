"""The loss of a linear layer and its gradients, in blocks of rows and classes.

Of some rows all logits are made, one block of classes after the other, and looked at; `_shards` puts
together what the blocks tell. Then each block becomes its gradient, which BLAS folds into those at x and
w. Where the logits are in between decides on the time:

- in working memory, for as many rows as there is room. The fewer these are, the longer BLAS takes: the
  three products of 128 rows at a time 1.05, of 64 1.25, of 32 1.65 x their time in blocks of 256
- in the memory of the gradient at w, which has room for the logits of D rows until the first product is
  added to it, block by block
- nowhere. They are made twice: four products in the place of three

Half precision is converted block by block, and each block of the gradient at w made at once, to be
rounded once: its logits are kept if there is room for those of all rows, else made twice.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _arguments, _blas, _numpy, _shards
from ._arguments import NONE, Array
from ._context import choice
from ._numpy._activations import quiet
from .activations import bias_identity, identity_backward_bias

#: Bytes of working memory, unless told otherwise (docs/large-vocabularies.md).
CHUNK_BYTES = 2**25

# Rows at a time, but for those that dw has room for.
_ROWS = 1024

# Fewer rows than these are not kept in working memory: to make their logits twice takes less time.
_LEAST_ROWS = 52

# With so few rows BLAS takes up to a fifth less time for dx if that lies across w.
_FEW_ROWS = 256

# BLAS multiplies by so many at a time: blocks of 130 rows take 1.1 x the time of those of 128, a row.
_LANES = 16

# Arrays of a block's size that the formulas of the NumPy backend make.
_TEMPORARIES = 5


class Layer(NamedTuple):
    """x·w + b: of one real type, native and aligned, of any strides."""

    x: Array
    w: Array
    b: Array | None

    @property
    def work(self) -> np.dtype[Any]:
        """The type to compute in."""
        return _arguments.work_dtype(self.x.dtype)

    def scores(self) -> Array:
        """What has the logits' shape and type, and no memory."""
        return np.broadcast_to(np.zeros((), self.work), (len(self.x), self.w.shape[1]))


class Grads(NamedTuple):
    """Arrays for the gradients: dx and db in the type to compute in, dw of the layer's type."""

    dx: Array
    dw: Array
    db: Array | None


def _matrix(value: Any, name: str, shape: str) -> Array:
    array = _arguments.real_array(value, name)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return array


def check_layer(x: Any, w: Any, b: Any, least_classes: int = 1) -> Layer:
    x, w = _matrix(x, "x", "(N, D)"), _matrix(w, "w", "(D, C)")
    (rows, features), classes = x.shape, w.shape[1]
    if w.shape[0] != features:
        other = "; w.T has, and is not copied" if classes == features else ""
        raise ValueError(f"w: expected shape ({features}, C) to fit x, got {w.shape}{other}")
    for name, array, least in (("x", x, 1), ("w", w, least_classes)):
        if array.shape[1] < least:
            raise ValueError(f"{name}: expected at least one column, got shape {array.shape}")
    if w.dtype != x.dtype:
        raise TypeError(f"w: expected the dtype of x, {x.dtype}, got {w.dtype}")
    if b is not None:
        b = _arguments.real_array(b, "b")
        if b.dtype != x.dtype:
            raise TypeError(f"b: expected the dtype of x, {x.dtype}, got {b.dtype}")
        if b.shape != (classes,):
            raise ValueError(f"b: expected shape ({classes},) to fit w, got {b.shape}")
    layer = Layer(x, w, b)
    if rows * classes > sys.maxsize // layer.work.itemsize:
        raise ValueError(
            f"w: expected fewer classes for {rows} rows, got {classes}, whose logits cannot be counted"
        )
    return layer


def check_chunk_bytes(chunk_bytes: Any) -> int:
    if chunk_bytes is None:
        return CHUNK_BYTES
    try:
        chunk_bytes = operator.index(chunk_bytes)
    except TypeError:
        came = type(chunk_bytes).__name__
        raise TypeError(f"chunk_bytes: expected an integer or None, got {came}") from None
    if chunk_bytes < 1:
        raise ValueError(f"chunk_bytes: expected at least 1, got {chunk_bytes}")
    return int(chunk_bytes)


def memory_for(layer: Layer, out: Any, inputs: dict[str, Any]) -> tuple[Grads, tuple[Any, ...]]:
    """Arrays to compute the gradients into, and those to return; None without b."""
    likes = {"dx": layer.x, "dw": layer.w, "db": layer.b}
    if out is None:
        out = (None, None, None)
    elif not isinstance(out, (tuple, list)) or len(out) != len(likes):
        came = f"{len(out)} of them" if isinstance(out, (tuple, list)) else type(out).__name__
        raise TypeError(f"out: expected arrays (dx, dw, db) or None, got {came}")
    apart = dict(inputs)
    for (name, like), given in zip(likes.items(), out, strict=True):
        if given is None:
            continue
        if like is None:
            raise TypeError(f"out: expected None as db without b, got {type(given).__name__}")
        _arguments.check_out(given, like.shape, like.dtype, apart, f"out ({name})", in_place=False)
        apart[name] = given
    pairs: list[Any] = []
    for (name, like), given in zip(likes.items(), out, strict=True):
        if like is None:
            pairs.append((None, None))
        else:
            work = like.dtype if name == "dw" else layer.work
            pairs.append(_arguments.make_output(given, like, work, like.dtype, {}))
    grads, results = zip(*pairs, strict=True)
    return Grads(*grads), results


def delivered(grads: Grads, results: tuple[Any, ...]) -> Any:
    """The gradients, where the caller wants them."""
    return tuple(
        None if grad is None else _arguments.deliver(grad, result, result)
        for grad, result in zip(grads, results, strict=True)
    )


def reduced(losses: Array, reduction: int, factor: float, dtype: np.dtype[Any]) -> Any:
    """The loss from those of the rows."""
    return losses.astype(dtype) if reduction == NONE else dtype.type(losses.sum() * factor)


class Plan(NamedTuple):
    """Rows and classes at a time: by sizes alone, the same on all ranks that hold parts of one layer."""

    width: int  # classes of a block
    in_dw: int  # rows, the first, whose logits are kept in the memory of dw
    height: int  # of the others
    is_kept: bool  # whether the others' logits are kept in working memory


def plan(
    rows: int, features: int, classes: int, dtype: np.dtype[Any], chunk_bytes: int, with_grads: bool,
    is_copied: bool,
) -> Plan:  # fmt: skip
    """For a layer of this dtype, and x as it is or copied."""
    work = _arguments.work_dtype(dtype)
    is_half = dtype != work
    numbers = area = chunk_bytes // work.itemsize
    if choice().kernels is _numpy:
        area //= 2 * _TEMPORARIES
        numbers -= _TEMPORARIES * area
    if is_half:  # w and dw of a block are made in working memory too
        area //= 4
        numbers //= 2
    statistics = classes * _shards.STATISTICS * 8 // work.itemsize  # of a row, in blocks of one class
    beside = 24 * 8 // work.itemsize + 2 * features * is_copied  # of a row, beside these and the logits
    across = features * (with_grads and not is_copied)  # dx of each of few rows

    def at_once(logits: int) -> int:
        """Rows for which there is room."""
        few, many = numbers, numbers - _FEW_ROWS * across
        return min(rows, max(1, few // (logits + beside + across), many // (logits + beside)))

    def width(height: int) -> int:
        """The widest blocks, in which a row needs their width and the statistics of each."""
        room = max(0, (numbers - min(height, _FEW_ROWS) * across) // max(1, height) - beside)
        fitting = (room + math.isqrt(max(0, room**2 - 4 * statistics))) // 2
        return max(1, min(classes, fitting, area // max(1, height, features * is_half)))

    at_most = at_once(2 * math.isqrt(statistics))
    height, kept = min(_ROWS, at_most), min(_ROWS, at_once(classes))
    least = min(_LEAST_ROWS, rows)
    if not with_grads or (is_half and kept < rows):
        return Plan(width(height), 0, height, False)
    if kept == rows:
        return Plan(max(1, min(classes, area // max(1, rows, features * is_half))), 0, rows, True)
    is_kept = kept >= least
    in_dw = min(features, at_most)
    if is_kept:
        height = kept - kept % _LANES * (kept > _LANES)
        in_dw = rows - height * -(-(rows - in_dw) // height)
    if in_dw < least:
        in_dw = 0
    if is_kept and not in_dw:
        return Plan(max(1, min(classes, area // height)), 0, height, True)
    return Plan(min(width(in_dw or height), width(in_dw if is_kept else height)), in_dw, height, is_kept)


def _blocks(start: int, stop: int, at_once: int) -> list[slice]:
    """Slices of at most so many, all much alike: a short last one costs nearly as much as a long one."""
    if start == stop:
        return []
    alike = -(-(stop - start) // -(-(stop - start) // at_once))
    step = min(at_once, -(-alike // _LANES) * _LANES)
    return [slice(first, min(first + step, stop)) for first in range(start, stop, step)]


def _lies_across(matrix: Array) -> bool:
    return abs(matrix.strides[0]) < abs(matrix.strides[1])


def _add_product(a: Array, b: Array, out: Array, first: bool) -> None:
    """out <- out + aᵀ·b, in the order in which ``out`` lies."""
    if _lies_across(out):
        a, b, out = b, a, out.T
    _blas.AddProduct(b, out)(a, 1.0, first)


class _Run:
    """What all parts of a call share."""

    def __init__(
        self, layer: Layer, shard: _shards.Shard, grads: Grads | None, factor: float, width: int,
        everyone: _shards.Everyone,
    ) -> None:  # fmt: skip
        self.layer, self.shard, self.factor, self.everyone = layer, shard, factor, everyone
        self.classes = layer.w.shape[1]
        self.blocks = _blocks(0, self.classes, width)
        self.losses = np.zeros(len(layer.x))
        self.kernels = choice().kernels
        self._memory: dict[str, Array] = {}
        self._copied: _Part | None = None  # whose rows of x
        if grads is not None:
            self.dx, self.dw, self.db = grads
            self.sum_of_dz = np.zeros(0 if grads.db is None else self.classes)

    def memory(self, name: str, *shape: int) -> Array:
        """Of this shape, in the same place each time."""
        size = math.prod(shape)
        if name not in self._memory or self._memory[name].size < size:
            self._memory.pop(name, None)  # before there is more of it
            self._memory[name] = np.empty(size, self.layer.work)
        return self._memory[name][:size].reshape(shape)

    # Places for a block of logits of so many rows.

    def in_memory(self, rows: int, block: slice) -> Array:
        memory = self.memory("logits", rows * self.classes)
        return memory[rows * block.start : rows * block.stop].reshape(rows, -1)

    def in_dw(self, rows: int, block: slice) -> Array:
        """In what is to be its own part of dw; at most D rows."""
        dw = self.dw[:, block]
        if dw.flags.f_contiguous:  # where rows lie in one piece nevertheless
            return dw.T.reshape(-1)[: rows * dw.shape[1]].reshape(rows, -1)
        return dw[:rows]

    def nowhere(self, rows: int, block: slice) -> Array:
        """Where the next block will be."""
        return self.memory("logits", rows, block.stop - block.start)

    # What is multiplied, in the type to compute in, and so that BLAS does not copy it for each product.

    def _is_ready(self, matrix: Array) -> bool:
        return matrix.dtype == self.layer.work and not _blas.is_copied(matrix)

    def x(self, part: _Part) -> Array:
        if isinstance(part.rows, slice) and self._is_ready(x := self.layer.x[part.rows]):
            return x
        copy = self.memory("x", part.count, self.layer.x.shape[1])
        if self._copied is not part:
            copy[...] = self.layer.x[part.rows]
            self._copied = part
        return copy

    def w(self, block: slice) -> Array:
        w = self.layer.w[:, block]
        if self._is_ready(w):
            return w
        copy = self.memory("w", *w.T.shape).T if _lies_across(w) else self.memory("w", *w.shape)
        copy[...] = w
        return copy

    def look(self, part: _Part) -> None:
        """Make a part's logits; its losses."""
        own = np.empty((len(self.blocks), _shards.STATISTICS, part.count))
        for block, columns in zip(self.blocks, own, strict=True):
            self._statistics(part, block, self.w(block), columns)
        part.whole = _shards.together(own.swapaxes(0, 1), self.shard.has_coefficients, self.everyone)
        part.own = own if part.is_kept else None
        weights = self.shard.sample_weight
        weights = None if weights is None else weights[part.rows]
        self.losses[part.rows] = _shards.losses(part.whole, weights)

    def _statistics(self, part: _Part, block: slice, w: Array, columns: Array) -> Array:
        """Of a block, whose place is returned; e^(z - maximum) is there."""
        z = part.place(part.count, block)
        np.matmul(self.x(part), w, out=z)
        if self.layer.b is not None:
            bias_identity(z, _arguments.as_dtype(self.layer.b[block], z.dtype), z)
        self.kernels.shard_statistics(_shards.part(self.shard, part.rows, block, z), z, columns)
        return z

    def fold(self, parts: list[_Part], is_first: bool) -> None:
        """Add what these rows have to the gradients."""
        across: Any = "C" if _lies_across(self.layer.w) else "F"
        for part in parts:
            if isinstance(part.rows, slice) and part.count > _FEW_ROWS and self._is_ready(self.dx):
                part.dx = self.dx[part.rows]
                part.dx.fill(0)
            else:
                part.dx = np.zeros((part.count, self.layer.x.shape[1]), self.layer.work, across)
        for k, block in enumerate(self.blocks):
            w, dw = self.w(block), self.dw[:, block]
            if dw.dtype != self.layer.work:
                dw = self.memory("dw", *dw.shape)
            for part in parts:
                dz = self._gradient(part, k, w)
                _add_product(self.x(part), dz, dw, first=is_first and part is parts[0])
                _add_product(dz.T, w.T, part.dx, first=False)
                if self.db is not None:
                    self.sum_of_dz[block] += identity_backward_bias(dz, dz, dz)[1]
            if dw.dtype != self.dw.dtype:
                self.dw[:, block] = dw
        for part in parts:
            if not np.may_share_memory(part.dx, self.dx):
                self.dx[part.rows] = part.dx
            part.forget()

    def _gradient(self, part: _Part, k: int, w: Array) -> Array:
        """At the logits of a block; not where dw is to be."""
        block = self.blocks[k]
        if part.own is None:
            own = np.empty((_shards.STATISTICS, part.count))
            z = self._statistics(part, block, w, own)
        else:
            own, z = part.own[k], part.place(part.count, block)
            if part.place == self.in_dw:
                kept, z = z, self.nowhere(part.count, block)
                z[...] = kept
        shard = _shards.part(self.shard, part.rows, block, z)
        self.kernels.shard_gradient(shard, z, _shards.gradient(own, part.whole, shard, self.factor))
        return z


class _Part:
    """Some rows, from when their logits are made until these are folded into the gradients."""

    def __init__(self, rows: slice | Array, place: Callable[[int, slice], Array], is_kept: bool) -> None:
        self.rows, self.place, self.is_kept = rows, place, is_kept
        self.count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        self.forget()

    def forget(self) -> None:
        self.own: Array | None = None  # the statistics of each block, where what it became is kept
        self.whole: Array = np.empty(0)
        self.dx: Array = np.empty(0)


@quiet
def run(
    layer: Layer, shard: _shards.Shard, grads: Grads | None, factor: float, chunk_bytes: int,
    most_classes: int, everyone: _shards.Everyone = _shards.ALONE,
) -> Array:  # fmt: skip
    """Return the rows' losses in float64; put the gradients of their sum times the factor in place.

    Of several that hold classes of the same rows, one has `most_classes`.
    """
    counting, count = None, len(layer.x)
    if shard.classes is not None and (ignored := shard.classes == _shards.IGNORED).any():
        counting = np.flatnonzero(~ignored)
        count = len(counting)
        if shard.probabilities is not None:  # of which those of a block are copied
            chunk_bytes //= 2
    features, has_grads = layer.x.shape[1], grads is not None
    is_copied = counting is not None or layer.x.dtype != layer.work or _blas.is_copied(layer.x)
    way = plan(count, features, most_classes, layer.x.dtype, chunk_bytes, has_grads, is_copied)
    run = _Run(layer, shard, grads, factor, way.width, everyone)

    def parts(start: int, stop: int, at_once: int, place: Any, is_kept: bool) -> list[_Part]:
        slices = _blocks(start, stop, at_once)
        return [_Part(rows if counting is None else counting[rows], place, is_kept) for rows in slices]

    place = run.in_memory if way.is_kept else run.nowhere
    every = parts(0, way.in_dw, way.in_dw, run.in_dw, True)
    every += parts(way.in_dw, count, way.height, place, way.is_kept)
    if grads is None:
        for part in every:
            run.look(part)
        return run.losses
    if count < len(layer.x):
        grads.dx.fill(0)
    if not every:
        grads.dw.fill(0)
    # Where dw is of half precision each block of it is made at once, and rounded once.
    rounds = [every] if every and grads.dw.dtype != layer.work else [[part] for part in every]
    for parts_of_round in rounds:
        for part in parts_of_round:
            run.look(part)
        run.fold(parts_of_round, is_first=parts_of_round is rounds[0])
    if grads.db is not None:
        grads.db[...] = run.sum_of_dz
    return run.losses
