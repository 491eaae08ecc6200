"""Nothing crashes: any layout, type, value and option, and callers who change what they passed.

Both backends give the same result or the same refusal; no byte outside the outputs changes, and none
at all where a call is refused.
"""

from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ffkernels as ff
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

BY_NAME = {operation.name: operation for operation in OPERATIONS}
EXAMPLES = 30
GUARD = 77  # fits every type
SMALL = st.sampled_from([0, 1, 1, 2, 3])
# Around a block, two of them, a part of a sum, the longest rows of tiles, the first aligned span.
EDGES = [15, 16, 17, 31, 32, 33, 127, 128, 129, 20, 21, 40, 41, 57, 161, 255, 256, 257, 767, 768, 769]
FLOATS = st.sampled_from(["f4", "f4", "f4", "f8", "f8", "f2"])
OTHERS = st.sampled_from(["i1", "u8", "?", ">f4", ">f8", "g", "c8", "O"])
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 5e-324, 1e4, -1e4]
HUGE = [3.4e38, -3.4e38, 1e300, -1e300]
RELATIVE = {2: 2e-3, 4: 3e-6, 8: 1e-12}


def seldom(draw, times):
    return draw(st.sampled_from(range(times))) == times - 1


@st.composite
def shapes(draw):
    shape = [draw(SMALL) for _ in range(draw(st.sampled_from([2, 2, 2, 3, 3, 4, 1, 0])))]
    if shape and seldom(draw, 3):
        return tuple(shape)
    if shape:
        shape[draw(st.integers(0, len(shape) - 1))] = draw(st.sampled_from(EDGES))
    if len(shape) == 2 and seldom(draw, 2):
        shape[draw(st.integers(0, 1))] = draw(st.sampled_from(EDGES[:9]))
    return tuple(shape)


@st.composite
def layouts(draw, ndim):
    """How an array lies in memory: `layout(values)` is a view of them, and all that surrounds it."""
    axes = draw(st.permutations(range(ndim))) if draw(st.booleans()) else list(range(ndim))
    step = draw(st.sampled_from([None, None, 1, 2, 3, -1, -2])) if ndim else None
    axis = draw(st.integers(0, max(ndim - 1, 0)))
    first = draw(st.integers(1, 16))
    shift = seldom(draw, 10)

    def layout(values):
        shape = [values.shape[a] for a in axes]
        around = list(shape)
        if step is not None:
            around[axis] = 2 + abs(step) * shape[axis]
        size = int(np.prod(around))
        memory = np.full(size + first + 17, GUARD, values.dtype)
        flat = memory[first : first + size]
        if shift and values.dtype != object:  # not aligned
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

    return layout


