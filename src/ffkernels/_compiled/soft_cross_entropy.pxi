# Softmax cross-entropy where every class of a row has a coefficient: a[i] = w[i] ((1 - smoothing) t[i] +
# smoothing / n), t probabilities or a one at the class index.  A is the sum of a, m the maximum of the
# row, 1 + excess the sum of its e^(x - m), p = softmax(x).
#
#     soft_cross_entropy           sum of a (m - x), + A log(1 + excess);   coefficients, sum, max, gap, excess
#                                  dx = A p - a                             or exp_excess and gradient
#     soft_cross_entropy_backward  dx = A p - a, from p                     coefficients, sum, max, gradient
#
# Where the leader, the first class at the maximum, has more than half of p, A p - a there is computed as
# the difference of what the other classes hold: it would round away what a confident row has left.

cdef inline ptrdiff_t first_equal(const real *x, real m, ptrdiff_t n) noexcept nogil:
    """The first place of m, 0 where there is none."""
    cdef ptrdiff_t i
    for i in range(n):
        if x[i] == m:
            return i
    return 0


cdef inline void coefficients_of(const Loss *loss, ptrdiff_t target, const real *t, real *a,
                                 ptrdiff_t n) noexcept nogil:
    """The coefficients of a row in `a`, from probabilities or from a class index."""
    cdef ptrdiff_t i
    if loss.targets != NULL:
        for i in range(n):
            a[i] = 0
        a[target] = 1
        t = a
    row_coefficients(t, <const real *>loss.weight, loss.smoothing, a, n)


cdef inline void lanes_coefficients_of(const Loss *loss, ptrdiff_t row, int rows, real *t, ptrdiff_t ld,
                                       ptrdiff_t n) noexcept nogil:
    """The same for a tile of probabilities, or for one that is to hold the coefficients, in place."""
    cdef ptrdiff_t k, target
    cdef int l
    if loss.targets != NULL:
        for k in range(n):
            for l in range(FF_LANES):
                t[k * ld + l] = 0
        for l in range(rows):
            target = class_of(loss, row + l)
            if target >= 0:
                t[target * ld + l] = 1
    if loss.smoothing != 0 or loss.weight != NULL:
        lanes_coefficients(t, ld, <const real *>loss.weight, loss.smoothing, n)


