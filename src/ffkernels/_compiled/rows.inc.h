/* Row primitives: one pass each, over a contiguous row (`row_...`) or over a tile (`lanes_...`).

   A tile is `n` steps along the axis times FF_LANES rows, one row in each SIMD lane:
   tile[k * ld + l] is element k of row l, and `ld`, its leading dimension, is the distance from one
   step to the next.  Columns of a C-ordered matrix are such a tile as they lie in memory; short rows
   are copied into one (`tile_load`).  The two families mirror each other, so that a kernel reads the
   same in both.

   Sums run in `real` over a PART, then over the parts of a SEGMENT, and segments are added up in double
   with their rounding errors carried along: a term passes through a dozen roundings, in a row of a
   million classes as in one of a thousand.  A sum of exponentials e^(x - m) is 1 + excess.  Its leading
   term is left out (terms at the maximum are ones; all but one of them are counted back in): the kernels
   need log1p of the excess, whose digits 1 + excess would swallow. */

#define PART ((FF_IS_F32 ? 8 : 4) * FF_LANES)
#define SEGMENT (4 * PART)
#define END(start, n, size) ((n) - (start) < (size) ? (n) : (start) + (size))

/* ---- from one value in each lane to one value ------------------------------------------------- */

static inline real FN(lanes_total)(const real *v) {
    real total = 0;
    FF_PRAGMA(omp simd reduction(+ : total))
    for (int l = 0; l < FF_LANES; l++) total += v[l];
    return total;
}

static inline real FN(lanes_largest)(const real *v) {
    real largest = -(real)INFINITY;
    FF_PRAGMA(omp simd reduction(max : largest))
    for (int l = 0; l < FF_LANES; l++) largest = v[l] > largest ? v[l] : largest;
    return largest;
}

/* ---- rows --------------------------------------------------------------------------------------- */

/* total = the sum of the `term` that the statements make for every i in [0, n).  Parts of a size the
   compiler knows keep their accumulators in registers; a row that is less than one has no use for segments.
   Lanes are added to each other at the end only. */
#define ADD_UP(total, n, ...)                                                                    \
    do {                                                                                         \
        double high[FF_LANES], low[FF_LANES];                                                    \
        ptrdiff_t from_ = 0;                                                                     \
        if ((n) < PART) {                                                                        \
            real part[FF_LANES];                                                                 \
            LANES(l) part[l] = 0;                                                                \
            FOLD(0, n, real, 0, part[l] += term;, __VA_ARGS__);                                  \
            LANES(l) high[l] = part[l];                                                          \
        } else do {                                                                              \
            const ptrdiff_t stop_ = END(from_, n, SEGMENT);                                      \
            real sum[FF_LANES], part[FF_LANES];                                                  \
            LANES(l) sum[l] = 0;                                                                 \
            while (stop_ - from_ >= PART) {                                                      \
                LANES(l) part[l] = 0;                                                            \
                for (int k_ = 0; k_ < PART / FF_LANES; k_++, from_ += FF_LANES)                  \
                    FULL_BLOCK(from_, real, part[l] += term;, __VA_ARGS__)                       \
                LANES(l) sum[l] += part[l];                                                      \
            }                                                                                    \
            if (from_ < stop_) {                                                                 \
                LANES(l) part[l] = 0;                                                            \
                FOLD(from_, stop_, real, 0, part[l] += term;, __VA_ARGS__);                      \
                LANES(l) sum[l] += part[l];                                                      \
                from_ = stop_;                                                                   \
            }                                                                                    \
            if (stop_ <= SEGMENT) {                                                              \
                LANES(l) {                                                                       \
                    high[l] = sum[l];                                                            \
                    low[l] = 0;                                                                  \
                }                                                                                \
            } else {                                                                             \
                LANES(l) add_to(&high[l], &low[l], sum[l]);                                      \
            }                                                                                    \
        } while (from_ < (n));                                                                   \
        total = lanes_total_f64(high);                                                           \
        if ((n) > SEGMENT) total = with_errors(total, lanes_total_f64(low));                     \
    } while (0)

static inline real FN(row_max)(const real *x, ptrdiff_t n) {
    real best[FF_LANES];
    LANES(l) best[l] = -(real)INFINITY;
    FOLD(0, n, real, -(real)INFINITY, best[l] = term > best[l] ? term : best[l];, term = x[i];);
    return FN(lanes_largest)(best);
}

