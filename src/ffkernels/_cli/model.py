"""A trained net with all that a new table's way through it needs."""

from __future__ import annotations

import json
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
    """From the columns of a table to the target."""

    columns: list[Column]
    input_layer: InputLayer
    net: FeedForward
    target: str
    classes: list[str] | None
    # The net learns numbers of mean 0 and variance 1: target = mean + scale · output.
    mean: float = 0.0
    scale: float = 1.0

    def outputs(self, frame: pd.DataFrame) -> Array:
        """Return the probabilities of the classes, or the values in the target's own unit."""
        outputs = self.net.predict(self.input_layer.transform(encode(frame, self.columns)))
        return outputs if self.classes else self.mean + self.scale * outputs[:, 0].astype(float)

    def save(self, path: Path) -> None:
        """Write everything to one ``.npz`` file."""
        described = {
            "columns": self.columns,
            "target": self.target,
            "classes": self.classes,
            "mean": self.mean,
            "scale": self.scale,
        }
        self.net.extras = {"table": json.dumps(described), **_state(self.input_layer)}
        try:
            self.net.save(path)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        try:
            net = FeedForward.load(path)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from None
        except ValueError as error:
            raise CommandError(str(error)) from None
        if "table" not in net.extras:
            raise CommandError(f"{path}: expected a file from train --save, got a net alone")
        described = json.loads(str(net.extras["table"]))
        described["columns"] = [Column(*column) for column in described["columns"]]
        return cls(net=net, input_layer=_input_layer(net.extras), **described)