cdef double soft_cross_entropy_row(const Loss *loss, ptrdiff_t row, const real *x, const real *t, real *dx, real *a,
                                   ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t target = counted_class(loss, row), leader
    cdef real m
    cdef double total, gap, excess, value, factor
    if target < 0:
        return ignored_row(dx, n)
    if n == 0:
        return 0
    coefficients_of(loss, target, t, a, n)
    total = row_sum(a, n)
    m = <real>row_max(x, n)
    gap = row_gap(x, m, a, n)
    if dx == NULL:
        excess = row_excess(x, m, n)
    else:
        excess = row_exp_excess(x, m, dx, n)
        factor = row_factor(loss, row)
        leader = first_equal(dx, 1, n) if excess < 1 else 0
        row_gradient(dx, total * factor / (1 + excess), a, factor, dx, n)
        if excess < 1:
            dx[leader] = <real>((sum_without(a, leader, n) - total * excess / (1 + excess)) * factor)
    value = gap if total == 0 and excess == excess else gap + total * log1p_nonnegative(excess)
    return sample_weight(loss, row) * value


cdef void soft_cross_entropy_lanes(const Loss *loss, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld,
                                   const real *t, ptrdiff_t ld_t, real *dx, ptrdiff_t ld_dx, ptrdiff_t n,
                                   double *value) noexcept nogil:
    cdef real *a = <real *>t         # the function has `coefficients`: the tile is its own
    cdef real m[FF_LANES]
    cdef ptrdiff_t leader[FF_LANES]
    cdef real at_leader[FF_LANES]
    cdef double total[FF_LANES]
    cdef double gap[FF_LANES]
    cdef double excess[FF_LANES]
    cdef double log_sum[FF_LANES]
    cdef double others[FF_LANES]
    cdef double scale[FF_LANES]
    cdef double factor[FF_LANES]
    cdef int l
    lanes_coefficients_of(loss, row, rows, a, ld_t, n)
    lanes_sum(a, ld_t, n, total)
    lanes_max(x, ld, n, m)
    lanes_gap(x, ld, m, a, ld_t, n, gap)
    if dx == NULL:
        lanes_excess(x, ld, m, <const real *>NULL, 0, n, excess)
    else:
        lanes_leader(x, ld, m, n, leader)
        lanes_sum_without(a, ld_t, leader, n, others)
        lanes_exp_excess(x, ld, m, dx, ld_dx, n, excess)
        for l in range(FF_LANES):
            factor[l] = loss.factor
        if loss.sample_weight != NULL:
            for l in range(FF_LANES):
                factor[l] *= sample_weight(loss, row + min(l, rows - 1))
        for l in range(FF_LANES):
            scale[l] = total[l] * factor[l] / (1 + excess[l])
            at_leader[l] = <real>((others[l] - total[l] * excess[l] / (1 + excess[l])) * factor[l])
            leader[l] = leader[l] if excess[l] < 1 else -1
        lanes_gradient(dx, ld_dx, scale, a, ld_t, factor, leader, at_leader, dx, ld_dx, n)
    lanes_log1p(excess, log_sum)
    for l in range(FF_LANES):
        value[l] = gap[l] if total[l] == 0 and excess[l] == excess[l] else gap[l] + total[l] * log_sum[l]
    weigh_lanes(loss, row, rows, dx, ld_dx, n, value)


cdef kernel_pair soft_cross_entropy_kernels = kernels_of(
    soft_cross_entropy_row[float], soft_cross_entropy_row[double],
    soft_cross_entropy_lanes[float], soft_cross_entropy_lanes[double], 160, 64)
soft_cross_entropy_kernels.coefficients = True


cdef double soft_cross_entropy_backward_row(const Loss *loss, ptrdiff_t row, const real *p, const real *t, real *dx,
                                            real *a, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t target = counted_class(loss, row), leader
    cdef real m
    cdef double total, factor = row_factor(loss, row), at_leader
    if target < 0:
        return ignored_row(dx, n)
    if n == 0:
        return 0
    coefficients_of(loss, target, t, a, n)
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


cdef void soft_cross_entropy_backward_lanes(const Loss *loss, ptrdiff_t row, int rows, const real *p, ptrdiff_t ld,
                                            const real *t, ptrdiff_t ld_t, real *dx, ptrdiff_t ld_dx, ptrdiff_t n,
                                            double *value) noexcept nogil:
    cdef real *a = <real *>t         # the function has `coefficients`: the tile is its own
    cdef real m[FF_LANES]
    cdef ptrdiff_t leader[FF_LANES]
    cdef real at_leader[FF_LANES]
    cdef double total[FF_LANES]
    cdef double others_of_a[FF_LANES]
    cdef double others_of_p[FF_LANES]
    cdef double scale[FF_LANES]
    cdef double factor[FF_LANES]
    cdef int l
    lanes_coefficients_of(loss, row, rows, a, ld_t, n)
    lanes_sum(a, ld_t, n, total)
    lanes_max(p, ld, n, m)
    lanes_leader(p, ld, m, n, leader)
    lanes_sum_without(a, ld_t, leader, n, others_of_a)
    lanes_sum_without(p, ld, leader, n, others_of_p)
    for l in range(FF_LANES):
        value[l] = 0
        factor[l] = row_factor(loss, row + min(l, rows - 1))
        scale[l] = total[l] * factor[l]
        at_leader[l] = <real>((others_of_a[l] - total[l] * others_of_p[l]) * factor[l])
        leader[l] = leader[l] if m[l] > 0.5 else -1
    lanes_gradient(p, ld, scale, a, ld_t, factor, leader, at_leader, dx, ld_dx, n)
    weigh_lanes(loss, row, rows, dx, ld_dx, n, value)


cdef kernel_pair soft_cross_entropy_backward_kernels = kernels_of(
    soft_cross_entropy_backward_row[float], soft_cross_entropy_backward_row[double],
    soft_cross_entropy_backward_lanes[float], soft_cross_entropy_backward_lanes[double], 112, 48)
soft_cross_entropy_backward_kernels.coefficients = True
