"""The activations and losses as functions of JAX arrays: under jit, vmap, grad and jvp, on the CPU.

Names, arguments and meanings are those of `ffkernels`, less ``out``. A compiled program calls the
kernels on its own memory, without a copy, and the losses together with their gradient where one is
taken; under vmap one call takes the whole batch. What is left of a derivative, a product or two, is
JAX's own, which XLA fuses with its neighbours. Derivatives are taken by the first argument, by both of
`sum_squared_error`, and by inputs, weights and bias of `linear_cross_entropy`, and may be differentiated
in their turn; to all other arguments JAX sees none. A loss of float16 or bfloat16 comes in float32.

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
from .. import linear as _linear
from .. import losses as _losses
from .._linear import check_chunk_bytes as _check_chunk_bytes
from .._linear import check_layer as _check_layer
from ._extras import missing

try:
    import jax
except ModuleNotFoundError as error:
    raise missing(error, "jax") from None

import jax.numpy as jnp
from jax.lax import stop_gradient

from . import _xla
from ._curves import BENDS
from ._loss import (
    element_weights,
    inverse,
    logarithm_curvature,
    logistic_curvature,
    refuse_none,
    row_weights,
    softmax_curvature,
    target_weights,
)

__all__ = [
    "cross_entropy",
    "elu",
    "gelu",
    "hard_sigmoid",
    "leaky_relu",
    "linear_cross_entropy",
    "log_softmax",
    "logsumexp",
    "relu",
    "sigmoid",
    "sigmoid_cross_entropy",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
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
def activation(x: Any, out: Any, name: str, **options: Any) -> None:
    getattr(_activations, name)(x, **options, out=out[0])


@_xla.target
def slope(x: Any, out: Any, name: str, **options: Any) -> None:
    """The derivative of an activation that goes back from its input."""
    ones = np.broadcast_to(np.ones((), x.dtype), x.shape)
    getattr(_activations, f"{name}_backward")(ones, x, **options, out=out[0])


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


# Those whose derivatives need the input; `options` are pairs of a name and a value.


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _from_input(x: Array, name: str, options: tuple[tuple[str, Any], ...] = ()) -> Array:
    return _xla.call("activation", _like(x), x, name=name, **dict(options))


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _slope(x: Array, name: str, options: tuple[tuple[str, Any], ...]) -> Array:
    return _xla.call("slope", _like(x), x, name=name, **dict(options))


@_from_input.defjvp
def _(name: str, options: Any, primals: Any, tangents: Any) -> Any:
    return _from_input(*primals, name, options), tangents[0] * _slope(*primals, name, options)


@_slope.defjvp
def _(name: str, options: Any, primals: Any, tangents: Any) -> Any:
    bend = BENDS[name](jnp, _sigmoid, *primals, **dict(options))
    return _slope(*primals, name, options), tangents[0] * bend


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


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x, and negative_slope x where it is negative, as `ffkernels.leaky_relu`.

    Parameters
    ----------
    x : array_like
    negative_slope : float, default 0.01

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import leaky_relu
    >>> leaky_relu(jnp.array([-1.0, 2.0]), 0.5)
    Array([-0.5,  2. ], dtype=float32)
    """
    number = _arguments.finite_number(negative_slope, "negative_slope")
    return _from_input(_floats(x, "x"), "leaky_relu", (("negative_slope", number),))


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where it is positive, else alpha (eˣ - 1), as `ffkernels.elu`.

    Parameters
    ----------
    x : array_like
    alpha : float, default 1.0

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import elu
    >>> elu(jnp.array([-jnp.inf, 2.0]))
    Array([-1.,  2.], dtype=float32)
    """
    number = _arguments.finite_number(alpha, "alpha")
    return _from_input(_floats(x, "x"), "elu", (("alpha", number),))


def hard_sigmoid(x: Array) -> Array:
    """x/6 + 1/2 within [0, 1], as `ffkernels.hard_sigmoid`.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import hard_sigmoid
    >>> hard_sigmoid(jnp.array([-4.0, 0.0, 4.0]))
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    return _from_input(_floats(x, "x"), "hard_sigmoid")


