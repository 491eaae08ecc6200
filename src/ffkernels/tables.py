"""Nets with the table they were trained on: from raw columns to predictions.

``python -m ffkernels train --save`` writes one; `TableNet.load` reads it in Python.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from . import _text
from ._arguments import Array, any_array
from ._columns import RawColumn, columns_of, is_missing, numbers_of, place_of
from .inputs import InputLayer
from .layers import TABLE, FeedForward

__all__ = ["Column", "TableNet"]


def __dir__() -> list[str]:
    return __all__


def label(value: Any) -> str:
    """A value of a column as text: whole numbers without a decimal point, days without a clock."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value).removesuffix(" 00:00:00")


def _are_labels(values: Any) -> bool:
    """Whether these are texts or numbers, at least one, or None."""
    if values is None:
        return True
    if not (isinstance(values, list) and values):
        return False
    return all(isinstance(value, (str, int, float)) for value in values)


class Column(NamedTuple):
    """A column as inputs of a net: itself, or an input of 0 and 1 for each of its categories."""

    name: str
    categories: Sequence[str] | Sequence[float] | None = None  # texts or numbers
    dates: bool = False  # whether text in it is dates
    decimal_commas: bool = False  # whether text in it that can be read in two ways has decimal commas

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        if self.categories is None:
            return [self.name]
        return [f"{self.name}={label(category)}" for category in self.categories]

    def encode(self, values: RawColumn) -> list[Array]:
        """Return the inputs; of categories that are not its own, and of none, all are 0."""
        at = place_of("x", self.name)
        if self.categories is None:
            values = self._read(values, at)
            numbers = numbers_of(values, at)
            # Where a second float would be needed, the input layer makes it from the values themselves.
            whole = numbers.low is None or values.gaps is not None
            return [numbers.values if whole else values.values]
        if isinstance(self.categories[0], str):
            items = values.values.tolist()
            known: Any = np.array([None if is_missing(item) else label(item) for item in items], object)
        else:
            known = numbers_of(self._read(values, at), at).values
        return [(known == category).astype(np.float64) for category in self.categories]

    def _read(self, values: RawColumn, at: str) -> RawColumn:
        """Return the numbers or dates that are written in text, and other values as they are."""
        if values.values.dtype.kind not in "OTU":
            return values
        items = [None if is_missing(item) else item for item in values.values.tolist()]
        if not any(isinstance(item, str) for item in items):
            return values
        texts = [
            None if item is None or str(item).strip() in _text.MISSING else str(item) for item in items
        ]
        read = _text.dates(texts) if self.dates else _text.numbers(texts, self.decimal_commas)
        gone = np.isnat(read) if self.dates else np.isnan(read)
        for text, none in zip(texts, gone, strict=True):
            if none and text is not None:
                what = "dates such as 2024-01-31" if self.dates else "real numbers"
                raise TypeError(f"{at}: expected {what}, got {text!r}")
        return RawColumn(read)


def encode(columns: Sequence[Column], x: Any) -> dict[str, Array]:
    """The inputs by name, as `InputLayer` takes them, of a table or of rows in the columns' order."""
    named, wanted = columns_of(x, "x"), [column.name for column in columns]
    if named is not None:
        given = dict(zip(*named, strict=True))
        if lacking := [name for name in wanted if name not in given]:
            raise ValueError(f"x: expected columns {wanted}, got none of the name {lacking[0]!r}")
    else:
        array = any_array(x, "x")
        if array.ndim != 2 or array.shape[1] != len(wanted):
            raise ValueError(
                f"x: expected shape (rows, {len(wanted)}) with columns {wanted}, got {array.shape}"
            )
        given = {name: RawColumn(array[:, k]) for k, name in enumerate(wanted)}
    inputs: dict[str, Array] = {}
    for column in columns:
        for name, values in zip(column.inputs, column.encode(given[column.name]), strict=True):
            while name in inputs:  # a column may be called like another's category
                name += "'"
            inputs[name] = values
    return inputs


