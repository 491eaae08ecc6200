# The kernels as C functions over rows of contiguous values: the table behind `ffkernels.h`.
#
# Nothing here needs the GIL or allocates; what a call may be given is said in the header, and only
# class indices, which would lead outside the arrays, are checked.

from cpython.pycapsule cimport PyCapsule_New

from ffkernels cimport ABI_VERSION, API, API_VERSION


cdef double c_rows(const kernel_pair *kernels, const Loss *loss, ptrdiff_t rows, ptrdiff_t n, const real *x,
                   const real *y, real *out, real *values) noexcept nogil:
    """Runs a function over contiguous rows, short ones sixteen at a time; returns the sum of its values.  Of the
    arrays, only `x` may not be NULL."""
    cdef Rows job
    cdef Scratch scratch
    cdef char *start[ROW_ARRAYS]
    cdef int k
    start[FIRST], start[SECOND], start[OUTPUT] = <char *>x, <char *>y, <char *>out
    job.kernels = kernels
    if loss == NULL:
        memset(&job.loss, 0, sizeof(Loss))
    else:
        job.loss = loss[0]
    job.is_double = sizeof(real) == sizeof(double)
    job.itemsize = sizeof(real)
    job.converted = False
    job.values_storage = FLOAT32 if sizeof(real) == sizeof(float) else FLOAT64
    job.n = max(n, 0)
    job.values = values
    job.from_line = False
    job.access = ROWS_IN_PLACE
    if n <= kernels.longest_in_tile[job.is_double] and rows >= FEWEST_IN_TILE:
        job.access = LANES_IN_TILE
    for k in range(ROW_ARRAYS):
        job.axes.storage[k] = job.values_storage
        job.axis_stride[k] = sizeof(real)
        job.row_stride[k] = job.n * sizeof(real)
    return run_rows_between(&job, start, 0, 0, rows, 0, <real *>&scratch)


cdef void c_softmax(ptrdiff_t rows, ptrdiff_t n, const real *x, real *y) noexcept nogil:
    c_rows(&softmax_kernels, NULL, rows, n, x, <const real *>NULL, y, <real *>NULL)


cdef void c_log_softmax(ptrdiff_t rows, ptrdiff_t n, const real *x, real *y) noexcept nogil:
    c_rows(&log_softmax_kernels, NULL, rows, n, x, <const real *>NULL, y, <real *>NULL)


cdef void c_logsumexp(ptrdiff_t rows, ptrdiff_t n, const real *x, real *y) noexcept nogil:
    c_rows(&logsumexp_kernels, NULL, rows, n, x, <const real *>NULL, <real *>NULL, y)


cdef void c_softmax_backward(ptrdiff_t rows, ptrdiff_t n, const real *dy, const real *y, real *dx) noexcept nogil:
    c_rows(&softmax_backward_kernels, NULL, rows, n, dy, y, dx, <real *>NULL)


cdef void c_log_softmax_backward(ptrdiff_t rows, ptrdiff_t n, const real *dy, const real *y, real *dx) noexcept nogil:
    c_rows(&log_softmax_backward_kernels, NULL, rows, n, dy, y, dx, <real *>NULL)


cdef ptrdiff_t c_softmax_cross_entropy(
        ptrdiff_t rows, ptrdiff_t n, const real *logits, const ptrdiff_t *targets, const real *weight,
        double factor, double *loss, real *grad) noexcept nogil:
    cdef Loss terms
    cdef ptrdiff_t row
    for row in range(rows):
        if not 0 <= targets[row] < n:
            return row
    memset(&terms, 0, sizeof(terms))
    terms.targets = <const cnp.npy_intp *>targets
    terms.classes = n
    terms.weight = weight
    terms.factor = factor
    loss[0] = c_rows(&index_cross_entropy_kernels, &terms, rows, n, logits, <const real *>NULL, grad, <real *>NULL)
    return -1


# ---- elementwise ---------------------------------------------------------------------------------

cdef inline void c_span(const span_function *spans, const double *scalars, ptrdiff_t n, const real *a,
                        const real *b, const real *c, const real *d) noexcept nogil:
    """Calls a span; its operands come one after the other, those it does not have as NULL."""
    cdef char *operand[MAX_OPERANDS]
    operand[0], operand[1], operand[2], operand[3] = <char *>a, <char *>b, <char *>c, <char *>d
    spans[sizeof(real) == sizeof(double)](operand, scalars, max(n, 0))


