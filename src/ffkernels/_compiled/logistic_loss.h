/* Sigmoid cross-entropy of one element, its loss and its slope; where both are wanted, from
   one exponential and one division.

   With coefficients a = p t and b = 1 - t of a target t, p the weight of the positive class, and c = b where x > 0,
   else a:

       loss   a softplus(-x) + b softplus(x) = (a + b) log1p(e^-|x|) + c |x|
       slope  b sigmoid(x) - a sigmoid(-x)   = c - (a + b) sigmoid(-|x|), with the sign of x

   c is 0 where the sign of x says what a target of 0 or 1 does: nothing is left then but what is small, with all its
   digits. */
#ifndef FFKERNELS_LOGISTIC_LOSS_H
#define FFKERNELS_LOGISTIC_LOSS_H

#include "elementwise.h"
#include "sums.h"

namespace ffkernels {
namespace {

/* log1p(e^-|x|) and sigmoid(-|x|); the second costs nothing where it is not used. */
template <class real> struct logistic { real log, small; };

/* Of size = -|x|.  log1p as `softplus` has it; 1 / (1 + t) and 1 / (2 + t) by one division. */
template <class real> FF_INLINE logistic<real> logistic_of(real size) {
    using g = gate<real>;
    const real z = size < g::lowest ? g::lowest : size;
    const scaled_pair<real> e = exp_parts(z, (real)0);
    const real scale = e.half * e.rest, t = e.hi * scale, t_lo = e.lo * scale;
    const real one = 1 + t, two = 2 + t, inverse = 1 / (one * two);
    const real by_one = inverse * two, by_two = inverse * one;
    const real p = e.hi * by_one, p_lo = residual(p, one, e.hi) + muladd(-p, ((1 - one) + t) + t_lo, e.lo);
    const real q = e.hi * by_two;
    const real q_lo = (residual(q, two, e.hi) + muladd(-q, ((2 - two) + t) + t_lo, e.lo)) * by_two;
    const real s = q * scale, u = s * s;
    const real rest = 2 * muladd(q * u, polynomial(g::atanh, u, u * u), q_lo);
    return {(2 * q + rest) * e.half * e.rest, muladd(p_lo, by_one, p) * e.half * e.rest};
}

/* sigmoid(-|x|) alone: 0.55 ns an element with the slope, where `logistic_of` took 0.82. */
struct small_sigmoid_stages : sigmoid_stages {
    template <class real> static FF_INLINE reduced<real> argument(real x) {
        return sigmoid_stages::argument(-std::fabs(x));
    }

    template <class real> static FF_INLINE real quotient(real x, pair<real> d) {
        return sigmoid_stages::quotient(-std::fabs(x), d);
    }
};

/* The first stage, on a span that stays in the cache; either output may be NULL. */
template <class real> inline void row_logistic(const real *x, real *log, real *small, ptrdiff_t n) {
    if (log && small)
        each(n, [](real &log, real &small, real x) FF_INLINED {
            const logistic<real> of = logistic_of(-std::fabs(x));
            log = of.log;
            small = of.small;
        }, log, small, x);
    else if (log)
        each(n, [](real &log, real x) FF_INLINED { log = logistic_of(-std::fabs(x)).log; }, log, x);
    else
        staged_span<small_sigmoid_stages>(n, small, x);
}

/* The second: returns the sum of the losses, and puts them in the place of the logarithms.  A coefficient of 0
   silences an infinite logit. */
template <class real> inline double row_logistic_loss(const real *x, const real *t, real *log, ptrdiff_t n) {
    return sum<real>(n, [](real x, real t, real small, real &loss) FF_INLINED {
        const real c = x > 0 ? 1 - t : t, linear = c * std::fabs(x);
        return loss = small + (c == 0 ? 0 : linear);
    }, x, t, (const real *)log, log);
}

/* dx = factor times the slope */
template <class real>
inline void row_logistic_slope(const real *x, const real *t, const real *small, double factor, real *dx, ptrdiff_t n) {
    const real f = (real)factor;
    each(n, [=](real &dx, real x, real t, real small) FF_INLINED {
        const real c = x > 0 ? 1 - t : t, size = f * (c - small);
        dx = x > 0 ? size : -size;
    }, dx, x, t, small);
}

/* The same with a weight w for each element, which silences it where it is 0, and p for its positive class. */
template <class real>
inline double row_weighted_logistic_loss(const real *x, const real *t, const real *w, const real *p, real *log,
                                         ptrdiff_t n) {
    return sum<real>(n, [](real x, real t, real w, real p, real small, real &loss) FF_INLINED {
        const real a = p * t, b = 1 - t, c = x > 0 ? b : a, linear = c * std::fabs(x);
        const real weighted = w * muladd(a + b, small, c == 0 ? 0 : linear);
        return loss = w == 0 ? 0 : weighted;
    }, x, t, w, p, (const real *)log, log);
}

template <class real>
inline void row_weighted_logistic_slope(const real *x, const real *t, const real *w, const real *p, const real *small,
                                        real *dx, ptrdiff_t n) {
    each(n, [](real &dx, real x, real t, real w, real p, real small) FF_INLINED {
        const real a = p * t, b = 1 - t, c = x > 0 ? b : a, size = w * muladd(-(a + b), small, c);
        const real slope = x > 0 ? size : -size;
        dx = w == 0 ? 0 : slope;
    }, dx, x, t, w, p, small);
}

/* y = factor y, a factor for each element */
template <class real> inline void row_multiply(const double *factor, real *y, ptrdiff_t n) {
    each(n, [](real &y, double factor) FF_INLINED { y = (real)(factor * y); }, y, factor);
}

} // namespace
} // namespace ffkernels

#endif
