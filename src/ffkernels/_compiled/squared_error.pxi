# Half the sum of squared errors, over C-ordered arrays.
#
#     sum_squared_error           1/2 sum of (y - t)^2     squared_error
#     sum_squared_error_backward  dy = factor (y - t)      difference
#
# A loss for each row takes rows as they are; where all rows end in one number, short ones would cost a call
# each, and the whole is taken in spans of 1024 elements instead, over which the weights of rows are spread.  A
# gradient alone without weights is taken in longer ones: where a span ends lines are written twice.

cdef enum:
    ERROR_SPAN = 1024
    LONGEST_SPREAD = 128         # longest row whose weight is spread: longer ones are worth a call each

ctypedef struct SquaredError:
    bint is_double
    Storage[3] storage           # of y, t and dy
    bint converted               # one of them is of half precision
    const char *y
    const char *t
    char *dy                     # NULL: no gradient
    bint has_loss
    double factor                # of the gradient
    const void *sample_weight    # of each row, or NULL
    bint sample_weight_is_double
    ptrdiff_t spread             # the length of rows whose weights are spread over spans, 0 for none
    ptrdiff_t done               # elements before the first span
    const double *dloss          # gradient of the loss of each row, or NULL
    void *values                 # `real`, one for each row, or NULL
    ptrdiff_t rows, n            # rows, or spans
    ptrdiff_t rows_a_block
    BlockSums sums


cdef inline double error_weight(const SquaredError *job, ptrdiff_t row) noexcept nogil:
    """What a row weighs, 1 where there are no weights."""
    if job.sample_weight == NULL:
        return 1
    if job.sample_weight_is_double:
        return (<const double *>job.sample_weight)[row]
    return (<const float *>job.sample_weight)[row]


cdef inline void spread_weights(const SquaredError *job, ptrdiff_t first, ptrdiff_t n, double *weights) noexcept nogil:
    """The weights of n elements, from number `first` of all on.  Sixteen are written at a time, of which the next
    row overwrites what is its own: twice as fast for rows of four as counting them."""
    cdef ptrdiff_t row = first // job.spread, k = 0, stop = (row + 1) * job.spread - first
    cdef double weight
    cdef int l
    if job.spread == 1:
        for k in range(n):
            weights[k] = error_weight(job, row + k)
        return
    while k < n:
        weight = error_weight(job, row)
        while k < stop and k < n:
            for l in range(FF_LANES):
                weights[k + l] = weight
            k += FF_LANES
        k = stop
        row += 1
        stop += job.spread


cdef double weighted_error_span(const SquaredError *job, ptrdiff_t span, const real *y, const real *t, real *dy,
                                ptrdiff_t n) noexcept nogil:
    """Returns the loss of a span over which weights are spread, and stores its gradient."""
    cdef double weights[ERROR_SPAN + FF_LANES]
    cdef double value
    spread_weights(job, job.done + span * n, n, weights)
    value = 0.5 * row_weighted_squared_error(y, t, weights, n) if job.has_loss else 0
    if dy != NULL:
        row_weighted_difference(y, t, weights, job.factor, dy, n)
    return value


cdef double squared_error_row(const SquaredError *job, ptrdiff_t row, const real *y, const real *t, real *dy,
                              ptrdiff_t n) noexcept nogil:
    """Returns the loss of a row, or of a span, and stores its gradient."""
    cdef double value, weight
    if job.spread:
        return weighted_error_span(job, row, y, t, dy, n)
    weight = error_weight(job, row)
    if job.sample_weight != NULL and weight == 0:
        return ignored_row(dy, n)
    value = weight * (0.5 * row_squared_error(y, t, n)) if job.has_loss else 0
    if dy != NULL:
        weight *= job.factor
        row_difference(y, t, weight * job.dloss[row] if job.dloss != NULL else weight, dy, n)
    return value


