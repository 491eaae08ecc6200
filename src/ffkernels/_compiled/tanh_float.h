/* tanh of float by polynomials whose coefficients are looked up in registers: no division.

   It takes three quarters of the time of the formula in `elementary.h` with AVX-512 and with AVX2.  That one
   serves where products that feed a sum are rounded: there is no permutation of registers there either. */
#ifndef FFKERNELS_TANH_FLOAT_H
#define FFKERNELS_TANH_FLOAT_H

#include "lanes.h"
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace ffkernels {
namespace {

/* table[index % 8] in every lane, as a permutation of the table.  No compiler finds it in the plain loop at the end,
   with which tanh takes five times as long. */
FF_INLINE void lookup(const float (&table)[8], const lanes<uint32_t> &index, lanes<float> &found) {
#if defined(__AVX512F__)
    /* Under a mask of all lanes: gcc 12 warns that others have undefined values. */
    const __mmask16 all = 0xffff;
    const __m512 twice = _mm512_maskz_broadcast_f32x8(all, _mm256_loadu_ps(table));
    _mm512_storeu_ps(&found, _mm512_maskz_permutexvar_ps(all, _mm512_loadu_si512(&index), twice));
#elif defined(__AVX2__)
    const __m256 once = _mm256_loadu_ps(table);
    for (int l = 0; l < FF_LANES; l += 8) {
        const __m256i i = _mm256_loadu_si256((const __m256i *)((const uint32_t *)&index + l));
        _mm256_storeu_ps((float *)&found + l, _mm256_permutevar8x32_ps(once, i));
    }
#elif defined(__aarch64__)
    const uint8x16x2_t bytes = {vreinterpretq_u8_f32(vld1q_f32(table)), vreinterpretq_u8_f32(vld1q_f32(table + 4))};
    for (int l = 0; l < FF_LANES; l += 4) {
        const uint32x4_t i = vandq_u32(vld1q_u32((const uint32_t *)&index + l), vdupq_n_u32(7));
        const uint32x4_t four_bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100), i, 0x04040404);
        vst1q_f32((float *)&found + l, vreinterpretq_f32_u8(vqtbl2q_u8(bytes, vreinterpretq_u8_u32(four_bytes))));
    }
#else
    for (int l = 0; l < FF_LANES; l++) found[l] = table[index[l] % 8];
#endif
}

/* On each of eight intervals tanh is a polynomial in |x| - c (Remez).  The exponent and the first bit of the fraction
   of 1 + 1.5 |x| tell the interval: their bounds are 0, 1/3, 2/3, 4/3, 2, 10/3, 14/3 and 22/3, and the first two
   are numbers 6 and 7.  Near the middle, c is where tanh is nearly a float, within a 500th of an ulp.  On the first
   interval c is 0; |x| stands there for tanh c, and the first coefficient is 1 less, so that the sum is the
   only rounding that counts. */
constexpr float tanh_table[9][8] = {
    /* c, tanh c, the coefficients of |x| - c, of its square, ... of its seventh power */
    {0x1.0001fcp+0f, 0x1.aaaab2p+0f, 0x1.55532ap+1f, 0x1.00005ap+2f,
     0x1.800674p+2f, 0x1.03b116p+3f, 0, 0x1.ffffd8p-2f},
    {0x1.85f156p-1f, 0x1.dcba68p-1f, 0x1.fb144cp-1f, 0x1.ffa818p-1f,
     0x1.fffe64p-1f, 0x1.fffffap-1f, 0, 0x1.d9351ep-2f},
    {0x1.ae08acp-2f, 0x1.10748cp-3f, 0x1.3969b8p-6f, 0x1.5f81b8p-10f,
     0x1.9bd722p-16f, 0x1.7fbe78p-22f, 0, 0x1.92a956p-1f},
    {-0x1.4784bcp-2f, -0x1.fb5edcp-4f, -0x1.3665a4p-6f, -0x1.5f49d6p-10f,
     -0x1.9d977ep-16f, -0x1.7c6c7ap-22f, -0x1.f3ae4p-23f, -0x1.742734p-2f},
    {0x1.a86316p-4f, 0x1.22c7b8p-4f, 0x1.95dcdep-7f, 0x1.d3c184p-11f,
     0x1.13d2bcp-16f, 0x1.fe9b48p-23f, -0x1.5551d2p-2f, -0x1.81deb2p-4f},
    {0x1.c7724cp-6f, -0x1.96b61cp-6f, -0x1.8648bep-8f, -0x1.d18dap-12f,
     -0x1.07ff14p-17f, -0x1.195d6cp-23f, -0x1.0bba38p-12f, 0x1.513d5ep-3f},
    {-0x1.7beaf2p-5f, 0x1.3aa2ecp-9f, 0x1.20211cp-9f, 0x1.7282e4p-13f,
     0x1.a6625p-19f, 0x1.b9a554p-25f, 0x1.158e88p-3f, -0x1.b887eep-6f},
    {0x1.1e2d5cp-6f, 0x1.ca02a2p-9f, -0x1.39e286p-11f, -0x1.03047ap-14f,
     -0x1.748574p-20f, -0x1.505e34p-28f, -0x1.28d0c2p-7f, -0x1.98acf2p-5f},
    {0x1.abf712p-9f, -0x1.565e9cp-9f, 0x1.7232fap-14f, 0x1.2026e2p-16f,
     0x1.a8830ap-22f, -0x1.b935f8p-31f, -0x1.3a0ec8p-5f, 0x1.5fb5cap-6f}};
constexpr float tanh_float_is_one = 9.02f; /* from here on */

FF_INLINE void tanh_block(const lanes<float> &x, float *result) {
    lanes<uint32_t> interval;
    lanes<float> a, y, c, tanh_c, p, coefficient;
    EACH_LANE(l) {
        const float size = std::fabs(x[l]);
        a[l] = size > tanh_float_is_one ? tanh_float_is_one : size;
        interval[l] = to_bits(muladd(a[l], 1.5f, 1.0f)) >> 22;
    }
    lookup(tanh_table[0], interval, c);
    lookup(tanh_table[1], interval, tanh_c);
    lookup(tanh_table[8], interval, p);
    EACH_LANE(l) y[l] = a[l] - c[l];
    const auto horner = [&](int k) FF_INLINED {
        lookup(tanh_table[k], interval, coefficient);
        EACH_LANE(l) p[l] = muladd(p[l], y[l], coefficient[l]);
    };
    horner(7), horner(6), horner(5), horner(4), horner(3), horner(2);
    EACH_LANE(l) {
        const float from_table = tanh_c[l], size = a[l];
        result[l] = std::copysign(muladd(p[l], y[l], c[l] > 0 ? from_table : size), x[l]);
    }
}

} // namespace
} // namespace ffkernels

#endif
