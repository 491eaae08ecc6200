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
    for letter, dtype in (("s", np.float32), ("d", np.float64)):
        names = (name.format(letter) for name in _NAMES)
        gemm = next((getattr(library, name) for name in names if hasattr(library, name)), None)
        if gemm is None:
            continue
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
        self._gemm = _GEMM.get(out.dtype)
        place, place_out = _place(b), _place(out)
        if place is None or place_out is None or place_out[0] != _PLAIN:
            self._gemm = None
            return
        number = ctypes.c_float if out.itemsize == 4 else ctypes.c_double
        self._order, self._rows, self._step = ctypes.c_int(), _SIZE(), _SIZE()
        self._address, self._alpha, self._beta = ctypes.c_void_p(), number(), number()
        # Made once: ctypes takes as long to convert fourteen numbers as for all the rest of a call.
        self._arguments = (
            ctypes.c_int(_ROW_MAJOR), self._order, ctypes.c_int(place[0]),
            *map(_SIZE, out.shape), self._rows, self._alpha, self._address, self._step,
            ctypes.c_void_p(place[1]), _SIZE(place[2]), self._beta,
            ctypes.c_void_p(place_out[1]), _SIZE(place_out[2]),
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:  # the copy of a net has its arrays in another place
        return AddProduct, (self._b, self._out)

    def __call__(self, a: Array, alpha: float, first: bool = False) -> None:
        place = _place(a)
        if self._gemm is None or place is None or not a.size:
            _add_by_parts(a, self._b, self._out, alpha, first)
            return
        self._order.value = _OTHER[place[0]]
        self._address.value, self._step.value = place[1:]
        self._rows.value, self._alpha.value, self._beta.value = len(a), alpha, not first
        self._gemm(*self._arguments)


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