cdef double squared_error_converted(const SquaredError *job, ptrdiff_t row, real *_) noexcept nogil:
    """The same by way of buffers, of which one holds a span; the gradient is computed in that of y."""
    cdef Buffer y, t
    cdef ptrdiff_t first = row * job.n, stop = first + job.n, count
    cdef double value = 0
    while first < stop:
        count = min(stop - first, <ptrdiff_t>(sizeof(Buffer) // sizeof(real)))
        gather(job.storage[0], job.y + first * stored_size(job.storage[0]), stored_size(job.storage[0]), &y, count)
        gather(job.storage[1], job.t + first * stored_size(job.storage[1]), stored_size(job.storage[1]), &t, count)
        value += squared_error_row(
            job, row, <real *>&y, <real *>&t, <real *>NULL if job.dy == NULL else <real *>&y, count)
        if job.dy != NULL:
            scatter(job.storage[2], &y, job.dy + first * stored_size(job.storage[2]), stored_size(job.storage[2]),
                    count)
        first += count
    return value


cdef double squared_error_rows(const SquaredError *job, ptrdiff_t row, ptrdiff_t stop, real *_) noexcept nogil:
    """Rows from `row` to `stop`; returns the sum of their losses."""
    cdef const real *y = <const real *>job.y
    cdef const real *t = <const real *>job.t
    cdef real *dy = <real *>job.dy
    cdef double value, sum = 0
    cdef ptrdiff_t first
    for row in range(row, stop):
        if job.converted:
            value = squared_error_converted(job, row, dy)
        else:
            first = row * job.n
            value = squared_error_row(job, row, y + first, t + first, <real *>NULL if dy == NULL else dy + first, job.n)
        sum += value
        if job.values != NULL:
            (<real *>job.values)[row] = <real>value
    return sum


cdef void squared_error_block(const void *data, ptrdiff_t block, int thread) noexcept nogil:
    cdef const SquaredError *job = <const SquaredError *>data
    cdef ptrdiff_t row = block * job.rows_a_block, stop = min(job.rows, row + job.rows_a_block)
    if job.is_double:
        job.sums.of[block] = squared_error_rows(job, row, stop, <double *>NULL)
    else:
        job.sums.of[block] = squared_error_rows(job, row, stop, <float *>NULL)


cdef double run_squared_error_rows(SquaredError *job) except? -1:
    """Runs over all rows; returns the sum of their losses, in order."""
    cdef ptrdiff_t size = job.rows * job.n, grains = size // GRAIN_MEMORY, blocks
    job.rows_a_block = max(1, BLOCK_ELEMENTS // max(job.n, 1))
    blocks = (job.rows + job.rows_a_block - 1) // job.rows_a_block
    return run_summed_blocks(
        squared_error_block, job, &job.sums, blocks, size, <int>min(threads_here(grains), blocks), grains)


cdef double error_normaliser(const SquaredError *job) noexcept:
    """1 over the rows, or over their weights."""
    cdef double total = <double>job.rows
    if job.sample_weight != NULL:
        total = sum_of_weights(job.sample_weight, job.sample_weight_is_double, job.rows)
    return 1 / total if total else 0


cdef object run_squared_error(cnp.ndarray y, cnp.ndarray t, object sample_weight, object grad, int reduction,
                              object loss_out, object dloss):
    """Returns the loss, or with a `dloss` computes its gradient alone."""
    cdef SquaredError job
    cdef cnp.ndarray values = None
    cdef ptrdiff_t size = cnp.PyArray_SIZE(y), done
    cdef double normaliser = 1, total = 0
    job.is_double = is_double(y)
    job.storage[0], job.storage[1] = storage_of(y), storage_of(t)
    job.storage[2] = storage_of(y) if grad is None else storage_of(<cnp.ndarray>grad)
    job.converted = is_half(y) or is_half(t) or (grad is not None and is_half(<cnp.ndarray>grad))
    job.y = <const char *>cnp.PyArray_DATA(y)
    job.t = <const char *>cnp.PyArray_DATA(t)
    job.dy = <char *>NULL if grad is None else <char *>cnp.PyArray_DATA(<cnp.ndarray>grad)
    job.has_loss = dloss is None
    job.dloss = NULL
    job.values = NULL
    job.rows = cnp.PyArray_DIM(y, 0) if cnp.PyArray_NDIM(y) > 1 else 1
    job.n = size // max(job.rows, 1)
    job.sample_weight = NULL
    if sample_weight is not None:
        job.sample_weight = cnp.PyArray_DATA(<cnp.ndarray>sample_weight)
        job.sample_weight_is_double = is_double(<cnp.ndarray>sample_weight)
    if reduction == MEAN:
        normaliser = error_normaliser(&job)
    job.factor = normaliser
    if type(dloss) is float:
        job.factor *= <double>dloss
    elif dloss is not None:
        job.dloss = <const double *>cnp.PyArray_DATA(<cnp.ndarray>dloss)
    elif reduction == NONE:
        values = loss_values(loss_out, y, cnp.PyArray_NDIM(y) > 1, cnp.PyArray_DIMS(y))
        job.values = cnp.PyArray_DATA(values)
    job.spread = job.done = 0
    if reduction != NONE or type(dloss) is float:
        if sample_weight is not None and job.n <= LONGEST_SPREAD:
            job.spread = job.n
        if sample_weight is None or job.spread:
            job.n = ERROR_SPAN if job.has_loss or job.spread else CHUNK
            job.rows = size // job.n
    if job.rows:
        total = run_squared_error_rows(&job)
    job.done = done = job.rows * job.n
    if done < size:                  # the last span, a shorter one
        job.y += done * stored_size(job.storage[0])
        job.t += done * stored_size(job.storage[1])
        if job.dy != NULL:
            job.dy += done * stored_size(job.storage[2])
        job.rows, job.n = 1, size - done
        job.rows_a_block = 1
        job.sums.of = job.sums.first
        squared_error_block(&job, 0, 0)
        total += job.sums.of[0]
    return None if dloss is not None else finish_loss(
        normaliser * total, reduction, work_type(y), values, loss_out)


cdef inline bint is_ready_c_pair(object y, object t, object out) noexcept:
    """A C-ordered pair, and an `out` or none beside it, that are ready."""
    return (
        is_ready_pair(y, t, out) and cnp.PyArray_NDIM(<cnp.ndarray>y) > 0
        and is_c_ordered(<cnp.ndarray>y) and is_c_ordered(<cnp.ndarray>t)
        and (out is None or is_c_ordered(<cnp.ndarray>out))
    )


cdef inline bint is_ready_error_out(object out, cnp.ndarray y, cnp.ndarray t, int reduction) noexcept:
    """An `out` for the value of the loss that is ready."""
    cdef int ndim = reduction == NONE and cnp.PyArray_NDIM(y) > 1
    return is_ready_result(out, work_type(y), y, ndim, cnp.PyArray_DIMS(y)) and disjoint(<cnp.ndarray>out, t)


cdef inline bint is_ready_error_weight(object sample_weight, cnp.ndarray y, object out) noexcept:
    """None, or weights of rows that are ready, and an `out` or none apart from them."""
    return sample_weight is None or (
        is_ready_sample_weight(sample_weight, cnp.PyArray_NDIM(y) > 1, cnp.PyArray_DIMS(y))
        and (out is None or is_apart(out, sample_weight))
    )


cdef tuple squared_error_gradient(object y, object t, object sample_weight, object reduction, bint with_loss,
                                  object dloss, object out):
    """The loss, or None where a `dloss` goes in instead, and the gradient."""
    cdef int code = reduction_code(reduction)
    if code >= 0 and is_ready_c_pair(y, t, out) and (with_loss or type(dloss) is float) and (
        is_ready_error_weight(sample_weight, <cnp.ndarray>y, out)
    ):
        grad = empty_like(y) if out is None else out
        return run_squared_error(y, t, sample_weight, grad, code, None, dloss), grad
    call = _arguments.check_squared_error(y, t, reduction, sample_weight, halves=True)
    inputs = {"y": y, "t": t, "sample_weight": sample_weight}
    if not with_loss:
        inputs["dloss"] = dloss
        dloss = _arguments.check_dloss(dloss, call.loss_shape, call.reduction)
    work, result = _arguments.check_gradient_out(out, call.y, call.dtype, inputs)
    grad = work if is_c_ordered(work) else contiguous_like(work)
    loss = run_squared_error(call.y, call.t, call.sample_weight, grad, call.reduction, None, dloss)
    return loss, finish_output(grad, result, out)


def sum_squared_error(y, t, sample_weight, reduction, out):
    cdef int code = reduction_code(reduction)
    if code >= 0 and is_ready_c_pair(y, t, None) and is_ready_error_weight(sample_weight, <cnp.ndarray>y, None) and (
        out is None
        or (is_ready_error_out(out, <cnp.ndarray>y, <cnp.ndarray>t, code) and is_apart(out, sample_weight))
    ):
        return run_squared_error(y, t, sample_weight, None, code, out, None)
    call = _arguments.check_squared_error(y, t, reduction, sample_weight, halves=True)
    inputs = {"y": y, "t": t, "sample_weight": sample_weight}
    out = _arguments.check_loss_out(out, call.loss_shape, call.reduction, call.y.dtype, inputs)
    return run_squared_error(call.y, call.t, call.sample_weight, None, call.reduction, out, None)


def sum_squared_error_with_grad(y, t, sample_weight, reduction, out):
    return squared_error_gradient(y, t, sample_weight, reduction, True, None, out)


def sum_squared_error_backward(y, t, dloss, sample_weight, reduction, out):
    return squared_error_gradient(y, t, sample_weight, reduction, False, dloss, out)[1]
