"""Layers and the whole net: gradients against finite differences, nets of others' making, memory
kept and reused, every refusal."""

from __future__ import annotations

import base64
import copy
import io
import os
import pickle
import tracemalloc
import zlib
from collections import OrderedDict
from itertools import pairwise

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import _blas, layers
from ffkernels.layers import (
    Affine,
    FeedForward,
    Identity,
    IdentityWithLoss,
    LinearWithLoss,
    Relu,
    Sigmoid,
    SigmoidWithLoss,
    Softmax,
    SoftmaxWithLoss,
    Tanh,
)
from ffkernels.layers._net import put_gradients_in, summed_step
from ffkernels.optimizers import SGD, Adam
from references import normal, slope

pytestmark = pytest.mark.usefixtures("backend")

FLOATS = [np.float32, np.float64]
ACTIVATIONS = {"relu": Relu, "sigmoid": Sigmoid, "tanh": Tanh, "identity": Identity}
LOSSES = ["softmax_cross_entropy", "sigmoid_cross_entropy", "sum_squared_error"]


def affine(*, dtype=np.float64, **options):
    return Affine(normal(12, 5, dtype=dtype), normal(5, dtype=dtype, seed=1), **options)


LAYERS = {name: (layer, (4, 12)) for name, layer in ACTIVATIONS.items()} | {
    "affine": (affine, (4, 12)),
    "affine of images": (affine, (4, 3, 2, 2)),
    "softmax": (Softmax, (4, 12)),
    "softmax along the first axis": (lambda **options: Softmax(0, **options), (4, 12)),
}
every_layer = pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS)


# --- one layer -----------------------------------------------------------------------------------


@every_layer
def test_backward_is_the_gradient_of_forward(layer, shape):
    layer, x = layer(), normal(*shape)
    weight = normal(*layer.forward(x).shape, seed=2)
    layer.forward(x)
    dx = layer.backward(weight).copy()
    grads = [grad.copy() for grad in layer.grads]
    for array, grad in zip([x, *layer.params], [dx, *grads], strict=True):
        assert grad.shape == array.shape
        expected = slope(lambda: (layer.forward(x) * weight).sum(), array)
        np.testing.assert_allclose(grad, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_the_functions_of_their_name(name, dtype):
    layer, x = ACTIVATIONS[name](), normal(3, 4, dtype=dtype)
    y = getattr(ff, name)(x)
    np.testing.assert_array_equal(layer.forward(x), y)
    dout = normal(3, 4, dtype=dtype, seed=1)
    np.testing.assert_array_equal(layer.backward(dout), getattr(ff, f"{name}_backward")(dout, y))
    assert layer.forward(x).dtype == layer.backward(dout).dtype == dtype
    assert layer.params == layer.grads == []


@every_layer
def test_callers_arrays_are_left_alone(layer, shape):
    layer, x = layer(), normal(*shape)
    dout = normal(*layer.forward(x).shape, seed=1)
    kept = x.copy(), dout.copy()
    layer.forward(x)
    layer.backward(dout)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(dout, kept[1])


@every_layer
def test_results_lie_in_the_layers_own_memory(layer, shape):
    layer, x = layer(), normal(*shape)
    out = layer.forward(x)
    dx = layer.backward(out)
    for result in (out, dx):
        assert not np.shares_memory(result, x)
    assert not np.shares_memory(out, dx)
    assert np.shares_memory(layer.forward(x + 1), out)
    assert np.shares_memory(layer.backward(out), dx)
    assert np.shares_memory(layer.forward(x[:2]), out)


@every_layer
def test_copy_gives_fresh_arrays(layer, shape):
    layer, x = layer(copy=True), normal(*shape)
    out = layer.forward(x)
    dx = layer.backward(out)
    kept = out.copy(), dx.copy()
    assert not np.shares_memory(layer.forward(x + 1), out)
    assert not np.shares_memory(layer.backward(out), dx)
    np.testing.assert_array_equal(out, kept[0])
    np.testing.assert_array_equal(dx, kept[1])


@every_layer
def test_backward_may_be_repeated(layer, shape):
    layer, x = layer(), normal(*shape)
    dout = normal(*layer.forward(x).shape, seed=1)
    first = layer.backward(dout).copy()
    np.testing.assert_array_equal(layer.backward(dout), first)


@every_layer
def test_a_number_as_upstream_gradient_stands_for_an_array_full_of_it(layer, shape):
    layer, x = layer(), normal(*shape)
    full = np.ones_like(layer.forward(x))
    np.testing.assert_array_equal(layer.backward().copy(), layer.backward(full))


@every_layer
def test_empty_batch(layer, shape):
    layer, x = layer(), np.empty((0, *shape[1:]))
    out = layer.forward(x)
    assert len(out) == 0
    assert layer.backward(out).shape == x.shape
    for grad in layer.grads:
        assert (grad == 0).all()


@every_layer
def test_layers_refuse(layer, shape):
    layer, x = layer(), normal(*shape)
    name = type(layer).__name__
    with pytest.raises(RuntimeError, match=f"{name}.backward: expected a call of forward before"):
        layer.backward(1.0)
    out = layer.forward(x)
    with pytest.raises(ValueError, match=r"dout: expected shape \(4, .*\), got \(3, "):
        layer.backward(out[:3])
    with pytest.raises(TypeError, match="dout: expected real numbers"):
        layer.backward(out * 1j)
    with pytest.raises(TypeError, match="x: expected real numbers"):
        layer.forward(x * 1j)
    with pytest.raises(TypeError, match="x: expected a plain array, got MaskedArray"):
        layer.forward(np.ma.masked_array(x))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_integers_and_half_precision(name):
    layer = ACTIVATIONS[name]()
    assert layer.forward([[-1, 2]]).dtype == np.float64
    assert layer.backward([[1, 1]]).dtype == np.float64
    assert layer.forward(np.array([-1, 2], np.float16)).dtype == np.float16
    assert layer.backward([1, 1]).dtype == np.float16


def test_relu_of_nothing_is_nothing():
    layer = Relu()
    layer.forward([-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(layer.backward([1.0, 1.0, 1.0]), [0.0, 0.0, 1.0])


# --- Affine --------------------------------------------------------------------------------------


def test_affine_holds_its_parameters_by_reference():
    W, b = normal(3, 2), normal(2)
    layer, x = Affine(W, b), normal(4, 3)
    assert layer.W is W
    assert layer.b is b
    W *= 2
    b -= 1
    np.testing.assert_allclose(layer.forward(x), x @ W + b)
    layer.W = normal(3, 2, seed=5)
    np.testing.assert_allclose(layer.forward(x), x @ layer.W + b)
    assert layer.params[0] is layer.W


def test_affine_keeps_its_gradient_arrays():
    """Nets collect them in a list once and look there after each backward."""
    layer = Affine(normal(3, 2), normal(2), copy=True)
    dW, db = layer.grads
    layer.forward(normal(4, 3))
    layer.backward(normal(4, 2, seed=1))
    assert layer.dW is dW
    assert layer.db is db
    np.testing.assert_allclose(db, normal(4, 2, seed=1).sum(axis=0))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("came", [np.float16, np.float32, np.float64, np.uint8, np.int64, ">f4"])
def test_affine_computes_in_the_dtype_of_its_weights(dtype, came):
    layer = affine(dtype=dtype)
    x = np.arange(24).reshape(2, 12).astype(came)
    out = layer.forward(x)
    assert out.dtype == layer.backward(np.ones((2, 5), came)).dtype == dtype
    np.testing.assert_allclose(out, np.arange(24.0).reshape(2, 12) @ layer.W + layer.b, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 12), (4, 3, 4), (4, 3, 2, 2)])
def test_affine_takes_any_strides(shape):
    layer, x = affine(), normal(*shape)
    expected = layer.forward(x).copy()
    dx = layer.backward(expected).copy()
    for strided in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x[::-1][::-1]):
        np.testing.assert_allclose(layer.forward(strided), expected, rtol=1e-12)
        np.testing.assert_allclose(layer.backward(expected), dx, rtol=1e-12)


