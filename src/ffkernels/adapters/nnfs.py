"""The class names of the book "Neural Networks from Scratch in Python", computed by ffkernels.

Nets written against the book's classes run on these when the classes come from here::

    from ffkernels.adapters.nnfs import *

Names, protocol, attributes and shapes are the book's: ``forward`` leaves ``output``, ``backward`` leaves
``dinputs``, ``dweights`` and ``dbiases``, and every call makes fresh arrays.  Weights and dropout draw
from NumPy's global generator as the book's do, so that the same seed gives the same learning curve.

The book clips probabilities to [1e-7, 1 - 1e-7] before it takes logarithms or divides, which bounds a
sample's loss at 16.1.  Here nothing is clipped: elsewhere the losses are the same.

Source: H. Kinsley, D. Kukieła, "Neural Networks from Scratch in Python", 2020, https://nnfs.io.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import activations, losses, optimizers
from .._arguments import Array, at_least, real_array

__all__ = [
    "Activation_Linear",
    "Activation_ReLU",
    "Activation_Sigmoid",
    "Activation_Softmax",
    "Activation_Softmax_Loss_CategoricalCrossentropy",
    "Layer_Dense",
    "Layer_Dropout",
    "Layer_Input",
    "Loss",
    "Loss_BinaryCrossentropy",
    "Loss_CategoricalCrossentropy",
    "Loss_MeanAbsoluteError",
    "Loss_MeanSquaredError",
    "Optimizer_Adam",
    "Optimizer_SGD",
]


def __dir__() -> list[str]:
    return __all__


# ---- layers ----------------------------------------------------------------------------------------


class Layer_Input:
    """The input of a net: ``output`` is what came.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Layer_Input
    >>> layer = Layer_Input()
    >>> layer.forward([[1.0, 2.0]])
    >>> layer.output
    [[1.0, 2.0]]
    """

    def forward(self, inputs: Any, training: bool = True) -> None:
        self.output = inputs


class Layer_Dense:
    """Affine layer: inputs·weights + biases.

    Parameters
    ----------
    n_inputs, n_neurons : int
    weight_regularizer_l1, weight_regularizer_l2 : float, default 0
        Strengths λ of the penalties λ·Σ abs(w) and λ·Σ w² of `Loss.regularization_loss`, whose gradients
        `backward` adds.
    bias_regularizer_l1, bias_regularizer_l2 : float, default 0
        The same for the biases.

    Attributes
    ----------
    weights : ndarray, shape (n_inputs, n_neurons)
        Begins as 0.01 times numbers of ``np.random.randn``.
    biases : ndarray, shape (1, n_neurons)
        Begins as zeros.
    inputs, output, dinputs, dweights, dbiases
        Of the last `forward` and `backward`.

    Raises
    ------
    TypeError, ValueError
        If a regulariser is not a number, or negative.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.adapters.nnfs import Layer_Dense
    >>> layer = Layer_Dense(2, 1)
    >>> layer.set_parameters(np.array([[1.0], [-1.0]]), np.array([[0.5]]))
    >>> layer.forward(np.array([[3.0, 1.0], [0.0, 2.0]]), training=True)
    >>> layer.output
    array([[ 2.5],
           [-1.5]])
    >>> layer.backward(np.array([[1.0], [2.0]]))
    >>> layer.dweights, layer.dbiases
    (array([[3.],
           [5.]]), array([[3.]]))
    """

    def __init__(
        self,
        n_inputs: int,
        n_neurons: int,
        weight_regularizer_l1: float = 0,
        weight_regularizer_l2: float = 0,
        bias_regularizer_l1: float = 0,
        bias_regularizer_l2: float = 0,
    ) -> None:
        self.weight_regularizer_l1 = at_least(weight_regularizer_l1, "weight_regularizer_l1", 0)
        self.weight_regularizer_l2 = at_least(weight_regularizer_l2, "weight_regularizer_l2", 0)
        self.bias_regularizer_l1 = at_least(bias_regularizer_l1, "bias_regularizer_l1", 0)
        self.bias_regularizer_l2 = at_least(bias_regularizer_l2, "bias_regularizer_l2", 0)
        self.weights: Array = 0.01 * np.random.randn(n_inputs, n_neurons)  # noqa: NPY002
        self.biases: Array = np.zeros((1, n_neurons))

    def forward(self, inputs: npt.ArrayLike, training: bool = True) -> None:
        self.inputs = _batch(inputs, "inputs", len(self.weights))
        self.output = np.dot(self.inputs, self.weights)
        out = self.output if self.output.dtype == self.biases.dtype else None
        self.output = activations.bias_identity(self.output, self.biases.reshape(-1), out=out)

    def backward(self, dvalues: npt.ArrayLike) -> None:
        dvalues = _batch(dvalues, "dvalues", self.weights.shape[1])
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        _add_penalty(self.dweights, self.weights, self.weight_regularizer_l1, self.weight_regularizer_l2)
        _add_penalty(self.dbiases, self.biases, self.bias_regularizer_l1, self.bias_regularizer_l2)
        self.dinputs = np.dot(dvalues, self.weights.T)

    def get_parameters(self) -> tuple[Array, Array]:
        """Weights and biases, themselves."""
        return self.weights, self.biases

    def set_parameters(self, weights: Array, biases: Array) -> None:
        self.weights = weights
        self.biases = biases


def _add_penalty(gradient: Array, parameter: Array, l1: float, l2: float) -> None:
    if l1 > 0:
        gradient += l1 * np.where(parameter < 0, -1, 1)
    if l2 > 0:
        gradient += 2 * l2 * parameter


class Layer_Dropout:
    """Sets a share of its inputs to 0 while the net trains, and scales the others up to the same mean.

    Parameters
    ----------
    rate : float
        The share, at least 0 and below 1.

    Attributes
    ----------
    rate : float
        The share that is kept, 1 less that of the argument, as in the book.
    binary_mask : ndarray
        1/rate where an input is kept, else 0.

    Raises
    ------
    TypeError, ValueError
        If rate is not a number in [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.adapters.nnfs import Layer_Dropout
    >>> layer = Layer_Dropout(0.5)
    >>> layer.forward(np.ones((2, 3)), training=False)
    >>> layer.output
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """

    def __init__(self, rate: float) -> None:
        self.rate = 1 - at_least(rate, "rate", 0, 1)

    def forward(self, inputs: npt.ArrayLike, training: bool = True) -> None:
        self.inputs = real_array(inputs, "inputs")
        if not training:
            self.output = self.inputs.copy()
            return
        self.binary_mask = _kept(self.rate, self.inputs.shape) / self.rate
        self.output = self.inputs * self.binary_mask

    def backward(self, dvalues: npt.ArrayLike) -> None:
        self.dinputs = real_array(dvalues, "dvalues") * self.binary_mask


def _kept(rate: float, shape: tuple[int, ...]) -> Array:
    """``np.random.binomial(1, rate, shape)``, as the book draws, in a third of the time: it takes a
    uniform number for each of one trial, and compares it with the rarer outcome's complement.  Both
    streams are frozen by NumPy's policy for this generator."""
    uniform = np.random.random_sample(shape)  # noqa: NPY002
    return uniform <= rate if rate > 0.5 else uniform > 1 - rate


# ---- activations -----------------------------------------------------------------------------------


class Activation_ReLU:
    """max(x, 0), `ffkernels.relu`, with a derivative of 0 at 0.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Activation_ReLU
    >>> activation = Activation_ReLU()
    >>> activation.forward([[-1.0, 2.0]])
    >>> activation.output
    array([[0., 2.]])
    """

    def forward(self, inputs: npt.ArrayLike, training: bool = True) -> None:
        self.inputs = inputs
        self.output = activations.relu(inputs)

    def backward(self, dvalues: npt.ArrayLike) -> None:
        self.dinputs = activations.relu_backward(dvalues, self.inputs)

    def predictions(self, outputs: Any) -> Any:
        return outputs


class Activation_Sigmoid:
    """1/(1 + e^-x), `ffkernels.sigmoid`.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Activation_Sigmoid
    >>> activation = Activation_Sigmoid()
    >>> activation.forward([[0.0, 800.0]])
    >>> activation.output
    array([[0.5, 1. ]])
    """

    def forward(self, inputs: npt.ArrayLike, training: bool = True) -> None:
        self.inputs = inputs
        self.output = activations.sigmoid(inputs)

    def backward(self, dvalues: npt.ArrayLike) -> None:
        self.dinputs = activations.sigmoid_backward(dvalues, self.output)

    def predictions(self, outputs: npt.ArrayLike) -> Array:
        """1 where an output is above a half, else 0."""
        return (np.asarray(outputs) > 0.5) * 1


class Activation_Linear:
    """x itself: the output of a net for regression.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Activation_Linear
    >>> activation = Activation_Linear()
    >>> activation.forward([[-1.0, 2.0]])
    >>> activation.output
    [[-1.0, 2.0]]
    """

    def forward(self, inputs: Any, training: bool = True) -> None:
        self.inputs = inputs
        self.output = inputs

    def backward(self, dvalues: npt.ArrayLike) -> None:
        self.dinputs = np.array(dvalues)

    def predictions(self, outputs: Any) -> Any:
        return outputs


class Activation_Softmax:
    """e^x / Σ e^x along each row, `ffkernels.softmax`.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Activation_Softmax
    >>> activation = Activation_Softmax()
    >>> activation.forward([[0.0, 0.0]])
    >>> activation.output
    array([[0.5, 0.5]])
    """

    def forward(self, inputs: npt.ArrayLike, training: bool = True) -> None:
        self.inputs = inputs
        self.output = activations.softmax(inputs)

    def backward(self, dvalues: npt.ArrayLike) -> None:
        self.dinputs = activations.softmax_backward(dvalues, self.output)

    def predictions(self, outputs: npt.ArrayLike) -> Array:
        """The most probable class of each row."""
        return np.argmax(outputs, axis=1)


# ---- losses ----------------------------------------------------------------------------------------


class Loss:
    """What the losses share: means over a batch and over an epoch, and the penalties of the layers.

    A loss derives from it and has ``forward(y_pred, y_true)``, the losses of the samples.
    """

    trainable_layers: list[Any] | None = None
    accumulated_sum: Any = 0
    accumulated_count: int = 0

    def forward(self, y_pred: npt.ArrayLike, y_true: npt.ArrayLike) -> Array:
        raise NotImplementedError(f"{type(self).__name__}.forward(y_pred, y_true)")

    def regularization_loss(self, layer: Any = None) -> Any:
        """The penalties of one layer, or of those in ``trainable_layers``."""
        layers = self.trainable_layers if layer is None else [layer]
        if layers is None:
            raise ValueError("layer: expected one, or remember_trainable_layers called before, got None")
        return sum((_penalty(layer) for layer in layers), 0)

    def remember_trainable_layers(self, trainable_layers: Iterable[Any]) -> None:
        self.trainable_layers = list(trainable_layers)

    def calculate(
        self, output: npt.ArrayLike, y: npt.ArrayLike, *, include_regularization: bool = False
    ) -> Any:
        """The mean of the samples' losses, and the layers' penalties beside it where they are wanted."""
        sample_losses = self.forward(output, y)
        self.accumulated_sum += np.sum(sample_losses)
        self.accumulated_count += len(sample_losses)
        data_loss = np.mean(sample_losses)
        return (data_loss, self.regularization_loss()) if include_regularization else data_loss

    def calculate_accumulated(self, *, include_regularization: bool = False) -> Any:
        """The mean over all samples since `new_pass`, with the penalties where they are wanted."""
        data_loss = self.accumulated_sum / self.accumulated_count
        return (data_loss, self.regularization_loss()) if include_regularization else data_loss

    def new_pass(self) -> None:
        self.accumulated_sum = 0
        self.accumulated_count = 0


def _penalty(layer: Any) -> Any:
    penalty: Any = 0
    for strength, norm, parameter in (
        (layer.weight_regularizer_l1, np.abs, layer.weights),
        (layer.weight_regularizer_l2, np.square, layer.weights),
        (layer.bias_regularizer_l1, np.abs, layer.biases),
        (layer.bias_regularizer_l2, np.square, layer.biases),
    ):
        if strength > 0:
            penalty += strength * np.sum(norm(parameter))
    return penalty


class Loss_CategoricalCrossentropy(Loss):
    """-Σ t·log p of each sample, `ffkernels.cross_entropy`.

    Targets are class indices, integers of shape (N,), or rows of probabilities.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Loss_CategoricalCrossentropy
    >>> loss = Loss_CategoricalCrossentropy()
    >>> loss.calculate([[0.5, 0.5], [0.25, 0.75]], [0, 1]).round(4)
    np.float64(0.4904)
    """

    def forward(self, y_pred: npt.ArrayLike, y_true: npt.ArrayLike) -> Array:
        return losses.cross_entropy(y_pred, y_true, reduction="none")

    def backward(self, dvalues: npt.ArrayLike, y_true: npt.ArrayLike) -> None:
        self.dinputs = losses.cross_entropy_backward(dvalues, y_true)


class Activation_Softmax_Loss_CategoricalCrossentropy:
    """Softmax and its cross-entropy, whose gradient is (p - t)/N: `ffkernels.softmax_cross_entropy`.

    `forward` returns the mean loss, and leaves the probabilities in ``output``; `backward` takes them.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Activation_Softmax_Loss_CategoricalCrossentropy
    >>> both = Activation_Softmax_Loss_CategoricalCrossentropy()
    >>> both.forward([[0.0, 0.0], [1.0, 1.0]], [0, 1]).round(4)
    np.float64(0.6931)
    >>> both.backward(both.output, [0, 1])
    >>> both.dinputs
    array([[-0.25,  0.25],
           [ 0.25, -0.25]])
    """

    def __init__(self) -> None:
        self.activation = Activation_Softmax()
        self.loss = Loss_CategoricalCrossentropy()

    def forward(self, inputs: npt.ArrayLike, y_true: npt.ArrayLike) -> Any:
        self.activation.forward(inputs)
        self.output = self.activation.output
        return losses.softmax_cross_entropy(inputs, y_true)

    def backward(self, dvalues: npt.ArrayLike, y_true: npt.ArrayLike) -> None:
        self.dinputs = losses.softmax_cross_entropy_backward(dvalues, y_true)


class Loss_BinaryCrossentropy(Loss):
    """-(t·log p + (1 - t)·log(1 - p)), averaged over the outputs of each sample.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Loss_BinaryCrossentropy
    >>> loss = Loss_BinaryCrossentropy()
    >>> loss.calculate([[0.5], [0.75]], [[0], [1]]).round(4)
    np.float64(0.4904)
    """

    def forward(self, y_pred: npt.ArrayLike, y_true: npt.ArrayLike) -> Array:
        p, t = _pair(y_pred, y_true)
        with np.errstate(divide="ignore"):
            return -np.mean(_times(t, np.log(p)) + _times(1 - t, np.log1p(-p)), axis=-1)

    def backward(self, dvalues: npt.ArrayLike, y_true: npt.ArrayLike) -> None:
        p, t = _pair(dvalues, y_true)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(t == 0, 0, t / p) - np.where(t == 1, 0, (1 - t) / (1 - p))
        self.dinputs = slope / -p.size


def _times(t: Array, log: Array) -> Array:
    """0 where t is 0, whatever the logarithm."""
    return np.multiply(t, log, out=np.zeros_like(log), where=t != 0)


class Loss_MeanSquaredError(Loss):
    """(t - y)², averaged over the outputs of each sample.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Loss_MeanSquaredError
    >>> loss = Loss_MeanSquaredError()
    >>> loss.calculate([[1.0, 3.0]], [[0.0, 0.0]])
    np.float64(5.0)
    """

    def forward(self, y_pred: npt.ArrayLike, y_true: npt.ArrayLike) -> Array:
        y, t = _pair(y_pred, y_true)
        return losses.sum_squared_error(y, t, reduction="none") * (2 / y.shape[-1])

    def backward(self, dvalues: npt.ArrayLike, y_true: npt.ArrayLike) -> None:
        y, t = _pair(dvalues, y_true)
        self.dinputs = losses.sum_squared_error_backward(y, t, 2 / y.size, reduction="sum")


class Loss_MeanAbsoluteError(Loss):
    """abs(t - y), averaged over the outputs of each sample.

    Examples
    --------
    >>> from ffkernels.adapters.nnfs import Loss_MeanAbsoluteError
    >>> loss = Loss_MeanAbsoluteError()
    >>> loss.calculate([[1.0, 3.0]], [[0.0, 0.0]])
    np.float64(2.0)
    """

    def forward(self, y_pred: npt.ArrayLike, y_true: npt.ArrayLike) -> Array:
        y, t = _pair(y_pred, y_true)
        return np.mean(np.abs(t - y), axis=-1)

    def backward(self, dvalues: npt.ArrayLike, y_true: npt.ArrayLike) -> None:
        y, t = _pair(dvalues, y_true)
        self.dinputs = np.sign(y - t) / y.size


# ---- optimisers ------------------------------------------------------------------------------------


class _Optimizer:
    """A learning rate that decays with the steps."""

    def __init__(self, learning_rate: float, decay: float) -> None:
        self.learning_rate = self.current_learning_rate = at_least(learning_rate, "learning_rate", 0)
        self.decay = at_least(decay, "decay", 0)
        self.iterations = 0

    def pre_update_params(self) -> None:
        """Before the updates of a step: the learning rate decays."""
        self.current_learning_rate = self.learning_rate / (1.0 + self.decay * self.iterations)

    def post_update_params(self) -> None:
        """After the updates of a step: it counts."""
        self.iterations += 1


class Optimizer_SGD(_Optimizer):
    """Gradient descent, with momentum and a learning rate that decays: learning_rate/(1 + decay·k).

    Parameters
    ----------
    learning_rate : float, default 1
    decay : float, default 0
    momentum : float, default 0

    Attributes
    ----------
    current_learning_rate : float
        That of the next `update_params`.
    iterations : int
        k, which `post_update_params` counts.

    Raises
    ------
    TypeError, ValueError
        If one of them is not a number, or negative.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.adapters.nnfs import Layer_Dense, Optimizer_SGD
    >>> layer, optimizer = Layer_Dense(1, 1), Optimizer_SGD(learning_rate=0.5)
    >>> layer.set_parameters(np.ones((1, 1)), np.ones((1, 1)))
    >>> layer.dweights, layer.dbiases = np.array([[1.0]]), np.array([[2.0]])
    >>> optimizer.update_params(layer)
    >>> layer.weights, layer.biases
    (array([[0.5]]), array([[0.]]))
    """

    def __init__(self, learning_rate: float = 1.0, decay: float = 0.0, momentum: float = 0.0) -> None:
        super().__init__(learning_rate, decay)
        self.momentum = at_least(momentum, "momentum", 0)

    def update_params(self, layer: Any) -> None:
        """Change a layer's weights and biases in place."""
        for parameter, gradient, names in _parameters(layer):
            if not self.momentum:
                optimizers.sgd_update(parameter, gradient, self.current_learning_rate)
                continue
            # The book's velocity holds the step itself, -lr·g, which it keeps while the rate decays.
            (step,) = _state(layer, names[:1], parameter)
            gradient = np.multiply(gradient, -self.current_learning_rate)
            optimizers.momentum_update(parameter, gradient, step, -1.0, self.momentum)


class Optimizer_Adam(_Optimizer):
    """Adam, with a learning rate that decays: learning_rate/(1 + decay·k).

    Parameters
    ----------
    learning_rate : float, default 0.001
    decay : float, default 0
    epsilon : float, default 1e-7
    beta_1, beta_2 : float, default 0.9 and 0.999

    Attributes
    ----------
    current_learning_rate : float
        That of the next `update_params`.
    iterations : int
        k, which `post_update_params` counts.

    Raises
    ------
    TypeError, ValueError
        If one of them is not a number, or out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.adapters.nnfs import Layer_Dense, Optimizer_Adam
    >>> layer, optimizer = Layer_Dense(1, 1), Optimizer_Adam(learning_rate=0.5, epsilon=0)
    >>> layer.set_parameters(np.ones((1, 1)), np.ones((1, 1)))
    >>> layer.dweights, layer.dbiases = np.array([[1e-3]]), np.array([[-1e3]])
    >>> optimizer.update_params(layer)
    >>> layer.weights, layer.biases
    (array([[0.5]]), array([[1.5]]))
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = at_least(epsilon, "epsilon", 0)
        self.beta_1 = at_least(beta_1, "beta_1", 0, 1)
        self.beta_2 = at_least(beta_2, "beta_2", 0, 1)

    def update_params(self, layer: Any) -> None:
        """Change a layer's weights and biases in place."""
        for parameter, gradient, names in _parameters(layer):
            m, v = _state(layer, names, parameter)
            step, rate = self.iterations + 1, self.current_learning_rate
            betas = self.beta_1, self.beta_2
            optimizers.adam_update(parameter, gradient, m, v, step, rate, *betas, self.epsilon)


def _parameters(layer: Any) -> Iterable[tuple[Array, Array, tuple[str, str]]]:
    """Each with its gradient, and the names of the layer's attributes that hold an optimiser's state."""
    yield layer.weights, layer.dweights, ("weight_momentums", "weight_cache")
    yield layer.biases, layer.dbiases, ("bias_momentums", "bias_cache")


def _state(layer: Any, names: Iterable[str], parameter: Array) -> list[Array]:
    for name in names:
        if not hasattr(layer, name):
            setattr(layer, name, np.zeros_like(parameter))
    return [getattr(layer, name) for name in names]


# ---- arguments -------------------------------------------------------------------------------------


def _batch(value: npt.ArrayLike, name: str, columns: int) -> Array:
    """A matrix of that many columns; one sample becomes a row."""
    array = real_array(value, name)
    array = array[np.newaxis] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"{name}: expected rows of {columns}, got shape {np.shape(value)}")
    return array


def _pair(y: npt.ArrayLike, t: npt.ArrayLike) -> tuple[Array, Array]:
    """Outputs and targets of one shape and floating-point type."""
    y, t = real_array(y, "y_pred"), real_array(t, "y_true")
    if y.shape != t.shape or not y.ndim:
        raise ValueError(f"y_true: expected the shape of y_pred, {y.shape}, got {t.shape}")
    dtype = np.result_type(y, np.float32 if y.dtype.kind == "f" else np.float64)
    return y.astype(dtype, copy=False), t.astype(dtype, copy=False)
