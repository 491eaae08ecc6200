# Softmax cross-entropy of rows whose classes lie in several shards: what a shard has to tell of its own, and its
# part of the gradient.  What becomes of the numbers in between is in `_shards.py`, which also says what they are.
#
#     index_shard_statistics    of rows with one class: y = e^(x - m) and the statistics     max, exp_excess
#     soft_shard_statistics     of rows with coefficients a: the same       sum, max, gap, exp_excess
#     index_shard_gradient      dx = scale y, but for the one place that has a value of its own     scale
#     soft_shard_gradient       dx = scale y - factor a, the same                                gradient

cdef enum:
    MAXIMUM, EXCESS, GAP, TOTAL, OTHERS, LEADER
    POINT = OTHERS               # of rows with one class
    SCALE = 0, PLACE, VALUE, FACTOR
    ELSEWHERE = -1, IGNORED = -2  # for a class: in another shard, in none


cdef inline ptrdiff_t shard_class(const Loss *loss, ptrdiff_t row) noexcept nogil:
    return loss.targets[row] if loss.targets != NULL else ELSEWHERE


cdef inline void store_statistics(const Loss *loss, ptrdiff_t row, double maximum, double excess, double gap,
                                  double total, double others, ptrdiff_t leader) noexcept nogil:
    cdef double *column = loss.columns + row
    column[MAXIMUM * loss.rows] = maximum
    column[EXCESS * loss.rows] = excess
    column[GAP * loss.rows] = gap
    column[TOTAL * loss.rows] = total
    column[OTHERS * loss.rows] = others
    column[LEADER * loss.rows] = leader


cdef inline double ignored_statistics(const Loss *loss, ptrdiff_t row, real *y, ptrdiff_t n) noexcept nogil:
    store_statistics(loss, row, 0, 0, 0, 0, 0, 0)
    return ignored_row(y, n)


