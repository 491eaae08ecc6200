"""Arrays and numbers as callers have them: converted where NumPy users expect it."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

Array = np.ndarray[Any, np.dtype[Any]]

# Devices, by DLPack's numbers, whose memory the processor reads: its own, and what CUDA and ROCm pin
# there or manage for both.
_HOST_DEVICES = (1, 3, 11, 13)

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
INDEX = np.dtype(np.intp)


def is_half(dtype: np.dtype[Any]) -> bool:
    return dtype == np.float16 or dtype.name == "bfloat16"


def is_real(dtype: np.dtype[Any]) -> bool:
    return dtype in (np.float32, np.float64) or is_half(dtype)


def check_dtype(value: Any) -> np.dtype[Any]:
    """What NumPy takes the `dtype` of a caller for."""
    try:
        return np.dtype(value)
    except (SyntaxError, TypeError, ValueError):  # the first by some strings with brackets
        raise ValueError(f"dtype: expected a dtype, got {value!r}") from None


def work_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type to compute in: half precision is computed and summed in float32."""
    return dtype if dtype in FLOATS or not is_half(dtype) else np.dtype(np.float32)


def to_work(array: Array, work: np.dtype[Any], halves: bool) -> Array:
    """The array in the type to compute in; with `halves` half precision stays where that is float32, for
    one who converts it piece by piece."""
    return array if halves and work == np.float32 and is_half(array.dtype) else as_dtype(array, work)


def _is_on_host(value: Any) -> bool:
    """Whether a tensor of another library is where NumPy can read it."""
    try:
        kind = value.__dlpack_device__()[0]
    except Exception:  # no device DLPack knows, or several: whether there is a way, np.asarray says
        return True
    return kind in _HOST_DEVICES


def _exports_only_dlpack(value: Any) -> bool:
    if not hasattr(value, "__dlpack__") or hasattr(value, "__array__"):
        return False
    try:
        memoryview(value)
    except TypeError:
        return True
    return False


def _ragged(rows: Any) -> str:
    """What makes nested lists ragged, in words; nothing where they are not."""
    nested = [isinstance(row, (list, tuple)) or bool(getattr(row, "ndim", 0)) for row in rows]
    if not any(nested):
        return ""
    what = [
        f"has length {len(row)}" if deep else f"is {row!r}"
        for row, deep in zip(rows, nested, strict=True)
    ]
    for k, kind in enumerate(what):
        if kind != what[0]:
            return f"row 0 {what[0]}, row {k} {kind}"
    return next(filter(None, map(_ragged, rows)), "")


def any_array(value: Any, name: str) -> Array:
    """What the caller passed as an array, in the caller's own memory where its layout allows."""
    if isinstance(value, np.ndarray):
        if isinstance(value, (np.ma.MaskedArray, np.matrix)):
            raise TypeError(f"{name}: expected a plain array, got {type(value).__name__}")
        return np.asarray(value)
    if hasattr(value, "__dlpack_device__"):
        if not _is_on_host(value):
            where = getattr(value, "device", value.__dlpack_device__())
            raise TypeError(f"{name}: expected an array in main memory, got one on {where}")
        if getattr(value, "requires_grad", False):
            raise TypeError(
                f"{name}: expected an array without a gradient to follow, got a {type(value).__name__} "
                "with requires_grad=True; ffkernels.adapters.torch has functions that autograd "
                f"follows, {name}.detach() is the values alone"
            )
    try:
        return np.from_dlpack(value) if _exports_only_dlpack(value) else np.asarray(value)
    except ValueError as error:
        uneven = _ragged(value) if isinstance(value, (list, tuple)) else ""
        if uneven:
            raise ValueError(
                f"{name}: expected rows of one length, got a ragged {type(value).__name__}: {uneven}"
            ) from None
        raise ValueError(f"{name}: expected an array, got {error}") from None
    except (BufferError, RuntimeError, TypeError) as error:  # by which libraries refuse
        raise TypeError(
            f"{name}: expected an array that NumPy can read, got {type(value).__name__}: {error}"
        ) from error


def dtype_of(array: Array) -> str:
    """The dtype as messages name it: objects with their types, NAType for pandas' missing values."""
    if array.dtype != object:
        return str(array.dtype)
    return f"object ({', '.join(sorted({type(item).__name__ for item in array.flat}))})"


def as_dtype(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in one native, aligned type, itself where it already is."""
    return array if array.dtype == dtype and array.flags.aligned else np.require(array, dtype, "A")


def real_array(value: Any, name: str) -> Array:
    """An array of float16, bfloat16, float32 or float64; integers and bools become float64."""
    array = any_array(value, name)
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    dtype = array.dtype.newbyteorder("=")
    if not is_real(dtype):
        raise TypeError(
            f"{name}: expected real numbers (float16, bfloat16, float32, float64, integers or "
            f"bools), got dtype {dtype_of(array)}"
        )
    return as_dtype(array, dtype)


def real_number(value: Any, name: str) -> float:
    """One real, finite or not, number."""
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            bits = value.bit_length()
            raise ValueError(
                f"{name}: expected a number in float64's range, got an integer of {bits} bits"
            ) from None
    try:
        array = real_array(value, name)
    except ValueError:
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}") from None
    if array.ndim:
        raise TypeError(f"{name}: expected a number, got an array of shape {array.shape}")
    return float(array)


def finite_number(value: Any, name: str) -> float:
    """A number that is neither infinite nor NaN."""
    if type(value) is float and math.isfinite(value):
        return value
    number = real_number(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {number:g}")
    return number


def is_by_tanh(approximate: Any) -> bool:
    """Whether gelu is wanted in its approximation."""
    if isinstance(approximate, str) and approximate in ("none", "tanh"):
        return approximate == "tanh"
    raise ValueError(f'approximate: expected "none" or "tanh", got {approximate!r}')


def at_least(value: Any, name: str, least: float, below: float = math.inf) -> float:
    """A number in [least, below)."""
    if type(value) is float and least <= value < below:
        return value
    number = real_number(value, name)
    if not least <= number < below:
        limit = f" and below {below:g}" if below < math.inf else ""
        raise ValueError(f"{name}: expected at least {least:g}{limit}, got {number:g}")
    return number


def normalise_axis(axis: Any, ndim: int) -> int:
    """The axis from 0 up; AxisError where there is none such."""
    if type(axis) is int and -ndim <= axis < ndim:
        return axis if axis >= 0 else axis + ndim
    try:
        axis = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis: expected an integer, got {type(axis).__name__}") from None
    if not -ndim <= axis < ndim:
        raise AxisError(axis, ndim)
    return axis if axis >= 0 else axis + ndim


def without_axis(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The shape of what is left when an axis is summed away."""
    if axis == len(shape) - 1:
        return shape[:axis]
    return shape[:axis] + shape[axis + 1 :]
