# Strided memory: the axes of several arrays that are passed through together.  How values are gathered from it
# and scattered to it is in `storage.h`.
#
# Neighbouring axes are joined where every array passes through both in one go, so that what is left is
# as few and as long axes as the layouts allow.  All strides are in bytes.

cdef enum:
    MAX_OPERANDS = 5

ctypedef struct Axes:
    int ndim
    int operands
    ptrdiff_t shape[MAX_DIMS]
    ptrdiff_t strides[MAX_OPERANDS][MAX_DIMS]
    Storage storage[MAX_OPERANDS]
    char *data[MAX_OPERANDS]       # NULL where there is no such array; its strides are 0


cdef void drop_axis(Axes *axes, int axis) noexcept:
    cdef int i, k
    axes.ndim -= 1
    for i in range(axis, axes.ndim):
        axes.shape[i] = axes.shape[i + 1]
        for k in range(axes.operands):
            axes.strides[k][i] = axes.strides[k][i + 1]


cdef void join_axes(Axes *axes) noexcept:
    """Joins neighbours where a step along the outer one is, in every array, as many along the inner one
    as it is long."""
    cdef int i, k
    cdef bint joined
    for i in reversed(range(axes.ndim - 1)):
        joined = True
        for k in range(axes.operands):
            joined = joined and axes.strides[k][i] == axes.shape[i + 1] * axes.strides[k][i + 1]
        if joined:
            axes.shape[i + 1] *= axes.shape[i]
            drop_axis(axes, i)


cdef void sort_axes(Axes *axes) noexcept:
    """Puts the axes in the order in which the last array lies in memory, where their order does not
    matter: without those of length 1, all forwards, the longest strides first."""
    cdef int i, j, k, last = axes.operands - 1
    cdef ptrdiff_t swap
    for i in reversed(range(axes.ndim)):
        if axes.shape[i] == 1:
            drop_axis(axes, i)
        elif axes.strides[last][i] < 0:
            for k in range(axes.operands):
                axes.data[k] += (axes.shape[i] - 1) * axes.strides[k][i]
                axes.strides[k][i] = -axes.strides[k][i]
    for i in range(1, axes.ndim):
        j = i
        while j > 0 and axes.strides[last][j - 1] < axes.strides[last][j]:
            swap = axes.shape[j - 1]
            axes.shape[j - 1] = axes.shape[j]
            axes.shape[j] = swap
            for k in range(axes.operands):
                swap = axes.strides[k][j - 1]
                axes.strides[k][j - 1] = axes.strides[k][j]
                axes.strides[k][j] = swap
            j -= 1


cdef inline void find_position(const Axes *axes, int ndim, ptrdiff_t position, char **found) noexcept nogil:
    """Where position number `position` of the first `ndim` axes, counted in C order, lies in each array."""
    cdef ptrdiff_t index
    cdef int i, k
    for k in range(axes.operands):
        found[k] = axes.data[k]
    for i in range(ndim - 1, -1, -1):
        index = position % axes.shape[i]
        position //= axes.shape[i]
        for k in range(axes.operands):
            if found[k] != NULL:
                found[k] += index * axes.strides[k][i]
