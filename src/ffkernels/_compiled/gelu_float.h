/* gelu of float by polynomials whose coefficients are looked up in registers, as tanh is: no division.

   max(x, 0) - T(|x|) with T(a) = a Phi(-a) = e^(-a^2/2) V(a) as in `gates.h`.  V(a) = a e^(a^2/2) erfc(a / sqrt 2) / 2
   rises from 0 to 1 / sqrt(2 pi), and on each of eight intervals it is a polynomial in a - c (Remez; off by 2^-26.6).
   With AVX-512 it takes two thirds of the time of the formula there, and is off by 1.3 ulp at most where that is by 7.
   That one serves where products that feed a sum are rounded: there is no permutation of registers there either. */
#ifndef FFKERNELS_GELU_FLOAT_H
#define FFKERNELS_GELU_FLOAT_H

#include "gates.h"
#include "tanh_float.h"

namespace ffkernels {
namespace {

/* The exponent and the first bit of the fraction of 1 + a tell the interval: their bounds are 0, 1/2, 1, 2, 3, 5, 7, 11
   and 15, and the first two are numbers 6 and 7.  Near the middle, c is where V is nearly a float.  On the first
   interval c is 0; a / 2 stands there for V(c), and the first coefficient is 1/2 less, so that the sum is the only
   rounding that counts. */
constexpr float gelu_table[9][8] = {
    /* c, V(c), the coefficients of a - c, of its square, ... of its seventh power */
    {0x1.7fffeap+0f, 0x1.400086p+1f, 0x1.00012p+2f, 0x1.7ffed6p+2f,
     0x1.200028p+3f, 0x1.9ffdfp+3f, 0, 0x1.80003cp-1f},
    {0x1.3c143ap-2f, 0x1.69cf04p-2f, 0x1.82b4e6p-2f, 0x1.8e00fep-2f,
     0x1.93a65p-2f, 0x1.962428p-2f, 0, 0x1.cd285ep-3f},
    {0x1.204052p-4f, 0x1.bf3812p-6f, 0x1.2dd6acp-7f, 0x1.a0f256p-9f,
     0x1.0b6d9p-10f, 0x1.6fe198p-12f, -0x1.34084ep-29f, 0x1.5bf7bep-3f},
    {-0x1.3320c8p-5f, -0x1.789c0cp-7f, -0x1.78f8d6p-9f, -0x1.7b5e06p-11f,
     -0x1.54ae6ap-13f, -0x1.4bf3e2p-15f, -0x1.988436p-2f, -0x1.c2c6ap-4f},
    {0x1.0d6174p-6f, 0x1.0ac0f4p-8f, 0x1.943c3ap-11f, 0x1.2cb06p-13f,
     0x1.7dbfd2p-16f, 0x1.08cdb4p-18f, 0x1.fff8e2p-3f, 0x1.d68c28p-5f},
    {-0x1.9ea64ep-8f, -0x1.51492cp-10f, -0x1.88af3cp-13f, -0x1.b609a8p-16f,
     -0x1.8b661ap-19f, -0x1.898d8ep-22f, -0x1.10028p-3f, -0x1.a88c48p-6f},
    {0x1.2163bp-9f, 0x1.87f674p-12f, 0x1.63ebf2p-15f, 0x1.2cdf8cp-18f,
     0x1.85d154p-22f, 0x1.175ecep-25f, 0x1.f82fe8p-5f, 0x1.57198cp-7f},
    {-0x1.860028p-11f, -0x1.b717e4p-14f, -0x1.4bc438p-17f, -0x1.9e9c12p-21f,
     -0x1.9d1aap-25f, -0x1.957adp-29f, -0x1.839b0ap-6f, -0x1.0144bep-8f},
    {0x1.de6888p-13f, 0x1.c6052ap-16f, 0x1.14aa0ap-19f, 0x1.08ef68p-23f,
     0x1.863314p-28f, 0x1.12c57p-32f, 0x1.70fc7cp-8f, 0x1.64fe6ep-10f}};

/* V(a) as a sum of two, and e^(-a^2/2) as 2^n (1 + t), `shifted` being n and what makes 2^(n + 64) of it. */
struct gelu_parts { lanes<float> v, v_lo, shifted, t; };

FF_INLINE void gelu_first(const lanes<float> &x, gelu_parts &parts) {
    using c = constant<float>;
    constexpr float limit = gate<float>::normal_limit, magic = c::exponent_magic + 64;
    lanes<uint32_t> interval;
    lanes<float> a, y, centre, value, p, coefficient;
    EACH_LANE(l) {
        const uint32_t size = to_bits(std::fabs(x[l])), most = to_bits(limit); /* whose order is that of the numbers */
        a[l] = from_bits<float>(size < most ? size : most);
        interval[l] = to_bits(1 + a[l]) >> 22;
    }
    lookup(gelu_table[0], interval, centre);
    lookup(gelu_table[1], interval, value);
    lookup(gelu_table[8], interval, p);
    EACH_LANE(l) y[l] = a[l] - centre[l];
    const auto horner = [&](int k) FF_INLINED {
        lookup(gelu_table[k], interval, coefficient);
        EACH_LANE(l) p[l] = muladd(p[l], y[l], coefficient[l]);
    };
    horner(7), horner(6), horner(5), horner(4), horner(3), horner(2);
    EACH_LANE(l) {
        const float from_table = value[l], size = a[l], half = size / 2, base = centre[l] > 0 ? from_table : half;
        const float v = muladd(p[l], y[l], base);
        const pair<float> z = product(size, half); /* the negative exponent */
        const float shifted = muladd(z.hi, -c::log2e, magic), n = shifted - magic;
        const float r = muladd(n, -c::ln2_lo, muladd(n, -c::ln2_hi, -z.hi)) - z.lo;
        parts.v[l] = v;
        parts.v_lo[l] = muladd(p[l], y[l], base - v);
        parts.shifted[l] = shifted;
        parts.t[l] = muladd(r * r, exp_tail(r), r);
    }
}

/* All of it is 2^64 times as large until the end, so that what is subnormal is rounded once. */
FF_INLINE void gelu_last(const lanes<float> &x, const gelu_parts &parts, float *result) {
    constexpr float up = 0x1p64f, down = 0x1p-64f;
    EACH_LANE(l) {
        const float v = parts.v[l], t = parts.t[l], scale = power_of_two((float)parts.shifted[l]);
        const float m = muladd(v, t, v), m_lo = muladd((float)parts.v_lo[l], t, muladd(v, t, v - m)) + parts.v_lo[l];
        const float top = (x[l] > 0 ? x[l] : 0) * up;
        const float y = std::copysign(muladd(-(m + m_lo), scale, top) * down, x[l]);
        result[l] = x[l] < gate<float>::normal_limit ? y : x[l];
    }
}

/* y = gelu(the sum of x), in two stages on neighbouring blocks, as `staged_span` does it. */
template <class... In> FF_INLINE void gelu_span(ptrdiff_t n, float *y, const In *... x) {
    ptrdiff_t i = 0;
    if (n >= 2 * FF_LANES) {
        gelu_parts parts;
        lanes<float> here, next;
        float result[FF_LANES];
        EACH_LANE(l) here[l] = (x[l] + ...);
        gelu_first(here, parts);
        LOOP_OVER_BLOCKS
        for (; n - i >= 2 * FF_LANES; i += FF_LANES) {
            gelu_last(here, parts, result);
            EACH_LANE(l) next[l] = (x[i + FF_LANES + l] + ...);
            gelu_first(next, parts);
            here = next;
            EACH_LANE(l) y[i + l] = result[l];
        }
        gelu_last(here, parts, result);
        EACH_LANE(l) y[i + l] = result[l];
        i += FF_LANES;
    }
    each_block(n - i, [](float *y, const auto &... x) FF_INLINED {
        gelu_parts parts;
        lanes<float> sum;
        EACH_LANE(l) sum[l] = (x[l] + ...);
        gelu_first(sum, parts);
        gelu_last(sum, parts, y);
    }, y + i, (x + i)...);
}

} // namespace
} // namespace ffkernels

#endif
