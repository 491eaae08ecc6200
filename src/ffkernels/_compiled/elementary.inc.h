/* Elementary functions of one `real`, without branches, so that a loop over them vectorises.

   exp       Cody & Waite (1980): x = n ln2 + r with |r| <= ln2/2, e^r = 1 + r + r^2 q(r),
             q the minimax polynomial on that interval (Remez; its error is 2^-28 of e^r for
             float and 2^-58 for double), times 2^n made by arithmetic on exponent bits.
   sigmoid   1 / (1 + e^-x), the denominator carried as value + remainder, so that the one division
             is the only rounding that counts; so are the slopes.
   tanh      a polynomial where |x| is small, 1 - 2 / (1 + e^2|x|) where it is not.

   The error bounds are measured, not proved here: over every float there is, at most one ulp. */

#if FF_IS_F32
#define MULADD(a, b, c) FF_MULADD_F32(a, b, c)
#define LOG2E 1.44269504088896341f
#define LN2_HI 0.693145751953125f        /* few bits: n * LN2_HI is exact */
#define LN2_LO 1.42860682030941723e-06f
#define EXPONENT_SHIFT 23
#define EXPONENT_MAGIC 12583039.0f       /* 1.5 * 2^23 + 127: low bits hold n + bias */
#define EXP_FLUSH (-87.3365447f)         /* ln of the smallest normal number */
#define EXP_LOWEST (-106.0f)             /* 4 e^x rounds to 0 from here on */
#define EXP_HIGHEST 89.0f                /* e^x rounds to inf from here on */
#define SHIFT_LIMIT 256.0f               /* n LN2_HI is exact for every |x| below this + 88 */
#define SIGMOID_IS_ONE 40.0f             /* 1 + e^-x is 1 from here on */
#define SIGMOID_MAGIC (EXPONENT_MAGIC - 64) /* for results 2^64 times as large */
#define TANH_IS_ONE 20.0f                /* 1 - 2 e^-2x is 1 from here on */
#define NO_INVERSE 60.0f                 /* 2^-n beside 2^n is nothing from here on */
#define EXP_2 0x1.fffffcp-2f             /* of e^r, from r^2 on */
#define EXP_3 0x1.555491p-3f
#define EXP_4 0x1.5558f3p-5f
#define EXP_5 0x1.123a1fp-7f
#define EXP_6 0x1.6a23cap-10f
#else
#define MULADD(a, b, c) FF_MULADD_F64(a, b, c)
#define LOG2E 1.44269504088896340736
#define LN2_HI 6.93147180369123816490e-01
#define LN2_LO 1.90821492927058770002e-10
#define EXPONENT_SHIFT 52
#define EXPONENT_MAGIC 6755399441056767.0 /* 1.5 * 2^52 + 1023 */
#define EXP_FLUSH (-708.39641853226410622)
#define EXP_LOWEST (-748.0)
#define EXP_HIGHEST 710.0
#define SHIFT_LIMIT 4096.0
#define SIGMOID_IS_ONE 40.0
#define SIGMOID_MAGIC (EXPONENT_MAGIC - 512)
#define TANH_IS_ONE 20.0
#define NO_INVERSE 400.0
#define EXP_2 0x1.000000000000ap-1
#define EXP_3 0x1.55555555554f9p-3
#define EXP_4 0x1.555555555083fp-5
#define EXP_5 0x1.1111111127d10p-7
#define EXP_6 0x1.6c16c18438a89p-10
#define EXP_7 0x1.a01a012a0e7e8p-13
#define EXP_8 0x1.a01999e274b14p-16
#define EXP_9 0x1.71df25b516d4cp-19
#define EXP_10 0x1.28ad9b7868661p-22
#define EXP_11 0x1.ad7f3b22740dcp-26
#endif

/* Up to where the short form of tanh is taken: its last digits need fused multiply-adds. */
#define TANH_SMALL (FF_HAS_FMA ? (real)0.9 : (real)0.75)

/* 2^n for an integral n in the range of normal numbers, given n + EXPONENT_MAGIC. */
static inline real FN(power_of_two)(real shifted) {
    return FN(from_bits)(FN(bits)(shifted) << EXPONENT_SHIFT);
}

/* (e^r - 1 - r) / r^2 for |r| <= ln2/2, two coefficients at a time: a chain half as long is worth 3 to 8 %
   of the loops around it for float, a third for double. */
