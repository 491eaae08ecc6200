/* Elementary functions of one `real`, without branches, so that a loop over them vectorises.

   exp       Cody & Waite (1980): x = n ln2 + r with |r| <= ln2/2, e^r = 1 + r + r^2 q(r),
             q the minimax polynomial on that interval (Remez; its error is 2^-28 of e^r for
             float and 2^-58 for double), times 2^n made by arithmetic on exponent bits.
   sigmoid   1 / (1 + e^-x), the denominator carried as value + remainder, so that the one division
             is the only rounding that counts; so are the slopes.
   tanh      a quotient by the addition theorem, to which all that rounding took is returned.

   The error bounds are measured, not proved here: over every float there is, at most one ulp. */
#ifndef FFKERNELS_ELEMENTARY_H
#define FFKERNELS_ELEMENTARY_H

#include "simd.h"

namespace ffkernels {
namespace {

template <class real> struct constant;

template <> struct constant<float> {
    static constexpr float log2e = 1.44269504088896341f;
    static constexpr float ln2_hi = 0.693145751953125f;      /* few bits: n ln2_hi is exact */
    static constexpr float ln2_lo = 1.42860682030941723e-06f;
    static constexpr int exponent_shift = 23;
    static constexpr float exponent_magic = 12583039.0f;     /* 1.5 * 2^23 + 127: low bits hold n + bias */
    static constexpr float exp_zero = 88.0296919f;           /* 127 ln2: 2^-127 is no normal number */
    static constexpr float exp_lowest = -106.0f;             /* 4 e^x rounds to 0 from here on */
    static constexpr float exp_highest = 89.0f;              /* e^x rounds to inf from here on */
    static constexpr float shift_limit = 256.0f;             /* n ln2_hi is exact for every |x| below this + 88 */
    static constexpr float sigmoid_is_one = 40.0f;           /* 1 + e^-x is 1 from here on */
    static constexpr float sigmoid_magic = exponent_magic - 64; /* for results 2^64 times as large */
    static constexpr float tanh_is_one = 20.0f;              /* 1 - 2 e^-2x is 1 from here on */
    static constexpr float negligible_inverse = 60.0f;       /* 2^n + 2^-n is 2^n for every larger n */
    static constexpr float exp_2 = 0x1.fffffcp-2f;           /* coefficients of e^r, from r^2 on */
    static constexpr float exp_3 = 0x1.555491p-3f;
    static constexpr float exp_4 = 0x1.5558f3p-5f;
    static constexpr float exp_5 = 0x1.123a1fp-7f;
    static constexpr float exp_6 = 0x1.6a23cap-10f;
};

template <> struct constant<double> {
    static constexpr double log2e = 1.44269504088896340736;
    static constexpr double ln2_hi = 6.93147180369123816490e-01;
    static constexpr double ln2_lo = 1.90821492927058770002e-10;
    static constexpr int exponent_shift = 52;
    static constexpr double exponent_magic = 6755399441056767.0; /* 1.5 * 2^52 + 1023 */
    static constexpr double exp_zero = 709.08956571282405153;
    static constexpr double exp_lowest = -748.0;
    static constexpr double exp_highest = 710.0;
    static constexpr double shift_limit = 4096.0;
    static constexpr double sigmoid_is_one = 40.0;
    static constexpr double sigmoid_magic = exponent_magic - 512;
    static constexpr double tanh_is_one = 20.0;
    static constexpr double negligible_inverse = 400.0;
    static constexpr double exp_2 = 0x1.000000000000ap-1;
    static constexpr double exp_3 = 0x1.55555555554f9p-3;
    static constexpr double exp_4 = 0x1.555555555083fp-5;
    static constexpr double exp_5 = 0x1.1111111127d10p-7;
    static constexpr double exp_6 = 0x1.6c16c18438a89p-10;
    static constexpr double exp_7 = 0x1.a01a012a0e7e8p-13;
    static constexpr double exp_8 = 0x1.a01999e274b14p-16;
    static constexpr double exp_9 = 0x1.71df25b516d4cp-19;
    static constexpr double exp_10 = 0x1.28ad9b7868661p-22;
    static constexpr double exp_11 = 0x1.ad7f3b22740dcp-26;
};

/* 2^n for an integral n in the range of normal numbers, given n + exponent_magic. */
template <class real> FF_INLINE real power_of_two(real shifted) {
    return from_bits<real>(to_bits(shifted) << constant<real>::exponent_shift);
}

/* (e^r - 1 - r) / r^2 for |r| <= ln2/2, two coefficients at a time: a chain half as long is worth 3 to 8 %
   of the loops around it for float, a third for double. */
FF_INLINE float exp_tail(float r) {
    using c = constant<float>;
    const float r2 = r * r;
    const float low = muladd(r, c::exp_3, c::exp_2), high = muladd(r, c::exp_5, c::exp_4);
    return muladd(muladd(r2, c::exp_6, high), r2, low);
}
FF_INLINE double exp_tail(double r) {
    using c = constant<double>;
    const double r2 = r * r;
    double q = muladd(r, c::exp_11, c::exp_10);
    q = muladd(r2, q, muladd(r, c::exp_9, c::exp_8));
    q = muladd(r2, q, muladd(r, c::exp_7, c::exp_6));
    q = muladd(r2, q, muladd(r, c::exp_5, c::exp_4));
    return muladd(r2, q, muladd(r, c::exp_3, c::exp_2));
}

/* z = n ln2 + r, and n + magic, of which `power_of_two` makes 2^n. */
template <class real> struct reduced { real shifted, r; };

template <class real> FF_INLINE reduced<real> reduce(real z, real magic) {
    using c = constant<real>;
    const real shifted = muladd(z, c::log2e, magic), n = shifted - magic;
    return {shifted, muladd(n, -c::ln2_lo, muladd(n, -c::ln2_hi, z))};
}

/* 2^n e^r for |r| <= ln2/2, of n + exponent_magic and r.  The smallest scale is that of 2^-127 or 2^-1023: 0, for
   exponent bits of 0 are those of 0. */
template <class real> FF_INLINE real scaled_exp(reduced<real> a) {
    const real t = muladd(a.r * a.r, exp_tail(a.r), a.r), scale = power_of_two(a.shifted);
    return muladd(t, scale, scale);
}

/* What e^(x - m) takes of m.  Rounding the difference would cost half of *its* last place: 16 ulp
   of the result at a difference of 20, 64 at 80.  So x is reduced by itself, x = n ln2 + r, which is
   exact, and with m = k ln2 + rho the result is 2^(n - k) e^(r - rho), with a difference of small numbers:
   0 to within 2^-26 (2^-55) at the maximum, for a result of exactly 1.  n is chosen for |r - rho| <= ln2/2.
   Where m is so large that n ln2_hi would be rounded, all x that count are within a factor of 2 of m, and
   x - m is exact: `base` is taken off both. */
template <class real> struct shift { real base, maximum, lowest, magic, rho; };

template <class real> FF_INLINE shift<real> shift_by(real m) {
    using c = constant<real>;
    shift<real> s;
    s.base = std::fabs(m) < c::shift_limit ? 0 : m;
    s.maximum = m - s.base;
    s.lowest = s.maximum - c::exp_zero;
    const real k = muladd(s.maximum, c::log2e, c::exponent_magic) - c::exponent_magic;
    s.rho = muladd(k, -c::ln2_lo, muladd(k, -c::ln2_hi, s.maximum));
    s.magic = c::exponent_magic - k;
    return s;
}

/* e^(x - m) for x <= m, the case of every softmax, of z = x - base; 0 from -127 ln2 (-1023 ln2) on, exactly so for
   -inf, while NaN is not below `lowest`.  What can be an addition is none of the products: on Zen 4 maxima
   and shifts run in the two units that add, comparisons in the two that multiply.  Ten operations for
   those and six for these take 11.3 cycles for sixteen floats, where twelve and four took 13.3. */
template <class real> FF_INLINE real exp_below(real z, shift<real> s) {
    using c = constant<real>;
    z = z < s.lowest ? s.lowest : z;
    const real shifted = muladd(z - s.rho, c::log2e, s.magic), n = shifted - s.magic;
    return scaled_exp(reduced<real>{shifted, muladd(n, -c::ln2_lo, muladd(n, -c::ln2_hi, z) - s.rho)});
}

/* e^x of a log-probability: 0 below -127 ln2 (-1023 ln2), infinite above 127 ln2 (1023 ln2).  One scale serves
   there, which is a quarter of the time of a loop. */
template <class real> FF_INLINE real exp_bounded(real x) {
    using c = constant<real>;
    const real y = scaled_exp(reduce(x, c::exponent_magic)), below = x > c::exp_zero ? (real)INFINITY : y;
    return x < -c::exp_zero ? 0 : below;
}

/* e^x for every x: the scale in two factors, so that subnormal results are rounded once and
   those above 2^1023 or 2^127 are reached.  Far out the exponent bits run over; what they make is
   not used. */
template <class real> FF_INLINE real exp(real x) {
    using c = constant<real>;
    const real n = muladd(x, c::log2e, c::exponent_magic) - c::exponent_magic;
    const real half = muladd(n, (real)0.5, c::exponent_magic) - c::exponent_magic;
    const real r = muladd(n, -c::ln2_lo, muladd(n, -c::ln2_hi, x));
    /* 1 + r with what rounding it lost: 1 + (r + r^2 q) would come out 1.03 ulp off. */
    const real one_plus_r = 1 + r, lost = r - (one_plus_r - 1);
    const real p = one_plus_r + muladd(r * r, exp_tail(r), lost);
    real y = p * power_of_two(half + c::exponent_magic) * power_of_two(n - half + c::exponent_magic);
    y = x > c::exp_highest ? (real)INFINITY : y;
    return x < c::exp_lowest ? 0 : y;
}

/* A number as an unevaluated sum; `lo` is what rounding `hi` lost. */
template <class real> struct pair { real hi, lo; };

/* 1 / d rounded nearly once. */
template <class real> FF_INLINE real reciprocal(pair<real> d) {
    const real q = 1 / d.hi;
    return muladd(muladd(-q, d.lo, residual(q, d.hi, (real)1)), q, q);
}

/* Sigmoid, tanh and their slopes in three stages, which `elementwise.h` runs on neighbouring blocks: the
   reduced argument, a denominator, the quotient. */

/* 1 / (1 + e^-x), all of it 2^64 or 2^512 times as large until the end: so e^-x does not overflow
   where the result is subnormal, and that is rounded once.  e^-x = s + s r + s w with s = 2^n and
   w = r^2 q(r), so that of the denominator only sums are rounded, and what they lost is known.  Far
   out the exponent bits run over; what they make is not used. */
struct sigmoid_stages {
    template <class real> static FF_INLINE reduced<real> argument(real x) {
        return reduce(-x, constant<real>::sigmoid_magic);
    }

