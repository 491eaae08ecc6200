"""The activations and losses as functions of JAX arrays: under jit, vmap, grad and jvp, on the CPU.

Names, arguments and meanings are those of `ffkernels`, less ``out``. A compiled program calls the
kernels on its own memory, without a copy, and the losses together with their gradient where one is
taken; under vmap one call takes the whole batch. What is left of a derivative, a product or two, is
JAX's own, which XLA fuses with its neighbours. Derivatives are taken by the first argument, and by
both of `sum_squared_error`, and may be differentiated in their turn; to all other arguments JAX sees
none. A loss of float16 or bfloat16 comes in float32.

Types, shapes and options are checked when a function is traced, and refused with what `ffkernels`
raises. What hangs on values is found when the program runs, and is a ``jax.errors.JaxRuntimeError``: a
class index out of range, a class weight that is negative or not finite.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import _arguments
from .. import activations as _activations
from .. import losses as _losses
from ._extras import missing

try:
    import jax
except ModuleNotFoundError as error:
    raise missing(error, "jax") from None

import jax.numpy as jnp
from jax.lax import stop_gradient

from . import _xla
from ._loss import inverse, logarithm_curvature, softmax_curvature, target_weights

__all__ = [
    "cross_entropy",
    "log_softmax",
    "logsumexp",
    "relu",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "sum_squared_error",
    "tanh",
]


def __dir__() -> list[str]:
    return __all__


# JAX's arrays and tracers; what they are is left to it.
Array = Any


def _floats(x: Any, name: str) -> Array:
    """A JAX array of a real type; integers and bools become JAX's usual float."""
    x = jnp.asarray(x)
    if x.dtype.kind in "iub":
        return x.astype(float)
    _arguments.real_array(np.empty(0, x.dtype), name)  # refuses what is not real
    return x


def _like(x: Array) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


# ---- activations ---------------------------------------------------------------------------------


@_xla.target
def activation(x: Any, out: Any, name: str, **axis: int) -> None:
    getattr(_activations, name)(x, **axis, out=out[0])


@jax.custom_jvp
def _relu(x: Array) -> Array:
    return _xla.call("activation", _like(x), x, name="relu")


@_relu.defjvp
def _(primals: Any, tangents: Any) -> Any:
    y = _relu(*primals)
    return y, jnp.where(y > 0, tangents[0], 0)


@jax.custom_jvp
def _sigmoid(x: Array) -> Array:
    return _xla.call("activation", _like(x), x, name="sigmoid")


@_sigmoid.defjvp
def _(primals: Any, tangents: Any) -> Any:
    y = _sigmoid(*primals)
    return y, tangents[0] * (y * (1 - y))


@jax.custom_jvp
def _tanh(x: Array) -> Array:
    return _xla.call("activation", _like(x), x, name="tanh")


@_tanh.defjvp
def _(primals: Any, tangents: Any) -> Any:
    y = _tanh(*primals)
    return y, tangents[0] * ((1 - y) * (1 + y))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _softmax(x: Array, axis: int) -> Array:
    return _xla.call("activation", _like(x), x, name="softmax", axis=axis)


@_softmax.defjvp
def _(axis: int, primals: Any, tangents: Any) -> Any:
    y, dx = _softmax(*primals, axis), tangents[0]
    return y, y * (dx - (dx * y).sum(axis, keepdims=True))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _log_softmax(x: Array, axis: int) -> Array:
    return _xla.call("activation", _like(x), x, name="log_softmax", axis=axis)


@_log_softmax.defjvp
def _(axis: int, primals: Any, tangents: Any) -> Any:
    y, dx = _log_softmax(*primals, axis), tangents[0]
    return y, dx - (dx * jnp.exp(y)).sum(axis, keepdims=True)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _logsumexp(x: Array, axis: int) -> Array:
    shape = _arguments.without_axis(x.shape, axis % x.ndim)
    result = jax.ShapeDtypeStruct(shape, x.dtype)
    return _xla.call("activation", result, x, name="logsumexp", axis=axis)


