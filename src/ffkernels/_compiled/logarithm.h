/* log and log1p in double, without branches.

   x = 2^k m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f), and
   log m = f - (f^2/2 - s (f^2/2 + R(s^2))), the reduction of fdlibm's e_log.c, with our own
   minimax R (Remez, error 2^-58).  Kernels over float use it too: a loss takes one logarithm a
   row, where the cost of double is not seen, and what it returns is then rounded once. */
#ifndef FFKERNELS_LOGARITHM_H
#define FFKERNELS_LOGARITHM_H

#include "simd.h"

/* log(x) + correction for a normal, positive and finite x. */
static inline double log_reduced(double x, double correction, double exponent_offset) {
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcdULL;
    const double two52 = 4503599627370496.0;
    /* Two thousand is added to the exponent so that a logical shift serves: instruction sets
       before AVX-512 have no arithmetic one for 64 bits. */
    uint64_t offset = bits_f64(x) - sqrt_half + (2000ULL << 52);
    double k = from_bits_f64((offset >> 52) | bits_f64(two52)) - (two52 + 2000.0 + exponent_offset);
    double f = from_bits_f64((offset & 0x000fffffffffffffULL) + sqrt_half) - 1;
    double s = f / (2 + f), z = s * s, half_square = 0.5 * f * f;
    double r = FF_MULADD_F64(z, 0.14797506507145429323, 0.1531390335433366583);
    r = FF_MULADD_F64(z, r, 0.18183569736218040324);
    r = FF_MULADD_F64(z, r, 0.22222198476039897377);
    r = FF_MULADD_F64(z, r, 0.28571428743262357163);
    r = FF_MULADD_F64(z, r, 0.39999999999411092539);
    r = FF_MULADD_F64(z, r, 0.66666666666667348958) * z;
    double low = FF_MULADD_F64(s, half_square + r, k * 1.90821492927058770002e-10 + correction);
    return k * 6.93147180369123816490e-01 - ((half_square - low) - f);
}

static inline double log_f64(double x) {
    int subnormal = x < 2.2250738585072014e-308;
    double y = log_reduced(subnormal ? x * 18014398509481984.0 : x, 0, subnormal ? 54 : 0);
    y = x == INFINITY ? x : y;
    y = x == 0 ? -INFINITY : y;
    return x >= 0 ? y : NAN;
}

static inline float log_f32(float x) { return (float)log_f64(x); }

/* log(1 + d) for 0 <= d < inf, and NaN for NaN: what rounding 1 + d lost is put back. */
static inline double log1p_nonnegative(double d) {
    double u = 1 + d;
    double lost = d < 1 ? d - (u - 1) : 1 - (u - d);
    double y = log_reduced(u, lost / u, 0);
    return d >= 0 ? y : NAN;
}

/* The logarithms of a tile of rows, for little more than the price of one. */
static inline void lanes_log(const double *x, double *y) {
    LANES(l) y[l] = log_f64(x[l]);
}

static inline void lanes_log1p(const double *excess, double *log_sum) {
    LANES(l) log_sum[l] = log1p_nonnegative(excess[l]);
}

#endif
