# Elementwise functions: a span each, the loop over contiguous values that `elementwise.h` makes of the
# formula.
#
#     relu               max(x, 0)
#     relu_grad          1 where x > 0, 0 where x <= 0, NaN where it is
#     relu_backward      dy where y > 0, 0 where y <= 0, NaN where it is
#     sigmoid            1 / (1 + e^-x)
#     sigmoid_grad       sigmoid(x) sigmoid(-x)
#     sigmoid_backward   dy y (1 - y)
#     tanh
#     tanh_grad          4 sigmoid(2x) sigmoid(-2x)
#     tanh_backward      dy (1 - y) (1 + y)
#     identity           x
#     identity_grad      1
#     identity_backward  dy
#     exp, log           what the others are made of: nothing public calls them, the measurements of accuracy do

cdef extern from "elementwise.h" nogil:
    const span_function *relu_spans "ffkernels::spans<ffkernels::elementwise::relu>"
    const span_function *relu_grad_spans "ffkernels::spans<ffkernels::elementwise::relu_grad>"
    const span_function *relu_backward_spans "ffkernels::spans<ffkernels::elementwise::relu_backward>"
    const span_function *sigmoid_spans "ffkernels::spans<ffkernels::elementwise::sigmoid>"
    const span_function *sigmoid_grad_spans "ffkernels::spans<ffkernels::elementwise::sigmoid_grad>"
    const span_function *sigmoid_backward_spans "ffkernels::spans<ffkernels::elementwise::sigmoid_backward>"
    const span_function *tanh_spans "ffkernels::spans<ffkernels::elementwise::tanh>"
    const span_function *tanh_grad_spans "ffkernels::spans<ffkernels::elementwise::tanh_grad>"
    const span_function *tanh_backward_spans "ffkernels::spans<ffkernels::elementwise::tanh_backward>"
    const span_function *identity_spans "ffkernels::spans<ffkernels::elementwise::identity>"
    const span_function *identity_grad_spans "ffkernels::spans<ffkernels::elementwise::identity_grad>"
    const span_function *identity_backward_spans "ffkernels::spans<ffkernels::elementwise::identity_backward>"
    const span_function *exp_spans "ffkernels::spans<ffkernels::elementwise::exp>"
    const span_function *log_spans "ffkernels::spans<ffkernels::elementwise::log>"


def relu(x, out):
    return unary(x, out, relu_spans, GRAIN_MEMORY)


def relu_grad(x, out):
    return unary(x, out, relu_grad_spans, GRAIN_MEMORY)


def relu_backward(dy, y, out):
    return binary(dy, y, out, relu_backward_spans, GRAIN_MEMORY)


def sigmoid(x, out):
    return unary(x, out, sigmoid_spans, GRAIN_MATHS)


def sigmoid_grad(x, out):
    return unary(x, out, sigmoid_grad_spans, GRAIN_MATHS)


def sigmoid_backward(dy, y, out):
    return binary(dy, y, out, sigmoid_backward_spans, GRAIN_MEMORY)


def tanh(x, out):
    return unary(x, out, tanh_spans, GRAIN_MATHS)


def tanh_grad(x, out):
    return unary(x, out, tanh_grad_spans, GRAIN_MATHS)


def tanh_backward(dy, y, out):
    return binary(dy, y, out, tanh_backward_spans, GRAIN_MEMORY)


def identity(x, out):
    return unary(x, out, identity_spans, GRAIN_MEMORY)


def identity_grad(x, out):
    return unary(x, out, identity_grad_spans, GRAIN_MEMORY)


def identity_backward(dy, y, out):
    return binary(dy, y, out, identity_backward_spans, GRAIN_MEMORY)


def exp(x, out):
    return unary(x, out, exp_spans, GRAIN_MATHS)


def log(x, out):
    return unary(x, out, log_spans, GRAIN_MATHS)
