"""scikit-learn's MLPClassifier, as a whole: it has no functions to call."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

from ..rounds import Call
from .base import LEARNING_RATE, Array, Params, Peer, layers


class ScikitLearn(Peer):
    """`partial_fit`, which is one epoch; rows in order and without a penalty, as everybody here."""

    title, package = "scikit-learn", "sklearn"

    @classmethod
    def version(cls) -> str:
        return version("scikit-learn")

    def epoch(
        self, params: Params, x: Array, t: Array, batch: int, optimizer: str, lr: float = LEARNING_RATE
    ) -> Call | None:
        neural_network = importlib.import_module("sklearn.neural_network")
        classes = range(len(params[f"b{len(params) // 2}"]))
        net = neural_network.MLPClassifier(
            [W.shape[1] for W, _ in layers(params)[:-1]],
            solver=optimizer,
            alpha=0.0,
            batch_size=batch,
            learning_rate_init=lr,
            momentum=0.0,
            shuffle=False,
        )
        # Makes its arrays, which then take the parameters that everybody starts from.
        net.partial_fit(x[:batch], t[:batch], classes=classes)
        for (W, b), own_W, own_b in zip(layers(params), net.coefs_, net.intercepts_, strict=True):
            own_W[...], own_b[...] = W, b
        del net._optimizer  # and with it Adam's means

        def epoch(x: Any, t: Any) -> Any:
            return net.partial_fit(x, t).loss_

        return Call(epoch, (x, t))
