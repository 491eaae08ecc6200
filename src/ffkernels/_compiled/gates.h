/* softplus, expm1, silu, gelu and their slopes of one `real`, without branches.

   softplus  log(1 + e^x) = max(x, 0) + log1p(e^-|x|), log1p(t) = 2 atanh(t / (2 + t)), whose series has a minimax
             polynomial of the quotient's square (Remez; off by 2^-27 for float, 2^-59 for double)
   expm1     (2^n - 1) + 2^n (e^r - 1), of which only sums are rounded
   silu      x / (1 + e^-x), the quotient rounded nearly once
   gelu      x Phi(x) = max(x, 0) - T(|x|), T(a) = a e^(-a^2/2) R(a) with R(a) = e^(a^2/2) erfc(a / sqrt 2) / 2.
             a^2 is carried as a sum of two, so that the tail keeps its digits; (a + k) R(a) is smooth in
             w = a / (a + k), a polynomial (Remez; after Shepherd & Laframboise 1981)

   What is rounded early is carried as value + remainder, as in `elementary.h`.  Far out arguments are bounded
   to where the result is 0, or the argument itself. */
#ifndef FFKERNELS_GATES_H
#define FFKERNELS_GATES_H

#include "elementary.h"

namespace ffkernels {
namespace {

/* c[0] + c[1] x + c[2] x^2 + ..., two coefficients at a time. */
template <int k = 0, class real, int count>
FF_INLINE real polynomial(const real (&c)[count], real x, real x2) {
    real low = c[k];
    if constexpr (k + 1 < count) low = muladd(x, c[k + 1], low);
    if constexpr (k + 2 < count) return muladd(x2, polynomial<k + 2>(c, x, x2), low);
    return low;
}

template <class real> struct gate;

template <> struct gate<float> {
    static constexpr float lowest = -110.0f;      /* x e^x rounds to 0 from here on */
    static constexpr float cubic_limit = 11.0f;   /* 1.6 x + 0.07 x^3 is beyond 110 from here on */
    static constexpr float cubic_is_one = 7.3f;   /* and 39 from here on: the sigmoid is 1 */
    static constexpr float normal_limit = 14.6f;  /* x e^(-x^2/2) rounds to 0 from here on */
    static constexpr float k = 3.0f;
    static constexpr float tail[] = {
        -0x1.0b94ep+1f, 0x1.11ad9ap+0f, 0x1.a77e7ep-3f, -0x1.06f30ep-2f, -0x1.1a93fp-3f,
        0x1.d117bcp-4f, -0x1.c1266cp-4f, 0x1.092a4p-2f, -0x1.adc734p-3f, 0x1.c5869p-5f};
    static constexpr float atanh[] = {0x1.555502p-2f, 0x1.99d20ep-3f, 0x1.1ebc74p-3f, 0x1.1edb3ap-3f};
};

template <> struct gate<double> {
    static constexpr double lowest = -753.0;
    static constexpr double cubic_limit = 21.8;
    static constexpr double cubic_is_one = 7.3;
    static constexpr double normal_limit = 39.0;
    static constexpr double k = 4.0;
    static constexpr double tail[] = {
        -0x1.1884533d4364fp+2, 0x1.4ef759857924dp+2, -0x1.989d6b525bf9ap+1, 0x1.2e7c345018c05p-2,
        0x1.6e9bde197c63fp-1, -0x1.ecd0c02ad308cp-4, -0x1.be31f1cfcc9cap-3, -0x1.f6b27d3aa28a6p-10,
        0x1.1f553d0eefb9ep-4, 0x1.bb2aae74ba0fdp-6, -0x1.a481e7cb07a58p-6, 0x1.ddab671f37443p-6,
        -0x1.2d9c26e080469p-3, 0x1.7e2311321db34p-2, -0x1.7e13b6a31c2dap-1, 0x1.3706148805605p+0,
        -0x1.8da7eb285bbf7p+0, 0x1.8afbcf11d1782p+0, -0x1.2a9d2f2d23496p+0, 0x1.491af6928b294p-1,
        -0x1.ed9cfb55f6daep-3, 0x1.bf86c6c92f16ep-5, -0x1.7116f1c40292dp-8};
    static constexpr double atanh[] = {
        0x1.5555555555535p-2, 0x1.99999999a06d9p-3, 0x1.249249209047p-3, 0x1.c71c741a6e737p-4,
        0x1.745cb44affd98p-4, 0x1.3b1dd4e9da3b3p-4, 0x1.10681e87670bcp-4, 0x1.efd28eb6f1324p-5,
        0x1.55cafafde4ec4p-5, 0x1.5c6024c89d372p-4};
};

/* e^(z + z_lo) as (hi + lo) half rest, two scales so that a subnormal result is rounded once; z from `lowest`
   up to 0. */
template <class real> struct scaled_pair { real hi, lo, half, rest; };

template <class real> FF_INLINE scaled_pair<real> exp_parts(real z, real z_lo) {
    using c = constant<real>;
    const real n = muladd(z, c::log2e, c::exponent_magic) - c::exponent_magic;
    const real half = muladd(n, (real)0.5, c::exponent_magic) - c::exponent_magic;
    const real r = muladd(n, -c::ln2_lo, muladd(n, -c::ln2_hi, z)) + z_lo;
    const real one_plus_r = 1 + r, rest = muladd(r * r, exp_tail(r), r - (one_plus_r - 1));
    const real hi = one_plus_r + rest, lo = rest - (hi - one_plus_r);
    return {hi, lo, power_of_two(half + c::exponent_magic), power_of_two(n - half + c::exponent_magic)};
}

/* a b as a sum of two. */
template <class real> FF_INLINE pair<real> product(real a, real b) {
    const real p = a * b;
    return {p, -residual(a, b, p)};
}

/* What rounding a + b = sum lost. */
template <class real> FF_INLINE real lost_in(real sum, real a, real b) {
    const real b_of_sum = sum - a;
    return (a - (sum - b_of_sum)) + (b - b_of_sum);
}

template <class real> FF_INLINE real softplus(real x) {
    using c = constant<real>;
    using g = gate<real>;
    const real size = -std::fabs(x), z = size < g::lowest ? g::lowest : size;
    const scaled_pair<real> e = exp_parts(z, (real)0);
    const real scale = e.half * e.rest, t = e.hi * scale, d = 2 + t;
    const real d_lo = muladd(e.lo, scale, (2 - d) + t), inverse = 1 / d;
    const real q = e.hi * inverse, q_lo = (residual(q, d, e.hi) + muladd(-q, d_lo, e.lo)) * inverse;
    const real s = q * scale, u = s * s;
    const real twice = 2 * q, rest = 2 * muladd(q * u, polynomial(g::atanh, u, u * u), q_lo);
    const real below = (twice + rest) * e.half * e.rest;
    const real term = twice * scale, sum = x + term;
    const real above = sum + muladd(rest, scale, lost_in(sum, x, term));
    const real y = x < 0 ? below : above;
    return x > c::sigmoid_is_one ? x : y;
}

/* e^x - 1 for x <= 0. */
template <class real> FF_INLINE real expm1_below(real x) {
    using c = constant<real>;
    const real z = x < -c::sigmoid_is_one ? -c::sigmoid_is_one : x;
    const reduced<real> a = reduce(z, c::exponent_magic);
    const real s = power_of_two(a.shifted), sr = s * a.r, less_one = s - 1;
    const real sum = less_one + sr;
    return sum + muladd(s * (a.r * a.r), exp_tail(a.r), (less_one - sum) + sr);
}

/* n / d rounded nearly once, n a number or a sum of two. */
template <class real> FF_INLINE real quotient_of(pair<real> n, pair<real> d, real inverse) {
    const real q = n.hi * inverse;
    return muladd(muladd(-q, d.lo, residual(q, d.hi, n.hi) + n.lo), inverse, q);
}
template <class real> FF_INLINE real quotient(real n, pair<real> d) {
    return quotient_of({n, 0}, d, 1 / d.hi);
}

/* x over a denominator of `sigmoid_stages`: x sigmoid(z). */
template <class real> FF_INLINE real scaled_quotient(real x, pair<real> d) {
    return std::copysign(quotient(x, d) * power_of_two(constant<real>::sigmoid_magic), x);
}

/* The slope of x sigmoid(z), s(z) + w s(z) s(-z) with w = x z', by e^-|z|; z is a sum of two. */
template <class real> FF_INLINE real gated_slope(pair<real> z, real w) {
    const bool negative = z.hi < 0;
    const real size = std::fabs(w);
    const scaled_pair<real> e = exp_parts(-std::fabs(z.hi), negative ? z.lo : -z.lo);
    const real t = e.hi * (e.half * e.rest), d = 1 + t;
    const real n = negative ? d - size : muladd(t, 1 + size, (real)1);
    const real q = n / (d * d);
    return negative ? q * e.hi * e.half * e.rest : q;
}

template <class real> FF_INLINE real no_less(real low, real x) { return x < low ? low : x; }
template <class real> FF_INLINE real within(real limit, real x) {
    const real z = no_less(-limit, x);
    return z > limit ? limit : z;
}

/* silu in the three stages of `sigmoid_stages`. */
struct silu_stages {
    template <class real> static FF_INLINE reduced<real> argument(real x) { return sigmoid_stages::argument(x); }

