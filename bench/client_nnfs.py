"""Nets of "Neural Networks from Scratch" with its classes in plain NumPy, and with `adapters.nnfs`.

Both train from the same start, and differ in nothing but where the classes come from.
"""

import time
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
from sklearn.datasets import load_digits

from ffkernels.adapters import nnfs

EPOCHS, BATCH = 10, 128


class Dense:
    def __init__(self, inputs, neurons, weight_regularizer_l2=0):
        self.weights = 0.01 * np.random.randn(inputs, neurons)  # noqa: NPY002, what the book draws from
        self.biases = np.zeros((1, neurons))
        self.weight_regularizer_l2 = weight_regularizer_l2

    def forward(self, inputs, training):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        if self.weight_regularizer_l2 > 0:
            self.dweights += 2 * self.weight_regularizer_l2 * self.weights
        self.dinputs = np.dot(dvalues, self.weights.T)


class Dropout:
    def __init__(self, rate):
        self.rate = 1 - rate

    def forward(self, inputs, training):
        size = inputs.shape
        self.mask = np.random.binomial(1, self.rate, size=size) / self.rate  # noqa: NPY002
        self.output = inputs * self.mask

    def backward(self, dvalues):
        self.dinputs = dvalues * self.mask


class ReLU:
    def forward(self, inputs, training):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, dvalues):
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0


class Sigmoid:
    def forward(self, inputs, training):
        self.output = 1 / (1 + np.exp(-inputs))

    def backward(self, dvalues):
        self.dinputs = dvalues * (1 - self.output) * self.output


class SoftmaxLoss:
    def forward(self, inputs, y_true):
        powers = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = powers / np.sum(powers, axis=1, keepdims=True)
        clipped = np.clip(self.output, 1e-7, 1 - 1e-7)
        return np.mean(-np.log(clipped[range(len(clipped)), y_true]))

    def backward(self, dvalues, y_true):
        self.dinputs = dvalues.copy()
        self.dinputs[range(len(dvalues)), y_true] -= 1
        self.dinputs = self.dinputs / len(dvalues)


class Optimizer:
    iterations = 0

    def __init__(self, learning_rate, decay):
        self.learning_rate, self.decay = learning_rate, decay

    def pre_update_params(self):
        self.current_learning_rate = self.learning_rate * (1 / (1 + self.decay * self.iterations))

    def post_update_params(self):
        self.iterations += 1

    def update_params(self, layer):
        if not hasattr(layer, "state"):
            doubled = (layer.weights, layer.weights, layer.biases, layer.biases)
            layer.state = [np.zeros_like(parameter) for parameter in doubled]
        layer.state[:2] = self.update(layer.weights, layer.dweights, *layer.state[:2])
        layer.state[2:] = self.update(layer.biases, layer.dbiases, *layer.state[2:])


class SGD(Optimizer):
    momentum = 0.9

    def update(self, parameter, gradient, step, unused):
        step = self.momentum * step - self.current_learning_rate * gradient
        parameter += step
        return step, unused


class Adam(Optimizer):
    def update(self, parameter, gradient, momentums, cache):
        momentums = 0.9 * momentums + (1 - 0.9) * gradient
        cache = 0.999 * cache + (1 - 0.999) * gradient**2
        corrected = momentums / (1 - 0.9 ** (self.iterations + 1))
        corrected_cache = cache / (1 - 0.999 ** (self.iterations + 1))
        parameter += -self.current_learning_rate * corrected / (np.sqrt(corrected_cache) + 1e-7)
        return momentums, cache


BOOK = SimpleNamespace(
    Layer_Dense=Dense,
    Layer_Dropout=Dropout,
    Activation_ReLU=ReLU,
    Activation_Sigmoid=Sigmoid,
    Activation_Softmax_Loss_CategoricalCrossentropy=SoftmaxLoss,
    Optimizer_SGD=SGD,
    Optimizer_Adam=Adam,
)


def nets():
    """The spirals of the book's chapters, and images in batches."""
    digits, relu = (load_digits, (64, 128, 128, 10)), ("ReLU", "Adam", 0)
    return {
        "spirals, ReLU 64, Adam": partial(train, spirals, (2, 64, 3), *relu),
        "spirals, ReLU 512, dropout, L2": partial(train, spirals, (2, 512, 3), "ReLU", "Adam", 0.1),
        "digits, ReLU 128-128, Adam": partial(train, *digits, *relu),
        "digits, Sigmoid 128-128, SGD": partial(train, *digits, "Sigmoid", "SGD", 0),
        "images, ReLU 128-128, Adam": partial(train, images, (784, 128, 128, 10), *relu),
    }


def spirals(return_X_y):
    """Three arms of a spiral, with noise."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 1000)
    radius = np.tile(np.linspace(0, 1, 1000), 3)
    angle = 4 * (classes + radius) + 0.2 * rng.standard_normal(3000)
    order = rng.permutation(3000)
    return np.c_[radius * np.sin(angle), radius * np.cos(angle)][order], classes[order]


def images(return_X_y):
    """As many pixels as those of clothes in the book's last chapters, of noise in ten patterns."""
    rng = np.random.default_rng(0)
    classes = rng.integers(10, size=2000)
    return rng.standard_normal((10, 784))[classes] + 20 * rng.standard_normal((2000, 784)), classes


def train(data, sizes, activation, optimizer, dropout, ours):
    source = nnfs if ours else BOOK
    x, y = data(return_X_y=True)
    x = x / np.abs(x).max()
    np.random.seed(0)  # noqa: NPY002
    layers, dense = [], []
    for inputs, neurons in pairwise(sizes):
        last = neurons == sizes[-1]
        dense.append(source.Layer_Dense(inputs, neurons, weight_regularizer_l2=5e-3 * dropout))
        dense[-1].weights *= 10  # deep nets learn nothing in so few steps from weights of 0.01
        layers.append(dense[-1])
        if not last:
            layers.append(getattr(source, f"Activation_{activation}")())
            layers += [source.Layer_Dropout(dropout)] if dropout else []
    loss_activation = source.Activation_Softmax_Loss_CategoricalCrossentropy()
    options = {"momentum": 0.9} if ours and optimizer == "SGD" else {}
    step = getattr(source, f"Optimizer_{optimizer}")(learning_rate=0.01, decay=1e-4, **options)
    losses = []
    start = time.process_time()
    for _ in range(EPOCHS):
        for first in range(0, len(x), BATCH):
            batch, classes = x[first : first + BATCH], y[first : first + BATCH]
            for layer in layers:
                layer.forward(batch, training=True)
                batch = layer.output
            losses.append(loss_activation.forward(batch, classes))
            loss_activation.backward(loss_activation.output, classes)
            gradient = loss_activation.dinputs
            for layer in reversed(layers):
                layer.backward(gradient)
                gradient = layer.dinputs
            step.pre_update_params()
            for layer in dense:
                step.update_params(layer)
            step.post_update_params()
    return time.process_time() - start, losses
