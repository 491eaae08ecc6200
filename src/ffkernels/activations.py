"""Activations: each function, its derivative, its backward pass, and fused forms with a bias.

``f(x)`` is the function, ``f_grad(x)`` its elementwise derivative, ``f_backward(dy, y)`` the
vector-Jacobian product from what the forward pass returned, ``bias_f(x, b)`` is f(x + b), and
``f_backward_bias(dy, y)`` is the backward pass together with the gradient of the bias.  leaky_relu, elu,
hard_sigmoid, softplus, silu and gelu go back from their input instead: ``f_backward(dy, x)`` and
``f_backward_bias(dy, x, b)``.

Results have the dtype of the input: float16, bfloat16 (both computed in float32), float32 or float64.
Integers and bools count as float64, and of several inputs the widest decides.  float128 and complex
numbers are refused.  Any strides will do.  ``axis``, the numbers of leaky_relu, elu and gelu and ``out``
may be passed by position, other options by name alone.  ``out`` receives the result; it must have its
shape and dtype and may be exactly one of the inputs, but not overlap one otherwise.  NaN gives NaN,
but for identity's derivative, which is 1 whatever x is.

Arrays of other libraries (pandas, PyTorch, JAX, Arrow), buffers and whatever else has ``__array__`` or
DLPack are read where they lie in main memory; the result is a NumPy array.  Masked arrays and
``np.matrix`` are refused, and PyTorch's tensors with ``requires_grad=True``, since the result would not
belong to their graph: `ffkernels.adapters.torch` has functions that do.

All raise TypeError for what is not an array of real numbers, and for an ``out`` of another type;
ValueError for shapes that do not agree and for an ``out`` of another shape, read-only or
overlapping; AxisError for an axis there is none of.  Nothing is written when a call is refused.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy.typing as npt

from ._context import choice as _choice

__all__ = [
    "bias_elu",
    "bias_gelu",
    "bias_hard_sigmoid",
    "bias_identity",
    "bias_leaky_relu",
    "bias_relu",
    "bias_sigmoid",
    "bias_silu",
    "bias_softplus",
    "bias_tanh",
    "elu",
    "elu_backward",
    "elu_backward_bias",
    "gelu",
    "gelu_backward",
    "gelu_backward_bias",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_sigmoid_backward_bias",
    "identity",
    "identity_backward",
    "identity_backward_bias",
    "identity_grad",
    "leaky_relu",
    "leaky_relu_backward",
    "leaky_relu_backward_bias",
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
    "silu",
    "silu_backward",
    "silu_backward_bias",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "softplus_backward_bias",
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
    return _choice().kernels.relu(x, out)


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
    return _choice().kernels.relu_grad(x, out)


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
    return _choice().kernels.relu_backward(dy, y, out)


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
    return _choice().kernels.bias_relu(x, b, out)


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
    return _choice().kernels.relu_backward_bias(dy, y, out, out_bias)


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
    return _choice().kernels.sigmoid(x, out)


def sigmoid_grad(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Derivative of `sigmoid` at x: s(x) s(-x).

    Computed as e^-abs(x) / (1 + e^-abs(x))^2, which keeps its relative accuracy for large abs(x), where
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
    return _choice().kernels.sigmoid_grad(x, out)


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
    return _choice().kernels.sigmoid_backward(dy, y, out)


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
    return _choice().kernels.bias_sigmoid(x, b, out)


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
    return _choice().kernels.sigmoid_backward_bias(dy, y, out, out_bias)


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
    return _choice().kernels.tanh(x, out)


def tanh_grad(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Derivative of `tanh` at x: sech^2 x.

    Computed as 4 s(2x) s(-2x), which does not cancel for large abs(x) as 1 - tanh^2 x does.

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
    return _choice().kernels.tanh_grad(x, out)


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
    return _choice().kernels.tanh_backward(dy, y, out)


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
    return _choice().kernels.bias_tanh(x, b, out)


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
    return _choice().kernels.tanh_backward_bias(dy, y, out, out_bias)


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
    return _choice().kernels.identity(x, out)


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
    return _choice().kernels.identity_grad(x, out)


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
    return _choice().kernels.identity_backward(dy, y, out)


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
    return _choice().kernels.bias_identity(x, b, out)


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
    return _choice().kernels.identity_backward_bias(dy, y, out, out_bias)


def leaky_relu(x: npt.ArrayLike, negative_slope: float = 0.01, out: Array | None = None) -> Array:
    """Leaky rectified linear unit: x where x >= 0, negative_slope x where x < 0.

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.
    negative_slope : float, default 0.01
        Finite; rounded to the type of the computation.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Maas, A. L., Hannun, A. Y., Ng, A. Y. (2013). Rectifier nonlinearities improve neural network
    acoustic models. ICML.

    Examples
    --------
    >>> from ffkernels import leaky_relu
    >>> leaky_relu([-1.0, 0.0, 2.0])
    array([-0.01,  0.  ,  2.  ])
    """
    return _choice().kernels.leaky_relu(x, negative_slope, out)


def leaky_relu_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    negative_slope: float = 0.01,
    out: Array | None = None,
) -> Array:
    """Gradient at the input of `leaky_relu`: dy where x > 0, else negative_slope dy.

    Parameters
    ----------
    dy, x : array_like
        Gradient of the loss at the output, and the input of the forward pass; of one shape.
    negative_slope : float, default 0.01
        Finite; rounded to the type of the computation.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import leaky_relu_backward
    >>> leaky_relu_backward([1.0, 1.0], [-1.0, 2.0])
    array([0.01, 1.  ])
    """
    return _choice().kernels.leaky_relu_backward(dy, x, negative_slope, out)


def bias_leaky_relu(
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    negative_slope: float = 0.01,
    out: Array | None = None,
) -> Array:
    """`leaky_relu` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    negative_slope : float, default 0.01
        Finite; rounded to the type of the computation.
    out : ndarray, optional
        Where to put the result; may be ``x``, which `leaky_relu_backward_bias` needs as it was.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_leaky_relu
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_leaky_relu(z, [0.0, 1.0, 3.0])
    array([[-0.01,  1.  ,  5.  ],
           [-0.03, -0.01,  6.  ]])
    """
    return _choice().kernels.bias_leaky_relu(x, b, negative_slope, out)


def leaky_relu_backward_bias(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    negative_slope: float = 0.01,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """Gradients at the input and at the bias of `bias_leaky_relu`, in one pass.

    dz = dy where x + b > 0, else negative_slope dy; db = dz summed over every axis but
    the last, in float64.

    Parameters
    ----------
    dy : array_like, shape (..., n)
        Gradient of the loss at the output.
    x, b : array_like, shape (..., n) and (n,)
        What `bias_leaky_relu` was given.
    negative_slope : float, default 0.01
        Finite; rounded to the type of the computation.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``x``.
    out_bias : ndarray, shape (n,), optional
        Where to put db; may be ``b``.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the widest dtype of ``dy``, ``x`` and ``b``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import leaky_relu_backward_bias
    >>> dz, db = leaky_relu_backward_bias(np.ones((2, 2)), [[-1.0, 0.5], [2.0, 0.5]], [0.0, -1.0])
    >>> dz
    array([[0.01, 0.01],
           [1.  , 0.01]])
    >>> db
    array([1.01, 0.02])
    """
    return _choice().kernels.leaky_relu_backward_bias(dy, x, b, negative_slope, out, out_bias)


def elu(x: npt.ArrayLike, alpha: float = 1.0, out: Array | None = None) -> Array:
    """Exponential linear unit: x where x > 0, alpha (e^x - 1) elsewhere.

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.
    alpha : float, default 1.0
        Finite; rounded to the type of the computation.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Clevert, D.-A., Unterthiner, T., Hochreiter, S. (2016). Fast and accurate deep network learning by
    exponential linear units. ICLR.

    Examples
    --------
    >>> from ffkernels import elu
    >>> elu([-1.0, 0.0, 2.0])
    array([-0.63212056,  0.        ,  2.        ])
    """
    return _choice().kernels.elu(x, alpha, out)


def elu_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    alpha: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Gradient at the input of `elu`: dy where x > 0, dy alpha e^x elsewhere.

    Parameters
    ----------
    dy, x : array_like
        Gradient of the loss at the output, and the input of the forward pass; of one shape.
    alpha : float, default 1.0
        Finite; rounded to the type of the computation.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import elu_backward
    >>> elu_backward([1.0, 1.0], [-1.0, 2.0])
    array([0.36787944, 1.        ])
    """
    return _choice().kernels.elu_backward(dy, x, alpha, out)


