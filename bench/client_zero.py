"""Nets written as the book's readers do, with its layers in plain NumPy and with `adapters.zero`.

Both train in float64 from the same start with the same batches, and differ in nothing but where the
layers come from.
"""

import time
from functools import partial
from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits

from ffkernels._benchmark.peers import textbook
from ffkernels.adapters import zero

EPOCHS, BATCH, SIZES = 10, 100, (64, 100, 100, 10)
LEARNING_RATE, MOMENTUM, DROPOUT_RATIO = 0.1, 0.9, 0.2


def nets():
    """By what stands between the affine layers."""
    kinds = (("Sigmoid",), ("Relu",), ("BatchNormalization", "Relu", "Dropout"))
    return {", ".join(between): partial(train, between) for between in kinds}


class Net:
    def __init__(self, source, between):
        rng = np.random.default_rng(0)
        self.layers, self.params, self.learned = [], {}, []
        for inputs, outputs in pairwise(SIZES):
            W = rng.normal(scale=np.sqrt(2 / inputs), size=(inputs, outputs))
            self.learn(source.Affine, W=W, b=np.zeros(outputs))
            if outputs == SIZES[-1]:
                break
            for name in between:
                layer = getattr(source, name)
                if name == "BatchNormalization":
                    self.learn(layer, gamma=np.ones(outputs), beta=np.zeros(outputs))
                else:
                    self.layers.append(layer(DROPOUT_RATIO) if name == "Dropout" else layer())
        self.last_layer = source.SoftmaxWithLoss()

    def learn(self, layer, **params):
        self.layers.append(layer(*params.values()))
        self.params |= {f"{name}{len(self.layers)}": param for name, param in params.items()}
        self.learned += [(self.layers[-1], f"d{name}") for name in params]

    def gradient(self, x, t):
        loss = textbook.backpropagate(self.layers, self.last_layer, x, t)
        grads = (getattr(layer, name) for layer, name in self.learned)
        return loss, dict(zip(self.params, grads, strict=True))


def train(between, ours):
    x, t = load_digits(return_X_y=True)
    x /= 16
    np.random.seed(0)  # noqa: NPY002, where the book's dropout draws from
    net = Net(zero if ours else textbook, between)
    optimizer = textbook.SGD(LEARNING_RATE, MOMENTUM)
    rng = np.random.default_rng(0)
    losses = []
    with zero.use_book_values(*zero.DIFFERENCES):
        start = time.process_time()
        for _ in range(EPOCHS):
            for batch in np.array_split(rng.permutation(len(x)), len(x) // BATCH):
                loss, grads = net.gradient(x[batch], t[batch])
                optimizer.update(net.params, grads)
                losses.append(float(loss))
        seconds = time.process_time() - start
    return seconds, losses
