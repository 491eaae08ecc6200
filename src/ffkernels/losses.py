"""Losses, each with a form that returns the gradient in the same pass and one that goes backward.

``loss(...)`` is the value, ``loss_with_grad(...)`` value and gradient in one pass, and
``loss_backward(..., dloss)`` the gradient from what a forward pass saved.  Arrays come first; every
option is passed by name.  ``out`` receives the gradient, or for a plain loss the value.  It may be
exactly the array the gradient derives from.  Strides and refusals are those of `ffkernels.activations`.

Targets are class indices (integers, of the input's shape less ``axis``) or probabilities (of the full
shape; one-hot rows, integers and bools included).  They are told apart by dimension and type, never
by size, which misleads with one class or one sample.  An index outside [0, C) raises IndexError with
its position; negative ones never wrap.

Reductions: ``"mean"``, ``"sum"``, or ``"none"`` for the loss of each row.  The mean over class indices
divides by the summed class weights of the rows that count, over probabilities by the number of rows.
With nothing to divide by (an empty batch, every row ignored) loss and gradient are 0, where PyTorch
gives NaN.

``sample_weight`` multiplies the loss of each row, and a mean divides by its sum: the weighted average,
as scikit-learn's metrics have it.  With class weights it divides by the sum of the products of both.  A
weight of 0 leaves the row out, NaN and all, where a product would be NaN; its class index has to be in
range all the same (``ignore_index`` is for one that is not).  Negative weights, which scikit-learn's
metrics let pass, are refused.

A gradient has the dtype of what it is taken at; integers and bools count as float64.  So has a loss,
but that of float16 and bfloat16 comes in float32.  The dtype of class targets and weights plays no part.
Sums are in float64.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy.typing as npt

from ._context import choice as _choice

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_backward",
    "sigmoid_cross_entropy_with_grad",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_with_grad",
    "sum_squared_error",
    "sum_squared_error_backward",
    "sum_squared_error_with_grad",
]


def __dir__() -> list[str]:
    return __all__


Array = npt.NDArray[Any]


def softmax_cross_entropy(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    axis: int = -1,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> Any:
    """Cross-entropy of the softmax of logits: -sum_c w_c t_c log softmax(logits)_c, a row.

    Computed from the logits, never through the logarithm of a rounded probability and without adding
    a small number inside it, which would be a bias: a confident row keeps its digits.  A target on a
    logit of -inf has loss +inf and a finite gradient.

    Parameters
    ----------
    logits : array_like, shape (..., C, ...)
        Scores; -inf is a masked class.
    targets : array_like
        Class indices, of the shape of ``logits`` less ``axis``, or probabilities of its full shape.
    axis : int
        The axis of the classes.
    weight : array_like, shape (C,), optional
        Weight of each class, not of each row; finite, at least 0.
    ignore_index : int, optional
        Class index of rows that do not count: loss and gradient are exactly 0 whatever the logits.
    label_smoothing : float in [0, 1]
        Share of each target spread evenly over the classes (Szegedy et al., 2016).
    sample_weight : array_like, shape of the class indices, optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever the logits.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by their number, or by the sum of
        ``sample_weight``; for class indices by the summed weights, that of the row times that of its
        class, of the rows that are not ignored. ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the loss.

    Returns
    -------
    scalar or ndarray
        In the dtype of ``logits``: float64 for integers and bools, float32 for float16 and bfloat16.
        With ``reduction="none"`` an array, one loss a row.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    References
    ----------
    Goodfellow, I., Bengio, Y., Courville, A. (2016). Deep Learning, section 6.2.2.3. MIT Press.
    Szegedy, C., et al. (2016). Rethinking the Inception architecture for computer vision. CVPR.
    Weights and smoothing are defined as in PyTorch's ``torch.nn.CrossEntropyLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import softmax_cross_entropy
    >>> logits, targets = np.log([[1.0, 3.0], [3.0, 1.0], [1.0, 1.0]]), [1, 1, 0]
    >>> losses = np.empty(3)
    >>> softmax_cross_entropy(logits, targets, reduction="none", out=losses)  # -log of 3/4, 1/4, 1/2
    array([0.28768207, 1.38629436, 0.69314718])
    >>> float(softmax_cross_entropy(logits, targets, weight=[2.0, 1.0]).round(6))
    0.765068
    >>> float((losses @ [1, 1, 2] / 4).round(6))
    0.765068
    """
    return _choice().kernels.softmax_cross_entropy(
        logits, targets, axis, weight, ignore_index, label_smoothing, sample_weight, reduction, out
    )


def softmax_cross_entropy_with_grad(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    axis: int = -1,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> tuple[Any, Array]:
    """`softmax_cross_entropy` and its gradient, softmax(logits) - targets, in one pass.

    The logits are read once and the gradient is written once; ``out=logits`` works.  The gradient at
    the target is minus the sum of the other probabilities, not p - 1: every row sums to zero within
    rounding of its own size, however confident.  With ``reduction="none"`` it is that of each row's
    own loss.

    Parameters
    ----------
    logits : array_like, shape (..., C, ...)
        Scores; -inf is a masked class, with a gradient of exactly 0.
    targets : array_like
        Class indices, of the shape of ``logits`` less ``axis``, or probabilities of its full shape.
    axis : int
        The axis of the classes.
    weight : array_like, shape (C,), optional
        Weight of each class, not of each row; finite, at least 0.
    ignore_index : int, optional
        Class index of rows that do not count: loss and gradient are exactly 0 whatever the logits.
    label_smoothing : float in [0, 1]
        Share of each target spread evenly over the classes (Szegedy et al., 2016).
    sample_weight : array_like, shape of the class indices, optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever the logits.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by their number, or by the sum of
        ``sample_weight``; for class indices by the summed weights, that of the row times that of its
        class, of the rows that are not ignored. ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the gradient; may be ``logits``.

    Returns
    -------
    loss : scalar or ndarray
        As `softmax_cross_entropy` returns it.
    dlogits : ndarray
        Of the shape and dtype of ``logits``; float64 for integers and bools.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    References
    ----------
    Goodfellow, I., Bengio, Y., Courville, A. (2016). Deep Learning, section 6.2.2.3. MIT Press.
    Szegedy, C., et al. (2016). Rethinking the Inception architecture for computer vision. CVPR.
    Weights and smoothing are defined as in PyTorch's ``torch.nn.CrossEntropyLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import softmax_cross_entropy_with_grad
    >>> logits, targets = np.log([[1.0, 3.0], [3.0, 1.0], [1.0, 1.0]]), [1, 1, 0]
    >>> loss, dlogits = softmax_cross_entropy_with_grad(logits, targets, weight=[2.0, 1.0])
    >>> float(loss.round(6))
    0.765068
    >>> dlogits
    array([[ 0.0625, -0.0625],
           [ 0.1875, -0.1875],
           [-0.25  ,  0.25  ]])
    >>> loss, dlogits = softmax_cross_entropy_with_grad(logits, targets, out=logits)
    >>> dlogits is logits
    True
    """
    return _choice().kernels.softmax_cross_entropy_with_grad(
        logits, targets, axis, weight, ignore_index, label_smoothing, sample_weight, reduction, out
    )


def softmax_cross_entropy_backward(
    probs: npt.ArrayLike,
    targets: npt.ArrayLike,
    dloss: npt.ArrayLike = 1.0,
    *,
    axis: int = -1,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `softmax_cross_entropy` at the logits, from their softmax: dloss (probs - targets).

    Parameters
    ----------
    probs : array_like, shape (..., C, ...)
        What `softmax` returned.
    targets : array_like
        Class indices, of the shape of ``probs`` less ``axis``, or probabilities of its full shape.
    dloss : float or array_like
        Gradient at the loss: a number, or with ``reduction="none"`` one for each row.
    axis : int
        The axis of the classes.
    weight : array_like, shape (C,), optional
        Weight of each class, not of each row; finite, at least 0.
    ignore_index : int, optional
        Class index of rows that do not count: loss and gradient are exactly 0 whatever the logits.
    label_smoothing : float in [0, 1]
        Share of each target spread evenly over the classes (Szegedy et al., 2016).
    sample_weight : array_like, shape of the class indices, optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever the logits.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by their number, or by the sum of
        ``sample_weight``; for class indices by the summed weights, that of the row times that of its
        class, of the rows that are not ignored. ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the gradient; may be ``probs``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``probs``; float64 for integers and bools.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import softmax_cross_entropy_backward
    >>> probs, targets = np.array([[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]]), [1, 1, 0]
    >>> softmax_cross_entropy_backward(probs, targets, weight=[2.0, 1.0])
    array([[ 0.0625, -0.0625],
           [ 0.1875, -0.1875],
           [-0.25  ,  0.25  ]])
    >>> softmax_cross_entropy_backward(probs, targets, [1.0, 0.0, 2.0], reduction="none", out=probs)
    array([[ 0.25, -0.25],
           [ 0.  , -0.  ],
           [-1.  ,  1.  ]])
    """
    return _choice().kernels.softmax_cross_entropy_backward(
        probs, targets, dloss, axis, weight, ignore_index, label_smoothing, sample_weight, reduction, out
    )


