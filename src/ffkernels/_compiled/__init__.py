"""The compiled kernels: one module for each instruction set, chosen once by what the CPU has."""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType

try:
    from . import cpu
except ImportError as error:
    raise ImportError(
        "no compiled kernels were built: the installation found no usable C++ compiler"
    ) from error

#: From the most to the least demanding.
_NAMES = ("avx512", "avx2", "baseline")


def built() -> tuple[str, ...]:
    """The instruction sets there are modules for."""
    return tuple(n for n in _NAMES if importlib.util.find_spec(f"{__name__}.{n}") is not None)


def supported() -> tuple[str, ...]:
    """Those of them that this processor has, the best first."""
    return tuple(n for n in built() if n == "baseline" or cpu.has(n))


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
    return importlib.import_module(f"{__name__}.{name}")
