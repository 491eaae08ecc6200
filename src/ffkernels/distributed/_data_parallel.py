"""A net that many processes train together, each on rows of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import backend as _backend
from .._arguments import Array
from ..layers import FeedForward
from ..layers._net import put_gradients_in, summed_step
from ..optimizers import SGD, Adam, Optimizer, refuse_optimizer
from . import _agreement

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

# What travels behind the gradients: the summed loss, the rows' weight, how many ranks refused theirs.
_TAIL = 3


class DataParallel:
    """A net that many processes train together, each on rows of its own.

    Every rank has the whole net. A step goes forward and backward through this rank's rows, adds the
    gradients of all ranks by one Allreduce, and divides them by the rows of all: to rounding, it is the
    step of one process on all rows. The parameters begin as rank 0's, and stay the same on every rank,
    bit for bit.

    Parameters
    ----------
    net : FeedForward
        Trained in place. On every rank one of the same sizes, activation, loss and dtype.
    comm : mpi4py.MPI.Intracomm
        The ranks that train; all of them construct it, and make every step.

    Attributes
    ----------
    net, comm
        As given.

    Raises
    ------
    TypeError
        If `net` is no `FeedForward` or `comm` no communicator.
    ValueError
        On every rank, if the nets differ.
    ImportError
        Without mpi4py or a library of MPI.

    Notes
    -----
    ``net.grads`` lie side by side in one piece of memory, which is what travels: docs/distributed.md
    says how many bytes that are, and from how many ranks on it takes longer than the step.

    What one rank refuses, every rank raises. Any other end of one rank, such as an exception in code
    between two steps, leaves the others waiting, unless the script is started by ``mpiexec -n 4 python
    -m mpi4py script.py``, which then ends them all.

    Examples
    --------
    >>> from mpi4py import MPI
    >>> import numpy as np
    >>> from ffkernels import Adam, FeedForward
    >>> from ffkernels.distributed import DataParallel
    >>> comm = MPI.COMM_WORLD
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> t = x[:, 0] ^ x[:, 1]
    >>> own = slice(comm.rank, None, comm.size)
    >>> net, adam = DataParallel(FeedForward([2, 8, 2], seed=0), comm), Adam(lr=0.1)
    >>> for _ in range(100):
    ...     loss = net.train_step(x[own], t[own], adam)
    >>> net.predict(x).argmax(axis=1)
    array([0, 1, 1, 0])
    """

    def __init__(self, net: FeedForward, comm: Intracomm) -> None:
        _agreement.check_communicator(comm)
        if not isinstance(net, FeedForward):
            _agreement.refuse(comm, TypeError(f"net: expected a FeedForward, got {type(net).__name__}"))
        self.net, self.comm = net, comm
        # Two backends would round their updates differently.
        alike: dict[str, object] = {"net": net, "backend": _backend.get_backend()}
        _agreement.agree(comm, type(self).__name__, alike)

        size = sum(param.size for param in net.params.values())
        self._message = np.empty(size + _TAIL, net.dtype)
        self._grads, self._tail = self._message[:size], self._message[size:]
        put_gradients_in(net, self._grads)
        for name, param in net.params.items():
            net.grads[name][...] = param
        comm.Bcast(self._grads)
        for name, param in net.params.items():
            param[...] = net.grads[name]
        self._grads[:] = 0
        self._stepped = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.net!r}, rank {self.comm.rank} of {self.comm.size})"

    def train_step(
        self,
        x: npt.ArrayLike,
        t: npt.ArrayLike,
        optimizer: Optimizer,
        *,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Any:
        """Move the parameters one step down the gradient over the rows of all ranks.

        Parameters
        ----------
        x, t : array_like
            This rank's rows, as `FeedForward.train_step` takes them; as many as there are, or none.
        optimizer : SGD, Adam, or anything with ``update(params, grads)``
            On every rank one with the same options, and the same one in every step.
        sample_weight : array_like, optional
            Of this rank's rows, as `FeedForward.train_step` takes it; without, each has weight 1. The
            average is over the rows of all ranks.

        Returns
        -------
        float32 or float64
            The loss before the step, averaged over the rows of all ranks, on every rank the same.

        Raises
        ------
        TypeError, ValueError, IndexError
            On every rank, what `FeedForward.train_step` raises on one; the parameters stay.
        ValueError
            On every rank, if at the first step the optimisers differ.
        """
        from mpi4py import MPI

        refused: Exception | None = None
        try:
            refuse_optimizer(optimizer)
            self._tail[:] = *summed_step(self.net, x, t, sample_weight), 0
        except Exception as error:
            refused = error
            self._message[:] = 0
            self._tail[-1] = 1
        if not self._stepped:
            told = repr(optimizer) if isinstance(optimizer, SGD | Adam) else type(optimizer).__name__
            _agreement.agree(self.comm, "train_step", {"optimizer": told})
            self._stepped = True
        self.comm.Allreduce(MPI.IN_PLACE, self._message)
        total, weight, failed = self._tail.tolist()
        if failed:
            _agreement.raise_alike(self.comm, {}, refused)
        weight = weight or 1.0  # of no rows, whose gradients are 0
        self._grads *= self.net.dtype.type(1 / weight)
        optimizer.update(self.net.params, self.net.grads)
        return self.net.dtype.type(total / weight)

    def predict(self, x: npt.ArrayLike) -> Array:
        """Return the net's outputs for rows of this rank, as `FeedForward.predict`."""
        return self.net.predict(x)

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Return the loss averaged over rows of this rank, as `FeedForward.loss`."""
        return self.net.loss(x, t)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the net as `FeedForward.save` does, on rank 0; the others do nothing."""
        if self.comm.rank == 0:
            self.net.save(path)
