"""What a caller may pass: converted where NumPy users expect it, refused with reasons where not.

Both backends go through this module, the compiled one only for arguments its fast path does not
know, so that they accept the same things and refuse the rest with the same words.  Nothing is
written to any array before everything has been checked.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.exceptions import AxisError

Array = np.ndarray[Any, np.dtype[Any]]

REDUCTIONS = ("none", "mean", "sum")
NONE, MEAN, SUM = range(3)

# Devices, by DLPack's numbers, whose memory the processor reads: its own, and what CUDA and ROCm pin
# there or manage for both.
_HOST_DEVICES = (1, 3, 11, 13)

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_INDEX = np.dtype(np.intp)

# Bound on the exact overlap search, far above what layouts met in practice need.
_OVERLAP_WORK = 10_000


# ---- the common case -------------------------------------------------------------------------------
#
# Arrays of one float type, as they should be: told in a microsecond, where the rules below, which know
# everything else and would come to the same, take ten.


def _are_plain(*arrays: Any) -> bool:
    """Arrays, no subclasses, of one shape and of one native and aligned type, float32 or float64."""
    first = arrays[0]
    if type(first) is not np.ndarray or first.dtype not in _FLOATS or not first.flags.aligned:
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


def _is_plain_output(out: Any, shape: tuple[int, ...], dtype: Any, *inputs: Any) -> bool:
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


def _plain_output(out: Any, like: Array, *others: Array) -> Array | None:
    """An array of the shape and type of a plain one, `out` if given; None where that needs a look."""
    if out is None:
        return np.empty_like(like)
    return out if _is_plain_output(out, like.shape, like.dtype, like, *others) else None


# ---- everything else -------------------------------------------------------------------------------


def _is_half(dtype: np.dtype[Any]) -> bool:
    return dtype == np.float16 or dtype.name == "bfloat16"


def is_real(dtype: np.dtype[Any]) -> bool:
    return dtype in (np.float32, np.float64) or _is_half(dtype)


def check_dtype(value: Any) -> np.dtype[Any]:
    """What NumPy takes the `dtype` of a caller for."""
    try:
        return np.dtype(value)
    except (SyntaxError, TypeError, ValueError):  # the first by some strings with brackets
        raise ValueError(f"dtype: expected a dtype, got {value!r}") from None


def _work_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type to compute in: half precision is computed and summed in float32."""
    return dtype if dtype in _FLOATS or not _is_half(dtype) else np.dtype(np.float32)


def _to_work(array: Array, work: np.dtype[Any], halves: bool) -> Array:
    """The array in the type to compute in; with `halves` half precision stays where that is float32, for
    one who converts it piece by piece."""
    return array if halves and work == np.float32 and _is_half(array.dtype) else _as(array, work)


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


def _any_array(value: Any, name: str) -> Array:
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


def _dtype_of(array: Array) -> str:
    """The dtype as messages name it: objects with their types, NAType for pandas' missing values."""
    if array.dtype != object:
        return str(array.dtype)
    return f"object ({', '.join(sorted({type(item).__name__ for item in array.flat}))})"


