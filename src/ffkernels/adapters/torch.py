"""The activations and losses as functions of PyTorch's CPU tensors, with their gradients.

Names, arguments and meanings are those of `ffkernels`, less ``out``. Tensors are read, and results
are handed back, without a copy. Derivatives are taken by the first argument, by both of
`sum_squared_error`, and by inputs, weights and bias of `linear_cross_entropy`, backwards and forwards;
they may be differentiated in their turn. A loss of float16 or bfloat16 comes in float32.

The transforms of ``torch.func``, vmap among them, and `torch.compile` take them. Where a gradient is
itself differentiated, batched or compiled, PyTorch's own operators compute it.

Each function raises TypeError for what is not a tensor of float16, bfloat16, float32 or float64,
ValueError for one that is not on the CPU, and otherwise what its namesake in `ffkernels` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np

from .. import _arguments
from .. import activations as _activations
from .. import linear as _linear
from .. import losses as _losses
from ._extras import missing

try:
    import torch
except ModuleNotFoundError as error:
    raise missing(error, "torch") from None

from torch import Tensor
from torch.autograd import Function, forward_ad

from ._curves import DENSITY_AT_0, FAR, GELU_1, GELU_3
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


_HALVES = (torch.float16, torch.bfloat16)
_FLOATS = (*_HALVES, torch.float32, torch.float64)

# Whether the graph of the backward pass under way is kept for another; where PyTorch does not say, it
# may be.
_graph_is_kept: Callable[[], bool] = getattr(
    torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True
)


# ---- tensors and arrays ----------------------------------------------------------------------------


def _checked(tensor: Any, name: str) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.dtype not in _FLOATS:
        raise TypeError(
            f"{name}: expected a tensor of float16, bfloat16, float32 or float64, got {tensor.dtype}"
        )
    _on_cpu(tensor, name)
    return tensor


def _on_cpu(tensor: Tensor, name: str) -> None:
    if tensor.device.type != "cpu":
        raise ValueError(f"{name}: expected a tensor on the CPU, got one on {tensor.device}")


def _constant(value: Any, name: str) -> Any:
    """A tensor or array that no gradient flows to."""
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise ValueError(f"{name}: expected a tensor that needs no gradient; detach() it")
        _on_cpu(value, name)
    elif value is not None and (
        torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    ):
        return torch.as_tensor(np.asarray(value))
    return value


def _array(value: Any) -> Any:
    """A tensor's memory as an array; what is no tensor as it is.

    RuntimeError for a tensor without memory, which stands for others under a transform.
    """
    if not isinstance(value, Tensor):
        return value
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy(force=True).view(_bfloat16())
    return value.numpy(force=True)  # a view, but of a tensor whose sign or conjugation is put off


def _bfloat16() -> Any:
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "bfloat16 needs ml_dtypes, which is not installed: pip install 'ffkernels[torch]'"
        ) from None
    return ml_dtypes.bfloat16


def _tensor(result: Any) -> Tensor:
    """An array's memory as a tensor."""
    array = np.asarray(result)
    if array.dtype.kind == "V":  # bfloat16
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _arrays(*tensors: Tensor) -> list[Any] | None:
    """Arrays for a kernel; None where PyTorch's own operators are needed for these.

    That is where the result will be differentiated, or where tensors stand for a batch of others
    (vmap, ``is_grads_batched``) or for what a compiler traces.
    """
    if torch.is_grad_enabled():
        return None
    try:
        return [_array(tensor) for tensor in tensors]
    except RuntimeError:
        return None


def _wide(tensor: Tensor) -> Tensor:
    """Half precision in float32, as the kernels compute with it."""
    return tensor.float() if tensor.dtype in _HALVES else tensor


# ---- how PyTorch calls them ------------------------------------------------------------------------


class _Function(Function):
    """One that its own `vmap` may call for a batch."""

    call: ClassVar[_Differentiable]


@torch._disable_dynamo  # torch.compiler.disable, but the compiler is imported by the first call
def _apply_in_transform(function: type[Function], *arguments: Any) -> Any:
    """What the compiler leaves to Python: operators written in Python drop the tangents of dual numbers,
    and torch.func takes none of them."""
    return function.apply(*arguments)


