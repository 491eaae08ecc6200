"""The activations and losses as functions of PyTorch's CPU tensors, with their gradients.

Names, arguments and meanings are those of `ffkernels`, less ``out``. Tensors are read, and results
are handed back, without a copy. Gradients flow to the first argument, and to both of
`sum_squared_error`; they may be differentiated in their turn. A loss of float16 comes in float32.

Each function raises TypeError for what is not a tensor of float16, float32 or float64, ValueError for
one that is not on the CPU, and otherwise what its namesake in `ffkernels` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from .. import activations as _activations
from .. import losses as _losses
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


_FLOATS = (torch.float16, torch.float32, torch.float64)


def _array(tensor: Any, name: str) -> Any:
    """A tensor's memory as an array."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.device.type != "cpu":
        raise ValueError(f"{name}: expected a tensor on the CPU, got one on {tensor.device}")
    return tensor.detach().numpy()


def _floats(tensor: Any, name: str) -> Any:
    if isinstance(tensor, Tensor) and tensor.dtype not in _FLOATS:
        raise TypeError(
            f"{name}: expected a tensor of float16, float32 or float64, got {tensor.dtype}"
        )
    return _array(tensor, name)


def _constant(value: Any, name: str) -> Any:
    """A tensor or array that no gradient flows to."""
    if not isinstance(value, Tensor):
        return value
    if value.requires_grad:
        raise ValueError(f"{name}: expected a tensor that needs no gradient; detach() it")
    return _array(value, name)


def _tensor(result: Any) -> Tensor:
    """An array's memory as a tensor."""
    return torch.from_numpy(np.asarray(result))


def _dtype(tensor: Tensor) -> Any:
    return _array(tensor, "grad").dtype


def _activation(
    function: Callable[..., Any],
    backward: Callable[..., Any],
    formula: Callable[..., Tensor],
) -> Any:
    """An activation whose backward needs no more than its result.

    `formula` is `backward` in PyTorch's terms, for gradients that are differentiated again.
    """

    class Activation(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, *axis: int) -> Tensor:
            y = _tensor(function(_floats(x, "x"), *axis))
            ctx.axis = axis
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Any:
            (y,) = ctx.saved_tensors
            if torch.is_grad_enabled():
                dx = formula(dy, y, *ctx.axis)
            else:
                dx = _tensor(backward(_array(dy, "dy"), _array(y, "y"), *ctx.axis))
            return dx, *(None for _ in ctx.axis)

    return Activation


_Relu = _activation(
    _activations.relu, _activations.relu_backward, lambda dy, y: torch.where(y > 0, dy, 0)
)
_Sigmoid = _activation(
    _activations.sigmoid, _activations.sigmoid_backward, lambda dy, y: dy * y * (1 - y)
)
_Tanh = _activation(_activations.tanh, _activations.tanh_backward, lambda dy, y: dy * (1 - y * y))
_Softmax = _activation(
    _activations.softmax,
    _activations.softmax_backward,
    lambda dy, y, axis: y * (dy - (dy * y).sum(axis, keepdim=True)),
)
_LogSoftmax = _activation(
    _activations.log_softmax,
    _activations.log_softmax_backward,
    lambda dy, y, axis: dy - y.exp() * dy.sum(axis, keepdim=True),
)


