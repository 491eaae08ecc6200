"""The product that is added to what is there: in BLAS where it is found, in parts where not."""

from __future__ import annotations

import numpy as np
import pytest

from ffkernels import _blas
from references import normal


def unaligned(matrix):
    memory = np.empty(matrix.nbytes + 1, np.uint8)
    result = memory[1:].view(matrix.dtype).reshape(matrix.shape)
    result[...] = matrix
    return result


LAYOUTS = {
    "C": lambda m: m,
    "Fortran": np.asfortranarray,
    "rows apart": lambda m: np.repeat(m, 2, axis=0)[::2],
    "part of wider rows": lambda m: np.hstack([m, m])[:, : m.shape[1]],
    "columns apart": lambda m: np.repeat(m, 2, axis=1)[:, ::2],
    "unaligned": unaligned,
    "backwards": lambda m: m[::-1].copy()[::-1],
}


@pytest.fixture(params=["BLAS", "parts"])
def way(request, monkeypatch):
    if request.param == "parts":
        monkeypatch.setattr(_blas, "_GEMM", {})
        monkeypatch.setattr(_blas, "_PART", 100)
    elif not _blas.IS_FUSED:
        pytest.skip("NumPy's BLAS is out of reach")
    return request.param


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout_b", LAYOUTS)
@pytest.mark.parametrize("layout_a", LAYOUTS)
def test_adds_the_product(layout_a, layout_b, dtype):
    a, b, out = normal(5, 7, dtype=dtype), normal(5, 11, seed=1, dtype=dtype), normal(7, 11, dtype=dtype)
    expected = out.astype(np.float64) - 0.3 * (a.astype(np.float64).T @ b.astype(np.float64))
    add = _blas.AddProduct(LAYOUTS[layout_b](b), out)
    add(LAYOUTS[layout_a](a), -0.3)
    np.testing.assert_allclose(out, expected, rtol=0, atol=32 * np.finfo(dtype).eps)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_adds_to_any_array(layout):
    a, b, out = normal(5, 7), normal(5, 11, seed=1), LAYOUTS[layout](normal(7, 11, seed=2))
    expected = out + 2 * a.T @ b
    _blas.AddProduct(b, out)(a, 2.0)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-14)
    out[0] = np.nan
    _blas.AddProduct(b, out)(a, 2.0, first=True)
    np.testing.assert_allclose(out, 2 * a.T @ b, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("k", "m", "n"), [(0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 1, 1), (1, 4, 1), (4, 1, 3)]
)
def test_sizes_of_none_and_one(k, m, n):
    a, b, out = normal(k, m), normal(k, n, seed=1), normal(m, n, seed=2)
    expected = out + a.T @ b
    _blas.AddProduct(b, out)(a, 1.0)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-14)
    _blas.AddProduct(b, out)(a, 1.0, first=True)
    np.testing.assert_allclose(out, a.T @ b, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("way")
def test_read_only_operands():
    a, b, out = normal(5, 7), normal(5, 11, seed=1), np.zeros((7, 11))
    for operand in (a, b):
        operand.setflags(write=False)
    _blas.AddProduct(b, out)(a, 1.0)
    np.testing.assert_allclose(out, a.T @ b, rtol=0, atol=1e-14)