    template <class real> static FF_INLINE pair<real> denominator(reduced<real> a) {
        const real one = power_of_two(constant<real>::sigmoid_magic);
        const real s = power_of_two(a.shifted), sr = s * a.r, sw = s * (a.r * a.r * exp_tail(a.r));
        const real one_plus_s = one + s, d = (one_plus_s + sr) + sw;
        return {d, (((one_plus_s - d) + sr) + sw) + (one - (one_plus_s - s))};
    }

    template <class real> static FF_INLINE real quotient(real x, pair<real> d) {
        using c = constant<real>;
        real q = reciprocal(d) * power_of_two(c::sigmoid_magic);
        q = x > c::sigmoid_is_one ? 1 : q;
        return x < c::exp_lowest ? 0 : q;
    }
};

/* The terms of even and odd powers of r in e^r from the fourth and the third on, each less its lowest power. */
FF_INLINE float exp_even(float r2) {
    using c = constant<float>;
    return muladd(r2, c::exp_6, c::exp_4);
}
FF_INLINE float exp_odd(float r2) {
    using c = constant<float>;
    return muladd(r2, c::exp_5, c::exp_3);
}
FF_INLINE double exp_even(double r2) {
    using c = constant<double>;
    return muladd(r2, muladd(r2, muladd(r2, c::exp_10, c::exp_8), c::exp_6), c::exp_4);
}
FF_INLINE double exp_odd(double r2) {
    using c = constant<double>;
    return muladd(r2, muladd(r2, muladd(r2, muladd(r2, c::exp_11, c::exp_9), c::exp_7), c::exp_5), c::exp_3);
}

/* s(x) s(-x), which s (1 - s) gets wrong where s rounds to 1: 1 / (2 + E + 1/E) with E = e^|x|, again
   that much larger.  With E = s e^r, s = 2^n, its even powers of r come times s + 1/s and
   its odd ones times s - 1/s.  So nothing is rounded that falls while the whole rises, which would
   show where the slope is flat: the result is monotone. */
struct sigmoid_grad_stages {
    template <class real> static FF_INLINE reduced<real> argument(real x) {
        return reduce(std::fabs(x), constant<real>::sigmoid_magic);
    }

