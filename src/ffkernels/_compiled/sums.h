/* Sums and other folds over a row, or over each row of a tile.

   A sum runs in `real` over a PART, then over the parts of a SEGMENT; segments are added up in double, those of
   double with compensation.  So a term passes through a dozen roundings, in a row of a million classes as in
   one of a thousand. */
#ifndef FFKERNELS_SUMS_H
#define FFKERNELS_SUMS_H

#include "lanes.h"

namespace ffkernels {
namespace {

/* In blocks, or in steps of a tile. */
template <class real> constexpr ptrdiff_t part_length = sizeof(real) == sizeof(float) ? 8 : 4;
constexpr int PARTS_IN_SEGMENT = 4;
template <class real> constexpr bool needs_compensation = sizeof(real) == sizeof(double);

/* Adds a term to a compensated sum in each lane: two-sum (Knuth 1969), whose errors are added up in `low`. */
FF_INLINE void add_compensated(lanes<double> &high, lanes<double> &low, const lanes<double> &term) {
    lanes<double> sum;
    EACH_LANE(l) sum[l] = high[l] + term[l];
    EACH_LANE(l) {
        const double part = sum[l] - high[l];
        low[l] += (high[l] - (sum[l] - part)) + (term[l] - part);
    }
    high = sum;
}

/* An infinite sum has no rounding errors, but inf - inf beside it. */
FF_INLINE double compensated(double high, double low) { return high - high == 0 ? high + low : high; }

/* One value of all lanes, by halves: in the same order whatever the width of a vector. */
template <class T, class Gather> FF_INLINE T across_lanes(lanes<T> x, Gather gather) {
#if defined(__clang__)
    const auto eight = gather(__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7),
                              __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15));
    const auto four = gather(__builtin_shufflevector(eight, eight, 0, 1, 2, 3),
                             __builtin_shufflevector(eight, eight, 4, 5, 6, 7));
    const auto two = gather(__builtin_shufflevector(four, four, 0, 1), __builtin_shufflevector(four, four, 2, 3));
    return gather(two[0], two[1]);
#else
    T half[FF_LANES / 2];
    for (int l = 0; l < 8; l++) half[l] = gather(x[l], x[l + 8]);
    for (int l = 0; l < 4; l++) half[l] = gather(half[l], half[l + 4]);
    for (int l = 0; l < 2; l++) half[l] = gather(half[l], half[l + 2]);
    return gather(half[0], half[1]);
#endif
}

struct add {
    template <class T> FF_INLINE T operator()(T a, T b) const { return a + b; }
};

FF_INLINE double sum_across_lanes(lanes<double> x) { return across_lanes<double>(x, add()); }

/* Folds term(values...) for every i in [0, n) by gather(a, b), whose neutral element is given. */
template <class Result, class Gather, class Term, class... T>
FF_INLINE Result fold(ptrdiff_t n, Result neutral, Gather gather, Term term, const T *... p) {
    const int rest = (int)(n % FF_LANES);
    lanes<Result> gathered, gathered_too; /* two, because either waits for what it gathered last */
    EACH_LANE(l) gathered[l] = gathered_too[l] = neutral;
    const auto gather_rest = [&](int l, auto... x) FF_INLINED {
        const Result t = term(x...);
        gathered[l] = among_last<bits_of<Result>>[rest + l] ? t : neutral;
    };
    const auto gather_block = [&](lanes<Result> &to, ptrdiff_t i) FF_INLINED {
        run_lanes([&](int l, auto... x) FF_INLINED { to[l] = gather(to[l], (Result)term(x...)); },
                  block<const T>(p + i)...);
    };
    if (n < FF_LANES) {
        run_lanes(gather_rest, part_block<const T>(p, n)...);
        return across_lanes<Result>(gathered, gather);
    }
    if (rest) {
        (fetch_last_block(p, n), ...);
        run_lanes(gather_rest, block<const T>(p + (n - FF_LANES))...);
    }
    ptrdiff_t i = 0;
    LOOP_OVER_BLOCKS
    for (; n - i >= 2 * FF_LANES; i += 2 * FF_LANES) {
        gather_block(gathered, i);
        gather_block(gathered_too, i + FF_LANES);
    }
    if (n - i >= FF_LANES) gather_block(gathered, i);
    EACH_LANE(l) gathered[l] = gather(gathered[l], gathered_too[l]);
    return across_lanes<Result>(gathered, gather);
}

