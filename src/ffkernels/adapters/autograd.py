"""The activations and losses as primitives of HIPS autograd, differentiable to any order.

Names, arguments and meanings are those of `ffkernels`, less ``out``. Gradients flow to the first
argument, to both of `sum_squared_error`, and to inputs, weights and bias of `linear_cross_entropy`,
forwards and backwards; for another autograd raises NotImplementedError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import activations as _activations
from .. import linear as _linear
from .. import losses as _losses
from ._extras import missing

try:
    import autograd.numpy as anp
except ModuleNotFoundError as error:
    raise missing(error, "autograd") from None

from autograd import grad, make_jvp
from autograd.extend import defjvp, defvjp, primitive
from autograd.tracer import getval, isbox

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


# Each activation's backward pass is a primitive too. All its Jacobians but that of log_softmax are
# symmetric, so that tangents take the same way as gradients.

relu = primitive(_activations.relu)
sigmoid = primitive(_activations.sigmoid)
tanh = primitive(_activations.tanh)
softmax = primitive(_activations.softmax)
log_softmax = primitive(_activations.log_softmax)
logsumexp = primitive(_activations.logsumexp)

_relu_backward = primitive(_activations.relu_backward)
_sigmoid_backward = primitive(_activations.sigmoid_backward)
_tanh_backward = primitive(_activations.tanh_backward)
_softmax_backward = primitive(_activations.softmax_backward)
_log_softmax_backward = primitive(_activations.log_softmax_backward)


def _define_elementwise(function: Any, backward: Any, bend: Callable[[Any, Any], Any]) -> None:
    """`bend(dy, y)` is the derivative of ``backward(dy, y)`` by y."""
    defvjp(function, lambda ans, x: lambda g: backward(g, ans))
    defjvp(function, lambda g, ans, x: backward(g, ans))
    defvjp(
        backward,
        lambda ans, dy, y: lambda g: backward(g, y),
        lambda ans, dy, y: lambda g: g * bend(dy, y),
    )
    defjvp(backward, "same", lambda g, ans, dy, y: g * bend(dy, y))


_define_elementwise(relu, _relu_backward, lambda dy, y: anp.zeros_like(y))
_define_elementwise(sigmoid, _sigmoid_backward, lambda dy, y: dy * (1 - 2 * y))
_define_elementwise(tanh, _tanh_backward, lambda dy, y: -2 * dy * y)


def _from_input(name: str) -> Any:
    """An activation whose derivative needs its input."""
    function = primitive(getattr(_activations, name))
    backward = primitive(getattr(_activations, f"{name}_backward"))

    def bent(dy: Any, x: Any, *number: Any, **named: Any) -> Any:
        return dy * BENDS[name](anp, sigmoid, x, *number, **named)

    defvjp(function, lambda ans, x, *n, **named: lambda g: backward(g, x, *n, **named))
    defjvp(function, lambda g, ans, x, *n, **named: backward(g, x, *n, **named))
    defvjp(
        backward,
        lambda ans, dy, *rest, **named: lambda g: backward(g, *rest, **named),
        lambda ans, dy, *rest, **named: lambda g: g * bent(dy, *rest, **named),
    )
    defjvp(backward, "same", lambda g, ans, dy, *rest, **named: g * bent(dy, *rest, **named))
    return function


elu = _from_input("elu")
gelu = _from_input("gelu")
hard_sigmoid = _from_input("hard_sigmoid")
leaky_relu = _from_input("leaky_relu")
silu = _from_input("silu")
softplus = _from_input("softplus")


def _sum(x: Any, axis: int) -> Any:
    return anp.sum(x, axis=axis, keepdims=True)


defvjp(softmax, lambda ans, x, axis=-1: lambda g: _softmax_backward(g, ans, axis))
defjvp(softmax, lambda g, ans, x, axis=-1: _softmax_backward(g, ans, axis))
defvjp(
    _softmax_backward,
    lambda ans, dy, y, axis: lambda g: _softmax_backward(g, y, axis),
    lambda ans, dy, y, axis: lambda g: g * (dy - _sum(dy * y, axis)) - dy * _sum(g * y, axis),
)
defjvp(
    _softmax_backward,
    "same",
    lambda g, ans, dy, y, axis: g * (dy - _sum(dy * y, axis)) - y * _sum(dy * g, axis),
)

defvjp(log_softmax, lambda ans, x, axis=-1: lambda g: _log_softmax_backward(g, ans, axis))
defjvp(log_softmax, lambda g, ans, x, axis=-1: g - _sum(g * anp.exp(ans), axis))
defvjp(
    _log_softmax_backward,
    lambda ans, dy, y, axis: lambda g: g - _sum(g * anp.exp(y), axis),
    lambda ans, dy, y, axis: lambda g: -g * anp.exp(y) * _sum(dy, axis),
)
defjvp(
    _log_softmax_backward,
    "same",
    lambda g, ans, dy, y, axis: -g * anp.exp(y) * _sum(dy, axis),
)

defvjp(
    logsumexp,
    lambda ans, x, axis=-1, keepdims=False: lambda g: (
        softmax(x, axis) * (g if keepdims else anp.expand_dims(g, axis))
    ),
)
defjvp(
    logsumexp,
    lambda g, ans, x, axis=-1, keepdims=False: anp.sum(
        softmax(x, axis) * g, axis=axis, keepdims=keepdims
    ),
)


class _Computed(NamedTuple):
    """A loss of x, or of x - t, with its gradient, computed in one pass before it is traced."""

    loss: Any
    grad: Any
    axes: tuple[int, ...]  # that the loss is a sum along
    curvature: Callable[[Any, Any, Any], Any]  # the second derivative times v, of x, grad, v

    def spread(self, g: Any) -> Any:
        """What comes from behind, for each number of x."""
        axes, shape = self.axes, self.grad.shape
        return anp.reshape(g, [1 if axis in axes else n for axis, n in enumerate(shape)])


@primitive
def _loss(x: Any, t: Any, computed: _Computed) -> Any:
    return computed.loss


@primitive
def _gradient(x: Any, t: Any, computed: _Computed) -> Any:
    return computed.grad


defvjp(
    _loss,
    lambda ans, *args: lambda g: args[-1].spread(g) * _gradient(*args),
    lambda ans, *args: lambda g: -args[-1].spread(g) * _gradient(*args),
)
defjvp(
    _loss,
    lambda g, ans, *args: anp.sum(g * _gradient(*args), axis=args[-1].axes),
    lambda g, ans, *args: -anp.sum(g * _gradient(*args), axis=args[-1].axes),
)
defvjp(
    _gradient,
    lambda ans, *args: lambda g: args[-1].curvature(args[0], _gradient(*args), g),
    lambda ans, *args: lambda g: -args[-1].curvature(args[0], _gradient(*args), g),
)
defjvp(
    _gradient,
    lambda g, ans, *args: args[-1].curvature(args[0], _gradient(*args), g),
    lambda g, ans, *args: -args[-1].curvature(args[0], _gradient(*args), g),
)


def _wide_zeros(grad: Any) -> Any:
    """Half precision would lose count of the rows."""
    return np.zeros(grad.shape, np.promote_types(grad.dtype, np.float32))


def _axes(loss: Any, ndim: int, summed: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis % ndim for axis in summed) if loss.ndim else tuple(range(ndim))


def _refuse_traced(**constants: Any) -> None:
    for name, value in constants.items():
        if isbox(value):
            raise NotImplementedError(f"{name}: expected an array that no gradient is taken by")


def softmax_cross_entropy(
    logits: Any,
    targets: Any,
    *,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Any:
    """Cross-entropy of the softmax of logits, as `ffkernels.softmax_cross_entropy`.

    Where a gradient will be taken, loss and gradient come from one pass over the logits.

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
    scalar or ndarray

    Raises
    ------
    NotImplementedError
        If a gradient is taken by targets, weight or sample_weight.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from ffkernels.adapters.autograd import softmax_cross_entropy
    >>> grad(softmax_cross_entropy)(np.zeros((1, 2)), [1])
    array([[ 0.5, -0.5]])
    """
    _refuse_traced(targets=targets, weight=weight, sample_weight=sample_weight)
    options = {
        "axis": axis,
        "weight": weight,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "sample_weight": sample_weight,
        "reduction": reduction,
    }
    if not isbox(logits):
        return _losses.softmax_cross_entropy(logits, targets, **options)
    loss, grad = _losses.softmax_cross_entropy_with_grad(getval(logits), targets, **options)

    def curvature(x: Any, grad: Any, v: Any) -> Any:
        a, inverse_total = target_weights(np, _wide_zeros(grad), targets, **options)
        return softmax_curvature(grad, v, a, inverse_total, axis).astype(grad.dtype)

    return _loss(logits, None, _Computed(loss, grad, _axes(loss, grad.ndim, (axis,)), curvature))


def cross_entropy(
    p: Any,
    t: Any,
    *,
    axis: int = -1,
    eps: float = 0.0,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Any:
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
    scalar or ndarray

    Raises
    ------
    NotImplementedError
        If a gradient is taken by t or sample_weight.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from ffkernels.adapters.autograd import cross_entropy
    >>> float(grad(cross_entropy)(np.array([[0.5, 0.5]]), [1])[0, 1])
    -2.0
    """
    _refuse_traced(t=t, sample_weight=sample_weight)
    options = {"axis": axis, "sample_weight": sample_weight, "reduction": reduction}
    if not isbox(p):
        return _losses.cross_entropy(p, t, eps=eps, **options)
    value = getval(p)
    loss, grad = _losses.cross_entropy_with_grad(value, t, eps=eps, **options)

    def curvature(x: Any, grad: Any, v: Any) -> Any:
        a, _ = target_weights(np, _wide_zeros(grad), t, **options)
        bent = value >= eps  # below it, the loss is as if constant
        return logarithm_curvature(grad, v, inverse(np, a) * bent).astype(grad.dtype)

    return _loss(p, None, _Computed(loss, grad, _axes(loss, grad.ndim, (axis,)), curvature))


