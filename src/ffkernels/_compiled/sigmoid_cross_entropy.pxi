# Sigmoid cross-entropy of C-ordered logits: each element a yes or no of its own.
#
#     sigmoid_cross_entropy           w (p t softplus(-x) + (1 - t) softplus(x))     logistic_loss
#     sigmoid_cross_entropy_backward  dx = w ((1 - t) sigmoid(x) - p t sigmoid(-x))  logistic_slope
#
# Elements are taken in spans of 1024, in two stages: what there is of e^-|x|, in buffers, then what is made of it.
# Weights, w of elements and of rows and p of positive targets, are broadcast into a buffer for each span, and what is
# of half precision is converted into one.

cdef enum:
    LOGISTIC_SPAN = 1024         # as many floats as a buffer holds
    LOGISTIC_ROOM = LOGISTIC_SPAN + 16  # a run of weights is written in whole sixteens
    GRAIN_LOGISTIC = 1 << 12     # elements a thread must have

ctypedef struct Weights:
    # Broadcast weights: element i has number i // run % count of them.
    const char *data             # or NULL
    bint is_double
    ptrdiff_t run, count

ctypedef struct SigmoidLoss:
    bint is_double
    Storage[3] storage           # of x, t and dx
    bint converted               # one of them is of half precision
    const char *x
    const char *t
    char *losses                 # or NULL
    char *dx                     # or NULL
    const double *dloss          # gradient of the loss of each element, or NULL
    bint has_loss
    bint weighted
    Weights weight, pos_weight, sample_weight
    double factor                # of the gradient
    ptrdiff_t size
    BlockSums sums


cdef inline double weight_at(const Weights *weights, ptrdiff_t i) noexcept nogil:
    return (<const double *>weights.data)[i] if weights.is_double else (<const float *>weights.data)[i]


cdef void broadcast_weights(const Weights *weights, double factor, ptrdiff_t first, ptrdiff_t n, real *w) noexcept nogil:
    """Those of n elements from number `first` on, times a factor.  A run is written sixteen at a time, of which the
    next one overwrites what is its own; a period is copied."""
    cdef ptrdiff_t i = first // weights.run % weights.count, k = 0, stop
    cdef real value
    cdef int l
    if weights.run > 1:
        stop = weights.run - first % weights.run
        while k < n:
            value = <real>(factor * weight_at(weights, i))
            while k < stop and k < n:
                for l in range(FF_LANES):
                    w[k + l] = value
                k += FF_LANES
            k = stop
            stop += weights.run
            i = i + 1 if i + 1 < weights.count else 0
        return
    stop = min(n, weights.count - i)
    for k in range(stop):
        w[k] = <real>(factor * weight_at(weights, i + k))
    for k in range(stop, min(n, weights.count)):
        w[k] = <real>(factor * weight_at(weights, k - stop))
    k = min(n, weights.count)
    while k < n:
        memcpy(w + k, w, min(k, n - k) * sizeof(real))
        k *= 2


cdef void fill_weights(const SigmoidLoss *job, ptrdiff_t first, ptrdiff_t n, real *w, real *p) noexcept nogil:
    """The weights of a span, the factor among them; of those that there are not 1."""
    cdef ptrdiff_t k
    if job.sample_weight.data != NULL:
        broadcast_weights(&job.sample_weight, job.factor, first, n, w)
    elif job.weight.data != NULL:
        broadcast_weights(&job.weight, job.factor, first, n, w)
    else:
        for k in range(n):
            w[k] = <real>job.factor
    if job.sample_weight.data != NULL and job.weight.data != NULL:
        broadcast_weights(&job.weight, 1, first, n, p)
        for k in range(n):
            w[k] *= p[k]
    if job.pos_weight.data != NULL:
        broadcast_weights(&job.pos_weight, 1, first, n, p)
    else:
        for k in range(n):
            p[k] = 1


cdef inline real *at_element(const char *data, ptrdiff_t first, real *_) noexcept nogil:
    """NULL of an array there is not."""
    return <real *>NULL if data == NULL else <real *>data + first


cdef double sigmoid_loss_span(const SigmoidLoss *job, ptrdiff_t first, ptrdiff_t n, real *buffer) noexcept nogil:
    """Returns the sum of the losses of a span, and stores what is wanted."""
    cdef const real *x = at_element(job.x, first, buffer)
    cdef const real *t = at_element(job.t, first, buffer)
    cdef real *log = at_element(job.losses, first, buffer)
    cdef real *dx = at_element(job.dx, first, buffer)
    cdef real *w = buffer + LOGISTIC_ROOM
    cdef real *p = w + LOGISTIC_ROOM
    cdef real *small = p + LOGISTIC_ROOM
    cdef Buffer wide_x, wide_t
    cdef double value = 0
    if real is float:
        if job.converted:        # the gradient is computed in the place of x
            gather(job.storage[0], job.x + first * stored_size(job.storage[0]), stored_size(job.storage[0]), &wide_x, n)
            gather(job.storage[1], job.t + first * stored_size(job.storage[1]), stored_size(job.storage[1]), &wide_t, n)
            x, t = wide_x.f32, wide_t.f32
            if dx != NULL:
                dx = wide_x.f32
    if job.has_loss and log == NULL:
        log = buffer
    row_logistic(x, log if job.has_loss else <real *>NULL, small if dx != NULL else <real *>NULL, n)
    if job.weighted:
        fill_weights(job, first, n, w, p)
        if job.has_loss:
            value = row_weighted_logistic_loss(x, t, w, p, log, n)
        if dx != NULL:
            row_weighted_logistic_slope(x, t, w, p, small, dx, n)
    else:
        if job.has_loss:
            value = row_logistic_loss(x, t, log, n)
        if dx != NULL:
            row_logistic_slope(x, t, small, job.factor, dx, n)
    if job.dloss != NULL:
        row_multiply(job.dloss + first, dx, n)
    if real is float:
        if job.converted and dx != NULL:
            scatter(job.storage[2], dx, job.dx + first * stored_size(job.storage[2]), stored_size(job.storage[2]), n)
    return value


