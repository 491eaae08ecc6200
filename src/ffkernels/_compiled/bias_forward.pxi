# An activation of x + b, b along the last axis: what follows an affine layer's matrix product.
#
#     bias_relu      max(x + b, 0)
#     bias_sigmoid   1 / (1 + e^-(x + b))
#     bias_tanh      tanh(x + b)
#     bias_identity  x + b
#     bias_leaky_relu, bias_elu, bias_hard_sigmoid, bias_softplus, bias_silu, bias_gelu
#                    f(x + b)

cdef extern from "elementwise.h" nogil:
    const span_function *bias_relu_spans "ffkernels::spans<ffkernels::elementwise::bias_relu>"
    const span_function *bias_sigmoid_spans "ffkernels::spans<ffkernels::elementwise::bias_sigmoid>"
    const span_function *bias_tanh_spans "ffkernels::spans<ffkernels::elementwise::bias_tanh>"
    const span_function *bias_identity_spans "ffkernels::spans<ffkernels::elementwise::bias_identity>"
    const span_function *bias_leaky_relu_spans "ffkernels::spans<ffkernels::forward_with_bias<ffkernels::elementwise::leaky_relu>>"
    const span_function *bias_elu_spans "ffkernels::spans<ffkernels::forward_with_bias<ffkernels::elementwise::elu>>"
    const span_function *bias_hard_sigmoid_spans "ffkernels::spans<ffkernels::forward_with_bias<ffkernels::elementwise::hard_sigmoid>>"
    const span_function *bias_softplus_spans "ffkernels::spans<ffkernels::forward_with_bias<ffkernels::elementwise::softplus>>"
    const span_function *bias_silu_spans "ffkernels::spans<ffkernels::forward_with_bias<ffkernels::elementwise::silu>>"
    const span_function *bias_gelu_spans "ffkernels::spans<ffkernels::forward_with_bias<ffkernels::elementwise::gelu>>"
    const span_function *bias_gelu_tanh_spans "ffkernels::spans<ffkernels::forward_with_bias<ffkernels::elementwise::gelu_tanh>>"


