"""How exact results are: a thinned run of `bench/accuracy.py` and of `bench/errors.py`, and that the
same input gives the same bits however it lies in memory and however many threads there are."""

import accuracy
import errors
import mpmath
import numpy as np
import pytest

import ffkernels as ff

#: What the twin is held to, in ulp: its formulas round four times where the kernels round once.
TWIN_BOUND = 5.0

#: And where it is off by more: e^z of a rounded z, 1 - s where s is nearly 1.
TWIN_BOUNDS = {
    "gelu": 20,
    "gelu tanh": 1000,
    "silu_backward": 40,
    "gelu_backward tanh": 300,
    "elu_backward": 4,
    "softplus_backward": 4,
}

#: What the twin is held to along rows: it rounds x - max, so that e^(x - max) is off by as many ulp as
#: half of the difference; where there is none to round, by a few.
TWIN_ROWS = {
    "normal": 24,
    "slow ramp": 24,
    "the same over normal logits": {"float32": 80, "float64": 640},
}
TWIN_LEVEL = 8

DTYPES = ["float32", "float64"]
WIDE = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant + 8


def reference_for(dtype):
    if dtype == "float64" and not WIDE:
        pytest.skip("long double is no wider here")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", accuracy.FUNCTIONS)
def test_elementwise(backend, name, dtype):
    reference_for(dtype)
    where = backend.rpartition(":")[2]
    kernels = accuracy.implementations()[where]
    if not hasattr(kernels, name.partition(" ")[0]):
        pytest.skip("the twin takes it from NumPy")
    tallies, _ = accuracy.measure(dtype, [name], {where: kernels}, thin=16384)
    tally = tallies[name, where]
    bound = TWIN_BOUNDS.get(name, TWIN_BOUND) if where == "numpy" else tally.bound
    assert tally.worst <= bound, tally.at
    assert tally.odd_ones == 0 and tally.wrong_limits == []
    assert where == "numpy" or tally.falls == 0


def test_tanh_where_it_is_hardest(backend):
    """Every float32 around the bounds of the first intervals, and float64 where it takes the next n."""
    if backend == "numpy":
        pytest.skip("the twin takes it from NumPy")
    first, last = np.array([0.6, 0.94], np.float32).view(np.int32)
    x = np.arange(first, last, dtype=np.int32).view(np.float32)
    y = ff.tanh(x)
    assert accuracy.ulps(y, np.tanh(x.astype(np.float64))).max() < 0.9
    assert (np.diff(y) >= 0).all()
    if WIDE:
        x = np.linspace(0.33, 0.75, 500_000)
        y = ff.tanh(x)
        assert accuracy.ulps(y, np.tanh(x.astype(np.longdouble))).max() < 0.92
        assert (np.diff(y) >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", accuracy.BACKWARDS)
def test_backward(backend, name, dtype):
    reference_for(dtype)
    where = backend.rpartition(":")[2]
    kernels = accuracy.implementations()[where]
    tally = accuracy.measure_backwards(dtype, [name], {where: kernels}, thin=256)[name, where]
    bound = TWIN_BOUNDS.get(name, tally.bound) if where == "numpy" else tally.bound
    assert tally.worst <= bound, tally.at
    assert tally.wrong_limits == []


def test_instruction_sets_differ_by_one_ulp_at_most():
    on = {name: m for name, m in accuracy.implementations().items() if name != "numpy"}
    for dtype in DTYPES:
        _, apart = accuracy.measure(dtype, list(accuracy.FUNCTIONS), on, thin=65536)
        # The tail of gelu: a table in registers against a formula, and many products, rounded or not.
        assert all(far <= (20 if name == "gelu" else 1) for name, far in apart.items()), apart


#: The references once more, in a hundred digits.
DIGITS = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "sigmoid_grad": lambda x: mpmath.exp(x) / (1 + mpmath.exp(x)) ** 2,
    "tanh_grad": lambda x: 1 / mpmath.cosh(x) ** 2,
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "gelu tanh": lambda x: (
        x / (1 + mpmath.exp(-mpmath.sqrt(8 / mpmath.pi) * (x + x**3 * 44715 / 10**6)))
    ),
}


