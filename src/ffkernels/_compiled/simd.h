/* What the kernels need from a compiler, spelled once for gcc, clang and MSVC.

   Everything in these headers is C++17 without its library: templates over `real`, float or double,
   compiled once for each instruction set.  The width of a vector is the compiler's business.  All of it has
   internal linkage, because one process holds the modules for several instruction sets. */
#ifndef FFKERNELS_SIMD_H
#define FFKERNELS_SIMD_H

#include <cmath>
#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define FF_HAS_SSE 1
#else
#define FF_HAS_SSE 0
#endif

/* Every sum and product is rounded to its type: two-sum and the argument reduction of exp rest on it.  With
   the wider intermediate results of x87, exp was off by 65 %.  FLT_EVAL_METHOD is 0 where that is so, and 16
   where there is arithmetic of half precision as well. */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "float and double have to be computed in their own precision (FLT_EVAL_METHOD 0): -msse2 -mfpmath=sse"
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define FF_PRAGMA(x) __pragma(x)
#define FF_INLINE __forceinline
#define FF_INLINED [[msvc::forceinline]] /* of a lambda */
#define FF_CALLED __declspec(noinline)
#else
#define FF_PRAGMA(x) _Pragma(#x)
#define FF_INLINE inline __attribute__((always_inline))
#define FF_INLINED __attribute__((always_inline)) /* of a lambda */
#define FF_CALLED __attribute__((noinline))
#endif

/* Of a loop that waits for memory more than for anything it computes: half the width of AVX-512, which on Zen 4 takes
   0.95 of the time in the caches and 0.76 to 1.0 past them.  clang has no such attribute. */
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
#define FF_MEMORY_BOUND __attribute__((target("prefer-vector-width=256")))
#else
#define FF_MEMORY_BOUND
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

/* Fetches a cache line into the cache of level 1 or 2; any address will do. */
#if FF_HAS_SSE
#define FF_FETCH(p, level) _mm_prefetch((const char *)(p), ((level) == 1 ? _MM_HINT_T0 : _MM_HINT_T1))
#elif defined(__GNUC__)
#define FF_FETCH(p, level) __builtin_prefetch((const void *)(p), 0, 4 - (level))
#else
#define FF_FETCH(p, level) ((void)(p))
#endif

/* A product that feeds a sum is rounded once where the hardware has a fused multiply-add.  Without it
   `fma` is a library call that emulates one, far too slow for a loop. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || (defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)) ||            \
    (defined(_MSC_VER) && (defined(__AVX2__) || defined(_M_ARM64)))
#define FF_HAS_FMA 1
#else
#define FF_HAS_FMA 0
#endif

namespace ffkernels {
namespace {

constexpr bool has_fma = FF_HAS_FMA;

template <class real> FF_INLINE real muladd(real a, real b, real c) {
#if FF_HAS_FMA
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* c - a b with the product exact: the remainder of a quotient, which corrects its last bit.  Without a
   fused multiply-add that of floats is a double, and doubles are split into halves whose products are
   exact (Dekker 1971). */
#if FF_HAS_FMA
template <class real> FF_INLINE real residual(real a, real b, real c) { return std::fma(-a, b, c); }
#else
FF_INLINE float residual(float a, float b, float c) { return (float)((double)c - (double)a * b); }
FF_INLINE double residual(double a, double b, double c) {
    constexpr double split = 134217729; /* 2^27 + 1 */
    const double a1 = a * split, b1 = b * split;
    const double ah = a1 - (a1 - a), bh = b1 - (b1 - b);
    const double al = a - ah, bl = b - bh, p = a * b;
    return (c - p) - (((ah * bh - p) + ah * bl + al * bh) + al * bl);
}
#endif

/* An unsigned integer as wide as a `real`. */
template <class real> using bits_of = std::conditional_t<sizeof(real) == sizeof(uint32_t), uint32_t, uint64_t>;

template <class real> FF_INLINE bits_of<real> to_bits(real x) {
    bits_of<real> u;
    memcpy(&u, &x, sizeof u);
    return u;
}
template <class real> FF_INLINE real from_bits(bits_of<real> u) {
    real x;
    memcpy(&x, &u, sizeof x);
    return x;
}

} // namespace
} // namespace ffkernels

#endif
