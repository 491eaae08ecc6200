# The C side, as Cython sees it.  A primitive is declared once for both types, with `void *` for an
# array of `real`; in C each is a macro that picks the function by the pointer's type, so a wrong
# type is still an error, the compiler's.

cdef extern from "simd.h":
    const char *FF_COMPILER

cdef extern from "threads.h" nogil:
    int FF_OPENMP
    ctypedef void (*part_function)(const void *job, ptrdiff_t part, int thread) noexcept nogil
    void prepare_threads()
    void want_threads(int n)
    int threads_for(ptrdiff_t grains)
    void in_parallel(part_function run, const void *job, ptrdiff_t parts, int threads, ptrdiff_t grains)

cdef extern from "real.h" nogil:
    enum: FF_LANES
    enum: FF_LINE

    ctypedef void (*span_function)(char *const *operand, const double *scalars, ptrdiff_t n) noexcept nogil

    double row_max(const void *x, ptrdiff_t n)
    double row_exp_excess(const void *x, double m, void *y, ptrdiff_t n)
    double row_excess(const void *x, double m, ptrdiff_t n)
    double row_sum(const void *x, ptrdiff_t n)
    double row_dot(const void *x, const void *y, ptrdiff_t n)
    void row_scale(const void *x, double factor, void *y, ptrdiff_t n)
    void row_log_softmax(const void *x, double m, double log_sum, void *y, ptrdiff_t n)
    void row_softmax_backward(const void *dy, const void *y, double dot, void *out, ptrdiff_t n)
    void row_log_softmax_backward(const void *dy, const void *y, double sum, void *out, ptrdiff_t n)
    void row_coefficients(const void *t, const void *w, double smoothing, void *a, ptrdiff_t n)
    double row_gap(const void *x, double m, const void *a, ptrdiff_t n)
    void row_gradient(const void *y, double scale, const void *a, double factor, void *out, ptrdiff_t n)
    double row_cross_entropy(const void *p, const void *t, double eps, ptrdiff_t n)
    void row_cross_entropy_grad(const void *p, const void *t, double eps, double factor, void *out, ptrdiff_t n)
    double row_squared_error(const void *y, const void *t, ptrdiff_t n)
    void row_difference(const void *y, const void *t, double factor, void *out, ptrdiff_t n)
    void row_add(const void *x, void *sums, ptrdiff_t n)
    void row_flush(const void *sums, double *totals, ptrdiff_t n)

    void tile_load(const void *x, ptrdiff_t row_stride, ptrdiff_t axis_stride, ptrdiff_t rows, ptrdiff_t n, void *tile)
    void tile_store(const void *tile, ptrdiff_t rows, ptrdiff_t n, void *x, ptrdiff_t row_stride, ptrdiff_t axis_stride)
    void lanes_max(const void *x, ptrdiff_t ld, ptrdiff_t n, void *m)
    void lanes_exp_excess(const void *x, ptrdiff_t ld, const void *m, void *y, ptrdiff_t ld_y, ptrdiff_t n, double *excess)
    void lanes_excess(const void *x, ptrdiff_t ld, const void *m, ptrdiff_t n, double *excess)
    void lanes_sum(const void *x, ptrdiff_t ld, ptrdiff_t n, double *total)
    void lanes_dot(const void *x, ptrdiff_t ld, const void *y, ptrdiff_t ld_y, ptrdiff_t n, double *total)
    void lanes_leader(const void *x, ptrdiff_t ld, const void *m, ptrdiff_t n, ptrdiff_t *leader)
    void lanes_sum_without(const void *x, ptrdiff_t ld, const ptrdiff_t *leader, ptrdiff_t n, double *total)
    void lanes_coefficients(void *t, ptrdiff_t ld, const void *w, double smoothing, ptrdiff_t n)
    void lanes_gap(const void *x, ptrdiff_t ld, const void *m, const void *a, ptrdiff_t ld_a, ptrdiff_t n, double *gap)
    void lanes_gradient(const void *y, ptrdiff_t ld_y, const double *scale, const void *a, ptrdiff_t ld_a, const double *factor, const ptrdiff_t *leader, const void *at_leader, void *out, ptrdiff_t ld_out, ptrdiff_t n)
    void lanes_scale(const void *x, ptrdiff_t ld, const double *factor, void *y, ptrdiff_t ld_y, ptrdiff_t n)
    void lanes_log_softmax(const void *x, ptrdiff_t ld, const void *m, const double *log_sum, void *y, ptrdiff_t ld_y, ptrdiff_t n)
    void lanes_cross_entropy(const void *p, ptrdiff_t ld_p, const void *t, ptrdiff_t ld_t, double eps, ptrdiff_t n, double *loss)
    void lanes_cross_entropy_grad(const void *p, ptrdiff_t ld_p, const void *t, ptrdiff_t ld_t, double eps, const double *factor, void *out, ptrdiff_t ld_out, ptrdiff_t n)
    void lanes_softmax_backward(const void *dy, ptrdiff_t ld_dy, const void *y, ptrdiff_t ld_y, const double *dot, void *out, ptrdiff_t ld_out, ptrdiff_t n)
    void lanes_log_softmax_backward(const void *dy, ptrdiff_t ld_dy, const void *y, ptrdiff_t ld_y, const double *sum, void *out, ptrdiff_t ld_out, ptrdiff_t n)

    double log_f64(double x)
    double log1p_nonnegative(double d)
    void lanes_log(const double *x, double *y)
    void lanes_log1p(const double *excess, double *log_sum)

cdef extern from "numpy/arrayobject.h":
    int PyArray_CHKFLAGS(cnp.ndarray a, int flags) nogil
    int PyArray_ISNOTSWAPPED(cnp.ndarray a) nogil
    bint PyArray_CheckExact(object a)
    object PyArray_NewLikeArray(cnp.ndarray like, cnp.NPY_ORDER order, cnp.PyArray_Descr *descr, int subok)

cdef extern from "scalars.h":
    object new_float32(float value)
    object new_float64(double value)

cdef extern from "Python.h":
    long PyLong_AsLongAndOverflow(object number, int *overflow)
