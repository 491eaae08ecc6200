# Elementwise functions over arrays of one shape and any strides.
#
# The order of elements does not matter, so the axes are sorted and joined: arrays laid out alike become
# one long span, whatever their layout.  Threads take chunks of a span.  A span with a stride, or of half
# precision that no loop takes, is gathered, 4 KiB at a time, into a buffer that stays in the first-level
# cache, computed there and scattered back.

cdef enum:
    CHUNK = 16384        # elements one of several threads takes at a time, at most: 64 KiB of float
    CHUNKS = 8           # chunks for each thread, at least, so that others can take some over
    CHUNK_MULTIPLE = 64  # elements: a chunk is whole cache lines

ctypedef struct Walk:
    const span_function *spans   # for each `Storage`
    span_function span           # the one that was chosen
    const double *scalars        # what the span takes besides its operands, or NULL
    ptrdiff_t grain              # elements a thread must have
    Storage work                 # the type to compute in
    int wide                     # bit k: operand k is in the type to compute in, whatever the others are
    Axes axes                    # the last one is the span
    int written                  # bit k: operand k is written
    int gathered                 # bit k: the span cannot take operand k as it lies
    ptrdiff_t chunk              # elements of a span taken at a time
    ptrdiff_t chunks_a_span


cdef void begin_walk(Walk *walk, const span_function *spans, const double *scalars, ptrdiff_t grain, Storage work,
                     int ndim, const cnp.npy_intp *shape) noexcept:
    """Begins a walk over this shape; `add_operand` or `add_array` then adds each operand."""
    cdef int i
    walk.spans = spans
    walk.scalars = scalars
    walk.grain = grain
    walk.work = work
    walk.written = 0
    walk.wide = 0
    walk.axes.operands = 0
    walk.axes.ndim = ndim
    for i in range(ndim):
        walk.axes.shape[i] = shape[i]


cdef void add_operand(Walk *walk, char *data, Storage storage, int ndim, const cnp.npy_intp *strides,
                      bint written) noexcept:
    """Adds an operand; one of fewer axes is broadcast along the first."""
    cdef int i, k = walk.axes.operands, missing = walk.axes.ndim - ndim
    for i in range(missing):
        walk.axes.strides[k][i] = 0
    for i in range(ndim):
        walk.axes.strides[k][missing + i] = strides[i]
    walk.axes.data[k] = data
    walk.axes.storage[k] = storage
    walk.written |= written << k
    walk.axes.operands = k + 1


cdef inline void add_array(Walk *walk, cnp.ndarray a, bint written) noexcept:
    add_operand(walk, <char *>cnp.PyArray_DATA(a), storage_of(a), cnp.PyArray_NDIM(a), cnp.PyArray_STRIDES(a), written)


cdef inline void add_contiguous(Walk *walk, char *data, Storage storage, bint written) noexcept:
    """Adds an operand to a walk over one axis."""
    cdef cnp.npy_intp stride = stored_size(storage)
    add_operand(walk, data, storage, 1, &stride, written)


cdef void join_walk(Walk *walk) noexcept:
    """Leaves as few and as long axes as the layouts allow, and at least one."""
    cdef int k
    sort_axes(&walk.axes)
    join_axes(&walk.axes)
    if walk.axes.ndim == 0:
        walk.axes.ndim = 1
        walk.axes.shape[0] = 1
        for k in range(walk.axes.operands):
            walk.axes.strides[k][0] = stored_size(walk.axes.storage[k])


