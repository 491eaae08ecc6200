/* Rows copied into a tile and back: FF_LANES rows at a time, transposed. */
#ifndef FFKERNELS_TILES_H
#define FFKERNELS_TILES_H

#include "lanes.h"

namespace ffkernels {
namespace {

/* A square of rows and columns transposed between rows in memory and a tile, whose columns they become; of rows
   shorter than a square their n values.  The one place with intrinsics: plain loops take three times as long to
   load, twice to store. */
template <class real> struct square {
    static constexpr ptrdiff_t side = 1;
    static FF_INLINE void load(const real *const *row, ptrdiff_t k, real *tile) { tile[0] = row[0][k]; }
    static FF_INLINE void store(const real *tile, real *x, ptrdiff_t) { x[0] = tile[0]; }
    static FF_INLINE void load_short(const real *const *, ptrdiff_t, real *) {}
    static FF_INLINE void store_short(const real *, real *, ptrdiff_t, ptrdiff_t) {}
};

#if FF_HAS_SSE
template <> struct square<float> {
    static constexpr ptrdiff_t side = 4;
    static FF_INLINE void load(const float *const *row, ptrdiff_t k, float *tile) {
        __m128 a = _mm_loadu_ps(row[0] + k), b = _mm_loadu_ps(row[1] + k);
        __m128 c = _mm_loadu_ps(row[2] + k), d = _mm_loadu_ps(row[3] + k);
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_storeu_ps(tile, a);
        _mm_storeu_ps(tile + FF_LANES, b);
        _mm_storeu_ps(tile + 2 * FF_LANES, c);
        _mm_storeu_ps(tile + 3 * FF_LANES, d);
    }
    static FF_INLINE void store(const float *tile, float *x, ptrdiff_t row_stride) {
        __m128 a = _mm_loadu_ps(tile), b = _mm_loadu_ps(tile + FF_LANES);
        __m128 c = _mm_loadu_ps(tile + 2 * FF_LANES), d = _mm_loadu_ps(tile + 3 * FF_LANES);
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_storeu_ps(x, a);
        _mm_storeu_ps(x + row_stride, b);
        _mm_storeu_ps(x + 2 * row_stride, c);
        _mm_storeu_ps(x + 3 * row_stride, d);
    }
    static FF_INLINE void load_short(const float *const *row, ptrdiff_t n, float *tile) {
        __m128 a = load_row(row[0], n), b = load_row(row[1], n), c = load_row(row[2], n), d = load_row(row[3], n);
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_storeu_ps(tile, a);
        if (n > 1) _mm_storeu_ps(tile + FF_LANES, b);
        if (n > 2) _mm_storeu_ps(tile + 2 * FF_LANES, c);
    }
    static FF_INLINE void store_short(const float *tile, float *x, ptrdiff_t row_stride, ptrdiff_t n) {
        const __m128 zero = _mm_setzero_ps();
        __m128 a = _mm_loadu_ps(tile), b = n > 1 ? _mm_loadu_ps(tile + FF_LANES) : zero;
        __m128 c = n > 2 ? _mm_loadu_ps(tile + 2 * FF_LANES) : zero, d = zero;
        _MM_TRANSPOSE4_PS(a, b, c, d);
        store_row(a, x, n);
        store_row(b, x + row_stride, n);
        store_row(c, x + 2 * row_stride, n);
        store_row(d, x + 3 * row_stride, n);
    }

private:
    /* One to three values. */
    static FF_INLINE __m128 load_row(const float *x, ptrdiff_t n) {
        if (n == 1) return _mm_load_ss(x);
        const __m128 two = _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)x);
        return n == 2 ? two : _mm_movelh_ps(two, _mm_load_ss(x + 2));
    }
    static FF_INLINE void store_row(__m128 row, float *x, ptrdiff_t n) {
        if (n == 1) return _mm_store_ss(x, row);
        _mm_storel_pi((__m64 *)x, row);
        if (n > 2) _mm_store_ss(x + 2, _mm_movehl_ps(row, row));
    }
};

