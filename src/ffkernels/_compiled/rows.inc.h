/* Row primitives: one pass each, over a contiguous row (`row_...`) or over a tile (`lanes_...`).

   A tile is `n` steps along the axis times FF_LANES rows, one row in each SIMD lane:
   tile[k * ld + l] is element k of row l.  Columns of a C-ordered matrix are such a tile as they
   lie in memory; short rows are copied into one (`tile_load`).  The two families mirror each
   other, so that a kernel reads the same in both.

   Sums run in `real` for at most SEGMENT terms and go on in double, so that a row of a million
   classes loses no more digits than one of a thousand.  A sum of exponentials leaves out its
   leading term (terms at the maximum are ones; all but one of them are counted back in): the
   kernels need log1p of the rest, and the rest is what 1 + rest would swallow. */

#define SEGMENT (128 * FF_LANES)
#define SEGMENT_END(start, n, size) ((n) - (start) < (size) ? (n) : (start) + (size))

/* ---- from one value in each lane to one value: halving, so log2(FF_LANES) vector steps -------- */

static inline real FN(lanes_total)(real *v) {
    for (int half = FF_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) v[l] += v[l + half];
    return v[0];
}

static inline real FN(lanes_largest)(real *v) {
    for (int half = FF_LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) v[l] = v[l + half] > v[l] ? v[l + half] : v[l];
    return v[0];
}

/* ---- rows --------------------------------------------------------------------------------------- */

static inline real FN(row_max)(const real *x, ptrdiff_t n) {
    real best[FF_LANES];
    LANES(l) best[l] = -(real)INFINITY;
    EACH(0, n, best[l] = x[i] > best[l] ? x[i] : best[l];);
    return FN(lanes_largest)(best);
}

/* y = e^(x - m); returns the sum of y without its leading term. */
static inline double FN(row_exp_sum)(const real *x, real m, real *y, ptrdiff_t n) {
    double rest = -1;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT) {
        real sum[FF_LANES], leaders[FF_LANES];
        LANES(l) sum[l] = leaders[l] = 0;
        EACH(start, SEGMENT_END(start, n, SEGMENT),
            real d = x[i] - m;
            real e = FN(exp_nonpositive)(d);
            real follower = d == 0 ? 0 : e;
            sum[l] += follower;
            leaders[l] += e - follower;
            y[i] = e;
        );
        rest = (rest + FN(lanes_total)(leaders)) + FN(lanes_total)(sum);
    }
    return rest;
}

/* The same sum with nothing stored. */
static inline double FN(row_sum_exp)(const real *x, real m, ptrdiff_t n) {
    double rest = -1;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT) {
        real sum[FF_LANES], leaders[FF_LANES];
        LANES(l) sum[l] = leaders[l] = 0;
        EACH(start, SEGMENT_END(start, n, SEGMENT),
            real d = x[i] - m;
            real e = FN(exp_nonpositive)(d);
            real follower = d == 0 ? 0 : e;
            sum[l] += follower;
            leaders[l] += e - follower;
        );
        rest = (rest + FN(lanes_total)(leaders)) + FN(lanes_total)(sum);
    }
    return rest;
}

static inline double FN(row_sum)(const real *x, ptrdiff_t n) {
    double total = 0;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT) {
        real sum[FF_LANES];
        LANES(l) sum[l] = 0;
        EACH(start, SEGMENT_END(start, n, SEGMENT), sum[l] += x[i];);
        total += FN(lanes_total)(sum);
    }
    return total;
}

static inline double FN(row_dot)(const real *x, const real *y, ptrdiff_t n) {
    double total = 0;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT) {
        real sum[FF_LANES];
        LANES(l) sum[l] = 0;
        EACH(start, SEGMENT_END(start, n, SEGMENT), sum[l] += x[i] * y[i];);
        total += FN(lanes_total)(sum);
    }
    return total;
}

/* y = factor y */
static inline void FN(row_scale)(real *y, double factor, ptrdiff_t n) {
    const real c = (real)factor;
    EACH(0, n, y[i] *= c;);
}

/* y = (x - m) - log_sum: two subtractions, because m + log_sum would round away a small log_sum. */
static inline void FN(row_log_softmax)(const real *x, real m, double log_sum, real *y, ptrdiff_t n) {
    const real s = (real)log_sum;
    EACH(0, n, y[i] = (x[i] - m) - s;);
}

/* out = y (dy - dot) */
static inline void FN(row_softmax_backward)(const real *dy, const real *y, double dot, real *out,
                                            ptrdiff_t n) {
    const real c = (real)dot;
    EACH(0, n, out[i] = y[i] * (dy[i] - c););
}

/* out = dy - e^y sum */
static inline void FN(row_log_softmax_backward)(const real *dy, const real *y, double sum,
                                                real *out, ptrdiff_t n) {
    const real c = (real)sum;
    EACH(0, n, out[i] = dy[i] - FN(exp)(y[i]) * c;);
}

