"""MyGrad's activations and losses on these kernels.

`patch` puts operations of ours where MyGrad's functions look up their own; `unpatch` takes them out
again; `patched` is a context.  `_replacements` lists them.  Functions stay MyGrad's, so that names which
were imported before the patch follow it, and so do tensors, graphs and memory guards.  An operation
belongs to the graph that it was made for: a graph may go forward under a patch and backward without.

Each operation covers plain arrays of float32 or float64 in the compiled backend, and leaves anything
else to the class it derives from.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import activations, losses
from ._extras import missing
from ._patch import Patch, Replacement, covered, made

try:
    import mygrad
except ModuleNotFoundError as error:
    raise missing(error, "mygrad") from None

import mygrad.nnet
from mygrad._utils import graph_tracking
from mygrad.operation_base import Operation

__all__ = ["patch", "patched", "unpatch"]


def __dir__() -> list[str]:
    return __all__


#: Minor releases that this module was written and tested against.
KNOWN = ("2.3", "2.4", "2.5")

Array = npt.NDArray[Any]


def patch() -> None:
    """Make MyGrad's functions use ffkernels, in the whole process, until `unpatch`.

    A second call changes nothing.

    Warns
    -----
    RuntimeWarning
        If the installed MyGrad is of a release this module does not know.  It names the release, and
        nothing is replaced.

    Examples
    --------
    >>> from ffkernels.adapters.mygrad import patch, unpatch
    >>> patch()
    >>> unpatch()
    """
    _patch.switch(permanent=True)


def unpatch() -> None:
    """Undo `patch`: the operations MyGrad came with are back, the very same objects.

    Without a patch there is nothing to undo.  Inside a `patched` block the block's end does it.

    Examples
    --------
    >>> from ffkernels.adapters.mygrad import unpatch
    >>> unpatch()
    """
    _patch.switch(permanent=False)


@contextmanager
def patched() -> Iterator[None]:
    """Context in which MyGrad's functions use ffkernels.

    Blocks nest, and blocks of several threads may overlap: the last to end restores MyGrad's
    operations, unless `patch` was called.

    Warns
    -----
    RuntimeWarning
        As `patch` does.

    Examples
    --------
    >>> import mygrad
    >>> from mygrad.nnet import softmax_crossentropy
    >>> from ffkernels.adapters.mygrad import patched
    >>> logits = mygrad.tensor([[1.0, 1.0], [0.0, 0.0]])
    >>> with patched():
    ...     loss = softmax_crossentropy(logits, [0, 1])
    ...     loss.backward()
    >>> loss
    Tensor(0.69314718)
    >>> logits.grad
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """
    with _patch.block():
        yield


# ---- what is replaced ------------------------------------------------------------------------------


def _replacements() -> list[Replacement]:
    relu, sigmoid, softmax, elu, leaky_relu, crossentropy, likelihood = (
        sys.modules[f"mygrad.nnet.{name}"]  # most attributes of these names are functions
        for name in (
            "activations.relu",
            "activations.sigmoid",
            "activations.softmax",
            "activations.elu",
            "activations.leaky_relu",
            "losses.softmax_crossentropy",
            "losses.negative_log_likelihood",
        )
    )
    return made(
        _is_theirs,
        (relu, "ReLu", _elementwise, activations.relu, activations.relu_backward),
        (sigmoid, "Sigmoid", _elementwise, activations.sigmoid, activations.sigmoid_backward),
        (mygrad.tanh, "_wrapped_op", _elementwise, activations.tanh, activations.tanh_backward),
        (elu, "ELU", _elu),
        (softmax, "Softmax", _rows, activations.softmax, activations.softmax_backward),
        (softmax, "LogSoftmax", _rows, activations.log_softmax, activations.log_softmax_backward),
        (crossentropy, "SoftmaxCrossEntropy", _softmax_crossentropy),
        # These two have no operation of their own.
        (leaky_relu.leaky_relu, "__code__", _code_of, _call_leaky_relu),
        (likelihood.negative_log_likelihood, "__code__", _code_of, _call_negative_log_likelihood),
    )


def _is_theirs(entry: Any) -> bool:
    if isinstance(entry, CodeType):
        return entry.co_filename.startswith(os.path.dirname(mygrad.__file__))
    return entry.__module__.startswith("mygrad.")


def _named_as(theirs: type, ours: type) -> type:
    """For what messages and graphs show of an operation."""
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(ours, attribute, getattr(theirs, attribute))
    return ours


def _elementwise(theirs: type, function: Callable[..., Any], backward: Callable[..., Any]) -> type:
    class Ours(theirs):  # type: ignore[misc, valid-type]
        _y: Array | None = None

        def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Array:
            # A ufunc's options have their defaults, unless a user named some.
            plain = not args and kwargs.get("where", True) is True
            if not (plain and kwargs.get("out") is kwargs.get("dtype") is None and _fits(x.data)):
                return super().__call__(x, *args, **kwargs)
            self.variables = (x,)
            self._y = function(x.data)
            return self._y

        def backward_var(self, grad: Array, index: int, **kwargs: Any) -> Array:
            if self._y is None:
                return super().backward_var(grad, index, **kwargs)
            return backward(grad, self._y)

    return _named_as(theirs, Ours)


def _elu(theirs: type) -> type:
    class Ours(theirs):  # type: ignore[misc, valid-type]
        _alpha: float | None = None

        def __call__(self, x: Any, alpha: Any) -> Array:
            if not (_fits(x.data) and _is_plain_number(alpha)):
                return super().__call__(x, alpha)
            self.variables = (x,)
            self._alpha = float(alpha)
            return activations.elu(x.data, self._alpha)

        def backward_var(self, grad: Array, index: int, **kwargs: Any) -> Array:
            if self._alpha is None:
                return super().backward_var(grad, index, **kwargs)
            x = self.variables[index].data
            dx = activations.elu_backward(grad, x, self._alpha)
            if self._alpha != 1:
                np.copyto(dx, grad, where=x == 0)  # MyGrad's derivative is 1 there
            return dx

    return _named_as(theirs, Ours)


def _rows(theirs: type, function: Callable[..., Any], backward: Callable[..., Any]) -> type:
    class Ours(theirs):  # type: ignore[misc, valid-type]
        _y: Array | None = None

        def __call__(self, x: Any, axis: Any = -1) -> Array:
            inside = type(axis) is int and -x.data.ndim <= axis < x.data.ndim
            if not (inside and _fits(x.data) and x.data.size):
                return super().__call__(x, axis=axis)
            self.variables = (x,)
            self._axis = axis
            self._y = function(x.data, axis)
            return self._y

        def backward_var(self, grad: Array, index: int, **kwargs: Any) -> Array:
            if self._y is None:
                return super().backward_var(grad, index, **kwargs)
            return backward(grad, self._y, self._axis)

    return _named_as(theirs, Ours)


def _softmax_crossentropy(theirs: type) -> type:
    class Ours(theirs):  # type: ignore[misc, valid-type]
        _classes: Array | None = None
        _dx: Array | None = None

        def __call__(self, x: Any, y_true: Any) -> Any:
            classes = np.asarray(y_true.data if isinstance(y_true, mygrad.Tensor) else y_true)
            if not (_fits(x.data) and x.data.size and _are_classes(classes, x.data)):
                return super().__call__(x, y_true)
            self.variables = (x,)
            if not graph_tracking.TRACK_GRAPH:
                return losses.softmax_cross_entropy(x.data, classes)
            self._classes = classes
            loss, self._dx = losses.softmax_cross_entropy_with_grad(x.data, classes)
            return loss

        def backward_var(self, grad: Array, index: int, **kwargs: Any) -> Array:
            if self._classes is None:
                return super().backward_var(grad, index, **kwargs)
            # It becomes the tensor's own, to which others are added: who asks again gets another.
            dx, self._dx = self._dx, None
            if dx is None:
                _, dx = losses.softmax_cross_entropy_with_grad(self.variables[index].data, self._classes)
            return dx if grad == 1 else np.multiply(dx, grad, out=dx)

    return _named_as(theirs, Ours)


# Functions without an operation of their own keep being the objects that users may have imported: their
# code is replaced by that of a function with the same arguments, which finds ours by an import, since
# its globals are MyGrad's.


def _code_of(theirs: CodeType, function: Callable[..., Any]) -> CodeType:
    return function.__code__.replace(co_name=theirs.co_name, co_qualname=theirs.co_qualname)


def _as_it_came(f: Any) -> Callable[..., Any]:
    came = FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__)
    came.__kwdefaults__ = f.__kwdefaults__
    return came


def _call_leaky_relu(x, slope, *, constant=None):  # type: ignore[no-untyped-def]
    from ffkernels.adapters.mygrad import _leaky_relu

    return _leaky_relu(x, slope, constant)


def _leaky_relu(x: Any, slope: Any, constant: bool | None) -> Any:
    data = x.data if isinstance(x, mygrad.Tensor) else x
    value = slope.item() if isinstance(slope, (np.ndarray, mygrad.Tensor)) and slope.size == 1 else slope
    # To MyGrad the slope is an array of float64, which makes the result of float32 float64.
    if _fits(data) and data.dtype == np.float64 and _is_plain_number(value):
        return mygrad.Tensor._op(_LeakyReLu, x, op_args=(float(value),), constant=constant)
    return _their_leaky_relu(x, slope, constant=constant)


class _LeakyReLu(Operation):
    def __call__(self, x: Any, slope: float) -> Array:
        self.variables = (x,)
        self._slope = slope
        return activations.leaky_relu(x.data, slope)

    def backward_var(self, grad: Array, index: int, **kwargs: Any) -> Array:
        x = self.variables[index].data
        dx = activations.leaky_relu_backward(grad, x, self._slope)
        np.copyto(dx, 0, where=x == 0)  # MyGrad's derivative there
        return dx


def _call_negative_log_likelihood(x, y_true, *, weights=None, constant=None):  # type: ignore[no-untyped-def]
    from ffkernels.adapters.mygrad import _negative_log_likelihood

    return _negative_log_likelihood(x, y_true, weights, constant)


def _negative_log_likelihood(x: Any, y_true: Any, weights: Any, constant: bool | None) -> Any:
    data = x.data if isinstance(x, mygrad.Tensor) else x
    if _fits(data) and data.size and (weights is None or type(weights) is np.ndarray):
        classes = np.asarray(y_true.data if isinstance(y_true, mygrad.Tensor) else y_true)
        if _are_classes(classes, data) and (weights is None or weights.shape == data.shape[1:]):
            factors = np.ones(len(data)) if weights is None else weights[classes]
            operands = classes, factors
            return mygrad.Tensor._op(_NegativeLogLikelihood, x, op_args=operands, constant=constant)
    return _their_negative_log_likelihood(x, y_true, weights=weights, constant=constant)


class _NegativeLogLikelihood(Operation):
    """No kernel: a gather of one number a row, and its scatter, where MyGrad's indexing adds up."""

    def __call__(self, x: Any, classes: Array, factors: Array) -> Any:
        self.variables = (x,)
        self._chosen = np.arange(len(classes)), classes
        self._factors = factors
        return -np.mean(x.data[self._chosen] * factors)

    def backward_var(self, grad: Array, index: int, **kwargs: Any) -> Array:
        dx = np.zeros_like(self.variables[index].data)
        dx[self._chosen] = self._factors * (-grad / len(dx))
        return dx


_their_leaky_relu = _as_it_came(mygrad.nnet.activations.leaky_relu)
_their_negative_log_likelihood = _as_it_came(mygrad.nnet.losses.negative_log_likelihood)

# ---- what is covered -------------------------------------------------------------------------------


def _fits(data: Any) -> bool:
    return covered(data) and data.ndim > 0


def _is_plain_number(value: Any) -> bool:
    """One of Python's own: a scalar of NumPy's may make the result wider than the array."""
    return type(value) in (float, int) and math.isfinite(value)


def _are_classes(classes: Array, scores: Array) -> bool:
    """Whatever else there is, MyGrad refuses, or counts from the end."""
    return (
        scores.ndim == 2
        and classes.dtype.kind in "iu"
        and classes.shape == scores.shape[:1]
        and classes.min() >= 0
        and classes.max() < scores.shape[1]
    )


_patch = Patch("MyGrad", mygrad, KNOWN, "its functions", _replacements)
