"""Cross-entropy of a linear layer with many classes, whose logits never exist as a whole.

The logits x·w + b of a large vocabulary are the largest array of a net, and are needed for a moment
only.  What the options mean, and what is refused, is as for `ffkernels.softmax_cross_entropy`; how the
logits are made in blocks stands in `_linear`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _arguments, _linear, _shards
from ._arguments import Array
from ._linear import CHUNK_BYTES as CHUNK_BYTES  # from how many bytes of logits on it pays

__all__ = ["linear_cross_entropy", "linear_cross_entropy_with_grad", "merge_logsumexp"]


def __dir__() -> list[str]:
    return __all__


def _checked(
    x: Any, w: Any, targets: Any, b: Any, weight: Any, ignore_index: Any, label_smoothing: Any,
    sample_weight: Any, reduction: Any, chunk_bytes: Any,
) -> tuple[_linear.Layer, _arguments.Loss, int]:  # fmt: skip
    layer, chunk_bytes = _linear.check_layer(x, w, b), _linear.check_chunk_bytes(chunk_bytes)
    loss = _arguments.check_class_loss(
        "logits", layer.scores(), targets, -1, weight, ignore_index, label_smoothing, reduction,
        sample_weight,
    )  # fmt: skip
    return layer, loss, chunk_bytes


def _run(layer: _linear.Layer, loss: _arguments.Loss, chunk_bytes: int, grads: Any) -> Any:
    """Return the loss; put the gradients where there is memory for them."""
    classes = layer.w.shape[1]
    shard = _shards.shard(loss, 0, classes)
    factor = _shards.factor(shard, loss.reduction, _shards.counted(shard))
    losses = _linear.run(layer, shard, grads, factor, chunk_bytes, classes)
    return _linear.reduced(losses, loss.reduction, factor, layer.work)


def linear_cross_entropy(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    targets: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    *,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    chunk_bytes: int | None = None,
) -> Any:
    """`softmax_cross_entropy` of x·w + b, without the N x C logits: they are made block by block.

    Parameters
    ----------
    x : array_like, shape (N, D)
        Inputs of the last layer, of any strides.
    w : array_like, shape (D, C)
        Its weights, of the dtype of ``x``.  What is kept as (C, D) is given as its transpose, which is
        not copied; where neither rows nor columns are contiguous, blocks of it are.
    targets : array_like
        Class indices, of shape (N,), or probabilities, of shape (N, C).
    b : array_like, shape (C,), optional
        Its bias, of the dtype of ``x``.
    weight, ignore_index, label_smoothing, sample_weight, reduction
        As `softmax_cross_entropy` takes them: one ``weight`` a class, one ``sample_weight`` a row.  Of
        rows that do not count nothing is computed.
    chunk_bytes : int, optional
        Working memory, 32 MiB unless told otherwise.

    Returns
    -------
    scalar or ndarray
        In the dtype of ``x``: float64 for integers and bools, float32 for float16 and bfloat16.
        With ``reduction="none"`` an array, one loss a row.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range, no features or no classes; the message names the
        argument.

    See Also
    --------
    linear_cross_entropy_with_grad : with the gradients at x, w and b.
    softmax_cross_entropy : of logits that are there.
    ffkernels.distributed.linear_cross_entropy_with_grad : of classes that ranks of MPI share.

    Notes
    -----
    NumPy's BLAS makes the products.  float16 and bfloat16 are converted to float32 block by block.

    References
    ----------
    Wijmans, E., Huval, B., Hertzberg, A., Koltun, V., Kraehenbuehl, P. (2024). Cut your losses in
    large-vocabulary language models. arXiv:2411.09009.
    Weights and smoothing are defined as in PyTorch's ``torch.nn.CrossEntropyLoss``.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import linear_cross_entropy, softmax_cross_entropy
    >>> rng = np.random.default_rng(0)
    >>> x, w, t = rng.normal(size=(5, 8)), rng.normal(size=(8, 1000)), [17, 4, -1, 999, 0]
    >>> loss = linear_cross_entropy(x, w, t, ignore_index=-1)
    >>> float((loss - softmax_cross_entropy(x @ w, t, ignore_index=-1)).round(12))
    0.0
    >>> embedding = w.T.copy()  # kept class by class
    >>> losses = linear_cross_entropy(x, embedding.T, t, ignore_index=-1, reduction="none")
    >>> float((losses.sum() / 4 - loss).round(12)), float(losses[2])
    (0.0, 0.0)
    """
    call = _checked(
        x, w, targets, b, weight, ignore_index, label_smoothing, sample_weight, reduction, chunk_bytes
    )
    return _run(*call, None)


def linear_cross_entropy_with_grad(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    targets: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    *,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    chunk_bytes: int | None = None,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> tuple[Any, tuple[Array, Array, Array | None]]:
    """`linear_cross_entropy` and its gradients at x, w and b, in the time of the three products.

    With dz = softmax(x·w + b) - targets, in blocks: dx = dz·wᵀ, dw = xᵀ·dz, db = Σ dz.  Nothing is left
    out because it is small.  With ``reduction="none"`` they are those of the losses' sum.

    Parameters
    ----------
    x, w, targets, b, weight, ignore_index, label_smoothing, sample_weight, reduction, chunk_bytes
        As `linear_cross_entropy` takes them.  Rows that do not count have a gradient of exactly 0, and
        add nothing to those at ``w`` and ``b``; ``chunk_bytes`` is beside the gradients.
    out : tuple (dx, dw, db) of ndarray, optional
        Where to put the gradients; None for one to be made, and for that of no ``b``.  None may overlap
        another or an argument.

    Returns
    -------
    loss : scalar or ndarray
        As `linear_cross_entropy` returns it.
    dx, dw, db : tuple of ndarray
        Of the shapes and dtype of ``x``, ``w`` and ``b``; float64 for integers and bools.  That of no
        ``b`` is None.  Without ``out`` they lie as ``x`` and ``w`` do: dw of a transpose is a transpose.

    Raises
    ------
    IndexError
        For a class index out of range, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range, no features or no classes; the message names the
        argument.

    See Also
    --------
    linear_cross_entropy : the loss alone; its docstring has the options and the source.

    Notes
    -----
    Of float16 and bfloat16 each gradient is rounded once; dx is added up in float32, which takes 4 N D
    bytes more, and logits that do not fit into ``chunk_bytes`` are made twice.

    Rows beyond those whose logits fit cost time, for products of few rows are slow: docs/
    large-vocabularies.md has the curve.  The logits of D rows lie in the memory of dw meanwhile.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import linear_cross_entropy_with_grad, softmax_cross_entropy_with_grad
    >>> rng = np.random.default_rng(0)
    >>> x, w, b, t = rng.normal(size=(5, 8)), rng.normal(size=(8, 1000)), np.zeros(1000), np.arange(5)
    >>> loss, (dx, dw, db) = linear_cross_entropy_with_grad(x, w, t, b)
    >>> _, dz = softmax_cross_entropy_with_grad(x @ w + b, t)
    >>> np.allclose(dx, dz @ w.T), np.allclose(dw, x.T @ dz), np.allclose(db, dz.sum(axis=0))
    (True, True, True)
    >>> again, grads = linear_cross_entropy_with_grad(x, w, t, b, out=(dx, dw, db))
    >>> grads[1] is dw
    True
    """
    call = _checked(
        x, w, targets, b, weight, ignore_index, label_smoothing, sample_weight, reduction, chunk_bytes
    )
    inputs = {"x": x, "w": w, "b": b, "targets": targets, "weight": weight}
    inputs["sample_weight"] = sample_weight
    grads, results = _linear.memory_for(call[0], out, inputs)
    loss = _run(*call, grads)
    return loss, _linear.delivered(grads, results)


def merge_logsumexp(
    m1: npt.ArrayLike, s1: npt.ArrayLike, m2: npt.ArrayLike, s2: npt.ArrayLike
) -> tuple[Any, Any]:
    """Put together what two blocks of classes say of the same rows: the step of an online softmax.

    Of its classes a block keeps m, the largest logit, and s, the sum of e^(x - m) over all others:
    without the leading term, which is 1, so that a confident row keeps the digits of what it has left.
    Then logsumexp(x) = m + log1p(s), and with M = max(m1, m2), where m1 ≥ m2

    s = s1 + e^(m2 - M) (1 + s2),

    else the other way round.  A block of no classes has m = -inf and s = 0, with which to begin.

    Parameters
    ----------
    m1, m2 : array_like, any one shape
        Maxima of the blocks, a number for each row.
    s1, s2 : array_like, of the same shape
        Their sums of e^(x - m) without the leading term.

    Returns
    -------
    m, s : scalar or ndarray
        Those of both together, in the widest dtype of the four; NaN where one is NaN.

    Raises
    ------
    TypeError, ValueError
        If one is not real, or of another shape.

    References
    ----------
    Milakov, M., Gimelshein, N. (2018). Online normalizer calculation for softmax. arXiv:1805.02867.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import logsumexp, merge_logsumexp
    >>> x = np.random.default_rng(0).normal(size=(3, 10))
    >>> m, s = np.full(3, -np.inf), np.zeros(3)
    >>> for block in (x[:, :4], x[:, 4:]):
    ...     top = block.max(axis=1)
    ...     rest = np.exp(block - top[:, None]).sum(axis=1) - 1  # exact enough where it is not small
    ...     m, s = merge_logsumexp(m, s, top, rest)
    >>> np.allclose(m + np.log1p(s), logsumexp(x))
    True
    """
    names = ("m1", "s1", "m2", "s2")
    (m1, s1, m2, s2), _, dtype = _arguments.check_together(names, (m1, s1, m2, s2))
    m = np.maximum(m1, m2, dtype=np.float64)
    own = np.zeros((_shards.STATISTICS, 2, *m.shape))
    for block, (maximum, excess) in enumerate(((m1, s1), (m2, s2))):
        own[_shards.MAXIMUM, block] = maximum
        own[_shards.EXCESS, block] = np.where(maximum == -np.inf, -1, excess)
    s = _shards.merged(_shards.shares(own, m, soft=False).sum(1), m)[_shards.EXCESS]
    with np.errstate(over="ignore"):
        m, s = m.astype(dtype), np.where(m == -np.inf, 0, s).astype(dtype)
    return m[()], s[()]
