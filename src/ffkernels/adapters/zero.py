"""The names of a deep-learning-from-scratch book's ``common`` package, computed by ffkernels.

Nets written against the book's ``common.functions``, ``common.layers`` and ``common.gradient`` run on
these functions and layers when their imports are changed::

    from ffkernels.adapters.zero import *

Names, signatures, flags and shapes are the book's, and so is what a reader sees of memory: every
call returns fresh arrays, where `ffkernels.layers` reuse theirs. Dropout draws from NumPy's global
generator, as the book's does, so that ``np.random.seed`` gives the same learning curve.

A few values differ on purpose, since the book's are slips or biases. `DIFFERENCES` lists them;
`set_book_values` and `use_book_values` bring each of them back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import layers as _layers
from .._arguments import FLOATS, Array, real_array, real_number
from .._batches import as_floats, as_rows, as_upstream, check_batch
from ..activations import bias_identity, sigmoid, sigmoid_grad, softmax
from ..activations import relu as _relu
from ..activations import relu_grad as _relu_grad
from ..layers._base import Layer
from ..losses import cross_entropy, softmax_cross_entropy
from ..losses import sum_squared_error as _sum_squared_error

__all__ = [
    "DIFFERENCES",
    "Affine",
    "BatchNormalization",
    "Dropout",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "cross_entropy_error",
    "identity_function",
    "numerical_gradient",
    "relu",
    "relu_grad",
    "set_book_values",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
    "use_book_values",
]


def __dir__() -> list[str]:
    return __all__


#: Where the book computes another value: the name of each difference, and what the book does.
DIFFERENCES = {
    "relu_grad_at_zero": "relu_grad is 1 at 0, not 0",
    "log_offset": "the logarithms of the cross-entropies are of y + 1e-7, not of y",
    "argmax_targets": "rows of probabilities count in the cross-entropies as their largest class",
    "dout_of_loss": "SoftmaxWithLoss.backward takes its dout as 1",
    "one_sample": "SoftmaxWithLoss.backward divides one sample with a one-hot target by its classes",
}

_LOG_OFFSET = 1e-7
_STEP = 1e-4  # of numerical_gradient
_VARIANCE_OFFSET = 1e-6  # of batch normalisation; the book writes 10e-7

_of_process: frozenset[str] = frozenset()
_of_context: ContextVar[frozenset[str]] = ContextVar("ffkernels.adapters.zero.use_book_values")


def _book() -> frozenset[str]:
    """The differences that are taken from the book here."""
    return _of_context.get(_of_process)


def _checked(names: tuple[str, ...]) -> frozenset[str]:
    for name in names:
        if name not in DIFFERENCES:
            raise ValueError(f"names: expected some of {list(DIFFERENCES)}, got {name!r}")
    return frozenset(names)


def set_book_values(*names: str) -> None:
    """Take the book's values for these differences and the exact ones for all others.

    It holds for the whole process, but not within `use_book_values`; without names every value is exact
    again.

    Parameters
    ----------
    *names : str
        Keys of `DIFFERENCES`; ``*DIFFERENCES`` for all.

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> from ffkernels.adapters import zero
    >>> zero.set_book_values("relu_grad_at_zero")
    >>> zero.relu_grad([-1.0, 0.0, 2.0])
    array([0., 1., 1.])
    >>> zero.set_book_values()
    >>> zero.relu_grad([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    global _of_process
    _of_process = _checked(names)


@contextmanager
def use_book_values(*names: str) -> Iterator[None]:
    """Context of `set_book_values`, for the current thread or asyncio task.

    Parameters
    ----------
    *names : str
        Keys of `DIFFERENCES`.

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> from ffkernels.adapters import zero
    >>> with zero.use_book_values("log_offset"):
    ...     print(zero.cross_entropy_error([[1.0, 0.0]], [1]).round(4))
    16.1181
    """
    before = _of_context.set(_checked(names))
    try:
        yield
    finally:
        _of_context.reset(before)


def identity_function(x: Any) -> Any:
    """x itself: the output of a net for regression.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    array_like
        The same object.

    Examples
    --------
    >>> from ffkernels.adapters.zero import identity_function
    >>> identity_function(3.0)
    3.0
    """
    return x


def step_function(x: npt.ArrayLike) -> Array:
    """1 where x > 0, else 0, as integers.

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.

    Returns
    -------
    ndarray of int
        Of the shape of ``x``.

    Raises
    ------
    TypeError
        If x is not real.

    Examples
    --------
    >>> from ffkernels.adapters.zero import step_function
    >>> step_function([-1.0, 0.0, 2.0])
    array([0, 0, 1])
    """
    return np.asarray(real_array(x, "x") > 0, dtype=int)


def relu(x: npt.ArrayLike) -> Array:
    """Rectified linear unit, `ffkernels.relu`: max(x, 0).

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError
        If x is not real.

    Examples
    --------
    >>> from ffkernels.adapters.zero import relu
    >>> relu([-1.0, 2.0])
    array([0., 2.])
    """
    return _relu(x)


def relu_grad(x: npt.ArrayLike) -> Array:
    """Derivative of `relu` at x: 1 where x > 0, else 0.

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.

    Returns
    -------
    ndarray
        Of the shape of ``x``.  With the difference ``"relu_grad_at_zero"`` 1 where x >= 0.

    Raises
    ------
    TypeError
        If x is not real.

    Examples
    --------
    >>> from ffkernels.adapters.zero import relu_grad
    >>> relu_grad([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    if "relu_grad_at_zero" in _book():
        x = real_array(x, "x")
        return (x >= 0).astype(x.dtype)
    return _relu_grad(x)


def _one_sample(y: Any, t: npt.ArrayLike) -> npt.ArrayLike:
    """The target of one sample in the shapes that the losses know, where the book takes any shape."""
    if np.ndim(y) != 1 or np.shape(t) == np.shape(y):
        return t
    size = np.size(t)
    if size == np.size(y):
        return np.reshape(t, np.shape(y))
    return np.reshape(t, ()) if size == 1 else t


def sum_squared_error(y: npt.ArrayLike, t: npt.ArrayLike) -> Any:
    """Half the sum of squared errors, ½ Σ (y - t)², over the whole batch.

    Parameters
    ----------
    y, t : array_like
        Outputs and targets, of one shape, two numbers included: nothing is broadcast.

    Returns
    -------
    scalar
        Not divided by the size of the batch.

    Raises
    ------
    TypeError, ValueError
        If y or t is not real, or their shapes differ.

    Examples
    --------
    >>> from ffkernels.adapters.zero import sum_squared_error
    >>> float(sum_squared_error([1.0, 2.0], [0.0, 0.0]))
    2.5
    """
    if np.ndim(y) == np.ndim(t) == 0:
        y, t = np.reshape(y, 1), np.reshape(t, 1)
    return _sum_squared_error(y, t, reduction="sum")


def cross_entropy_error(y: npt.ArrayLike, t: npt.ArrayLike) -> Any:
    """Cross-entropy of probabilities, -Σ t log y, averaged over the batch.

    Parameters
    ----------
    y : array_like, shape (N, classes) or (classes,)
        Probabilities; one dimension is one sample.
    t : array_like
        One-hot rows or other probabilities of the shape of ``y``, or class indices, integers of shape
        (N,); for one sample a single index, also as [2], or probabilities as one row.

    Returns
    -------
    scalar
        With the difference ``"log_offset"`` of y + 1e-7, finite even where y is 0.

    Raises
    ------
    IndexError
        For a class index out of range; negative ones do not wrap.
    TypeError, ValueError
        If y or t has another type or shape.

    Examples
    --------
    >>> from ffkernels.adapters.zero import cross_entropy_error
    >>> float(cross_entropy_error([[0.25, 0.75], [0.5, 0.5]], [1, 0]).round(4))
    0.4904
    """
    y = real_array(y, "y")
    t = _one_sample(y, t)
    if "argmax_targets" in _book() and np.shape(t) == y.shape:
        t = np.argmax(t, axis=-1)
    return cross_entropy(y + y.dtype.type(_LOG_OFFSET) if "log_offset" in _book() else y, t)


def softmax_loss(X: npt.ArrayLike, t: npt.ArrayLike) -> Any:
    """Cross-entropy of softmax(X), averaged over the batch.

    Computed from X and not through the logarithm of rounded probabilities.

    Parameters
    ----------
    X : array_like, shape (N, classes) or (classes,)
        Logits.
    t : array_like
        As for `cross_entropy_error`.

    Returns
    -------
    scalar

    Raises
    ------
    IndexError
        For a class index out of range.
    TypeError, ValueError
        If X or t has another type or shape.

    Examples
    --------
    >>> from ffkernels.adapters.zero import softmax_loss
    >>> float(softmax_loss([[0.0, 0.0]], [1]).round(4))
    0.6931
    """
    if _book() & {"log_offset", "argmax_targets"}:
        return cross_entropy_error(softmax(X), t)
    return softmax_cross_entropy(X, _one_sample(X, t))


def numerical_gradient(f: Callable[[Array], Any], x: Array) -> Array:
    """Gradient of f at x by central differences, (f(x + h) - f(x - h)) / 2h with h = 1e-4.

    Parameters
    ----------
    f : callable
        Called with ``x``; it may as well ignore its argument and read x from a net, since x is
        changed in place for each call, and is as it was afterwards.
    x : ndarray of floats
        Of any shape; float64, or the differences have few digits.

    Returns
    -------
    ndarray
        Of the shape and type of ``x``.

    Raises
    ------
    TypeError
        If x is not an array of floats.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.adapters.zero import numerical_gradient
    >>> numerical_gradient(lambda x: (x**2).sum(), np.array([3.0, 4.0])).round(6)
    array([6., 8.])
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        came = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"x: expected an array of floats, got {came}")
    grad = np.empty_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        try:
            x[index] = kept + _STEP
            above = f(x)
            x[index] = kept - _STEP
            below = f(x)
        finally:
            x[index] = kept
        grad[index] = (above - below) / (2 * _STEP)
    return grad


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
        t = _one_sample(x, t)
        super().forward(x, t)
        if _book() & {"log_offset", "argmax_targets"}:
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
        if "dout_of_loss" in _book():
            dout = 1.0
        y = self._from_forward()
        if "one_sample" in _book() and y.ndim == 1 and np.shape(self.t) == y.shape:
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
