"""Limits that threadpoolctl sets: to it the kernels are libraries with a pool of threads.

It knows of those that were registered before a limit is set, and most programs import it after this
package.  So where it is installed it is imported here, and every order of imports works.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

from . import __version__

_was_there = "threadpoolctl" in sys.modules
try:
    import threadpoolctl
except ImportError:
    threadpoolctl = None


class _Told(int):
    """A number of threads that threadpoolctl was told, and hands back to end the limit it set then."""


#: The limits that stand, each with what was told before it was set. The last one holds.
_standing: list[tuple[_Told | None, int]] = []
_told: _Told | None = None


def most() -> float:
    """How many threads there may be."""
    return _standing[-1][1] if _standing else float("inf")


def _tell(threads: int) -> _Told:
    global _told
    _told = _Told(threads)
    return _told


def _set(n: int) -> None:
    # By identity: what was told at different times may be equal.
    ends = n if isinstance(n, _Told) else _told
    _standing[:] = [limit for limit in _standing if limit[0] is not ends]
    if not isinstance(n, _Told):
        _standing.append((_told, max(1, int(n))))


def register(get_num_threads: Callable[[], int], changed: Callable[[], None]) -> None:
    """Have threadpoolctl limit the kernels, by the limits that stand already too.

    `get_num_threads` tells how many threads they use under them; `changed` is called after a change.
    """
    if threadpoolctl is None or not hasattr(threadpoolctl, "register"):
        return

    class Kernels(threadpoolctl.LibController):
        """One module of kernels; all of them have the same number of threads."""

        user_api = "openmp"  # that is: threads of parallel loops, as against those of BLAS
        internal_api = "ffkernels"
        filename_prefixes = ("avx512", "avx2", "baseline")
        check_symbols = ("ffkernels_num_threads",)

        def get_num_threads(self) -> int:
            return _tell(get_num_threads())

        def set_num_threads(self, n: int) -> None:
            _set(n)
            changed()

        def get_version(self) -> str:
            return __version__

    threadpoolctl.register(Kernels)
    if _was_there:
        _join_limits(Kernels, get_num_threads())


def _join_limits(kernels: type, threads: int) -> None:
    """Put the kernels among the libraries of each limit that stands, so that it ends for them too.

    Nothing lists the limits, and to look for them through all objects takes some 20 ms: only where
    another library has fewer threads than the kernels would.
    """
    all_libraries = threadpoolctl.ThreadpoolController().lib_controllers
    others = [library for library in all_libraries if not isinstance(library, kernels)]
    if all(library.num_threads >= threads for library in others):
        return
    limiter_types = [t for t in threadpoolctl.threadpool_limits.__mro__ if t is not object]
    for limiter in gc.get_referrers(*limiter_types):
        if not isinstance(limiter, limiter_types[-1]):
            continue
        try:
            _join(limiter, [library for library in all_libraries if isinstance(library, kernels)])
        except AttributeError:  # of a release that keeps them elsewhere
            return


def _join(limiter: Any, kernels: list[Any]) -> None:
    limits = limiter._limits or {}
    n = limits.get("openmp")
    libraries = limiter._controller.lib_controllers
    # One that is over has given the libraries back what they had before.
    limited = [library for library in libraries if library.user_api in limits]
    if n is None or any(library.num_threads != limits[library.user_api] for library in limited):
        return
    for library in kernels:
        if library.filepath not in [known.filepath for known in libraries]:
            libraries.append(library)
        limiter._original_info.append(library.info())
        library.set_num_threads(n)