def bias_elu(
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    alpha: float = 1.0,
    out: Array | None = None,
) -> Array:
    """`elu` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    alpha : float, default 1.0
        Finite; rounded to the type of the computation.
    out : ndarray, optional
        Where to put the result; may be ``x``, which `elu_backward_bias` needs as it was.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_elu
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_elu(z, [0.0, 1.0, 3.0])
    array([[-0.63212056,  1.        ,  5.        ],
           [-0.95021293, -0.63212056,  6.        ]])
    """
    return _choice().kernels.bias_elu(x, b, alpha, out)


def elu_backward_bias(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    alpha: float = 1.0,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """Gradients at the input and at the bias of `bias_elu`, in one pass.

    dz = dy where x + b > 0, dy alpha e^(x + b) elsewhere; db = dz summed over every axis but the last,
    in float64.

    Parameters
    ----------
    dy : array_like, shape (..., n)
        Gradient of the loss at the output.
    x, b : array_like, shape (..., n) and (n,)
        What `bias_elu` was given.
    alpha : float, default 1.0
        Finite; rounded to the type of the computation.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``x``.
    out_bias : ndarray, shape (n,), optional
        Where to put db; may be ``b``.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the widest dtype of ``dy``, ``x`` and ``b``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import elu_backward_bias
    >>> dz, db = elu_backward_bias(np.ones((2, 2)), [[-1.0, 0.5], [2.0, 0.5]], [0.0, -1.0])
    >>> dz
    array([[0.36787944, 0.60653066],
           [1.        , 0.60653066]])
    >>> db
    array([1.36787944, 1.21306132])
    """
    return _choice().kernels.elu_backward_bias(dy, x, b, alpha, out, out_bias)


def hard_sigmoid(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Piecewise linear sigmoid: x / 6 + 1/2, 0 where x <= -3 and 1 where x >= 3.

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
    Howard, A., et al. (2019). Searching for MobileNetV3. ICCV, section 5.2.

    Examples
    --------
    >>> from ffkernels import hard_sigmoid
    >>> hard_sigmoid([-1.0, 0.0, 2.0])
    array([0.33333333, 0.5       , 0.83333333])
    """
    return _choice().kernels.hard_sigmoid(x, out)


def hard_sigmoid_backward(dy: npt.ArrayLike, x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Gradient at the input of `hard_sigmoid`: dy / 6 where -3 < x < 3, else 0.

    Parameters
    ----------
    dy, x : array_like
        Gradient of the loss at the output, and the input of the forward pass; of one shape.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import hard_sigmoid_backward
    >>> hard_sigmoid_backward([1.0, 1.0], [-1.0, 2.0])
    array([0.16666667, 0.16666667])
    """
    return _choice().kernels.hard_sigmoid_backward(dy, x, out)


def bias_hard_sigmoid(x: npt.ArrayLike, b: npt.ArrayLike, out: Array | None = None) -> Array:
    """`hard_sigmoid` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    out : ndarray, optional
        Where to put the result; may be ``x``, which `hard_sigmoid_backward_bias` needs as it was.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_hard_sigmoid
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_hard_sigmoid(z, [0.0, 1.0, 3.0])
    array([[0.33333333, 0.66666667, 1.        ],
           [0.        , 0.33333333, 1.        ]])
    """
    return _choice().kernels.bias_hard_sigmoid(x, b, out)


def hard_sigmoid_backward_bias(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """Gradients at the input and at the bias of `bias_hard_sigmoid`, in one pass.

    dz = dy / 6 where -3 < x + b < 3, else 0; db = dz summed over every axis but
    the last, in float64.

    Parameters
    ----------
    dy : array_like, shape (..., n)
        Gradient of the loss at the output.
    x, b : array_like, shape (..., n) and (n,)
        What `bias_hard_sigmoid` was given.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``x``.
    out_bias : ndarray, shape (n,), optional
        Where to put db; may be ``b``.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the widest dtype of ``dy``, ``x`` and ``b``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import hard_sigmoid_backward_bias
    >>> dz, db = hard_sigmoid_backward_bias(np.ones((2, 2)), [[-1.0, 0.5], [2.0, 0.5]], [0.0, -1.0])
    >>> dz
    array([[0.16666667, 0.16666667],
           [0.16666667, 0.16666667]])
    >>> db
    array([0.33333333, 0.33333333])
    """
    return _choice().kernels.hard_sigmoid_backward_bias(dy, x, b, out, out_bias)


def softplus(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Softplus, a smooth `relu`: log(1 + e^x).

    Computed as max(x, 0) + log1p(e^-abs(x)): nothing overflows, and large negative x keep their digits.

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
    Dugas, C., Bengio, Y., Belisle, F., Nadeau, C., Garcia, R. (2001). Incorporating second-order
    functional knowledge for better option pricing. NIPS.

    Examples
    --------
    >>> from ffkernels import softplus
    >>> softplus([-1.0, 0.0, 2.0])
    array([0.31326169, 0.69314718, 2.12692801])
    """
    return _choice().kernels.softplus(x, out)


def softplus_backward(dy: npt.ArrayLike, x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Gradient at the input of `softplus`: dy s(x), s the sigmoid.

    Parameters
    ----------
    dy, x : array_like
        Gradient of the loss at the output, and the input of the forward pass; of one shape.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import softplus_backward
    >>> softplus_backward([1.0, 1.0], [-1.0, 2.0])
    array([0.26894142, 0.88079708])
    """
    return _choice().kernels.softplus_backward(dy, x, out)


def bias_softplus(x: npt.ArrayLike, b: npt.ArrayLike, out: Array | None = None) -> Array:
    """`softplus` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    out : ndarray, optional
        Where to put the result; may be ``x``, which `softplus_backward_bias` needs as it was.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_softplus
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_softplus(z, [0.0, 1.0, 3.0])
    array([[0.31326169, 1.31326169, 5.00671535],
           [0.04858735, 0.31326169, 6.00247569]])
    """
    return _choice().kernels.bias_softplus(x, b, out)


def softplus_backward_bias(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """Gradients at the input and at the bias of `bias_softplus`, in one pass.

    dz = dy s(x + b), s the sigmoid; db = dz summed over every axis but
    the last, in float64.

    Parameters
    ----------
    dy : array_like, shape (..., n)
        Gradient of the loss at the output.
    x, b : array_like, shape (..., n) and (n,)
        What `bias_softplus` was given.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``x``.
    out_bias : ndarray, shape (n,), optional
        Where to put db; may be ``b``.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the widest dtype of ``dy``, ``x`` and ``b``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import softplus_backward_bias
    >>> dz, db = softplus_backward_bias(np.ones((2, 2)), [[-1.0, 0.5], [2.0, 0.5]], [0.0, -1.0])
    >>> dz
    array([[0.26894142, 0.37754067],
           [0.88079708, 0.37754067]])
    >>> db
    array([1.1497385 , 0.75508134])
    """
    return _choice().kernels.softplus_backward_bias(dy, x, b, out, out_bias)


def silu(x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Sigmoid-weighted linear unit, also called swish: x s(x) with s(x) = 1 / (1 + e^-x).

    At -inf it is the limit, -0.0.

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
    Elfwing, S., Uchibe, E., Doya, K. (2018). Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning. Neural Networks 107.

    Examples
    --------
    >>> from ffkernels import silu
    >>> silu([-1.0, 0.0, 2.0])
    array([-0.26894142,  0.        ,  1.76159416])
    """
    return _choice().kernels.silu(x, out)


def silu_backward(dy: npt.ArrayLike, x: npt.ArrayLike, out: Array | None = None) -> Array:
    """Gradient at the input of `silu`: dy (s(x) + x s(x) s(-x)), s the sigmoid.

    Parameters
    ----------
    dy, x : array_like
        Gradient of the loss at the output, and the input of the forward pass; of one shape.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import silu_backward
    >>> silu_backward([1.0, 1.0], [-1.0, 2.0])
    array([0.07232949, 1.09078425])
    """
    return _choice().kernels.silu_backward(dy, x, out)


def bias_silu(x: npt.ArrayLike, b: npt.ArrayLike, out: Array | None = None) -> Array:
    """`silu` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    out : ndarray, optional
        Where to put the result; may be ``x``, which `silu_backward_bias` needs as it was.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_silu
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_silu(z, [0.0, 1.0, 3.0])
    array([[-0.26894142,  0.73105858,  4.96653575],
           [-0.14227762, -0.26894142,  5.98516426]])
    """
    return _choice().kernels.bias_silu(x, b, out)


def silu_backward_bias(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """Gradients at the input and at the bias of `bias_silu`, in one pass.

    dz = dy (s(z) + z s(z) s(-z)) with z = x + b, s the sigmoid; db = dz summed over every axis but
    the last, in float64.

    Parameters
    ----------
    dy : array_like, shape (..., n)
        Gradient of the loss at the output.
    x, b : array_like, shape (..., n) and (n,)
        What `bias_silu` was given.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``x``.
    out_bias : ndarray, shape (n,), optional
        Where to put db; may be ``b``.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the widest dtype of ``dy``, ``x`` and ``b``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import silu_backward_bias
    >>> dz, db = silu_backward_bias(np.ones((2, 2)), [[-1.0, 0.5], [2.0, 0.5]], [0.0, -1.0])
    >>> dz
    array([[0.07232949, 0.26003881],
           [1.09078425, 0.26003881]])
    >>> db
    array([1.16311374, 0.52007763])
    """
    return _choice().kernels.silu_backward_bias(dy, x, b, out, out_bias)


def gelu(
    x: npt.ArrayLike, approximate: Literal["none", "tanh"] = "none", out: Array | None = None
) -> Array:
    """Gaussian error linear unit: x Phi(x), Phi the distribution function of a normal variable.

    Computed as max(x, 0) - abs(x) erfc(abs(x) / sqrt 2) / 2, so that large negative x keep their digits;
    at -inf it is the limit, -0.0.

    Parameters
    ----------
    x : array_like
        Real numbers, of any shape.
    approximate : {"none", "tanh"}, default "none"
        "tanh" for x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, which nets were trained with.
    out : ndarray, optional
        Where to put the result; may be ``x``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``x``; float64 for integers and bools.

    References
    ----------
    Hendrycks, D., Gimpel, K. (2016). Gaussian error linear units (GELUs). arXiv:1606.08415.

    Examples
    --------
    >>> from ffkernels import gelu
    >>> gelu([-1.0, 0.0, 2.0])
    array([-0.15865525,  0.        ,  1.95449974])
    """
    return _choice().kernels.gelu(x, approximate, out)


def gelu_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    approximate: Literal["none", "tanh"] = "none",
    out: Array | None = None,
) -> Array:
    """Gradient at the input of `gelu`: dy (Phi(x) + x phi(x)), or that of the form by tanh.

    Phi is the distribution function of a normal variable, phi its density.

    Parameters
    ----------
    dy, x : array_like
        Gradient of the loss at the output, and the input of the forward pass; of one shape.
    approximate : {"none", "tanh"}, default "none"
        "tanh" for x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, which nets were trained with.
    out : ndarray, optional
        Where to put the result; may be ``dy`` or ``x``.

    Returns
    -------
    ndarray
        Of the shape of ``dy``, in the wider dtype of ``dy`` and ``x``; float64 for integers and bools.

    Examples
    --------
    >>> from ffkernels import gelu_backward
    >>> gelu_backward([1.0, 1.0], [-1.0, 2.0])
    array([-0.08331547,  1.0852318 ])
    """
    return _choice().kernels.gelu_backward(dy, x, approximate, out)


def bias_gelu(
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    approximate: Literal["none", "tanh"] = "none",
    out: Array | None = None,
) -> Array:
    """`gelu` of x + b, in one pass; with ``out=x`` in place.

    Parameters
    ----------
    x : array_like, shape (..., n)
        What a matrix product left.
    b : array_like, shape (n,)
        The bias, the same for every row.
    approximate : {"none", "tanh"}, default "none"
        "tanh" for x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, which nets were trained with.
    out : ndarray, optional
        Where to put the result; may be ``x``, which `gelu_backward_bias` needs as it was.

    Returns
    -------
    ndarray
        Of the shape of ``x``, in the wider dtype of ``x`` and ``b``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import bias_gelu
    >>> z = np.array([[-1.0, 0.0, 2.0], [-3.0, -2.0, 3.0]])  # x @ W, two rows
    >>> bias_gelu(z, [0.0, 1.0, 3.0])
    array([[-1.58655254e-01,  8.41344746e-01,  4.99999857e+00],
           [-4.04969409e-03, -1.58655254e-01,  5.99999999e+00]])
    """
    return _choice().kernels.bias_gelu(x, b, approximate, out)


def gelu_backward_bias(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    b: npt.ArrayLike,
    approximate: Literal["none", "tanh"] = "none",
    out: Array | None = None,
    out_bias: Array | None = None,
) -> tuple[Array, Array]:
    """Gradients at the input and at the bias of `bias_gelu`, in one pass.

    dz = dy (Phi(z) + z phi(z)) with z = x + b, or that of the form by tanh; db = dz summed over every
    axis but the last, in float64.

    Parameters
    ----------
    dy : array_like, shape (..., n)
        Gradient of the loss at the output.
    x, b : array_like, shape (..., n) and (n,)
        What `bias_gelu` was given.
    approximate : {"none", "tanh"}, default "none"
        "tanh" for x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, which nets were trained with.
    out : ndarray, optional
        Where to put dz; may be ``dy`` or ``x``.
    out_bias : ndarray, shape (n,), optional
        Where to put db; may be ``b``.

    Returns
    -------
    dz : ndarray, shape (..., n)
        In the widest dtype of ``dy``, ``x`` and ``b``; float64 for integers and bools.
    db : ndarray, shape (n,)
        In the same dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import gelu_backward_bias
    >>> dz, db = gelu_backward_bias(np.ones((2, 2)), [[-1.0, 0.5], [2.0, 0.5]], [0.0, -1.0])
    >>> dz
    array([[-0.08331547,  0.13250488],
           [ 1.0852318 ,  0.13250488]])
    >>> db
    array([1.00191633, 0.26500975])
    """
    return _choice().kernels.gelu_backward_bias(dy, x, b, approximate, out, out_bias)


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
    return _choice().kernels.softmax(x, axis, out)


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
    return _choice().kernels.softmax_backward(dy, y, axis, out)


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
    return _choice().kernels.log_softmax(x, axis, out)


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
    return _choice().kernels.log_softmax_backward(dy, y, axis, out)


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
    return _choice().kernels.logsumexp(x, axis, keepdims, out)
