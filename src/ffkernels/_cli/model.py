"""A net with all that a table's way through it needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..inputs import InputLayer
from ..layers import FeedForward
from . import CommandError
from .tables import Column, encode

Array = npt.NDArray[Any]


@dataclass
class Model:
    """From the columns of a table to its target."""

    columns: list[Column]
    input_layer: InputLayer
    net: FeedForward
    target: str
    classes: Sequence[str] | None  # None for regression
    # The net learns values of mean 0 and variance 1: target = mean + scale · output.
    mean: float = 0.0
    scale: float = 1.0

    def inputs(self, frame: pd.DataFrame) -> Array:
        """Return rows of a table as the net takes them."""
        return self.input_layer.transform(encode(frame, self.columns)).astype(self.net.dtype)

    def targets(self, values: Array) -> Array:
        """Return numbers of classes, or values of the target, as the net takes them."""
        if self.classes is not None:
            return values
        return ((values - self.mean) / self.scale).astype(self.net.dtype)[:, None]

    def outputs(self, x: Array) -> Array:
        """Return the probabilities of the classes, or values in the target's own unit."""
        outputs = self.net.predict(x)
        if self.classes is not None:
            return outputs
        return self.mean + self.scale * outputs[:, 0].astype(np.float64)

    def save(self, path: Path) -> None:
        """Write everything to one ``.npz`` file."""
        table = {
            "columns": self.columns,
            "input_layer": self.input_layer.state(),
            "target": self.target,
            "classes": self.classes,
            "mean": self.mean,
            "scale": self.scale,
        }
        self.net.extras = {"table": json.dumps(table)}
        try:
            self.net.save(path)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        try:
            net = FeedForward.load(path)
            table = json.loads(str(net.extras["table"]))
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from None
        except (KeyError, ValueError):
            raise CommandError(f"{path}: not a file that train --save wrote") from None
        table["columns"] = [Column(*column) for column in table["columns"]]
        table["input_layer"] = InputLayer.from_state(table["input_layer"])
        return cls(net=net, **table)