@pytest.mark.parametrize(
    ("W", "b", "error", "message"),
    [
        ([[1.0]], np.ones(1), TypeError, "W: expected an array of float32 or float64, got list"),
        (np.ones((1, 1), int), np.ones(1), TypeError, "W: expected an array of float32 or float64"),
        (np.ones((1, 1)), [1.0], TypeError, "b: expected an array of float32 or float64, got list"),
        (np.ones((1, 1)), np.ones(1, np.float32), TypeError, "b: expected the dtype of W, float64"),
        (np.ones(3), np.ones(3), ValueError, "W: expected shape (inputs, outputs), got (3,)"),
        (np.ones((3, 2)), np.ones(3), ValueError, "b: expected shape (2,) to fit W, got (3,)"),
        (np.ones((3, 2)), np.ones((1, 2)), ValueError, "b: expected shape (2,) to fit W"),
    ],
)
def test_affine_refuses_parameters(W, b, error, message):
    with pytest.raises(error) as caught:
        Affine(W, b)
    assert message in str(caught.value)


@pytest.mark.parametrize("shape", [(), (12,), (4, 11), (4, 3, 5), (0, 5)])
def test_affine_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"x: expected shape \(N, 12\), or \(N, ...\) with 12 num"):
        affine().forward(np.ones(shape))


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "t"),
    [
        (SoftmaxWithLoss, np.array([2, 0, 1, 1])),
        (SoftmaxWithLoss, np.eye(3, dtype=np.uint8)[[2, 0, 1, 1]]),
        (SoftmaxWithLoss, np.full((4, 3), 1 / 3)),
        (SigmoidWithLoss, np.eye(3, dtype=int)[[2, 0, 1, 1]]),
        (SigmoidWithLoss, np.full((4, 3), 0.3)),
        (IdentityWithLoss, normal(4, 3, seed=1)),
        (IdentityWithLoss, np.arange(12).reshape(4, 3)),
    ],
)
def test_losses_give_their_gradient(layer, t):
    layer, x = layer(), normal(4, 3)
    loss = layer.forward(x, t)
    assert loss == layer.loss
    np.testing.assert_array_equal(layer.t, t)
    dx = layer.backward(2.0).copy()
    np.testing.assert_allclose(layer.backward(), dx / 2, rtol=1e-15)
    assert layer.loss == loss
    np.testing.assert_allclose(dx, 2 * slope(lambda: layer.forward(x, t), x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", FLOATS)
def test_losses_are_the_functions_of_their_name(dtype):
    x, t = normal(5, 3, dtype=dtype), [0, 1, 2, 1, 0]
    layer = SoftmaxWithLoss()
    loss, dx = ff.softmax_cross_entropy_with_grad(x, t)
    assert layer.forward(x, t) == loss
    np.testing.assert_allclose(layer.backward(), dx, rtol=1e-5)
    np.testing.assert_array_equal(layer.y, ff.softmax(x))
    layer, labels = SigmoidWithLoss(), np.eye(3, dtype=dtype)[t]
    loss, dx = ff.sigmoid_cross_entropy_with_grad(x, labels)
    assert layer.forward(x, labels) == pytest.approx(loss, rel=1e-6)
    np.testing.assert_array_equal(layer.backward(), dx)
    np.testing.assert_array_equal(layer.y, ff.sigmoid(x))
    layer = IdentityWithLoss()
    loss, dx = ff.sum_squared_error_with_grad(x, x[::-1])
    assert layer.forward(x, x[::-1]) == loss
    np.testing.assert_allclose(layer.backward(), dx, rtol=1e-6)
    assert layer.y is x
    assert layer.loss.dtype == layer.backward().dtype == dtype


@pytest.mark.parametrize("layer", [SoftmaxWithLoss, SigmoidWithLoss, IdentityWithLoss])
def test_losses_own_their_results(layer):
    x, t = normal(4, 3), np.eye(3)[[0, 1, 2, 0]]
    layer = layer()
    kept = x.copy(), t.copy()
    layer.forward(x, t)
    dx = layer.backward()
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(t, kept[1])
    assert not np.shares_memory(dx, x)
    assert layer.backward() is dx


@pytest.mark.parametrize("layer", [SoftmaxWithLoss, SigmoidWithLoss, IdentityWithLoss])
def test_loss_of_targets_in_another_dtype(layer):
    layer, x = layer(), normal(2, 3, dtype=np.float32)
    for t in (np.eye(2, 3), np.eye(2, 3, dtype=int), np.eye(2, 3).tolist()):
        assert layer.forward(x, t).dtype == np.float32
        assert layer.backward().dtype == np.float32


def test_losses_refuse():
    for layer in (SoftmaxWithLoss(), SigmoidWithLoss(), IdentityWithLoss()):
        assert layer.loss is layer.y is layer.t is None
        with pytest.raises(RuntimeError, match="backward: expected a call of forward before it"):
            layer.backward()
        with pytest.raises(ValueError, match=r"expected .* got \(3, 3\)"):
            layer.forward(normal(4, 3), normal(3, 3))
        with pytest.raises(TypeError, match="t: expected a plain array, got MaskedArray"):
            layer.forward(normal(4, 3), np.ma.masked_array(normal(4, 3)))
    with pytest.raises(IndexError, match="class index 3 at position 1 is out of range for 3"):
        SoftmaxWithLoss().forward(normal(2, 3), [0, 3])
    with pytest.raises(TypeError, match="targets: expected integers as class indices"):
        SoftmaxWithLoss().forward(normal(2, 3), [0.0, 1.0])
    with pytest.raises(ValueError, match=r"expected the shape of y, \(4, 2\), got \(4,\)"):
        IdentityWithLoss().forward(normal(4, 2), normal(4))


def test_a_sure_label_still_has_a_gradient():
    layer = SigmoidWithLoss()
    layer.forward(np.array([[40.0, -40.0]], np.float32), [[1, 0]])
    np.testing.assert_allclose(layer.backward(), [[-np.exp(-40) / 2, np.exp(-40) / 2]], rtol=1e-6)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_net_for_labels(outputs):
    """Its outputs are probabilities; the sum that processes add up is of rows."""
    net = FeedForward([4, 5, outputs], loss="sigmoid_cross_entropy", dtype=np.float64, seed=0)
    x, t = normal(6, 4), (normal(6, outputs, seed=3) > 0).astype(int)
    hidden = np.maximum(x @ net.params["W1"], 0)
    np.testing.assert_allclose(net.predict(x), ff.sigmoid(hidden @ net.params["W2"]), rtol=1e-12)
    mean = {name: grad.copy() for name, grad in net.gradient(x, t).items()}
    loss, rows = summed_step(net, x, t)
    assert rows == 6
    assert loss == pytest.approx(6 * net.loss(x, t), rel=1e-12)
    for name, grad in net.grads.items():
        np.testing.assert_allclose(grad, 6 * mean[name], rtol=1e-12, atol=1e-15)
    if outputs == 1:
        assert net.loss(x, t[:, 0]) == net.loss(x, t)


def everything(layer):
    """All that a layer knows, written out."""
    return repr(vars(layer))


ONE_HOT = np.eye(3)[[0, 2]]
X32 = normal(2, 3, dtype=np.float32)
WRONG = {
    "a class index out of range": (SoftmaxWithLoss, [0, 2], X32, [1, 3]),
    "after indices that were converted": (SoftmaxWithLoss, np.int8([0, 2]), X32, np.int8([1, 3])),
    "a negative index": (SoftmaxWithLoss, ONE_HOT, X32, np.int32([1, -1])),
    "another shape": (SoftmaxWithLoss, ONE_HOT, X32, np.eye(3)),
    "text as targets": (SoftmaxWithLoss, ONE_HOT, X32, ["a", "b"]),
    "text as logits": (SoftmaxWithLoss, ONE_HOT, np.full((2, 3), "a"), ONE_HOT),
    "floats as classes": (SoftmaxWithLoss, [0, 2], X32, [0.0, 1.0]),
    "labels of another shape": (SigmoidWithLoss, ONE_HOT, X32, [[1], [0]]),
    "values of another shape": (IdentityWithLoss, ONE_HOT, X32, [[1], [2]]),
    "complex values": (IdentityWithLoss, ONE_HOT, X32, ONE_HOT * 1j),
}


@pytest.mark.parametrize(("layer", "t", "wrong_x", "wrong_t"), WRONG.values(), ids=WRONG)
def test_a_refused_loss_changes_nothing(layer, t, wrong_x, wrong_t):
    layer, untouched = layer(), layer()
    untouched.forward(X32, t)
    layer.forward(X32, t)
    before = everything(layer)
    with pytest.raises((TypeError, ValueError, IndexError)):
        layer.forward(wrong_x, wrong_t)
    assert everything(layer) == before
    np.testing.assert_array_equal(layer.t, t)
    np.testing.assert_array_equal(layer.backward(), untouched.backward())


@every_layer
def test_a_refused_layer_changes_nothing(layer, shape):
    layer, x = layer(), normal(*shape)
    dx = layer.backward(layer.forward(x)).copy()
    before = everything(layer)
    dout = layer.forward(x).copy()
    for wrong in (x * 1j, np.full(shape, "a")):
        with pytest.raises(TypeError, match="x: expected real numbers"):
            layer.forward(wrong)
        with pytest.raises(TypeError, match="dout: expected real numbers"):
            layer.backward(dout * 1j)
    assert everything(layer) == before
    np.testing.assert_array_equal(layer.backward(dout), dx)


def test_affine_with_parameters_that_do_not_fit_changes_nothing():
    layer, x = Affine(normal(3, 2), normal(2)), normal(4, 3)
    layer.forward(x)
    before = everything(layer)
    b, layer.b = layer.b, np.zeros(5)
    with pytest.raises(ValueError, match="b: expected the shape of x's last axis"):
        layer.forward(normal(2, 3))
    layer.b = b
    assert everything(layer) == before
    assert layer.backward().shape == (4, 3)


@pytest.mark.parametrize("targets", [np.float64, np.float32, np.float16, np.int64])
def test_half_precision_is_compared_with_targets_as_the_function_does(targets):
    t = np.array([[1e5, 1.0], [0.0, 7e4]], np.float64)
    if targets is np.float16:
        t = np.clip(t, 0, 6e4)
    t = t.astype(targets)
    layer, y = IdentityWithLoss(), np.array([[1.0, 2.0], [3.0, 4.0]], np.float16)
    wide = y.astype(np.float64), t.astype(np.float64)
    loss, dx = ff.sum_squared_error_with_grad(*wide)
    assert np.isfinite(loss)
    np.testing.assert_allclose(layer.forward(y, t), loss, rtol=1e-6)
    assert layer.loss.dtype == np.float32
    for _ in range(2):
        got = layer.backward()
        assert got.dtype == np.float16
        np.testing.assert_array_equal(got, dx.astype(np.float16))


def test_half_precision_takes_probabilities_with_all_their_digits():
    x, t = normal(4, 3).astype(np.float16), np.full((4, 3), 1 / 3)
    layer = SoftmaxWithLoss()
    np.testing.assert_allclose(layer.forward(x, t), ff.softmax_cross_entropy(x, t), rtol=1e-7)
    assert layer.backward().dtype == np.float16


# --- nets in the manner of the books -------------------------------------------------------------


class TwoLayerNet:
    """A net as readers of "Deep Learning from Scratch" write it: parameters in one dict, shared
    with the layers; layers in an ordered dict; a walk back over them in reverse."""

    def __init__(self, inputs, hidden, outputs, dtype):
        rng = np.random.default_rng(0)
        self.params = {
            "W1": (0.5 * rng.normal(size=(inputs, hidden))).astype(dtype),
            "b1": np.zeros(hidden, dtype),
            "W2": (0.5 * rng.normal(size=(hidden, outputs))).astype(dtype),
            "b2": np.zeros(outputs, dtype),
        }
        self.layers = OrderedDict()
        self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
        self.layers["Relu1"] = Relu()
        self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
        self.lastLayer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.lastLayer.forward(self.predict(x), t)

    def accuracy(self, x, t):
        return np.mean(self.predict(x).argmax(axis=1) == t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        return {
            "W1": self.layers["Affine1"].dW,
            "b1": self.layers["Affine1"].db,
            "W2": self.layers["Affine2"].dW,
            "b2": self.layers["Affine2"].db,
        }


class ListNet:
    """The second book's manner: lists of parameters and gradients, collected once."""

    def __init__(self, sizes, activation):
        rng = np.random.default_rng(0)
        self.layers = []
        for inputs, outputs in pairwise(sizes):
            self.layers += [
                Affine(rng.normal(size=(inputs, outputs)) / inputs**0.5, np.zeros(outputs)),
                ACTIVATIONS[activation](),
            ]
        self.layers[-1] = Identity()
        self.loss_layer = IdentityWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        return self.loss_layer.forward(x, t)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


def blobs(n, dtype=np.float64, seed=0):
    """Three clouds of points, and which cloud each point is of."""
    rng = np.random.default_rng(seed)
    t = rng.integers(3, size=n)
    centres = np.array([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
    return (centres[t] + 0.5 * rng.normal(size=(n, 2))).astype(dtype), t


def test_two_layer_net_has_the_right_gradient():
    net = TwoLayerNet(2, 6, 3, np.float64)
    x, t = blobs(5)
    for targets in (t, np.eye(3)[t]):
        grads = {key: grad.copy() for key, grad in net.gradient(x, targets).items()}
        for key, param in net.params.items():
            expected = slope(lambda: net.loss(x, targets), param)  # noqa: B023
            np.testing.assert_allclose(grads[key], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", FLOATS)
def test_two_layer_net_learns_with_updates_in_the_users_own_code(dtype):
    net = TwoLayerNet(2, 8, 3, dtype)
    x, t = blobs(300, dtype)
    first = net.loss(x, t)
    for step in range(60):
        rows = slice(step % 6 * 50, step % 6 * 50 + 50)
        grads = net.gradient(x[rows], t[rows])
        for key in net.params:
            net.params[key] -= 0.5 * grads[key]
    assert net.loss(x, t) < first / 10
    assert net.accuracy(x, t) > 0.95


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_list_net_learns(activation):
    net, optimizer = ListNet([1, 16, 1], activation), Adam(lr=0.02)
    x = np.linspace(-2, 2, 64)[:, None]
    losses = []
    for _ in range(300):
        losses.append(net.forward(x, np.sin(x)))
        net.backward()
        optimizer.update(net.params, net.grads)
    assert losses[-1] < losses[0] / 20


# --- FeedForward ---------------------------------------------------------------------------------


def targets_for(loss, n, outputs=3):
    if loss == "sum_squared_error":
        return normal(n, outputs, seed=3)
    if loss == "sigmoid_cross_entropy":
        return (normal(n, outputs, seed=3) > 0).astype(int)
    return np.arange(n) % outputs


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(4, 3), (4, 6, 3), (4, 5, 7, 3), (4, 7, 5, 2, 3)])
def test_net_gradient_against_finite_differences(sizes, activation, loss):
    net = FeedForward(sizes, activation, loss, np.float64, seed=1)
    for param in net.params.values():
        param += 0.1  # off the kinks that zero biases lie on
    x, t = normal(5, 4), targets_for(loss, 5)
    grads = net.gradient(x, t)
    assert grads is net.grads
    assert list(grads) == list(net.params)
    for key, param in net.params.items():
        expected = slope(lambda: net.loss(x, t), param)
        np.testing.assert_allclose(grads[key], expected, rtol=1e-6, atol=1e-8)


def composed(net, x, t, activation, loss):
    """The same net of unfused functions, with fresh arrays everywhere."""
    depth = len(net.sizes) - 1
    saved = [x]
    for k in range(1, depth + 1):
        z = saved[-1] @ net.params[f"W{k}"] + net.params[f"b{k}"]
        saved.append(z if k == depth else getattr(ff, activation)(z))
    value, dz = getattr(ff, f"{loss}_with_grad")(saved.pop(), t)
    grads = {}
    for k in range(depth, 0, -1):
        grads[f"W{k}"], grads[f"b{k}"] = saved[k - 1].T @ dz, dz.sum(axis=0)
        if k > 1:
            backward = getattr(ff, f"{activation}_backward")
            dz = backward(dz @ net.params[f"W{k}"].T, saved[k - 1])
    return value, grads


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fused_net_is_the_composition_of_its_functions(activation, loss, dtype):
    net = FeedForward((20, 33, 17, 3), activation, loss, dtype, seed=1)
    x, t = normal(40, 20, dtype=dtype), targets_for(loss, 40)
    if loss == "sum_squared_error":
        t = t.astype(dtype)
    value, grads = composed(net, x, t, activation, loss)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(net.loss(x, t), value, rtol=8 * eps)
    for key, grad in net.gradient(x, t).items():
        scale = abs(grads[key]).max()
        np.testing.assert_allclose(grad, grads[key], rtol=0, atol=64 * eps * scale)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("optimizer", [lambda: SGD(0.2, 0.5), Adam], ids=["sgd", "adam"])
def test_training_lowers_the_loss(activation, loss, optimizer):
    net, optimizer = FeedForward([2, 16, 3], activation, loss, seed=0), optimizer()
    x, t = blobs(200, np.float32)
    if loss != "softmax_cross_entropy":
        t = np.eye(3)[t]
    optimizer.lr = max(optimizer.lr, 0.02)
    losses = [net.train_step(x, t, optimizer) for _ in range(150)]
    assert losses[-1] < losses[0] / 4
    assert net.loss(x, t) < losses[0] / 4
    assert losses[0].dtype == np.float32


def test_train_step_returns_the_loss_before_the_step_and_takes_any_optimizer():
    class Book:
        def update(self, params, grads):
            for key in params:
                params[key] -= 0.1 * grads[key]

    net = FeedForward([2, 4, 3], seed=0)
    x, t = blobs(20)
    before = net.loss(x, t)
    assert net.train_step(x, t, Book()) == pytest.approx(before, rel=1e-6)
    assert net.loss(x, t) < before


@pytest.mark.parametrize("optimizer", [lambda: SGD(0.5), lambda: SGD(0.5, 0.5), Adam])
def test_a_wide_output_is_taken_in_blocks(optimizer, monkeypatch):
    """Nets that differ in nothing but what they take for wide."""
    wide, narrow = (FeedForward([6, 9, 50], dtype=np.float64, seed=0) for _ in range(2))
    optimizers = optimizer(), optimizer()
    for n in (30, 20, 1, 30):
        x, t = normal(n, 6, seed=n), np.arange(n) % 50
        for targets in (t, np.eye(50)[t]):
            losses, grads = [], []
            for net, each, limit in zip((wide, narrow), optimizers, (30 * 50, 2**25), strict=True):
                monkeypatch.setattr("ffkernels.layers._net.CHUNK_BYTES", limit)
                grads.append(copy.deepcopy(net.gradient(x, targets)))
                losses.append([net.loss(x, targets), net.train_step(x, targets, each)])
                assert net._is_wide == (net is wide and n > 3)
            np.testing.assert_allclose(*losses, rtol=1e-13)
            for key, grad in grads[0].items():
                np.testing.assert_allclose(grad, grads[1][key], rtol=0, atol=1e-14)
                np.testing.assert_allclose(wide.params[key], narrow.params[key], rtol=0, atol=1e-13)
                assert not wide._is_wide or key == "W1" or np.isfinite(wide.grads[key]).all()
            np.testing.assert_allclose(wide.predict(x), narrow.predict(x), rtol=0, atol=1e-13)


def test_a_wide_net_refuses_and_stays_as_it_was(monkeypatch):
    monkeypatch.setattr("ffkernels.layers._net.CHUNK_BYTES", 100)
    net = FeedForward([6, 9, 50], seed=0)
    net.gradient(normal(30, 6), np.arange(30))
    before = copy.deepcopy((net.params, net.grads))
    for call in (net.gradient, net.loss, lambda x, t: net.train_step(x, t, SGD(0.1))):
        with pytest.raises(IndexError, match="class index 50 at position 20"):
            call(normal(30, 6), np.arange(30) + 30)
        with pytest.raises(ValueError, match="targets: expected class indices of shape"):
            call(normal(30, 6), np.arange(20))
    for now, then in zip((net.params, net.grads), before, strict=True):
        for key, array in now.items():
            np.testing.assert_array_equal(array, then[key])


@pytest.mark.memory
def test_the_scores_of_a_wide_output_are_never_there():
    net, x = FeedForward([4, 8, 100_000], seed=0), normal(200, 4, dtype=np.float32)
    t = np.arange(200)
    size = 4 * 200 * 100_000
    for call in (lambda: net.train_step(x, t, Adam()), lambda: net.loss(x, t)):
        optimizer_and_block = 4 * 9 * 100_000 * 2 + 2**25
        assert allocated_by(call) < min(size, 1.1 * optimizer_and_block + 2**22)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_linear_layer_with_its_loss_is_the_two_layers(dtype, order):
    W, b = np.asarray(normal(12, 5, dtype=dtype), order=order), normal(5, dtype=dtype, seed=1)
    one, affine, loss = LinearWithLoss(W, b), Affine(W, b), SoftmaxWithLoss()
    assert one.params[0] is W and one.params[1] is b
    close = {"rtol": 0, "atol": 32 * np.finfo(dtype).eps}
    for n, dout in ((7, 1.0), (3, 0.25), (9, 1.0), (0, 2.0)):
        x, t = normal(n, 3, 4, dtype=np.float64, seed=n), np.arange(n) % 5
        for targets in (t, np.eye(5, dtype=int)[t]):
            expected = loss.forward(affine.forward(x), targets)
            np.testing.assert_allclose(one.forward(x, targets), expected, **close)
            assert one.loss.dtype == dtype and one.t is targets
            dx = affine.backward(loss.backward(dout))
            for _ in range(2):
                got = one.backward(dout)
                assert got.dtype == dtype and got.shape == x.shape
                np.testing.assert_allclose(got, dx, **close)
                for grad, grad_of_two in zip(one.grads, affine.grads, strict=True):
                    np.testing.assert_allclose(grad, grad_of_two, **close)
    x, t, each = normal(9, 12, dtype=dtype), np.arange(9) % 5, np.arange(9) % 4
    weighted = ff.linear_cross_entropy_with_grad(x, W, t, b, sample_weight=each)
    assert one.forward(x, t, sample_weight=each) == weighted[0]
    np.testing.assert_array_equal(one.backward(), weighted[1][0])
    assert one.grads[0] is one.dW and repr(one) == f"LinearWithLoss(12 inputs, 5 classes, {W.dtype})"


def test_a_linear_layer_with_its_loss_refuses():
    W, b = normal(12, 5), np.zeros(5)
    with pytest.raises(TypeError, match="b: expected the dtype of W, float64, got float32"):
        LinearWithLoss(W, b.astype(np.float32))
    with pytest.raises(ValueError, match=r"b: expected shape \(5,\) to fit W, got \(4,\)"):
        LinearWithLoss(W, b[:4])
    layer = LinearWithLoss(W, b)
    with pytest.raises(RuntimeError, match=r"LinearWithLoss\.backward: expected a call of forward"):
        layer.backward()
    layer.forward(normal(3, 12), [0, 1, 2])
    before = layer.loss, layer.t, layer.backward().copy(), layer.dW.copy(), layer.db.copy()
    for x, t, error in (
        (normal(3, 11), [0, 1, 2], ValueError),
        (normal(3, 12), [0, 1, 5], IndexError),
        (normal(3, 12), [0.0, 1.0, 5.0], TypeError),
        (normal(9, 12), [0], ValueError),
        (["a"], [0], TypeError),
    ):
        with pytest.raises(error):
            layer.forward(x, t)
    after = layer.loss, layer.t, layer.backward(), layer.dW, layer.db
    for now, then in zip(after, before, strict=True):
        np.testing.assert_array_equal(now, then)
    with pytest.raises(TypeError, match="dout: expected real numbers"):
        layer.backward("1")
    layer.backward(2.0)
    with pytest.raises(RuntimeError, match="expected the factor of the call before, 2, or another call"):
        layer.backward(3.0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_of_plain_sgd_is_the_learning_rate_times_the_gradient(activation, loss, dtype):
    net = FeedForward([6, 9, 8, 3], activation, loss, dtype, seed=0)
    x, t = normal(30, 6, dtype=dtype), targets_for(loss, 30)
    before = copy.deepcopy(net.params)
    grads = copy.deepcopy(net.gradient(x, t))
    net.train_step(x, t, SGD(0.5))
    eps = np.finfo(dtype).eps
    for key, param in net.params.items():
        scale = abs(before[key]).max() + abs(grads[key]).max()
        np.testing.assert_allclose(param, before[key] - 0.5 * grads[key], rtol=0, atol=32 * eps * scale)


def test_plain_sgd_makes_no_gradient_of_the_weights_and_says_so():
    net, (x, t) = FeedForward([2, 4, 3], seed=0), blobs(20)
    for _ in range(2):
        net.train_step(x, t, SGD(0.1))
        made = {key for key, grad in net.grads.items() if not np.isnan(grad).any()}
        assert made == ({"b1", "b2"} if _blas.IS_FUSED else set(net.grads))
    for step in (
        lambda: net.gradient(x, t),
        lambda: net.train_step(x, t, SGD(0.1, weight_decay=0.1)),
        lambda: net.train_step(x, t, SGD(0.1, momentum=0.1)),
        lambda: net.train_step(x, t, Adam()),
    ):
        net.train_step(x, t, SGD(0.1))
        step()
        assert all(np.isfinite(grad).all() for grad in net.grads.values())


def test_plain_sgd_without_blas_is_the_same(monkeypatch):
    x, t = blobs(20)
    nets = [FeedForward([2, 4, 3], dtype=np.float64, seed=0) for _ in range(2)]
    nets[0].train_step(x, t, SGD(0.1))
    monkeypatch.setattr(_blas, "IS_FUSED", False)
    nets[1].train_step(x, t, SGD(0.1))
    for key, param in nets[1].params.items():
        np.testing.assert_allclose(nets[0].params[key], param, rtol=0, atol=1e-14)
    assert np.isfinite(nets[1].grads["W1"]).all()


def test_plain_sgd_on_rows_of_its_own_weights():
    # So many that BLAS writes some before it has read all.
    nets = [FeedForward([800, 800, 3], dtype=np.float64, seed=0) for _ in range(2)]
    for net, x in zip(nets, (nets[0].params["W1"].copy(), nets[1].params["W1"]), strict=True):
        net.train_step(x, np.arange(800) % 3, SGD(0.5))
    np.testing.assert_array_equal(nets[0].params["W1"], nets[1].params["W1"])


@pytest.mark.parametrize("key", ["W1", "b2"])
def test_plain_sgd_refuses_parameters_it_may_not_write(key):
    net, (x, t) = FeedForward([2, 4, 3], seed=0), blobs(20)
    net.params[key].setflags(write=False)
    before = copy.deepcopy(net.params)
    with pytest.raises(ValueError, match="read-only"):
        net.train_step(x, t, SGD(0.1))
    for name, param in net.params.items():
        np.testing.assert_array_equal(param, before[name])


@pytest.mark.parametrize("lr", [0.0, 0.1])
def test_a_gradient_that_is_nan_arrives_in_the_parameters(lr):
    net, (x, t) = FeedForward([2, 4, 3], "tanh", seed=0), blobs(20)
    x[3, 0] = np.nan
    net.train_step(x, t, SGD(lr))
    assert all(np.isnan(param).any() for param in net.params.values())


def test_a_copied_net_trains_alone():
    net, (x, t) = FeedForward([2, 4, 3], seed=0), blobs(20)
    net.train_step(x, t, SGD(0.1))
    before = copy.deepcopy(net.params)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        other.train_step(x, t, SGD(0.1))
        assert not np.array_equal(other.params["W1"], before["W1"])
        for key, param in net.params.items():
            np.testing.assert_array_equal(param, before[key])


# A net of three sizes with seed 0, and two layers, from when `layers` was one module.
PICKLED = (
    "c-oa!U1%It6rSDePd5EYODNViYf-jT7gJi%n%&gDP`YK6_z-"
    "<4H+N?4?j5=_v&@}Ic7@vdU^bEKAHC^=NU?%X;){q_Xf~pP*cXkW_RW{#LqU)tc_@^6?#%woY)Bagc4lYpch33Fcg{WcLVES9Q"
    "N_Rbo@(_haV%12g*t8#hY7x8h7f(mb{4Uti;LpWo8p|v^E5MFCrp%+<&kotEqGdYTMYtF%QG9T{`*D2lhvbQWw|Y8MZP@36H}s"
    "6shqk8mwziOu2A_H)?8x&yM}EEo~n_$CwQ)IGlnc|g4cb_sF}8*Bh8T?iRC)BjFLsR=QcbS5Ch@^U%)=wwUkWKNV*h}B;f<3K_"
    "_5&++RkEhD%Y+!MdOd--qg0CH3JIK<`8pGo;nA?_h;zNYiyN195n!fgNlzU#H~Uq~H_2C<Ub14k^HY;usnTi>i)os$R899PpUG"
    "v_B|<QeRg}=V!8=wc7`$|NQOu;*|rr^}7#WEeX0y>b)d*;(6hMpggHg3i@dN(oSXTCD9{q33@0%&K-#$n<tm2k8i#>y|I5{-"
    "A9%aOMR>wU{gch5<PDoPfHp64Cz4$?NNW=lkw6+t(D@Z8~?7|exuO&>DO<reR26tu}?j4KpzWpx$)QLwO5yq6hFT5^fM9GbTSN"
    "k_p@KFo_O%i)c2<zDGpJlPlow^nVVl5;+sX?c0SXqi7(yWcA$)(G9NW`=q$r+iMAj-"
    "h3rKO@;gkQpvUNOdV;<{Ptwz_>^iJ6K#KRk1_cH5JwwA}(R00mc6Uk^nZ&f6mI&(<)+Vf(q@C#(4H_0RH@0C&U{9rIg7|b^ns@"
    "iN^5FvS{BUbNXr;c)WLwBUVoxP}7h;~tLK#Pc^f-"
    "olHr&gR<bt4aOd@GvP@HKFb~U<9^tazx?W|3`)@htQP`ci<OUmDmmo85wI`@el%fwTml!gV<h7Cm??2$2;c25na9o@Zk)|HhIh"
    "gEQzMDDi!K8T<{0(2TV_M)7-po1Ytl1^awjCSW>(1iwN1c0(u{`-"
    "0Po<X|Z1ythZ9#Wq09MTEXpzVWAG(H%jNQE{PeC%0Wf7!8hPjjLBfyLn^$@_E4=&>c=#g48E-"
    "LPt~dGd6YzVtq{s=`yVa_0B<OiJc6q{^Pibh|Je{DR4piq`dh&}2C|=q5gb^kz);fArPYw-VdV;Ab$%A?(y(;9GHx{s5y4Vt9e"
    "T`SYzTY$G_y&Iw<r@mK7sYvSe{oJFVQY1Y$>ejP8sO>pyFJm@WeUXKU;2cR4Apql`_QQ;~7EUxf`3%A|Kg5&f5YIV<3J+&<g{{"
    "ir?ESv"
)


def test_what_was_pickled_before_layers_was_a_package_loads():
    net, relu, loss = pickle.loads(zlib.decompress(base64.b85decode(PICKLED)))
    x, t = np.array([[0, 1], [1, 0]], np.float32), np.array([[1.0], [0.0]], np.float32)
    same = FeedForward([2, 3, 1], "gelu", "sigmoid_cross_entropy", seed=0)
    assert net.loss(x, t) == same.loss(x, t)
    for name, grad in net.gradient(x, t).items():
        np.testing.assert_array_equal(grad, same.gradient(x, t)[name])
    np.testing.assert_array_equal(relu.backward(x + 1), [[0, 2], [2, 0]])
    assert loss.forward(x, [1, 0]) == SoftmaxWithLoss().forward(x, [1, 0])


def test_every_class_says_that_it_is_of_layers():
    """By which documentation and pickles find it, wherever it is defined."""
    for name in layers.__all__:
        assert getattr(layers, name).__module__ == "ffkernels.layers"


def test_the_gradient_of_a_bias_keeps_the_digits_of_large_batches():
    """100,000 rows, of which those that are added late are small beside their sum."""
    n = 100_000
    dout = (1 + np.random.default_rng(0).random((n, 3))).astype(np.float32)
    layer = Affine(np.ones((2, 3), np.float32), np.zeros(3, np.float32))
    layer.forward(np.ones((n, 2), np.float32))
    for given in (dout, dout[:, ::-1], dout.astype(np.float64), np.asfortranarray(dout)):
        kept = given.copy()
        layer.backward(given)
        np.testing.assert_allclose(layer.db, given.sum(axis=0, dtype=np.float64), rtol=2e-6)
        np.testing.assert_array_equal(given, kept)
    layer.backward(0.1)
    np.testing.assert_allclose(layer.db, n * np.float64(np.float32(0.1)), rtol=2e-6)
    for read_only in (dout, dout.copy()):
        read_only.setflags(write=False)
        layer.backward(read_only)


# --- weights of rows ------------------------------------------------------------------------------

WEIGHTS = np.array([2, 0, 1, 3, 0, 1, 2])
WEIGHTED = [*LOSSES, "probabilities", "wide"]


def weighted(kind, monkeypatch, activation="tanh", **options):
    """A net, and how many rows and targets there are weights for."""
    if kind == "wide":
        monkeypatch.setattr("ffkernels.layers._net.CHUNK_BYTES", 8)
    loss = "softmax_cross_entropy" if kind in ("probabilities", "wide") else kind
    net = FeedForward([4, 5, 3], activation, loss, np.float64, seed=0, **options)
    t = targets_for(loss, len(WEIGHTS))
    if kind == "probabilities":
        t = np.abs(normal(len(t), 3, seed=5))
    return net, normal(len(WEIGHTS), 4), t


@pytest.mark.parametrize("kind", WEIGHTED)
def test_weights_of_rows_are_as_many_rows(kind, monkeypatch):
    net, x, t = weighted(kind, monkeypatch)
    for activation in ("tanh", "gelu"):
        net = weighted(kind, monkeypatch, activation)[0]
        rows = np.repeat(np.arange(len(x)), WEIGHTS)
        want = copy.deepcopy(net.gradient(x[rows], t[rows]))
        loss = net.loss(x[rows], t[rows])
        for factor in (1, 0.25, 1e-200):
            given = factor * WEIGHTS
            assert net.loss(x, t, sample_weight=given) == pytest.approx(loss, rel=1e-13)
            for name, grad in net.gradient(x, t, sample_weight=given).items():
                np.testing.assert_allclose(grad, want[name], rtol=1e-12, atol=1e-15)
    total, weight = summed_step(net, x, t, WEIGHTS)
    assert weight == WEIGHTS.sum() and total == pytest.approx(loss * weight, rel=1e-13)


def test_weights_of_rows_by_their_definition():
    net, x, t = weighted("softmax_cross_entropy", None)
    scores = np.tanh(x @ net.params["W1"]) @ net.params["W2"]
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(x)), t]
    s = np.abs(normal(len(x), seed=7))
    assert net.loss(x, t, sample_weight=s) == pytest.approx((s * losses).sum() / s.sum(), rel=1e-13)
    loss = lambda: net.loss(x, t, sample_weight=s)  # noqa: E731
    for name, grad in net.gradient(x, t, sample_weight=s).items():
        np.testing.assert_allclose(grad, slope(loss, net.params[name]), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", WEIGHTED)
@pytest.mark.parametrize("came", [np.float64, np.float32, "images"])
def test_a_row_without_weight_is_left_out_whatever_it_holds(kind, came, monkeypatch):
    net, x, t = weighted(kind, monkeypatch)
    kept = WEIGHTS > 0
    x = x.astype(np.float32 if came is np.float32 else np.float64)
    want = copy.deepcopy(net.gradient(x[kept], t[kept], sample_weight=WEIGHTS[kept]))
    x[~kept] = np.nan
    if came == "images":
        x = np.asfortranarray(x.reshape(-1, 2, 2))
    given = x.copy(), WEIGHTS.copy()
    for name, grad in net.gradient(x, t, sample_weight=given[1]).items():
        np.testing.assert_allclose(grad, want[name], rtol=1e-12, atol=1e-15)
    loss = net.loss(x[kept], t[kept], sample_weight=WEIGHTS[kept])
    assert net.loss(x, t, sample_weight=WEIGHTS) == pytest.approx(loss, rel=1e-13)
    np.testing.assert_array_equal(x, given[0])
    np.testing.assert_array_equal(WEIGHTS, given[1])


@pytest.mark.parametrize("optimizer", [lambda: SGD(0.1), lambda: SGD(0.1, 0.9), lambda: Adam(0.01)])
@pytest.mark.parametrize("kind", WEIGHTED)
def test_training_with_weights_is_that_on_as_many_rows(kind, optimizer, monkeypatch):
    (net, x, t), (other, *_) = (weighted(kind, monkeypatch) for _ in range(2))
    rows, optimizers = np.repeat(np.arange(len(x)), WEIGHTS), (optimizer(), optimizer())
    x[WEIGHTS == 0] = np.inf
    for _ in range(10):
        loss = other.train_step(x[rows], t[rows], optimizers[0])
        got = net.train_step(x, t, optimizers[1], sample_weight=WEIGHTS)
        assert got == pytest.approx(loss, rel=1e-10)
    for name, param in net.params.items():
        np.testing.assert_allclose(param, other.params[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", WEIGHTED)
def test_no_weight_at_all(kind, monkeypatch):
    net, x, t = weighted(kind, monkeypatch)
    nothing = np.zeros(len(x))
    assert net.loss(x, t, sample_weight=nothing) == 0
    assert not any(grad.any() for grad in net.gradient(x, t, sample_weight=nothing).values())


@pytest.mark.parametrize("kind", WEIGHTED)
@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (np.ones(6), ValueError, r"sample_weight: expected one number a row, shape \(7,\), got \(6,\)"),
        (np.ones((7, 1)), ValueError, r"sample_weight: .* shape \(7,\), got \(7, 1\)"),
        (1.0, ValueError, r"sample_weight: .* shape \(7,\), got \(\)"),
        ([1, 1, -1, 1, 1, 1, 1], ValueError, r"sample_weight: .* at least 0, got -1 at position 2"),
        ([1, np.nan, 1, 1, 1, 1, 1], ValueError, r"sample_weight: .*, got nan at position 1"),
        (["a"] * 7, TypeError, "sample_weight: expected real numbers"),
    ],
)
def test_weights_of_rows_that_are_refused(kind, given, error, words, monkeypatch):
    net, x, t = weighted(kind, monkeypatch)
    before = copy.deepcopy((net.params, net.gradient(x, t)))
    for call in (net.loss, net.gradient, lambda x, t, **w: net.train_step(x, t, SGD(0.1), **w)):
        with pytest.raises(error, match=words):
            call(x, t, sample_weight=given)
    for was, arrays in zip(before, (net.params, net.grads), strict=True):
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, was[name])


def test_replaced_parameters_are_used():
    net, x = FeedForward([2, 4, 3], seed=0), blobs(5)[0]
    net.params["W2"] = np.zeros((4, 3), np.float32)
    np.testing.assert_allclose(net.predict(x), 1 / 3, rtol=1e-6)


def test_predict_gives_probabilities_or_values():
    x = normal(6, 4)
    net = FeedForward([4, 5, 3], "tanh", dtype=np.float64, seed=0)
    scores = np.tanh(x @ net.params["W1"]) @ net.params["W2"]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.predict(x), p, rtol=1e-12)
    net = FeedForward([4, 5, 3], "tanh", "sum_squared_error", np.float64, seed=0)
    np.testing.assert_allclose(net.predict(x), scores, rtol=1e-12)


def test_predictions_are_fresh_and_change_nothing():
    net, x = FeedForward([4, 5, 3], seed=0), normal(6, 4)
    grads = {key: grad.copy() for key, grad in net.gradient(x, targets_for("", 6)).items()}
    first = net.predict(x)
    kept = first.copy()
    net.predict(x + 1)
    net.loss(x + 1, targets_for("", 6))
    np.testing.assert_array_equal(first, kept)
    for key, grad in grads.items():
        np.testing.assert_array_equal(net.grads[key], grad)


@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 5000])
def test_batches_of_any_size(n):
    net, x, t = FeedForward([4, 5, 3], dtype=np.float64, seed=0), normal(n, 4), np.arange(n) % 3
    predictions = net.predict(x)
    pieces = np.concatenate([net.predict(x[i : i + 100]) for i in range(0, n, 100)])
    np.testing.assert_allclose(predictions, pieces, rtol=1e-12)
    net.gradient(x, t)
    assert net.train_step(x, t, SGD(0.0)) == pytest.approx(net.loss(x, t), rel=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
def test_empty_batch_of_a_net(loss):
    net = FeedForward([4, 5, 3], loss=loss, seed=0)
    x, t = np.empty((0, 4)), np.empty((0, 3))
    assert net.predict(x).shape == (0, 3)
    assert net.loss(x, t) == 0
    before = copy.deepcopy(net.params)
    net.gradient(normal(2, 4), np.eye(3)[:2])
    assert net.train_step(x, t, SGD(1.0)) == 0
    for key, param in net.params.items():
        np.testing.assert_array_equal(param, before[key])
    if loss == "softmax_cross_entropy":
        assert net.loss(x, []) == 0
        assert net.train_step(x, [], SGD(1.0)) == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_inputs_of_any_dtype_shape_and_strides(dtype):
    net = FeedForward([12, 5, 3], dtype=dtype, seed=0)
    x, t = np.arange(48).reshape(4, 12) % 7, np.array([0, 1, 2, 1])
    expected = net.predict(x.astype(dtype))
    grads = copy.deepcopy(net.gradient(x.astype(dtype), t))
    several = [x.astype(d) for d in (np.uint8, np.int64, np.float16, np.float32, np.float64, ">f8")]
    shapes = [x.reshape(4, 3, 4), np.asfortranarray(x.reshape(4, 3, 2, 2)), x.tolist()]
    strided = [
        np.asfortranarray(x),
        np.repeat(x, 2, axis=0)[::2],
        x.astype(dtype)[:, ::-1][:, ::-1],
    ]
    for other in several + shapes + strided:
        np.testing.assert_allclose(net.predict(other), expected, rtol=1e-5)
        for targets in (t, t.tolist(), t.astype(np.uint8), np.eye(3)[t], np.eye(3, dtype=bool)[t]):
            assert net.train_step(other, targets, SGD(0.0)).dtype == dtype
            for key, grad in net.grads.items():
                np.testing.assert_allclose(grad, grads[key], rtol=1e-4, atol=1e-5)


def test_regression_targets_of_any_dtype():
    net = FeedForward([2, 4, 3], loss="sum_squared_error", seed=0)
    x, t = normal(2, 2), np.arange(6).reshape(2, 3)
    expected = net.loss(x, t.astype(np.float32))
    for other in (t, t.astype(np.uint8), t.astype(float), t.tolist(), t.astype(">f4")):
        assert net.loss(x, other) == expected
        assert net.train_step(x, other, SGD(0.0)) == pytest.approx(expected, rel=1e-6)


def test_callers_arrays_are_left_alone_by_a_net():
    net = FeedForward([2, 4, 3], seed=0)
    x, t = blobs(9, np.float32)
    kept = x.copy(), t.copy()
    net.train_step(x, t, SGD(0.1))
    net.predict(x)
    net.loss(x, t)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(t, kept[1])


def test_random_start():
    sizes = [400, 300, 200]
    for activation, variance in (("relu", 2 / 400), ("tanh", 2 / 700), ("sigmoid", 2 / 700)):
        net = FeedForward(sizes, activation, seed=3)
        assert net.params["W1"].var() == pytest.approx(variance, rel=0.05)
        assert abs(net.params["W1"].mean()) < 1e-3
        assert (net.params["b1"] == 0).all()
    wide = FeedForward(sizes, seed=3, dtype=np.float64)
    for key, param in FeedForward(sizes, seed=3).params.items():
        np.testing.assert_array_equal(param, wide.params[key].astype(np.float32))
    other = FeedForward(sizes, seed=4)
    assert (other.params["W1"] != wide.params["W1"]).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sizes": [3]}, ValueError, "sizes: expected two or more numbers from 1 up, got (3,)"),
        ({"sizes": [3, 0, 1]}, ValueError, "sizes: expected two or more numbers from 1 up"),
        ({"sizes": [3, 1.5]}, TypeError, "sizes: expected one list of integers, such as FeedForw"),
        ({"sizes": 3}, TypeError, "FeedForward([4, 16, 3]), got 3"),
        ({"sizes": "3-2"}, TypeError, "such as FeedForward([4, 16, 3]), got '3-2'"),
        ({"sizes": None}, TypeError, "sizes: expected one list of integers"),
        ({"activation": "swish"}, ValueError, "activation: expected one of ['relu', 'sigmoid', 't"),
        ({"loss": "hinge"}, ValueError, "loss: expected one of ['softmax_cross_entropy', 'sigmoi"),
        ({"dtype": np.float16}, ValueError, "dtype: expected float32 or float64, got float16"),
    ],
)
def test_net_refuses_arguments(arguments, error, message):
    with pytest.raises(error) as caught:
        FeedForward(**{"sizes": [3, 2]} | arguments)
    assert message in str(caught.value)