/* What a term of a sum gets of an array: its values, or a place for them where it is not const. */
template <class T> using term_block = std::conditional_t<std::is_const_v<T>, block<T>, written_block<T>>;

/* The sum of term(values...) for every i in [0, n).  The term may also store, into arrays that are not const: those
   are not read, unless they come once more as const.  `fetch_next`, for terms that take their time, fetches meanwhile
   what lies n values further on in the arrays that are only read, as a rule the next row: 2 to 4 % of cross-entropy at
   512 x 1000, 8 % at 64 x 50257, a tenth at 512 x 32000. */
template <class real, bool fetch_next = false, class Term, class... T>
FF_INLINE double sum(ptrdiff_t n, Term term, T *... p) {
    constexpr ptrdiff_t part = part_length<real> * FF_LANES, segment = PARTS_IN_SEGMENT * part;
    const int rest = (int)(n % FF_LANES);
    const ptrdiff_t whole = n - rest;
    lanes<real> of_segment, of_part;
    lanes<double> high, low;
    EACH_LANE(l) of_segment[l] = 0;
    const auto add_rest = [&](int l, auto &... x) FF_INLINED {
        const real t = term(x...);
        of_segment[l] = among_last<bits_of<real>>[rest + l] ? t : 0;
    };
    const auto add_block = [&](lanes<real> &to, ptrdiff_t i) FF_INLINED {
        if constexpr (fetch_next) (fetch(p + i, n), ...);
        run_lanes([&](int l, auto &... x) FF_INLINED { to[l] += term(x...); }, term_block<T>(p + i)...);
    };
    if (n < FF_LANES) {
        run_lanes(add_rest, part_block<T>(p, n)...);
        return sum_across_lanes(converted<double, real>(of_segment));
    }
    const auto add_all = [&](auto &&... last) FF_INLINED {
        if (rest) {
            (fetch_last_block(p, n), ...);
            EACH_LANE(l) add_rest(l, last.lane[l]...);
        }
        ptrdiff_t i = 0;
        do {
            const ptrdiff_t stop = whole - i < segment ? whole : i + segment;
            LOOP_OVER_BLOCKS
            while (i < stop) {
                const ptrdiff_t end = stop - i < part ? stop : i + part;
                EACH_LANE(l) of_part[l] = 0;
                LOOP_OVER_BLOCKS
                for (; i < end; i += FF_LANES) add_block(of_part, i);
                EACH_LANE(l) of_segment[l] += of_part[l];
            }
            const lanes<double> term = converted<double, real>(of_segment);
            if (stop <= segment) {
                high = term;
                EACH_LANE(l) low[l] = 0;
            } else if (needs_compensation<real>) {
                add_compensated(high, low, term);
            } else {
                EACH_LANE(l) high[l] += term[l];
            }
            EACH_LANE(l) of_segment[l] = 0;
        } while (i < whole);
        if (rest) (last.store(), ...);
    };
    add_all(term_block<T>(p + (n - FF_LANES))...);
    const double total = sum_across_lanes(high);
    return needs_compensation<real> && whole > segment ? compensated(total, sum_across_lanes(low)) : total;
}

/* The sums of term(k, l, values...) over the steps k of tiles, one for each lane. */
template <class real, class Term, class... Tile>
FF_INLINE void sum_steps(double *total, ptrdiff_t n, Term term, Tile... x) {
    const ptrdiff_t part = n < 2 * part_length<real> ? n : part_length<real>;
    const bool compensate = needs_compensation<real> && n > 2 * PARTS_IN_SEGMENT * part;
    lanes<double> high, low;
    EACH_LANE(l) high[l] = low[l] = 0;
    LOOP_OVER_BLOCKS
    for (ptrdiff_t k = 0; k < n;) {
        const ptrdiff_t stop = n - k < part ? n : k + part;
        lanes<real> of_part;
        EACH_LANE(l) of_part[l] = 0;
        LOOP_OVER_BLOCKS
        for (; k < stop; k++) {
            lanes<real> terms;
            run_lanes([&](int l, auto &... v) FF_INLINED { terms[l] = term(k, l, v...); }, x.step(k)...);
            EACH_LANE(l) of_part[l] += terms[l];
        }
        const lanes<double> term = converted<double, real>(of_part);
        if (compensate)
            add_compensated(high, low, term);
        else
            EACH_LANE(l) high[l] += term[l];
    }
    if (compensate)
        EACH_LANE(l) total[l] = compensated(high[l], low[l]);
    else
        EACH_LANE(l) total[l] = high[l];
}

} // namespace
} // namespace ffkernels

#endif
