# What the cross-entropies share: their arguments, which rows and classes count, the way to a loss.

cdef enum:
    NONE, MEAN, SUM

cdef enum:
    LONGEST_ONE_BY_ONE = 32      # values that are added up sooner than two sums of lanes begin and end


# ---- of a row, for kernels -------------------------------------------------------------------------------

cdef inline ptrdiff_t class_of(const Loss *loss, ptrdiff_t row) noexcept nogil:
    """The class of a row, -1 where it is ignored.  Indices are in range by now, but looked at again: the
    caller's other threads can write to the targets while this one computes."""
    cdef ptrdiff_t target = loss.targets[row], classes = loss.classes     # gathered by clang if read under a condition
    if loss.has_ignore_index and target == loss.ignore_index:
        return -1
    return target if 0 <= target < classes else -1


cdef inline real class_weight(const Loss *loss, ptrdiff_t target, const real *_) noexcept nogil:
    """1 where there are no weights, or of no classes none."""
    return (<const real *>loss.weight)[target] if loss.weight != NULL and loss.classes > 0 else 1


cdef inline double sample_weight(const Loss *loss, ptrdiff_t row) noexcept nogil:
    """1 where there are no weights."""
    if loss.sample_weight == NULL:
        return 1
    if loss.sample_weight_is_double:
        return (<const double *>loss.sample_weight)[row]
    return (<const float *>loss.sample_weight)[row]


cdef inline bint is_absent(const Loss *loss, ptrdiff_t row) noexcept nogil:
    """Whether a row has a weight, and that is 0."""
    return loss.sample_weight != NULL and sample_weight(loss, row) == 0


cdef inline ptrdiff_t counted_class(const Loss *loss, ptrdiff_t row) noexcept nogil:
    """The class of a row, 0 where it has probabilities instead, -1 where it does not count."""
    if is_absent(loss, row):
        return -1
    return class_of(loss, row) if loss.targets != NULL else 0


cdef inline double row_factor(const Loss *loss, ptrdiff_t row) noexcept nogil:
    """What the gradient of a row is multiplied by."""
    cdef double factor = loss.factor
    if loss.sample_weight != NULL:
        factor *= sample_weight(loss, row)
    return factor * loss.dloss[row] if loss.dloss != NULL else factor


cdef inline double sum_without(const real *x, ptrdiff_t i, ptrdiff_t n) noexcept nogil:
    """The sum of all but x[i]."""
    cdef double sum = 0
    cdef ptrdiff_t k
    if n <= LONGEST_ONE_BY_ONE:
        for k in range(i):
            sum += x[k]
        for k in range(i + 1, n):
            sum += x[k]
        return sum
    return row_sum(x, i) + row_sum(x + i + 1, n - i - 1)


cdef inline double ignored_row(stored *dx, ptrdiff_t n) noexcept nogil:
    """Loss and gradient of a row that does not count: 0."""
    if dx != NULL:
        memset(dx, 0, n * sizeof(stored))
    return 0


cdef inline void weigh_lanes(const Loss *loss, ptrdiff_t row, int rows, real *dx, ptrdiff_t ld, ptrdiff_t n,
                             double *value) noexcept nogil:
    """Multiplies the losses of a tile by the weights of their rows, and sets loss and gradient to 0 where a row
    does not count."""
    cdef ptrdiff_t k
    cdef int l
    if not loss.has_ignore_index and loss.sample_weight == NULL:
        return
    for l in range(rows):
        value[l] *= sample_weight(loss, row + l)
        if counted_class(loss, row + l) < 0:
            value[l] = 0
            if dx != NULL:
                for k in range(n):
                    dx[k * ld + l] = 0


# ---- arguments -------------------------------------------------------------------------------------------

