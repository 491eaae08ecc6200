"""Random calls of everything: `python tests/fuzz.py --seed 0 --seconds 600`.

Each is made in both backends, the compiled one on an instruction set and a number of threads drawn
anew, on arrays of any type, layout and value, with options and outputs that may be wrong.  The results
are the same, or the refusals are in type and words; no byte changes but those of an output or a
parameter, and none at all where a call is refused.  Layers, nets, optimisers and the input layer are
taken through several calls.  Now and then the process forks, and the child goes on.

A case is made from the seed and its number alone: what is found is repeated by ``--first NUMBER --cases
1``.  The suite runs a short piece of it (test_fuzz.py).
"""

import argparse
import faulthandler
import inspect
import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import suppress

import numpy as np

import ffkernels as ff
from ffkernels import layers
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS
from ffkernels.layers import _net

try:
    from ml_dtypes import bfloat16
except ImportError:
    bfloat16 = np.float16

BY_NAME = {operation.name: operation for operation in OPERATIONS}
GUARD = 77  # fits every type
SMALL = (0, 1, 1, 2, 3)
# Around a block, two of them, a part of a sum, the longest rows of tiles, the first aligned span.
EDGES = (15, 16, 17, 31, 32, 33, 127, 128, 129, 20, 21, 40, 41, 57, 161, 255, 256, 257, 767, 768, 769)
LARGE = ((2000, 100), (40_000, 5), (3, 70_000), (150_000,), (50, 60, 70))  # worth several threads
FLOATS = ("f4",) * 4 + ("f8",) * 3 + ("f2", bfloat16)
OTHERS = ("i1", "u8", "?", ">f4", ">f8", "g", "c8", "O", "S3", "M8[s]")
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 5e-324, 1e4, -1e4)
HUGE = (3.4e38, -3.4e38, 1e300, -1e300)
RELATIVE = {2: 1e-2, 4: 3e-6, 8: 1e-12}
REFUSALS = (TypeError, ValueError, IndexError)


def parameters(name):
    return inspect.signature(getattr(ff, name)).parameters


class Subclass(np.ndarray):
    """What is an array, and more."""


# What may come for anything, and hardly ever fits.
JUNK = (
    None, "x", b"mean", 1j, [], {}, (), object(), 2**70, -(10**400), np.nan, np.inf, True, -1, 0, 7, 0.5,
    len, ..., np.array([]), np.array("mean"), np.float32(2), np.int8(-3), [1.0, [2.0]], range(3), {1, 2},
    np.ma.masked_array([1.0]), np.zeros((2, 3)), memoryview(b"abcd"), np.ones(3, "M8[s]"),
    np.zeros(2, "i4,f4"),
)  # fmt: skip


class Draw(random.Random):
    """What a case is made of."""

    def seldom(self, times):
        return self.randrange(times) == 0

    def rng(self):
        return np.random.default_rng(self.getrandbits(32))


# ---- arrays -------------------------------------------------------------------------------------------


def shape_of(draw):
    if draw.seldom(400):
        return draw.choice(LARGE)
    shape = [draw.choice(SMALL) for _ in range(draw.choice((2, 2, 2, 3, 3, 4, 1, 0)))]
    if not shape or draw.seldom(3):
        return tuple(shape)
    shape[draw.randrange(len(shape))] = draw.choice(EDGES)
    if len(shape) == 2 and draw.seldom(2):
        shape[draw.randrange(2)] = draw.choice(EDGES[:9])
    return tuple(shape)


def views(draw, values):
    """A function that makes a view of these values and all the memory around it, the same each time."""
    ndim = values.ndim
    axes = draw.sample(range(ndim), ndim) if draw.seldom(2) else list(range(ndim))
    step = draw.choice((None, None, 1, 2, 3, -1, -2)) if ndim else None
    if ndim and values.size < 1000 and draw.seldom(30):
        step = draw.choice((1, -1)) * (1 << draw.randrange(8, 14))  # far apart
        step = step if abs(step) * values.size < 2**20 else 2
    axis, first = draw.randrange(max(ndim, 1)), draw.randint(1, 16)
    unaligned = draw.seldom(12) and values.dtype != object

    def make():
        shape = [values.shape[a] for a in axes]
        around = list(shape)
        if step is not None:
            around[axis] = 2 + abs(step) * shape[axis]
        size = int(np.prod(around))
        memory = np.full(size + first + 17, GUARD if values.dtype.kind != "M" else 0, values.dtype)
        flat = memory[first : first + size]
        if unaligned:
            flat = memory.view(np.uint8)[first * values.itemsize + 1 :][: size * values.itemsize]
            flat = flat.view(values.dtype)
        view = flat.reshape(around)
        if step is not None:
            every = slice(1, 1 + abs(step) * shape[axis], abs(step))
            view = view[(slice(None),) * axis + (every,)]
            view = np.flip(view, axis) if step < 0 else view
        view = view.transpose(np.argsort(axes))
        view[...] = values
        return view, memory

    return make


