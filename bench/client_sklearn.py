"""scikit-learn's estimators under the patch, and without it."""

import time
import warnings
from contextlib import nullcontext

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ffkernels.adapters.sklearn import patched

WIDE = (512, 512)


def nets():
    x, classes = load_digits(return_X_y=True)
    x /= 16
    weights = np.random.default_rng(0).uniform(0.5, 2, len(classes))
    diabetes, progression = load_diabetes(return_X_y=True)
    progression = (progression - progression.mean()) / progression.std()

    def digits(activation="relu", sizes=(100,), dtype=np.float64, epochs=10, weighted=False, **rest):
        net = MLPClassifier(sizes, activation=activation, max_iter=epochs, random_state=0, **rest)
        return training(net, x.astype(dtype), classes, weights if weighted else None)

    def regression(activation="relu", sizes=(100,), dtype=np.float64, target_dtype=None, **rest):
        net = MLPRegressor(
            hidden_layer_sizes=sizes, activation=activation, max_iter=30, random_state=0, **rest
        )
        return training(net, diabetes.astype(dtype), progression.astype(target_dtype or dtype))

    return {
        "digits, relu 100": digits(epochs=30),
        "digits, relu 32, batches of 32": digits(sizes=(32,), batch_size=32),
        "digits, relu 256-256": digits(sizes=(256, 256)),
        "digits, relu 100, float32": digits(dtype=np.float32, epochs=30),
        "digits, relu 32, batches of 32, float32": digits("relu", (32,), np.float32, batch_size=32),
        "digits, relu 256-256, float32": digits("relu", (256, 256), np.float32),
        "digits, tanh 512-512": digits("tanh", WIDE),
        "digits, logistic 512-512": digits("logistic", WIDE),
        "digits, relu 512-512": digits("relu", WIDE),
        "digits, tanh 512-512, float32": digits("tanh", WIDE, np.float32),
        "digits, logistic 512-512, float32": digits("logistic", WIDE, np.float32),
        "digits, tanh 512-512, SGD": digits("tanh", WIDE, solver="sgd"),
        "digits, tanh 100, L-BFGS": digits("tanh", solver="lbfgs", epochs=30),
        "digits, identity 100, SGD": digits("identity", solver="sgd", epochs=30),
        "digits, relu 100, batches of 16": digits(batch_size=16, epochs=3),
        "digits, relu 100, weighted": digits(epochs=30, weighted=True),
        "digits, relu 100, early stopping": digits(epochs=30, early_stopping=True),
        "diabetes, relu 100": regression(),
        "diabetes, tanh 256, float32": regression("tanh", (256,), np.float32),
        "diabetes, relu 100, float32 and float64": regression("relu", (100,), np.float32, np.float64),
        "diabetes, identity 2, SGD": regression("identity", (2,), solver="sgd"),
    }


def training(net, x, y, weights=None):
    def train(ours):
        with patched() if ours else nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = time.process_time()
            net.fit(x, y, weights)
            seconds = time.process_time() - start
        return seconds, getattr(net, "loss_curve_", [net.loss_])  # L-BFGS keeps the last alone

    return train
