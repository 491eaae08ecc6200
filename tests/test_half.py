"""Half precision: float16 and the bfloat16 of ml_dtypes, which are computed in float32 and rounded once.

NumPy and ml_dtypes say what a number is rounded to; what a function is in float32 is tested elsewhere.
"""

import subprocess
import sys
import tracemalloc
from functools import partial
from itertools import product

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import backend as control
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

ml_dtypes = pytest.importorskip("ml_dtypes")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

FUNCTIONS = [operation for operation in OPERATIONS if operation.kind != "update"]
BY_NAME = {operation.name: operation for operation in OPERATIONS}

halves = pytest.mark.parametrize("dtype", [np.dtype(np.float16), BFLOAT16], ids=str)
functions = pytest.mark.parametrize("operation", FUNCTIONS, ids=lambda operation: operation.name)


def every(dtype):
    """All the numbers there are."""
    return np.arange(1 << 16, dtype=np.uint16).view(dtype)


@np.errstate(all="ignore")
def rounded(x, dtype):
    return np.asarray(x).astype(dtype)


@np.errstate(invalid="ignore")  # signalling NaNs
def assert_same(got, want, signs=True):
    """The same bits, but for what a NaN carries and without `signs` the sign of a zero."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))
    if signs:
        number = ~np.isnan(want)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


def results(function, *arguments, **keywords):
    got = function(*arguments, **keywords)
    return got if isinstance(got, tuple) else (got,)


def calls(*kinds):
    """The name of each function of these kinds with each of its options."""
    pairs = [(f.name, options) for f in FUNCTIONS if f.kind in kinds for options in f.options]
    return pytest.mark.parametrize(("name", "options"), pairs, ids=str)


def as_type(arguments, dtype):
    return tuple(a.astype(dtype) if a.dtype.kind != "i" else a for a in arguments)


# ---- conversions -------------------------------------------------------------------------------------


@halves
def test_every_number_is_widened_exactly(backend, dtype):
    x = every(dtype).reshape(-1, 16)
    for array in (x, x.T.copy().T, x[::-1, ::-1]):
        got = ff.bias_identity(array, np.full(16, -0.0, np.float32))
        assert_same(got, array.astype(np.float32))


def between(dtype):
    """Each float32 in the middle between two neighbours, and those next to it."""
    finite = np.arange(0x7C00 if dtype == np.float16 else 0x7F80, dtype=np.uint16)
    low = finite.view(dtype).astype(np.float64)
    with np.errstate(all="ignore"):
        # Beyond the largest number the next one would be, were there room for its exponent.
        high = np.append(low[1:], 2 * low[-1] - low[-2])
    middle = ((low + high) / 2).astype(np.float32)
    assert (middle.astype(np.float64) == (low + high) / 2).all()
    return np.concatenate(
        [middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf))]
    )


@halves
def test_every_number_is_rounded_to_nearest_even(backend, dtype):
    bits = np.random.default_rng(0).integers(0, 1 << 32, 1 << 18, dtype=np.uint32)
    special = [
        0,
        1,
        2,
        0x7FFFFF,
        0x800000,
        0x7F7FFFFF,
        0x7F800000,
        0x7F800001,
        0x7FC00000,
        0x7FFFFFFF,
        0x7F802000,
    ]
    special += range(0, 1 << 18, 257)  # subnormal, as those of bfloat16 are
    x = np.concatenate(
        [between(dtype), bits.view(np.float32), np.array(special, np.uint32).view(np.float32)]
    )
    x = np.concatenate([x, -x])
    # The gradient of a row with y = 1 and t = 0 is what comes from behind.
    ones, zeros = np.ones((x.size, 1), dtype), np.zeros((x.size, 1), dtype)
    with np.errstate(all="ignore"):
        got = ff.sum_squared_error_backward(ones, zeros, x, reduction="none")[:, 0]
    assert_same(got, rounded(x, dtype))
    # Sixteen neighbours at a time, from a float16 that holds the upper bits of x and one the rest.
    blocks = got[: got.size // 16 * 16].reshape(-1, 16)
    assert_same(ff.identity(blocks), blocks)


@halves
def test_sums_are_rounded_once(backend, dtype):
    """x + b in float32 of numbers far apart: in the middle between two, and just beside."""
    x = every(dtype).reshape(-1, 64)
    for b in (0.00048828125, 2.0**-25, -(2.0**-9), 3 * 2.0**-12, 7.0, 65504.0, 32.0, 16.0):
        addend = np.full(64, b, dtype)
        with np.errstate(all="ignore"):
            want = rounded(x.astype(np.float32) + addend.astype(np.float32), dtype)
        assert_same(ff.bias_identity(x, addend), want)


@pytest.mark.parametrize(
    ("dtype", "largest", "step"),
    [(np.dtype(np.float16), 65504.0, 32.0), (BFLOAT16, 255 * 2.0**120, 2.0**120)],
    ids=str,
)
def test_beyond_the_range_is_infinity(backend, dtype, largest, step):
    """From half a step beyond the largest number on, as the rounding of float32 has it."""
    x = np.full((3, 20), largest, dtype)
    b = np.array([0.46875 * step, step / 2, -step, 0] * 5, dtype)
    want = [largest, np.inf, largest - step, largest] * 5
    np.testing.assert_array_equal(ff.bias_identity(x, b).astype(float), np.tile(want, (3, 1)))
    np.testing.assert_array_equal(ff.bias_identity(-x, -b).astype(float), -np.tile(want, (3, 1)))


# ---- functions ---------------------------------------------------------------------------------------


@halves
@calls("elementwise")
def test_every_number_through_every_function(backend, name, options, dtype):
    function = partial(getattr(ff, name), **options)
    x = every(dtype)
    pairs = (
        [(x,)]
        if len(BY_NAME[name].draw(np.random.default_rng(0), (2,), dtype)) == 1
        else [(x, x), (x, np.roll(x, 12345)), (np.roll(x, 40000), x)]
    )
    signs = not backend.startswith("numpy")  # 0 times a negative number is -0 there, piece by piece
    for arguments in pairs:
        wide = function(*as_type(arguments, np.float32))
        want = rounded(wide, dtype)
        assert_same(function(*arguments), want, signs)
        assert_same(function(*(a[::-3] for a in arguments)), want[::-3], signs)
        out = arguments[0].copy()
        assert function(out, *arguments[1:], out=out) is out
        assert_same(out, want, signs)


@halves
@calls("bias")
@np.errstate(invalid="ignore")  # signalling NaNs
def test_every_number_with_a_bias(backend, name, options, dtype):
    """Those back through a bias: of the sums only that they are what they are in float32."""
    x, b = every(dtype).reshape(-1, 32), rounded(np.linspace(-3, 3, 32), dtype)
    function = partial(getattr(ff, name), **options)
    arguments = (x, b)
    if name.endswith("_backward_bias"):
        dy = np.roll(x, 1234).reshape(x.shape)
        takes_bias = len(BY_NAME[name].draw(np.random.default_rng(0), (2, 2), dtype)) == 3
        arguments = (dy, x, b) if takes_bias else (dy, x)
    signs = not backend.startswith("numpy")
    want = [rounded(a, dtype) for a in results(function, *as_type(arguments, np.float32))]
    for layout in (np.ascontiguousarray, np.asfortranarray):
        got = results(function, *(layout(a) for a in arguments))
        for one, other in zip(got, want, strict=True):
            assert_same(one, other, signs)


LAYOUTS = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "apart": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "back": lambda a: a[..., ::-1].copy()[..., ::-1],
    "misplaced": lambda a: np.concatenate([a[:1], a])[1:],
}
SHAPES = [
    (1, 1),
    (3, 5),
    (64, 10),
    (17, 33),
    (6, 16),
    (5, 300),
    (2, 5, 210),
    (1, 4100),
    (40, 17),
    (300, 3),
    (3, 1100),
]


@halves
@functions
def test_as_in_float32(backend, operation, dtype):
    """Rounded once from what the same call gives in float32, over shapes and layouts."""
    function, rng = getattr(ff, operation.name), np.random.default_rng(1)
    for shape in SHAPES:
        drawn = as_type(operation.draw(rng, shape, np.float32), dtype)
        for layout, options in product(LAYOUTS.values(), operation.options):
            half = tuple(layout(a) if a.ndim and a.dtype == dtype else a for a in drawn)
            wide = tuple(a.astype(np.float32) if a.dtype == dtype else a for a in half)
            call = partial(function, **options)
            for got, want in zip(results(call, *half), results(call, *wide), strict=True):
                if operation.kind == "loss" and got.ndim == 0:
                    assert got.dtype == np.float32
                    np.testing.assert_allclose(got, want, rtol=3e-7)
                elif backend == "numpy":  # which may add in another order where the layout is another
                    assert got.dtype == dtype
                    want = rounded(want, dtype).astype(float)
                    step = float(ml_dtypes.finfo(dtype).eps) * np.abs(want) + 1e-7
                    assert (np.abs(got.astype(float) - want) <= step).all()
                else:
                    assert_same(got, rounded(want, dtype))


@halves
@functions
def test_against_the_textbook(backend, operation, dtype):
    if operation.name == "softmax_cross_entropy_backward":
        pytest.skip("rests on probabilities that sum to 1, which those of half precision do not")
    function, rng = getattr(ff, operation.name), np.random.default_rng(2)
    for shape in [(64, 10), (9, 1000)]:
        arguments = as_type(operation.draw(rng, shape, np.float32), dtype)
        eps = float(ml_dtypes.finfo(dtype).eps)
        for options in operation.options:
            want = results(operation.textbook, *as_type(arguments, np.float64), **options)
            for got, exact in zip(results(function, *arguments, **options), want, strict=True):
                limit = eps * np.abs(exact) + 1e-3 * eps * np.abs(exact).max()
                assert (np.abs(np.asarray(got, float) - exact) <= limit + 1e-7).all()


@halves
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize(
    "name", ["softmax", "log_softmax", "logsumexp", "softmax_backward", "log_softmax_backward"]
)
def test_along_any_axis(backend, name, axis, dtype):
    operation, function = BY_NAME[name], getattr(ff, name)
    for shape in [(5, 6, 7), (20, 3, 33), (70, 40, 2), (2, 2100, 16)]:
        half = as_type(operation.draw(np.random.default_rng(3), shape, np.float32), dtype)
        want = rounded(function(*as_type(half, np.float32), axis=axis), dtype)
        got = function(*half, axis=axis)
        if backend == "numpy":
            np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-2, atol=1e-6)
        else:
            assert_same(got, want)
        if name != "logsumexp":
            out = half[0].copy()
            assert function(out, *half[1:], axis=axis, out=out) is out
            assert_same(out, got)
        else:
            kept = function(*half, axis=axis, keepdims=True)
            assert_same(np.squeeze(kept, axis), got)
            out = np.empty_like(got)
            assert function(*half, axis=axis, out=out) is out
            assert_same(out, got)


def widened(keywords):
    """The same with weights in float64."""
    weights = {key: w.astype(np.float64) for key, w in keywords.items() if key.endswith("weight")}
    return {**keywords, **weights}


def row_weights(rng, rows, dtype):
    """Weights of rows, of which some do not count; what lies behind them could be weights too."""
    return rounded(rng.choice([0, 0.5, 1, 2.75], 2 * rows), dtype)[:rows]


@halves
@pytest.mark.parametrize(
    "options",
    [
        {"weight": True},
        {"ignore_index": 2},
        {"label_smoothing": 0.1},
        {"reduction": "none"},
        {"reduction": "sum"},
        {"weight": True, "ignore_index": 1, "label_smoothing": 0.2},
        {"sample_weight": np.float32},
        {"sample_weight": np.float64, "weight": True, "ignore_index": 1},
        {"sample_weight": "same"},
        {"sample_weight": "same", "label_smoothing": 0.1, "reduction": "none"},
        {"sample_weight": "same", "probabilities": "same"},
        {"probabilities": np.float32},
        {"probabilities": np.float64},
        {"probabilities": "same"},
        {"probabilities": "same", "weight": True, "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_cross_entropy_options(backend, options, dtype):
    options, rng = dict(options), np.random.default_rng(4)
    for rows, classes in [(33, 10), (7, 1000)]:
        x = rounded(3 * rng.standard_normal((rows, classes)), dtype)
        t = rng.integers(0, classes, rows)
        kind = options.get("probabilities")
        if kind is not None:
            t = rounded(rng.dirichlet(np.ones(classes), rows), dtype).astype(
                dtype if kind == "same" else kind
            )
        keywords = {key: value for key, value in options.items() if key != "probabilities"}
        if keywords.get("weight"):
            keywords["weight"] = rng.uniform(0.5, 2, classes).astype(np.float32)
        if keywords.get("sample_weight"):
            of = keywords["sample_weight"]
            keywords["sample_weight"] = row_weights(rng, rows, dtype if of == "same" else of)
        wide = x.astype(np.float32), t.astype(np.float32) if kind == "same" else t
        want_loss, want = ff.softmax_cross_entropy_with_grad(*wide, **widened(keywords))
        loss, grad = ff.softmax_cross_entropy_with_grad(x, t, **keywords)
        assert loss.dtype == np.float32 and grad.dtype == dtype
        np.testing.assert_allclose(loss, want_loss, rtol=1e-6)
        np.testing.assert_allclose(
            grad.astype(float), rounded(want, dtype).astype(float), rtol=1e-2, atol=1e-7
        )
        np.testing.assert_allclose(ff.softmax_cross_entropy(x, t, **keywords), want_loss, rtol=1e-6)
        out = x.copy()
        loss, got = ff.softmax_cross_entropy_with_grad(out, t, **keywords, out=out)
        assert got is out
        assert_same(out, grad)
        p = ff.softmax(x)
        back = ff.softmax_cross_entropy_backward(p, t, **keywords)
        wider = ff.softmax_cross_entropy_backward(p.astype(np.float32), wide[1], **widened(keywords))
        assert back.dtype == dtype
        np.testing.assert_allclose(
            back.astype(float), rounded(wider, dtype).astype(float), rtol=1e-2, atol=1e-7
        )


def same_as_in_float32(name, arguments, keywords, dtype):
    """A loss of one array and the targets, its gradient, both, and the gradient in place."""
    wide = as_type(arguments, np.float32)
    loss, grad = getattr(ff, f"{name}_with_grad")(*arguments, **keywords)
    want_loss, want = getattr(ff, f"{name}_with_grad")(*wide, **widened(keywords))
    assert loss.dtype == np.float32 and grad.dtype == dtype
    np.testing.assert_allclose(loss, want_loss, rtol=1e-6)
    np.testing.assert_allclose(getattr(ff, name)(*arguments, **keywords), want_loss, rtol=1e-6)
    assert_same(grad, rounded(want, dtype))
    assert_same(getattr(ff, f"{name}_backward")(*arguments, **keywords), grad)
    dloss = 0.375
    if keywords.get("reduction") == "none":
        dloss = np.linspace(-1, 2, np.size(want_loss)).reshape(np.shape(want_loss))
    back = getattr(ff, f"{name}_backward")
    want = back(*wide, dloss, **widened(keywords))
    assert_same(back(*arguments, dloss, **keywords), rounded(want, dtype))
    out = arguments[0].copy()
    assert getattr(ff, f"{name}_with_grad")(out, *arguments[1:], **keywords, out=out)[1] is out
    assert_same(out, grad)


@halves
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", [np.float32, np.float64, "same", None], ids=str)
def test_squared_error_with_weights_of_rows(backend, kind, reduction, dtype):
    """Rows short enough for spans of many, of which the last is shorter, and rows of several buffers."""
    rng = np.random.default_rng(9)
    for shape in [(3, 2), (700, 3), (33, 128), (5, 129), (9, 3000), (1, 1)]:
        y, t = (rounded(rng.standard_normal(shape), dtype) for _ in range(2))
        keywords = {"reduction": reduction}
        if kind is not None:
            keywords["sample_weight"] = row_weights(rng, shape[0], dtype if kind == "same" else kind)
            y[keywords["sample_weight"].astype(float) == 0, -1] = np.nan  # which nobody asks for
        same_as_in_float32("sum_squared_error", (y, t), keywords, dtype)


@halves
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "weights",
    [(), ("weight",), ("pos_weight",), ("sample_weight",), ("weight", "pos_weight", "sample_weight")],
    ids=" ".join,
)
def test_sigmoid_cross_entropy_with_weights(backend, weights, reduction, dtype):
    rng = np.random.default_rng(10)
    for shape in [(1, 1), (40, 7), (3, 2000), (1500, 2)]:
        x, t = rounded(4 * rng.standard_normal(shape), dtype), rounded(rng.random(shape), dtype)
        for kind in (np.float32, np.float64, dtype):
            keywords = {name: row_weights(rng, shape[-1], kind) for name in weights}
            if "sample_weight" in weights:
                keywords["sample_weight"] = row_weights(rng, shape[0], kind)
            keywords["reduction"] = reduction
            same_as_in_float32("sigmoid_cross_entropy", (x, t), keywords, dtype)


@halves
def test_sigmoid_cross_entropy_of_every_number(backend, dtype):
    x = every(dtype)
    for t in (np.zeros_like(x), np.ones_like(x), np.full_like(x, 0.25)):
        keywords = {"reduction": "none"}
        wide = as_type((x, t), np.float32)
        loss, grad = ff.sigmoid_cross_entropy_with_grad(x, t, **keywords)
        want_loss, want = ff.sigmoid_cross_entropy_with_grad(*wide, **keywords)
        assert_same(loss, want_loss)
        assert_same(grad, rounded(want, dtype))


@halves
def test_sigmoid_cross_entropy_of_two_types(backend, dtype):
    """The gradient has the type of the logits."""
    rng = np.random.default_rng(11)
    x, t = rng.standard_normal((30, 50)), rng.random((30, 50))
    other = BFLOAT16 if dtype == np.float16 else np.dtype(np.float16)
    for mine, theirs in product([dtype, np.float32, np.float64], [dtype, other, np.float32, np.float64]):
        a, b = rounded(x, mine), rounded(t, theirs)
        work = np.float64 if mine == np.float64 else np.float32
        loss, grad = ff.sigmoid_cross_entropy_with_grad(a, b)
        want_loss, want = ff.sigmoid_cross_entropy_with_grad(a.astype(work), b.astype(work))
        assert grad.dtype == mine
        np.testing.assert_allclose(loss, want_loss, rtol=1e-6)
        assert_same(grad, rounded(want, mine))


# ---- dtypes and outputs ------------------------------------------------------------------------------


@halves
@pytest.mark.parametrize("other", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name",
    [
        "relu_backward",
        "tanh_backward",
        "identity_backward",
        "softmax_backward",
        "relu_backward_bias",
        "silu_backward",
        "gelu_backward",
        "sum_squared_error_with_grad",
    ],
)
def test_with_a_wider_one(backend, name, other, dtype):
    """The wider dtype is that of the result, as if the other had been converted before."""
    function, rng = getattr(ff, name), np.random.default_rng(5)
    for shape in [(4, 7), (50, 33), (3, 2000)]:
        a, b = rounded(rng.standard_normal(shape), dtype), rng.random(shape).astype(other)
        for pair in ((a, b), (b, a), (np.asfortranarray(a), b)):
            want = results(function, *(x.astype(other) for x in pair))
            for got, expected in zip(results(function, *pair), want, strict=True):
                assert got.dtype == other
                np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)
        out = np.empty(shape, other)
        assert results(function, a, b, out=out)[-1 if "squared" in name else 0] is out
        np.testing.assert_array_equal(out, results(function, a, b)[-1 if "squared" in name else 0])


@halves
def test_with_a_wider_bias(backend, dtype):
    rng = np.random.default_rng(6)
    for shape in [(5, 3), (40, 300), (3, 5000)]:
        x, b = (
            rounded(rng.standard_normal(shape), dtype),
            rng.standard_normal(shape[-1:]).astype(np.float32),
        )
        got = ff.bias_tanh(x, b)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, ff.bias_tanh(x.astype(np.float32), b))
        y, c = x.astype(np.float32), rounded(b, dtype)
        np.testing.assert_array_equal(ff.bias_tanh(y, c), ff.bias_tanh(y, c.astype(np.float32)))
        dy = rounded(rng.standard_normal(shape), dtype)
        for arguments in [(dy, x, b), (dy, y, b), (dy, y, c), (dy.astype(np.float32), x, c)]:
            got = ff.silu_backward_bias(*arguments)
            want = ff.silu_backward_bias(*as_type(arguments, np.float32))
            for one, other in zip(got, want, strict=True):
                assert one.dtype == np.float32
                np.testing.assert_array_equal(one, other)


@halves
def test_outputs(backend, dtype):
    x = rounded(np.linspace(-4, 4, 60).reshape(6, 10), dtype)
    want = ff.sigmoid(x)
    room = np.zeros((6, 20), dtype)
    assert ff.sigmoid(x, out=room[:, ::2]) is not None
    assert_same(room[:, ::2], want)
    assert (room[:, 1::2] == 0).all()
    for wrong in (np.float32, np.float64, BFLOAT16 if dtype == np.float16 else np.float16):
        out = np.full((6, 10), 7, wrong)
        with pytest.raises(TypeError, match=f"out: expected dtype {dtype}, got {np.dtype(wrong)}"):
            ff.sigmoid(x, out=out)
        assert (out == 7).all()
    with pytest.raises(ValueError, match="out: expected memory apart from x, or exactly the same array"):
        ff.sigmoid(x.reshape(-1)[:-1], out=x.reshape(-1)[1:])
    with pytest.raises(ValueError, match="out: expected a writeable array"):
        x.flags.writeable = False
        ff.sigmoid(x, out=x)
    with pytest.raises(TypeError, match="out: expected dtype float32, got"):
        ff.softmax_cross_entropy(x, [0] * 6, out=np.empty((), dtype))
    value = np.empty((), np.float32)
    assert ff.softmax_cross_entropy(x, [0] * 6, out=value) is value
    assert value == ff.softmax_cross_entropy(x, [0] * 6)
    each = np.empty(6, np.float32)
    assert ff.softmax_cross_entropy(x, np.zeros(6, int), reduction="none", out=each) is each
    np.testing.assert_array_equal(each, ff.softmax_cross_entropy(x, [0] * 6, reduction="none"))
    assert ff.sum_squared_error(x, x, out=value) is value and value == 0


@halves
def test_small_broadcast_and_misplaced_arrays(backend, dtype):
    assert ff.relu(dtype.type(-2)).dtype == dtype and ff.relu(dtype.type(-2)).ndim == 0
    assert ff.tanh(np.zeros((0, 3), dtype)).shape == (0, 3)
    for n in range(1, 70):
        x = rounded(np.linspace(-3, 3, n), dtype)
        assert_same(ff.tanh(x), rounded(ff.tanh(x.astype(np.float32)), dtype))
        assert_same(ff.relu(x), rounded(np.maximum(x.astype(np.float32), 0), dtype))
    wide = np.broadcast_to(rounded([[1.5], [-2.0]], dtype), (2, 40))
    assert_same(ff.sigmoid(wide), np.repeat(ff.sigmoid(wide[:, :1]), 40, 1))
    raw = np.zeros(2 * 50 + 1, np.uint8)
    off = raw[1:].view(dtype)
    assert not off.flags.aligned
    off[...] = rounded(np.linspace(-2, 2, 50), dtype)
    assert_same(ff.tanh(off), ff.tanh(off.copy()))
    before = off.copy()
    ff.tanh(off, out=off)
    assert_same(off.copy(), ff.tanh(before))
    if dtype == np.float16:
        swapped = before.astype(">f2")
        assert_same(ff.tanh(swapped), ff.tanh(before))


def test_other_short_types_are_refused(backend):
    for kind in (ml_dtypes.float8_e4m3fn, np.complex64):
        with pytest.raises(TypeError, match="x: expected real numbers"):
            ff.relu(np.zeros(3, kind))


@halves
@pytest.mark.parametrize("name", list(UPDATE_NUMBERS))
def test_gradient_of_an_update(backend, name, dtype):
    rng = np.random.default_rng(7)
    for layout in (lambda a: a, lambda a: np.asfortranarray(a)[::-1]):
        arrays = BY_NAME[name].draw(rng, (40, 50), np.float32)
        grad = layout(rounded(rng.standard_normal((40, 50)), dtype))
        mine, theirs = [a.copy() for a in arrays], [a.copy() for a in arrays]
        getattr(ff, name)(mine[0], grad, *mine[2:], *UPDATE_NUMBERS[name])
        getattr(ff, name)(theirs[0], grad.astype(np.float32), *theirs[2:], *UPDATE_NUMBERS[name])
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        with pytest.raises(TypeError, match="param: expected dtype float32 or float64"):
            getattr(ff, name)(mine[0].astype(dtype), grad, *mine[2:], *UPDATE_NUMBERS[name])


@halves
def test_any_number_of_threads(backend, dtype):
    rng = np.random.default_rng(8)
    x, y = (rounded(rng.standard_normal((700, 300)), dtype) for _ in range(2))
    t, w = rng.integers(0, 300, 700), row_weights(rng, 700, dtype)
    calls = [
        lambda: ff.tanh(x),
        lambda: ff.relu_backward(x, y.T.copy().T),
        lambda: ff.softmax(x, axis=0),
        lambda: ff.softmax(x),
        lambda: ff.bias_relu(x, y[0]),
        lambda: ff.sigmoid_backward_bias(x, y),
        lambda: ff.softmax_cross_entropy_with_grad(x, t),
        lambda: ff.sum_squared_error_with_grad(x, y),
        lambda: ff.sum_squared_error_with_grad(x, y, sample_weight=w),
        lambda: ff.gelu(x),
        lambda: ff.silu_backward_bias(x, y, y[0]),
        lambda: ff.gelu_backward_bias(x.T, y.T, x[:, 0]),
        lambda: ff.sigmoid_cross_entropy_with_grad(x, np.abs(y), sample_weight=w),
    ]
    for call in calls:
        with ff.num_threads(1):
            want = call()
        with ff.num_threads(4):
            got = call()
        for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, want)), strict=True):
            assert_same(a, b)


# ---- memory ------------------------------------------------------------------------------------------

# `ru_maxrss` of a new process begins with what the one that started it has had.
MEMORY = """
import sys
import numpy as np, ml_dtypes, ffkernels as ff
ff.set_num_threads(2)  # each has a stack
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
dtype = np.dtype(sys.argv[1]) if sys.argv[1] == "float16" else np.dtype(ml_dtypes.bfloat16)
n, classes = 4000, 4000
x = np.ones((n, classes), dtype); y = np.ones((n, classes), dtype); out = np.ones((n, classes), dtype)
t = np.zeros(n, np.intp); b = np.ones(classes, dtype); float32 = np.ones((n, classes), np.float32)
calls = {
    "tanh": lambda: ff.tanh(x, out=out),
    "tanh, strided": lambda: ff.tanh(x[:, ::2], out=out[:, ::2]),
    "relu_backward": lambda: ff.relu_backward(x, y, out=out),
    "relu_backward, mixed": lambda: ff.relu_backward(x, float32, out=float32),
    "bias_relu": lambda: ff.bias_relu(x, b, out=out),
    "gelu": lambda: ff.gelu(x, out=out),
    "gelu_backward": lambda: ff.gelu_backward(x, y, out=out),
    "bias_silu": lambda: ff.bias_silu(x, b, out=out),
    "silu_backward_bias": lambda: ff.silu_backward_bias(x, y, b, out=out),
    "silu_backward_bias, mixed": lambda: ff.silu_backward_bias(x, float32, b, out=float32),
    "tanh_backward_bias": lambda: ff.tanh_backward_bias(x, y, out=out),
    "softmax": lambda: ff.softmax(x, out=out),
    "softmax, axis 0": lambda: ff.softmax(x, axis=0, out=out),
    "softmax_backward": lambda: ff.softmax_backward(x, y, out=out),
    "logsumexp": lambda: ff.logsumexp(x),
    "softmax_cross_entropy_with_grad": lambda: ff.softmax_cross_entropy_with_grad(x, t, out=out),
    "softmax_cross_entropy, probabilities": lambda: ff.softmax_cross_entropy(x, y),
    "cross_entropy": lambda: ff.cross_entropy(x, t),
    "sum_squared_error_with_grad": lambda: ff.sum_squared_error_with_grad(x, y, out=out),
    "the same, weighted": lambda: ff.sum_squared_error_with_grad(x, y, sample_weight=b, out=out),
    "sigmoid_cross_entropy": lambda: ff.sigmoid_cross_entropy_with_grad(x, y, weight=b, out=out),
    "sgd_update": lambda: ff.sgd_update(float32, y, 0.1),
}
ff.tanh(x[:10]); ff.softmax(x[:10]); ff.softmax_cross_entropy(x[:10], t[:10])
for name, call in calls.items():
    before = peak()
    call()
    grown = peak() - before
    if grown > 4096:
        print(f"{name}: {grown} KiB")
