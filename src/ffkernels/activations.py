"""Activations: each function, its derivative, its backward pass, and fused forms with a bias.

``f(x)`` is the function, ``f_grad(x)`` its elementwise derivative, ``f_backward(dy, y)`` the
vector-Jacobian product from what the forward pass returned, ``bias_f(x, b)`` is f(x + b), and
``f_backward_bias(dy, y)`` is the backward pass together with the gradient of the bias.

Results have the dtype of the input: float16, bfloat16 (both computed in float32), float32 or float64.
Integers and bools count as float64, and of several inputs the widest decides.  float128 and complex
numbers are refused.  Any strides will do.  ``axis`` and ``out`` may be passed by position, other options
by name alone.  ``out`` receives the result; it must have its shape and dtype and may be exactly one of
the inputs, but not overlap one otherwise.  NaN gives NaN, but for identity's derivative, which is 1
whatever x is.

Arrays of other libraries (pandas, PyTorch, JAX, Arrow), buffers and whatever else has ``__array__`` or
DLPack are read where they lie in main memory; the result is a NumPy array.  Masked arrays and
``np.matrix`` are refused, and PyTorch's tensors with ``requires_grad=True``, since the result would not
belong to their graph: `ffkernels.adapters.torch` has functions that do.

All raise TypeError for what is not an array of real numbers, and for an ``out`` of another type;
ValueError for shapes that do not agree and for an ``out`` of another shape, read-only or
overlapping; AxisError for an axis there is none of.  Nothing is written when a call is refused.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from . import backend as _backend

__all__ = [
    "bias_identity",
    "bias_relu",
    "bias_sigmoid",
    "bias_tanh",
    "identity",
    "identity_backward",
    "identity_backward_bias",
    "identity_grad",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "relu",
    "relu_backward",
    "relu_backward_bias",
    "relu_grad",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_backward_bias",
    "sigmoid_grad",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
    "tanh_backward_bias",
    "tanh_grad",
]


def __dir__() -> list[str]:
    return __all__


Array = npt.NDArray[Any]


def relu(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Rectified linear unit: max(x, 0).

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Nair, V., Hinton, G. E. (2010). Rectified linear units improve restricted Boltzmann machines.
    ICML.

    Examples
    --------
    >>> from ffkernels import relu
    >>> relu([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """
    return _backend.active.relu(x, out)


