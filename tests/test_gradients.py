"""Every function with a gradient, against finite differences of the function it belongs to."""

import numpy as np
import pytest

import ffkernels as ff
from ffkernels._operations import FROM_INPUT, OPERATIONS

ACTIVATIONS = ("relu", "sigmoid", "tanh", "identity")
BY_NAME = {operation.name: operation for operation in OPERATIONS}
STEP = 1e-6


def slope(f, x):
    """Central differences of a number, at each element."""
    result = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += STEP
        down[i] -= STEP
        result[i] = (f(up) - f(down)) / (2 * STEP)
    return result


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def probabilities(*shape):
    return np.random.default_rng(1).dirichlet(np.ones(shape[-1]), shape[:-1]) * 0.9 + 0.02


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)


def activation_grad(name):
    x = draw(4, 17)
    f, grad = getattr(ff, name), getattr(ff, f"{name}_grad")
    close(grad(x), slope(lambda x: f(x).sum(), x))


def activation_backward(name):
    x, dy = draw(4, 17), draw(4, 17, seed=1)
    f, backward = getattr(ff, name), getattr(ff, f"{name}_backward")
    close(backward(dy, f(x)), slope(lambda x: (dy * f(x)).sum(), x))


def activation_backward_bias(name):
    x, b, dy = draw(5, 3), draw(3, seed=2), draw(5, 3, seed=1)
    f, backward = getattr(ff, f"bias_{name}"), getattr(ff, f"{name}_backward_bias")
    dx, db = backward(dy, f(x, b))
    close(dx, slope(lambda x: (dy * f(x, b)).sum(), x))
    close(db, slope(lambda b: (dy * f(x, b)).sum(), b))


def input_backward(name):
    x, dy = draw(4, 17), draw(4, 17, seed=1)
    f, backward = getattr(ff, name), getattr(ff, f"{name}_backward")
    for options in BY_NAME[name].options:
        close(backward(dy, x, **options), slope(lambda x: (dy * f(x, **options)).sum(), x))  # noqa: B023


def input_backward_bias(name):
    x, b, dy = draw(5, 3), draw(3, seed=2), draw(5, 3, seed=1)
    f, backward = getattr(ff, f"bias_{name}"), getattr(ff, f"{name}_backward_bias")
    for options in BY_NAME[name].options:
        dx, db = backward(dy, x, b, **options)
        close(dx, slope(lambda x: (dy * f(x, b, **options)).sum(), x))  # noqa: B023
        close(db, slope(lambda b: (dy * f(x, b, **options)).sum(), b))  # noqa: B023


def axis_backward(name):
    for shape, axis in [((3, 5), -1), ((4, 20, 2), 1), ((33, 2), 0)]:
        x, dy = draw(*shape), draw(*shape, seed=1)
        f, backward = getattr(ff, name), getattr(ff, f"{name}_backward")
        close(backward(dy, f(x, axis), axis), slope(lambda x: (dy * f(x, axis)).sum(), x))  # noqa: B023


def squared_error(form):
    y, t = draw(5, 3, 2), draw(5, 3, 2, seed=1)
    for reduction in ("mean", "sum"):
        want = slope(lambda y: ff.sum_squared_error(y, t, reduction=reduction), y)  # noqa: B023
        if form == "with_grad":
            close(ff.sum_squared_error_with_grad(y, t, reduction=reduction)[1], want)
        else:
            close(ff.sum_squared_error_backward(y, t, -2.0, reduction=reduction), -2 * want)
    each = np.arange(1.0, 6)
    want = slope(lambda y: ff.sum_squared_error(y, t, sample_weight=each), y)
    function = getattr(ff, f"sum_squared_error_{form}")
    got = function(y, t, sample_weight=each)
    close(got[1] if form == "with_grad" else got, want)
    if form == "backward":
        want = slope(lambda y: (each * ff.sum_squared_error(y, t, reduction="none")).sum(), y)
        close(ff.sum_squared_error_backward(y, t, each, reduction="none"), want)


