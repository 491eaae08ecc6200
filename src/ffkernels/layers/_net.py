"""`FeedForward`, a whole net."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from .. import _blas, _files, _numpy
from .._arguments import FLOATS, Array, at_least, check_dtype, check_sample_weight
from .._batches import as_rows, as_targets, check_batch
from .._context import choice
from .._numpy import _nets
from ..activations import (
    bias_elu,
    bias_gelu,
    bias_hard_sigmoid,
    bias_identity,
    bias_leaky_relu,
    bias_relu,
    bias_sigmoid,
    bias_silu,
    bias_softplus,
    bias_tanh,
    elu_backward_bias,
    gelu_backward_bias,
    hard_sigmoid_backward_bias,
    identity,
    identity_backward_bias,
    leaky_relu_backward_bias,
    relu_backward_bias,
    sigmoid,
    sigmoid_backward_bias,
    silu_backward_bias,
    softmax,
    softplus_backward_bias,
    tanh_backward_bias,
)
from ..linear import CHUNK_BYTES, linear_cross_entropy, linear_cross_entropy_with_grad
from ..losses import (
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_with_grad,
    softmax_cross_entropy,
    softmax_cross_entropy_with_grad,
    sum_squared_error,
    sum_squared_error_with_grad,
)
from ..optimizers import SGD, Optimizer, refuse_optimizer
from ._base import Buffer

# Rows that predict and loss take at a time: few enough for hidden layers to stay in the cache.
_CHUNK = 1024

# BLAS takes a factor that is 0 in its type for nothing to do, even where a gradient is NaN.
_LEAST_RATE = float(np.finfo(np.float32).tiny)

_Fused = dict[str, tuple[Callable[..., Any], Callable[..., Any]]]

_FUSED: _Fused = {
    "relu": (bias_relu, relu_backward_bias),
    "sigmoid": (bias_sigmoid, sigmoid_backward_bias),
    "tanh": (bias_tanh, tanh_backward_bias),
    "identity": (bias_identity, identity_backward_bias),
    "leaky_relu": (bias_leaky_relu, leaky_relu_backward_bias),
    "elu": (bias_elu, elu_backward_bias),
    "hard_sigmoid": (bias_hard_sigmoid, hard_sigmoid_backward_bias),
    "softplus": (bias_softplus, softplus_backward_bias),
    "silu": (bias_silu, silu_backward_bias),
    "gelu": (bias_gelu, gelu_backward_bias),
}

# Those that go back from their input, for which a net keeps both, and those that start like ReLU.
_FROM_INPUT = {"leaky_relu", "elu", "hard_sigmoid", "softplus", "silu", "gelu"}
_LIKE_RELU = {"relu", "leaky_relu", "elu", "silu", "gelu"}

Activation = Literal[
    "relu", "sigmoid", "tanh", "identity",
    "leaky_relu", "elu", "hard_sigmoid", "softplus", "silu", "gelu",
]  # fmt: skip
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


def label_loss_with_grad(
    scores: Array,
    t: npt.ArrayLike,
    *,
    sample_weight: Array | None,
    reduction: Literal["mean", "sum"],
    out: Array,
) -> tuple[Any, Array]:
    """Of each row the mean over its outputs, which are then averaged or added up."""
    share = None if reduction == "mean" else 1 / scores.shape[1]
    return sigmoid_cross_entropy_with_grad(
        scores, t, weight=share, sample_weight=sample_weight, reduction=reduction, out=out
    )


# What makes outputs of the last layer's scores, the loss of the scores, and with its gradient.
_LOSSES: dict[str, tuple[Callable[..., Array], Callable[..., Any], Callable[..., Any]]] = {
    "softmax_cross_entropy": (softmax, softmax_cross_entropy, softmax_cross_entropy_with_grad),
    "sigmoid_cross_entropy": (sigmoid, sigmoid_cross_entropy, label_loss_with_grad),
    "sum_squared_error": (identity, sum_squared_error, sum_squared_error_with_grad),
}


def _sizes(sizes: Any, activation: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(size) for size in sizes)
    except TypeError:
        came = f"{sizes!r}, {activation!r}, ..." if isinstance(activation, int) else repr(sizes)
        raise TypeError(
            f"sizes: expected one list of integers, such as FeedForward([4, 16, 3]), got {came}"
        ) from None


# What files of nets are said to be from.
_WRITER = "FeedForward.save"

#: Under this name among the extras, `ffkernels.tables` keeps the columns and scales of a net's table.
TABLE = "ffkernels.tables"


class FeedForward:
    """A fully connected net, from its inputs to its loss and back.

    Each layer is x·W + b and an activation; the last has none but what belongs to the loss:
    softmax for ``"softmax_cross_entropy"``, sigmoid for ``"sigmoid_cross_entropy"``, none for
    ``"sum_squared_error"``. Between the matrix
    products a training step makes one pass over memory a layer: bias and activation together,
    softmax, loss and gradient together, gradients of activation and bias together, each in place.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, neurons of each hidden layer, outputs.
    activation : str, default "relu"
        Of the hidden layers: "relu", "sigmoid", "tanh", "identity", "leaky_relu", "elu", "hard_sigmoid",
        "softplus", "silu" or "gelu", with the functions' own defaults.
    loss : {"softmax_cross_entropy", "sigmoid_cross_entropy", "sum_squared_error"}
        For classes, of which each row has one (the default), labels, of which it may have any number,
        or regression; averaged over the batch, that of labels over the outputs too.
    dtype : float32 or float64, default float32
        In which the net computes; inputs and targets of other dtypes are converted.
    seed : int, numpy.random.Generator or None, default None
        For the random start, as `numpy.random.default_rng` takes it.

    Attributes
    ----------
    params : dict of ndarray
        ``"W1"``, ``"b1"``, ``"W2"``, ...: the parameters, changed in place by an optimiser.
    grads : dict of ndarray
        Their gradients as of the last `gradient` or `train_step`, overwritten by the next. A step by
        plain SGD makes none of the weights: what it says of those is NaN.
    extras : dict of array_like
        Arrays of your own that are saved and loaded with the net: names of classes, scales of
        inputs.
    sizes, activation, loss_name, dtype
        As given.

    Raises
    ------
    TypeError
        If sizes are not integers.
    ValueError
        If there are fewer than two sizes or one is below 1, or for another activation, loss or
        dtype.

    Notes
    -----
    Weights start normally distributed with variance 2/inputs for ReLU, leaky ReLU, ELU, SiLU and
    GELU [1]_, 2/(inputs + outputs) for the rest [2]_, biases at zero. A seed gives the same start in
    both dtypes.

    `gradient` and `train_step` use memory that the net keeps from step to step; `predict` and
    `loss` only read the parameters, so that several threads may call them at once.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", 2015, equation 10.
    .. [2] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
       networks", 2010, equation 12.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.layers import FeedForward
    >>> from ffkernels.optimizers import Adam
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> exclusive_or = x[:, 0] ^ x[:, 1]
    >>> net, optimizer = FeedForward([2, 8, 2], seed=0), Adam(lr=0.1)
    >>> for _ in range(100):
    ...     loss = net.train_step(x, exclusive_or, optimizer)
    >>> net.predict(x).argmax(axis=1)
    array([0, 1, 1, 0])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation = "relu",
        loss: Literal[
            "softmax_cross_entropy", "sigmoid_cross_entropy", "sum_squared_error"
        ] = "softmax_cross_entropy",
        dtype: npt.DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.sizes = _sizes(sizes, activation)
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"sizes: expected two or more numbers from 1 up, got {self.sizes}")
        for name, value, known in (("activation", activation, _FUSED), ("loss", loss, _LOSSES)):
            if not isinstance(value, str) or value not in known:
                raise ValueError(f"{name}: expected one of {list(known)}, got {value!r}")
        self.dtype = check_dtype(dtype)
        if self.dtype not in FLOATS:
            raise ValueError(f"dtype: expected float32 or float64, got {self.dtype}")
        self.activation, self.loss_name = activation, loss
        self._output, self._loss, self._loss_with_grad = _LOSSES[loss]
        self._has_classes = loss == "softmax_cross_entropy"
        self.extras: dict[str, npt.ArrayLike] = {}

        rng = np.random.default_rng(seed)
        self.params: dict[str, Array] = {}
        for k, (inputs, outputs) in enumerate(pairwise(self.sizes), start=1):
            variance = 2 / (inputs if activation in _LIKE_RELU else inputs + outputs)
            W = rng.normal(scale=math.sqrt(variance), size=(inputs, outputs))
            self.params[f"W{k}"] = W.astype(self.dtype)
            self.params[f"b{k}"] = np.zeros(outputs, self.dtype)
        self.grads = {name: np.zeros_like(param) for name, param in self.params.items()}

        depth = len(self.sizes) - 1
        names = [activation] * (depth - 1) + ["identity"]
        self._layers = [(f"W{k}", f"b{k}", name) for k, name in enumerate(names, start=1)]
        self._own = (*self.params.values(), *self.grads.values())
        self._absent: set[str] = set()  # gradients that are NaN
        self._buffers = [Buffer() for _ in range(depth)]
        self._sums_buffers = [Buffer() for _ in range(depth - 1)] if activation in _FROM_INPUT else []
        self._scratch, self._inputs, self._t = Buffer(), Buffer(), Buffer()
        self._resize(0)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({list(self.sizes)}, activation={self.activation!r}, "
            f"loss={self.loss_name!r}, dtype={self.dtype})"
        )

    def _resize(self, rows: int) -> None:
        """Lay out the memory of a training step: once a batch size, not once a step."""
        hidden = self.sizes[1:-1]
        self._rows = -1  # of no batch, until there is memory for all
        self._is_wide = self._has_wide_output(rows)
        self._outputs = [
            buffer((rows, size), self.dtype) for buffer, size in zip(self._buffers, hidden, strict=False)
        ]
        shape = rows, self.sizes[-1]
        if self._is_wide:  # which says what the scores would be
            self._outputs.append(np.broadcast_to(np.zeros((), self.dtype), shape))
        else:
            self._outputs.append(self._buffers[-1](shape, self.dtype))
        # What activations go back from: their output, in place of the sum, or both.
        self._sums = list(self._outputs)
        for k, buffer in enumerate(self._sums_buffers):
            self._sums[k] = buffer((rows, hidden[k]), self.dtype)
        # The gradient at one layer's output is done with before the next is written, so that the
        # widest has room for all.
        scratch = self._scratch((rows * max(hidden, default=0),), self.dtype)
        self._douts = [None, *(scratch[: rows * size].reshape(rows, size) for size in hidden)]
        depth = len(self._layers)
        weights = self._own[: 2 * depth : 2]
        self._descents = list(map(_blas.AddProduct, self._outputs, weights))
        self._descending = {W for W, _, _ in self._layers[: depth - self._is_wide]}
        self._rows = rows

    def _has_wide_output(self, rows: int) -> bool:
        """Whether the scores of so many rows are never made as a whole.

        In so much memory they leave the cache before they are looked at: the three products and the loss
        take as long in blocks as on whole arrays, or less. Without a hidden layer one of the three, the
        gradient at its output, is not wanted.
        """
        if not self._has_classes or len(self.sizes) == 2:
            return False
        return rows * self.sizes[-1] * self.dtype.itemsize > CHUNK_BYTES

    def _has_own_arrays(self) -> bool:
        """Whether parameters and gradients are the arrays that the net began with."""
        return all(map(operator.is_, (*self.params.values(), *self.grads.values()), self._own))

    def _rate_of_descent(self, optimizer: Optimizer) -> float:
        """The learning rate of a step that is W <- W - rate xᵀ·dz and no more, 0 of any other."""
        if type(optimizer) is not SGD or optimizer.momentum or optimizer.weight_decay:
            return 0.0
        if not (_blas.IS_FUSED and self._has_own_arrays()):
            return 0.0
        if not all(param.flags.carray for param in self.params.values()):
            return 0.0
        lr = at_least(optimizer.lr, "lr", 0)
        return lr if lr > _LEAST_RATE else 0.0

    def _forward(
        self, x: Array, outputs: Sequence[Array], fused: _Fused, sums: Sequence[Array] | None = None
    ) -> None:
        """Fill the outputs, and the sums x·W if they are wanted apart from them."""
        for (W, b, name), z, y in zip(self._layers, sums or outputs, outputs, strict=False):
            np.matmul(x, self.params[W], out=z)
            x = fused[name][0](z, self.params[b], out=y)

    def _without_silent(self, rows: Array, sample_weight: Array) -> Array:
        """Zeros in the place of rows without weight: their gradient of 0 times NaN would be NaN."""
        silent = sample_weight == 0
        if not silent.any():
            return rows
        own = self._inputs(rows.shape, self.dtype)  # where they are already if they were converted
        np.copyto(own, rows)
        own[silent] = 0
        return own

    def _step(
        self,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        reduction: Literal["mean", "sum"] = "mean",
        rate: float = 0.0,
    ) -> Any:
        """Return the loss, with its gradients in `grads`; what is refused leaves them as they were.

        Given a rate, take those of the weights times it off the weights instead, which saves a pass that
        writes them and one that reads them.
        """
        batch = check_batch(x, self.sizes[0])
        if len(batch) != self._rows:
            self._resize(len(batch))
        first = as_rows(batch, self.sizes[0], self.dtype, self._inputs)
        if rate and np.may_share_memory(first, self.params["W1"]):
            first = first.copy()
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, (len(batch),))
            first = self._without_silent(first, sample_weight)
        inputs = [first, *self._outputs[:-1]]
        own = choice().kernels is _numpy and self._has_own_arrays()
        fused = _nets.FUSED if own else _FUSED
        y = self._outputs[-1]
        buffers = self._sums, self._outputs, self._douts, self._descents
        layers = list(zip(self._layers, inputs, *buffers, strict=True))
        if self._is_wide:
            (W, b, _), before, _, _, dout, _ = layers.pop()
            self._forward(inputs[0], self._outputs[:-1], fused, self._sums)
            t = as_targets(t, y, self._t)
            out: Any = dout, self.grads[W], self.grads[b]
            loss, _ = linear_cross_entropy_with_grad(
                before, self.params[W], t, self.params[b], sample_weight=sample_weight,
                reduction=reduction, out=out,
            )  # fmt: skip
            self._absent.discard(W)
        else:
            self._forward(inputs[0], self._outputs, fused, self._sums)
            t = as_targets(t, y, self._t, not self._has_classes)
            result = None
            if own and self._has_classes and sample_weight is None:
                result = _nets.softmax_cross_entropy_with_grad(y, t, y, reduction)
            loss, dout = result or self._loss_with_grad(
                y, t, sample_weight=sample_weight, reduction=reduction, out=y
            )
        for (W, b, name), before, z, after, below, descend in reversed(layers):
            # The last that needs the layer's output is its own gradient, which takes its place.
            saved = (after,) if z is after else (z, self.params[b])
            dz, _ = fused[name][1](dout, *saved, out=after, out_bias=self.grads[b])
            if below is not None:
                dout = np.matmul(dz, self.params[W].T, out=below)
            if rate:
                descend(before, -rate)
                if W not in self._absent:
                    self.grads[W].fill(np.nan)
                    self._absent.add(W)
            else:
                np.matmul(before.T, dz, out=self.grads[W])
                self._absent.discard(W)
        return loss

    def _outputs_of(self, batch: Array, depth: int) -> Array:
        """Return what the last of so many layers gives; of all, x·W + b, of which softmax makes
        probabilities."""
        rows = min(len(batch), _CHUNK)
        scores = np.empty((len(batch), self.sizes[depth]), self.dtype)
        hidden = [np.empty((rows, size), self.dtype) for size in self.sizes[1:depth]]
        converted = Buffer()
        for start in range(0, len(batch), _CHUNK):
            part = slice(start, start + _CHUNK)
            chunk = as_rows(batch[part], self.sizes[0], self.dtype, converted)
            self._forward(chunk, [*(z[: len(chunk)] for z in hidden), scores[part]], _FUSED)
        return scores

    def predict(self, x: npt.ArrayLike) -> Array:
        """Return the net's outputs: probabilities of the classes or labels, for regression the values.

        Parameters
        ----------
        x : array_like, shape (N, inputs), or (N, ...) with as many numbers a row
            Batches of any size; large ones are taken in parts, so that little more memory than
            the result's is needed.

        Returns
        -------
        ndarray, shape (N, outputs)
            A fresh array of the net's dtype.

        Raises
        ------
        TypeError
            If x is not real.
        ValueError
            If x has another number of inputs.
        """
        scores = self._outputs_of(check_batch(x, self.sizes[0]), len(self._layers))
        return self._output(scores, out=scores)

    def loss(
        self, x: npt.ArrayLike, t: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
    ) -> Any:
        """Return the loss averaged over the batch, a number of the net's dtype; 0 without rows.

        Parameters
        ----------
        x : array_like, shape (N, inputs), or (N, ...) with as many numbers a row
        t : array_like
            For classes their indices, integers of shape (N,), or probabilities of shape (N, outputs);
            for labels, 0 or 1, and for regression values of shape (N, outputs), for one output also
            (N,).
        sample_weight : array_like, shape (N,), optional
            Weight of each row in the average Σ wₙ lossₙ / Σ wₙ; finite, at least 0. A row of weight 0 is
            as one that is left out, one of weight 2 as two.

        Raises
        ------
        TypeError
            If x or t is not real, or class indices are not integers.
        ValueError
            If the shapes do not fit, or a weight is below 0 or not finite.
        IndexError
            If a class index is out of range.
        """
        batch, depth = check_batch(x, self.sizes[0]), len(self._layers)
        if self._has_wide_output(len(batch)):
            W, b, _ = self._layers[-1]
            hidden = self._outputs_of(batch, depth - 1)
            return linear_cross_entropy(
                hidden, self.params[W], t, self.params[b], sample_weight=sample_weight
            )
        scores = self._outputs_of(batch, depth)
        t = as_targets(t, scores, np.empty, not self._has_classes)
        return self._loss(scores, t, sample_weight=sample_weight)

    def gradient(
        self, x: npt.ArrayLike, t: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None
    ) -> dict[str, Array]:
        """Return the gradient of the loss with respect to each parameter.

        Parameters
        ----------
        x, t, sample_weight : array_like
            As for `loss`.

        Returns
        -------
        dict of ndarray
            `grads` itself, arrays of the net's dtype, overwritten by the next call.

        Raises
        ------
        TypeError, ValueError, IndexError
            As `loss` does; `grads` is unchanged then.
        """
        self._step(x, t, sample_weight=sample_weight)
        return self.grads

    def train_step(
        self,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        optimizer: Optimizer,
        *,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Any:
        """Move the parameters one step down the gradient; return the loss before it.

        `SGD` without momentum and weight decay needs no gradient of the weights: their step is the
        product that would make it, added to them by BLAS, and `grads` says NaN of them after it.
        `gradient` makes all.

        Parameters
        ----------
        x, t : array_like
            As for `loss`.
        optimizer : SGD, Adam, or anything with ``update(params, grads)``
            Changes the parameters in place.
        sample_weight : array_like, optional
            As for `loss`.

        Raises
        ------
        TypeError
            If `optimizer` is none, a class or a name for instance.
        TypeError, ValueError, IndexError
            As `loss` does; the net is unchanged then.
        """
        refuse_optimizer(optimizer)
        rate = self._rate_of_descent(optimizer)
        loss = self._step(x, t, sample_weight=sample_weight, rate=rate)
        if not rate:
            optimizer.update(self.params, self.grads)
            return loss
        for name, param in self.params.items():
            if name not in self._descending:
                choice().kernels.sgd_update(param, self.grads[name], rate, 0.0)
        return loss

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the net and its `extras` to an ``.npz`` file, which holds no pickle.

        Parameters
        ----------
        path : path-like
            Written to as it stands, whatever it ends in. A file that is there is replaced when the new
            one is complete.

        Raises
        ------
        TypeError
            If one of the extras holds Python objects; nothing is written then.
        """
        extras = {f"extras/{name}": np.asarray(value) for name, value in self.extras.items()}
        for name, array in extras.items():
            if array.dtype.hasobject:
                raise TypeError(f"{name}: expected numbers or strings, got dtype {array.dtype}")
        arrays: dict[str, Any] = {
            "sizes": self.sizes,
            "activation": self.activation,
            "loss": self.loss_name,
            "dtype": self.dtype.name,
            **self.params,
            **extras,
        }
        _files.write(path, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a net that `save` wrote.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        FeedForward
            The net with its `extras`.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it does not hold a net; or one that takes the raw columns of a table, which
            `ffkernels.tables.TableNet.load` reads.
        """
        net = cls._read(path)
        if TABLE in net.extras:
            raise ValueError(
                f"path: expected a net alone, got {path}, which takes the raw columns of a table: "
                "read it by ffkernels.tables.TableNet.load"
            )
        return net

    @classmethod
    def _read(cls, path: str | os.PathLike[str]) -> Self:
        arrays = _files.read(path, _WRITER)
        try:
            activation, loss, dtype = (
                str(arrays.pop(key)) for key in ("activation", "loss", "dtype")
            )
            sizes = _sizes(arrays.pop("sizes").tolist(), activation)
            stored = {}
            # Before a net is made of these sizes, which may claim more than memory holds.
            for k, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
                for name, shape in ((f"W{k}", (inputs, outputs)), (f"b{k}", (outputs,))):
                    stored[name] = array = arrays.pop(name)
                    if array.shape != shape:
                        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
            net = cls(sizes, activation, loss, dtype)  # type: ignore[arg-type]
            for name, param in net.params.items():
                np.copyto(param, stored[name], casting="same_kind")
        except KeyError as missing:
            raise ValueError(
                f"path: expected a file from {_WRITER}, got {path} without {missing}"
            ) from None
        except (TypeError, ValueError) as error:
            raise _files.foreign(path, _WRITER, error) from error
        net.extras = {name.removeprefix("extras/"): array for name, array in arrays.items()}
        return net


def put_gradients_in(net: FeedForward, memory: Array) -> None:
    """Lay a net's gradients side by side in memory of the caller's, in the order of `params`."""
    start = 0
    for name, param in net.params.items():
        net.grads[name] = memory[start : start + param.size].reshape(param.shape)
        start += param.size
    net._own = (*net.params.values(), *net.grads.values())


def summed_step(
    net: FeedForward, x: npt.ArrayLike, t: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
) -> tuple[Any, float]:
    """The loss, with its gradients in `grads`, added up over the rows; and what to divide both by."""
    loss = net._step(x, t, sample_weight=sample_weight, reduction="sum")
    if sample_weight is None:
        return loss, net._rows
    return loss, float(check_sample_weight(sample_weight, (net._rows,)).sum())
