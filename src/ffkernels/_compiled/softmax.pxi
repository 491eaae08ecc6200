# Softmax and its kin, along an axis.  m is the maximum of a row and 1 + excess the sum of its e^(x - m).
#
#     softmax               e^(x - m) / (1 + excess)           max, exp_excess, scale
#     log_softmax           (x - m) - log(1 + excess)          max, excess, log_softmax
#     logsumexp             m + log(1 + excess)                max, excess
#     softmax_backward      y (dy - sum of dy y)               dot, softmax_backward
#     log_softmax_backward  dy - e^y (sum of dy)               sum, log_softmax_backward

cdef double softmax_row(const Loss *_, ptrdiff_t row, const stored *x, const stored *_y, stored *y, real *scratch,
                        ptrdiff_t n) noexcept nogil:
    cdef double excess = row_exponentials(x, row_max(x, n), y, scratch, n)
    row_scale_exponentials(1 / (1 + excess), y, scratch, n)
    return 0


cdef void softmax_lanes(const Loss *_, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld, const real *_y,
                        ptrdiff_t _ld, real *y, ptrdiff_t ld_y, ptrdiff_t n, double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef double excess[FF_LANES]
    cdef double scale[FF_LANES]
    cdef int l
    lanes_max(x, ld, n, m)
    lanes_exp_excess(x, ld, m, y, ld_y, n, excess)
    for l in range(FF_LANES):
        scale[l] = 1 / (1 + excess[l])
        value[l] = 0
    lanes_scale(y, ld_y, scale, y, ld_y, n)


cdef kernel_pair softmax_kernels = kernels_of(
    softmax_row[float, float], softmax_row[double, double], softmax_lanes[float], softmax_lanes[double], 160, 80)
softmax_kernels.row_f16, softmax_kernels.row_bf16 = softmax_row[float16, float], softmax_row[bfloat16, float]


cdef double log_softmax_row(const Loss *_, ptrdiff_t row, const stored *x, const stored *_y, stored *y, real *scratch,
                            ptrdiff_t n) noexcept nogil:
    cdef real m = <real>row_max(x, n)
    row_log_softmax(x, m, log1p_nonnegative(row_excess(x, m, n)), y, n)
    return 0


cdef void log_softmax_lanes(const Loss *_, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld, const real *_y,
                            ptrdiff_t _ld, real *y, ptrdiff_t ld_y, ptrdiff_t n, double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef double excess[FF_LANES]
    cdef double log_sum[FF_LANES]
    cdef int l
    lanes_max(x, ld, n, m)
    lanes_excess(x, ld, m, y, ld_y, n, excess)
    lanes_log1p(excess, log_sum)
    lanes_log_softmax(x, ld, m, log_sum, y, ld_y, n)
    for l in range(FF_LANES):
        value[l] = 0


cdef kernel_pair log_softmax_kernels = kernels_of(
    log_softmax_row[float, float], log_softmax_row[double, double],
    log_softmax_lanes[float], log_softmax_lanes[double], 256, 112)
log_softmax_kernels.row_f16 = log_softmax_row[float16, float]
log_softmax_kernels.row_bf16 = log_softmax_row[bfloat16, float]


cdef double logsumexp_row(const Loss *_, ptrdiff_t row, const stored *x, const stored *_y, stored *_out, real *scratch,
                          ptrdiff_t n) noexcept nogil:
    cdef real m = <real>row_max(x, n)
    return logsumexp_of(m, row_excess(x, m, n), x, 1, n)


cdef void logsumexp_lanes(const Loss *_, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld, const real *_y,
                          ptrdiff_t _ld, real *_out, ptrdiff_t _ld_out, ptrdiff_t n, double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef double excess[FF_LANES]
    cdef int l
    lanes_max(x, ld, n, m)
    lanes_excess(x, ld, m, <const real *>NULL, 0, n, excess)
    for l in range(FF_LANES):
        value[l] = logsumexp_of(m[l], excess[l], x + l, ld, n)


cdef inline double logsumexp_of(double m, double excess, const stored *x, ptrdiff_t stride,
                                ptrdiff_t n) noexcept nogil:
    """m + log(1 + excess); without a finite maximum the limit is the maximum, or the first NaN."""
    cdef ptrdiff_t i
    if m == INFINITY or m == -INFINITY:
        for i in range(n):
            if value_of(x[i * stride]) != value_of(x[i * stride]):
                return value_of(x[i * stride])
        return m
    return m + log1p_nonnegative(excess)


cdef kernel_pair logsumexp_kernels = kernels_of(
    logsumexp_row[float, float], logsumexp_row[double, double], logsumexp_lanes[float], logsumexp_lanes[double],
    256, 112)
logsumexp_kernels.row_f16, logsumexp_kernels.row_bf16 = logsumexp_row[float16, float], logsumexp_row[bfloat16, float]


cdef double softmax_backward_row(const Loss *_, ptrdiff_t row, const real *dy, const real *y, real *dx, real *scratch,
                                 ptrdiff_t n) noexcept nogil:
    row_softmax_backward(dy, y, row_dot(dy, y, n), dx, n)
    return 0


cdef void softmax_backward_lanes(const Loss *_, ptrdiff_t row, int rows, const real *dy, ptrdiff_t ld_dy, const real *y,
                                 ptrdiff_t ld_y, real *dx, ptrdiff_t ld_dx, ptrdiff_t n, double *value) noexcept nogil:
    cdef double dot[FF_LANES]
    cdef int l
    lanes_dot(dy, ld_dy, y, ld_y, n, dot)
    lanes_softmax_backward(dy, ld_dy, y, ld_y, dot, dx, ld_dx, n)
    for l in range(FF_LANES):
        value[l] = 0


cdef kernel_pair softmax_backward_kernels = kernels_of(
    softmax_backward_row[float], softmax_backward_row[double],
    softmax_backward_lanes[float], softmax_backward_lanes[double], 56, 32)


cdef double log_softmax_backward_row(const Loss *_, ptrdiff_t row, const real *dy, const real *y, real *dx,
                                     real *scratch, ptrdiff_t n) noexcept nogil:
    row_log_softmax_backward(dy, y, row_sum(dy, n), dx, n)
    return 0


cdef void log_softmax_backward_lanes(const Loss *_, ptrdiff_t row, int rows, const real *dy, ptrdiff_t ld_dy,
                                     const real *y, ptrdiff_t ld_y, real *dx, ptrdiff_t ld_dx, ptrdiff_t n,
                                     double *value) noexcept nogil:
    cdef double sum[FF_LANES]
    cdef int l
    lanes_sum(dy, ld_dy, n, sum)
    lanes_log_softmax_backward(dy, ld_dy, y, ld_y, sum, dx, ld_dx, n)
    for l in range(FF_LANES):
        value[l] = 0


cdef kernel_pair log_softmax_backward_kernels = kernels_of(
    log_softmax_backward_row[float], log_softmax_backward_row[double],
    log_softmax_backward_lanes[float], log_softmax_backward_lanes[double], 40, 28)


# ---- from Python -----------------------------------------------------------------------------------------

cdef object along_axis(object x, object axis, object out, const kernel_pair *kernels):
    """out = f(x), row by row"""
    cdef Rows rows
    cdef cnp.ndarray source = None, target = None
    cdef int axis_ = -1
    if is_array(x) and is_ready_out(out, <cnp.ndarray>x):
        axis_ = ready_axis(axis, <cnp.ndarray>x)
    if axis_ >= 0:
        source = <cnp.ndarray>x
        target = result = empty_like(source) if out is None else out
    else:
        (source,), axis_, target, result = _arguments.check_rows(("x",), (x,), axis, out, halves=True)
    begin_rows(&rows, kernels, source, axis_)
    add_rows(&rows, FIRST, source, axis_)
    add_rows(&rows, OUTPUT, target, axis_)
    run_rows(&rows)
    return finish_output(target, result, out)


cdef object backward_along_axis(object dy, object y, object axis, object out, const kernel_pair *kernels):
    """out = f(dy, y), row by row"""
    cdef Rows rows
    cdef cnp.ndarray grad = None, saved = None, target = None
    cdef int axis_ = -1
    if is_ready_pair(dy, y, out):
        axis_ = ready_axis(axis, <cnp.ndarray>dy)
    if axis_ >= 0:
        grad, saved = <cnp.ndarray>dy, <cnp.ndarray>y
        target = result = empty_like(grad) if out is None else out
    else:
        (grad, saved), axis_, target, result = _arguments.check_rows(("dy", "y"), (dy, y), axis, out, halves=True)
    begin_rows(&rows, kernels, grad, axis_)
    add_rows(&rows, FIRST, grad, axis_)
    add_rows(&rows, SECOND, saved, axis_)
    add_rows(&rows, OUTPUT, target, axis_)
    run_rows(&rows)
    return finish_output(target, result, out)


def softmax(x, axis, out):
    return along_axis(x, axis, out, &softmax_kernels)


def log_softmax(x, axis, out):
    return along_axis(x, axis, out, &log_softmax_kernels)


def logsumexp(x, axis, keepdims, out):
    cdef Rows rows
    cdef cnp.ndarray source = None, target = None
    cdef cnp.npy_intp shape[MAX_DIMS]
    cdef int axis_ = -1, ndim
    if is_array(x) and type(keepdims) is bool:
        axis_ = ready_axis(axis, <cnp.ndarray>x)
    if axis_ >= 0:
        ndim = shape_without(<cnp.ndarray>x, axis_, keepdims, shape)
        if out is not None and not is_ready_result(out, cnp.PyArray_TYPE(<cnp.ndarray>x), <cnp.ndarray>x, ndim, shape):
            axis_ = -1
    if axis_ >= 0:
        source = <cnp.ndarray>x
        target = result = cnp.PyArray_EMPTY(ndim, shape, cnp.PyArray_TYPE(source), 0) if out is None else out
    else:
        source, axis_, target, result = _arguments.check_logsumexp(x, axis, keepdims, out, halves=True)
    begin_rows(&rows, &logsumexp_kernels, source, axis_)
    add_rows(&rows, FIRST, source, axis_)
    rows.values, rows.values_storage = cnp.PyArray_DATA(target), storage_of(target)
    run_rows(&rows)
    return finish_output(target, result, out)


def softmax_backward(dy, y, axis, out):
    return backward_along_axis(dy, y, axis, out, &softmax_backward_kernels)


def log_softmax_backward(dy, y, axis, out):
    return backward_along_axis(dy, y, axis, out, &log_softmax_backward_kernels)
