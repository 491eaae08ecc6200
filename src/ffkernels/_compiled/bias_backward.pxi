# Backwards through an activation and the bias before it: what precedes the products of an affine layer's
# gradient.
#
#     relu_backward_bias      dz = relu_backward(dy, y), and its sum over all axes but the last
#     sigmoid_backward_bias   dz = sigmoid_backward(dy, y), and the sum
#     tanh_backward_bias      dz = tanh_backward(dy, y), and the sum
#     identity_backward_bias  dz = dy, and the sum
#     leaky_relu_backward_bias, elu_..., hard_sigmoid_..., softplus_..., silu_..., gelu_backward_bias
#                             dz = dy f'(x + b), and the sum
#
# The span of the elementwise function, which adds what it stores to a row of sums as well.  Rows are
# added in `real` for 64 spans, then in double (`row_flush`), block by block.

cdef extern from "elementwise.h" nogil:
    const span_function *relu_backward_adding "ffkernels::adding_spans<ffkernels::elementwise::relu_backward>"
    const span_function *sigmoid_backward_adding "ffkernels::adding_spans<ffkernels::elementwise::sigmoid_backward>"
    const span_function *tanh_backward_adding "ffkernels::adding_spans<ffkernels::elementwise::tanh_backward>"
    const span_function *identity_backward_adding "ffkernels::adding_spans<ffkernels::elementwise::identity_backward>"
    const span_function *leaky_relu_backward_adding "ffkernels::adding_spans<ffkernels::backward<ffkernels::elementwise::leaky_relu>>"
    const span_function *elu_backward_adding "ffkernels::adding_spans<ffkernels::backward<ffkernels::elementwise::elu>>"
    const span_function *hard_sigmoid_backward_adding "ffkernels::adding_spans<ffkernels::backward<ffkernels::elementwise::hard_sigmoid>>"
    const span_function *softplus_backward_adding "ffkernels::adding_spans<ffkernels::backward<ffkernels::elementwise::softplus>>"
    const span_function *silu_backward_adding "ffkernels::adding_spans<ffkernels::backward<ffkernels::elementwise::silu>>"
    const span_function *gelu_backward_adding "ffkernels::adding_spans<ffkernels::backward<ffkernels::elementwise::gelu>>"
    const span_function *gelu_tanh_backward_adding "ffkernels::adding_spans<ffkernels::backward<ffkernels::elementwise::gelu_tanh>>"

cdef enum:
    SPANS_A_FLUSH = 64
    FEWEST_ROWS_A_BLOCK = 64
    MOST_BLOCKS = 64
    TOTALS_ON_STACK = 1024       # doubles

ctypedef struct BiasBackward:
    Walk walk                    # over rows of dy, y, perhaps b, dz and the sums, contiguous
    int output                   # the number of dz among them
    bint is_double
    ptrdiff_t itemsize           # of the sums
    ptrdiff_t rows, n
    ptrdiff_t rows_a_block
    ptrdiff_t rows_a_span
    double *totals               # for each block a row
    char *sums                   # for each thread `rows_a_span` rows of `real`
    ptrdiff_t sums_bytes         # for each thread


cdef inline bint is_ready_out_bias(object out_bias, object dy, object y, object out) noexcept:
    """An `out_bias`, or none, that is ready beside dy, y and out."""
    if out_bias is None:
        return cnp.PyArray_NDIM(<cnp.ndarray>dy) > 0
    return (
        is_c_array(out_bias) and is_along_last(out_bias, <cnp.ndarray>dy)
        and PyArray_CHKFLAGS(<cnp.ndarray>out_bias, cnp.NPY_ARRAY_WRITEABLE)
        and disjoint(<cnp.ndarray>out_bias, <cnp.ndarray>dy) and disjoint(<cnp.ndarray>out_bias, <cnp.ndarray>y)
        and (out is None or disjoint(<cnp.ndarray>out_bias, <cnp.ndarray>out))
    )


