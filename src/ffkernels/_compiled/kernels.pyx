# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False
"""The compiled kernels, built once for each instruction set from these same sources.

    primitives.pxi             the C side: threads, spans, row primitives

From Python arrays to kernels:

    arrays.pxi                 which arguments a kernel can take as they are; what goes the way round
    strided.pxi                strided memory: joining axes, gathering and scattering
    blocks.pxi                 how work is cut for threads
    walk.pxi                   elementwise functions: spans, chunks
    rows.pxi                   functions along an axis: rows and tiles, blocks

The kernels, each file with a table of them at its head:

    elementwise.pxi            relu, sigmoid, tanh, identity and their derivatives
    bias_forward.pxi           f(x + b)
    bias_backward.pxi          f'(dy, y) and its sum over rows
    softmax.pxi                softmax, log_softmax, logsumexp and backwards
    class_loss.pxi             what the cross-entropies share
    index_cross_entropy.pxi    from logits, each row with one class
    soft_cross_entropy.pxi     from logits, each row with a coefficient for every class
    softmax_cross_entropy.pxi  the choice between the two
    cross_entropy.pxi          from probabilities
    sigmoid_cross_entropy.pxi  from logits, each element with a yes or no of its own
    squared_error.pxi
    shards.pxi                 from logits whose classes lie in several shards
    optimizers.pxi             sgd, momentum, Adam

    capi.pxi                   the kernels as C functions, for other compiled packages

A kernel over rows is a pair of functions of the same few lines, `..._row` for one contiguous row
and `..._lanes` for sixteen rows side by side; both compose the primitives of `rows.h`.
"""

cimport numpy as cnp
from cpython.contextvars cimport get_value
from cpython.ref cimport PyObject
from libc.math cimport INFINITY, pow
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport PTRDIFF_MAX
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ffkernels import _arguments, _context

cnp.import_array()

ctypedef fused real:
    float
    double

include "primitives.pxi"
include "arrays.pxi"
include "strided.pxi"
include "blocks.pxi"
include "walk.pxi"
include "rows.pxi"
include "elementwise.pxi"
include "bias_forward.pxi"
include "bias_backward.pxi"
include "softmax.pxi"
include "class_loss.pxi"
include "index_cross_entropy.pxi"
include "soft_cross_entropy.pxi"
include "softmax_cross_entropy.pxi"
include "cross_entropy.pxi"
include "sigmoid_cross_entropy.pxi"
include "squared_error.pxi"
include "shards.pxi"
include "optimizers.pxi"


def set_num_threads(int n, int most):
    """How many threads a call may use, and how many at most where a context wants others."""
    global most_threads
    most_threads = most
    want_threads(n)


prepare_threads()
isa = __name__.rpartition(".")[2]
compiler = FF_COMPILER.decode()

include "capi.pxi"
