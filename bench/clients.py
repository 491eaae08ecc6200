"""Nets of others trained with their own kernels and with ours: alternating rounds in one process.

    python bench/clients.py [WORD ...]

Trains the clients whose names hold one of the words, or all, and prints a Markdown table: the median
processor time of a fit with their kernels, how many times faster the fit is with ours (median over the
rounds, with the quartiles), and the largest relative difference between the two loss curves.  Processor
time, since that of the clock says little on a machine that others use too; with more than one thread
it is the sum over them.

A new client is a function in `CLIENTS` that yields `Client`s, and raises ImportError where its library
is not installed.
"""

import contextlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

import ffkernels

ROUNDS = 5


@dataclass(frozen=True)
class Client:
    """A net to train: `train` does it once, from the same start every time, and returns the seconds of
    processor time it took and the loss curve; within `ours` it does so on ffkernels."""

    name: str
    train: Callable[[], tuple[float, list[float]]]
    ours: Callable[[], AbstractContextManager[None]]


def sklearn_clients() -> Iterator[Client]:
    from sklearn.datasets import load_diabetes, load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    from ffkernels.adapters.sklearn import patched

    digits, classes = load_digits(return_X_y=True)
    digits = digits / 16
    diabetes, progression = load_diabetes(return_X_y=True)
    progression = (progression - progression.mean()) / progression.std()
    weights = np.random.default_rng(0).uniform(0.5, 2, len(classes))

    def fit(net, x, y, **options):
        def train():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                start = time.process_time()
                net.fit(x, y, **options)
                seconds = time.process_time() - start
            return seconds, getattr(net, "loss_curve_", [net.loss_])

        return train

    def classifier(activation="relu", sizes=(100,), dtype=np.float64, epochs=10, options=None, **rest):
        net = MLPClassifier(sizes, activation=activation, max_iter=epochs, random_state=0, **rest)
        return fit(net, digits.astype(dtype), classes, **(options or {}))

    def regressor(
        activation="relu", sizes=(100,), dtype=np.float64, target_dtype=None, epochs=30, **rest
    ):
        net = MLPRegressor(
            hidden_layer_sizes=sizes, activation=activation, max_iter=epochs, random_state=0, **rest
        )
        return fit(net, diabetes.astype(dtype), progression.astype(target_dtype or dtype))

    wide = (512, 512)
    for name, train in {
        "digits, relu 100": classifier(epochs=30),
        "digits, tanh 512-512": classifier("tanh", wide),
        "digits, logistic 512-512": classifier("logistic", wide),
        "digits, relu 512-512": classifier("relu", wide),
        "digits, tanh 512-512, float32": classifier("tanh", wide, np.float32),
        "digits, logistic 512-512, float32": classifier("logistic", wide, np.float32),
        "digits, tanh 512-512, SGD": classifier("tanh", wide, solver="sgd"),
        "digits, tanh 100, L-BFGS": classifier("tanh", solver="lbfgs", epochs=30),
        "digits, identity 100, SGD": classifier("identity", solver="sgd", epochs=30),
        "digits, relu 100, batches of 16": classifier(batch_size=16, epochs=3),
        "digits, relu 100, weighted": classifier(epochs=30, options={"sample_weight": weights}),
        "diabetes, relu 100": regressor(),
        "diabetes, tanh 256, float32": regressor("tanh", (256,), np.float32),
        "diabetes, relu 100, float32 and float64": regressor(dtype=np.float32, target_dtype=np.float64),
        "diabetes, identity 2, SGD": regressor("identity", (2,), solver="sgd"),
    }.items():
        yield Client(f"scikit-learn: {name}", train, patched)


CLIENTS: dict[str, Callable[[], Iterator[Client]]] = {
    "scikit-learn": sklearn_clients,
}


def disagreement(ours, theirs):
    """The largest relative difference of two loss curves; infinite if one is longer."""
    if len(ours) != len(theirs):
        return float("inf")
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


def compare(client):
    """Median seconds with their kernels, the quartiles of how much faster ours are, and the loss
    curves' disagreement.  Who goes first changes from round to round."""
    contexts = {"theirs": contextlib.nullcontext, "ours": client.ours}
    seconds = {side: [] for side in contexts}
    curves = {}
    for i in range(ROUNDS + 1):
        for side in sorted(contexts, reverse=i % 2 == 0):
            with contexts[side]():
                taken, curves[side] = client.train()
            if i:  # the first round warms up
                seconds[side].append(taken)
    gains = [a / b for a, b in zip(seconds["theirs"], seconds["ours"], strict=True)]
    theirs = statistics.median(seconds["theirs"])
    return theirs, statistics.quantiles(gains), disagreement(curves["ours"], curves["theirs"])


def main():
    ffkernels.show_config()
    words = sys.argv[1:]
    print("\n| client | own kernels | with ffkernels | quartiles | loss curves differ by |")
    print("| --- | --- | --- | --- | --- |")
    for library, clients in CLIENTS.items():
        try:
            for client in clients():
                if words and not any(word in client.name for word in words):
                    continue
                seconds, (low, middle, high), difference = compare(client)
                print(
                    f"| {client.name} | {1e3 * seconds:.0f} ms | {middle:.2f} x faster "
                    f"| {low:.2f} - {high:.2f} | {difference:.0e} |",
                    flush=True,
                )
        except ImportError as error:
            print(f"| {library} | not installed: {error} | | | |")


if __name__ == "__main__":
    main()