def class_loss(form, loss, x, saved, cases):
    """A loss over classes, for indices and probabilities as targets, and each reduction."""
    f = getattr(ff, loss)
    for targets, options in cases:
        for reduction in ("mean", "sum"):
            kept = {**options, "reduction": reduction}
            want = slope(lambda x: f(x, targets, **kept), x)  # noqa: B023
            if form == "with_grad":
                close(getattr(ff, f"{loss}_with_grad")(x, targets, **kept)[1], want)
            else:
                close(getattr(ff, f"{loss}_backward")(saved, targets, -2.0, **kept), -2 * want)
        if form == "backward":
            kept = {**options, "reduction": "none"}
            each = f(x, targets, **kept)
            each = np.arange(1.0, 1 + each.size).reshape(each.shape)
            want = slope(lambda x: (each * f(x, targets, **kept)).sum(), x)  # noqa: B023
            close(getattr(ff, f"{loss}_backward")(saved, targets, each, **kept), want)


def softmax_cross_entropy(form):
    x = draw(6, 4)
    indices, soft = np.array([0, 3, 1, 1, 2, 0]), probabilities(6, 4)
    weight = np.array([0.5, 1, 2, 0])
    cases = [
        (indices, {}),
        (indices, {"weight": weight, "ignore_index": 1, "label_smoothing": 0.2}),
        (soft, {}),
        (soft, {"weight": weight, "label_smoothing": 0.2, "sample_weight": np.arange(6.0)}),
        (indices[:4], {"axis": 0, "ignore_index": 1}),
    ]
    class_loss(form, "softmax_cross_entropy", x, ff.softmax(x), cases[:4])
    class_loss(form, "softmax_cross_entropy", x, ff.softmax(x, axis=0), cases[4:])


def sigmoid_cross_entropy(form):
    x, back = draw(6, 4), draw(6, 4, seed=3)
    labels = np.random.default_rng(2).integers(0, 2, (6, 4))
    weights = {"weight": np.array([0.5, 1, 2, 0]), "pos_weight": draw(6, 1) ** 2}
    for t in (labels, probabilities(6, 4)):
        for options in ({}, weights, {**weights, "sample_weight": np.arange(6.0)}):
            for reduction in ("mean", "sum"):
                kept = {**options, "reduction": reduction}
                want = slope(lambda x: ff.sigmoid_cross_entropy(x, t, **kept), x)  # noqa: B023
                if form == "with_grad":
                    close(ff.sigmoid_cross_entropy_with_grad(x, t, **kept)[1], want)
                else:
                    close(ff.sigmoid_cross_entropy_backward(x, t, -2.0, **kept), -2 * want)
            if form == "backward":
                kept = {**options, "reduction": "none"}
                want = slope(lambda x: (back * ff.sigmoid_cross_entropy(x, t, **kept)).sum(), x)  # noqa: B023
                close(ff.sigmoid_cross_entropy_backward(x, t, back, **kept), want)


def cross_entropy(form):
    p = probabilities(6, 4)
    cases = [
        (np.array([0, 3, 1, 1, 2, 0]), {}),
        (probabilities(6, 4)[::-1], {"eps": 1e-3, "sample_weight": np.arange(6.0)}),
        (np.array([0, 3, 1, 1]), {"axis": 0}),
    ]
    class_loss(form, "cross_entropy", p, p, cases)


CHECKS = {
    **{f"{n}_grad": (activation_grad, n) for n in ACTIVATIONS},
    **{f"{n}_backward": (activation_backward, n) for n in ACTIVATIONS},
    **{f"{n}_backward_bias": (activation_backward_bias, n) for n in ACTIVATIONS},
    **{f"{n}_backward": (input_backward, n) for n in FROM_INPUT},
    **{f"{n}_backward_bias": (input_backward_bias, n) for n in FROM_INPUT},
    **{f"{n}_backward": (axis_backward, n) for n in ("softmax", "log_softmax")},
    **{f"sum_squared_error_{f}": (squared_error, f) for f in ("with_grad", "backward")},
    **{f"softmax_cross_entropy_{f}": (softmax_cross_entropy, f) for f in ("with_grad", "backward")},
    **{f"sigmoid_cross_entropy_{f}": (sigmoid_cross_entropy, f) for f in ("with_grad", "backward")},
    **{f"cross_entropy_{f}": (cross_entropy, f) for f in ("with_grad", "backward")},
}


def test_no_gradient_of_the_table_is_left_out():
    gradients = {o.name for o in OPERATIONS if "_grad" in o.name or "_backward" in o.name}
    assert gradients == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_gradient(backend, name):
    check, argument = CHECKS[name]
    check(argument)