static inline real FN(exp_tail)(real r) {
    real r2 = r * r;
#if FF_IS_F32
    real low = MULADD(r, EXP_3, EXP_2), high = MULADD(r, EXP_5, EXP_4);
    return MULADD(MULADD(r2, EXP_6, high), r2, low);
#else
    real q = MULADD(r, EXP_11, EXP_10);
    q = MULADD(r2, q, MULADD(r, EXP_9, EXP_8));
    q = MULADD(r2, q, MULADD(r, EXP_7, EXP_6));
    q = MULADD(r2, q, MULADD(r, EXP_5, EXP_4));
    return MULADD(r2, q, MULADD(r, EXP_3, EXP_2));
#endif
}

/* What e^(x - m) takes of m.  Rounding the difference would cost half of *its* last place: 16 ulp
   of the result at a difference of 20, 64 at 80.  So x is reduced by itself, x = n ln2 + r, which is
   exact, and with m = k ln2 + rho the result is 2^(n - k) e^r / e^rho.  With e^r = 1 + t and
   e^rho = 1 + tau the quotient is 1 + (t - tau) / (1 + tau): exactly 1 at the maximum.  Where m is so
   large that n LN2_HI would be rounded, all x that count are within a factor of 2 of m, and x - m
   is exact: `base` is taken off both. */
typedef struct { real base, maximum, lowest, magic, tau, inverse; } FN(shift);

static inline FN(shift) FN(shift_by)(real m) {
    FN(shift) s;
    s.base = FN(absolute)(m) < SHIFT_LIMIT ? 0 : m;
    s.maximum = m - s.base;
    s.lowest = s.maximum + EXP_FLUSH;
    real k = MULADD(s.maximum, LOG2E, EXPONENT_MAGIC) - EXPONENT_MAGIC;
    real rho = MULADD(k, -LN2_LO, MULADD(k, -LN2_HI, s.maximum));
    s.magic = EXPONENT_MAGIC - k;
    s.tau = MULADD(rho * rho, FN(exp_tail)(rho), rho);
    real inverse = 1 / (1 + s.tau);
    s.inverse = MULADD(inverse, (1 - inverse) - inverse * s.tau, inverse);
    return s;
}

/* e^(x - m) for x <= m, the case of every softmax, of z = x - base: results below the smallest normal
   number are 0, exactly so for -inf.  The scale is multiplied in, not added to the exponent bits,
   because an integer added to a NaN makes a number of it. */
static inline real FN(exp_below)(real z, FN(shift) s) {
    real shifted = MULADD(z, LOG2E, s.magic);
    real n = shifted - s.magic;
    real r = MULADD(n, -LN2_LO, MULADD(n, -LN2_HI, z));
    real t = MULADD(r * r, FN(exp_tail)(r), r);
    real y = MULADD(t - s.tau, s.inverse, 1) * FN(power_of_two)(shifted);
    return z < s.lowest ? 0 : y;
}

/* e^x for every x: the scale in two factors, so that subnormal results are rounded once and
   those above 2^1023 or 2^127 are reached.  Far out the exponent bits run over; what they make is
   not used. */
static inline real FN(exp)(real x) {
    real n = MULADD(x, LOG2E, EXPONENT_MAGIC) - EXPONENT_MAGIC;
    real half = MULADD(n, (real)0.5, EXPONENT_MAGIC) - EXPONENT_MAGIC;
    real r = MULADD(n, -LN2_LO, MULADD(n, -LN2_HI, x));
    /* 1 + r with what rounding it lost: 1 + (r + r^2 q) would come out 1.03 ulp off. */
    real one_plus_r = 1 + r, lost = r - (one_plus_r - 1);
    real p = one_plus_r + MULADD(r * r, FN(exp_tail)(r), lost);
    real y = p * FN(power_of_two)(half + EXPONENT_MAGIC) * FN(power_of_two)(n - half + EXPONENT_MAGIC);
    y = x > EXP_HIGHEST ? (real)INFINITY : y;
    return x < EXP_LOWEST ? 0 : y;
}

/* A number as an unevaluated sum; `lo` is what rounding `hi` lost. */
typedef struct { real hi, lo; } FN(pair);

/* a + b for |a| >= |b| or a == 0 (Dekker 1971). */
static inline FN(pair) FN(fast_sum)(real a, real b) {
    FN(pair) s;
    s.hi = a + b;
    s.lo = b - (s.hi - a);
    return s;
}

/* Sigmoid, tanh and their slopes in three stages, which `spans.inc.h` takes apart: the reduced
   argument, a denominator, the quotient. */