    template <class real> static FF_INLINE pair<real> denominator(reduced<real> a) {
        using c = constant<real>;
        const real two = power_of_two(c::sigmoid_magic + 1);
        const real r = a.r, r2 = r * r, even = exp_even(r2), odd = exp_odd(r2);
        real n = a.shifted - c::sigmoid_magic;
        n = n < c::negligible_inverse ? n : c::negligible_inverse;
        const real s = power_of_two(a.shifted), inverse = power_of_two(c::sigmoid_magic - n);
        const real sum = s + inverse, below = two + inverse, base = s + below;
        real difference = s - inverse;
        real curved = r2 * (sum * c::exp_2 + muladd(difference, r * odd, sum * (r2 * even)));
        if (!has_fma) { /* the product with s is exact */
            curved -= inverse * r;
            difference = s;
        }
        const real linear = muladd(difference, r, base), d = linear + curved;
        return {d, ((linear - d) + curved) + (muladd(difference, r, base - linear) + (below - (base - s)))};
    }

    template <class real> static FF_INLINE real quotient(real x, pair<real> d) {
        return scaled(std::fabs(x), d, power_of_two(constant<real>::sigmoid_magic));
    }

    template <class real> static FF_INLINE real scaled(real a, pair<real> d, real scale) {
        const real q = reciprocal(d) * scale;
        return a > -constant<real>::exp_lowest ? 0 : q;
    }
};

/* sech^2 x = 4 s(2x) s(-2x). */
struct tanh_grad_stages {
    template <class real> static FF_INLINE reduced<real> argument(real x) {
        return sigmoid_grad_stages::argument(2 * x);
    }

