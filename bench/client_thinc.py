"""thinc's layers on `FFKernelsOps`, and on its own `NumpyOps`."""

import time
from functools import partial

import numpy as np
from thinc.api import (
    Adam,
    CategoricalCrossentropy,
    Gelu,
    Maxout,
    Mish,
    Relu,
    Softmax,
    Swish,
    chain,
    fix_random_seed,
    use_ops,
)

import ffkernels.adapters.thinc  # noqa: F401, registers "ffkernels", installed or not

SAMPLES, FEATURES, WIDTH, CLASSES, BATCH, EPOCHS = 4096, 64, 256, 10, 128, 3


def nets():
    return {layer.__name__: partial(train, layer) for layer in (Relu, Gelu, Swish, Mish, Maxout)}


def samples():
    """Return inputs, and classes that a random net of one hidden layer gives them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, FEATURES))
    hidden = np.tanh(x @ rng.standard_normal((FEATURES, 32)) / 8)
    classes = np.argmax(hidden @ rng.standard_normal((32, CLASSES)), axis=1)
    return x.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[classes]


def train(layer, ours):
    """Train a net of two hidden layers of one kind."""
    fix_random_seed(0)
    x, t = samples()
    losses = []
    loss_of = CategoricalCrossentropy()
    with use_ops("ffkernels" if ours else "numpy"):
        model = chain(layer(WIDTH), layer(WIDTH), Softmax(CLASSES))
        model.initialize(x[:BATCH], t[:BATCH])
        optimizer = Adam(0.001)
        start = time.process_time()
        for _ in range(EPOCHS):
            for first in range(0, SAMPLES, BATCH):
                y, backprop = model.begin_update(x[first : first + BATCH])
                gradient, loss = loss_of(y, t[first : first + BATCH])
                backprop(gradient)
                model.finish_update(optimizer)
                losses.append(float(loss))
        seconds = time.process_time() - start
    return seconds, losses