def _as(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in one native, aligned type, itself where it already is."""
    return array if array.dtype == dtype and array.flags.aligned else np.require(array, dtype, "A")


def real_array(value: Any, name: str) -> Array:
    """An array of float16, bfloat16, float32 or float64; integers and bools become float64."""
    array = _any_array(value, name)
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    dtype = array.dtype.newbyteorder("=")
    if not is_real(dtype):
        raise TypeError(
            f"{name}: expected real numbers (float16, bfloat16, float32, float64, integers or "
            f"bools), got dtype {_dtype_of(array)}"
        )
    return _as(array, dtype)


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


def _wider(names: tuple[str, ...], arrays: list[Array]) -> np.dtype[Any]:
    """The dtype of the result of several arrays."""
    try:
        return np.result_type(*arrays)
    except TypeError:  # float16 and bfloat16, of which neither holds the other
        raise TypeError(
            f"{names[1]}: expected a dtype that goes with {arrays[0].dtype} of {names[0]}, "
            f"got {arrays[1].dtype}"
        ) from None


def _together(
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
    work = _work_dtype(dtype)
    return [_to_work(array, work, halves) for array in arrays], work, dtype


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
        array = _any_array(value, input_name)  # a tensor or a buffer may lie in the memory of `out`
        if _share_memory(out, array) and not (in_place and _identical(out, array)):
            raise ValueError(
                f"{name}: expected memory apart from {input_name}"
                f"{', or exactly the same array' if in_place else ''}, got one that overlaps it"
            )
    return out


def _output(
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
    written = result.dtype == work or (halves and _is_half(result.dtype))
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


def check_elementwise(
    names: tuple[str, ...], values: tuple[Any, ...], out: Any, halves: bool = False
) -> tuple[tuple[Array, ...], Array, Array]:
    """Inputs of one shape and type, an array to compute into, the array to return.

    Here and below, `halves` leaves arrays of half precision to the caller, also as outputs.
    """
    if _are_plain(*values) and (target := _plain_output(out, *values)) is not None:
        return values, target, target
    arrays, work, dtype = _together(names, values, halves)
    inputs = dict(zip(names, values, strict=True))
    target, result = _output(out, arrays[0], work, dtype, inputs, halves=halves)
    return tuple(arrays), target, result


def check_rows(
    names: tuple[str, ...], values: tuple[Any, ...], axis: Any, out: Any, halves: bool = False
) -> tuple[tuple[Array, ...], int, Array, Array]:
    """The same with an axis, from 0 up."""
    if _are_plain(*values) and (target := _plain_output(out, *values)) is not None:
        return values, normalise_axis(axis, values[0].ndim), target, target
    arrays, work, dtype = _together(names, values, halves)
    axis = normalise_axis(axis, arrays[0].ndim)
    inputs = dict(zip(names, values, strict=True))
    target, result = _output(out, arrays[0], work, dtype, inputs, halves=halves)
    return tuple(arrays), axis, target, result


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


def check_logsumexp(
    x: Any, axis: Any, keepdims: Any, out: Any, halves: bool = False
) -> tuple[Array, int, Array, Array]:
    """Input, axis, an array of the reduced shape to compute into, the array to return."""
    if _are_plain(x):
        array, work, dtype = x, x.dtype, x.dtype
    else:
        (array,), work, dtype = _together(("x",), (x,), halves)
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
        _are_plain(x)
        and x.ndim
        and _are_plain(b)
        and b.dtype == x.dtype
        and b.shape == x.shape[-1:]
        and out is not b
        and (target := _plain_output(out, x, b)) is not None
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
    work = _work_dtype(dtype)
    target, result = _output(out, array, work, dtype, {"x": x}, halves=halves)
    if out is not None:
        check_out(out, array.shape, dtype, {"b": b}, in_place=False)
    return _to_work(array, work, halves), _to_work(addend, work, halves), target, result


def check_backward_bias(
    dy: Any, y: Any, out: Any, out_bias: Any, halves: bool = False
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """dy, y, then for dz and for the bias gradient what to compute into and what to return."""
    if (
        _are_plain(dy, y)
        and dy.ndim
        and (target := _plain_output(out, dy, y)) is not None
        and (
            out_bias is None
            or (
                out_bias is not dy  # of one dimension they have the same shape
                and out_bias is not y
                and out_bias is not out
                and _is_plain_output(out_bias, dy.shape[-1:], dy.dtype, dy, y, target)
            )
        )
    ):
        sums = np.empty(dy.shape[-1:], dy.dtype) if out_bias is None else out_bias
        return dy, y, target, target, sums, sums
    names = ("dy", "y")
    (grad, value), work, dtype = _together(names, (dy, y), halves)
    if grad.ndim == 0:
        raise ValueError("dy: expected at least one dimension, got none")
    inputs = {"dy": dy, "y": y}
    shape = grad.shape[-1:]
    if out_bias is not None:
        others = inputs | ({} if out is None else {"out": out})
        check_out(out_bias, shape, dtype, others, "out_bias", in_place=False)
    target, result = _output(out, grad, work, dtype, inputs, halves=halves)
    like = np.empty(shape, work)
    target_bias, result_bias = _output(out_bias, like, work, dtype, {}, "out_bias", halves)
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
    work = _work_dtype(dtype)
    if out_bias is not None:
        others = {"dy": dy, "x": x} | ({} if out is None else {"out": out})
        check_out(out_bias, shape, dtype, others, "out_bias", in_place=False)
        check_out(out_bias, shape, dtype, {"b": b}, "out_bias")
    target, result = _output(out, grad, work, dtype, {"dy": dy, "x": x}, halves=halves)
    if out is not None:
        check_out(out, grad.shape, dtype, {"b": b}, in_place=False)
    like = np.empty(shape, work)
    target_bias, result_bias = _output(out_bias, like, work, dtype, {}, "out_bias", halves)
    inputs = (_to_work(array, work, halves) for array in arrays)
    return (*inputs, target, result, target_bias, result_bias)  # type: ignore[return-value]


def check_reduction(name: Any) -> int:
    """NONE, MEAN or SUM."""
    if type(name) is str and name in REDUCTIONS:
        return REDUCTIONS.index(name)
    if isinstance(name, str) and name in REDUCTIONS:
        return REDUCTIONS.index(name)
    raise ValueError(f'reduction: expected "mean", "sum" or "none", got {name!r}')


class Loss(NamedTuple):
    """The arguments of a loss over classes, checked."""

    scores: Array  # logits or probabilities, in the type to compute in, or with `halves` in half
    axis: int
    indices: Array | None  # class of each row, C-ordered intp where all are in range
    probabilities: Array | None  # or the targets' full shape, in the type to compute in
    weight: Array | None
    ignore_index: int | None
    label_smoothing: float
    reduction: int
    dtype: np.dtype[Any]  # of the gradient
    sample_weight: Array | None = None  # of each row, C-ordered float64


def check_class_loss(
    name: str,
    scores: Any,
    targets: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    reduction_name: Any,
    sample_weight: Any = None,
    halves: bool = False,
) -> Loss:
    """Checks the arguments that all cross-entropies share; class indices are in range after it."""
    call = loss_of_some_classes(
        name,
        scores,
        targets,
        axis,
        weight,
        ignore_index,
        label_smoothing,
        reduction_name,
        sample_weight,
        halves,
    )
    if call.indices is not None:
        classes = call.scores.shape[call.axis]
        refuse_index(call.indices, classes, call.ignore_index, _targets_of(name))
    return call


def _targets_of(name: str) -> str:
    """What targets are called beside scores of some name."""
    return "t" if name == "p" else "targets"


def loss_of_some_classes(
    name: str,
    scores: Any,
    targets: Any,
    axis: Any,
    weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    reduction_name: Any,
    sample_weight: Any = None,
    halves: bool = False,
) -> Loss:
    """The same where class indices may be those of classes that others hold: they may be anything."""
    if _are_plain(scores):
        work = dtype = scores.dtype
    else:
        scores = real_array(scores, name)
        dtype = scores.dtype
        work = _work_dtype(dtype)
    code = check_reduction(reduction_name)
    axis = normalise_axis(axis, scores.ndim)
    classes = scores.shape[axis]
    if weight is not None:
        weight = real_array(weight, "weight")
        if weight.shape != (classes,):
            rows = "; rows are weighted by sample_weight"
            raise ValueError(
                f"weight: expected one number a class, shape ({classes},), got {weight.shape}"
                f"{rows if weight.shape == without_axis(scores.shape, axis) else ''}"
            )
        with np.errstate(over="ignore"):  # beyond the range of the type to compute in: refused next
            weight = np.ascontiguousarray(weight, work)
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise ValueError(f"weight: expected finite numbers of at least 0 in {work}, got others")
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, without_axis(scores.shape, axis))
    label_smoothing = real_number(label_smoothing, "label_smoothing")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing: expected 0 to 1, got {label_smoothing}")
    if ignore_index is not None:
        try:
            ignore_index = operator.index(ignore_index)
        except TypeError:
            raise TypeError(
                f"ignore_index: expected an integer or None, got {type(ignore_index).__name__}"
            ) from None
    indices, probabilities = _class_targets(name, scores.shape, targets, axis)
    if indices is None and ignore_index is not None:
        raise ValueError(
            "ignore_index: expected None where targets are probabilities, "
            f"got {ignore_index}"
        )
    if indices is not None:
        indices, ignore_index = _as_indices(indices, ignore_index)
    if probabilities is not None:
        probabilities = _to_work(probabilities, work, halves)
    return Loss(
        scores if dtype == work else _to_work(scores, work, halves),
        axis,
        indices,
        probabilities,
        weight,
        ignore_index,
        label_smoothing,
        code,
        dtype,
        sample_weight,
    )


def check_sample_weight(sample_weight: Any, shape: tuple[int, ...]) -> Array:
    """One finite number of at least 0 for each row, C-ordered float64."""
    array = real_array(sample_weight, "sample_weight")
    if array.shape != shape:
        raise ValueError(
            f"sample_weight: expected one number a row, shape {shape}, got {array.shape}"
        )
    return _refuse_weight(np.require(array, np.float64, ["C", "A"]), "sample_weight", "")


def _refuse_weight(array: Array, name: str, where: str) -> Array:
    """ValueError for the first weight that is not finite or below 0."""
    bad = ~((array >= 0) & (array < math.inf))
    if bad.any():
        place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), array.shape))
        at = f" at position {place[0] if len(place) == 1 else place}" if place else ""
        raise ValueError(
            f"{name}: expected finite numbers of at least 0{where}, got {array[place]:g}{at}"
        )
    return array


def _class_targets(
    name: str, shape: tuple[int, ...], targets: Any, axis: int
) -> tuple[Array | None, Array | None]:
    """Class indices or probabilities: told by dimension and type, since with one class or one
    sample sizes say nothing."""
    if type(targets) is np.ndarray and targets.dtype == _INDEX and targets.ndim == len(shape) - 1:
        flags = targets.flags
        if flags.c_contiguous and flags.aligned and targets.shape == without_axis(shape, axis):
            return targets, None
    own = _targets_of(name)
    array = _any_array(targets, own)
    reduced = without_axis(shape, axis)
    if array.shape == shape:
        return None, real_array(array, own)
    if array.shape != reduced:
        raise ValueError(
            f"{own}: expected class indices of shape {reduced} or probabilities of shape "
            f"{shape} for {name} of shape {shape} along axis {axis}, got {array.shape}"
        )
    if array.size == 0 and not isinstance(targets, np.ndarray):
        array = array.astype(np.intp)  # an empty list, which NumPy makes float64
    if array.dtype.kind not in "iu":
        raise TypeError(f"{own}: expected integers as class indices, got dtype {_dtype_of(array)}")
    return array, None


def _as_indices(array: Array, ignore_index: int | None) -> tuple[Array, int | None]:
    """Class indices as C-ordered intp, and which of them is ignored.

    No class has a number beyond intp. Where such a number is ignored another stands for it; any other is
    left as it is, in an array of its type, for `refuse_index` to name it.
    """
    limits, ignored = np.iinfo(_INDEX), ignore_index
    if ignored is not None and not limits.min <= ignored <= limits.max:
        ignored = None
    if array.dtype == _INDEX and array.flags.c_contiguous and array.flags.aligned:
        return array, ignored
    if np.can_cast(array.dtype, _INDEX):
        return np.require(array, _INDEX, ["C", "A"]), ignored
    beyond = (array < limits.min) | (array > limits.max)
    if (array[beyond] != ignore_index).any():
        return array, ignored
    indices = array.astype(_INDEX, "C")
    if beyond.any():
        indices[beyond] = ignored = limits.min
    return indices, ignored


def refuse_index(
    indices: Array, classes: int, ignore_index: int | None, name: str = "targets"
) -> None:
    """IndexError for the first class index out of range."""
    if not indices.size:
        return
    # argmin and argmax take a quarter of the time of min and max.
    if indices.item(indices.argmin()) >= 0 and indices.item(indices.argmax()) < classes:
        return
    bad = (indices < 0) | (indices >= classes)
    if ignore_index is not None:
        bad &= indices != ignore_index
    if bad.any():
        position = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), indices.shape))
        where = f" at position {position[0] if len(position) == 1 else position}" if position else ""
        index, instead = int(indices[position]), ""
        if index < 0 and ignore_index is None:
            instead = f"; softmax_cross_entropy leaves such rows out with ignore_index={index}"
        elif index == classes and indices.min() > 0:
            instead = "; the first class is 0"
        raise IndexError(
            f"{name}: class index {index}{where} is out of range for {classes} "
            f"classes{instead}"
        )


def check_loss_out(
    out: Any, shape: tuple[int, ...], code: int, dtype: np.dtype[Any], inputs: dict[str, Any]
) -> Array | None:
    """`out` for the value of a loss at scores of this type, checked; None where there is none."""
    if out is None:
        return None
    return check_out(out, shape if code == NONE else (), _work_dtype(dtype), inputs, in_place=False)


def check_gradient_out(
    out: Any, scores: Array, dtype: np.dtype[Any], inputs: dict[str, Any]
) -> tuple[Array, Array]:
    """What to compute a gradient into, what to return; it may overwrite what it derives from."""
    if dtype == scores.dtype:
        if out is None:
            target = np.empty_like(scores)
            return target, target
        if _is_plain_output(out, scores.shape, dtype, *inputs.values()):
            return out, out
    first, *others = inputs
    work = dtype if _is_half(scores.dtype) else scores.dtype
    target, result = _output(out, scores, work, dtype, {first: inputs[first]})
    for name in others:
        if out is not None:
            # The scores' own layout may be overwritten; targets of that layout may be too, since
            # each row is read before it is written.
            check_out(out, scores.shape, dtype, {name: inputs[name]})
    return target, result


def check_dloss(dloss: Any, shape: tuple[int, ...], code: int) -> float | Array:
    """The factor that comes from behind: a number, or with no reduction one for each row."""
    if type(dloss) is float:
        return dloss
    array = real_array(dloss, "dloss").astype(np.float64)
    if array.ndim == 0:
        return float(array)
    if code != NONE or array.shape != shape:
        expected = f" or an array of shape {shape}" if code == NONE else ""
        raise ValueError(f"dloss: expected a number{expected}, got an array of shape {array.shape}")
    return np.ascontiguousarray(array)


class SquaredError(NamedTuple):
    """The arguments of sum_squared_error, checked; rows are the first axis."""

    y: Array  # C-ordered, in the type to compute in, or with `halves` in half precision
    t: Array
    loss_shape: tuple[int, ...]
    reduction: int
    dtype: np.dtype[Any]
    sample_weight: Array | None = None  # of each row, C-ordered float64


def check_squared_error(
    y: Any, t: Any, reduction_name: Any, sample_weight: Any = None, halves: bool = False
) -> SquaredError:
    """Checks y and t; one dimension is one row."""
    if _are_plain(y, t):
        outputs, targets, dtype = y, t, y.dtype
    else:
        (outputs, targets), _, dtype = _together(("y", "t"), (y, t), halves)
    code = check_reduction(reduction_name)
    if outputs.ndim == 0:
        raise ValueError("y: expected at least one dimension, got none")
    loss_shape = outputs.shape[:1] if outputs.ndim > 1 else ()
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, loss_shape)
    outputs, targets = np.ascontiguousarray(outputs), np.ascontiguousarray(targets)
    return SquaredError(outputs, targets, loss_shape, code, dtype, sample_weight)


class SigmoidLoss(NamedTuple):
    """The arguments of sigmoid_cross_entropy, checked; weights broadcast to the logits' shape."""

    logits: Array  # C-ordered, in the type to compute in, or with `halves` in half precision
    targets: Array
    weight: Array | None  # in the type to compute in
    pos_weight: Array | None
    sample_weight: Array | None  # of rows, C-ordered float64
    reduction: int
    dtype: np.dtype[Any]  # of the gradient


def check_sigmoid_loss(
    logits: Any,
    targets: Any,
    weight: Any,
    pos_weight: Any,
    sample_weight: Any,
    reduction_name: Any,
    halves: bool = False,
) -> SigmoidLoss:
    """Checks logits, targets and all weights; rows are the first axis."""
    if _are_plain(logits, targets):
        x, t = logits, targets
        work = dtype = logits.dtype
    else:
        x, t = real_array(logits, "logits"), real_array(targets, "targets")
        if t.shape != x.shape:
            raise ValueError(f"targets: expected the shape of logits, {x.shape}, got {t.shape}")
        dtype = x.dtype
        work = _work_dtype(dtype)
        x, t = _to_work(x, work, halves), _to_work(t, work, halves)
    code = check_reduction(reduction_name)
    if weight is not None:
        weight = _broadcast_weight(weight, "weight", x.shape, work)
    if pos_weight is not None:
        pos_weight = _broadcast_weight(pos_weight, "pos_weight", x.shape, work)
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, x.shape[:1])
        sample_weight = sample_weight.reshape(x.shape[:1] + (1,) * (x.ndim - 1))
    x, t = np.asarray(x, order="C"), np.asarray(t, order="C")
    return SigmoidLoss(x, t, weight, pos_weight, sample_weight, code, dtype)