def argument(draw, values, in_place=False):
    """A function that returns an argument of these values, and its memory."""
    make = views(draw, values)
    kind = draw.randrange(40)
    if in_place or kind >= 10 or not values.ndim:
        return make

    def changed():
        view, memory = make()
        if kind == 0:
            view = view.view(Subclass)
        elif kind == 1:
            view.flags.writeable = False
        elif kind == 2 and values.size < 1000:
            return view.tolist(), memory
        elif kind == 3 and view.dtype.kind == "f":
            view = view.astype(view.dtype.newbyteorder())
            memory = view
        elif kind == 4 and len(view):
            view = np.broadcast_to(view[:1], view.shape)
        elif kind == 5 and view.size:  # windows that overlap
            memory = view.ravel()[: sum(view.shape)].copy()
            strides = tuple(memory.itemsize for _ in view.shape)
            view = np.lib.stride_tricks.as_strided(memory, view.shape, strides)
        elif kind == 6 and view.size:
            view = view[..., None][..., 0]
        return view, memory

    return changed


def junk(draw):
    value = draw.choice(JUNK)
    return lambda: (value, None)


# ---- functions ----------------------------------------------------------------------------------------


class Call:
    """A call as `fresh` makes it anew: positional arguments, options, and all their memory."""

    def __init__(self, function, arguments, options, written=()):
        self.function, self.arguments, self.options, self.written = function, arguments, options, written

    def fresh(self):
        made = [make() for make in self.arguments]
        named = {name: make() for name, make in self.options.items()}
        memory = []
        for _, m in (*made, *named.values()):
            memory += m if isinstance(m, list) else [] if m is None else [m]
        return [a for a, _ in made], {name: a for name, (a, _) in named.items()}, memory

    def __repr__(self):
        arguments, options, _ = self.fresh()
        described = [describe(a) for a in arguments] + [f"{k}={describe(v)}" for k, v in options.items()]
        return f"{self.function.__name__}({', '.join(described)})"


def describe(value):
    if isinstance(value, np.ndarray):
        return f"<{type(value).__name__} {value.dtype} {value.shape} strides {value.strides}>"
    return repr(value)[:80]


def option(draw, name, values, axis):
    """A value for an option of some name, to go with these arrays."""
    shape = np.shape(values[0])
    classes = shape[axis] if -len(shape) <= axis < len(shape) else 3
    if name == "reduction":
        return draw.choice(("mean", "sum", "none") * 3 + ("avg",))
    if name in ("weight", "pos_weight"):
        weight = draw.rng().uniform(0, 2, draw.choice(((classes,),) * 6 + (shape, shape[-1:], ())))
        return draw.choice((None, weight.astype(draw.choice(FLOATS))))
    if name == "sample_weight":
        rows = np.delete(shape, axis).astype(int) if -len(shape) <= axis < len(shape) else shape
        each = draw.rng().uniform(0, 2, draw.choice((rows, rows, shape[:1])))
        return np.where(each < 0.5, draw.choice((0.0, 0.0, 0.0, -1.0)), each).astype(draw.choice(FLOATS))
    if name == "ignore_index":
        return draw.choice((None, None, 0, 1, -1, 2**70))
    if name == "label_smoothing":
        return draw.choice((0.0, 0.0, 0.0, 0.1, 1.0, 1, 2.0))
    if name == "eps":
        return draw.choice((0.0, 0.0, 1e-6, 1, -1.0))
    if name == "dloss":
        each = np.linspace(-1, 1, np.size(values[1])).reshape(np.shape(values[1]))
        return draw.choice((1.0, 2, np.float32(0.5), each))
    if name == "keepdims":
        return draw.choice((True, False))
    if name == "approximate":
        return draw.choice(("none", "tanh", "none", "erf"))
    if name in ("alpha", "negative_slope", "beta", "threshold"):
        return draw.choice((0.01, 1.0, 0.5, 2, -1.0, 0.0))
    return draw.choice((1, 0.5, None))