def test_sizes_one_by_one_are_told_how_they_are_meant():
    with pytest.raises(TypeError) as caught:
        FeedForward(3, 4, 2)
    assert str(caught.value) == (
        "sizes: expected one list of integers, such as FeedForward([4, 16, 3]), got 3, 4, ..."
    )


@pytest.mark.parametrize(
    ("optimizer", "came"),
    [
        (Adam, "the class Adam: write Adam(...)"),
        ("adam", "'adam'"),
        (None, "NoneType"),
        (0.1, "float"),
        (SGD, "the class SGD: write SGD(...)"),
    ],
)
def test_what_is_no_optimizer_is_refused_before_the_step(optimizer, came):
    net, (x, t) = FeedForward([2, 4, 3], seed=0), blobs(5)
    before = copy.deepcopy((net.params, net.grads))
    with pytest.raises(TypeError) as caught:
        net.train_step(x, t, optimizer)
    assert str(caught.value) == (
        "optimizer: expected SGD(lr=0.1), Adam() or another object with update(params, grads), "
        f"got {came}"
    )
    for now, then in zip((net.params, net.grads), before, strict=True):
        for key in now:
            np.testing.assert_array_equal(now[key], then[key])


def test_what_layers_and_nets_say_they_are():
    assert repr(FeedForward([4, 16, 3], "tanh", dtype=np.float64)) == (
        "FeedForward([4, 16, 3], activation='tanh', loss='softmax_cross_entropy', dtype=float64)"
    )
    assert repr(Affine(normal(3, 2), normal(2))) == "Affine(3 inputs, 2 outputs, float64)"
    assert repr(Softmax(0)) == "Softmax(axis=0)"
    for layer in (Relu, Sigmoid, Tanh, Identity, SoftmaxWithLoss, SigmoidWithLoss, IdentityWithLoss):
        assert repr(layer()) == f"{layer.__name__}()"


