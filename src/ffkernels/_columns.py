"""Columns of tables, of whatever library and type, as real numbers."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._arguments import Array, any_array

#: A range of so many units in the last place is rounding, not variation; at most the second, by which
#: half precision, whose last place is a tenth of a percent, varies where it varies at all.
_ROUNDING, _MOST_ROUNDING = 8, 1e-6


class Numbers(NamedTuple):
    """Real numbers as floats: columns of a table, or one column."""

    values: Array  # float32 or float64, NaN where missing; the caller's own memory where it can be
    low: Array | None  # what float64 cannot hold of them: the numbers are values + low
    rounding: Array  # of each column: the share of its largest value that is rounding

    def columns(self) -> Iterator[tuple[Array, Array, float]]:
        """Yield values, low and rounding of one after the other, in float64."""
        for k in range(self.values.shape[1]):
            values = self.values[:, k].astype(np.float64)
            low = np.zeros(len(values)) if self.low is None else self.low[:, k]
            yield values, low, float(self.rounding[k])


class RawColumn(NamedTuple):
    """A column of any type; what is missing of whole numbers stands beside them."""

    values: Array
    gaps: Array | None = None


def is_missing(item: Any) -> bool:
    if isinstance(item, (float, np.generic)) or type(item).__name__ == "Decimal":
        return bool(item != item)
    return item is None or type(item).__name__ in ("NAType", "NaTType")


def numbers_of(column: RawColumn, name: str) -> Numbers:
    """Values of any type as floats."""
    array, gaps = column
    kind, low = array.dtype.kind, None
    if kind == "O":
        items = [None if is_missing(item) else item for item in array.ravel()]
        if all(isinstance(item, (datetime.date, type(None))) for item in items) and any(items):
            return numbers_of(RawColumn(np.array(items, "M8[us]").reshape(array.shape)), name)
        filled = np.array([np.nan if item is None else item for item in items], object)
        array = filled.reshape(array.shape)
    try:
        if kind == "c":
            raise TypeError(f"dtype {array.dtype}, complex numbers")
        if kind in "Mm":
            whole = array.astype(f"{kind}8[s]")
            low = np.nan_to_num((array - whole) / np.timedelta64(1, "s"))
            values, gaps = whole.astype(np.int64).astype(np.float64), np.isnat(array)
        elif kind in "iu" and array.dtype.itemsize == 8:
            half = array.dtype.type(32)
            upper = (array >> half << half).astype(np.float64)
            lower = (array & array.dtype.type(0xFFFFFFFF)).astype(np.float64)
            values = upper + lower
            low = lower - (values - upper)
        elif array.dtype in (np.float32, np.float64):
            values = array
        else:
            with np.errstate(over="ignore"):  # beyond float64's range is infinity, which is refused
                # By way of Python's own strings, whose messages are plainer.
                values = (array.astype(object) if kind in "SU" else array).astype(np.float64)
    except OverflowError as error:  # of Python's integers
        raise ValueError(f"{name}: expected finite numbers or NaN, got {error}") from None
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected real numbers, got {error}") from None
    if gaps is not None and gaps.any():
        values = np.where(gaps, np.nan, values)
        low = None if low is None else np.where(gaps, 0.0, low)
    if low is not None and not low.any():
        low = None
    return Numbers(values, low, np.array(_rounding(array.dtype)))


def _rounding(dtype: np.dtype[Any]) -> float:
    """The share of a column's largest value that is rounding, where it came in this type."""
    if dtype.kind in "iubMm":
        return 0.0
    precision = np.finfo(dtype if dtype.kind == "f" else np.float64).eps
    return min(_ROUNDING * float(precision), _MOST_ROUNDING)


def by_name(x: Any) -> tuple[list[str], list[Any]] | None:
    """The names and columns of a table that has names; None for what has none."""
    if isinstance(x, np.ndarray):
        if x.dtype.names is None:
            return None
        columns = [(name, x[name]) for name in x.dtype.names]
    elif isinstance(x, Mapping):
        columns = list(x.items())
    elif hasattr(x, "column_names") and hasattr(x, "column"):  # Arrow
        columns = [(name, x.column(k)) for k, name in enumerate(x.column_names)]
    elif hasattr(x, "columns") and hasattr(x, "iloc"):  # pandas
        columns = [(name, x.iloc[:, k]) for k, name in enumerate(x.columns)]
    elif hasattr(x, "columns") and hasattr(x, "get_columns"):  # polars
        columns = list(zip(x.columns, x.get_columns(), strict=True))
    else:
        return None
    return [str(name) for name, _ in columns], [column for _, column in columns]


