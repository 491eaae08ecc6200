/* Elementwise loops over contiguous spans of `n` values: the formula, once for each element.
   Operands come in the order of the Python function's arguments, the output last. */

#define SPAN1(name, formula)                                                                     \
    static void FN(name##_span)(char *const *operand, const double *scalar, ptrdiff_t n) {       \
        const real *xs = (const real *)operand[0];                                               \
        real *out = (real *)operand[1];                                                          \
        (void)scalar;                                                                            \
        EACH(real, out, n, real x = xs[i]; result = formula;);                                   \
    }

#define SPAN2(name, first, second, formula)                                                      \
    static void FN(name##_span)(char *const *operand, const double *scalar, ptrdiff_t n) {       \
        const real *firsts = (const real *)operand[0], *seconds = (const real *)operand[1];      \
        real *out = (real *)operand[2];                                                          \
        (void)scalar;                                                                            \
        EACH(real, out, n, real first = firsts[i]; real second = seconds[i]; result = formula;); \
    }

/* Functions in three stages, each for another of three neighbouring blocks at a time.  The processor
   keeps some hundred operations in its queues: of a whole chain four, most of them waiting for the
   one before; of stages that do not wait for each other enough to fill its units.  Sigmoid fell
   from 0.67 ns an element to 0.50, tanh from 0.78 to 0.59. */
#define STAGED_SPAN(name, function, second_operand, x_at)                                        \
    static void FN(name##_plain)(const real *xs, const real *bs, real *out, ptrdiff_t n) {       \
        (void)bs;                                                                                \
        EACH(real, out, n,                                                                       \
            const FN(pair) d = FN(function##_denominator)(FN(function##_reduced)(x_at(i)));      \
            result = FN(function##_quotient)(x_at(i), d);                                        \
        );                                                                                       \
    }                                                                                            \
    static void FN(name##_span)(char *const *operand, const double *scalar, ptrdiff_t n) {       \
        const real *xs = (const real *)operand[0], *bs = (const real *)operand[second_operand];  \
        real *out = (real *)operand[1 + second_operand];                                         \
        real shifted[FF_LANES], r[FF_LANES], hi[FF_LANES], lo[FF_LANES];                         \
        ptrdiff_t i = 0;                                                                         \
        (void)scalar;                                                                            \
        if (n < 3 * FF_LANES) {                                                                  \
            FN(name##_plain)(xs, bs, out, n);                                                    \
            return;                                                                              \
        }                                                                                        \
        LANES(l) FIRST(function, x_at(l))                                                        \
        LANES(l) { SECOND(function) FIRST(function, x_at(FF_LANES + l)) }                        \
        for (; n - i >= 3 * FF_LANES; i += FF_LANES) {                                           \
            LANES(l) {                                                                           \
                THIRD(function, x_at(i + l), i + l)                                              \
                SECOND(function)                                                                 \
                FIRST(function, x_at(i + 2 * FF_LANES + l))                                      \
            }                                                                                    \
        }                                                                                        \
        LANES(l) { THIRD(function, x_at(i + l), i + l) SECOND(function) }                        \
        i += FF_LANES;                                                                           \
        LANES(l) THIRD(function, x_at(i + l), i + l)                                             \
        i += FF_LANES;                                                                           \
        FN(name##_plain)(xs + i, bs + i, out + i, n - i);                                        \
    }
#define FIRST(function, x)                                                                       \
    {                                                                                            \
        const FN(reduced) a = FN(function##_reduced)(x);                                         \
        shifted[l] = a.shifted;                                                                  \
        r[l] = a.r;                                                                              \
    }
#define SECOND(function)                                                                         \
    {                                                                                            \
        const FN(reduced) a = {shifted[l], r[l]};                                                \
        const FN(pair) d = FN(function##_denominator)(a);                                        \
        hi[l] = d.hi;                                                                            \
        lo[l] = d.lo;                                                                            \
    }
#define THIRD(function, x, place)                                                                \
    {                                                                                            \
        const FN(pair) d = {hi[l], lo[l]};                                                       \
        out[place] = FN(function##_quotient)(x, d);                                              \
    }
#define ALONE(i) xs[i]
#define WITH_BIAS(i) (xs[i] + bs[i])

/* Comparisons are written so that a NaN falls through to itself. */
SPAN1(relu, x < 0 ? 0 : x)
SPAN1(relu_grad, x > 0 ? 1 : (x <= 0 ? 0 : x))
SPAN2(relu_backward, dy, y, y > 0 ? dy : (y <= 0 ? 0 : y))
SPAN2(bias_relu, x, b, x + b < 0 ? 0 : x + b)

STAGED_SPAN(sigmoid, sigmoid, 0, ALONE)
STAGED_SPAN(sigmoid_grad, sigmoid_grad, 0, ALONE)
SPAN2(sigmoid_backward, dy, y, dy *(y *(1 - y)))
STAGED_SPAN(bias_sigmoid, sigmoid, 1, WITH_BIAS)

/* (1-y)(1+y), not 1 - y*y: where y nears 1 the square's rounding is all that would be left. */
STAGED_SPAN(tanh, tanh, 0, ALONE)
STAGED_SPAN(tanh_grad, tanh_grad, 0, ALONE)
SPAN2(tanh_backward, dy, y, dy *((1 - y) * (1 + y)))
STAGED_SPAN(bias_tanh, tanh, 1, WITH_BIAS)

static void FN(identity_span)(char *const *operand, const double *scalar, ptrdiff_t n) {
    (void)scalar;
    if (operand[0] != operand[1]) memcpy(operand[1], operand[0], n * sizeof(real));
}
/* The derivative is 1 for every x, NaN too: nothing but the shape of what was saved is looked at. */
SPAN1(identity_grad, ((void)x, 1))
SPAN2(identity_backward, dy, y, ((void)y, dy))
SPAN2(bias_identity, x, b, x + b)

SPAN1(exp, FN(exp)(x))
SPAN1(log, FN(log)(x))

/* Optimiser updates: parameters and state are read and written in place. */
static void FN(sgd_span)(char *const *operand, const double *scalar, ptrdiff_t n) {
    real *param = (real *)operand[0];
    const real *grad = (const real *)operand[1];
    const real lr = (real)scalar[0], weight_decay = (real)scalar[1];
    EACH(real, param, n, result = param[i] - lr * (weight_decay == 0 ? grad[i] : grad[i] + weight_decay * param[i]););
}

static void FN(momentum_span)(char *const *operand, const double *scalar, ptrdiff_t n) {
    real *param = (real *)operand[0], *velocity = (real *)operand[2];
    const real *grad = (const real *)operand[1];
    const real lr = (real)scalar[0], momentum = (real)scalar[1], weight_decay = (real)scalar[2];
    EACH(real, param, n,
        real v = momentum * velocity[i] + (weight_decay == 0 ? grad[i] : grad[i] + weight_decay * param[i]);
        velocity[i] = v;
        result = param[i] - lr * v;
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
    EACH(real, param, n,
        real g = weight_decay == 0 ? grad[i] : grad[i] + weight_decay * param[i];
        real m = beta1 * mean[i] + rest1 * g;
        real v = beta2 * square[i] + rest2 * (g * g);
        mean[i] = m;
        square[i] = v;
        result = param[i] - lr * (m * unbias1) / (FN(square_root)(v * unbias2) + eps);
    );
}

#undef SPAN1
#undef SPAN2
#undef STAGED_SPAN
#undef FIRST
#undef SECOND
#undef THIRD
#undef ALONE
#undef WITH_BIAS
