"""Sigmoid cross-entropy by its definition, in float64 or wider: weights, reductions, layouts, digits."""

import itertools

import numpy as np
import pytest

import ffkernels as ff

NAN, INF = np.nan, np.inf
DTYPES = [np.float32, np.float64]
SHAPES = [(), (1,), (17,), (3, 5), (40, 1), (33, 10), (2, 3, 700), (5000,), (300, 7), (2500, 3)]


def wide(x, t, pos_weight=1.0):
    """Losses and slopes in long double."""
    x, t = (np.asarray(v).astype(np.longdouble) for v in (x, t))
    e = np.exp(-np.abs(x))
    softplus, sigmoid = np.log1p(e) + np.maximum(x, 0), np.where(x < 0, e, 1) / (1 + e)
    negative = np.log1p(e) + np.maximum(-x, 0)
    at_minus = np.where(x > 0, e, 1) / (1 + e)
    return pos_weight * t * negative + (1 - t) * softplus, (1 - t) * sigmoid - pos_weight * t * at_minus


def close(got, want, dtype):
    tolerance = 2e-6 if dtype == np.float32 else 1e-13
    want = np.asarray(want, float)
    scale = np.abs(want).max(initial=0)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


def in_layout(kind, array):
    if array.ndim == 0:
        return array
    if kind == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return np.asfortranarray(array) if kind == "fortran" else array


