"""The kernels: every instruction set's module has these names, from the one `kernels.pyx`."""

from typing import Any, Final, Literal, TypeAlias

from numpy.typing import ArrayLike, NDArray
from typing_extensions import CapsuleType

from .._shards import Shard

_Array: TypeAlias = NDArray[Any]
_Approximate: TypeAlias = Literal["none", "tanh"]
_Reduction: TypeAlias = Literal["mean", "sum", "none"]

isa: Final[str]
compiler: Final[str]
c_functions: Final[CapsuleType]  # the table of ffkernels.h

def set_num_threads(n: int, most: int) -> None: ...

# elementwise.pxi

def relu(x: ArrayLike, out: _Array | None) -> _Array: ...
def relu_grad(x: ArrayLike, out: _Array | None) -> _Array: ...
def relu_backward(dy: ArrayLike, y: ArrayLike, out: _Array | None) -> _Array: ...
def sigmoid(x: ArrayLike, out: _Array | None) -> _Array: ...
def sigmoid_grad(x: ArrayLike, out: _Array | None) -> _Array: ...
def sigmoid_backward(dy: ArrayLike, y: ArrayLike, out: _Array | None) -> _Array: ...
def tanh(x: ArrayLike, out: _Array | None) -> _Array: ...
def tanh_grad(x: ArrayLike, out: _Array | None) -> _Array: ...
def tanh_backward(dy: ArrayLike, y: ArrayLike, out: _Array | None) -> _Array: ...
def identity(x: ArrayLike, out: _Array | None) -> _Array: ...
def identity_grad(x: ArrayLike, out: _Array | None) -> _Array: ...
def identity_backward(dy: ArrayLike, y: ArrayLike, out: _Array | None) -> _Array: ...
def leaky_relu(x: ArrayLike, negative_slope: float, out: _Array | None) -> _Array: ...
def leaky_relu_backward(
    dy: ArrayLike, x: ArrayLike, negative_slope: float, out: _Array | None
) -> _Array: ...
def elu(x: ArrayLike, alpha: float, out: _Array | None) -> _Array: ...
def elu_backward(dy: ArrayLike, x: ArrayLike, alpha: float, out: _Array | None) -> _Array: ...
def hard_sigmoid(x: ArrayLike, out: _Array | None) -> _Array: ...
def hard_sigmoid_backward(dy: ArrayLike, x: ArrayLike, out: _Array | None) -> _Array: ...
def softplus(x: ArrayLike, out: _Array | None) -> _Array: ...
def softplus_backward(dy: ArrayLike, x: ArrayLike, out: _Array | None) -> _Array: ...
def silu(x: ArrayLike, out: _Array | None) -> _Array: ...
def silu_backward(dy: ArrayLike, x: ArrayLike, out: _Array | None) -> _Array: ...
def gelu(x: ArrayLike, approximate: _Approximate, out: _Array | None) -> _Array: ...
def gelu_backward(
    dy: ArrayLike, x: ArrayLike, approximate: _Approximate, out: _Array | None
) -> _Array: ...
def exp(x: ArrayLike, out: _Array | None) -> _Array: ...
def log(x: ArrayLike, out: _Array | None) -> _Array: ...

# bias_forward.pxi

def bias_relu(x: ArrayLike, b: ArrayLike, out: _Array | None) -> _Array: ...
def bias_sigmoid(x: ArrayLike, b: ArrayLike, out: _Array | None) -> _Array: ...
def bias_tanh(x: ArrayLike, b: ArrayLike, out: _Array | None) -> _Array: ...
def bias_identity(x: ArrayLike, b: ArrayLike, out: _Array | None) -> _Array: ...
def bias_leaky_relu(x: ArrayLike, b: ArrayLike, negative_slope: float, out: _Array | None) -> _Array: ...
def bias_elu(x: ArrayLike, b: ArrayLike, alpha: float, out: _Array | None) -> _Array: ...
def bias_hard_sigmoid(x: ArrayLike, b: ArrayLike, out: _Array | None) -> _Array: ...
def bias_softplus(x: ArrayLike, b: ArrayLike, out: _Array | None) -> _Array: ...
def bias_silu(x: ArrayLike, b: ArrayLike, out: _Array | None) -> _Array: ...
def bias_gelu(x: ArrayLike, b: ArrayLike, approximate: _Approximate, out: _Array | None) -> _Array: ...

# bias_backward.pxi

