/* Row primitives: one pass each, over a contiguous row (`row_...`) or over a tile (`lanes_...`).

   A tile is `n` steps along the axis times FF_LANES rows, one row in each lane: p[k * ld + l] is element k of
   row l.  Columns of a C-ordered matrix are such a tile as they lie in memory; short rows are copied into one
   (`tile_load`).  The two families mirror each other, so that a kernel reads the same in both; `ld`
   follows the array it belongs to, and what is one number for a row is an array of one for each lane.

   A sum of exponentials e^(x - m) is 1 + excess.  Its leading term is left out (terms at the maximum are ones;
   all but one of them are counted back in), because the kernels need log1p of the excess, whose digits
   1 + excess would swallow. */
#ifndef FFKERNELS_ROWS_H
#define FFKERNELS_ROWS_H

#include "elementary.h"
#include "half.h"
#include "logarithm.h"
#include "sums.h"
#include "tiles.h"

namespace ffkernels {
namespace {

/* ---- maximum --------------------------------------------------------------------------------- */

struct larger {
    template <class T> FF_INLINE T operator()(T a, T b) const { return b > a ? b : a; }
};

/* NaN is no maximum, unlike -inf. */
template <class T> inline computed<T> row_max(const T *x, ptrdiff_t n) {
    using real = computed<T>;
    return fold(n, -(real)INFINITY, larger(), [](real x) FF_INLINED { return x; }, x);
}

template <class real> inline void lanes_max(const real *x, ptrdiff_t ld, ptrdiff_t n, real *m) {
    lanes<real> best;
    EACH_LANE(l) best[l] = -(real)INFINITY;
    each_step(n, [&](ptrdiff_t, int l, real x) FF_INLINED { best[l] = larger()(best[l], x); }, tile(x, ld));
    EACH_LANE(l) m[l] = best[l];
}

/* ---- exponentials ------------------------------------------------------------------------------ */

/* How many of x are m.  A lane counts to 2^32 at least, which is a row of 2^36. */
template <class T> inline double row_count(const T *x, computed<T> m, ptrdiff_t n) {
    using real = computed<T>;
    using count = bits_of<real>;
    return (double)fold(n, (count)0, add(), [=](real x) FF_INLINED { return x == m; }, x);
}

/* y = e^(x - m); returns the excess: the sum of y is 1 + excess.  Leaders told apart in the loop would cost a
   sixth more; taken off afterwards they cost digits only where they are most of the sum, and there a second
   look at y finds them. */
template <class T> inline double row_exp_excess(const T *x, computed<T> m, computed<T> *y, ptrdiff_t n) {
    using real = computed<T>;
    const shift<real> s = shift_by(m);
    const double total = s.base == 0
        ? sum<real, true>(n, [=](real x, real &y) FF_INLINED { return y = exp_below(x, s); }, x, y)
        : sum<real, true>(n, [=](real x, real &y) FF_INLINED { return y = exp_below(x - s.base, s); }, x, y);
    if (total >= 2) return total - 1;
    const double followers = sum<real>(n, [](real y) FF_INLINED { return y == 1 ? 0 : y; }, (const real *)y);
    return (row_count(y, (real)1, n) - 1) + followers;
}

/* The same excess with nothing stored to look back at. */
template <class T> inline double row_excess(const T *x, computed<T> m, ptrdiff_t n) {
    using real = computed<T>;
    const shift<real> s = shift_by(m);
    const auto follower = [=](real z) FF_INLINED {
        const real e = exp_below(z, s);
        return z == s.maximum ? 0 : e;
    };
    const double followers = s.base == 0
        ? sum<real, true>(n, follower, x)
        : sum<real, true>(n, [=](real x) FF_INLINED { return follower(x - s.base); }, x);
    return (row_count(x, m, n) - 1) + followers;
}

/* A shift for each lane. */
template <class real> struct lane_shifts {
    lanes<real> base, maximum, lowest, magic, rho;

    FF_INLINE explicit lane_shifts(const real *m) {
        EACH_LANE(l) {
            const shift<real> s = shift_by(m[l]);
            base[l] = s.base;
            maximum[l] = s.maximum;
            lowest[l] = s.lowest;
            magic[l] = s.magic;
            rho[l] = s.rho;
        }
    }
    FF_INLINE shift<real> operator[](int l) const { return {base[l], maximum[l], lowest[l], magic[l], rho[l]}; }
};

/* store(values..., e) for every step of some tiles, of which x is the first; the excesses of the sums of e. */
template <class real, class Store, class... Tile>
FF_INLINE void excess_of_steps(double *excess, ptrdiff_t n, const real *m, Store store, Tile... x) {
    const lane_shifts<real> shifts(m);
    lanes<bits_of<real>> followers; /* not leaders: gcc compares once for count and term, not twice */
    EACH_LANE(l) followers[l] = 0;
    sum_steps<real>(excess, n, [&](ptrdiff_t, int l, real x, auto &... y) FF_INLINED {
        const shift<real> s = shifts[l];
        const real z = x - s.base, e = exp_below(z, s);
        const real term = z != s.maximum ? e : 0;
        store(e, y...);
        followers[l] += z != s.maximum; /* after the store: else clang 19 counts lane by lane */
        return term;
    }, x...);
    EACH_LANE(l) excess[l] += (double)(n - 1 - (ptrdiff_t)followers[l]);
}

template <class real>
inline void lanes_exp_excess(const real *x, ptrdiff_t ld, const real *m, real *y, ptrdiff_t ld_y, ptrdiff_t n,
                             double *excess) {
    fetching_in_place([&](auto x) FF_INLINED {
        excess_of_steps(excess, n, m, [](real e, real &y) FF_INLINED { y = e; }, x, tile(y, ld_y));
    }, tile(x, ld), tile(y, ld_y));
}

/* `y` is what the caller writes next, or null. */
template <class real>
inline void lanes_excess(const real *x, ptrdiff_t ld, const real *m, const real *y, ptrdiff_t ld_y, ptrdiff_t n,
                         double *excess) {
    if (!y) {
        y = x;
        ld_y = ld;
    }
    fetching_in_place([&](auto x) FF_INLINED { excess_of_steps(excess, n, m, [](real) FF_INLINED {}, x); }, tile(x, ld),
                      tile(y, ld_y));
}

/* Where the exponentials of a row go that becomes y: there, or where that is of half precision to scratch memory. */
template <class T> FF_INLINE computed<T> *exponentials(T *y, void *scratch) {
    if constexpr (is_half<T>)
        return (computed<T> *)scratch;
    else
        return y;
}
template <class T> inline double row_exponentials(const T *x, computed<T> m, T *y, void *scratch, ptrdiff_t n) {
    return row_exp_excess(x, m, exponentials(y, scratch), n);
}
template <class T> inline computed<T> exponential_at(T *y, void *scratch, ptrdiff_t i) {
    return exponentials(y, scratch)[i];
}

/* ---- sums ---------------------------------------------------------------------------------------- */

template <class real> inline double row_sum(const real *x, ptrdiff_t n) {
    return sum<real>(n, [](real x) FF_INLINED { return x; }, x);
}

template <class real> inline void lanes_sum(const real *x, ptrdiff_t ld, ptrdiff_t n, double *total) {
    sum_steps<real>(total, n, [](ptrdiff_t, int, real x) FF_INLINED { return x; }, tile(x, ld));
}

template <class real> inline double row_dot(const real *x, const real *y, ptrdiff_t n) {
    return sum<real>(n, [](real x, real y) FF_INLINED { return x * y; }, x, y);
}

template <class real>
inline void lanes_dot(const real *x, ptrdiff_t ld, const real *y, ptrdiff_t ld_y, ptrdiff_t n, double *total) {
    fetching_in_place([&](auto x) FF_INLINED {
        sum_steps<real>(total, n, [](ptrdiff_t, int, real x, real y) FF_INLINED { return x * y; }, x, tile(y, ld_y));
    }, tile(x, ld), tile(y, ld_y));
}

/* Weights of rows: whether all are finite numbers of at least 0, and their sum in double. */
template <class T> inline bool row_are_weights(const T *x, ptrdiff_t n) {
    const auto bad = [](T x) FF_INLINED { return !(x >= 0 && x < (T)INFINITY); };
    return fold(n, (bits_of<T>)0, add(), bad, x) == 0;
}

template <class T> inline double row_total(const T *x, ptrdiff_t n) {
    return fold(n, 0.0, add(), [](T x) FF_INLINED { return x; }, x);
}

/* ---- the leader: the first element at the maximum ---------------------------------------------- */

/* 0 where there is no maximum.  Lanes number their elements in integers as wide as an element, which fill a
   register as the elements do: a float has no odd numbers beyond 2^24.  That 32 bits hold every number is what
   limits the rows that go side by side. */
template <class real>
inline void lanes_leader(const real *x, ptrdiff_t ld, const real *m, ptrdiff_t n, ptrdiff_t *leader) {
    lanes<bits_of<real>> first;
    EACH_LANE(l) first[l] = 0;
    each_step(n, [&](ptrdiff_t k, int l, real x) FF_INLINED {
        first[l] = x == m[l] ? (bits_of<real>)(n - 1 - k) : first[l];
    }, tile(x + (n - 1) * ld, -ld)); /* from the last step to the first */
    EACH_LANE(l) leader[l] = (ptrdiff_t)first[l];
}

/* The sum of all but the leader. */
template <class real>
inline void lanes_sum_without(const real *x, ptrdiff_t ld, const ptrdiff_t *leader, ptrdiff_t n, double *total) {
    const lanes<bits_of<real>> omitted = in_lanes<bits_of<real>>(leader);
    sum_steps<real>(total, n, [&](ptrdiff_t k, int l, real x) FF_INLINED {
        return (bits_of<real>)k == omitted[l] ? 0 : x;
    }, tile(x, ld));
}

/* ---- softmax and log_softmax ------------------------------------------------------------------- */

/* y = factor x */
template <class T> inline void row_scale(const computed<T> *x, double factor, T *y, ptrdiff_t n) {
    using real = computed<T>;
    const real c = (real)factor;
    each(n, [=](real &y, real x) FF_INLINED { y = x * c; }, y, x);
}
template <class T> inline void row_scale_exponentials(double factor, T *y, void *scratch, ptrdiff_t n) {
    row_scale(exponentials(y, scratch), factor, y, n);
}

template <class real>
inline void lanes_scale(const real *x, ptrdiff_t ld, const double *factor, real *y, ptrdiff_t ld_y, ptrdiff_t n) {
    const lanes<real> c = in_lanes<real>(factor);
    each_step(n, [&](ptrdiff_t, int l, real &y, real x) FF_INLINED { y = x * c[l]; }, tile(y, ld_y), tile(x, ld));
}

/* (x - m) - log_sum: two subtractions, because m + log_sum would round away a small log_sum. */
template <class real> FF_INLINE real log_softmax(real x, real m, real log_sum) { return (x - m) - log_sum; }

template <class T> inline void row_log_softmax(const T *x, computed<T> m, double log_sum, T *y, ptrdiff_t n) {
    using real = computed<T>;
    const real s = (real)log_sum;
    each(n, [=](real &y, real x) FF_INLINED { y = log_softmax(x, m, s); }, y, x);
}

template <class real>
inline void lanes_log_softmax(const real *x, ptrdiff_t ld, const real *m, const double *log_sum, real *y,
                              ptrdiff_t ld_y, ptrdiff_t n) {
    const lanes<real> s = in_lanes<real>(log_sum);
    each_step(n, [&](ptrdiff_t, int l, real &y, real x) FF_INLINED { y = log_softmax(x, m[l], s[l]); }, tile(y, ld_y), tile(x, ld));
}

template <class real> FF_INLINE real softmax_backward(real dy, real y, real dot) { return y * (dy - dot); }

template <class real>
inline void row_softmax_backward(const real *dy, const real *y, double dot, real *out, ptrdiff_t n) {
    const real c = (real)dot;
    each(n, [=](real &out, real dy, real y) FF_INLINED { out = softmax_backward(dy, y, c); }, out, dy, y);
}

template <class real>
inline void lanes_softmax_backward(const real *dy, ptrdiff_t ld_dy, const real *y, ptrdiff_t ld_y,
                                   const double *dot, real *out, ptrdiff_t ld_out, ptrdiff_t n) {
    const lanes<real> c = in_lanes<real>(dot);
    each_step(n, [&](ptrdiff_t, int l, real &out, real dy, real y) FF_INLINED { out = softmax_backward(dy, y, c[l]); },
              tile(out, ld_out), tile(dy, ld_dy), tile(y, ld_y));
}

template <class real> FF_INLINE real log_softmax_backward(real dy, real y, real sum) {
    return dy - exp_bounded(y) * sum;
}

template <class real>
inline void row_log_softmax_backward(const real *dy, const real *y, double sum, real *out, ptrdiff_t n) {
    const real c = (real)sum;
    each(n, [=](real &out, real dy, real y) FF_INLINED { out = log_softmax_backward(dy, y, c); }, out, dy, y);
}

template <class real>
inline void lanes_log_softmax_backward(const real *dy, ptrdiff_t ld_dy, const real *y, ptrdiff_t ld_y,
                                       const double *sum, real *out, ptrdiff_t ld_out, ptrdiff_t n) {
    const lanes<real> c = in_lanes<real>(sum);
    fetching_in_place([&](auto dy) FF_INLINED {
        each_step(n, [&](ptrdiff_t, int l, real &out, real dy, real y) FF_INLINED {
            out = log_softmax_backward(dy, y, c[l]);
        }, tile(out, ld_out), dy, tile(y, ld_y));
    }, tile(dy, ld_dy), tile(y, ld_y), tile(out, ld_out));
}

/* ---- cross-entropy from logits ----------------------------------------------------------------- */

/* A coefficient of cross-entropy, the smoothed and weighted target: w (hard t + soft), with
   hard = 1 - smoothing and soft = smoothing / n. */
template <class real> struct smoothed {
    real hard, soft;

    FF_INLINE smoothed(double smoothing, ptrdiff_t n) : hard((real)(1 - smoothing)), soft((real)(smoothing / (double)n)) {}
    FF_INLINE real operator()(real t) const { return hard * t + soft; }
};

/* a = w times the smoothed t, with w = 1 where there are no weights */
template <class real>
inline void row_coefficients(const real *t, const real *w, double smoothing, real *a, ptrdiff_t n) {
    const smoothed<real> of(smoothing, n);
    if (w)
        each(n, [=](real &a, real t, real w) FF_INLINED { a = w * of(t); }, a, t, w);
    else
        each(n, [=](real &a, real t) FF_INLINED { a = of(t); }, a, t);
}

template <class real>
inline void lanes_coefficients(real *t, ptrdiff_t ld, const real *w, double smoothing, ptrdiff_t n) {
    const smoothed<real> of(smoothing, n);
    each_step(n, [&](ptrdiff_t k, int, real &t) FF_INLINED { t = (w ? w[k] : 1) * of(t); }, tile(t, ld));
}

/* A term of the gap, the sum of a (m - x): the loss less its log-sum term.  A coefficient of 0 counts for
   nothing even at x = -inf, a masked class. */
template <class real> FF_INLINE real gap_term(real x, real m, real a) { return a == 0 ? 0 : a * (m - x); }

template <class real> inline double row_gap(const real *x, real m, const real *a, ptrdiff_t n) {
    return sum<real>(n, [=](real x, real a) FF_INLINED { return gap_term(x, m, a); }, x, a);
}

template <class real>
inline void lanes_gap(const real *x, ptrdiff_t ld, const real *m, const real *a, ptrdiff_t ld_a, ptrdiff_t n,
                      double *gap) {
    sum_steps<real>(gap, n, [&](ptrdiff_t, int l, real x, real a) FF_INLINED { return gap_term(x, m[l], a); },
                    tile(x, ld), tile(a, ld_a));
}

template <class real> FF_INLINE real gradient(real y, real scale, real a, real factor) { return scale * y - factor * a; }

/* out = scale y - factor a */
template <class real>
inline void row_gradient(const real *y, double scale, const real *a, double factor, real *out, ptrdiff_t n) {
    const real c = (real)scale, f = (real)factor;
    each(n, [=](real &out, real y, real a) FF_INLINED { out = gradient(y, c, a, f); }, out, y, a);
}

/* The same with a value of its own for the leader of a row; -1 is none. */
template <class real>
inline void lanes_gradient(const real *y, ptrdiff_t ld_y, const double *scale, const real *a, ptrdiff_t ld_a,
                           const double *factor, const ptrdiff_t *leader, const real *at_leader, real *out,
                           ptrdiff_t ld_out, ptrdiff_t n) {
    const lanes<real> c = in_lanes<real>(scale), f = in_lanes<real>(factor);
    const lanes<bits_of<real>> replaced = in_lanes<bits_of<real>>(leader);
    const lanes<real> replacement = in_lanes<real>(at_leader);
    each_step(n, [&](ptrdiff_t k, int l, real &out, real y, real a) FF_INLINED {
        const real g = gradient(y, c[l], a, f[l]);
        out = (bits_of<real>)k == replaced[l] ? replacement[l] : g;
    }, tile(out, ld_out), tile(y, ld_y), tile(a, ld_a));
}

/* ---- cross-entropy from probabilities ------------------------------------------------------------ */

/* max(p, eps), but NaN for NaN, and 0 for -0 */
template <class real> FF_INLINE real at_least(real eps, real p) { return p <= eps ? eps : p; }

/* -t log max(p, eps); 0 where t is, for every p that is a number */
template <class real> FF_INLINE double cross_entropy(real p, real t, real eps) {
    const real q = at_least(eps, p);
    const double term = (double)t * log((double)q);
    return ((t == 0) & (q == q)) ? 0 : -term;
}

/* The sum of the terms, in double */
template <class real> inline double row_cross_entropy(const real *p, const real *t, double eps, ptrdiff_t n) {
    const real least = (real)eps;
    return fold(n, 0.0, add(), [=](real p, real t) FF_INLINED { return cross_entropy(p, t, least); }, p, t);
}

template <class real>
inline void lanes_cross_entropy(const real *p, ptrdiff_t ld_p, const real *t, ptrdiff_t ld_t, double eps, ptrdiff_t n,
                                double *loss) {
    const real least = (real)eps;
    lanes<double> sum;
    EACH_LANE(l) sum[l] = 0;
    each_step(n, [&](ptrdiff_t, int l, real p, real t) FF_INLINED { sum[l] += cross_entropy(p, t, least); },
              tile(p, ld_p), tile(t, ld_t));
    EACH_LANE(l) loss[l] = sum[l];
}

/* factor t / max(p, eps), exactly 0 where t is and p is a number */
template <class real> FF_INLINE real cross_entropy_grad(real p, real t, real eps, real factor) {
    const real q = at_least(eps, p), g = factor * (t / q);
    return ((t == 0) & (q == q)) ? 0 : g;
}

template <class real>
inline void row_cross_entropy_grad(const real *p, const real *t, double eps, double factor, real *out, ptrdiff_t n) {
    const real least = (real)eps, f = (real)factor;
    each(n, [=](real &out, real p, real t) FF_INLINED { out = cross_entropy_grad(p, t, least, f); }, out, p, t);
}

template <class real>
inline void lanes_cross_entropy_grad(const real *p, ptrdiff_t ld_p, const real *t, ptrdiff_t ld_t, double eps,
                                     const double *factor, real *out, ptrdiff_t ld_out, ptrdiff_t n) {
    const real least = (real)eps;
    const lanes<real> f = in_lanes<real>(factor);
    each_step(n, [&](ptrdiff_t, int l, real &out, real p, real t) FF_INLINED { out = cross_entropy_grad(p, t, least, f[l]); },
              tile(out, ld_out), tile(p, ld_p), tile(t, ld_t));
}

/* ---- squared error ------------------------------------------------------------------------------- */

/* The sum of (y - t)^2, squared and added up in double */
template <class real> inline double row_squared_error(const real *y, const real *t, ptrdiff_t n) {
    return fold(n, 0.0, add(), [](real y, real t) FF_INLINED {
        const double d = (double)(y - t);
        return d * d;
    }, y, t);
}

/* out = factor (y - t) */
template <class real>
FF_MEMORY_BOUND inline void row_difference(const real *y, const real *t, double factor, real *out, ptrdiff_t n) {
    const real f = (real)factor;
    each(n, [=](real &out, real y, real t) FF_INLINED { out = f * (y - t); }, out, y, t);
}

/* The same with a weight for each element; one of 0 silences whatever is there. */
template <class real>
inline double row_weighted_squared_error(const real *y, const real *t, const double *weight, ptrdiff_t n) {
    return fold(n, 0.0, add(), [](real y, real t, double weight) FF_INLINED {
        const double d = (double)(y - t), term = weight * (d * d);
        return weight == 0 ? 0 : term;
    }, y, t, weight);
}

template <class real>
inline void row_weighted_difference(const real *y, const real *t, const double *weight, double factor, real *out,
                                    ptrdiff_t n) {
    each(n, [=](real &out, real y, real t, double weight) FF_INLINED {
        const real slope = (real)(factor * weight) * (y - t);
        out = weight == 0 ? 0 : slope;
    }, out, y, t, weight);
}

/* ---- sums down the columns ----------------------------------------------------------------------- */

/* sums += x */
template <class real> inline void row_add(const real *x, real *sums, ptrdiff_t n) {
    each(n, [](real &sum, real x) FF_INLINED { sum += x; }, sums, x);
}

/* totals += sums */
template <class real> inline void row_flush(const real *sums, double *totals, ptrdiff_t n) {
    each(n, [](double &total, real sum) FF_INLINED { total += sum; }, totals, sums);
}

} // namespace
} // namespace ffkernels

#endif
