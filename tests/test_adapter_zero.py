"""The book's names: values, flags and shapes, its learning curves, each of its differences."""

import re
from pathlib import Path

import numpy as np
import pytest

import ffkernels as ff
from ffkernels._benchmark.peers import textbook
from ffkernels.adapters import zero
from references import normal, slope

pytestmark = pytest.mark.usefixtures("backend")

FLOATS = [np.float32, np.float64]


@pytest.fixture(autouse=True)
def _exact_again():
    yield
    zero.set_book_values()


def probabilities(*shape, dtype=np.float64):
    return np.random.default_rng(1).dirichlet(np.ones(shape[-1]), shape[:-1]).astype(dtype)


def close(got, want, dtype=np.float64):
    np.testing.assert_allclose(got, np.asarray(want, float), rtol=50 * np.finfo(dtype).eps, atol=1e-30)


# --- functions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_functions_by_their_formulas(dtype):
    x, y = normal(6, 5, dtype=dtype), probabilities(6, 5, dtype=dtype)
    t = np.array([0, 4, 2, 1, 3, 0])
    one_hot = np.eye(5)[t]
    wide = x.astype(np.longdouble)
    s = 1 / (1 + np.exp(-wide))
    p = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    close(zero.sigmoid(x), s, dtype)
    close(zero.sigmoid_grad(x), s * (1 - s), dtype)
    np.testing.assert_array_equal(zero.relu(x), np.where(x > 0, x, 0))
    np.testing.assert_array_equal(zero.relu_grad(x), (x > 0).astype(dtype))
    np.testing.assert_array_equal(zero.step_function(x), (x > 0).astype(int))
    assert zero.step_function(x).dtype == int
    assert zero.identity_function(x) is x
    close(zero.softmax(x), p, dtype)
    close(zero.softmax(x[0]), p[0], dtype)
    close(zero.sum_squared_error(x, y), ((wide - y) ** 2).sum() / 2, dtype)
    for targets in (t, one_hot, one_hot.astype(int), t.tolist()):
        close(zero.cross_entropy_error(y, targets), -np.log(y[np.arange(6), t], dtype="g").mean(), dtype)
        close(zero.softmax_loss(x, targets), -np.log(p[np.arange(6), t]).mean(), dtype)
    for targets in (2, np.array([2]), [2], np.eye(5)[2]):
        close(zero.cross_entropy_error(y[0], targets), -np.log(y[0, 2], dtype="g"), dtype)
    for function in (zero.sigmoid, zero.sigmoid_grad, zero.relu, zero.relu_grad, zero.softmax):
        assert function(x).dtype == dtype
    assert zero.sigmoid(0.0) == 0.5 and zero.relu(-1) == 0 and zero.step_function(3.0) == 1


def test_no_overflow_and_no_bias():
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(zero.sigmoid(np.array([-1000.0, 1000.0])), [0, 1])
    assert zero.softmax_loss([[1000.0, 0.0]], [1]) == 1000
    assert zero.cross_entropy_error([[1.0, 0.0]], [0]) == 0
    assert zero.cross_entropy_error([[1.0, 0.0]], [1]) == np.inf


def test_numerical_gradient():
    x, a = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    kept = x.copy()
    got = zero.numerical_gradient(lambda x: (a * x**2).sum(), x)
    np.testing.assert_allclose(got, 2 * a * kept, rtol=1e-8, atol=1e-9)
    net = {"W": x}
    ignoring = zero.numerical_gradient(lambda _: (a * net["W"] ** 2).sum(), net["W"])
    np.testing.assert_array_equal(ignoring, got)
    np.testing.assert_array_equal(x, kept)
    assert zero.numerical_gradient(lambda x: 3 * x**2, np.array(2.0)) == pytest.approx(12)

    def fail(x):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        zero.numerical_gradient(fail, x)
    np.testing.assert_array_equal(x, kept)
    for bad, came in ((np.arange(3), "int64"), ([1.0], "list")):
        with pytest.raises(TypeError, match=f"x: expected an array of floats, got {came}"):
            zero.numerical_gradient(np.sum, bad)


def test_refusals_of_functions():
    y = probabilities(3, 4)
    for function in (zero.cross_entropy_error, zero.softmax_loss):
        with pytest.raises(IndexError, match="class index -1"):
            function(y, np.array([0, -1, 2]))
        with pytest.raises(ValueError, match=r"^t(argets)?: "):
            function(y, np.array([[0], [1], [2]]))
        with pytest.raises(TypeError, match="integers"):
            function(y, np.zeros(3))
    with pytest.raises(ValueError, match="t: expected the shape of y"):
        zero.sum_squared_error(y, y[:, :1])
    with pytest.raises(TypeError, match="x: expected real"):
        zero.step_function(np.array([1j]))


