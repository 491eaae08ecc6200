"""What tests of several modules measure by."""

import numpy as np


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def slope(f, x, step=1e-6):
    """The gradient of f, a function of no argument, by x, which is changed in place meanwhile."""
    grad = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + step
        above = f()
        x[i] = kept - step
        grad[i] = (above - f()) / (2 * step)
        x[i] = kept
    return grad