cdef void sigmoid_loss_block(const void *data, ptrdiff_t block, int thread) noexcept nogil:
    cdef const SigmoidLoss *job = <const SigmoidLoss *>data
    cdef float buffer_f32[4 * LOGISTIC_ROOM]
    cdef double buffer_f64[4 * LOGISTIC_ROOM]
    cdef ptrdiff_t first = block * LOGISTIC_SPAN, n = min(job.size - first, LOGISTIC_SPAN)
    if job.is_double:
        job.sums.of[block] = sigmoid_loss_span(job, first, n, buffer_f64)
    else:
        job.sums.of[block] = sigmoid_loss_span(job, first, n, buffer_f32)


# ---- arguments -------------------------------------------------------------------------------------------

cdef void no_weights(Weights *weights) noexcept:
    weights.data = NULL
    weights.run = weights.count = 1


cdef void take_weights(Weights *weights, cnp.ndarray array, ptrdiff_t run, ptrdiff_t count) noexcept:
    weights.data = <const char *>cnp.PyArray_DATA(array)
    weights.is_double = is_double(array)
    weights.run = run
    weights.count = count


cdef bint ready_weights(Weights *weights, object array, cnp.ndarray logits) noexcept:
    """Takes weights that are none, or one for each class or for each element."""
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(logits)
    cdef int ndim = cnp.PyArray_NDIM(logits)
    no_weights(weights)
    if array is None:
        return True
    if not (is_ready_sample_weight(array, 1, shape + ndim - 1) or is_ready_sample_weight(array, ndim, shape)):
        return False
    if cnp.PyArray_TYPE(<cnp.ndarray>array) != work_type(logits) or not cnp.PyArray_SIZE(<cnp.ndarray>array):
        return False
    take_weights(weights, <cnp.ndarray>array, 1, cnp.PyArray_SIZE(<cnp.ndarray>array))
    return True


cdef bint ready_row_weights(Weights *weights, object array, cnp.ndarray logits) noexcept:
    """Takes weights that are none, or one for each row."""
    no_weights(weights)
    if array is None:
        return True
    if not is_ready_sample_weight(array, 1, cnp.PyArray_DIMS(logits)) or not cnp.PyArray_SIZE(logits):
        return False
    take_weights(weights, <cnp.ndarray>array, cnp.PyArray_SIZE(logits) // cnp.PyArray_DIM(logits, 0),
                 cnp.PyArray_DIM(logits, 0))
    return True


cdef object broadcast(Weights *weights, object array, shape):
    """Takes weights as `_arguments` made them; returns what has to be kept alive."""
    if array is None:
        no_weights(weights)
        return None
    array, run, count = _arguments.in_runs(array, shape)
    take_weights(weights, <cnp.ndarray>array, run, count)
    return array


# ---- from Python -----------------------------------------------------------------------------------------

cdef object run_sigmoid_loss(SigmoidLoss *job, cnp.ndarray x, cnp.ndarray t, object grad, int reduction,
                             object loss_out, object dloss):
    """Returns the loss, or with a `dloss` computes its gradient alone."""
    cdef cnp.ndarray values = None
    cdef double total, normaliser = 1
    cdef ptrdiff_t blocks, grains
    job.is_double = is_double(x)
    job.storage[0], job.storage[1] = storage_of(x), storage_of(t)
    job.storage[2] = storage_of(x) if grad is None else storage_of(<cnp.ndarray>grad)
    job.converted = is_half(x) or is_half(t) or (grad is not None and is_half(<cnp.ndarray>grad))
    job.x = <const char *>cnp.PyArray_DATA(x)
    job.t = <const char *>cnp.PyArray_DATA(t)
    job.dx = <char *>NULL if grad is None else <char *>cnp.PyArray_DATA(<cnp.ndarray>grad)
    job.losses = NULL
    job.dloss = NULL
    job.has_loss = dloss is None
    job.size = cnp.PyArray_SIZE(x)
    job.weighted = job.weight.data != NULL or job.pos_weight.data != NULL or job.sample_weight.data != NULL
    if reduction == MEAN:
        normaliser = <double>job.size
        if job.sample_weight.data != NULL and job.size:  # of no rows there is no weight to read
            normaliser = <double>job.sample_weight.run * sum_of_weights(
                job.sample_weight.data, job.sample_weight.is_double, job.sample_weight.count)
        normaliser = 1 / normaliser if normaliser else 0
    job.factor = normaliser
    if type(dloss) is float:
        job.factor *= <double>dloss
    elif dloss is not None:
        job.dloss = <const double *>cnp.PyArray_DATA(<cnp.ndarray>dloss)
    elif reduction == NONE:
        values = loss_values(loss_out, x, cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x))
        job.losses = <char *>cnp.PyArray_DATA(values)
    blocks = (job.size + LOGISTIC_SPAN - 1) // LOGISTIC_SPAN
    grains = job.size // GRAIN_LOGISTIC
    total = run_summed_blocks(
        sigmoid_loss_block, job, &job.sums, blocks, job.size, <int>min(threads_here(grains), max(blocks, 1)), grains)
    if not job.weighted:             # else among the weights
        total *= normaliser
    return None if dloss is not None else finish_loss(total, reduction, work_type(x), values, loss_out)