ctypedef struct ClassLoss:
    # The arguments that all cross-entropies share, checked; references borrowed.
    PyObject *scores
    PyObject *targets
    PyObject *weight             # or NULL
    PyObject *sample_weight      # or NULL
    bint indices                 # targets are class indices, C-ordered intp, in range
    int axis
    int reduction
    bint has_ignore_index
    ptrdiff_t ignore_index
    double smoothing
    bint ready                   # the arrays are the caller's own


cdef int reduction_code(object reduction) except -2:
    """The code of a name, -1 for anything else."""
    if type(reduction) is not str:
        return -1
    return MEAN if reduction == "mean" else SUM if reduction == "sum" else NONE if reduction == "none" else -1


cdef bint are_ready_indices(object targets, cnp.ndarray scores, int axis, const ClassLoss *call) noexcept:
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


cdef bint is_ready_weight(object weight, cnp.ndarray scores, int axis) noexcept:
    """A C-ordered vector of the type to compute in, a finite number of at least 0 for each class."""
    cdef cnp.ndarray array
    cdef ptrdiff_t i
    cdef double w
    if not is_c_array(weight):
        return False
    array = <cnp.ndarray>weight
    if (cnp.PyArray_TYPE(array) != work_type(scores) or cnp.PyArray_NDIM(array) != 1
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


cdef bint is_ready_sample_weight(object weight, int ndim, const cnp.npy_intp *shape) noexcept:
    """A C-ordered array of float or double of this shape, finite numbers of at least 0."""
    cdef cnp.ndarray array
    cdef int j
    if not is_c_array(weight):
        return False
    array = <cnp.ndarray>weight
    if is_half(array) or cnp.PyArray_NDIM(array) != ndim:
        return False
    for j in range(ndim):
        if cnp.PyArray_DIM(array, j) != shape[j]:
            return False
    if is_double(array):
        return row_are_weights(<const double *>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array))
    return row_are_weights(<const float *>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array))


cdef object check_class_loss(ClassLoss *call, str name, object scores, object targets, object axis, object weight,
                             object ignore_index, object smoothing, object sample_weight, object reduction):
    """Fills `call`; returns what has to be kept alive as long as it."""
    cdef cnp.npy_intp shape[MAX_DIMS]
    cdef int ndim
    call.ready = False
    call.reduction = reduction_code(reduction)
    call.has_ignore_index = ignore_index is not None
    if (
        is_array(scores) and call.reduction >= 0 and type(smoothing) is float and 0 <= <double>smoothing <= 1
        and (ignore_index is None or (type(ignore_index) is int and -2**31 <= ignore_index < 2**31))
    ):
        call.axis = ready_axis(axis, <cnp.ndarray>scores)
        call.ignore_index = 0 if ignore_index is None else ignore_index
        if call.axis >= 0:
            call.indices = are_ready_indices(targets, <cnp.ndarray>scores, call.axis, call)
            call.ready = (
                (call.indices or (is_array(targets) and alike(<cnp.ndarray>targets, <cnp.ndarray>scores)
                                  and ignore_index is None))
                and (weight is None or is_ready_weight(weight, <cnp.ndarray>scores, call.axis))
            )
            if sample_weight is not None:
                ndim = shape_without(<cnp.ndarray>scores, call.axis, False, shape)
                call.ready = call.ready and is_ready_sample_weight(sample_weight, ndim, shape)
    if call.ready:
        call.scores = <PyObject *>scores
        call.targets = <PyObject *>targets
        call.weight = <PyObject *>NULL if weight is None else <PyObject *>weight
        call.sample_weight = <PyObject *>NULL if sample_weight is None else <PyObject *>sample_weight
        call.smoothing = smoothing
        return None
    checked = _arguments.check_class_loss(
        name, scores, targets, axis, weight, ignore_index, smoothing, reduction, sample_weight, halves=True)
    call.indices = checked.indices is not None
    call.scores = <PyObject *>checked.scores
    call.targets = <PyObject *>(checked.indices if call.indices else checked.probabilities)
    call.weight = <PyObject *>NULL if checked.weight is None else <PyObject *>checked.weight
    call.sample_weight = <PyObject *>NULL if checked.sample_weight is None else <PyObject *>checked.sample_weight
    call.axis = checked.axis
    call.reduction = checked.reduction
    call.has_ignore_index = checked.ignore_index is not None
    call.ignore_index = checked.ignore_index if call.has_ignore_index else 0
    call.smoothing = checked.label_smoothing
    return checked


