"""The same bits from every compiler, on every instruction set with a fused multiply-add, on any number of threads.

Outputs are held against stored hashes.  Where a formula changes on purpose, `python tests/test_same_bits.py`
prints the new ones.
"""

import hashlib
import platform

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import backend as control
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

#: Short and long rows, a few and many; the last two are enough for several threads.
SHAPES = [(7,), (5, 3), (33, 10), (3, 100), (20, 4100), (2, 30, 700), (130, 333)]

# fmt: off
HASHES = {
}
# fmt: on


def numbers(shape, dtype, seed, low=-8.0, high=8.0):
    """Numbers that need nobody's mathematics: multiples of 2^-24 of a range, in no order."""
    size = int(np.prod(shape))
    state = (np.arange(size, dtype=np.uint64) + np.uint64(1 + 1000003 * seed)) * np.uint64(0x9E3779B97F4A7C15)
    state ^= state >> np.uint64(29)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    return (low + (high - low) * ((state >> np.uint64(40)) / 2.0**24)).astype(dtype).reshape(shape)


def arguments(operation, shape, dtype):
    """What the function takes, for every layout in which kernels go another way."""
    count = len(operation.draw(np.random.default_rng(0), (2, 2), np.float64))
    first = (0.01, 1.0) if operation.name.startswith("cross_entropy") or "entropy_backward" in operation.name else ()
    arrays = [numbers(shape, dtype, 1, *(first or (-8.0, 8.0)))]
    low = -1.0 if operation.name.endswith(("_backward", "_backward_bias")) else 0.0
    arrays += [numbers(shape, dtype, i, low, 1.0) for i in range(2, count + 1)]
    if operation.name == "log_softmax_backward":
        arrays[1] = -4 + 4 * arrays[1]
    if operation.kind == "update":
        return [(*arrays, *UPDATE_NUMBERS[operation.name])]
    if operation.kind == "bias" and "backward" not in operation.name:
        arrays[1] = numbers(shape[-1:], dtype, 2)
    if operation.kind == "loss" and "entropy" in operation.name:
        indices = (numbers(shape[:-1], np.float64, 3, 0.0, 1.0) * shape[-1]).astype(np.intp)
        return [(arrays[0], indices), (arrays[0], numbers(shape, dtype, 4, 0.0, 1.0))]
    return [arrays]


def outputs(operation, dtype):
    function = getattr(ff, operation.name)
    for shape in SHAPES:
        for drawn in arguments(operation, shape, dtype):
            if operation.kind == "update":
                # The first step: powers of other steps are those of the C library.
                function(*drawn[:-1], 1) if operation.name == "adam_update" else function(*drawn)
                yield from (a for a in drawn if isinstance(a, np.ndarray))
                continue
            axes = [-1]
            if operation.kind in ("rows", "loss") and "squared" not in operation.name and drawn[-1].ndim == drawn[0].ndim:
                axes = range(len(shape))
            for axis in axes:
                chosen = {"axis": axis} if len(axes) > 1 else {}
                results = function(*drawn, **chosen)
                yield from results if isinstance(results, tuple) else (results,)
            if "softmax_cross" in operation.name and drawn[-1].ndim == len(shape):
                results = function(*drawn, label_smoothing=0.125, weight=numbers(shape[-1:], dtype, 5, 0.0, 2.0))
                yield from results if isinstance(results, tuple) else (results,)


def hashed(operation, dtype):
    digest = hashlib.sha256()
    for output in outputs(operation, dtype):
        array = np.ascontiguousarray(output)
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


def instruction_sets():
    """Those with a fused multiply-add."""
    supported = control._compiled.supported() if control._compiled is not None else []
    arm = platform.machine().lower() in ("aarch64", "arm64")
    return [isa for isa in supported if isa != "baseline" or arm]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize("isa", instruction_sets())
def test_outputs_are_the_stored_ones(isa, operation):
    before = ff.get_isa()
    try:
        ff.set_isa(isa)
        for threads in (1, 2, 3):
            with ff.use_backend("compiled"), ff.num_threads(threads):
                assert (hashed(operation, np.float32), hashed(operation, np.float64)) == HASHES[operation.name]
    finally:
        ff.set_isa(before)


if __name__ == "__main__":
    for operation in OPERATIONS:
        print(f'    "{operation.name}": ("{hashed(operation, np.float32)}", "{hashed(operation, np.float64)}"),')