def softplus(x: Array) -> Array:
    """log(1 + eˣ), as `ffkernels.softplus`.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import softplus
    >>> softplus(jnp.array([1000.0]))
    Array([1000.], dtype=float32)
    """
    return _from_input(_floats(x, "x"), "softplus")


def silu(x: Array) -> Array:
    """x times its sigmoid, as `ffkernels.silu`.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import silu
    >>> silu(jnp.array([0.0, 1000.0]))
    Array([   0., 1000.], dtype=float32)
    """
    return _from_input(_floats(x, "x"), "silu")


def gelu(x: Array, approximate: Literal["none", "tanh"] = "none") -> Array:
    """x times the normal distribution function, as `ffkernels.gelu`: exact unless told otherwise.

    Parameters
    ----------
    x : array_like
    approximate : {"none", "tanh"}

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import gelu
    >>> gelu(jnp.array([0.0, 100.0]))
    Array([  0., 100.], dtype=float32)
    """
    _arguments.is_by_tanh(approximate)
    return _from_input(_floats(x, "x"), "gelu", (("approximate", str(approximate)),))


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
    others: tuple[str, ...]  # the names of the arrays that x comes with

    def results(self, x: Array) -> Any:
        """What the loss of x looks like; half precision has its loss in float32."""
        axes = {axis % x.ndim for axis in self.summed}
        shape = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
        return jax.ShapeDtypeStruct(shape, jnp.promote_types(x.dtype, jnp.float32))

    def call(self, target: str, results: Any, x: Array, others: tuple[Array, ...]) -> Any:
        """The results of a target for x and what it is compared with."""
        options = {"name": self.name, "ndim": self.ndim, **dict(self.options)}
        return _xla.call(target, results, x, *others, names=self.others, **options)

    def total(self, x: Array) -> Array:
        """The sum along what the loss sums along, in the loss's type."""
        return x.sum(self.summed, dtype=jnp.promote_types(x.dtype, jnp.float32))


def _each(x: Any, others: Any, names: Any, out: Any, ndim: int) -> Any:
    """For each element of what vmap batched: x, the arrays by their names, its results."""
    for index in np.ndindex(x.shape[: x.ndim - ndim]):
        named = {name: array[index] for name, array in zip(names, others, strict=True)}
        yield x[index], named, [array[(*index, ...)] for array in out]


@_xla.target
def loss(x: Any, *others: Any, out: Any, name: str, names: Any, ndim: int, **options: Any) -> None:
    function = getattr(_losses, name)
    for y, named, (value,) in _each(x, others, names, out, ndim):
        function(y, **named, **options, out=value)


@_xla.target
def loss_with_grad(
    x: Any, *others: Any, out: Any, name: str, names: Any, ndim: int, **options: Any
) -> None:
    function = getattr(_losses, name + "_with_grad")
    for y, named, (value, grad) in _each(x, others, names, out, ndim):
        value[...], _ = function(y, **named, **options, out=grad)


