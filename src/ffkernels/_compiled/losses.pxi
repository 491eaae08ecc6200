# ---- cross-entropy from logits, class indices ------------------------------------------------------

cdef inline real class_weight(const Job *job, ptrdiff_t target, const real *_) noexcept nogil:
    """1 where there are no weights, or of no classes none."""
    return (<const real *>job.weight)[target] if job.weight != NULL and job.classes > 0 else 1


cdef inline ptrdiff_t class_of(const Job *job, ptrdiff_t row) noexcept nogil:
    """The class of a row, -1 where it does not count.  In range by now, but looked at again: the
    caller's other threads can write to the targets while this one computes."""
    cdef ptrdiff_t target = job.targets[row]
    if job.has_ignore_index and target == job.ignore_index:
        return -1
    return target if 0 <= target < job.classes else -1


cdef inline double silent(real *dx, ptrdiff_t n) noexcept nogil:
    """Loss and gradient 0 for a row that does not count."""
    if dx != NULL:
        memset(dx, 0, n * sizeof(real))
    return 0


cdef inline void silence_ignored(const Job *job, ptrdiff_t row, int rows, real *dx, ptrdiff_t ld,
                                 ptrdiff_t n, double *value) noexcept nogil:
    """The same for the rows of a tile that do not count."""
    cdef ptrdiff_t k
    cdef int l
    if not job.has_ignore_index:
        return
    for l in range(rows):
        if class_of(job, row + l) < 0:
            value[l] = 0
            if dx != NULL:
                for k in range(n):
                    dx[k * ld + l] = 0


cdef inline double others(double excess, real at_target) noexcept nogil:
    """What a row of exponentials, of sum 1 + excess, holds besides its target.  Not 1 + excess minus it
    where the target leads, which would round away what a confident row has left."""
    return excess if at_target == 1 else (1 + excess) - at_target


