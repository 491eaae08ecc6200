# cython: language_level=3
"""What the processor can do, asked before any code that needs it is loaded."""

cdef extern from "cpu.h":
    int has_avx2() nogil
    int has_avx512() nogil


def has(str name):
    """Whether this processor runs the kernels built for an instruction set."""
    return bool(has_avx512() if name == "avx512" else has_avx2() if name == "avx2" else 0)
