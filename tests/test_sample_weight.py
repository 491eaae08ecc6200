"""Weights of rows: each loss of its definition, in float64, over layouts, types and options."""

import itertools

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import backend as control

NAN, INF = np.nan, np.inf
DTYPES = [np.float32, np.float64]
#: Shape and axis: rows on their own, in tiles, side by side, gathered; few and many.
ROWS = [((7, 1), 1), ((40, 3), -1), ((37, 10), 1), ((5, 300), 1), ((10, 37), 0), ((3, 9, 40), 1),
        ((40, 2, 5), 0), ((6,), 0), ((20, 2100), 1)]  # fmt: skip


def log_softmax(x):
    m = x.max(-1, keepdims=True)
    return x - m - np.log(np.exp(x - m).sum(-1, keepdims=True))


def weights(rng, shape):
    """Zeros among them."""
    return np.where(rng.random(shape) < 0.3, 0, rng.uniform(0.1, 3, shape))


def reduced(each, normaliser, reduction):
    if reduction == "none":
        return each
    total = each.sum()
    return total if reduction == "sum" else total / normaliser if normaliser else 0.0


def row_factor(s, normaliser, reduction):
    return s / normaliser if reduction == "mean" and normaliser else s * (reduction != "mean")


def close(got, want, dtype):
    tolerance = 3e-6 if dtype == np.float32 else 1e-12
    scale = np.abs(want).max(initial=0)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


def in_layout(kind, array):
    if kind == "strided":
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), 99, array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return np.asfortranarray(array) if kind == "fortran" else array


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["plain", "strided", "fortran"])
@pytest.mark.parametrize("shape, axis", ROWS)
def test_softmax_cross_entropy(backend, dtype, layout, shape, axis):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(dtype)
    classes = x.shape[axis]
    rows_first = np.moveaxis(x, axis, -1).astype(np.float64)
    t = rng.integers(0, classes, rows_first.shape[:-1])
    q = rng.dirichlet(np.ones(classes), t.shape).astype(dtype)
    logs, p = log_softmax(rows_first), np.exp(log_softmax(rows_first))
    probs = np.moveaxis(p, -1, axis).astype(dtype)
    s = weights(rng, t.shape).astype(dtype)
    w = rng.uniform(0.5, 2, classes).astype(dtype)
    back = rng.uniform(-1, 1, t.shape)
    x, probs = in_layout(layout, x), in_layout(layout, probs)
    kinds = ["class", "ignore", "soft"]
    for smoothing, weighted, kind in itertools.product([0.0, 0.2], [False, True], kinds):
        options = {"axis": axis, "label_smoothing": smoothing, "sample_weight": s}
        weight = w.astype(np.float64) if weighted else np.ones(classes)
        if weighted:
            options["weight"] = w
        counted = s.astype(np.float64)
        if kind == "soft":
            targets, hard = np.moveaxis(q, -1, axis), q.astype(np.float64)
            normaliser = counted.sum()
        else:
            targets, hard = t, np.eye(classes)[t]
            if kind == "ignore":
                options["ignore_index"] = 0
                counted = np.where(t == 0, 0, counted)
            normaliser = (counted * weight[t]).sum()
        a = weight * ((1 - smoothing) * hard + smoothing / classes)
        each = counted * -(a * logs).sum(-1)
        slope = p * a.sum(-1, keepdims=True) - a
        for reduction in ("mean", "sum", "none"):
            options["reduction"] = reduction
            want = reduced(each, normaliser, reduction)
            close(ff.softmax_cross_entropy(x, targets, **options), want, dtype)
            factor = row_factor(counted, normaliser, reduction)
            grad = np.moveaxis(factor[..., None] * slope, -1, axis)
            loss, got = ff.softmax_cross_entropy_with_grad(x, targets, **options)
            close(loss, want, dtype)
            close(got, grad, dtype)
            got = ff.softmax_cross_entropy_backward(probs, targets, -2.0, **options)
            close(got, -2 * grad, dtype)
            if reduction == "none":
                grad = np.moveaxis((back * factor)[..., None] * slope, -1, axis)
                close(ff.softmax_cross_entropy_backward(probs, targets, back, **options), grad, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["plain", "strided", "fortran"])
