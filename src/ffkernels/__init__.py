"""Feed-forward maths for NumPy nets: fused, accurate, and as fast as the processor allows.

Activations, losses and parameter updates are functions of this module, and so are the choices of backend
and threads. `FeedForward`, `SGD`, `Adam`, `InputLayer` and `inspect` train a net in a few lines. The
rest is in `layers`, `optimizers`, `inputs` and `adapters`.
"""

#: Here and nowhere else: asking the installed package's metadata takes longer than the whole import.
__version__ = "0.1.0"

from . import adapters, inputs, layers, optimizers
from ._capi import get_include
from .activations import (
    bias_identity,
    bias_relu,
    bias_sigmoid,
    bias_tanh,
    identity,
    identity_backward,
    identity_backward_bias,
    identity_grad,
    log_softmax,
    log_softmax_backward,
    logsumexp,
    relu,
    relu_backward,
    relu_backward_bias,
    relu_grad,
    sigmoid,
    sigmoid_backward,
    sigmoid_backward_bias,
    sigmoid_grad,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
    tanh_backward_bias,
    tanh_grad,
)
from .backend import (
    get_backend,
    get_isa,
    get_num_threads,
    num_threads,
    set_backend,
    set_isa,
    set_num_threads,
    show_config,
    use_backend,
)
from .inputs import InputLayer, inspect
from .layers import FeedForward
from .linear import linear_cross_entropy, linear_cross_entropy_with_grad, merge_logsumexp
from .losses import (
    cross_entropy,
    cross_entropy_backward,
    cross_entropy_with_grad,
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_with_grad,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_with_grad,
    sum_squared_error,
    sum_squared_error_backward,
    sum_squared_error_with_grad,
)
from .optimizers import (
    SGD,
    Adam,
    adam_update,
    momentum_update,
    sgd_update,
)

__all__ = [
    "SGD",
    "Adam",
    "FeedForward",
    "InputLayer",
    "__version__",
    "adam_update",
    "adapters",
    "bias_identity",
    "bias_relu",
    "bias_sigmoid",
    "bias_tanh",
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "get_backend",
    "get_include",
    "get_isa",
    "get_num_threads",
    "identity",
    "identity_backward",
    "identity_backward_bias",
    "identity_grad",
    "inputs",
    "inspect",
    "layers",
    "linear_cross_entropy",
    "linear_cross_entropy_with_grad",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "merge_logsumexp",
    "momentum_update",
    "num_threads",
    "optimizers",
    "relu",
    "relu_backward",
    "relu_backward_bias",
    "relu_grad",
    "set_backend",
    "set_isa",
    "set_num_threads",
    "sgd_update",
    "show_config",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_backward_bias",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_backward",
    "sigmoid_cross_entropy_with_grad",
    "sigmoid_grad",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_with_grad",
    "sum_squared_error",
    "sum_squared_error_backward",
    "sum_squared_error_with_grad",
    "tanh",
    "tanh_backward",
    "tanh_backward_bias",
    "tanh_grad",
    "use_backend",
]


def __dir__() -> list[str]:
    return __all__