/* Coefficients of a cross-entropy row, the smoothed and weighted targets:
   a = w ((1 - smoothing) t + smoothing / n), with w = 1 where there are no weights. */
static inline void FN(row_coefficients)(const real *t, const real *w, double smoothing, real *a,
                                        ptrdiff_t n) {
    const real keep = (real)(1 - smoothing), spread = (real)(smoothing / (double)n);
    if (w)
        EACH(0, n, a[i] = w[i] * (keep * t[i] + spread););
    else
        EACH(0, n, a[i] = keep * t[i] + spread;);
}

/* sum of a (m - x), the loss less its log-sum term.  A coefficient of 0 counts for nothing even
   at x = -inf, a masked class. */
static inline double FN(row_gap)(const real *x, real m, const real *a, ptrdiff_t n) {
    double total = 0;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT) {
        real sum[FF_LANES];
        LANES(l) sum[l] = 0;
        EACH(start, SEGMENT_END(start, n, SEGMENT),
            real term = a[i] * (m - x[i]);
            sum[l] += a[i] == 0 ? 0 : term;
        );
        total += FN(lanes_total)(sum);
    }
    return total;
}

/* out = scale y - factor a */
static inline void FN(row_gradient)(const real *y, double scale, const real *a, double factor,
                                    real *out, ptrdiff_t n) {
    const real c = (real)scale, f = (real)factor;
    EACH(0, n, out[i] = c * y[i] - f * a[i];);
}

/* -sum of t log max(p, eps); a term with t == 0 is 0 whatever p is. */
static inline double FN(row_cross_entropy)(const real *p, const real *t, double eps, ptrdiff_t n) {
    const real least = (real)eps;
    double sum[FF_LANES];
    LANES(l) sum[l] = 0;
    EACH(0, n,
        real q = p[i] < least ? least : p[i];
        double term = (double)t[i] * log_f64((double)q);
        sum[l] -= t[i] == 0 ? 0 : term;
    );
    return lanes_total_f64(sum);
}

/* out = factor t / max(p, eps), exactly 0 where t is. */
static inline void FN(row_cross_entropy_grad)(const real *p, const real *t, double eps,
                                              double factor, real *out, ptrdiff_t n) {
    const real least = (real)eps, f = (real)factor;
    EACH(0, n,
        real q = p[i] < least ? least : p[i];
        real g = f * (t[i] / q);
        out[i] = t[i] == 0 ? 0 : g;
    );
}

/* sum of (y - t)^2 */
static inline double FN(row_squared_error)(const real *y, const real *t, ptrdiff_t n) {
    double sum[FF_LANES];
    LANES(l) sum[l] = 0;
    EACH(0, n,
        double d = (double)(y[i] - t[i]);
        sum[l] += d * d;
    );
    return lanes_total_f64(sum);
}

/* out = factor (y - t) */
static inline void FN(row_difference)(const real *y, const real *t, double factor, real *out,
                                      ptrdiff_t n) {
    const real f = (real)factor;
    EACH(0, n, out[i] = f * (y[i] - t[i]););
}

/* sums += x, in double once a block of rows, in `real` within it. */
static inline void FN(row_add)(const real *x, real *sums, ptrdiff_t n) {
    EACH(0, n, sums[i] += x[i];);
}

static inline void FN(row_flush)(real *sums, double *totals, ptrdiff_t n) {
    EACH(0, n, totals[i] += sums[i]; sums[i] = 0;);
}

/* ---- tiles: one row in each lane ---------------------------------------------------------------- */

/* Copies `rows` (at most FF_LANES) rows of n values, `row_stride` apart and `step` between
   neighbours (both in values), into a tile; lanes beyond `rows` repeat the last row. */
static inline void FN(tile_load)(const real *x, ptrdiff_t row_stride, ptrdiff_t step, ptrdiff_t rows,
                                 ptrdiff_t n, real *FF_RESTRICT tile) {
    for (ptrdiff_t l = 0; l < FF_LANES; l++) {
        const real *row = x + (l < rows ? l : rows - 1) * row_stride;
        for (ptrdiff_t k = 0; k < n; k++) tile[k * FF_LANES + l] = row[k * step];
    }
}

static inline void FN(tile_store)(const real *FF_RESTRICT tile, ptrdiff_t rows, ptrdiff_t n, real *x,
                                  ptrdiff_t row_stride, ptrdiff_t step) {
    for (ptrdiff_t l = 0; l < rows; l++) {
        real *row = x + l * row_stride;
        for (ptrdiff_t k = 0; k < n; k++) row[k * step] = tile[k * FF_LANES + l];
    }
}

#define STEPS(n) for (ptrdiff_t k = 0; k < (n); k++) LANES(l)

static inline void FN(lanes_max)(const real *x, ptrdiff_t ld, ptrdiff_t n, real *m) {
    real best[FF_LANES];
    LANES(l) best[l] = -(real)INFINITY;
    STEPS(n) best[l] = x[k * ld + l] > best[l] ? x[k * ld + l] : best[l];
    LANES(l) m[l] = best[l];
}

