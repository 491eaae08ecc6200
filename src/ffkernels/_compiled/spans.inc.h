/* Elementwise loops over contiguous spans of `n` values: the formula, once for each element.
   Operands come in the order of the Python function's arguments, the output last. */

#define SPAN1(name, formula)                                                                     \
    static void FN(name##_span)(char *const *operand, const double *scalar, ptrdiff_t n) {       \
        const real *xs = (const real *)operand[0];                                               \
        real *out = (real *)operand[1];                                                          \
        (void)scalar;                                                                            \
        EACH(out, n, real x = xs[i]; out[i] = formula;);                                           \
    }

#define SPAN2(name, first, second, formula)                                                      \
    static void FN(name##_span)(char *const *operand, const double *scalar, ptrdiff_t n) {       \
        const real *firsts = (const real *)operand[0], *seconds = (const real *)operand[1];      \
        real *out = (real *)operand[2];                                                          \
        (void)scalar;                                                                            \
        EACH(out, n, real first = firsts[i]; real second = seconds[i]; out[i] = formula;);         \
    }

/* Comparisons are written so that a NaN falls through to itself. */
SPAN1(relu, x < 0 ? 0 : x)
SPAN1(relu_grad, x > 0 ? 1 : (x <= 0 ? 0 : x))
SPAN2(relu_backward, dy, y, y > 0 ? dy : (y <= 0 ? 0 : y))
SPAN2(bias_relu, x, b, x + b < 0 ? 0 : x + b)

SPAN1(sigmoid, FN(sigmoid)(x))
SPAN1(sigmoid_grad, FN(sigmoid_grad)(x))
SPAN2(sigmoid_backward, dy, y, dy *(y *(1 - y)))
SPAN2(bias_sigmoid, x, b, FN(sigmoid)(x + b))

/* (1-y)(1+y), not 1 - y*y: where y nears 1 the square's rounding is all that would be left. */
SPAN1(tanh, FN(tanh)(x))
SPAN1(tanh_grad, FN(tanh_grad)(x))
SPAN2(tanh_backward, dy, y, dy *((1 - y) * (1 + y)))
SPAN2(bias_tanh, x, b, FN(tanh)(x + b))

SPAN1(identity, x)
SPAN1(identity_grad, x == x ? 1 : x)
SPAN2(identity_backward, dy, y, y == y ? dy : y)
SPAN2(bias_identity, x, b, x + b)

SPAN1(exp, FN(exp)(x))
SPAN1(log, FN(log)(x))

/* Optimiser updates: parameters and state are read and written in place. */
static void FN(sgd_span)(char *const *operand, const double *scalar, ptrdiff_t n) {
    real *param = (real *)operand[0];
    const real *grad = (const real *)operand[1];
    const real lr = (real)scalar[0], weight_decay = (real)scalar[1];
    EACH(param, n, param[i] -= lr * (grad[i] + weight_decay * param[i]););
}

static void FN(momentum_span)(char *const *operand, const double *scalar, ptrdiff_t n) {
    real *param = (real *)operand[0], *velocity = (real *)operand[2];
    const real *grad = (const real *)operand[1];
    const real lr = (real)scalar[0], momentum = (real)scalar[1], weight_decay = (real)scalar[2];
    EACH(param, n,
        real v = momentum * velocity[i] + (grad[i] + weight_decay * param[i]);
        velocity[i] = v;
        param[i] -= lr * v;
    );
}

static void FN(adam_span)(char *const *operand, const double *scalar, ptrdiff_t n) {
    real *param = (real *)operand[0], *mean = (real *)operand[2], *square = (real *)operand[3];
    const real *grad = (const real *)operand[1];
    const real lr = (real)scalar[0], beta1 = (real)scalar[1], beta2 = (real)scalar[2];
    const real eps = (real)scalar[3], weight_decay = (real)scalar[4];
    /* 1 - beta and the bias corrections are formed in double: 1 - 0.999 has lost three digits
       in float. */
    const real rest1 = (real)(1 - scalar[1]), rest2 = (real)(1 - scalar[2]);
    const real unbias1 = (real)scalar[5], unbias2 = (real)scalar[6];
    EACH(param, n,
        real g = grad[i] + weight_decay * param[i];
        real m = beta1 * mean[i] + rest1 * g;
        real v = beta2 * square[i] + rest2 * (g * g);
        mean[i] = m;
        square[i] = v;
        param[i] -= lr * (m * unbias1) / (FN(square_root)(v * unbias2) + eps);
    );
}

#undef SPAN1
#undef SPAN2
