"""More classes than a float has numbers for: an odd one beyond 2^24 is none."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import ffkernels as ff

FIRST = 2**24
ROWS = 16
CLASSES = FIRST + 2 * ROWS


def free_memory():
    """Bytes that may be had without swapping, as far as the system says: Linux."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 0


@pytest.mark.memory
@pytest.mark.skipif(free_memory() < 3 * 2**30, reason="too little memory for a gradient of 1 GiB")
def test_targets_beyond_the_integers_of_float32(backend):
    """Column by column, one class after the other, of probabilities that are a window on one array."""
    if backend == "numpy":
        pytest.skip("as the kernels do it; NumPy numbers in integers and takes several times the memory")
    probabilities = np.zeros(CLASSES + ROWS - 1, np.float32)
    probabilities[FIRST + ROWS - 1] = 0.75
    probabilities[FIRST + ROWS] = 0.25
    columns = sliding_window_view(probabilities, ROWS)
    targets = FIRST + np.arange(ROWS)[::-1]
    dx = np.empty((CLASSES, ROWS), np.float32)
    ff.softmax_cross_entropy_backward(columns, targets, axis=0, reduction="sum", out=dx)
    wanted = np.zeros((2 * ROWS, ROWS), np.float32)
    wanted[targets - FIRST, np.arange(ROWS)] = -0.25
    wanted[targets - FIRST + 1, np.arange(ROWS)] = 0.25
    np.testing.assert_array_equal(dx[FIRST:], wanted)
    assert not dx[:FIRST].any()
