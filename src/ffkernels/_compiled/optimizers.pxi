cdef bint are_plain_parameters(tuple values):
    """Plain arrays alike, apart from each other, all but the gradient writeable."""
    cdef Py_ssize_t i, j
    for i in range(len(values)):
        if not is_plain(values[i]) or not alike(<cnp.ndarray>values[i], <cnp.ndarray>values[0]):
            return False
        if i != 1 and not PyArray_CHKFLAGS(<cnp.ndarray>values[i], cnp.NPY_ARRAY_WRITEABLE):
            return False
        for j in range(i):
            if not apart(<cnp.ndarray>values[i], <cnp.ndarray>values[j]):
                return False
    return True


cdef object update(tuple names, tuple values, const span_function *spans, const double *numbers):
    """Runs a span over a parameter, its gradient and its state, all but the gradient in place."""
    cdef Walk walk
    cdef cnp.ndarray array
    cdef char *data[MAX_OPERANDS]
    cdef int i
    if are_plain_parameters(values):
        for i in range(len(values)):
            array = values[i]
            data[i] = <char *>cnp.PyArray_DATA(array)
        run_plain(spans[is_double(array)], numbers, GRAIN_MEMORY, cnp.PyArray_SIZE(array),
                  cnp.PyArray_ITEMSIZE(array), len(values), data)
        return None
    walk.operands = walk.outputs = 0
    walk.scalar = numbers
    walk.grain = GRAIN_MEMORY
    arrays = _arguments.parameters(names, values)
    for i in range(len(arrays)):
        array = arrays[i]
        add_operand(&walk, array, i != 1)
    walk.span = spans[is_double(array)]
    simplify(&walk)
    with nogil:
        run(&walk)


cdef inline double number(object value, str name) except? -1:
    return value if type(value) is float else _arguments.real_number(value, name)


cdef bint is_plain_adam(object step, object lr, object beta1, object beta2, object eps, object weight_decay):
    """A step from 1 up, floats, and decay rates in range."""
    cdef int overflow = 0
    return (
        type(step) is int and PyLong_AsLongAndOverflow(step, &overflow) >= 1 and not overflow
        and type(lr) is float and type(eps) is float and type(weight_decay) is float
        and type(beta1) is float and 0 <= <double>beta1 < 1
        and type(beta2) is float and 0 <= <double>beta2 < 1
    )


def sgd_update(param, grad, lr, weight_decay):
    cdef double numbers[2]
    numbers[0] = number(lr, "lr")
    numbers[1] = number(weight_decay, "weight_decay")
    update(("param", "grad"), (param, grad), sgd_spans, numbers)


def momentum_update(param, grad, velocity, lr, momentum, weight_decay):
    cdef double numbers[3]
    numbers[0] = number(lr, "lr")
    numbers[1] = number(momentum, "momentum")
    numbers[2] = number(weight_decay, "weight_decay")
    update(("param", "grad", "velocity"), (param, grad, velocity), momentum_spans, numbers)


def adam_update(param, grad, m, v, step, lr, beta1, beta2, eps, weight_decay):
    cdef double numbers[7]
    cdef int i
    if is_plain_adam(step, lr, beta1, beta2, eps, weight_decay):
        numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] = lr, beta1, beta2, eps, weight_decay
        numbers[5] = 1 / (1 - pow(numbers[1], <double>step))
        numbers[6] = 1 / (1 - pow(numbers[2], <double>step))
    else:
        for i, value in enumerate(_arguments.adam(step, lr, beta1, beta2, eps, weight_decay)):
            numbers[i] = value
    update(("param", "grad", "m", "v"), (param, grad, m, v), adam_spans, numbers)