typedef struct { real shifted, r; } FN(reduced); /* z = n ln2 + r, 2^n = power_of_two(shifted) */

static inline FN(reduced) FN(reduce)(real z, real magic) {
    FN(reduced) a;
    a.shifted = MULADD(z, LOG2E, magic);
    real n = a.shifted - magic;
    a.r = MULADD(n, -LN2_LO, MULADD(n, -LN2_HI, z));
    return a;
}

/* 1 / (1 + e^-x), all of it 2^64 or 2^512 times as large until the end: so e^-x does not overflow
   where the result is subnormal, and that is rounded once.  e^-x = s + s r + s w with s = 2^n and
   w = r^2 q(r), so that of the denominator only sums are rounded, and what they lost is known.  Far
   out the exponent bits run over; what they make is not used. */
static inline FN(reduced) FN(sigmoid_reduced)(real x) {
    return FN(reduce)(-x, SIGMOID_MAGIC);
}

static inline FN(pair) FN(sigmoid_denominator)(FN(reduced) a) {
    const real one = FN(power_of_two)(SIGMOID_MAGIC);
    real s = FN(power_of_two)(a.shifted), sr = s * a.r, sw = s * (a.r * a.r * FN(exp_tail)(a.r));
    real one_plus_s = one + s;
    FN(pair) d;
    d.hi = (one_plus_s + sr) + sw;
    d.lo = (((one_plus_s - d.hi) + sr) + sw) + (one - (one_plus_s - s));
    return d;
}

/* 1 / d rounded nearly once. */
static inline real FN(reciprocal)(FN(pair) d) {
    real q = 1 / d.hi;
    return MULADD(MULADD(-q, d.lo, FN(residual)(q, d.hi, 1)), q, q);
}

static inline real FN(sigmoid_quotient)(real x, FN(pair) d) {
    real q = FN(reciprocal)(d) * FN(power_of_two)(SIGMOID_MAGIC);
    q = x > SIGMOID_IS_ONE ? 1 : q;
    return x < EXP_LOWEST ? 0 : q;
}

/* s(x) s(-x), which s (1 - s) gets wrong where s rounds to 1: 1 / (2 + E + 1/E) with E = e^|x|, again
   that much larger.  With E = s e^r, s = 2^n, its even powers of r come times s + 1/s and
   its odd ones times s - 1/s.  So nothing is rounded that falls while the whole rises, which would
   show where the slope is flat: the result is monotone. */
static inline FN(reduced) FN(sigmoid_grad_reduced)(real x) {
    return FN(reduce)(FN(absolute)(x), SIGMOID_MAGIC);
}

static inline FN(pair) FN(sigmoid_grad_denominator)(FN(reduced) a) {
    const real two = FN(power_of_two)(SIGMOID_MAGIC + 1);
    real n = a.shifted - SIGMOID_MAGIC, r = a.r, r2 = r * r;
    n = n < NO_INVERSE ? n : NO_INVERSE;
#if FF_IS_F32
    real even = MULADD(r2, EXP_6, EXP_4), odd = MULADD(r2, EXP_5, EXP_3);
#else
    real even = MULADD(r2, EXP_10, EXP_8), odd = MULADD(r2, EXP_11, EXP_9);
    even = MULADD(r2, even, EXP_6), odd = MULADD(r2, odd, EXP_7);
    even = MULADD(r2, even, EXP_4), odd = MULADD(r2, MULADD(r2, odd, EXP_5), EXP_3);
#endif
    real s = FN(power_of_two)(a.shifted), inverse = FN(power_of_two)(SIGMOID_MAGIC - n);
    real sum = s + inverse, difference = s - inverse, below = two + inverse, base = s + below;
    real rest = r2 * (sum * EXP_2 + MULADD(difference, r * odd, sum * (r2 * even)));
    if (!FF_HAS_FMA) { /* the product with s is exact */
        rest -= inverse * r;
        difference = s;
    }
    real linear = MULADD(difference, r, base);
    FN(pair) d;
    d.hi = linear + rest;
    d.lo = ((linear - d.hi) + rest) + (MULADD(difference, r, base - linear) + (below - (base - s)));
    return d;
}

static inline real FN(slope_quotient)(real a, FN(pair) d, real scale) {
    real q = FN(reciprocal)(d) * scale;
    return a > -EXP_LOWEST ? 0 : q;
}

static inline real FN(sigmoid_grad_quotient)(real x, FN(pair) d) {
    return FN(slope_quotient)(FN(absolute)(x), d, FN(power_of_two)(SIGMOID_MAGIC));
}

