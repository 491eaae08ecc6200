"""Layers with the protocol of the deep-learning-from-scratch books, and `FeedForward`, a whole net.

A layer is called ``forward(x)``, then ``backward(dout)`` with the gradient of the loss at its
output, and returns that at its input; ``params`` and ``grads`` list its parameters and
their gradients. A loss is called ``forward(x, t)``, and its ``backward()`` begins the way back.
Nets written for the books' layers run on these when one import is changed.

What a layer returns lies in memory of its own, kept for the next call and overwritten by it: from
the second step on, training allocates nothing that grows with the batch. A smaller batch uses a
part of the same memory. To keep the results of several calls, as in a list of all outputs, copy
them, or construct the layer with ``copy=True``. A layer never changes the arrays it is given, and
refers to them until its ``backward``. It computes in the dtype of its input, `Affine` in that of
``W``. A layer or a net serves one thread at a time.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from . import _blas, _files, _numpy
from . import backend as _backend
from ._arguments import (
    _FLOATS,
    _INDEX,
    Array,
    _any_array,
    _work_dtype,
    at_least,
    check_dtype,
    finite_number,
    is_by_tanh,
    real_array,
    real_number,
)
from ._numpy import _nets
from .activations import (
    bias_elu,
    bias_gelu,
    bias_hard_sigmoid,
    bias_identity,
    bias_leaky_relu,
    bias_relu,
    bias_sigmoid,
    bias_silu,
    bias_softplus,
    bias_tanh,
    elu,
    elu_backward,
    elu_backward_bias,
    gelu,
    gelu_backward,
    gelu_backward_bias,
    hard_sigmoid,
    hard_sigmoid_backward,
    hard_sigmoid_backward_bias,
    identity,
    identity_backward,
    identity_backward_bias,
    leaky_relu,
    leaky_relu_backward,
    leaky_relu_backward_bias,
    relu,
    relu_backward,
    relu_backward_bias,
    sigmoid,
    sigmoid_backward,
    sigmoid_backward_bias,
    silu,
    silu_backward,
    silu_backward_bias,
    softmax,
    softmax_backward,
    softplus,
    softplus_backward,
    softplus_backward_bias,
    tanh,
    tanh_backward,
    tanh_backward_bias,
)
from .linear import CHUNK_BYTES, linear_cross_entropy, linear_cross_entropy_with_grad
from .losses import (
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_with_grad,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_with_grad,
    sum_squared_error,
    sum_squared_error_backward,
    sum_squared_error_with_grad,
)
from .optimizers import SGD, Optimizer

__all__ = [
    "Affine",
    "Elu",
    "FeedForward",
    "Gelu",
    "HardSigmoid",
    "Identity",
    "IdentityWithLoss",
    "LeakyRelu",
    "LinearWithLoss",
    "Relu",
    "Sigmoid",
    "SigmoidWithLoss",
    "Silu",
    "Softmax",
    "SoftmaxWithLoss",
    "Softplus",
    "Tanh",
]


def __dir__() -> list[str]:
    return __all__


# Rows that predict and loss take at a time: few enough for hidden layers to stay in the cache.
_CHUNK = 1024

# BLAS takes a factor that is 0 in its type for nothing to do, even where a gradient is NaN.
_LEAST_RATE = float(np.finfo(np.float32).tiny)

_Shape = tuple[int, ...]
_Allocate = Callable[[_Shape, np.dtype[Any]], Array]


class _Buffer:
    """Called like np.empty; allocates once, later calls get the same memory or a part of it."""

    def __init__(self) -> None:
        self._memory = self._last = np.empty(0)

    def __call__(self, shape: _Shape, dtype: np.dtype[Any]) -> Array:
        if self._last.shape != shape or self._last.dtype != dtype:
            size = math.prod(shape)
            if self._memory.size < size or self._memory.dtype != dtype:
                self._memory = np.empty(size, dtype)
            self._last = self._memory[:size].reshape(shape)
        return self._last


def _floats(value: npt.ArrayLike, name: str) -> Array:
    array = _any_array(value, name)
    return array if array.dtype in _FLOATS else real_array(array, name)


def _numbers(value: npt.ArrayLike, name: str) -> Array:
    """Return a real array; integers stay integers, for `_cast` to convert them in one step."""
    array = _any_array(value, name)
    usual = array.dtype in _FLOATS or array.dtype.kind in "iub"
    return array if usual else real_array(array, name)


def _cast(array: Array, dtype: np.dtype[Any], allocate: _Allocate) -> Array:
    if array.dtype == dtype:
        return array
    converted = allocate(array.shape, dtype)
    np.copyto(converted, array)
    return converted


def _batch(x: npt.ArrayLike, features: int) -> Array:
    """Return x as an array, refused unless each of its rows holds so many numbers."""
    array = _numbers(x, "x")
    if array.ndim < 2 or math.prod(array.shape[1:]) != features:
        raise ValueError(
            f"x: expected shape (N, {features}), or (N, ...) with {features} numbers a row, "
            f"got {array.shape}"
        )
    return array


def _rows(batch: Array, features: int, dtype: np.dtype[Any], allocate: _Allocate) -> Array:
    """Return a batch of any dimensions as a matrix of one dtype."""
    if batch.ndim == 2:
        return _cast(batch, dtype, allocate)
    if not batch.flags.c_contiguous:  # reshape would copy it to a new array
        ordered = allocate(batch.shape, dtype)
        np.copyto(ordered, batch)
        batch = ordered
    return _cast(batch.reshape(len(batch), features), dtype, allocate)


def _upstream(dout: npt.ArrayLike, shape: _Shape, dtype: np.dtype[Any], to: _Allocate) -> Array:
    """Return the gradient at a layer's output; one number stands for an array full of it."""
    array = _numbers(dout, "dout")
    if array.shape != shape:
        if array.ndim:
            raise ValueError(f"dout: expected shape {shape}, got {array.shape}")
        array = np.broadcast_to(array, shape)
    return _cast(array, dtype, to)


def _targets(
    t: npt.ArrayLike, out: Array, allocate: _Allocate, of_values: bool = False
) -> npt.ArrayLike:
    """Return targets in the type the losses compute with, or as they came for them to refuse."""
    array = _any_array(t, "t")
    if of_values and out.shape == (*array.shape, 1):  # one output, its values in a row
        array = array.reshape(out.shape)
    if array.shape == out.shape:
        numbers = _numbers(array, "t")
        # To outputs of half precision the losses compare in float32, which holds more targets.
        dtype = out.dtype if numbers.dtype == out.dtype else _work_dtype(out.dtype)
        return _cast(numbers, dtype, allocate)
    if array.dtype.kind in "iu" and np.can_cast(array.dtype, _INDEX):
        return _cast(array, _INDEX, allocate)
    return t