cdef inline bint is_apart(object out, object other) noexcept:
    """Whether an `out` lies apart from an array that is ready, or None."""
    return other is None or disjoint(<cnp.ndarray>out, <cnp.ndarray>other)


cdef object ready_gradient(const ClassLoss *call, object out, object targets, object weight, object sample_weight):
    """The array for a gradient, `out` or a new one, or None where `out` is not ready."""
    cdef cnp.ndarray like = <cnp.ndarray>call.scores
    if not call.ready or not is_ready_out(out, like):
        return None
    if out is None:
        return empty_like(like)
    if is_apart(out, targets) and is_apart(out, weight) and is_apart(out, sample_weight):
        return out
    return None


cdef tuple check_gradient_out(const ClassLoss *call, object checked, object out, tuple names, object scores,
                              object targets, object weight, object sample_weight, object dloss=None):
    """What to compute a gradient into, and what to return."""
    like = <object>call.scores
    inputs = dict(zip(names, (scores, targets, weight, sample_weight, dloss)))
    return _arguments.check_gradient_out(out, like, like.dtype if checked is None else checked.dtype, inputs)


cdef bint is_ready_loss_out(const ClassLoss *call, object out, object targets, object weight,
                            object sample_weight) noexcept:
    """An `out` for the value of a loss that is ready."""
    cdef cnp.npy_intp shape[MAX_DIMS]
    cdef int ndim = 0
    if call.reduction == NONE:
        ndim = shape_without(<cnp.ndarray>call.scores, call.axis, False, shape)
    return (
        is_ready_result(out, work_type(<cnp.ndarray>call.scores), <cnp.ndarray>call.scores, ndim, shape)
        and is_apart(out, targets) and is_apart(out, weight) and is_apart(out, sample_weight)
    )


cdef object check_loss_out(const ClassLoss *call, object out, tuple names, object scores, object targets,
                           object weight, object sample_weight):
    """`out` for the value of a loss, checked."""
    if out is None or (call.ready and is_ready_loss_out(call, out, targets, weight, sample_weight)):
        return out
    like = <object>call.scores
    inputs = dict(zip(names, (scores, targets, weight, sample_weight)))
    shape = _arguments.without_axis(like.shape, call.axis)
    return _arguments.check_loss_out(out, shape, call.reduction, like.dtype, inputs)


cdef object check_dloss(const ClassLoss *call, object dloss):
    """The gradient of the loss: a float, or an array with one for each row."""
    if type(dloss) is float:
        return dloss
    return _arguments.check_dloss(
        dloss, _arguments.without_axis((<object>call.scores).shape, call.axis), call.reduction)


# ---- from rows to a loss -----------------------------------------------------------------------------------

cdef inline double sum_of_weights(const void *weight, bint double_type, ptrdiff_t rows) noexcept nogil:
    if double_type:
        return row_total(<const double *>weight, rows)
    return row_total(<const float *>weight, rows)


cdef double normaliser(const Loss *loss, int reduction, bint double_type, ptrdiff_t rows) noexcept nogil:
    """What the sum over rows is multiplied by: 1, or 1 over the rows or the weights that count."""
    cdef bint of_classes = loss.targets != NULL and loss.weight != NULL
    cdef double total = 0, weight
    cdef ptrdiff_t i, target
    if reduction != MEAN:
        return 1
    if not (of_classes or loss.has_ignore_index):
        total = <double>rows
        if loss.sample_weight != NULL:
            total = sum_of_weights(loss.sample_weight, loss.sample_weight_is_double, rows)
    else:
        for i in range(rows):
            target = counted_class(loss, i)
            if target >= 0:
                weight = sample_weight(loss, i)
                if of_classes:
                    weight *= ((<const double *>loss.weight)[target] if double_type
                               else (<const float *>loss.weight)[target])
                total += weight
    return 1 / total if total else 0