@dataclass(repr=False)
class TableNet:
    """A net that takes the raw columns of a table and tells its target.

    Parameters
    ----------
    columns : list of Column
        What of a table are inputs, and how.
    input_layer : InputLayer
        Fitted to them.
    net : FeedForward
        Of which inputs are scaled by ``input_layer``.
    target : str
        The name of what is predicted.
    classes : list of str or numbers, or None
        What it can be, in the order of the net's outputs; None for a regression.
    mean, scale : float
        For a regression the target is mean + scale · output.

    Examples
    --------
    What ``python -m ffkernels train --csv iris.csv --target species --save iris.npz`` wrote:

    >>> from ffkernels.tables import TableNet
    >>> model = TableNet.load("iris.npz")  # doctest: +SKIP
    >>> model.predict([[5.1, 3.5, 1.4, 0.2]])  # doctest: +SKIP
    array(['setosa'], dtype='<U10')
    """

    columns: list[Column]
    input_layer: InputLayer
    net: FeedForward
    target: str
    classes: Sequence[str] | Sequence[float] | None
    mean: float = 0.0
    scale: float = 1.0

    def __repr__(self) -> str:
        kind = "regression" if self.classes is None else f"{len(self.classes)} classes"
        names = ", ".join(column.name for column in self.columns)
        return f"TableNet({self.target}, {kind}, from {names}; {'-'.join(map(str, self.net.sizes))})"

    def inputs(self, x: Any) -> Array:
        """Return rows of a table as the net takes them: numbers, scaled."""
        return self.input_layer.transform(encode(self.columns, x)).astype(self.net.dtype, copy=False)

    def predict(self, x: Any) -> Array:
        """Return the likeliest class of each row, or for a regression its value.

        Parameters
        ----------
        x : data frame, table of Arrow, dictionary of columns, structured array, or array_like
            Raw columns as in training. Of a table with names, columns are found by name and others
            ignored; rows without names have exactly ``columns``, in that order. NaN, None, NaT and
            pandas' NA are missing.

        Returns
        -------
        ndarray, shape (rows,)
            Of classes, or of float64.

        Raises
        ------
        TypeError
            If a column of numbers holds text.
        ValueError
            If a column is lacking, or the rows have another number of them.
        """
        outputs = self.outputs(x)
        return outputs if self.classes is None else np.array(self.classes)[outputs.argmax(axis=1)]

    def predict_proba(self, x: Any) -> Array:
        """Return the probability of each class for each row.

        Parameters
        ----------
        x : table or array_like
            As for `predict`.

        Returns
        -------
        ndarray of the net's dtype, shape (rows, classes)
            In the order of ``classes``.

        Raises
        ------
        TypeError, ValueError
            As `predict` does; TypeError for a regression, too.
        """
        if self.classes is None:
            raise TypeError(
                f"predict_proba: expected a net for classes, got a regression of {self.target}"
            )
        return self.outputs(x)

    def outputs(self, x: Any) -> Array:
        """Return the probabilities of the classes, or values in the target's own unit."""
        outputs = self.net.predict(self.inputs(x))
        if self.classes is not None:
            return outputs
        return self.mean + self.scale * outputs[:, 0].astype(np.float64)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one ``.npz`` file, which holds no pickle."""
        table = {
            "columns": [column._asdict() for column in self.columns],
            "input_layer": self.input_layer.state(),
            "target": self.target,
            "classes": self.classes,
            "mean": self.mean,
            "scale": self.scale,
        }
        self.net.extras[TABLE] = json.dumps(table)
        self.net.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` or ``python -m ffkernels train --save`` wrote.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it holds something else, or is damaged.
        """
        try:
            net = FeedForward._read(path)
            table = json.loads(str(net.extras[TABLE]))
            model = cls(
                columns=[Column(**column) for column in table["columns"]],
                input_layer=InputLayer.from_state(table["input_layer"]),
                net=net,
                target=str(table["target"]),
                classes=table["classes"],
                mean=float(table["mean"]),
                scale=float(table["scale"]),
            )
            for column in model.columns:
                if not (isinstance(column.name, str) and _are_labels(column.categories)):
                    raise ValueError(f"{column} is none")
            if not _are_labels(model.classes):
                raise ValueError(f"{model.classes} are no classes")
            inputs = sum(len(column.inputs) for column in model.columns)
            outputs = 1 if model.classes is None else len(model.classes)
            sizes = (net.sizes[0], net.sizes[-1], len(model.input_layer.scale_))
            if sizes != (inputs, outputs, inputs):
                raise ValueError(f"{inputs} inputs and {outputs} outputs do not fit {net.sizes}")
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
                ValueError) as error:  # fmt: skip
            raise ValueError(
                f"path: expected a file that train --save or TableNet.save wrote, got {path}"
            ) from error
        return model
