"""The ways that the NumPy backend takes besides the common one: each gives what the common one does."""

import numpy as np
import pytest

import ffkernels as ff
from ffkernels._arguments import arrays, functions, losses, outputs, updates
from ffkernels.layers import FeedForward
from ffkernels.optimizers import SGD

INF, NAN = np.inf, np.nan
DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [3, 30_000])
def test_what_relu_holds_back_may_be_infinite(backend, dtype, size):
    dy = np.resize(np.array([INF, NAN, -INF, INF, NAN, 2, 3], dtype), size)
    y = np.resize(np.array([-1, 0, -0.0, 5, 4, NAN, 1e-40], dtype), size)
    want = np.resize([0, 0, 0, INF, NAN, NAN, 3 if y[-1] > 0 or size < 7 else 0], size)
    np.testing.assert_array_equal(ff.relu_backward(dy, y), want)
    np.testing.assert_array_equal(ff.relu_backward(dy[::-1], y[::-1]), want[::-1])
    for i in range(2):
        arrays = [dy.copy(), y.copy()]
        np.testing.assert_array_equal(ff.relu_backward(*arrays, out=arrays[i]), want)
        dx, sums = ff.relu_backward_bias(dy[None], y[None])
        np.testing.assert_array_equal(dx[0], want)
        np.testing.assert_array_equal(sums, want)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "identity"])