ONE_SAMPLE = {
    "an index": 2,
    "a list": [2],
    "an array": np.array([2]),
    "a column": np.array([[2]]),
    "one-hot": np.eye(5)[2],
    "a one-hot row": np.eye(5)[2:3],
    "a list in a list": np.eye(5)[2:3].tolist(),
}


@pytest.mark.parametrize("t", ONE_SAMPLE.values(), ids=ONE_SAMPLE)
@pytest.mark.parametrize("differences", [(), tuple(zero.DIFFERENCES)])
def test_one_sample_with_targets_of_any_shape(t, differences):
    """The book reshapes the target of one sample, whatever shape it has."""
    x = normal(5)
    p = np.exp(x) / np.exp(x).sum()
    zero.set_book_values(*differences)
    loss = -np.log(p[2] + (1e-7 if differences else 0))
    layer = zero.SoftmaxWithLoss()
    for got in (zero.cross_entropy_error(p, t), zero.softmax_loss(x, t), layer.forward(x, t)):
        assert np.shape(got) == ()
        np.testing.assert_allclose(got, loss, rtol=1e-12)
    factor = 1 / 5 if differences and np.size(t) == 5 else 1
    dx = layer.backward()
    assert dx.shape == (5,)
    np.testing.assert_allclose(dx, factor * (p - np.eye(5)[2]), rtol=1e-12)


def test_one_sample_refuses_what_is_no_target_of_it():
    for function in (zero.cross_entropy_error, zero.softmax_loss, zero.SoftmaxWithLoss().forward):
        with pytest.raises(ValueError, match=r"^t(argets)?: expected class indices of shape"):
            function(probabilities(5), [1, 2])
        with pytest.raises(IndexError, match="class index 5"):
            function(probabilities(5), [5])
        with pytest.raises(TypeError, match=r"^t(argets)?: expected integers"):
            function(probabilities(5), [2.0])


def test_squared_error_of_two_numbers():
    assert zero.sum_squared_error(3.0, 1) == 2


# --- layers ----------------------------------------------------------------------------------------


def batch_normalisation(columns=12, **options):
    return zero.BatchNormalization(normal(columns, seed=2), normal(columns, seed=3), **options)


LAYERS = {
    "relu": (zero.Relu, (4, 12)),
    "sigmoid": (zero.Sigmoid, (4, 12)),
    "affine": (lambda: zero.Affine(normal(12, 5), normal(5, seed=1)), (4, 12)),
    "affine of images": (lambda: zero.Affine(normal(12, 5), normal(5, seed=1)), (4, 3, 2, 2)),
    "batch normalisation": (batch_normalisation, (4, 12)),
    "batch normalisation of images": (batch_normalisation, (4, 3, 2, 2)),
}
every_layer = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)


@every_layer
def test_backward_is_the_gradient_of_forward(make, shape):
    layer, x = make(), normal(*shape)
    factors = normal(*layer.forward(x).shape, seed=4)
    dx = layer.backward(factors)
    pairs = [(x, dx), *zip(layer.params, layer.grads, strict=True)]
    for array, grad in pairs:
        assert grad.shape == array.shape
        want = slope(lambda: (layer.forward(x) * factors).sum(), array)
        np.testing.assert_allclose(grad, want, rtol=1e-6, atol=1e-8)


@every_layer
def test_every_result_is_a_fresh_array(make, shape):
    layer, x = make(), normal(*shape)
    first = [layer.forward(x)]
    first += [layer.backward(np.ones_like(first[0])), *layer.grads]
    kept = [array.copy() for array in first]
    layer.backward(layer.forward(x + 1))
    for array, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not np.shares_memory(array, x)


@every_layer
def test_layers_refuse(make, shape):
    layer = make()
    with pytest.raises(RuntimeError, match="expected a call of forward before it"):
        layer.backward(1.0)
    y = layer.forward(normal(*shape))
    with pytest.raises(ValueError, match="dout: expected shape"):
        layer.backward(np.ones((*y.shape, 1)))
    with pytest.raises(TypeError, match="x: expected real"):
        layer.forward(np.ones(shape, complex))