@_logsumexp.defjvp
def _(axis: int, primals: Any, tangents: Any) -> Any:
    return _logsumexp(*primals, axis), (tangents[0] * _softmax(*primals, axis)).sum(axis)


def _axis(axis: int, ndim: int) -> int:
    """The axis counted from the end, since vmap puts the batch's in front."""
    return int(_arguments.normalise_axis(axis, ndim)) - ndim


def relu(x: Array) -> Array:
    """max(x, 0), as `ffkernels.relu`; its derivative at 0 is 0.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import relu
    >>> relu(jnp.array([-1.0, 2.0]))
    Array([0., 2.], dtype=float32)
    """
    return _relu(_floats(x, "x"))


def sigmoid(x: Array) -> Array:
    """1/(1 + e⁻ˣ), as `ffkernels.sigmoid`.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import sigmoid
    >>> sigmoid(jnp.array([0.0]))
    Array([0.5], dtype=float32)
    """
    return _sigmoid(_floats(x, "x"))


def tanh(x: Array) -> Array:
    """The hyperbolic tangent, as `ffkernels.tanh`.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import tanh
    >>> tanh(jnp.array([0.0]))
    Array([0.], dtype=float32)
    """
    return _tanh(_floats(x, "x"))


def softmax(x: Array, axis: int = -1) -> Array:
    """eˣ/Σeˣ along an axis, as `ffkernels.softmax`.

    Parameters
    ----------
    x : array_like
    axis : int
        The axis of the classes.

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import softmax
    >>> softmax(jnp.zeros(2))
    Array([0.5, 0.5], dtype=float32)
    """
    x = _floats(x, "x")
    return _softmax(x, _axis(axis, x.ndim))


def log_softmax(x: Array, axis: int = -1) -> Array:
    """Logarithm of softmax along an axis, as `ffkernels.log_softmax`.

    Parameters
    ----------
    x : array_like
    axis : int
        The axis of the classes.

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import log_softmax
    >>> log_softmax(jnp.array([0.0, -1000.0]))
    Array([    0., -1000.], dtype=float32)
    """
    x = _floats(x, "x")
    return _log_softmax(x, _axis(axis, x.ndim))


def logsumexp(x: Array, axis: int = -1, *, keepdims: bool = False) -> Array:
    """Logarithm of Σeˣ along an axis, as `ffkernels.logsumexp`.

    Parameters
    ----------
    x : array_like
    axis : int
        The axis to sum along.
    keepdims : bool
        Keep that axis, with length 1.

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import logsumexp
    >>> logsumexp(jnp.zeros(1))
    Array(0., dtype=float32)
    """
    x = _floats(x, "x")
    axis = _axis(axis, x.ndim)
    y = _logsumexp(x, axis)
    return jnp.expand_dims(y, axis) if keepdims else y


# ---- losses --------------------------------------------------------------------------------------


class _Spec(NamedTuple):
    """What JAX compiles for: which loss, its options, and what it sums along."""

    name: str
    ndim: int  # of x, without what vmap adds
    summed: tuple[int, ...]  # axes of x, counted from the end
    options: tuple[tuple[str, Any], ...]

    def results(self, x: Array) -> Any:
        """What the loss of x looks like; half precision has its loss in float32."""
        axes = {axis % x.ndim for axis in self.summed}
        shape = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
        return jax.ShapeDtypeStruct(shape, jnp.promote_types(x.dtype, jnp.float32))

    def call(self, target: str, results: Any, x: Array, others: tuple[Array, ...]) -> Any:
        """The results of a target for x and what it is compared with."""
        options = {"name": self.name, "ndim": self.ndim, **dict(self.options)}
        return _xla.call(target, results, x, *others, **options)

    def total(self, x: Array) -> Array:
        """The sum along what the loss sums along, in the loss's type."""
        return x.sum(self.summed, dtype=jnp.promote_types(x.dtype, jnp.float32))


