"""The loss of a linear layer without its logits, in blocks of any size, against maths on whole ones."""

from __future__ import annotations

import math
import re
import tracemalloc

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import _blas, _linear
from references import normal, slope

INF, NAN = np.inf, np.nan
FLOATS = [np.float32, np.float64]
N, D, C = 13, 6, 41


@pytest.fixture(autouse=True)
def _each(backend):
    """Every test runs on each backend."""


# Classes of a block, rows kept in the memory of dw, of the others rows at a time, whether they are kept.
WAYS = {
    "at once": _linear.Plan(C, 0, N, True),
    "kept": _linear.Plan(7, 0, 4, True),
    "in dw, then kept": _linear.Plan(7, D, 3, True),
    "in dw, then twice": _linear.Plan(10, 5, 8, False),
    "twice": _linear.Plan(7, 0, 5, False),
    "one by one": _linear.Plan(1, 1, 1, True),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS, indirect=True)


@pytest.fixture
def way(request, monkeypatch):
    """Takes the rows and classes of every call that way."""

    def plan(rows, features, classes, dtype, chunk_bytes, with_grads, is_copied):
        width, in_dw, height, is_kept = request.param
        if not with_grads or dtype not in FLOATS:
            in_dw, is_kept = 0, with_grads and height >= rows
        return _linear.Plan(width, min(in_dw, rows, features), height, is_kept)

    monkeypatch.setattr(_linear, "plan", plan)
    return request.param


def drawn(dtype=np.float64, scale=1.0, rows=N):
    x, w, b = normal(rows, D), scale * normal(D, C, seed=1), normal(C, seed=2)
    t = np.random.default_rng(3).integers(0, C, rows)
    return x.astype(dtype), w.astype(dtype), b.astype(dtype), t


def reference(
    x, w, t, b=None, *, weight=None, ignore_index=None, label_smoothing=0.0, sample_weight=None,
    reduction="mean",
):  # fmt: skip
    """Loss and gradients by their definition, in long double where there is one."""
    x, w = np.asarray(x, np.longdouble), np.asarray(w, np.longdouble)
    z = x @ w + (0 if b is None else np.asarray(b, np.longdouble))
    rows, classes = z.shape
    t = np.asarray(t)
    weight = np.ones(classes) if weight is None else np.asarray(weight, np.longdouble)
    each = np.ones(rows) if sample_weight is None else np.asarray(sample_weight, np.longdouble)
    counts, divisor = np.ones(rows, bool), each.sum()
    if t.ndim == 1:
        if ignore_index is not None:
            counts = t != ignore_index
        own = np.where(counts, t, 0)
        a, divisor = np.eye(classes)[own], (each * weight[own])[counts].sum()
    else:
        a = t.astype(np.longdouble)
    a = weight * ((1 - label_smoothing) * a + label_smoothing / classes) * (each * counts)[:, None]
    m = z.max(1, keepdims=True)
    log_p = z - m - np.log(np.exp(z - m).sum(1, keepdims=True))
    losses = -(a * log_p).sum(1)
    dz = np.exp(log_p) * a.sum(1, keepdims=True) - a
    if reduction != "none":
        factor = 1 if reduction == "sum" else 1 / divisor if divisor else 0
        losses, dz = losses.sum() * factor, dz * factor
    return losses, (dz @ w.T, x.T @ dz, None if b is None else dz.sum(0))


def check(got, want, dtype, ulps=64):
    loss, grads = got
    tolerance = ulps * np.finfo(dtype).eps
    assert np.asarray(loss).dtype == dtype
    np.testing.assert_allclose(loss, np.asarray(want[0], np.float64), rtol=tolerance, atol=tolerance)
    for grad, expected in zip(grads, want[1], strict=True):
        if expected is None:
            assert grad is None
            continue
        assert grad.dtype == dtype
        expected = expected.astype(np.float64)
        scale = max(float(abs(expected).max(initial=0)), 1e-30)
        np.testing.assert_allclose(grad, expected, rtol=0, atol=tolerance * max(scale, 1.0))


