"""thinc's operations on these kernels: ``with use_ops("ffkernels"):`` is all that a user writes.

`FFKernelsOps` is thinc's own `NumpyOps` with its activations, softmaxes, maxout and their backward
passes replaced.  Each takes what thinc's takes and gives what it gives, to within rounding; arrays
other than plain float32 and float64 ones, or of different shapes, go to thinc's own code.
"""

import math
from typing import Any

import numpy as np

from .. import activations
from ._extras import missing

try:
    from thinc.backends import NumpyOps
except ModuleNotFoundError as error:
    raise missing(error, "thinc") from None

from thinc.backends.ops import FloatsT
from thinc.config import registry
from thinc.types import Floats2d, Floats3d, FloatsXdT, Ints1d, Ints2d

__all__ = ["FFKernelsOps"]


def __dir__():
    return __all__


FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

# thinc clips what its sigmoid sees to [-20, 20]; sigmoid is monotone, so its result may be clipped.
SIGMOID_LIMITS = 1 / (1 + math.exp(20)), 1 / (1 + math.exp(-20))

# Maxout by NumPy's vector loops from so many numbers on; below, calling them costs more than it saves.
MAXOUT_SIZE = 12_000

# A softmax call for each sequence from so many numbers a sequence on.
SEQUENCE_SIZE = 1024


