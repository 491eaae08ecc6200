"""The input layer: from columns as they come to inputs that a net learns from.

`InputLayer` fills or drops what is missing, joins arrays column by column and scales the columns, all
fitted on training data alone.  `inspect` reports columns that should not be inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._arguments import Array, _any_array, is_real, real_number

__all__ = ["Finding", "InputLayer", "inspect"]


def __dir__() -> list[str]:
    return __all__


MISSING = ("zero", "mean", "median", "drop")
SCALES = ("standard", "minmax", None)

#: A spread below this share of the column's largest value is rounding, not variation.
_ROUNDING = 1e-12
#: Numbers that are transformed at a time.
_BLOCK = 2**14


def _table(x: Any, name: str = "x") -> Array:
    """One array of rows and columns, from one or from a list of several side by side."""
    if isinstance(x, (list, tuple)) and x and all(getattr(part, "ndim", 0) for part in x):
        parts = [_table(part, f"{name}[{i}]") for i, part in enumerate(x)]
        for i, part in enumerate(parts):
            if len(part) != len(parts[0]):
                raise ValueError(
                    f"{name}[{i}]: expected {len(parts[0])} rows like {name}[0], got {len(part)}"
                )
        return np.concatenate(parts, axis=1)
    of_pandas = hasattr(x, "to_numpy") and hasattr(x, "isna")  # whose NA NumPy cannot read
    array = x if of_pandas else _any_array(x, name)
    try:
        if of_pandas:
            array = x.to_numpy(np.float64, na_value=np.nan)
        elif array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected real numbers, got {error}") from None
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name}: expected one or two dimensions, got {array.ndim}")
    infinite = np.isinf(array)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise ValueError(
            f"{name}: expected finite numbers or NaN, got {array[row, column]} "
            f"in row {row}, column {column}"
        )
    return array


def _names(x: Any) -> list[str] | None:
    """The names of a data frame's columns."""
    columns = getattr(x, "columns", None)
    return None if columns is None else [str(name) for name in columns]


