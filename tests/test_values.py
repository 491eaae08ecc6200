"""Every operation of the table, against its formula in float64, on every backend."""

import numpy as np
import pytest

import ffkernels
from ffkernels import activations, losses, optimizers
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

BY_NAME = {operation.name: operation for operation in OPERATIONS}
NAMES = sorted(BY_NAME)
SHAPES = [
    *((n,) for n in (1, 2, 15, 16, 17, 33)),
    *((rows, n) for rows in (1, 3, 16, 37) for n in (1, 2, 3, 10, 16, 17, 32, 33, 100)),
    (5, 1000), (2, 5000), (2, 3, 7), (4, 1, 33), (2, 3, 4, 5),
]  # fmt: skip
TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 5e-15}


def call(name, arguments, **options):
    if BY_NAME[name].kind == "update":
        arguments = [a.copy(order="K") if i != 1 else a for i, a in enumerate(arguments)]
        getattr(ffkernels, name)(*arguments, *UPDATE_NUMBERS[name])
        return tuple(a for i, a in enumerate(arguments) if i != 1)
    return getattr(ffkernels, name)(*arguments, **options)


def expected(name, arguments, options):
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arguments]
    return BY_NAME[name].textbook(*wide, **options)


def check(name, got, want, dtype):
    if not isinstance(want, tuple):
        got, want = (got,), (want,)
    for g, w in zip(got, want, strict=True):
        assert g.dtype == dtype and g.shape == np.shape(w)
        scale = TOLERANCE[np.dtype(dtype)] * max(1.0, float(np.max(np.abs(w), initial=0)))
        np.testing.assert_allclose(g, w, rtol=TOLERANCE[np.dtype(dtype)], atol=scale, err_msg=name)


def test_table_and_package_name_the_same_functions():
    public = {*activations.__all__, *losses.__all__}
    public |= {n for n in optimizers.__all__ if n.endswith("_update")}
    assert public == set(BY_NAME)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values(backend, name, dtype):
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        arguments = BY_NAME[name].draw(rng, shape, dtype)
        before = [a.copy() for a in arguments]
        for options in BY_NAME[name].options:
            got = call(name, arguments, **options)
            check(name, got, expected(name, arguments, options), dtype)
        for a, b in zip(arguments, before, strict=True):
            np.testing.assert_array_equal(a, b)


def layouts(array):
    """The same values in other places: Fortran order, steps, backwards, unaligned, swapped."""
    yield np.asfortranarray(array)
    wide = np.zeros(tuple(2 * n for n in array.shape), array.dtype)
    stepped = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    stepped[...] = array
    yield stepped
    yield array[tuple(slice(None, None, -1) for _ in array.shape)].copy()[
        tuple(slice(None, None, -1) for _ in array.shape)
    ]
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    yield raw
    yield array.astype(array.dtype.newbyteorder())


@pytest.mark.parametrize("name", [n for n in NAMES if BY_NAME[n].kind != "update"])
def test_layouts(backend, name):
    rng = np.random.default_rng(1)
    for shape in [(7, 5), (40, 33), (3, 4, 50), (20, 2)]:
        arguments = BY_NAME[name].draw(rng, shape, np.float64)
        for options in BY_NAME[name].options:
            want = expected(name, arguments, options)
            for versions in zip(*(layouts(a) for a in arguments), strict=True):
                check(name, call(name, versions, **options), want, np.float64)