@pytest.mark.parametrize(
    ("x", "told"),
    [
        ([[1, 2], [3, 4], [5]], ": row 0 has length 2, row 2 has length 1"),
        ([[1, 2], 3], ": row 0 has length 2, row 1 is 3"),
        ([[1, 2], None], ": row 0 has length 2, row 1 is None"),
        ([[[1], [2, 3]], [[1], [2]]], ": row 0 has length 1, row 1 has length 2"),
    ],
)
def test_ragged_lists_are_told_which_row(x, told):
    net = FeedForward([2, 3], seed=0)
    for call in (net.predict, Relu().forward, ff.softmax):
        with pytest.raises(ValueError) as caught:
            call(x)
        assert str(caught.value) == f"x: expected rows of one length, got a ragged list{told}"


@pytest.mark.parametrize("label", [-1, -100])
def test_labels_of_rows_without_one_are_told_of_ignore_index(label):
    net, x, t = FeedForward([2, 3], seed=0), normal(2, 2), [0, label]
    logits = net.predict(x)
    for call in (
        lambda: net.train_step(x, t, SGD(0.1)),
        lambda: SoftmaxWithLoss().forward(logits, t),
        lambda: ff.softmax_cross_entropy(logits, t),
    ):
        with pytest.raises(IndexError) as caught:
            call()
        assert str(caught.value) == (
            f"targets: class index {label} at position 1 is out of range for 3 classes; "
            f"softmax_cross_entropy leaves such rows out with ignore_index={label}"
        )
    with pytest.raises(IndexError, match=r"for 3 classes$"):
        ff.softmax_cross_entropy(logits, [0, -1], ignore_index=-100)