def row_shaped(values, ndim):
    return np.reshape(values, np.shape(values) + (1,) * (ndim - np.ndim(values)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["plain", "strided", "fortran"])
@pytest.mark.parametrize("shape", SHAPES)
def test_by_its_definition(backend, dtype, layout, shape):
    rng = np.random.default_rng(0)
    x = np.asarray(3 * rng.normal(size=shape)).astype(dtype)
    labels = np.asarray(rng.integers(0, 2, shape)).astype(dtype)
    soft, back = np.asarray(rng.random(shape)).astype(dtype), np.asarray(rng.uniform(-1, 1, shape))
    forms = {shape, shape[-1:], (), (1,) * len(shape), shape[:1] + (1,) * (len(shape) - 1)}
    if len(shape) == 3:
        forms |= {(shape[0], 1, shape[2]), (1, shape[1], 1), shape[1:]}
    weights = [None, *(np.asarray(rng.uniform(0.2, 2, form)).astype(dtype) for form in sorted(forms))]
    rows = np.asarray(rng.choice([0, 0.5, 2], shape[:1], p=[0.2, 0.4, 0.4]))
    cases = [(w, None, None) for w in weights] + [(None, p, None) for p in weights[1:]]
    cases += [(None, None, rows), (weights[1], weights[-1], rows), (weights[-1], None, rows)]
    for t, (w, p, s) in [*itertools.product([labels], cases), (soft, cases[0]), (soft, cases[-2])]:
        each, slope = wide(x, t, 1.0 if p is None else p.astype(float))
        factor = np.broadcast_to(1.0 if w is None else w.astype(float), shape)
        normaliser = x.size
        if s is not None:
            factor = factor * row_shaped(s, x.ndim)
            normaliser = s.sum() * (x.size // max(s.size, 1))
        each = factor * each
        given = [in_layout(layout, array) for array in (x, t)]
        for reduction in ("mean", "sum", "none"):
            options = {"weight": w, "pos_weight": p, "sample_weight": s, "reduction": reduction}
            share = (1 / normaliser if normaliser else 0) if reduction == "mean" else 1
            want = each if reduction == "none" else each.sum() * share
            grad = factor * share * slope
            close(ff.sigmoid_cross_entropy(*given, **options), want, dtype)
            loss, dx = ff.sigmoid_cross_entropy_with_grad(*given, **options)
            assert loss.dtype == dx.dtype == dtype and dx.shape == shape
            close(loss, want, dtype)
            close(dx, grad, dtype)
            close(ff.sigmoid_cross_entropy_backward(*given, -3.0, **options), -3 * grad, dtype)
            if reduction == "none":
                close(ff.sigmoid_cross_entropy_backward(*given, back, **options), back * grad, dtype)


def test_as_pytorch_has_it(backend):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, t = 4 * rng.normal(size=(30, 6)), rng.random((30, 6))
    forms = [None, rng.uniform(0, 2, 6), rng.uniform(0, 2, (30, 1)), rng.uniform(0, 2, (30, 6))]
    for w, p, reduction in itertools.product(forms, forms, ("mean", "sum", "none")):
        leaf = torch.tensor(x, requires_grad=True)
        tensors = [None if v is None else torch.tensor(v) for v in (w, p)]
        want = torch.nn.functional.binary_cross_entropy_with_logits(
            leaf, torch.tensor(t), tensors[0], pos_weight=tensors[1], reduction=reduction
        )
        want.sum().backward()
        options = {"weight": w, "pos_weight": p, "reduction": reduction}
        loss, grad = ff.sigmoid_cross_entropy_with_grad(x, t, **options)
        np.testing.assert_allclose(loss, want.detach(), rtol=1e-12)
        np.testing.assert_allclose(grad, leaf.grad, rtol=1e-11, atol=1e-16)


def test_as_scikit_learn_has_it(backend):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    x, t, s = rng.normal(size=60), rng.integers(0, 2, 60), rng.uniform(0, 2, 60)
    want = metrics.log_loss(t, ff.sigmoid(x), sample_weight=s)
    assert ff.sigmoid_cross_entropy(x, t, sample_weight=s) == pytest.approx(want, rel=1e-12)
    column = ff.sigmoid_cross_entropy(x[:, None], t[:, None], sample_weight=s)
    assert column == pytest.approx(want, rel=1e-12)


def ulps(got, want):
    spacing = np.spacing(np.maximum(np.abs(want).astype(got.dtype), np.finfo(got.dtype).tiny))
    return float(np.max(np.abs(got.astype(np.longdouble) - want) / spacing))


@pytest.mark.parametrize("dtype", DTYPES)
def test_confident_elements_keep_their_digits(backend, dtype):
    """Down to the smallest normal numbers; where peers return a gradient of exactly 0."""
    rng = np.random.default_rng(2)
    far = 87 if dtype == np.float32 else 708
    x = np.concatenate([rng.uniform(0, 1, 20000) ** 3 * far, np.arange(1.0, far)]).astype(dtype)
    bound = 4 if backend == "numpy" else 1.5
    for sign in (1, -1):
        t = np.full(x.size, sign > 0, dtype)
        each, slope = wide(sign * x, t)
        losses, grad = ff.sigmoid_cross_entropy_with_grad(sign * x, t, reduction="none")
        assert (losses > 0).all() and (grad * -sign > 0).all()
        assert ulps(losses, each) <= bound and ulps(grad, slope) <= bound
        assert ulps(ff.sigmoid_cross_entropy_backward(sign * x, t, reduction="none"), slope) <= bound


@pytest.mark.parametrize("dtype", DTYPES)
def test_against_arbitrary_precision(backend, dtype):
    mpmath = pytest.importorskip("mpmath")
    bound = 4 if backend == "numpy" else 1.5
    with mpmath.workdps(60):
        for number in (-80.25, -20.5, -1.5, -1e-3, 0.0, 1e-9, 0.7, 3.3, 17.0, 60.0):
            for t in (0, 1):
                x = dtype(number)
                s = mpmath.mpf(float(x)) * (1 if t == 0 else -1)
                want = np.longdouble(mpmath.nstr(mpmath.log1p(mpmath.exp(s)), 25))
                slope = np.longdouble(mpmath.nstr((1 if t == 0 else -1) / (1 + mpmath.exp(-s)), 25))
                loss, grad = ff.sigmoid_cross_entropy_with_grad(np.full(20, x), np.full(20, t, dtype),
                                                                reduction="none")  # fmt: skip
                assert ulps(loss, want) <= bound and ulps(grad, slope) <= bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [5, 40, 3000])
def test_nan_and_infinities(backend, dtype, size):
    x, t = np.zeros(size, dtype), np.ones(size, dtype)
    x[:5], t[:5] = [INF, -INF, INF, -INF, NAN], [1, 0, 0, 1, 1]
    losses, grad = ff.sigmoid_cross_entropy_with_grad(x, t, reduction="none")
    assert losses[:4].tolist() == [0, 0, INF, INF] and np.isnan(losses[4])
    assert grad[:4].tolist() == [0, 0, 1, -1] and np.isnan(grad[4])
    assert np.isfinite(losses[5:]).all() and np.isfinite(grad[5:]).all()
    np.testing.assert_array_equal(ff.sigmoid_cross_entropy(x, t, reduction="none"), losses)
    w = np.ones(size, dtype)
    w[[2, 3, 4]] = 0
    for options in ({"weight": w}, {"sample_weight": w}, {"weight": w, "pos_weight": 1 + w}):
        silenced, grad = ff.sigmoid_cross_entropy_with_grad(x, t, reduction="none", **options)
        assert (silenced[:5] == 0).all() and (grad[:5] == 0).all()
        loss, grad = ff.sigmoid_cross_entropy_with_grad(x, t, **options)
        assert np.isfinite(loss) and (grad[:5] == 0).all()
    t[4] = NAN
    assert np.isnan(ff.sigmoid_cross_entropy(np.zeros(size, dtype), t, reduction="none")[4])
    loss, grad = ff.sigmoid_cross_entropy_with_grad(x, t, sample_weight=0 * w)
    assert loss == 0 and (grad == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_of_both_signs(backend, dtype):
    x, t = np.array([0.0, -0.0, 0.0, -0.0], dtype), np.array([0.25, 0.25, 1, 0], dtype)
    for reduction in ("sum", "none"):
        loss, grad = ff.sigmoid_cross_entropy_with_grad(x, t, reduction=reduction)
        np.testing.assert_allclose(grad, 0.5 - t, rtol=1e-6)
        np.testing.assert_allclose(np.sum(loss), 4 * np.log(2), rtol=1e-6)


def test_the_twin_adds_up_in_float64_what_is_too_large_in_float32():
    large = np.finfo(np.float32).max / 4
    x = np.full(1000, large, np.float32)
    x[1::2] = 0
    with ff.use_backend("numpy"):
        for t, want in ((0, large / 2), (1, np.log(2) / 2)):
            loss, grad = ff.sigmoid_cross_entropy_with_grad(x, np.full_like(x, t))
            assert loss == pytest.approx(want, rel=1e-6)
            np.testing.assert_allclose(grad[:2] * 1000, [1 - t, 0.5 - t], rtol=1e-6)


@pytest.mark.parametrize("size", [8191, 8192, 8193, 40000])
def test_spans_of_what_is_weighted_and_what_is_not(backend, size):
    """The same by every way through the arrays."""
    rng = np.random.default_rng(5)
    x, t = 5 * rng.normal(size=size), rng.integers(0, 2, size).astype(float)
    each, slope = wide(x, t)
    for options in ({}, {"weight": 1.0}, {"sample_weight": np.ones(size)}):
        loss, grad = ff.sigmoid_cross_entropy_with_grad(x, t, reduction="sum", **options)
        np.testing.assert_allclose(loss, float(each.sum()), rtol=1e-12)
        np.testing.assert_allclose(grad, slope.astype(float), rtol=1e-14)
        strided = np.empty((size, 2))[:, 0]
        ff.sigmoid_cross_entropy_backward(x, t, 2.0, reduction="sum", out=strided, **options)
        np.testing.assert_allclose(strided, 2 * slope.astype(float), rtol=1e-14)


def test_nothing_to_divide_by(backend):
    for shape in ((0,), (0, 4), (4, 0)):
        weights = {"weight": 2.0, "pos_weight": np.ones(1)}
        for options in ({}, {"sample_weight": np.ones(shape[:1])}, weights):
            loss, grad = ff.sigmoid_cross_entropy_with_grad(np.ones(shape), np.ones(shape), **options)
            assert loss == 0 and grad.shape == shape


def test_types(backend):
    x, t = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[1, 0], [0, 1]])
    want = ff.sigmoid_cross_entropy(x, t.astype(float))
    for targets in (t, t.astype(bool), t.tolist(), t.astype(np.uint8), t.astype(np.float32)):
        loss, grad = ff.sigmoid_cross_entropy_with_grad(x, targets)
        assert loss == want and grad.dtype == np.float64
    loss, grad = ff.sigmoid_cross_entropy_with_grad(x.astype(np.float16), t)
    assert loss.dtype == np.float32 and grad.dtype == np.float16
    assert ff.sigmoid_cross_entropy(x.astype(np.float32), t.astype(float)).dtype == np.float32
    assert ff.sigmoid_cross_entropy([1, 2], [0, 1]).dtype == np.float64


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 3), (900, 5)])
def test_out(backend, dtype, shape):
    rng = np.random.default_rng(4)
    t, w = rng.integers(0, 2, shape).astype(dtype), rng.random(shape).astype(dtype)
    for reduction, options in itertools.product(("mean", "none"), ({}, {"weight": w})):
        x = rng.normal(size=shape).astype(dtype)
        options = {**options, "reduction": reduction}
        loss, want = ff.sigmoid_cross_entropy_with_grad(x, t, **options)
        for memory in (np.empty_like(x), np.empty((*shape, 2), dtype)[..., 0], x):
            got, grad = ff.sigmoid_cross_entropy_with_grad(x, t, out=memory, **options)
            assert grad is memory
            np.testing.assert_array_equal(got, loss)
            np.testing.assert_array_equal(grad, want)
    x = rng.normal(size=shape).astype(dtype)
    losses = np.empty_like(x)
    assert ff.sigmoid_cross_entropy(x, t, reduction="none", out=losses) is losses
    np.testing.assert_array_equal(losses, ff.sigmoid_cross_entropy(x, t, reduction="none"))
    value = np.empty((), dtype)
    assert ff.sigmoid_cross_entropy(x, t, out=value) is value and value == ff.sigmoid_cross_entropy(x, t)
    for name, memory in [("logits", x), ("targets", t), ("weight", w)]:
        with pytest.raises(ValueError, match=f"out: expected memory apart from {name}"):
            ff.sigmoid_cross_entropy_with_grad(x, t, weight=w, out=memory[::-1])
    with pytest.raises(ValueError, match="out: expected memory apart from pos_weight"):
        ff.sigmoid_cross_entropy_with_grad(x, t, pos_weight=losses[0], out=losses)
    with pytest.raises(ValueError, match="out: expected memory apart from sample_weight"):
        ff.sigmoid_cross_entropy_with_grad(x, t, sample_weight=losses[:, 0], out=losses)


