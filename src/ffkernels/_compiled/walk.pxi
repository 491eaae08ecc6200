# Elementwise functions over arrays of one shape and any strides.
#
# The order of elements does not matter, so the axes are sorted and joined: arrays laid out alike become
# one long span, whatever their layout.  Threads take chunks of a span.  A span with a stride is
# gathered, 512 elements at a time, into a buffer that stays in the first-level cache, computed there and
# scattered back.

cdef enum:
    CHUNK = 16384        # elements one of several threads takes at a time, at most: 64 KiB of float
    CHUNKS = 8           # chunks for each thread, at least, so that others can take some over
    CHUNK_MULTIPLE = 64  # elements: a chunk is whole cache lines

ctypedef struct Walk:
    span_function span
    const double *scalars        # what the span takes besides its operands, or NULL
    ptrdiff_t grain              # elements a thread must have
    ptrdiff_t itemsize
    Axes axes                    # the last one is the span
    int written                  # bit k: operand k is written
    ptrdiff_t chunk              # elements of a span taken at a time
    ptrdiff_t chunks_a_span


cdef void begin_walk(Walk *walk, span_function span, const double *scalars, ptrdiff_t grain, ptrdiff_t itemsize,
                     int ndim, const cnp.npy_intp *shape) noexcept:
    """Begins a walk over this shape; `add_operand` or `add_array` then adds each operand."""
    cdef int i
    walk.span = span
    walk.scalars = scalars
    walk.grain = grain
    walk.itemsize = itemsize
    walk.written = 0
    walk.axes.operands = 0
    walk.axes.ndim = ndim
    for i in range(ndim):
        walk.axes.shape[i] = shape[i]


cdef void add_operand(Walk *walk, char *data, int ndim, const cnp.npy_intp *strides, bint written) noexcept:
    """Adds an operand; one of fewer axes is broadcast along the first."""
    cdef int i, k = walk.axes.operands, missing = walk.axes.ndim - ndim
    for i in range(missing):
        walk.axes.strides[k][i] = 0
    for i in range(ndim):
        walk.axes.strides[k][missing + i] = strides[i]
    walk.axes.data[k] = data
    walk.written |= written << k
    walk.axes.operands = k + 1


cdef inline void add_array(Walk *walk, cnp.ndarray a, bint written) noexcept:
    add_operand(walk, <char *>cnp.PyArray_DATA(a), cnp.PyArray_NDIM(a), cnp.PyArray_STRIDES(a), written)


cdef void join_walk(Walk *walk) noexcept:
    """Leaves as few and as long axes as the layouts allow, and at least one."""
    cdef int k
    sort_axes(&walk.axes)
    join_axes(&walk.axes)
    if walk.axes.ndim == 0:
        walk.axes.ndim = 1
        walk.axes.shape[0] = 1
        for k in range(walk.axes.operands):
            walk.axes.strides[k][0] = walk.itemsize


cdef void walk_gathered(const Walk *walk, char *const *start, ptrdiff_t n) noexcept nogil:
    """One span of `n` with a stride, a buffer at a time."""
    cdef Buffer buffers[MAX_OPERANDS]
    cdef char *operand[MAX_OPERANDS]
    cdef ptrdiff_t done = 0, count, stride
    cdef int k
    while done < n:
        count = min(n - done, BUFFER)
        for k in range(walk.axes.operands):
            stride = walk.axes.strides[k][walk.axes.ndim - 1]
            operand[k] = start[k] + done * stride
            if stride != walk.itemsize:
                gather(operand[k], stride, <char *>&buffers[k], count, walk.itemsize)
                operand[k] = <char *>&buffers[k]
        walk.span(operand, walk.scalars, count)
        for k in range(walk.axes.operands):
            stride = walk.axes.strides[k][walk.axes.ndim - 1]
            if stride != walk.itemsize and (walk.written >> k) & 1:
                scatter(operand[k], start[k] + done * stride, stride, count, walk.itemsize)
        done += count


