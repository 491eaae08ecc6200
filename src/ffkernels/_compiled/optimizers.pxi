# Updates of parameters, in place: one span over a parameter, its gradient g and its state.  With a
# weight decay, g + weight_decay param stands for g.
#
#     sgd_update       param -= lr g
#     momentum_update  velocity = momentum velocity + g;  param -= lr velocity
#     adam_update      m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
#                      param -= lr m' / (sqrt(v') + eps), m' = m / (1 - beta1^step), v' = v / (1 - beta2^step)

cdef extern from "elementwise.h" nogil:
    const span_function *sgd_spans "ffkernels::spans<ffkernels::elementwise::sgd>"
    const span_function *momentum_spans "ffkernels::spans<ffkernels::elementwise::momentum>"
    const span_function *adam_spans "ffkernels::spans<ffkernels::elementwise::adam>"

cdef enum:
    GRADIENT = 1                 # among the operands, the one that is only read


cdef bint are_ready_parameters(tuple values):
    """C-ordered arrays alike, disjoint from each other, all but the gradient writeable."""
    cdef Py_ssize_t i, j
    for i in range(len(values)):
        if not is_c_array(values[i]) or not alike(<cnp.ndarray>values[i], <cnp.ndarray>values[0]):
            return False
        if is_half(<cnp.ndarray>values[i]):
            return False
        if i != GRADIENT and not PyArray_CHKFLAGS(<cnp.ndarray>values[i], cnp.NPY_ARRAY_WRITEABLE):
            return False
        for j in range(i):
            if not disjoint(<cnp.ndarray>values[i], <cnp.ndarray>values[j]):
                return False
    return True


cdef int run_update(tuple names, tuple values, const span_function *spans, const double *scalars) except -1:
    cdef Walk walk
    cdef cnp.ndarray array
    cdef char *data[MAX_OPERANDS]
    cdef Storage storage[MAX_OPERANDS]
    cdef int k
    if are_ready_parameters(values):
        for k in range(len(values)):
            array = values[k]
            data[k], storage[k] = <char *>cnp.PyArray_DATA(array), storage_of(array)
        run_contiguous(spans, scalars, GRAIN_MEMORY, cnp.PyArray_SIZE(array), storage[0],
                       len(values), data, storage, ~(1 << GRADIENT))
        return 0
    arrays = _arguments.check_parameters(names, values, halves=True)
    array = arrays[0]
    begin_walk(&walk, spans, scalars, GRAIN_MEMORY, work_storage(array), cnp.PyArray_NDIM(array),
               cnp.PyArray_DIMS(array))
    for k in range(len(arrays)):
        add_array(&walk, <cnp.ndarray>arrays[k], k != GRADIENT)
    join_walk(&walk)
    run_walk(&walk)
    return 0


cdef inline double check_number(object value, str name) except? -1:
    return value if type(value) is float else _arguments.real_number(value, name)


cdef bint are_ready_adam_scalars(object step, object lr, object beta1, object beta2, object eps, object weight_decay):
    """A step from 1 up, floats, and decay rates in range."""
    cdef int overflow = 0
    return (
        type(step) is int and PyLong_AsLongAndOverflow(step, &overflow) >= 1 and not overflow
        and type(lr) is float and type(eps) is float and type(weight_decay) is float
        and type(beta1) is float and 0 <= <double>beta1 < 1
        and type(beta2) is float and 0 <= <double>beta2 < 1
    )


def sgd_update(param, grad, lr, weight_decay):
    cdef double scalars[2]
    scalars[0] = check_number(lr, "lr")
    scalars[1] = check_number(weight_decay, "weight_decay")
    run_update(("param", "grad"), (param, grad), sgd_spans, scalars)


def momentum_update(param, grad, velocity, lr, momentum, weight_decay):
    cdef double scalars[3]
    scalars[0] = check_number(lr, "lr")
    scalars[1] = check_number(momentum, "momentum")
    scalars[2] = check_number(weight_decay, "weight_decay")
    run_update(("param", "grad", "velocity"), (param, grad, velocity), momentum_spans, scalars)


def adam_update(param, grad, m, v, step, lr, beta1, beta2, eps, weight_decay):
    cdef double scalars[7]
    cdef int i
    if are_ready_adam_scalars(step, lr, beta1, beta2, eps, weight_decay):
        scalars[0], scalars[1], scalars[2], scalars[3], scalars[4] = lr, beta1, beta2, eps, weight_decay
        scalars[5] = 1 / (1 - pow(scalars[1], <double>step))
        scalars[6] = 1 / (1 - pow(scalars[2], <double>step))
    else:
        for i, value in enumerate(_arguments.check_adam(step, lr, beta1, beta2, eps, weight_decay)):
            scalars[i] = value
    run_update(("param", "grad", "m", "v"), (param, grad, m, v), adam_spans, scalars)
