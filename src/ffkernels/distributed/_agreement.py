"""What ranks tell each other before anything large: that they were called alike.

Every call begins with one exchange of 32 bytes a rank: a digest of all that has to be the same on every
rank, and two numbers of the rank's own. Where the digests differ, every rank sees it, and all tell each
other what they were given, in words, and raise the same exception. So does a rank whose arguments were
refused by its own checks: it tells the others instead of leaving them to wait.
"""

from __future__ import annotations

import hashlib
from typing import Any, NoReturn

import numpy as np

from .._arguments import Array
from ..adapters._extras import missing

_DIGEST = 16
_REFUSED = bytes(_DIGEST)
# What a rank raises for another: the first that the other's exception is one of, else RuntimeError.
_KINDS = (IndexError, TypeError, ValueError, MemoryError)


def check_communicator(comm: Any) -> None:
    """Refuses what is no communicator of mpi4py; ImportError where there is no mpi4py or no MPI."""
    try:
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise missing(error, "mpi", "ffkernels.distributed") from None
    except RuntimeError as error:  # by which mpi4py tells that it found no library
        raise ImportError(
            f"ffkernels.distributed needs a library of MPI, as from pip install mpich: {error}"
        ) from None
    if isinstance(comm, MPI.Comm) and comm == MPI.COMM_NULL:
        raise ValueError("comm: expected a communicator that this process belongs to, got MPI.COMM_NULL")
    if not isinstance(comm, MPI.Intracomm):
        raise TypeError(
            f"comm: expected a communicator of mpi4py, such as MPI.COMM_WORLD, got {type(comm).__name__}"
        )


def contents(array: Array) -> str:
    """What stands for an array's values in `agree`."""
    values = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=8)
    return f"values of digest {values.hexdigest()}"


def agree(comm: Any, call: str, alike: dict[str, object], own: tuple[int, int] = (0, 0)) -> Array:
    """The ranks' own two numbers, a row a rank, once all were called alike.

    `call` and the values of `alike`, told by `str`, have to be the same on every rank: a ValueError
    on all of them names the first that is not.
    """
    said = {"call": call} | {name: str(value) for name, value in alike.items()}
    digest = hashlib.blake2b(repr(said).encode(), digest_size=_DIGEST).digest()
    digests, numbers = _exchange(comm, digest, own)
    if (digests == digests[0]).all():
        return numbers
    raise_alike(comm, said, None)


def refuse(comm: Any, error: Exception) -> NoReturn:
    """Raises on every rank what the first of those that refused their arguments has to say."""
    _exchange(comm, _REFUSED, (0, 0))
    raise_alike(comm, {}, error)


def _exchange(comm: Any, digest: bytes, own: tuple[int, int]) -> tuple[Array, Array]:
    mine = np.frombuffer(digest + np.array(own, np.int64).tobytes(), np.int64)
    everyones = np.empty((comm.size, len(mine)), np.int64)
    comm.Allgather(mine, everyones)
    return everyones[:, :2], everyones[:, 2:]


def raise_alike(comm: Any, said: dict[str, str], error: Exception | None) -> NoReturn:
    """Raises on every rank what the first has to say that has an error, or on what they differ.

    All ranks call it at once, having seen that digests differ or that some rank refused.
    """
    refusal = None
    if error is not None:
        kind = next((k for k, kind in enumerate(_KINDS) if isinstance(error, kind)), len(_KINDS))
        refusal = kind, str(error) if kind < len(_KINDS) else f"{type(error).__name__}: {error}"
    everyones = comm.allgather((said, refusal))
    refusals = [(rank, refusal) for rank, (_, refusal) in enumerate(everyones) if refusal is not None]
    if refusals:
        rank, (kind, message) = refusals[0]
        if any(other != refusals[0][1] for _, other in everyones):
            message += f" (on rank {rank})"
        raise (*_KINDS, RuntimeError)[kind](message) from error
    raise ValueError(_difference([words for words, _ in everyones]))


def _difference(everyones: list[dict[str, str]]) -> str:
    """The first thing on which some rank differs from rank 0."""
    first = everyones[0]
    for name in first:
        for rank, words in enumerate(everyones):
            if words.get(name) != first[name]:
                return (
                    f"{name}: expected the same on every rank, got {first[name]} on rank 0 and "
                    f"{words.get(name)} on rank {rank}"
                )
    raise AssertionError("digests differ where what they stand for does not")
