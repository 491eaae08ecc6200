"""Cross-entropy of logits whose classes are shared out over ranks."""

from __future__ import annotations

import math
import operator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _arguments, _shards
from .._arguments import NONE, REDUCTIONS, Array
from .._context import choice
from ._agreement import agree, check_communicator, contents, refuse

NAME = "softmax_cross_entropy_with_grad"


def softmax_cross_entropy_with_grad(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    comm: Any,
    first_class: int | None = None,
    weight: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
    out: Array | None = None,
) -> tuple[Any, Array]:
    """Cross-entropy of logits of which each rank holds some classes, and its gradient there.

    The same as `ffkernels.softmax_cross_entropy_with_grad` of all logits side by side: a row costs
    -sum_c w_c t_c log softmax(logits)_c over the classes of all ranks. The logits stay where they are.
    What travels is the maximum of each row, then four sums a row, or five with label smoothing or with
    probabilities as targets. A row that is sure of its target keeps its digits, whichever rank has it.

    All ranks of ``comm`` call it together. The loss is the same on every rank, bit for bit.

    Parameters
    ----------
    logits : array_like, shape (..., C_rank)
        Scores of this rank's classes: rank 0 has the first classes, rank 1 those that follow, and so on.
        Their number may differ, and be 0. -inf is a masked class.
    targets : array_like
        Class indices, of the shape of ``logits`` less its last axis: numbers among the classes of all
        ranks, the same on every rank. Or, of the shape of ``logits``, the probabilities of this rank's
        classes.
    comm : mpi4py.MPI.Intracomm
        The ranks that hold the classes.
    first_class : int, optional
        The number of this rank's first class among all, to have it checked: it follows from how many
        classes the ranks before hold.
    weight : array_like, shape (C_rank,), optional
        Weight of each of this rank's classes; finite, at least 0. On all ranks or on none.
    ignore_index, label_smoothing, sample_weight, reduction
        As `ffkernels.softmax_cross_entropy` takes them, the same on every rank; smoothing spreads over
        the classes of all ranks.
    out : ndarray, optional
        Where to put the gradient; may be ``logits``.

    Returns
    -------
    loss : scalar or ndarray
        Of whole rows, as `ffkernels.softmax_cross_entropy` returns it.
    dlogits : ndarray
        The gradient at this rank's logits, of their shape and dtype; float64 for integers and bools.

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
    ffkernels.softmax_cross_entropy_with_grad : of logits that one process has.

    References
    ----------
    Shoeybi, M., et al. (2019). Megatron-LM: Training multi-billion parameter language models using
    model parallelism, section 3. arXiv:1909.08053.

    Examples
    --------
    Each of two ranks would hold two classes, with ``mpiexec -n 2``; a single one holds all four:

    >>> import numpy as np
    >>> from mpi4py import MPI
    >>> from ffkernels.distributed import softmax_cross_entropy_with_grad
    >>> comm = MPI.COMM_SELF
    >>> every_class = np.log([[1.0, 3.0, 2.0, 2.0], [3.0, 1.0, 2.0, 2.0]])
    >>> logits = np.array_split(every_class, comm.size, axis=1)[comm.rank]
    >>> weight = np.array_split([2.0, 1.0, 1.0, 1.0], comm.size)[comm.rank]
    >>> loss, dlogits = softmax_cross_entropy_with_grad(logits, [1, 0], comm=comm, weight=weight)
    >>> float(loss.round(6))
    0.980829
    >>> dlogits.round(4)
    array([[ 0.0417, -0.2083,  0.0833,  0.0833],
           [-0.4167,  0.0833,  0.1667,  0.1667]])
    >>> loss, dlogits = softmax_cross_entropy_with_grad(logits, [1, 1], comm=comm, out=logits)
    >>> dlogits is logits
    True
    """
    check_communicator(comm)
    try:
        call = _arguments.loss_of_some_classes(
            "logits", logits, targets, -1, weight, ignore_index, label_smoothing, reduction,
            sample_weight,
        )  # fmt: skip
        first = checked_first(first_class)
        work, result = _arguments.check_gradient_out(out, call.scores, call.dtype, {"logits": logits})
        if out is not None:  # the logits' place is free once they were looked at; the targets' is not
            inputs = {"targets": targets, "weight": weight, "sample_weight": sample_weight}
            _arguments.check_out(out, call.scores.shape, call.dtype, inputs, in_place=False)
        rows = call.scores.shape[:-1]
        own = np.empty((_shards.STATISTICS, math.prod(rows)))
    except Exception as error:
        refuse(comm, error)
    said = {"dtype of logits": call.dtype, "rows of logits": call.scores.shape[:-1]} | alike(call)
    first, classes, _ = place(agree(comm, NAME, said, (call.scores.shape[-1], first)), comm.rank)
    if call.indices is not None:
        _arguments.refuse_index(call.indices, classes, call.ignore_index)
    shard = _shards.shard(call, first, classes)
    kernels = choice().kernels
    kernels.shard_statistics(shard, work, own)
    whole, factor, loss = _exchange(comm, shard, own, call.reduction)
    kernels.shard_gradient(shard, work, _shards.gradient(own, whole, shard, factor))
    dtype = work.dtype.type
    if call.reduction == NONE and rows:
        return loss.astype(dtype).reshape(rows), _arguments.deliver(work, result, out)
    return dtype(loss[0]), _arguments.deliver(work, result, out)