def relu(x: Tensor) -> Tensor:
    """max(x, 0), as `ffkernels.relu`; its derivative at 0 is 0.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import relu
    >>> relu(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return _Relu.apply(x)


def sigmoid(x: Tensor) -> Tensor:
    """1/(1 + e⁻ˣ), as `ffkernels.sigmoid`.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import sigmoid
    >>> sigmoid(torch.tensor([0.0]))
    tensor([0.5000])
    """
    return _Sigmoid.apply(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, as `ffkernels.tanh`.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import tanh
    >>> tanh(torch.tensor([0.0]))
    tensor([0.])
    """
    return _Tanh.apply(x)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """eˣ/Σeˣ along an axis, as `ffkernels.softmax`.

    Parameters
    ----------
    x : Tensor
    axis : int
        The axis of the classes.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import softmax
    >>> softmax(torch.zeros(2))
    tensor([0.5000, 0.5000])
    """
    return _Softmax.apply(x, axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Logarithm of softmax along an axis, as `ffkernels.log_softmax`.

    Parameters
    ----------
    x : Tensor
    axis : int
        The axis of the classes.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import log_softmax
    >>> log_softmax(torch.zeros(2))
    tensor([-0.6931, -0.6931])
    """
    return _LogSoftmax.apply(x, axis)


class _LogSumExp(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int) -> Tensor:
        ctx.axis = axis
        ctx.save_for_backward(x)
        return _tensor(_activations.logsumexp(_floats(x, "x"), axis, keepdims=True))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return dy * softmax(x, ctx.axis), None


def logsumexp(x: Tensor, axis: int = -1, *, keepdims: bool = False) -> Tensor:
    """Logarithm of Σeˣ along an axis, as `ffkernels.logsumexp`.

    Parameters
    ----------
    x : Tensor
    axis : int
        The axis to sum along.
    keepdims : bool
        Keep that axis, with length 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import logsumexp
    >>> logsumexp(torch.zeros(2))
    tensor(0.6931)
    """
    y = _LogSumExp.apply(x, axis)
    return y if keepdims else y.squeeze(axis)


class _Loss(Function):
    """A loss of x, or of x - t, whose gradient is computed with it.

    The gradient is a second result, so that what is made of it can be differentiated in its turn
    without keeping x: `curvature` gives the second derivative at x times a tensor from the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        t: Tensor | None,
        loss: Callable[[Any], Any],
        loss_with_grad: Callable[[Any], Any],
        spread: Callable[[Tensor], Tensor],
        curvature: Callable[[Tensor, Tensor], Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        array = _floats(x, "x")
        if not any(ctx.needs_input_grad[:2]):
            return _tensor(loss(array)), None
        ctx.set_materialize_grads(False)
        ctx.spread, ctx.curvature = spread, curvature
        value, grad = (_tensor(result) for result in loss_with_grad(array))
        ctx.save_for_backward(grad)
        return value, grad

    @staticmethod
    def backward(ctx: Any, dloss: Tensor | None, dgrad: Tensor | None) -> Any:
        (grad,) = ctx.saved_tensors
        dx = None
        if dloss is not None:
            dx = grad.detach()
            if torch.is_grad_enabled() or dloss.dim() or dloss.item() != 1:
                dx = (grad * ctx.spread(dloss)).to(grad.dtype)
        if dgrad is not None:
            second = ctx.curvature(grad, dgrad)
            dx = second if dx is None else dx + second
        dt = -dx if ctx.needs_input_grad[1] and dx is not None else None
        return dx, dt, None, None, None, None


def _along(axis: int) -> Callable[[Tensor], Tensor]:
    """What gives a gradient for each row the dimensions of the logits."""
    return lambda dloss: dloss.unsqueeze(axis) if dloss.dim() else dloss


def softmax_cross_entropy(
    logits: Tensor,
    targets: Any,
    *,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Cross-entropy of the softmax of logits, as `ffkernels.softmax_cross_entropy`.

    Loss and gradient come from one pass over the logits, which are not kept.

    Parameters
    ----------
    logits : Tensor, shape (..., C, ...)
    targets : Tensor or array_like
        Class indices, integers of the shape of ``logits`` less ``axis``, or probabilities of its full
        shape; no gradient flows to them.
    axis : int
        The axis of the classes.
    weight : Tensor or array_like, shape (C,), optional
        Weight of each class.
    ignore_index : int, optional
        Class index of rows that do not count.
    label_smoothing : float in [0, 1]
        Share of each target spread evenly over the classes.
    reduction : {"mean", "sum", "none"}
        How the losses of the rows become one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import softmax_cross_entropy
    >>> logits = torch.zeros(1, 2, requires_grad=True)
    >>> softmax_cross_entropy(logits, torch.tensor([1])).backward()
    >>> logits.grad
    tensor([[ 0.5000, -0.5000]])
    """
    targets, weight = _constant(targets, "targets"), _constant(weight, "weight")
    options = {
        "axis": axis,
        "weight": weight,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "reduction": reduction,
    }

    def curvature(grad: Tensor, v: Tensor) -> Tensor:
        a, inverse_total = target_weights(grad.shape, _dtype(grad), targets, **options)
        return softmax_curvature(grad, v, _tensor(a), _tensor(inverse_total), axis)

    return _Loss.apply(
        logits,
        None,
        lambda x: _losses.softmax_cross_entropy(x, targets, **options),
        lambda x: _losses.softmax_cross_entropy_with_grad(x, targets, **options),
        _along(axis),
        curvature,
    )[0]


def cross_entropy(
    p: Tensor,
    t: Any,
    *,
    axis: int = -1,
    eps: float = 0.0,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Cross-entropy of probabilities, as `ffkernels.cross_entropy`.

    Parameters
    ----------
    p : Tensor, shape (..., C, ...)
        Probabilities; from logits, prefer `softmax_cross_entropy`.
    t : Tensor or array_like
        Class indices, integers of the shape of ``p`` less ``axis``, or probabilities of its full
        shape; no gradient flows to them.
    axis : int
        The axis of the classes.
    eps : float in [0, 1]
        Probabilities below it count as it; their gradient is that at ``eps``.
    reduction : {"mean", "sum", "none"}
        How the losses of the rows become one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import cross_entropy
    >>> cross_entropy(torch.tensor([[0.5, 0.5]]), torch.tensor([1]))
    tensor(0.6931)
    """
    t = _constant(t, "t")

    def curvature(grad: Tensor, v: Tensor) -> Tensor:
        a, _ = target_weights(grad.shape, _dtype(grad), t, axis, reduction=reduction)
        bent = _array(p, "p") >= eps  # below it, the loss is as if constant
        return logarithm_curvature(grad, v, _tensor(inverse(a) * bent))

    return _Loss.apply(
        p,
        None,
        lambda x: _losses.cross_entropy(x, t, axis=axis, eps=eps, reduction=reduction),
        lambda x: _losses.cross_entropy_with_grad(x, t, axis=axis, eps=eps, reduction=reduction),
        _along(axis),
        curvature,
    )[0]


def sum_squared_error(
    y: Tensor, t: Tensor, *, reduction: Literal["mean", "sum", "none"] = "mean"
) -> Tensor:
    """Half the sum of squared errors, ½ Σ (y - t)² a row, as `ffkernels.sum_squared_error`.

    Parameters
    ----------
    y, t : Tensor, shape (N, ...)
        Outputs and targets, of one shape; gradients flow to both.
    reduction : {"mean", "sum", "none"}
        How the losses of the rows become one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import sum_squared_error
    >>> sum_squared_error(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    tensor(2.5000)
    """
    targets = _floats(t, "t")
    rows = len(y) if isinstance(y, Tensor) and y.dim() > 1 else 1
    factor = 1 / rows if reduction == "mean" and rows else 1.0
    return _Loss.apply(
        y,
        t,
        lambda x: _losses.sum_squared_error(x, targets, reduction=reduction),
        lambda x: _losses.sum_squared_error_with_grad(x, targets, reduction=reduction),
        lambda dloss: dloss.reshape(dloss.shape + (1,) * (y.dim() - 1)) if dloss.dim() else dloss,
        lambda grad, v: v * factor,
    )[0]