class _Layer:
    """What every layer has: memory that it keeps, and one array from forward for backward."""

    def __init__(self, *, copy: bool = False) -> None:
        self._out, self._dx, self._dout, self._argument = (
            np.empty if copy else _Buffer() for _ in range(4)
        )
        self._saved: Array | None = None

    @property
    def params(self) -> list[Array]:
        """The parameters, by reference."""
        return []

    @property
    def grads(self) -> list[Array]:
        """Their gradients, overwritten by each ``backward``."""
        return []

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _from_forward(self) -> Array:
        if self._saved is None:
            name = type(self).__name__
            raise RuntimeError(f"{name}.backward: expected a call of forward before it, got none")
        return self._saved


def _refuse_parameters(W: Any, b: Any) -> None:
    """TypeError or ValueError for what is no weights and bias of one affine map."""
    for name, array in (("W", W), ("b", b)):
        if not isinstance(array, np.ndarray) or array.dtype not in _FLOATS:
            came = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{name}: expected an array of float32 or float64, got {came}")
    if b.dtype != W.dtype:
        raise TypeError(f"b: expected the dtype of W, {W.dtype}, got {b.dtype}")
    if W.ndim != 2:
        raise ValueError(f"W: expected shape (inputs, outputs), got {W.shape}")
    if b.shape != W.shape[1:]:
        raise ValueError(f"b: expected shape {W.shape[1:]} to fit W, got {b.shape}")


class Affine(_Layer):
    """The affine map x·W + b.

    Parameters
    ----------
    W : ndarray of float32 or float64, shape (inputs, outputs)
        Held by reference: an optimiser that changes it in place changes the layer.
    b : ndarray of the same dtype, shape (outputs,)
        Held by reference.
    copy : bool, default False
        Whether ``forward`` and ``backward`` return fresh arrays, not the layer's own memory, which the
        next call overwrites: for results that are kept, as in a list.

    Attributes
    ----------
    W, b : ndarray
        The parameters.
    dW, db : ndarray
        Their gradients, two arrays for the layer's whole life, which ``backward`` overwrites.

    Raises
    ------
    TypeError
        If W or b is not an array of float32 or float64, or their dtypes differ.
    ValueError
        If W is not a matrix, or b has not one number for each of its columns.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.layers import Affine
    >>> layer = Affine(np.array([[1.0, 0.0], [2.0, 1.0]]), np.array([0.0, 10.0]))
    >>> layer.forward([[1.0, 1.0]])
    array([[ 3., 11.]])
    >>> layer.backward([[1.0, -1.0]])
    array([[1., 1.]])
    >>> layer.dW
    array([[ 1., -1.],
           [ 1., -1.]])
    """

    def __init__(self, W: Array, b: Array, *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        _refuse_parameters(W, b)
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)
        self._shape: _Shape = ()

    def __repr__(self) -> str:
        inputs, outputs = self.W.shape
        return f"{type(self).__name__}({inputs} inputs, {outputs} outputs, {self.W.dtype})"

    @property
    def params(self) -> list[Array]:
        """The arrays W and b, by reference."""
        return [self.W, self.b]

    @property
    def grads(self) -> list[Array]:
        """The arrays dW and db, overwritten by each ``backward``."""
        return [self.dW, self.db]

    def forward(self, x: npt.ArrayLike) -> Array:
        """Return x·W + b, shape (N, outputs).

        Parameters
        ----------
        x : array_like, shape (N, inputs), or (N, ...) with as many numbers a row
            Converted to the dtype of W where it has another.

        Raises
        ------
        TypeError
            If x is not real.
        ValueError
            If x has another number of inputs.
        """
        inputs, outputs = self.W.shape
        batch = _batch(x, inputs)
        rows = _rows(batch, inputs, self.W.dtype, self._argument)
        out = np.matmul(rows, self.W, out=self._out((len(rows), outputs), self.W.dtype))
        out = bias_identity(out, self.b, out)
        self._saved, self._shape = rows, batch.shape
        return out

    def backward(self, dout: npt.ArrayLike = 1.0) -> Array:
        """Return the gradient at x, dout·Wᵀ in the shape of x; set dW = xᵀ·dout and db = Σ dout.

        Parameters
        ----------
        dout : array_like, shape (N, outputs)
            Gradient of the loss at the layer's output; a number stands for an array full of it.

        Raises
        ------
        RuntimeError
            If there was no ``forward``.
        TypeError, ValueError
            If dout is not real, or of another shape.
        """
        x = self._from_forward()
        dout = _upstream(dout, (len(x), len(self.b)), self.W.dtype, self._dout)
        np.matmul(x.T, dout, out=self.dW)
        np.add.reduce(dout, axis=0, out=self.db)
        return np.matmul(dout, self.W.T, out=self._dx(x.shape, x.dtype)).reshape(self._shape)


