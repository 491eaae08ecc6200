"""The book's ``common.layers``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import layers as _layers
from ..._arguments import FLOATS, Array, real_array, real_number
from ..._batches import as_floats, as_rows, as_upstream, check_batch
from ...activations import bias_identity
from ...layers._base import Layer
from ._differences import from_book
from ._functions import cross_entropy_error, one_sample

# Of batch normalisation; the book writes 10e-7.
_VARIANCE_OFFSET = 1e-6


class Relu(_layers.Relu):
    """`ffkernels.layers.Relu` that returns fresh arrays.

    Examples
    --------
    >>> from ffkernels.adapters.zero import Relu
    >>> Relu().forward([-1.0, 2.0])
    array([0., 2.])
    """

    def __init__(self) -> None:
        super().__init__(copy=True)


class Sigmoid(_layers.Sigmoid):
    """`ffkernels.layers.Sigmoid` that returns fresh arrays.

    Examples
    --------
    >>> from ffkernels.adapters.zero import Sigmoid
    >>> Sigmoid().forward([0.0])
    array([0.5])
    """

    def __init__(self) -> None:
        super().__init__(copy=True)


class Affine(_layers.Affine):
    """`ffkernels.layers.Affine` that returns fresh arrays, ``dW`` and ``db`` included.

    Parameters
    ----------
    W : ndarray of float32 or float64, shape (inputs, outputs)
        Held by reference.
    b : ndarray of the same dtype, shape (outputs,)
        Held by reference.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.adapters.zero import Affine
    >>> layer = Affine(np.eye(2), np.array([0.0, 10.0]))
    >>> layer.forward([[1.0, 1.0]])
    array([[ 1., 11.]])
    """

    def __init__(self, W: Array, b: Array) -> None:
        super().__init__(W, b, copy=True)

    def backward(self, dout: npt.ArrayLike = 1.0) -> Array:
        """Return the gradient at x; set new arrays ``dW`` and ``db``.

        Parameters
        ----------
        dout : array_like, shape (N, outputs)
            Gradient of the loss at the layer's output.

        Raises
        ------
        RuntimeError
            If there was no ``forward``.
        TypeError, ValueError
            If dout is not real, or of another shape.
        """
        rows = self._from_forward()
        dout = as_upstream(dout, (len(rows), len(self.b)), self.W.dtype, np.empty)
        self.dW, self.db = np.empty_like(self.W), np.empty_like(self.b)
        return super().backward(dout)


class SoftmaxWithLoss(_layers.SoftmaxWithLoss):
    """`ffkernels.layers.SoftmaxWithLoss` that returns fresh arrays and knows the differences.

    Examples
    --------
    >>> from ffkernels.adapters.zero import SoftmaxWithLoss
    >>> layer = SoftmaxWithLoss()
    >>> float(layer.forward([[0.0, 0.0]], [1]).round(4))
    0.6931
    >>> layer.backward()
    array([[ 0.5, -0.5]])
    """

    def __init__(self) -> None:
        super().__init__(copy=True)

    def forward(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Return the loss, a number of the dtype of x.

        Parameters
        ----------
        x : array_like, shape (N, classes) or (classes,)
            Logits.
        t : array_like
            As for `cross_entropy_error`.

        Raises
        ------
        IndexError
            If a class index is out of range.
        TypeError, ValueError
            If x or t has another type or shape.
        """
        t = one_sample(x, t)
        super().forward(x, t)
        if from_book() & {"log_offset", "argmax_targets"}:
            self.loss = cross_entropy_error(self._from_forward(), t)
        return self.loss

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
        if "dout_of_loss" in from_book():
            dout = 1.0
        y = self._from_forward()
        if "one_sample" in from_book() and y.ndim == 1 and np.shape(self.t) == y.shape:
            dout = dout / len(y)
        return super().backward(dout)