def test_net_refuses_data_and_stays_as_it_was():
    net = FeedForward([4, 5, 3], seed=0)
    net.gradient(normal(6, 4), targets_for("", 6))
    before = copy.deepcopy((net.params, net.grads))
    x = normal(2, 4)
    for call in (net.loss, net.gradient, lambda x, t: net.train_step(x, t, SGD(0.1))):
        for wrong in (x[0], x[:, :3], x[0, 0]):
            with pytest.raises(ValueError, match=r"x: expected shape \(N, 4\), or \(N, ...\) with"):
                call(wrong, [0, 1])
        with pytest.raises(TypeError, match="x: expected real numbers"):
            call(x * 1j, [0, 1])
        with pytest.raises(IndexError, match="class index 3 at position 0 is out of range for 3"):
            call(x, [3, 1])
        with pytest.raises(IndexError, match="class index -1 at position 1 is out of range for 3"):
            call(x, np.array([0, -1], np.int8))
        with pytest.raises(TypeError, match="targets: expected integers as class indices"):
            call(x, [0.0, 1.0])
        with pytest.raises(TypeError, match="targets: expected integers as class indices"):
            call(x, [False, True])
        with pytest.raises(ValueError, match="targets: expected class indices of shape"):
            call(x, [0, 1, 2])
    for now, then in zip((net.params, net.grads), before, strict=True):
        for key in now:
            np.testing.assert_array_equal(now[key], then[key])


