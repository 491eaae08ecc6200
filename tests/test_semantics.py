"""What the values do not show: NaN and infinities, options, refusals, environment."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import _arguments

INF, NAN = np.inf, np.nan


def nll(x):
    x = np.asarray(x, np.longdouble)
    m = x.max(-1, keepdims=True)
    return np.log(np.exp(x - m).sum(-1, keepdims=True)) + m - x


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinities_stay_in_their_row(backend, classes, dtype):
    x = np.random.default_rng(0).normal(size=(20, classes)).astype(dtype)
    clean = ff.softmax_cross_entropy_with_grad(x, np.zeros(20, int), reduction="none")
    x[3, 1], x[5, 2], x[7] = NAN, INF, -INF
    x[9, 1] = -INF
    loss, grad = ff.softmax_cross_entropy_with_grad(x, np.zeros(20, int), reduction="none")
    for row in range(20):
        if row in (3, 5, 7):
            assert np.isnan(loss[row]) and np.isnan(grad[row]).all()
            assert np.isnan(ff.softmax(x)[row]).all()
        elif row != 9:
            assert loss[row] == clean[0][row]
            np.testing.assert_array_equal(grad[row], clean[1][row])
    assert grad[9, 1] == 0 and ff.softmax(x)[9, 1] == 0 and np.isfinite(loss[9])
    loss, grad = ff.softmax_cross_entropy_with_grad(x[9:10], [1])
    assert loss == INF and np.isfinite(grad).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 10, 100, 300])
def test_confident_rows_keep_their_digits(backend, dtype, classes):
    leads = [3, 17, 40, 80] if dtype == np.float32 else [3, 40, 300, 700]
    for lead in leads:
        x = np.zeros((20, classes), dtype)
        x[:, 1] = lead
        t = np.ones(20, int)
        want = np.log1p((classes - 1) * np.exp(-np.longdouble(lead)))
        loss, grad = ff.softmax_cross_entropy_with_grad(x, t)
        ulp = 4 * np.finfo(dtype).eps
        assert abs(loss / want - 1) <= ulp
        p = np.exp(-np.longdouble(lead)) / (1 + (classes - 1) * np.exp(-np.longdouble(lead)))
        assert np.all(abs(20 * grad[:, 1] / (-(classes - 1) * p) - 1) <= ulp)
        assert np.all(abs(grad.sum(1)) <= 8 * np.finfo(dtype).eps * abs(grad).max(1))
        assert abs(-ff.log_softmax(x)[0, 1] / want - 1) <= ulp
        back = ff.softmax_cross_entropy_backward(ff.softmax(x), t)
        np.testing.assert_allclose(back, grad, rtol=2 * ulp)
        one_hot = np.eye(classes)[t]
        soft = ff.softmax_cross_entropy_with_grad(x, one_hot.astype(dtype))
        assert abs(soft[0] / want - 1) <= ulp
        np.testing.assert_allclose(soft[1], grad, rtol=2 * ulp)


@pytest.mark.parametrize("classes", [1, 5, 40, 300])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_options_by_their_definition(backend, classes, smoothing, weighted):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, classes))
    t = rng.integers(0, classes, 30)
    w = rng.uniform(0.5, 2, classes) if weighted else np.ones(classes)
    weight = w if weighted else None
    t[4] = -100
    counted = np.arange(30) != 4
    wide = nll(x)
    each = np.where(
        counted,
        (1 - smoothing) * w[t % classes] * wide[np.arange(30), t % classes]
        + smoothing / classes * (w * wide).sum(1),
        0,
    )
    options = {"weight": weight, "ignore_index": -100, "label_smoothing": smoothing}
    got = ff.softmax_cross_entropy(x, t, reduction="none", **options)
    np.testing.assert_allclose(got, each.astype(float), rtol=1e-12, atol=1e-14)
    mean = each.sum() / w[t[counted]].sum()
    loss, grad = ff.softmax_cross_entropy_with_grad(x, t, **options)
    assert float(loss) == pytest.approx(float(mean), rel=1e-12)
    assert (grad[4] == 0).all()
    h = 1e-6
    for i, j in [(0, 0), (7, classes - 1)]:
        up, down = x.copy(), x.copy()
        up[i, j] += h
        down[i, j] -= h
        rise = ff.softmax_cross_entropy(up, t, **options) - ff.softmax_cross_entropy(down, t, **options)
        slope = rise / (2 * h)
        assert grad[i, j] == pytest.approx(slope, rel=1e-5, abs=1e-8)
    back = ff.softmax_cross_entropy_backward(ff.softmax(x), t, **options)
    np.testing.assert_allclose(back, grad, rtol=1e-9, atol=1e-15)
    q = rng.dirichlet(np.ones(classes), 30)
    soft = (w * ((1 - smoothing) * q + smoothing / classes) * wide).sum(1)
    got = ff.softmax_cross_entropy(x, q, weight=weight, label_smoothing=smoothing, reduction="none")
    np.testing.assert_allclose(got, soft.astype(float), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(37, 1), (37, 10), (20, 129), (18, 300), (16, 2100)])
def test_rows_together_are_the_rows_alone(backend, dtype, shape):
    """Whatever way the rows lie and are taken: one by one, sixteen in a tile, side by side."""
    rng = np.random.default_rng(5)
    rows, classes = shape
    x = rng.normal(0, 6, shape).astype(dtype)
    x[3] = np.where(np.arange(classes) == classes // 2, 60, x[3])
    x[5, -1] = -INF
    p = ff.softmax(x)
    q = ff.softmax(rng.normal(size=shape).astype(dtype))
    q[7] = 0
    t = rng.integers(0, classes, rows)
    t[4] = -1
    w, dloss = rng.uniform(0.5, 2, classes).astype(dtype), rng.normal(size=rows)
    before = [a.copy() for a in (x, p, q)]
    close = functools.partial(
        np.testing.assert_allclose, rtol=50 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps
    )
    for targets, options in [
        (t, {"ignore_index": -1}),
        (t, {"ignore_index": -1, "label_smoothing": 0.1}),
        (t, {"ignore_index": -1, "label_smoothing": 0.1, "weight": w}),
        (q, {}),
        (q, {"label_smoothing": 0.3, "weight": w}),
    ]:
        options = {**options, "reduction": "none"}
        alone = [
            [
                *ff.softmax_cross_entropy_with_grad(x[i : i + 1], targets[i : i + 1], **options),
                ff.softmax_cross_entropy_backward(
                    p[i : i + 1], targets[i : i + 1], dloss[i : i + 1], **options
                ),
            ]
            for i in range(rows)
        ]
        loss, grad, back = (np.concatenate(parts) for parts in zip(*alone, strict=True))
        for axis in (1, 0):
            turned = [np.ascontiguousarray(a if axis == 1 else a.T) for a in (x, p, q)]
            targets_ = turned[2] if targets is q else t
            got = ff.softmax_cross_entropy_with_grad(turned[0], targets_, axis=axis, **options)
            close(got[0], loss)
            close(got[1] if axis == 1 else got[1].T, grad)
            close(ff.softmax_cross_entropy(turned[0], targets_, axis=axis, **options), loss)
            got = ff.softmax_cross_entropy_backward(turned[1], targets_, dloss, axis=axis, **options)
            close(got if axis == 1 else got.T, back)
            for a, b in zip(turned, before, strict=True):
                np.testing.assert_array_equal(a if axis == 1 else a.T, b)


def test_nothing_to_divide_by(backend):
    loss, grad = ff.softmax_cross_entropy_with_grad(np.ones((3, 2)), [7, 7, 7], ignore_index=7)
    assert loss == 0 and (grad == 0).all()
    loss, grad = ff.softmax_cross_entropy_with_grad(np.ones((0, 2)), [])
    assert loss == 0 and grad.shape == (0, 2)


@pytest.mark.parametrize("dtype", ["<u8", ">u8"])
def test_class_indices_of_64_bits_without_a_sign(backend, dtype):
    """A row may be ignored by a number that no signed integer holds."""
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    want = ff.softmax_cross_entropy_with_grad(x, [3, -1, 1], ignore_index=-1)
    t = np.array([3, 2**64 - 1, 1], dtype)
    got = ff.softmax_cross_entropy_with_grad(x, t, ignore_index=2**64 - 1)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)
    want = ff.softmax_cross_entropy(x[[0, 2]], [3, 1])
    assert ff.softmax_cross_entropy(x[[0, 2]], t[[0, 2]], ignore_index=2**64 - 1) == want


def test_class_indices_wider_than_an_address(monkeypatch):
    """As int64 is where addresses have 32 bits, simulated: none is wrapped into range."""
    monkeypatch.setattr(_arguments.losses, "INDEX", np.dtype(np.int32))

    def checked(t, ignore_index=None):
        x = np.ones((3, 4))
        return _arguments.check_class_loss("logits", x, t, -1, None, ignore_index, 0.0, "mean")

    t = np.array([0, 2**32 + 1, 3])
    with pytest.raises(IndexError, match=r"^targets: class index 4294967297 at position 1 is out of"):
        checked(t)
    call = checked(t, 2**32 + 1)
    assert call.indices.dtype == np.int32 and call.indices.tolist() == [0, call.ignore_index, 3]
    assert call.ignore_index < 0 and checked(t % 4, -(2**40)).ignore_index is None


def test_nan_in_what_was_saved(backend):
    """From the output that a backward pass was given NaN comes through as from dy; identity's backward
    pass has no use for it."""
    y = np.array([[0.1, 0.9, NAN]])
    assert (ff.identity_grad(y) == 1).all()
    assert (ff.identity_backward(np.ones((1, 3)), y) == 1).all()
    assert (ff.identity_backward_bias(np.ones((1, 3)), y)[1] == 1).all()
    for name in ("relu", "sigmoid", "tanh"):
        dx = getattr(ff, f"{name}_backward")(np.ones((1, 3)), y)
        assert np.isnan(dx).tolist() == [[False, False, True]]
        assert np.isnan(getattr(ff, f"{name}_backward_bias")(np.ones((1, 3)), y)[1][2])
    # The gradient of a sure class is minus the sum of the others, of which one is NaN.
    dx = ff.softmax_cross_entropy_backward([[0.1, 0.9, NAN]], [1])
    assert np.isnan(dx).tolist() == [[False, True, True]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 3), (20, 40), (3, 3), (5, 700)])
def test_nan_among_the_classes_that_do_not_count(backend, dtype, shape):
    """A target of 0 silences an infinite term, not a NaN; a class index looks at no other class."""
    rows, classes = shape
    p = np.full(shape, 1 / classes, dtype)
    p[2, 0], p[1, 0] = NAN, 0
    t = np.ones(rows, int)
    one_hot = np.eye(classes, dtype=dtype)[t]
    for axis in (1, 0):
        q, targets = (p, one_hot) if axis == 1 else (p.T.copy(), one_hot.T.copy())
        loss, grad = ff.cross_entropy_with_grad(q, targets, axis=axis, reduction="none")
        back = ff.cross_entropy_backward(q, targets, axis=axis, reduction="none")
        alone = ff.cross_entropy(q, targets, axis=axis, reduction="none")
        want = np.full(rows, np.log(classes))
        want[2] = NAN
        np.testing.assert_allclose(loss, want, rtol=1e-6)
        np.testing.assert_array_equal(alone, loss)
        want = np.where(one_hot == 1, -classes, 0.0)
        want[2, 0] = NAN
        np.testing.assert_allclose(grad if axis == 1 else grad.T, want, rtol=1e-6)
        np.testing.assert_array_equal(back, grad)
        want[2, 0] = 0
        loss, grad = ff.cross_entropy_with_grad(q, t, axis=axis, reduction="none")
        np.testing.assert_allclose(loss, np.log(classes), rtol=1e-6)
        np.testing.assert_allclose(grad if axis == 1 else grad.T, want, rtol=1e-6)
        np.testing.assert_array_equal(ff.cross_entropy(q, t, axis=axis, reduction="none"), loss)
    for options in ({}, {"label_smoothing": 0.1}, {"weight": np.eye(classes)[1]}):
        loss, grad = ff.softmax_cross_entropy_with_grad(p, one_hot, reduction="none", **options)
        assert np.isnan(loss).tolist() == [row == 2 for row in range(rows)]
        assert np.isnan(grad[2]).all() and np.isfinite(np.delete(grad, 2, 0)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 3, 40, 300])
def test_a_probability_of_minus_zero_is_zero(backend, dtype, classes):
    p = np.full((20, classes), -0.0, dtype)
    for t in (np.ones((20, classes), dtype), np.zeros(20, int)):
        loss, grad = ff.cross_entropy_with_grad(p, t)
        assert loss == INF and (grad[:, 0] == -INF).all()
        assert (ff.cross_entropy_backward(p, t)[:, 0] == -INF).all()


def test_one_sample_and_dloss(backend):
    assert ff.softmax_cross_entropy([0.0, 0.0], 1) == pytest.approx(np.log(2))
    p = np.array([[0.25, 0.75], [0.5, 0.5]])
    got = ff.softmax_cross_entropy_backward(p, [0, 1], [1.0, 2.0], reduction="none")
    np.testing.assert_array_equal(got, [[-0.75, 0.75], [1.0, -1.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_out_gets_the_value(backend, dtype, reduction):
    rng = np.random.default_rng(3)
    x, t, w = rng.random((6, 4)).astype(dtype), rng.integers(0, 4, 6), rng.random(4).astype(dtype)
    p = ff.softmax(x)
    calls = [
        lambda **options: ff.softmax_cross_entropy(x, t, weight=w, reduction=reduction, **options),
        lambda **options: ff.softmax_cross_entropy(x, p, reduction=reduction, **options),
        lambda **options: ff.cross_entropy(p, t, reduction=reduction, **options),
        lambda **options: ff.sum_squared_error(x, p, reduction=reduction, **options),
        lambda **options: ff.logsumexp(x, **options),
        lambda **options: ff.logsumexp(x, axis=0, keepdims=True, **options),
    ]
    for function in calls:
        want = np.asarray(function())
        wide = np.zeros((*want.shape, 2), dtype)
        for out in (np.full(want.shape, 7, dtype), wide[..., 0]):
            assert function(out=out) is out
            np.testing.assert_array_equal(out, want)
        with pytest.raises(TypeError, match="out: expected dtype"):
            function(out=np.empty(want.shape, np.int64))
        for bad in (np.empty((*want.shape, 1), dtype), np.empty(want.shape, dtype)):
            bad.flags.writeable = False
            with pytest.raises(ValueError, match=r"out: expected (shape|a writeable)"):
                function(out=bad)
    x, p, t = x[:4], p[:4], t[:4]
    loss = functools.partial(ff.softmax_cross_entropy, reduction=reduction)
    for name, memory, function in [
        ("logits", x, lambda out: loss(x, t, out=out)),
        ("weight", w, lambda out: loss(x, t, weight=w, out=out)),
        ("targets", p, lambda out: loss(x, p, out=out)),
        ("t", p, lambda out: ff.sum_squared_error(x, p, reduction=reduction, out=out)),
    ]:
        out = memory.ravel()[:4] if reduction == "none" else memory.ravel()[1:2].reshape(())
        with pytest.raises(ValueError, match=f"out: expected memory apart from {name}"):
            function(out)


@pytest.mark.parametrize("shape", [(3, 5), (100, 10), (64, 33), (2000, 7), (5000,), (2, 3, 1024)])
def test_squared_error_of_any_length(backend, shape):
    """Where rows do not matter the arrays are taken in spans of another length than theirs."""
    rng = np.random.default_rng(4)
    y, t = rng.standard_normal((2, *shape))
    rows = shape[0] if len(shape) > 1 else 1
    for reduction, factor in (("sum", 1), ("mean", 1 / rows), ("none", 1)):
        loss, grad = ff.sum_squared_error_with_grad(y, t, reduction=reduction)
        want = ((y - t) ** 2).reshape(rows, -1).sum(1) / 2
        want = want.reshape(np.shape(loss)) if reduction == "none" else want.sum() * factor
        np.testing.assert_allclose(loss, want, rtol=1e-13)
        np.testing.assert_allclose(ff.sum_squared_error(y, t, reduction=reduction), want, rtol=1e-13)
        np.testing.assert_allclose(grad, (y - t) * factor, rtol=1e-15)
        back = ff.sum_squared_error_backward(y, t, -3.0, reduction=reduction)
        np.testing.assert_allclose(back, (y - t) * (-3 * factor), rtol=1e-15)
    if len(shape) > 1:
        dloss = rng.standard_normal(rows)
        back = ff.sum_squared_error_backward(y, t, dloss, reduction="none")
        np.testing.assert_allclose(back, ((y - t).T * dloss).T, rtol=1e-15)
    assert ff.sum_squared_error_with_grad(y, t, out=y)[1] is y


def test_limits_of_logsumexp(backend):
    x = np.array([[-INF, -INF], [INF, 0], [NAN, INF], [0, 0]])
    np.testing.assert_allclose(ff.logsumexp(x), [-INF, INF, NAN, np.log(2)])
    assert ff.logsumexp(np.empty((2, 0))).tolist() == [-INF, -INF]
    assert ff.logsumexp(x, axis=0, keepdims=True).shape == (1, 2)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FFKERNELS_BACKEND", "fortran", "FFKERNELS_BACKEND: expected"),
        ("FFKERNELS_NUM_THREADS", "many", "FFKERNELS_NUM_THREADS: expected an integer from 1 to 1024"),
        ("FFKERNELS_NUM_THREADS", "1025", "FFKERNELS_NUM_THREADS: expected an integer from 1 to 1024"),
    ],
)
def test_bad_environment(name, value, words):
    environment = os.environ | {name: value}
    run = subprocess.run(
        [sys.executable, "-c", "import ffkernels"], env=environment, capture_output=True, text=True
    )
    assert run.returncode and words in run.stderr


def test_controls(backend):
    assert ff.get_backend() == backend.partition(":")[0]
    assert ff.show_config(mode="dicts")["backend"] == ff.get_backend()
    with pytest.raises(ValueError, match="backend: expected"):
        ff.set_backend("other")
    for n in (0, 1025):
        with pytest.raises(ValueError, match=f"n: expected an integer from 1 to 1024, got {n}"):
            ff.set_num_threads(n)


@pytest.mark.parametrize("function", [ff.softmax, ff.log_softmax])
@pytest.mark.parametrize("rows", [5, 20])
def test_rows_of_no_length_write_nothing(backend, function, rows):
    memory = np.full(64, 7, np.float32)
    out = np.ndarray((rows, 0), np.float32, buffer=memory, offset=memory.nbytes // 2)
    function(np.zeros((rows, 0), np.float32), out=out)
    assert (memory == 7).all()
