# Elementwise functions over arrays of one shape and any strides.
#
# The axes are put in the order of memory and joined where they can be; an array and an `out` laid
# out alike become one long span, whatever their order.  A span of 512 elements with a stride is
# gathered into a buffer that stays in the first-level cache, computed there and scattered back.

cdef enum:
    MAX_OPERANDS = 4
    CHUNK = 16384        # elements one of several threads takes at a time, at most: 64 KiB of float
    PARTS = 8            # chunks each thread has, at least, so that others can take some over
    LINES = 64           # elements: a chunk is a multiple of some cache lines
    BUFFER = 512

# Elements for each thread below which a second one does not pay, by what an element costs: three or four
# microseconds of work.
cdef enum:
    GRAIN_MEMORY = 1 << 15
    GRAIN_MATHS = 1 << 13

ctypedef struct Walk:
    span_function span
    const double *scalar
    ptrdiff_t itemsize
    ptrdiff_t grain
    ptrdiff_t chunk                # elements taken at a time
    ptrdiff_t chunks_a_span
    int operands
    int outputs                    # bit i: operand i is written
    int ndim
    ptrdiff_t shape[MAX_DIMS]      # the last axis is the span
    ptrdiff_t strides[MAX_OPERANDS][MAX_DIMS]
    char *data[MAX_OPERANDS]


cdef void add_operand(Walk *walk, cnp.ndarray a, bint written) noexcept:
    """Operand after operand; all have the shape of the first, or a single axis that is its last."""
    cdef int i, k = walk.operands, ndim = cnp.PyArray_NDIM(a)
    if k == 0:
        walk.itemsize = cnp.PyArray_ITEMSIZE(a)
        walk.ndim = ndim
        for i in range(ndim):
            walk.shape[i] = cnp.PyArray_DIM(a, i)
    for i in range(walk.ndim):
        walk.strides[k][i] = 0
    for i in range(ndim):
        walk.strides[k][walk.ndim - ndim + i] = cnp.PyArray_STRIDE(a, i)
    walk.data[k] = <char *>cnp.PyArray_DATA(a)
    walk.outputs |= written << k
    walk.operands = k + 1


cdef void drop_axis(Walk *walk, int axis) noexcept:
    cdef int i, k
    walk.ndim -= 1
    for i in range(axis, walk.ndim):
        walk.shape[i] = walk.shape[i + 1]
        for k in range(walk.operands):
            walk.strides[k][i] = walk.strides[k][i + 1]


cdef void simplify(Walk *walk) noexcept:
    """Turns every axis to run forwards in the last operand, sorts the axes by its strides, largest
    first, and joins neighbours that every operand passes through in one go."""
    cdef int i, j, k, out = walk.operands - 1
    cdef ptrdiff_t swap
    cdef bint joined
    for i in reversed(range(walk.ndim)):
        if walk.shape[i] == 1:
            drop_axis(walk, i)
        elif walk.strides[out][i] < 0:
            for k in range(walk.operands):
                walk.data[k] += (walk.shape[i] - 1) * walk.strides[k][i]
                walk.strides[k][i] = -walk.strides[k][i]
    for i in range(1, walk.ndim):
        j = i
        while j > 0 and walk.strides[out][j - 1] < walk.strides[out][j]:
            swap = walk.shape[j - 1]
            walk.shape[j - 1] = walk.shape[j]
            walk.shape[j] = swap
            for k in range(walk.operands):
                swap = walk.strides[k][j - 1]
                walk.strides[k][j - 1] = walk.strides[k][j]
                walk.strides[k][j] = swap
            j -= 1
    for i in reversed(range(walk.ndim - 1)):
        joined = True
        for k in range(walk.operands):
            joined = joined and walk.strides[k][i] == walk.shape[i + 1] * walk.strides[k][i + 1]
        if joined:
            walk.shape[i + 1] *= walk.shape[i]
            drop_axis(walk, i)
    if walk.ndim == 0:
        walk.ndim = 1
        walk.shape[0] = 1
        for k in range(walk.operands):
            walk.strides[k][0] = walk.itemsize


cdef inline void gather(const char *x, ptrdiff_t stride, char *buffer, ptrdiff_t n, ptrdiff_t itemsize) noexcept nogil:
    cdef ptrdiff_t i
    if itemsize == sizeof(float):
        for i in range(n):
            (<float *>buffer)[i] = (<const float *>(x + i * stride))[0]
    else:
        for i in range(n):
            (<double *>buffer)[i] = (<const double *>(x + i * stride))[0]


cdef inline void scatter(const char *buffer, char *x, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t itemsize) noexcept nogil:
    cdef ptrdiff_t i
    if itemsize == sizeof(float):
        for i in range(n):
            (<float *>(x + i * stride))[0] = (<const float *>buffer)[i]
    else:
        for i in range(n):
            (<double *>(x + i * stride))[0] = (<const double *>buffer)[i]