@pytest.mark.skipif(not WIDE, reason="long double is no wider here")
@pytest.mark.parametrize("name", DIGITS)
def test_the_reference_itself(name):
    hard = np.array(accuracy.HARD)
    hard = np.concatenate([hard, -hard, -hard / 32])
    with np.errstate(all="ignore"):
        got = accuracy.FUNCTIONS[name].reference(hard.astype(np.longdouble))
    with mpmath.workdps(100):
        for x, y in zip(hard, got, strict=True):
            high = float(y)  # y in two parts that mpmath can take
            if not np.finfo(float).smallest_normal < abs(high) < np.inf:
                continue
            off = mpmath.mpf(high) + mpmath.mpf(float(y - high)) - DIGITS[name](mpmath.mpf(float(x)))
            # The argument of its e^z is rounded there, which is up to 400.
            bound = 0.25 if name == "gelu tanh" else 0.005
            assert abs(off) <= bound * float(accuracy.spacing(np.longdouble(high), np.float64)), x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", errors.CASES)
def test_softmax_and_losses(backend, case, dtype):
    reference_for(dtype)
    where = backend.rpartition(":")[2]
    bound = errors.BOUND[np.dtype(dtype)]
    if where == "numpy":
        bound = TWIN_ROWS.get(case, TWIN_LEVEL)
        bound = bound[dtype] if isinstance(bound, dict) else bound
    classes = (1, 2, 10, 33, 1000, 20_000)
    measured = errors.measure({where: errors.ours(where)}, classes, np.dtype(dtype), (case,))
    for (quantity, _, count), error in measured.items():
        # log-sum-exp near 0 is a difference: its last place is finer than that of its terms.
        if quantity != "logsumexp":
            assert error[where] <= bound, (quantity, count)


@pytest.mark.parametrize("maximum", [0, 0.3, -50.7, 300])
@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_down_to_nothing(backend, dtype, maximum):
    """Through normal and subnormal numbers to 0, one by one, in a tile and side by side."""
    if backend == "numpy":
        pytest.skip("it rounds the difference")
    reference_for(dtype)
    lowest, nothing = (80, 88.4) if dtype == "float32" else (700, 709.5)
    below = np.linspace(lowest, nothing + 20, 4001)
    x = np.stack([np.full(len(below), maximum), maximum - below], 1).astype(dtype)
    want = errors.exact(x, np.zeros(len(x), int))["softmax"]
    masked = np.full((len(x), 400), -np.inf, dtype)
    masked[:, [13, 307]] = x
    for got in (
        ff.softmax(x),
        ff.softmax(masked)[:, [13, 307]],
        ff.softmax(np.ascontiguousarray(x.T), 0).T,
    ):
        assert errors.error(got, want) <= errors.BOUND[np.dtype(dtype)]
        assert (got[:, 0] == 1).all()
        assert (np.diff(got[:, 1]) <= 0).all() and (got[below > nothing, 1] == 0).all()


@pytest.mark.parametrize("classes", [10, 300])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_of_any_log_probability(backend, dtype, classes):
    """dy - e^y sum(dy) where dy is 0 and its sum 1, for numbers that are no log-probabilities too."""
    reference_for(dtype)
    info = np.finfo(dtype)
    largest = float(np.log(np.longdouble(info.max)))
    y = np.linspace(-largest - 20, largest - 1, 100 * (classes - 1)).astype(dtype).reshape(100, -1)
    y[0, 1:9] = [-np.inf, np.inf, np.nan, 0, -0.0, 1e4, -1e4, largest + 1]
    dy = np.zeros((100, classes), dtype)
    dy[:, 0] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        got = ff.log_softmax_backward(dy, np.concatenate([np.zeros((100, 1), dtype), y], 1))[:, 1:]
        want = -np.exp(y.astype(np.longdouble))
        want[abs(want) > info.max] = -np.inf
    nan = np.isnan(y)
    assert np.isnan(got[nan]).all() and nan.sum() == 1
    infinite = np.isinf(want)
    np.testing.assert_array_equal(got[infinite], -np.inf)
    assert (got[want == 0] == 0).all()
    bound = TWIN_BOUND if backend == "numpy" else 2
    assert errors.error(got[~nan & ~infinite], want[~nan & ~infinite]) <= bound


def test_a_row_of_a_million(backend):
    """Equal terms are the worst for a sum: every addition errs to the same side."""
    if backend == "numpy":
        pytest.skip("NumPy sums in pairs")
    reference_for("float64")
    for dtype in (np.float32, np.float64):
        x = np.zeros((1, 1_000_000), dtype)
        x[0, 7] = 3.7
        exact = errors.exact(x, np.array([7]))
        got = errors.ours(backend.rpartition(":")[2])(x, np.array([7]))
        for quantity in ("loss", "gradient", "softmax"):
            assert errors.error(got[quantity], exact[quantity]) <= errors.BOUND[np.dtype(dtype)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_logits_have_equal_probabilities(backend, dtype):
    for value in np.random.default_rng(0).uniform(-300, 300, 40).astype(dtype):
        for classes in (2, 3, 40, 1000):
            p = ff.softmax(np.full((5, classes), value))
            assert (p == np.dtype(dtype).type(1 / classes)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(300, 10), (70, 33), (64, 1000)])