def drawn(draw, operation, shape):
    try:
        values = operation.draw(draw.rng(), shape, np.float64)
    except (IndexError, ValueError):  # no such rows: what a caller might try all the same
        values = np.ones(shape), np.ones(shape)
    return [np.array(v) for v in values]


def cast(draw, values, dtype, special, products=False):
    """The arrays of floats in some type, with some special values here and there."""
    for i, array in enumerate(values):
        if array.dtype == np.float64:
            # Sums of products of what is large cancel to no digits at all.
            these = [s for s in special if not (products and i and 1 < abs(s) < np.inf)]
            if array.size and these:
                array.flat[draw.rng().integers(0, array.size, len(these))] = these
            values[i] = array.astype("f8" if draw.seldom(8) else dtype)


def function_case(draw, name):
    """A call of one function of the table."""
    operation, shape = BY_NAME[name], shape_of(draw)
    function, takes = getattr(ff, name), parameters(name)
    values = drawn(draw, operation, shape)
    smooth, in_place = operation.kind == "elementwise", operation.kind == "update"
    dtype = draw.choice(OTHERS if draw.seldom(6) else FLOATS)
    special = [draw.choice(SPECIAL + HUGE * smooth) for _ in range(draw.randrange(4))]
    axis, options = -1, {}
    if "axis" in takes and draw.seldom(2):
        wrong = draw.seldom(10) or not shape
        options["axis"] = axis = draw.randint(-len(shape) - wrong, max(len(shape) - 1, 0) + wrong)
    if len(values) > 1 and values[1].dtype.kind == "i":  # class indices, or probabilities
        if draw.seldom(2) and -len(shape) <= axis < len(shape):
            classes = shape[axis]
            low, high = draw.choice(((0, classes),) * 5 + ((-1, classes + 1),))
            reduced = np.delete(shape, axis).astype(int)
            values[1] = draw.rng().integers(low, max(high, low + 1), reduced)
            values[1] = values[1].astype(draw.choice(("i8", "i4", "i8", ">i8", "u2")))
        else:
            values[1] = draw.rng().uniform(0, 1, shape)
    for key, parameter in takes.items():
        given = parameter.default is not inspect.Parameter.empty and key not in (
            "axis",
            "out",
            "out_bias",
        )
        if given and not in_place and draw.seldom(2):
            options[key] = option(draw, key, values, axis)
    cast(draw, values, dtype, special, operation.kind in ("loss", "rows"))
    arguments = [argument(draw, value, in_place and i != 1) for i, value in enumerate(values)]
    arguments += [lambda n=number: (n, None) for number in UPDATE_NUMBERS.get(name, ())]
    options = {
        key: argument(draw, value) if isinstance(value, np.ndarray) else lambda v=value: (v, None)
        for key, value in options.items()
    }
    if draw.seldom(12):
        wrong = draw.randrange(len(arguments) + len(takes))
        if wrong < len(arguments):
            arguments[wrong] = junk(draw)
        else:
            options[list(takes)[wrong - len(arguments)]] = junk(draw)
    written = [i for i in range(len(values)) if i != 1] if in_place else []
    return Call(function, arguments, options, written)


OUTS = ("fresh",) * 6 + ("own",) * 2 + ("same",) * 3 + (
    "none", "reversed", "shifted", "type", "shape", "fixed", "folded", "subclass", "junk"
)  # fmt: skip