@pytest.mark.parametrize("given", [np.float32, np.float64, list])
def test_regression_of_one_output_takes_values_in_a_row(given):
    net, other = (FeedForward([4, 5, 1], loss="sum_squared_error", seed=0) for _ in range(2))
    x, column = normal(6, 4), normal(6, 1, seed=1)
    t = column[:, 0].tolist() if given is list else column[:, 0].astype(given)
    assert net.loss(x, t) == other.loss(x, column)
    for _ in range(3):
        assert net.train_step(x, t, SGD(0.1)) == other.train_step(x, column, SGD(0.1))
    for key, param in net.params.items():
        np.testing.assert_array_equal(param, other.params[key])
    layer = IdentityWithLoss()
    column = column.astype(np.asarray(t).dtype)
    assert layer.forward(x[:, :1], t) == ff.sum_squared_error(x[:, :1], column)
    assert layer.backward().shape == (6, 1)


def test_regression_refuses_targets_that_would_broadcast():
    net = FeedForward([4, 5, 2], loss="sum_squared_error", seed=0)
    for t in (normal(6), normal(6, 1), normal(1, 2)):
        with pytest.raises(ValueError, match=r"t: expected the shape of y, \(6, 2\), got \("):
            net.gradient(normal(6, 4), t)
    net = FeedForward([4, 5, 1], loss="sum_squared_error", seed=0)
    for t in (normal(5), normal(1, 6), normal(1)):
        with pytest.raises(ValueError, match=r"t: expected the shape of y, \(6, 1\), got \("):
            net.gradient(normal(6, 4), t)


