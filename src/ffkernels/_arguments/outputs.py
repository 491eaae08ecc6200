"""Where results go: arrays that can be written without harm, and those of the common case, told fast."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import FLOATS, Array, any_array, is_half

# Bound on the exact overlap search, far above what layouts met in practice need.
_OVERLAP_WORK = 10_000


# ---- the common case -------------------------------------------------------------------------------
#
# Arrays of one float type, as they should be: told in a microsecond, where the rules below, which know
# everything else and would come to the same, take ten.


def are_plain(*arrays: Any) -> bool:
    """Arrays, no subclasses, of one shape and of one native and aligned type, float32 or float64."""
    first = arrays[0]
    if type(first) is not np.ndarray or first.dtype not in FLOATS or not first.flags.aligned:
        return False
    for array in arrays[1:]:
        if (
            type(array) is not np.ndarray
            or array.dtype != first.dtype
            or array.shape != first.shape
            or not array.flags.aligned
        ):
            return False
    return True


def is_plain_output(out: Any, shape: tuple[int, ...], dtype: Any, *inputs: Any) -> bool:
    """An array to write to, each of the inputs being itself, apart from it or no array at all."""
    if type(out) is not np.ndarray or out.dtype != dtype or out.shape != shape:
        return False
    flags = out.flags
    if not (flags.carray or (flags.behaved and flags.f_contiguous)):
        return False  # `carray` is C-ordered, and `behaved`: aligned and writeable
    own = flags.owndata  # two that own their memory lie apart, which takes a third of the time to tell
    for array in inputs:
        if array is out or array is None or type(array) is float:
            continue
        if type(array) is not np.ndarray:
            return False
        if not (own and array.flags.owndata) and np.may_share_memory(array, out):
            return False
    return True


def plain_output(out: Any, like: Array, *others: Array) -> Array | None:
    """An array of the shape and type of a plain one, `out` if given; None where that needs a look."""
    if out is None:
        return np.empty_like(like)
    return out if is_plain_output(out, like.shape, like.dtype, like, *others) else None


def _overlaps_itself(array: Array) -> bool:
    if array.flags.forc or not array.size:
        return False
    steps = [(abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1]
    reach = array.itemsize
    for step, size in sorted(steps):
        if step < reach:
            return True
        reach += step * (size - 1)
    return False


def _identical(a: Array, b: Array) -> bool:
    return a is b or (
        a.ctypes.data == b.ctypes.data
        and a.shape == b.shape
        and all(n == 1 or s == t for n, s, t in zip(a.shape, a.strides, b.strides, strict=True))
        and a.dtype == b.dtype
    )


def _share_memory(a: Array, b: Array) -> bool:
    if not np.may_share_memory(a, b):
        return False
    try:
        return bool(np.shares_memory(a, b, max_work=_OVERLAP_WORK))  # type: ignore[call-overload,arg-type]
    except (np.exceptions.TooHardError, OverflowError):
        return True


def check_out(
    out: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: dict[str, Any],
    name: str = "out",
    in_place: bool = True,
) -> Array:
    """Refuses an output that cannot be written without harm; returns it."""
    if not isinstance(out, np.ndarray) or isinstance(out, (np.ma.MaskedArray, np.matrix)):
        raise TypeError(f"{name}: expected a NumPy array or None, got {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"{name}: expected dtype {dtype}, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")
    if _overlaps_itself(out):
        raise ValueError(f"{name}: expected distinct elements, got an array that overlaps itself")
    for input_name, value in inputs.items():
        if value is None:
            continue
        array = any_array(value, input_name)  # a tensor or a buffer may lie in the memory of `out`
        if _share_memory(out, array) and not (in_place and _identical(out, array)):
            raise ValueError(
                f"{name}: expected memory apart from {input_name}"
                f"{', or exactly the same array' if in_place else ''}, got one that overlaps it"
            )
    return out


def make_output(
    out: Any,
    like: Array,
    work: np.dtype[Any],
    dtype: np.dtype[Any],
    inputs: dict[str, Any],
    name: str = "out",
    halves: bool = False,
) -> tuple[Array, Array]:
    """An array to compute into and the result; the same one but for byte-swapped and unaligned outputs
    and without `halves` those of half precision, which `deliver` fills from the first."""
    if out is None:
        result = np.empty_like(like, dtype=dtype, subok=False)
    else:
        result = check_out(out, like.shape, dtype, inputs, name)
    written = result.dtype == work or (halves and is_half(result.dtype))
    if written and result.dtype.isnative and result.flags.aligned:
        return np.asarray(result), result  # of a subclass its array
    return np.empty(like.shape, work), result


def deliver(work: Array, result: Array, out: Any) -> Any:
    """Casts what was computed into the result, where they are not the same array.  Returns what
    NumPy would: a scalar for no dimensions, unless it went to an `out`."""
    if result is work and result.ndim:
        return result
    if result is not work:
        with np.errstate(over="ignore"):  # beyond half precision's range is infinity
            result[...] = work.reshape(result.shape)
    return result if out is not None or result.ndim else result[()]