OPTIONS = {
    "plain": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "weight": {"weight": np.linspace(0, 2, C)},
    "ignored": {"ignore_index": 7},
    "ignored below": {"ignore_index": -100},
    "smoothing": {"label_smoothing": 0.2},
    "sample_weight": {"sample_weight": np.linspace(0, 3, N)},
    "sample_weight, none": {"sample_weight": np.arange(N) % 3, "reduction": "none"},
    "everything, sample_weight": {
        "weight": np.linspace(0, 2, C),
        "ignore_index": -100,
        "label_smoothing": 0.1,
        "sample_weight": np.arange(N) % 4 / 2,
    },
    "weights": {
        "weight": np.linspace(0, 2, C),
        "sample_weight": np.linspace(1, 0, N),
        "ignore_index": 7,
    },
    "everything": {"weight": np.linspace(0, 2, C), "ignore_index": -100, "label_smoothing": 0.1},
    "everything, none": {"weight": np.linspace(0.5, 2, C), "ignore_index": -100, "reduction": "none"},
}


@every_way
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_loss_and_gradients_by_their_definition(dtype, options, with_bias, way):
    x, w, b, t = drawn(dtype)
    t[[2, 5, 12]] = options.get("ignore_index", t[0])
    given = (x, w, t, b) if with_bias else (x, w, t)
    before = [array.copy() for array in given]
    want = reference(*given, **options)
    check(ff.linear_cross_entropy_with_grad(*given, **options), want, dtype)
    loss = ff.linear_cross_entropy(*given, **options)
    check((loss, ()), (want[0], ()), dtype)
    for array, kept in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, kept)


@every_way
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": np.linspace(0, 2, C), "label_smoothing": 0.3},
        {"sample_weight": np.arange(N) % 3},
        {"weight": np.linspace(0, 2, C), "label_smoothing": 0.3, "sample_weight": np.arange(N) / 4},
    ],
)
def test_probabilities_as_targets(options, way):
    x, w, b, _ = drawn()
    t = np.random.default_rng(0).dirichlet(np.ones(C), N)
    for targets in (t, t > 0.05, t.astype(np.float32)):
        want = reference(x, w, targets, b, **options)
        got = ff.linear_cross_entropy_with_grad(x, w, targets, b, **options)
        check(got, want, np.float64)


@every_way
def test_gradients_against_finite_differences(way):
    if way.width == 1:
        pytest.skip("takes ten seconds")
    x, w, b, t = drawn(rows=4)
    _, grads = ff.linear_cross_entropy_with_grad(x, w, t, b)
    for array, grad in zip((x, w, b), grads, strict=True):
        want = slope(lambda: ff.linear_cross_entropy(x, w, t, b), array)
        np.testing.assert_allclose(grad, want, rtol=1e-6, atol=1e-8)


LAYOUTS = {
    "C": lambda m: m,
    "transpose": lambda m: np.asfortranarray(m),
    "every second row": lambda m: np.repeat(m, 2, axis=0)[::2],
    "every second column": lambda m: np.repeat(m, 2, axis=1)[:, ::2],
    "backwards": lambda m: m[::-1, ::-1].copy()[::-1, ::-1],
    "byte-swapped": lambda m: m.astype(m.dtype.newbyteorder()),
    "read-only": lambda m: np.frombuffer(m.tobytes(), m.dtype).reshape(m.shape),
}


@every_way
@pytest.mark.parametrize(
    ("of_x", "of_w"), [*((layout, "C") for layout in LAYOUTS), *(("C", layout) for layout in LAYOUTS)]
)
def test_any_strides(of_x, of_w, way):
    x, w, b, t = drawn()
    t[3] = -1
    want = reference(x, w, t, b, ignore_index=-1)
    x, w = LAYOUTS[of_x](x), LAYOUTS[of_w](w)
    got = ff.linear_cross_entropy_with_grad(x, w, t, b, ignore_index=-1)
    check(got, want, np.float64)
    if of_w == "transpose":
        assert got[1][1].flags.f_contiguous


@every_way
@pytest.mark.parametrize("layout", ["C", "transpose", "every second row", "every second column"])
def test_out(layout, way):
    x, w, b, t = drawn()
    want = reference(x, w, t, b)
    out = LAYOUTS[layout](np.full((N, D), NAN)), LAYOUTS[layout](np.full((D, C), NAN)), np.full(C, NAN)
    got = ff.linear_cross_entropy_with_grad(x, w, t, b, out=out)
    check(got, want, np.float64)
    assert all(grad is given for grad, given in zip(got[1], out, strict=True))
    dw = np.empty((D, C))
    loss, (dx, same, db) = ff.linear_cross_entropy_with_grad(x, w, t, out=[None, dw, None])
    assert same is dw and db is None
    check((loss, (dx, dw, db)), reference(x, w, t), np.float64)


