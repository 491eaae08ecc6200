/* Half precision: float16, and the bfloat16 of ml_dtypes.  Kernels compute with it in float.

   It is widened on its way into a kernel and rounded once on its way out: to the nearest, to even between two;
   beyond the range is infinity; a NaN stays one, and is quiet.  The bits are the same on every processor. */
#ifndef FFKERNELS_HALF_H
#define FFKERNELS_HALF_H

#include "lanes.h"
#if defined(__F16C__) || (defined(_MSC_VER) && defined(__AVX2__))
#include <immintrin.h>
#define FF_HAS_F16C 1
#else
#define FF_HAS_F16C 0
#endif
#if defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace ffkernels {
namespace {

struct float16 {
    uint16_t bits;
};
struct bfloat16 {
    uint16_t bits;
};

/* The type that an array of T is computed in. */
template <class T> struct computed_in {
    using type = T;
};
template <> struct computed_in<float16> {
    using type = float;
};
template <> struct computed_in<bfloat16> {
    using type = float;
};
template <class T> using computed = typename computed_in<T>::type;
template <class T> constexpr bool is_half = !std::is_same_v<T, computed<T>>;

/* Whether a loop over half precision pays: elsewhere conversions are long, and made once for all loops. */
#if FF_HAS_F16C || (defined(__aarch64__) && defined(__ARM_NEON))
constexpr bool has_half = true;
#else
constexpr bool has_half = false;
#endif

/* ---- one value, by integers ------------------------------------------------------------------------ */

constexpr uint32_t QUIET = 0x400000; /* of a float that is no number */

FF_INLINE float widened(float16 x) {
    const uint32_t sign = (uint32_t)(x.bits & 0x8000) << 16, rest = (uint32_t)(x.bits & 0x7fff) << 13;
    const uint32_t rebiased = rest + (112u << 23);
    /* A subnormal: with the exponent of the smallest normal, less that number. */
    const uint32_t subnormal = to_bits(from_bits<float>(rebiased + (1u << 23)) - from_bits<float>(113u << 23));
    const uint32_t special = rest | 0x7f800000 | (rest > (31u << 23) ? QUIET : 0);
    return from_bits<float>(sign | (rest < (1u << 23) ? subnormal : rest >= (31u << 23) ? special : rebiased));
}

FF_INLINE float widened(bfloat16 x) { return from_bits<float>((uint32_t)x.bits << 16); }

/* Rounded to half precision, in the upper half of a word. */
template <class Half> FF_INLINE uint32_t rounded(float x);

template <> FF_INLINE uint32_t rounded<float16>(float x) {
    const uint32_t u = to_bits(x), sign = u & 0x80000000, rest = u & 0x7fffffff;
    const uint32_t odd = rest >> 13 & 1;
    const uint32_t normal = (rest - (112u << 23) + 0xfff + odd) >> 13;
    /* Added to 1/2, whose last place is that of a subnormal. */
    const uint32_t subnormal = to_bits(from_bits<float>(rest) + 0.5f) - (126u << 23);
    const uint32_t special = rest > 0x7f800000 ? 0x7e00 | (rest >> 13 & 0x3ff) : 0x7c00;
    return sign | (rest < (113u << 23) ? subnormal : rest >= (143u << 23) ? special : normal) << 16;
}

/* AVX-512 has an instruction for it, which takes subnormals for 0. */
template <> FF_INLINE uint32_t rounded<bfloat16>(float x) {
    const uint32_t u = to_bits(x), nearest = u + 0x7fff + (u >> 16 & 1);
    return (u & 0x7fffffff) > 0x7f800000 ? u | QUIET : nearest;
}

/* One value of any type. */
template <class T> FF_INLINE double value_of(T x) {
    if constexpr (is_half<T>)
        return widened(x);
    else
        return x;
}
template <class T> FF_INLINE void set_value(T &y, double x) {
    if constexpr (is_half<T>)
        y.bits = (uint16_t)(rounded<T>((float)x) >> 16);
    else
        y = (T)x;
}

/* ---- FF_LANES neighbouring values -------------------------------------------------------------------- */

/* The upper halves of words.  Left to themselves compilers store them one after the other, or by an instruction that
   takes five times as long on some processors. */
FF_INLINE void store_upper(const uint32_t *word, void *y) {
#if FF_HAS_SSE
    for (int l = 0; l < FF_LANES; l += 8) {
        const __m128i a = _mm_loadu_si128((const __m128i *)(word + l)), b = _mm_loadu_si128((const __m128i *)(word + l + 4));
        _mm_storeu_si128((__m128i *)((char *)y + 2 * l), _mm_packs_epi32(_mm_srai_epi32(a, 16), _mm_srai_epi32(b, 16)));
    }
#else
    EACH_LANE(l) ((uint16_t *)y)[l] = (uint16_t)(word[l] >> 16);
#endif
}

template <class Half> FF_INLINE void widen(const Half *x, float *y) {
    EACH_LANE(l) y[l] = widened(x[l]);
}
template <class Half> FF_INLINE void narrow(const float *x, Half *y) {
    uint32_t word[FF_LANES];
    EACH_LANE(l) word[l] = rounded<Half>(x[l]);
    store_upper(word, y);
}

/* Whole registers: what is put together of two stores the next load has to wait for.  Masked by ones, since gcc 12
   warns of what its own unmasked intrinsics leave undefined. */
#if defined(__AVX512BW__)
FF_INLINE void widen(const bfloat16 *x, float *y) {
    const __m512i to_upper = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, //
                                              7, 0, 6, 0, 5, 0, 4, 0, 3, 0, 2, 0, 1, 0, 0, 0);
    const __m512i half = _mm512_maskz_loadu_epi16(0xffff, x);
    _mm512_storeu_si512(y, _mm512_maskz_permutexvar_epi16(0xaaaaaaaa, to_upper, half));
}
/* As `rounded`, in six instructions instead of eight. */
FF_INLINE void narrow(const float *x, bfloat16 *y) {
    const __m512i from_upper = _mm512_set_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, //
                                                31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    const __m512 number = _mm512_loadu_ps(x);
    const __m512i u = _mm512_castps_si512(number);
    const __mmask16 odd = _mm512_test_epi32_mask(u, _mm512_set1_epi32(1 << 16));
    const __mmask16 nan = _mm512_cmp_ps_mask(number, number, _CMP_UNORD_Q);
    __m512i nearest = _mm512_add_epi32(u, _mm512_set1_epi32(0x7fff));
    nearest = _mm512_mask_add_epi32(nearest, odd, nearest, _mm512_set1_epi32(1));
    nearest = _mm512_mask_or_epi32(nearest, nan, u, _mm512_set1_epi32(QUIET));
    nearest = _mm512_permutexvar_epi16(from_upper, nearest);
    memcpy(y, &nearest, FF_LANES * sizeof *y);
}
FF_INLINE void widen(const float16 *x, float *y) {
    _mm512_storeu_ps(y, _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i *)x)));
}
FF_INLINE void narrow(const float *x, float16 *y) {
    const __m256i half = _mm512_maskz_cvtps_ph(0xffff, _mm512_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256((__m256i *)y, half);
}
#elif FF_HAS_F16C
FF_INLINE void widen(const float16 *x, float *y) {
    for (int l = 0; l < FF_LANES; l += 8)
        _mm256_storeu_ps(y + l, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + l))));
}
FF_INLINE void narrow(const float *x, float16 *y) {
    for (int l = 0; l < FF_LANES; l += 8)
        _mm_storeu_si128((__m128i *)(y + l), _mm256_cvtps_ph(_mm256_loadu_ps(x + l), _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__aarch64__) && defined(__ARM_NEON)
FF_INLINE void widen(const float16 *x, float *y) {
    for (int l = 0; l < FF_LANES; l += 4)
        vst1q_f32(y + l, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&x[l].bits))));
}
FF_INLINE void narrow(const float *x, float16 *y) {
    for (int l = 0; l < FF_LANES; l += 4)
        vst1_u16(&y[l].bits, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + l))));
}
#endif

