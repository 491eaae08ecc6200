/* The kernels' C side, once for float and once for double.

   `logarithm.h`       log and log1p, in double for both types
   `elementary.inc.h`  exp, sigmoid, tanh and slopes: branch-free, at most one ulp
   `spans.inc.h`       elementwise loops over contiguous spans
   `rows.inc.h`        row primitives: max, exp-and-sum, scale, ... along a row, and the same
                       for a tile of rows with one row in each SIMD lane

   Each is a template over `real`; FN(name) is the name with the type's suffix.  The generic
   macros at the end let a Cython kernel that is itself typed by a fused `real` name a
   primitive without its suffix: the C compiler picks the one for the pointer it is given. */
#ifndef FFKERNELS_REAL_H
#define FFKERNELS_REAL_H

#include "logarithm.h"
#include "simd.h"

/* The contract between the walkers in Cython and a span: `operand[i]` points to `n` contiguous
   values each, `scalar` to whatever numbers the operation takes. */
typedef void (*span_function)(char *const *operand, const double *scalar, ptrdiff_t n);

#define real double
#define bits_t uint64_t
#define FN(name) name##_f64
#define FF_IS_F32 0
#include "elementary.inc.h"
#include "spans.inc.h"
#include "rows.inc.h"
#undef real
#undef bits_t
#undef FN
#undef FF_IS_F32

#define real float
#define bits_t uint32_t
#define FN(name) name##_f32
#define FF_IS_F32 1
#include "elementary.inc.h"
#include "spans.inc.h"
#include "rows.inc.h"
#undef real
#undef bits_t
#undef FN
#undef FF_IS_F32