@_xla.target
def curvature(
    x: Any, *others: Any, out: Any, name: str, names: Any, ndim: int, **options: Any
) -> None:
    """The constants of the second derivative: a and 1/Σa of softmax, 1/a of probabilities, else a."""
    eps = options.pop("eps", None)
    for y, named, results in _each(x, others, names, out, ndim):
        zeros = np.zeros(y.shape, np.promote_types(y.dtype, np.float32))
        if name == "softmax_cross_entropy":
            results[0][...], results[1][...] = target_weights(np, zeros, **named, **options)
        elif name == "cross_entropy":  # below eps, the loss is as if constant
            a, _ = target_weights(np, zeros, named.pop("t"), **named, **options)
            results[0][...] = inverse(np, a) * (y >= eps)
        elif name == "sigmoid_cross_entropy":
            results[0][...] = element_weights(np, zeros, **named, **options)
        else:
            del named["t"]
            results[0][...] = row_weights(np, zeros, **named, **options)


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
    if spec.name != "softmax_cross_entropy":
        a = spec.call("curvature", _like(x), x, tuple(others))
        if spec.name == "cross_entropy":
            dgrad = logarithm_curvature(grad, dx, a)
        elif spec.name == "sigmoid_cross_entropy":
            dgrad = logistic_curvature(jnp, _sigmoid, x, dx, a)
        else:
            dgrad = a * dx
    else:
        axis = dict(spec.options)["axis"]
        shape = tuple(1 if i == axis % x.ndim else n for i, n in enumerate(x.shape))
        sums = jax.ShapeDtypeStruct(shape, x.dtype)
        a, inverse_total = spec.call("curvature", (_like(x), sums), x, tuple(others))
        dgrad = softmax_curvature(grad, dx, a, inverse_total, axis)
    return (value, grad), (spec.total(grad * dx), dgrad)


def _constants(**arrays: Any) -> dict[str, Array]:
    """Those of the arrays that there are, without a derivative."""
    return {k: stop_gradient(jnp.asarray(v)) for k, v in arrays.items() if v is not None}


def _ones(array: Array | None) -> Any:
    """An array of NumPy's that looks like it and that no function refuses for what is in it."""
    return None if array is None else np.broadcast_to(np.ones((), array.dtype), array.shape)


def _room(array: Array) -> Any:
    """The same of which nothing is looked at, and no copy is made to have it row after row."""
    return np.empty(array.shape, array.dtype)


def _checked(
    argument: str, x: Any, others: dict[str, Array], axis: int, options: dict[str, Any]
) -> dict[str, Any]:
    """The options of a cross-entropy, with whatever can be told before the program runs refused now."""
    if not x.shape[axis]:
        return options
    # Class 0 is in range, so that nothing but types, shapes and options can be refused.
    targets = next(iter(others.values()))
    call = _arguments.check_class_loss(
        argument,
        _ones(x),
        np.broadcast_to(np.zeros((), targets.dtype), targets.shape),
        axis,
        _ones(others.get("weight")),
        options.get("ignore_index"),
        options.get("label_smoothing", 0.0),
        options["reduction"],
        _ones(others.get("sample_weight")),
    )
    if "ignore_index" not in options:
        return options
    return options | {"ignore_index": call.ignore_index, "label_smoothing": call.label_smoothing}


def _class_loss(
    name: str, argument: str, x: Array, others: dict[str, Array], axis: int, **options: Any
) -> Array:
    """A cross-entropy over classes, `argument` what it calls x, the targets first among the others."""
    axis = _axis(axis, x.ndim)
    options = {"axis": axis} | _checked(argument, x, others, axis, options)
    summed = (axis,) if options["reduction"] == "none" else tuple(range(-x.ndim, 0))
    spec = _Spec(name, x.ndim, summed, tuple(options.items()), tuple(others))
    return _loss(spec, x, *others.values())


def softmax_cross_entropy(
    logits: Array,
    targets: Array,
    *,
    axis: int = -1,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
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
    sample_weight : array_like, shape of the class indices, optional
        Weight of each row.
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
        _constants(targets=targets, weight=weight, sample_weight=sample_weight),
        axis,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )


