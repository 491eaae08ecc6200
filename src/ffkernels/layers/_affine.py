"""The affine map, a layer's weights and bias."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arguments import Array
from .._batches import Shape, as_rows, as_upstream, check_batch
from ..activations import bias_identity, identity_backward_bias
from ._base import Layer, refuse_parameters


class Affine(Layer):
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
        refuse_parameters(W, b)
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)
        self._shape: Shape = ()

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
        batch = check_batch(x, inputs)
        rows = as_rows(batch, inputs, self.W.dtype, self._argument)
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
        dout = as_upstream(dout, (len(x), len(self.b)), self.W.dtype, self._dout)
        # With a copy: NumPy adds row after row, in float32 with an error of 1e-4 after 100,000.
        copy = self._dout(dout.shape, dout.dtype)
        dout, _ = identity_backward_bias(dout, dout, copy, self.db)
        np.matmul(x.T, dout, out=self.dW)
        return np.matmul(dout, self.W.T, out=self._dx(x.shape, x.dtype)).reshape(self._shape)