def relu_grad(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Derivative of `relu` at x: 1 where x > 0, else 0.

    The derivative at 0 is taken as 0, as the formula says.  A listing in a well-known book gives 1
    there.

    Parameters
    ----------
    x : array_like
        The input of the forward pass.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import relu_grad
    >>> relu_grad([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    return _backend.active.relu_grad(x, out)


def relu_backward(dy: npt.ArrayLike, y: npt.ArrayLike, out: Array | None = None) -> Array:
    """Gradient at the input of `relu` from the one at its output: dy where y > 0, else 0.

    ``y`` may be the output or the input of the forward pass: both are positive in the same places.

    Parameters
    ----------
    dy, y : array_like
        Gradient of the loss at the output, and output or input of the forward pass; of one shape.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``y``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``y``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import relu_backward
    >>> relu_backward([5.0, 5.0], [0.0, 2.0])
    array([0., 5.])
    """
    return _backend.active.relu_backward(dy, y, out)


def bias_relu(x: npt.ArrayLike, b: npt.ArrayLike, out: Array | None = None) -> Array:
    """`relu` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_relu
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_relu(z, [0.0, 1.0, 3.0], out=z)
    array([[0., 1., 5.],
           [0., 0., 6.]])
    """
    return _backend.active.bias_relu(x, b, out)


def relu_backward_bias(
    dy: npt.ArrayLike,
    y: npt.ArrayLike,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """`relu_backward` and the gradient of a bias before it, in one pass.

    dz = dy where y > 0, else 0; db = dz summed over every axis but the last, in float64.

    Parameters
    ----------
    dy, y : array_like, shape (..., n)
        Gradient of the loss at the output, and output or input of the forward pass.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``y``.
    out_bias : ndarray, shape (n,), optional
        Where to put db.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the wider dtype of ``dy`` and ``y``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> from ffkernels import relu_backward_bias
    >>> dz, db = relu_backward_bias([[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.5], [0.5, 0.5]])
    >>> dz
    array([[0., 2.],
           [3., 4.]])
    >>> db
    array([3., 6.])
    """
    return _backend.active.relu_backward_bias(dy, y, out, out_bias)


def sigmoid(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Logistic sigmoid: 1 / (1 + e^-x).

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Goodfellow, I., Bengio, Y., Courville, A. (2016). Deep Learning, section 3.10. MIT Press.

    Examples
    --------
    >>> from ffkernels import sigmoid
    >>> sigmoid([0.0, 1000.0])
    array([0.5, 1. ])
    """
    return _backend.active.sigmoid(x, out)


def sigmoid_grad(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Derivative of `sigmoid` at x: s(x) s(-x).

    Computed as e^-|x| / (1 + e^-|x|)^2, which keeps its relative accuracy for large |x|, where
    s (1 - s) cancels.

    Parameters
    ----------
    x : array_like
        The input of the forward pass.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import sigmoid_grad
    >>> sigmoid_grad([0.0])
    array([0.25])
    """
    return _backend.active.sigmoid_grad(x, out)


def sigmoid_backward(dy: npt.ArrayLike, y: npt.ArrayLike, out: Array | None = None) -> Array:
    """Gradient at the input of `sigmoid` from its output y = sigmoid(x), not from x: dy y (1 - y).

    Parameters
    ----------
    dy, y : array_like
        Gradient of the loss at the output, and the output itself, what `sigmoid` returned; of one shape.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``y``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``y``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import sigmoid_backward
    >>> sigmoid_backward([4.0], [0.5])
    array([1.])
    """
    return _backend.active.sigmoid_backward(dy, y, out)


def bias_sigmoid(x: npt.ArrayLike, b: npt.ArrayLike, out: Array | None = None) -> Array:
    """`sigmoid` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_sigmoid
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_sigmoid(z, [0.0, 1.0, 3.0], out=z)
    array([[0.26894142, 0.73105858, 0.99330715],
           [0.04742587, 0.26894142, 0.99752738]])
    """
    return _backend.active.bias_sigmoid(x, b, out)


def sigmoid_backward_bias(
    dy: npt.ArrayLike,
    y: npt.ArrayLike,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """`sigmoid_backward` and the gradient of a bias before it, in one pass.

    dz = dy y (1 - y); db = dz summed over every axis but the last, in float64.

    Parameters
    ----------
    dy, y : array_like, shape (..., n)
        Gradient of the loss at the output, and the output itself, what `bias_sigmoid` returned.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``y``.
    out_bias : ndarray, shape (n,), optional
        Where to put db.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the wider dtype of ``dy`` and ``y``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> from ffkernels import sigmoid_backward_bias
    >>> dz, db = sigmoid_backward_bias([[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.5], [0.5, 0.5]])
    >>> dz
    array([[0.  , 0.5 ],
           [0.75, 1.  ]])
    >>> db
    array([0.75, 1.5 ])
    """
    return _backend.active.sigmoid_backward_bias(dy, y, out, out_bias)


def tanh(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Hyperbolic tangent: tanh x.

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    LeCun, Y., Bottou, L., Orr, G. B., Müller, K.-R. (1998). Efficient BackProp. Springer.

    Examples
    --------
    >>> from ffkernels import tanh
    >>> tanh([0.0, 100.0])
    array([0., 1.])
    """
    return _backend.active.tanh(x, out)


def tanh_grad(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Derivative of `tanh` at x: sech^2 x.

    Computed as 4 s(2x) s(-2x), which does not cancel for large |x| as 1 - tanh^2 x does.

    Parameters
    ----------
    x : array_like
        The input of the forward pass.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import tanh_grad
    >>> tanh_grad([0.0])
    array([1.])
    """
    return _backend.active.tanh_grad(x, out)


def tanh_backward(dy: npt.ArrayLike, y: npt.ArrayLike, out: Array | None = None) -> Array:
    """Gradient at the input of `tanh` from its output y = tanh(x), not from x: dy (1 - y^2).

    Parameters
    ----------
    dy, y : array_like
        Gradient of the loss at the output, and the output itself, what `tanh` returned; of one shape.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``y``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``y``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import tanh_backward
    >>> tanh_backward([2.0], [0.5])
    array([1.5])
    """
    return _backend.active.tanh_backward(dy, y, out)


def bias_tanh(x: npt.ArrayLike, b: npt.ArrayLike, out: Array | None = None) -> Array:
    """`tanh` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_tanh
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_tanh(z, [0.0, 1.0, 3.0], out=z)
    array([[-0.76159416,  0.76159416,  0.9999092 ],
           [-0.99505475, -0.76159416,  0.99998771]])
    """
    return _backend.active.bias_tanh(x, b, out)


def tanh_backward_bias(
    dy: npt.ArrayLike,
    y: npt.ArrayLike,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """`tanh_backward` and the gradient of a bias before it, in one pass.

    dz = dy (1 - y^2); db = dz summed over every axis but the last, in float64.

    Parameters
    ----------
    dy, y : array_like, shape (..., n)
        Gradient of the loss at the output, and the output itself, what `bias_tanh` returned.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``y``.
    out_bias : ndarray, shape (n,), optional
        Where to put db.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the wider dtype of ``dy`` and ``y``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> from ffkernels import tanh_backward_bias
    >>> dz, db = tanh_backward_bias([[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.5], [0.5, 0.5]])
    >>> dz
    array([[1.  , 1.5 ],
           [2.25, 3.  ]])
    >>> db
    array([3.25, 4.5 ])
    """
    return _backend.active.tanh_backward_bias(dy, y, out, out_bias)


def identity(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Identity, the output activation of regression: x.

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Goodfellow, I., Bengio, Y., Courville, A. (2016). Deep Learning, section 6.2.2.1. MIT Press.

    Examples
    --------
    >>> from ffkernels import identity
    >>> identity([1.0, 2.0])
    array([1., 2.])
    """
    return _backend.active.identity(x, out)


def identity_grad(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Derivative of `identity` at x: 1.

    Parameters
    ----------
    x : array_like
        The input of the forward pass.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import identity_grad
    >>> identity_grad([3.0])
    array([1.])
    """
    return _backend.active.identity_grad(x, out)


def identity_backward(dy: npt.ArrayLike, y: npt.ArrayLike, out: Array | None = None) -> Array:
    """Gradient at the input of `identity` from the one at its output: dy.

    ``y`` is there so that every backward pass is called alike.

    Parameters
    ----------
    dy, y : array_like
        Gradient of the loss at the output, and what the forward pass left; of one shape.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``y``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``y``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import identity_backward
    >>> identity_backward([2.0], [0.5])
    array([2.])
    """
    return _backend.active.identity_backward(dy, y, out)


def bias_identity(x: npt.ArrayLike, b: npt.ArrayLike, out: Array | None = None) -> Array:
    """`identity` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_identity
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_identity(z, [0.0, 1.0, 3.0], out=z)
    array([[-1.,  1.,  5.],
           [-3., -1.,  6.]])
    """
    return _backend.active.bias_identity(x, b, out)


def identity_backward_bias(
    dy: npt.ArrayLike,
    y: npt.ArrayLike,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """`identity_backward` and the gradient of a bias before it, in one pass.

    dz = dy; db = dz summed over every axis but the last, in float64.

    Parameters
    ----------
    dy, y : array_like, shape (..., n)
        Gradient of the loss at the output, and what the forward pass left.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``y``.
    out_bias : ndarray, shape (n,), optional
        Where to put db.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the wider dtype of ``dy`` and ``y``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> from ffkernels import identity_backward_bias
    >>> dz, db = identity_backward_bias([[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.5], [0.5, 0.5]])
    >>> dz
    array([[1., 2.],
           [3., 4.]])
    >>> db
    array([4., 6.])
    """
    return _backend.active.identity_backward_bias(dy, y, out, out_bias)


def softmax(x: npt.ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """Softmax along an axis: y_i = e^(x_i - max x) / sum_j e^(x_j - max x).

    A logit of -inf is a masked class: its probability is exactly 0.  A row of only -inf, or one that
    holds +inf, becomes NaN.

    Parameters
    ----------
    x : array_like
        Real numbers, of at least one dimension.
    axis : int
        The axis of the classes.
    out : ndarray, optional
        Where to put the result; may be an input.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Bridle, J. S. (1990). Probabilistic interpretation of feedforward classification network outputs.
    Neurocomputing, Springer.

    Examples
    --------
    >>> from ffkernels import softmax
    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    return _backend.active.softmax(x, axis, out)


def softmax_backward(
    dy: npt.ArrayLike, y: npt.ArrayLike, axis: int = -1, out: Array | None = None
) -> Array:
    """Gradient at the input of `softmax` from its output y: y_i (dy_i - sum_j dy_j y_j).

    The off-diagonal derivative is -y_i y_k; notes that print it without its sign are wrong.  ``axis`` is
    that of the forward pass.

    Parameters
    ----------
    dy, y : array_like
        Gradient of the loss at the output, and the output itself, what `softmax` returned; of one
        shape, of at least one dimension.
    axis : int
        The axis of the classes.
    out : ndarray, optional
        Where to put the result; may be an input.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``y``; float64 for integers and bools.

    References
    ----------
    Goodfellow, I., Bengio, Y., Courville, A. (2016). Deep Learning, section 6.2.2.3. MIT Press.

    Examples
    --------
    >>> from ffkernels import softmax_backward
    >>> softmax_backward([1.0, 0.0], [0.5, 0.5])
    array([ 0.25, -0.25])
    """
    return _backend.active.softmax_backward(dy, y, axis, out)


def log_softmax(x: npt.ArrayLike, axis: int = -1, out: Array | None = None) -> Array:
    """Logarithm of softmax along an axis: (x_i - max x) - log sum_j e^(x_j - max x).

    The logarithm is log1p of the sum without its leading term, so that a class that leads by far keeps
    its digits: -e^-50 is not 0.

    Parameters
    ----------
    x : array_like
        Real numbers, of at least one dimension.
    axis : int
        The axis of the classes.
    out : ndarray, optional
        Where to put the result; may be an input.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Blanchard, P., Higham, D. J., Higham, N. J. (2021). Accurately computing the log-sum-exp and
    softmax functions. IMA Journal of Numerical Analysis 41(4).

    Examples
    --------
    >>> from ffkernels import log_softmax
    >>> log_softmax([0.0, -1000.0])
    array([    0., -1000.])
    """
    return _backend.active.log_softmax(x, axis, out)


def log_softmax_backward(
    dy: npt.ArrayLike, y: npt.ArrayLike, axis: int = -1, out: Array | None = None
) -> Array:
    """Gradient at the input of `log_softmax` from its output y: dy_i - e^(y_i) sum_j dy_j.

    ``axis`` is that of the forward pass.

    Parameters
    ----------
    dy, y : array_like
        Gradient of the loss at the output, and the output itself, what `log_softmax` returned; of one
        shape, of at least one dimension.
    axis : int
        The axis of the classes.
    out : ndarray, optional
        Where to put the result; may be an input.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``y``; float64 for integers and bools.

    References
    ----------
    Goodfellow, I., Bengio, Y., Courville, A. (2016). Deep Learning, section 6.2.2.3. MIT Press.

    Examples
    --------
    >>> from ffkernels import log_softmax_backward
    >>> log_softmax_backward([1.0, 0.0], [0.0, -1000.0])
    array([0., 0.])
    """
    return _backend.active.log_softmax_backward(dy, y, axis, out)


def logsumexp(
    x: npt.ArrayLike, axis: int = -1, out: Array | None = None, *, keepdims: bool = False
) -> Any:
    """Logarithm of the sum of exponentials along an axis: max x + log sum_j e^(x_j - max x).

    A row of only -inf, and an empty one, gives -inf; a row that holds +inf gives inf.

    Parameters
    ----------
    x : array_like
        Real numbers, of at least one dimension.
    axis : int
        The axis to sum along.
    out : ndarray, optional
        Where to put the result; apart from ``x``.
    keepdims : bool
        Keep that axis, with length 1.

    Returns
    -------
    ndarray or scalar
        Of the shape of ``x`` less the axis, in the dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Blanchard, P., Higham, D. J., Higham, N. J. (2021). Accurately computing the log-sum-exp and
    softmax functions. IMA Journal of Numerical Analysis 41(4).

    Examples
    --------
    >>> from ffkernels import logsumexp
    >>> float(logsumexp([-1000.0, -1000.0]).round(4))
    -999.3069
    """
    return _backend.active.logsumexp(x, axis, keepdims, out)
