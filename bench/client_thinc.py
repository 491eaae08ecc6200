"""thinc trained on its own operations and on ours, alternately: agreement and speed.

    python bench/client_thinc.py

`train` trains one net once; the rows of `CLIENTS` are a name and a `train(ours)` each.
"""

import statistics
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

import ffkernels.adapters.thinc  # registers "ffkernels", installed or not

SAMPLES, FEATURES, WIDTH, CLASSES, BATCH, EPOCHS = 4096, 64, 256, 10, 128, 3


def samples():
    """Inputs, and classes that a random net of one hidden layer gives them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, FEATURES))
    hidden = np.tanh(x @ rng.standard_normal((FEATURES, 32)) / 8)
    classes = np.argmax(hidden @ rng.standard_normal((32, CLASSES)), axis=1)
    return x.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[classes]


def train(ours, layer=Relu):
    """Train a net of two hidden layers of a kind; its seconds, and the loss of every batch."""
    fix_random_seed(0)
    x, t = samples()
    losses = []
    loss_of = CategoricalCrossentropy()
    with use_ops("ffkernels" if ours else "numpy"):
        model = chain(layer(WIDTH), layer(WIDTH), Softmax(CLASSES))
        model.initialize(x[:BATCH], t[:BATCH])
        optimizer = Adam(0.001)
        start = time.perf_counter()
        for _ in range(EPOCHS):
            for first in range(0, SAMPLES, BATCH):
                y, backprop = model.begin_update(x[first : first + BATCH])
                gradient, loss = loss_of(y, t[first : first + BATCH])
                backprop(gradient)
                model.finish_update(optimizer)
                losses.append(float(loss))
        seconds = time.perf_counter() - start
    return seconds, losses


CLIENTS = [
    (f"thinc {layer.__name__}", partial(train, layer=layer))
    for layer in (Relu, Gelu, Swish, Mish, Maxout)
]


def main():
    ffkernels.show_config()
    for name, run in CLIENTS:
        runs = [(run(False), run(True)) for _ in range(5)]
        seconds = [(without[0], with_ours[0]) for without, with_ours in runs]
        theirs, ours = (statistics.median(taken) for taken in zip(*seconds, strict=True))
        (_, their_losses), (_, our_losses) = runs[0]
        apart = max(abs(b / a - 1) for a, b in zip(their_losses, our_losses, strict=True))
        print(
            f"{name}: {ours:.3f} s, NumpyOps {theirs:.3f} s, {theirs / ours:.2f} x; loss from "
            f"{our_losses[0]:.3g} to {our_losses[-1]:.3g}, curves {apart:.1e} apart"
        )


if __name__ == "__main__":
    main()
