"""What layers have in common: memory that they keep, and what they keep from forward for backward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._arguments import FLOATS, Array
from .._batches import Shape


class Buffer:
    """Called like np.empty; allocates once, later calls get the same memory or a part of it."""

    def __init__(self) -> None:
        self._memory = self._last = np.empty(0)

    def __call__(self, shape: Shape, dtype: np.dtype[Any]) -> Array:
        if self._last.shape != shape or self._last.dtype != dtype:
            size = math.prod(shape)
            if self._memory.size < size or self._memory.dtype != dtype:
                self._memory = np.empty(size, dtype)
            self._last = self._memory[:size].reshape(shape)
        return self._last


class Layer:
    """What every layer has: memory that it keeps, and one array from forward for backward."""

    def __init__(self, *, copy: bool = False) -> None:
        self._out, self._dx, self._dout, self._argument = (
            np.empty if copy else Buffer() for _ in range(4)
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


def refuse_parameters(W: Any, b: Any) -> None:
    """TypeError or ValueError for what is no weights and bias of one affine map."""
    for name, array in (("W", W), ("b", b)):
        if not isinstance(array, np.ndarray) or array.dtype not in FLOATS:
            came = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{name}: expected an array of float32 or float64, got {came}")
    if b.dtype != W.dtype:
        raise TypeError(f"b: expected the dtype of W, {W.dtype}, got {b.dtype}")
    if W.ndim != 2:
        raise ValueError(f"W: expected shape (inputs, outputs), got {W.shape}")
    if b.shape != W.shape[1:]:
        raise ValueError(f"b: expected shape {W.shape[1:]} to fit W, got {b.shape}")