template <> struct square<double> {
    static constexpr ptrdiff_t side = 2;
    static FF_INLINE void load(const double *const *row, ptrdiff_t k, double *tile) {
        const __m128d a = _mm_loadu_pd(row[0] + k), b = _mm_loadu_pd(row[1] + k);
        _mm_storeu_pd(tile, _mm_unpacklo_pd(a, b));
        _mm_storeu_pd(tile + FF_LANES, _mm_unpackhi_pd(a, b));
    }
    static FF_INLINE void store(const double *tile, double *x, ptrdiff_t row_stride) {
        const __m128d a = _mm_loadu_pd(tile), b = _mm_loadu_pd(tile + FF_LANES);
        _mm_storeu_pd(x, _mm_unpacklo_pd(a, b));
        _mm_storeu_pd(x + row_stride, _mm_unpackhi_pd(a, b));
    }
    static FF_INLINE void load_short(const double *const *row, ptrdiff_t, double *tile) {
        tile[0] = row[0][0];
        tile[1] = row[1][0];
    }
    static FF_INLINE void store_short(const double *tile, double *x, ptrdiff_t row_stride, ptrdiff_t) {
        x[0] = tile[0];
        x[row_stride] = tile[1];
    }
};
#endif

/* f(k) for every square of a row of n values; the last one overlaps the one before it. */
template <class real, class F> FF_INLINE void each_square(ptrdiff_t n, F f) {
    for (ptrdiff_t k = 0; k < n - square<real>::side; k += square<real>::side) f(k);
    f(n - square<real>::side);
}

/* Copies `rows` (at most FF_LANES) rows of n values, `row_stride` apart and `axis_stride` between
   neighbours (both in values), into a tile; lanes beyond `rows` repeat the last row. */
template <class real>
inline void tile_load(const real *x, ptrdiff_t row_stride, ptrdiff_t axis_stride, ptrdiff_t rows, ptrdiff_t n,
                      real *__restrict tile) {
    constexpr ptrdiff_t side = square<real>::side;
    const auto row = [&](ptrdiff_t l) FF_INLINED { return x + (l < rows ? l : rows - 1) * row_stride; };
    if (axis_stride == 1 && n > 0) {
        for (ptrdiff_t l = 0; l < FF_LANES; l += side) {
            const real *several[side];
            for (ptrdiff_t i = 0; i < side; i++) several[i] = row(l + i);
            if (n < side)
                square<real>::load_short(several, n, tile + l);
            else
                each_square<real>(n, [&](ptrdiff_t k) FF_INLINED { square<real>::load(several, k, tile + k * FF_LANES + l); });
        }
    } else if (row_stride == 1 && rows == FF_LANES) {
        for (ptrdiff_t k = 0; k < n; k++) memcpy(tile + k * FF_LANES, x + k * axis_stride, FF_LANES * sizeof(real));
    } else {
        for (ptrdiff_t k = 0; k < n; k++)
            for (ptrdiff_t l = 0; l < FF_LANES; l++) tile[k * FF_LANES + l] = row(l)[k * axis_stride];
    }
}

/* Copies the first `rows` rows of a tile back. */
template <class real>
inline void tile_store(const real *__restrict tile, ptrdiff_t rows, ptrdiff_t n, real *x, ptrdiff_t row_stride,
                       ptrdiff_t axis_stride) {
    constexpr ptrdiff_t side = square<real>::side;
    ptrdiff_t l = 0;
    if (row_stride == 1 && rows == FF_LANES) {
        for (ptrdiff_t k = 0; k < n; k++) memcpy(x + k * axis_stride, tile + k * FF_LANES, FF_LANES * sizeof(real));
        return;
    }
    if (axis_stride == 1 && n > 0) {
        for (; l + side <= rows; l += side) {
            if (n < side)
                square<real>::store_short(tile + l, x + l * row_stride, row_stride, n);
            else
                each_square<real>(n, [&](ptrdiff_t k) FF_INLINED {
                    square<real>::store(tile + k * FF_LANES + l, x + l * row_stride + k, row_stride);
                });
        }
    }
    for (; l < rows; l++)
        for (ptrdiff_t k = 0; k < n; k++) x[l * row_stride + k * axis_stride] = tile[k * FF_LANES + l];
}

} // namespace
} // namespace ffkernels

#endif