@pytest.mark.parametrize("shape, axis", ROWS)
def test_cross_entropy(backend, dtype, layout, shape, axis):
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 1, shape).astype(dtype)
    wide = np.moveaxis(p, axis, -1).astype(np.float64)
    classes = wide.shape[-1]
    t = rng.integers(0, classes, wide.shape[:-1])
    q = rng.dirichlet(np.ones(classes), t.shape).astype(dtype)
    s = weights(rng, t.shape)
    back = rng.uniform(-1, 1, t.shape)
    p = in_layout(layout, p)
    for targets, hard in [(t, np.eye(classes)[t]), (np.moveaxis(q, -1, axis), q.astype(np.float64))]:
        each = s * -(hard * np.log(wide)).sum(-1)
        for reduction in ("mean", "sum", "none"):
            options = {"axis": axis, "sample_weight": s, "reduction": reduction}
            want = reduced(each, s.sum(), reduction)
            factor = row_factor(s, s.sum(), reduction)
            grad = np.moveaxis(-factor[..., None] * hard / wide, -1, axis)
            close(ff.cross_entropy(p, targets, **options), want, dtype)
            loss, got = ff.cross_entropy_with_grad(p, targets, **options)
            close(loss, want, dtype)
            close(got, grad, dtype)
            close(ff.cross_entropy_backward(p, targets, 3.0, **options), 3 * grad, dtype)
            if reduction == "none":
                grad = np.moveaxis(-(back * factor)[..., None] * hard / wide, -1, axis)
                close(ff.cross_entropy_backward(p, targets, back, **options), grad, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["plain", "strided", "fortran"])
@pytest.mark.parametrize("shape", [(7, 1), (40, 3), (5, 300), (3, 9, 40), (6,), (2000, 1), (3000, 7)])
def test_sum_squared_error(backend, dtype, layout, shape):
    rng = np.random.default_rng(0)
    y, t = rng.normal(size=(2, *shape)).astype(dtype)
    rows = shape[:1] if len(shape) > 1 else ()
    s, back = np.asarray(weights(rng, rows)), rng.uniform(-1, 1, rows)
    difference = y.astype(np.float64) - t
    each = s * 0.5 * (difference**2).reshape(*rows, -1).sum(-1)
    y, t = in_layout(layout, y), in_layout(layout, t)

    def broadcast(factor):
        return np.reshape(factor, rows + (1,) * (len(shape) - len(rows)))

    for reduction in ("mean", "sum", "none"):
        options = {"sample_weight": s, "reduction": reduction}
        want = reduced(each, s.sum(), reduction)
        factor = row_factor(s, s.sum(), reduction)
        grad = broadcast(factor) * difference
        close(ff.sum_squared_error(y, t, **options), want, dtype)
        loss, got = ff.sum_squared_error_with_grad(y, t, **options)
        close(loss, want, dtype)
        close(got, grad, dtype)
        close(ff.sum_squared_error_backward(y, t, 3.0, **options), 3 * grad, dtype)
        if reduction == "none":
            got = ff.sum_squared_error_backward(y, t, back, **options)
            close(got, broadcast(back * factor) * difference, dtype)