@every_layer
def test_what_is_refused_changes_nothing(make, shape):
    layer = make()
    y = layer.forward(normal(*shape))
    layer.backward(y)
    before, grads = repr(vars(layer)), layer.grads
    with pytest.raises(TypeError, match="x: expected real"):
        layer.forward(np.ones(shape, complex))
    for wrong in (np.ones((*y.shape, 1)), y * 1j):
        with pytest.raises((TypeError, ValueError), match="dout: expected"):
            layer.backward(wrong)
    assert repr(vars(layer)) == before
    assert all(now is then for now, then in zip(layer.grads, grads, strict=True))


def test_batch_normalisation_that_fails_keeps_its_averages():
    layer = batch_normalisation(4)
    layer.forward(normal(3, 4))
    beta, layer.beta = layer.beta, np.zeros(7)
    before = repr(vars(layer))
    with pytest.raises(ValueError, match="b: expected the shape of x's last axis"):
        layer.forward(normal(3, 4, seed=1))
    assert repr(vars(layer)) == before
    layer.beta = beta


@pytest.mark.parametrize("targets", ["indices", "one-hot", "probabilities"])
def test_softmax_with_loss(targets):
    layer, x = zero.SoftmaxWithLoss(), normal(4, 5)
    t = {
        "indices": np.array([0, 4, 2, 1]),
        "one-hot": np.eye(5)[[0, 4, 2, 1]],
        "probabilities": probabilities(4, 5),
    }[targets]
    assert layer.forward(x, t) == layer.loss == ff.softmax_cross_entropy(x, t)
    np.testing.assert_array_equal(layer.y, zero.softmax(x))
    dx = layer.backward()
    np.testing.assert_allclose(layer.backward(3.0), 3 * dx, rtol=1e-15)
    np.testing.assert_allclose(dx, slope(lambda: layer.forward(x, t), x), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", [(50,), (20, 30), (5, 2, 3, 4)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_dropout(shape, dtype):
    layer, x, dout = zero.Dropout(0.3), normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    np.random.seed(3)  # noqa: NPY002
    got = layer.forward(x)
    np.random.seed(3)  # noqa: NPY002
    mask = np.random.rand(*shape) > 0.3  # noqa: NPY002
    np.testing.assert_array_equal(got, np.where(mask, x, 0))
    np.testing.assert_array_equal(layer.mask, mask)
    np.testing.assert_array_equal(layer.backward(dout), np.where(mask, dout, 0))
    np.testing.assert_array_equal(layer.forward(x, train_flg=False), x * dtype(1 - 0.3))
    np.testing.assert_array_equal(layer.backward(dout), dout * dtype(1 - 0.3))
    np.testing.assert_array_equal(layer.forward(x, False), x * dtype(0.7))
    assert got.dtype == layer.forward(x, False).dtype == layer.backward(dout).dtype == dtype
    assert not np.shares_memory(layer.forward(x), x)


def test_dropout_ratios():
    x = normal(10, 10)
    assert not zero.Dropout(1).forward(x).any()
    np.testing.assert_array_equal(zero.Dropout(dropout_ratio=0).forward(x), x)
    assert zero.Dropout().dropout_ratio == 0.5
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="dropout_ratio: expected 0 to 1"):
            zero.Dropout(bad)
    with pytest.raises(TypeError, match="dropout_ratio"):
        zero.Dropout("half")
    with pytest.raises(RuntimeError, match="forward before"):
        zero.Dropout().backward(x)