cdef double index_shard_statistics_row(const Loss *loss, ptrdiff_t row, const real *x, const real *_t, real *y,
                                       real *scratch, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t target = shard_class(loss, row)
    cdef real maximum, m
    cdef double w = 0, gap = 0, excess
    if target == IGNORED:
        return ignored_statistics(loss, row, y, n)
    maximum = m = <real>row_max(x, n)
    if not m > -INFINITY:
        m = 0
    if 0 <= target < n:
        w = (<const real *>loss.weight)[target] if loss.weight != NULL else 1
        gap = w * (<double>m - x[target]) if w != 0 else 0
    excess = row_exp_excess(x, m, y, n)
    store_statistics(loss, row, maximum, excess, gap, w, y[target] if 0 <= target < n else 0, 0)
    return 0


cdef inline void shard_coefficients(const Loss *loss, ptrdiff_t target, const real *t, real *a,
                                    ptrdiff_t n) noexcept nogil:
    """The weighted, smoothed targets of a row; smoothing spreads over the classes of all shards."""
    cdef const real *w = <const real *>loss.weight
    cdef real hard = <real>loss.hard, soft = <real>loss.soft
    cdef ptrdiff_t i
    for i in range(n):
        a[i] = hard * t[i] + soft if t != NULL else soft
    if t == NULL and 0 <= target < n:
        a[target] = hard + soft
    if w != NULL:
        for i in range(n):
            a[i] *= w[i]


cdef double soft_shard_statistics_row(const Loss *loss, ptrdiff_t row, const real *x, const real *t, real *y, real *a,
                                      ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t target = shard_class(loss, row), leader = 0
    cdef real maximum, m
    cdef double gap, excess, others = 0
    if target == IGNORED:
        return ignored_statistics(loss, row, y, n)
    maximum = m = <real>row_max(x, n)
    if not m > -INFINITY:
        m = 0
    shard_coefficients(loss, target, t, a, n)
    gap = row_gap(x, m, a, n)
    excess = row_exp_excess(x, m, y, n)
    if n > 0 and excess < 1:
        leader = first_equal(y, 1, n)
        others = sum_without(a, leader, n)
    store_statistics(loss, row, maximum, excess, gap, row_sum(a, n), others, leader)
    return 0


cdef inline void place_value(const Loss *loss, ptrdiff_t row, real *dx, ptrdiff_t n) noexcept nogil:
    """The value of its own, where that is in this shard."""
    cdef const double *column = loss.columns + row
    cdef ptrdiff_t place = <ptrdiff_t>column[PLACE * loss.rows]
    if 0 <= place < n:
        dx[place] = <real>column[VALUE * loss.rows]


cdef double index_shard_gradient_row(const Loss *loss, ptrdiff_t row, const real *y, const real *_t, real *dx,
                                     real *scratch, ptrdiff_t n) noexcept nogil:
    if shard_class(loss, row) == IGNORED:
        return ignored_row(dx, n)
    row_scale(y, loss.columns[row + SCALE * loss.rows], dx, n)
    place_value(loss, row, dx, n)
    return 0


cdef double soft_shard_gradient_row(const Loss *loss, ptrdiff_t row, const real *y, const real *t, real *dx, real *a,
                                    ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t target = shard_class(loss, row)
    if target == IGNORED:
        return ignored_row(dx, n)
    shard_coefficients(loss, target, t, a, n)
    row_gradient(y, loss.columns[row + SCALE * loss.rows], a, loss.columns[row + FACTOR * loss.rows], dx, n)
    place_value(loss, row, dx, n)
    return 0


cdef kernel_pair index_shard_statistics_kernels = kernels_of(
    index_shard_statistics_row[float], index_shard_statistics_row[double], NULL, NULL)
cdef kernel_pair soft_shard_statistics_kernels = kernels_of(
    soft_shard_statistics_row[float], soft_shard_statistics_row[double], NULL, NULL)
cdef kernel_pair index_shard_gradient_kernels = kernels_of(
    index_shard_gradient_row[float], index_shard_gradient_row[double], NULL, NULL)
cdef kernel_pair soft_shard_gradient_kernels = kernels_of(
    soft_shard_gradient_row[float], soft_shard_gradient_row[double], NULL, NULL)
soft_shard_statistics_kernels.coefficients = soft_shard_gradient_kernels.coefficients = True
index_shard_gradient_kernels.grain = soft_shard_gradient_kernels.grain = GRAIN_MEMORY


cdef object over_shard(object call, const kernel_pair *kernels, cnp.ndarray scores, cnp.ndarray work,
                       cnp.ndarray columns):
    """From `scores` to `work`, of one type and shape, with the table of numbers a row."""
    cdef Rows rows
    cdef int axis = cnp.PyArray_NDIM(scores) - 1
    classes, probabilities, weight = call.classes, call.probabilities, call.weight
    begin_rows(&rows, kernels, scores, axis)
    add_rows(&rows, FIRST, scores, axis)
    add_rows(&rows, OUTPUT, work, axis)
    if probabilities is not None:
        add_rows(&rows, SECOND, <cnp.ndarray>probabilities, axis)
    if classes is not None:
        rows.loss.targets = <const cnp.npy_intp *>cnp.PyArray_DATA(<cnp.ndarray>classes)
    if weight is not None:
        rows.loss.weight = cnp.PyArray_DATA(<cnp.ndarray>weight)
    rows.loss.hard = call.hard
    rows.loss.soft = call.soft
    rows.loss.columns = <double *>cnp.PyArray_DATA(columns)
    rows.loss.rows = cnp.PyArray_DIM(columns, 1)
    run_rows(&rows)


def shard_statistics(call, work, columns):
    over_shard(call, &soft_shard_statistics_kernels if call.has_coefficients else &index_shard_statistics_kernels,
               call.scores, work, columns)


def shard_gradient(call, work, columns):
    over_shard(call, &soft_shard_gradient_kernels if call.has_coefficients else &index_shard_gradient_kernels,
               work, work, columns)