def _each(x: Any, others: Any, out: Any, ndim: int) -> Any:
    """For each element of what vmap batched: x, its targets, its weight if any, its results."""
    for index in np.ndindex(x.shape[: x.ndim - ndim]):
        t, *weight = (array[index] for array in others)
        results = [array[(*index, ...)] for array in out]
        yield x[index], t, {"weight": weight[0]} if weight else {}, results


@_xla.target
def loss(x: Any, *others: Any, out: Any, name: str, ndim: int, **options: Any) -> None:
    function = getattr(_losses, name)
    for y, t, weight, (value,) in _each(x, others, out, ndim):
        function(y, t, **weight, **options, out=value)


@_xla.target
def loss_with_grad(x: Any, *others: Any, out: Any, name: str, ndim: int, **options: Any) -> None:
    function = getattr(_losses, name + "_with_grad")
    for y, t, weight, (value, grad) in _each(x, others, out, ndim):
        value[...], _ = function(y, t, **weight, **options, out=grad)


@_xla.target
def curvature(x: Any, *others: Any, out: Any, name: str, ndim: int, **options: Any) -> None:
    """The constants of the second derivative: for softmax a and 1/Σa, for probabilities 1/a."""
    eps = options.pop("eps", None)
    for y, t, weight, results in _each(x, others, out, ndim):
        zeros = np.zeros(y.shape, np.promote_types(y.dtype, np.float32))
        a, inverse_total = target_weights(np, zeros, t, **weight, **options)
        if eps is None:
            results[0][...], results[1][...] = a, inverse_total
        else:  # below it, the loss is as if constant
            results[0][...] = inverse(np, a) * (y >= eps)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _loss(spec: _Spec, x: Array, *others: Array) -> Array:
    return spec.call("loss", spec.results(x), x, others)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _loss_with_grad(spec: _Spec, x: Array, *others: Array) -> tuple[Array, Array]:
    value, grad = spec.call("loss_with_grad", (spec.results(x), _like(x)), x, others)
    return value, grad


def _step(spec: _Spec, tangents: Any) -> Array:
    """The direction in x that counts: of a squared error that of x - t."""
    return tangents[0] - tangents[1] if spec.name == "sum_squared_error" else tangents[0]


@_loss.defjvp
def _(spec: _Spec, primals: Any, tangents: Any) -> Any:
    value, grad = _loss_with_grad(spec, *primals)
    return value, spec.total(grad * _step(spec, tangents))


@_loss_with_grad.defjvp
def _(spec: _Spec, primals: Any, tangents: Any) -> Any:
    x, *others = primals
    value, grad = _loss_with_grad(spec, *primals)
    dx = _step(spec, tangents)
    options = dict(spec.options)
    if spec.name == "sum_squared_error":
        rows = x.shape[0] if x.ndim > 1 else 1
        dgrad = dx / rows if options["reduction"] == "mean" and rows else dx
    elif spec.name == "cross_entropy":
        inverse_a = spec.call("curvature", _like(x), x, tuple(others))
        dgrad = logarithm_curvature(grad, dx, inverse_a)
    else:
        axis = options["axis"]
        shape = tuple(1 if i == axis % x.ndim else n for i, n in enumerate(x.shape))
        sums = jax.ShapeDtypeStruct(shape, x.dtype)
        a, inverse_total = spec.call("curvature", (_like(x), sums), x, tuple(others))
        dgrad = softmax_curvature(grad, dx, a, inverse_total, axis)
    return (value, grad), (spec.total(grad * dx), dgrad)


