# Cross-entropy from probabilities: q = max(p, eps), t probabilities or a class index.
#
#     cross_entropy                  -sum of t log q;  dp = -t / q       cross_entropy, cross_entropy_grad
#     cross_entropy_backward         dp = -t / q                         cross_entropy_grad
#     picked_cross_entropy           -log q[t], a class index t          log
#     picked_cross_entropy_backward  dp = -1 / q[t] at t, else 0

cdef double cross_entropy_row(const Loss *loss, ptrdiff_t row, const real *p, const real *t, real *dp, real *scratch,
                              ptrdiff_t n) noexcept nogil:
    cdef double value
    if is_absent(loss, row):
        return ignored_row(dp, n)
    value = sample_weight(loss, row) * row_cross_entropy(p, t, loss.eps, n)
    if dp != NULL:
        row_cross_entropy_grad(p, t, loss.eps, -row_factor(loss, row), dp, n)
    return value


cdef void cross_entropy_lanes(const Loss *loss, ptrdiff_t row, int rows, const real *p, ptrdiff_t ld, const real *t,
                              ptrdiff_t ld_t, real *dp, ptrdiff_t ld_dp, ptrdiff_t n, double *value) noexcept nogil:
    cdef double factor[FF_LANES]
    cdef int l
    lanes_cross_entropy(p, ld, t, ld_t, loss.eps, n, value)
    if dp != NULL:
        for l in range(FF_LANES):
            factor[l] = -row_factor(loss, row + min(l, rows - 1))
        lanes_cross_entropy_grad(p, ld, t, ld_t, loss.eps, factor, dp, ld_dp, n)
    weigh_lanes(loss, row, rows, dp, ld_dp, n, value)


cdef kernel_pair cross_entropy_kernels = kernels_of(
    cross_entropy_row[float], cross_entropy_row[double],
    cross_entropy_lanes[float], cross_entropy_lanes[double], 160, 64)


cdef double cross_entropy_backward_row(const Loss *loss, ptrdiff_t row, const real *p, const real *t, real *dp,
                                       real *scratch, ptrdiff_t n) noexcept nogil:
    if is_absent(loss, row):
        return ignored_row(dp, n)
    row_cross_entropy_grad(p, t, loss.eps, -row_factor(loss, row), dp, n)
    return 0


cdef void cross_entropy_backward_lanes(const Loss *loss, ptrdiff_t row, int rows, const real *p, ptrdiff_t ld,
                                       const real *t, ptrdiff_t ld_t, real *dp, ptrdiff_t ld_dp, ptrdiff_t n,
                                       double *value) noexcept nogil:
    cdef double factor[FF_LANES]
    cdef int l
    for l in range(FF_LANES):
        factor[l] = -row_factor(loss, row + min(l, rows - 1))
        value[l] = 0
    lanes_cross_entropy_grad(p, ld, t, ld_t, loss.eps, factor, dp, ld_dp, n)
    weigh_lanes(loss, row, rows, dp, ld_dp, n, value)


cdef kernel_pair cross_entropy_backward_kernels = kernels_of(
    cross_entropy_backward_row[float], cross_entropy_backward_row[double],
    cross_entropy_backward_lanes[float], cross_entropy_backward_lanes[double], 20, 15)


# ---- of class indices: only the probability of the target counts -----------------------------------------

cdef void picked_cross_entropy(const Loss *loss, ptrdiff_t row, int rows, const real *p, ptrdiff_t row_stride,
                               ptrdiff_t axis_stride, double *value) noexcept nogil:
    cdef double q[FF_LANES]
    cdef real eps = <real>loss.eps
    cdef ptrdiff_t target
    cdef int l
    for l in range(FF_LANES):
        q[l] = 1
    for l in range(rows):
        target = class_of(loss, row + l)
        if target >= 0:
            q[l] = at_least(eps, p[l * row_stride + target * axis_stride])
    lanes_log(q, value)
    for l in range(FF_LANES):
        value[l] = -value[l]
    weigh_lanes[real](loss, row, rows, NULL, 0, 0, value)


