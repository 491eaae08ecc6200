# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False, freethreading_compatible=True
"""The compiled kernels, built once for each instruction set from these same sources.

    arrays.pxi       from Python arrays to pointers: the fast path, and the way round it
    walk.pxi         elementwise functions: strides, chunks, threads
    rows.pxi         functions along an axis: which rows, in which order, by row or by tile
    activations.pxi  losses.pxi  shards.pxi  optimizers.pxi     the kernels, one below the other
    capi.pxi         the kernels as C functions, for other compiled packages

A kernel over rows is a pair of functions of the same few lines, `..._row` for one contiguous row
and `..._lanes` for sixteen rows side by side; both compose the primitives of `rows.inc.h`.
"""

cimport numpy as cnp
from cpython.ref cimport PyObject
from libc.math cimport INFINITY, pow
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport PTRDIFF_MAX
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ffkernels import _arguments

cnp.import_array()

ctypedef fused real:
    float
    double

include "primitives.pxi"
include "arrays.pxi"
include "walk.pxi"
include "rows.pxi"
include "activations.pxi"
include "losses.pxi"
include "shards.pxi"
include "optimizers.pxi"


def set_num_threads(int n):
    want_threads(n)


prepare_threads()
isa = __name__.rpartition(".")[2]
openmp = bool(FF_OPENMP)
compiler = FF_COMPILER.decode()

include "capi.pxi"
