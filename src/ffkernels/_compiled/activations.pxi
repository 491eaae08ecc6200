# ---- elementwise ---------------------------------------------------------------------------------

def relu(x, out):
    return unary(x, out, relu_spans, GRAIN_MEMORY)


def relu_grad(x, out):
    return unary(x, out, relu_grad_spans, GRAIN_MEMORY)


def relu_backward(dy, y, out):
    return binary(dy, y, out, relu_backward_spans, GRAIN_MEMORY)


def sigmoid(x, out):
    return unary(x, out, sigmoid_spans, GRAIN_MATHS)


def sigmoid_grad(x, out):
    return unary(x, out, sigmoid_grad_spans, GRAIN_MATHS)


def sigmoid_backward(dy, y, out):
    return binary(dy, y, out, sigmoid_backward_spans, GRAIN_MEMORY)


def tanh(x, out):
    return unary(x, out, tanh_spans, GRAIN_MATHS)


def tanh_grad(x, out):
    return unary(x, out, tanh_grad_spans, GRAIN_MATHS)


def tanh_backward(dy, y, out):
    return binary(dy, y, out, tanh_backward_spans, GRAIN_MEMORY)


def identity(x, out):
    return unary(x, out, identity_spans, GRAIN_MEMORY)


def identity_grad(x, out):
    return unary(x, out, identity_grad_spans, GRAIN_MEMORY)


def identity_backward(dy, y, out):
    return binary(dy, y, out, identity_backward_spans, GRAIN_MEMORY)


# ---- with a bias: what stands on both sides of an affine layer's matrix product ---------------------

