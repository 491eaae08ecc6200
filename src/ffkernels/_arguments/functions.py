"""The arguments of activations, softmax and logsumexp, with a bias and without."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, normalise_axis, real_array, to_work, without_axis, work_dtype
from .outputs import are_plain, check_out, is_plain_output, make_output, plain_output


def _wider(names: tuple[str, ...], arrays: list[Array]) -> np.dtype[Any]:
    """The dtype of the result of several arrays."""
    try:
        return np.result_type(*arrays)
    except TypeError:  # float16 and bfloat16, of which neither holds the other
        raise TypeError(
            f"{names[1]}: expected a dtype that goes with {arrays[0].dtype} of {names[0]}, "
            f"got {arrays[1].dtype}"
        ) from None


def check_together(
    names: tuple[str, ...], values: tuple[Any, ...], halves: bool = False
) -> tuple[list[Array], Any, Any]:
    """Arrays of one shape, in the type to compute in; that type and the type of the result."""
    arrays = [real_array(value, name) for name, value in zip(names, values, strict=True)]
    for name, array in zip(names[1:], arrays[1:], strict=True):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"{name}: expected the shape of {names[0]}, {arrays[0].shape}, got {array.shape}"
            )
    dtype = _wider(names, arrays)
    work = work_dtype(dtype)
    return [to_work(array, work, halves) for array in arrays], work, dtype


def check_elementwise(
    names: tuple[str, ...], values: tuple[Any, ...], out: Any, halves: bool = False
) -> tuple[tuple[Array, ...], Array, Array]:
    """Inputs of one shape and type, an array to compute into, the array to return.

    Here and below, `halves` leaves arrays of half precision to the caller, also as outputs.
    """
    if are_plain(*values) and (target := plain_output(out, *values)) is not None:
        return values, target, target
    arrays, work, dtype = check_together(names, values, halves)
    inputs = dict(zip(names, values, strict=True))
    target, result = make_output(out, arrays[0], work, dtype, inputs, halves=halves)
    return tuple(arrays), target, result


def check_rows(
    names: tuple[str, ...], values: tuple[Any, ...], axis: Any, out: Any, halves: bool = False
) -> tuple[tuple[Array, ...], int, Array, Array]:
    """The same with an axis, from 0 up."""
    if are_plain(*values) and (target := plain_output(out, *values)) is not None:
        return values, normalise_axis(axis, values[0].ndim), target, target
    arrays, work, dtype = check_together(names, values, halves)
    axis = normalise_axis(axis, arrays[0].ndim)
    inputs = dict(zip(names, values, strict=True))
    target, result = make_output(out, arrays[0], work, dtype, inputs, halves=halves)
    return tuple(arrays), axis, target, result


def check_logsumexp(
    x: Any, axis: Any, keepdims: Any, out: Any, halves: bool = False
) -> tuple[Array, int, Array, Array]:
    """Input, axis, an array of the reduced shape to compute into, the array to return."""
    if are_plain(x):
        array, work, dtype = x, x.dtype, x.dtype
    else:
        (array,), work, dtype = check_together(("x",), (x,), halves)
    axis = normalise_axis(axis, array.ndim)
    reduced = without_axis(array.shape, axis)
    shape = (*array.shape[:axis], 1, *array.shape[axis + 1 :]) if keepdims else reduced
    if out is None:
        result = np.empty(shape, dtype)
        if dtype == work and not keepdims:
            return array, axis, result, result
    else:
        result = check_out(out, shape, dtype, {"x": x}, in_place=False)
    return array, axis, np.empty(reduced, work), result


def check_bias(
    x: Any, b: Any, out: Any, halves: bool = False
) -> tuple[Array, Array, Array, Array]:
    """x, the bias along its last axis, an array to compute into, the array to return."""
    if (
        are_plain(x)
        and x.ndim
        and are_plain(b)
        and b.dtype == x.dtype
        and b.shape == x.shape[-1:]
        and out is not b
        and (target := plain_output(out, x, b)) is not None
    ):
        return x, b, target, target
    array, addend = real_array(x, "x"), real_array(b, "b")
    if array.ndim == 0:
        raise ValueError("x: expected at least one dimension, got none")
    if addend.shape != array.shape[-1:]:
        raise ValueError(
            f"b: expected the shape of x's last axis, {array.shape[-1:]}, got {addend.shape}"
        )
    dtype = _wider(("x", "b"), [array, addend])
    work = work_dtype(dtype)
    target, result = make_output(out, array, work, dtype, {"x": x}, halves=halves)
    if out is not None:
        check_out(out, array.shape, dtype, {"b": b}, in_place=False)
    return to_work(array, work, halves), to_work(addend, work, halves), target, result


def check_backward_bias(
    dy: Any, y: Any, out: Any, out_bias: Any, halves: bool = False
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """dy, y, then for dz and for the bias gradient what to compute into and what to return."""
    if (
        are_plain(dy, y)
        and dy.ndim
        and (target := plain_output(out, dy, y)) is not None
        and (
            out_bias is None
            or (
                out_bias is not dy  # of one dimension they have the same shape
                and out_bias is not y
                and out_bias is not out
                and is_plain_output(out_bias, dy.shape[-1:], dy.dtype, dy, y, target)
            )
        )
    ):
        sums = np.empty(dy.shape[-1:], dy.dtype) if out_bias is None else out_bias
        return dy, y, target, target, sums, sums
    names = ("dy", "y")
    (grad, value), work, dtype = check_together(names, (dy, y), halves)
    if grad.ndim == 0:
        raise ValueError("dy: expected at least one dimension, got none")
    inputs = {"dy": dy, "y": y}
    shape = grad.shape[-1:]
    if out_bias is not None:
        others = inputs | ({} if out is None else {"out": out})
        check_out(out_bias, shape, dtype, others, "out_bias", in_place=False)
    target, result = make_output(out, grad, work, dtype, inputs, halves=halves)
    like = np.empty(shape, work)
    target_bias, result_bias = make_output(out_bias, like, work, dtype, {}, "out_bias", halves)
    return grad, value, target, result, target_bias, result_bias


def check_backward_input_bias(
    dy: Any, x: Any, b: Any, out: Any, out_bias: Any, halves: bool = False
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """dy, x and the bias along the last axis, then for dz and for the bias gradient what to compute into
    and what to return."""
    arrays = [real_array(dy, "dy"), real_array(x, "x"), real_array(b, "b")]
    names, (grad, value, addend) = ("dy", "x", "b"), arrays
    if value.shape != grad.shape:
        raise ValueError(f"x: expected the shape of dy, {grad.shape}, got {value.shape}")
    if grad.ndim == 0:
        raise ValueError("dy: expected at least one dimension, got none")
    shape = grad.shape[-1:]
    if addend.shape != shape:
        raise ValueError(f"b: expected the shape of x's last axis, {shape}, got {addend.shape}")
    _wider(names[:2], arrays[:2])
    dtype = np.result_type(_wider(names[1:], arrays[1:]), grad)
    work = work_dtype(dtype)
    if out_bias is not None:
        others = {"dy": dy, "x": x} | ({} if out is None else {"out": out})
        check_out(out_bias, shape, dtype, others, "out_bias", in_place=False)
        check_out(out_bias, shape, dtype, {"b": b}, "out_bias")
    target, result = make_output(out, grad, work, dtype, {"dy": dy, "x": x}, halves=halves)
    if out is not None:
        check_out(out, grad.shape, dtype, {"b": b}, in_place=False)
    like = np.empty(shape, work)
    target_bias, result_bias = make_output(out_bias, like, work, dtype, {}, "out_bias", halves)
    inputs = (to_work(array, work, halves) for array in arrays)
    return (*inputs, target, result, target_bias, result_bias)  # type: ignore[return-value]