class _Differentiable:
    """A function of PyTorch's, with the operator that stands for it in compiled programs.

    ``schema`` and ``fake`` are the operator's: its arguments, and the shapes and types of its results.
    """

    def __init__(self, schema: str, function: type[_Function], fake: Callable[..., Any]) -> None:
        name = schema.partition("(")[0]

        def forward(*arguments: Any) -> Any:
            results = function.forward(*arguments)
            if isinstance(results, Tensor):
                return results.contiguous()
            return tuple(result.contiguous() for result in results)

        self.function = function
        self.operator = torch.library.custom_op(
            f"ffkernels::{name}", forward, mutates_args=(), schema=schema[len(name) :]
        )
        self.operator.register_fake(fake)
        self.operator.register_autograd(
            function.backward, setup_context=function.setup_context
        )
        function.call = self

    def __call__(self, *arguments: Any) -> Any:
        transformed = torch._C._are_functorch_transforms_active()
        if torch.compiler.is_compiling():
            if transformed or forward_ad._current_level >= 0:
                return _apply_in_transform(self.function, *arguments)
            return self.operator(*arguments)
        if transformed:
            return self.function.apply(*arguments)
        # What `Function.apply` does there, less 13 of its 18 us: it inspects forward's signature at
        # every call, for defaults that ours do not have.
        return super(Function, self.function).apply(*arguments)  # type: ignore[misc]


# ---- activations -----------------------------------------------------------------------------------


def _activation(
    name: str,
    formula: Callable[..., Tensor],
    tangent: Callable[..., Tensor] | None = None,
    option: str = "",
    from_input: bool = False,
) -> _Differentiable:
    """An activation whose derivative needs but its result, or with `from_input` but its input.

    `formula` is its ``_backward`` in PyTorch's terms; `tangent` the derivative forwards, if another;
    `option` its argument beside x, with the type.
    """
    function = getattr(_activations, name)
    function_backward = getattr(_activations, f"{name}_backward")

    class Activation(_Function):
        @staticmethod
        def forward(x: Tensor, *options: Any) -> Tensor:
            return _tensor(function(_array(x), *options))

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
            x, *ctx.options = inputs
            kept = x if from_input else output
            ctx.save_for_backward(kept)
            ctx.save_for_forward(kept)

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Any:
            (kept,) = ctx.saved_tensors
            arrays = _arrays(dy, kept)
            if arrays is None:
                dx = formula(_wide(dy), _wide(kept), *ctx.options).to(dy.dtype)
            else:
                dx = _tensor(function_backward(*arrays, *ctx.options))
            return dx, *(None for _ in ctx.options)

        @staticmethod
        def jvp(ctx: Any, dx: Tensor, *_: None) -> Tensor:
            (kept,) = ctx.saved_tensors
            return (tangent or formula)(_wide(dx), _wide(kept), *ctx.options).to(dx.dtype)

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Tensor, *options: Any) -> tuple[Tensor, int]:
            x = x.movedim(in_dims[0], 0)
            if option == "int axis":
                options = (_behind(x, *options),)
            return Activation.call(x, *options), 0

    schema = f"{name}({', '.join(filter(None, ('Tensor x', option)))}) -> Tensor"
    return _Differentiable(schema, Activation, lambda x, *options: x.new_empty(x.shape))


def _behind(x: Tensor, axis: int) -> int:
    """An axis of what the first dimension of x is a batch of, counted from the end."""
    ndim = x.dim() - 1
    return int(_arguments.normalise_axis(axis, ndim)) - ndim


def _total(x: Tensor, axis: int) -> Tensor:
    return x.sum(axis, keepdim=True)


_relu = _activation("relu", lambda dy, y: torch.where(y > 0, dy, 0))
_sigmoid = _activation("sigmoid", lambda dy, y: dy * (y * (1 - y)))
_tanh = _activation("tanh", lambda dy, y: dy * ((1 - y) * (1 + y)))
_softmax = _activation(
    "softmax", lambda dy, y, axis: y * (dy - _total(dy * y, axis)), option="int axis"
)
_log_softmax = _activation(
    "log_softmax",
    lambda dy, y, axis: dy - y.exp() * _total(dy, axis),
    lambda dx, y, axis: dx - _total(dx * y.exp(), axis),
    option="int axis",
)


def _from_input(name: str, slope: Callable[..., Tensor], option: str = "") -> _Differentiable:
    """An activation with this derivative at x."""
    return _activation(
        name, lambda dy, x, *options: dy * slope(x, *options), option=option, from_input=True
    )


def _or_nan(x: Tensor, slope: float) -> Tensor:
    return torch.where(x.isnan(), x, slope)


def _below(x: Tensor) -> Tensor:
    """x where it is not positive, so that its exponential is finite."""
    return torch.where(x > 0, 0, x)


def _bounded(x: Tensor) -> Tensor:
    """Beyond, the derivatives below are 0 or 1, and not infinity times 0."""
    return x.clamp(-FAR, FAR)


def _gate_slope(z: Tensor, w: Tensor) -> Tensor:
    """s(z) + w s(z) s(-z)."""
    return torch.sigmoid(z) * (1 + w * torch.sigmoid(-z))


def _silu_slope(x: Tensor) -> Tensor:
    x = _bounded(x)
    return _gate_slope(x, x)


