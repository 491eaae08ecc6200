"""No call keeps a reference or memory, whether it is answered or refused."""

import gc
import sys
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

import ffkernels as ff
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

BY_NAME = {operation.name: operation for operation in OPERATIONS}
CALLS = 100
WINDOWS = 4


def calls(name):
    """A plain call, calls that take the general path and the output, and two that are refused."""
    operation = BY_NAME[name]
    function = getattr(ff, name)
    plain = operation.draw(np.random.default_rng(0), (6, 5), np.float32)
    if operation.kind == "update":
        numbers = UPDATE_NUMBERS[name]
        wide = [np.asfortranarray(a) for a in plain]
        yield lambda: function(*plain, *numbers), plain
        yield lambda: function(*wide, *numbers), wide
        yield lambda: function(*plain[:-1], plain[-1][:2], *numbers), plain
        yield lambda: function(*plain, "fast"), plain
        return
    half = [a.astype(np.float16) if a.dtype.kind == "f" else a for a in plain]
    result = function(*plain)
    arrays = [a for a in (result if isinstance(result, tuple) else (result,)) if np.ndim(a)]
    yield lambda: function(*plain), plain
    yield lambda: function(*half), half
    if arrays:
        out = [np.empty_like(arrays[0])]
        yield lambda: function(*plain, out=out[0]), [*plain, *out]
        shorter = [np.empty((3,), arrays[0].dtype)]
        yield lambda: function(*plain, out=shorter[0]), [*plain, *shorter]
    yield lambda: function(*plain[:-1], np.array(["a"])), plain


def repeat(call, times):
    for _ in range(times):
        with suppress(TypeError, ValueError, IndexError):
            call()


# References are counted in the code that all instruction sets share.
@pytest.mark.parametrize("name", sorted(BY_NAME))
@pytest.mark.parametrize("implementation", sorted({ff.get_backend(), "numpy"}))
def test_calls_keep_nothing(implementation, name):
    gc.freeze()  # so that the collections look at what the calls made alone
    try:
        with ff.use_backend(implementation):
            check(name)
    finally:
        gc.unfreeze()


def growth(call):
    """Bytes that CALLS calls keep.  A leak keeps them in every window, while the interpreter's own
    stores, for frames and messages of refused calls, fill in the first few and then stay."""
    start = tracemalloc.get_traced_memory()[0]
    repeat(call, CALLS)
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - start


def check(name):
    for call, arrays in calls(name):
        repeat(call, 10)
        gc.collect()
        kept = [*arrays, ff, np.float32, None]
        before = [sys.getrefcount(item) for item in kept]
        tracemalloc.start()
        repeat(call, 50)  # fills NumPy's cache of small blocks
        grown = min(growth(call) for _ in range(WINDOWS))
        tracemalloc.stop()
        after = [sys.getrefcount(item) for item in kept]
        assert grown < 20 * CALLS  # less than a float for each
        assert max(np.subtract(after, before)) < CALLS / 2