@pytest.mark.parametrize("form", ["", "_with_grad", "_backward"])
def test_refusals(backend, form):
    x, t = np.ones((3, 4), np.float32), np.ones((3, 4), np.float32)
    function = getattr(ff, f"sigmoid_cross_entropy{form}")
    for arguments, options, error, words in [
        ((x, t[:, 0]), {}, ValueError, r"^targets: expected the shape of logits, \(3, 4\), got \(3,\)$"),
        ((x[:, :1], t[:, 0]), {}, ValueError, r"^targets: .*\(3, 1\), got \(3,\)$"),
        ((x, t), {"weight": np.ones(3)}, ValueError,
         r"^weight: expected a shape that broadcasts to that of logits, \(3, 4\), got \(3,\); rows are "
         "weighted by sample_weight$"),
        ((x, t), {"pos_weight": np.ones((1, 3, 4))}, ValueError, r"^pos_weight: .*got \(1, 3, 4\)$"),
        ((x, t), {"pos_weight": np.array([1, -1, 1, 1])}, ValueError,
         "^pos_weight: expected finite numbers of at least 0 in float32, got -1 at position 1$"),
        ((x, t), {"weight": np.array([1, NAN, 1, 1], np.float32)}, ValueError, "^weight: .*got nan"),
        ((x, t), {"weight": 1e39}, ValueError, "^weight: .* in float32, got inf$"),
        ((x, t), {"sample_weight": np.ones(4)}, ValueError, r"^sample_weight: .* \(3,\), got \(4,\)$"),
        ((x, t), {"sample_weight": [1, 2, INF]}, ValueError, "^sample_weight: .*got inf at position 2$"),
        ((x, t), {"reduction": "avg"}, ValueError, "^reduction: expected"),
        ((x, np.array([["a"] * 4] * 3)), {}, TypeError, "^targets: expected real numbers"),
        ((x, t), {"weight": "heavy"}, TypeError, "^weight: expected real numbers"),
    ]:  # fmt: skip
        with pytest.raises(error, match=words):
            function(*arguments, **options)
    if form == "_backward":
        with pytest.raises(ValueError, match=r"^dloss: expected a number or an array of shape \(3, 4\)"):
            function(x, t, np.ones(3), reduction="none")