cdef kernel_pair picked_cross_entropy_kernels = kernels_of(NULL, NULL, NULL, NULL)
picked_cross_entropy_kernels.pick_f32 = picked_cross_entropy[float]
picked_cross_entropy_kernels.pick_f64 = picked_cross_entropy[double]


cdef double picked_cross_entropy_backward_row(const Loss *loss, ptrdiff_t row, const real *p, const real *_t, real *dp,
                                              real *scratch, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t target = counted_class(loss, row)
    cdef real q = at_least(<real>loss.eps, p[target]) if target >= 0 else 1     # before the gradient overwrites it
    memset(dp, 0, n * sizeof(real))
    if target >= 0:
        dp[target] = <real>(-row_factor(loss, row) / q)
    return 0


cdef void picked_cross_entropy_backward_rows(const Loss *loss, ptrdiff_t row, int rows, const real *p, real *dp,
                                             ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t t[FF_LANES]
    cdef real q[FF_LANES]
    cdef int l
    for l in range(rows):
        t[l] = class_of(loss, row + l)
        q[l] = at_least(<real>loss.eps, p[l * n + t[l]]) if t[l] >= 0 else 1
    memset(dp, 0, rows * n * sizeof(real))
    for l in range(rows):
        if t[l] >= 0:
            dp[l * n + t[l]] = <real>(-loss.factor / q[l])


cdef kernel_pair picked_cross_entropy_backward_kernels = kernels_of(
    picked_cross_entropy_backward_row[float], picked_cross_entropy_backward_row[double], NULL, NULL)
picked_cross_entropy_backward_kernels.rows_f32 = picked_cross_entropy_backward_rows[float]
picked_cross_entropy_backward_kernels.rows_f64 = picked_cross_entropy_backward_rows[double]
picked_cross_entropy_backward_kernels.grain = GRAIN_MEMORY


# ---- from Python -----------------------------------------------------------------------------------------

# What the arguments that an `out` may overlap are called in messages.
cdef tuple P = ("p", "t", "weight", "sample_weight", "dloss")


cdef double check_eps(object eps) except -1:
    """The least probability to take a logarithm of."""
    if type(eps) is float and 0 <= <double>eps <= 1:
        return eps
    return _arguments.check_eps(eps)


def cross_entropy(p, t, axis, eps, sample_weight, reduction, out):
    cdef ClassLoss call
    cdef double least
    checked = check_class_loss(&call, "p", p, t, axis, None, None, 0.0, sample_weight, reduction)
    least = check_eps(eps)
    out = check_loss_out(&call, out, P, p, t, None, sample_weight)
    return run_class_loss(
        &call, &picked_cross_entropy_kernels if call.indices else &cross_entropy_kernels, None, out, least)


def cross_entropy_with_grad(p, t, axis, eps, sample_weight, reduction, out):
    cdef ClassLoss call
    cdef double least
    checked = check_class_loss(&call, "p", p, t, axis, None, None, 0.0, sample_weight, reduction)
    least = check_eps(eps)
    grad = result = ready_gradient(&call, out, t, None, sample_weight)
    if grad is None:
        grad, result = check_gradient_out(&call, checked, out, P, p, t, None, sample_weight)
    if call.indices:
        loss = run_class_loss(&call, &picked_cross_entropy_kernels, None, None, least)
        run_class_loss_backward(&call, &picked_cross_entropy_backward_kernels, grad, 1.0, least)
    else:
        loss = run_class_loss(&call, &cross_entropy_kernels, grad, None, least)
    return loss, finish_output(grad, result, out)


def cross_entropy_backward(p, t, dloss, axis, eps, sample_weight, reduction, out):
    cdef ClassLoss call
    cdef double least
    checked = check_class_loss(&call, "p", p, t, axis, None, None, 0.0, sample_weight, reduction)
    least = check_eps(eps)
    factor = check_dloss(&call, dloss)
    grad = result = ready_gradient(&call, out, t, None, sample_weight) if factor is dloss else None
    if grad is None:
        grad, result = check_gradient_out(&call, checked, out, P, p, t, None, sample_weight, dloss)
    run_class_loss_backward(
        &call, &picked_cross_entropy_backward_kernels if call.indices else &cross_entropy_backward_kernels,
        grad, factor, least)
    return finish_output(grad, result, out)