def cross_entropy(
    p: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    axis: int = -1,
    eps: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> Any:
    """Cross-entropy of probabilities: -sum_c t_c log max(p_c, eps), a row.

    A term with t_c = 0 is 0 even where p_c is, but NaN where p_c is; class indices look at the target's
    probability alone.  Nothing is added inside the logarithm: the 1e-7 of a well-known book is a bias.
    From logits, prefer `softmax_cross_entropy`.

    Parameters
    ----------
    p : array_like, shape (..., C, ...)
        Probabilities.
    t : array_like
        Class indices, of the shape of ``p`` less ``axis``, or probabilities of its full shape.
    axis : int
        The axis of the classes.
    eps : float in [0, 1]
        Probabilities below it count as it.
    sample_weight : array_like, shape of the class indices, optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever the probabilities.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by their number, or by the sum of
        ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the loss.

    Returns
    -------
    scalar or ndarray
        In the dtype of ``p``: float64 for integers and bools, float32 for float16 and bfloat16.
        With ``reduction="none"`` an array, one loss a row.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import cross_entropy
    >>> p, t = [[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]], [1, 1, 0]
    >>> cross_entropy(p, t, reduction="none", out=np.empty(3))  # -log of 3/4, 1/4, 1/2
    array([0.28768207, 1.38629436, 0.69314718])
    >>> float(cross_entropy(p, t).round(6))
    0.789041
    """
    return _choice().kernels.cross_entropy(p, t, axis, eps, sample_weight, reduction, out)


def cross_entropy_with_grad(
    p: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    axis: int = -1,
    eps: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> tuple[Any, Array]:
    """`cross_entropy` and its gradient, -t / max(p, eps), in one pass.

    The gradient is taken at the clipped probability, so that one of 0 still learns, and is exactly 0
    where t is, unless that probability is NaN.

    Parameters
    ----------
    p : array_like, shape (..., C, ...)
        Probabilities.
    t : array_like
        Class indices, of the shape of ``p`` less ``axis``, or probabilities of its full shape.
    axis : int
        The axis of the classes.
    eps : float in [0, 1]
        Probabilities below it count as it.
    sample_weight : array_like, shape of the class indices, optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever the probabilities.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by their number, or by the sum of
        ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the gradient; may be ``p``.

    Returns
    -------
    loss : scalar or ndarray
        As `cross_entropy` returns it.
    dp : ndarray
        Of the shape and dtype of ``p``; float64 for integers and bools.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import cross_entropy_with_grad
    >>> p, t = np.array([[0.25, 0.75], [0.8, 0.2], [0.5, 0.5]]), [0, 1, 0]
    >>> loss, dp = cross_entropy_with_grad(p, t, reduction="sum", out=p)  # -1 / p at the targets
    >>> float(loss.round(6)), dp is p
    (3.688879, True)
    >>> dp
    array([[-4.,  0.],
           [ 0., -5.],
           [-2.,  0.]])
    """
    return _choice().kernels.cross_entropy_with_grad(p, t, axis, eps, sample_weight, reduction, out)


def cross_entropy_backward(
    p: npt.ArrayLike,
    t: npt.ArrayLike,
    dloss: npt.ArrayLike = 1.0,
    *,
    axis: int = -1,
    eps: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `cross_entropy` at the probabilities: -dloss t / max(p, eps).

    Exactly 0 where t is, unless that probability is NaN.

    Parameters
    ----------
    p : array_like, shape (..., C, ...)
        Probabilities.
    t : array_like
        Class indices, of the shape of ``p`` less ``axis``, or probabilities of its full shape.
    dloss : float or array_like
        Gradient at the loss: a number, or with ``reduction="none"`` one for each row.
    axis : int
        The axis of the classes.
    eps : float in [0, 1]
        Probabilities below it count as it.
    sample_weight : array_like, shape of the class indices, optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever the probabilities.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by their number, or by the sum of
        ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the gradient; may be ``p``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``p``; float64 for integers and bools.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import cross_entropy_backward
    >>> p, t = np.array([[0.25, 0.75], [0.8, 0.2], [0.5, 0.5]]), [0, 1, 0]
    >>> cross_entropy_backward(p, t, [1.0, 2.0, 3.0], reduction="none", out=p)
    array([[ -4.,   0.],
           [  0., -10.],
           [ -6.,   0.]])
    """
    return _choice().kernels.cross_entropy_backward(
        p, t, dloss, axis, eps, sample_weight, reduction, out
    )


def sigmoid_cross_entropy(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    pos_weight: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> Any:
    """Cross-entropy of the sigmoid of logits: -w (p t log s(x) + (1 - t) log(1 - s(x))), an element.

    The binary cross-entropy: for two classes, or many labels of which a row may have any number.
    Computed from the logits, as p t softplus(-x) + (1 - t) softplus(x): a confident element keeps its
    digits, and a target on the wrong side of an infinite logit has loss +inf.

    Parameters
    ----------
    logits : array_like, shape (N, ...)
        Scores of a yes, one for each label of each row; of one dimension, one label a row.
    targets : array_like
        Of exactly the shape of ``logits``: 1 for yes, 0 for no, or the probability of a yes.
    weight : array_like, optional
        Weight of each element; broadcasts to the shape of ``logits``. A mean does not divide by it.
    pos_weight : array_like, optional
        Weight of a yes against a no, as a rule of each label; broadcasts to the shape of ``logits``.
    sample_weight : array_like, shape (N,), optional
        Weight of each row; a mean divides by its sum, so that it is the weighted average.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the elements' losses by their number, or by that of the labels
        times the sum of ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the loss.

    Returns
    -------
    scalar or ndarray
        In the dtype of ``logits``: float64 for integers and bools, float32 for float16 and bfloat16.
        With ``reduction="none"`` an array of the shape of ``logits``.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    Notes
    -----
    All weights have to be finite and at least 0. An element of ``weight`` 0 or in a row of
    ``sample_weight`` 0 has a loss and a gradient of exactly 0, whatever the logit; a mean still counts
    the first.

    References
    ----------
    Goodfellow, I., Bengio, Y., Courville, A. (2016). Deep Learning, section 6.2.2.2. MIT Press.
    ``weight`` and ``pos_weight`` are defined as in PyTorch's ``torch.nn.BCEWithLogitsLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import sigmoid_cross_entropy
    >>> logits, targets = np.log([[3.0, 1.0], [1 / 3, 1.0]]), [[1, 0], [1, 1]]
    >>> losses = np.empty((2, 2))
    >>> sigmoid_cross_entropy(logits, targets, reduction="none", out=losses)  # of 3/4, 1/2, 1/4, 1/2
    array([[0.28768207, 0.69314718],
           [1.38629436, 0.69314718]])
    >>> float(sigmoid_cross_entropy(logits, targets).round(6))
    0.765068
    >>> float(sigmoid_cross_entropy(logits, targets, pos_weight=[2.0, 1.0]).round(6))
    1.183562
    """
    return _choice().kernels.sigmoid_cross_entropy(
        logits, targets, weight, pos_weight, sample_weight, reduction, out
    )


def sigmoid_cross_entropy_with_grad(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    pos_weight: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> tuple[Any, Array]:
    """`sigmoid_cross_entropy` and its gradient, w ((1 - t) s(x) - p t s(-x)), in one pass.

    The logits are read once and the gradient is written once; ``out=logits`` works. At a target of 1 it
    is -w p s(-x), not s(x) - 1: a confident element keeps its digits.

    Parameters
    ----------
    logits : array_like, shape (N, ...)
        Scores of a yes, one for each label of each row; of one dimension, one label a row.
    targets : array_like
        Of exactly the shape of ``logits``: 1 for yes, 0 for no, or the probability of a yes.
    weight : array_like, optional
        Weight of each element; broadcasts to the shape of ``logits``. A mean does not divide by it.
    pos_weight : array_like, optional
        Weight of a yes against a no, as a rule of each label; broadcasts to the shape of ``logits``.
    sample_weight : array_like, shape (N,), optional
        Weight of each row; a mean divides by its sum, so that it is the weighted average.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the elements' losses by their number, or by that of the labels
        times the sum of ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the gradient; may be ``logits``.

    Returns
    -------
    loss : scalar or ndarray
        As `sigmoid_cross_entropy` returns it.
    dlogits : ndarray
        Of the shape and dtype of ``logits``; float64 for integers and bools.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    Notes
    -----
    All weights have to be finite and at least 0. An element of ``weight`` 0 or in a row of
    ``sample_weight`` 0 has a loss and a gradient of exactly 0, whatever the logit; a mean still counts
    the first.

    References
    ----------
    Goodfellow, I., Bengio, Y., Courville, A. (2016). Deep Learning, section 6.2.2.2. MIT Press.
    ``weight`` and ``pos_weight`` are defined as in PyTorch's ``torch.nn.BCEWithLogitsLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import sigmoid_cross_entropy_with_grad
    >>> logits, targets = np.log([[3.0, 1.0], [1 / 3, 1.0]]), [[1, 0], [1, 1]]
    >>> loss, dlogits = sigmoid_cross_entropy_with_grad(logits, targets, reduction="sum", out=logits)
    >>> float(loss.round(6)), dlogits is logits
    (3.060271, True)
    >>> dlogits.round(12)
    array([[-0.25,  0.5 ],
           [-0.75, -0.5 ]])
    >>> loss, dlogits = sigmoid_cross_entropy_with_grad(np.zeros((1, 2)), [[1, 0]], weight=[4.0, 1.0])
    >>> dlogits
    array([[-1.  ,  0.25]])
    """
    return _choice().kernels.sigmoid_cross_entropy_with_grad(
        logits, targets, weight, pos_weight, sample_weight, reduction, out
    )


def sigmoid_cross_entropy_backward(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    dloss: npt.ArrayLike = 1.0,
    *,
    weight: npt.ArrayLike | None = None,
    pos_weight: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `sigmoid_cross_entropy`: dloss w ((1 - t) s(x) - p t s(-x)).

    From the logits, not from their sigmoid: a probability near 1 has lost the digits of what it lacks.

    Parameters
    ----------
    logits : array_like, shape (N, ...)
        Scores of a yes, one for each label of each row; of one dimension, one label a row.
    targets : array_like
        Of exactly the shape of ``logits``: 1 for yes, 0 for no, or the probability of a yes.
    dloss : float or array_like
        Gradient at the loss: a number, or with ``reduction="none"`` one for each element.
    weight : array_like, optional
        Weight of each element; broadcasts to the shape of ``logits``. A mean does not divide by it.
    pos_weight : array_like, optional
        Weight of a yes against a no, as a rule of each label; broadcasts to the shape of ``logits``.
    sample_weight : array_like, shape (N,), optional
        Weight of each row; a mean divides by its sum, so that it is the weighted average.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the elements' losses by their number, or by that of the labels
        times the sum of ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the gradient; may be ``logits``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``logits``; float64 for integers and bools.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong type, shape or range; the message names the argument.

    Notes
    -----
    All weights have to be finite and at least 0. An element of ``weight`` 0 or in a row of
    ``sample_weight`` 0 has a loss and a gradient of exactly 0, whatever the logit; a mean still counts
    the first.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import sigmoid_cross_entropy_backward
    >>> logits, targets = np.zeros((1, 2)), [[1, 0]]
    >>> sigmoid_cross_entropy_backward(logits, targets, [[1.0, 3.0]], reduction="none")
    array([[-0.5,  1.5]])
    >>> sigmoid_cross_entropy_backward(logits, targets, weight=[4.0, 1.0], out=logits)
    array([[-1.  ,  0.25]])
    """
    return _choice().kernels.sigmoid_cross_entropy_backward(
        logits, targets, dloss, weight, pos_weight, sample_weight, reduction, out
    )


def sum_squared_error(
    y: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> Any:
    """Half the sum of squared errors: 1/2 sum (y - t)^2, a row.

    The first axis is the batch, all others are features; one dimension is one sample.

    Parameters
    ----------
    y, t : array_like, shape (N, ...)
        Outputs and targets, of exactly one shape: nothing is broadcast.
    sample_weight : array_like, shape (N,), optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever is in it.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by the number of rows, not of all elements, or by
        the sum of ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the loss.

    Returns
    -------
    scalar or ndarray
        In the wider dtype of ``y`` and ``t``: float64 for integers and bools, float32 for float16 and
        bfloat16.
        With ``reduction="none"`` an array, one loss a row.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import sum_squared_error
    >>> y, t = [[1.0, 2.0], [3.0, 5.0]], [[0.0, 0.0], [3.0, 4.0]]
    >>> sum_squared_error(y, t, reduction="none", out=np.empty(2))
    array([2.5, 0.5])
    >>> float(sum_squared_error(y, t))  # divided by 2 rows, not by 4 numbers
    1.5
    """
    return _choice().kernels.sum_squared_error(y, t, sample_weight, reduction, out)


def sum_squared_error_with_grad(
    y: npt.ArrayLike,
    t: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> tuple[Any, Array]:
    """`sum_squared_error` and its gradient, y - t, in one pass.

    The first axis is the batch, all others are features; one dimension is one sample.

    Parameters
    ----------
    y, t : array_like, shape (N, ...)
        Outputs and targets, of exactly one shape: nothing is broadcast.
    sample_weight : array_like, shape (N,), optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever is in it.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by the number of rows, not of all elements, or by
        the sum of ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the gradient; may be ``y``.

    Returns
    -------
    loss : scalar or ndarray
        As `sum_squared_error` returns it.
    dy : ndarray
        Of the shape of ``y``, in the wider dtype of ``y`` and ``t``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import sum_squared_error_with_grad
    >>> y, t = np.array([[1.0, 2.0], [3.0, 5.0]]), [[0.0, 0.0], [3.0, 4.0]]
    >>> loss, dy = sum_squared_error_with_grad(y, t, out=y)
    >>> float(loss), dy is y
    (1.5, True)
    >>> dy
    array([[0.5, 1. ],
           [0. , 0.5]])
    """
    return _choice().kernels.sum_squared_error_with_grad(y, t, sample_weight, reduction, out)


def sum_squared_error_backward(
    y: npt.ArrayLike,
    t: npt.ArrayLike,
    dloss: npt.ArrayLike = 1.0,
    *,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> Array:
    """Gradient of `sum_squared_error` at y: dloss (y - t).

    The first axis is the batch, all others are features; one dimension is one sample.

    Parameters
    ----------
    y, t : array_like, shape (N, ...)
        Outputs and targets, of exactly one shape: nothing is broadcast.
    dloss : float or array_like
        Gradient at the loss: a number, or with ``reduction="none"`` one for each row.
    sample_weight : array_like, shape (N,), optional
        Weight of each row; finite, at least 0. A row of weight 0 counts no more than if it were not
        there: loss and gradient are exactly 0, whatever is in it.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the rows' losses by the number of rows, not of all elements, or by
        the sum of ``sample_weight``; ``"none"`` keeps them apart.
    out : ndarray, optional
        Where to put the gradient; may be ``y``.

    Returns
    -------
    ndarray
        Of the shape of ``y``, in the wider dtype of ``y`` and ``t``; float64 for integers and bools.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import sum_squared_error_backward
    >>> y, t = np.array([[1.0, 2.0], [3.0, 5.0]]), [[0.0, 0.0], [3.0, 4.0]]
    >>> sum_squared_error_backward(y, t, [2.0, 3.0], reduction="none", out=y)
    array([[2., 4.],
           [0., 3.]])
    """
    return _choice().kernels.sum_squared_error_backward(y, t, dloss, sample_weight, reduction, out)
