"""A package of somebody else's that calls the kernels from Cython, from C and from C++."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import ffkernels

include_dirs = [ffkernels.get_include()]
setup(
    name="capi-package",
    version="0",
    ext_modules=[
        *cythonize([Extension("from_cython", ["from_cython.pyx"], include_dirs=include_dirs)]),
        Extension("from_c", ["from_c.c"], include_dirs=include_dirs),
        Extension("from_cpp", ["from_cpp.cpp"], include_dirs=include_dirs),
    ],
)
