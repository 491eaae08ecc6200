"""The compiled kernels: one module for each instruction set, chosen once by what the CPU has."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

try:
    from . import cpu  # type: ignore[attr-defined]
except ImportError as error:
    raise ImportError(
        "no compiled kernels were built: the installation found no usable C compiler"
    ) from error

#: From the most to the least demanding.
_NAMES = ("avx512", "avx2", "baseline")


def built() -> tuple[str, ...]:
    """The instruction sets there are modules for."""
    return tuple(n for n in _NAMES if importlib.util.find_spec(f"{__name__}.{n}") is not None)


def supported() -> tuple[str, ...]:
    """Those of them that this processor has, the best first."""
    return tuple(n for n in built() if n == "baseline" or cpu.has(n))


@contextmanager
def _short_waits() -> Iterator[None]:
    """Has gcc's OpenMP runtime, which reads its settings when it is loaded, spin briefly.

    By default a thread that waits for the others of its team spins for milliseconds.  Where the system
    has put both on one processor, it takes the place of the one that it waits for: a call of
    0.4 ms took 17.  Shares are equal, so that a short wait is enough where each has its own.
    """
    chosen = "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ
    if not chosen:
        os.environ["GOMP_SPINCOUNT"] = "100"  # some 2 microseconds
    try:
        yield
    finally:
        if not chosen:
            del os.environ["GOMP_SPINCOUNT"]


def load(name: str | None = None) -> ModuleType:
    """The kernels for one instruction set; by default FFKERNELS_ISA, else the best there is."""
    choices = supported()
    if not choices:
        raise ImportError("no compiled kernels were built for this processor")
    source = "isa"
    if name is None:
        name = os.environ.get("FFKERNELS_ISA") or choices[0]
        source = "FFKERNELS_ISA"
    if name not in choices:
        raise ValueError(
            f"{source}: expected one of {', '.join(choices)} (built and supported here), got {name!r}"
        )
    with _short_waits():
        return importlib.import_module(f"{__name__}.{name}")