def column_of(column: Any, name: str) -> RawColumn:
    """One column of a table, of whatever library."""
    gaps = None
    if hasattr(column, "to_numpy") and hasattr(column, "isna"):  # pandas
        kind = getattr(column.dtype, "kind", "O")
        gaps = column.isna().to_numpy()
        if kind in "Mm":  # of a time zone: its moments
            arrow = getattr(column.dtype, "pyarrow_dtype", None)
            if arrow is not None and not hasattr(arrow, "unit"):  # days
                return RawColumn(column.to_numpy(object))
            unit = column.dt.unit if arrow is None else arrow.unit
            return RawColumn(np.asarray(column.to_numpy(f"{kind}8[{unit}]")))
        if kind in "iub" and gaps.any():
            whole = {"i": np.int64, "u": np.uint64, "b": np.float64}[kind]
            return RawColumn(column.fillna(False if kind == "b" else 0).to_numpy(whole), gaps)
        array = column.to_numpy(np.float64, na_value=np.nan) if kind == "f" else column.to_numpy()
    else:
        array = any_array(column, name)
        if array.dtype.kind == "f" and hasattr(column, "fill_null"):  # Arrow, polars
            array, gaps = np.asarray(column.fill_null(0)), np.asarray(column.is_null())
    array = np.atleast_1d(array)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got {array.ndim}")
    return RawColumn(array, gaps if array.dtype.kind in "iuf" else None)


def columns_of(x: Any, name: str) -> tuple[list[str], list[RawColumn]] | None:
    """The names and columns of a table, all of one length; None for what has no names."""
    named = by_name(x)
    if named is None:
        return None
    names, columns = named
    if not names:
        raise ValueError(f"{name}: expected at least one column, got none")
    read = [column_of(column, place_of(name, n)) for n, column in zip(names, columns, strict=True)]
    for n, column in zip(names, read, strict=True):
        if len(column.values) != len(read[0].values):
            raise ValueError(
                f"{place_of(name, n)}: expected {len(read[0].values)} rows like column "
                f"{names[0]!r}, got {len(column.values)}"
            )
    return names, read


def place_of(name: str, column: str) -> str:
    return f"{name}, column {column!r}"


def joined(parts: Sequence[Numbers]) -> Numbers:
    """Tables side by side; columns of one dimension are tables of one column."""
    matrices = [
        Numbers(
            values := part.values[:, None] if part.values.ndim == 1 else part.values,
            None if part.low is None else part.low.reshape(values.shape),
            np.broadcast_to(part.rounding, values.shape[1]),
        )
        for part in parts
    ]
    if len(matrices) == 1:
        return matrices[0]
    low = None
    if any(part.low is not None for part in matrices):
        lows = [np.zeros(part.values.shape) if part.low is None else part.low for part in matrices]
        low = np.concatenate(lows, axis=1)
    return Numbers(
        np.concatenate([part.values for part in matrices], axis=1),
        low,
        np.concatenate([part.rounding for part in matrices]),
    )


def table_of(x: Any, name: str = "x") -> tuple[Numbers, list[str] | None]:
    """Rows and columns with the columns' names, from a table or from several side by side."""
    if isinstance(x, (list, tuple)) and x and all(_is_table(part) for part in x):
        parts = [table_of(part, f"{name}[{i}]")[0] for i, part in enumerate(x)]
        for i, part in enumerate(parts):
            if len(part.values) != len(parts[0].values):
                raise ValueError(
                    f"{name}[{i}]: expected {len(parts[0].values)} rows like {name}[0], "
                    f"got {len(part.values)}"
                )
        return joined(parts), None
    named = columns_of(x, name)
    if named is None:
        of_pandas = hasattr(x, "to_numpy") and hasattr(x, "isna")
        table = numbers_of(column_of(x, name) if of_pandas else RawColumn(any_array(x, name)), name)
        if table.values.ndim not in (1, 2):
            raise ValueError(f"{name}: expected one or two dimensions, got {table.values.ndim}")
        table, names = joined([table]), None
    else:
        names, columns = named
        read = zip(names, columns, strict=True)
        table = joined([numbers_of(column, place_of(name, n)) for n, column in read])
    if not table.values.shape[1]:
        raise ValueError(f"{name}: expected at least one column, got none")
    refuse_infinite(table.values, name, names)
    return table, names


def refuse_infinite(values: Array, name: str, names: Sequence[str] | None) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise ValueError(
            f"{name}: expected finite numbers or NaN, got {values[row, column]} "
            f"in row {row}, column {column if names is None else repr(names[column])}"
        )


def _is_table(part: Any) -> bool:
    if getattr(part, "ndim", 0):
        return True
    return not isinstance(part, Mapping) and by_name(part) is not None