/* How many of x are m.  A lane counts to 2^32 at least, which is a row of 2^36. */
static inline double FN(row_count)(const real *x, real m, ptrdiff_t n) {
    bits_t found[FF_LANES];
    ptrdiff_t count = 0;
    LANES(l) found[l] = 0;
    FOLD(0, n, bits_t, 0, found[l] += term;, term = x[i] == m;);
    for (int l = 0; l < FF_LANES; l++) count += (ptrdiff_t)found[l];
    return (double)count;
}

/* y = e^(x - m); returns the excess: the sum of y is 1 + excess.  Told apart in the loop, leaders
   would cost a sixth more; taken off afterwards they cost digits only where they are most of the
   sum, and there a second look at y finds them. */
static inline double FN(row_exp_excess)(const real *x, real m, real *y, ptrdiff_t n) {
    const FN(shift) s = FN(shift_by)(m);
    double total, followers;
#define EXP_OF(z) ADD_UP(total, n, term = FN(exp_below)(z, s); y[i] = term;)
    if (s.base == 0)
        EXP_OF(x[i]);
    else
        EXP_OF(x[i] - s.base);
#undef EXP_OF
    if (total >= 2) return total - 1;
    ADD_UP(followers, n, term = y[i] == 1 ? 0 : y[i];);
    return (FN(row_count)(y, 1, n) - 1) + followers;
}

/* The same excess with nothing stored to look back at. */
static inline double FN(row_excess)(const real *x, real m, ptrdiff_t n) {
    const FN(shift) s = FN(shift_by)(m);
    double followers;
    ADD_UP(followers, n,
        const real z = x[i] - s.base;
        term = z == s.maximum ? 0 : FN(exp_below)(z, s);
    );
    return (FN(row_count)(x, m, n) - 1) + followers;
}

static inline double FN(row_sum)(const real *x, ptrdiff_t n) {
    double total;
    ADD_UP(total, n, term = x[i];);
    return total;
}

static inline double FN(row_dot)(const real *x, const real *y, ptrdiff_t n) {
    double total;
    ADD_UP(total, n, term = x[i] * y[i];);
    return total;
}

/* y = factor x */
static inline void FN(row_scale)(const real *x, double factor, real *y, ptrdiff_t n) {
    const real c = (real)factor;
    EACH(real, y, n, result = x[i] * c;);
}

/* y = (x - m) - log_sum: two subtractions, because m + log_sum would round away a small log_sum. */
static inline void FN(row_log_softmax)(const real *x, real m, double log_sum, real *y, ptrdiff_t n) {
    const real s = (real)log_sum;
    EACH(real, y, n, result = (x[i] - m) - s;);
}

/* out = y (dy - dot) */
static inline void FN(row_softmax_backward)(const real *dy, const real *y, double dot, real *out,
                                            ptrdiff_t n) {
    const real c = (real)dot;
    EACH(real, out, n, result = y[i] * (dy[i] - c););
}

/* out = dy - e^y sum */
static inline void FN(row_log_softmax_backward)(const real *dy, const real *y, double sum,
                                                real *out, ptrdiff_t n) {
    const real c = (real)sum;
    EACH(real, out, n, result = dy[i] - FN(exp)(y[i]) * c;);
}

/* Coefficients of a cross-entropy row, the smoothed and weighted targets:
   a = w ((1 - smoothing) t + smoothing / n), with w = 1 where there are no weights. */
static inline void FN(row_coefficients)(const real *t, const real *w, double smoothing, real *a,
                                        ptrdiff_t n) {
    const real keep = (real)(1 - smoothing), spread = (real)(smoothing / (double)n);
    if (w)
        EACH(real, a, n, result = w[i] * (keep * t[i] + spread););
    else
        EACH(real, a, n, result = keep * t[i] + spread;);
}

/* sum of a (m - x), the loss less its log-sum term.  A coefficient of 0 counts for nothing even
   at x = -inf, a masked class. */
static inline double FN(row_gap)(const real *x, real m, const real *a, ptrdiff_t n) {
    double total;
    ADD_UP(total, n, term = a[i] == 0 ? 0 : a[i] * (m - x[i]););
    return total;
}

