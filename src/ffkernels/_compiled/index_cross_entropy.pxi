# Softmax cross-entropy where each row has one class, its target t: w is the weight of that class, m the
# maximum of the row, 1 + excess the sum of its e^(x - m).  What a row weighs is left out here and below.
#
#     index_cross_entropy           w (m - x[t] + log(1 + excess));      max, excess or exp_excess and scale
#                                   dx = w (p - 1 at t), p = softmax(x)
#     index_cross_entropy_backward  dx = w (p - 1 at t), from p          sum_without, scale
#
# p - 1 at the target is minus what all the other classes hold: 1 would round away what a confident row
# has left.

cdef inline double sum_of_others(double excess, real at_target) noexcept nogil:
    """What a row of exponentials, of sum 1 + excess, holds besides its target.  Not 1 + excess minus the
    target where that is the maximum, which would round the excess away."""
    return excess if at_target == 1 else (1 + excess) - at_target


cdef inline double weighted_loss(double w, double gap, double excess) noexcept nogil:
    """w (gap + log(1 + excess)); a weight of 0 makes an infinite loss 0, not a NaN."""
    if w == 0 and excess == excess:
        return 0
    return w * (gap + log1p_nonnegative(excess))


cdef double index_cross_entropy_row(const Loss *loss, ptrdiff_t row, const stored *x, const stored *_t, stored *dx,
                                    real *scratch, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t t = counted_class(loss, row)
    cdef real m, w
    cdef double gap, excess, scale, others
    if t < 0:
        return ignored_row(dx, n)
    w = class_weight(loss, t, scratch)
    m = <real>row_max(x, n)
    gap = <double>m - value_of(x[t]) # before the gradient overwrites it
    if dx == NULL:
        excess = row_excess(x, m, n)
    else:
        excess = row_exponentials(x, m, dx, scratch, n)
        scale = w * row_factor(loss, row) / (1 + excess)
        others = sum_of_others(excess, <real>exponential_at(dx, scratch, t))
        row_scale_exponentials(scale, dx, scratch, n)
        set_value(dx[t], -others * scale)
    return sample_weight(loss, row) * weighted_loss(w, gap, excess)


cdef void index_cross_entropy_lanes(const Loss *loss, ptrdiff_t row, int rows, const real *x, ptrdiff_t ld,
                                    const real *_t, ptrdiff_t _ld, real *dx, ptrdiff_t ld_dx, ptrdiff_t n,
                                    double *value) noexcept nogil:
    cdef real m[FF_LANES]
    cdef double gap[FF_LANES]
    cdef double excess[FF_LANES]
    cdef double log_sum[FF_LANES]
    cdef double scale[FF_LANES]
    cdef ptrdiff_t t[FF_LANES]
    cdef real at_target
    cdef int l
    lanes_max(x, ld, n, m)
    for l in range(rows):
        t[l] = max(class_of(loss, row + l), 0)
        gap[l] = <double>m[l] - x[t[l] * ld + l]     # before the gradient overwrites it
    if dx == NULL:
        lanes_excess(x, ld, m, <const real *>NULL, 0, n, excess)
    else:
        lanes_exp_excess(x, ld, m, dx, ld_dx, n, excess)
    lanes_log1p(excess, log_sum)
    if dx != NULL:
        for l in range(FF_LANES):
            scale[l] = loss.factor / (1 + excess[l])
        if loss.weight != NULL:
            for l in range(rows):
                scale[l] *= class_weight(loss, t[l], x)
        if loss.sample_weight != NULL:
            for l in range(rows):
                scale[l] *= sample_weight(loss, row + l)
        for l in range(rows):
            at_target = dx[t[l] * ld_dx + l]
            dx[t[l] * ld_dx + l] = <real>-sum_of_others(excess[l], at_target)
        lanes_scale(dx, ld_dx, scale, dx, ld_dx, n)
    for l in range(rows):
        value[l] = gap[l] + log_sum[l]
    if loss.weight != NULL:
        for l in range(rows):
            value[l] = weighted_loss(class_weight(loss, t[l], x), gap[l], excess[l])
    weigh_lanes(loss, row, rows, dx, ld_dx, n, value)


cdef kernel_pair index_cross_entropy_kernels = kernels_of(
    index_cross_entropy_row[float, float], index_cross_entropy_row[double, double],
    index_cross_entropy_lanes[float], index_cross_entropy_lanes[double], 256, 100)
index_cross_entropy_kernels.row_f16 = index_cross_entropy_row[float16, float]
index_cross_entropy_kernels.row_bf16 = index_cross_entropy_row[bfloat16, float]


cdef inline double minus_others(const real *p, ptrdiff_t t, ptrdiff_t n) noexcept nogil:
    """p[t] - 1, without the rounding where p[t] is near 1."""
    return -sum_without(p, t, n) if p[t] > 0.5 else <double>p[t] - 1


cdef double index_cross_entropy_backward_row(const Loss *loss, ptrdiff_t row, const real *p, const real *_t, real *dx,
                                             real *scratch, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t t = counted_class(loss, row)
    cdef double factor, at_target
    if t < 0:
        return ignored_row(dx, n)
    factor = class_weight(loss, t, p) * row_factor(loss, row)
    at_target = minus_others(p, t, n)
    row_scale(p, factor, dx, n)
    dx[t] = <real>(at_target * factor)
    return 0


cdef void index_cross_entropy_backward_rows(const Loss *loss, ptrdiff_t row, int rows, const real *p, real *dx,
                                            ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t t[FF_LANES]
    cdef double at_target[FF_LANES]
    cdef int l
    for l in range(rows):
        t[l] = class_of(loss, row + l)
        if t[l] >= 0:
            at_target[l] = minus_others(p + l * n, t[l], n)
    row_scale(p, loss.factor, dx, rows * n)
    for l in range(rows):
        if t[l] >= 0:
            dx[l * n + t[l]] = <real>(loss.factor * at_target[l])
        else:
            ignored_row(dx + l * n, n)


cdef void index_cross_entropy_backward_lanes(const Loss *loss, ptrdiff_t row, int rows, const real *p, ptrdiff_t ld,
                                             const real *_t, ptrdiff_t _ld, real *dx, ptrdiff_t ld_dx, ptrdiff_t n,
                                             double *value) noexcept nogil:
    cdef double others[FF_LANES]
    cdef double factor[FF_LANES]
    cdef double at_target[FF_LANES]
    cdef ptrdiff_t t[FF_LANES]
    cdef bint confident = False
    cdef int l
    for l in range(FF_LANES):
        t[l] = max(class_of(loss, row + min(l, rows - 1)), 0)
        factor[l] = class_weight(loss, t[l], p) * row_factor(loss, row + min(l, rows - 1))
        at_target[l] = <double>p[t[l] * ld + l] - 1
        confident = confident or p[t[l] * ld + l] > 0.5
        value[l] = 0
    if confident:
        lanes_sum_without(p, ld, t, n, others)
        for l in range(FF_LANES):
            if p[t[l] * ld + l] > 0.5:
                at_target[l] = -others[l]
    lanes_scale(p, ld, factor, dx, ld_dx, n)
    for l in range(rows):
        dx[t[l] * ld_dx + l] = <real>(at_target[l] * factor[l])
    weigh_lanes(loss, row, rows, dx, ld_dx, n, value)


cdef kernel_pair index_cross_entropy_backward_kernels = kernels_of(
    index_cross_entropy_backward_row[float], index_cross_entropy_backward_row[double],
    index_cross_entropy_backward_lanes[float], index_cross_entropy_backward_lanes[double], 20, 16)
index_cross_entropy_backward_kernels.rows_f32 = index_cross_entropy_backward_rows[float]
index_cross_entropy_backward_kernels.rows_f64 = index_cross_entropy_backward_rows[double]