def test_gradient_rows_sum_to_zero(backend, shape, dtype):
    x = 3 * np.random.default_rng(1).standard_normal(shape).astype(dtype)
    t = np.arange(shape[0]) % shape[1]
    _, grad = ff.softmax_cross_entropy_with_grad(x, t, reduction="none")
    total = np.abs(grad.astype(np.longdouble).sum(axis=1))
    assert (total <= 4 * np.finfo(dtype).eps * np.abs(grad).max(axis=1)).all()


# ---- the same bits ---------------------------------------------------------------------------------


def results(x, t):
    """What all kernels of one array make of it, along the last axis where they have one."""
    singles = [getattr(ff, name)(x) for name in (*accuracy.FUNCTIONS, "softmax", "log_softmax")
               if hasattr(ff, name)]  # fmt: skip
    return [*singles, ff.logsumexp(x), *ff.softmax_cross_entropy_with_grad(x, t, reduction="none")]


def assert_same_bits(x, t, want):
    for got, expected in zip(results(x, t), want, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(67, 7), (40, 33), (9, 1003)])
def test_same_bits_at_every_alignment(backend, dtype, shape):
    rng = np.random.default_rng(2)
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    t = rng.integers(0, shape[1], shape[0])
    want = results(x, t)
    assert_same_bits(x, t, want)
    room = np.empty(x.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64
    for offset in range(0, 64, x.itemsize):
        moved = room[start + offset :][: x.nbytes].view(dtype).reshape(shape)
        moved[...] = x
        assert_same_bits(moved, t, want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 300), (1000, 331), (2, 33, 500)])
def test_same_bits_of_columns_at_every_alignment(backend, dtype, shape):
    rng = np.random.default_rng(3)
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    axis = len(shape) - 2
    t = rng.integers(0, shape[axis], (*shape[:axis], shape[-1]))

    def along_axis(x, out):
        y = [ff.softmax(x, axis, out).copy(), ff.log_softmax(x, axis, out).copy()]
        y += [ff.log_softmax_backward(y[0], y[1], axis, out).copy(), ff.logsumexp(x, axis)]
        return [*y, *ff.softmax_cross_entropy_with_grad(x, t, axis=axis, out=out)]

    want = [np.array(y) for y in along_axis(x, np.empty_like(x))]
    exact = np.exp(x - x.max(axis, keepdims=True).astype(np.float64))
    exact /= exact.sum(axis, keepdims=True)
    np.testing.assert_allclose(want[0], exact, rtol=100 * np.finfo(dtype).eps)
    room = np.empty(x.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64
    for offset in range(0, 64, 3 * x.itemsize):
        moved = room[start + offset :][: x.nbytes].view(dtype).reshape(shape)
        moved.fill(np.nan)
        for got, expected in zip(along_axis(x, moved), want, strict=True):
            np.testing.assert_array_equal(got, expected)
        moved[...] = x
        for got, expected in zip(along_axis(moved, np.empty_like(x)), want, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1003, 33])
def test_same_bits_in_every_layout(backend, dtype, classes):
    """Rows that are long enough not to go through a tile, in views of other arrays."""
    rng = np.random.default_rng(3)
    shape = (6, classes)
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    t = rng.integers(0, classes, shape[0])
    want = [getattr(ff, name)(x) for name in accuracy.FUNCTIONS if hasattr(ff, name)]
    spread = np.zeros((2 * shape[0], 3 * classes), dtype)
    spread[::2, ::3] = x
    layouts = [np.asfortranarray(x), spread[::2, ::3], x[::-1, ::-1].copy()[::-1, ::-1],
               np.stack([x, x], -1)[..., 0]]  # fmt: skip
    for view in layouts:
        got = [getattr(ff, name)(view) for name in accuracy.FUNCTIONS if hasattr(ff, name)]
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
    assert_same_bits(spread[::2, ::3], t, results(x, t))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(60_000, 10), (700, 1000), (3, 300_000)])
def test_same_bits_with_any_number_of_threads(backend, dtype, shape):
    rng = np.random.default_rng(4)
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    t = rng.integers(0, shape[1], shape[0])
    with ff.num_threads(1):
        want = results(x, t)
        loss = ff.softmax_cross_entropy(x, t)
    for threads in (1, 2, 3):
        with ff.num_threads(threads):
            assert_same_bits(x, t, want)
            assert ff.softmax_cross_entropy(x, t) == loss
