"""scipy.special, which has no gradients."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..rounds import Call
from .base import Forms, Peer


class SciPy(Peer):
    """scipy.special."""

    title, package = "SciPy", "scipy"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        special = importlib.import_module("scipy.special")
        self._expit = special.expit
        self._elementwise: Forms = {
            "softplus": lambda x: -special.log_expit(-x),
            "silu": lambda x: x * special.expit(x),
            "gelu": lambda x: x * special.ndtr(x),
        }
        self.functions: Forms = {
            "softmax": special.softmax,
            "log_softmax": special.log_softmax,
            "logsumexp": special.logsumexp,
        }

    def call(self, name: str, arguments: Sequence[Any], out: Any, axis: int = -1) -> Call | None:
        if name == "sigmoid":
            return Call(self._expit, arguments, {"out": np.empty_like(out)})
        if name in self._elementwise:
            return Call(self._elementwise[name], arguments)
        if name not in self.functions:
            return None
        return Call(self.functions[name], arguments, {"axis": axis})