def _gelu_slope(x: Tensor, approximate: str) -> Tensor:
    x = _bounded(x)
    square = x * x
    if approximate == "none":
        density = (square * -0.5).exp() * DENSITY_AT_0
        return 0.5 * torch.erfc(x * -math.sqrt(0.5)) + x * density
    return _gate_slope(x * (GELU_1 + GELU_3 * square), x * (GELU_1 + 3 * GELU_3 * square))


_leaky_relu = _from_input(
    "leaky_relu", lambda x, a: torch.where(x > 0, 1, _or_nan(x, a)), "float negative_slope"
)
_elu = _from_input(
    "elu", lambda x, alpha: torch.where(x > 0, 1, alpha * _below(x).exp()), "float alpha"
)
_hard_sigmoid = _from_input(
    "hard_sigmoid", lambda x: torch.where(x.abs() < 3, 1 / 6, _or_nan(x, 0))
)
_softplus = _from_input("softplus", torch.sigmoid)
_silu = _from_input("silu", _silu_slope)
_gelu = _from_input("gelu", _gelu_slope, "str approximate")


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
    return _relu(_checked(x, "x"))


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
    return _sigmoid(_checked(x, "x"))


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
    return _tanh(_checked(x, "x"))


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x, and negative_slope x where it is negative, as `ffkernels.leaky_relu`.

    Parameters
    ----------
    x : Tensor
    negative_slope : float, default 0.01

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import leaky_relu
    >>> leaky_relu(torch.tensor([-1.0, 2.0]), 0.5)
    tensor([-0.5000,  2.0000])
    """
    number = _arguments.finite_number(negative_slope, "negative_slope")
    return _leaky_relu(_checked(x, "x"), number)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where it is positive, else alpha (eˣ - 1), as `ffkernels.elu`.

    Parameters
    ----------
    x : Tensor
    alpha : float, default 1.0

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import elu
    >>> elu(torch.tensor([-torch.inf, 2.0]))
    tensor([-1.,  2.])
    """
    return _elu(_checked(x, "x"), _arguments.finite_number(alpha, "alpha"))