@st.composite
def calls(draw, name):
    """`fresh(out)` makes the same arguments every time: positional, by keyword, and their memory."""
    operation, shape = BY_NAME[name], draw(shapes())
    seed = draw(st.integers(0, 2**32 - 1))
    smooth = operation.kind in ("elementwise", "update")
    special = draw(st.lists(st.sampled_from(SPECIAL + HUGE * smooth), max_size=3))
    try:
        values = operation.draw(np.random.default_rng(seed), shape, np.float64)
    except (IndexError, ValueError):  # no such rows: what a caller might try all the same
        values = np.ones(shape), np.ones(shape)
    values = [np.array(v) for v in values]
    dtype = draw(OTHERS if seldom(draw, 6) else FLOATS)
    options, axis = dict(draw(st.sampled_from(operation.options))), -1
    along = operation.kind in ("rows", "loss") and "squared" not in name
    if along and draw(st.booleans()):
        wrong = seldom(draw, 10) or not shape
        options["axis"] = axis = draw(st.integers(-len(shape) - wrong, len(shape) - 1 + wrong))
    if operation.kind == "loss":
        options["reduction"] = draw(st.sampled_from(["mean", "sum", "none"] * 3 + ["avg"]))
    if operation.kind == "loss" and along and -len(shape) <= axis < len(shape):
        classes = shape[axis]
        if draw(st.booleans()):
            low, high = draw(st.sampled_from([(0, classes)] * 5 + [(-1, classes + 1)]))
            reduced = np.delete(shape, axis).astype(int)
            values[1] = np.random.default_rng(seed).integers(low, max(high, low + 1), reduced)
            values[1] = values[1].astype(draw(st.sampled_from(["i8", "i4", "i8", ">i8", "u2"])))
        else:
            values[1] = np.random.default_rng(seed).uniform(0, 1, shape)
        if name.startswith("softmax"):
            if draw(st.booleans()):
                weight = np.random.default_rng(seed).uniform(0, 2, classes)
                options["weight"] = weight.astype(draw(FLOATS))
            options["ignore_index"] = draw(st.sampled_from([None, None, 0, 1, -1, 2**70]))
            options["label_smoothing"] = draw(st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 1, 2.0]))
        else:
            options["eps"] = draw(st.sampled_from([0.0, 0.0, 1e-6, 1, -1.0]))
        if name.endswith("backward"):
            each = np.linspace(-1, 1, values[1].size).reshape(values[1].shape)
            options["dloss"] = draw(st.sampled_from([1.0, 2, np.float32(0.5), each]))
    if name == "logsumexp":
        options["keepdims"] = draw(st.booleans())
    for i, array in enumerate(values):
        if array.dtype == np.float64:
            if array.size:
                places = np.random.default_rng(seed + i).integers(0, array.size, len(special))
                array.flat[places] = special
            with np.errstate(all="ignore"):
                values[i] = array.astype("f8" if seldom(draw, 8) else dtype)
    forms = [draw(layouts(array.ndim)) for array in values]
    broadcast = operation.kind != "update" and seldom(draw, 8)
    numbers = UPDATE_NUMBERS.get(name, ())

    def fresh():
        pairs = [form(array) for form, array in zip(forms, values, strict=True)]
        arrays = [view for view, _ in pairs]
        if broadcast and arrays[0].ndim and len(arrays[0]):
            arrays[0] = np.broadcast_to(arrays[0][:1], arrays[0].shape)
        return arrays, numbers, dict(options), [memory for _, memory in pairs]

    return fresh


OUTS = [*["fresh"] * 8, *["same"] * 3, "none", "reversed", "shifted", "type", "shape", "fixed", "folded"]


@st.composite
def outputs(draw, result):
    """`output(arrays, memories)` makes the `out` of a call and all that surrounds it."""
    kind = draw(st.sampled_from(OUTS))
    like = np.asarray(result)
    if kind == "shape":
        like = like[..., None]
    form = draw(layouts(like.ndim))

    def output(arrays, memories):
        first = arrays[0]
        if kind == "none":
            return None, None
        if kind == "same":
            return first, memories[0]
        if kind == "reversed":
            return (first[::-1] if first.ndim else first), memories[0]
        if kind == "shifted" and memories[0].size > like.size:
            return memories[0][1 : 1 + like.size].reshape(like.shape), memories[0]
        if kind == "type":
            return form(np.full(like.shape, GUARD, "f8" if like.dtype == "f4" else "f4"))
        if kind == "folded" and like.ndim:
            memory = np.full(like.size + 1, GUARD, like.dtype)
            strides = (like.itemsize,) * like.ndim
            return np.lib.stride_tricks.as_strided(memory, like.shape, strides), memory
        view, memory = form(np.full(like.shape, GUARD, like.dtype))
        view.flags.writeable = kind != "fixed"
        return view, memory

    return output


def bytes_of(memory):
    return memory.tobytes() if memory.dtype != object else repr(memory.tolist())