static inline void FN(lanes_exp_sum)(const real *x, ptrdiff_t ld, const real *m, real *y,
                                     ptrdiff_t ld_y, ptrdiff_t n, double *rest) {
    LANES(l) rest[l] = -1;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT / FF_LANES) {
        const ptrdiff_t stop = SEGMENT_END(start, n, SEGMENT / FF_LANES);
        real sum[FF_LANES], leaders[FF_LANES];
        LANES(l) sum[l] = leaders[l] = 0;
        for (ptrdiff_t k = start; k < stop; k++) {
            LANES(l) {
                real d = x[k * ld + l] - m[l];
                real e = FN(exp_nonpositive)(d);
                real follower = d == 0 ? 0 : e;
                sum[l] += follower;
                leaders[l] += e - follower;
                y[k * ld_y + l] = e;
            }
        }
        LANES(l) rest[l] = (rest[l] + leaders[l]) + sum[l];
    }
}

static inline void FN(lanes_sum_exp)(const real *x, ptrdiff_t ld, const real *m, ptrdiff_t n,
                                     double *rest) {
    LANES(l) rest[l] = -1;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT / FF_LANES) {
        const ptrdiff_t stop = SEGMENT_END(start, n, SEGMENT / FF_LANES);
        real sum[FF_LANES], leaders[FF_LANES];
        LANES(l) sum[l] = leaders[l] = 0;
        for (ptrdiff_t k = start; k < stop; k++) {
            LANES(l) {
                real d = x[k * ld + l] - m[l];
                real e = FN(exp_nonpositive)(d);
                real follower = d == 0 ? 0 : e;
                sum[l] += follower;
                leaders[l] += e - follower;
            }
        }
        LANES(l) rest[l] = (rest[l] + leaders[l]) + sum[l];
    }
}

static inline void FN(lanes_sum)(const real *x, ptrdiff_t ld, ptrdiff_t n, double *total) {
    LANES(l) total[l] = 0;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT / FF_LANES) {
        const ptrdiff_t stop = SEGMENT_END(start, n, SEGMENT / FF_LANES);
        real sum[FF_LANES];
        LANES(l) sum[l] = 0;
        for (ptrdiff_t k = start; k < stop; k++) LANES(l) sum[l] += x[k * ld + l];
        LANES(l) total[l] += sum[l];
    }
}

static inline void FN(lanes_dot)(const real *x, ptrdiff_t ld, const real *y, ptrdiff_t ld_y,
                                 ptrdiff_t n, double *total) {
    LANES(l) total[l] = 0;
    for (ptrdiff_t start = 0; start < n; start += SEGMENT / FF_LANES) {
        const ptrdiff_t stop = SEGMENT_END(start, n, SEGMENT / FF_LANES);
        real sum[FF_LANES];
        LANES(l) sum[l] = 0;
        for (ptrdiff_t k = start; k < stop; k++) LANES(l) sum[l] += x[k * ld + l] * y[k * ld_y + l];
        LANES(l) total[l] += sum[l];
    }
}

static inline void FN(lanes_scale)(real *y, ptrdiff_t ld, const double *factor, ptrdiff_t n) {
    real c[FF_LANES];
    LANES(l) c[l] = (real)factor[l];
    STEPS(n) y[k * ld + l] *= c[l];
}

static inline void FN(lanes_log_softmax)(const real *x, ptrdiff_t ld, const real *m,
                                         const double *log_sum, real *y, ptrdiff_t ld_y,
                                         ptrdiff_t n) {
    real s[FF_LANES];
    LANES(l) s[l] = (real)log_sum[l];
    STEPS(n) y[k * ld_y + l] = (x[k * ld + l] - m[l]) - s[l];
}

static inline void FN(lanes_softmax_backward)(const real *dy, ptrdiff_t ld_dy, const real *y,
                                              ptrdiff_t ld_y, const double *dot, real *out,
                                              ptrdiff_t ld_out, ptrdiff_t n) {
    real c[FF_LANES];
    LANES(l) c[l] = (real)dot[l];
    STEPS(n) out[k * ld_out + l] = y[k * ld_y + l] * (dy[k * ld_dy + l] - c[l]);
}

static inline void FN(lanes_log_softmax_backward)(const real *dy, ptrdiff_t ld_dy, const real *y,
                                                  ptrdiff_t ld_y, const double *sum, real *out,
                                                  ptrdiff_t ld_out, ptrdiff_t n) {
    real c[FF_LANES];
    LANES(l) c[l] = (real)sum[l];
    STEPS(n) out[k * ld_out + l] = dy[k * ld_dy + l] - FN(exp)(y[k * ld_y + l]) * c[l];
}


#undef STEPS
#undef SEGMENT
#undef SEGMENT_END