cdef void c_relu(ptrdiff_t n, const real *x, real *y) noexcept nogil:
    c_span(relu_spans, NULL, n, x, y, <const real *>NULL, <const real *>NULL)


cdef void c_relu_backward(ptrdiff_t n, const real *dy, const real *y, real *dx) noexcept nogil:
    c_span(relu_backward_spans, NULL, n, dy, y, dx, <const real *>NULL)


cdef void c_sigmoid(ptrdiff_t n, const real *x, real *y) noexcept nogil:
    c_span(sigmoid_spans, NULL, n, x, y, <const real *>NULL, <const real *>NULL)


cdef void c_sigmoid_backward(ptrdiff_t n, const real *dy, const real *y, real *dx) noexcept nogil:
    c_span(sigmoid_backward_spans, NULL, n, dy, y, dx, <const real *>NULL)


cdef void c_tanh(ptrdiff_t n, const real *x, real *y) noexcept nogil:
    c_span(tanh_spans, NULL, n, x, y, <const real *>NULL, <const real *>NULL)


cdef void c_tanh_backward(ptrdiff_t n, const real *dy, const real *y, real *dx) noexcept nogil:
    c_span(tanh_backward_spans, NULL, n, dy, y, dx, <const real *>NULL)


cdef void c_sgd_update(ptrdiff_t n, real *param, const real *grad, double lr, double weight_decay) noexcept nogil:
    cdef double[2] scalars = [lr, weight_decay]
    c_span(sgd_spans, scalars, n, param, grad, <const real *>NULL, <const real *>NULL)


cdef void c_momentum_update(ptrdiff_t n, real *param, const real *grad, real *velocity, double lr,
                            double momentum, double weight_decay) noexcept nogil:
    cdef double[3] scalars = [lr, momentum, weight_decay]
    c_span(momentum_spans, scalars, n, param, grad, velocity, <const real *>NULL)


cdef void c_adam_update(ptrdiff_t n, real *param, const real *grad, real *m, real *v, ptrdiff_t step, double lr,
                        double beta1, double beta2, double eps, double weight_decay) noexcept nogil:
    cdef double[7] scalars = [
        lr, beta1, beta2, eps, weight_decay,
        1 / (1 - pow(beta1, <double>step)), 1 / (1 - pow(beta2, <double>step)),
    ]
    c_span(adam_spans, scalars, n, param, grad, m, v)


# ---- the table -------------------------------------------------------------------------------------

cdef bytes isa_name = isa.encode()

cdef API table
table.abi_version, table.api_version, table.isa = ABI_VERSION, API_VERSION, isa_name
table.relu_f32, table.relu_f64 = c_relu[float], c_relu[double]
table.relu_backward_f32, table.relu_backward_f64 = c_relu_backward[float], c_relu_backward[double]
table.sigmoid_f32, table.sigmoid_f64 = c_sigmoid[float], c_sigmoid[double]
table.sigmoid_backward_f32, table.sigmoid_backward_f64 = c_sigmoid_backward[float], c_sigmoid_backward[double]
table.tanh_f32, table.tanh_f64 = c_tanh[float], c_tanh[double]
table.tanh_backward_f32, table.tanh_backward_f64 = c_tanh_backward[float], c_tanh_backward[double]
table.logsumexp_f32, table.logsumexp_f64 = c_logsumexp[float], c_logsumexp[double]
table.softmax_f32, table.softmax_f64 = c_softmax[float], c_softmax[double]
table.softmax_backward_f32, table.softmax_backward_f64 = c_softmax_backward[float], c_softmax_backward[double]
table.log_softmax_f32, table.log_softmax_f64 = c_log_softmax[float], c_log_softmax[double]
table.log_softmax_backward_f32 = c_log_softmax_backward[float]
table.log_softmax_backward_f64 = c_log_softmax_backward[double]
table.softmax_cross_entropy_f32 = c_softmax_cross_entropy[float]
table.softmax_cross_entropy_f64 = c_softmax_cross_entropy[double]
table.sgd_update_f32, table.sgd_update_f64 = c_sgd_update[float], c_sgd_update[double]
table.momentum_update_f32, table.momentum_update_f64 = c_momentum_update[float], c_momentum_update[double]
table.adam_update_f32, table.adam_update_f64 = c_adam_update[float], c_adam_update[double]

c_functions = PyCapsule_New(&table, "ffkernels_api", NULL)