/* ---- blocks, as loops take them ---------------------------------------------------------------------- */

/* Of half precision that is const where it is only read. */
template <class T> struct half_block {
    float lane[FF_LANES];
    T *from;

    FF_INLINE explicit half_block(T *p) : from(p) { widen(p, lane); }
    FF_INLINE half_block(T *p, decltype(nullptr)) : from(p) {
        EACH_LANE(l) lane[l] = 0;
    }
    FF_INLINE void store() const {
        if constexpr (!std::is_const_v<T>) narrow(lane, from);
    }
};
template <> struct block<float16> : half_block<float16> {
    using half_block::half_block;
};
template <> struct block<bfloat16> : half_block<bfloat16> {
    using half_block::half_block;
};
template <> struct block<const float16> : half_block<const float16> {
    using half_block::half_block;
};
template <> struct block<const bfloat16> : half_block<const bfloat16> {
    using half_block::half_block;
};

template <class T> struct half_part_block {
    float lane[FF_LANES];
    T *from;
    int count;

    FF_INLINE half_part_block(T *p, ptrdiff_t n) : from(p), count((int)n) {
        std::remove_const_t<T> part[FF_LANES] = {};
        copy_few<std::remove_const_t<T>>(part + (FF_LANES - count), p, count);
        widen(part, lane);
    }
    FF_INLINE void store() const {
        if constexpr (!std::is_const_v<T>) {
            T part[FF_LANES];
            narrow(lane, part);
            copy_few<T>(from, part + (FF_LANES - count), count);
        }
    }
};
template <> struct part_block<float16> : half_part_block<float16> {
    using half_part_block::half_part_block;
};
template <> struct part_block<bfloat16> : half_part_block<bfloat16> {
    using half_part_block::half_part_block;
};
template <> struct part_block<const float16> : half_part_block<const float16> {
    using half_part_block::half_part_block;
};
template <> struct part_block<const bfloat16> : half_part_block<const bfloat16> {
    using half_part_block::half_part_block;
};

} // namespace
} // namespace ffkernels

#endif
