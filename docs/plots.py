"""The pictures of the guide to the mathematics: each function here draws one, when the site is built."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import ffkernels as ff

STEPS = 30
START = (-7.0, 2.0)


def _axes(rows=1):
    return plt.subplots(rows, figsize=(6, 1 + 2.4 * rows), sharex=True, layout="constrained")[1]


def _finish(axes, xlabel="x", **legend):
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.grid(alpha=0.3)
    axes.set_xlabel(xlabel)
    axes.legend(frameon=False, **legend)


def _without_jumps(y):
    """Nothing is drawn where a derivative jumps."""
    y = y.copy()
    y[1:][abs(np.diff(y)) > 0.1] = np.nan
    return y


def _activation(name, *options, goes_back_from="x", limit=5.0):
    x = np.linspace(-limit, limit, 1000)
    f, backward = getattr(ff, name), getattr(ff, f"{name}_backward")
    y = f(x, *options)
    axes = _axes()
    axes.plot(x, y, label="f(x)")
    slope = backward(np.ones_like(x), y if goes_back_from == "y" else x, *options)
    axes.plot(x, _without_jumps(slope), label="f'(x)")
    _finish(axes, loc="upper left")


sigmoid = partial(_activation, "sigmoid", goes_back_from="y", limit=6.0)
tanh = partial(_activation, "tanh", goes_back_from="y", limit=4.0)
relu = partial(_activation, "relu", goes_back_from="y", limit=2.0)
leaky_relu = partial(_activation, "leaky_relu", 0.1, limit=2.0)
elu = partial(_activation, "elu", limit=3.0)
softplus = partial(_activation, "softplus", limit=4.0)
silu = partial(_activation, "silu")
gelu = partial(_activation, "gelu", limit=3.0)
hard_sigmoid = partial(_activation, "hard_sigmoid")


def softmax():
    x = np.linspace(-5, 6, 500)
    y = ff.softmax(np.column_stack([x, np.zeros_like(x), np.ones_like(x)]))
    above, below = _axes(rows=2)
    for k, label in enumerate(["logit x", "logit 0", "logit 1"]):
        above.plot(x, y[:, k], label=f"class of {label}")
        below.plot(x, y[:, k] * ((k == 0) - y[:, 0]), label=f"its derivative by x, {label}")
    above.set_ylabel("probability")
    below.set_ylabel("derivative by x")
    _finish(above)
    _finish(below)


def _loss(x, loss_with_grad, target, label="", style="-", axes=None):
    axes = axes or _axes()
    loss, gradient = loss_with_grad(x, target)
    axes.plot(x[:, 0], loss, f"C0{style}", label=f"loss{label}")
    axes.plot(x[:, 0], gradient[:, 0], f"C1{style}", label=f"gradient{label}")
    return axes


def cross_entropy():
    p = np.linspace(0.05, 1, 500)
    with_grad = partial(ff.cross_entropy_with_grad, reduction="none")
    axes = _loss(np.column_stack([p, 1 - p]), with_grad, np.zeros(500, int))
    axes.set_ylim(-10, 4)
    _finish(axes, "probability of the right class")


def softmax_cross_entropy():
    lead = np.linspace(-6, 6, 500)
    with_grad = partial(ff.softmax_cross_entropy_with_grad, reduction="none")
    axes = _loss(np.column_stack([lead, np.zeros(500)]), with_grad, np.zeros(500, int))
    _finish(axes, "logit of the right class less that of the other")


def sigmoid_cross_entropy():
    x, axes = np.linspace(-6, 6, 500)[:, None], _axes()
    with_grad = partial(ff.sigmoid_cross_entropy_with_grad, reduction="none")
    for target, style in ((1.0, "-"), (0.0, "--")):
        _loss(x, with_grad, np.full_like(x, target), f", t = {target:.0f}", style, axes)
    _finish(axes, "logit")


def sum_squared_error():
    error = np.linspace(-3, 3, 500)[:, None]
    with_grad = partial(ff.sum_squared_error_with_grad, reduction="none")
    _finish(_loss(error, with_grad, np.zeros_like(error)), "output less target", loc="upper center")


def _path(step):
    """Where a step takes the parameters, again and again from START."""
    theta = np.array(START)
    states = np.zeros((2, 2))
    path = [theta.copy()]
    for k in range(1, STEPS + 1):
        step(theta, theta * [0.1, 2.0], *states, k)
        path.append(theta.copy())
    return np.array(path)


def _adagrad(theta, gradient, h, _, k):
    h += gradient * gradient
    theta -= 1.5 * gradient / (np.sqrt(h) + 1e-7)


def optimizers():
    steps = {
        "gradient descent": lambda theta, g, v, _, k: ff.sgd_update(theta, g, lr=0.95),
        "momentum": lambda theta, g, v, _, k: ff.momentum_update(theta, g, v, lr=0.1, momentum=0.9),
        "AdaGrad": _adagrad,
        "Adam": lambda theta, g, m, v, k: ff.adam_update(theta, g, m, v, k, lr=0.3),
    }
    first, second = np.meshgrid(np.linspace(-8, 8, 200), np.linspace(-3, 3, 200))
    figure, every = plt.subplots(
        2, 2, figsize=(7, 5), sharex=True, sharey=True, layout="constrained"
    )
    for axes, (name, step) in zip(every.flat, steps.items(), strict=True):
        axes.contour(first, second, first**2 / 20 + second**2, levels=10, colors="0.8", linewidths=0.8)
        axes.plot(*_path(step).T, "C1.-", linewidth=1)
        axes.plot(0, 0, "k+")
        axes.set_title(name)
    figure.supxlabel("first parameter")
    figure.supylabel("second parameter")