"""


def counts_memory():
    try:
        with open("/proc/self/status") as status:
            return "VmHWM" in status.read()
    except OSError:
        return False


@pytest.mark.memory
@pytest.mark.skipif(not counts_memory(), reason="nobody says how much memory there was at most")
@pytest.mark.skipif(control._compiled is None, reason="the twin has temporaries")
@halves
def test_no_temporary_as_large_as_the_array(dtype):
    """Each array takes 32 MB, in float32 64 MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(dtype)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""


@pytest.mark.memory
@halves
def test_the_twin_converts_rows_and_labels_in_pieces(dtype):
    """Each array takes 4 MB."""
    x, t = np.ones((2000, 1000), dtype), np.ones((2000, 1000), dtype)
    out, classes = np.empty_like(x), np.zeros(2000, np.intp)
    calls = [
        lambda: ff.softmax(x, out=out),
        lambda: ff.log_softmax(x.reshape(50, 40, 1000), out=out.reshape(50, 40, 1000)),
        lambda: ff.softmax_backward(x, t, out=out),
        lambda: ff.log_softmax_backward(x, t, out=out),
        lambda: ff.logsumexp(x),
        lambda: ff.softmax_cross_entropy(x, classes),
        lambda: ff.softmax_cross_entropy_with_grad(x, classes, out=out),
        lambda: ff.sigmoid_cross_entropy(x, t),
        lambda: ff.sigmoid_cross_entropy_with_grad(x, t, out=out),
        lambda: ff.sigmoid_cross_entropy_backward(x, t, -2.0, out=out),
    ]
    with ff.use_backend("numpy"):
        for call in calls:
            call()
            tracemalloc.start()
            try:
                call()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert peak < 1 << 21


@halves
@pytest.mark.parametrize(
    "shape", [(3, 20000), (1, 40000), (700, 50), (3, 5, 7000), (40, 3, 200), (2, 0, 3), (20000, 1)]
)
def test_pieces_of_the_twin_are_whole_rows(dtype, shape):
    x, dy = (rounded(np.random.default_rng(k).normal(size=shape), dtype) for k in range(2))
    t = np.random.default_rng(2).integers(0, shape[-1], shape[:-1])
    calls = [
        lambda *a: ff.softmax(a[0]),
        lambda *a: ff.softmax(a[0][..., ::-1]),
        lambda *a: ff.softmax_backward(a[1], a[0]),
        lambda *a: ff.logsumexp(a[0], keepdims=True),
        lambda *a: ff.softmax_cross_entropy_with_grad(a[0], t)[1],
    ]
    with ff.use_backend("numpy"):
        for call in calls:
            assert_same(call(x, dy), rounded(call(x.astype(np.float32), dy.astype(np.float32)), dtype))
        wide = x.astype(np.float32)
        for reduction in ("mean", "none"):
            got = ff.softmax_cross_entropy(x, t, reduction=reduction)
            assert_same(got, ff.softmax_cross_entropy(wide, t, reduction=reduction))