def output_case(draw, call, result, name="out"):
    """The same call with an output like the result, or one that does not do."""
    kind = draw.choice(OUTS)
    like = np.asarray(result)
    like = like[..., None] if kind == "shape" else like
    form = views(draw, np.full(like.shape, GUARD, like.dtype))
    other = views(draw, np.full(like.shape, GUARD, "f8" if like.dtype == "f4" else "f4"))
    wrong = draw.choice(JUNK)

    def fresh():
        arguments, options, memory = call.fresh()
        first = arguments[0]
        is_array = isinstance(first, np.ndarray)
        if kind in ("none", "junk"):
            out = None if kind == "none" else wrong
        elif kind == "same" and is_array:
            out = first
        elif kind == "reversed" and is_array and first.ndim:
            out = first[::-1]
        elif kind == "shifted" and memory and memory[0].ndim == 1 and memory[0].size > like.size:
            out = memory[0][1 : 1 + like.size].reshape(like.shape)
        elif kind == "folded" and like.ndim:
            own = np.full(like.size + 1, GUARD, like.dtype)
            out = np.lib.stride_tricks.as_strided(own, like.shape, (like.itemsize,) * like.ndim)
            memory.append(own)
        elif kind == "own":
            out = own = np.full(like.shape, GUARD, like.dtype)
            memory.append(own)
        else:
            out, own = other() if kind == "type" else form()
            memory.append(own)
            if kind == "subclass":
                out = out.view(Subclass)
            out.flags.writeable = kind != "fixed"
        return arguments, options | {name: out}, memory

    with_output = Call(call.function, call.arguments, call.options)
    with_output.fresh = fresh
    return with_output


def bytes_of(memory):
    return memory.tobytes() if memory.dtype != object else repr(memory.tolist())


class Finding(AssertionError):
    """What ought not to be."""


def played(call, implementation):
    """What a call gives, after a look at every byte it may not have written."""
    arguments, options, memory = call.fresh()
    written = [arguments[i] for i in call.written]
    for out in (options.get("out"), options.get("out_bias")):
        written += out if isinstance(out, tuple) else [out]
    written = [a for a in written if isinstance(a, np.ndarray)]
    before = [bytes_of(m) for m in memory]
    kept = [a.copy() for a in written]
    with ff.use_backend(implementation):
        try:
            result = call.function(*arguments, **options)
        except REFUSALS as error:
            if [bytes_of(m) for m in memory] != before:
                raise Finding(f"written to by a call that is refused: {error}") from error
            return type(error), str(error)
    results = written if call.written else result if isinstance(result, tuple) else (result,)
    results = [r for each in results for r in (each if isinstance(each, tuple) else (each,))]
    results = [r.copy() if isinstance(r, (np.ndarray, np.generic)) else r for r in results]
    for array, values in zip(written, kept, strict=True):
        array[...] = values
    if [bytes_of(m) for m in memory] != before:
        raise Finding("written outside the output")
    return tuple(results)


def check_alike(got, want, least_scale=0.0):
    """The same results, or the same refusal.  Where terms cancel, they differ by the rounding of numbers
    of at least some scale."""
    if (got and isinstance(got[0], type)) or (want and isinstance(want[0], type)):
        if repr(got) != repr(want):
            raise Finding(f"compiled: {got}\nnumpy: {want}")
        return
    if len(got) != len(want):
        raise Finding(f"{len(got)} results compiled, {len(want)} by NumPy")
    for g, w in zip(got, want, strict=True):
        if type(g) is not type(w):
            raise Finding(f"{type(g)} compiled, {type(w)} by NumPy")
        if isinstance(w, (np.ndarray, np.generic)):
            if (g.dtype, g.shape) != (w.dtype, w.shape):
                raise Finding(f"{g.dtype} {g.shape} compiled, {w.dtype} {w.shape} by NumPy")
            check_close(g, w, least_scale)
        elif g != w and g == g:
            raise Finding(f"{g!r} compiled, {w!r} by NumPy")


def check_close(g, w, least_scale, factor=1.0):
    relative = factor * RELATIVE[min(w.dtype.itemsize, 8)]
    g, w = np.asarray(g, np.float64), np.asarray(w, np.float64)
    scale = np.max(np.abs(w), where=np.isfinite(w), initial=least_scale)
    absolute = relative * min(scale, 1e4) + 1e-15
    near = (np.abs(g - w) <= absolute + relative * np.abs(w)) | (g == w) | (np.isnan(g) & np.isnan(w))
    if near.all():  # a quarter of the time of what finds words
        return
    try:
        np.testing.assert_allclose(g, w, rtol=relative, atol=absolute)
    except AssertionError as error:
        raise Finding(f"compiled and NumPy differ: {error}") from None


def compare(draw, call, least_scale=0.0):
    """One call in both backends; returns the result of the twin."""
    draw.what.append(call)
    want = played(call, "numpy")
    got = played(call, "compiled")
    check_alike(got, want, least_scale)
    return want


def of_functions(draw):
    of_function(draw, draw.choice(sorted(BY_NAME)))


