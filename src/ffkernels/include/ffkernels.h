/* The kernels as C functions, for other compiled packages: C, C++, and Cython through `__init__.pxd`.

       const ffkernels_api *ff = ffkernels_import();    // holding the GIL; NULL: ImportError is set
       if (!ff) return NULL;
       ff->softmax_f32(rows, n, x, y);                  // with or without the GIL

   An array over rows is `rows` rows of `n` values, one after the other.  Every call runs on the
   thread that makes it, allocates nothing and takes no lock, so that any number of threads may call
   at once on rows of their own.  Stack: at most 16 KiB.

   An output is exactly one of the inputs of its size, or apart from all of them; a logsumexp is
   apart.  NaN stays in its row.  Sizes may be 0. */
#ifndef FFKERNELS_H
#define FFKERNELS_H

#include <Python.h>
#include <stddef.h>

/* The ABI version changes when a package has to be built again, the API version when members are
   added at the end.  A package runs with every ffkernels of its ABI version and at least its API
   version. */
#define FFKERNELS_ABI_VERSION 1
#define FFKERNELS_API_VERSION 1

typedef struct ffkernels_api {
    int abi_version;
    int api_version;
    const char *isa; /* instruction set of these functions: "baseline", "avx2" or "avx512" */

    /* y = f(x); dx = dy f'(y), where y is what f gave, for relu its input too */
    void (*relu_f32)(ptrdiff_t n, const float *x, float *y);
    void (*relu_f64)(ptrdiff_t n, const double *x, double *y);
    void (*relu_backward_f32)(ptrdiff_t n, const float *dy, const float *y, float *dx);
    void (*relu_backward_f64)(ptrdiff_t n, const double *dy, const double *y, double *dx);
    void (*sigmoid_f32)(ptrdiff_t n, const float *x, float *y);
    void (*sigmoid_f64)(ptrdiff_t n, const double *x, double *y);
    void (*sigmoid_backward_f32)(ptrdiff_t n, const float *dy, const float *y, float *dx);
    void (*sigmoid_backward_f64)(ptrdiff_t n, const double *dy, const double *y, double *dx);
    void (*tanh_f32)(ptrdiff_t n, const float *x, float *y);
    void (*tanh_f64)(ptrdiff_t n, const double *x, double *y);
    void (*tanh_backward_f32)(ptrdiff_t n, const float *dy, const float *y, float *dx);
    void (*tanh_backward_f64)(ptrdiff_t n, const double *dy, const double *y, double *dx);

    /* y: one value for each of `rows` rows */
    void (*logsumexp_f32)(ptrdiff_t rows, ptrdiff_t n, const float *x, float *y);
    void (*logsumexp_f64)(ptrdiff_t rows, ptrdiff_t n, const double *x, double *y);

    /* rows to rows */
    void (*softmax_f32)(ptrdiff_t rows, ptrdiff_t n, const float *x, float *y);
    void (*softmax_f64)(ptrdiff_t rows, ptrdiff_t n, const double *x, double *y);
    void (*softmax_backward_f32)(ptrdiff_t rows, ptrdiff_t n, const float *dy, const float *y, float *dx);
    void (*softmax_backward_f64)(ptrdiff_t rows, ptrdiff_t n, const double *dy, const double *y, double *dx);
    void (*log_softmax_f32)(ptrdiff_t rows, ptrdiff_t n, const float *x, float *y);
    void (*log_softmax_f64)(ptrdiff_t rows, ptrdiff_t n, const double *x, double *y);
    void (*log_softmax_backward_f32)(ptrdiff_t rows, ptrdiff_t n, const float *dy, const float *y, float *dx);
    void (*log_softmax_backward_f64)(ptrdiff_t rows, ptrdiff_t n, const double *dy, const double *y, double *dx);

    /* Cross-entropy of the softmax of logits, from the class index of each row:

           loss = sum over rows of w (logsumexp(logits) - logits[target]), w = weight[target]
           grad = factor w (softmax(logits) - one_hot(target))

       `weight` holds n finite numbers of at least 0, or is NULL for ones; `grad` may be NULL.  For
       the mean over rows `factor` is 1 / rows, and the mean is `factor * loss`.

       Returns -1, or the first row whose target is not in [0, n); then nothing has been written. */
    ptrdiff_t (*softmax_cross_entropy_f32)(ptrdiff_t rows, ptrdiff_t n, const float *logits,
                                           const ptrdiff_t *targets, const float *weight,
                                           double factor, double *loss, float *grad);
    ptrdiff_t (*softmax_cross_entropy_f64)(ptrdiff_t rows, ptrdiff_t n, const double *logits,
                                           const ptrdiff_t *targets, const double *weight,
                                           double factor, double *loss, double *grad);

    /* Updates in place; all arrays apart.  `step` counts from 1. */
    void (*sgd_update_f32)(ptrdiff_t n, float *param, const float *grad, double lr, double weight_decay);
    void (*sgd_update_f64)(ptrdiff_t n, double *param, const double *grad, double lr, double weight_decay);
    void (*momentum_update_f32)(ptrdiff_t n, float *param, const float *grad, float *velocity, double lr,
                                double momentum, double weight_decay);
    void (*momentum_update_f64)(ptrdiff_t n, double *param, const double *grad, double *velocity, double lr,
                                double momentum, double weight_decay);
    void (*adam_update_f32)(ptrdiff_t n, float *param, const float *grad, float *m, float *v, ptrdiff_t step,
                            double lr, double beta1, double beta2, double eps, double weight_decay);
    void (*adam_update_f64)(ptrdiff_t n, double *param, const double *grad, double *m, double *v, ptrdiff_t step,
                            double lr, double beta1, double beta2, double eps, double weight_decay);
} ffkernels_api;

/* The functions of the instruction set that is active now; they stay valid as long as the process,
   whatever is chosen later.  Needs the GIL.  NULL with ImportError set where ffkernels is absent, has
   no compiled kernels, or has another ABI or an older API than this header. */
static inline const ffkernels_api *ffkernels_import(void) {
    const ffkernels_api *api = NULL;
    PyObject *capsule = NULL, *package = PyImport_ImportModule("ffkernels._capi");
    if (package) capsule = PyObject_CallMethod(package, "capsule", NULL);
    if (capsule) api = (const ffkernels_api *)PyCapsule_GetPointer(capsule, "ffkernels_api");
    Py_XDECREF(capsule);
    Py_XDECREF(package);
    if (api && (api->abi_version != FFKERNELS_ABI_VERSION || api->api_version < FFKERNELS_API_VERSION)) {
        PyErr_Format(PyExc_ImportError,
                     "ffkernels: expected C interface %d.%d, as this package was built with, or a later "
                     "%d.x, got %d.%d",
                     FFKERNELS_ABI_VERSION, FFKERNELS_API_VERSION, FFKERNELS_ABI_VERSION,
                     api->abi_version, api->api_version);
        api = NULL;
    }
    return api;
}

#endif
