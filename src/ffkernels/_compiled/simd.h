/* What the loops below need from a compiler, spelled once for gcc, clang and MSVC.

   Everything in these headers is plain C, compiled once for each instruction set; the
   vector width is the compiler's business.  The one promise it is given is that iterations
   are independent (`omp simd`), which holds because outputs are either exactly an input or
   disjoint from it: the Python side refuses anything else. */
#ifndef FFKERNELS_SIMD_H
#define FFKERNELS_SIMD_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define FF_HAS_SSE 1
#else
#define FF_HAS_SSE 0
#endif

/* Every sum and product is rounded to its type: what rounding lost is computed from that, and exp takes
   bits of what was rounded.  With the wider intermediate results of x87 it was off by 65 %.  0 says so, and
   16 where there is arithmetic of half precision as well. */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "float and double have to be computed in their own precision (FLT_EVAL_METHOD 0): -msse2 -mfpmath=sse"
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define FF_PRAGMA(x) __pragma(x)
#define FF_RESTRICT __restrict
#else
#define FF_PRAGMA(x) _Pragma(#x)
#define FF_RESTRICT restrict
#endif
#if defined(__clang__)
#define FF_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define FF_COMPILER "gcc " __VERSION__
#elif defined(_MSC_VER)
#define FF_STRING_(x) #x
#define FF_STRING(x) FF_STRING_(x)
#define FF_COMPILER "msvc " FF_STRING(_MSC_FULL_VER)
#else
#define FF_COMPILER "unknown"
#endif

/* The one loop everything is made of: FF_LANES independent elements, which the compiler turns
   into one AVX-512 register of float, two of AVX2, four of SSE2 or NEON.  A fixed count keeps the
   accumulators of a row in registers and its sums in one order, whatever the alignment. */
#define FF_LANES 16
#define LANES(l) FF_PRAGMA(omp simd) for (int l = 0; l < FF_LANES; l++)

/* How many values come before the first that is aligned to a cache line: none worth a step of their
   own where the span is short.  Stores across a line cost a tenth of a pass through the caches, and
   half of one that rewrites an array; NumPy's large arrays begin 16 bytes past a line. */
#define FF_LINE 64
#define UNALIGNED(p, n) ((n) < 768 ? 0 : (int)((0 - (uintptr_t)(p)) % FF_LINE / sizeof *(p)))

/* Copies less than a block: in pieces, because a store under a mask takes 16 cycles on some processors. */
static inline void copy_part(void *to, const void *from, size_t bytes) {
    char *target = (char *)to;
    const char *source = (const char *)from;
#define PIECE(size)                                                                              \
    if (bytes & (size)) {                                                                        \
        memcpy(target, source, size);                                                            \
        target += size;                                                                          \
        source += size;                                                                          \
    }
    PIECE(64) PIECE(32) PIECE(16) PIECE(8) PIECE(4)
#undef PIECE
}

/* out[i] = the `result` that the statements make, for every i in [0, n).  What comes before the first
   cache line and after the last block is a guarded block, not a scalar loop: its loads become
   masked ones. */
#define EACH(type, out, n, ...)                                                                  \
    do {                                                                                         \
        const ptrdiff_t end_ = (n);                                                              \
        ptrdiff_t block_ = 0;                                                                    \
        int part_ = UNALIGNED(out, end_);                                                        \
        do {                                                                                     \
            if (part_) {                                                                         \
                type results_[FF_LANES];                                                         \
                LANES(l) {                                                                       \
                    type result = 0;                                                             \
                    if (l < part_) WITH_INDEX(block_ + l, __VA_ARGS__)                           \
                    results_[l] = result;                                                        \
                }                                                                                \
                copy_part((out) + block_, results_, part_ * sizeof(type));                       \
                block_ += part_;                                                                 \
            }                                                                                    \
            for (; end_ - block_ >= FF_LANES; block_ += FF_LANES) {                              \
                LANES(l) {                                                                       \
                    type result;                                                                 \
                    WITH_INDEX(block_ + l, __VA_ARGS__)                                          \
                    (out)[block_ + l] = result;                                                  \
                }                                                                                \
            }                                                                                    \
            part_ = (int)(end_ - block_);                                                        \
        } while (part_);                                                                         \
    } while (0)
#define WITH_INDEX(place, ...)                                                                   \
    {                                                                                            \
        const ptrdiff_t i = place;                                                               \
        __VA_ARGS__                                                                              \
    }

/* Runs the statements, of which each makes a `term`, for every i in [from, to), and gathers the terms in
   an array of lanes by `gather`, which uses term and [l].  Where the last block is not whole, the
   terms it lacks are `neutral`: a guard around an accumulator would send all of them through memory. */
#define FOLD(from, to, type, neutral, gather, ...)                                               \
    do {                                                                                         \
        ptrdiff_t block_ = (from);                                                               \
        const ptrdiff_t end_ = (to);                                                             \
        for (; end_ - block_ >= FF_LANES; block_ += FF_LANES) FULL_BLOCK(block_, type, gather, __VA_ARGS__) \
        const int rest_ = (int)(end_ - block_);                                                  \
        if (rest_) {                                                                             \
            LANES(l) {                                                                           \
                type term = neutral;                                                             \
                if (l < rest_) WITH_INDEX(block_ + l, __VA_ARGS__)                               \
                gather                                                                           \
            }                                                                                    \
        }                                                                                        \
    } while (0)
#define FULL_BLOCK(block, type, gather, ...)                                                     \
    LANES(l) {                                                                                   \
        type term;                                                                               \
        WITH_INDEX((block) + l, __VA_ARGS__)                                                     \
        gather                                                                                   \
    }

/* Adds to a sum in double, and what rounding that lost to the sum of errors beside it. */
static inline void add_to(double *high, double *low, double term) {
    double sum = *high + term, part = sum - *high;
    *low += (*high - (sum - part)) + (term - part);
    *high = sum;
}

/* An infinite sum has no rounding errors, but inf - inf beside it. */
static inline double with_errors(double high, double low) {
    return high - high == 0 ? high + low : high;
}

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

/* c - a*b with the product exact: what is left over after a quotient, to mend its last bit.  Without a
   fused multiply-add the factors are split into halves whose products are exact (Dekker 1971). */
#if FF_HAS_FMA
static inline float residual_f32(float a, float b, float c) { return fmaf(-a, b, c); }
static inline double residual_f64(double a, double b, double c) { return fma(-a, b, c); }
#else
#define FF_RESIDUAL(real, split)                                                                 \
    real a1 = a * split, b1 = b * split;                                                         \
    real ah = a1 - (a1 - a), bh = b1 - (b1 - b);                                                 \
    real al = a - ah, bl = b - bh, p = a * b;                                                    \
    return (c - p) - (((ah * bh - p) + ah * bl + al * bh) + al * bl);
static inline float residual_f32(float a, float b, float c) { FF_RESIDUAL(float, 4097.0f) }
static inline double residual_f64(double a, double b, double c) { FF_RESIDUAL(double, 134217729.0) }
#undef FF_RESIDUAL
#endif

#endif
