"""ffkernels as the backend of nets that others wrote: one module for each library.

A module is imported when it is first asked for, and its library with it.
"""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

_MODULES = ("autograd", "jax", "mygrad", "nnfs", "sklearn", "thinc", "torch", "zero")


def __dir__() -> list[str]:
    return list(_MODULES)


def __getattr__(name: str) -> _ModuleType:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _import_module(f"{__name__}.{name}")
