"""Nets of a book reader on scikit-learn's digits: layers in plain NumPy against `adapters.zero`.

    python bench/client_zero.py

Both train the same nets from the same start with the same batches, the way the book's readers write
them, in float64, and differ in nothing but where the layers come from.
"""

import statistics
import time
from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits

import ffkernels
from ffkernels._cli import textbook
from ffkernels.adapters import zero

EPOCHS, BATCH, HIDDEN = 10, 100, (100, 100)
LEARNING_RATE, MOMENTUM, DROPOUT_RATIO = 0.1, 0.9, 0.2

#: What stands between the affine layers of each net.
NETS = {
    "sigmoid": ("Sigmoid",),
    "relu": ("Relu",),
    "batch normalisation, relu, dropout": ("BatchNormalization", "Relu", "Dropout"),
}
FULL = list(NETS)[-1]


class Net:
    def __init__(self, source, between):
        rng = np.random.default_rng(0)
        sizes = (64, *HIDDEN, 10)
        self.layers, self.learned = [], []
        for k, (inputs, outputs) in enumerate(pairwise(sizes)):
            W = rng.normal(scale=np.sqrt(2 / inputs), size=(inputs, outputs))
            self.add(source.Affine(W, np.zeros(outputs)), ("W", "b"))
            if k == len(HIDDEN):
                break
            for name in between:
                layer = getattr(source, name)
                if name == "BatchNormalization":
                    self.add(layer(np.ones(outputs), np.zeros(outputs)), ("gamma", "beta"))
                elif name == "Dropout":
                    self.layers.append(layer(DROPOUT_RATIO))
                else:
                    self.layers.append(layer())
        self.last_layer = source.SoftmaxWithLoss()

    def add(self, layer, names):
        self.layers.append(layer)
        self.learned += [(layer, name) for name in names]

    def gradient(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        loss = self.last_layer.forward(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return loss, [getattr(layer, "d" + name) for layer, name in self.learned]


def train(ours, net=FULL):
    """Train from the start, and return the seconds taken and the loss of each step."""
    x, t = load_digits(return_X_y=True)
    x /= 16
    np.random.seed(0)  # noqa: NPY002, where the book's dropout draws from
    model = Net(zero if ours else textbook, NETS[net])
    params = [getattr(layer, name) for layer, name in model.learned]
    velocities = [np.zeros_like(param) for param in params]
    rng = np.random.default_rng(0)
    losses = []
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for batch in np.array_split(rng.permutation(len(x)), len(x) // BATCH):
            loss, grads = model.gradient(x[batch], t[batch])
            losses.append(float(loss))
            for param, grad, velocity in zip(params, grads, velocities, strict=True):
                velocity *= MOMENTUM
                velocity -= LEARNING_RATE * grad
                param += velocity
    return time.perf_counter() - start, losses


def main():
    ffkernels.show_config()
    zero.set_book_values(*zero.DIFFERENCES)
    for net in NETS:
        seconds = {True: [], False: []}
        losses = {}
        for _ in range(9):
            for ours in seconds:
                taken, losses[ours] = train(ours, net)
                seconds[ours].append(taken)
        ours, theirs = (statistics.median(taken) for taken in seconds.values())
        ratio = statistics.median(b / a for a, b in zip(*seconds.values(), strict=True))
        apart = np.max(np.abs(np.divide(losses[True], losses[False]) - 1))
        print(
            f"{net}: {1e3 * theirs:.0f} ms in plain NumPy, {1e3 * ours:.0f} ms here, {ratio:.2f} times "
            f"as fast; losses apart by {apart:.1e} at most, the last is {losses[True][-1]:.4f}"
        )


if __name__ == "__main__":
    main()