def test_finite_gradients_in_place(backend, name):
    rng = np.random.default_rng(0)
    for shape in [(5, 3), (300, 70), (90, 300)]:
        dy, y = rng.normal(size=shape), rng.uniform(-1, 1, shape)
        y[0, 0], y[-1, -1] = NAN, 0
        backward = getattr(ff, f"{name}_backward")
        want = backward(dy.copy(), y.copy())
        for i in range(2):
            arrays = [dy.copy(), y.copy()]
            np.testing.assert_array_equal(backward(*arrays, out=arrays[i]), want)
        dx, sums = getattr(ff, f"{name}_backward_bias")(np.asfortranarray(dy), y)
        np.testing.assert_array_equal(dx, want)
        np.testing.assert_allclose(sums, want.sum(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [2, 10, 300])
def test_confident_rows_keep_their_digits_along_any_axis(backend, dtype, classes):
    """Beside ties, rows without a finite maximum and ordinary ones."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, classes)).astype(dtype)
    lead = np.linspace(5, 60, 20).astype(dtype)
    x[:20], x[np.arange(20), np.arange(20) % classes] = 0, lead
    x[20, :2] = 50
    x[21, 1], x[22], x[23, 0], x[24, -1] = NAN, -INF, INF, -INF
    t = np.arange(40) % classes
    rest = (classes - 1) * np.exp(-lead.astype(np.longdouble))
    p = np.exp(-lead.astype(np.longdouble)) / (1 + rest)
    ulps = 8 * np.finfo(dtype).eps
    columns = np.ascontiguousarray(x.T)
    cube = np.stack([columns, columns], axis=-1).copy()
    alone = ff.softmax_cross_entropy_with_grad(x, t, reduction="none")
    for array, axis, targets, rows in [
        (columns, 0, t, lambda a: a.T),
        (np.asfortranarray(x), 1, t, lambda a: a),
        (cube, 0, np.stack([t, t], -1), lambda a: np.moveaxis(a, 0, -1)[:, 1]),
    ]:
        options = {"axis": axis, "reduction": "none"}
        loss, grad = ff.softmax_cross_entropy_with_grad(array, targets, **options)
        np.testing.assert_allclose(ff.softmax_cross_entropy(array, targets, **options), loss, rtol=ulps)
        loss, grad = loss if loss.ndim == 1 else loss[:, 1], rows(grad)
        assert np.all(abs(loss[:20] / np.log1p(rest) - 1) <= ulps)
        assert np.all(abs(grad[np.arange(20), t[:20]] / -((classes - 1) * p) - 1) <= ulps)
        np.testing.assert_allclose(loss, alone[0], rtol=ulps, atol=ulps)
        np.testing.assert_allclose(grad, alone[1], rtol=ulps, atol=ulps)
        np.testing.assert_allclose(-rows(ff.log_softmax(array, axis))[np.arange(20), t[:20]],
                                   np.log1p(rest).astype(dtype), rtol=ulps)  # fmt: skip
        total = ff.logsumexp(array, axis)
        np.testing.assert_allclose(total if total.ndim == 1 else total[:, 1], ff.logsumexp(x), rtol=ulps)
        back = rows(ff.softmax_cross_entropy_backward(ff.softmax(array, axis), targets, **options))
        np.testing.assert_allclose(back[:20], grad[:20], rtol=2 * ulps, atol=ulps)
        assert np.all(abs(back[np.arange(20), t[:20]] / -((classes - 1) * p) - 1) <= 2 * ulps)


@pytest.mark.parametrize("axis", [0, 1])
def test_long_sums_along_any_axis(backend, axis):
    """Equal terms, each addition of which errs to the same side."""
    n = 50_000
    x = np.full((n, 3), np.float32(0.1))
    x[0] = 2
    x = x if axis == 0 else np.ascontiguousarray(x.T)
    exact = np.log(1 + (n - 1) * np.exp(float(np.float32(0.1)) - 2)) + 2
    np.testing.assert_allclose(ff.logsumexp(x, axis), exact, rtol=1e-6)
    dz = np.full((n, 3), np.float32(0.1))
    _, sums = ff.identity_backward_bias(dz, dz)
    np.testing.assert_allclose(sums, n * float(np.float32(0.1)), rtol=1e-6)
    dy = np.ascontiguousarray(dz if axis == 0 else dz.T)
    y = np.full_like(dy, np.log(np.float32(0.5)))
    want = 0.1 * (1 - n / 2)
    np.testing.assert_allclose(ff.log_softmax_backward(dy, y, axis), want, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (7, 3000), (2, 30_000), (2, 8192)])
def test_squares_of_any_size(backend, shape):
    rng = np.random.default_rng(2)
    y, t = rng.normal(size=(2, *shape)).astype(np.float32)
    rows = shape[0] if len(shape) > 1 else 1
    each = 0.5 * ((y.astype(np.float64) - t) ** 2).reshape(rows, -1).sum(1)
    np.testing.assert_allclose(ff.sum_squared_error(y, t), each.mean(), rtol=1e-6)
    got = ff.sum_squared_error(y, t, reduction="none")
    np.testing.assert_allclose(got, each if len(shape) > 1 else each[0], rtol=2e-6)
    # The squares are beyond float32, their mean is not.
    far = np.zeros((1000, 2), np.float32)
    far[0] = 2e19
    assert ff.sum_squared_error(far, 0 * far) == np.float32(4e35)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_that_the_common_case_is_not(backend, dtype):
    """Converted, they give what plain arrays do; an output of another layout gets the same values."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 6, 5)).astype(dtype)
    t, w = rng.integers(0, 5, 6), rng.uniform(1, 2, 5).astype(dtype)
    swapped = [a.astype(a.dtype.newbyteorder()) for a in (x, y, t, w)]
    eps = np.finfo(dtype).eps
    for call in [
        lambda x, y, t, w, **o: ff.relu(x, **o),
        lambda x, y, t, w, **o: ff.tanh_backward(x, y, **o),
        lambda x, y, t, w, **o: ff.bias_sigmoid(x, w, **o),
        lambda x, y, t, w, **o: ff.softmax(x, **o),
        lambda x, y, t, w, **o: ff.softmax_backward(x, y, **o),
        lambda x, y, t, w, **o: ff.softmax_cross_entropy_with_grad(x, t, **o)[1],
        lambda x, y, t, w, **o: ff.softmax_cross_entropy_with_grad(x, t, weight=w, **o)[1],
        lambda x, y, t, w, **o: ff.softmax_cross_entropy_backward(x, t, **o),
        lambda x, y, t, w, **o: ff.cross_entropy_with_grad(abs(x), t, **o)[1],
        lambda x, y, t, w, **o: ff.sum_squared_error_with_grad(x, y, **o)[1],
    ]:
        want = call(x, y, t, w)
        np.testing.assert_array_equal(call(*swapped), want)
        for out in (np.empty((5, 6), dtype).T, np.empty((6, 10), dtype)[:, ::2]):
            assert call(x, y, t, w, out=out) is out
            np.testing.assert_allclose(out, want, rtol=20 * eps, atol=4 * eps)


@pytest.mark.parametrize("options", ["smoothing", "weight", "ignored", "all"])
@pytest.mark.parametrize("axis", [0, 1])
def test_each_option_alone(backend, options, axis):
    """By the definition, without anything else that would lead off the common way."""
    rng = np.random.default_rng(5)
    x, t, w = rng.normal(size=(12, 5)), rng.integers(0, 5, 12), rng.uniform(0.5, 2, 5)
    smoothing = 0.2 if options in ("smoothing", "all") else 0.0
    weight = w if options in ("weight", "all") else None
    ignored = 3 if options in ("ignored", "all") else None
    a = ((1 - smoothing) * np.eye(5)[t] + smoothing / 5) * (np.ones(5) if weight is None else w)
    a[t == ignored] = 0
    counted = (np.ones(5) if weight is None else w)[t][t != ignored].sum()
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    loss, grad = -(a * np.log(p)).sum() / counted, (p * a.sum(1, keepdims=True) - a) / counted
    given = {"label_smoothing": smoothing, "weight": weight, "ignore_index": ignored, "axis": axis}
    x, p, grad = (np.ascontiguousarray(v if axis == 1 else v.T) for v in (x, p, grad))
    np.testing.assert_allclose(ff.softmax_cross_entropy(x, t, **given), loss, rtol=1e-13)
    both = ff.softmax_cross_entropy_with_grad(x, t, **given)
    np.testing.assert_allclose(both[0], loss, rtol=1e-13)
    np.testing.assert_allclose(both[1], grad, rtol=1e-12, atol=1e-15)
    back = ff.softmax_cross_entropy_backward(p, t, 2.0, **given)
    np.testing.assert_allclose(back, 2 * grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_class_of_weight_zero_says_nothing(backend, smoothing, axis):
    """Not even where its logit is minus infinity and it is the target."""
    x = np.array([[0.5, -INF, 1.0, -0.5], [-INF, 0.0, 2.0, -INF], [1.0, 2.0, 3.0, 4.0]])
    t, weight = np.array([1, 3, 2]), np.array([1.0, 0, 2, 0])
    x[1, 0] = 0.5 if smoothing else -INF
    with np.errstate(all="ignore"):
        log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
        a = weight * ((1 - smoothing) * np.eye(4)[t] + smoothing / 4)
        want = -np.where(a == 0, 0, a * log_p).sum(1)
    x = np.ascontiguousarray(x if axis == 1 else x.T)
    options = {"weight": weight, "axis": axis, "label_smoothing": smoothing, "reduction": "none"}
    loss, grad = ff.softmax_cross_entropy_with_grad(x, t, **options)
    np.testing.assert_allclose(loss, want, rtol=1e-14)
    grad = grad if axis == 1 else grad.T
    np.testing.assert_allclose(grad, np.exp(log_p) * a.sum(1, keepdims=True) - a, rtol=1e-13, atol=1e-15)


def test_products_of_rows_are_the_same_wherever_they_lie():
    rng = np.random.default_rng(6)
    with ff.use_backend("numpy"):
        for columns in (33, 1000):
            dy, y = rng.normal(size=(2, 9, columns)).astype(np.float32)
            want = ff.softmax_backward(dy, y)
            spread = np.zeros((18, 3 * columns), np.float32)
            spread[::2, ::3] = dy
            np.testing.assert_array_equal(ff.softmax_backward(spread[::2, ::3], y), want)
            same = np.broadcast_to(dy[:, :1], dy.shape)
            want = ff.softmax_backward(same.copy(), y)
            np.testing.assert_array_equal(ff.softmax_backward(same, y), want)


def test_the_common_case_is_told(monkeypatch):
    """Plain arrays never reach the rules for all others."""

    def others(*arguments):
        raise AssertionError

    for module in (arrays, functions, losses, outputs, updates):
        for name in ("check_together", "real_array", "check_out"):
            monkeypatch.setattr(module, name, others, raising=False)
    x, y = np.ones((2, 4, 3), np.float32)
    t = np.zeros(4, np.intp)
    with ff.use_backend("numpy"):
        for out in (None, np.empty_like(x), x):
            ff.relu(x, out)
            ff.tanh_backward(x, y, out)
            ff.bias_relu(x, y[0], out)
            ff.relu_backward_bias(x, y, out, np.empty(3, np.float32))
            ff.softmax(x, out=out)
            ff.softmax_backward(x, y, out=out)
            ff.softmax_cross_entropy_with_grad(x, t, out=out)
            ff.softmax_cross_entropy_backward(x, t, out=out)
            ff.cross_entropy_with_grad(x, t, out=out)
            ff.sum_squared_error_with_grad(x, y, out=out)
        ff.logsumexp(x)
        ff.adam_update(x, y, np.zeros_like(x), np.zeros_like(x), 1)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sum_squared_error"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "identity"])
def test_a_net_with_arrays_of_its_own_and_with_others(backend, activation, loss):
    rng = np.random.default_rng(4)
    nets = [FeedForward([6, 9, 8, 4], activation, loss, seed=0) for _ in range(2)]
    nets[1].params["b2"] = nets[1].params["b2"].copy()
    for rows in (200, 7):
        x = rng.normal(size=(rows, 6)).astype(np.float32)
        t = rng.integers(0, 4, rows)
        if loss == "sum_squared_error":
            t = rng.normal(size=(rows, 4))
        values = [net.train_step(x, t, SGD(0.1)) for net in nets]
        assert values[0] == values[1] and type(values[0]) is np.float32
        for key, param in nets[0].params.items():
            np.testing.assert_array_equal(nets[1].params[key], param)
    soft = np.full((7, 4), 0.25)
    assert nets[0].train_step(x, soft, SGD(0.1)) == nets[1].train_step(x, soft, SGD(0.1))


def test_a_net_refuses_what_it_did(backend):
    net = FeedForward([3, 4, 2], seed=0)
    x = np.ones((5, 3), np.float32)
    before = {key: param.copy() for key, param in net.params.items()}
    for t, error, words in [
        ([0, 1, 0, 1, 2], IndexError, "class index 2 at position 4"),
        ([0, 1, 0, -1, 1], IndexError, "class index -1 at position 3"),
        ([0, 1, 0], ValueError, "targets: expected class indices"),
        ([0.0, 1, 0, 1, 1], TypeError, "expected integers"),
        (np.array([0.0, 1, 0, 1, 1]), TypeError, "expected integers"),
    ]:
        with pytest.raises(error, match=words):
            net.train_step(x, t, SGD(0.1))
    for key, param in before.items():
        np.testing.assert_array_equal(net.params[key], param)
    net.params["b1"] = np.zeros(4)
    with pytest.raises(TypeError, match="expected dtype"):
        net.train_step(x, [0, 1, 0, 1, 1], SGD(0.1))


def test_a_weight_decay_of_zero_is_none(backend):
    """An infinite parameter stays what it is, where 0 times it would be NaN."""
    for update, state, numbers in [
        (ff.sgd_update, 0, (0.1,)),
        (ff.momentum_update, 1, (0.1, 0.9)),
        (ff.adam_update, 2, (1,)),
    ]:
        param = np.array([INF, 1.0, -INF])
        update(param, np.ones(3), *np.zeros((state, 3)), *numbers)
        assert param[0] == INF and param[2] == -INF and param[1] < 1


@pytest.mark.parametrize("axis", [0, 1])
def test_a_sure_class_beside_nan_in_soft_targets(backend, axis):
    """The gradient of the class with more than half is minus the sum of the others, one of them NaN."""
    p = np.array([[NAN, 0.1, 0.9, 0.0], [0.05, 0.1, 0.8, 0.05]])
    t = np.array([[0.0, 0.1, 0.9, 0.0], [0.05, 0.1, 0.8, 0.05]])
    p, t = (np.ascontiguousarray(a if axis == 1 else a.T) for a in (p, t))
    dx = ff.softmax_cross_entropy_backward(p, t, axis=axis, reduction="none")
    dx = dx if axis == 1 else dx.T
    assert np.isnan(dx[0]).tolist() == [True, False, True, False]
    np.testing.assert_allclose(dx[1], 0, atol=1e-16)


def test_of_one_dimension_a_bias_is_no_place_for_results(backend):
    """Its shape is that of the rest, but what is written first would be read after."""
    x, b, out = np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match="out: expected memory apart from b"):
        ff.bias_relu(x, b, out=b)
    for name, place in (("dy", x), ("y", b), ("out", out)):
        with pytest.raises(ValueError, match=f"out_bias: expected memory apart from {name}"):
            ff.relu_backward_bias(x, b, out, place)
    assert ff.bias_relu(x, b, out=x) is x and (x == 2).all() and (b == 1).all()


@pytest.mark.parametrize("place", ["none", "dy", "y", "apart"])
def test_relu_silences_any_gradient_wherever_it_goes(backend, place):
    """0 times infinity would be NaN: also where only the sum over the rows tells of it."""
    of_loss = np.array([1, -2, INF, -INF, NAN, 0.0, 1e30], np.float32)
    of_relu = np.array([1, 0, -0.0, -1, NAN, INF, -INF, 1e-45], np.float32)
    dy, y = map(np.ascontiguousarray, np.meshgrid(of_loss, of_relu))
    want = np.where(y > 0, dy, np.where(y <= 0, 0, y))
    sums = want.sum(0)
    out = {"none": None, "dy": dy, "y": y, "apart": np.empty_like(dy)}[place]
    with np.errstate(all="raise"):
        dz, got = ff.relu_backward_bias(dy, y, out)
    np.testing.assert_array_equal(dz, want)
    np.testing.assert_array_equal(got, sums)