def test_lists_and_integers_are_float64():
    x, w, t = [[1, 2], [3, -1]], [[1, 0, 2], [0, 1, 1]], [2, 0]
    b = [0, 1, 0]
    check(ff.linear_cross_entropy_with_grad(x, w, t, b), reference(x, w, t, b), np.float64)


@every_way
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(way, dtype, order):
    """In blocks, and each gradient rounded once."""
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x, w, b, t = drawn(dtype)
    w = np.asarray(w, order=order)
    t[3] = -1
    loss, grads = ff.linear_cross_entropy_with_grad(x, w, t, b, ignore_index=-1)
    want = reference(x, w, t, b, ignore_index=-1)
    assert loss.dtype == np.float32 and loss == pytest.approx(float(want[0]), rel=1e-6)
    assert ff.linear_cross_entropy(x, w, t, b, ignore_index=-1) == pytest.approx(float(loss), rel=1e-6)
    for grad, like, exact in zip(grads, (x, w, b), want[1], strict=True):
        assert grad.dtype == like.dtype and grad.strides == like.strides
        exact = exact.astype(np.float64)
        # Between what the bounds of float32's result round to: a sum may lie beside the middle of two.
        low, high = ((exact + step).astype(like.dtype) for step in (-1e-7, 1e-7))
        assert np.all((low <= grad) & (grad <= high))
    out = tuple(np.full(like.shape, NAN, like.dtype) for like in (x, w, b))
    _, again = ff.linear_cross_entropy_with_grad(x, w, t, b, ignore_index=-1, out=out)
    for one, other, given in zip(grads, again, out, strict=True):
        assert other is given
        np.testing.assert_array_equal(one, other)


def test_half_precision_beyond_its_range_is_infinity():
    x, w = np.full((2, 1), 60000, np.float16), np.zeros((1, 2), np.float16)
    loss, (dx, dw, _) = ff.linear_cross_entropy_with_grad(x, w, [0, 0], reduction="sum")
    assert loss == np.float32(2 * np.log(2)) and (dx == 0).all()
    assert dw.tolist() == [[-60000.0, 60000.0]]
    _, (_, dw, _) = ff.linear_cross_entropy_with_grad(
        x, w, [0, 0], reduction="sum", sample_weight=[2, 2]
    )
    assert dw.tolist() == [[-INF, INF]]


@every_way
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"weight": np.ones(C)}])
def test_no_rows_and_no_row_that_counts(options, way):
    x, w, b, t = drawn()
    for rows, targets in ((0, t[:0]), (N, np.full(N, -1))):
        out = np.full((rows, D), NAN), np.full((D, C), NAN), np.full(C, NAN)
        for reduction in ("mean", "sum", "none"):
            loss, grads = ff.linear_cross_entropy_with_grad(
                x[:rows], w, targets, b, ignore_index=-1, reduction=reduction,
                out=out, **options,
            )  # fmt: skip
            assert np.shape(loss) == ((rows,) if reduction == "none" else ()) and not np.any(loss)
            assert all((grad == 0).all() for grad in grads)
        assert ff.linear_cross_entropy(x[:rows], w, targets, b, ignore_index=-1, **options) == 0


@every_way
def test_rows_that_are_ignored_may_hold_anything(way):
    x, w, b, t = drawn()
    t[4], x[4] = -1, NAN
    loss, (dx, dw, db) = ff.linear_cross_entropy_with_grad(x, w, t, b, ignore_index=-1)
    assert (dx[4] == 0).all()
    rows = np.arange(N) != 4
    check((loss, (dx[rows], dw, db)), reference(x[rows], w, t[rows], b), np.float64)


@every_way
@pytest.mark.parametrize("probabilities", [False, True])
def test_rows_of_weight_0_may_hold_anything(way, probabilities):
    x, w, b, t = drawn()
    if probabilities:
        t = np.random.default_rng(0).dirichlet(np.ones(C), N)
    each = np.linspace(0.5, 2, N)
    each[4], x[4] = 0, NAN
    loss, (dx, dw, db) = ff.linear_cross_entropy_with_grad(x, w, t, b, sample_weight=each)
    assert (dx[4] == 0).all()
    rows = np.arange(N) != 4
    want = reference(x[rows], w, t[rows], b, sample_weight=each[rows])
    check((loss, (dx[rows], dw, db)), want, np.float64)
    losses = ff.linear_cross_entropy(x, w, t, b, sample_weight=each, reduction="none")
    assert losses[4] == 0 and np.isfinite(losses).all()