def _broadcast_weight(
    weight: Any, name: str, shape: tuple[int, ...], work: np.dtype[Any]
) -> Array:
    """Weights that broadcast to the shape of the logits, C-ordered and in the type to compute in."""
    array = real_array(weight, name)
    missing = len(shape) - array.ndim
    fits = missing >= 0 and all(
        n in (1, of) for n, of in zip(array.shape, shape[missing:], strict=True)
    )
    if not fits:
        rows = "; rows are weighted by sample_weight" if array.shape == shape[:1] else ""
        raise ValueError(
            f"{name}: expected a shape that broadcasts to that of logits, {shape}, "
            f"got {array.shape}{rows}"
        )
    with np.errstate(over="ignore"):  # beyond the range of the type to compute in: refused next
        array = np.require(array, work, ["C", "A"])
    return _refuse_weight(array, name, f" in {work}")


def in_runs(weights: Array, shape: tuple[int, ...]) -> tuple[Array, int, int]:
    """What broadcasts to a shape as a C-ordered array, in which element i of that shape is number
    i // run % count, with `run` and `count`; a copy where its axes lie apart."""
    own = (1,) * (len(shape) - weights.ndim) + weights.shape
    axes = [i for i, n in enumerate(own) if n != 1]
    if not axes:
        return weights, max(math.prod(shape), 1), 1
    first, stop = axes[0], axes[-1] + 1
    if own[first:stop] != shape[first:stop]:
        own = (1,) * first + shape[first:stop]
        weights = np.ascontiguousarray(np.broadcast_to(weights, own + (1,) * (len(shape) - stop)))
    return weights, math.prod(shape[stop:]), max(weights.size, 1)


