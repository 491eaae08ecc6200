# ---- cross-entropy from logits, class indices ------------------------------------------------------

cdef inline real class_weight(const Job *job, ptrdiff_t target, const real *_) noexcept nogil:
    return (<const real *>job.weight)[target] if job.weight != NULL else 1


cdef inline bint ignored(const Job *job, ptrdiff_t row) noexcept nogil:
    return job.has_ignore_index and job.targets[row] == job.ignore_index


cdef double softmax_cross_entropy_row(const Job *job, ptrdiff_t row, const real *x, const void *_,
                                      real *dx, void *scratch, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t t = job.targets[row], i
    cdef real m, at_target, w
    cdef double rest, scale, others
    if ignored(job, row):
        if dx != NULL:
            for i in range(n):
                dx[i] = 0
        return 0
    w = class_weight(job, t, x)
    at_target = x[t]                 # before the gradient overwrites it
    m = <real>row_max(x, n)
    if dx == NULL:
        rest = row_sum_exp(x, m, n)
    else:
        rest = row_exp_sum(x, m, dx, n)
        scale = w * job.factor / (1 + rest)
        # Minus the sum of the others, not p - 1: exact where p rounds to 1.
        others = rest if at_target == m else (1 + rest) - dx[t]
        row_scale(dx, scale, n)
        dx[t] = <real>(-others * scale)
    return row_loss(w, <double>m - at_target, rest)


cdef inline double row_loss(double w, double gap, double rest) noexcept nogil:
    """w (gap + log(1 + rest)); a weight of 0 silences an infinite loss, not a NaN."""
    if w == 0 and rest == rest:
        return 0
    return w * (gap + log1p_nonnegative(rest))


cdef void softmax_cross_entropy_lanes(const Job *job, ptrdiff_t row, int rows, const real *x,
                                      ptrdiff_t ld, const void *_, ptrdiff_t ld_, real *dx,
                                      ptrdiff_t ld_dx, ptrdiff_t n, double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef real at_target[FF_LANES]
    cdef double rest[FF_LANES]
    cdef double log_sum[FF_LANES]
    cdef double scale[FF_LANES]
    cdef double others
    cdef ptrdiff_t t, k
    cdef int l
    lanes_max(x, ld, n, m)
    for l in range(rows):
        if not ignored(job, row + l):
            at_target[l] = x[job.targets[row + l] * ld + l]
    if dx == NULL:
        lanes_sum_exp(x, ld, m, n, rest)
    else:
        lanes_exp_sum(x, ld, m, dx, ld_dx, n, rest)
    lanes_log1p(rest, log_sum)
    for l in range(FF_LANES):
        scale[l] = job.factor / (1 + rest[l])
    if job.weight != NULL:
        for l in range(rows):
            if not ignored(job, row + l):
                scale[l] *= class_weight(job, job.targets[row + l], x)
    if dx != NULL:
        for l in range(rows):
            if not ignored(job, row + l):
                t = job.targets[row + l]
                others = rest[l] if at_target[l] == m[l] else (1 + rest[l]) - dx[t * ld_dx + l]
                dx[t * ld_dx + l] = <real>(-others)
        lanes_scale(dx, ld_dx, scale, n)
    for l in range(rows):
        if ignored(job, row + l):
            value[l] = 0
            if dx != NULL:
                for k in range(n):
                    dx[k * ld_dx + l] = 0
        elif job.weight == NULL:
            value[l] = (<double>m[l] - at_target[l]) + log_sum[l]
        else:
            value[l] = row_loss(class_weight(job, job.targets[row + l], x),
                                <double>m[l] - at_target[l], rest[l])


# ---- cross-entropy from logits, any coefficients ------------------------------------------------------

cdef inline void coefficients_of(const Job *job, ptrdiff_t row, const real *t, real *a, ptrdiff_t n) noexcept nogil:
    """The weighted, smoothed targets of a row, from probabilities or from a class index."""
    cdef ptrdiff_t i
    if job.targets != NULL:
        for i in range(n):
            a[i] = 0
        a[job.targets[row]] = 1
        t = a
    row_coefficients(t, <const real *>job.weight, job.smoothing, a, n)


cdef inline ptrdiff_t first_equal(const real *x, real m, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t i
    for i in range(n):
        if x[i] == m:
            return i
    return 0


cdef inline double sum_without(const real *x, ptrdiff_t i, ptrdiff_t n) noexcept nogil:
    return row_sum(x, i) + row_sum(x + i + 1, n - i - 1)


cdef double soft_cross_entropy_row(const Job *job, ptrdiff_t row, const real *x, const real *t, real *dx,
                                   void *scratch, ptrdiff_t n) noexcept nogil:
    cdef real *a = <real *>scratch
    cdef ptrdiff_t i, leader
    cdef real m
    cdef double total, gap, rest
    if job.targets != NULL and ignored(job, row):
        if dx != NULL:
            for i in range(n):
                dx[i] = 0
        return 0
    coefficients_of(job, row, t, a, n)
    total = row_sum(a, n)
    m = <real>row_max(x, n)
    gap = row_gap(x, m, a, n)
    if dx == NULL:
        rest = row_sum_exp(x, m, n)
    else:
        leader = first_equal(x, m, n)
        rest = row_exp_sum(x, m, dx, n)
        row_gradient(dx, total * job.factor / (1 + rest), a, job.factor, dx, n)
        if rest < 1:
            # A leader without rivals: p - t as the difference of what the others hold.
            dx[leader] = <real>((sum_without(a, leader, n) - total * rest / (1 + rest)) * job.factor)
    if total == 0 and rest == rest:
        return gap
    return gap + total * log1p_nonnegative(rest)


# ---- the same backwards, from probabilities ----------------------------------------------------------

cdef double probs_backward_row(const Job *job, ptrdiff_t row, const real *p, const real *t, real *dx,
                               void *scratch, ptrdiff_t n) noexcept nogil:
    cdef real *a = <real *>scratch
    cdef ptrdiff_t i, leader
    cdef double total, factor = job.factor, at_leader
    if job.dloss != NULL:
        factor *= job.dloss[row]
    if job.targets != NULL and ignored(job, row):
        for i in range(n):
            dx[i] = 0
        return 0
    if n == 0:
        return 0
    coefficients_of(job, row, t, a, n)
    total = row_sum(a, n)
    leader = first_equal(p, <real>row_max(p, n), n)
    at_leader = p[leader]
    if at_leader > 0.5:
        at_leader = (sum_without(a, leader, n) - total * sum_without(p, leader, n)) * factor
        row_gradient(p, total * factor, a, factor, dx, n)
        dx[leader] = <real>at_leader
    else:
        row_gradient(p, total * factor, a, factor, dx, n)
    return 0


# ---- cross-entropy from probabilities ------------------------------------------------------------------

cdef inline double row_factor(const Job *job, ptrdiff_t row) noexcept nogil:
    return job.factor * job.dloss[row] if job.dloss != NULL else job.factor


cdef double cross_entropy_row(const Job *job, ptrdiff_t row, const real *p, const real *t, real *dp,
                              void *scratch, ptrdiff_t n) noexcept nogil:
    cdef double loss
    cdef real q
    cdef ptrdiff_t i
    if job.targets == NULL:
        loss = row_cross_entropy(p, t, job.eps, n)
        if dp != NULL:
            row_cross_entropy_grad(p, t, job.eps, -row_factor(job, row), dp, n)
        return loss
    q = p[job.targets[row]]
    if q < job.eps:
        q = <real>job.eps
    if dp != NULL:
        for i in range(n):
            dp[i] = 0
        dp[job.targets[row]] = <real>(-row_factor(job, row) / q)
    return -log_f64(q)


# ---- squared error ----------------------------------------------------------------------------------

cdef double squared_error_row(const Job *job, ptrdiff_t row, const real *y, const real *t, real *dy,
                              void *scratch, ptrdiff_t n) noexcept nogil:
    cdef double loss = 0.5 * row_squared_error(y, t, n)
    if dy != NULL:
        row_difference(y, t, row_factor(job, row), dy, n)
    return loss


# ---- from Python ---------------------------------------------------------------------------------------

cdef enum:
    NONE, MEAN, SUM


cdef double normaliser(const Job *job, int reduction, bint double_type, ptrdiff_t rows) noexcept nogil:
    """What the sum over rows is multiplied by: 1, or 1 over the rows or the weights that count."""
    cdef double total = 0
    cdef ptrdiff_t i
    if reduction != MEAN:
        return 1
    if job.targets == NULL or not (job.has_ignore_index or job.weight != NULL):
        total = <double>rows
    else:
        for i in range(rows):
            if not ignored(job, i):
                if job.weight == NULL:
                    total += 1
                elif double_type:
                    total += (<const double *>job.weight)[job.targets[i]]
                else:
                    total += (<const float *>job.weight)[job.targets[i]]
    return 1 / total if total else 0


cdef object finish(double total, double factor, int reduction, int typenum, cnp.ndarray values, object out):
    """The loss as the caller wants it."""
    if reduction == NONE:
        if out is None:
            return values
        out[...] = values
        return out
    value = scalar(total * factor, typenum)
    if out is None:
        return value
    out[...] = value
    return out


cdef object class_loss(object call, object work, object loss_out, object dloss, double eps, const kernel_pair *kernels,
                       bint soft):
    """Runs a loss over the rows of checked arguments; returns the loss."""
    cdef Rows rows
    cdef cnp.ndarray scores = call.scores, indices, weight, behind, values = None
    cdef int axis = call.axis, reduction = call.reduction, typenum = cnp.PyArray_TYPE(scores)
    cdef ptrdiff_t count = cnp.PyArray_SIZE(scores) // max(cnp.PyArray_DIM(scores, axis), 1)
    cdef double total
    begin_rows(&rows, scores, axis)
    add_rows(&rows, 0, scores, axis)
    if call.indices is not None:
        indices = call.indices
        count = cnp.PyArray_SIZE(indices)
        rows.job.targets = <const cnp.npy_intp *>cnp.PyArray_DATA(indices)
    else:
        add_rows(&rows, 1, call.probabilities, axis)
    if call.weight is not None:
        weight = call.weight
        rows.job.weight = cnp.PyArray_DATA(weight)
    if call.ignore_index is not None:
        rows.job.has_ignore_index = True
        rows.job.ignore_index = call.ignore_index
    rows.job.smoothing = call.label_smoothing
    rows.job.eps = eps
    rows.job.coefficients = soft
    rows.job.factor = normaliser(&rows.job, reduction, is_double(scores), count)
    total = rows.job.factor
    if dloss is not None:
        if isinstance(dloss, float):
            rows.job.factor *= <double>dloss
        else:
            behind = dloss
            rows.job.dloss = <const double *>cnp.PyArray_DATA(behind)
    if work is not None:
        add_rows(&rows, 2, work, axis)
    if reduction == NONE and dloss is None:
        shape = _arguments.without_axis(call.scores.shape, axis)
        values = _arguments.np.zeros(shape, call.scores.dtype)
        rows.values = cnp.PyArray_DATA(values)
    total *= run_rows(&rows, kernels.by_row[is_double(scores)], kernels.by_lanes[is_double(scores)])
    return finish(total, 1, reduction, typenum, values, loss_out)


cdef kernel_pair index_kernels = both_types(
    <row_kernel>softmax_cross_entropy_row[float], <row_kernel>softmax_cross_entropy_row[double],
    <lanes_kernel>softmax_cross_entropy_lanes[float], <lanes_kernel>softmax_cross_entropy_lanes[double],
)
cdef kernel_pair soft_kernels = both_types(
    <row_kernel>soft_cross_entropy_row[float], <row_kernel>soft_cross_entropy_row[double], NULL, NULL
)
cdef kernel_pair probs_backward_kernels = both_types(
    <row_kernel>probs_backward_row[float], <row_kernel>probs_backward_row[double], NULL, NULL
)
cdef kernel_pair cross_entropy_kernels = both_types(
    <row_kernel>cross_entropy_row[float], <row_kernel>cross_entropy_row[double], NULL, NULL
)


def softmax_cross_entropy(logits, targets, axis, weight, ignore_index, label_smoothing, reduction, out):
    call = _arguments.class_loss("logits", logits, targets, axis, weight, ignore_index, label_smoothing, reduction)
    inputs = {"logits": logits, "targets": targets, "weight": weight}
    shape = _arguments.without_axis(call.scores.shape, call.axis)
    out = _arguments.loss_output(out, shape, call.reduction, call.scores.dtype, inputs)
    cdef bint soft = call.indices is None or call.label_smoothing > 0
    return class_loss(call, None, out, None, 0, &soft_kernels if soft else &index_kernels, soft)


def softmax_cross_entropy_with_grad(logits, targets, axis, weight, ignore_index, label_smoothing, reduction, out):
    if axis == -1 and weight is None and ignore_index is None and label_smoothing == 0:
        pair = plain_cross_entropy(logits, targets, reduction, out)
        if pair is not None:
            return pair
    call = _arguments.class_loss("logits", logits, targets, axis, weight, ignore_index, label_smoothing, reduction)
    inputs = {"logits": logits, "targets": targets, "weight": weight}
    work, result = _arguments.gradient_output(out, call.scores, call.dtype, inputs)
    cdef bint soft = call.indices is None or call.label_smoothing > 0
    loss = class_loss(call, work, None, None, 0, &soft_kernels if soft else &index_kernels, soft)
    return loss, _arguments.deliver(work, result)


cdef object plain_cross_entropy(object logits, object targets, object reduction, object out):
    """The commonest call: a plain matrix of logits, a vector of indices, no options; None where it
    is not that, or where something is wrong."""
    cdef Rows rows
    cdef cnp.ndarray scores, indices, target
    cdef const cnp.npy_intp *index
    cdef ptrdiff_t i, classes
    cdef double total, factor
    cdef bint in_range = True
    if not (is_plain(logits) and PyArray_CheckExact(targets)
            and (out is None or is_plain_out(out, <cnp.ndarray>logits))):
        return None
    scores, indices = <cnp.ndarray>logits, <cnp.ndarray>targets
    if not (
        (reduction == "mean" or reduction == "sum")
        and cnp.PyArray_NDIM(scores) == 2 and cnp.PyArray_NDIM(indices) == 1
        and cnp.PyArray_TYPE(indices) == cnp.NPY_INTP
        and PyArray_CHKFLAGS(indices, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED)
        and PyArray_ISNOTSWAPPED(indices)
        and cnp.PyArray_DIM(indices, 0) == cnp.PyArray_DIM(scores, 0)
        and cnp.PyArray_DIM(scores, 0) > 0
        and (out is None or apart(<cnp.ndarray>out, indices))
    ):
        return None
    index = <const cnp.npy_intp *>cnp.PyArray_DATA(indices)
    classes = cnp.PyArray_DIM(scores, 1)
    for i in range(cnp.PyArray_DIM(scores, 0)):
        in_range = in_range and 0 <= index[i] < classes
    if not in_range:
        return None
    target = empty_like(scores) if out is None else <cnp.ndarray>out
    factor = 1.0 / cnp.PyArray_DIM(scores, 0) if reduction == "mean" else 1.0
    begin_rows(&rows, scores, 1)
    add_rows(&rows, 0, scores, 1)
    add_rows(&rows, 2, target, 1)
    rows.job.targets = index
    rows.job.factor = factor
    total = run_rows(&rows, index_kernels.by_row[is_double(scores)], index_kernels.by_lanes[is_double(scores)])
    return scalar(total * factor, cnp.PyArray_TYPE(scores)), target


def softmax_cross_entropy_backward(probs, targets, dloss, axis, weight, ignore_index, label_smoothing, reduction, out):
    call = _arguments.class_loss("probs", probs, targets, axis, weight, ignore_index, label_smoothing, reduction)
    shape = _arguments.without_axis(call.scores.shape, call.axis)
    behind = _arguments.loss_gradient(dloss, shape, call.reduction)
    inputs = {"probs": probs, "targets": targets, "weight": weight, "dloss": dloss}
    work, result = _arguments.gradient_output(out, call.scores, call.dtype, inputs)
    class_loss(call, work, None, behind, 0, &probs_backward_kernels, True)
    return _arguments.deliver(work, result)


def cross_entropy(p, t, axis, eps, reduction, out):
    call = _arguments.class_loss("p", p, t, axis, None, None, 0.0, reduction)
    eps = _arguments.clip(eps)
    shape = _arguments.without_axis(call.scores.shape, call.axis)
    out = _arguments.loss_output(out, shape, call.reduction, call.scores.dtype, {"p": p, "t": t})
    return class_loss(call, None, out, None, eps, &cross_entropy_kernels, False)


def cross_entropy_with_grad(p, t, axis, eps, reduction, out):
    call = _arguments.class_loss("p", p, t, axis, None, None, 0.0, reduction)
    eps = _arguments.clip(eps)
    work, result = _arguments.gradient_output(out, call.scores, call.dtype, {"p": p, "t": t})
    loss = class_loss(call, work, None, None, eps, &cross_entropy_kernels, False)
    return loss, _arguments.deliver(work, result)


def cross_entropy_backward(p, t, dloss, axis, eps, reduction, out):
    call = _arguments.class_loss("p", p, t, axis, None, None, 0.0, reduction)
    eps = _arguments.clip(eps)
    shape = _arguments.without_axis(call.scores.shape, call.axis)
    behind = _arguments.loss_gradient(dloss, shape, call.reduction)
    inputs = {"p": p, "t": t, "dloss": dloss}
    work, result = _arguments.gradient_output(out, call.scores, call.dtype, inputs)
    class_loss(call, work, None, behind, eps, &cross_entropy_kernels, False)
    return _arguments.deliver(work, result)


cdef object squared_error(object call, object work, object loss_out, object dloss):
    cdef Rows rows
    cdef cnp.ndarray y = call.y, t = call.t, values = None, behind
    cdef int reduction = call.reduction, typenum = cnp.PyArray_TYPE(y)
    cdef ptrdiff_t count = cnp.PyArray_DIM(y, 0)
    cdef double factor = 1.0 / count if reduction == MEAN and count else 1.0, total
    begin_rows(&rows, y, 1)
    add_rows(&rows, 0, y, 1)
    add_rows(&rows, 1, t, 1)
    rows.job.factor = factor
    if dloss is not None:
        if isinstance(dloss, float):
            rows.job.factor *= <double>dloss
        else:
            behind = dloss
            rows.job.dloss = <const double *>cnp.PyArray_DATA(behind)
    if work is not None:
        add_rows(&rows, 2, work, 1)
    if reduction == NONE and dloss is None:
        values = _arguments.np.zeros(call.loss_shape, y.dtype)
        rows.values = cnp.PyArray_DATA(values)
    if is_double(y):
        total = run_rows(&rows, <row_kernel>squared_error_row[double], NULL)
    else:
        total = run_rows(&rows, <row_kernel>squared_error_row[float], NULL)
    return finish(total, factor, reduction, typenum, values, loss_out)


def sum_squared_error(y, t, reduction, out):
    call = _arguments.squared_error(y, t, reduction)
    out = _arguments.loss_output(out, call.loss_shape, call.reduction, call.y.dtype, {"y": y, "t": t})
    return squared_error(call, None, out, None)


def sum_squared_error_with_grad(y, t, reduction, out):
    call = _arguments.squared_error(y, t, reduction)
    return squared_error_grad(call, {"y": y, "t": t}, None, out)


def sum_squared_error_backward(y, t, dloss, reduction, out):
    call = _arguments.squared_error(y, t, reduction)
    behind = _arguments.loss_gradient(dloss, call.loss_shape, call.reduction)
    return squared_error_grad(call, {"y": y, "t": t, "dloss": dloss}, behind, out)[1]


cdef object squared_error_grad(object call, dict inputs, object behind, object out):
    work, result = _arguments.gradient_output(out, call.y.reshape(call.shape), call.dtype, inputs)
    # A view as rows of features where the layout allows one, else a copy that is put back.
    table = work.reshape(call.y.shape)
    loss = squared_error(call, table, None, behind)
    if not _arguments.np.may_share_memory(table, work):
        work[...] = table.reshape(work.shape)
    return loss, _arguments.deliver(work, result)