@pytest.mark.parametrize("name", [n for n in NAMES if BY_NAME[n].kind == "rows"])
def test_axes(backend, name):
    rng = np.random.default_rng(2)
    for shape in [(6, 5, 4), (3, 17, 40), (50, 3, 2), (2, 33, 19)]:
        for axis in range(-3, 3):
            moved = np.moveaxis(np.empty(shape), axis, -1).shape
            arguments = BY_NAME[name].draw(rng, moved, np.float64)
            want = expected(name, arguments, {})
            if name != "logsumexp":
                want = np.moveaxis(want, -1, axis)
            placed = [np.ascontiguousarray(np.moveaxis(a, -1, axis)) for a in arguments]
            check(name, call(name, placed, axis=axis), want, np.float64)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if BY_NAME[n].kind != "update" and n != "logsumexp"]
)
def test_out_and_in_place(backend, name):
    rng = np.random.default_rng(3)
    plain_loss = BY_NAME[name].kind == "loss" and not name.endswith(("_with_grad", "_backward"))
    for shape in [(37, 10), (3, 100), (4, 3, 33)]:
        arguments = BY_NAME[name].draw(rng, shape, np.float32)
        want = call(name, arguments)
        array = want[-1] if isinstance(want, tuple) and "bias" not in name else want
        array = want[0] if "backward_bias" in name else array
        out = np.empty_like(array)
        got = call(name, arguments, out=out)
        array_got = got if not isinstance(got, tuple) else got[0 if "bias" in name else -1]
        assert array_got is out
        np.testing.assert_array_equal(out, array)
        for i, argument in enumerate(arguments):
            if plain_loss or argument.dtype.kind != "f" or argument.shape != array.shape:
                continue
            fresh = [a.copy() for a in arguments]
            call(name, fresh, out=fresh[i])
            np.testing.assert_array_equal(fresh[i], array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("_backward_bias")])
def test_backward_bias_over_blocks(backend, name, dtype):
    """dz is that of the function without a bias, bit for bit, and its sum is close to exact: over
    several spans and blocks of rows, wherever the arrays begin, and in place."""
    rng = np.random.default_rng(5)
    for rows, n in [(1, 1), (70, 10), (700, 100), (130, 1000), (5000, 7), (3, 40000)]:
        for first in range(3):
            drawn = rng.standard_normal(rows * n + first), rng.random(rows * n + first)
            dy, y = (a.astype(dtype)[first:].reshape(rows, n) for a in drawn)
            count = len(BY_NAME[name].draw(rng, (1, 1), dtype))
            bias = [rng.standard_normal(n).astype(dtype)] * (count - 2)
            want = getattr(ffkernels, name.removesuffix("_bias"))(dy, y + bias[0] if bias else y)
            exact = want.astype(np.longdouble).sum(0)
            for out in (None, y):
                dz, sums = getattr(ffkernels, name)(dy, y, *bias, out=out)
                np.testing.assert_array_equal(dz, want)
                error = np.finfo(dtype).eps * np.abs(want.astype(np.float64)).sum(0)
                assert (np.abs(sums - exact) <= 8 * error).all()


def test_types(backend):
    x = [[1, -2], [3, 4]]
    assert ffkernels.relu(x).dtype == np.float64
    assert ffkernels.relu(np.array(x, np.int8)).dtype == np.float64
    assert ffkernels.relu(np.array([True])).dtype == np.float64
    half = np.array(x, np.float16)
    assert ffkernels.softmax(half).dtype == np.float16
    np.testing.assert_array_equal(
        ffkernels.softmax(half), ffkernels.softmax(half.astype(np.float32)).astype(np.float16)
    )
    assert type(ffkernels.softmax_cross_entropy(half, [0, 1])) is np.float32
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert ffkernels.tanh(half.astype(ml_dtypes.bfloat16)).dtype == ml_dtypes.bfloat16
    with pytest.raises(TypeError, match="y: expected a dtype that goes with float16 of dy, got bfloat"):
        ffkernels.relu_backward(half, half.astype(ml_dtypes.bfloat16))
    with pytest.raises(TypeError, match="b: expected a dtype that goes with bfloat16 of x, got float"):
        ffkernels.bias_relu(half.astype(ml_dtypes.bfloat16), half[0])


@pytest.mark.parametrize("name", NAMES)
def test_empty(backend, name):
    operation = BY_NAME[name]
    shapes = [(0, 3)] if operation.kind in ("loss", "rows", "bias") else [(0,), (0, 3)]
    for shape in shapes:
        arguments = operation.draw(np.random.default_rng(4), (1, *shape[1:]), np.float32)
        arguments = [a[:0] if a.shape[:1] == (1,) else a for a in arguments]
        got = call(name, arguments)
        for part in got if isinstance(got, tuple) else (got,):
            assert np.all(np.asarray(part) == 0)
