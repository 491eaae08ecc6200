"""What layers and nets take: batches, gradients at an output, targets, as arrays to compute with.

Each is itself where it is such an array, else converted into memory that `allocate` hands out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arguments import FLOATS, INDEX, Array, any_array, real_array, work_dtype

Shape = tuple[int, ...]
Allocate = Callable[[Shape, np.dtype[Any]], Array]


def as_floats(value: npt.ArrayLike, name: str) -> Array:
    array = any_array(value, name)
    return array if array.dtype in FLOATS else real_array(array, name)


def as_numbers(value: npt.ArrayLike, name: str) -> Array:
    """Return a real array; integers stay integers, for `cast` to convert them in one step."""
    array = any_array(value, name)
    usual = array.dtype in FLOATS or array.dtype.kind in "iub"
    return array if usual else real_array(array, name)


def cast(array: Array, dtype: np.dtype[Any], allocate: Allocate) -> Array:
    if array.dtype == dtype:
        return array
    converted = allocate(array.shape, dtype)
    np.copyto(converted, array)
    return converted


def check_batch(x: npt.ArrayLike, features: int) -> Array:
    """Return x as an array, refused unless each of its rows holds so many numbers."""
    array = as_numbers(x, "x")
    if array.ndim < 2 or math.prod(array.shape[1:]) != features:
        raise ValueError(
            f"x: expected shape (N, {features}), or (N, ...) with {features} numbers a row, "
            f"got {array.shape}"
        )
    return array


def as_rows(batch: Array, features: int, dtype: np.dtype[Any], allocate: Allocate) -> Array:
    """Return a batch of any dimensions as a matrix of one dtype."""
    if batch.ndim == 2:
        return cast(batch, dtype, allocate)
    if not batch.flags.c_contiguous:  # reshape would copy it to a new array
        ordered = allocate(batch.shape, dtype)
        np.copyto(ordered, batch)
        batch = ordered
    return cast(batch.reshape(len(batch), features), dtype, allocate)


def as_upstream(dout: npt.ArrayLike, shape: Shape, dtype: np.dtype[Any], to: Allocate) -> Array:
    """Return the gradient at a layer's output; one number stands for an array full of it."""
    array = as_numbers(dout, "dout")
    if array.shape != shape:
        if array.ndim:
            raise ValueError(f"dout: expected shape {shape}, got {array.shape}")
        array = np.broadcast_to(array, shape)
    return cast(array, dtype, to)


def as_targets(
    t: npt.ArrayLike, out: Array, allocate: Allocate, of_values: bool = False
) -> npt.ArrayLike:
    """Return targets in the type the losses compute with, or as they came for them to refuse."""
    array = any_array(t, "t")
    if of_values and out.shape == (*array.shape, 1):  # one output, its values in a row
        array = array.reshape(out.shape)
    if array.shape == out.shape:
        numbers = as_numbers(array, "t")
        # To outputs of half precision the losses compare in float32, which holds more targets.
        dtype = out.dtype if numbers.dtype == out.dtype else work_dtype(out.dtype)
        return cast(numbers, dtype, allocate)
    if array.dtype.kind in "iu" and np.can_cast(array.dtype, INDEX):
        return cast(array, INDEX, allocate)
    return t
