"""One training by several processes: how many a launcher of MPI started, and how they end together.

What prepares a training and what follows it runs on the first rank, which alone prints; every rank has
its share of each batch. Without a launcher nothing of MPI is imported.
"""

from __future__ import annotations

import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _processors, backend
from .._command import CommandError

Array = npt.NDArray[Any]
_T = TypeVar("_T")

# How launchers tell each process how many they have started, and which of them it is: MPICH's and its
# kin's, Open MPI's, and Slurm's srun. What sbatch sets is no sign: its script is one process.
_LAUNCHERS = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
# Seconds between two looks of a rank that waits for the first: MPI's own waiting keeps a processor busy.
_LOOK = 0.005
# Seconds that a rank which failed gives the others to fail by the same error.
_GRACE = 3.0


class Ranks:
    """The ranks that train together; without a communicator this process alone."""

    def __init__(self, comm: Any = None) -> None:
        self._comm = comm
        self.rank: int = 0 if comm is None else comm.rank
        self.size: int = 1 if comm is None else comm.size

    @property
    def first(self) -> bool:
        """Whether this is the rank that prepares, prints and writes."""
        return self.rank == 0

    def from_first(self, make: Callable[[], _T]) -> _T:
        """Return on every rank what a function gives on the first; raise on all what it tells users."""
        if self._comm is None:
            return make()
        from mpi4py.util import pkl5  # arrays of any size, without a copy

        made: Any = None
        if self.first:
            try:
                made = make()
            except (CommandError, ModuleNotFoundError) as error:
                made = error
        self.wait()
        sent = pkl5.Intracomm(self._comm).bcast(made)
        if isinstance(sent, Exception):
            raise sent
        return made if self.first else sent  # not the copy that the first gets, too

    def wait(self) -> None:
        """Wait for every rank, and leave the processors to them meanwhile."""
        if self._comm is not None:
            arrived = self._comm.Ibarrier()
            while not arrived.Test():
                time.sleep(_LOOK)

    def parallel(self, net: Any) -> Any:
        """Return what takes each rank's rows of a batch and moves the net on all ranks alike."""
        if self._comm is None:
            return net
        from ..distributed import DataParallel

        return DataParallel(net, self._comm)

    def joined(self, part: Array) -> Array | None:
        """Return on the first rank the rows of all, on the others None."""
        if self._comm is None:
            return part
        parts = self._comm.gather(part)
        return np.concatenate(parts) if self.first else None

    def mean(self, value: float, rows: int) -> float:
        """Return the mean over the rows of all ranks of what is a mean over this rank's."""
        if self._comm is None:
            return value
        total, count = self._comm.allreduce(np.array([value * rows, rows]))
        return float(total / count)

    def limit_threads(self, most: int | None) -> list[int]:
        """Set the threads of this rank; return on the first how many ranks share each machine.

        Where neither the command line nor the environment says how many, each processor is divided by
        the ranks that may run on it: a launcher may have given each its own.
        """
        if most is not None:
            try:
                backend.set_num_threads(most)
            except ValueError as error:
                raise CommandError(str(error).replace("n:", "--threads:", 1)) from None
        if self._comm is None:
            return [1]
        from mpi4py import MPI

        node = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        told = most or os.environ.get("FFKERNELS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
        if not told:
            granted = node.allgather((_processors.affinity(), _processors.quota()))
            backend.set_num_threads(_threads(granted, node.rank))
        sizes = self._comm.gather(node.size if node.rank == 0 else None) or []
        node.Free()
        return [size for size in sizes if size]


def _threads(granted: list[tuple[frozenset[int], float]], rank: int) -> int:
    """Return how many threads a rank may use, of the processors and quotas of all on its machine."""
    own, quota = granted[rank]
    sharers = [sum(processor in others for others, _ in granted) for processor in own]
    threads = min(math.fsum(1 / count for count in sharers), quota / len(granted))
    return min(max(1, int(threads + 1e-9)), backend.MAX_THREADS)


def launched() -> tuple[int, int]:
    """Return how many processes a launcher says it started, and the number of this one."""
    for size, rank in _LAUNCHERS:
        count = os.environ.get(size, "")
        if count.isdecimal() and int(count) > 1:
            return int(count), int(os.environ.get(rank, "0"))
    return 1, 0


def _join() -> Any:
    """Return a communicator of all processes that a launcher started; None for a single one."""
    size, rank = launched()
    if size == 1:
        return None
    message = None
    try:
        from mpi4py import MPI
    except ModuleNotFoundError:
        message = (
            f"started as one of {size} processes, but mpi4py is not installed: "
            "pip install 'ffkernels[mpi]'"
        )
    except (ImportError, RuntimeError) as error:  # by which it tells that it found no library
        message = (
            f"started as one of {size} processes, but mpi4py finds no library of MPI: pip install "
            f"mpich, or name yours in MPI4PY_LIBMPI ({' '.join(str(error).split())})"
        )
    else:
        if MPI.COMM_WORLD.size != size:
            message = (
                f"started as one of {size} processes, but MPI counts {MPI.COMM_WORLD.size}: the "
                f"launcher is not that of mpi4py's MPI, {MPI.Get_library_version().splitlines()[0]}"
            )
    if message is None:
        return MPI.COMM_WORLD
    if rank == 0:
        raise CommandError(message)
    sys.exit(2)


@contextmanager
def together() -> Iterator[Ranks]:
    """Context of the ranks that a launcher started, in which an error of one ends all."""
    comm = _join()
    if comm is None:
        yield Ranks()
        return
    farewell = comm.Dup()
    try:
        yield Ranks(comm)
    except BaseException as error:
        _end(error, farewell)


def _end(error: BaseException, comm: Any) -> NoReturn:
    """Raise an error that all ranks have met on the first one; else tell it, and end all at once."""
    if isinstance(error, Exception):
        arrived = comm.Ibarrier()
        end = time.monotonic() + _GRACE
        while not (met := arrived.Test()) and time.monotonic() < end:
            time.sleep(_LOOK)
        if met and comm.rank == 0:
            raise error
        if met:
            sys.exit(2 if isinstance(error, (CommandError, ModuleNotFoundError)) else 1)
    sys.stdout.flush()
    code = 1
    if isinstance(error, KeyboardInterrupt):
        code, told = 130, "interrupted"
    elif isinstance(error, CommandError):
        code, told = 2, str(error)
    else:
        told = "".join(traceback.format_exception(error)).rstrip()
    print(f"rank {comm.rank}: {told}", file=sys.stderr, flush=True)
    comm.Abort(code)
    raise error