def relu_backward_bias(
    dy: ArrayLike, y: ArrayLike, out: _Array | None, out_bias: _Array | None
) -> tuple[_Array, _Array]: ...
def sigmoid_backward_bias(
    dy: ArrayLike, y: ArrayLike, out: _Array | None, out_bias: _Array | None
) -> tuple[_Array, _Array]: ...
def tanh_backward_bias(
    dy: ArrayLike, y: ArrayLike, out: _Array | None, out_bias: _Array | None
) -> tuple[_Array, _Array]: ...
def identity_backward_bias(
    dy: ArrayLike, y: ArrayLike, out: _Array | None, out_bias: _Array | None
) -> tuple[_Array, _Array]: ...
def leaky_relu_backward_bias(
    dy: ArrayLike,
    x: ArrayLike,
    b: ArrayLike,
    negative_slope: float,
    out: _Array | None,
    out_bias: _Array | None,
) -> tuple[_Array, _Array]: ...
def elu_backward_bias(
    dy: ArrayLike, x: ArrayLike, b: ArrayLike, alpha: float, out: _Array | None, out_bias: _Array | None
) -> tuple[_Array, _Array]: ...
def hard_sigmoid_backward_bias(
    dy: ArrayLike, x: ArrayLike, b: ArrayLike, out: _Array | None, out_bias: _Array | None
) -> tuple[_Array, _Array]: ...
def softplus_backward_bias(
    dy: ArrayLike, x: ArrayLike, b: ArrayLike, out: _Array | None, out_bias: _Array | None
) -> tuple[_Array, _Array]: ...
def silu_backward_bias(
    dy: ArrayLike, x: ArrayLike, b: ArrayLike, out: _Array | None, out_bias: _Array | None
) -> tuple[_Array, _Array]: ...
def gelu_backward_bias(
    dy: ArrayLike,
    x: ArrayLike,
    b: ArrayLike,
    approximate: _Approximate,
    out: _Array | None,
    out_bias: _Array | None,
) -> tuple[_Array, _Array]: ...

# softmax.pxi

def softmax(x: ArrayLike, axis: int, out: _Array | None) -> _Array: ...
def log_softmax(x: ArrayLike, axis: int, out: _Array | None) -> _Array: ...
def logsumexp(x: ArrayLike, axis: int, keepdims: bool, out: _Array | None) -> Any: ...
def softmax_backward(dy: ArrayLike, y: ArrayLike, axis: int, out: _Array | None) -> _Array: ...
def log_softmax_backward(dy: ArrayLike, y: ArrayLike, axis: int, out: _Array | None) -> _Array: ...

# softmax_cross_entropy.pxi

def softmax_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    axis: int,
    weight: ArrayLike | None,
    ignore_index: int | None,
    label_smoothing: float,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> Any: ...
def softmax_cross_entropy_with_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    axis: int,
    weight: ArrayLike | None,
    ignore_index: int | None,
    label_smoothing: float,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> tuple[Any, _Array]: ...
def softmax_cross_entropy_backward(
    probs: ArrayLike,
    targets: ArrayLike,
    dloss: ArrayLike,
    axis: int,
    weight: ArrayLike | None,
    ignore_index: int | None,
    label_smoothing: float,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> _Array: ...

# cross_entropy.pxi

def cross_entropy(
    p: ArrayLike,
    t: ArrayLike,
    axis: int,
    eps: float,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> Any: ...
def cross_entropy_with_grad(
    p: ArrayLike,
    t: ArrayLike,
    axis: int,
    eps: float,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> tuple[Any, _Array]: ...
def cross_entropy_backward(
    p: ArrayLike,
    t: ArrayLike,
    dloss: ArrayLike,
    axis: int,
    eps: float,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> _Array: ...

# sigmoid_cross_entropy.pxi

def sigmoid_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    weight: ArrayLike | None,
    pos_weight: ArrayLike | None,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> Any: ...
def sigmoid_cross_entropy_with_grad(
    logits: ArrayLike,
    targets: ArrayLike,
    weight: ArrayLike | None,
    pos_weight: ArrayLike | None,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> tuple[Any, _Array]: ...
def sigmoid_cross_entropy_backward(
    logits: ArrayLike,
    targets: ArrayLike,
    dloss: ArrayLike,
    weight: ArrayLike | None,
    pos_weight: ArrayLike | None,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> _Array: ...

# squared_error.pxi

def sum_squared_error(
    y: ArrayLike,
    t: ArrayLike,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> Any: ...
def sum_squared_error_with_grad(
    y: ArrayLike,
    t: ArrayLike,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> tuple[Any, _Array]: ...
def sum_squared_error_backward(
    y: ArrayLike,
    t: ArrayLike,
    dloss: ArrayLike,
    sample_weight: ArrayLike | None,
    reduction: _Reduction,
    out: _Array | None,
) -> _Array: ...

# shards.pxi

def shard_statistics(call: Shard, work: _Array, columns: _Array) -> None: ...
def shard_gradient(call: Shard, work: _Array, columns: _Array) -> None: ...

# optimizers.pxi

def sgd_update(param: _Array, grad: ArrayLike, lr: float, weight_decay: float) -> None: ...
def momentum_update(
    param: _Array, grad: ArrayLike, velocity: _Array, lr: float, momentum: float, weight_decay: float
) -> None: ...
def adam_update(
    param: _Array,
    grad: ArrayLike,
    m: _Array,
    v: _Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None: ...