def hard_sigmoid(x: Tensor) -> Tensor:
    """x/6 + 1/2 within [0, 1], as `ffkernels.hard_sigmoid`.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import hard_sigmoid
    >>> hard_sigmoid(torch.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return _hard_sigmoid(_checked(x, "x"))


def softplus(x: Tensor) -> Tensor:
    """log(1 + eˣ), as `ffkernels.softplus`: without a threshold.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import softplus
    >>> softplus(torch.tensor([1000.0]))
    tensor([1000.])
    """
    return _softplus(_checked(x, "x"))


def silu(x: Tensor) -> Tensor:
    """x times its sigmoid, as `ffkernels.silu`.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import silu
    >>> silu(torch.tensor([0.0, 1000.0]))
    tensor([   0., 1000.])
    """
    return _silu(_checked(x, "x"))


def gelu(x: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """x times the normal distribution function, as `ffkernels.gelu`.

    Parameters
    ----------
    x : Tensor
    approximate : {"none", "tanh"}

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import gelu
    >>> gelu(torch.tensor([0.0, 100.0]))
    tensor([  0., 100.])
    """
    _arguments.is_by_tanh(approximate)
    return _gelu(_checked(x, "x"), approximate)


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
    return _softmax(_checked(x, "x"), axis)


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
    return _log_softmax(_checked(x, "x"), axis)


class _LogSumExp(_Function):
    """With its axis kept."""

    @staticmethod
    def forward(x: Tensor, axis: int) -> Tensor:
        return _tensor(_activations.logsumexp(_array(x), axis, keepdims=True))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, ctx.axis = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        arrays = _arrays(dy, x)
        if arrays is None:
            return (_wide(dy) * _wide(x).softmax(ctx.axis)).to(x.dtype), None
        slope = _activations.softmax(arrays[1], ctx.axis)
        slope *= arrays[0]
        return _tensor(slope), None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, _: None) -> Tensor:
        (x,) = ctx.saved_tensors
        return _total(_wide(dx) * _wide(x).softmax(ctx.axis), ctx.axis).to(x.dtype)

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, axis: int) -> tuple[Tensor, int]:
        x = x.movedim(in_dims[0], 0)
        return _LogSumExp.call(x, _behind(x, axis)), 0


def _without_axis(x: Tensor, axis: int) -> tuple[int, ...]:
    return _arguments.without_axis(tuple(x.shape), _arguments.normalise_axis(axis, x.dim()))


_logsumexp = _Differentiable(
    "logsumexp(Tensor x, int axis) -> Tensor",
    _LogSumExp,
    lambda x, axis: x.new_empty(_without_axis(x, axis)).unsqueeze(axis),
)


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
    y = _logsumexp(_checked(x, "x"), axis)
    return y if keepdims else y.squeeze(axis)


# ---- losses ----------------------------------------------------------------------------------------


class _Loss(_Function):
    """A loss of x, or of x - t, whose gradient is computed with it.

    The gradient is a second result, so that what is made of it can be differentiated in its turn
    without keeping x.
    """

    kernel: ClassVar[Callable[..., Any]]
    kernel_with_grad: ClassVar[Callable[..., Any]]

    @classmethod
    def forward(cls, *arguments: Any) -> tuple[Tensor, Tensor]:
        value, grad = cls.kernel_with_grad(*(_array(argument) for argument in arguments))
        return _tensor(value), _tensor(grad)

    @classmethod
    def setup_context(cls, ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        ctx.set_materialize_grads(False)
        wanted = cls.kept(inputs)
        ctx.where = [k for k in wanted if isinstance(inputs[k], Tensor)]
        ctx.arguments = [None if isinstance(value, Tensor) else value for value in inputs]
        tensors = [output[1], *[inputs[k] for k in ctx.where]]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def kept(inputs: Any) -> tuple[int, ...]:
        """Which arguments second derivatives need, where those are tensors."""
        raise NotImplementedError

    @staticmethod
    def saved(ctx: Any) -> tuple[Tensor, list[Any]]:
        """The gradient and the arguments, None for those that are not kept."""
        grad, *tensors = ctx.saved_tensors
        arguments = list(ctx.arguments)
        for k, tensor in zip(ctx.where, tensors, strict=True):
            arguments[k] = tensor
        return grad, arguments

    @staticmethod
    def spread(dloss: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        """What comes from behind for each row, in the dimensions of the gradient."""
        raise NotImplementedError

    @staticmethod
    def total(x: Tensor, arguments: list[Any]) -> Tensor:
        """The sum along what the loss sums along."""
        raise NotImplementedError

    @staticmethod
    def curvature(v: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        """The second derivative times v."""
        raise NotImplementedError

    @classmethod
    def backward(cls, ctx: Any, dloss: Tensor | None, dgrad: Tensor | None) -> Any:
        grad, arguments = cls.saved(ctx)
        second = None if dgrad is None else cls.curvature(dgrad, grad, arguments)
        dx = second
        if dloss is not None:
            factor = cls.spread(dloss, grad, arguments) if dloss.dim() else dloss
            dx = _scaled(grad, factor)
            if second is not None:
                dx = dx + second
        dt = -dx if dx is not None and ctx.needs_input_grad[1] else None
        return dx, dt, *(None for _ in arguments[2:])

    @classmethod
    def jvp(cls, ctx: Any, dx: Tensor | None, dt: Tensor | None, *_: None) -> tuple[Tensor, Tensor]:
        grad, arguments = cls.saved(ctx)
        step: Any = dx
        if dt is not None:
            step = -dt if dx is None else dx - dt
        value = cls.total(_wide(grad) * _wide(step), arguments)
        return value, cls.curvature(step, grad, arguments)


def _is_followed(tensor: Tensor) -> bool:
    """Whether a derivative may be taken by a tensor, backwards or forwards."""
    if tensor.requires_grad and torch.is_grad_enabled():
        return True
    return forward_ad.unpack_dual(tensor).tangent is not None


def _loss(differentiable: _Differentiable, x: tuple[Tensor, ...], *arguments: Any) -> Tensor:
    """A loss, without its gradient where no derivative will be taken by x."""
    if not (torch.compiler.is_compiling() or any(map(_is_followed, x))):
        try:
            arrays = [_array(argument) for argument in arguments]
        except RuntimeError:  # a batch without a gradient
            pass
        else:
            return _tensor(differentiable.function.kernel(*arrays))
    return differentiable(*arguments)[0]


def _scaled(grad: Tensor, factor: Tensor) -> Tensor:
    """The kept gradient times what comes from behind."""
    if _arrays(factor) is None or _graph_is_kept():
        return (grad * factor).to(grad.dtype)
    # Nobody will ask for it again: it is handed out itself. A copy would take half as long as the
    # loss and its gradient together (512 x 32000).
    grad = grad.detach()
    return grad if factor.dim() == 0 and factor.item() == 1 else grad.mul_(factor)


def _batch(x: Tensor, axis: int | None, size: int) -> Tensor:
    """A tensor with vmap's axis in front."""
    return x.expand(size, *x.shape) if axis is None else x.movedim(axis, 0)