cdef void span_gathered(const Walk *walk, char *const *start, ptrdiff_t n) noexcept nogil:
    """One span of `n`, of which operands are gathered, a buffer at a time."""
    cdef Buffer buffers[MAX_OPERANDS]
    cdef char *operand[MAX_OPERANDS]
    cdef ptrdiff_t done = 0, count, stride
    cdef int k
    while done < n:
        count = min(n - done, <ptrdiff_t>sizeof(Buffer) // stored_size(walk.work))
        for k in range(walk.axes.operands):
            stride = walk.axes.strides[k][walk.axes.ndim - 1]
            operand[k] = start[k] + done * stride
            if (walk.gathered >> k) & 1:
                gather(walk.axes.storage[k], operand[k], stride, &buffers[k], count)
                operand[k] = <char *>&buffers[k]
        walk.span(operand, walk.scalars, count)
        for k in range(walk.axes.operands):
            if ((walk.gathered & walk.written) >> k) & 1:
                stride = walk.axes.strides[k][walk.axes.ndim - 1]
                scatter(walk.axes.storage[k], operand[k], start[k] + done * stride, stride, count)
        done += count


cdef void walk_chunk(const void *job, ptrdiff_t chunk, int thread) noexcept nogil:
    """Chunk number `chunk` of all: at most walk.chunk elements of one span."""
    cdef const Walk *walk = <const Walk *>job
    cdef char *operand[MAX_OPERANDS]
    cdef ptrdiff_t first = chunk % walk.chunks_a_span * walk.chunk
    cdef ptrdiff_t n = min(walk.axes.shape[walk.axes.ndim - 1] - first, walk.chunk)
    cdef int k
    find_position(&walk.axes, walk.axes.ndim - 1, chunk // walk.chunks_a_span, operand)
    for k in range(walk.axes.operands):
        operand[k] += first * walk.axes.strides[k][walk.axes.ndim - 1]
    if walk.gathered:
        span_gathered(walk, operand, n)
    else:
        walk.span(operand, walk.scalars, n)


cdef inline int to_gather(const Walk *walk, Storage storage) noexcept nogil:
    """Bit k: a span for this storage cannot take operand k as it lies."""
    cdef int k, found = 0
    cdef Storage wanted
    for k in range(walk.axes.operands):
        wanted = walk.work if (walk.wide >> k) & 1 else storage
        if (walk.axes.storage[k] != wanted
                or walk.axes.strides[k][walk.axes.ndim - 1] != stored_size(wanted)):
            found |= 1 << k
    return found


cdef void choose_span(Walk *walk) noexcept:
    cdef Storage storage = walk.axes.storage[0]
    walk.gathered = to_gather(walk, storage)
    if walk.spans[storage] == NULL or walk.gathered:
        storage = walk.work
        walk.gathered = to_gather(walk, storage)
    walk.span = walk.spans[storage]


cdef void run_walk(Walk *walk) noexcept:
    cdef ptrdiff_t size = 1, span, grains
    cdef int i, n_threads
    for i in range(walk.axes.ndim):
        size *= walk.axes.shape[i]
    if size == 0:
        return
    choose_span(walk)
    grains = size // walk.grain
    n_threads = threads_here(grains)
    span = walk.chunk = walk.axes.shape[walk.axes.ndim - 1]
    if n_threads > 1:
        walk.chunk = max(min(CHUNK, size // (CHUNKS * n_threads)), walk.grain // 4, CHUNK_MULTIPLE)
        walk.chunk -= walk.chunk % CHUNK_MULTIPLE
    walk.chunks_a_span = (span + walk.chunk - 1) // walk.chunk
    with nogil:
        in_parallel(walk_chunk, walk, size // span * walk.chunks_a_span, n_threads, grains)


cdef inline void run_contiguous(const span_function *spans, const double *scalars, ptrdiff_t grain, cnp.npy_intp n,
                                Storage work, int operands, char **data, const Storage *storage,
                                int written) noexcept:
    """A walk over contiguous operands of `n` elements: one span, of which a short one needs no `Walk`."""
    cdef Walk walk
    cdef bint alike = spans[storage[0]] != NULL
    cdef int k
    for k in range(1, operands):
        alike = alike and storage[k] == storage[0]
    if n <= CHUNK and alike:
        spans[storage[0]](data, scalars, n)
        return
    begin_walk(&walk, spans, scalars, grain, work, 1, &n)
    for k in range(operands):
        add_contiguous(&walk, data[k], storage[k], (written >> k) & 1)
    run_walk(&walk)


cdef inline Storage work_storage(cnp.ndarray x) noexcept:
    """How the type is stored that an array is computed in."""
    return FLOAT64 if is_double(x) else FLOAT32


cdef void run_elementwise(cnp.ndarray a, cnp.ndarray b, cnp.ndarray target, const span_function *spans,
                          const double *number, ptrdiff_t grain) noexcept:
    """target = f(a), or f(a, b) where b is not None"""
    cdef Storage work = work_storage(target)
    cdef char *data[3]
    cdef Storage storage[3]
    cdef int inputs = 1 if b is None else 2
    cdef Walk walk
    if is_c_ordered(a) and (b is None or is_c_ordered(b)) and is_c_ordered(target):
        data[0], storage[0] = <char *>cnp.PyArray_DATA(a), storage_of(a)
        if b is not None:
            data[1], storage[1] = <char *>cnp.PyArray_DATA(b), storage_of(b)
        data[inputs], storage[inputs] = <char *>cnp.PyArray_DATA(target), storage_of(target)
        run_contiguous(spans, number, grain, cnp.PyArray_SIZE(target), work, inputs + 1, data, storage, 1 << inputs)
        return
    begin_walk(&walk, spans, number, grain, work, cnp.PyArray_NDIM(target), cnp.PyArray_DIMS(target))
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
        (source,), target, result = _arguments.check_elementwise(("x",), (x,), out, halves=True)
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
        (grad, value), target, result = _arguments.check_elementwise(("dy", saved), (dy, y), out, halves=True)
    run_elementwise(grad, value, target, spans, &number, grain)
    return finish_output(target, result, out)
