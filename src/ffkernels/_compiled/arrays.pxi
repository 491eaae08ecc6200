# From Python arrays to pointers.
#
# An argument is *ready* where a kernel can take it as it is: an exact ndarray of the right type, an
# `out` that is one of the inputs or disjoint from them.  A call on tiny arrays costs what is done
# here, so that this is told by a few loads through NumPy's C API.  Whatever is not ready (lists, other
# types, an `out` that may overlap, anything wrong) goes through `_arguments`, which both backends share:
# it converts or refuses, in one place and with one message.

cdef enum:
    MAX_DIMS = 64


# NumPy's number for the bfloat16 of ml_dtypes, as soon as an array of it has come.
cdef int bfloat16_type = -1


cdef bint is_bfloat16(cnp.ndarray x) noexcept:
    global bfloat16_type
    cdef int kind = cnp.PyArray_TYPE(x)
    if kind == bfloat16_type:
        return True
    if kind < NPY_USERDEF or (<object>x).dtype.name != "bfloat16":
        return False
    bfloat16_type = kind
    return True


cdef inline Storage storage_of(cnp.ndarray x) noexcept:
    """How an array is stored that `is_array`."""
    cdef int kind = cnp.PyArray_TYPE(x)
    if kind == cnp.NPY_FLOAT:
        return FLOAT32
    if kind == cnp.NPY_DOUBLE:
        return FLOAT64
    return FLOAT16 if kind == NPY_HALF else BFLOAT16


cdef inline bint is_half(cnp.ndarray x) noexcept:
    cdef int kind = cnp.PyArray_TYPE(x)
    return kind == NPY_HALF or (kind != cnp.NPY_FLOAT and kind != cnp.NPY_DOUBLE and is_bfloat16(x))


cdef inline bint is_array(object x) noexcept:
    """An exact ndarray of float32, float64 or half precision, aligned and in native byte order, of any layout."""
    if not PyArray_CheckExact(x):
        return False
    cdef int kind = cnp.PyArray_TYPE(<cnp.ndarray>x)
    return (
        (kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE or is_half(<cnp.ndarray>x))
        and PyArray_CHKFLAGS(<cnp.ndarray>x, cnp.NPY_ARRAY_ALIGNED)
        and PyArray_ISNOTSWAPPED(<cnp.ndarray>x)
    )


cdef inline bint is_c_ordered(cnp.ndarray x) noexcept:
    return PyArray_CHKFLAGS(x, cnp.NPY_ARRAY_C_CONTIGUOUS)


cdef inline bint is_c_array(object x) noexcept:
    """The same in C order."""
    return is_array(x) and is_c_ordered(<cnp.ndarray>x)


cdef inline bint is_double(cnp.ndarray x) noexcept:
    """Whether it is computed in double; all others are in float."""
    return cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE


cdef inline int work_type(cnp.ndarray x) noexcept:
    """NumPy's number for the type that it is computed in."""
    return cnp.NPY_DOUBLE if is_double(x) else cnp.NPY_FLOAT


