# Rows whose classes lie in several shards: what a shard has to tell of its own, and its part of the gradient.
#
# What becomes of the numbers in between is in `_shards.py`, which also says what they are.

cdef enum:
    MAXIMUM, EXCESS, GAP, TOTAL, OTHERS, LEADER
    POINT = OTHERS
    SCALE = 0, PLACE, VALUE
    ELSEWHERE = -1, IGNORED = -2


cdef inline void shard_coefficients(const Job *job, ptrdiff_t target, const real *t, real *a,
                                    ptrdiff_t n) noexcept nogil:
    """The weighted, smoothed targets of a row; smoothing spreads over the classes of all shards."""
    cdef const real *w = <const real *>job.weight
    cdef real keep = <real>job.keep, spread = <real>job.spread
    cdef ptrdiff_t i
    for i in range(n):
        a[i] = keep * t[i] + spread if t != NULL else spread
    if t == NULL and 0 <= target < n:
        a[target] = keep + spread
    if w != NULL:
        for i in range(n):
            a[i] *= w[i]


cdef double shard_statistics_row(const Job *job, ptrdiff_t row, const real *x, const real *t, real *y,
                                 void *scratch, ptrdiff_t n) noexcept nogil:
    cdef real *a = <real *>scratch
    cdef double *column = job.columns + row
    cdef ptrdiff_t target = job.targets[row] if job.targets != NULL else ELSEWHERE, leader = 0
    cdef real m, w
    cdef double excess, gap = 0, total = 0, others = 0
    if target == IGNORED:
        for leader in range(LEADER + 1):
            column[leader * job.rows] = 0
        return silent(y, n)
    m = <real>row_max(x, n)
    column[MAXIMUM * job.rows] = m
    if not m > -INFINITY:
        m = 0
    if job.coefficients:
        shard_coefficients(job, target, t, a, n)
        total = row_sum(a, n)
        gap = row_gap(x, m, a, n)
    elif 0 <= target < n:
        total = w = (<const real *>job.weight)[target] if job.weight != NULL else 1
        gap = w * (<double>m - x[target]) if w != 0 else 0
    excess = row_exp_sum(x, m, y, n)
    if not job.coefficients:
        others = y[target] if 0 <= target < n else 0
    elif n > 0 and excess < 1:
        leader = first_equal(y, 1, n)
        others = sum_without(a, leader, n)
    column[EXCESS * job.rows] = excess
    column[GAP * job.rows] = gap
    column[TOTAL * job.rows] = total
    column[OTHERS * job.rows] = others
    column[LEADER * job.rows] = leader
    return 0


cdef double shard_gradient_row(const Job *job, ptrdiff_t row, const real *y, const real *t, real *dx,
                               void *scratch, ptrdiff_t n) noexcept nogil:
    cdef real *a = <real *>scratch
    cdef const double *column = job.columns + row
    cdef ptrdiff_t target = job.targets[row] if job.targets != NULL else ELSEWHERE
    cdef ptrdiff_t place = <ptrdiff_t>column[PLACE * job.rows]
    cdef double scale = column[SCALE * job.rows]
    if target == IGNORED:
        return silent(dx, n)
    if job.coefficients:
        shard_coefficients(job, target, t, a, n)
        row_gradient(y, scale, a, job.factor, dx, n)
    else:
        row_scale(y, scale, dx, n)
    if 0 <= place < n:
        dx[place] = <real>column[VALUE * job.rows]
    return 0


cdef kernel_pair shard_statistics_kernels = both_types(
    <row_kernel>shard_statistics_row[float], <row_kernel>shard_statistics_row[double], NULL, NULL,
)
cdef kernel_pair shard_gradient_kernels = both_types(
    <row_kernel>shard_gradient_row[float], <row_kernel>shard_gradient_row[double], NULL, NULL,
)
shard_gradient_kernels.grain = GRAIN_MEMORY


cdef object over_shard(object call, cnp.ndarray scores, cnp.ndarray work, cnp.ndarray columns, double factor,
                       const kernel_pair *kernels):
    """From `scores` to `work`, of one type and shape, with the table of numbers a row."""
    cdef Rows rows
    cdef int axis = cnp.PyArray_NDIM(scores) - 1
    classes, probabilities, weight = call.classes, call.probabilities, call.weight
    begin_rows(&rows, scores, axis)
    add_rows(&rows, 0, scores, axis)
    add_rows(&rows, 2, work, axis)
    if probabilities is not None:
        add_rows(&rows, 1, <cnp.ndarray>probabilities, axis)
    if classes is not None:
        rows.job.targets = <const cnp.npy_intp *>cnp.PyArray_DATA(<cnp.ndarray>classes)
    if weight is not None:
        rows.job.weight = cnp.PyArray_DATA(<cnp.ndarray>weight)
    rows.job.keep = call.keep
    rows.job.spread = call.spread
    rows.job.coefficients = call.soft
    rows.job.factor = factor
    rows.job.columns = <double *>cnp.PyArray_DATA(columns)
    rows.job.rows = cnp.PyArray_DIM(columns, 1)
    run_rows(&rows, kernels)


def shard_statistics(call, work, columns):
    over_shard(call, call.scores, work, columns, 1, &shard_statistics_kernels)


def shard_gradient(call, work, columns, factor):
    over_shard(call, work, work, columns, factor, &shard_gradient_kernels)