/* By the type of a pointer: `row_max(x, n)` is row_max_f32 or row_max_f64. */
#define BY_TYPE(name, p)                                                                         \
    _Generic((p), float *: name##_f32, const float *: name##_f32, double *: name##_f64,           \
             const double *: name##_f64)
#define row_max(x, n) BY_TYPE(row_max, x)(x, n)
#define row_exp_excess(x, m, y, n) BY_TYPE(row_exp_excess, x)(x, m, y, n)
#define row_excess(x, m, n) BY_TYPE(row_excess, x)(x, m, n)
#define row_sum(x, n) BY_TYPE(row_sum, x)(x, n)
#define row_dot(x, y, n) BY_TYPE(row_dot, x)(x, y, n)
#define row_scale(x, factor, y, n) BY_TYPE(row_scale, x)(x, factor, y, n)
#define row_log_softmax(x, m, log_sum, y, n) BY_TYPE(row_log_softmax, x)(x, m, log_sum, y, n)
#define row_softmax_backward(dy, y, dot, out, n) BY_TYPE(row_softmax_backward, dy)(dy, y, dot, out, n)
#define row_log_softmax_backward(dy, y, sum, out, n) BY_TYPE(row_log_softmax_backward, dy)(dy, y, sum, out, n)
#define row_coefficients(t, w, smoothing, a, n) BY_TYPE(row_coefficients, t)(t, w, smoothing, a, n)
#define row_gap(x, m, a, n) BY_TYPE(row_gap, x)(x, m, a, n)
#define row_gradient(y, scale, a, factor, out, n) BY_TYPE(row_gradient, y)(y, scale, a, factor, out, n)
#define row_cross_entropy(p, t, eps, n) BY_TYPE(row_cross_entropy, p)(p, t, eps, n)
#define row_cross_entropy_grad(p, t, eps, factor, out, n) BY_TYPE(row_cross_entropy_grad, p)(p, t, eps, factor, out, n)
#define row_squared_error(y, t, n) BY_TYPE(row_squared_error, y)(y, t, n)
#define row_difference(y, t, factor, out, n) BY_TYPE(row_difference, y)(y, t, factor, out, n)
#define row_add(x, sums, n) BY_TYPE(row_add, x)(x, sums, n)
#define row_flush(sums, totals, n) BY_TYPE(row_flush, sums)(sums, totals, n)
#define tile_load(x, row_stride, axis_stride, rows, n, tile) BY_TYPE(tile_load, x)(x, row_stride, axis_stride, rows, n, tile)
#define tile_store(tile, rows, n, x, row_stride, axis_stride) BY_TYPE(tile_store, tile)(tile, rows, n, x, row_stride, axis_stride)
#define lanes_max(x, ld, n, m) BY_TYPE(lanes_max, x)(x, ld, n, m)
#define lanes_exp_excess(x, ld, m, y, ld_y, n, excess) BY_TYPE(lanes_exp_excess, x)(x, ld, m, y, ld_y, n, excess)
#define lanes_excess(x, ld, m, n, excess) BY_TYPE(lanes_excess, x)(x, ld, m, n, excess)
#define lanes_sum(x, ld, n, total) BY_TYPE(lanes_sum, x)(x, ld, n, total)
#define lanes_dot(x, ld, y, ld_y, n, total) BY_TYPE(lanes_dot, x)(x, ld, y, ld_y, n, total)
#define lanes_leader(x, ld, m, n, leader) BY_TYPE(lanes_leader, x)(x, ld, m, n, leader)
#define lanes_sum_without(x, ld, leader, n, total) BY_TYPE(lanes_sum_without, x)(x, ld, leader, n, total)
#define lanes_coefficients(t, ld, w, smoothing, n) BY_TYPE(lanes_coefficients, t)(t, ld, w, smoothing, n)
#define lanes_gap(x, ld, m, a, ld_a, n, gap) BY_TYPE(lanes_gap, x)(x, ld, m, a, ld_a, n, gap)
#define lanes_gradient(y, ld_y, scale, a, ld_a, factor, leader, at_leader, out, ld_out, n) BY_TYPE(lanes_gradient, y)(y, ld_y, scale, a, ld_a, factor, leader, at_leader, out, ld_out, n)
#define lanes_scale(x, ld, factor, y, ld_y, n) BY_TYPE(lanes_scale, x)(x, ld, factor, y, ld_y, n)
#define lanes_log_softmax(x, ld, m, log_sum, y, ld_y, n) BY_TYPE(lanes_log_softmax, x)(x, ld, m, log_sum, y, ld_y, n)
#define lanes_cross_entropy(p, ld_p, t, ld_t, eps, n, loss) BY_TYPE(lanes_cross_entropy, p)(p, ld_p, t, ld_t, eps, n, loss)
#define lanes_cross_entropy_grad(p, ld_p, t, ld_t, eps, factor, out, ld_out, n) BY_TYPE(lanes_cross_entropy_grad, p)(p, ld_p, t, ld_t, eps, factor, out, ld_out, n)
#define lanes_softmax_backward(dy, ld_dy, y, ld_y, dot, out, ld_out, n) BY_TYPE(lanes_softmax_backward, dy)(dy, ld_dy, y, ld_y, dot, out, ld_out, n)
#define lanes_log_softmax_backward(dy, ld_dy, y, ld_y, sum, out, ld_out, n) BY_TYPE(lanes_log_softmax_backward, dy)(dy, ld_dy, y, ld_y, sum, out, ld_out, n)

/* The two types of a span side by side, float first: what a Python function hands to a walker. */
#define SPANS(name) static const span_function name##_spans[2] = {name##_span_f32, name##_span_f64};
SPANS(relu)
SPANS(relu_grad)
SPANS(relu_backward)
SPANS(bias_relu)
SPANS(sigmoid)
SPANS(sigmoid_grad)
SPANS(sigmoid_backward)
SPANS(bias_sigmoid)
SPANS(tanh)
SPANS(tanh_grad)
SPANS(tanh_backward)
SPANS(bias_tanh)
SPANS(identity)
SPANS(identity_grad)
SPANS(identity_backward)
SPANS(bias_identity)
SPANS(exp)
SPANS(log)
SPANS(sgd)
SPANS(momentum)
SPANS(adam)
#undef SPANS

#endif
