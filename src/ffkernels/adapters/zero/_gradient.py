"""The book's ``common.gradient``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._arguments import Array

_STEP = 1e-4


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