def sigmoid_cross_entropy(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    pos_weight: Any = None,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Any:
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
    scalar or ndarray

    Raises
    ------
    NotImplementedError
        If a gradient is taken by targets or a weight.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from ffkernels.adapters.autograd import sigmoid_cross_entropy
    >>> grad(sigmoid_cross_entropy)(np.zeros((1, 2)), [[1, 0]])
    array([[-0.25,  0.25]])
    """
    options = {
        "targets": targets,
        "weight": weight,
        "pos_weight": pos_weight,
        "sample_weight": sample_weight,
    }
    _refuse_traced(**options)
    if not isbox(logits):
        return _losses.sigmoid_cross_entropy(logits, **options, reduction=reduction)
    loss, grad = _losses.sigmoid_cross_entropy_with_grad(
        getval(logits), **options, reduction=reduction
    )

    def curvature(x: Any, grad: Any, v: Any) -> Any:
        a = element_weights(np, _wide_zeros(grad), **options, reduction=reduction)
        return logistic_curvature(anp, sigmoid, x, v, a).astype(grad.dtype)

    axes = () if reduction == "none" else tuple(range(grad.ndim))
    return _loss(logits, None, _Computed(loss, grad, axes, curvature))


def linear_cross_entropy(
    x: Any,
    w: Any,
    targets: Any,
    b: Any = None,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum"] = "mean",
    chunk_bytes: int | None = None,
) -> Any:
    """`softmax_cross_entropy` of x·w + b without the logits, as `ffkernels.linear_cross_entropy`.

    The losses of the rows are always added up: of each alone there is no gradient without the logits.
    Second derivatives are those of `softmax_cross_entropy`, and make the logits.

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
    scalar

    Raises
    ------
    NotImplementedError
        If a gradient is taken by targets, weight or sample_weight.
    ValueError
        If ``reduction`` is ``"none"``.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from ffkernels.adapters.autograd import linear_cross_entropy
    >>> grad(linear_cross_entropy, 1)(np.ones((1, 2)), np.zeros((2, 2)), [1])
    array([[ 0.5, -0.5],
           [ 0.5, -0.5]])
    """
    _refuse_traced(targets=targets, weight=weight, sample_weight=sample_weight)
    refuse_none(reduction)
    options = {
        "weight": weight,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "sample_weight": sample_weight,
        "reduction": reduction,
    }
    if not (isbox(x) or isbox(w) or isbox(b)):
        return _linear.linear_cross_entropy(x, w, targets, b, **options, chunk_bytes=chunk_bytes)
    loss, grads = _linear.linear_cross_entropy_with_grad(
        getval(x), getval(w), targets, getval(b), **options, chunk_bytes=chunk_bytes
    )

    def whole(x: Any, w: Any, b: Any) -> Any:
        logits = anp.dot(x, w)
        return softmax_cross_entropy(logits if b is None else logits + b, targets, **options)

    return _linear_loss(x, w, b, _Layer(loss, grads, whole))


class _Layer(NamedTuple):
    """A loss of x·w + b with its gradients, computed before it is traced."""

    loss: Any
    grads: tuple[Any, ...]
    whole: Callable[[Any, Any, Any], Any]  # the same by way of the logits

    def bent(self, k: int, layer: tuple[Any, ...], v: Any, by: int) -> Any:
        """The derivative of the k-th gradient times v by one of x, w and b."""
        return grad(lambda *layer: anp.sum(grad(self.whole, k)(*layer) * v), by)(*layer)

    def moved(self, k: int, layer: tuple[Any, ...], v: Any, by: int) -> Any:
        """How the k-th gradient changes where one of x, w and b does by v."""
        return make_jvp(grad(self.whole, k), by)(*layer)(v)[1]


@primitive
def _linear_loss(x: Any, w: Any, b: Any, computed: _Layer) -> Any:
    return computed.loss


@primitive
def _linear_gradient(x: Any, w: Any, b: Any, computed: _Layer, k: int) -> Any:
    return computed.grads[k]


def _back(k: int) -> Any:
    return lambda ans, *args: lambda g: g * _linear_gradient(*args, k)


def _forth(k: int) -> Any:
    return lambda g, ans, *args: anp.sum(g * _linear_gradient(*args, k))


def _bent(by: int) -> Any:
    return lambda ans, *args: lambda g: args[3].bent(args[4], args[:3], g, by)


def _moved(by: int) -> Any:
    return lambda g, ans, *args: args[3].moved(args[4], args[:3], g, by)


defvjp(_linear_loss, *map(_back, range(3)))
defjvp(_linear_loss, *map(_forth, range(3)))
defvjp(_linear_gradient, *map(_bent, range(3)))
defjvp(_linear_gradient, *map(_moved, range(3)))


def sum_squared_error(
    y: Any,
    t: Any,
    *,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Any:
    """Half the sum of squared errors, ½ Σ (y - t)² a row, as `ffkernels.sum_squared_error`.

    Parameters
    ----------
    y, t : array_like, shape (N, ...)
        Outputs and targets, of one shape; gradients are taken by both.
    sample_weight : array_like, shape (N,), optional
        Weight of each row.
    reduction : {"mean", "sum", "none"}
        How the losses of the rows become one.

    Returns
    -------
    scalar or ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from ffkernels.adapters.autograd import sum_squared_error
    >>> grad(sum_squared_error)(np.array([[1.0, 2.0]]), np.zeros((1, 2)))
    array([[1., 2.]])
    """
    _refuse_traced(sample_weight=sample_weight)
    options = {"sample_weight": sample_weight, "reduction": reduction}
    if not (isbox(y) or isbox(t)):
        return _losses.sum_squared_error(y, t, **options)
    loss, grad = _losses.sum_squared_error_with_grad(getval(y), getval(t), **options)
    factor = row_weights(np, grad, **options)
    axes = _axes(loss, grad.ndim, tuple(range(1, grad.ndim)))

    def curvature(x: Any, grad: Any, v: Any) -> Any:
        return (factor * v).astype(grad.dtype)

    return _loss(y, t, _Computed(loss, grad, axes, curvature))