cdef void walk_chunk(const void *job, ptrdiff_t chunk, int thread) noexcept nogil:
    """Chunk number `chunk` of all: at most walk.chunk elements of one span."""
    cdef const Walk *walk = <const Walk *>job
    cdef char *operand[MAX_OPERANDS]
    cdef ptrdiff_t first = chunk % walk.chunks_a_span * walk.chunk, stride
    cdef ptrdiff_t n = min(walk.axes.shape[walk.axes.ndim - 1] - first, walk.chunk)
    cdef bint contiguous = True
    cdef int k
    find_position(&walk.axes, walk.axes.ndim - 1, chunk // walk.chunks_a_span, operand)
    for k in range(walk.axes.operands):
        stride = walk.axes.strides[k][walk.axes.ndim - 1]
        operand[k] += first * stride
        contiguous = contiguous and stride == walk.itemsize
    if contiguous:
        walk.span(operand, walk.scalars, n)
    else:
        walk_gathered(walk, operand, n)


cdef void run_walk(Walk *walk) noexcept:
    cdef ptrdiff_t size = 1, span, grains
    cdef int i, n_threads
    for i in range(walk.axes.ndim):
        size *= walk.axes.shape[i]
    if size == 0:
        return
    grains = size // walk.grain
    n_threads = threads_for(grains)
    span = walk.chunk = walk.axes.shape[walk.axes.ndim - 1]
    if n_threads > 1:
        walk.chunk = max(min(CHUNK, size // (CHUNKS * n_threads)), walk.grain // 4, CHUNK_MULTIPLE)
        walk.chunk -= walk.chunk % CHUNK_MULTIPLE
    walk.chunks_a_span = (span + walk.chunk - 1) // walk.chunk
    with nogil:
        in_parallel(walk_chunk, walk, size // span * walk.chunks_a_span, n_threads, grains)


cdef inline void run_contiguous(span_function span, const double *scalars, ptrdiff_t grain, cnp.npy_intp n,
                                cnp.npy_intp itemsize, int operands, char **data) noexcept:
    """A walk over contiguous operands of `n` elements: one span, of which a short one needs no `Walk`."""
    cdef Walk walk
    cdef int k
    if n <= CHUNK:
        span(data, scalars, n)
        return
    begin_walk(&walk, span, scalars, grain, itemsize, 1, &n)
    for k in range(operands):
        add_operand(&walk, data[k], 1, &itemsize, False)
    run_walk(&walk)


cdef void run_elementwise(cnp.ndarray a, cnp.ndarray b, cnp.ndarray target, const span_function *spans,
                          const double *number, ptrdiff_t grain) noexcept:
    """target = f(a), or f(a, b) where b is not None"""
    cdef span_function span = spans[is_double(target)]
    cdef char *data[3]
    cdef int inputs = 1 if b is None else 2
    cdef Walk walk
    if is_c_ordered(a) and (b is None or is_c_ordered(b)) and is_c_ordered(target):
        data[0] = <char *>cnp.PyArray_DATA(a)
        if b is not None:
            data[1] = <char *>cnp.PyArray_DATA(b)
        data[inputs] = <char *>cnp.PyArray_DATA(target)
        run_contiguous(span, number, grain, cnp.PyArray_SIZE(target), cnp.PyArray_ITEMSIZE(target), inputs + 1, data)
        return
    begin_walk(&walk, span, number, grain, cnp.PyArray_ITEMSIZE(target), cnp.PyArray_NDIM(target),
               cnp.PyArray_DIMS(target))
    add_array(&walk, a, False)
    if b is not None:
        add_array(&walk, b, False)
    add_array(&walk, target, True)
    join_walk(&walk)
    run_walk(&walk)


cdef object unary(object x, object out, const span_function *spans, ptrdiff_t grain, double number=0):
    """out = f(x), or f(x, number)"""
    cdef cnp.ndarray source, target
    if is_array(x) and is_ready_out(out, <cnp.ndarray>x):
        source = <cnp.ndarray>x
        target = result = empty_like(source) if out is None else out
    else:
        (source,), target, result = _arguments.check_elementwise(("x",), (x,), out)
    run_elementwise(source, None, target, spans, &number, grain)
    return finish_output(target, result, out)


cdef object binary(object dy, object y, object out, const span_function *spans, ptrdiff_t grain,
                   double number=0, str saved="y"):
    """out = f(dy, y), or f(dy, y, number); messages call y what was saved"""
    cdef cnp.ndarray grad, value, target
    if is_ready_pair(dy, y, out):
        grad, value = <cnp.ndarray>dy, <cnp.ndarray>y
        target = result = empty_like(grad) if out is None else out
    else:
        (grad, value), target, result = _arguments.check_elementwise(("dy", saved), (dy, y), out)
    run_elementwise(grad, value, target, spans, &number, grain)
    return finish_output(target, result, out)