def checked_first(first_class: Any) -> int:
    """The number of the first class, -1 for None."""
    if first_class is None:
        return -1
    try:
        first = operator.index(first_class)
    except TypeError:
        raise TypeError(
            f"first_class: expected an integer or None, got {type(first_class).__name__}"
        ) from None
    if not 0 <= first < 2**63:
        raise ValueError(f"first_class: expected the number of a class, got {first}")
    return first


def alike(call: _arguments.Loss) -> dict[str, object]:
    """What has to be the same on every rank, beside the sizes; what says most comes first."""
    indices, rows = call.indices, call.sample_weight
    return {
        "targets": "probabilities" if indices is None else "class indices",
        "weight": "none" if call.weight is None else "an array",
        "ignore_index": call.ignore_index,
        "label_smoothing": call.label_smoothing,
        "sample_weight": "none" if rows is None else contents(rows),
        "reduction": REDUCTIONS[call.reduction],
        "class indices in targets": None if indices is None else contents(indices),
    }


def place(ranks: Array, rank: int) -> tuple[int, int, int]:
    """A rank's first class, how many all have together, and the most that one has."""
    held, said = ranks.T
    ends = held.cumsum()
    firsts = ends - held
    for other, (first, given) in enumerate(zip(firsts, said, strict=True)):
        if given not in (-1, first):
            raise ValueError(
                f"first_class: expected {first} on rank {other}, after the classes of the ranks before, "
                f"got {given}"
            )
    return int(firsts[rank]), int(ends[-1]), int(held.max())


def _exchange(comm: Any, shard: _shards.Shard, own: Array, reduction: int) -> tuple[Array, float, Array]:
    """The statistics of whole rows, the factor of the sum over rows, and the loss, or with no reduction
    the losses of all rows.

    Sums are added up and the loss is computed on one rank, which tells the others: MPI does not promise
    that an Allreduce gives each the same last digit, nor do processors that differ.
    """
    maximum = largest(comm, own[_shards.MAXIMUM])
    sums = _shards.shares(own, maximum, shard.has_coefficients)
    summed = sums.size + 1  # and the weights that the mean divides by
    message = np.empty(summed + (own.shape[1] if reduction == NONE else 1))
    message[: sums.size], message[sums.size] = sums.reshape(-1), _shards.counted(shard)
    sums, loss = message[: sums.size].reshape(sums.shape), message[summed:]
    reduce(comm, message[:summed])
    if comm.rank == 0:
        losses = _shards.losses(_shards.complete(sums, maximum), shard.sample_weight)
        if reduction == NONE:
            loss[...] = losses
        else:
            loss[0] = losses.sum() * _shards.factor(shard, reduction, message[summed - 1])
    comm.Bcast(message)
    factor = _shards.factor(shard, reduction, message[summed - 1])
    return _shards.complete(sums, maximum), factor, loss


def largest(comm: Any, own: Array) -> Array:
    """The maximum over ranks, of each number."""
    from mpi4py import MPI

    maximum = np.empty_like(own)
    comm.Allreduce(own, maximum, MPI.MAX)
    return maximum


def reduce(comm: Any, own: Array) -> None:
    """On rank 0 the sum over ranks of each number, in place."""
    from mpi4py import MPI

    if comm.rank:
        comm.Reduce(own, None)
    else:
        comm.Reduce(MPI.IN_PLACE, own)