@pytest.mark.parametrize("shape", [(7, 12), (7, 3, 2, 2)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_batch_normalisation(shape, dtype):
    gamma, beta = normal(12, dtype=dtype, seed=2), normal(12, dtype=dtype, seed=3)
    layer = zero.BatchNormalization(gamma, beta, momentum=0.8)
    mean, var = np.zeros(12), np.zeros(12)
    tolerance = 50 * np.finfo(dtype).eps
    for seed in range(3):
        x = normal(*shape, dtype=dtype, seed=seed) + dtype(seed)
        wide = x.reshape(7, 12).astype(np.longdouble)
        now, spread = wide.mean(axis=0), wide.var(axis=0)
        mean, var = 0.8 * mean + 0.2 * now, 0.8 * var + 0.2 * spread
        got = layer.forward(x, train_flg=True)
        want = gamma * (wide - now) / np.sqrt(spread + 1e-6) + beta
        assert got.dtype == dtype and got.shape == shape
        np.testing.assert_allclose(got.reshape(7, 12), want.astype(float), rtol=0, atol=tolerance)
    np.testing.assert_allclose(layer.running_mean, mean.astype(float), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(layer.running_var, var.astype(float), rtol=tolerance)
    got = layer.forward(x, train_flg=False)
    scale = gamma / np.sqrt(var + 1e-6)
    want = (wide - mean) * scale + beta
    np.testing.assert_allclose(got.reshape(7, 12), want.astype(float), rtol=0, atol=100 * tolerance)
    dx = layer.backward(np.ones(shape, dtype))
    np.testing.assert_allclose(dx.reshape(7, 12), np.tile(scale, (7, 1)).astype(float), rtol=tolerance)
    np.testing.assert_allclose(layer.running_var, var.astype(float), rtol=tolerance)
    assert layer.dgamma.dtype == layer.dbeta.dtype == dx.dtype == dtype


def test_batch_normalisation_starts_where_told():
    mean, var = normal(12), np.full(12, 4.0)
    layer = batch_normalisation(running_mean=mean, running_var=var)
    x = normal(3, 12)
    want = layer.gamma * (x - mean) / np.sqrt(4 + 1e-6) + layer.beta
    np.testing.assert_allclose(layer.forward(x, False), want, rtol=1e-13)
    layer.forward(x)
    np.testing.assert_array_equal(var, 4)  # replaced, not changed
    layer.gamma[:] = 0  # by reference
    np.testing.assert_array_equal(layer.forward(x), np.tile(layer.beta, (3, 1)))
    assert batch_normalisation().forward(x.astype(np.float32)).dtype == np.float64
    assert batch_normalisation().forward(np.arange(24).reshape(2, 12)).shape == (2, 12)


def test_batch_normalisation_refuses():
    gamma, beta = np.ones(3), np.zeros(3)
    with pytest.raises(TypeError, match="gamma: expected an array of float32 or float64, got list"):
        zero.BatchNormalization([1.0], beta)
    with pytest.raises(TypeError, match=r"beta: .* got int64"):
        zero.BatchNormalization(gamma, np.zeros(3, int))
    with pytest.raises(ValueError, match="gamma: expected one dimension"):
        zero.BatchNormalization(np.ones((1, 3)), beta)
    with pytest.raises(ValueError, match="beta: expected the shape of gamma"):
        zero.BatchNormalization(gamma, np.zeros(2))
    with pytest.raises(ValueError, match="momentum: expected 0 to 1, got 2"):
        zero.BatchNormalization(gamma, beta, momentum=2)
    with pytest.raises(ValueError, match="running_var: expected the shape"):
        zero.BatchNormalization(gamma, beta, running_var=np.ones(4))
    layer = zero.BatchNormalization(gamma, beta)
    with pytest.raises(ValueError, match="x: expected shape"):
        layer.forward(np.ones((2, 4)))
    with pytest.raises(ValueError, match="x: expected at least one row"):
        layer.forward(np.ones((0, 3)))
    assert layer.forward(np.ones((0, 3)), False).shape == (0, 3)


# --- nets ------------------------------------------------------------------------------------------


def learning_curve(source, between, targets="indices", steps=60):
    """Losses of a net of 12 inputs and 4 classes, layer by layer as the book's nets call them."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(200, 12)), rng.integers(0, 4, 200)
    x[np.arange(200), t] += 3
    sizes, layers, learned = (12, 20, 20, 4), [], []
    for k in range(3):
        W = rng.normal(size=sizes[k : k + 2]) * np.sqrt(2 / sizes[k])
        layers.append(source.Affine(W, np.zeros(sizes[k + 1])))
        learned += [(layers[-1], "W"), (layers[-1], "b")]
        for name in between if k < 2 else ():
            if name == "BatchNormalization":
                layers.append(source.BatchNormalization(np.ones(20), np.zeros(20)))
                learned += [(layers[-1], "gamma"), (layers[-1], "beta")]
            else:
                layers.append(getattr(source, name)(*([0.2] if name == "Dropout" else [])))
    last = source.SoftmaxWithLoss()
    np.random.seed(5)  # noqa: NPY002
    losses = []
    for _ in range(steps):
        rows = rng.integers(0, 200, 50)
        targets_of = t[rows] if targets == "indices" else np.eye(4)[t[rows]]
        losses.append(textbook.backpropagate(layers, last, x[rows], targets_of))
        for layer, name in learned:
            param = getattr(layer, name)
            param -= 0.1 * getattr(layer, "d" + name)
    return losses


@pytest.mark.parametrize("between", [["Sigmoid"], ["Relu"], ["BatchNormalization", "Relu", "Dropout"]])
def test_learning_curves_are_the_books(between):
    want = learning_curve(textbook, between)
    with zero.use_book_values(*zero.DIFFERENCES):
        np.testing.assert_allclose(learning_curve(zero, between), want, rtol=1e-9)
        np.testing.assert_allclose(learning_curve(zero, between, "one-hot"), want, rtol=1e-9)
    np.testing.assert_allclose(learning_curve(zero, between), want, rtol=1e-3)
    if between != ["Sigmoid"]:
        assert want[-1] < want[0] / 2


# --- differences -----------------------------------------------------------------------------------


def test_relu_grad_at_zero():
    x = np.array([-1.0, -0.0, 0.0, 2.0], np.float32)
    np.testing.assert_array_equal(zero.relu_grad(x), [0, 0, 0, 1])
    zero.set_book_values("relu_grad_at_zero")
    np.testing.assert_array_equal(zero.relu_grad(x), [0, 1, 1, 1])
    assert zero.relu_grad(x).dtype == np.float32
    layer = zero.Relu()
    layer.forward(x)
    np.testing.assert_array_equal(layer.backward(np.ones(4)), [0, 0, 0, 1])  # the book's layer too


def test_log_offset():
    y, t = np.array([[1.0, 0.0], [0.25, 0.75]]), np.array([1, 0])
    zero.set_book_values("log_offset")
    want = -(np.log(1e-7) + np.log(0.25 + 1e-7)) / 2
    assert zero.cross_entropy_error(y, t) == pytest.approx(want, rel=1e-14)
    x = np.array([[500.0, 0.0], [0.0, np.log(3.0)]])
    assert zero.softmax_loss(x, t) == pytest.approx(want, rel=1e-14)
    layer = zero.SoftmaxWithLoss()
    assert layer.forward(x, t) == layer.loss == zero.softmax_loss(x, t)
    np.testing.assert_allclose(layer.backward(), (y - np.eye(2)[t]) / 2, atol=1e-15)


def test_argmax_targets():
    x, t = normal(4, 5), probabilities(4, 5)
    y, largest = zero.softmax(x), t.argmax(axis=1)
    soft = zero.cross_entropy_error(y, t)
    assert soft == pytest.approx(-(t * np.log(y)).sum() / 4)
    zero.set_book_values("argmax_targets")
    want = -np.log(y[np.arange(4), largest]).mean()
    assert want != pytest.approx(soft)
    assert zero.cross_entropy_error(y, t) == pytest.approx(want)
    assert zero.softmax_loss(x, t) == pytest.approx(want)
    layer = zero.SoftmaxWithLoss()
    assert layer.forward(x, t) == pytest.approx(want)
    np.testing.assert_allclose(layer.backward(), (y - t) / 4, rtol=1e-12)


def test_dout_of_loss():
    layer, x, t = zero.SoftmaxWithLoss(), normal(4, 5), np.array([0, 4, 2, 1])
    layer.forward(x, t)
    dx = layer.backward()
    zero.set_book_values("dout_of_loss")
    np.testing.assert_array_equal(layer.backward(7.0), dx)


def test_one_sample():
    layer, x = zero.SoftmaxWithLoss(), normal(5)
    layer.forward(x, np.eye(5)[2])
    dx = layer.backward()
    np.testing.assert_allclose(dx, zero.softmax(x) - np.eye(5)[2], rtol=1e-12)
    zero.set_book_values("one_sample")
    np.testing.assert_allclose(layer.backward(), dx / 5, rtol=1e-12)
    layer.forward(x, 2)
    np.testing.assert_allclose(layer.backward(), dx, rtol=1e-12)


def test_switches():
    assert zero.relu_grad(0.0) == 0
    with zero.use_book_values(*zero.DIFFERENCES):
        assert zero.relu_grad(0.0) == 1
        with zero.use_book_values():
            assert zero.relu_grad(0.0) == 0
        assert zero.relu_grad(0.0) == 1
    assert zero.relu_grad(0.0) == 0
    zero.set_book_values("relu_grad_at_zero")
    with pytest.raises(ValueError, match=r"names: expected some of .* got 'typo'"):
        zero.set_book_values("typo")
    assert zero.relu_grad(0.0) == 1
    with pytest.raises(KeyError), zero.use_book_values():
        raise KeyError
    assert zero.relu_grad(0.0) == 1


def test_every_difference_is_documented_and_tested():
    guide = Path(__file__).parents[1] / "docs" / "adapters-zero.md"
    assert set(re.findall(r"^\| `(\w+)` ", guide.read_text(), re.M)) == set(zero.DIFFERENCES)
    assert all(f"test_{name}" in globals() for name in zero.DIFFERENCES)
