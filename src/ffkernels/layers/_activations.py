"""Activations as layers: each refers to what its way back needs, its output or its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy.typing as npt

from .._arguments import Array, finite_number, is_by_tanh
from .._batches import as_floats, as_upstream
from ..activations import (
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    hard_sigmoid,
    hard_sigmoid_backward,
    identity,
    identity_backward,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softmax,
    softmax_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)
from ._base import Layer


class _Activation(Layer):
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
        x = as_floats(x, "x")
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
        dout = as_upstream(dout, saved.shape, saved.dtype, self._dout)
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


class Softmax(Layer):
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
        x = as_floats(x, "x")
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
        dout = as_upstream(dout, y.shape, y.dtype, self._dout)
        return softmax_backward(dout, y, self.axis, self._dx(y.shape, y.dtype))