def played(function, backend, fresh, output=None, in_place=False):
    """What a call gives, after a look at every byte it may not have written."""
    arrays, numbers, options, memories = fresh()
    written = [a for i, a in enumerate(arrays) if i != 1] if in_place else []
    if output is not None:
        out, memory = output(arrays, memories)
        options["out"] = out
        if out is not None:
            written = [out]
        if memory is not None and not any(memory is m for m in memories):
            memories.append(memory)
    before = [bytes_of(memory) for memory in memories]
    kept = [a.copy() for a in written]
    with ff.use_backend(backend):
        try:
            result = function(*arrays, *numbers, **options)
        except Exception as error:
            assert [bytes_of(memory) for memory in memories] == before, f"written to: {error}"
            return type(error), str(error)
    results = written if in_place else result if isinstance(result, tuple) else (result,)
    results = [r.copy() for r in results]
    for array, values in zip(written, kept, strict=True):
        array[...] = values
    assert [bytes_of(memory) for memory in memories] == before, "written outside the output"
    return tuple(results)


def check_alike(got, want):
    if isinstance(want[0], type) or isinstance(got[0], type):
        assert repr(got) == repr(want)
        return
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert type(g) is type(w) and g.dtype == w.dtype and g.shape == w.shape
        scale = np.max(np.abs(w), where=np.isfinite(w), initial=0)
        relative = RELATIVE[min(w.dtype.itemsize, 8)]
        np.testing.assert_allclose(g, w, rtol=relative, atol=relative * min(scale, 1e4) + 1e-15)


@pytest.fixture
def isas():
    """The instruction sets there are, each made the active one in turn."""
    before = ff.get_isa()
    if before is None:
        pytest.skip("no compiled kernels")

    def each():
        for isa in ff.show_config(mode="dicts")["isa supported"]:
            ff.set_isa(isa)
            yield isa

    yield each
    ff.set_isa(before)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_any_call(isas, name):
    function, in_place = getattr(ff, name), BY_NAME[name].kind == "update"

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    @np.errstate(all="ignore")
    def check(data):
        fresh = data.draw(calls(name))
        want = played(function, "numpy", fresh, in_place=in_place)
        for _ in isas():
            check_alike(played(function, "compiled", fresh, in_place=in_place), want)
        if in_place:
            return
        result = fresh()[0][:1] if isinstance(want[0], type) else want
        output = data.draw(outputs(result[-1 if BY_NAME[name].kind == "loss" else 0]))
        want = played(function, "numpy", fresh, output)
        for _ in isas():
            check_alike(played(function, "compiled", fresh, output), want)

    check()


def test_strides_of_a_single_element_say_nothing(backend):
    x = np.full((1, 1), -1, np.float32)
    assert ff.relu(x, out=x[::-1]) == 0 and x == 0


INDEX_LOSSES = [
    partial(ff.softmax_cross_entropy_backward, weight=np.ones(4, np.float32)),
    partial(ff.softmax_cross_entropy_backward, label_smoothing=0.1),
    ff.cross_entropy_backward,
]


@pytest.mark.parametrize("loss", range(len(INDEX_LOSSES)))
@pytest.mark.parametrize("wrong", [4, 10**12, -(10**12)])
def test_targets_that_change_during_the_call(backend, loss, wrong):
    if backend == "numpy":
        pytest.skip("NumPy looks at every index it uses")
    targets = np.array([1, 2, 3])

    class Changing:
        def __array__(self, dtype=None, copy=None):
            targets[:] = wrong
            return np.array(1.0)

    p = np.full((3, 4), 0.25, np.float32)
    assert (INDEX_LOSSES[loss](p, targets, Changing()) == 0).all()


def test_a_row_longer_than_memory(backend):
    if backend == "numpy":
        pytest.skip("NumPy would run for years")
    x = np.broadcast_to(np.float32(0), (2**60,))
    loss = partial(ff.softmax_cross_entropy, targets=np.array(0))
    for call in (ff.softmax, ff.relu, ff.logsumexp, loss, partial(loss, label_smoothing=0.1)):
        with pytest.raises(MemoryError):
            call(x)
