"""The names of a deep-learning-from-scratch book's ``common`` package, computed by ffkernels.

Nets written against the book's ``common.functions``, ``common.layers`` and ``common.gradient`` run on
these functions and layers when their imports are changed::

    from ffkernels.adapters.zero import *

Names, signatures, flags and shapes are the book's, and so is what a reader sees of memory: every
call returns fresh arrays, where `ffkernels.layers` reuse theirs. Dropout draws from NumPy's global
generator, as the book's does, so that ``np.random.seed`` gives the same learning curve.

A few values differ on purpose, since the book's are slips or biases. `DIFFERENCES` lists them;
`set_book_values` and `use_book_values` bring each of them back.
"""

from __future__ import annotations

from ...activations import sigmoid, sigmoid_grad, softmax
from ._differences import DIFFERENCES, set_book_values, use_book_values
from ._functions import (
    cross_entropy_error,
    identity_function,
    relu,
    relu_grad,
    softmax_loss,
    step_function,
    sum_squared_error,
)
from ._gradient import numerical_gradient
from ._layers import Affine, BatchNormalization, Dropout, Relu, Sigmoid, SoftmaxWithLoss

__all__ = [
    "DIFFERENCES",
    "Affine",
    "BatchNormalization",
    "Dropout",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "cross_entropy_error",
    "identity_function",
    "numerical_gradient",
    "relu",
    "relu_grad",
    "set_book_values",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
    "use_book_values",
]


def __dir__() -> list[str]:
    return __all__
