"""One loss and one net on many processes, over MPI by mpi4py.

Every function here is called by all ranks of a communicator, `comm`, together. Ranks that disagree on
what they pass raise the same exception, all of them, before anything large is exchanged.
"""

from ._cross_entropy import softmax_cross_entropy_with_grad
from ._data_parallel import DataParallel
from ._linear_cross_entropy import linear_cross_entropy_with_grad

__all__ = ["DataParallel", "linear_cross_entropy_with_grad", "softmax_cross_entropy_with_grad"]


def __dir__() -> list[str]:
    return __all__
