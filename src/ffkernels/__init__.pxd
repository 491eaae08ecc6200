# `cimport ffkernels`: the kernels as C functions, described in `include/ffkernels.h`.
#
#     cdef const ffkernels.API *ff = ffkernels.import_api()
#
# An extension that cimports this needs `ffkernels.get_include()` among its include folders.

cdef extern from "ffkernels.h":
    enum:
        ABI_VERSION "FFKERNELS_ABI_VERSION"
        API_VERSION "FFKERNELS_API_VERSION"

    ctypedef struct API "ffkernels_api":
        int abi_version
        int api_version
        const char *isa

        void (*relu_f32)(ptrdiff_t n, const float *x, float *y) noexcept nogil
        void (*relu_f64)(ptrdiff_t n, const double *x, double *y) noexcept nogil
        void (*relu_backward_f32)(ptrdiff_t n, const float *dy, const float *y, float *dx) noexcept nogil
        void (*relu_backward_f64)(ptrdiff_t n, const double *dy, const double *y, double *dx) noexcept nogil
        void (*sigmoid_f32)(ptrdiff_t n, const float *x, float *y) noexcept nogil
        void (*sigmoid_f64)(ptrdiff_t n, const double *x, double *y) noexcept nogil
        void (*sigmoid_backward_f32)(ptrdiff_t n, const float *dy, const float *y, float *dx) noexcept nogil
        void (*sigmoid_backward_f64)(ptrdiff_t n, const double *dy, const double *y, double *dx) noexcept nogil
        void (*tanh_f32)(ptrdiff_t n, const float *x, float *y) noexcept nogil
        void (*tanh_f64)(ptrdiff_t n, const double *x, double *y) noexcept nogil
        void (*tanh_backward_f32)(ptrdiff_t n, const float *dy, const float *y, float *dx) noexcept nogil
        void (*tanh_backward_f64)(ptrdiff_t n, const double *dy, const double *y, double *dx) noexcept nogil

        void (*logsumexp_f32)(ptrdiff_t rows, ptrdiff_t n, const float *x, float *y) noexcept nogil
        void (*logsumexp_f64)(ptrdiff_t rows, ptrdiff_t n, const double *x, double *y) noexcept nogil

        void (*softmax_f32)(ptrdiff_t rows, ptrdiff_t n, const float *x, float *y) noexcept nogil
        void (*softmax_f64)(ptrdiff_t rows, ptrdiff_t n, const double *x, double *y) noexcept nogil
        void (*softmax_backward_f32)(
            ptrdiff_t rows, ptrdiff_t n, const float *dy, const float *y, float *dx) noexcept nogil
        void (*softmax_backward_f64)(
            ptrdiff_t rows, ptrdiff_t n, const double *dy, const double *y, double *dx) noexcept nogil
        void (*log_softmax_f32)(ptrdiff_t rows, ptrdiff_t n, const float *x, float *y) noexcept nogil
        void (*log_softmax_f64)(ptrdiff_t rows, ptrdiff_t n, const double *x, double *y) noexcept nogil
        void (*log_softmax_backward_f32)(
            ptrdiff_t rows, ptrdiff_t n, const float *dy, const float *y, float *dx) noexcept nogil
        void (*log_softmax_backward_f64)(
            ptrdiff_t rows, ptrdiff_t n, const double *dy, const double *y, double *dx) noexcept nogil

        ptrdiff_t (*softmax_cross_entropy_f32)(
            ptrdiff_t rows, ptrdiff_t n, const float *logits, const ptrdiff_t *targets, const float *weight,
            double factor, double *loss, float *grad) noexcept nogil
        ptrdiff_t (*softmax_cross_entropy_f64)(
            ptrdiff_t rows, ptrdiff_t n, const double *logits, const ptrdiff_t *targets, const double *weight,
            double factor, double *loss, double *grad) noexcept nogil

        void (*sgd_update_f32)(
            ptrdiff_t n, float *param, const float *grad, double lr, double weight_decay) noexcept nogil
        void (*sgd_update_f64)(
            ptrdiff_t n, double *param, const double *grad, double lr, double weight_decay) noexcept nogil
        void (*momentum_update_f32)(
            ptrdiff_t n, float *param, const float *grad, float *velocity,
            double lr, double momentum, double weight_decay) noexcept nogil
        void (*momentum_update_f64)(
            ptrdiff_t n, double *param, const double *grad, double *velocity,
            double lr, double momentum, double weight_decay) noexcept nogil
        void (*adam_update_f32)(
            ptrdiff_t n, float *param, const float *grad, float *m, float *v, ptrdiff_t step,
            double lr, double beta1, double beta2, double eps, double weight_decay) noexcept nogil
        void (*adam_update_f64)(
            ptrdiff_t n, double *param, const double *grad, double *m, double *v, ptrdiff_t step,
            double lr, double beta1, double beta2, double eps, double weight_decay) noexcept nogil

    const API *import_api "ffkernels_import"() except NULL
