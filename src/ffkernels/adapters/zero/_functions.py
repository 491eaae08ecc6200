"""The book's ``common.functions``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..._arguments import Array, real_array
from ...activations import relu as _relu
from ...activations import relu_grad as _relu_grad
from ...activations import softmax
from ...losses import cross_entropy, softmax_cross_entropy
from ...losses import sum_squared_error as _sum_squared_error
from ._differences import from_book

_LOG_OFFSET = 1e-7


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
    if "relu_grad_at_zero" in from_book():
        x = real_array(x, "x")
        return (x >= 0).astype(x.dtype)
    return _relu_grad(x)


def one_sample(y: Any, t: npt.ArrayLike) -> npt.ArrayLike:
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
    t = one_sample(y, t)
    if "argmax_targets" in from_book() and np.shape(t) == y.shape:
        t = np.argmax(t, axis=-1)
    return cross_entropy(y + y.dtype.type(_LOG_OFFSET) if "log_offset" in from_book() else y, t)


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
    if from_book() & {"log_offset", "argmax_targets"}:
        return cross_entropy_error(softmax(X), t)
    return softmax_cross_entropy(X, one_sample(X, t))