cdef inline cnp.ndarray zeros_along_last(cnp.ndarray x):
    return cnp.PyArray_ZEROS(1, cnp.PyArray_DIMS(x) + cnp.PyArray_NDIM(x) - 1, cnp.PyArray_TYPE(x), 0)


cdef inline cnp.ndarray contiguous_like(cnp.ndarray x):
    return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)


cdef object backward_bias(object dy, object y, object out, object out_bias, const span_function *spans):
    cdef cnp.ndarray grad, saved, target, target_bias
    if is_ready_pair(dy, y, out) and is_ready_out_bias(out_bias, dy, y, out):
        one, two = dy, y
        work = result = empty_like(one) if out is None else out
        work_bias = result_bias = zeros_along_last(one) if out_bias is None else out_bias
    else:
        one, two, work, result, work_bias, result_bias = _arguments.check_backward_bias(
            dy, y, out, out_bias, halves=True)
    grad = cnp.PyArray_GETCONTIGUOUS(one)
    saved = cnp.PyArray_GETCONTIGUOUS(two)
    target = work if is_c_ordered(work) else contiguous_like(work)
    target_bias = work_bias if is_c_ordered(work_bias) else zeros_along_last(target)
    run_backward_bias(grad, saved, None, target, target_bias, spans, NULL)
    return finish_output(target, result, out), finish_output(target_bias, result_bias, out_bias)


cdef object backward_input_bias(object dy, object x, object b, object out, object out_bias,
                                const span_function *spans, double number=0):
    """The same of an activation that goes back from its input, x + b."""
    cdef cnp.ndarray grad, value, bias, target, target_bias
    if (is_ready_pair(dy, x, out) and is_ready_out_bias(out_bias, dy, x, out) and is_along_last(b, <cnp.ndarray>dy)
            and (out is None or disjoint(<cnp.ndarray>out, <cnp.ndarray>b))
            and (out_bias is None or same_or_disjoint(<cnp.ndarray>out_bias, <cnp.ndarray>b))):
        one, two, addend = dy, x, b
        work = result = empty_like(one) if out is None else out
        work_bias = result_bias = zeros_along_last(one) if out_bias is None else out_bias
    else:
        one, two, addend, work, result, work_bias, result_bias = _arguments.check_backward_input_bias(
            dy, x, b, out, out_bias, halves=True
        )
    grad = cnp.PyArray_GETCONTIGUOUS(one)
    value = cnp.PyArray_GETCONTIGUOUS(two)
    bias = cnp.PyArray_GETCONTIGUOUS(addend)
    target = work if is_c_ordered(work) else contiguous_like(work)
    target_bias = work_bias if is_c_ordered(work_bias) else zeros_along_last(target)
    run_backward_bias(grad, value, bias, target, target_bias, spans, &number)
    return finish_output(target, result, out), finish_output(target_bias, result_bias, out_bias)


