"""Which implementation runs, on which instruction set and how many threads.

All of it is a property of the process, read at import from the environment:
``FFKERNELS_BACKEND`` (``compiled`` or ``numpy``), ``FFKERNELS_ISA`` (``baseline``, ``avx2`` or
``avx512``), ``FFKERNELS_NUM_THREADS`` (else ``OMP_NUM_THREADS``, else the processors this process
may use, affinity and control-group quota considered).
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal

import numpy as np

from . import __version__, _limits, _numpy

__all__ = [
    "get_backend",
    "get_isa",
    "get_num_threads",
    "num_threads",
    "set_backend",
    "set_isa",
    "set_num_threads",
    "show_config",
    "use_backend",
]


def __dir__() -> list[str]:
    return __all__


BACKENDS = ("compiled", "numpy")
MAX_THREADS = 1024  # FF_MAX_THREADS of threads.h

try:
    from . import _compiled
except ImportError as error:
    _compiled = None  # type: ignore[assignment]
    _why_not = str(error)
else:
    _why_not = ""

#: The module whose functions the public ones call.
active: ModuleType

_kernels: ModuleType | None = None
_threads = 1


def _quota() -> float:
    """Processors a control group grants, infinite without a limit."""
    def read(name: str) -> str:
        with open(f"/sys/fs/cgroup/{name}", encoding="ascii") as file:
            return file.read()

    try:
        limit, period = read("cpu.max").split()
        return math.inf if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int(read("cpu/cpu.cfs_quota_us"))
        return limit_us / int(read("cpu/cpu.cfs_period_us")) if limit_us > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _affinity() -> frozenset[int]:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _available_processors() -> int:
    processors = len(_affinity())
    return max(1, min(processors, math.ceil(min(_quota(), processors)), MAX_THREADS))


def _threads_from_environment() -> int:
    own = os.environ.get("FFKERNELS_NUM_THREADS")
    if own:
        if not own.isdecimal() or not 1 <= int(own) <= MAX_THREADS:
            raise ValueError(
                f"FFKERNELS_NUM_THREADS: expected an integer from 1 to {MAX_THREADS}, got {own!r}"
            )
        return int(own)
    openmp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if openmp.isdecimal() and int(openmp) > 0:
        return min(int(openmp), MAX_THREADS)  # not ours to refuse
    return _available_processors()


def get_backend() -> Literal["compiled", "numpy"]:
    """Name of the active backend, ``"compiled"`` or ``"numpy"``."""
    return "numpy" if active is _numpy else "compiled"


def set_backend(name: Literal["compiled", "numpy"]) -> None:
    """Make a backend the active one, for the whole process.

    Parameters
    ----------
    name : {"compiled", "numpy"}

    Raises
    ------
    ValueError
        For another name.
    ImportError
        For ``"compiled"`` where no extension was built or it cannot run here; the message says why.
    """
    global active
    if name not in BACKENDS:
        raise ValueError(f'backend: expected "compiled" or "numpy", got {name!r}')
    if name == "numpy":
        active = _numpy
        return
    if _kernels is None:
        raise ImportError(f"the compiled backend is not available: {_why_not}")
    active = _kernels


@contextmanager
def use_backend(name: Literal["compiled", "numpy"]) -> Iterator[None]:
    """Context in which another backend is the active one, for the whole process.

    Parameters
    ----------
    name : {"compiled", "numpy"}

    Raises
    ------
    ValueError, ImportError
        As `set_backend`.

    Examples
    --------
    >>> import ffkernels
    >>> with ffkernels.use_backend("numpy"):
    ...     ffkernels.get_backend()
    'numpy'
    """
    before = get_backend()
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def get_isa() -> str | None:
    """Instruction set of the compiled kernels; None without them."""
    return None if _kernels is None else str(_kernels.isa)


def set_isa(name: str) -> None:
    """Choose the instruction set of the compiled kernels, for the whole process.

    Raises
    ------
    ValueError
        For one that was not built or that this processor lacks; the message names the choices.
    ImportError
        Without compiled kernels.
    """
    global active, _kernels
    if _compiled is None:
        raise ImportError(f"the compiled backend is not available: {_why_not}")
    kernels = _compiled.load(name)
    if active is not _numpy:
        active = kernels
    _kernels = kernels
    _tell_kernels()


def get_num_threads() -> int:
    """How many threads a call on large arrays may use, by `set_num_threads` and by limits."""
    return int(min(_threads, _limits.most()))


def set_num_threads(n: int) -> None:
    """Set how many threads a call on large arrays may use; results do not depend on it.

    The NumPy backend keeps the number and computes on one thread. More threads than this process has
    processors are not used. A limit set by threadpoolctl, on all libraries or on those of ``"openmp"``,
    holds as well, whatever is set here meanwhile. Up to four calls that Python threads make at the same
    time share the threads equally; further ones compute on their own.

    Parameters
    ----------
    n : int
        From 1 to 1024.

    Raises
    ------
    TypeError
        Where `n` is no integer.
    ValueError
        Where it is out of range.
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n: expected an integer, got {type(n).__name__}")
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"n: expected an integer from 1 to {MAX_THREADS}, got {n}")
    _threads = int(n)
    _tell_kernels()


def _tell_kernels() -> None:
    if _kernels is not None:
        _kernels.set_num_threads(min(get_num_threads(), len(_affinity())))


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Context with another number of threads, for the whole process.

    Parameters
    ----------
    n : int
        As `set_num_threads` takes it.

    Examples
    --------
    >>> import ffkernels
    >>> with ffkernels.num_threads(1):
    ...     ffkernels.get_num_threads()
    1
    """
    before = _threads
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Print what runs and why, or return it.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print it, or return it as a dictionary.
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f'mode: expected "stdout" or "dicts", got {mode!r}')
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    config: dict[str, Any] = {
        "ffkernels": __version__,
        "backend": get_backend(),
        "why": _why_not or _reason,
        "isa": get_isa(),
        "isa_built": _compiled.built() if _compiled else (),
        "isa_supported": _compiled.supported() if _compiled else (),
        "threads": get_num_threads(),
        "compiler": _kernels.compiler if _kernels else None,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
    }
    if mode == "dicts":
        return config
    for name, value in config.items():
        text = ", ".join(value) if isinstance(value, tuple) else value
        sys.stdout.write(f"{name.replace('_', ' '):15} {text}\n")
    return None


def _start() -> str:
    """Chooses at import; returns the reason in words."""
    global active, _kernels, _threads, _why_not
    active = _numpy
    _threads = _threads_from_environment()
    wanted = os.environ.get("FFKERNELS_BACKEND")
    if wanted is not None and wanted not in BACKENDS:
        raise ValueError(f'FFKERNELS_BACKEND: expected "compiled" or "numpy", got {wanted!r}')
    if _compiled is not None:
        try:
            _kernels = _compiled.load()
        except ImportError as error:
            _why_not = str(error)
        else:
            _limits.register(get_num_threads, _tell_kernels)
            _tell_kernels()
    if wanted:
        set_backend(wanted)  # type: ignore[arg-type]  # is one of BACKENDS
        return f"FFKERNELS_BACKEND={wanted}"
    if _kernels is None:
        return "no compiled kernels"
    set_backend("compiled")
    return "compiled kernels are there, and are the default"


_reason = _start()