def of_function(draw, name):
    """One call, and one with an output."""
    call = function_case(draw, name)
    sums = BY_NAME[name].kind == "bias" or name.endswith(("_backward", "_grad"))
    sums = 1e4 if sums and BY_NAME[name].kind != "elementwise" else 0.0  # the largest value there may be
    want = compare(draw, call, sums)
    if want and isinstance(want[0], type):
        return
    for key, part in (("out", -1 if BY_NAME[name].kind == "loss" else 0), ("out_bias", -1)):
        if key in parameters(name) and (key == "out" or draw.seldom(2)):
            compare(draw, output_case(draw, call, want[part], key), sums)


def of_wide_layers(draw):
    """The loss of a layer whose logits are not made."""
    rows, features, classes = (
        draw.choice((0, 1, 3, 17)),
        draw.choice((1, 2, 5)),
        draw.choice((1, 2, 33, 300)),
    )
    rng, dtype = draw.rng(), draw.choice(FLOATS)
    values = [rng.normal(size=(rows, features)), rng.normal(size=(features, classes))]
    cast(draw, values, dtype, [draw.choice(SPECIAL[:6])] if draw.seldom(6) else [])
    low, high = draw.choice(((0, classes),) * 5 + ((-1, classes + 1),))
    targets = rng.integers(low, high, rows) if draw.seldom(2) else rng.uniform(0, 1, (rows, classes))
    arguments = [argument(draw, value) for value in (*values, targets)]
    if draw.seldom(2):
        arguments.append(argument(draw, rng.normal(size=classes).astype(values[0].dtype)))
    names = ("weight", "ignore_index", "label_smoothing", "sample_weight", "reduction")
    chosen = draw.sample(names, draw.randrange(6))
    options = {key: option(draw, key, [np.empty((rows, classes))], -1) for key in chosen}
    options["chunk_bytes"] = draw.choice((None, 1, 1000, 10**6, 2**70))
    options = {
        key: argument(draw, value) if isinstance(value, np.ndarray) else lambda v=value: (v, None)
        for key, value in options.items()
    }
    if draw.seldom(12):
        arguments[draw.randrange(len(arguments))] = junk(draw)
    function = draw.choice((ff.linear_cross_entropy, ff.linear_cross_entropy_with_grad))
    want = compare(draw, Call(function, arguments, options), 1.0)
    if function is ff.linear_cross_entropy_with_grad and not isinstance(want[0], type):
        options["out"] = outputs(draw, want[1:])
        compare(draw, Call(function, arguments, options), 1.0)


def outputs(draw, results):
    """A tuple of outputs like these results, some of them none or of another shape or type."""
    forms = []
    for result in results:
        shape = (1, *np.shape(result)) if draw.seldom(20) else np.shape(result)
        dtype = "f8" if draw.seldom(20) else np.asarray(result).dtype
        left_out = result is None or draw.seldom(4)
        forms.append(None if left_out else views(draw, np.full(shape, GUARD, dtype)))

    def make():
        made = [(None, None) if form is None else form() for form in forms]
        return tuple(view for view, _ in made), [memory for _, memory in made if memory is not None]

    return make


def of_merges(draw):
    """Sums of exponentials put together from two parts: shapes that broadcast, or do not."""
    shape, rng = shape_of(draw), draw.rng()
    values = []
    for k in range(4):
        own = tuple(draw.choice((1, n, n, n + draw.seldom(20))) for n in shape[draw.randint(0, 1) :])
        values.append(rng.normal(size=own) if k % 2 == 0 else rng.uniform(0, 3, own))
    cast(draw, values, draw.choice(OTHERS if draw.seldom(6) else FLOATS), [draw.choice(SPECIAL)])
    arguments = [argument(draw, value) for value in values]
    if draw.seldom(12):
        arguments[draw.randrange(4)] = junk(draw)
    compare(draw, Call(ff.merge_logsumexp, arguments, {}))


# ---- what is called several times ---------------------------------------------------------------------


