"""Losses as layers: their forward returns a number, and their backward begins the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import Array, real_number
from .._batches import Shape, as_floats, as_rows, as_targets, check_batch
from ..activations import sigmoid, softmax
from ..linear import linear_cross_entropy_with_grad
from ..losses import (
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_backward,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    sum_squared_error,
    sum_squared_error_backward,
)
from ._base import Buffer, Layer, refuse_parameters


class _Loss(Layer):
    """The last layer: its forward returns a number."""

    def __init__(self, *, copy: bool = False) -> None:
        super().__init__(copy=copy)
        self.loss: Any = None
        self.t: Any = None
        # Targets are converted into memory of their own, lest those of the last call be overwritten
        # by some that are then refused.
        self._next_argument = np.empty if copy else Buffer()

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
        x = as_floats(x, "x")
        t = as_targets(t, x, self._next_argument)
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
        x = as_floats(x, "x")
        t = as_targets(t, x, self._next_argument, of_values=True)
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


class LinearWithLoss(Layer):
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
        refuse_parameters(W, b)
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)
        self.loss: Any = None
        self.t: Any = None
        self._shape: Shape = ()
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
        batch = check_batch(x, inputs)
        rows = as_rows(batch, inputs, self.W.dtype, self._argument)
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
        y = as_floats(x, "x")
        t = as_targets(t, y, self._next_argument, of_values=True)
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