cdef double softmax_cross_entropy_row(const Job *job, ptrdiff_t row, const real *x, const void *_,
                                      real *dx, void *scratch, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t t = class_of(job, row)
    cdef real m, w
    cdef double excess, scale, at_others, gap
    if t < 0:
        return silent(dx, n)
    w = class_weight(job, t, x)
    m = <real>row_max(x, n)
    gap = <double>m - x[t]           # before the gradient overwrites it
    if dx == NULL:
        excess = row_excess(x, m, n)
    else:
        excess = row_exp_excess(x, m, dx, n)
        scale = w * job.factor / (1 + excess)
        at_others = others(excess, dx[t])
        row_scale(dx, scale, dx, n)
        dx[t] = <real>(-at_others * scale)
    return row_loss(w, gap, excess)


cdef inline double row_loss(double w, double gap, double excess) noexcept nogil:
    """w (gap + log(1 + excess)); a weight of 0 silences an infinite loss, not a NaN."""
    if w == 0 and excess == excess:
        return 0
    return w * (gap + log1p_nonnegative(excess))


cdef void softmax_cross_entropy_lanes(const Job *job, ptrdiff_t row, int rows, const real *x,
                                      ptrdiff_t ld, const void *_, ptrdiff_t ld_, real *dx,
                                      ptrdiff_t ld_dx, ptrdiff_t n, double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef double gap[FF_LANES]
    cdef double excess[FF_LANES]
    cdef double log_sum[FF_LANES]
    cdef double scale[FF_LANES]
    cdef ptrdiff_t target[FF_LANES]
    cdef real at_target
    cdef int l
    lanes_max(x, ld, n, m)
    for l in range(rows):
        target[l] = max(class_of(job, row + l), 0)
        gap[l] = <double>m[l] - x[target[l] * ld + l]   # before the gradient overwrites it
    if dx == NULL:
        lanes_excess(x, ld, m, n, excess)
    else:
        lanes_exp_excess(x, ld, m, dx, ld_dx, n, excess)
    lanes_log1p(excess, log_sum)
    if dx != NULL:
        for l in range(FF_LANES):
            scale[l] = job.factor / (1 + excess[l])
        if job.weight != NULL:
            for l in range(rows):
                scale[l] *= class_weight(job, target[l], x)
        for l in range(rows):
            at_target = dx[target[l] * ld_dx + l]
            dx[target[l] * ld_dx + l] = <real>-others(excess[l], at_target)
        lanes_scale(dx, ld_dx, scale, dx, ld_dx, n)
    for l in range(rows):
        value[l] = gap[l] + log_sum[l]
    if job.weight != NULL:
        for l in range(rows):
            value[l] = row_loss(class_weight(job, target[l], x), gap[l], excess[l])
    silence_ignored(job, row, rows, dx, ld_dx, n, value)


# ---- cross-entropy from logits, any coefficients ------------------------------------------------------

cdef inline void coefficients_of(const Job *job, ptrdiff_t target, const real *t, real *a, ptrdiff_t n) noexcept nogil:
    """The weighted, smoothed targets of a row, from probabilities or from a class index."""
    cdef ptrdiff_t i
    if job.targets != NULL:
        for i in range(n):
            a[i] = 0
        a[target] = 1
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
    cdef ptrdiff_t target = class_of(job, row) if job.targets != NULL else 0, leader
    cdef real m
    cdef double total, gap, excess
    if target < 0:
        return silent(dx, n)
    if n == 0:
        return 0
    coefficients_of(job, target, t, a, n)
    total = row_sum(a, n)
    m = <real>row_max(x, n)
    gap = row_gap(x, m, a, n)
    if dx == NULL:
        excess = row_excess(x, m, n)
    else:
        excess = row_exp_excess(x, m, dx, n)
        leader = first_equal(dx, 1, n) if excess < 1 else 0
        row_gradient(dx, total * job.factor / (1 + excess), a, job.factor, dx, n)
        if excess < 1:
            # A leader without rivals: p - t as the difference of what the others hold.
            dx[leader] = <real>((sum_without(a, leader, n) - total * excess / (1 + excess)) * job.factor)
    if total == 0 and excess == excess:
        return gap
    return gap + total * log1p_nonnegative(excess)


cdef inline void lanes_coefficients_of(const Job *job, ptrdiff_t row, int rows, real *t, ptrdiff_t ld,
                                       ptrdiff_t n) noexcept nogil:
    """The same for a tile of targets, or for one that is to hold them, in place."""
    cdef ptrdiff_t k, target
    cdef int l
    if job.targets != NULL:
        for k in range(n):
            for l in range(FF_LANES):
                t[k * ld + l] = 0
        for l in range(rows):
            target = class_of(job, row + l)
            if target >= 0:
                t[target * ld + l] = 1
    if job.smoothing != 0 or job.weight != NULL:
        lanes_coefficients(t, ld, <const real *>job.weight, job.smoothing, n)


cdef void soft_cross_entropy_lanes(const Job *job, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld,
                                   real *a, ptrdiff_t ld_a, real *dx, ptrdiff_t ld_dx,
                                   ptrdiff_t n, double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef ptrdiff_t leader[FF_LANES]
    cdef real at_leader[FF_LANES]
    cdef double total[FF_LANES]
    cdef double gap[FF_LANES]
    cdef double excess[FF_LANES]
    cdef double log_sum[FF_LANES]
    cdef double without[FF_LANES]
    cdef double scale[FF_LANES]
    cdef double factor[FF_LANES]
    cdef int l
    lanes_coefficients_of(job, row, rows, a, ld_a, n)
    lanes_sum(a, ld_a, n, total)
    lanes_max(x, ld, n, m)
    lanes_gap(x, ld, m, a, ld_a, n, gap)
    if dx == NULL:
        lanes_excess(x, ld, m, n, excess)
    else:
        lanes_leader(x, ld, m, n, leader)
        lanes_sum_without(a, ld_a, leader, n, without)
        lanes_exp_excess(x, ld, m, dx, ld_dx, n, excess)
        for l in range(FF_LANES):
            factor[l] = job.factor
            scale[l] = total[l] * job.factor / (1 + excess[l])
            # A leader without rivals: p - t as the difference of what the others hold.
            at_leader[l] = <real>((without[l] - total[l] * excess[l] / (1 + excess[l])) * job.factor)
            leader[l] = leader[l] if excess[l] < 1 else -1
        lanes_gradient(dx, ld_dx, scale, a, ld_a, factor, leader, at_leader, dx, ld_dx, n)
    lanes_log1p(excess, log_sum)
    for l in range(FF_LANES):
        value[l] = gap[l] if total[l] == 0 and excess[l] == excess[l] else gap[l] + total[l] * log_sum[l]
    silence_ignored(job, row, rows, dx, ld_dx, n, value)


# ---- the same backwards, from probabilities ----------------------------------------------------------

cdef inline double row_factor(const Job *job, ptrdiff_t row) noexcept nogil:
    return job.factor * job.dloss[row] if job.dloss != NULL else job.factor


cdef double index_backward_row(const Job *job, ptrdiff_t row, const real *p, const void *_, real *dx,
                               void *scratch, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t t = class_of(job, row)
    cdef double factor, at_target
    if t < 0:
        return silent(dx, n)
    factor = class_weight(job, t, p) * row_factor(job, row)
    # p - 1 at a target that leads, as what the others hold.
    at_target = -sum_without(p, t, n) if p[t] > 0.5 else <double>p[t] - 1
    row_scale(p, factor, dx, n)
    dx[t] = <real>(at_target * factor)
    return 0


cdef void index_backward_lanes(const Job *job, ptrdiff_t row, int rows, const real *p, ptrdiff_t ld,
                               const void *_, ptrdiff_t ld_, real *dx, ptrdiff_t ld_dx, ptrdiff_t n,
                               double *value) noexcept nogil:
    cdef double rest[FF_LANES]
    cdef double factor[FF_LANES]
    cdef double at_target[FF_LANES]
    cdef ptrdiff_t target[FF_LANES]
    cdef bint leads = False
    cdef int l
    for l in range(FF_LANES):
        target[l] = max(class_of(job, row + min(l, rows - 1)), 0)
        factor[l] = class_weight(job, target[l], p) * row_factor(job, row + min(l, rows - 1))
        at_target[l] = <double>p[target[l] * ld + l] - 1
        leads = leads or p[target[l] * ld + l] > 0.5
        value[l] = 0
    if leads:
        lanes_sum_without(p, ld, target, n, rest)
        for l in range(FF_LANES):
            if p[target[l] * ld + l] > 0.5:
                at_target[l] = -rest[l]
    lanes_scale(p, ld, factor, dx, ld_dx, n)
    for l in range(rows):
        dx[target[l] * ld_dx + l] = <real>(at_target[l] * factor[l])
    silence_ignored(job, row, rows, dx, ld_dx, n, value)


cdef double soft_backward_row(const Job *job, ptrdiff_t row, const real *p, const real *t, real *dx,
                               void *scratch, ptrdiff_t n) noexcept nogil:
    cdef real *a = <real *>scratch
    cdef ptrdiff_t target = class_of(job, row) if job.targets != NULL else 0, leader
    cdef real m
    cdef double total, factor = row_factor(job, row), at_leader
    if target < 0:
        return silent(dx, n)
    if n == 0:
        return 0
    coefficients_of(job, target, t, a, n)
    total = row_sum(a, n)
    m = <real>row_max(p, n)
    if m > 0.5:
        leader = first_equal(p, m, n)
        at_leader = (sum_without(a, leader, n) - total * sum_without(p, leader, n)) * factor
        row_gradient(p, total * factor, a, factor, dx, n)
        dx[leader] = <real>at_leader
    else:
        row_gradient(p, total * factor, a, factor, dx, n)
    return 0


cdef void soft_backward_lanes(const Job *job, ptrdiff_t row, int rows, const real *p, ptrdiff_t ld,
                               real *a, ptrdiff_t ld_a, real *dx, ptrdiff_t ld_dx,
                               ptrdiff_t n, double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef ptrdiff_t leader[FF_LANES]
    cdef real at_leader[FF_LANES]
    cdef double total[FF_LANES]
    cdef double without[FF_LANES]
    cdef double rest[FF_LANES]
    cdef double scale[FF_LANES]
    cdef double factor[FF_LANES]
    cdef int l
    lanes_coefficients_of(job, row, rows, a, ld_a, n)
    lanes_sum(a, ld_a, n, total)
    lanes_max(p, ld, n, m)
    lanes_leader(p, ld, m, n, leader)
    lanes_sum_without(a, ld_a, leader, n, without)
    lanes_sum_without(p, ld, leader, n, rest)
    for l in range(FF_LANES):
        value[l] = 0
        factor[l] = row_factor(job, row + min(l, rows - 1))
        scale[l] = total[l] * factor[l]
        at_leader[l] = <real>((without[l] - total[l] * rest[l]) * factor[l])
        leader[l] = leader[l] if m[l] > 0.5 else -1
    lanes_gradient(p, ld, scale, a, ld_a, factor, leader, at_leader, dx, ld_dx, n)
    silence_ignored(job, row, rows, dx, ld_dx, n, value)


# ---- cross-entropy from probabilities ------------------------------------------------------------------

cdef inline real clipped(const Job *job, real p) noexcept nogil:
    return <real>job.eps if p < <real>job.eps else p


cdef double cross_entropy_row(const Job *job, ptrdiff_t row, const real *p, const real *t, real *dp,
                              void *scratch, ptrdiff_t n) noexcept nogil:
    cdef double loss = row_cross_entropy(p, t, job.eps, n)
    if dp != NULL:
        row_cross_entropy_grad(p, t, job.eps, -job.factor, dp, n)
    return loss


cdef void cross_entropy_lanes(const Job *job, ptrdiff_t row, int rows, const real *p, ptrdiff_t ld,
                              const real *t, ptrdiff_t ld_t, real *dp, ptrdiff_t ld_dp,
                              ptrdiff_t n, double *value) noexcept nogil:
    cdef double factor[FF_LANES]
    cdef int l
    lanes_cross_entropy(p, ld, t, ld_t, job.eps, n, value)
    if dp != NULL:
        for l in range(FF_LANES):
            factor[l] = -job.factor
        lanes_cross_entropy_grad(p, ld, t, ld_t, job.eps, factor, dp, ld_dp, n)


cdef double cross_entropy_backward_row(const Job *job, ptrdiff_t row, const real *p, const real *t, real *dp,
                                       void *scratch, ptrdiff_t n) noexcept nogil:
    row_cross_entropy_grad(p, t, job.eps, -row_factor(job, row), dp, n)
    return 0


cdef void cross_entropy_backward_lanes(const Job *job, ptrdiff_t row, int rows, const real *p, ptrdiff_t ld,
                                       const real *t, ptrdiff_t ld_t, real *dp, ptrdiff_t ld_dp,
                                       ptrdiff_t n, double *value) noexcept nogil:
    cdef double factor[FF_LANES]
    cdef int l
    for l in range(FF_LANES):
        factor[l] = -row_factor(job, row + min(l, rows - 1))
        value[l] = 0
    lanes_cross_entropy_grad(p, ld, t, ld_t, job.eps, factor, dp, ld_dp, n)


# With class indices only the probability of the target counts.

cdef void picked_cross_entropy_lanes(const Job *job, ptrdiff_t row, int rows, const real *p, ptrdiff_t stride,
                                     const void *_, ptrdiff_t ld_, const void *dp, ptrdiff_t ld_dp,
                                     ptrdiff_t n, double *value) noexcept nogil:
    cdef double q[FF_LANES]
    cdef ptrdiff_t target
    cdef int l
    for l in range(FF_LANES):
        q[l] = 1
    for l in range(rows):
        target = class_of(job, row + l)
        if target >= 0:
            q[l] = clipped(job, p[l * stride + target * job.step])
    lanes_log(q, value)
    for l in range(FF_LANES):
        value[l] = -value[l]


cdef double picked_cross_entropy_backward_row(const Job *job, ptrdiff_t row, const real *p, const void *_,
                                              real *dp, void *scratch, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t target = class_of(job, row)
    cdef real q = clipped(job, p[target]) if target >= 0 else 1   # before the gradient overwrites it
    silent(dp, n)
    if target >= 0:
        dp[target] = <real>(-row_factor(job, row) / q)
    return 0


# ---- squared error ----------------------------------------------------------------------------------

cdef double squared_error_row(const Job *job, ptrdiff_t row, const real *y, const real *t, real *dy,
                              void *scratch, ptrdiff_t n) noexcept nogil:
    cdef double loss = 0.5 * row_squared_error(y, t, n)
    if dy != NULL:
        row_difference(y, t, job.factor, dy, n)
    return loss


cdef double squared_error_backward_row(const Job *job, ptrdiff_t row, const real *y, const real *t, real *dy,
                                       void *scratch, ptrdiff_t n) noexcept nogil:
    row_difference(y, t, row_factor(job, row), dy, n)
    return 0


# ---- from Python ---------------------------------------------------------------------------------------

cdef enum:
    NONE, MEAN, SUM


cdef double normaliser(const Job *job, int reduction, bint double_type, ptrdiff_t rows) noexcept nogil:
    """What the sum over rows is multiplied by: 1, or 1 over the rows or the weights that count."""
    cdef double total = 0
    cdef ptrdiff_t i, target
    if reduction != MEAN:
        return 1
    if job.targets == NULL or not (job.has_ignore_index or job.weight != NULL):
        total = <double>rows
    else:
        for i in range(rows):
            target = class_of(job, i)
            if target >= 0:
                if job.weight == NULL:
                    total += 1
                elif double_type:
                    total += (<const double *>job.weight)[target]
                else:
                    total += (<const float *>job.weight)[target]
    return 1 / total if total else 0


cdef object finish(double total, int reduction, int typenum, cnp.ndarray values, object out):
    """The loss as the caller wants it."""
    value = values if reduction == NONE else scalar(total, typenum)
    if out is not None:
        if out is not value:
            out[...] = value
        return out
    return value if reduction != NONE or cnp.PyArray_NDIM(values) else value[()]


ctypedef struct ClassLoss:
    # The arguments that all cross-entropies share, checked; references borrowed.
    PyObject *scores
    PyObject *targets
    PyObject *weight             # or NULL
    bint indices                 # targets are class indices, C-ordered intp, in range
    int axis
    int reduction
    bint has_ignore_index
    ptrdiff_t ignore_index
    double smoothing
    bint plain                   # as the caller passed them


cdef inline bint is_soft(const ClassLoss *call) noexcept:
    """More than one coefficient in a row."""
    return not call.indices or call.smoothing > 0


cdef int reduction_code(object reduction) except -2:
    """The code of a name, -1 for anything else."""
    if type(reduction) is not str:
        return -1
    return MEAN if reduction == "mean" else SUM if reduction == "sum" else NONE if reduction == "none" else -1


cdef bint are_plain_indices(object targets, cnp.ndarray scores, int axis, const ClassLoss *call) noexcept:
    """C-ordered intp of the shape of the scores less their axis, all in range or ignored."""
    cdef cnp.ndarray array
    cdef const cnp.npy_intp *index
    cdef ptrdiff_t i, classes = cnp.PyArray_DIM(scores, axis)
    cdef int j
    cdef bint good = True
    if not PyArray_CheckExact(targets):
        return False
    array = <cnp.ndarray>targets
    if (
        cnp.PyArray_TYPE(array) != cnp.NPY_INTP or cnp.PyArray_NDIM(array) != cnp.PyArray_NDIM(scores) - 1
        or not PyArray_CHKFLAGS(array, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED)
        or not PyArray_ISNOTSWAPPED(array)
    ):
        return False
    for j in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, j) != cnp.PyArray_DIM(scores, j + (j >= axis)):
            return False
    index = <const cnp.npy_intp *>cnp.PyArray_DATA(array)
    if call.has_ignore_index:
        for i in range(cnp.PyArray_SIZE(array)):
            good = good and (0 <= index[i] < classes or index[i] == call.ignore_index)
    else:
        for i in range(cnp.PyArray_SIZE(array)):
            good &= <size_t>index[i] < <size_t>classes
    return good


cdef bint is_plain_weight(object weight, cnp.ndarray scores, int axis) noexcept:
    """A plain vector of the type of the scores, a finite number of at least 0 for each class."""
    cdef cnp.ndarray array
    cdef ptrdiff_t i
    cdef double w
    if not is_plain(weight):
        return False
    array = <cnp.ndarray>weight
    if (cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(scores) or cnp.PyArray_NDIM(array) != 1
            or cnp.PyArray_DIM(array, 0) != cnp.PyArray_DIM(scores, axis)):
        return False
    for i in range(cnp.PyArray_DIM(array, 0)):
        if is_double(array):
            w = (<const double *>cnp.PyArray_DATA(array))[i]
        else:
            w = (<const float *>cnp.PyArray_DATA(array))[i]
        if not 0 <= w < INFINITY:
            return False
    return True


cdef object read_class_loss(ClassLoss *call, str name, object scores, object targets, object axis, object weight,
                            object ignore_index, object smoothing, object reduction):
    """Fills `call`; returns what has to be kept alive as long as it."""
    call.plain = False
    call.reduction = reduction_code(reduction)
    call.has_ignore_index = ignore_index is not None
    if (
        is_array(scores) and call.reduction >= 0 and type(smoothing) is float and 0 <= <double>smoothing <= 1
        and (ignore_index is None or (type(ignore_index) is int and -2**31 <= ignore_index < 2**31))
    ):
        call.axis = plain_axis(axis, <cnp.ndarray>scores)
        call.ignore_index = 0 if ignore_index is None else ignore_index
        if call.axis >= 0:
            call.indices = are_plain_indices(targets, <cnp.ndarray>scores, call.axis, call)
            call.plain = (
                (call.indices or (is_array(targets) and alike(<cnp.ndarray>targets, <cnp.ndarray>scores)
                                  and ignore_index is None))
                and (weight is None or is_plain_weight(weight, <cnp.ndarray>scores, call.axis))
            )
    if call.plain:
        call.scores = <PyObject *>scores
        call.targets = <PyObject *>targets
        call.weight = NULL if weight is None else <PyObject *>weight
        call.smoothing = smoothing
        return None
    checked = _arguments.class_loss(name, scores, targets, axis, weight, ignore_index, smoothing, reduction)
    call.indices = checked.indices is not None
    call.scores = <PyObject *>checked.scores
    call.targets = <PyObject *>(checked.indices if call.indices else checked.probabilities)
    call.weight = NULL if checked.weight is None else <PyObject *>checked.weight
    call.axis = checked.axis
    call.reduction = checked.reduction
    call.has_ignore_index = checked.ignore_index is not None
    call.ignore_index = checked.ignore_index if call.has_ignore_index else 0
    call.smoothing = checked.label_smoothing
    return checked


cdef object plain_gradient(const ClassLoss *call, object out, object targets, object weight):
    """What to compute a gradient into and return, or None where that needs a further look."""
    cdef cnp.ndarray like = <cnp.ndarray>call.scores
    if not call.plain or not is_out(out, like):
        return None
    if out is None:
        return empty_like(like)
    if apart(<cnp.ndarray>out, <cnp.ndarray>targets) and (weight is None or apart(<cnp.ndarray>out, <cnp.ndarray>weight)):
        return out
    return None


cdef tuple gradient_target(const ClassLoss *call, object checked, object out, tuple names, object scores,
                           object targets, object weight=None, object dloss=None):
    """What to compute a gradient into, and what to return."""
    like = <object>call.scores
    inputs = dict(zip(names, (scores, targets, weight, dloss)))
    return _arguments.gradient_output(out, like, like.dtype if checked is None else checked.dtype, inputs)


cdef bint is_loss_out(const ClassLoss *call, object out, cnp.ndarray targets, object weight) noexcept:
    """An `out` for the value of a loss that needs no further look."""
    cdef cnp.npy_intp shape[MAX_DIMS]
    cdef int ndim = 0
    if call.reduction == NONE:
        ndim = shape_without(<cnp.ndarray>call.scores, call.axis, False, shape)
    return (
        is_result(out, <cnp.ndarray>call.scores, ndim, shape) and apart(<cnp.ndarray>out, targets)
        and (weight is None or apart(<cnp.ndarray>out, <cnp.ndarray>weight))
    )


cdef cnp.ndarray loss_values(object out, cnp.ndarray like, int ndim, const cnp.npy_intp *shape):
    """Where the losses of the rows go: into `out` itself where that can be."""
    if out is not None and is_plain(out):
        return <cnp.ndarray>out
    return cnp.PyArray_EMPTY(ndim, <cnp.npy_intp *>shape, cnp.PyArray_TYPE(like), 0)


cdef object loss_target(const ClassLoss *call, object out, tuple names, object scores, object targets,
                        object weight=None):
    """`out` for the value of a loss, checked."""
    if out is None or (call.plain and is_loss_out(call, out, <cnp.ndarray>targets, weight)):
        return out
    like = <object>call.scores
    inputs = dict(zip(names, (scores, targets, weight)))
    shape = _arguments.without_axis(like.shape, call.axis)
    return _arguments.loss_output(out, shape, call.reduction, like.dtype, inputs)


cdef object loss_gradient(const ClassLoss *call, object dloss):
    """The factor from behind: a float, or an array with one for each row."""
    if type(dloss) is float:
        return dloss
    return _arguments.loss_gradient(
        dloss, _arguments.without_axis((<object>call.scores).shape, call.axis), call.reduction)


cdef object class_loss(const ClassLoss *call, object work, object loss_out, object dloss, double eps,
                       const kernel_pair *kernels, bint soft):
    """Runs a loss over the rows of checked arguments; returns the loss."""
    cdef Rows rows
    cdef cnp.ndarray scores = <cnp.ndarray>call.scores, values = None
    cdef cnp.npy_intp shape[MAX_DIMS]
    cdef ptrdiff_t count
    cdef double total
    begin_rows(&rows, scores, call.axis)
    add_rows(&rows, 0, scores, call.axis)
    count = cnp.PyArray_SIZE(scores) // max(rows.n, 1)
    if call.indices:
        count = cnp.PyArray_SIZE(<cnp.ndarray>call.targets)
        rows.job.targets = <const cnp.npy_intp *>cnp.PyArray_DATA(<cnp.ndarray>call.targets)
    else:
        add_rows(&rows, 1, <cnp.ndarray>call.targets, call.axis)
    if call.weight != NULL:
        rows.job.weight = cnp.PyArray_DATA(<cnp.ndarray>call.weight)
    rows.job.has_ignore_index = call.has_ignore_index
    rows.job.ignore_index = call.ignore_index
    rows.job.smoothing = call.smoothing
    rows.job.eps = eps
    rows.job.coefficients = soft
    total = rows.job.factor = normaliser(&rows.job, call.reduction, rows.is_double, count)
    if type(dloss) is float:
        rows.job.factor *= <double>dloss
    elif dloss is not None:
        rows.job.dloss = <const double *>cnp.PyArray_DATA(<cnp.ndarray>dloss)
    if work is not None:
        add_rows(&rows, 2, <cnp.ndarray>work, call.axis)
    if kernels.by_row[rows.is_double] == NULL:
        rows.job.step = rows.step[0]
        rows.n = 1
    if call.reduction == NONE and dloss is None:
        values = loss_values(loss_out, scores, shape_without(scores, call.axis, False, shape), shape)
        rows.values = cnp.PyArray_DATA(values)
    rows.summed = dloss is None
    total *= run_rows(&rows, kernels)
    return None if dloss is not None else finish(total, call.reduction, cnp.PyArray_TYPE(scores), values, loss_out)


cdef kernel_pair index_kernels = both_types(
    <row_kernel>softmax_cross_entropy_row[float], <row_kernel>softmax_cross_entropy_row[double],
    <lanes_kernel>softmax_cross_entropy_lanes[float], <lanes_kernel>softmax_cross_entropy_lanes[double],
)
cdef kernel_pair soft_kernels = both_types(
    <row_kernel>soft_cross_entropy_row[float], <row_kernel>soft_cross_entropy_row[double],
    <lanes_kernel>soft_cross_entropy_lanes[float], <lanes_kernel>soft_cross_entropy_lanes[double],
)
cdef kernel_pair index_backward_kernels = both_types(
    <row_kernel>index_backward_row[float], <row_kernel>index_backward_row[double],
    <lanes_kernel>index_backward_lanes[float], <lanes_kernel>index_backward_lanes[double],
)
index_backward_kernels.tile[0] = index_backward_kernels.tile[1] = 24
cdef kernel_pair soft_backward_kernels = both_types(
    <row_kernel>soft_backward_row[float], <row_kernel>soft_backward_row[double],
    <lanes_kernel>soft_backward_lanes[float], <lanes_kernel>soft_backward_lanes[double],
)
cdef kernel_pair cross_entropy_kernels = both_types(
    <row_kernel>cross_entropy_row[float], <row_kernel>cross_entropy_row[double],
    <lanes_kernel>cross_entropy_lanes[float], <lanes_kernel>cross_entropy_lanes[double],
)
cdef kernel_pair cross_entropy_backward_kernels = both_types(
    <row_kernel>cross_entropy_backward_row[float], <row_kernel>cross_entropy_backward_row[double],
    <lanes_kernel>cross_entropy_backward_lanes[float], <lanes_kernel>cross_entropy_backward_lanes[double],
)
cdef kernel_pair picked_cross_entropy_kernels = both_types(
    NULL, NULL, <lanes_kernel>picked_cross_entropy_lanes[float], <lanes_kernel>picked_cross_entropy_lanes[double],
)
cdef kernel_pair picked_cross_entropy_backward_kernels = both_types(
    <row_kernel>picked_cross_entropy_backward_row[float], <row_kernel>picked_cross_entropy_backward_row[double],
    NULL, NULL,
)
picked_cross_entropy_backward_kernels.grain = GRAIN_MEMORY


# What the arguments that an `out` may overlap are called in messages.
cdef tuple FROM_LOGITS = ("logits", "targets", "weight")
cdef tuple FROM_PROBS = ("probs", "targets", "weight", "dloss")
cdef tuple FROM_P = ("p", "t", "weight", "dloss")


def softmax_cross_entropy(logits, targets, axis, weight, ignore_index, label_smoothing, reduction, out):
    cdef ClassLoss call
    cdef bint soft
    checked = read_class_loss(&call, "logits", logits, targets, axis, weight, ignore_index, label_smoothing, reduction)
    out = loss_target(&call, out, FROM_LOGITS, logits, targets, weight)
    soft = is_soft(&call)
    return class_loss(&call, None, out, None, 0, &soft_kernels if soft else &index_kernels, soft)


def softmax_cross_entropy_with_grad(logits, targets, axis, weight, ignore_index, label_smoothing, reduction, out):
    cdef ClassLoss call
    cdef bint soft
    checked = read_class_loss(&call, "logits", logits, targets, axis, weight, ignore_index, label_smoothing, reduction)
    work = result = plain_gradient(&call, out, targets, weight)
    if work is None:
        work, result = gradient_target(&call, checked, out, FROM_LOGITS, logits, targets, weight)
    soft = is_soft(&call)
    loss = class_loss(&call, work, None, None, 0, &soft_kernels if soft else &index_kernels, soft)
    return loss, delivered(work, result, out)


def softmax_cross_entropy_backward(probs, targets, dloss, axis, weight, ignore_index, label_smoothing, reduction, out):
    cdef ClassLoss call
    cdef bint soft
    checked = read_class_loss(&call, "probs", probs, targets, axis, weight, ignore_index, label_smoothing, reduction)
    behind = loss_gradient(&call, dloss)
    work = result = plain_gradient(&call, out, targets, weight) if behind is dloss else None
    if work is None:
        work, result = gradient_target(&call, checked, out, FROM_PROBS, probs, targets, weight, dloss)
    soft = is_soft(&call)
    class_loss(&call, work, None, behind, 0, &soft_backward_kernels if soft else &index_backward_kernels, soft)
    return delivered(work, result, out)


cdef double clip(object eps) except -1:
    """The least probability to take a logarithm of."""
    if type(eps) is float and 0 <= <double>eps <= 1:
        return eps
    return _arguments.clip(eps)


def cross_entropy(p, t, axis, eps, reduction, out):
    cdef ClassLoss call
    cdef double least
    checked = read_class_loss(&call, "p", p, t, axis, None, None, 0.0, reduction)
    least = clip(eps)
    out = loss_target(&call, out, FROM_P, p, t)
    return class_loss(&call, None, out, None, least,
                      &picked_cross_entropy_kernels if call.indices else &cross_entropy_kernels, False)


def cross_entropy_with_grad(p, t, axis, eps, reduction, out):
    cdef ClassLoss call
    cdef double least
    checked = read_class_loss(&call, "p", p, t, axis, None, None, 0.0, reduction)
    least = clip(eps)
    work = result = plain_gradient(&call, out, t, None)
    if work is None:
        work, result = gradient_target(&call, checked, out, FROM_P, p, t)
    if call.indices:
        loss = class_loss(&call, None, None, None, least, &picked_cross_entropy_kernels, False)
        class_loss(&call, work, None, 1.0, least, &picked_cross_entropy_backward_kernels, False)
    else:
        loss = class_loss(&call, work, None, None, least, &cross_entropy_kernels, False)
    return loss, delivered(work, result, out)


def cross_entropy_backward(p, t, dloss, axis, eps, reduction, out):
    cdef ClassLoss call
    cdef double least
    checked = read_class_loss(&call, "p", p, t, axis, None, None, 0.0, reduction)
    least = clip(eps)
    behind = loss_gradient(&call, dloss)
    work = result = plain_gradient(&call, out, t, None) if behind is dloss else None
    if work is None:
        work, result = gradient_target(&call, checked, out, FROM_P, p, t, None, dloss)
    class_loss(
        &call, work, None, behind, least,
        &picked_cross_entropy_backward_kernels if call.indices else &cross_entropy_backward_kernels, False)
    return delivered(work, result, out)


cdef enum:
    ERROR_SPAN = 1024   # elements taken at a time where rows do not matter


cdef void add_table(Rows *rows, int slot, cnp.ndarray a) noexcept:
    rows.present[slot] = True
    rows.data[slot] = <char *>cnp.PyArray_DATA(a)
    rows.outer_strides[slot][0] = rows.n


cdef object squared_error(cnp.ndarray y, cnp.ndarray t, object work, int reduction,
                          object loss_out, object dloss):
    """Runs the loss, or with a `dloss` its gradient alone, over C-ordered arrays; returns it."""
    cdef Rows rows
    cdef cnp.ndarray values = None
    cdef ptrdiff_t size = cnp.PyArray_SIZE(y), done
    cdef ptrdiff_t count = cnp.PyArray_DIM(y, 0) if cnp.PyArray_NDIM(y) > 1 else 1
    cdef const kernel_pair *kernels = &squared_error_kernels if dloss is None else &squared_error_backward_kernels
    cdef row_kernel kernel = kernels.by_row[is_double(y)]
    cdef double factor = 1, total
    if reduction == MEAN and count:
        factor = 1.0 / count
    begin_rows(&rows, y, 0)
    rows.outer_ndim = 1
    rows.n = size // max(count, 1)
    if reduction != NONE or type(dloss) is float:
        # One long sum and one factor: short rows would cost a call each.
        rows.n = ERROR_SPAN
        count = size // ERROR_SPAN
    rows.outer_shape[0] = count
    add_table(&rows, 0, y)
    add_table(&rows, 1, t)
    rows.job.factor = factor
    if type(dloss) is float:
        rows.job.factor *= <double>dloss
    elif dloss is not None:
        rows.job.dloss = <const double *>cnp.PyArray_DATA(<cnp.ndarray>dloss)
    if work is not None:
        add_table(&rows, 2, <cnp.ndarray>work)
    if reduction == NONE and dloss is None:
        values = loss_values(loss_out, y, cnp.PyArray_NDIM(y) > 1, cnp.PyArray_DIMS(y))
        rows.values = cnp.PyArray_DATA(values)
    rows.summed = dloss is None
    total = run_rows(&rows, kernels)
    done = count * rows.n
    if done < size:
        total += kernel(&rows.job, 0, row_at(&rows, 0, done, 0), row_at(&rows, 1, done, 0),
                        row_at(&rows, 2, done, 0), NULL, size - done)
    return None if dloss is not None else finish(
        factor * total, reduction, cnp.PyArray_TYPE(y), values, loss_out)


cdef kernel_pair squared_error_kernels = both_types(
    <row_kernel>squared_error_row[float], <row_kernel>squared_error_row[double], NULL, NULL,
)
squared_error_kernels.grain = GRAIN_MEMORY
cdef kernel_pair squared_error_backward_kernels = both_types(
    <row_kernel>squared_error_backward_row[float], <row_kernel>squared_error_backward_row[double],
    NULL, NULL,
)
squared_error_backward_kernels.grain = GRAIN_MEMORY


cdef inline bint is_plain_error(object y, object t, object out) noexcept:
    """A C-ordered pair, and an `out` or none beside it, that need no further look."""
    return (
        is_pair(y, t, out) and cnp.PyArray_NDIM(<cnp.ndarray>y) > 0
        and is_c_ordered(<cnp.ndarray>y) and is_c_ordered(<cnp.ndarray>t)
        and (out is None or is_c_ordered(<cnp.ndarray>out))
    )


cdef inline bint is_squared_error_out(object out, cnp.ndarray y, cnp.ndarray t, int reduction) noexcept:
    """An `out` for the value of the loss that needs no further look."""
    cdef int ndim = reduction == NONE and cnp.PyArray_NDIM(y) > 1
    return is_result(out, y, ndim, cnp.PyArray_DIMS(y)) and apart(<cnp.ndarray>out, t)


def sum_squared_error(y, t, reduction, out):
    cdef int code = reduction_code(reduction)
    if code >= 0 and is_plain_error(y, t, None) and (
        out is None or is_squared_error_out(out, <cnp.ndarray>y, <cnp.ndarray>t, code)
    ):
        return squared_error(y, t, None, code, out, None)
    call = _arguments.squared_error(y, t, reduction)
    out = _arguments.loss_output(out, call.loss_shape, call.reduction, call.y.dtype, {"y": y, "t": t})
    return squared_error(call.y, call.t, None, call.reduction, out, None)


cdef tuple squared_error_grad(object y, object t, object reduction, object dloss, object out):
    cdef int code = reduction_code(reduction)
    if code >= 0 and is_plain_error(y, t, out) and (dloss is None or type(dloss) is float):
        work = empty_like(y) if out is None else out
        return squared_error(y, t, work, code, None, dloss), work
    call = _arguments.squared_error(y, t, reduction)
    inputs = {"y": y, "t": t}
    if dloss is not None:
        inputs["dloss"] = dloss
        dloss = _arguments.loss_gradient(dloss, call.loss_shape, call.reduction)
    work, result = _arguments.gradient_output(out, call.y, call.dtype, inputs)
    target = work if is_c_ordered(work) else empty_like(call.y)
    loss = squared_error(call.y, call.t, target, call.reduction, None, dloss)
    return loss, delivered(target, result, out)


def sum_squared_error_with_grad(y, t, reduction, out):
    return squared_error_grad(y, t, reduction, None, out)


def sum_squared_error_backward(y, t, dloss, reduction, out):
    return squared_error_grad(y, t, reduction, dloss, out)[1]