    template <class real> static FF_INLINE pair<real> denominator(reduced<real> a) {
        return sigmoid_grad_stages::denominator(a);
    }

    template <class real> static FF_INLINE real quotient(real x, pair<real> d) {
        return sigmoid_grad_stages::scaled(2 * std::fabs(x), d, power_of_two(constant<real>::sigmoid_magic + 2));
    }
};

/* (tanh r / r - 1) / r^2 of u = r^2 for |r| <= 0.36 (Remez; tanh r is off by 2^-30 for float, 2^-55.8 for
   double), two coefficients at a time for a shorter chain. */
FF_INLINE float tanh_tail(float u) {
    const float u2 = u * u;
    return muladd(u2, muladd(u, 0x1.3c0c9cp-6f, -0x1.b7de6p-5f), muladd(u, 0x1.110afep-3f, -0x1.55554cp-2f));
}
FF_INLINE double tanh_tail(double u) {
    const double u2 = u * u;
    double p = muladd(u, 0x1.eb9534689496ep-12, -0x1.765517d68f28bp-10);
    p = muladd(u2, p, muladd(u, 0x1.d65d8a2a69f2ap-9, -0x1.226c04d4cbe64p-7));
    p = muladd(u2, p, muladd(u, 0x1.664f3c5c2b4d3p-6, -0x1.ba1ba194b41b5p-5));
    return muladd(u2, p, muladd(u, 0x1.11111110f52cep-3, -0x1.5555555555472p-2));
}

/* |x| = n ln2/2 + r with n rounded down, or nearly.  With s = 2^n and t = tanh r the addition theorem says that
   tanh |x| = (s - 1 + (s + 1) t) / (s + 1 + (s - 1) t) = 1 - (1 - t) / d, d half of that denominator.  One
   correction returns what was lost where d, 1 - t, the quotient and the last difference were rounded.  For n = 0
   d is 1 and the result t itself, so that small x need no formula of their own. */
struct tanh_stages {
    template <class real> static FF_INLINE reduced<real> argument(real x) {
        using c = constant<real>;
        constexpr real magic = c::exponent_magic - 1; /* for 2^(n - 1) */
        const real size = std::fabs(x), a = size > c::tanh_is_one ? c::tanh_is_one : size;
        const real shifted = muladd(a, 2 * c::log2e, (real)-0.498) + magic, n = shifted - magic;
        return {shifted, muladd(n, -c::ln2_lo / 2, muladd(n, -c::ln2_hi / 2, a))};
    }

    /* tanh r; the third stage makes d of it. */
    template <class real> static FF_INLINE reduced<real> denominator(reduced<real> a) {
        const real u = a.r * a.r;
        return {a.shifted, muladd(a.r * u, tanh_tail(u), a.r)};
    }

    template <class real> static FF_INLINE real quotient(real x, reduced<real> a) {
        const real half_s = power_of_two(a.shifted), t = a.r;
        const real at_0 = half_s + (real)0.5, slope = half_s - (real)0.5;
        const real d = muladd(slope, t, at_0), d_lost = muladd(slope, t, at_0 - d);
        const real p = 1 - t, p_lost = (1 - p) - t;
        const real inverse = 1 / d, q = p * inverse;
        const real remainder = muladd(-q, d_lost, residual(q, d, p) + p_lost);
        const real y = 1 - q, y_lost = (1 - y) - q;
        return std::copysign(y + muladd(-remainder, inverse, y_lost), x);
    }
};

} // namespace
} // namespace ffkernels

#endif
