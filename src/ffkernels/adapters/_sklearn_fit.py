"""What scikit-learn's nets do for each batch of a fit, in as few passes over memory as there can be.

scikit-learn's epoch loop, `_fit_stochastic`, stays its own, with its warnings and stopping, and so does
L-BFGS.  What they call is replaced.  Each function here makes a replacement, given theirs.

Replacements are written for one case, plain arrays of float32 or float64, inputs and parameters of one
type, and hand everything else to the function they replace.  None of them keeps anything from batch to
batch, so that a running fit may go from theirs to ours and back.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import activations, losses, optimizers
from ._patch import covered

Array = npt.NDArray[Any]

# ---- around the arithmetic --------------------------------------------------------------------------


def unchecked(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """What scikit-learn's decorator wraps, which checks the types of arguments in 20 us: the loop's own
    are right."""
    return inspect.unwrap(theirs)


def take_rows(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Theirs asks every time what X and the indices may be: data frames, Arrow tables, a device's
    arrays.  That takes 40 us, most of a small batch."""

    @functools.wraps(theirs)
    def _safe_indexing(X: Any, indices: Any, *, axis: int = 0) -> Any:
        plain = type(X) is np.ndarray and type(indices) is np.ndarray
        if plain and axis == 0 and indices.dtype == np.intp:
            # take is the faster one, but begins with a copy of all of X in another order.
            return X.take(indices, axis=0) if X.flags.c_contiguous else X[indices]
        return theirs(X, indices, axis=axis)

    return _safe_indexing