def test_as_scikit_learn_has_it(backend):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p, t, s = rng.dirichlet(np.ones(5), 60), rng.integers(0, 5, 60), rng.uniform(0, 2, 60)
    want = metrics.log_loss(t, p, sample_weight=s, labels=range(5))
    assert ff.cross_entropy(p, t, sample_weight=s) == pytest.approx(want, rel=1e-12)
    assert ff.softmax_cross_entropy(np.log(p), t, sample_weight=s) == pytest.approx(want, rel=1e-12)
    y, z = rng.normal(size=(2, 60, 3))
    want = metrics.mean_squared_error(z, y, sample_weight=s) * 3 / 2
    assert ff.sum_squared_error(y, z, sample_weight=s) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_as_pytorch_multiplies_losses(backend, smoothing):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, t, s = rng.normal(size=(30, 6)), rng.integers(0, 6, 30), rng.uniform(0, 2, 30)
    w = rng.uniform(0.5, 2, 6)
    t[[3, 8]] = -100
    leaf = torch.tensor(x, requires_grad=True)
    each = torch.nn.functional.cross_entropy(
        leaf, torch.tensor(t), torch.tensor(w), ignore_index=-100, label_smoothing=smoothing,
        reduction="none",
    )  # fmt: skip
    options = {"weight": w, "ignore_index": -100, "label_smoothing": smoothing, "sample_weight": s}
    want = each * torch.tensor(s)
    got = ff.softmax_cross_entropy(x, t, reduction="none", **options)
    np.testing.assert_allclose(got, want.detach(), rtol=1e-12, atol=1e-15)
    counted = t >= 0
    mean = want.sum() / (s[counted] * w[t[counted]]).sum()
    mean.backward()
    loss, grad = ff.softmax_cross_entropy_with_grad(x, t, **options)
    assert loss == pytest.approx(mean.item(), rel=1e-12)
    np.testing.assert_allclose(grad, leaf.grad, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, axis", [((5, 3), 1), ((40, 10), 1), ((5, 400), 1), ((10, 40), 0)])
def test_a_row_of_weight_zero_is_not_there(backend, dtype, shape, axis):
    """Whatever is in it: NaN, infinities, a class without probability."""
    rng = np.random.default_rng(2)
    rows = shape[1 - axis]
    x = rng.normal(size=shape).astype(dtype)
    t, s = rng.integers(0, shape[axis], rows), rng.uniform(0.5, 2, rows)
    q = rng.dirichlet(np.ones(shape[axis]), rows).astype(dtype)
    s[[1, 3, 4]] = 0
    kept = np.flatnonzero(s)
    names = ("softmax_cross_entropy", "cross_entropy", "sum_squared_error")
    for name, first in zip(names, (x, np.abs(x), x), strict=True):
        bad = np.moveaxis(first.copy(), axis, 0)
        bad[:, 1], bad[:, 3], bad[0, 4], bad[-1, 4] = NAN, -INF, INF, 0
        bad = np.moveaxis(bad, 0, axis)
        if name == "sum_squared_error":
            if axis == 0:
                continue
            cases, options = [q], {}
        else:
            cases, options = [t, np.moveaxis(q, -1, axis)], {"axis": axis}
        forms = [{}, {"label_smoothing": 0.1}] if name.startswith("softmax") else [{}]
        for targets, form, reduction in itertools.product(cases, forms, ("mean", "sum", "none")):
            each = {**options, **form, "reduction": reduction, "sample_weight": s}
            few = {**each, "sample_weight": s[kept]}
            some = targets[kept] if targets is t or axis else targets.take(kept, 1 - axis)
            less = bad.take(kept, 1 - axis)
            want, want_grad = getattr(ff, f"{name}_with_grad")(less, some, **few)
            alone = getattr(ff, name)(bad, targets, **each)
            loss, grad = getattr(ff, f"{name}_with_grad")(bad, targets, **each)
            back = getattr(ff, f"{name}_backward")(bad, targets, 1.0, **each)
            want_back = getattr(ff, f"{name}_backward")(less, some, 1.0, **few)
            if reduction == "none":
                assert (loss[s == 0] == 0).all() and (alone[s == 0] == 0).all()
                loss, alone = loss[kept], alone[kept]
            close(loss, want, dtype)
            close(alone, want, dtype)
            for got, expected in [(grad, want_grad), (back, want_back)]:
                assert (got.take(np.flatnonzero(s == 0), 1 - axis) == 0).all()
                close(got.take(kept, 1 - axis), expected, dtype)


def test_no_row_has_weight(backend):
    x = np.array([[1.0, NAN], [2.0, 3.0]])
    cases = [(name, t) for name in ("softmax_cross_entropy", "cross_entropy") for t in ([0, 1], x)]
    for name, t in [*cases, ("sum_squared_error", x)]:
        loss, grad = getattr(ff, f"{name}_with_grad")(x, t, sample_weight=[0, 0])
        assert loss == 0 and (grad == 0).all()
        assert getattr(ff, name)(x, t, sample_weight=np.zeros(2)) == 0
        assert (getattr(ff, f"{name}_backward")(x, t, sample_weight=np.zeros(2)) == 0).all()
        loss, grad = getattr(ff, f"{name}_with_grad")(x[:0], t[:0], sample_weight=[])
        assert loss == 0 and grad.shape == (0, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_any_type(backend, dtype):
    rng = np.random.default_rng(4)
    x, t, s = rng.normal(size=(33, 4)).astype(dtype), rng.integers(0, 4, 33), rng.integers(0, 3, 33)
    q = rng.normal(size=(33, 4)).astype(dtype)
    strided = np.repeat(s.astype(np.float64), 2)[::2]
    for name, targets in [("softmax_cross_entropy", t), ("sum_squared_error", q)]:
        function = getattr(ff, f"{name}_with_grad")
        want, want_grad = function(x, targets, sample_weight=s.astype(np.float64))
        for given in (s, s.tolist(), *map(s.astype, ("f4", "f2", ">f8", "u1")), strided):
            loss, grad = function(x, targets, sample_weight=given)
            assert loss == want and loss.dtype == dtype and grad.dtype == dtype
            np.testing.assert_array_equal(grad, want_grad)
    # More than float32 holds; a mean has it in numerator and denominator.
    big = ff.softmax_cross_entropy_with_grad(x, t, sample_weight=s * 1e200)
    close(big[0], ff.softmax_cross_entropy(x, t, sample_weight=s), dtype)
    close(big[1], ff.softmax_cross_entropy_with_grad(x, t, sample_weight=s)[1], dtype)


def test_one_sample(backend):
    assert ff.softmax_cross_entropy([0.0, 0.0], 1, sample_weight=3.0, reduction="sum") == pytest.approx(
        3 * np.log(2)
    )
    loss, grad = ff.sum_squared_error_with_grad([1.0, 2.0], [0.0, 0.0], sample_weight=2, reduction="sum")
    assert loss == 5 and grad.tolist() == [2, 4]


LOSSES = [
    (ff.softmax_cross_entropy, [0, 1, 2]),
    (ff.softmax_cross_entropy_with_grad, [0, 1, 2]),
    (ff.softmax_cross_entropy_backward, [0, 1, 2]),
    (ff.cross_entropy, [0, 1, 2]),
    (ff.cross_entropy_with_grad, [0, 1, 2]),
    (ff.cross_entropy_backward, [0, 1, 2]),
    (ff.sum_squared_error, np.ones((3, 4), np.float32)),
    (ff.sum_squared_error_with_grad, np.ones((3, 4), np.float32)),
    (ff.sum_squared_error_backward, np.ones((3, 4), np.float32)),
]


@pytest.mark.parametrize("loss, t", LOSSES, ids=lambda x: getattr(x, "__name__", ""))
def test_refusals(backend, loss, t):
    y = np.ones((3, 4), np.float32)
    for weight, error, words in [
        ([1.0, 2.0], ValueError, r"expected one number a row, shape \(3,\), got \(2,\)"),
        (np.ones((3, 1)), ValueError, r"shape \(3,\), got \(3, 1\)"),
        (np.ones(4), ValueError, r"shape \(3,\), got \(4,\)"),
        (2.0, ValueError, r"shape \(3,\), got \(\)"),
        (np.array([1, -0.5, 1]), ValueError, "numbers of at least 0, got -0.5 at position 1$"),
        (np.array([1, 1, NAN], np.float32), ValueError, "got nan at position 2$"),
        ([INF, 1, 1], ValueError, "got inf at position 0$"),
        (["1", "2", "3"], TypeError, "expected real numbers"),
        (np.ones(3, complex), TypeError, "expected real numbers"),
    ]:
        with pytest.raises(error, match=f"^sample_weight: .*{words}"):
            loss(y, t, sample_weight=weight)
        if not loss.__name__.endswith(("entropy", "error")):
            out = np.full((3, 4), 7, np.float32)
            with pytest.raises(error, match="sample_weight"):
                loss(y, t, sample_weight=weight, out=out)
            assert (out == 7).all()
    with pytest.raises(ValueError, match=r"sample_weight: .*got -1 at position \(1, 0\)"):
        logits, targets = np.ones((2, 3, 4)), np.zeros((2, 3), int)
        ff.softmax_cross_entropy(logits, targets, sample_weight=[[1, 1, 1], [-1, 1, 1]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_apart_from_weights(backend, dtype):
    x, memory = np.ones((3, 3), dtype), np.ones((3, 3), dtype)
    with pytest.raises(ValueError, match="out: expected memory apart from sample_weight"):
        ff.softmax_cross_entropy_with_grad(x, [0, 1, 2], sample_weight=memory[0], out=memory)
    with pytest.raises(ValueError, match="out: expected memory apart from sample_weight"):
        ff.cross_entropy(x, [0, 1, 2], sample_weight=memory[0], reduction="none", out=memory[0])
    with pytest.raises(ValueError, match="out: expected memory apart from sample_weight"):
        ff.sum_squared_error_with_grad(x, x.copy(), sample_weight=memory[0], out=memory)
    s = np.array([1, 2, 0], dtype)
    loss, grad = ff.softmax_cross_entropy_with_grad(x.copy(), [0, 1, 2], sample_weight=s)
    got, same = ff.softmax_cross_entropy_with_grad(x, [0, 1, 2], sample_weight=s, out=x)
    assert same is x and got == loss and (same == grad).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3000, 40), (40, 3000)])
def test_same_bits(dtype, shape):
    """With any number of threads, on every instruction set with a fused multiply-add."""
    if control._compiled is None:
        pytest.skip("no compiled kernels")
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=(2, *shape)).astype(dtype)
    t, s = rng.integers(0, shape[1], shape[0]), weights(rng, shape[0])
    before, results = ff.get_isa(), []
    for isa in set(control._compiled.supported()) - {"baseline"}:
        for threads in (1, 2, 3):
            ff.set_isa(isa)
            with ff.use_backend("compiled"), ff.num_threads(threads):
                results.append([
                    *ff.softmax_cross_entropy_with_grad(x, t, sample_weight=s),
                    *ff.softmax_cross_entropy_with_grad(x, np.abs(z), sample_weight=s),
                    *ff.softmax_cross_entropy_with_grad(x.T.copy(), t, axis=0, sample_weight=s),
                    *ff.cross_entropy_with_grad(np.abs(x), t, sample_weight=s),
                    *ff.cross_entropy_with_grad(np.abs(x), np.abs(z), sample_weight=s),
                    *ff.sum_squared_error_with_grad(x, z, sample_weight=s),
                ])  # fmt: skip
    ff.set_isa(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_one_change_nothing(backend, dtype):
    rng = np.random.default_rng(6)
    x, t = rng.normal(size=(50, 7)).astype(dtype), rng.integers(0, 7, 50)
    for name, targets in [("softmax_cross_entropy", t), ("cross_entropy", t), ("sum_squared_error", -x)]:
        function = getattr(ff, f"{name}_with_grad")
        for got, want in zip(function(np.abs(x), targets, sample_weight=np.ones(50)),
                             function(np.abs(x), targets), strict=True):  # fmt: skip
            close(got, want, dtype)