def both(draw, make, steps, state):
    """Two of a kind, one for each backend, through the same steps: they answer and refuse alike, a step
    that is refused leaves the state as it was, and none changes its arguments."""
    pair = {}
    for implementation in ("numpy", "compiled"):
        with ff.use_backend(implementation):
            pair[implementation] = make()
    for name, call in steps:
        draw.what.append((name, call))
        outcomes = {}
        for implementation, one in pair.items():
            arguments, options, memory = call.fresh()
            before, kept = [bytes_of(m) for m in memory], [a.copy() for a in state(one)]
            with ff.use_backend(implementation):
                try:
                    result = getattr(one, name)(*arguments, **options)
                except (*REFUSALS, RuntimeError) as error:
                    outcomes[implementation] = type(error), str(error)
                    if any(not same(a, b) for a, b in zip(state(one), kept, strict=True)):
                        raise Finding(f"{name} is refused, and the state changed: {error}") from error
                else:
                    result = result if isinstance(result, tuple) else (result,)
                    values = [*result[0].values()] if isinstance(result[0], dict) else [*result]
                    values += state(one)
                    outcomes[implementation] = tuple(np.array(v) for v in values if v is not None)
            if [bytes_of(m) for m in memory] != before:
                raise Finding(f"{name} wrote to its arguments")
        got, want = outcomes["compiled"], outcomes["numpy"]
        if isinstance(got[0], type) or isinstance(want[0], type):
            check_alike(got, want)
            continue
        for g, w in zip(got, want, strict=True):
            if (g.dtype, g.shape) != (w.dtype, w.shape):
                raise Finding(f"{name}: {g.dtype} {g.shape} compiled, {w.dtype} {w.shape} by NumPy")
            check_close(g, w, 1.0, 100)  # rounding grows from step to step


def same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def batch(draw, shape, dtype=None):
    """An argument for a layer: most often one that fits."""
    if draw.seldom(25):
        return junk(draw)
    if draw.seldom(25):
        shape = tuple(n + draw.choice((0, 1)) for n in shape)
    values = draw.rng().normal(size=shape).astype(dtype or draw.choice(FLOATS[:8]))
    return argument(draw, values)


def labels(draw, rows, classes):
    """Targets for so many rows: indices, some of them wrong, or probabilities."""
    rng = draw.rng()
    if draw.seldom(20):
        return junk(draw)
    if draw.seldom(3):
        return argument(draw, rng.dirichlet(np.ones(classes), rows).astype(draw.choice(FLOATS[:8])))
    low, high = draw.choice(((0, classes),) * 8 + ((-1, classes + 1),))
    rows += draw.seldom(25)
    return argument(draw, rng.integers(low, high, rows).astype(draw.choice(("i8", "i4", "u1"))))


def values_of(draw, rows, outputs):
    """Targets that are a number for each output, of one output perhaps in a row."""
    return batch(draw, (rows,) if outputs == 1 and draw.seldom(2) else (rows, outputs))


def weights_of(draw, rows):
    """Weights for so many rows, some of them none; now and then one that is refused."""
    if draw.seldom(20):
        return junk(draw)
    weights = draw.rng().uniform(0, 2, rows + draw.seldom(25)).round(draw.choice((0, 1, 9)))
    if draw.seldom(20) and weights.size:
        weights[-1] = draw.choice((-1.0, np.nan, np.inf))
    return argument(draw, weights.astype(draw.choice(FLOATS)))


def of_layers(draw):
    kinds = [name for name in layers.__all__ if name != "FeedForward"]
    kind, copy = draw.choice(kinds), draw.seldom(2)
    inputs, outputs, dtype = draw.choice((1, 3, 17)), draw.choice((1, 2, 40)), draw.choice(("f4", "f8"))
    rng = draw.rng()
    W, b = rng.normal(size=(inputs, outputs)).astype(dtype), rng.normal(size=outputs).astype(dtype)
    options = {
        name: draw.randint(-3, 2) if name == "axis" else option(draw, name, [W], -1)
        for name in inspect.signature(getattr(layers, kind)).parameters
        if name not in ("W", "b", "copy") and draw.seldom(2)
    }

    def make():
        of_arrays = (W.copy(), b.copy()) if kind in ("Affine", "LinearWithLoss") else ()
        return getattr(layers, kind)(*of_arrays, copy=copy, **options)

    try:
        draw.what.append((kind, options))
        make()
    except REFUSALS:
        return
    steps = []
    for _ in range(draw.randint(1, 6)):
        rows = draw.choice((1, 2, 5, 33))
        out = outputs if kind in ("Affine", "LinearWithLoss") else inputs
        if draw.seldom(3):
            dout = (
                (lambda: (2.0, None)) if "Loss" in kind or draw.seldom(3) else batch(draw, (rows, out))
            )
            steps.append(("backward", Call(len, [dout], {})))
            continue
        arguments, given = [batch(draw, (rows, inputs))], {}
        if kind in ("IdentityWithLoss", "SigmoidWithLoss"):
            arguments.append(batch(draw, (rows, inputs)))
        elif "Loss" in kind:
            arguments.append(labels(draw, rows, out))
        if kind == "LinearWithLoss" and draw.seldom(3):
            given["sample_weight"] = weights_of(draw, rows)
        steps.append(("forward", Call(len, arguments, given)))
    both(draw, make, steps, lambda layer: [*layer.params])


