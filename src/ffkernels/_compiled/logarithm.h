/* log and log1p in double, without branches.

   x = 2^k m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f), and
   log m = f - (f^2/2 - s (f^2/2 + R(s^2))), the reduction of fdlibm's e_log.c, with our own
   minimax R (Remez, error 2^-58).  Kernels over float use it too: a loss takes one logarithm a
   row, where the cost of double is not seen, and what it returns is then rounded once. */
#ifndef FFKERNELS_LOGARITHM_H
#define FFKERNELS_LOGARITHM_H

#include "lanes.h"

namespace ffkernels {
namespace {

/* log(x) + correction for a normal, positive and finite x, less exponent_offset ln 2. */
FF_INLINE double log_reduced(double x, double correction, double exponent_offset) {
    constexpr uint64_t sqrt_half = 0x3fe6a09e667f3bcd;
    constexpr double two52 = 4503599627370496.0;
    /* Two thousand is added to the exponent so that a logical shift serves: instruction sets
       before AVX-512 have no arithmetic one for 64 bits. */
    const uint64_t offset = to_bits(x) - sqrt_half + ((uint64_t)2000 << 52);
    const double k = from_bits<double>((offset >> 52) | to_bits(two52)) - (two52 + 2000.0 + exponent_offset);
    const double f = from_bits<double>((offset & 0x000fffffffffffff) + sqrt_half) - 1;
    const double s = f / (2 + f), z = s * s, half_square = 0.5 * f * f;
    double r = muladd(z, 0.14797506507145429323, 0.1531390335433366583);
    r = muladd(z, r, 0.18183569736218040324);
    r = muladd(z, r, 0.22222198476039897377);
    r = muladd(z, r, 0.28571428743262357163);
    r = muladd(z, r, 0.39999999999411092539);
    r = muladd(z, r, 0.66666666666667348958) * z;
    const double low = muladd(s, half_square + r, k * 1.90821492927058770002e-10 + correction);
    return k * 6.93147180369123816490e-01 - ((half_square - low) - f);
}

FF_INLINE double log(double x) {
    const bool subnormal = x < DBL_MIN;
    double y = log_reduced(subnormal ? x * 18014398509481984.0 : x, 0, subnormal ? 54 : 0);
    y = x == (double)INFINITY ? x : y;
    y = x == 0 ? -(double)INFINITY : y;
    return x >= 0 ? y : (double)NAN;
}
FF_INLINE float log(float x) { return (float)log((double)x); }

/* log(1 + d) for 0 <= d < inf, and NaN for NaN: what rounding 1 + d lost is put back. */
FF_INLINE double log1p_nonnegative(double d) {
    const double u = 1 + d;
    const double lost = d < 1 ? d - (u - 1) : 1 - (u - d);
    const double y = log_reduced(u, lost / u, 0);
    return d >= 0 ? y : (double)NAN;
}

/* The logarithms of a tile of rows, for little more than the price of one. */
inline void lanes_log(const double *x, double *y) {
    double result[FF_LANES];
    EACH_LANE(l) result[l] = log(x[l]);
    EACH_LANE(l) y[l] = result[l];
}

inline void lanes_log1p(const double *excess, double *log_sum) {
    double result[FF_LANES];
    EACH_LANE(l) result[l] = log1p_nonnegative(excess[l]);
    EACH_LANE(l) log_sum[l] = result[l];
}

} // namespace
} // namespace ffkernels

#endif