@every_way
def test_nan_and_infinities_stay_in_their_row(way):
    x, w, b, t = drawn()
    options = {"reduction": "none"}
    clean, (dx, _, _) = ff.linear_cross_entropy_with_grad(x, w, t, b, **options)
    x[5] = NAN
    loss, (dx_now, dw, db) = ff.linear_cross_entropy_with_grad(x, w, t, b, **options)
    rows = np.arange(N) != 5
    assert np.isnan(loss[5]) and np.isnan(dx_now[5]).all() and np.isnan(dw).all() and np.isnan(db).all()
    np.testing.assert_array_equal(loss[rows], clean[rows])
    np.testing.assert_array_equal(dx_now[rows], dx[rows])


@every_way
def test_masked_classes(way):
    x, w, b, t = drawn()
    some = np.r_[15:18, 19:30]  # none in the first blocks, none in the last
    others = np.setdiff1d(np.arange(C), some)
    b[others] = -INF
    t[:] = 15 + np.arange(N) % 3
    loss, grads = ff.linear_cross_entropy_with_grad(x, w, t, b)
    want = reference(x, w[:, some], t - 15, b[some])
    check((loss, (grads[0], grads[1][:, some], grads[2][some])), want, np.float64)
    assert (grads[1][:, others] == 0).all() and (grads[2][others] == 0).all()
    t[1] = 40
    weight = np.where(np.arange(C) == 40, 0.0, 1.0)
    assert np.isfinite(ff.linear_cross_entropy(x, w, t, b, weight=weight))
    loss, grads = ff.linear_cross_entropy_with_grad(x, w, t, b)
    assert loss == INF and all(np.isfinite(grad).all() for grad in grads)
    b[:] = -INF
    loss, grads = ff.linear_cross_entropy_with_grad(x, w, t, b)
    assert np.isnan(loss) and all(np.isnan(grad).all() for grad in grads)


@every_way
@pytest.mark.parametrize("dtype", FLOATS)
def test_confident_rows_keep_their_digits(dtype, way):
    """Each row has a feature of its own, of which one class takes all: its weights are the logits."""
    for lead in (17, 40, 80) if dtype == np.float32 else (40, 300, 700):
        x, w = np.eye(4, dtype=dtype), np.zeros((4, C), dtype)
        t = np.array([0, 7, 33, C - 1])
        w[np.arange(4), t] = lead
        loss, (_, dw, _) = ff.linear_cross_entropy_with_grad(x, w, t, reduction="sum")
        rest = (C - 1) * np.exp(-np.longdouble(lead))
        ulps = 8 * np.finfo(dtype).eps
        assert abs(loss / (4 * np.log1p(rest)) - 1) <= ulps
        assert np.all(abs(dw[np.arange(4), t] / (-rest / (1 + rest)) - 1) <= ulps)
        assert ff.linear_cross_entropy(x, w, t, reduction="sum") == loss