def optimizer_of(draw):
    kind = draw.randrange(3)
    numbers = draw.choice((0.0, 0.1, 1e-3)), draw.choice((0.0, 0.0, 0.01))
    if kind == 0:
        return lambda: ff.SGD(numbers[0], weight_decay=numbers[1])
    if kind == 1:
        return lambda: ff.SGD(numbers[0], 0.9, numbers[1])
    betas, eps = draw.choice(((0.9, 0.999), (0.0, 0.0), (0.5, 0.9))), draw.choice((1e-8, 1e-3))
    return lambda: ff.Adam(1e-3, betas, eps, numbers[1])


class Trained:
    """A net with its optimiser."""

    def __init__(self, net, optimizer):
        self.net, self.optimizer = net, optimizer
        self.predict, self.loss, self.gradient = net.predict, net.loss, net.gradient

    def step(self, x, t, **options):
        return self.net.train_step(x, t, self.optimizer, **options)


def of_nets(draw):
    sizes = [draw.choice((1, 2, 7, 33)) for _ in range(draw.randint(2, 4))]
    activation, loss = draw.choice(sorted(_net._FUSED)), draw.choice(sorted(_net._LOSSES))
    dtype, seed, optimizer = draw.choice(("f4", "f8")), draw.randrange(1000), optimizer_of(draw)
    steps = []
    for _ in range(draw.randint(1, 5)):
        rows, name = (
            draw.choice((0, 1, 5, 33)),
            draw.choice(("predict", "loss", "gradient", "step", "step")),
        )
        arguments, given = [batch(draw, (rows, sizes[0]))], {}
        if name != "predict":
            of_classes = loss == "softmax_cross_entropy"
            arguments.append((labels if of_classes else values_of)(draw, rows, sizes[-1]))
            if draw.seldom(3):
                given["sample_weight"] = weights_of(draw, rows)
        steps.append((name, Call(len, arguments, given)))
    both(
        draw,
        lambda: Trained(ff.FeedForward(sizes, activation, loss, dtype, seed), optimizer()),
        steps,
        lambda one: [*one.net.params.values()],
    )


class Updated:
    """Parameters with their optimiser."""

    def __init__(self, params, optimizer):
        self.params, self.optimizer = params, optimizer

    def update(self, *grads):
        self.optimizer.update(self.params, grads)


def of_optimizers(draw):
    dtype = draw.choice(("f4", "f8"))
    shapes = [shape_of(draw) for _ in range(draw.randint(1, 3))]
    shapes = [shape if np.prod(shape) < 10_000 else (3, 2) for shape in shapes]
    values = [draw.rng().normal(size=shape).astype(dtype) for shape in shapes]
    forms, optimizer = [views(draw, value) for value in values], optimizer_of(draw)
    steps = []
    for _ in range(draw.randint(1, 4)):
        grads = [batch(draw, shape, draw.choice(FLOATS)) for shape in shapes]
        steps.append(("update", Call(len, grads[: len(grads) - draw.seldom(20)], {})))
    both(
        draw, lambda: Updated([form()[0] for form in forms], optimizer()), steps,
        lambda one: [*one.params],
    )  # fmt: skip


