# From Python arrays to pointers.
#
# A call on tiny arrays costs what is done here, so the common case, exact C-ordered ndarrays of one
# type, is told by a few loads through NumPy's C API.  Whatever is not that (lists, other types,
# strides, an `out` that may overlap, anything wrong) goes through `_arguments`, which both backends
# share: it converts or refuses, in one place and with one message.

cdef int threads = 1


def get_num_threads():
    return threads


def set_num_threads(int n):
    global threads
    threads = n


cdef inline int threads_for(ptrdiff_t work, ptrdiff_t grain) noexcept nogil:
    """How many threads `work` elements deserve, at least `grain` for each."""
    cdef ptrdiff_t n = threads
    if n > 1:
        n = min(n, omp_get_max_threads(), work // grain)
    return <int>max(n, 1)


cdef inline bint is_plain(object x) noexcept:
    """An exact ndarray of float32 or float64, C-ordered, aligned and in native byte order."""
    if not PyArray_CheckExact(x):
        return False
    cdef int kind = cnp.PyArray_TYPE(<cnp.ndarray>x)
    return (
        (kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE)
        and PyArray_CHKFLAGS(<cnp.ndarray>x, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED)
        and PyArray_ISNOTSWAPPED(<cnp.ndarray>x)
    )


cdef inline bint alike(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Two plain arrays of the same type and shape."""
    cdef int i, ndim = cnp.PyArray_NDIM(a)
    if cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(b) or cnp.PyArray_NDIM(b) != ndim:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(a, i) != cnp.PyArray_DIM(b, i):
            return False
    return True


cdef inline bint apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Two contiguous arrays with no memory in common."""
    cdef char *p = <char *>cnp.PyArray_DATA(a)
    cdef char *q = <char *>cnp.PyArray_DATA(b)
    return p + cnp.PyArray_NBYTES(a) <= q or q + cnp.PyArray_NBYTES(b) <= p


cdef inline bint same_or_apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Two plain arrays of the same type and shape: the same memory, or none in common."""
    return cnp.PyArray_DATA(a) == cnp.PyArray_DATA(b) or apart(a, b)


cdef inline bint is_plain_out(object out, cnp.ndarray x) noexcept:
    """An `out` that needs no further look beside the plain input `x`."""
    return (
        is_plain(out)
        and PyArray_CHKFLAGS(<cnp.ndarray>out, cnp.NPY_ARRAY_WRITEABLE)
        and alike(<cnp.ndarray>out, x)
        and same_or_apart(<cnp.ndarray>out, x)
    )


cdef inline bint is_plain_pair(object a, object b, object out) noexcept:
    """Two inputs alike, and an `out` beside them, that need no further look."""
    return (
        is_plain(a) and is_plain(b) and alike(<cnp.ndarray>a, <cnp.ndarray>b)
        and (out is None or (is_plain_out(out, <cnp.ndarray>a)
                             and same_or_apart(<cnp.ndarray>out, <cnp.ndarray>b)))
    )


cdef inline cnp.ndarray empty_like(cnp.ndarray x):
    return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)


cdef inline bint is_double(cnp.ndarray x) noexcept:
    return cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE


cdef inline object scalar(double value, int typenum):
    """A NumPy scalar of the compute type."""
    cdef float single = <float>value
    cdef cnp.dtype dtype = cnp.PyArray_DescrFromType(typenum)
    if typenum == cnp.NPY_FLOAT:
        return PyArray_Scalar(&single, dtype, None)
    return PyArray_Scalar(&value, dtype, None)
