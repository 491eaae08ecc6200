/* Arrays as they are stored, on their way to the type that kernels compute in and back: what is copied because it
   has a stride is converted, where it has to be, as it is copied. */
#ifndef FFKERNELS_STORAGE_H
#define FFKERNELS_STORAGE_H

#include "half.h"
#include "tiles.h"

namespace ffkernels {

enum { FLOAT32, FLOAT64, FLOAT16, BFLOAT16 };
typedef int storage; /* one of these */

namespace {

/* Values gathered at a time, on the stack: in the first-level cache while a kernel has them. */
union alignas(FF_LINE) buffer {
    float f32[1024];
    double f64[512];
};

FF_INLINE bool is_half_storage(storage s) { return s == FLOAT16 || s == BFLOAT16; }
FF_INLINE ptrdiff_t stored_size(storage s) { return s == FLOAT64 ? 8 : s == FLOAT32 ? 4 : 2; }

/* Where they lie one after the other, the last FF_LANES overlap those before. */
template <class Half> FF_CALLED void gather_half(const char *from, ptrdiff_t stride, float *y, ptrdiff_t n) {
    Half few[FF_LANES] = {};
    ptrdiff_t i = 0;
    if (stride == sizeof(Half)) {
        const Half *x = (const Half *)from;
        for (; i <= n - FF_LANES; i += FF_LANES) widen(x + i, y + i);
        if (i < n && n > FF_LANES) {
            widen(x + n - FF_LANES, y + n - FF_LANES);
            return;
        }
    }
    for (; i < n; i += FF_LANES) {
        const ptrdiff_t count = n - i < FF_LANES ? n - i : FF_LANES;
        for (ptrdiff_t l = 0; l < count; l++) memcpy(few + l, from + (i + l) * stride, sizeof(Half));
        if (count == FF_LANES) {
            widen(few, y + i);
        } else {
            float wide[FF_LANES];
            widen(few, wide);
            memcpy(y + i, wide, count * sizeof(float));
        }
    }
}

template <class Half> FF_CALLED void scatter_half(const float *x, char *to, ptrdiff_t stride, ptrdiff_t n) {
    Half few[FF_LANES];
    ptrdiff_t i = 0;
    if (stride == sizeof(Half)) {
        Half *y = (Half *)to;
        for (; i <= n - FF_LANES; i += FF_LANES) narrow(x + i, y + i);
        if (i < n && n > FF_LANES) {
            narrow(x + n - FF_LANES, y + n - FF_LANES);
            return;
        }
    }
    for (; i < n; i += FF_LANES) {
        const ptrdiff_t count = n - i < FF_LANES ? n - i : FF_LANES;
        if (count == FF_LANES) {
            narrow(x + i, few);
        } else {
            float wide[FF_LANES] = {};
            memcpy(wide, x + i, count * sizeof(float));
            narrow(wide, few);
        }
        for (ptrdiff_t l = 0; l < count; l++) memcpy(to + (i + l) * stride, few + l, sizeof(Half));
    }
}

template <class T> inline void copy_strided(const char *from, ptrdiff_t stride, char *to, ptrdiff_t to_stride, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) *(T *)(to + i * to_stride) = *(const T *)(from + i * stride);
}

/* n stored values, `stride` bytes apart, to contiguous memory in the type to compute in. */
inline void gather(storage s, const char *from, ptrdiff_t stride, void *y, ptrdiff_t n) {
    switch (s) {
    case FLOAT32: return copy_strided<float>(from, stride, (char *)y, sizeof(float), n);
    case FLOAT64: return copy_strided<double>(from, stride, (char *)y, sizeof(double), n);
    case FLOAT16: return gather_half<float16>(from, stride, (float *)y, n);
    case BFLOAT16: return gather_half<bfloat16>(from, stride, (float *)y, n);
    }
}

/* The same back. */
inline void scatter(storage s, const void *x, char *to, ptrdiff_t stride, ptrdiff_t n) {
    switch (s) {
    case FLOAT32: return copy_strided<float>((const char *)x, sizeof(float), to, stride, n);
    case FLOAT64: return copy_strided<double>((const char *)x, sizeof(double), to, stride, n);
    case FLOAT16: return scatter_half<float16>((const float *)x, to, stride, n);
    case BFLOAT16: return scatter_half<bfloat16>((const float *)x, to, stride, n);
    }
}

/* One value of many that lie one after the other. */
template <class real> FF_INLINE void store_value(storage s, real x, void *y, ptrdiff_t i) {
    if (is_half_storage(s))
        scatter(s, &x, (char *)y + 2 * i, 0, 1);
    else
        ((real *)y)[i] = x;
}

/* ---- tiles ---------------------------------------------------------------------------------------------- */

constexpr ptrdiff_t STEPS_CONVERTED = 64; /* at a time: 4 KiB of float */

/* `tile_load` of stored rows, strides in bytes.  Rows of half precision become float a few steps at a time, and
   one group of short ones in one go. */
template <class real>
inline void load_tile(storage s, const char *x, ptrdiff_t row_stride, ptrdiff_t axis_stride, ptrdiff_t rows,
                      ptrdiff_t n, real *tile) {
    if (!is_half_storage(s)) {
        tile_load((const real *)x, row_stride / (ptrdiff_t)sizeof(real), axis_stride / (ptrdiff_t)sizeof(real), rows, n, tile);
        return;
    }
    const ptrdiff_t size = stored_size(s);
    if (row_stride == size && rows == FF_LANES) {
        for (ptrdiff_t k = 0; k < n; k++) gather(s, x + k * axis_stride, size, tile + k * FF_LANES, FF_LANES);
        return;
    }
    real wide[FF_LANES * STEPS_CONVERTED];
    for (ptrdiff_t k = 0; k < n; k += STEPS_CONVERTED) {
        const ptrdiff_t steps = n - k < STEPS_CONVERTED ? n - k : STEPS_CONVERTED;
        if (axis_stride == size && row_stride == n * size && n == steps) {
            gather(s, x, size, wide, rows * n);
        } else {
            for (ptrdiff_t l = 0; l < rows; l++)
                gather(s, x + l * row_stride + k * axis_stride, axis_stride, wide + l * steps, steps);
        }
        tile_load((const real *)wide, steps, 1, rows, steps, tile + k * FF_LANES);
    }
}

template <class real>
inline void store_tile(storage s, const real *tile, ptrdiff_t rows, ptrdiff_t n, char *x, ptrdiff_t row_stride,
                       ptrdiff_t axis_stride) {
    if (!is_half_storage(s)) {
        tile_store(tile, rows, n, (real *)x, row_stride / (ptrdiff_t)sizeof(real), axis_stride / (ptrdiff_t)sizeof(real));
        return;
    }
    const ptrdiff_t size = stored_size(s);
    if (row_stride == size && rows == FF_LANES) {
        for (ptrdiff_t k = 0; k < n; k++) scatter(s, tile + k * FF_LANES, x + k * axis_stride, size, FF_LANES);
        return;
    }
    real wide[FF_LANES * STEPS_CONVERTED];
    for (ptrdiff_t k = 0; k < n; k += STEPS_CONVERTED) {
        const ptrdiff_t steps = n - k < STEPS_CONVERTED ? n - k : STEPS_CONVERTED;
        tile_store(tile + k * FF_LANES, rows, steps, wide, steps, (ptrdiff_t)1);
        if (axis_stride == size && row_stride == n * size && n == steps) {
            scatter(s, wide, x, size, rows * n);
        } else {
            for (ptrdiff_t l = 0; l < rows; l++)
                scatter(s, wide + l * steps, x + l * row_stride + k * axis_stride, axis_stride, steps);
        }
    }
}

} // namespace
} // namespace ffkernels

#endif