/* sech^2 x = 4 s(2x) s(-2x). */
static inline FN(reduced) FN(tanh_grad_reduced)(real x) { return FN(sigmoid_grad_reduced)(2 * x); }

static inline FN(pair) FN(tanh_grad_denominator)(FN(reduced) a) { return FN(sigmoid_grad_denominator)(a); }

static inline real FN(tanh_grad_quotient)(real x, FN(pair) d) {
    return FN(slope_quotient)(2 * FN(absolute)(x), d, FN(power_of_two)(SIGMOID_MAGIC + 2));
}

/* (tanh x / x - 1) / x^2 of u = x^2 for |x| <= 0.9 (Remez; tanh x is off by 2^-29 for float, 2^-56 for
   double), two coefficients at a time for a shorter chain. */
static inline real FN(tanh_tail)(real u) {
    real u2 = u * u;
#if FF_IS_F32
    real p = -0x1.dd95c4p-12f;
    p = MULADD(u2, p, MULADD(u, 0x1.528402p-9f, -0x1.0ed008p-7f));
    p = MULADD(u2, p, MULADD(u, 0x1.62ef7cp-6f, -0x1.b9c9f2p-5f));
    p = MULADD(u2, p, MULADD(u, 0x1.110f34p-3f, -0x1.55554ep-2f));
#else
    real p = MULADD(u, 0x1.38372e55a6d5fp-22, -0x1.4c83ab36149e8p-19);
    p = MULADD(u2, p, MULADD(u, 0x1.6de2354e19b57p-17, -0x1.22b34a4b9c84ap-15));
    p = MULADD(u2, p, MULADD(u, 0x1.896172aada30dp-14, -0x1.f23b99c779e49p-13));
    p = MULADD(u2, p, MULADD(u, 0x1.350c41eb371b4p-11, -0x1.7d99618f4b07p-10));
    p = MULADD(u2, p, MULADD(u, 0x1.d6d2e0d4363a4p-9, -0x1.226e2da6f5c69p-7));
    p = MULADD(u2, p, MULADD(u, 0x1.664f48302a0b9p-6, -0x1.ba1ba1b80d90fp-5));
    p = MULADD(u2, p, MULADD(u, 0x1.111111110dbf9p-3, -0x1.5555555555519p-2));
#endif
    return p;
}

/* x + x^3 P(x^2) for small x, else 1 - 2 / (1 + e^2|x|), in which errors of the quotient count for
   less the smaller it is.  With e^2|x| = s + s t, s = 2^n, its denominator (1 + s) + s t is rounded
   once.  Far out the exponent bits run over; what they make is not used. */
static inline FN(reduced) FN(tanh_reduced)(real x) {
    return FN(reduce)(2 * FN(absolute)(x), EXPONENT_MAGIC);
}

static inline FN(pair) FN(tanh_denominator)(FN(reduced) a) {
    real s = FN(power_of_two)(a.shifted), st = s * MULADD(a.r * a.r, FN(exp_tail)(a.r), a.r);
    return FN(fast_sum)(1 + s, st);
}

static inline real FN(tanh_quotient)(real x, FN(pair) d) {
    real a = FN(absolute)(x), u = x * x;
    real small = MULADD(a * u, FN(tanh_tail)(u), a);
    real q = 2 / d.hi, large = 1 - q;
    if (!FF_HAS_FMA) /* what rounding the denominator and the difference lost */
        large += ((1 - large) - q) + q * q * ((real)0.5 * d.lo);
    large = a > TANH_IS_ONE ? 1 : large;
    return FN(with_sign)(a < TANH_SMALL ? small : large, x);
}

#undef MULADD
#undef LOG2E
#undef LN2_HI
#undef LN2_LO
#undef EXPONENT_SHIFT
#undef EXPONENT_MAGIC
#undef EXP_FLUSH
#undef EXP_LOWEST
#undef EXP_HIGHEST
#undef SHIFT_LIMIT
#undef SIGMOID_IS_ONE
#undef SIGMOID_MAGIC
#undef TANH_IS_ONE
#undef NO_INVERSE
#undef EXP_2
#undef EXP_3
#undef EXP_4
#undef EXP_5
#undef EXP_6
#if !FF_IS_F32
#undef EXP_7
#undef EXP_8
#undef EXP_9
#undef EXP_10
#undef EXP_11
#endif
#undef TANH_SMALL
