/* Elementwise functions: a formula each, and the loop over contiguous spans that it makes.

   `spans<relu>` is what the Cython side hands to a walker: the loop of either type.  Operands come in the
   order of the Python function's arguments, the output last. */
#ifndef FFKERNELS_ELEMENTWISE_H
#define FFKERNELS_ELEMENTWISE_H

#include "elementary.h"
#include "gates.h"
#include "gelu_float.h"
#include "half.h"
#include "logarithm.h"
#include "tanh_float.h"

/* Each operand[i] points to n contiguous values, `scalars` to what numbers the operation takes. */
typedef void (*span_function)(char *const *operand, const double *scalars, ptrdiff_t n);

namespace ffkernels {
namespace {

/* The loops of a function over each kind of `storage`; those that add to a row of sums as well.  Half precision
   is gathered, a piece at a time, into the float that a function without `takes_half` takes. */
template <class Function, class Half, class = void> constexpr span_function half_span = nullptr;
template <class Function, class Half>
constexpr span_function half_span<Function, Half, std::enable_if_t<has_half && Function::takes_half>> =
    Function::template span<Half>;
template <class Function, class Half> constexpr span_function adding_half_span() {
    if constexpr (has_half) return Function::template adding_span<Half>;
    return nullptr;
}
template <class Function>
constexpr span_function spans[4] = {Function::template span<float>, Function::template span<double>,
                                    half_span<Function, float16>, half_span<Function, bfloat16>};
template <class Function>
constexpr span_function adding_spans[4] = {
    Function::template adding_span<float>, Function::template adding_span<double>,
    adding_half_span<Function, float16>(), adding_half_span<Function, bfloat16>()};

/* y = f(x), of what costs next to nothing */
template <class Function> struct unary {
    static constexpr bool takes_half = true;
    template <class T> static FF_MEMORY_BOUND void span(char *const *operand, const double *, ptrdiff_t n) {
        using real = computed<T>;
        each(n, [](real &y, real x) FF_INLINED { y = Function::of(x); }, (T *)operand[1], (const T *)operand[0]);
    }
};

/* y = f(a, b), likewise */
template <class Function> struct binary {
    static constexpr bool takes_half = true;
    template <class T> static FF_MEMORY_BOUND void span(char *const *operand, const double *, ptrdiff_t n) {
        using real = computed<T>;
        each(n, [](real &y, real a, real b) FF_INLINED { y = Function::of(a, b); }, (T *)operand[2],
             (const T *)operand[0], (const T *)operand[1]);
    }

    /* The same, and y added to sums. */
    template <class T> static FF_MEMORY_BOUND void adding_span(char *const *operand, const double *, ptrdiff_t n) {
        using real = computed<T>;
        each(n, [](real &y, real &sum, real a, real b) FF_INLINED {
            y = Function::of(a, b);
            sum += y;
        }, (T *)operand[2], (real *)operand[3], (const T *)operand[0], (const T *)operand[1]);
    }
};

/* y = f(the sum of x), by stages, each of them on another one of three neighbouring blocks.  The processor's
   queues hold some hundred operations.  A whole chain takes four blocks' worth of them, most of which wait for
   the operation before; stages that do not wait for each other keep its units busy.  Sigmoid fell from
   0.67 ns an element to 0.50, tanh from 0.78 to 0.59. */
template <class Stages, class T, class... In> FF_INLINE void staged_span(ptrdiff_t n, T *y, const In *... x) {
    using real = computed<T>;
    real shifted[FF_LANES], r[FF_LANES], one[FF_LANES], two[FF_LANES];
    ptrdiff_t i = 0;
    /* Half precision, widened: the blocks between the first stage and the last. */
    constexpr ptrdiff_t kept = 4 * FF_LANES;
    real wide[kept];
    const auto load = [&](ptrdiff_t k) FF_INLINED {
        if constexpr (is_half<T>)
            run_lanes([&](int l, auto... x) FF_INLINED { wide[k % kept + l] = (x + ...); }, block<const In>(x + k)...);
    };
    const auto at = [&](ptrdiff_t k, int l) FF_INLINED {
        if constexpr (is_half<T>)
            return wide[k % kept + l];
        else
            return (x[k + l] + ...);
    };
    const auto store = [&](const real *result) FF_INLINED {
        if constexpr (is_half<T>)
            narrow(result, y + i);
        else
            EACH_LANE(l) y[i + l] = result[l];
    };
    const auto first = [&](int l, ptrdiff_t k) FF_INLINED {
        const reduced<real> a = Stages::argument(at(k, l));
        shifted[l] = a.shifted;
        r[l] = a.r;
    };
    const auto second = [&](int l) FF_INLINED {
        const auto [a, b] = Stages::denominator(reduced<real>{shifted[l], r[l]});
        one[l] = a;
        two[l] = b;
    };
    const auto third = [&](int l, ptrdiff_t k) FF_INLINED { return Stages::quotient(at(k, l), {one[l], two[l]}); };
    if (n >= 3 * FF_LANES) {
        real result[FF_LANES];
        load(0);
        load(FF_LANES);
        EACH_LANE(l) first(l, 0);
        EACH_LANE(l) {
            second(l);
            first(l, FF_LANES);
        }
        LOOP_OVER_BLOCKS
        for (; n - i >= 3 * FF_LANES; i += FF_LANES) {
            load(i + 2 * FF_LANES);
            EACH_LANE(l) {
                result[l] = third(l, i);
                second(l);
                first(l, i + 2 * FF_LANES);
            }
            store(result);
        }
        EACH_LANE(l) {
            result[l] = third(l, i);
            second(l);
        }
        store(result);
        i += FF_LANES;
        EACH_LANE(l) result[l] = third(l, i);
        store(result);
        i += FF_LANES;
    }
    each(n - i, [](real &y, auto... x) FF_INLINED {
        const real sum = (x + ...);
        y = Stages::quotient(sum, Stages::denominator(Stages::argument(sum)));
    }, y + i, (x + i)...);
}

template <class Stages> struct staged {
    static constexpr bool takes_half = true;
    template <class T> static void span(char *const *operand, const double *, ptrdiff_t n) {
        staged_span<Stages>(n, (T *)operand[1], (const T *)operand[0]);
    }
};

template <class Stages> struct staged_with_bias {
    static constexpr bool takes_half = true;
    template <class T> static void span(char *const *operand, const double *, ptrdiff_t n) {
        staged_span<Stages>(n, (T *)operand[2], (const T *)operand[0], (const T *)operand[1]);
    }
};

/* Activations that go back from their input.  A formula is `of(x, number)` and `back(dy, x, number)`, where the
   number is what the function takes besides, 0 if it takes none; with a bias x is the sum of two. */
template <class Formula> struct formula {
    static constexpr bool takes_half = true;
    template <class T, class... In> static FF_INLINE void run(ptrdiff_t n, computed<T> number, T *y, const In *... x) {
        using real = computed<T>;
        each(n, [=](real &y, auto... x) FF_INLINED { y = Formula::of((x + ...), number); }, y, x...);
    }
};
template <class Formula> struct forward {
    static constexpr bool takes_half = Formula::takes_half;
    template <class T> static void span(char *const *operand, const double *number, ptrdiff_t n) {
        Formula::run(n, (computed<T>)*number, (T *)operand[1], (const T *)operand[0]);
    }
};
template <class Formula> struct forward_with_bias {
    static constexpr bool takes_half = Formula::takes_half;
    template <class T> static void span(char *const *operand, const double *number, ptrdiff_t n) {
        Formula::run(n, (computed<T>)*number, (T *)operand[2], (const T *)operand[0], (const T *)operand[1]);
    }
};
template <class Formula> struct backward {
    static constexpr bool takes_half = true;
    template <class T> static void span(char *const *operand, const double *scalars, ptrdiff_t n) {
        using real = computed<T>;
        const real number = (real)*scalars;
        each(n, [=](real &dx, real dy, real x) FF_INLINED { dx = Formula::back(dy, x, number); },
             (T *)operand[2], (const T *)operand[0], (const T *)operand[1]);
    }

    /* dz at x + b, and dz added to sums. */
    template <class T> static void adding_span(char *const *operand, const double *scalars, ptrdiff_t n) {
        using real = computed<T>;
        const real number = (real)*scalars;
        each(n, [=](real &dz, real &sum, real dy, real x, real b) FF_INLINED {
            dz = Formula::back(dy, x + b, number);
            sum += dz;
        }, (T *)operand[3], (real *)operand[4], (const T *)operand[0], (const T *)operand[1], (const T *)operand[2]);
    }
};

/* y = tanh(the sum of x) */
template <class T, class... In> FF_INLINE void tanh_span(ptrdiff_t n, T *y, const In *... x) {
    if constexpr (has_fma && std::is_same_v<computed<T>, float>)
        each_block(n, [](float *y, const auto &... x) FF_INLINED {
            lanes<float> sum;
            EACH_LANE(l) sum[l] = (x[l] + ...);
            tanh_block(sum, y);
        }, y, x...);
    else
        staged_span<tanh_stages>(n, y, x...);
}

namespace elementwise {

#define FORMULA template <class real> static FF_INLINE real of

/* Comparisons are written so that a NaN falls through to itself. */
struct relu : unary<relu> {
    FORMULA(real x) { return x < 0 ? 0 : x; }
};
/* Not memory-bound: for two comparisons half the width takes 1.2 times as long. */
struct relu_grad : formula<relu_grad> {
    FORMULA(real x, real) { return x > 0 ? 1 : (x <= 0 ? 0 : x); }
};
struct relu_backward : binary<relu_backward> {
    FORMULA(real dy, real y) { return y > 0 ? dy : (y <= 0 ? 0 : y); }
};
struct bias_relu : binary<bias_relu> {
    FORMULA(real x, real b) { return relu::of(x + b); }
};

struct sigmoid : staged<sigmoid_stages> {};
struct sigmoid_grad : staged<sigmoid_grad_stages> {};
struct sigmoid_backward : binary<sigmoid_backward> {
    FORMULA(real dy, real y) { return dy * (y * (1 - y)); }
};
struct bias_sigmoid : staged_with_bias<sigmoid_stages> {};

struct tanh {
    static constexpr bool takes_half = true;
    template <class T> static void span(char *const *operand, const double *, ptrdiff_t n) {
        tanh_span(n, (T *)operand[1], (const T *)operand[0]);
    }
};
struct tanh_grad : staged<tanh_grad_stages> {};
/* (1-y)(1+y), not 1 - y*y: where y nears 1 the square's rounding is all that would be left. */
struct tanh_backward : binary<tanh_backward> {
    FORMULA(real dy, real y) { return dy * ((1 - y) * (1 + y)); }
};
struct bias_tanh {
    static constexpr bool takes_half = true;
    template <class T> static void span(char *const *operand, const double *, ptrdiff_t n) {
        tanh_span(n, (T *)operand[2], (const T *)operand[0], (const T *)operand[1]);
    }
};

struct identity {
    static constexpr bool takes_half = true;
    template <class T> static void span(char *const *operand, const double *, ptrdiff_t n) {
        if constexpr (is_half<T>) /* not copied: a NaN becomes quiet, as by any other way */
            each(n, [](float &y, float x) FF_INLINED { y = x; }, (T *)operand[1], (const T *)operand[0]);
        else if (operand[0] != operand[1])
            memcpy(operand[1], operand[0], n * sizeof(T));
    }
};
/* The derivative is 1 for every x, NaN too: nothing but the shape of what was saved is looked at. */
struct identity_grad : unary<identity_grad> {
    FORMULA(real) { return 1; }
};
struct identity_backward : binary<identity_backward> {
    FORMULA(real dy, real) { return dy; }
};
struct bias_identity : binary<bias_identity> {
    FORMULA(real x, real b) { return x + b; }
};

#define FORMULA_BACK template <class real> static FF_INLINE real back

struct leaky_relu : formula<leaky_relu> {
    template <class T, class... In>
    static FF_CALLED FF_MEMORY_BOUND void run(ptrdiff_t n, computed<T> negative_slope, T *y, const In *... x) {
        formula::run(n, negative_slope, y, x...);
    }
    FORMULA(real x, real negative_slope) { return x < 0 ? negative_slope * x : x; }
    FORMULA_BACK(real dy, real x, real negative_slope) { return x > 0 ? dy : (x <= 0 ? negative_slope * dy : x); }
};
struct elu : formula<elu> {
    FORMULA(real x, real alpha) { return x < 0 ? alpha * expm1_below(x) : x; }
    FORMULA_BACK(real dy, real x, real alpha) { return x > 0 ? dy : dy * (alpha * ffkernels::exp(x)); }
};
/* The quotient by 6 of what x + 3 is before it is rounded; beyond the ends it is not looked at. */
struct hard_sigmoid : formula<hard_sigmoid> {
    FORMULA(real x, real) {
        constexpr real sixth = (real)1 / 6;
        const real sum = x + 3, lost = x - (sum - 3), q = sum * sixth;
        const real y = muladd(residual(q, (real)6, sum) + lost, sixth, q);
        return x >= 3 ? 1 : (x <= -3 ? 0 : y);
    }
    FORMULA_BACK(real dy, real x, real) { return std::fabs(x) < 3 ? dy / 6 : (std::fabs(x) >= 3 ? 0 : x); }
};
struct softplus : formula<softplus> {
    FORMULA(real x, real) { return ffkernels::softplus(x); }
    FORMULA_BACK(real dy, real x, real) {
        return dy * sigmoid_stages::quotient(x, sigmoid_stages::denominator(sigmoid_stages::argument(x)));
    }
};
struct silu : formula<silu> {
    template <class T, class... In> static FF_INLINE void run(ptrdiff_t n, computed<T>, T *y, const In *... x) {
        staged_span<silu_stages>(n, y, x...);
    }
    FORMULA_BACK(real dy, real x, real) { return dy * silu_slope(x); }
};
struct gelu : formula<gelu> {
    static constexpr bool takes_half = false;
    template <class real, class... In> static FF_INLINE void run(ptrdiff_t n, real, real *y, const In *... x) {
        if constexpr (has_fma && std::is_same_v<real, float>)
            gelu_span(n, y, x...);
        else
            each(n, [](real &y, auto... x) FF_INLINED { y = ffkernels::gelu((x + ...)); }, y, x...);
    }
    FORMULA_BACK(real dy, real x, real) { return dy * gelu_slope(x); }
};
struct gelu_tanh : formula<gelu_tanh> {
    FORMULA(real x, real) { return ffkernels::gelu_tanh(x); }
    FORMULA_BACK(real dy, real x, real) { return dy * gelu_tanh_slope(x); }
};

struct exp : formula<exp> {
    FORMULA(real x, real) { return ffkernels::exp(x); }
};
struct log : formula<log> {
    FORMULA(real x, real) { return ffkernels::log(x); }
};

#undef FORMULA_BACK
#undef FORMULA

/* Optimiser updates: parameters and state are read and written in place.  `update` gets the function that
   makes the gradient with weight decay of a gradient and a parameter; without weight decay an infinite parameter
   has no part in it. */
template <class real, class Update> FF_INLINE void with_decay(real weight_decay, Update update) {
    if (weight_decay == 0)
        update([](real grad, real) FF_INLINED { return grad; });
    else
        update([=](real grad, real param) FF_INLINED { return grad + weight_decay * param; });
}

struct sgd {
    template <class real> static FF_MEMORY_BOUND void span(char *const *operand, const double *scalars, ptrdiff_t n) {
        const real lr = (real)scalars[0], weight_decay = (real)scalars[1];
        with_decay(weight_decay, [&](auto decayed) FF_INLINED {
            each(n, [=](real &param, real grad) FF_INLINED { param -= lr * decayed(grad, param); },
                 (real *)operand[0], (const real *)operand[1]);
        });
    }
};

struct momentum {
    template <class real> static FF_MEMORY_BOUND void span(char *const *operand, const double *scalars, ptrdiff_t n) {
        const real lr = (real)scalars[0], momentum = (real)scalars[1], weight_decay = (real)scalars[2];
        with_decay(weight_decay, [&](auto decayed) FF_INLINED {
            each(n, [=](real &param, real grad, real &velocity) FF_INLINED {
                velocity = momentum * velocity + decayed(grad, param);
                param -= lr * velocity;
            }, (real *)operand[0], (const real *)operand[1], (real *)operand[2]);
        });
    }
};

struct adam {
    template <class real> static void span(char *const *operand, const double *scalars, ptrdiff_t n) {
        const real lr = (real)scalars[0], beta1 = (real)scalars[1], beta2 = (real)scalars[2];
        const real eps = (real)scalars[3], weight_decay = (real)scalars[4];
        /* 1 - beta and the bias corrections are formed in double: 1 - 0.999 has lost three digits
           in float. */
        const real one_minus_beta1 = (real)(1 - scalars[1]), one_minus_beta2 = (real)(1 - scalars[2]);
        const real unbias1 = (real)scalars[5], unbias2 = (real)scalars[6];
        with_decay(weight_decay, [&](auto decayed) FF_INLINED {
            each(n, [=](real &param, real grad, real &mean, real &square) FF_INLINED {
                const real g = decayed(grad, param);
                mean = beta1 * mean + one_minus_beta1 * g;
                square = beta2 * square + one_minus_beta2 * (g * g);
                param -= lr * (mean * unbias1) / (std::sqrt(square * unbias2) + eps);
            }, (real *)operand[0], (const real *)operand[1], (real *)operand[2], (real *)operand[3]);
        });
    }
};

} // namespace elementwise
} // namespace
} // namespace ffkernels

#endif