cdef dict sigmoid_inputs(object logits, object targets, object weight, object pos_weight, object sample_weight):
    return {"logits": logits, "targets": targets, "weight": weight, "pos_weight": pos_weight,
            "sample_weight": sample_weight}


cdef bint is_ready_sigmoid_loss(SigmoidLoss *job, object logits, object targets, object weight, object pos_weight,
                                object sample_weight, object out) noexcept:
    return (
        is_ready_c_pair(logits, targets, out)
        and ready_weights(&job.weight, weight, <cnp.ndarray>logits)
        and ready_weights(&job.pos_weight, pos_weight, <cnp.ndarray>logits)
        and ready_row_weights(&job.sample_weight, sample_weight, <cnp.ndarray>logits)
        and (out is None or (is_apart(out, weight) and is_apart(out, pos_weight) and is_apart(out, sample_weight)))
    )


cdef tuple take_checked(SigmoidLoss *job, object call):
    """What of checked arguments has to be kept alive."""
    shape = call.logits.shape
    return (
        broadcast(&job.weight, call.weight, shape), broadcast(&job.pos_weight, call.pos_weight, shape),
        broadcast(&job.sample_weight, call.sample_weight, shape),
    )


cdef tuple sigmoid_loss_gradient(object logits, object targets, object weight, object pos_weight, object sample_weight,
                                 object reduction, bint with_loss, object dloss, object out):
    """The loss, or None where a `dloss` goes in instead, and the gradient."""
    cdef SigmoidLoss job
    cdef int code = reduction_code(reduction)
    if code >= 0 and (with_loss or type(dloss) is float) and is_ready_sigmoid_loss(
            &job, logits, targets, weight, pos_weight, sample_weight, out):
        grad = empty_like(logits) if out is None else out
        return run_sigmoid_loss(&job, logits, targets, grad, code, None, dloss), grad
    call = _arguments.check_sigmoid_loss(
        logits, targets, weight, pos_weight, sample_weight, reduction, halves=True)
    inputs = sigmoid_inputs(logits, targets, weight, pos_weight, sample_weight)
    if not with_loss:
        inputs["dloss"] = dloss
        dloss = _arguments.check_dloss(dloss, call.logits.shape, call.reduction)
    work, result = _arguments.check_gradient_out(out, call.logits, call.dtype, inputs)
    grad = work if is_c_ordered(work) else contiguous_like(work)
    kept = take_checked(&job, call)
    loss = run_sigmoid_loss(&job, call.logits, call.targets, grad, call.reduction, None, dloss)
    del kept
    return loss, finish_output(grad, result, out)


def sigmoid_cross_entropy(logits, targets, weight, pos_weight, sample_weight, reduction, out):
    cdef SigmoidLoss job
    cdef int code = reduction_code(reduction)
    if out is None and code >= 0 and is_ready_sigmoid_loss(
            &job, logits, targets, weight, pos_weight, sample_weight, None):
        return run_sigmoid_loss(&job, logits, targets, None, code, None, None)
    call = _arguments.check_sigmoid_loss(
        logits, targets, weight, pos_weight, sample_weight, reduction, halves=True)
    inputs = sigmoid_inputs(logits, targets, weight, pos_weight, sample_weight)
    out = _arguments.check_loss_out(out, call.logits.shape, call.reduction, call.logits.dtype, inputs)
    kept = take_checked(&job, call)
    loss = run_sigmoid_loss(&job, call.logits, call.targets, None, call.reduction, out, None)
    del kept
    return loss


def sigmoid_cross_entropy_with_grad(logits, targets, weight, pos_weight, sample_weight, reduction, out):
    return sigmoid_loss_gradient(logits, targets, weight, pos_weight, sample_weight, reduction, True, None, out)


def sigmoid_cross_entropy_backward(logits, targets, dloss, weight, pos_weight, sample_weight, reduction, out):
    return sigmoid_loss_gradient(
        logits, targets, weight, pos_weight, sample_weight, reduction, False, dloss, out)[1]