cdef inline bint is_along_last(object b, cnp.ndarray x) noexcept:
    """A vector of the type of `x` and the length of its last axis."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    return (
        is_array(b) and ndim > 0 and cnp.PyArray_NDIM(<cnp.ndarray>b) == 1
        and cnp.PyArray_TYPE(<cnp.ndarray>b) == cnp.PyArray_TYPE(x)
        and cnp.PyArray_DIM(<cnp.ndarray>b, 0) == cnp.PyArray_DIM(x, ndim - 1)
    )


cdef enum:
    REPEATED_BYTES = 4096


cdef inline ptrdiff_t rows_a_span(ptrdiff_t rows, ptrdiff_t n, ptrdiff_t itemsize) noexcept nogil:
    """How many rows are taken as one: a call and a tail for each short one would cost most of the time."""
    return max(1, min(rows, REPEATED_BYTES // itemsize // max(n, 1)))


cdef void repeat(const char *row, ptrdiff_t size, ptrdiff_t times, char *repeated) noexcept nogil:
    cdef ptrdiff_t done = size, wanted = size * times
    memcpy(repeated, row, size)
    while done < wanted:
        memcpy(repeated + done, repeated, min(done, wanted - done))
        done += min(done, wanted - done)


cdef object bias(object x, object b, object out, const span_function *spans, ptrdiff_t grain):
    """out = f(x + b), b along the last axis"""
    cdef cnp.ndarray source, addend, target
    cdef Walk walk
    if is_array(x) and is_along_last(b, <cnp.ndarray>x) and is_out(out, <cnp.ndarray>x) and (
            out is None or apart(<cnp.ndarray>out, <cnp.ndarray>b)):
        source, addend = <cnp.ndarray>x, <cnp.ndarray>b
        target = result = empty_like(source) if out is None else out
    else:
        source, addend, target, result = _arguments.bias(x, b, out)
    if is_c_ordered(source) and is_c_ordered(addend) and is_c_ordered(target):
        bias_plain(source, addend, target, spans[is_double(target)], grain)
        return delivered(target, result, out)
    walk.operands = walk.outputs = 0
    walk.span = spans[is_double(target)]
    walk.grain = grain
    add_operand(&walk, source, False)
    add_operand(&walk, addend, False)
    add_operand(&walk, target, True)
    simplify(&walk)
    with nogil:
        run(&walk)
    return delivered(target, result, out)


cdef void bias_plain(cnp.ndarray source, cnp.ndarray addend, cnp.ndarray target, span_function span,
                     ptrdiff_t grain) noexcept:
    """The same over C-ordered arrays: several short rows at a time, beside as many copies of b."""
    cdef char repeated[REPEATED_BYTES]
    cdef char *data[3]
    cdef char *rest[3]
    cdef Walk walk
    cdef ptrdiff_t n = cnp.PyArray_DIM(addend, 0), itemsize = cnp.PyArray_ITEMSIZE(target), rows, turns, done
    cdef int k
    if cnp.PyArray_SIZE(target) == 0:
        return
    rows = cnp.PyArray_SIZE(target) // n
    turns = rows_a_span(rows, n, itemsize)
    data[0] = <char *>cnp.PyArray_DATA(source)
    data[1] = <char *>cnp.PyArray_DATA(addend)
    data[2] = <char *>cnp.PyArray_DATA(target)
    if turns > 1:
        repeat(data[1], n * itemsize, turns, repeated)
        data[1] = repeated
    done = rows // turns * turns
    if done < rows:
        rest[0], rest[1], rest[2] = data[0] + done * n * itemsize, data[1], data[2] + done * n * itemsize
        span(rest, NULL, (rows - done) * n)
    if done == turns:
        run_plain(span, NULL, grain, done * n, itemsize, 3, data)
        return
    walk.span = span
    walk.scalar = NULL
    walk.itemsize = itemsize
    walk.grain = grain
    walk.operands = 3
    walk.ndim = 2
    walk.shape[0], walk.shape[1] = done // turns, turns * n
    for k in range(3):
        walk.strides[k][0], walk.strides[k][1] = turns * n * itemsize, itemsize
        walk.data[k] = data[k]
    walk.strides[1][0] = 0
    with nogil:
        run(&walk)


def bias_relu(x, b, out):
    return bias(x, b, out, bias_relu_spans, GRAIN_MEMORY)


def bias_sigmoid(x, b, out):
    return bias(x, b, out, bias_sigmoid_spans, GRAIN_MATHS)


def bias_tanh(x, b, out):
    return bias(x, b, out, bias_tanh_spans, GRAIN_MATHS)


def bias_identity(x, b, out):
    return bias(x, b, out, bias_identity_spans, GRAIN_MEMORY)


ctypedef struct Backward:
    span_function span
    bint is_double
    char *operand[3]             # dy, y and dz
    ptrdiff_t rows, n
    ptrdiff_t block_rows         # rows of one sum in double
    ptrdiff_t turns              # rows taken as one
    double *sums                 # for each thread `turns` rows
    double *partial              # for each block a row


cdef object backward_bias(object dy, object y, object out, object out_bias, const span_function *spans):
    """dz = f'(dy, y) and its sum over all axes but the last, block by block of rows: while a row of
    dz is still in the first-level cache."""
    cdef cnp.ndarray grad, saved, target, target_bias
    cdef Backward job
    cdef ptrdiff_t blocks, block, grains, i
    cdef double on_stack[1536]
    cdef double *memory = NULL
    cdef double total
    cdef int n_threads
    if is_pair(dy, y, out) and is_bias_target(out_bias, dy, y, out):
        one, two = dy, y
        work = result = empty_like(one) if out is None else out
        work_bias = result_bias = zeros_along_last(one) if out_bias is None else out_bias
    else:
        one, two, work, result, work_bias, result_bias = _arguments.backward_bias(dy, y, out, out_bias)
    grad = cnp.PyArray_GETCONTIGUOUS(one)
    saved = cnp.PyArray_GETCONTIGUOUS(two)
    target = work if is_c_ordered(work) else empty_like(grad)
    target_bias = work_bias if is_c_ordered(work_bias) else zeros_along_last(grad)
    job.is_double = is_double(target)
    job.span = spans[job.is_double]
    job.operand[0] = <char *>cnp.PyArray_DATA(grad)
    job.operand[1] = <char *>cnp.PyArray_DATA(saved)
    job.operand[2] = <char *>cnp.PyArray_DATA(target)
    job.n = cnp.PyArray_DIM(grad, cnp.PyArray_NDIM(grad) - 1)
    job.rows = cnp.PyArray_SIZE(grad) // job.n if job.n else 0
    # As many blocks at most as keep the partial sums small; their number depends on the shape alone.
    job.block_rows = max(64, (job.rows + 63) // 64)
    blocks = (job.rows + job.block_rows - 1) // job.block_rows
    job.turns = rows_a_span(min(job.rows, job.block_rows), job.n, cnp.PyArray_ITEMSIZE(grad))
    grains = job.rows * job.n // GRAIN_MEMORY
    n_threads = <int>min(threads_for(grains), max(blocks, 1))
    job.partial = on_stack
    if (blocks + n_threads * job.turns) * job.n > <ptrdiff_t>(sizeof(on_stack) // sizeof(double)):
        job.partial = memory = <double *>malloc((blocks + n_threads * job.turns) * job.n * sizeof(double))
        if memory == NULL:
            raise MemoryError
    memset(job.partial, 0, blocks * job.n * sizeof(double))
    job.sums = job.partial + blocks * job.n
    if job.rows * job.n < GIL_ELEMENTS:
        in_parallel(backward_block, &job, blocks, 1, 0)
    else:
        with nogil:
            in_parallel(backward_block, &job, blocks, n_threads, grains)
    for i in range(job.n):
        total = 0
        for block in range(blocks):
            total += job.partial[block * job.n + i]
        if is_double(target_bias):
            (<double *>cnp.PyArray_DATA(target_bias))[i] = total
        else:
            (<float *>cnp.PyArray_DATA(target_bias))[i] = <float>total
    free(memory)
    return delivered(target, result, out), delivered(target_bias, result_bias, out_bias)


cdef inline bint is_bias_target(object out_bias, object dy, object y, object out) noexcept:
    """An `out_bias`, or none, that needs no further look beside dy, y and out."""
    if out_bias is None:
        return cnp.PyArray_NDIM(<cnp.ndarray>dy) > 0
    return (
        is_plain(out_bias) and is_along_last(out_bias, <cnp.ndarray>dy)
        and PyArray_CHKFLAGS(<cnp.ndarray>out_bias, cnp.NPY_ARRAY_WRITEABLE)
        and apart(<cnp.ndarray>out_bias, <cnp.ndarray>dy) and apart(<cnp.ndarray>out_bias, <cnp.ndarray>y)
        and (out is None or apart(<cnp.ndarray>out_bias, <cnp.ndarray>out))
    )


cdef inline cnp.ndarray zeros_along_last(cnp.ndarray x):
    return cnp.PyArray_ZEROS(1, cnp.PyArray_DIMS(x) + cnp.PyArray_NDIM(x) - 1, cnp.PyArray_TYPE(x), 0)


cdef void backward_rows(const Backward *job, real *sums, ptrdiff_t row, ptrdiff_t stop, double *totals) noexcept nogil:
    """Rows one after the other, `turns` at a time: sums in `real` for 64 times, then in double."""
    cdef char *operand[3]
    cdef ptrdiff_t n = job.n, turns = job.turns, since = 0, count, half, left
    cdef int k
    while row < stop:
        if since == 0:
            memset(sums, 0, turns * n * sizeof(real))
        count = min(turns, stop - row)
        for k in range(3):
            operand[k] = job.operand[k] + row * n * sizeof(real)
        job.span(operand, NULL, count * n)
        row_add(<real *>operand[2], sums, count * n)
        row += count
        since += 1
        if since == 64 or row == stop:
            since = 0
            left = turns
            while left > 1:
                half = left // 2
                left -= half
                row_add(sums + left * n, sums, half * n)
            row_flush(sums, totals, n)


cdef void backward_block(const void *data, ptrdiff_t block, int thread) noexcept nogil:
    cdef const Backward *job = <const Backward *>data
    cdef ptrdiff_t row = block * job.block_rows, stop = min(job.rows, row + job.block_rows)
    cdef double *sums = job.sums + thread * job.turns * job.n
    cdef double *totals = job.partial + block * job.n
    if job.is_double:
        backward_rows(job, <double *>sums, row, stop, totals)
    else:
        backward_rows(job, <float *>sums, row, stop, totals)


def relu_backward_bias(dy, y, out, out_bias):
    return backward_bias(dy, y, out, out_bias, relu_backward_spans)


def sigmoid_backward_bias(dy, y, out, out_bias):
    return backward_bias(dy, y, out, out_bias, sigmoid_backward_spans)


def tanh_backward_bias(dy, y, out, out_bias):
    return backward_bias(dy, y, out, out_bias, tanh_backward_spans)


def identity_backward_bias(dy, y, out, out_bias):
    return backward_bias(dy, y, out, out_bias, identity_backward_spans)


# ---- the elementary functions themselves: nothing public calls them, the measurements of accuracy do --

def exp(x, out):
    return unary(x, out, exp_spans, GRAIN_MATHS)


def log(x, out):
    return unary(x, out, log_spans, GRAIN_MATHS)


# ---- along an axis ---------------------------------------------------------------------------------

cdef double softmax_row(const Job *job, ptrdiff_t row, const real *x, const void *_, real *y,
                        void *scratch, ptrdiff_t n) noexcept nogil:
    cdef double excess = row_exp_excess(x, row_max(x, n), y, n)
    row_scale(y, 1 / (1 + excess), y, n)
    return 0


cdef void softmax_lanes(const Job *job, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld,
                        const void *_, ptrdiff_t ld_, real *y, ptrdiff_t ld_y, ptrdiff_t n,
                        double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef double excess[FF_LANES]
    cdef int l
    lanes_max(x, ld, n, m)
    lanes_exp_excess(x, ld, m, y, ld_y, n, excess)
    for l in range(FF_LANES):
        excess[l] = 1 / (1 + excess[l])
        value[l] = 0
    lanes_scale(y, ld_y, excess, y, ld_y, n)


cdef double log_softmax_row(const Job *job, ptrdiff_t row, const real *x, const void *_, real *y,
                            void *scratch, ptrdiff_t n) noexcept nogil:
    cdef real m = <real>row_max(x, n)
    row_log_softmax(x, m, log1p_nonnegative(row_excess(x, m, n)), y, n)
    return 0


cdef void log_softmax_lanes(const Job *job, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld,
                            const void *_, ptrdiff_t ld_, real *y, ptrdiff_t ld_y, ptrdiff_t n,
                            double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef double excess[FF_LANES]
    cdef double log_sum[FF_LANES]
    cdef int l
    lanes_max(x, ld, n, m)
    lanes_excess(x, ld, m, n, excess)
    lanes_log1p(excess, log_sum)
    lanes_log_softmax(x, ld, m, log_sum, y, ld_y, n)
    for l in range(FF_LANES):
        value[l] = 0


cdef double logsumexp_row(const Job *job, ptrdiff_t row, const real *x, const void *_, real *y,
                          void *scratch, ptrdiff_t n) noexcept nogil:
    cdef real m = <real>row_max(x, n)
    return logsumexp_from(m, row_excess(x, m, n), x, 1, n)


cdef void logsumexp_lanes(const Job *job, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld,
                          const void *_, ptrdiff_t ld_, real *y, ptrdiff_t ld_y, ptrdiff_t n,
                          double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef double excess[FF_LANES]
    cdef int l
    lanes_max(x, ld, n, m)
    lanes_excess(x, ld, m, n, excess)
    for l in range(FF_LANES):
        value[l] = logsumexp_from(m[l], excess[l], x + l, ld, n)


cdef double softmax_backward_row(const Job *job, ptrdiff_t row, const real *dy, const real *y,
                                 real *dx, void *scratch, ptrdiff_t n) noexcept nogil:
    row_softmax_backward(dy, y, row_dot(dy, y, n), dx, n)
    return 0


cdef void softmax_backward_lanes(const Job *job, ptrdiff_t row, int rows, const real *dy,
                                 ptrdiff_t ld_dy, const real *y, ptrdiff_t ld_y, real *dx,
                                 ptrdiff_t ld_dx, ptrdiff_t n, double *value) noexcept nogil:
    cdef double dot[FF_LANES]
    cdef int l
    lanes_dot(dy, ld_dy, y, ld_y, n, dot)
    lanes_softmax_backward(dy, ld_dy, y, ld_y, dot, dx, ld_dx, n)
    for l in range(FF_LANES):
        value[l] = 0


cdef double log_softmax_backward_row(const Job *job, ptrdiff_t row, const real *dy, const real *y,
                                     real *dx, void *scratch, ptrdiff_t n) noexcept nogil:
    row_log_softmax_backward(dy, y, row_sum(dy, n), dx, n)
    return 0


cdef void log_softmax_backward_lanes(const Job *job, ptrdiff_t row, int rows, const real *dy,
                                     ptrdiff_t ld_dy, const real *y, ptrdiff_t ld_y, real *dx,
                                     ptrdiff_t ld_dx, ptrdiff_t n, double *value) noexcept nogil:
    cdef double sum[FF_LANES]
    cdef int l
    lanes_sum(dy, ld_dy, n, sum)
    lanes_log_softmax_backward(dy, ld_dy, y, ld_y, sum, dx, ld_dx, n)
    for l in range(FF_LANES):
        value[l] = 0


cdef inline double logsumexp_from(double m, double excess, const real *x, ptrdiff_t ld, ptrdiff_t n) noexcept nogil:
    """m + log(1 + excess); without a finite maximum the limit is the maximum, or the first NaN."""
    cdef ptrdiff_t i
    if m == INFINITY or m == -INFINITY:
        for i in range(n):
            if x[i * ld] != x[i * ld]:
                return x[i * ld]
        return m
    return m + log1p_nonnegative(excess)


cdef object along_axis(object x, object axis, object out, const kernel_pair *kernels):
    """out = f(x), row by row"""
    cdef Rows rows
    cdef cnp.ndarray source = None, target = None
    cdef int axis_ = -1
    if is_array(x) and is_out(out, <cnp.ndarray>x):
        axis_ = plain_axis(axis, <cnp.ndarray>x)
    if axis_ >= 0:
        source = <cnp.ndarray>x
        target = result = empty_like(source) if out is None else out
    else:
        (source,), axis_, target, result = _arguments.rows(("x",), (x,), axis, out)
    begin_rows(&rows, source, axis_)
    add_rows(&rows, 0, source, axis_)
    add_rows(&rows, 2, target, axis_)
    run_rows(&rows, kernels)
    return delivered(target, result, out)


cdef object backward_along_axis(object dy, object y, object axis, object out, const kernel_pair *kernels):
    """out = f(dy, y), row by row"""
    cdef Rows rows
    cdef cnp.ndarray grad = None, saved = None, target = None
    cdef int axis_ = -1
    if is_pair(dy, y, out):
        axis_ = plain_axis(axis, <cnp.ndarray>dy)
    if axis_ >= 0:
        grad, saved = <cnp.ndarray>dy, <cnp.ndarray>y
        target = result = empty_like(grad) if out is None else out
    else:
        (grad, saved), axis_, target, result = _arguments.rows(("dy", "y"), (dy, y), axis, out)
    begin_rows(&rows, grad, axis_)
    add_rows(&rows, 0, grad, axis_)
    add_rows(&rows, 1, saved, axis_)
    add_rows(&rows, 2, target, axis_)
    run_rows(&rows, kernels)
    return delivered(target, result, out)


cdef kernel_pair softmax_kernels = both_types(
    <row_kernel>softmax_row[float], <row_kernel>softmax_row[double],
    <lanes_kernel>softmax_lanes[float], <lanes_kernel>softmax_lanes[double],
)


def softmax(x, axis, out):
    return along_axis(x, axis, out, &softmax_kernels)


cdef kernel_pair log_softmax_kernels = both_types(
    <row_kernel>log_softmax_row[float], <row_kernel>log_softmax_row[double],
    <lanes_kernel>log_softmax_lanes[float], <lanes_kernel>log_softmax_lanes[double],
)


def log_softmax(x, axis, out):
    return along_axis(x, axis, out, &log_softmax_kernels)


cdef kernel_pair softmax_backward_kernels = both_types(
    <row_kernel>softmax_backward_row[float], <row_kernel>softmax_backward_row[double],
    <lanes_kernel>softmax_backward_lanes[float], <lanes_kernel>softmax_backward_lanes[double],
)
softmax_backward_kernels.tile[0] = softmax_backward_kernels.tile[1] = 64


def softmax_backward(dy, y, axis, out):
    return backward_along_axis(dy, y, axis, out, &softmax_backward_kernels)


cdef kernel_pair log_softmax_backward_kernels = both_types(
    <row_kernel>log_softmax_backward_row[float], <row_kernel>log_softmax_backward_row[double],
    <lanes_kernel>log_softmax_backward_lanes[float], <lanes_kernel>log_softmax_backward_lanes[double],
)
log_softmax_backward_kernels.tile[0] = log_softmax_backward_kernels.tile[1] = 100


def log_softmax_backward(dy, y, axis, out):
    return backward_along_axis(dy, y, axis, out, &log_softmax_backward_kernels)


def logsumexp(x, axis, keepdims, out):
    cdef Rows rows
    cdef cnp.ndarray source = None, target = None
    cdef cnp.npy_intp shape[MAX_DIMS]
    cdef int axis_ = -1, ndim
    if is_array(x) and type(keepdims) is bool:
        axis_ = plain_axis(axis, <cnp.ndarray>x)
    if axis_ >= 0:
        ndim = shape_without(<cnp.ndarray>x, axis_, keepdims, shape)
        if out is not None and not is_result(out, <cnp.ndarray>x, ndim, shape):
            axis_ = -1
    if axis_ >= 0:
        source = <cnp.ndarray>x
        target = result = cnp.PyArray_EMPTY(ndim, shape, cnp.PyArray_TYPE(source), 0) if out is None else out
    else:
        source, axis_, target, result = _arguments.logsumexp(x, axis, keepdims, out)
    begin_rows(&rows, source, axis_)
    add_rows(&rows, 0, source, axis_)
    rows.values = cnp.PyArray_DATA(target)
    run_rows(&rows, &logsumexp_kernels)
    return delivered(target, result, out)


cdef kernel_pair logsumexp_kernels = both_types(
    <row_kernel>logsumexp_row[float], <row_kernel>logsumexp_row[double],
    <lanes_kernel>logsumexp_lanes[float], <lanes_kernel>logsumexp_lanes[double],
)