cdef void walk_strided(const Walk *walk, char *const *start, ptrdiff_t n) noexcept nogil:
    """One span of `n` with a stride, a buffer at a time."""
    cdef double buffers[MAX_OPERANDS][BUFFER]
    cdef char *operand[MAX_OPERANDS]
    cdef ptrdiff_t done = 0, count, stride
    cdef int k
    while done < n:
        count = min(n - done, BUFFER)
        for k in range(walk.operands):
            stride = walk.strides[k][walk.ndim - 1]
            operand[k] = start[k] + done * stride
            if stride != walk.itemsize:
                gather(operand[k], stride, <char *>buffers[k], count, walk.itemsize)
                operand[k] = <char *>buffers[k]
        walk.span(operand, walk.scalar, count)
        for k in range(walk.operands):
            stride = walk.strides[k][walk.ndim - 1]
            if stride != walk.itemsize and (walk.outputs >> k) & 1:
                scatter(operand[k], start[k] + done * stride, stride, count, walk.itemsize)
        done += count


cdef void walk_chunk(const void *job, ptrdiff_t chunk, int thread) noexcept nogil:
    """Chunk number `chunk` of the array, at most walk.chunk elements of one span."""
    cdef const Walk *walk = <const Walk *>job
    cdef char *operand[MAX_OPERANDS]
    cdef ptrdiff_t first = (chunk % walk.chunks_a_span) * walk.chunk
    cdef ptrdiff_t outer = chunk // walk.chunks_a_span, index
    cdef ptrdiff_t n = min(walk.shape[walk.ndim - 1] - first, walk.chunk)
    cdef bint contiguous = True
    cdef int i, k
    for k in range(walk.operands):
        operand[k] = walk.data[k] + first * walk.strides[k][walk.ndim - 1]
        contiguous = contiguous and walk.strides[k][walk.ndim - 1] == walk.itemsize
    for i in range(walk.ndim - 2, -1, -1):
        index = outer % walk.shape[i]
        outer //= walk.shape[i]
        for k in range(walk.operands):
            operand[k] += index * walk.strides[k][i]
    if contiguous:
        walk.span(operand, walk.scalar, n)
    else:
        walk_strided(walk, operand, n)


cdef void run(Walk *walk) noexcept nogil:
    cdef ptrdiff_t size = 1, span, grains
    cdef int i, n_threads
    for i in range(walk.ndim):
        size *= walk.shape[i]
    if size == 0:
        return
    grains = size // walk.grain
    n_threads = threads_for(grains)
    span = walk.chunk = walk.shape[walk.ndim - 1]
    if n_threads > 1:
        walk.chunk = max(min(CHUNK, size // (PARTS * n_threads)), walk.grain // 4, LINES) // LINES * LINES
    walk.chunks_a_span = (span + walk.chunk - 1) // walk.chunk
    in_parallel(walk_chunk, walk, size // span * walk.chunks_a_span, n_threads, grains)


cdef inline void run_plain(span_function span, const double *scalars, ptrdiff_t grain, ptrdiff_t n,
                           ptrdiff_t itemsize, int operands, char **data) noexcept:
    """The whole of plain arrays as one span."""
    cdef Walk walk
    cdef int k
    if n <= CHUNK:
        span(data, scalars, n)
        return
    walk.span = span
    walk.scalar = scalars
    walk.itemsize = itemsize
    walk.grain = grain
    walk.operands = operands
    walk.ndim = 1
    walk.shape[0] = n
    for k in range(operands):
        walk.strides[k][0] = itemsize
        walk.data[k] = data[k]
    with nogil:
        run(&walk)


cdef void over_elements(cnp.ndarray a, cnp.ndarray b, cnp.ndarray target, const span_function *spans,
                        ptrdiff_t grain) noexcept:
    """target = f(a), or f(a, b) where b is not None"""
    cdef char *data[3]
    cdef int operands = 0
    cdef Walk walk
    if is_c_ordered(a) and (b is None or is_c_ordered(b)) and is_c_ordered(target):
        data[0] = <char *>cnp.PyArray_DATA(a)
        if b is not None:
            data[1] = <char *>cnp.PyArray_DATA(b)
            operands = 1
        data[operands + 1] = <char *>cnp.PyArray_DATA(target)
        run_plain(spans[is_double(target)], NULL, grain, cnp.PyArray_SIZE(target),
                  cnp.PyArray_ITEMSIZE(target), operands + 2, data)
        return
    walk.operands = walk.outputs = 0
    walk.span = spans[is_double(target)]
    walk.grain = grain
    add_operand(&walk, a, False)
    if b is not None:
        add_operand(&walk, b, False)
    add_operand(&walk, target, True)
    simplify(&walk)
    with nogil:
        run(&walk)


cdef object unary(object x, object out, const span_function *spans, ptrdiff_t grain):
    """out = f(x)"""
    cdef cnp.ndarray source, target
    if is_array(x) and is_out(out, <cnp.ndarray>x):
        source = <cnp.ndarray>x
        target = result = empty_like(source) if out is None else out
    else:
        (source,), target, result = _arguments.elementwise(("x",), (x,), out)
    over_elements(source, None, target, spans, grain)
    return delivered(target, result, out)


cdef object binary(object dy, object y, object out, const span_function *spans, ptrdiff_t grain):
    """out = f(dy, y)"""
    cdef cnp.ndarray grad, saved, target
    if is_pair(dy, y, out):
        grad, saved = <cnp.ndarray>dy, <cnp.ndarray>y
        target = result = empty_like(grad) if out is None else out
    else:
        (grad, saved), target, result = _arguments.elementwise(("dy", "y"), (dy, y), out)
    over_elements(grad, saved, target, spans, grain)
    return delivered(target, result, out)