def check_eps(eps: Any) -> float:
    """The least probability cross_entropy takes a logarithm of."""
    eps = real_number(eps, "eps")
    if not 0 <= eps <= 1:
        raise ValueError(f"eps: expected 0 to 1, got {eps}")
    return eps


def _are_plain_parameters(values: tuple[Any, ...]) -> bool:
    if not _are_plain(*values):
        return False
    for i, value in enumerate(values):
        if i != 1 and not value.flags.carray:
            return False
        for k in range(i):
            if np.may_share_memory(value, values[k]):
                return False
    return True


def check_parameters(
    names: tuple[str, ...], values: tuple[Any, ...], halves: bool = False
) -> list[Array]:
    """A parameter, its gradient and its optimiser state: all but the gradient updated in place."""
    if _are_plain_parameters(values):
        return list(values)
    param, grad, *state = values
    everything = dict(zip(names, values, strict=True))
    for name, value in everything.items():
        if name == names[1]:
            continue
        if not isinstance(value, np.ndarray) or isinstance(value, (np.ma.MaskedArray, np.matrix)):
            raise TypeError(f"{name}: expected a NumPy array, got {type(value).__name__}")
        if value.dtype not in (np.float32, np.float64) or not value.dtype.isnative:
            raise TypeError(f"{name}: expected dtype float32 or float64, got {value.dtype}")
        if not value.flags.aligned:
            raise ValueError(f"{name}: expected an aligned array, got an unaligned one")
        others = {n: v for n, v in everything.items() if n != name}
        check_out(value, param.shape, param.dtype, others, name, in_place=False)
    grad = real_array(grad, names[1])
    if grad.shape != param.shape:
        raise ValueError(
            f"{names[1]}: expected the shape of {names[0]}, {param.shape}, got {grad.shape}"
        )
    grad = _to_work(grad, param.dtype, halves)
    return [param, grad, *state]


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


def check_adam(
    step: Any, lr: Any, beta1: Any, beta2: Any, eps: Any, weight_decay: Any
) -> tuple[float, ...]:
    """Adam's numbers and its two bias corrections, 1 / (1 - beta^step)."""
    try:
        step = operator.index(step)
    except TypeError:
        raise TypeError(f"step: expected an integer, got {type(step).__name__}") from None
    if step < 1:
        raise ValueError(f"step: expected at least 1, got {step}")
    lr = real_number(lr, "lr")
    beta1 = at_least(beta1, "beta1", 0, 1)
    beta2 = at_least(beta2, "beta2", 0, 1)
    eps = real_number(eps, "eps")
    weight_decay = real_number(weight_decay, "weight_decay")
    step = min(step, 2**63)  # of which no power of what is below 1 is more than 0
    return lr, beta1, beta2, eps, weight_decay, 1 / (1 - beta1**step), 1 / (1 - beta2**step)