/* out = scale y - factor a */
static inline void FN(row_gradient)(const real *y, double scale, const real *a, double factor,
                                    real *out, ptrdiff_t n) {
    const real c = (real)scale, f = (real)factor;
    EACH(real, out, n, result = c * y[i] - f * a[i];);
}

/* -sum of t log max(p, eps); a term with t == 0 is 0 for every p that is a number. */
static inline double FN(row_cross_entropy)(const real *p, const real *t, double eps, ptrdiff_t n) {
    const real least = (real)eps;
    double sum[FF_LANES];
    LANES(l) sum[l] = 0;
    FOLD(0, n, double, 0, sum[l] += term;,
        const real q = p[i] < least ? least : p[i];
        term = (double)t[i] * log_f64((double)q);
        term = t[i] == 0 && q == q ? 0 : -term;
    );
    return lanes_total_f64(sum);
}

/* out = factor t / max(p, eps), exactly 0 where t is and p is a number. */
static inline void FN(row_cross_entropy_grad)(const real *p, const real *t, double eps,
                                              double factor, real *out, ptrdiff_t n) {
    const real least = (real)eps, f = (real)factor;
    EACH(real, out, n,
        const real q = p[i] < least ? least : p[i];
        const real g = f * (t[i] / q);
        result = t[i] == 0 && q == q ? 0 : g;
    );
}

/* sum of (y - t)^2 */
static inline double FN(row_squared_error)(const real *y, const real *t, ptrdiff_t n) {
    double sum[FF_LANES];
    LANES(l) sum[l] = 0;
    FOLD(0, n, double, 0, sum[l] += term;,
        const double d = (double)(y[i] - t[i]);
        term = d * d;
    );
    return lanes_total_f64(sum);
}

/* out = factor (y - t) */
static inline void FN(row_difference)(const real *y, const real *t, double factor, real *out,
                                      ptrdiff_t n) {
    const real f = (real)factor;
    EACH(real, out, n, result = f * (y[i] - t[i]););
}

/* sums += x, in double once a block of rows, in `real` within it. */
static inline void FN(row_add)(const real *x, real *sums, ptrdiff_t n) {
    EACH(real, sums, n, result = sums[i] + x[i];);
}

static inline void FN(row_flush)(const real *sums, double *totals, ptrdiff_t n) {
    EACH(double, totals, n, result = totals[i] + sums[i];);
}

/* ---- tiles: one row in each lane ---------------------------------------------------------------- */

/* A square of rows and columns turned about, between rows in memory and a tile.  The one place with
   intrinsics: the plain loops of the last branch take three times as long to load, twice to store. */
#if FF_HAS_SSE && FF_IS_F32
#define FF_SQUARE 4
static inline void square_load_f32(const float *const *row, ptrdiff_t k, float *tile) {
    __m128 a = _mm_loadu_ps(row[0] + k), b = _mm_loadu_ps(row[1] + k);
    __m128 c = _mm_loadu_ps(row[2] + k), d = _mm_loadu_ps(row[3] + k);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(tile, a);
    _mm_storeu_ps(tile + FF_LANES, b);
    _mm_storeu_ps(tile + 2 * FF_LANES, c);
    _mm_storeu_ps(tile + 3 * FF_LANES, d);
}