class _Activation(_Layer):
    """An activation, of which backward needs no more than what forward returned, or what it took."""

    _function: ClassVar[Callable[..., Array]]
    _gradient: ClassVar[Callable[..., Array]]
    _saves_input: ClassVar[bool] = False

    def __init__(self, *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        self._options: dict[str, Any] = {}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"{type(self).__name__}({options})"

    def forward(self, x: npt.ArrayLike) -> Array:
        """Return the activation of each element.

        Parameters
        ----------
        x : array_like, any shape

        Raises
        ------
        TypeError
            If x is not real.
        """
        x = _floats(x, "x")
        y = self._function(x, **self._options, out=self._out(x.shape, x.dtype))
        self._saved = x if self._saves_input else y
        return y

    def backward(self, dout: npt.ArrayLike = 1.0) -> Array:
        """Return the gradient at x.

        Parameters
        ----------
        dout : array_like, of the shape that x had
            Gradient of the loss at the layer's output; a number stands for an array full of it.

        Raises
        ------
        RuntimeError
            If there was no ``forward``.
        TypeError, ValueError
            If dout is not real, or of another shape.
        """
        saved = self._from_forward()
        dout = _upstream(dout, saved.shape, saved.dtype, self._dout)
        return self._gradient(dout, saved, **self._options, out=self._dx(saved.shape, saved.dtype))


class Relu(_Activation):
    """max(x, 0); its derivative at 0 is 0.

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Examples
    --------
    >>> from ffkernels.layers import Relu
    >>> layer = Relu()
    >>> layer.forward([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    >>> layer.backward([5.0, 5.0, 5.0])
    array([0., 0., 5.])
    """

    _function, _gradient = staticmethod(relu), staticmethod(relu_backward)


class Sigmoid(_Activation):
    """1/(1 + e⁻ˣ).

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Examples
    --------
    >>> from ffkernels.layers import Sigmoid
    >>> layer = Sigmoid()
    >>> layer.forward([0.0])
    array([0.5])
    >>> layer.backward([1.0])
    array([0.25])
    """

    _function, _gradient = staticmethod(sigmoid), staticmethod(sigmoid_backward)


class Tanh(_Activation):
    """The hyperbolic tangent.

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Examples
    --------
    >>> from ffkernels.layers import Tanh
    >>> layer = Tanh()
    >>> layer.forward([0.0])
    array([0.])
    >>> layer.backward([3.0])
    array([3.])
    """

    _function, _gradient = staticmethod(tanh), staticmethod(tanh_backward)


class Identity(_Activation):
    """x itself, copied: the output of a net for regression.

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Examples
    --------
    >>> from ffkernels.layers import Identity
    >>> layer = Identity()
    >>> layer.forward([1.0, -2.0])
    array([ 1., -2.])
    >>> layer.backward([3.0, 4.0])
    array([3., 4.])
    """

    _function, _gradient = staticmethod(identity), staticmethod(identity_backward)


class _InputActivation(_Activation):
    """An activation that goes back from its input, which it refers to until then."""

    _saves_input = True


class LeakyRelu(_InputActivation):
    """x where x ≥ 0, negative_slope·x where x < 0; its derivative at 0 is negative_slope.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Finite.
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Raises
    ------
    TypeError, ValueError
        If negative_slope is not a finite number.

    Examples
    --------
    >>> from ffkernels.layers import LeakyRelu
    >>> layer = LeakyRelu()
    >>> layer.forward([-1.0, 2.0])
    array([-0.01,  2.  ])
    >>> layer.backward()
    array([0.01, 1.  ])
    """

    _function, _gradient = staticmethod(leaky_relu), staticmethod(leaky_relu_backward)

    def __init__(self, negative_slope: float = 0.01, *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        self._options = {"negative_slope": finite_number(negative_slope, "negative_slope")}


class Elu(_InputActivation):
    """x where x > 0, alpha·(eˣ - 1) elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
        Finite.
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Raises
    ------
    TypeError, ValueError
        If alpha is not a finite number.

    Examples
    --------
    >>> from ffkernels.layers import Elu
    >>> layer = Elu()
    >>> layer.forward([-1.0, 2.0])
    array([-0.63212056,  2.        ])
    >>> layer.backward()
    array([0.36787944, 1.        ])
    """

    _function, _gradient = staticmethod(elu), staticmethod(elu_backward)

    def __init__(self, alpha: float = 1.0, *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        self._options = {"alpha": finite_number(alpha, "alpha")}


class HardSigmoid(_InputActivation):
    """x/6 + 1/2, but not below 0 or above 1.

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Examples
    --------
    >>> from ffkernels.layers import HardSigmoid
    >>> layer = HardSigmoid()
    >>> layer.forward([-1.0, 2.0])
    array([0.33333333, 0.83333333])
    >>> layer.backward()
    array([0.16666667, 0.16666667])
    """

    _function, _gradient = staticmethod(hard_sigmoid), staticmethod(hard_sigmoid_backward)


class Softplus(_InputActivation):
    """log(1 + eˣ).

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Examples
    --------
    >>> from ffkernels.layers import Softplus
    >>> layer = Softplus()
    >>> layer.forward([-1.0, 2.0])
    array([0.31326169, 2.12692801])
    >>> layer.backward()
    array([0.26894142, 0.88079708])
    """

    _function, _gradient = staticmethod(softplus), staticmethod(softplus_backward)


class Silu(_InputActivation):
    """x/(1 + e⁻ˣ), also called swish.

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Examples
    --------
    >>> from ffkernels.layers import Silu
    >>> layer = Silu()
    >>> layer.forward([-1.0, 2.0])
    array([-0.26894142,  1.76159416])
    >>> layer.backward()
    array([0.07232949, 1.09078425])
    """

    _function, _gradient = staticmethod(silu), staticmethod(silu_backward)


class Gelu(_InputActivation):
    """x·Φ(x), Φ the distribution function of a normal variable.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        "tanh" for ½x(1 + tanh(√(2/π)(x + 0.044715x³))).
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Raises
    ------
    ValueError
        If approximate is another.

    Examples
    --------
    >>> from ffkernels.layers import Gelu
    >>> layer = Gelu()
    >>> layer.forward([-1.0, 2.0])
    array([-0.15865525,  1.95449974])
    >>> layer.backward()
    array([-0.08331547,  1.0852318 ])
    """

    _function, _gradient = staticmethod(gelu), staticmethod(gelu_backward)

    def __init__(self, approximate: Literal["none", "tanh"] = "none", *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        is_by_tanh(approximate)  # or refused
        self._options = {"approximate": approximate}


class Softmax(_Layer):
    """eˣ/Σeˣ along an axis, as a layer of its own.

    Before a cross-entropy use `SoftmaxWithLoss`, which keeps the digits of sure predictions.

    Parameters
    ----------
    axis : int, default -1
        Where the classes lie, in ``forward`` and ``backward`` alike.
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.layers import Softmax
    >>> layer = Softmax()
    >>> layer.forward(np.log([[1.0, 3.0]]))
    array([[0.25, 0.75]])
    >>> layer.backward([[1.0, 0.0]])
    array([[ 0.1875, -0.1875]])
    """

    def __init__(self, axis: int = -1, *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        self.axis = axis

    def __repr__(self) -> str:
        return f"{type(self).__name__}(axis={self.axis})"

    def forward(self, x: npt.ArrayLike) -> Array:
        """Return probabilities, of the shape of x.

        Parameters
        ----------
        x : array_like, any shape of at least one dimension

        Raises
        ------
        TypeError
            If x is not real.
        numpy.exceptions.AxisError
            If x has no such axis.
        """
        x = _floats(x, "x")
        self._saved = softmax(x, self.axis, self._out(x.shape, x.dtype))
        return self._saved

    def backward(self, dout: npt.ArrayLike = 1.0) -> Array:
        """Return the gradient at x, y·(dout - Σ dout·y).

        Parameters
        ----------
        dout : array_like, of the shape that x had
            Gradient of the loss at the layer's output; a number stands for an array full of it.

        Raises
        ------
        RuntimeError
            If there was no ``forward``.
        TypeError, ValueError
            If dout is not real, or of another shape.
        """
        y = self._from_forward()
        dout = _upstream(dout, y.shape, y.dtype, self._dout)
        return softmax_backward(dout, y, self.axis, self._dx(y.shape, y.dtype))


class _Loss(_Layer):
    """The last layer: its forward returns a number."""

    def __init__(self, *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        self.loss: Any = None
        self.t: Any = None
        # Targets are converted into memory of their own, lest those of the last call be overwritten
        # by some that are then refused.
        self._next_argument = np.empty if copy else _Buffer()

    @property
    def y(self) -> Array | None:
        """The net's output that the last ``forward`` compared with the targets."""
        return self._saved

    def _keep(self, loss: Any, t: npt.ArrayLike) -> None:
        self.loss, self.t = loss, t
        self._argument, self._next_argument = self._next_argument, self._argument


class SoftmaxWithLoss(_Loss):
    """Cross-entropy of softmax(x) with the targets, averaged over the batch.

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Attributes
    ----------
    loss : float32 or float64
        The last value of ``forward``.
    y : ndarray
        The probabilities, softmax(x).
    t : ndarray
        The targets.

    Notes
    -----
    The loss comes from x and not from a logarithm of the rounded probabilities, and nothing is
    added inside the logarithm: both stay exact where a prediction is sure.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.layers import SoftmaxWithLoss
    >>> layer = SoftmaxWithLoss()
    >>> float(layer.forward(np.log([[1.0, 3.0]]), [0]).round(6))
    1.386294
    >>> layer.backward()
    array([[-0.75,  0.75]])
    """

    def forward(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Return the loss, a number of the dtype of x.

        Parameters
        ----------
        x : array_like, shape (N, classes)
            Logits; one sample may come as (classes,).
        t : array_like, integers of shape (N,), or of shape (N, classes)
            Class indices, or one-hot rows or other probabilities.

        Raises
        ------
        TypeError
            If x is not real, or t holds neither integers as indices nor real probabilities.
        ValueError
            If the shapes do not fit.
        IndexError
            If a class index is out of range.
        """
        x = _floats(x, "x")
        t = _targets(t, x, self._next_argument)
        loss = softmax_cross_entropy(x, t)
        self._saved = softmax(x, -1, self._out(x.shape, x.dtype))
        self._keep(loss, t)
        return loss

    def backward(self, dout: float = 1.0) -> Array:
        """Return the gradient at x, dout·(y - t)/N.

        Parameters
        ----------
        dout : float, default 1.0
            Factor from behind the loss.

        Raises
        ------
        RuntimeError
            If there was no ``forward``.
        TypeError, ValueError
            If dout is not a number.
        """
        y = self._from_forward()
        return softmax_cross_entropy_backward(y, self.t, dout, out=self._dx(y.shape, y.dtype))


class SigmoidWithLoss(_Loss):
    """Binary cross-entropy of sigmoid(x) with the targets, averaged over all elements.

    For two classes, with one output, or for labels of which a row may have any number, with an output
    for each.

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Attributes
    ----------
    loss : float32 or float64
        The last value of ``forward``.
    y : ndarray
        The probabilities, sigmoid(x).
    t : ndarray
        The targets.

    Notes
    -----
    Loss and gradient come from x, not from the rounded probabilities: both stay exact where a
    prediction is sure.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.layers import SigmoidWithLoss
    >>> layer = SigmoidWithLoss()
    >>> float(layer.forward(np.log([[3.0, 1.0]]), [[0, 1]]).round(6))
    1.039721
    >>> layer.backward().round(12)
    array([[ 0.375, -0.25 ]])
    """

    def forward(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Return the loss, a number of the dtype of x.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            Logits; one sample may come as (outputs,).
        t : array_like, of the shape of x
            1 for yes, 0 for no, or probabilities; for one output, shape (N, 1), also (N,).

        Raises
        ------
        TypeError
            If x or t is not real.
        ValueError
            If the shapes differ.
        """
        x = _floats(x, "x")
        t = _targets(t, x, self._next_argument, of_values=True)
        loss = sigmoid_cross_entropy(x, t)
        self._saved, self._logits = sigmoid(x, self._out(x.shape, x.dtype)), x
        self._keep(loss, t)
        return loss

    def backward(self, dout: float = 1.0) -> Array:
        """Return the gradient at x, dout·(y - t) over the number of elements.

        Parameters
        ----------
        dout : float, default 1.0
            Factor from behind the loss.

        Raises
        ------
        RuntimeError
            If there was no ``forward``.
        TypeError, ValueError
            If dout is not a number.
        """
        y = self._from_forward()
        dx = self._dx(y.shape, y.dtype)
        return sigmoid_cross_entropy_backward(self._logits, self.t, dout, out=dx)


class LinearWithLoss(_Layer):
    """x·W + b and the cross-entropy of its softmax in one layer: `Affine` and `SoftmaxWithLoss` for many
    classes, whose logits are never there as a whole.

    Parameters
    ----------
    W : ndarray of float32 or float64, shape (inputs, classes)
        Held by reference; may be the transpose of an array kept class by class.
    b : ndarray of the same dtype, shape (classes,)
        Held by reference.
    copy : bool, default False
        Whether ``backward`` returns a fresh array, not the layer's own memory, which the next call
        overwrites.

    Attributes
    ----------
    loss : float32 or float64
        The last value of ``forward``.
    t : ndarray
        The targets.
    W, b : ndarray
        The parameters.
    dW, db : ndarray
        Their gradients, two arrays for the layer's whole life, which ``forward`` overwrites.

    Raises
    ------
    TypeError
        If W or b is not an array of float32 or float64, or their dtypes differ.
    ValueError
        If W is not a matrix, or b has not one number for each of its columns.

    Notes
    -----
    ``forward`` computes the gradients too, while it has the logits, as `linear_cross_entropy_with_grad`
    does; for the loss alone call `linear_cross_entropy`, which takes a third of the time.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.layers import LinearWithLoss
    >>> layer = LinearWithLoss(np.array([[0.0, 1.0], [0.0, 1.0]]), np.zeros(2))
    >>> float(layer.forward(np.log([[3.0, 1.0]]), [0]).round(6))
    1.386294
    >>> layer.backward()
    array([[0.75, 0.75]])
    >>> layer.db
    array([-0.75,  0.75])
    """

    def __init__(self, W: Array, b: Array, *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        _refuse_parameters(W, b)
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)
        self.loss: Any = None
        self.t: Any = None
        self._shape: _Shape = ()
        self._factor = 1.0  # from behind the loss, by which the gradients are already multiplied

    def __repr__(self) -> str:
        inputs, classes = self.W.shape
        return f"{type(self).__name__}({inputs} inputs, {classes} classes, {self.W.dtype})"

    @property
    def params(self) -> list[Array]:
        """The arrays W and b, by reference."""
        return [self.W, self.b]

    @property
    def grads(self) -> list[Array]:
        """The arrays dW and db, overwritten by each ``forward``."""
        return [self.dW, self.db]

    def forward(
        self, x: npt.ArrayLike, t: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
    ) -> Any:
        """Return the loss averaged over the batch, a number of the dtype of W; set dW and db.

        Parameters
        ----------
        x : array_like, shape (N, inputs), or (N, ...) with as many numbers a row
            Converted to the dtype of W where it has another.
        t : array_like, integers of shape (N,), or of shape (N, classes)
            Class indices, or one-hot rows or other probabilities.
        sample_weight : array_like, shape (N,), optional
            Weight of each row in the average; finite, at least 0.

        Raises
        ------
        TypeError
            If x is not real, or t holds neither integers as indices nor real probabilities.
        ValueError
            If the shapes do not fit.
        IndexError
            If a class index is out of range.
        """
        inputs = len(self.W)
        batch = _batch(x, inputs)
        rows = _rows(batch, inputs, self.W.dtype, self._argument)
        out = self._dx(rows.shape, rows.dtype), self.dW, self.db
        self.loss, (self._saved, *_) = linear_cross_entropy_with_grad(
            rows, self.W, t, self.b, sample_weight=sample_weight, out=out
        )
        self.t, self._shape, self._factor = t, batch.shape, 1.0
        return self.loss

    def backward(self, dout: float = 1.0) -> Array:
        """Return the gradient at x, in its shape, times dout; multiply dW and db by dout.

        Parameters
        ----------
        dout : float, default 1.0
            Factor from behind the loss; of several calls after one ``forward`` all have the same.

        Raises
        ------
        RuntimeError
            If there was no ``forward``, or a ``backward`` since with another factor.
        TypeError
            If dout is not a number.
        """
        dx = self._from_forward()
        dout = real_number(dout, "dout")
        if dout != self._factor:
            if self._factor != 1:
                raise RuntimeError(
                    f"{type(self).__name__}.backward: expected the factor of the call before, "
                    f"{self._factor:g}, or another call of forward, got {dout:g}"
                )
            for grad in (dx, *self.grads):
                grad *= grad.dtype.type(dout)
            self._factor = dout
        return dx.reshape(self._shape)


class IdentityWithLoss(_Loss):
    """Half the squared distance of x from the targets, averaged over the batch.

    Parameters
    ----------
    copy : bool, default False
        Whether results are fresh arrays, not the layer's own memory, which the next call overwrites.

    Attributes
    ----------
    loss : float32 or float64
        The last value of ``forward``.
    y : ndarray
        x, by reference.
    t : ndarray
        The targets.

    Examples
    --------
    >>> from ffkernels.layers import IdentityWithLoss
    >>> layer = IdentityWithLoss()
    >>> float(layer.forward([[1.0, 2.0], [3.0, 4.0]], [[0.0, 2.0], [3.0, 6.0]]))
    1.25
    >>> layer.backward()
    array([[ 0.5,  0. ],
           [ 0. , -1. ]])
    """

    def forward(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Return the loss ½Σ(x - t)²/N, a number of the dtype of x.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            The net's outputs; one sample may come as (outputs,).
        t : array_like, of the shape of x
            What they should be; for one output, shape (N, 1), also (N,).

        Raises
        ------
        TypeError
            If x or t is not real.
        ValueError
            If the shapes differ.
        """
        y = _floats(x, "x")
        t = _targets(t, y, self._next_argument, of_values=True)
        loss = sum_squared_error(y, t)
        self._saved = y
        self._keep(loss, t)
        return loss

    def backward(self, dout: float = 1.0) -> Array:
        """Return the gradient at x, dout·(x - t)/N.

        Parameters
        ----------
        dout : float, default 1.0
            Factor from behind the loss.

        Raises
        ------
        RuntimeError
            If there was no ``forward``.
        TypeError, ValueError
            If dout is not a number.
        """
        y = self._from_forward()
        dx = self._dx(y.shape, y.dtype)
        if self.t.dtype == y.dtype:
            return sum_squared_error_backward(y, self.t, dout, out=dx)
        with np.errstate(over="ignore"):  # beyond half precision's range is infinity
            dx[...] = sum_squared_error_backward(y, self.t, dout)
        return dx


_Fused = dict[str, tuple[Callable[..., Any], Callable[..., Any]]]

_FUSED: _Fused = {
    "relu": (bias_relu, relu_backward_bias),
    "sigmoid": (bias_sigmoid, sigmoid_backward_bias),
    "tanh": (bias_tanh, tanh_backward_bias),
    "identity": (bias_identity, identity_backward_bias),
    "leaky_relu": (bias_leaky_relu, leaky_relu_backward_bias),
    "elu": (bias_elu, elu_backward_bias),
    "hard_sigmoid": (bias_hard_sigmoid, hard_sigmoid_backward_bias),
    "softplus": (bias_softplus, softplus_backward_bias),
    "silu": (bias_silu, silu_backward_bias),
    "gelu": (bias_gelu, gelu_backward_bias),
}

# Those that go back from their input, for which a net keeps both, and those that start like ReLU.
_FROM_INPUT = {"leaky_relu", "elu", "hard_sigmoid", "softplus", "silu", "gelu"}
_LIKE_RELU = {"relu", "leaky_relu", "elu", "silu", "gelu"}

Activation = Literal[
    "relu", "sigmoid", "tanh", "identity",
    "leaky_relu", "elu", "hard_sigmoid", "softplus", "silu", "gelu",
]  # fmt: skip
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


def _label_loss_with_grad(
    scores: Array, t: npt.ArrayLike, *, reduction: Literal["mean", "sum"], out: Array
) -> tuple[Any, Array]:
    """Of each row the mean over its outputs, which are then averaged or added up."""
    share = None if reduction == "mean" else 1 / scores.shape[1]
    return sigmoid_cross_entropy_with_grad(scores, t, weight=share, reduction=reduction, out=out)


# What makes outputs of the last layer's scores, the loss of the scores, and with its gradient.
_LOSSES: dict[str, tuple[Callable[..., Array], Callable[..., Any], Callable[..., Any]]] = {
    "softmax_cross_entropy": (softmax, softmax_cross_entropy, softmax_cross_entropy_with_grad),
    "sigmoid_cross_entropy": (sigmoid, sigmoid_cross_entropy, _label_loss_with_grad),
    "sum_squared_error": (identity, sum_squared_error, sum_squared_error_with_grad),
}


def _sizes(sizes: Any, activation: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(size) for size in sizes)
    except TypeError:
        came = f"{sizes!r}, {activation!r}, ..." if isinstance(activation, int) else repr(sizes)
        raise TypeError(
            f"sizes: expected one list of integers, such as FeedForward([4, 16, 3]), got {came}"
        ) from None


def _refuse_optimizer(optimizer: Any) -> None:
    """TypeError for what has no update, and for a class, which has one but no parameters' state."""
    if not isinstance(optimizer, type) and callable(getattr(optimizer, "update", None)):
        return
    if isinstance(optimizer, type):
        came = f"the class {optimizer.__name__}: write {optimizer.__name__}(...)"
    else:
        came = repr(optimizer) if isinstance(optimizer, str) else type(optimizer).__name__
    raise TypeError(
        "optimizer: expected SGD(lr=0.1), Adam() or another object with update(params, grads), "
        f"got {came}"
    )


# What files of nets are said to be from.
_WRITER = "FeedForward.save"

#: Under this name among the extras, `ffkernels.tables` keeps the columns and scales of a net's table.
TABLE = "ffkernels.tables"


class FeedForward:
    """A fully connected net, from its inputs to its loss and back.

    Each layer is x·W + b and an activation; the last has none but what belongs to the loss:
    softmax for ``"softmax_cross_entropy"``, sigmoid for ``"sigmoid_cross_entropy"``, none for
    ``"sum_squared_error"``. Between the matrix
    products a training step makes one pass over memory a layer: bias and activation together,
    softmax, loss and gradient together, gradients of activation and bias together, each in place.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, neurons of each hidden layer, outputs.
    activation : str, default "relu"
        Of the hidden layers: "relu", "sigmoid", "tanh", "identity", "leaky_relu", "elu", "hard_sigmoid",
        "softplus", "silu" or "gelu", with the functions' own defaults.
    loss : {"softmax_cross_entropy", "sigmoid_cross_entropy", "sum_squared_error"}
        For classes, of which each row has one (the default), labels, of which it may have any number,
        or regression; averaged over the batch, that of labels over the outputs too.
    dtype : float32 or float64, default float32
        In which the net computes; inputs and targets of other dtypes are converted.
    seed : int, numpy.random.Generator or None, default None
        For the random start, as `numpy.random.default_rng` takes it.

    Attributes
    ----------
    params : dict of ndarray
        ``"W1"``, ``"b1"``, ``"W2"``, ...: the parameters, changed in place by an optimiser.
    grads : dict of ndarray
        Their gradients as of the last `gradient` or `train_step`, overwritten by the next. A step by
        plain SGD makes none of the weights: what it says of those is NaN.
    extras : dict of array_like
        Arrays of your own that are saved and loaded with the net: names of classes, scales of
        inputs.
    sizes, activation, loss_name, dtype
        As given.

    Raises
    ------
    TypeError
        If sizes are not integers.
    ValueError
        If there are fewer than two sizes or one is below 1, or for another activation, loss or
        dtype.

    Notes
    -----
    Weights start normally distributed with variance 2/inputs for ReLU, leaky ReLU, ELU, SiLU and
    GELU [1]_, 2/(inputs + outputs) for the rest [2]_, biases at zero. A seed gives the same start in
    both dtypes.

    `gradient` and `train_step` use memory that the net keeps from step to step; `predict` and
    `loss` only read the parameters, so that several threads may call them at once.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", 2015, equation 10.
    .. [2] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
       networks", 2010, equation 12.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.layers import FeedForward
    >>> from ffkernels.optimizers import Adam
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> exclusive_or = x[:, 0] ^ x[:, 1]
    >>> net, optimizer = FeedForward([2, 8, 2], seed=0), Adam(lr=0.1)
    >>> for _ in range(100):
    ...     loss = net.train_step(x, exclusive_or, optimizer)
    >>> net.predict(x).argmax(axis=1)
    array([0, 1, 1, 0])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation = "relu",
        loss: Literal[
            "softmax_cross_entropy", "sigmoid_cross_entropy", "sum_squared_error"
        ] = "softmax_cross_entropy",
        dtype: npt.DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.sizes = _sizes(sizes, activation)
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes: expected two or more numbers from 1 up, got {self.sizes}")
        for name, value, known in (("activation", activation, _FUSED), ("loss", loss, _LOSSES)):
            if not isinstance(value, str) or value not in known:
                raise ValueError(f"{name}: expected one of {list(known)}, got {value!r}")
        self.dtype = check_dtype(dtype)
        if self.dtype not in _FLOATS:
            raise ValueError(f"dtype: expected float32 or float64, got {self.dtype}")
        self.activation, self.loss_name = activation, loss
        self._output, self._loss, self._loss_with_grad = _LOSSES[loss]
        self._has_classes = loss == "softmax_cross_entropy"
        self.extras: dict[str, npt.ArrayLike] = {}

        rng = np.random.default_rng(seed)
        self.params: dict[str, Array] = {}
        for k, (inputs, outputs) in enumerate(pairwise(self.sizes), start=1):
            variance = 2 / (inputs if activation in _LIKE_RELU else inputs + outputs)
            W = rng.normal(scale=math.sqrt(variance), size=(inputs, outputs))
            self.params[f"W{k}"] = W.astype(self.dtype)
            self.params[f"b{k}"] = np.zeros(outputs, self.dtype)
        self.grads = {name: np.zeros_like(param) for name, param in self.params.items()}

        depth = len(self.sizes) - 1
        names = [activation] * (depth - 1) + ["identity"]
        self._layers = [(f"W{k}", f"b{k}", name) for k, name in enumerate(names, start=1)]
        self._own = (*self.params.values(), *self.grads.values())
        self._absent: set[str] = set()  # gradients that are NaN
        self._buffers = [_Buffer() for _ in range(depth)]
        self._sums_buffers = [_Buffer() for _ in range(depth - 1)] if activation in _FROM_INPUT else []
        self._scratch, self._inputs, self._t = _Buffer(), _Buffer(), _Buffer()
        self._resize(0)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({list(self.sizes)}, activation={self.activation!r}, "
            f"loss={self.loss_name!r}, dtype={self.dtype})"
        )

    def _resize(self, rows: int) -> None:
        """Lay out the memory of a training step: once a batch size, not once a step."""
        hidden = self.sizes[1:-1]
        self._rows = -1  # of no batch, until there is memory for all
        self._is_wide = self._has_wide_output(rows)
        self._outputs = [
            buffer((rows, size), self.dtype) for buffer, size in zip(self._buffers, hidden, strict=False)
        ]
        shape = rows, self.sizes[-1]
        if self._is_wide:  # which says what the scores would be
            self._outputs.append(np.broadcast_to(np.zeros((), self.dtype), shape))
        else:
            self._outputs.append(self._buffers[-1](shape, self.dtype))
        # What activations go back from: their output, in place of the sum, or both.
        self._sums = list(self._outputs)
        for k, buffer in enumerate(self._sums_buffers):
            self._sums[k] = buffer((rows, hidden[k]), self.dtype)
        # The gradient at one layer's output is done with before the next is written, so that the
        # widest has room for all.
        scratch = self._scratch((rows * max(hidden, default=0),), self.dtype)
        self._douts = [None, *(scratch[: rows * size].reshape(rows, size) for size in hidden)]
        depth = len(self._layers)
        weights = self._own[: 2 * depth : 2]
        self._descents = list(map(_blas.AddProduct, self._outputs, weights))
        self._descending = {W for W, _, _ in self._layers[: depth - self._is_wide]}
        self._rows = rows

    def _has_wide_output(self, rows: int) -> bool:
        """Whether the scores of so many rows are never made as a whole.

        In so much memory they leave the cache before they are looked at: the three products and the loss
        take as long in blocks as on whole arrays, or less. Without a hidden layer one of the three, the
        gradient at its output, is not wanted.
        """
        if not self._has_classes or len(self.sizes) == 2:
            return False
        return rows * self.sizes[-1] * self.dtype.itemsize > CHUNK_BYTES

    def _has_own_arrays(self) -> bool:
        """Whether parameters and gradients are the arrays that the net began with."""
        return all(map(operator.is_, (*self.params.values(), *self.grads.values()), self._own))

    def _rate_of_descent(self, optimizer: Optimizer) -> float:
        """The learning rate of a step that is W <- W - rate xᵀ·dz and no more, 0 of any other."""
        if type(optimizer) is not SGD or optimizer.momentum or optimizer.weight_decay:
            return 0.0
        if not (_blas.IS_FUSED and self._has_own_arrays()):
            return 0.0
        if not all(param.flags.carray for param in self.params.values()):
            return 0.0
        lr = at_least(optimizer.lr, "lr", 0)
        return lr if lr > _LEAST_RATE else 0.0

    def _forward(
        self, x: Array, outputs: Sequence[Array], fused: _Fused, sums: Sequence[Array] | None = None
    ) -> None:
        """Fill the outputs, and the sums x·W if they are wanted apart from them."""
        for (W, b, name), z, y in zip(self._layers, sums or outputs, outputs, strict=False):
            np.matmul(x, self.params[W], out=z)
            x = fused[name][0](z, self.params[b], out=y)

    def _put_gradients_in(self, memory: Array) -> None:
        """Lay the gradients side by side in memory of the caller's, in the order of `params`."""
        start = 0
        for name, param in self.params.items():
            self.grads[name] = memory[start : start + param.size].reshape(param.shape)
            start += param.size
        self._own = (*self.params.values(), *self.grads.values())

    def _step(
        self,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        *,
        reduction: Literal["mean", "sum"] = "mean",
        rate: float = 0.0,
    ) -> Any:
        """Return the loss, with its gradients in `grads`; what is refused leaves them as they were.

        Given a rate, take those of the weights times it off the weights instead, which saves a pass that
        writes them and one that reads them.
        """
        batch = _batch(x, self.sizes[0])
        if len(batch) != self._rows:
            self._resize(len(batch))
        first = _rows(batch, self.sizes[0], self.dtype, self._inputs)
        if rate and np.may_share_memory(first, self.params["W1"]):
            first = first.copy()
        inputs = [first, *self._outputs[:-1]]
        own = _backend.active is _numpy and self._has_own_arrays()
        fused = _nets.FUSED if own else _FUSED
        y = self._outputs[-1]
        buffers = self._sums, self._outputs, self._douts, self._descents
        layers = list(zip(self._layers, inputs, *buffers, strict=True))
        if self._is_wide:
            (W, b, _), before, _, _, dout, _ = layers.pop()
            self._forward(inputs[0], self._outputs[:-1], fused, self._sums)
            t = _targets(t, y, self._t)
            out: Any = dout, self.grads[W], self.grads[b]
            loss, _ = linear_cross_entropy_with_grad(
                before, self.params[W], t, self.params[b], reduction=reduction, out=out
            )
            self._absent.discard(W)
        else:
            self._forward(inputs[0], self._outputs, fused, self._sums)
            t = _targets(t, y, self._t, not self._has_classes)
            result = None
            if own and self._has_classes:
                result = _nets.softmax_cross_entropy_with_grad(y, t, y, reduction)
            loss, dout = result or self._loss_with_grad(y, t, reduction=reduction, out=y)
        for (W, b, name), before, z, after, below, descend in reversed(layers):
            # The last that needs the layer's output is its own gradient, which takes its place.
            saved = (after,) if z is after else (z, self.params[b])
            dz, _ = fused[name][1](dout, *saved, out=after, out_bias=self.grads[b])
            if below is not None:
                dout = np.matmul(dz, self.params[W].T, out=below)
            if rate:
                descend(before, -rate)
                if W not in self._absent:
                    self.grads[W].fill(np.nan)
                    self._absent.add(W)
            else:
                np.matmul(before.T, dz, out=self.grads[W])
                self._absent.discard(W)
        return loss

    def _outputs_of(self, batch: Array, depth: int) -> Array:
        """Return what the last of so many layers gives; of all, x·W + b, of which softmax makes
        probabilities."""
        rows = min(len(batch), _CHUNK)
        scores = np.empty((len(batch), self.sizes[depth]), self.dtype)
        hidden = [np.empty((rows, size), self.dtype) for size in self.sizes[1:depth]]
        converted = _Buffer()
        for start in range(0, len(batch), _CHUNK):
            part = slice(start, start + _CHUNK)
            chunk = _rows(batch[part], self.sizes[0], self.dtype, converted)
            self._forward(chunk, [*(z[: len(chunk)] for z in hidden), scores[part]], _FUSED)
        return scores

    def predict(self, x: npt.ArrayLike) -> Array:
        """Return the net's outputs: probabilities of the classes or labels, for regression the values.

        Parameters
        ----------
        x : array_like, shape (N, inputs), or (N, ...) with as many numbers a row
            Batches of any size; large ones are taken in parts, so that little more memory than
            the result's is needed.

        Returns
        -------
        ndarray, shape (N, outputs)
            A fresh array of the net's dtype.

        Raises
        ------
        TypeError
            If x is not real.
        ValueError
            If x has another number of inputs.
        """
        scores = self._outputs_of(_batch(x, self.sizes[0]), len(self._layers))
        return self._output(scores, out=scores)

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Return the loss averaged over the batch, a number of the net's dtype; 0 without rows.

        Parameters
        ----------
        x : array_like, shape (N, inputs), or (N, ...) with as many numbers a row
        t : array_like
            For classes their indices, integers of shape (N,), or probabilities of shape (N, outputs);
            for labels, 0 or 1, and for regression values of shape (N, outputs), for one output also
            (N,).

        Raises
        ------
        TypeError
            If x or t is not real, or class indices are not integers.
        ValueError
            If the shapes do not fit.
        IndexError
            If a class index is out of range.
        """
        batch, depth = _batch(x, self.sizes[0]), len(self._layers)
        if self._has_wide_output(len(batch)):
            W, b, _ = self._layers[-1]
            hidden = self._outputs_of(batch, depth - 1)
            return linear_cross_entropy(hidden, self.params[W], t, self.params[b])
        scores = self._outputs_of(batch, depth)
        return self._loss(scores, _targets(t, scores, np.empty, not self._has_classes))

    def gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, Array]:
        """Return the gradient of the loss with respect to each parameter.

        Parameters
        ----------
        x, t : array_like
            As for `loss`.

        Returns
        -------
        dict of ndarray
            `grads` itself, arrays of the net's dtype, overwritten by the next call.

        Raises
        ------
        TypeError, ValueError, IndexError
            As `loss` does; `grads` is unchanged then.
        """
        self._step(x, t)
        return self.grads

    def train_step(self, x: npt.ArrayLike, t: npt.ArrayLike, optimizer: Optimizer) -> Any:
        """Move the parameters one step down the gradient; return the loss before it.

        `SGD` without momentum and weight decay needs no gradient of the weights: their step is the
        product that would make it, added to them by BLAS, and `grads` says NaN of them after it.
        `gradient` makes all.

        Parameters
        ----------
        x, t : array_like
            As for `loss`.
        optimizer : SGD, Adam, or anything with ``update(params, grads)``
            Changes the parameters in place.

        Raises
        ------
        TypeError
            If `optimizer` is none, a class or a name for instance.
        TypeError, ValueError, IndexError
            As `loss` does; the net is unchanged then.
        """
        _refuse_optimizer(optimizer)
        rate = self._rate_of_descent(optimizer)
        loss = self._step(x, t, rate=rate)
        if not rate:
            optimizer.update(self.params, self.grads)
            return loss
        for name, param in self.params.items():
            if name not in self._descending:
                _backend.active.sgd_update(param, self.grads[name], rate, 0.0)
        return loss

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the net and its `extras` to an ``.npz`` file, which holds no pickle.

        Parameters
        ----------
        path : path-like
            Written to as it stands, whatever it ends in. A file that is there is replaced when the new
            one is complete.

        Raises
        ------
        TypeError
            If one of the extras holds Python objects; nothing is written then.
        """
        extras = {f"extras/{name}": np.asarray(value) for name, value in self.extras.items()}
        for name, array in extras.items():
            if array.dtype.hasobject:
                raise TypeError(f"{name}: expected numbers or strings, got dtype {array.dtype}")
        arrays: dict[str, Any] = {
            "sizes": self.sizes,
            "activation": self.activation,
            "loss": self.loss_name,
            "dtype": self.dtype.name,
            **self.params,
            **extras,
        }
        _files.write(path, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a net that `save` wrote.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        FeedForward
            The net with its `extras`.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it does not hold a net; or one that takes the raw columns of a table, which
            `ffkernels.tables.TableNet.load` reads.
        """
        net = cls._read(path)
        if TABLE in net.extras:
            raise ValueError(
                f"path: expected a net alone, got {path}, which takes the raw columns of a table: "
                "read it by ffkernels.tables.TableNet.load"
            )
        return net

    @classmethod
    def _read(cls, path: str | os.PathLike[str]) -> Self:
        arrays = _files.read(path, _WRITER)
        try:
            activation, loss, dtype = (
                str(arrays.pop(key)) for key in ("activation", "loss", "dtype")
            )
            sizes = _sizes(arrays.pop("sizes").tolist(), activation)
            stored = {}
            # Before a net is made of these sizes, which may claim more than memory holds.
            for k, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
                for name, shape in ((f"W{k}", (inputs, outputs)), (f"b{k}", (outputs,))):
                    stored[name] = array = arrays.pop(name)
                    if array.shape != shape:
                        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
            net = cls(sizes, activation, loss, dtype)  # type: ignore[arg-type]
            for name, param in net.params.items():
                np.copyto(param, stored[name], casting="same_kind")
        except KeyError as missing:
            raise ValueError(
                f"path: expected a file from {_WRITER}, got {path} without {missing}"
            ) from None
        except (TypeError, ValueError) as error:
            raise _files.foreign(path, _WRITER, error) from error
        net.extras = {name.removeprefix("extras/"): array for name, array in arrays.items()}
        return net