def of_input_layers(draw):
    """What the input layer and `inspect` are given; they are NumPy alone, and have no second backend."""
    rng = draw.rng()
    rows, columns = draw.choice((0, 1, 2, 30)), draw.choice((0, 1, 2, 5))
    values = rng.normal(size=(rows, columns)) * 10.0 ** rng.integers(-300, 300)
    if values.size:
        special = [draw.choice((*SPECIAL, *HUGE)) for _ in range(draw.randrange(5))]
        values.flat[rng.integers(0, values.size, len(special))] = special
    x = values.astype(draw.choice((*FLOATS, *OTHERS, "i8", "u8", "i4"))) if draw.seldom(3) else values
    form = junk(draw) if draw.seldom(10) else argument(draw, x)
    if draw.seldom(4):
        made, memory = form()
        parts = [*made.T] if isinstance(made, np.ndarray) and made.ndim == 2 else []
        table = {draw.choice(("a", "b", k)): part for k, part in enumerate(parts)}
        columns_of_it = table if len(table) > 1 else parts
        form = lambda: (columns_of_it, memory)  # noqa: E731
    y = (
        argument(draw, rng.normal(size=rows + draw.seldom(8)))
        if draw.seldom(2)
        else lambda: (None, None)
    )
    y = junk(draw) if draw.seldom(10) else y
    options = {
        "missing": draw.choice(("zero", "mean", "median", "drop") * 4 + (None,)),
        "max_missing": draw.choice((1.0, 1.0, 0.5, 0, 2)),
        "scale": draw.choice(("standard", "minmax", None) * 4 + ("log",)),
        "dtype": draw.choice((np.float32, "f8", "f2", "i4", bfloat16)),
    }
    weights = weights_of(draw, rows) if draw.seldom(4) else lambda: (None, None)
    call = Call(ff.InputLayer, [form, y, weights], {})
    draw.what.append((options, call))
    (x, y, weights), _, memory = call.fresh()
    before = [bytes_of(m) for m in memory]
    try:
        layer = ff.InputLayer(**options).fit(x, sample_weight=weights)
        result = layer.transform(x, y)
        again = ff.InputLayer.from_state(json.loads(json.dumps(layer.state()))).transform(x, y)
        first, second = (r if y is None else r[0] for r in (result, again))
        if not same(first, second):
            raise Finding("a layer and one from its state give different inputs")
        if first.dtype != np.dtype(options["dtype"]) or np.isnan(first.astype(float)).any():
            raise Finding(f"inputs of {first.dtype} with NaN or of a dtype not asked for")
    except REFUSALS:
        pass
    with suppress(*REFUSALS):
        ff.inspect(x, y)
    if [bytes_of(m) for m in memory] != before:
        raise Finding("an input layer wrote to its arguments")


# ---- the cases ----------------------------------------------------------------------------------------

KINDS = (of_functions,) * 12 + (
    of_wide_layers,
    of_merges,
    of_layers,
    of_layers,
    of_nets,
    of_optimizers,
    of_input_layers,
)
FORK_EVERY = 2000


def instruction_sets():
    return ff.show_config(mode="dicts")["isa_supported"]


def run_case(seed, number):
    """Returns how many calls were compared; raises what is found."""
    draw = Draw(f"{seed}/{number}")
    draw.what = []
    ff.set_isa(draw.choice(instruction_sets()))
    ff.set_num_threads(draw.choice((1, 1, 2, 3, 5, 40)))
    try:
        with np.errstate(all="ignore"):
            draw.choice(KINDS)(draw)
    except Exception as error:
        steps = "\n".join(map(str, draw.what))
        raise Finding(
            f"case {number} of seed {seed}:\n{steps}\n{type(error).__name__}: {error}"
        ) from error
    return len(draw.what)


def in_a_child(work, seconds=120):
    """Whether a fork of this process does its work, and ends."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def run_cases(seed, numbers, forks=True):
    """Runs some cases, in between in a child; returns how many calls were compared."""
    compared = 0
    for number in numbers:
        compared += run_case(seed, number)
        if forks and hasattr(os, "fork") and number % FORK_EVERY == FORK_EVERY - 1:
            forked = range(number + 1, number + 6)
            if not in_a_child(lambda forked=forked: [run_case(seed, n) for n in forked]):
                raise Finding(f"a fork after case {number} of seed {seed} did not end well")
    return compared


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="at most so many")
    parser.add_argument("--keep-going", action="store_true", help="after something was found")
    options = parser.parse_args()
    faulthandler.enable()
    start, shown, compared, found = time.monotonic(), 0.0, 0, 0
    number = options.first
    while (
        number < options.first + options.cases and (spent := time.monotonic() - start) < options.seconds
    ):
        if spent - shown > 10:
            print(
                f"{number - options.first} cases, {compared} calls compared, {spent:.0f} s", flush=True
            )
            shown = spent
        try:
            compared += run_cases(options.seed, [number])
        except Finding as finding:
            found += 1
            print(f"{finding}\n", flush=True)
            if not options.keep_going:
                raise
        number += 1
    print(f"{number - options.first} cases, {compared} calls compared, {found} findings")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
