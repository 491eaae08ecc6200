"""A matrix product that is added to what is there: BLAS has it, NumPy does not offer it.

It is called in the very library that NumPy's own products run in, found through NumPy's extension module
by the name that cblas gives it. SciPy hands out a BLAS too, but a copy with threads of its own: on two
threads the two pools spin against each other, and a training step took three times as long, on a busy
machine two hundred times.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from ._arguments import Array

_ROW_MAJOR, _PLAIN, _TRANSPOSED = 101, 111, 112  # cblas's numbers for them
_OTHER = {_PLAIN: _TRANSPOSED, _TRANSPOSED: _PLAIN}

# A size is passed as a whole word: a library that takes 32 bits reads the lower half.
_SIZE = ctypes.c_ssize_t

# What builds of NumPy call it: with OpenBLAS from PyPI, with Accelerate, with what a distribution has.
_NAMES = (
    "scipy_cblas_{}gemm64_", "scipy_cblas_{}gemm", "cblas_{}gemm64_", "cblas_{}gemm$NEWLAPACK$ILP64",
    "cblas_{}gemm$NEWLAPACK", "cblas_{}gemm",
)  # fmt: skip

# Bytes of the products that are made before they are added, where BLAS is out of reach.
_PART = 2**20


def _find() -> dict[np.dtype[Any], Callable[..., None]]:
    """cblas's gemm by dtype; none where NumPy's products come from elsewhere."""
    found: dict[np.dtype[Any], Callable[..., None]] = {}
    try:
        from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

        library = ctypes.CDLL(_multiarray_umath.__file__)
    except (ImportError, OSError):
        return found
    for letter, dtype, number in (("s", "f4", ctypes.c_float), ("d", "f8", ctypes.c_double)):
        names = (name.format(letter) for name in _NAMES)
        gemm = next((getattr(library, name) for name in names if hasattr(library, name)), None)
        if gemm is None:
            continue
        matrix = [ctypes.c_void_p, _SIZE]
        gemm.argtypes = [*[ctypes.c_int] * 3, *[_SIZE] * 3, number, *matrix, *matrix, number, *matrix]
        gemm.restype = None
        found[np.dtype(dtype)] = gemm
    return found


_GEMM = _find()

#: Whether `AddProduct` is one pass; without, the product is made before it is added.
IS_FUSED = len(_GEMM) == 2


def _place(matrix: Array) -> tuple[int, int, int] | None:
    """Order, address and step from line to line, by which BLAS finds a matrix; None where it cannot."""
    if not matrix.size:
        return None
    (rows, columns), (down, right), size = matrix.shape, matrix.strides, matrix.itemsize
    if right == size and down >= columns * size and down % size == 0:
        order, step = _PLAIN, down
    elif down == size and right >= rows * size and right % size == 0:
        order, step, matrix = _TRANSPOSED, right, matrix.T
    else:
        return None
    if matrix.flags.carray:  # which takes a third of the time
        address = ctypes.addressof(ctypes.c_char.from_buffer(matrix))  # type: ignore[arg-type]
    elif matrix.flags.aligned:
        address = matrix.ctypes.data
    else:
        return None
    return order, address, step // size


def is_copied(matrix: Array) -> bool:
    """Whether a product copies the matrix first."""
    return bool(matrix.size) and _place(matrix) is None


class AddProduct:
    """out <- out + alpha aᵀ·b, of matrices of one type, float32 or float64, for one b and one out.

    With ``first`` what ``out`` held does not count. An ``alpha`` that is 0 in that type adds nothing,
    whatever NaN there is in a and b.
    """

    def __init__(self, b: Array, out: Array) -> None:
        self._b, self._out = b, out
        self._gemm = _GEMM.get(out.dtype) if b.size else None
        places = _place(b), _place(out)
        if places[0] is None or places[1] is None or places[1][0] != _PLAIN:
            self._gemm = None
        else:
            self._place_b, self._place_out = places[0], places[1][1:]

    def __reduce__(self) -> tuple[Any, ...]:  # the copy of a net has its arrays in another place
        return AddProduct, (self._b, self._out)

    def __call__(self, a: Array, alpha: float, first: bool = False) -> None:
        place = _place(a)
        if self._gemm is None or place is None or not a.size:
            _add_by_parts(a, self._b, self._out, alpha, first)
            return
        (order, address, step), (order_b, address_b, step_b) = place, self._place_b
        self._gemm(
            _ROW_MAJOR, _OTHER[order], order_b, *self._out.shape, len(a), alpha, address, step,
            address_b, step_b, 0.0 if first else 1.0, *self._place_out,
        )  # fmt: skip


def _add_by_parts(a: Array, b: Array, out: Array, alpha: float, first: bool) -> None:
    """The same without BLAS, with little more memory."""
    columns = max(1, _PART // (out.itemsize * max(1, len(out))))
    for start in range(0, out.shape[1], columns):
        part = slice(start, start + columns)
        product = a.T @ b[:, part]
        product *= alpha
        if first:
            out[:, part] = product
        else:
            out[:, part] += product
