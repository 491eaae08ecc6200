/* What the loops below need from a compiler, spelled once for gcc, clang and MSVC.

   Everything in these headers is plain C, compiled once for each instruction set; the
   vector width is the compiler's business.  The one promise it is given is that iterations
   are independent (`omp simd`), which holds because outputs are either exactly an input or
   disjoint from it: the Python side refuses anything else. */
#ifndef FFKERNELS_SIMD_H
#define FFKERNELS_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define FF_PRAGMA(x) __pragma(x)
#define FF_RESTRICT __restrict
#else
#define FF_PRAGMA(x) _Pragma(#x)
#define FF_RESTRICT restrict
#endif
/* The one loop everything is made of: FF_LANES independent elements, which the compiler turns
   into one AVX-512 register of float, two of AVX2, four of SSE2 or NEON.  A fixed count keeps the
   accumulators of a row in registers and its sums in one order, whatever the alignment. */
#define FF_LANES 16
#define LANES(l) FF_PRAGMA(omp simd) for (int l = 0; l < FF_LANES; l++)

/* Runs the statements for every i in [from, to), lane l = (i - from) % FF_LANES.  The last block
   is guarded, not a scalar loop: it becomes masked loads and stores, and costs one block. */
#define EACH(from, to, ...)                                                                      \
    do {                                                                                         \
        ptrdiff_t block_ = (from);                                                               \
        const ptrdiff_t end_ = (to);                                                             \
        for (; block_ + FF_LANES <= end_; block_ += FF_LANES) {                                  \
            LANES(l) {                                                                           \
                const ptrdiff_t i = block_ + l;                                                  \
                __VA_ARGS__                                                                      \
            }                                                                                    \
        }                                                                                        \
        if (block_ < end_) {                                                                     \
            const int left_ = (int)(end_ - block_);                                              \
            LANES(l) {                                                                           \
                if (l < left_) {                                                                 \
                    const ptrdiff_t i = block_ + l;                                              \
                    __VA_ARGS__                                                                  \
                }                                                                                \
            }                                                                                    \
        }                                                                                        \
    } while (0)

/* Products that feed a sum: one rounding where the hardware has a fused multiply-add.  Without
   it `fma` is a library call that emulates one, far too slow for a loop. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || (defined(_MSC_VER) && defined(__AVX2__))
#define FF_HAS_FMA 1
#define FF_MULADD_F32(a, b, c) fmaf(a, b, c)
#define FF_MULADD_F64(a, b, c) fma(a, b, c)
#else
#define FF_HAS_FMA 0
#define FF_MULADD_F32(a, b, c) ((a) * (b) + (c))
#define FF_MULADD_F64(a, b, c) ((a) * (b) + (c))
#endif

static inline uint32_t bits_f32(float x) { uint32_t u; memcpy(&u, &x, sizeof u); return u; }
static inline uint64_t bits_f64(double x) { uint64_t u; memcpy(&u, &x, sizeof u); return u; }
static inline float from_bits_f32(uint32_t u) { float x; memcpy(&x, &u, sizeof x); return x; }
static inline double from_bits_f64(uint64_t u) { double x; memcpy(&x, &u, sizeof x); return x; }

static inline float absolute_f32(float x) { return fabsf(x); }
static inline double absolute_f64(double x) { return fabs(x); }
static inline float with_sign_f32(float x, float sign) { return copysignf(x, sign); }
static inline double with_sign_f64(double x, double sign) { return copysign(x, sign); }

static inline float square_root_f32(float x) { return sqrtf(x); }
static inline double square_root_f64(double x) { return sqrt(x); }

/* c - a*b with the product exact: what is left over after a quotient, to mend its last bit. */
static inline float residual_f32(float a, float b, float c) {
#if FF_HAS_FMA
    return fmaf(-a, b, c);
#else
    return (float)((double)c - (double)a * (double)b);
#endif
}

static inline double residual_f64(double a, double b, double c) {
#if FF_HAS_FMA
    return fma(-a, b, c);
#else
    /* Dekker (1971): split each factor into halves whose products are exact. */
    const double split = 134217729.0; /* 2^27 + 1 */
    double a1 = a * split, b1 = b * split;
    double ah = a1 - (a1 - a), bh = b1 - (b1 - b);
    double al = a - ah, bl = b - bh;
    double p = a * b;
    double e = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
    return (c - p) - e;
#endif
}

#endif