    template <class real> static FF_INLINE pair<real> denominator(reduced<real> a) {
        return sigmoid_stages::denominator(a);
    }

    template <class real> static FF_INLINE real quotient(real x, pair<real> d) {
        const real q = scaled_quotient(x, d), y = x > constant<real>::sigmoid_is_one ? x : q;
        return x < gate<real>::lowest ? (real)-0.0 : y;
    }
};

template <class real> FF_INLINE real silu_slope(real x) {
    const real z = within(-gate<real>::lowest, x);
    return gated_slope({z, 0}, z);
}

/* x (1 + tanh u) / 2 = x sigmoid(2u), 2u = sqrt(8/pi) (x + 0.044715 x^3); the constants as sums of two. */
template <class real> struct cubic;
template <> struct cubic<float> {
    static constexpr pair<float> c1 = {0x1.988454p+0f, -0x1.857936p-25f};
    static constexpr pair<float> c3 = {0x1.2444f2p-4f, 0x1.49b16ap-29f};
};
template <> struct cubic<double> {
    static constexpr pair<double> c1 = {0x1.9884533d43651p+0, -0x1.cbc0d30ebfd15p-54};
    static constexpr pair<double> c3 = {0x1.2444f2a4d8b4bp-4, -0x1.6c843a29d1c7p-61};
};

template <class real> FF_INLINE pair<real> cubic_gate(real x, pair<real> x2) {
    using c = cubic<real>;
    const pair<real> p = product(c::c3.hi, x2.hi);
    const real factor = c::c1.hi + p.hi;
    const real low = muladd(c::c3.hi, x2.lo, muladd(c::c3.lo, x2.hi, p.lo)) + c::c1.lo;
    const pair<real> z = product(x, factor);
    return {z.hi, muladd(x, lost_in(factor, c::c1.hi, p.hi) + low, z.lo)};
}

template <class real> FF_INLINE real gelu_tanh(real x) {
    using g = gate<real>;
    const real a = no_less(-g::cubic_limit, x);
    const pair<real> z = cubic_gate(a, product(a, a));
    reduced<real> e = sigmoid_stages::argument(z.hi);
    e.r -= z.lo;
    const real y = scaled_quotient(a, sigmoid_stages::denominator(e));
    return x > g::cubic_is_one ? x : y;
}
template <class real> FF_INLINE real gelu_tanh_slope(real x) {
    using c = cubic<real>;
    const real a = within(gate<real>::cubic_limit, x);
    const pair<real> a2 = product(a, a);
    return gated_slope(cubic_gate(a, a2), a * muladd(3 * c::c3.hi, a2.hi, c::c1.hi));
}

/* e^(-a^2/2) in parts, and R(a) (a + k) as a sum of two with what it is to be divided by. */
template <class real> struct normal_tail {
    scaled_pair<real> e;
    real inverse; /* of the divisor */
    pair<real> divisor, dividend;
};

template <class real> FF_INLINE normal_tail<real> tail_of_normal(real a) {
    using g = gate<real>;
    const real a2 = a * a;
    const real d = a + g::k, inverse = 1 / d, w = a * inverse;
    const real p = w * polynomial(g::tail, w, w * w), at_0 = g::k / 2, s = at_0 + p;
    return {exp_parts(a2 / -2, residual(a, a, a2) / 2), inverse, {d, a - (d - g::k)}, {s, (at_0 - s) + p}};
}

template <class real> FF_INLINE real gelu(real x) {
    constexpr real limit = gate<real>::normal_limit;
    const real size = std::fabs(x), a = size > limit ? limit : size;
    const auto [e, inverse, d, s] = tail_of_normal(a);
    const pair<real> m = product(s.hi, e.hi), n = product(a, m.hi);
    const real m_lo = muladd(s.lo, e.hi, muladd(s.hi, e.lo, m.lo)), n_lo = muladd(a, m_lo, n.lo);
    const real q = n.hi * inverse, q_lo = (residual(q, d.hi, n.hi) + muladd(-q, d.lo, n_lo)) * inverse;
    const real scale = e.half * e.rest, term = q * scale, difference = x - term;
    const real above = difference + (((x - difference) - term) - q_lo * scale);
    const real below = (q + q_lo) * e.half * e.rest;
    const real y = std::copysign(x < 0 ? below : above, x);
    return x > limit ? x : y;
}

/* Phi(x) + x phi(x) */
template <class real> FF_INLINE real gelu_slope(real x) {
    constexpr real limit = gate<real>::normal_limit, phi_0 = (real)0.398942280401432677939946;
    const real size = std::fabs(x), a = size > limit ? limit : size;
    const auto [e, inverse, d, s] = tail_of_normal(a);
    const real q = quotient_of(s, d, inverse);
    const real below = (q - phi_0 * a) * e.hi * e.half * e.rest;
    return x < 0 ? below : 1 - below;
}

} // namespace
} // namespace ffkernels

#endif
