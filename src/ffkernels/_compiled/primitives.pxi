# The C++ side, as Cython sees it: templates over the type of an array, which the compiler holds against the
# definitions wherever one is called.

cdef extern from "simd.h":
    const char *FF_COMPILER

cdef extern from "threads.h" nogil:
    ctypedef void (*part_function)(const void *job, ptrdiff_t part, int thread) noexcept nogil
    void prepare_threads()
    void want_threads(int n)
    int threads_for(ptrdiff_t grains)
    void in_parallel(part_function run, const void *job, ptrdiff_t parts, int threads, ptrdiff_t grains)

cdef extern from "lanes.h":
    enum: FF_LANES
    enum: FF_LINE

cdef extern from "elementwise.h" nogil:
    ctypedef void (*span_function)(char *const *operand, const double *scalars, ptrdiff_t n) noexcept nogil

cdef extern from "logarithm.h" namespace "ffkernels" nogil:
    double log_f64 "ffkernels::log"(double x)
    double log1p_nonnegative(double d)
    void lanes_log(const double *x, double *y)
    void lanes_log1p(const double *excess, double *log_sum)

cdef extern from "half.h" namespace "ffkernels" nogil:
    bint has_half
    ctypedef struct float16 "ffkernels::float16":
        pass
    ctypedef struct bfloat16 "ffkernels::bfloat16":
        pass
    double value_of[T](T x)
    void set_value[T](T &y, double x)

ctypedef fused stored:
    float
    double
    float16
    bfloat16

cdef extern from "storage.h" namespace "ffkernels" nogil:
    ctypedef int Storage "ffkernels::storage"
    Storage FLOAT32, FLOAT64, FLOAT16, BFLOAT16
    ctypedef union Buffer "ffkernels::buffer":
        float f32[1024]
        double f64[512]
    ptrdiff_t stored_size(Storage storage)
    void gather(Storage storage, const char *x, ptrdiff_t stride, void *y, ptrdiff_t n)
    void scatter(Storage storage, const void *x, char *y, ptrdiff_t stride, ptrdiff_t n)
    void store_value_at "ffkernels::store_value" [T](Storage storage, T x, void *y, ptrdiff_t i)
    void load_tile[T](Storage s, const char *x, ptrdiff_t row_stride, ptrdiff_t axis_stride, ptrdiff_t rows,
                      ptrdiff_t n, T *tile)
    void store_tile[T](Storage s, const T *tile, ptrdiff_t rows, ptrdiff_t n, char *x, ptrdiff_t row_stride,
                       ptrdiff_t axis_stride)

