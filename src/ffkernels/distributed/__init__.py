"""One loss and one net on many processes, over MPI by mpi4py.

Every function here is called by all ranks of a communicator, `comm`, together. Ranks that disagree on
what they pass raise the same exception, all of them, before anything large is exchanged.
"""

from ._data_parallel import DataParallel

__all__ = ["DataParallel"]


def __dir__() -> list[str]:
    return __all__
