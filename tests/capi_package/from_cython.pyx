# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Losses and gradients of many batches in one loop without the GIL."""

cimport ffkernels

cdef const ffkernels.API *ff = ffkernels.import_api()

ctypedef fused real:
    float
    double


def take():
    """Takes the functions again, of the instruction set that is active now."""
    global ff
    ff = ffkernels.import_api()


def isa():
    return ff.isa.decode()


cdef inline ptrdiff_t cross_entropy(ptrdiff_t rows, ptrdiff_t n, const real *logits, const ptrdiff_t *targets,
                                    double *loss, real *grad) noexcept nogil:
    if real is float:
        return ff.softmax_cross_entropy_f32(rows, n, logits, targets, NULL, 1.0 / rows, loss, grad)
    else:
        return ff.softmax_cross_entropy_f64(rows, n, logits, targets, NULL, 1.0 / rows, loss, grad)


def losses(const real[:, :, ::1] logits, const ptrdiff_t[:, ::1] targets, real[:, :, ::1] grads, double[::1] means):
    """The mean loss of each batch to `means`, its gradient to `grads`."""
    cdef ptrdiff_t batches = logits.shape[0], rows = logits.shape[1], n = logits.shape[2]
    cdef ptrdiff_t batch, bad = -1
    cdef double loss
    with nogil:
        for batch in range(batches):
            bad = cross_entropy(rows, n, &logits[batch, 0, 0], &targets[batch, 0], &loss, &grads[batch, 0, 0])
            if bad >= 0:
                break
            means[batch] = loss / rows
    if bad >= 0:
        raise IndexError(f"batch {batch}, row {bad}: class {targets[batch, bad]} of {n}")
