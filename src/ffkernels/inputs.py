"""The input layer: from columns as they come to inputs that a net learns from.

`InputLayer` fills or drops what is missing, joins arrays column by column and scales the columns, all
fitted on training data alone.  `inspect` reports columns that should not be inputs.

Both take arrays of rows and columns, several of them side by side in a list, and tables of named
columns: data frames of pandas and polars, tables of Arrow, structured arrays, dictionaries.  NaN, None,
NaT and pandas' NA are missing.  Dates count in seconds since 1970, spans of time in seconds.  Whole
numbers of 64 bits keep all their digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ._arguments import Array, any_array, check_dtype, check_sample_weight, is_real, real_number
from ._columns import (
    column_of,
    columns_of,
    is_missing,
    joined,
    numbers_of,
    place_of,
    refuse_infinite,
    table_of,
)

__all__ = ["Finding", "InputLayer", "inspect"]


def __dir__() -> list[str]:
    return __all__


MISSING = ("zero", "mean", "median", "drop")
SCALES = ("standard", "minmax", None)

#: Numbers that are transformed at a time.
_BLOCK = 2**14


def _difference(a: Array, a_low: Array, b: Array, b_low: Array) -> Array:
    """(a + a_low) - (b + b_low), exact to the last digits of the result where a and b are close."""
    return (a - b) + (a_low - b_low)


def _mean(values: Array, low: Array, weights: Array | None) -> tuple[Array, Array]:
    """The mean as two numbers, the second what float64 cannot hold of their sum.

    Of the differences from the first value, so that what all values share cannot cost digits.
    """
    distances = _difference(values, low, values[0], low[0])
    step = np.average(distances, weights=weights)
    step += np.average(distances - step, weights=weights) + low[0]
    mean = values[0] + step
    rest = mean - values[0]
    return mean, (values[0] - (mean - rest)) + (step - rest)


def _median(values: Array, weights: Array | None) -> Any:
    """The value with half of the weight below it and half above, or the middle of two."""
    if weights is None:
        return np.median(values)
    order = values.argsort()
    share = weights[order].cumsum()
    share /= share[-1]
    return values[order[share.searchsorted([0.5 - 1e-12, 0.5 + 1e-12])]].mean()  # sums are rounded


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
        Mean 0 and standard deviation 1, or [0, 1], on the training data.  Columns that are constant
        there, but for rounding, become 0 whatever comes later.
    dtype : dtype
        Of the result.

    Attributes
    ----------
    columns_ : ndarray of int
        The columns kept.
    fill_, offset_, remainder_, scale_ : ndarray
        Of each kept column: ``(x - offset_ - remainder_) / scale_`` once NaN is replaced by ``fill_``.
        ``remainder_`` is what float64 cannot hold of the offset, ``scale_`` infinite for a constant
        column.
    n_features_in_ : int
    feature_names_in_ : list of str or None
        The names of a table's columns; another table must have the same in the same order.

    Raises
    ------
    TypeError
        If columns hold what is no real number: text, complex numbers.
    ValueError
        For infinite numbers, a table of other columns than the first, and options there are not.

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

    def __repr__(self) -> str:
        return (
            f"InputLayer(missing={self.missing!r}, max_missing={self.max_missing}, "
            f"scale={self.scale!r}, dtype={np.dtype(self.dtype).name})"
        )

    def fit(self, x: Any, y: Any = None, sample_weight: Any = None) -> InputLayer:
        """Learn columns, fillings and scales from training data.

        Parameters
        ----------
        x : array_like, shape (rows, columns), list of arrays, or table of named columns
        y : any
            Ignored.
        sample_weight : array_like, shape (rows,), optional
            Weight of each row; finite, at least 0. A row of weight 0 is as one that is left out, one of
            weight 2 as two.
        """
        self._check()
        table, self.feature_names_in_ = table_of(x)
        if not len(table.values):
            raise ValueError("x: expected at least one row, got none")
        weights = None
        if sample_weight is not None:
            weights = check_sample_weight(sample_weight, table.values.shape[:1])
            if not weights.any():
                raise ValueError("sample_weight: expected at least one above zero, got only zeros")
        self.n_features_in_ = table.values.shape[1]
        gone = np.isnan(table.values)
        self.columns_ = np.flatnonzero(np.average(gone, 0, weights) <= self.max_missing)
        kept = ~gone[:, self.columns_].any(axis=1) | (self.missing != "drop")
        if weights is not None:
            kept &= weights > 0
            weights = weights[kept]
        count = len(self.columns_)
        self.fill_, self.offset_, self.remainder_ = np.zeros(count), np.zeros(count), np.zeros(count)
        self.scale_ = np.ones(count)
        chosen = {int(k): i for i, k in enumerate(self.columns_)}
        for k, (values, low, rounding) in enumerate(table.columns()):
            if k in chosen:
                self._fit_column(chosen[k], values[kept], low[kept], rounding, weights)
        return self

    def _check(self) -> None:
        """Refuse options that there are not."""
        if self.missing not in MISSING:
            raise ValueError(f"missing: expected one of {MISSING}, got {self.missing!r}")
        if self.scale not in SCALES:
            raise ValueError(f"scale: expected one of {SCALES}, got {self.scale!r}")
        if not 0 <= real_number(self.max_missing, "max_missing") <= 1:
            raise ValueError(f"max_missing: expected 0 to 1, got {self.max_missing}")
        dtype = check_dtype(self.dtype)
        if not is_real(dtype):
            raise ValueError(f"dtype: expected float16, bfloat16, float32 or float64, got {dtype}")

    def _fit_column(
        self, i: int, values: Array, low: Array, rounding: float, weights: Array | None
    ) -> None:
        """Learn from the values of the i-th column kept."""
        gone = np.isnan(values)
        # Powers of two lead to numbers around 1, whose sums and squares neither over- nor underflow.
        power = int(np.frexp(np.abs(values[~gone]).max(initial=0))[1])
        values, low = np.ldexp(values, -power), np.ldexp(low, -power)
        filling: Any = 0.0
        if not gone.all():
            theirs = None if weights is None else weights[~gone]
            if self.missing == "mean":
                filling, _ = _mean(values[~gone], low[~gone], theirs)
            elif self.missing == "median":
                filling = _median(values[~gone], theirs)
        values[gone], self.fill_[i] = filling, np.ldexp(filling, power)
        if self.scale is None or not len(values):
            return
        distances = _difference(values, low, values[0], low[0])
        least, most = distances.argmin(), distances.argmax()
        spread = _difference(values[most], low[most], values[least], low[least])
        with np.errstate(over="ignore"):
            if not np.isfinite(np.ldexp(spread, power)):
                raise ValueError(
                    f"x: expected a spread within the range of float64, got beyond it in column "
                    f"{self.columns_[i]}"
                )
        constant = spread <= rounding * np.abs(values).max()
        if self.scale == "standard":
            middle, rest = _mean(values, low, weights)
            deviations = _difference(values, low, middle, rest)
            spread = np.sqrt(np.average(deviations**2, weights=weights))
        else:
            middle, rest = values[least], low[least]
        self.offset_[i] = np.ldexp(middle, power)
        smallest = np.finfo(np.float64).smallest_subnormal
        self.scale_[i] = np.inf if constant else np.maximum(np.ldexp(spread, power), smallest)
        if abs(rest) > np.finfo(np.float64).eps * spread:  # else no digit of the result depends on it
            self.remainder_[i] = np.ldexp(rest, power)

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
        (table, low, _), names = table_of(x)
        if table.shape[1] != self.n_features_in_:
            raise ValueError(f"x: expected {self.n_features_in_} columns, got {table.shape[1]}")
        if None not in (names, self.feature_names_in_) and names != self.feature_names_in_:
            raise ValueError(f"x: expected columns {self.feature_names_in_}, got {names}")
        targets = None if y is None else any_array(y, "y")
        if targets is not None and targets.shape[:1] != (len(table),):
            came = len(targets) if targets.ndim else "a number"
            raise ValueError(f"y: expected {len(table)} rows like x, got {came}")
        if self.missing == "drop":
            kept = ~np.isnan(table[:, self.columns_]).any(axis=1)
            table, low = table[kept], None if low is None else low[kept]
            targets = None if targets is None else targets[kept]
        result = np.empty((len(table), len(self.columns_)), self.dtype)
        # Few enough rows at a time that they stay in the cache from the first step to the last.
        rows, remainders = max(1, _BLOCK // max(1, self.n_features_in_)), self.remainder_.any()
        for start in range(0, len(table), rows):
            part = slice(start, start + rows)
            block = table[part].take(self.columns_, axis=1).astype(np.float64)
            np.copyto(block, self.fill_, where=np.isnan(block))
            block -= self.offset_
            if low is not None:
                block += low[part].take(self.columns_, axis=1) - self.remainder_
            elif remainders:
                block -= self.remainder_
            block /= self.scale_
            result[part] = block
        return result if y is None else (result, targets)

    def state(self) -> dict[str, Any]:
        """What the layer was told and has learnt, in plain numbers, strings and lists."""
        return {
            "missing": self.missing,
            "max_missing": self.max_missing,
            "scale": self.scale,
            "dtype": np.dtype(self.dtype).name,
            "n_features_in": self.n_features_in_,
            "feature_names_in": self.feature_names_in_,
            "columns": self.columns_.tolist(),
            "fill": self.fill_.tolist(),
            "offset": self.offset_.tolist(),
            "remainder": self.remainder_.tolist(),
            "divisor": [None if np.isinf(scale) else scale for scale in self.scale_.tolist()],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> InputLayer:
        """The fitted layer that `state` described."""
        layer = cls(state["missing"], state["max_missing"], state["scale"], state["dtype"])
        layer._check()
        layer.n_features_in_ = state["n_features_in"]
        layer.feature_names_in_ = state["feature_names_in"]
        layer.columns_ = np.array(state["columns"], np.intp)
        layer.fill_ = np.array(state["fill"], np.float64)
        layer.offset_ = np.array(state["offset"], np.float64)
        layer.remainder_ = np.array(state["remainder"], np.float64)
        layer.scale_ = np.array([np.inf if d is None else d for d in state["divisor"]], np.float64)
        learnt = (layer.columns_, layer.fill_, layer.offset_, layer.remainder_, layer.scale_)
        if any(array.shape != (len(layer.columns_),) for array in learnt):
            raise ValueError(f"state: expected numbers for each of {len(layer.columns_)} columns")
        if not set(state["columns"]) <= set(range(layer.n_features_in_)):
            raise ValueError(f"state: expected columns below {layer.n_features_in_}")
        return layer

    def fit_transform(self, x: Any, y: Any = None) -> Any:
        """`fit`, then `transform` of the same data."""
        return self.fit(x).transform(x, y)


@dataclass(frozen=True)
class Finding:
    """A column that should not be an input: which, why, the figure that says so and its meaning."""

    column: int
    name: str
    reason: str
    figure: float
    meaning: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason} ({self.meaning})"


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

# What names tell where the numbers alone would not.
_IDENTIFIER = r"(?:^|[^a-zA-Z])(?i:id|ids|uuid|guid|key|index|serial|nr)(?:[^a-zA-Z]|$)|[a-z](?:Id|ID)$"
_POSTAL = r"(?:^|[^a-z])(?:zip|plz|zip.?code|postal.?code|postcode|postal)(?:[^a-z]|$)"


def inspect(x: Any, y: Any = None, names: Sequence[str] | None = None) -> list[Finding]:
    """Report columns that should not be inputs, each with its reason and figure.

    Looked for are, each with its figure:

    - columns mostly missing: the share of the rows;
    - constant ones, but for rounding: the value;
    - a copy or transform of the target: the rank correlation, which any monotone transform keeps; or,
      for a target of few different values, the share of the variance between them, which any recoding
      keeps;
    - identifier-like ones, how many different values: text of which none comes twice; whole numbers of
      which none comes twice, and that step through the rows, fill a range in any order, repeat more
      seldom than chance would have it, spread evenly over a wide range or over rows in their order, or
      are called an id;
    - nominal codes, how many different values: whole numbers that come again and again, along which the
      target jumps about in no order, or that are called a postal code;
    - gross outliers: the distance from the median in robust standard deviations, 1.4826 times the median
      absolute deviation of the values that differ from it.

    Parameters
    ----------
    x : array_like, shape (rows, columns), list of arrays, or table of named columns
        Columns of a table with names may hold text.
    y : array_like, shape (rows,), optional
        The target. Rows without one do not count where columns are compared with it.
    names : sequence of str, optional
        Of the columns; a table has its own.

    Returns
    -------
    list of Finding

    Raises
    ------
    TypeError, ValueError
        As `InputLayer` does, and for names or targets of another number.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.inputs import inspect
    >>> [str(f) for f in inspect(np.ones((30, 1)), names=["unit"])]
    ['unit: constant (every value is 1)']
    >>> [str(f) for f in inspect({"sample": np.arange(30)})]
    ['sample: identifier-like (30 different values in 30 rows)']
    """
    columns, own = _inspected(x)
    names = own or [f"column {i}" for i in range(len(columns))] if names is None else names
    try:
        names = list(names)
    except TypeError:
        raise TypeError(f"names: expected a list of names, got {type(names).__name__}") from None
    if len(names) != len(columns):
        raise ValueError(f"names: expected {len(columns)} names, got {len(names)}")
    target = None if y is None else _target(y, len(columns[0].values) if columns else 0)
    findings = []
    for i, (name, column) in enumerate(zip(names, columns, strict=True)):
        found = _reason(column, target, name)
        if found is not None:
            findings.append(Finding(i, name, *found))
    return findings


class _Inspected(NamedTuple):
    """A column to be judged: numbers, or the places of texts in the alphabet."""

    values: Array  # float64, NaN where missing
    rounding: float
    texts: list[str] | None = None


def _inspected(x: Any) -> tuple[list[_Inspected], list[str] | None]:
    named = columns_of(x, "x")
    if named is None:
        table, names = table_of(x)
        return [_shifted(*column) for column in table.columns()], names
    columns = []
    for name, column in zip(*named, strict=True):
        try:
            numbers = joined([numbers_of(column, place_of("x", name))])
        except TypeError:
            if any(isinstance(item, complex) for item in column.values.tolist()):
                raise
            texts, codes = _codes(column.values)
            columns.append(_Inspected(codes, 0.0, texts))
        else:
            refuse_infinite(numbers.values, "x", [name])
            columns += [_shifted(*column) for column in numbers.columns()]
    return columns, named[0]


def _shifted(values: Array, low: Array, rounding: float) -> _Inspected:
    """Numbers with all their digits: from the first of them where float64 could not tell them apart."""
    if low.any():
        first = np.flatnonzero(~np.isnan(values))[0]
        values = _difference(values, low, values[first], low[first])
    return _Inspected(values, rounding)


def _codes(values: Array) -> tuple[list[str], Array]:
    """Texts in their order, and the place of each value among them; NaN if missing."""
    items = [None if is_missing(item) else str(item) for item in values.tolist()]
    texts = sorted({item for item in items if item is not None})
    places = {text: float(k) for k, text in enumerate(texts)}
    return texts, np.array([np.nan if item is None else places[item] for item in items])


def _target(y: Any, rows: int) -> Array:
    """The target as float64, NaN where it is missing; text as its place in the alphabet."""
    column = column_of(y, "y")
    if len(column.values) != rows:
        raise ValueError(f"y: expected shape ({rows},), got ({len(column.values)},)")
    try:
        return numbers_of(column, "y").values.astype(np.float64)
    except TypeError:
        return _codes(column.values)[1]


def _reason(column: _Inspected, target: Array | None, name: str) -> tuple[str, float, str] | None:
    """Why a column should not be an input, the figure and its meaning; None for an ordinary one."""
    known = ~np.isnan(column.values)
    values, rows = column.values[known], len(column.values)
    share = 1 - known.mean() if rows else 1.0
    if share > MOSTLY_MISSING:
        return "mostly missing", float(share), f"{share:.0%} of the rows"
    if np.ptp(values) <= column.rounding * np.abs(values).max():
        value = float(values[0])
        shown = f"{value:.6g}" if column.texts is None else repr(column.texts[0])
        return "constant", value, f"every value is {shown}"
    if len(values) < LEAST_ROWS:
        return None
    different = len(np.unique(values))
    figure = f"{different} different values in {len(values)} rows"
    if target is not None:
        both = known & ~np.isnan(target)
        strength, kind = _copies(column.values[both], target[both])
        if strength >= TARGET_COPY:
            return "a copy or transform of the target", strength, f"{kind} {strength:.4g}"
    if column.texts is not None:
        return ("identifier-like", different, figure) if different == len(values) else None
    whole = bool(np.all(values == np.round(values)))
    if whole and different == len(values) and _identifies(values, name):
        return "identifier-like", different, figure
    if whole and different < len(values) and different > 1:
        if re.search(_POSTAL, name.lower()):
            return "nominal codes", different, f"{figure}, by their name"
        if target is not None and _jumps(column.values[both], target[both]):
            return "nominal codes", different, f"{figure}, the target in no order along them"
    middle = np.median(values)
    deviations = np.abs(values - middle)
    distance = float(deviations.max() / (1.4826 * np.median(deviations[deviations > 0])))
    if distance > OUTLIER_DISTANCE:
        return "gross outliers", distance, f"{distance:.3g} robust standard deviations from the median"
    return None


def _copies(values: Array, target: Array) -> tuple[float, str]:
    """How much of a target a column gives away, and by what measure."""
    if len(values) < LEAST_ROWS:
        return 0.0, ""
    by_rank = abs(_correlation(_ranks(values), _ranks(target)))
    by_class = _between_classes(values, target)
    return max((by_rank, "rank correlation"), (by_class, "share of the variance between its classes"))


def _identifies(values: Array, name: str) -> bool:
    """Whether whole numbers, all different, are such as are given and not such as are measured."""
    count, steps = len(values), np.diff(values)
    span = np.ptp(values) / count
    if np.all(steps == steps[0]) or span < 2 or re.search(_IDENTIFIER, name):
        return True
    # So many drawn at random would have at least so many pairs of equal ones.
    if count / (2 * span) > 10:
        return True
    # Even over the range: as close to a straight line as random draws from it are (Kolmogorov).
    places = (np.sort(values) - values.min()) / np.ptp(values)
    even = np.abs(places - np.arange(count) / (count - 1)).max() * np.sqrt(count) < 1.7
    even = even and places.std() > 0.26  # 0.29 if even; 0.22 of 60 normal ones, which pass the first
    ordered = bool(np.all(steps > 0) or np.all(steps < 0))
    return bool(even and (ordered or span > 100))


#: Of nominal codes: how many at least, rows of each, how much more the target's means differ than by
#: chance, and how far neighbours differ, of which independent ones have 2 and a parabola over 6 has 1.1.
_LEAST_CODES, _CODE_ROWS, _CODE_STRENGTH, _DISORDER = 6, 8, 5.0, 1.3
_MOST_CLASSES = 20


def _jumps(values: Array, target: Array) -> bool:
    """Whether a target depends on whole numbers, but not on their order.

    Its means of equal numbers differ by more than chance, and of neighbours as much as of any two: the
    von Neumann ratio of the means, less what noise adds to it.
    """
    codes, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(codes) < _LEAST_CODES or len(values) < _CODE_ROWS * len(codes):
        return False
    classes = np.unique(target)
    if len(classes) <= _MOST_CLASSES and np.all(classes == np.round(classes)):
        parts = (target[:, None] == classes).astype(np.float64)
    else:
        parts = target[:, None] / (target.std() or 1.0)
    means = np.stack([np.bincount(inverse, part) / counts for part in parts.T], axis=1)
    noise = ((parts - means[inverse]) ** 2).sum(axis=0) / (len(values) - len(codes))
    between = (counts[:, None] * (means - parts.mean(axis=0)) ** 2).sum() / (len(codes) - 1)
    if between < _CODE_STRENGTH * noise.sum():
        return False
    noisy = noise.sum() / counts
    around = ((means - means.mean(axis=0)) ** 2).sum() - noisy.sum()
    neighbours = (np.diff(means, axis=0) ** 2).sum() - (noisy[1:] + noisy[:-1]).sum()
    return bool(neighbours > _DISORDER * around > 0)