cdef inline bint alike(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Two arrays of the same type and shape."""
    cdef int i, ndim = cnp.PyArray_NDIM(a)
    if cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(b) or cnp.PyArray_NDIM(b) != ndim:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(a, i) != cnp.PyArray_DIM(b, i):
            return False
    return True


cdef inline char *first_byte(cnp.ndarray a) noexcept:
    cdef char *p = <char *>cnp.PyArray_DATA(a)
    cdef int i
    if not is_c_ordered(a):
        for i in range(cnp.PyArray_NDIM(a)):
            p += min(cnp.PyArray_STRIDE(a, i), 0) * (cnp.PyArray_DIM(a, i) - 1)
    return p


cdef inline char *last_byte(cnp.ndarray a) noexcept:
    """One past the last."""
    cdef char *p = <char *>cnp.PyArray_DATA(a)
    cdef int i
    if is_c_ordered(a):
        return p + cnp.PyArray_NBYTES(a)
    for i in range(cnp.PyArray_NDIM(a)):
        p += max(cnp.PyArray_STRIDE(a, i), 0) * (cnp.PyArray_DIM(a, i) - 1)
    return p + cnp.PyArray_ITEMSIZE(a)


cdef inline bint disjoint(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Neither array reaches into the memory between the other's ends."""
    return last_byte(a) <= first_byte(b) or last_byte(b) <= first_byte(a)


cdef inline bint same_memory(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Two arrays of one type and shape that are the same elements in the same places."""
    cdef int i
    if cnp.PyArray_DATA(a) != cnp.PyArray_DATA(b):
        return False
    if not (is_c_ordered(a) and is_c_ordered(b)):
        for i in range(cnp.PyArray_NDIM(a)):
            if cnp.PyArray_STRIDE(a, i) != cnp.PyArray_STRIDE(b, i):
                return False
    return True


cdef bint overlaps_itself(cnp.ndarray a) noexcept:
    """Some axis has a stride within what the axes with shorter strides reach."""
    cdef int i, j, ndim = cnp.PyArray_NDIM(a)
    cdef ptrdiff_t stride, reach
    for i in range(ndim):
        stride = abs(cnp.PyArray_STRIDE(a, i))
        reach = cnp.PyArray_ITEMSIZE(a)
        for j in range(ndim):
            if j != i and abs(cnp.PyArray_STRIDE(a, j)) <= stride:
                reach += abs(cnp.PyArray_STRIDE(a, j)) * (cnp.PyArray_DIM(a, j) - 1)
        if stride < reach and cnp.PyArray_DIM(a, i) > 1:
            return True
    return False


cdef inline bint is_writable_like(object out, cnp.ndarray like) noexcept:
    """An array that may be written, of the type and shape of `like`."""
    return (
        is_array(out)
        and PyArray_CHKFLAGS(<cnp.ndarray>out, cnp.NPY_ARRAY_WRITEABLE)
        and alike(<cnp.ndarray>out, like)
        and (is_c_ordered(<cnp.ndarray>out) or not overlaps_itself(<cnp.ndarray>out))
    )


cdef inline bint same_or_disjoint(cnp.ndarray a, cnp.ndarray b) noexcept:
    return same_memory(a, b) or disjoint(a, b)


cdef inline bint is_ready_out(object out, cnp.ndarray x) noexcept:
    """An `out`, or none, that is ready beside the input `x`."""
    return out is None or (is_writable_like(out, x) and same_or_disjoint(<cnp.ndarray>out, x))


cdef inline bint is_ready_pair(object a, object b, object out) noexcept:
    """Two inputs alike, and an `out` or none beside them, that are ready."""
    return (
        is_array(a) and is_array(b) and alike(<cnp.ndarray>a, <cnp.ndarray>b)
        and is_ready_out(out, <cnp.ndarray>a)
        and (out is None or same_or_disjoint(<cnp.ndarray>out, <cnp.ndarray>b))
    )


cdef inline cnp.ndarray empty_like(cnp.ndarray x):
    """A new array of the type, shape and order of axes of `x`."""
    if is_c_ordered(x):
        return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
    return PyArray_NewLikeArray(x, cnp.NPY_KEEPORDER, NULL, 0)


cdef inline int shape_without(cnp.ndarray x, int axis, bint keepdims, cnp.npy_intp *shape) noexcept:
    """The shape of `x` less an axis, or with 1 in its place; returns how many dimensions."""
    cdef int i, ndim = 0
    for i in range(cnp.PyArray_NDIM(x)):
        if i != axis or keepdims:
            shape[ndim] = cnp.PyArray_DIM(x, i) if i != axis else 1
            ndim += 1
    return ndim


cdef inline bint is_ready_result(object out, int kind, cnp.ndarray x, int ndim, const cnp.npy_intp *shape) noexcept:
    """A C-ordered array that may be written, of this type and shape, disjoint from `x`."""
    cdef int i
    if (
        not is_c_array(out)
        or not PyArray_CHKFLAGS(<cnp.ndarray>out, cnp.NPY_ARRAY_WRITEABLE)
        or cnp.PyArray_TYPE(<cnp.ndarray>out) != kind
        or cnp.PyArray_NDIM(<cnp.ndarray>out) != ndim
    ):
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(<cnp.ndarray>out, i) != shape[i]:
            return False
    return disjoint(<cnp.ndarray>out, x)


cdef inline int ready_axis(object axis, cnp.ndarray x) noexcept:
    """The axis, counted from 0, where it is an int in range, else -1."""
    cdef int ndim = cnp.PyArray_NDIM(x), overflow = 0
    cdef long index
    if type(axis) is not int:
        return -1
    index = PyLong_AsLongAndOverflow(axis, &overflow)
    if overflow or not -ndim <= index < ndim:
        return -1
    return <int>(index + ndim if index < 0 else index)


cdef inline object scalar(double value, int typenum):
    """A NumPy scalar of the compute type."""
    if typenum == cnp.NPY_FLOAT:
        return new_float32(<float>value)
    return new_float64(value)


cdef inline object finish_output(cnp.ndarray target, object result, object out):
    """Returns what was computed into `target` as the caller wants it."""
    if result is target and (out is not None or cnp.PyArray_NDIM(target)):
        return result
    return _arguments.deliver(target, result, out)