class Dropout(Layer):
    """Drops each number with a probability in training; in tests scales all by those that stay.

    Parameters
    ----------
    dropout_ratio : float in [0, 1], default 0.5
        The probability.

    Attributes
    ----------
    dropout_ratio : float
        As given.
    mask : ndarray of bool
        What the last training ``forward`` kept.

    Raises
    ------
    TypeError, ValueError
        If dropout_ratio is not a number from 0 to 1.

    References
    ----------
    Srivastava, N., Hinton, G., Krizhevsky, A., Sutskever, I., Salakhutdinov, R. (2014). Dropout: a
    simple way to prevent neural networks from overfitting. JMLR 15.

    Examples
    --------
    >>> from ffkernels.adapters.zero import Dropout
    >>> Dropout(0.25).forward([[4.0, 8.0]], train_flg=False)
    array([[3., 6.]])
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        super().__init__(copy=True)
        ratio = real_number(dropout_ratio, "dropout_ratio")
        if not 0 <= ratio <= 1:
            raise ValueError(f"dropout_ratio: expected 0 to 1, got {ratio:g}")
        self.dropout_ratio = ratio
        self.mask: Array | None = None

    def __repr__(self) -> str:
        return f"Dropout({self.dropout_ratio})"

    def forward(self, x: npt.ArrayLike, train_flg: bool = True) -> Array:
        """Return x, of which some numbers are 0, or in tests x·(1 - dropout_ratio).

        Parameters
        ----------
        x : array_like, any shape
        train_flg : bool, default True
            Whether to draw a mask, from ``np.random``, rather than to scale.

        Raises
        ------
        TypeError
            If x is not real.
        """
        x = as_floats(x, "x")
        if not train_flg:
            self._saved = np.asarray(x.dtype.type(1 - self.dropout_ratio))
        else:
            # The global generator, one double a number: a seed gives the masks it gives the book.
            self.mask = np.random.rand(*x.shape) > self.dropout_ratio  # noqa: NPY002
            self._saved = np.asarray(self.mask)
        self._shape, self._dtype = x.shape, x.dtype
        return np.multiply(x, self._saved)

    def backward(self, dout: npt.ArrayLike = 1.0) -> Array:
        """Return the gradient at x, dout times what ``forward`` multiplied by.

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
        factor = self._from_forward()
        return np.multiply(as_upstream(dout, self._shape, self._dtype, np.empty), factor)