class _ClassLoss(_Loss):
    """A loss of x, t, axis, weight, ignore_index, one more number, sample_weight, reduction."""

    @staticmethod
    def kept(inputs: Any) -> tuple[int, ...]:
        return 1, 3, 6

    @staticmethod
    def spread(dloss: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        return dloss.unsqueeze(arguments[2])

    @staticmethod
    def total(x: Tensor, arguments: list[Any]) -> Tensor:
        return x.sum(arguments[2]) if arguments[-1] == "none" else x.sum()

    @classmethod
    def vmap(cls, info: Any, in_dims: Any, x: Tensor, t: Tensor, *options: Any) -> Any:
        """One call for the batch, less its reduction; one for each element with its own weights."""
        size = info.batch_size
        x, t = _batch(x, in_dims[0], size), _batch(t, in_dims[1], size)
        axis, weight, ignore_index, number, rows, reduction = options
        axis = _behind(x, axis)
        if rows is not None:
            rows = _batch(rows, in_dims[6], size)
        if in_dims[3] is not None:
            weights = weight.movedim(in_dims[3], 0)
            each = [None] * size if rows is None else rows
            results = [
                cls.call(x[i], t[i], axis, weights[i], ignore_index, number, each[i], reduction)
                for i in range(size)
            ]
            return tuple(torch.stack(result) for result in zip(*results, strict=True)), (0, 0)
        _arguments.check_reduction(reduction)
        value, grad = cls.call(x, t, axis, weight, ignore_index, number, rows, "none")
        if reduction != "none":
            losses = value
            value = losses.sum(tuple(range(1, losses.dim()))) if losses.dim() > 1 else losses
            if reduction == "mean":
                factors = _factors(losses, t, weight, ignore_index, rows)
                value = value * factors
                grad = (grad * factors.reshape(-1, *(1 for _ in grad.shape[1:]))).to(grad.dtype)
        return (value, grad), (0, 0)


def _factors(
    losses: Tensor,
    t: Tensor,
    weight: Tensor | None,
    ignore_index: int | None,
    sample_weight: Tensor | None,
) -> Tensor:
    """What the sum over the losses of each element of a batch is multiplied by for their mean."""
    counted = losses.new_ones(losses.shape)
    if t.shape == losses.shape:  # classes
        known = t.long()
        if ignore_index is not None:
            counted = torch.where(known == ignore_index, 0, counted)
            known = torch.where(known == ignore_index, 0, known)
        if weight is not None:
            counted = counted * weight.to(counted.dtype)[known]
    if sample_weight is not None:
        counted = counted * sample_weight.to(counted.dtype)
    return inverse(torch, counted.reshape(len(t), -1).sum(1))


def _named(options: Any) -> dict[str, Any]:
    names = ("axis", "weight", "ignore_index", "label_smoothing", "sample_weight", "reduction")
    return dict(zip(names, options, strict=True))


class _SoftmaxCrossEntropy(_ClassLoss):
    @staticmethod
    def kernel(x: Any, t: Any, *options: Any) -> Any:
        return _losses.softmax_cross_entropy(x, t, **_named(options))

    @staticmethod
    def kernel_with_grad(x: Any, t: Any, *options: Any) -> Any:
        return _losses.softmax_cross_entropy_with_grad(x, t, **_named(options))

    @staticmethod
    def curvature(v: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        _, t, *options = arguments
        grad, dtype = _wide(grad), grad.dtype
        a, inverse_total = target_weights(torch, torch.zeros_like(grad), t, **_named(options))
        return softmax_curvature(grad, _wide(v), a, inverse_total, options[0]).to(dtype)


class _CrossEntropy(_ClassLoss):
    """With ``eps`` for the one more number; weight and ignore_index are None."""

    @staticmethod
    def kernel(p: Any, t: Any, *options: Any) -> Any:
        return _losses.cross_entropy(p, t, **_named_of_probabilities(options))

    @staticmethod
    def kernel_with_grad(p: Any, t: Any, *options: Any) -> Any:
        return _losses.cross_entropy_with_grad(p, t, **_named_of_probabilities(options))

    @staticmethod
    def kept(inputs: Any) -> tuple[int, ...]:
        return (0, 1, 6) if inputs[5] > 0 else (1, 6)  # where probabilities were clipped, only p tells

    @staticmethod
    def curvature(v: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        p, t, *options = arguments
        grad, dtype = _wide(grad), grad.dtype
        named = _named_of_probabilities(options)
        eps = named.pop("eps")
        a, _ = target_weights(torch, torch.zeros_like(grad), t, **named)
        inverse_a = inverse(torch, a)
        if p is not None:  # below eps, the loss is as if constant
            inverse_a = torch.where(p >= eps, inverse_a, 0)
        return logarithm_curvature(grad, _wide(v), inverse_a).to(dtype)


def _named_of_probabilities(options: Any) -> dict[str, Any]:
    axis, _, _, eps, sample_weight, reduction = options
    return {"axis": axis, "eps": eps, "sample_weight": sample_weight, "reduction": reduction}


class _SigmoidCrossEntropy(_Loss):
    """Of x, t, weight, pos_weight, sample_weight, reduction."""

    @staticmethod
    def kernel(x: Any, t: Any, *options: Any) -> Any:
        return _losses.sigmoid_cross_entropy(x, t, **_named_of_labels(options))

    @staticmethod
    def kernel_with_grad(x: Any, t: Any, *options: Any) -> Any:
        return _losses.sigmoid_cross_entropy_with_grad(x, t, **_named_of_labels(options))

    @staticmethod
    def kept(inputs: Any) -> tuple[int, ...]:
        return 0, 1, 2, 3, 4  # x too: of a confident element the gradient has lost what x tells

    @staticmethod
    def spread(dloss: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        return dloss

    @staticmethod
    def total(x: Tensor, arguments: list[Any]) -> Tensor:
        return x if arguments[-1] == "none" else x.sum()

    @staticmethod
    def curvature(v: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        x, t, *options = arguments
        x = _wide(x)
        a = element_weights(torch, torch.zeros_like(x), t, **_named_of_labels(options))
        return logistic_curvature(torch, torch.sigmoid, x, _wide(v), a).to(grad.dtype)

    @classmethod
    def vmap(cls, info: Any, in_dims: Any, x: Tensor, t: Tensor, *options: Any) -> Any:
        """One call for the batch, less its reduction; weights of rows are made weights of elements."""
        size = info.batch_size
        x, t = _batch(x, in_dims[0], size), _batch(t, in_dims[1], size)
        weight, pos_weight, rows, reduction = options
        weight, pos_weight = (
            w if dim is None else _with_dims(w.movedim(dim, 0), x)
            for w, dim in zip((weight, pos_weight), in_dims[2:4], strict=True)
        )
        factors: Any = 1 / max(math.prod(x.shape[1:]), 1)
        if rows is not None:
            rows = _batch(rows, in_dims[4], size)
            factors = inverse(torch, rows.reshape(size, -1).sum(1) * math.prod(x.shape[2:]))
            rows = rows.reshape(*rows.shape, *(1 for _ in x.shape[2:]))
            weight = rows if weight is None else weight * rows
        _arguments.check_reduction(reduction)
        value, grad = cls.call(x, t, weight, pos_weight, None, "none")
        if reduction != "none":
            value = value.sum(tuple(range(1, value.dim()))) if value.dim() > 1 else value
            if reduction == "mean":
                value = (value * factors).to(value.dtype)
                by_element = factors if rows is None else _with_dims(factors, grad)
                grad = (grad * by_element).to(grad.dtype)
        return (value, grad), (0, 0)


def _with_dims(batch: Tensor, like: Tensor) -> Tensor:
    """A batch of what broadcasts to the elements of another batch, which broadcasts to all of that."""
    return batch.reshape(len(batch), *(1 for _ in range(like.dim() - batch.dim())), *batch.shape[1:])


def _named_of_labels(options: Any) -> dict[str, Any]:
    return dict(zip(("weight", "pos_weight", "sample_weight", "reduction"), options, strict=True))


class _SumSquaredError(_Loss):
    """Of y, t, sample_weight, reduction."""

    @staticmethod
    def kernel(y: Any, t: Any, sample_weight: Any, reduction: Any) -> Any:
        return _losses.sum_squared_error(y, t, sample_weight=sample_weight, reduction=reduction)

    @staticmethod
    def kernel_with_grad(y: Any, t: Any, sample_weight: Any, reduction: Any) -> Any:
        function = _losses.sum_squared_error_with_grad
        return function(y, t, sample_weight=sample_weight, reduction=reduction)

    @staticmethod
    def kept(inputs: Any) -> tuple[int, ...]:
        return (2,)

    @staticmethod
    def spread(dloss: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        return dloss.reshape(dloss.shape + (1,) * (grad.dim() - 1))

    @staticmethod
    def total(x: Tensor, arguments: list[Any]) -> Tensor:
        by_row = arguments[-1] == "none" and x.dim() > 1
        return x.sum(tuple(range(1, x.dim()))) if by_row else x.sum()

    @staticmethod
    def curvature(v: Tensor, grad: Tensor, arguments: list[Any]) -> Tensor:
        return (v * row_weights(torch, grad, *arguments[2:])).to(v.dtype)

    @classmethod
    def vmap(
        cls, info: Any, in_dims: Any, y: Tensor, t: Tensor, sample_weight: Any, reduction: str
    ) -> Any:
        size = info.batch_size
        y, t = _batch(y, in_dims[0], size), _batch(t, in_dims[1], size)
        shape = y.shape[1:]
        if not shape:
            raise ValueError("y: expected at least one dimension, got none")
        if t.shape != y.shape:
            raise ValueError(f"t: expected the shape of y, {tuple(shape)}, got {tuple(t.shape[1:])}")
        _arguments.check_reduction(reduction)
        rows = shape[0] if len(shape) > 1 else 1
        each = None
        if sample_weight is not None:
            each = _batch(sample_weight, in_dims[2], size).reshape(size, rows)
        flat = size * rows, math.prod(shape) // max(rows, 1)
        of_all = None if each is None else each.reshape(-1)
        value, grad = cls.call(y.reshape(flat), t.reshape(flat), of_all, "none")
        value, grad = value.reshape(size, rows), grad.reshape(y.shape)
        if reduction != "none" or len(shape) == 1:
            value = value.sum(1)
        if reduction == "mean":
            factors: Any = 1 / max(rows, 1) if each is None else inverse(torch, each.sum(1))
            value = (value * factors).to(value.dtype)
            by_element = factors if each is None else _with_dims(factors, grad)
            grad = (grad * by_element).to(grad.dtype)
        return (value, grad), (0, 0)


def _fake_class_loss(x: Tensor, t: Tensor, axis: int, *options: Any) -> tuple[Tensor, Tensor]:
    shape = _without_axis(x, axis) if options[-1] == "none" else ()
    return _wide(x.new_empty(shape)), x.new_empty(x.shape)


def _fake_sigmoid_cross_entropy(x: Tensor, t: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    shape = x.shape if options[-1] == "none" else ()
    return _wide(x.new_empty(shape)), x.new_empty(x.shape)


def _fake_squared_error(
    y: Tensor, t: Tensor, sample_weight: Tensor | None, reduction: str
) -> tuple[Tensor, Tensor]:
    grad = y.new_empty(y.shape, dtype=torch.promote_types(y.dtype, t.dtype))
    shape = y.shape[:1] if reduction == "none" and y.dim() > 1 else ()
    return _wide(grad.new_empty(shape)), grad


_OPTIONS = "Tensor x, Tensor t, int axis, Tensor? weight, int? ignore_index, float number"
_RESULTS = "Tensor? sample_weight, str reduction) -> (Tensor, Tensor)"
_softmax_cross_entropy = _Differentiable(
    f"softmax_cross_entropy({_OPTIONS}, {_RESULTS}", _SoftmaxCrossEntropy, _fake_class_loss
)
_cross_entropy = _Differentiable(
    f"cross_entropy({_OPTIONS}, {_RESULTS}", _CrossEntropy, _fake_class_loss
)
_sigmoid_cross_entropy = _Differentiable(
    f"sigmoid_cross_entropy(Tensor x, Tensor t, Tensor? weight, Tensor? pos_weight, {_RESULTS}",
    _SigmoidCrossEntropy,
    _fake_sigmoid_cross_entropy,
)
_sum_squared_error = _Differentiable(
    f"sum_squared_error(Tensor y, Tensor t, {_RESULTS}", _SumSquaredError, _fake_squared_error
)


def softmax_cross_entropy(
    logits: Tensor,
    targets: Any,
    *,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
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
    sample_weight : Tensor or array_like, shape of the class indices, optional
        Weight of each row.
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
    x = _checked(logits, "logits")
    targets, weight = _constant(targets, "targets"), _constant(weight, "weight")
    sample_weight = _constant(sample_weight, "sample_weight")
    options = (axis, weight, ignore_index, label_smoothing, sample_weight, reduction)
    return _loss(_softmax_cross_entropy, (x,), x, targets, *options)


def cross_entropy(
    p: Tensor,
    t: Any,
    *,
    axis: int = -1,
    eps: float = 0.0,
    sample_weight: Any = None,
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
    sample_weight : Tensor or array_like, shape of the class indices, optional
        Weight of each row.
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
    p, t = _checked(p, "p"), _constant(t, "t")
    sample_weight = _constant(sample_weight, "sample_weight")
    return _loss(_cross_entropy, (p,), p, t, axis, None, None, eps, sample_weight, reduction)


def sigmoid_cross_entropy(
    logits: Tensor,
    targets: Any,
    *,
    weight: Any = None,
    pos_weight: Any = None,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Cross-entropy of the sigmoid of logits, as `ffkernels.sigmoid_cross_entropy`.

    Parameters
    ----------
    logits : Tensor, shape (N, ...)
        Scores of a yes.
    targets : Tensor or array_like, of the same shape
        1 for yes, 0 for no, or the probability of a yes; no gradient flows to them.
    weight, pos_weight : Tensor or array_like, optional
        Weight of each element, and of a yes against a no; they broadcast to the shape of ``logits``.
    sample_weight : Tensor or array_like, shape (N,), optional
        Weight of each row.
    reduction : {"mean", "sum", "none"}
        How the losses of the elements become one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import sigmoid_cross_entropy
    >>> logits = torch.zeros(1, 2, requires_grad=True)
    >>> sigmoid_cross_entropy(logits, torch.tensor([[1, 0]])).backward()
    >>> logits.grad
    tensor([[-0.2500,  0.2500]])
    """
    x = _checked(logits, "logits")
    constants = {
        "targets": targets,
        "weight": weight,
        "pos_weight": pos_weight,
        "sample_weight": sample_weight,
    }
    given = (_constant(value, name) for name, value in constants.items())
    return _loss(_sigmoid_cross_entropy, (x,), x, *given, reduction)


def sum_squared_error(
    y: Tensor,
    t: Tensor,
    *,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Half the sum of squared errors, ½ Σ (y - t)² a row, as `ffkernels.sum_squared_error`.

    Parameters
    ----------
    y, t : Tensor, shape (N, ...)
        Outputs and targets, of one shape; gradients flow to both.
    sample_weight : Tensor or array_like, shape (N,), optional
        Weight of each row.
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
    y, t = _checked(y, "y"), _checked(t, "t")
    sample_weight = _constant(sample_weight, "sample_weight")
    return _loss(_sum_squared_error, (y, t), y, t, sample_weight, reduction)


# ---- the loss of a last layer ----------------------------------------------------------------------


class _LinearCrossEntropy(Function):
    """What a kernel says of x, w and b, with its gradients; `whole` says it by way of the logits."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Callable[..., Any], whole: Callable[..., Tensor], *layer: Tensor | None
    ) -> Tensor:
        value, grads = kernel(*map(_array, layer))
        ctx.save_for_backward(*layer, *(None if grad is None else _tensor(grad) for grad in grads))
        ctx.whole = whole
        return _tensor(value)

    @staticmethod
    def backward(ctx: Any, dloss: Tensor) -> Any:
        layer, grads = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        _, _, *wanted = ctx.needs_input_grad
        if torch.is_grad_enabled():  # what is made of them will be differentiated
            inputs = [tensor for tensor, wants in zip(layer, wanted, strict=True) if wants]
            found = iter(torch.autograd.grad(ctx.whole(*layer), inputs, dloss, create_graph=True))
            return None, None, *(next(found) if wants else None for wants in wanted)
        scaled = (
            _scaled(grad, dloss) if wants else None for grad, wants in zip(grads, wanted, strict=True)
        )
        return None, None, *scaled


def linear_cross_entropy(
    x: Tensor,
    w: Tensor,
    targets: Any,
    b: Tensor | None = None,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum"] = "mean",
    chunk_bytes: int | None = None,
) -> Tensor:
    """`softmax_cross_entropy` of x·w + b without the logits, as `ffkernels.linear_cross_entropy`.

    The losses of the rows are always added up: of each alone there is no gradient without the logits.
    Gradients that are differentiated in their turn, forward mode, the transforms of ``torch.func`` and
    compiled programs make them.

    Parameters
    ----------
    x : Tensor, shape (N, D)
    w : Tensor, shape (D, C)
        The weight of a ``torch.nn.Linear`` is given as its transpose, which is not copied.
    targets : Tensor or array_like
        Class indices, of shape (N,), or probabilities, of shape (N, C).
    b : Tensor, shape (C,), optional
    weight, ignore_index, label_smoothing, sample_weight
        As `softmax_cross_entropy` takes them.
    reduction : {"mean", "sum"}
        How the losses of the rows become one.
    chunk_bytes : int, optional
        Working memory, 32 MiB unless told otherwise.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> from ffkernels.adapters.torch import linear_cross_entropy
    >>> last = torch.nn.Linear(8, 1000)
    >>> x, targets = torch.zeros(2, 8), torch.tensor([17, 999])
    >>> linear_cross_entropy(x, last.weight.T, targets, last.bias).backward()
    >>> last.weight.grad.shape
    torch.Size([1000, 8])
    """
    refuse_none(reduction)
    layer = _checked(x, "x"), _checked(w, "w"), None if b is None else _checked(b, "b")
    options = {
        "targets": _constant(targets, "targets"),
        "weight": _constant(weight, "weight"),
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "sample_weight": _constant(sample_weight, "sample_weight"),
        "reduction": reduction,
    }

    def whole(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        logits = x @ w
        return softmax_cross_entropy(logits if b is None else logits + b, **options)

    if (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    ):
        return whole(*layer)
    arrays = {name: _array(value) for name, value in options.items()} | {"chunk_bytes": chunk_bytes}
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in layer):

        def kernel(x: Any, w: Any, b: Any) -> Any:
            return _linear.linear_cross_entropy_with_grad(x, w, b=b, **arrays)

        return _LinearCrossEntropy.apply(kernel, whole, *layer)
    x, w, b = map(_array, layer)
    return _tensor(_linear.linear_cross_entropy(x, w, b=b, **arrays))