class InputLayer:
    """Missing values, joining and scaling, fitted on training data and applied to any.

    Parameters
    ----------
    missing : {"zero", "mean", "median", "drop"}
        Fill NaN with 0, or with the column's mean or median in the training data; or drop the rows
        that hold one, and their targets with them.
    max_missing : float in [0, 1]
        Columns of which a larger share is missing in the training data are left out.
    scale : {"standard", "minmax", None}
        Mean 0 and standard deviation 1, or [0, 1], on the training data.  Constant columns become 0.
    dtype : dtype
        Of the result.

    Attributes
    ----------
    columns_ : ndarray of int
        The columns kept.
    fill_, offset_, scale_ : ndarray
        Of each kept column: (x - offset_) / scale_ once NaN is replaced by fill_.
    n_features_in_ : int
    feature_names_in_ : list of str or None
        The names of a data frame's columns; another frame must have the same in the same order.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.inputs import InputLayer
    >>> layer = InputLayer(missing="mean", scale="minmax")
    >>> layer.fit_transform([[0.0], [np.nan], [4.0]]).ravel()
    array([0. , 0.5, 1. ], dtype=float32)
    """

    def __init__(
        self,
        missing: Literal["zero", "mean", "median", "drop"] = "zero",
        max_missing: float = 1.0,
        scale: Literal["standard", "minmax"] | None = "standard",
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.missing = missing
        self.max_missing = max_missing
        self.scale = scale
        self.dtype = dtype

    def fit(self, x: Any, y: Any = None) -> InputLayer:
        """Learn columns, fillings and scales from training data; ``y`` is ignored."""
        if self.missing not in MISSING:
            raise ValueError(f"missing: expected one of {MISSING}, got {self.missing!r}")
        if self.scale not in SCALES:
            raise ValueError(f"scale: expected one of {SCALES}, got {self.scale!r}")
        if not 0 <= real_number(self.max_missing, "max_missing") <= 1:
            raise ValueError(f"max_missing: expected 0 to 1, got {self.max_missing}")
        dtype = np.dtype(self.dtype)
        if not is_real(dtype):
            raise ValueError(f"dtype: expected float16, bfloat16, float32 or float64, got {dtype}")
        table = _table(x)
        if not len(table):
            raise ValueError("x: expected at least one row, got none")
        self.n_features_in_ = table.shape[1]
        self.feature_names_in_ = _names(x)
        gone = np.isnan(table)
        self.columns_ = np.flatnonzero(gone.mean(axis=0) <= self.max_missing)
        if self.missing == "drop":
            table = table[~gone[:, self.columns_].any(axis=1)]
        count = len(self.columns_)
        self.fill_, self.offset_, self.scale_ = np.zeros(count), np.zeros(count), np.ones(count)
        for i, column in enumerate(self.columns_):
            self._fit_column(i, table[:, column].astype(np.float64))
        return self

    def _fit_column(self, i: int, values: Array) -> None:
        """Learn from the values of the i-th column kept."""
        gone = np.isnan(values)
        known = values[~gone]
        if self.missing in ("mean", "median") and len(known):
            self.fill_[i] = np.mean(known) if self.missing == "mean" else np.median(known)
        values[gone] = self.fill_[i]
        if self.scale is None or not len(values):
            return
        with np.errstate(over="ignore"):
            if self.scale == "standard":
                self.offset_[i], spread = values.mean(), values.std()
            else:
                self.offset_[i], spread = values.min(), np.ptp(values)
        if not np.isfinite(spread):
            raise ValueError(
                f"x: expected a spread within the range of float64, got beyond it in column "
                f"{self.columns_[i]}"
            )
        if spread > _ROUNDING * np.abs(values).max():
            self.scale_[i] = spread

    def transform(self, x: Any, y: Any = None) -> Any:
        """Apply what was learnt.

        Returns
        -------
        x : ndarray
        y : ndarray
            Only where ``y`` is given: the targets of the rows that are left.
        """
        if not hasattr(self, "columns_"):
            raise RuntimeError("InputLayer: expected fit before transform")
        table = _table(x)
        if table.shape[1] != self.n_features_in_:
            raise ValueError(f"x: expected {self.n_features_in_} columns, got {table.shape[1]}")
        names = _names(x)
        if None not in (names, self.feature_names_in_) and names != self.feature_names_in_:
            raise ValueError(f"x: expected columns {self.feature_names_in_}, got {names}")
        targets = None if y is None else _any_array(y, "y")
        if targets is not None and len(targets) != len(table):
            raise ValueError(f"y: expected {len(table)} rows like x, got {len(targets)}")
        if self.missing == "drop":
            kept = ~np.isnan(table[:, self.columns_]).any(axis=1)
            table = table[kept]
            targets = None if targets is None else targets[kept]
        result = np.empty((len(table), len(self.columns_)), self.dtype)
        # Few enough rows at a time that they stay in the cache from the first step to the last.
        rows = max(1, _BLOCK // max(1, self.n_features_in_))
        for start in range(0, len(table), rows):
            block = table[start : start + rows].take(self.columns_, axis=1).astype(np.float64)
            np.copyto(block, self.fill_, where=np.isnan(block))
            block -= self.offset_
            block /= self.scale_
            result[start : start + rows] = block
        return result if y is None else (result, targets)

    def state(self) -> dict[str, Any]:
        """What the layer was told and has learnt, in plain numbers, strings and lists."""
        return {
            "missing": self.missing,
            "scale": self.scale,
            "dtype": np.dtype(self.dtype).name,
            "n_features_in": self.n_features_in_,
            "feature_names_in": self.feature_names_in_,
            "columns": self.columns_.tolist(),
            "fill": self.fill_.tolist(),
            "offset": self.offset_.tolist(),
            "divisor": self.scale_.tolist(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> InputLayer:
        """The fitted layer that `state` described."""
        layer = cls(state["missing"], scale=state["scale"], dtype=state["dtype"])
        layer.n_features_in_ = state["n_features_in"]
        layer.feature_names_in_ = state["feature_names_in"]
        layer.columns_ = np.array(state["columns"], np.intp)
        layer.fill_ = np.array(state["fill"], np.float64)
        layer.offset_ = np.array(state["offset"], np.float64)
        layer.scale_ = np.array(state["divisor"], np.float64)
        return layer

    def fit_transform(self, x: Any, y: Any = None) -> Any:
        """`fit`, then `transform` of the same data."""
        return self.fit(x).transform(x, y)


@dataclass(frozen=True)
class Finding:
    """A column that should not be an input: which, why, and the figure that says so."""

    column: int
    name: str
    reason: str
    figure: float

    def __str__(self) -> str:
        return f"{self.name}: {self.reason} ({self.figure:.3g})"


def _ranks(values: Array) -> Array:
    """Ranks from 0, the same for equal values: their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse]


def _correlation(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale else 0.0


def _between_classes(values: Array, target: Array) -> float:
    """The share of the variance between a target's different values, 0 where they are many."""
    _, inverse, counts = np.unique(target, return_inverse=True, return_counts=True)
    repeated = (counts > 1)[inverse]  # one row has no variance of its own
    if len(counts) > len(values) / 4 or not repeated.any():
        return 0.0
    means = np.bincount(inverse, values) / counts
    within = ((values - means[inverse])[repeated] ** 2).sum()
    total = ((values[repeated] - values[repeated].mean()) ** 2).sum()
    return float(1 - within / total) if total else 0.0


#: Shares and strengths beyond which `inspect` reports a column.
MOSTLY_MISSING = 0.5
TARGET_COPY = 0.999  # of the rank correlation, or of the variance between a target's classes
OUTLIER_DISTANCE = 50.0  # robust standard deviations: far beyond any heavy tail met in practice
LEAST_ROWS = 20  # below, uniqueness and correlation say nothing


def inspect(x: Any, y: Any = None, names: Sequence[str] | None = None) -> list[Finding]:
    """Report columns that should not be inputs, each with its reason and figure.

    Looked for are columns mostly missing (share), constant, a copy or transform of the target (rank
    correlation, which any monotone transform keeps; or, for a target of few different values, the share
    of the variance between them, which any recoding keeps), identifier-like (whole numbers, all
    different, that step through the rows, fill a range in any order, or jump about without continuity),
    and gross outliers (distance from the median in robust standard deviations, 1.4826 times the median
    absolute deviation of the values that differ from it).

    Parameters
    ----------
    x : array_like, shape (rows, columns), or list of arrays
    y : array_like, shape (rows,), optional
        The target.
    names : sequence of str, optional
        Of the columns; a data frame has its own.

    Returns
    -------
    list of Finding

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.inputs import inspect
    >>> [str(f) for f in inspect(np.ones((30, 1)), names=["unit"])]
    ['unit: constant (1)']
    """
    table = _table(x)
    columns = table.shape[1]
    if names is None:
        names = _names(x) or [f"column {i}" for i in range(columns)]
    if len(names) != columns:
        raise ValueError(f"names: expected {columns} names, got {len(names)}")
    target = None if y is None else _any_array(y, "y")
    if target is not None and target.shape != (len(table),):
        raise ValueError(f"y: expected shape ({len(table)},), got {target.shape}")
    if target is not None and target.dtype.kind not in "iufb":
        target = np.unique(target, return_inverse=True)[1]
    findings = []
    for i, (name, column) in enumerate(zip(names, table.T, strict=True)):
        reason = _reason(column, target)
        if reason is not None:
            findings.append(Finding(i, name, *reason))
    return findings


def _reason(column: Array, target: Array | None) -> tuple[str, float] | None:
    """Why a column should not be an input, and the figure; None for an ordinary one."""
    known = ~np.isnan(column)
    share = 1 - known.mean() if len(column) else 1.0
    values = column[known]
    if share > MOSTLY_MISSING:
        return "mostly missing", float(share)
    if np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return "constant", float(values[0])
    if len(values) < LEAST_ROWS:
        return None
    if target is not None:
        known_target = np.asarray(target, np.float64)[known]
        strength = abs(_correlation(_ranks(values), _ranks(known_target)))
        strength = max(strength, _between_classes(values, known_target))
        if strength >= TARGET_COPY:
            return "a copy or transform of the target", strength
    if np.all(values == np.round(values)) and len(np.unique(values)) == len(values):
        steps = np.diff(values)
        span = np.ptp(values) / len(values)
        if np.all(steps == steps[0]) or span < 2 or span > 100:
            return "identifier-like: whole numbers, every one different", 1.0
    middle = np.median(values)
    deviations = np.abs(values - middle)
    distance = float(deviations.max() / (1.4826 * np.median(deviations[deviations > 0])))
    if distance > OUTLIER_DISTANCE:
        return "gross outliers", distance
    return None