def cross_entropy(
    p: Array,
    t: Array,
    *,
    axis: int = -1,
    eps: float = 0.0,
    sample_weight: Array | None = None,
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
    sample_weight : array_like, shape of the class indices, optional
        Weight of each row.
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
    x, others = _floats(p, "p"), _constants(t=t, sample_weight=sample_weight)
    eps = _arguments.check_eps(eps)
    return _class_loss("cross_entropy", "p", x, others, axis, reduction=reduction, eps=eps)


def sigmoid_cross_entropy(
    logits: Array,
    targets: Array,
    *,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    sample_weight: Array | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Array:
    """Cross-entropy of the sigmoid of logits, as `ffkernels.sigmoid_cross_entropy`.

    Parameters
    ----------
    logits : array_like, shape (N, ...)
        Scores of a yes.
    targets : array_like, of the same shape
        1 for yes, 0 for no, or the probability of a yes.
    weight, pos_weight : array_like, optional
        Weight of each element, and of a yes against a no; they broadcast to the shape of ``logits``.
    sample_weight : array_like, shape (N,), optional
        Weight of each row.
    reduction : {"mean", "sum", "none"}
        How the losses of the elements become one.

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import sigmoid_cross_entropy
    >>> jax.grad(sigmoid_cross_entropy)(jnp.zeros((1, 2)), jnp.array([[1, 0]]))
    Array([[-0.25,  0.25]], dtype=float32)
    """
    x = _floats(logits, "logits")
    others = _constants(
        targets=_floats(targets, "targets").astype(x.dtype),
        weight=weight,
        pos_weight=pos_weight,
        sample_weight=sample_weight,
    )
    each, positive, rows = (
        _ones(others.get(name)) for name in ("weight", "pos_weight", "sample_weight")
    )
    t = _room(others["targets"])
    _arguments.check_sigmoid_loss(_room(x), t, each, positive, rows, reduction, halves=True)
    summed = () if reduction == "none" else tuple(range(-x.ndim, 0))
    options = (("reduction", reduction),)
    spec = _Spec("sigmoid_cross_entropy", x.ndim, summed, options, tuple(others))
    return _loss(spec, x, *others.values())


def sum_squared_error(
    y: Array,
    t: Array,
    *,
    sample_weight: Array | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Array:
    """Half the sum of squared errors, ½ Σ (y - t)² a row, as `ffkernels.sum_squared_error`.

    Parameters
    ----------
    y, t : array_like, shape (N, ...)
        Outputs and targets, of one shape; derivatives are taken by both.
    sample_weight : array_like, shape (N,), optional
        Weight of each row.
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
    dtype = jnp.promote_types(x.dtype, t.dtype)
    weights = _constants(sample_weight=sample_weight)
    rows = _ones(weights.get("sample_weight"))
    _arguments.check_squared_error(_room(x), _room(t), reduction, rows, halves=True)
    by_row = reduction == "none" and x.ndim > 1
    summed = tuple(range(1 - x.ndim if by_row else -x.ndim, 0))
    options = (("reduction", reduction),)
    spec = _Spec("sum_squared_error", x.ndim, summed, options, ("t", *weights))
    return _loss(spec, x.astype(dtype), t.astype(dtype), *weights.values())


# ---- the loss of a last layer ----------------------------------------------------------------------


class _Layer(NamedTuple):
    """What JAX compiles for: the options, and the names of the arrays that x, w and b come with."""

    options: tuple[tuple[str, Any], ...]
    others: tuple[str, ...]

    def call(self, target: str, results: Any, layer: Any, others: tuple[Array, ...]) -> Any:
        names = (*("x", "w", "b")[: len(layer)], *self.others)
        return _xla.call(target, results, *layer, *others, names=names, **dict(self.options))

    def whole(self, layer: Any, others: tuple[Array, ...]) -> Array:
        """The same by way of the logits."""
        x, w, *b = layer
        logits = jnp.matmul(x, w, precision="highest")
        options = dict(self.options) | dict(zip(self.others, others, strict=True))
        del options["chunk_bytes"]
        return softmax_cross_entropy(logits + b[0] if b else logits, **options)


@_xla.target
def linear_loss(*arrays: Any, out: Any, names: Any, **options: Any) -> None:
    for x, named, (value,) in _each(arrays[0], arrays[1:], names[1:], out, 2):
        value[...] = _linear.linear_cross_entropy(x, **named, **options)


@_xla.target
def linear_loss_with_grad(*arrays: Any, out: Any, names: Any, **options: Any) -> None:
    function = _linear.linear_cross_entropy_with_grad
    for x, named, (value, dx, dw, *db) in _each(arrays[0], arrays[1:], names[1:], out, 2):
        value[...], _ = function(x, **named, **options, out=(dx, dw, db[0] if db else None))


def _value(x: Array) -> Any:
    return jax.ShapeDtypeStruct((), jnp.promote_types(x.dtype, jnp.float32))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _linear_loss(spec: _Layer, layer: Any, *others: Array) -> Array:
    return spec.call("linear_loss", _value(layer[0]), layer, others)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _linear_loss_with_grad(spec: _Layer, layer: Any, *others: Array) -> tuple[Array, Any]:
    results = (_value(layer[0]), *map(_like, layer))
    value, *grads = spec.call("linear_loss_with_grad", results, layer, others)
    return value, tuple(grads)


@_linear_loss.defjvp
def _(spec: _Layer, primals: Any, tangents: Any) -> Any:
    value, grads = _linear_loss_with_grad(spec, *primals)
    steps = [(g * v).sum(dtype=value.dtype) for g, v in zip(grads, tangents[0], strict=True)]
    return value, sum(steps[1:], steps[0])


@_linear_loss_with_grad.defjvp
def _(spec: _Layer, primals: Any, tangents: Any) -> Any:
    layer, *others = primals
    whole = jax.value_and_grad(lambda layer: spec.whole(layer, tuple(others)))
    return _linear_loss_with_grad(spec, *primals), jax.jvp(whole, (layer,), (tangents[0],))[1]


def linear_cross_entropy(
    x: Array,
    w: Array,
    targets: Array,
    b: Array | None = None,
    *,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: Array | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    chunk_bytes: int | None = None,
) -> Array:
    """`softmax_cross_entropy` of x·w + b without the logits, as `ffkernels.linear_cross_entropy`.

    The losses of the rows are always added up: of each alone there is no gradient without the logits.
    Second derivatives are those of `softmax_cross_entropy`, and make the logits. Arrays of JAX lie row
    after row: a transpose of weights kept as (C, D) is a copy here.

    Parameters
    ----------
    x : array_like, shape (N, D)
    w : array_like, shape (D, C)
    targets : array_like
        Class indices, of shape (N,), or probabilities, of shape (N, C).
    b : array_like, shape (C,), optional
    weight, ignore_index, label_smoothing, sample_weight
        As `softmax_cross_entropy` takes them.
    reduction : {"mean", "sum"}
        How the losses of the rows become one.
    chunk_bytes : int, optional
        Working memory, 32 MiB unless told otherwise.

    Returns
    -------
    jax.Array

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from ffkernels.adapters.jax import linear_cross_entropy
    >>> jax.grad(linear_cross_entropy, 1)(jnp.ones((1, 2)), jnp.zeros((2, 2)), jnp.array([1]))
    Array([[ 0.5, -0.5],
           [ 0.5, -0.5]], dtype=float32)
    """
    refuse_none(reduction)
    layer = [_floats(x, "x"), _floats(w, "w"), *([] if b is None else [_floats(b, "b")])]
    alike = _check_layer(*map(_ones, layer), *([None] if b is None else []))
    chunk_bytes = _check_chunk_bytes(chunk_bytes)
    others = _constants(targets=targets, weight=weight, sample_weight=sample_weight)
    options = {
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "reduction": reduction,
    }
    options = _checked("logits", alike.scores(), others, -1, options)
    spec = _Layer((*options.items(), ("chunk_bytes", chunk_bytes)), tuple(others))
    return _linear_loss(spec, tuple(layer), *others.values())