def test_blocks_change_no_more_than_rounding():
    x, w, b, t = drawn(np.float32, rows=60)
    whole = ff.linear_cross_entropy_with_grad(x, w, t, b)
    for chunk_bytes in (20000, 1000):
        parts = ff.linear_cross_entropy_with_grad(x, w, t, b, chunk_bytes=chunk_bytes)
        assert parts[0] == pytest.approx(whole[0], rel=1e-6)
        for one, other in zip(parts[1], whole[1], strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@every_way
def test_without_blas_it_is_the_same(way, monkeypatch):
    x, w, b, t = drawn()
    monkeypatch.setattr(_blas, "_GEMM", {})
    got = ff.linear_cross_entropy_with_grad(x, w, t, b)
    check(got, reference(x, w, t, b), np.float64)


# --- memory --------------------------------------------------------------------------------------


def taken_by(call):
    tracemalloc.start()
    try:
        call()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.memory
@pytest.mark.parametrize(("blas", "order"), [(True, "C"), (True, "F"), (False, "C")])
@pytest.mark.parametrize(("rows", "classes"), [(3000, 500), (60, 30_000)])
@pytest.mark.parametrize(
    "options",
    [{}, {"ignore_index": 0}, {"weight": True}, {"label_smoothing": 0.1}, {"probabilities": True}],
)
def test_working_memory_is_what_it_is_told(rows, classes, options, blas, order, monkeypatch):
    if not blas:
        monkeypatch.setattr(_blas, "_GEMM", {})
        monkeypatch.setattr(_blas, "_PART", 2**16)
    x, w = normal(rows, 16, dtype=np.float32), normal(16, classes, dtype=np.float32)
    w = np.asarray(w, order=order)
    t, b = np.arange(rows) % classes, np.zeros(classes, np.float32)
    if "weight" in options:
        options = {"weight": np.ones(classes, np.float32)}
    if "probabilities" in options:  # one row of which has no weight
        t = np.full((rows, classes), 1 / classes, np.float32)
        options = {"sample_weight": np.arange(rows)}
    chunk = 2**21
    assert chunk < x.itemsize * rows * classes / 2
    out = np.empty_like(x), np.empty_like(w), np.empty_like(b)
    for call in (
        lambda: ff.linear_cross_entropy_with_grad(x, w, t, b, chunk_bytes=chunk, out=out, **options),
        lambda: ff.linear_cross_entropy(x, w, t, b, chunk_bytes=chunk, **options),
    ):
        assert taken_by(call) < 1.15 * chunk + 20 * (rows + classes) + 2**17


@pytest.mark.memory
@pytest.mark.parametrize("chunk", [2**21, 2**20])
@pytest.mark.parametrize("options", [{}, {"ignore_index": 0}])
def test_working_memory_with_many_features(chunk, options):
    """Rows of x that BLAS cannot take as they lie are copied block by block."""
    x, w = normal(1000, 2000, dtype=np.float32)[:, ::2], normal(1000, 800, dtype=np.float32)
    t = np.arange(1000) % 800
    out = np.empty(x.shape, x.dtype), np.empty_like(w), None
    taken = taken_by(
        lambda: ff.linear_cross_entropy_with_grad(x, w, t, chunk_bytes=chunk, out=out, **options)
    )
    assert taken < 1.15 * chunk + 20 * (1000 + 800) + 2**17


@pytest.mark.memory
@pytest.mark.parametrize("order", ["C", "F"])
def test_working_memory_where_dw_has_room_for_logits(order):
    """Of more rows than working memory has, each with statistics of many blocks."""
    x, w = normal(900, 700, dtype=np.float32), normal(700, 4000, dtype=np.float32)
    w = np.asarray(w, order=order)
    t = np.arange(900) % 4000
    out = np.empty_like(x), np.empty_like(w), None
    for chunk in (2**19, 2**21):
        plan = _linear.plan(900, 700, 4000, x.dtype, chunk, True, False)
        assert plan.in_dw > 52 and 4 * plan.in_dw * 4000 > 1.2 * chunk
        taken = taken_by(lambda: ff.linear_cross_entropy_with_grad(x, w, t, chunk_bytes=chunk, out=out))  # noqa: B023
        assert taken < 1.15 * chunk + 20 * (900 + 4000) + 2**17


@pytest.mark.memory
@pytest.mark.parametrize("layout", ["C", "transpose", "every second column"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_working_memory_of_what_is_converted(dtype, layout):
    """Neither w nor its gradient has a copy in the type to compute in; the gradient at x has."""
    x, w = normal(100, 16).astype(dtype), LAYOUTS[layout](normal(16, 40_000).astype(dtype))
    t, chunk = np.arange(100), 2**19
    assert 4 * w.size > 4 * chunk
    out = np.empty_like(x), np.empty(w.shape, dtype), None
    for call in (
        lambda: ff.linear_cross_entropy_with_grad(x, w, t, chunk_bytes=chunk, out=out),
        lambda: ff.linear_cross_entropy(x, w, t, chunk_bytes=chunk),
    ):
        assert taken_by(call) < 1.15 * chunk + 20 * 100 + 4 * x.size + 2**17


@pytest.mark.parametrize(
    ("sizes", "in_dw", "height", "is_kept"),
    [
        ((1024, 256, 4000), 0, 1024, True),
        ((1024, 256, 32_000), 256, 256, True),
        ((1024, 256, 64_000), 256, 128, True),
        ((1024, 256, 128_000), 256, 64, True),
        ((1000, 256, 128_000), 232, 64, True),  # the blocks in working memory are whole
        ((1024, 256, 256_000), 256, 1024, False),  # 32 rows would fit
        ((1024, 1024, 256_000), 1024, 1024, False),  # of which none are left
        ((30, 256, 256_000), 0, 30, True),
        ((4096, 20, 256_000), 0, 1024, False),  # dw has no room to speak of
    ],
)
def test_the_plan(sizes, in_dw, height, is_kept):
    plan = _linear.plan(*sizes, np.dtype(np.float32), _linear.CHUNK_BYTES, True, False)
    if ff.get_backend() == "compiled":  # the other has temporary arrays, which leave room for fewer
        assert plan[1:] == (in_dw, height, is_kept)
    kept = plan.height * sizes[2] if plan.is_kept else 0
    made = plan.width * max(plan.in_dw, 0 if plan.is_kept else min(sizes[0], plan.height))
    assert 4 * max(kept, made) <= _linear.CHUNK_BYTES


# --- what is refused ------------------------------------------------------------------------------


X, W, B, T = drawn(np.float32)
HUGE = np.broadcast_to(np.float32(0), (2**40, 1)), np.broadcast_to(np.float32(0), (1, 2**40))
REFUSED = {
    "x: expected shape (N, D), got (6,)": (ValueError, (X[0], W, T), {}),
    "w: expected shape (D, C), got (1, 6, 41)": (ValueError, (X, W[None], T), {}),
    "w: expected shape (6, C) to fit x, got (41, 6); w.T has, and is not copied": (
        ValueError, (X, W.T, T), {},
    ),
    "x: expected at least one column, got shape (13, 0)": (ValueError, (X[:, :0], W[:0], T), {}),
    "w: expected at least one column, got shape (6, 0)": (ValueError, (X, W[:, :0], T), {}),
    "w: expected the dtype of x, float32, got float64": (TypeError, (X, W.astype(np.float64), T), {}),
    "b: expected the dtype of x, float32, got float64": (TypeError, (X, W, T, B.astype(np.float64)), {}),
    "b: expected shape (41,) to fit w, got (40,)": (ValueError, (X, W, T, B[:-1]), {}),
    "w: expected fewer classes for 1099511627776 rows": (ValueError, (*HUGE, T), {}),
    "x: expected real numbers": (TypeError, (X * 1j, W, T), {}),
    "targets: expected class indices of shape (13,)": (ValueError, (X, W, T[:-1]), {}),
    "targets: class index 41 at position 2 is out of range for 41 classes": (
        IndexError, (X, W, np.where(np.arange(N) == 2, 41, T)), {},
    ),
    "targets: expected integers as class indices, got dtype float64": (TypeError, (X, W, T * 1.0), {}),
    "ignore_index: expected None where targets are probabilities": (
        ValueError, (X, W, np.ones((N, C))), {"ignore_index": 1},
    ),
    "weight: expected one number a class, shape (41,)": (ValueError, (X, W, T), {"weight": [1.0]}),
    "label_smoothing: expected 0 to 1, got 2": (ValueError, (X, W, T), {"label_smoothing": 2}),
    'reduction: expected "mean", "sum" or "none"': (ValueError, (X, W, T), {"reduction": "no"}),
    "sample_weight: expected one number a row, shape (13,), got (1,)": (
        ValueError, (X, W, T), {"sample_weight": [1.0]},
    ),
    "sample_weight: expected finite numbers of at least 0, got -1 at position 2": (
        ValueError, (X, W, T), {"sample_weight": np.where(np.arange(N) == 2, -1, 1)},
    ),
    "w: expected the dtype of x, float16, got float32": (TypeError, (X.astype(np.float16), W, T), {}),
    "b: expected shape (41,) to fit w, got (41, 1)": (ValueError, (X, W, T, B[:, None]), {}),
    "chunk_bytes: expected an integer or None, got str": (TypeError, (X, W, T), {"chunk_bytes": "1 MB"}),
    "chunk_bytes: expected at least 1, got 0": (ValueError, (X, W, T), {"chunk_bytes": 0}),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refusals(message):
    error, arguments, options = REFUSED[message]
    out = np.full((N, D), 7, np.float32), np.full((D, C), 7, np.float32), np.full(C, 7, np.float32)
    with pytest.raises(error, match=re.escape(message)):
        ff.linear_cross_entropy_with_grad(*arguments, **options, out=out)
    assert all((array == 7).all() for array in out)
    with pytest.raises(error, match=re.escape(message)):
        ff.linear_cross_entropy(*arguments, **options)


DX, DW, DB = np.empty_like(X), np.empty_like(W), np.empty_like(B)
REFUSED_OUT = {
    "out: expected arrays (dx, dw, db) or None, got ndarray": (TypeError, DX),
    "out: expected arrays (dx, dw, db) or None, got 2 of them": (TypeError, (DX, DW)),
    "out (dw): expected a NumPy array or None, got list": (TypeError, (DX, [1], DB)),
    "out (dx): expected shape (13, 6), got (12, 6)": (ValueError, (DX[:-1], DW, DB)),
    "out (dw): expected dtype float32, got float64": (TypeError, (DX, DW.astype(np.float64), DB)),
    "out (dx): expected memory apart from x": (ValueError, (X, DW, DB)),
    "out (dw): expected memory apart from w": (ValueError, (DX, W, DB)),
    "out (db): expected memory apart from dw": (ValueError, (DX, DW, DW[0])),
}


@pytest.mark.parametrize("message", REFUSED_OUT)
def test_refused_outputs(message):
    error, out = REFUSED_OUT[message]
    for array in (DX, DW, DB):
        array.fill(7)
    before = X.copy(), W.copy()
    with pytest.raises(error, match=re.escape(message)):
        ff.linear_cross_entropy_with_grad(X, W, T, B, out=out)
    assert all((array == 7).all() for array in (DX, DW, DB))
    np.testing.assert_array_equal(before[0], X)
    np.testing.assert_array_equal(before[1], W)


def test_db_without_b_is_refused():
    with pytest.raises(TypeError, match=r"out: expected None as db without b, got ndarray"):
        ff.linear_cross_entropy_with_grad(X, W, T, out=(DX, DW, DB))


# --- merging ---------------------------------------------------------------------------------------


def statistics(x):
    m = x.max(-1)
    e = np.exp(x.astype(np.longdouble) - m[..., None])
    np.put_along_axis(e, x.argmax(-1)[..., None], 0, -1)
    return m, e.sum(-1)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("lead", [0, 5, 60])
def test_merged_blocks_are_the_whole(dtype, lead):
    x = normal(20, 33, dtype=dtype)
    x[np.arange(20), np.arange(20) + 5] += lead
    m, s = np.full(20, -INF, dtype), np.zeros(20, dtype)
    for block in (x[:, :10], x[:, 10:11], x[:, 11:]):
        m, s = ff.merge_logsumexp(m, s, *(each.astype(dtype) for each in statistics(block)))
    whole = statistics(x)
    assert m.dtype == s.dtype == dtype
    np.testing.assert_array_equal(m, whole[0])
    np.testing.assert_allclose(s, whole[1].astype(np.float64), rtol=64 * np.finfo(dtype).eps)


def test_merging_at_the_edges():
    m, s = ff.merge_logsumexp(-INF, 0.0, -INF, 0.0)
    assert m == -INF and ff.merge_logsumexp(m, s, 3.0, 0.5) == (3.0, 0.5)
    assert ff.merge_logsumexp(-INF, 0.0, 3.0, 0.5) == (3.0, 0.5)
    assert ff.merge_logsumexp(3.0, 0.5, -INF, 0.0) == (3.0, 0.5)
    assert ff.merge_logsumexp(2.0, 0.25, 2.0, 0.5) == (2.0, 1.75)
    assert all(math.isnan(each) for each in ff.merge_logsumexp(NAN, 0.0, 2.0, 0.5))
    assert math.isnan(ff.merge_logsumexp(1.0, NAN, 2.0, 0.5)[1])
    m, s = ff.merge_logsumexp([1, 2], [0, 0], [2, 1], [0, 0])
    assert m.dtype == s.dtype == np.float64 and m.tolist() == [2, 2]
    with pytest.raises(ValueError, match=r"s2: expected the shape of m1, \(2,\), got \(3,\)"):
        ff.merge_logsumexp([1, 2], [0, 0], [2, 1], [0, 0, 0])
    with pytest.raises(TypeError, match="m2: expected real numbers"):
        ff.merge_logsumexp(1.0, 0.0, "a", 0.0)