def _class_loss(
    name: str,
    argument: str,
    x: Array,
    targets: Array,
    weight: Array | None,
    axis: int,
    reduction: str,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **others: float,
) -> Array:
    """A cross-entropy, with whatever can be told before the program runs refused now."""
    arrays = [stop_gradient(jnp.asarray(array)) for array in (targets, weight) if array is not None]
    axis = _axis(axis, x.ndim)
    if x.shape[axis]:
        # Class 0 is in range, so that nothing but types, shapes and options can be refused.
        zeros: list[Any] = [np.broadcast_to(np.zeros((), a.dtype), a.shape) for a in (x, *arrays)]
        if weight is None:
            zeros.append(None)
        call = _arguments.check_class_loss(
            argument, zeros[0], zeros[1], axis, zeros[2], ignore_index, label_smoothing, reduction
        )
        ignore_index, label_smoothing = call.ignore_index, call.label_smoothing
    options: dict[str, Any] = {"axis": axis, "reduction": reduction, **others}
    if name == "softmax_cross_entropy":
        options |= {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
    summed = (axis,) if reduction == "none" else tuple(range(-x.ndim, 0))
    return _loss(_Spec(name, x.ndim, summed, tuple(options.items())), x, *arrays)


def softmax_cross_entropy(
    logits: Array,
    targets: Array,
    *,
    axis: int = -1,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Array:
    """Cross-entropy of the softmax of logits, as `ffkernels.softmax_cross_entropy`.

    Parameters
    ----------
    logits : array_like, shape (..., C, ...)
    targets : array_like
        Class indices, integers of the shape of ``logits`` less ``axis``, or probabilities of its full
        shape.
    axis : int
        The axis of the classes.
    weight : array_like, shape (C,), optional
        Weight of each class.
    ignore_index : int, optional
        Class index of rows that do not count.
    label_smoothing : float in [0, 1]
        Share of each target spread evenly over the classes.
    reduction : {"mean", "sum", "none"}
        How the losses of the rows become one.

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import softmax_cross_entropy
    >>> jax.grad(softmax_cross_entropy)(jnp.zeros((1, 2)), jnp.array([1]))
    Array([[ 0.5, -0.5]], dtype=float32)
    """
    return _class_loss(
        "softmax_cross_entropy",
        "logits",
        _floats(logits, "logits"),
        targets,
        weight,
        axis,
        reduction,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )


def cross_entropy(
    p: Array,
    t: Array,
    *,
    axis: int = -1,
    eps: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Array:
    """Cross-entropy of probabilities, as `ffkernels.cross_entropy`.

    Parameters
    ----------
    p : array_like, shape (..., C, ...)
        Probabilities; from logits, prefer `softmax_cross_entropy`.
    t : array_like
        Class indices, integers of the shape of ``p`` less ``axis``, or probabilities of its full
        shape.
    axis : int
        The axis of the classes.
    eps : float in [0, 1]
        Probabilities below it count as it; their gradient is that at ``eps``.
    reduction : {"mean", "sum", "none"}
        How the losses of the rows become one.

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import cross_entropy
    >>> jax.grad(cross_entropy)(jnp.array([[0.5, 0.5]]), jnp.array([[0.0, 1.0]]))
    Array([[ 0., -2.]], dtype=float32)
    """
    x = _floats(p, "p")
    return _class_loss("cross_entropy", "p", x, t, None, axis, reduction, eps=_arguments.check_eps(eps))


def sum_squared_error(
    y: Array, t: Array, *, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Array:
    """Half the sum of squared errors, ½ Σ (y - t)² a row, as `ffkernels.sum_squared_error`.

    Parameters
    ----------
    y, t : array_like, shape (N, ...)
        Outputs and targets, of one shape; derivatives are taken by both.
    reduction : {"mean", "sum", "none"}
        How the losses of the rows become one.

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import sum_squared_error
    >>> jax.grad(sum_squared_error)(jnp.array([[1.0, 2.0]]), jnp.zeros((1, 2)))
    Array([[1., 2.]], dtype=float32)
    """
    x, t = _floats(y, "y"), _floats(t, "t")
    _arguments.check_reduction(reduction)
    if not x.ndim:
        raise ValueError("y: expected at least one dimension, got none")
    if t.shape != x.shape:
        raise ValueError(f"t: expected the shape of y, {x.shape}, got {t.shape}")
    dtype = jnp.promote_types(x.dtype, t.dtype)
    by_row = reduction == "none" and x.ndim > 1
    summed = tuple(range(1 - x.ndim if by_row else -x.ndim, 0))
    spec = _Spec("sum_squared_error", x.ndim, summed, (("reduction", reduction),))
    return _loss(spec, x.astype(dtype), t.astype(dtype))
