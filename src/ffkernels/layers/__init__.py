"""Layers with the protocol of the deep-learning-from-scratch books, and `FeedForward`, a whole net.

A layer is called ``forward(x)``, then ``backward(dout)`` with the gradient of the loss at its
output, and returns that at its input; ``params`` and ``grads`` list its parameters and
their gradients. A loss is called ``forward(x, t)``, and its ``backward()`` begins the way back.
Nets written for the books' layers run on these when one import is changed.

What a layer returns lies in memory of its own, kept for the next call and overwritten by it: from
the second step on, training allocates nothing that grows with the batch. A smaller batch uses a
part of the same memory. To keep the results of several calls, as in a list of all outputs, copy
them, or construct the layer with ``copy=True``. A layer never changes the arrays it is given, and
refers to them until its ``backward``. It computes in the dtype of its input, `Affine` in that of
``W``. A layer or a net serves one thread at a time.
"""

from __future__ import annotations

from ._activations import (
    Elu,
    Gelu,
    HardSigmoid,
    Identity,
    LeakyRelu,
    Relu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from ._affine import Affine
from ._losses import IdentityWithLoss, LinearWithLoss, SigmoidWithLoss, SoftmaxWithLoss
from ._net import ACTIVATIONS as ACTIVATIONS
from ._net import TABLE as TABLE
from ._net import Activation as Activation
from ._net import FeedForward

# So they are called in pickles from when this was one module.
from ._base import Buffer as _Buffer  # noqa: F401  # isort: skip
from ._net import label_loss_with_grad as _label_loss_with_grad  # noqa: F401  # isort: skip

__all__ = [
    "Affine",
    "Elu",
    "FeedForward",
    "Gelu",
    "HardSigmoid",
    "Identity",
    "IdentityWithLoss",
    "LeakyRelu",
    "LinearWithLoss",
    "Relu",
    "Sigmoid",
    "SigmoidWithLoss",
    "Silu",
    "Softmax",
    "SoftmaxWithLoss",
    "Softplus",
    "Tanh",
]

for _name in __all__:  # as they are imported, documented and pickled, wherever they are defined
    globals()[_name].__module__ = __name__


def __dir__() -> list[str]:
    return __all__
