"""The kernels for other compiled packages, without Python between: see docs/c-api.md."""

from __future__ import annotations

import os
from typing import Any

from . import backend

__all__ = ["get_include"]


def get_include() -> str:
    """Folder of ``ffkernels.h``, for the include path of an extension that calls the kernels.

    Returns
    -------
    str
        Absolute path.

    Examples
    --------
    >>> import ffkernels
    >>> from setuptools import Extension
    >>> extension = Extension("net", ["net.c"], include_dirs=[ffkernels.get_include()])
    """
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


def capsule() -> Any:
    """Capsule of the active instruction set's functions, which ``ffkernels_import`` in C asks for.

    Raises
    ------
    ImportError
        Without compiled kernels; the message says why there are none.
    """
    return backend.compiled_kernels("the C functions of ffkernels are").c_functions
