"""The book's classes against its formulas in float64, and against plain NumPy in training."""

# ruff: noqa: F403, F405, NPY002, the import and the generator of the book

import numpy as np
import pytest

from ffkernels.adapters import nnfs
from ffkernels.adapters.nnfs import *

pytestmark = pytest.mark.usefixtures("backend")

N, FEATURES, CLASSES = 9, 5, 4
DENSE = Layer_Dense(2, 1)


def numbers(shape=(N, FEATURES), seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def probabilities():
    e = np.exp(numbers((N, CLASSES)))
    return e / e.sum(axis=1, keepdims=True)


def numerical(loss, x):
    """Central differences of a function of an array that is changed in place."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept, x[i] = x[i], x[i] + 1e-6
        above = loss()
        x[i] = kept - 1e-6
        gradient[i] = (above - loss()) / 2e-6
        x[i] = kept
    return gradient


def test_the_import_brings_the_classes_alone():
    assert {name for name in nnfs.__all__ if name not in globals()} == set()
    assert dir(nnfs) == sorted(nnfs.__all__)


# --- layers --------------------------------------------------------------------------------------


def test_dense():
    np.random.seed(1)
    layer = Layer_Dense(FEATURES, 3)
    np.random.seed(1)
    np.testing.assert_array_equal(layer.weights, 0.01 * np.random.randn(FEATURES, 3))
    np.testing.assert_array_equal(layer.biases, np.zeros((1, 3)))
    layer.biases += [1, 2, 3]
    x, dvalues = numbers(), numbers((N, 3), 1)
    layer.forward(x, training=True)
    np.testing.assert_allclose(layer.output, x @ layer.weights + layer.biases, 1e-14)
    layer.backward(dvalues)
    np.testing.assert_allclose(layer.dweights, x.T @ dvalues, 1e-14)
    np.testing.assert_allclose(layer.dbiases, dvalues.sum(axis=0, keepdims=True), 1e-13)
    np.testing.assert_allclose(layer.dinputs, dvalues @ layer.weights.T, 1e-14)
    weights, biases = layer.get_parameters()
    assert weights is layer.weights and biases is layer.biases


@pytest.mark.parametrize("weights, biases", [(np.float32, np.float32), (np.float32, np.float64)])
def test_dense_of_other_types(weights, biases):
    layer = Layer_Dense(FEATURES, 3)
    layer.set_parameters(layer.weights.astype(weights), layer.biases.astype(biases) + 0.1)
    x = numbers().astype(np.float32)
    layer.forward(x)
    assert layer.output.dtype == biases
    np.testing.assert_allclose(layer.output, x @ layer.weights + layer.biases, 1e-5)


def test_one_sample_and_lists():
    layer = Layer_Dense(2, 1)
    layer.set_parameters(np.array([[1.0], [2.0]]), np.array([[3.0]]))
    layer.forward([1.0, 2.0])
    np.testing.assert_array_equal(layer.output, [[8.0]])


PENALTIES = {
    "weight_regularizer_l1": 0.1,
    "weight_regularizer_l2": 0.2,
    "bias_regularizer_l1": 0.3,
    "bias_regularizer_l2": 0.4,
}


@pytest.mark.parametrize("names", [*([name] for name in PENALTIES), [*PENALTIES]])
def test_penalties(names):
    layer = Layer_Dense(FEATURES, 3, **{name: PENALTIES[name] for name in names})
    layer.biases += numbers((1, 3), 2)
    x, dvalues, loss = numbers(), numbers((N, 3), 1), Loss()

    def total():
        layer.forward(x)
        return (layer.output * dvalues).sum() + loss.regularization_loss(layer)

    want = [numerical(total, array) for array in layer.get_parameters()]
    layer.backward(dvalues)
    np.testing.assert_allclose(layer.dweights, want[0], 1e-6, 1e-7)
    np.testing.assert_allclose(layer.dbiases, want[1], 1e-6, 1e-7)


def test_the_penalty_slopes_up_at_zero():
    layer = Layer_Dense(2, 2, weight_regularizer_l1=0.5)
    layer.weights[:] = 0
    layer.forward(np.zeros((1, 2)))
    layer.backward(np.zeros((1, 2)))
    np.testing.assert_array_equal(layer.dweights, np.full((2, 2), 0.5))


@pytest.mark.parametrize("rate", [0, 0.1, 0.5, 0.7])
def test_dropout(rate):
    """It draws as NumPy's binomial does, to the last number of the generator's stream."""
    layer, x = Layer_Dropout(rate), numbers((60, 40))
    np.random.seed(2)
    layer.forward(x, training=True)
    layer.backward(x)
    after = np.random.random()
    np.random.seed(2)
    mask = np.random.binomial(1, 1 - rate, size=x.shape) / (1 - rate)
    assert after == np.random.random()
    for result in (layer.output, layer.dinputs):
        np.testing.assert_array_equal(result, x * mask)
    layer.forward(x, training=False)
    np.testing.assert_array_equal(layer.output, x)
    assert layer.output is not x


# --- activations and losses ----------------------------------------------------------------------

ACTIVATIONS = {
    Activation_ReLU: lambda x: np.maximum(x, 0),
    Activation_Sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    Activation_Linear: lambda x: x,
    Activation_Softmax: lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activation(kind):
    activation, x, dvalues = kind(), numbers(), numbers(seed=1)
    activation.forward(x, training=False)
    np.testing.assert_allclose(activation.output, ACTIVATIONS[kind](x), 1e-14)
    activation.backward(dvalues)
    want = numerical(lambda: (ACTIVATIONS[kind](x) * dvalues).sum(), x)
    np.testing.assert_allclose(activation.dinputs, want, 1e-6, 1e-8)
    assert activation.dinputs is not dvalues


def test_predictions():
    y = np.array([[0.2, 0.7], [0.6, 0.4]])
    assert Activation_Softmax().predictions(y).tolist() == [1, 0]
    assert Activation_Sigmoid().predictions(y).tolist() == [[0, 1], [1, 0]]
    assert Activation_Linear().predictions(y) is y and Activation_ReLU().predictions(y) is y


def one_hot(classes):
    return np.eye(CLASSES)[classes]


classes = np.arange(N) % CLASSES
LOSSES = {
    Loss_CategoricalCrossentropy: (
        classes,
        lambda p: -np.log((p * one_hot(classes)).sum(axis=1)),
    ),
    Loss_BinaryCrossentropy: (
        one_hot(classes),
        lambda p: -np.where(one_hot(classes) == 1, np.log(p), np.log(1 - p)).mean(axis=1),
    ),
    Loss_MeanSquaredError: (
        numbers((N, CLASSES), 3),
        lambda y: ((y - numbers((N, CLASSES), 3)) ** 2).mean(axis=1),
    ),
    Loss_MeanAbsoluteError: (
        numbers((N, CLASSES), 3),
        lambda y: np.abs(y - numbers((N, CLASSES), 3)).mean(axis=1),
    ),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_loss(kind):
    (t, formula), y, loss = LOSSES[kind], probabilities(), kind()
    np.testing.assert_allclose(loss.forward(y, t), formula(y), 1e-13)
    np.testing.assert_allclose(loss.calculate(y, t), formula(y).mean(), 1e-13)
    loss.backward(y, t)
    np.testing.assert_allclose(loss.dinputs, numerical(lambda: formula(y).mean(), y), 1e-6, 1e-8)


def test_targets_of_classes_as_rows():
    p, t = probabilities(), one_hot(classes).astype(int)
    for kind in (Loss_CategoricalCrossentropy, Activation_Softmax_Loss_CategoricalCrossentropy):
        by_index, by_row = kind(), kind()
        np.testing.assert_allclose(by_index.forward(p, classes), by_row.forward(p, t), 1e-14)
        by_index.backward(p, classes)
        by_row.backward(p, t)
        np.testing.assert_allclose(by_index.dinputs, by_row.dinputs, 1e-14)


def test_certain_predictions_are_not_clipped():
    loss = Loss_BinaryCrossentropy()
    p, t = np.array([[0.0, 1.0, 1e-12]]), np.array([[0, 1, 0]])
    np.testing.assert_allclose(loss.forward(p, t), [1e-12 / 3], 1e-9)
    loss.backward(p, t)
    np.testing.assert_allclose(loss.dinputs, [[1 / 3, -1 / 3, 1 / 3]], 1e-9)
    assert loss.forward([[0.0]], [[1]]) == np.inf
    certain = Loss_CategoricalCrossentropy().forward([[1e-12, 1]], [0])
    np.testing.assert_allclose(certain, [12 * np.log(10)], 1e-14)


def test_softmax_with_its_loss():
    both, x = Activation_Softmax_Loss_CategoricalCrossentropy(), numbers((N, CLASSES))

    def formula():
        p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        return -np.log(p[range(N), classes]).mean()

    np.testing.assert_allclose(both.forward(x, classes), formula(), 1e-14)
    np.testing.assert_allclose(both.output.sum(axis=1), np.ones(N), 1e-14)
    both.backward(both.output, classes)
    np.testing.assert_allclose(both.dinputs, numerical(formula, x), 1e-6, 1e-8)


def test_a_loss_over_an_epoch():
    layers = [Layer_Dense(FEATURES, 3, weight_regularizer_l2=1), Layer_Dense(3, 2)]
    loss, p, t = Loss_CategoricalCrossentropy(), probabilities(), classes
    with pytest.raises(ValueError, match="remember_trainable_layers"):
        loss.calculate(p, t, include_regularization=True)
    loss.remember_trainable_layers(layers)
    loss.new_pass()
    parts = [loss.calculate(p[rows], t[rows]) for rows in (slice(0, 6), slice(6, None))]
    want = (6 * parts[0] + 3 * parts[1]) / 9
    data, penalty = loss.calculate_accumulated(include_regularization=True)
    np.testing.assert_allclose([data, penalty], [want, (layers[0].weights ** 2).sum()], 1e-14)
    np.testing.assert_allclose(loss.calculate_accumulated(), want)
    with pytest.raises(NotImplementedError, match="forward"):
        Loss().calculate(p, t)


# --- optimisers ----------------------------------------------------------------------------------


def layer_with_gradients():
    layer = Layer_Dense(FEATURES, 3)
    layer.set_parameters(numbers((FEATURES, 3)), numbers((1, 3), 1))
    layer.dweights, layer.dbiases = numbers((FEATURES, 3), 2), numbers((1, 3), 3)
    return layer


@pytest.mark.parametrize("momentum", [0, 0.9])
def test_sgd(momentum):
    layer, optimizer = layer_with_gradients(), Optimizer_SGD(0.1, decay=0.5, momentum=momentum)
    w, b = (parameter.copy() for parameter in layer.get_parameters())
    step_w, step_b = np.zeros_like(w), np.zeros_like(b)
    for k in range(4):
        rate = 0.1 / (1 + 0.5 * k)
        step_w = momentum * step_w - rate * layer.dweights
        step_b = momentum * step_b - rate * layer.dbiases
        w, b = w + step_w, b + step_b
        held = layer.weights
        optimizer.pre_update_params()
        assert optimizer.current_learning_rate == pytest.approx(rate)
        optimizer.update_params(layer)
        optimizer.post_update_params()
        assert layer.weights is held
    np.testing.assert_allclose(layer.weights, w, 1e-13)
    np.testing.assert_allclose(layer.biases, b, 1e-13)
    if momentum:
        np.testing.assert_allclose(layer.weight_momentums, step_w, 1e-13)


def test_adam():
    layer, optimizer = layer_with_gradients(), Optimizer_Adam(0.1, decay=0.5)
    w, m, v = layer.weights.copy(), 0, 0
    for k in range(4):
        g = layer.dweights = numbers((FEATURES, 3), 10 + k)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        corrected = m / (1 - 0.9 ** (k + 1)), v / (1 - 0.999 ** (k + 1))
        w = w - 0.1 / (1 + 0.5 * k) * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
        optimizer.pre_update_params()
        optimizer.update_params(layer)
        optimizer.post_update_params()
    np.testing.assert_allclose(layer.weights, w, 1e-12)
    np.testing.assert_allclose(layer.weight_momentums, m, 1e-12)
    np.testing.assert_allclose(layer.weight_cache, v, 1e-12)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: Layer_Dense(2, 1, weight_regularizer_l2=-1), ValueError, "weight_regularizer_l2"),
        (lambda: Layer_Dense(2, 1, bias_regularizer_l1="x"), TypeError, "bias_regularizer_l1"),
        (lambda: DENSE.forward(np.ones((3, 4))), ValueError, "inputs: expected rows of 2, got"),
        (lambda: DENSE.forward(1.0), ValueError, "inputs: expected rows of 2, got shape ()"),
        (lambda: DENSE.forward("x"), TypeError, "inputs: expected real numbers"),
        (lambda: DENSE.backward(np.ones((3, 2))), ValueError, "dvalues: expected rows of 1, got"),
        (lambda: Layer_Dropout(1), ValueError, "rate: expected at least 0 and below 1, got 1"),
        (lambda: Layer_Dropout(None), TypeError, "rate: expected"),
        (lambda: Loss_MeanSquaredError().forward([[1.0]], [1.0]), ValueError, "y_true: expected the"),
        (lambda: Loss_BinaryCrossentropy().forward([[1.0]], ["a"]), TypeError, "y_true: expected real"),
        (lambda: Loss_CategoricalCrossentropy().forward([[1.0]], [1]), IndexError, "class index 1 at"),
        (lambda: Optimizer_SGD(-1), ValueError, "learning_rate: expected at least 0"),
        (lambda: Optimizer_Adam(beta_1=1), ValueError, "beta_1: expected at least 0 and below 1"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error) as refused:
        call()
    assert message in str(refused.value)


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["spirals, ReLU 64, Adam", "digits, Sigmoid 128-128, SGD"])
def test_loss_curves_are_those_of_plain_numpy(net, monkeypatch):
    pytest.importorskip("sklearn")
    import client_nnfs

    monkeypatch.setattr(client_nnfs, "EPOCHS", 2)
    train = client_nnfs.nets()[net]
    ours, theirs = (train(ours=ours)[1] for ours in (True, False))
    assert theirs[-1] < theirs[0]
    np.testing.assert_allclose(ours, theirs, 1e-9)


def test_dropout_and_penalties_give_the_same_curve(monkeypatch):
    pytest.importorskip("sklearn")
    import client_nnfs

    monkeypatch.setattr(client_nnfs, "EPOCHS", 1)
    train = client_nnfs.nets()["spirals, ReLU 512, dropout, L2"]
    np.testing.assert_allclose(*(train(ours=ours)[1] for ours in (True, False)), 1e-9)