cdef cnp.ndarray loss_values(object out, cnp.ndarray like, int ndim, const cnp.npy_intp *shape):
    """The array for the losses of the rows: `out` itself where that can be."""
    if out is not None and is_c_array(out):
        return <cnp.ndarray>out
    return cnp.PyArray_EMPTY(ndim, <cnp.npy_intp *>shape, work_type(like), 0)


cdef object finish_loss(double total, int reduction, int typenum, cnp.ndarray values, object out):
    """The loss as the caller wants it."""
    value = values if reduction == NONE else scalar(total, typenum)
    if out is not None:
        if out is not value:
            out[...] = value
        return out
    return value if reduction != NONE or cnp.PyArray_NDIM(values) else value[()]


cdef object run_class_loss(const ClassLoss *call, const kernel_pair *kernels, object grad, object loss_out, double eps):
    """Returns the loss, and computes its gradient where `grad` is an array for it."""
    cdef Rows rows
    cdef cnp.ndarray scores = <cnp.ndarray>call.scores, values = None
    cdef cnp.npy_intp shape[MAX_DIMS]
    cdef double total
    begin_class_loss(&rows, call, kernels, grad, eps)
    if call.reduction == NONE:
        values = loss_values(loss_out, scores, shape_without(scores, call.axis, False, shape), shape)
        rows.values, rows.values_storage = cnp.PyArray_DATA(values), storage_of(values)
    rows.summed = True
    total = rows.loss.factor
    total *= run_rows(&rows)
    return finish_loss(total, call.reduction, work_type(scores), values, loss_out)


cdef int run_class_loss_backward(const ClassLoss *call, const kernel_pair *kernels, object grad, object dloss,
                                 double eps) except -1:
    """Computes the gradient alone, given that of the loss."""
    cdef Rows rows
    begin_class_loss(&rows, call, kernels, grad, eps)
    if type(dloss) is float:
        rows.loss.factor *= <double>dloss
    else:
        rows.loss.dloss = <const double *>cnp.PyArray_DATA(<cnp.ndarray>dloss)
    run_rows(&rows)
    return 0


cdef void begin_class_loss(Rows *rows, const ClassLoss *call, const kernel_pair *kernels, object grad,
                           double eps) noexcept:
    cdef cnp.ndarray scores = <cnp.ndarray>call.scores
    cdef ptrdiff_t count
    begin_rows(rows, kernels, scores, call.axis)
    add_rows(rows, FIRST, scores, call.axis)
    if grad is not None:
        add_rows(rows, OUTPUT, <cnp.ndarray>grad, call.axis)
    rows.loss.classes = rows.n
    if call.weight != NULL:
        rows.loss.weight = cnp.PyArray_DATA(<cnp.ndarray>call.weight)
    if call.sample_weight != NULL:
        rows.loss.sample_weight = cnp.PyArray_DATA(<cnp.ndarray>call.sample_weight)
        rows.loss.sample_weight_is_double = is_double(<cnp.ndarray>call.sample_weight)
    rows.loss.has_ignore_index = call.has_ignore_index
    rows.loss.ignore_index = call.ignore_index
    rows.loss.smoothing = call.smoothing
    rows.loss.eps = eps
    if call.indices:
        count = cnp.PyArray_SIZE(<cnp.ndarray>call.targets)
        rows.loss.targets = <const cnp.npy_intp *>cnp.PyArray_DATA(<cnp.ndarray>call.targets)
    else:
        count = cnp.PyArray_SIZE(scores) // max(rows.n, 1)
        add_rows(rows, SECOND, <cnp.ndarray>call.targets, call.axis)
    rows.loss.factor = normaliser(&rows.loss, call.reduction, rows.is_double, count)