static inline void square_store_f32(const float *tile, float *x, ptrdiff_t row_stride) {
    __m128 a = _mm_loadu_ps(tile), b = _mm_loadu_ps(tile + FF_LANES);
    __m128 c = _mm_loadu_ps(tile + 2 * FF_LANES), d = _mm_loadu_ps(tile + 3 * FF_LANES);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(x, a);
    _mm_storeu_ps(x + row_stride, b);
    _mm_storeu_ps(x + 2 * row_stride, c);
    _mm_storeu_ps(x + 3 * row_stride, d);
}
#elif FF_HAS_SSE
#define FF_SQUARE 2
static inline void square_load_f64(const double *const *row, ptrdiff_t k, double *tile) {
    __m128d a = _mm_loadu_pd(row[0] + k), b = _mm_loadu_pd(row[1] + k);
    _mm_storeu_pd(tile, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(tile + FF_LANES, _mm_unpackhi_pd(a, b));
}

static inline void square_store_f64(const double *tile, double *x, ptrdiff_t row_stride) {
    __m128d a = _mm_loadu_pd(tile), b = _mm_loadu_pd(tile + FF_LANES);
    _mm_storeu_pd(x, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(x + row_stride, _mm_unpackhi_pd(a, b));
}
#else
#define FF_SQUARE 1
static inline void FN(square_load)(const real *const *row, ptrdiff_t k, real *tile) { tile[0] = row[0][k]; }
static inline void FN(square_store)(const real *tile, real *x, ptrdiff_t row_stride) { x[0] = tile[0]; }
#endif

/* Copies `rows` (at most FF_LANES) rows of n values, `row_stride` apart and `axis_stride`
   between neighbours (both in values), into a tile; lanes beyond `rows` repeat the last row.  Contiguous
   rows are turned a square at a time; the last square of a row overlaps the one before it. */
static inline void FN(tile_load)(const real *x, ptrdiff_t row_stride, ptrdiff_t axis_stride, ptrdiff_t rows,
                                 ptrdiff_t n, real *FF_RESTRICT tile) {
    const real *row[FF_LANES];
    for (ptrdiff_t l = 0; l < FF_LANES; l++) row[l] = x + (l < rows ? l : rows - 1) * row_stride;
    if (axis_stride == 1 && n >= FF_SQUARE) {
        for (ptrdiff_t l = 0; l < FF_LANES; l += FF_SQUARE) {
            ptrdiff_t k = 0;
            for (; k + FF_SQUARE < n; k += FF_SQUARE)
                FN(square_load)(row + l, k, tile + k * FF_LANES + l);
            k = n - FF_SQUARE;
            FN(square_load)(row + l, k, tile + k * FF_LANES + l);
        }
        return;
    }
    if (row_stride == 1 && rows == FF_LANES) {
        for (ptrdiff_t k = 0; k < n; k++) LANES(l) tile[k * FF_LANES + l] = x[k * axis_stride + l];
        return;
    }
    for (ptrdiff_t k = 0; k < n; k++)
        for (ptrdiff_t l = 0; l < FF_LANES; l++) tile[k * FF_LANES + l] = row[l][k * axis_stride];
}

static inline void FN(tile_store)(const real *FF_RESTRICT tile, ptrdiff_t rows, ptrdiff_t n, real *x,
                                  ptrdiff_t row_stride, ptrdiff_t axis_stride) {
    ptrdiff_t first = 0;
    if (row_stride == 1 && rows == FF_LANES) {
        for (ptrdiff_t k = 0; k < n; k++) LANES(l) x[k * axis_stride + l] = tile[k * FF_LANES + l];
        return;
    }
    if (axis_stride == 1 && n >= FF_SQUARE) {
        for (; first + FF_SQUARE <= rows; first += FF_SQUARE) {
            real *row = x + first * row_stride;
            ptrdiff_t k = 0;
            for (; k + FF_SQUARE < n; k += FF_SQUARE)
                FN(square_store)(tile + k * FF_LANES + first, row + k, row_stride);
            k = n - FF_SQUARE;
            FN(square_store)(tile + k * FF_LANES + first, row + k, row_stride);
        }
    }
    for (ptrdiff_t l = first; l < rows; l++) {
        real *row = x + l * row_stride;
        for (ptrdiff_t k = 0; k < n; k++) row[k * axis_stride] = tile[k * FF_LANES + l];
    }
}

#define STEPS(n) for (ptrdiff_t k = 0; k < (n); k++) LANES(l)

static inline void FN(lanes_max)(const real *x, ptrdiff_t ld, ptrdiff_t n, real *m) {
    real best[FF_LANES];
    LANES(l) best[l] = -(real)INFINITY;
    STEPS(n) best[l] = x[k * ld + l] > best[l] ? x[k * ld + l] : best[l];
    LANES(l) m[l] = best[l];
}

/* Runs the statements, which add to part[l], for every k in [0, n); total[l] gets the sum. */
#define ADD_UP_STEPS(total, n, ...)                                                              \
    do {                                                                                         \
        const ptrdiff_t n_ = (n), part_ = n_ < 2 * PART / FF_LANES ? n_ : PART / FF_LANES;       \
        double low[FF_LANES];                                                                    \
        LANES(l) total[l] = low[l] = 0;                                                          \
        for (ptrdiff_t from = 0; from < n_; from += part_) {                                     \
            real part[FF_LANES];                                                                 \
            LANES(l) part[l] = 0;                                                                \
            for (ptrdiff_t k = from; k < END(from, n_, part_); k++) LANES(l) { __VA_ARGS__ }     \
            if (n_ <= 8 * part_) {                                                               \
                LANES(l) total[l] += part[l];                                                    \
                continue;                                                                        \
            }                                                                                    \
            LANES(l) add_to(&total[l], &low[l], part[l]);                                        \
        }                                                                                        \
        if (n_ > 8 * part_) {                                                                    \
            LANES(l) total[l] = with_errors(total[l], low[l]);                                   \
        }                                                                                        \
    } while (0)

/* shift_by for a tile, an array for each member. */
#define SHIFTS(m)                                                                                \
    real base[FF_LANES], maximum[FF_LANES], lowest[FF_LANES];                                    \
    real magic[FF_LANES], tau[FF_LANES], inverse[FF_LANES];                                      \
    LANES(l) {                                                                                   \
        const FN(shift) s = FN(shift_by)((m)[l]);                                                \
        base[l] = s.base;                                                                        \
        maximum[l] = s.maximum;                                                                  \
        lowest[l] = s.lowest;                                                                    \
        magic[l] = s.magic;                                                                      \
        tau[l] = s.tau;                                                                          \
        inverse[l] = s.inverse;                                                                  \
    }
#define SHIFT(l) {base[l], maximum[l], lowest[l], magic[l], tau[l], inverse[l]}

/* The excesses of sums of e^(x - m); `store` is what else is done with each e. */
#define EXP_STEPS(store)                                                                         \
    bits_t leaders[FF_LANES];                                                                    \
    SHIFTS(m)                                                                                    \
    LANES(l) leaders[l] = 0;                                                                     \
    ADD_UP_STEPS(excess, n,                                                                      \
        const FN(shift) s = SHIFT(l);                                                            \
        const real z = x[k * ld + l] - s.base;                                                   \
        const real e = FN(exp_below)(z, s);                                                      \
        part[l] += z == s.maximum ? 0 : e;                                                       \
        leaders[l] += z == s.maximum;                                                            \
        store;                                                                                   \
    );                                                                                           \
    LANES(l) excess[l] += (double)leaders[l] - 1;

static inline void FN(lanes_exp_excess)(const real *x, ptrdiff_t ld, const real *m, real *y,
                                        ptrdiff_t ld_y, ptrdiff_t n, double *excess) {
    EXP_STEPS(y[k * ld_y + l] = e)
}

static inline void FN(lanes_excess)(const real *x, ptrdiff_t ld, const real *m, ptrdiff_t n,
                                    double *excess) {
    EXP_STEPS((void)e)
}

static inline void FN(lanes_sum)(const real *x, ptrdiff_t ld, ptrdiff_t n, double *total) {
    ADD_UP_STEPS(total, n, part[l] += x[k * ld + l];);
}

static inline void FN(lanes_dot)(const real *x, ptrdiff_t ld, const real *y, ptrdiff_t ld_y,
                                 ptrdiff_t n, double *total) {
    ADD_UP_STEPS(total, n, part[l] += x[k * ld + l] * y[k * ld_y + l];);
}

/* The first place of the maximum in each row, 0 where there is none.  Lanes carry places as integers
   as wide as an element, which fill a register as the elements do: a float has no odd numbers beyond
   2^24.  That 32 bits hold every place is what limits the rows that go side by side. */
static inline void FN(lanes_leader)(const real *x, ptrdiff_t ld, const real *m, ptrdiff_t n, ptrdiff_t *leader) {
    bits_t first[FF_LANES];
    LANES(l) first[l] = 0;
    for (ptrdiff_t k = n - 1; k >= 0; k--) {
        const bits_t place = (bits_t)k;
        LANES(l) first[l] = x[k * ld + l] == m[l] ? place : first[l];
    }
    LANES(l) leader[l] = (ptrdiff_t)first[l];
}

/* The sum of all but the leader. */
static inline void FN(lanes_sum_without)(const real *x, ptrdiff_t ld, const ptrdiff_t *leader, ptrdiff_t n,
                                         double *total) {
    bits_t omitted[FF_LANES];
    LANES(l) omitted[l] = (bits_t)leader[l];
    ADD_UP_STEPS(total, n, part[l] += (bits_t)k == omitted[l] ? 0 : x[k * ld + l];);
}

static inline void FN(lanes_coefficients)(real *t, ptrdiff_t ld, const real *w, double smoothing, ptrdiff_t n) {
    const real keep = (real)(1 - smoothing), spread = (real)(smoothing / (double)n);
    for (ptrdiff_t k = 0; k < n; k++) {
        const real weight = w ? w[k] : 1;
        LANES(l) t[k * ld + l] = weight * (keep * t[k * ld + l] + spread);
    }
}

static inline void FN(lanes_gap)(const real *x, ptrdiff_t ld, const real *m, const real *a, ptrdiff_t ld_a,
                                 ptrdiff_t n, double *gap) {
    ADD_UP_STEPS(gap, n, part[l] += a[k * ld_a + l] == 0 ? 0 : a[k * ld_a + l] * (m[l] - x[k * ld + l]););
}

/* row_gradient with a value of its own for the leader; -1 is none. */
static inline void FN(lanes_gradient)(const real *y, ptrdiff_t ld_y, const double *scale, const real *a,
                                      ptrdiff_t ld_a, const double *factor, const ptrdiff_t *leader,
                                      const real *at_leader, real *out, ptrdiff_t ld_out, ptrdiff_t n) {
    real c[FF_LANES], f[FF_LANES];
    bits_t replaced[FF_LANES];
    LANES(l) {
        c[l] = (real)scale[l];
        f[l] = (real)factor[l];
        replaced[l] = (bits_t)leader[l];
    }
    STEPS(n) {
        const real g = c[l] * y[k * ld_y + l] - f[l] * a[k * ld_a + l];
        out[k * ld_out + l] = (bits_t)k == replaced[l] ? at_leader[l] : g;
    }
}

static inline void FN(lanes_scale)(const real *x, ptrdiff_t ld, const double *factor, real *y,
                                   ptrdiff_t ld_y, ptrdiff_t n) {
    real c[FF_LANES];
    LANES(l) c[l] = (real)factor[l];
    STEPS(n) y[k * ld_y + l] = x[k * ld + l] * c[l];
}

static inline void FN(lanes_log_softmax)(const real *x, ptrdiff_t ld, const real *m,
                                         const double *log_sum, real *y, ptrdiff_t ld_y,
                                         ptrdiff_t n) {
    real s[FF_LANES];
    LANES(l) s[l] = (real)log_sum[l];
    STEPS(n) y[k * ld_y + l] = (x[k * ld + l] - m[l]) - s[l];
}

static inline void FN(lanes_cross_entropy)(const real *p, ptrdiff_t ld_p, const real *t, ptrdiff_t ld_t,
                                           double eps, ptrdiff_t n, double *loss) {
    const real least = (real)eps;
    double sum[FF_LANES];
    LANES(l) sum[l] = 0;
    STEPS(n) {
        const real q = p[k * ld_p + l] < least ? least : p[k * ld_p + l];
        const double term = (double)t[k * ld_t + l] * log_f64((double)q);
        sum[l] += t[k * ld_t + l] == 0 && q == q ? 0 : -term;
    }
    LANES(l) loss[l] = sum[l];
}

static inline void FN(lanes_cross_entropy_grad)(const real *p, ptrdiff_t ld_p, const real *t,
                                                ptrdiff_t ld_t, double eps, const double *factor,
                                                real *out, ptrdiff_t ld_out, ptrdiff_t n) {
    const real least = (real)eps;
    real f[FF_LANES];
    LANES(l) f[l] = (real)factor[l];
    STEPS(n) {
        const real q = p[k * ld_p + l] < least ? least : p[k * ld_p + l];
        const real g = f[l] * (t[k * ld_t + l] / q);
        out[k * ld_out + l] = t[k * ld_t + l] == 0 && q == q ? 0 : g;
    }
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
#undef FF_SQUARE
#undef ADD_UP
#undef ADD_UP_STEPS
#undef SHIFTS
#undef SHIFT
#undef EXP_STEPS
#undef PART
#undef END
#undef SEGMENT
