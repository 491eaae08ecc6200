"""Cross-entropy of a linear layer whose classes are shared out over ranks."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _arguments, _blas, _linear, _shards
from .. import backend as _backend
from .._arguments import MEAN, Array
from . import _cross_entropy
from ._agreement import agree, check_communicator, refuse

NAME = "linear_cross_entropy_with_grad"


def linear_cross_entropy_with_grad(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    targets: npt.ArrayLike,
    b: npt.ArrayLike | None = None,
    *,
    comm: Any,
    first_class: int | None = None,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    chunk_bytes: int | None = None,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> tuple[Any, tuple[Array, Array, Array | None]]:
    """Cross-entropy of x·w + b, of whose classes each rank holds some, and its gradients.

    The same as `ffkernels.linear_cross_entropy_with_grad` of all columns of w side by side, and as there
    no rank has all logits of its classes at once. What travels of each row is a maximum, then four sums,
    or five with label smoothing or with probabilities as targets; in the end its gradient at x, to which
    every rank's classes add.

    All ranks of ``comm`` call it together. The loss and dx are the same on every rank, bit for bit.

    Parameters
    ----------
    x : array_like, shape (N, D)
        Inputs of the layer, the same on every rank.
    w : array_like, shape (D, C_rank)
        Weights of this rank's classes, of the dtype of ``x``: rank 0 has the first classes, rank 1
        those that follow, and so on. Their number may differ, and be 0. What is kept as (C_rank, D) is
        given as its transpose, which is not copied.
    targets : array_like
        Class indices, of shape (N,): numbers among the classes of all ranks, the same on every rank. Or,
        of shape (N, C_rank), the probabilities of this rank's classes.
    b : array_like, shape (C_rank,), optional
        Biases of this rank's classes, of the dtype of ``x``. On all ranks or on none.
    comm : mpi4py.MPI.Intracomm
        The ranks that hold the classes.
    first_class : int, optional
        The number of this rank's first class among all, to have it checked: it follows from how many
        classes the ranks before hold.
    weight : array_like, shape (C_rank,), optional
        Weight of each of this rank's classes; finite, at least 0. On all ranks or on none.
    ignore_index, label_smoothing, sample_weight, reduction, chunk_bytes
        As `ffkernels.linear_cross_entropy` takes them, the same on every rank; smoothing spreads over
        the classes of all ranks, ``chunk_bytes`` is the working memory of each.
    out : tuple (dx, dw, db) of ndarray, optional
        As `ffkernels.linear_cross_entropy_with_grad` takes it.

    Returns
    -------
    loss : scalar or ndarray
        Of whole rows, as `ffkernels.linear_cross_entropy` returns it.
    dx, dw, db : tuple of ndarray
        The gradient at x, summed over ranks, and those at this rank's w and b, of their shapes and
        dtype; float64 for integers and bools. That of no ``b`` is None.

    Raises
    ------
    IndexError
        For a class index that is no class of any rank, with the first bad position and value.
    TypeError, ValueError
        For arguments of the wrong type, shape or range, and for ranks that disagree on shape, dtype,
        options or class indices. What one rank refuses every rank refuses, with the same message,
        before anything large is exchanged and before anything is written.

    See Also
    --------
    ffkernels.linear_cross_entropy_with_grad : of a layer that one process has.

    References
    ----------
    Shoeybi, M., et al. (2019). Megatron-LM: Training multi-billion parameter language models using
    model parallelism, section 3. arXiv:1909.08053.
    Wijmans, E., Huval, B., Hertzberg, A., Koltun, V., Kraehenbuehl, P. (2024). Cut your losses in
    large-vocabulary language models. arXiv:2411.09009.

    Examples
    --------
    Each of two ranks would hold half of the classes, with ``mpiexec -n 2``; a single one holds all:

    >>> import numpy as np
    >>> from mpi4py import MPI
    >>> import ffkernels
    >>> from ffkernels.distributed import linear_cross_entropy_with_grad
    >>> comm = MPI.COMM_SELF
    >>> rng = np.random.default_rng(0)
    >>> x, every_class, t = rng.normal(size=(5, 8)), rng.normal(size=(8, 1000)), [17, 4, 500, 999, 0]
    >>> w = np.array_split(every_class, comm.size, axis=1)[comm.rank]
    >>> loss, (dx, dw, db) = linear_cross_entropy_with_grad(x, w, t, comm=comm)
    >>> same, (dx_alone, *_) = ffkernels.linear_cross_entropy_with_grad(x, every_class, t)
    >>> np.allclose(loss, same), np.allclose(dx, dx_alone), dw.shape == w.shape, db
    (True, True, True, None)
    """
    check_communicator(comm)
    try:
        layer, chunk_bytes = _linear.check_layer(x, w, b, 0), _linear.check_chunk_bytes(chunk_bytes)
        call = _arguments.loss_of_some_classes(
            "logits", layer.scores(), targets, -1, weight, ignore_index, label_smoothing, reduction,
            sample_weight,
        )  # fmt: skip
        first = _cross_entropy.checked_first(first_class)
        if _blas.is_copied(layer.x):  # then it is on no rank, and as many rows are taken at a time
            layer = layer._replace(x=layer.x.copy("C"))
        inputs = {"x": x, "w": w, "b": b, "targets": targets, "weight": weight}
        inputs["sample_weight"] = sample_weight
        grads, results = _linear.memory_for(layer, out, inputs)
    except Exception as error:
        refuse(comm, error)
    alike = {
        "dtype of x": layer.x.dtype,
        "shape of x": layer.x.shape,
        "b": "none" if b is None else "an array",
    }
    alike |= _cross_entropy.alike(call)
    # On which depends how many rows are taken at a time.
    alike |= {"chunk_bytes": chunk_bytes, "backend": _backend.get_backend()}
    ranks = agree(comm, NAME, alike, (layer.w.shape[1], first))
    first, classes, most = _cross_entropy.place(ranks, comm.rank)
    if call.indices is not None:
        _arguments.refuse_index(call.indices, classes, call.ignore_index)
    everyone = _shards.Everyone(
        lambda own: _cross_entropy.largest(comm, own), lambda own: _total(comm, own)
    )
    shard = _shards.shard(call, first, classes)
    weights = _shards.counted(shard)
    if call.weight is not None and call.indices is not None and call.reduction == MEAN:
        (weights,) = _total(comm, np.array([weights]))
    factor = _shards.factor(shard, call.reduction, weights)
    losses = _linear.run(layer, shard, grads, factor, chunk_bytes, max(most, 1), everyone)
    _add_up(comm, grads.dx)
    loss = np.array(_linear.reduced(losses, call.reduction, factor, layer.work))
    comm.Bcast(loss)
    return loss[()], _linear.delivered(grads, results)


def _total(comm: Any, own: Array) -> Array:
    """The sum over ranks of each number, the same on all of them."""
    _cross_entropy.reduce(comm, own)
    comm.Bcast(own)
    return own


def _add_up(comm: Any, array: Array) -> None:
    """The same of many numbers, in place: each is added up on one rank, which tells the others."""
    if comm.size == 1:
        return
    flat = np.ascontiguousarray(array).reshape(-1)
    counts = [len(part) for part in np.array_split(np.empty(flat.size, bool), comm.size)]
    own = np.empty(counts[comm.rank], flat.dtype)
    comm.Reduce_scatter(flat, own, counts)
    comm.Allgatherv(own, [flat, counts])
    if not np.may_share_memory(flat, array):
        array[...] = flat.reshape(array.shape)