class BatchNormalization(Layer):
    """gamma·(x - mean)/sqrt(variance + 1e-6) + beta, each column by its own mean and variance.

    In training these are the batch's, in tests running averages of those; the variance is divided
    by N. What has more than two dimensions, as images of shape (N, C, H, W), is taken as rows of
    C·H·W columns, each normalised by itself.

    Parameters
    ----------
    gamma, beta : ndarray of float32 or float64, shape (columns,)
        Scale and shift, held by reference: an optimiser that changes them in place is seen.
    momentum : float in [0, 1], default 0.9
        What of the running averages a training step keeps.
    running_mean, running_var : array_like, shape (columns,), optional
        Where the averages start; else at 0.

    Attributes
    ----------
    gamma, beta : ndarray
        The parameters.
    dgamma, dbeta : ndarray or None
        Their gradients, fresh arrays from each ``backward``.
    momentum, running_mean, running_var
        As given; the averages are replaced by each training ``forward``.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type or shape.

    Notes
    -----
    With xn = (x - mean)/std the gradient at x is
    gamma/std · (dout - Σ dout/N - xn·Σ(dout·xn)/N) after a training ``forward``, and gamma/std · dout
    after one in a test, where mean and variance do not depend on x.

    References
    ----------
    Ioffe, S., Szegedy, C. (2015). Batch normalization: accelerating deep network training by reducing
    internal covariate shift. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.adapters.zero import BatchNormalization
    >>> layer = BatchNormalization(np.ones(1), np.zeros(1))
    >>> layer.forward([[0.0], [2.0]]).round(4)
    array([[-1.],
           [ 1.]])
    """

    def __init__(
        self,
        gamma: Array,
        beta: Array,
        momentum: float = 0.9,
        running_mean: npt.ArrayLike | None = None,
        running_var: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__(copy=True)
        for name, array in (("gamma", gamma), ("beta", beta)):
            if not isinstance(array, np.ndarray) or array.dtype not in FLOATS:
                came = getattr(array, "dtype", type(array).__name__)
                raise TypeError(f"{name}: expected an array of float32 or float64, got {came}")
        if gamma.ndim != 1:
            raise ValueError(f"gamma: expected one dimension, got shape {gamma.shape}")
        self.momentum = real_number(momentum, "momentum")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum: expected 0 to 1, got {self.momentum:g}")
        self.running_mean, self.running_var = (
            np.zeros(gamma.shape) if value is None else real_array(value, name)
            for name, value in (("running_mean", running_mean), ("running_var", running_var))
        )
        for name, array in (
            ("beta", beta),
            ("running_mean", self.running_mean),
            ("running_var", self.running_var),
        ):
            if array.shape != gamma.shape:
                raise ValueError(
                    f"{name}: expected the shape of gamma, {gamma.shape}, got {array.shape}"
                )
        self.gamma, self.beta = gamma, beta
        self.dgamma: Array | None = None
        self.dbeta: Array | None = None

    def __repr__(self) -> str:
        return f"BatchNormalization({len(self.gamma)} columns, {self.gamma.dtype})"

    @property
    def params(self) -> list[Array]:
        """The arrays gamma and beta, by reference."""
        return [self.gamma, self.beta]

    @property
    def grads(self) -> list[Any]:
        """The arrays dgamma and dbeta of the last ``backward``."""
        return [self.dgamma, self.dbeta]

    def forward(self, x: npt.ArrayLike, train_flg: bool = True) -> Array:
        """Return the normalised batch, of the shape of x.

        Parameters
        ----------
        x : array_like, shape (N, columns), or (N, ...) with as many numbers a row
        train_flg : bool, default True
            Whether to normalise by the batch and to update the running averages.

        Raises
        ------
        TypeError
            If x is not real.
        ValueError
            If x has another number of columns, or in training no rows.
        """
        columns = len(self.gamma)
        batch = check_batch(x, columns)
        floats = batch if batch.dtype.kind == "f" else batch.astype(np.float64)
        dtype = np.result_type(floats, self.gamma)
        rows = as_rows(floats, columns, dtype, np.empty)
        if train_flg:
            if not len(rows):
                raise ValueError(f"x: expected at least one row to train on, got {batch.shape}")
            mean = rows.mean(axis=0)
            xn = bias_identity(rows, -mean)
            var = np.einsum("ij,ij->j", xn, xn) / len(rows)
            kept, new = self.momentum, 1 - self.momentum
            averages = kept * self.running_mean + new * mean, kept * self.running_var + new * var
        else:
            xn = np.subtract(rows, self.running_mean, dtype=dtype)
            var = self.running_var
            averages = self.running_mean, self.running_var
        inverse_std = (1 / np.sqrt(var + _VARIANCE_OFFSET)).astype(dtype, copy=False)
        xn *= inverse_std
        out = np.multiply(xn, self.gamma, dtype=dtype)
        out = bias_identity(out, self.beta.astype(dtype, copy=False), out).reshape(batch.shape)
        self.running_mean, self.running_var = averages
        self._inverse_std, self._saved = inverse_std, xn
        self._shape, self._trained = batch.shape, bool(train_flg)
        return out

    def backward(self, dout: npt.ArrayLike = 1.0) -> Array:
        """Return the gradient at x, in its shape; set ``dgamma`` = Σ dout·xn and ``dbeta`` = Σ dout.

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
        xn = self._from_forward()
        dout = as_upstream(dout, self._shape, xn.dtype, np.empty).reshape(xn.shape)
        self.dbeta = np.add.reduce(dout, axis=0)
        self.dgamma = np.einsum("ij,ij->j", xn, dout)
        scale = self.gamma * self._inverse_std
        if self._trained:
            dx = xn * (self.dgamma / -len(xn))
            dx += dout
            bias_identity(dx, self.dbeta / -len(xn), dx)
            dx *= scale
        else:
            dx = np.multiply(dout, scale, dtype=xn.dtype)
        return dx.reshape(self._shape)
