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
#     leaky_relu         x, negative_slope x where x < 0
#     elu                x, alpha (e^x - 1) where x <= 0
#     hard_sigmoid       x / 6 + 1/2 within [0, 1]
#     softplus           log(1 + e^x)
#     silu               x sigmoid(x)
#     gelu               x Phi(x), or nearly by tanh
#     ..._backward       of these six: dy f'(x)
#     exp, log           what the others are made of: nothing public calls them, the measurements of accuracy do

cdef extern from "elementwise.h" nogil:
    const span_function *relu_spans "ffkernels::spans<ffkernels::elementwise::relu>"
    const span_function *relu_grad_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::relu_grad>>"
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
    const span_function *leaky_relu_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::leaky_relu>>"
    const span_function *elu_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::elu>>"
    const span_function *hard_sigmoid_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::hard_sigmoid>>"
    const span_function *softplus_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::softplus>>"
    const span_function *silu_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::silu>>"
    const span_function *gelu_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::gelu>>"
    const span_function *gelu_tanh_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::gelu_tanh>>"
    const span_function *leaky_relu_backward_spans "ffkernels::spans<ffkernels::backward<ffkernels::elementwise::leaky_relu>>"
    const span_function *elu_backward_spans "ffkernels::spans<ffkernels::backward<ffkernels::elementwise::elu>>"
    const span_function *hard_sigmoid_backward_spans "ffkernels::spans<ffkernels::backward<ffkernels::elementwise::hard_sigmoid>>"
    const span_function *softplus_backward_spans "ffkernels::spans<ffkernels::backward<ffkernels::elementwise::softplus>>"
    const span_function *silu_backward_spans "ffkernels::spans<ffkernels::backward<ffkernels::elementwise::silu>>"
    const span_function *gelu_backward_spans "ffkernels::spans<ffkernels::backward<ffkernels::elementwise::gelu>>"
    const span_function *gelu_tanh_backward_spans "ffkernels::spans<ffkernels::backward<ffkernels::elementwise::gelu_tanh>>"
    const span_function *exp_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::exp>>"
    const span_function *log_spans "ffkernels::spans<ffkernels::forward<ffkernels::elementwise::log>>"


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

def leaky_relu(x, negative_slope, out):
    cdef double number = _arguments.finite_number(negative_slope, "negative_slope")
    return unary(x, out, leaky_relu_spans, GRAIN_MEMORY, number)

def leaky_relu_backward(dy, x, negative_slope, out):
    cdef double number = _arguments.finite_number(negative_slope, "negative_slope")
    return binary(dy, x, out, leaky_relu_backward_spans, GRAIN_MEMORY, number, "x")

def elu(x, alpha, out):
    cdef double number = _arguments.finite_number(alpha, "alpha")
    return unary(x, out, elu_spans, GRAIN_MATHS, number)

def elu_backward(dy, x, alpha, out):
    cdef double number = _arguments.finite_number(alpha, "alpha")
    return binary(dy, x, out, elu_backward_spans, GRAIN_MATHS, number, "x")

def hard_sigmoid(x, out):
    return unary(x, out, hard_sigmoid_spans, GRAIN_MEMORY)

def hard_sigmoid_backward(dy, x, out):
    return binary(dy, x, out, hard_sigmoid_backward_spans, GRAIN_MEMORY, 0, "x")

def softplus(x, out):
    return unary(x, out, softplus_spans, GRAIN_MATHS)

def softplus_backward(dy, x, out):
    return binary(dy, x, out, softplus_backward_spans, GRAIN_MATHS, 0, "x")

def silu(x, out):
    return unary(x, out, silu_spans, GRAIN_MATHS)

def silu_backward(dy, x, out):
    return binary(dy, x, out, silu_backward_spans, GRAIN_MATHS, 0, "x")

def gelu(x, approximate, out):
    cdef const span_function *spans = (
        gelu_tanh_spans if _arguments.is_by_tanh(approximate) else gelu_spans
    )
    return unary(x, out, spans, GRAIN_MATHS)

def gelu_backward(dy, x, approximate, out):
    cdef const span_function *spans = (
        gelu_tanh_backward_spans if _arguments.is_by_tanh(approximate) else gelu_backward_spans
    )
    return binary(dy, x, out, spans, GRAIN_MATHS, 0, "x")


def exp(x, out):
    return unary(x, out, exp_spans, GRAIN_MATHS)


def log(x, out):
    return unary(x, out, log_spans, GRAIN_MATHS)