cdef extern from "rows.h" namespace "ffkernels" nogil:
    double row_max[T](const T *x, ptrdiff_t n)
    double row_exp_excess[T](const T *x, double m, T *y, ptrdiff_t n)
    double row_excess[T](const T *x, double m, ptrdiff_t n)
    double row_exponentials[T](const T *x, double m, T *y, void *scratch, ptrdiff_t n)
    double exponential_at[T](T *y, void *scratch, ptrdiff_t i)
    void row_scale_exponentials[T](double factor, T *y, void *scratch, ptrdiff_t n)
    double row_sum[T](const T *x, ptrdiff_t n)
    bint row_are_weights[T](const T *x, ptrdiff_t n)
    double row_total[T](const T *x, ptrdiff_t n)
    double row_dot[T](const T *x, const T *y, ptrdiff_t n)
    void row_scale[T](const T *x, double factor, T *y, ptrdiff_t n)
    void row_log_softmax[T](const T *x, double m, double log_sum, T *y, ptrdiff_t n)
    void row_softmax_backward[T](const T *dy, const T *y, double dot, T *out, ptrdiff_t n)
    void row_log_softmax_backward[T](const T *dy, const T *y, double sum, T *out, ptrdiff_t n)
    void row_coefficients[T](const T *t, const T *w, double smoothing, T *a, ptrdiff_t n)
    double row_gap[T](const T *x, double m, const T *a, ptrdiff_t n)
    void row_gradient[T](const T *y, double scale, const T *a, double factor, T *out, ptrdiff_t n)
    T at_least[T](T eps, T p)
    double row_cross_entropy[T](const T *p, const T *t, double eps, ptrdiff_t n)
    void row_cross_entropy_grad[T](const T *p, const T *t, double eps, double factor, T *out, ptrdiff_t n)
    double row_squared_error[T](const T *y, const T *t, ptrdiff_t n)
    void row_difference[T](const T *y, const T *t, double factor, T *out, ptrdiff_t n)
    double row_weighted_squared_error[T](const T *y, const T *t, const double *weight, ptrdiff_t n)
    void row_weighted_difference[T](const T *y, const T *t, const double *weight, double factor, T *out, ptrdiff_t n)
    void row_add[T](const T *x, T *sums, ptrdiff_t n)
    void row_flush[T](const T *sums, double *totals, ptrdiff_t n)
    void lanes_max[T](const T *x, ptrdiff_t ld, ptrdiff_t n, T *m)
    void lanes_exp_excess[T](const T *x, ptrdiff_t ld, const T *m, T *y, ptrdiff_t ld_y, ptrdiff_t n, double *excess)
    void lanes_excess[T](const T *x, ptrdiff_t ld, const T *m, const T *y, ptrdiff_t ld_y, ptrdiff_t n, double *excess)
    void lanes_sum[T](const T *x, ptrdiff_t ld, ptrdiff_t n, double *total)
    void lanes_dot[T](const T *x, ptrdiff_t ld, const T *y, ptrdiff_t ld_y, ptrdiff_t n, double *total)
    void lanes_leader[T](const T *x, ptrdiff_t ld, const T *m, ptrdiff_t n, ptrdiff_t *leader)
    void lanes_sum_without[T](const T *x, ptrdiff_t ld, const ptrdiff_t *leader, ptrdiff_t n, double *total)
    void lanes_coefficients[T](T *t, ptrdiff_t ld, const T *w, double smoothing, ptrdiff_t n)
    void lanes_gap[T](const T *x, ptrdiff_t ld, const T *m, const T *a, ptrdiff_t ld_a, ptrdiff_t n, double *gap)
    void lanes_gradient[T](const T *y, ptrdiff_t ld_y, const double *scale, const T *a, ptrdiff_t ld_a, const double *factor, const ptrdiff_t *leader, const T *at_leader, T *out, ptrdiff_t ld_out, ptrdiff_t n)
    void lanes_scale[T](const T *x, ptrdiff_t ld, const double *factor, T *y, ptrdiff_t ld_y, ptrdiff_t n)
    void lanes_log_softmax[T](const T *x, ptrdiff_t ld, const T *m, const double *log_sum, T *y, ptrdiff_t ld_y, ptrdiff_t n)
    void lanes_cross_entropy[T](const T *p, ptrdiff_t ld_p, const T *t, ptrdiff_t ld_t, double eps, ptrdiff_t n, double *loss)
    void lanes_cross_entropy_grad[T](const T *p, ptrdiff_t ld_p, const T *t, ptrdiff_t ld_t, double eps, const double *factor, T *out, ptrdiff_t ld_out, ptrdiff_t n)
    void lanes_softmax_backward[T](const T *dy, ptrdiff_t ld_dy, const T *y, ptrdiff_t ld_y, const double *dot, T *out, ptrdiff_t ld_out, ptrdiff_t n)
    void lanes_log_softmax_backward[T](const T *dy, ptrdiff_t ld_dy, const T *y, ptrdiff_t ld_y, const double *sum, T *out, ptrdiff_t ld_out, ptrdiff_t n)

cdef extern from "logistic_loss.h" namespace "ffkernels" nogil:
    void row_logistic[T](const T *x, T *log, T *small, ptrdiff_t n)
    double row_logistic_loss[T](const T *x, const T *t, T *log, ptrdiff_t n)
    void row_logistic_slope[T](const T *x, const T *t, const T *small, double factor, T *dx, ptrdiff_t n)
    double row_weighted_logistic_loss[T](const T *x, const T *t, const T *w, const T *p, T *log, ptrdiff_t n)
    void row_weighted_logistic_slope[T](const T *x, const T *t, const T *w, const T *p, const T *small, T *dx, ptrdiff_t n)
    void row_multiply[T](const double *factor, T *y, ptrdiff_t n)

cdef extern from "numpy/arrayobject.h":
    enum: NPY_HALF
    enum: NPY_USERDEF
    int PyArray_CHKFLAGS(cnp.ndarray a, int flags) nogil
    int PyArray_ISNOTSWAPPED(cnp.ndarray a) nogil
    bint PyArray_CheckExact(object a)
    object PyArray_NewLikeArray(cnp.ndarray like, cnp.NPY_ORDER order, cnp.PyArray_Descr *descr, int subok)

cdef extern from "scalars.h":
    object new_float32(float value)
    object new_float64(double value)

cdef extern from "Python.h":
    long PyLong_AsLongAndOverflow(object number, int *overflow)