def shuffle_indices(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """The same draws and the same order, without 200 us of checks an epoch."""

    @functools.wraps(theirs)
    def shuffle(*arrays: Any, random_state: Any = None, n_samples: Any = None) -> Any:
        plain = len(arrays) == 1 and type(arrays[0]) is np.ndarray and arrays[0].ndim == 1
        if not plain or type(random_state) is not np.random.RandomState or n_samples is not None:
            return theirs(*arrays, random_state=random_state, n_samples=n_samples)
        order = np.arange(len(arrays[0]))
        random_state.shuffle(order)
        return arrays[0][order]

    return shuffle


def agreement(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """The score of early stopping, without 500 us of checks an epoch whether two vectors of the net's
    classes can be compared."""

    @functools.wraps(theirs)
    def accuracy_score(
        y_true: Any, y_pred: Any, *, normalize: bool = True, sample_weight: Any = None
    ) -> Any:
        plain = type(y_true) is np.ndarray and type(y_pred) is np.ndarray and normalize
        if plain and y_true.ndim == 1 and y_true.shape == y_pred.shape and y_true.dtype == y_pred.dtype:
            return float(np.average(y_true == y_pred, weights=sample_weight))
        return theirs(y_true, y_pred, normalize=normalize, sample_weight=sample_weight)

    return accuracy_score


# ---- outputs, loss and gradients --------------------------------------------------------------------


class Layer(NamedTuple):
    """A hidden layer's kernels: its activation with the bias before it, the derivative with the bias's
    gradient."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]


#: By scikit-learn's name of the activation.
LAYERS = {
    "identity": Layer(activations.bias_identity, activations.identity_backward_bias),
    "logistic": Layer(activations.bias_sigmoid, activations.sigmoid_backward_bias),
    "relu": Layer(activations.bias_relu, activations.relu_backward_bias),
    "tanh": Layer(activations.bias_tanh, activations.tanh_backward_bias),
}


#: Rows that are taken through all layers at once, whose outputs stay in the cache.
_CHUNK = 512


def forward_pass_fast(
    theirs: Callable[..., Any],
    validate_data: Callable[..., Any],
    tables: Any,
    ours: frozenset[tuple[str, Any]],
) -> Callable[..., Any]:
    """Make `_forward_pass_fast`: the outputs, for predictions and for the score of early stopping."""

    @functools.wraps(theirs)
    def _forward_pass_fast(self: Any, X: Any, check_input: bool = True) -> Any:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        name = self.activation
        if (
            covered(X, *self.coefs_, *self.intercepts_)
            and X.ndim == 2
            and (name, tables.ACTIVATIONS[name]) in ours
        ):
            z = _last_layer(self, X)
            tables.ACTIVATIONS[self.out_activation_](z)
            return z
        return theirs(self, X, check_input=False)

    return _forward_pass_fast


def _last_layer(net: Any, X: Array) -> Array:
    """Return the last layer's sums, before its activation."""
    rows = min(len(X), _CHUNK)
    *sizes, outputs = (W.shape[1] for W in net.coefs_)
    hidden = [np.empty((rows, size), X.dtype) for size in sizes]
    result = np.empty((len(X), outputs), X.dtype)
    forward = LAYERS[net.activation].forward
    for start in range(0, len(X), _CHUNK):
        x, z = X[start : start + _CHUNK], result[start : start + _CHUNK]
        for W, b, out in zip(net.coefs_, net.intercepts_, hidden, strict=False):
            x = np.dot(x, W, out=out[: len(x)])
            forward(x, b, out=x)
        np.dot(x, net.coefs_[-1], out=z)
        activations.bias_identity(z, net.intercepts_[-1], out=z)
    return result


def backprop(
    theirs: Callable[..., Any], net_class: Any, tables: Any, ours: frozenset[tuple[str, Any]]
) -> Callable[..., Any]:
    """Make `_backprop` of `net_class`: loss and gradients of a batch.

    `tables` is the module with ACTIVATIONS, DERIVATIVES and LOSS_FUNCTIONS, `ours` are names and entries
    that were put there; entries of anybody else are to be called.
    """
    # What theirs calls.  A net with another method in such a place shall have it called.
    forward_pass, compute_loss_grad = net_class._forward_pass, net_class._compute_loss_grad

    @functools.wraps(theirs)
    def _backprop(
        self: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        activations: list[Any],
        deltas: list[Any],
        coef_grads: list[Any],
        intercept_grads: list[Any],
    ) -> Any:
        lists = activations, deltas, coef_grads, intercept_grads
        name = self.activation
        if (
            covered(activations[0], *self.coefs_, *self.intercepts_)
            and _is_target(y, activations[0].dtype, (len(activations[0]), self.n_outputs_))
            and (name, tables.ACTIVATIONS[name]) in ours
            and (name, tables.DERIVATIVES[name]) in ours
            and getattr(self._backprop, "__func__", None) is _backprop
            and getattr(self._forward_pass, "__func__", None) is forward_pass
            and getattr(self._compute_loss_grad, "__func__", None) is compute_loss_grad
        ):
            loss = _backprop_dense(self, tables, ours, y, sample_weight, *lists)
            return loss, coef_grads, intercept_grads
        return theirs(self, X, y, sample_weight, *lists)

    return _backprop


def _is_target(y: Any, dtype: np.dtype[Any], shape: tuple[int, int]) -> bool:
    """Classes, or numbers such that the differences from them are of the net's type."""
    return (
        type(y) is np.ndarray
        and y.shape == shape
        and y.dtype.kind in "biuf"
        and np.promote_types(y.dtype, dtype) == dtype
    )


def _backprop_dense(
    net: Any,
    tables: Any,
    ours: frozenset[tuple[str, Any]],
    y: Array,
    sample_weight: Array | None,
    outputs: list[Any],
    deltas: list[Any],
    coef_grads: list[Any],
    intercept_grads: list[Any],
) -> Any:
    """Return the loss; outputs, deltas and gradients go into the lists, into the arrays of the batch
    before if they have the shape.

    scikit-learn's formulas, but for one thing: what divides every gradient, the number of rows or their
    weight, here divides the last layer's deltas, which are fewer.
    """
    layer, last = LAYERS[net.activation], net.n_layers_ - 2
    rows, dtype = len(y), outputs[0].dtype
    if y.dtype != np.bool_:
        y = y.astype(dtype, copy=False)

    squared_norms = 0
    for i, (W, b) in enumerate(zip(net.coefs_, net.intercepts_, strict=True)):
        z = np.dot(outputs[i], W, out=_buffer(outputs, i + 1, (rows, W.shape[1]), dtype))
        squared_norms += np.vdot(W, W)  # here, while it is in the cache
        forward = layer.forward if i < last else activations.bias_identity
        forward(z, b, out=z)

    delta = _buffer(deltas, last, z.shape, dtype)
    total = rows if sample_weight is None else sample_weight.sum()
    binary = net.loss == "log_loss" and net.out_activation_ == "logistic"
    activation = tables.ACTIVATIONS[net.out_activation_]
    loss_function = tables.LOSS_FUNCTIONS["binary_log_loss" if binary else net.loss]
    if (
        ("softmax", activation) in ours
        and ("log_loss", loss_function) in ours
        and y.dtype == np.bool_
        and np.count_nonzero(y) == rows  # one class each: a row of a class not seen has none
        and total != 0
    ):
        loss = _softmax_log_loss(z, y, sample_weight, total, delta)
    else:
        activation(z)
        loss = loss_function(y, z, sample_weight)
        _differences(z, y, sample_weight, total, delta)
    loss += (0.5 * net.alpha) * squared_norms / total

    decay = -float(net.alpha / total)
    for i in range(last, -1, -1):
        W = net.coefs_[i]
        backward = layer.backward if i < last else activations.identity_backward_bias
        db = _buffer(intercept_grads, i, (W.shape[1],), dtype)
        backward(delta, outputs[i + 1], out=delta, out_bias=db)
        dW = np.dot(outputs[i].T, delta, out=_buffer(coef_grads, i, W.shape, dtype))
        optimizers.sgd_update(dW, W, decay)  # adds alpha W / total
        if i > 0:
            delta = np.dot(delta, W.T, out=_buffer(deltas, i - 1, outputs[i].shape, dtype))
    return loss


def _softmax_log_loss(
    scores: Array, y: Array, sample_weight: Array | None, total: Any, delta: Array
) -> Any:
    """Return the loss, with (softmax(scores) - y) weight / total in delta."""
    row_losses, _ = losses.softmax_cross_entropy_with_grad(
        scores, y.argmax(axis=1), reduction="none", out=delta
    )
    eps = float(np.finfo(scores.dtype).eps)  # scikit-learn clips probabilities to [eps, 1 - eps]
    row_losses.clip(-math.log1p(-eps), -math.log(eps), out=row_losses)
    if sample_weight is None:
        delta /= total
        return np.add.reduce(row_losses, dtype=np.float64) / total
    delta *= (sample_weight / total)[:, np.newaxis]
    return np.float64(np.dot(row_losses, sample_weight)) / total


def _differences(values: Array, y: Array, sample_weight: Array | None, total: Any, delta: Array) -> None:
    """delta = (values - y) weight / total"""
    y = y.astype(values.dtype, copy=False)
    if sample_weight is None:
        losses.sum_squared_error_backward(values, y, dloss=1 / total, reduction="sum", out=delta)
    else:
        share = sample_weight / total
        losses.sum_squared_error_backward(values, y, dloss=share, reduction="none", out=delta)


def _buffer(arrays: list[Any], i: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The i-th array, or a new one in its place if it is not of this kind."""
    array = arrays[i]
    if (
        type(array) is not np.ndarray
        or array.shape != shape
        or array.dtype != dtype
        or not array.flags.carray
    ):
        array = arrays[i] = np.empty(shape, dtype)
    return array


# ---- the step --------------------------------------------------------------------------------------


def in_place(theirs: Any, step: Callable[[Any, list[Any], list[Any]], bool]) -> Any:
    """Make an optimiser that updates each parameter in place, where theirs makes a temporary array for
    every operator."""

    @functools.wraps(theirs, updated=())
    class Optimizer(theirs):  # type: ignore[misc]
        def update_params(self, params: list[Any], grads: list[Any]) -> None:
            if not step(self, params, grads):
                super().update_params(params, grads)

        def __reduce__(self) -> tuple[Any, ...]:
            # Pickled and copied as theirs, so that estimators can be loaded without ffkernels.
            return theirs, ([],), vars(self)

    return Optimizer


def adam_step(optimizer: Any, params: list[Any], grads: list[Any]) -> bool:
    """Whether it was taken: not if parameters or state are not covered."""
    if not covered(*params, *optimizer.ms, *optimizer.vs):
        return False
    beta1, beta2 = optimizer.beta_1, optimizer.beta_2
    optimizer.t += 1
    unbias = math.sqrt(1 - beta2**optimizer.t)
    lr = optimizer.learning_rate_init
    optimizer.learning_rate = lr * unbias / (1 - beta1**optimizer.t)
    # scikit-learn adds epsilon to the root of v before taking the bias out of it.
    eps = optimizer.epsilon / unbias
    for param, grad, m, v in zip(params, grads, optimizer.ms, optimizer.vs, strict=True):
        grad = grad.astype(param.dtype, copy=False)
        optimizers.adam_update(param, grad, m, v, optimizer.t, lr, beta1, beta2, eps)
    return True


def sgd_step(optimizer: Any, params: list[Any], grads: list[Any]) -> bool:
    """Whether it was taken: not if parameters or state are not covered."""
    if not covered(*params, *optimizer.velocities):
        return False
    lr, momentum = optimizer.learning_rate, optimizer.momentum
    for param, grad, velocity in zip(params, grads, optimizer.velocities, strict=True):
        grad = grad.astype(param.dtype, copy=False)
        # With the learning rate in the velocity, which sgd_update knows as a step of plain descent.
        velocity *= momentum
        optimizers.sgd_update(velocity, grad, lr)
        if optimizer.nesterov:
            optimizers.sgd_update(param, velocity, -momentum)
            optimizers.sgd_update(param, grad, lr)
        else:
            optimizers.sgd_update(param, velocity, -1.0)
    return True
