"""Which implementation runs, on which instruction set and how many threads.

The process's own choice is read at import from the environment:
``FFKERNELS_BACKEND`` (``compiled`` or ``numpy``), ``FFKERNELS_ISA`` (``baseline``, ``avx2`` or
``avx512``), ``FFKERNELS_NUM_THREADS`` (else ``OMP_NUM_THREADS``, else the processors this process
may use, affinity and control-group quota considered). `use_backend` and `num_threads` choose for the
current context alone.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from . import __version__, _context, _limits, _numpy, _processors
from ._context import PROCESS, Choice

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

_COMPILED, _NUMPY = Choice(), Choice()
_NUMPY.kernels = _numpy

_threads = 1


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
    return min(_processors.available(), MAX_THREADS)


def compiled_kernels(who: str = "the compiled backend is") -> Any:
    """The compiled module; without one an ImportError, which says who is not available and why."""
    if _COMPILED.kernels is None:
        raise ImportError(f"{who} not available: {_why_not}")
    return _COMPILED.kernels


def _called(name: str) -> Choice:
    if name not in BACKENDS:
        raise ValueError(f'backend: expected "compiled" or "numpy", got {name!r}')
    if name == "numpy":
        return _NUMPY
    compiled_kernels()
    return _COMPILED


def get_backend() -> Literal["compiled", "numpy"]:
    """Name of the backend that is active in the current context, ``"compiled"`` or ``"numpy"``."""
    return "numpy" if _context.choice().kernels is _numpy else "compiled"


def set_backend(name: Literal["compiled", "numpy"]) -> None:
    """Make a backend the active one, for the whole process.

    Within a `use_backend` what that chose holds until its end.

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
    PROCESS.kernels = _called(name).kernels


@contextmanager
def use_backend(name: Literal["compiled", "numpy"]) -> Iterator[None]:
    """Context in which another backend is the active one, for the current thread or asyncio task.

    It is as with `numpy.errstate`: others are not touched; a task that is created within it begins with
    it; a thread that is started within it, by a pool or by another library, has the process's backend.

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
    before = _context.backend.set(_called(name))
    try:
        yield
    finally:
        _context.backend.reset(before)


def get_isa() -> str | None:
    """Instruction set of the compiled kernels; None without them."""
    return None if _COMPILED.kernels is None else str(_COMPILED.kernels.isa)


def set_isa(name: str) -> None:
    """Choose the instruction set of the compiled kernels, for the whole process.

    Raises
    ------
    ValueError
        For one that was not built or that this processor lacks; the message names the choices.
    ImportError
        Without compiled kernels.
    """
    before = compiled_kernels()
    _COMPILED.kernels = _compiled.load(name)  # pyright: ignore[reportOptionalMemberAccess] # it is there
    if PROCESS.kernels is before:
        PROCESS.kernels = _COMPILED.kernels
    _tell_kernels()


def get_num_threads() -> int:
    """How many threads a call on large arrays may use here: as chosen, and no more than limits say."""
    return int(min(_context.threads.get(_threads), _limits.most()))


def set_num_threads(n: int) -> None:
    """Set how many threads a call on large arrays may use, for the whole process.

    Results do not depend on it. Within a `num_threads` the number of that holds until its end.

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
    _threads = _checked(n)
    _tell_kernels()


def _checked(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n: expected an integer, got {type(n).__name__}")
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"n: expected an integer from 1 to {MAX_THREADS}, got {n}")
    return int(n)


def _tell_kernels() -> None:
    """How many threads the process wants, and how many a context may have that wants others."""
    if _COMPILED.kernels is not None:
        most = int(min(len(_processors.affinity()), _limits.most(), MAX_THREADS))
        _COMPILED.kernels.set_num_threads(min(_threads, most), most)


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Context with another number of threads, for calls by the current thread or asyncio task.

    It is as with `numpy.errstate`: others are not touched; a task that is created within it begins with
    it; a thread that is started within it, by a pool or by another library, has the process's number,
    which is set by `set_num_threads`.

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
    before = _context.threads.set(_checked(n))
    _tell_kernels()  # by the processors that there are by now
    try:
        yield
    finally:
        _context.threads.reset(before)


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
        "compiler": _COMPILED.kernels.compiler if _COMPILED.kernels else None,
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
    global _threads, _why_not
    PROCESS.kernels = _numpy
    _threads = _threads_from_environment()
    wanted = os.environ.get("FFKERNELS_BACKEND")
    if wanted is not None and wanted not in BACKENDS:
        raise ValueError(f'FFKERNELS_BACKEND: expected "compiled" or "numpy", got {wanted!r}')
    if _compiled is not None:
        try:
            _COMPILED.kernels = _compiled.load()
        except ImportError as error:
            _why_not = str(error)
        else:
            _limits.register(get_num_threads, _tell_kernels)
            _tell_kernels()
    if wanted:
        set_backend(wanted)  # type: ignore[arg-type]  # is one of BACKENDS
        return f"FFKERNELS_BACKEND={wanted}"
    if _COMPILED.kernels is None:
        return "no compiled kernels"
    set_backend("compiled")
    return "compiled kernels are there, and are the default"


_reason = _start()
