"""MyGrad's tensors under `ffkernels.adapters.mygrad.patched`, and without."""

import time
from contextlib import nullcontext
from functools import partial

import mygrad
import numpy as np
from mygrad import tanh
from mygrad.nnet import elu, relu, sigmoid, softmax_crossentropy

from ffkernels.adapters.mygrad import patched

SAMPLES, FEATURES, WIDTH, CLASSES, BATCH, EPOCHS = 2048, 64, 128, 100, 512, 5


def nets():
    activations = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh, "elu": partial(elu, alpha=1)}
    return {f"64-128-100 {name}": partial(train, call) for name, call in activations.items()} | {
        "softmax_crossentropy 512x100": loss_alone
    }


def loss_alone(ours):
    """A loss and its gradient, many times over."""
    rng = np.random.default_rng(0)
    logits = mygrad.tensor(rng.standard_normal((BATCH, CLASSES)))
    classes = rng.integers(CLASSES, size=BATCH)
    losses = []
    with patched() if ours else nullcontext():
        start = time.process_time()
        for _ in range(200):
            loss = softmax_crossentropy(logits, classes)
            loss.backward()
            losses.append(loss.item())
        return time.process_time() - start, losses


def train(activation, ours):
    """Train a net of one hidden layer by gradient descent, in float64 as MyGrad's own."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((SAMPLES, FEATURES))
    classes = (inputs @ rng.standard_normal((FEATURES, CLASSES))).argmax(axis=1)
    w, v = (
        mygrad.tensor(rng.standard_normal(shape) / np.sqrt(shape[0]))
        for shape in ((FEATURES, WIDTH), (WIDTH, CLASSES))
    )
    b, c = mygrad.zeros(WIDTH), mygrad.zeros(CLASSES)
    losses = []
    with patched() if ours else nullcontext():
        start = time.process_time()
        for _ in range(EPOCHS):
            for first in range(0, SAMPLES, BATCH):
                batch = slice(first, first + BATCH)
                loss = softmax_crossentropy(activation(inputs[batch] @ w + b) @ v + c, classes[batch])
                loss.backward()
                losses.append(loss.item())
                for parameter in (w, b, v, c):
                    parameter.data -= 0.5 * parameter.grad
        return time.process_time() - start, losses