def test_one_class_has_indices_in_a_row():
    net = FeedForward([4, 5, 1], seed=0)
    assert net.loss(normal(6, 4), np.zeros(6, int)) == 0
    with pytest.raises(TypeError, match="targets: expected integers"):
        net.loss(normal(6, 4), np.zeros(6))


# --- memory --------------------------------------------------------------------------------------


def allocated_by(step):
    """The most memory in use during a call beyond what was in use before, once it is warm.

    The least of three calls: now and then Python's own bookkeeping falls into one.
    """
    peaks = []
    tracemalloc.start()
    try:
        step()
        for _ in range(3):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            step()
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return min(peaks)


N = 50_000  # rows; a byte for each is more than the limit
LIMIT = 32 * 1024


@pytest.fixture
def no_temporaries(backend):
    if backend == "numpy":
        pytest.skip("NumPy's expressions make temporaries")


@pytest.mark.memory
@pytest.mark.usefixtures("no_temporaries")
@pytest.mark.parametrize("came", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_training_step_allocates_nothing_that_grows_with_the_batch(activation, loss, came):
    net, optimizer = FeedForward([3, 5, 4, 3], activation, loss, seed=0), Adam()
    x, t = normal(N, 3, dtype=came), targets_for(loss, N).astype(int)

    def epoch():
        net.train_step(x, t, optimizer)
        net.train_step(x[: N // 2], t[: N // 2], optimizer)

    assert allocated_by(epoch) < LIMIT


@pytest.mark.memory
@pytest.mark.usefixtures("no_temporaries")
@pytest.mark.parametrize("came", [np.float32, np.float64])
def test_layers_allocate_nothing_that_grows_with_the_batch(came):
    net = TwoLayerNet(2, 5, 3, np.float32)
    net.layers["Sigmoid"], net.layers["Tanh"], net.layers["Softmax"] = Sigmoid(), Tanh(), Softmax()
    x, t = blobs(N, came)
    x, t = x.reshape(N, 1, 2).transpose(0, 2, 1), t.astype(np.int32)

    def epoch():
        net.gradient(x, t)
        net.gradient(x[: N // 2], t[: N // 2])

    assert allocated_by(epoch) < LIMIT


@pytest.mark.memory
def test_predicting_keeps_no_hidden_layer_of_a_large_batch():
    net, x = FeedForward([3, 100, 2], seed=0), normal(4 * N, 3)
    hidden_layer = 4 * N * 100 * 4
    assert allocated_by(lambda: net.predict(x)) < hidden_layer / 5


# --- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("loss", LOSSES)
def test_saved_nets_come_back(tmp_path, loss, dtype):
    net = FeedForward([4, 5, 3], "tanh", loss, dtype, seed=0)
    net.params["b1"] += 1
    net.extras["classes"] = ["iris setosa", "versicolor", "virginica"]
    net.extras["inputs/mean"] = normal(4)
    path = tmp_path / "net"
    net.save(path)
    loaded = FeedForward.load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["net"]
    assert (loaded.sizes, loaded.activation, loaded.loss_name) == ((4, 5, 3), "tanh", loss)
    assert loaded.dtype == dtype
    for key, param in net.params.items():
        assert loaded.params[key].dtype == dtype
        np.testing.assert_array_equal(loaded.params[key], param)
    assert list(loaded.extras) == ["classes", "inputs/mean"]
    np.testing.assert_array_equal(loaded.extras["classes"], net.extras["classes"])
    np.testing.assert_array_equal(loaded.extras["inputs/mean"], normal(4))
    x, t = normal(6, 4), targets_for(loss, 6)
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    assert loaded.train_step(x, t, SGD(0.1)) == net.train_step(x, t, SGD(0.1))
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))


def test_saved_nets_hold_no_pickle(tmp_path):
    net, path = FeedForward([2, 3, 2], seed=0), tmp_path / "net.npz"
    net.extras["bad"] = np.array([{}])
    with pytest.raises(TypeError, match="extras/bad: expected numbers or strings, got dtype objec"):
        net.save(path)
    assert not path.exists()
    net.extras.clear()
    net.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["W1"], net.params["W1"])
        assert not any(array.dtype.hasobject for array in arrays.values())


@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_can_sum_into_memory_of_the_callers(loss):
    """As ffkernels.distributed adds them up over processes."""
    net, other = (FeedForward([4, 5, 3], "tanh", loss, np.float64, seed=0) for _ in range(2))
    memory = np.full(5 * 4 + 5 + 3 * 5 + 3, np.nan)
    put_gradients_in(net, memory)
    x, t = normal(7, 4), targets_for(loss, 7)
    (total, _), mean = summed_step(net, x, t), other.loss(x, t)
    np.testing.assert_allclose(total, 7 * mean)
    gradient = np.concatenate([grad.ravel() for grad in other.gradient(x, t).values()])
    np.testing.assert_allclose(memory, 7 * gradient, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(net.train_step(x, t, SGD(0.1)), mean)
    other.train_step(x, t, SGD(0.1))
    np.testing.assert_allclose(net.params["W1"], other.params["W1"])
    assert all(np.shares_memory(grad, memory) for grad in net.grads.values())


def test_a_save_that_fails_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    net, path = FeedForward([2, 3, 2], seed=0), tmp_path / "net.npz"
    net.save(path)
    path.chmod(0o640)
    link = tmp_path / "link.npz"
    link.symlink_to(path)

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(np, "savez", full)
        net.save(link)
    np.testing.assert_array_equal(FeedForward.load(path).params["W1"], net.params["W1"])
    net.params["W1"] += 1
    net.save(link)
    np.testing.assert_array_equal(FeedForward.load(path).params["W1"], net.params["W1"])
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.npz", "net.npz"]


def test_a_net_can_be_saved_to_what_is_no_file():
    FeedForward([2, 3, 2], seed=0).save(os.devnull)
    with pytest.raises(IsADirectoryError):
        FeedForward([2, 3, 2], seed=0).save(".")


def test_loading_refuses_what_is_no_net(tmp_path):
    path = tmp_path / "net.npz"
    with pytest.raises(FileNotFoundError):
        FeedForward.load(path)
    for content in (b"", b"no net", npy(np.ones(3)), npy(np.array([{}]))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"path: expected a file from FeedForward\.save, got"):
            FeedForward.load(path)
    np.savez(path, W1=np.ones(3))
    with pytest.raises(ValueError, match=r"expected a file from FeedForward.save, got .* without"):
        FeedForward.load(path)
    FeedForward([2, 3, 2]).save(path)
    with np.load(path) as arrays:
        changed = dict(arrays) | {"b1": np.zeros(1, np.float32)}
    np.savez(path, **changed)
    with pytest.raises(ValueError, match=r"b1: expected shape \(3,\), got \(1,\)"):
        FeedForward.load(path)
    np.savez(path, **dict(changed, b1=np.array([{}])))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded when allow_pickle=False"):
        FeedForward.load(path)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_nets_can_be_copied():
    net, optimizer = FeedForward([2, 4, 3], seed=0), Adam()
    x, t = blobs(9)
    net.train_step(x, t, optimizer)
    twin, twin_optimizer = copy.deepcopy((net, optimizer))
    for _ in range(3):
        assert net.train_step(x, t, optimizer) == twin.train_step(x, t, twin_optimizer)
    np.testing.assert_array_equal(net.predict(x), twin.predict(x))