@registry.ops("ffkernels")
class FFKernelsOps(NumpyOps):  # type: ignore[misc]  # thinc's class is Cython without stubs
    """thinc's NumPy backend with activations, softmax and maxout from ffkernels.

    Examples
    --------
    >>> from thinc.api import Relu, Softmax, chain, use_ops
    >>> import ffkernels.adapters.thinc  # where ffkernels is installed, thinc finds it by itself
    >>> with use_ops("ffkernels"):
    ...     model = chain(Relu(128), Softmax(10))
    >>> model.ops.name
    'ffkernels'
    """

    name = "ffkernels"

    def relu(self, X: Floats2d, inplace: bool = False) -> Floats2d:
        if not _served(X):
            return super().relu(X, inplace)
        return activations.relu(X, X if inplace else None)

    def backprop_relu(self, dY: Floats2d, Y: Floats2d, inplace: bool = False) -> Floats2d:
        if not _served(dY, Y):
            return super().backprop_relu(dY, Y, inplace)
        return activations.relu_backward(dY, Y, dY if inplace else None)

    def sigmoid(self, X: FloatsXdT, *, inplace: bool = False) -> FloatsXdT:
        if not _served(X):
            return super().sigmoid(X, inplace=inplace)
        Y = activations.sigmoid(X, X if inplace else None)
        return Y.clip(*SIGMOID_LIMITS, out=Y)

    def backprop_sigmoid(self, dY: FloatsXdT, Y: FloatsXdT, *, inplace: bool = False) -> FloatsXdT:
        if not _served(dY, Y):
            return super().backprop_sigmoid(dY, Y, inplace=inplace)
        # In place means in Y here, in dY everywhere else.
        return activations.sigmoid_backward(dY, Y, Y if inplace else None)

    def softmax(
        self, x: FloatsT, *, inplace: bool = False, axis: int = -1, temperature: float = 1.0
    ) -> FloatsT:
        # thinc never writes to x, whatever `inplace` says, and its MultiSoftmax layer, which drops
        # the result, computes what it does because of that.
        if not _served(x) or type(axis) is not int:
            return super().softmax(x, inplace=inplace, axis=axis, temperature=temperature)
        if temperature == 1.0:
            return activations.softmax(x, axis)
        scaled = x / temperature
        return activations.softmax(scaled, axis, scaled)

    def backprop_softmax(
        self, Y: FloatsT, dY: FloatsT, *, axis: int = -1, temperature: float = 1.0
    ) -> FloatsT:
        if not _served(dY, Y) or type(axis) is not int:
            return super().backprop_softmax(Y, dY, axis=axis, temperature=temperature)
        if temperature == 1.0:
            return activations.softmax_backward(dY, Y, axis)
        scaled = dY / temperature
        return activations.softmax_backward(scaled, Y, axis, scaled)

    def softmax_sequences(
        self, Xs: Floats2d, lengths: Ints1d, *, inplace: bool = False, axis: int = -1
    ) -> Floats2d:
        if not _served(Xs) or not _long_sequences(Xs, lengths):
            return super().softmax_sequences(Xs, lengths, inplace=inplace, axis=axis)
        # thinc ignores `inplace` and `axis`: every column is a softmax over the rows of a sequence.
        Y = Xs.clip(-20.0, 20.0)
        for rows in _rows(lengths):
            activations.softmax(Y[rows], 0, Y[rows])
        return Y

    def backprop_softmax_sequences(self, dY: Floats2d, Y: Floats2d, lengths: Ints1d) -> Floats2d:
        if not _served(dY, Y) or not _long_sequences(dY, lengths):
            return super().backprop_softmax_sequences(dY, Y, lengths)
        dX = np.empty_like(dY)
        for rows in _rows(lengths):
            activations.softmax_backward(dY[rows], Y[rows], 0, dX[rows])
        return dX

    def maxout(self, X: Floats3d) -> tuple[Floats2d, Ints2d]:
        # With two or three pieces thinc's loop branches on the data; with more it does not.
        if not (_served(X) and X.size >= MAXOUT_SIZE and X.ndim == 3 and X.shape[2] in (2, 3)):
            return super().maxout(X)
        first, second, *third = np.ascontiguousarray(np.moveaxis(X, 2, 0))
        best = np.maximum(first, second)
        which = (second > first).view(np.int8)
        for piece in third:
            np.maximum(which, 2 * (piece > best).view(np.int8), out=which)
            np.maximum(best, piece, out=best)
        return best, which.astype(np.int32)

    def swish(self, X: FloatsXdT, inplace: bool = False) -> FloatsXdT:
        if not _served(X):
            return super().swish(X, inplace)
        return activations.silu(X, X if inplace else None)

    def backprop_swish(
        self, dY: FloatsXdT, X: FloatsXdT, Y: FloatsXdT, inplace: bool = False
    ) -> FloatsXdT:
        if not _served(dY, X, Y):
            return super().backprop_swish(dY, X, Y, inplace)
        return activations.silu_backward(dY, X, dY if inplace else None)

    def gelu_approx(self, X: FloatsXdT, inplace: bool = False) -> FloatsXdT:
        if not _served(X):
            return super().gelu_approx(X, inplace)
        return activations.gelu(X, "tanh", X if inplace else None)

    def backprop_gelu_approx(
        self, dY: FloatsXdT, X: FloatsXdT, inplace: bool = False
    ) -> FloatsXdT:
        if not _served(dY, X):
            return super().backprop_gelu_approx(dY, X, inplace)
        return activations.gelu_backward(dY, X, "tanh", dY if inplace else None)

    def gelu(self, X: FloatsXdT, inplace: bool = False) -> FloatsXdT:
        if not _served(X):
            return super().gelu(X, inplace)
        return activations.gelu(X, out=X if inplace else None)

    def backprop_gelu(self, dY: FloatsXdT, X: FloatsXdT, inplace: bool = False) -> FloatsXdT:
        if not _served(dY, X):
            return super().backprop_gelu(dY, X, inplace)
        return activations.gelu_backward(dY, X, out=dY if inplace else None)

    def mish(self, X: FloatsXdT, threshold: float = 20.0, inplace: bool = False) -> FloatsXdT:
        if not _served(X):
            return super().mish(X, threshold, inplace)
        gate = activations.softplus(X)
        activations.tanh(gate, gate)
        np.copyto(gate, 1, where=np.greater_equal(X, threshold))
        return np.multiply(X, gate, out=X if inplace else gate)

    def backprop_mish(
        self, dY: FloatsXdT, X: Floats2d, threshold: float = 20.0, inplace: bool = False
    ) -> FloatsXdT:
        if not _served(dY, X):
            return super().backprop_mish(dY, X, threshold, inplace)
        # With t = tanh(softplus(x)) and s the sigmoid of x, d/dx x t = t + x s (1 - t²).
        gate, slope = activations.softplus(X), activations.sigmoid(X)
        activations.tanh(gate, gate)
        activations.tanh_backward(slope, gate, slope)
        slope *= X
        slope += gate
        np.copyto(slope, 1, where=np.greater_equal(X, threshold))
        return np.multiply(dY, slope, out=dY if inplace else slope)


def _served(array: Any, *others: Any) -> bool:
    """Whether these are plain arrays of one shape and of a type that the kernels compute in."""
    return (
        type(array) is np.ndarray
        and array.dtype in FLOATS
        and array.ndim > 0
        and all(
            type(other) is np.ndarray and other.dtype == array.dtype and other.shape == array.shape
            for other in others
        )
    )


def _long_sequences(X: Any, lengths: Any) -> bool:
    """Whether these lengths divide the rows of X into sequences worth a call each."""
    return bool(
        X.ndim == 2
        and type(lengths) is np.ndarray
        and X.size >= SEQUENCE_SIZE * max(1, lengths.size)
        and lengths.dtype == np.int32
        and lengths.ndim == 1
        and lengths.min(initial=0) >= 0
        and lengths.sum() == X.shape[0]
    )


def _rows(lengths: Any) -> list[slice]:
    ends = lengths.cumsum().tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False) if start < end]