cdef int run_backward_bias(cnp.ndarray grad, cnp.ndarray saved, cnp.ndarray bias, cnp.ndarray target,
                           cnp.ndarray target_bias, const span_function *spans, const double *number) except -1:
    """dz and its sum, over C-ordered arrays; a bias or None."""
    cdef BiasBackward job
    cdef cnp.npy_intp size = cnp.PyArray_SIZE(grad)
    cdef ptrdiff_t itemsize = stored_size(work_storage(target))
    cdef ptrdiff_t blocks, block, grains, totals_bytes
    cdef double totals_on_stack[TOTALS_ON_STACK]
    cdef Buffer sums_on_stack, repeated
    cdef char *memory = NULL
    cdef char *repeated_bias
    cdef int n_threads
    job.is_double = is_double(target)
    job.itemsize = itemsize
    job.n = cnp.PyArray_DIM(grad, cnp.PyArray_NDIM(grad) - 1)
    job.rows = size // job.n if job.n else 0
    job.rows_a_block = max(FEWEST_ROWS_A_BLOCK, GRAIN_MEMORY // max(job.n, 1),
                           (job.rows + MOST_BLOCKS - 1) // MOST_BLOCKS)
    blocks = max(1, (job.rows + job.rows_a_block - 1) // job.rows_a_block)
    job.rows_a_span = rows_a_span(min(job.rows, job.rows_a_block), job.n, itemsize)
    begin_walk(&job.walk, spans, number, GRAIN_MEMORY, work_storage(target), 1, &size)
    add_contiguous(&job.walk, <char *>cnp.PyArray_DATA(grad), storage_of(grad), False)
    add_contiguous(&job.walk, <char *>cnp.PyArray_DATA(saved), storage_of(saved), False)
    if bias is not None:         # as many copies as there are rows in a span
        repeated_bias = <char *>cnp.PyArray_DATA(bias)
        if job.rows_a_span > 1:
            repeat(repeated_bias, job.n * stored_size(storage_of(bias)), job.rows_a_span, <char *>&repeated)
            repeated_bias = <char *>&repeated
        add_contiguous(&job.walk, repeated_bias, storage_of(bias), False)
    job.output = job.walk.axes.operands
    add_contiguous(&job.walk, <char *>cnp.PyArray_DATA(target), storage_of(target), True)
    add_contiguous(&job.walk, NULL, job.walk.work, True)
    job.walk.wide = 1 << (job.output + 1)
    choose_span(&job.walk)
    grains = size // GRAIN_MEMORY
    n_threads = <int>min(threads_here(grains), blocks)
    totals_bytes = blocks * job.n * sizeof(double)
    job.sums_bytes = job.rows_a_span * job.n * itemsize + FF_LINE
    job.totals = totals_on_stack
    job.sums = <char *>&sums_on_stack
    if (totals_bytes > <ptrdiff_t>sizeof(totals_on_stack)
            or n_threads * job.sums_bytes > <ptrdiff_t>sizeof(sums_on_stack)):
        memory = <char *>malloc(totals_bytes + n_threads * job.sums_bytes)
        if memory == NULL:
            raise MemoryError
        job.totals = <double *>memory
        job.sums = memory + totals_bytes
    memset(job.totals, 0, totals_bytes)
    run_blocks(backward_bias_block, &job, blocks, size, n_threads, grains)
    for block in range(1, blocks):
        row_add(job.totals + block * job.n, job.totals, job.n)
    store_totals(job.totals, job.n, storage_of(target_bias), <char *>cnp.PyArray_DATA(target_bias))
    free(memory)
    return 0


cdef void store_totals(const double *totals, ptrdiff_t n, Storage storage, char *sums) noexcept:
    cdef Buffer rounded
    cdef ptrdiff_t done = 0, count, i
    if storage == FLOAT64:
        memcpy(sums, totals, n * sizeof(double))
        return
    while done < n:
        count = min(n - done, <ptrdiff_t>sizeof(Buffer) // <ptrdiff_t>sizeof(float))
        for i in range(count):
            rounded.f32[i] = <float>totals[done + i]
        scatter(storage, &rounded, sums + done * stored_size(storage), stored_size(storage), count)
        done += count


cdef void backward_bias_block(const void *data, ptrdiff_t block, int thread) noexcept nogil:
    cdef const BiasBackward *job = <const BiasBackward *>data
    cdef ptrdiff_t row = block * job.rows_a_block, stop = min(job.rows, row + job.rows_a_block)
    cdef double *totals = job.totals + block * job.n
    cdef char *sums = job.sums + thread * job.sums_bytes
    cdef ptrdiff_t dz_size = job.walk.axes.strides[job.output][0]
    cdef size_t before = 0       # elements of dz before a cache line begins
    # A cache line begins where one does in dz: stores across two lines took a tenth of the time.
    if not job.walk.gathered:
        before = 0 - <size_t>(job.walk.axes.data[job.output] + row * job.n * dz_size)
        before = before % <size_t>min(FF_LINE, FF_LANES * dz_size) // <size_t>dz_size
    sums += (0 - before * job.itemsize - <size_t>sums) % FF_LINE
    if job.is_double:
        backward_bias_rows(job, row, stop, <double *>sums, totals)
    else:
        backward_bias_rows(job, row, stop, <float *>sums, totals)


cdef void backward_bias_rows(const BiasBackward *job, ptrdiff_t row, ptrdiff_t stop, real *sums,
                             double *totals) noexcept nogil:
    """Rows from `row` to `stop`, several in a span: dz, and its sum over them added to `totals`."""
    cdef const Walk *walk = &job.walk
    cdef char *operand[MAX_OPERANDS]
    cdef ptrdiff_t n = job.n, spans = 0, rows
    cdef int k
    while row < stop:
        if spans == 0:
            memset(sums, 0, job.rows_a_span * n * sizeof(real))
        rows = min(job.rows_a_span, stop - row)
        for k in range(job.output + 1):
            operand[k] = walk.axes.data[k]
            if k < 2 or k == job.output:     # not the bias
                operand[k] += row * n * walk.axes.strides[k][0]
        operand[job.output + 1] = <char *>sums
        if walk.gathered:
            span_gathered(walk, operand, rows * n)
        else:
            walk.span(operand, walk.scalars, rows * n)
        row += rows
        spans += 1
        if spans == SPANS_A_FLUSH or row == stop:
            spans = 0
            add_rows_pairwise(sums, job.rows_a_span, n)
            row_flush(sums, totals, n)


cdef inline void add_rows_pairwise(real *sums, ptrdiff_t rows, ptrdiff_t n) noexcept nogil:
    """Adds rows up in the first: the second half to the first, and again."""
    cdef ptrdiff_t half
    while rows > 1:
        half = rows // 2
        rows -= half
        row_add(sums + rows * n, sums, half * n)


def relu_backward_bias(dy, y, out, out_bias):
    return backward_bias(dy, y, out, out_bias, relu_backward_adding)


def sigmoid_backward_bias(dy, y, out, out_bias):
    return backward_bias(dy, y, out, out_bias, sigmoid_backward_adding)


def tanh_backward_bias(dy, y, out, out_bias):
    return backward_bias(dy, y, out, out_bias, tanh_backward_adding)


def identity_backward_bias(dy, y, out, out_bias):
    return backward_bias(dy, y, out, out_bias, identity_backward_adding)


def leaky_relu_backward_bias(dy, x, b, negative_slope, out, out_bias):
    cdef double number = _arguments.finite_number(negative_slope, "negative_slope")
    return backward_input_bias(dy, x, b, out, out_bias, leaky_relu_backward_adding, number)


def elu_backward_bias(dy, x, b, alpha, out, out_bias):
    cdef double number = _arguments.finite_number(alpha, "alpha")
    return backward_input_bias(dy, x, b, out, out_bias, elu_backward_adding, number)


def hard_sigmoid_backward_bias(dy, x, b, out, out_bias):
    return backward_input_bias(dy, x, b, out, out_bias, hard_sigmoid_backward_adding)


def softplus_backward_bias(dy, x, b, out, out_bias):
    return backward_input_bias(dy, x, b, out, out_bias, softplus_backward_adding)


def silu_backward_bias(dy, x, b, out, out_bias):
    return backward_input_bias(dy, x, b, out, out_bias, silu_backward_adding)


def gelu_backward_bias(dy, x, b, approximate, out, out_bias):
    cdef const span_function *spans = (
        gelu_tanh_backward_adding if _arguments.is_by_tanh(approximate) else gelu_backward_adding
    )
    return backward_input_bias(dy, x, b, out, out_bias, spans)