cdef inline bint is_along_last(object b, cnp.ndarray x) noexcept:
    """A vector of the type of `x` and the length of its last axis."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    return (
        is_array(b) and ndim > 0 and cnp.PyArray_NDIM(<cnp.ndarray>b) == 1
        and cnp.PyArray_TYPE(<cnp.ndarray>b) == cnp.PyArray_TYPE(x)
        and cnp.PyArray_DIM(<cnp.ndarray>b, 0) == cnp.PyArray_DIM(x, ndim - 1)
    )


cdef inline ptrdiff_t rows_a_span(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t itemsize) noexcept nogil:
    """How many rows are taken as one, as a buffer holds: a call and a tail for each short one would cost most
    of the time."""
    return max(1, min(rows, <ptrdiff_t>sizeof(Buffer) // itemsize // max(n, 1)))


cdef void repeat(const char *row, ptrdiff_t size, ptrdiff_t times, char *repeated) noexcept nogil:
    """Copies `size` bytes so many times, one copy after the other."""
    cdef ptrdiff_t done = size, wanted = size * times, count
    memcpy(repeated, row, size)
    while done < wanted:
        count = min(done, wanted - done)
        memcpy(repeated + done, repeated, count)
        done += count


cdef object add_bias(object x, object b, object out, const span_function *spans, ptrdiff_t grain, double number=0):
    """out = f(x + b), or f(x + b, number)"""
    cdef cnp.ndarray source, bias, target
    cdef Walk walk
    if is_array(x) and is_along_last(b, <cnp.ndarray>x) and is_ready_out(out, <cnp.ndarray>x) and (
            out is None or disjoint(<cnp.ndarray>out, <cnp.ndarray>b)):
        source, bias = <cnp.ndarray>x, <cnp.ndarray>b
        target = result = empty_like(source) if out is None else out
    else:
        source, bias, target, result = _arguments.check_bias(x, b, out, halves=True)
    if is_c_ordered(source) and is_c_ordered(bias) and is_c_ordered(target):
        add_bias_contiguous(source, bias, target, spans, &number, grain)
        return finish_output(target, result, out)
    begin_walk(&walk, spans, &number, grain, work_storage(target), cnp.PyArray_NDIM(target), cnp.PyArray_DIMS(target))
    add_array(&walk, source, False)
    add_array(&walk, bias, False)
    add_array(&walk, target, True)
    join_walk(&walk)
    run_walk(&walk)
    return finish_output(target, result, out)


cdef void add_bias_contiguous(cnp.ndarray source, cnp.ndarray bias, cnp.ndarray target,
                              const span_function *spans, const double *number, ptrdiff_t grain) noexcept:
    """The same over C-ordered arrays: several short rows at a time, beside as many copies of b."""
    cdef Buffer repeated
    cdef char *data[3]
    cdef Storage[3] storage = [storage_of(source), storage_of(bias), storage_of(target)]
    cdef Storage work = work_storage(target)
    cdef Walk walk
    cdef cnp.npy_intp shape[2]
    cdef cnp.npy_intp strides[2]
    cdef ptrdiff_t n = cnp.PyArray_DIM(bias, 0), itemsize = stored_size(storage[1]), rows, taken, done
    cdef int k
    if cnp.PyArray_SIZE(target) == 0:
        return
    rows = cnp.PyArray_SIZE(target) // n
    taken = rows_a_span(rows, n, itemsize)
    data[0] = <char *>cnp.PyArray_DATA(source)
    data[1] = <char *>cnp.PyArray_DATA(bias)
    data[2] = <char *>cnp.PyArray_DATA(target)
    if taken > 1:
        repeat(data[1], n * itemsize, taken, <char *>&repeated)
        data[1] = <char *>&repeated
    done = rows // taken * taken
    if done < rows:
        data[0] += done * n * stored_size(storage[0])
        data[2] += done * n * stored_size(storage[2])
        run_contiguous(spans, number, grain, (rows - done) * n, work, 3, data, storage, 1 << 2)
        data[0] -= done * n * stored_size(storage[0])
        data[2] -= done * n * stored_size(storage[2])
    if done == taken:
        run_contiguous(spans, number, grain, done * n, work, 3, data, storage, 1 << 2)
        return
    shape[0], shape[1] = done // taken, taken * n
    begin_walk(&walk, spans, number, grain, work, 2, shape)
    for k in range(3):
        strides[1] = stored_size(storage[k])
        strides[0] = 0 if k == 1 else taken * n * strides[1]
        add_operand(&walk, data[k], storage[k], 2, strides, k == 2)
    run_walk(&walk)


def bias_relu(x, b, out):
    return add_bias(x, b, out, bias_relu_spans, GRAIN_MEMORY)


def bias_sigmoid(x, b, out):
    return add_bias(x, b, out, bias_sigmoid_spans, GRAIN_MATHS)


def bias_tanh(x, b, out):
    return add_bias(x, b, out, bias_tanh_spans, GRAIN_MATHS)


def bias_identity(x, b, out):
    return add_bias(x, b, out, bias_identity_spans, GRAIN_MEMORY)


def bias_leaky_relu(x, b, negative_slope, out):
    return add_bias(x, b, out, bias_leaky_relu_spans, GRAIN_MEMORY, _arguments.finite_number(negative_slope, "negative_slope"))


def bias_elu(x, b, alpha, out):
    return add_bias(x, b, out, bias_elu_spans, GRAIN_MATHS, _arguments.finite_number(alpha, "alpha"))


def bias_hard_sigmoid(x, b, out):
    return add_bias(x, b, out, bias_hard_sigmoid_spans, GRAIN_MEMORY)


def bias_softplus(x, b, out):
    return add_bias(x, b, out, bias_softplus_spans, GRAIN_MATHS)


def bias_silu(x, b, out):
    return add_bias(x, b, out, bias_silu_spans, GRAIN_MATHS)


def bias_gelu(x, b, approximate, out):
    cdef const span_function *spans = (
        bias_gelu_tanh_spans if _arguments.is_by_tanh(approximate) else bias_gelu_spans
    )
    return add_bias(x, b, out, spans, GRAIN_MATHS)
