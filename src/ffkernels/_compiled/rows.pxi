# Functions along an axis: which rows there are, and how each reaches a kernel.
#
# The axes but one are joined into `runs` of `count` rows with one stride between them.  Blocks of
# rows, of a size that depends on the shape alone, are what threads share out and what loss sums are
# kept for, so that no result depends on the number of threads.  A kernel sees contiguous memory:
#
#     BY_ROW      rows lie contiguously: one after the other, straight from the arrays
#     BY_COLUMN   neighbouring rows lie side by side (axis 0 of a C-ordered matrix): sixteen at a
#                 time, one in each lane, straight from the arrays; where there are many, from cache
#                 line to cache line of the output, and what is before and after through a tile
#     BY_TILE     few elements a row, or side by side with a step that sends all of them to a few sets
#                 of the cache: sixteen rows copied into a tile in scratch memory, and back
#     BY_COPY     anything else: a row copied into scratch memory, and back
#     BY_PICK     a kernel without a form for a row: sixteen at a time, of each of which it finds the one
#                 element that it needs; `n` is 1, and no more than that is work for threads

cdef enum:
    MAX_ARRAYS = 3               # two inputs, one output
    TILE_DOUBLES = 128           # longest row that goes into a tile, or twice as many floats
    COLUMN_STEPS = 2048          # the same for rows side by side: a tile of 128 KiB of float
    COLUMN_PLACES = 0x7fffffff   # longest row side by side: in float, lanes number its elements in 32 bits
    COLUMN_LINES = 256           # fewest rows side by side for which it pays to begin at cache lines
    CROWDED = 1024               # bytes: at multiples of it lie 1/16 of the sets of a cache
    TILE_ROWS = 4                # fewest rows for which a tile pays
    BLOCK_ELEMENTS = 1 << 12     # what a thread takes at a time
    GRAIN_ROWS = 1 << 12         # elements a thread must have, where each takes some maths
    GIL_ELEMENTS = 1 << 13       # below, letting go of the GIL costs more than others gain

cdef enum Order:
    BY_ROW, BY_COLUMN, BY_TILE, BY_COPY, BY_PICK

ctypedef struct Job:
    # What a kernel takes besides its row; each kernel uses its own few of these.
    const cnp.npy_intp *targets  # class index of each row, or NULL
    ptrdiff_t classes            # which they are below
    const void *weight           # weight of each class, or NULL
    const double *dloss          # one for each row, or NULL
    bint has_ignore_index
    ptrdiff_t ignore_index
    double smoothing
    double keep, spread          # of a target, and for every class, where shards hold the classes
    double *columns              # so many numbers of each row as the kernel knows, one column after the
    ptrdiff_t rows               # other, each of so many
    double factor                # what the gradient is multiplied by
    double eps
    ptrdiff_t step               # between elements of a row, for a kernel that picks one
    bint coefficients            # the kernel makes coefficients of the targets: as a row in scratch
                                 # memory, as a tile in the second of two, never in the caller's array

ctypedef double (*row_kernel)(const Job *job, ptrdiff_t row, const void *a, const void *b, void *out,
                              void *scratch, ptrdiff_t n) noexcept nogil
ctypedef void (*lanes_kernel)(const Job *job, ptrdiff_t row, int rows, const void *a, ptrdiff_t ld_a,
                              const void *b, ptrdiff_t ld_b, void *out, ptrdiff_t ld_out,
                              ptrdiff_t n, double *value) noexcept nogil

ctypedef struct kernel_pair:
    row_kernel by_row[2]         # float, double
    lanes_kernel by_lanes[2]
    ptrdiff_t grain              # elements a thread must have
    ptrdiff_t tile[2]            # longest row for which a tile pays, found by measurement

ctypedef struct Rows:
    Job job
    row_kernel by_row            # NULL: the kernel has none
    lanes_kernel by_lanes        # the same
    bint is_double
    ptrdiff_t n                  # length of a row
    ptrdiff_t runs, count        # rows = runs * count
    ptrdiff_t block_rows, blocks_a_run
    Order order
    bint summed                  # the values are added up, so that blocks must not depend on alignment
    bint aligned                 # groups of columns begin where a cache line of the output does
    bint present[MAX_ARRAYS]     # in the slots 0 and 1 the inputs, in 2 the output
    char *data[MAX_ARRAYS]
    ptrdiff_t step[MAX_ARRAYS]   # between elements of a row, in elements
    ptrdiff_t stride[MAX_ARRAYS]  # between rows of a run, in elements
    int outer_ndim
    ptrdiff_t outer_shape[MAX_DIMS]
    ptrdiff_t outer_strides[MAX_ARRAYS][MAX_DIMS]
    void *values                 # reals, one for each row, or NULL
    double *sums                 # one for each block, or NULL
    char *scratch
    ptrdiff_t scratch_size       # bytes for each thread


cdef kernel_pair both_types(row_kernel row_f32, row_kernel row_f64, lanes_kernel lanes_f32,
                            lanes_kernel lanes_f64) noexcept:
    """A kernel of both types, with what suits most; its definition changes what does not suit it."""
    cdef kernel_pair pair
    pair.grain = GRAIN_ROWS
    pair.tile[0], pair.tile[1] = 2 * TILE_DOUBLES, TILE_DOUBLES
    pair.by_row[0], pair.by_row[1] = row_f32, row_f64
    pair.by_lanes[0], pair.by_lanes[1] = lanes_f32, lanes_f64
    return pair


cdef void begin_rows(Rows *rows, cnp.ndarray like, int axis) noexcept:
    """Takes shape and type from one array; `add_rows` then adds each."""
    cdef int i, ndim = cnp.PyArray_NDIM(like)
    rows.job.targets = NULL
    rows.job.weight = NULL
    rows.job.dloss = NULL
    rows.job.has_ignore_index = False
    rows.job.smoothing = 0
    rows.job.factor = 1
    rows.job.coefficients = 0
    rows.values = NULL
    rows.sums = NULL
    rows.summed = False
    rows.is_double = is_double(like)
    rows.n = rows.job.classes = cnp.PyArray_DIM(like, axis)
    rows.outer_ndim = 0
    for i in range(ndim):
        if i != axis:
            rows.outer_shape[rows.outer_ndim] = cnp.PyArray_DIM(like, i)
            rows.outer_ndim += 1
    for i in range(MAX_ARRAYS):
        rows.present[i] = False
        rows.data[i] = NULL
        rows.step[i] = 1


cdef void add_rows(Rows *rows, int slot, cnp.ndarray a, int axis) noexcept:
    cdef int i, outer = 0
    cdef ptrdiff_t itemsize = cnp.PyArray_ITEMSIZE(a)
    rows.present[slot] = True
    rows.data[slot] = <char *>cnp.PyArray_DATA(a)
    rows.step[slot] = cnp.PyArray_STRIDE(a, axis) // itemsize
    if rows.n == 1:
        rows.step[slot] = 1
    for i in range(cnp.PyArray_NDIM(a)):
        if i != axis:
            rows.outer_strides[slot][outer] = cnp.PyArray_STRIDE(a, i) // itemsize
            outer += 1


cdef void join_rows(Rows *rows) noexcept:
    """Joins the outer axes where every array passes through them in one go, and takes the last
    one off as the run."""
    cdef int i, j, slot, last
    cdef bint joined
    i = rows.outer_ndim - 2
    while i >= 0:
        joined = True
        for slot in range(MAX_ARRAYS):
            if rows.present[slot]:
                joined = joined and (
                    rows.outer_strides[slot][i]
                    == rows.outer_shape[i + 1] * rows.outer_strides[slot][i + 1]
                )
        if joined:
            rows.outer_shape[i] *= rows.outer_shape[i + 1]
            rows.outer_ndim -= 1
            for slot in range(MAX_ARRAYS):
                rows.outer_strides[slot][i] = rows.outer_strides[slot][i + 1]
            for j in range(i + 1, rows.outer_ndim):
                rows.outer_shape[j] = rows.outer_shape[j + 1]
                for slot in range(MAX_ARRAYS):
                    rows.outer_strides[slot][j] = rows.outer_strides[slot][j + 1]
        i -= 1
    last = rows.outer_ndim - 1
    rows.count = rows.outer_shape[last] if last >= 0 else 1
    for slot in range(MAX_ARRAYS):
        rows.stride[slot] = rows.outer_strides[slot][last] if last >= 0 else 0
    rows.outer_ndim = max(last, 0)
    rows.runs = 1
    for i in range(rows.outer_ndim):
        rows.runs *= rows.outer_shape[i]


cdef void choose_order(Rows *rows, ptrdiff_t tile) noexcept:
    cdef int slot
    cdef bint steps = True, strides = True, crowded = False, side_by_side
    for slot in range(MAX_ARRAYS):
        if rows.present[slot]:
            steps = steps and rows.step[slot] == 1
            strides = strides and rows.stride[slot] == 1
            crowded = crowded or rows.step[slot] * itemsize_of(rows) % CROWDED == 0
    side_by_side = rows.by_lanes != NULL and strides and rows.count >= FF_LANES and 1 < rows.n <= COLUMN_PLACES
    if rows.by_row == NULL:
        rows.order = BY_PICK
    elif side_by_side and rows.n <= COLUMN_STEPS and (crowded or rows.job.coefficients):
        rows.order = BY_TILE
    elif side_by_side and not rows.job.coefficients:
        rows.order = BY_COLUMN
    elif rows.by_lanes != NULL and rows.n <= tile and rows.count >= TILE_ROWS:
        rows.order = BY_TILE
    elif steps:
        rows.order = BY_ROW
    else:
        rows.order = BY_COPY


cdef inline ptrdiff_t itemsize_of(const Rows *rows) noexcept nogil:
    return 8 if rows.is_double else 4


cdef inline char *row_at(const Rows *rows, int slot, ptrdiff_t offset, ptrdiff_t row) noexcept nogil:
    if not rows.present[slot]:
        return NULL
    return rows.data[slot] + (offset + row * rows.stride[slot]) * itemsize_of(rows)


cdef double copied_row(const Rows *rows, ptrdiff_t index, const ptrdiff_t *offset, ptrdiff_t row,
                       char *scratch) noexcept nogil:
    """A row that lies in memory with a step: gathered, computed, scattered."""
    cdef ptrdiff_t itemsize = itemsize_of(rows)
    cdef ptrdiff_t size = rows.n * itemsize
    cdef char *place[MAX_ARRAYS]
    cdef char *source
    cdef int slot
    cdef double value
    for slot in range(MAX_ARRAYS):
        place[slot] = NULL
        if rows.present[slot]:
            place[slot] = source = row_at(rows, slot, offset[slot], row)
            if rows.step[slot] != 1:
                place[slot] = scratch + (slot + 1) * size
                if slot != 2:
                    gather(source, rows.step[slot] * itemsize, place[slot], rows.n, itemsize)
    value = rows.by_row(&rows.job, index, place[0], place[1], place[2], scratch, rows.n)
    if rows.present[2] and rows.step[2] != 1:
        source = row_at(rows, 2, offset[2], row)
        scatter(place[2], source, rows.step[2] * itemsize, rows.n, itemsize)
    return value


cdef void tile_rows(const Rows *rows, real type, ptrdiff_t index, const ptrdiff_t *offset,
                    ptrdiff_t row, int count, real *tile, double *value) noexcept nogil:
    """At most sixteen rows, in a tile for each input; the output takes the place of the first."""
    cdef real *x
    cdef real *second = tile + rows.n * FF_LANES
    tile_load(<real *>row_at(rows, 0, offset[0], row), rows.stride[0], rows.step[0], count, rows.n, tile)
    if rows.present[1]:
        tile_load(<real *>row_at(rows, 1, offset[1], row), rows.stride[1], rows.step[1], count, rows.n, second)
    rows.by_lanes(&rows.job, index, count, tile, FF_LANES, second, FF_LANES,
                  tile if rows.present[2] else NULL, FF_LANES, rows.n, value)
    if rows.present[2]:
        x = <real *>row_at(rows, 2, offset[2], row)
        tile_store(tile, count, rows.n, x, rows.stride[2], rows.step[2])


cdef inline void keep(const Rows *rows, ptrdiff_t index, double value) noexcept nogil:
    """Notes the value of a row where values are wanted."""
    if rows.values != NULL:
        if rows.is_double:
            (<double *>rows.values)[index] = value
        else:
            (<float *>rows.values)[index] = <float>value


cdef double in_turn(const Rows *rows, ptrdiff_t index, const ptrdiff_t *offset, ptrdiff_t row, ptrdiff_t stop,
                    char *scratch) noexcept nogil:
    """Contiguous rows one after the other; returns the sum of their values."""
    cdef char *place[MAX_ARRAYS]
    cdef ptrdiff_t stride[MAX_ARRAYS]
    cdef double value, sum = 0
    cdef int slot
    for slot in range(MAX_ARRAYS):
        place[slot] = row_at(rows, slot, offset[slot], row)
        stride[slot] = rows.stride[slot] * itemsize_of(rows) if rows.present[slot] else 0
    while row < stop:
        value = rows.by_row(&rows.job, index, place[0], place[1], place[2], scratch, rows.n)
        sum += value
        keep(rows, index, value)
        for slot in range(MAX_ARRAYS):
            place[slot] += stride[slot]
        index += 1
        row += 1
    return sum


cdef inline ptrdiff_t before_line(const Rows *rows, ptrdiff_t offset) noexcept nogil:
    """How many rows lie before the first whose output begins a cache line."""
    return (-<ptrdiff_t>row_at(rows, 2, offset, 0) & (FF_LINE - 1)) // itemsize_of(rows)


cdef void do_block(const void *job, ptrdiff_t block, int thread) noexcept nogil:
    cdef const Rows *rows = <const Rows *>job
    cdef ptrdiff_t run = block // rows.blocks_a_run
    cdef ptrdiff_t row = (block % rows.blocks_a_run) * rows.block_rows
    cdef ptrdiff_t stop = row + rows.block_rows, lead = 0
    cdef ptrdiff_t offset[MAX_ARRAYS]
    cdef ptrdiff_t outer = run, position
    cdef double value[FF_LANES]
    cdef double sum = 0
    cdef char *scratch = rows.scratch + thread * rows.scratch_size
    cdef int i, count, slot
    for slot in range(MAX_ARRAYS):
        offset[slot] = 0
    for i in range(rows.outer_ndim - 1, -1, -1):
        position = outer % rows.outer_shape[i]
        outer //= rows.outer_shape[i]
        for slot in range(MAX_ARRAYS):
            if rows.present[slot]:
                offset[slot] += position * rows.outer_strides[slot][i]
    if rows.aligned:
        lead = before_line(rows, offset[2])
        row += lead if row else 0
    stop = min(stop + lead, rows.count)
    if rows.order == BY_ROW:
        sum = in_turn(rows, run * rows.count + row, offset, row, stop, scratch)
        row = stop
    while row < stop:
        position = run * rows.count + row
        count = <int>min(stop - row if row >= lead else lead - row, FF_LANES)
        if rows.order == BY_COLUMN and count == FF_LANES:
            rows.by_lanes(
                &rows.job, position, count, row_at(rows, 0, offset[0], row), rows.step[0],
                row_at(rows, 1, offset[1], row), rows.step[1],
                row_at(rows, 2, offset[2], row), rows.step[2], rows.n, value)
        elif rows.order == BY_TILE or rows.aligned:
            if rows.is_double:
                tile_rows(rows, <double>0, position, offset, row, count, <double *>scratch, value)
            else:
                tile_rows(rows, <float>0, position, offset, row, count, <float *>scratch, value)
        elif rows.order == BY_PICK:
            rows.by_lanes(&rows.job, position, count, row_at(rows, 0, offset[0], row), rows.stride[0],
                          NULL, 0, NULL, 0, rows.n, value)
        else:
            count = 1
            value[0] = copied_row(rows, position, offset, row, scratch)
        for i in range(count):
            sum += value[i]
            keep(rows, position + i, value[i])
        row += count
    if rows.sums != NULL:
        rows.sums[block] = sum


cdef double run_rows(Rows *rows, const kernel_pair *kernels) except? -1:
    """Runs the kernel over every row; returns the sum of its values, in the order of the rows."""
    cdef ptrdiff_t size, grains, blocks, block, lanes = FF_LANES
    cdef double total = 0
    cdef double sums_on_stack[64]
    cdef double *sums = sums_on_stack
    cdef double scratch_on_stack[2 * FF_LANES * TILE_DOUBLES]
    cdef char *scratch = <char *>scratch_on_stack
    cdef int n_threads
    rows.by_row = kernels.by_row[rows.is_double]
    rows.by_lanes = kernels.by_lanes[rows.is_double]
    join_rows(rows)
    if rows.runs == 0 or rows.count == 0:
        return 0
    choose_order(rows, kernels.tile[rows.is_double])
    rows.block_rows = max(1, BLOCK_ELEMENTS // max(rows.n, 1))
    if rows.order != BY_ROW:
        rows.block_rows = max(lanes, rows.block_rows // lanes * lanes)
    rows.blocks_a_run = (rows.count + rows.block_rows - 1) // rows.block_rows
    blocks = rows.runs * rows.blocks_a_run
    size = rows.runs * rows.count * rows.n
    grains = 0 if size < GIL_ELEMENTS else size // kernels.grain
    n_threads = <int>min(threads_for(grains), blocks)
    rows.aligned = (
        rows.order == BY_COLUMN and rows.present[2] and not rows.summed
        and rows.count >= COLUMN_LINES and rows.n <= COLUMN_STEPS
    )
    rows.scratch_size = 0        # in rows, then in bytes
    if rows.order == BY_TILE or rows.aligned:
        rows.scratch_size = (1 + (rows.present[1] or rows.job.coefficients)) * lanes
    elif rows.order == BY_COPY or rows.order == BY_COLUMN:
        rows.scratch_size = 1 + MAX_ARRAYS
    elif rows.job.coefficients:
        rows.scratch_size = 1
    if <double>rows.scratch_size * rows.n * n_threads > <double>(PTRDIFF_MAX // 16):
        raise MemoryError        # a row that is broadcast can be longer than memory
    rows.scratch_size *= rows.n * itemsize_of(rows)
    if rows.scratch_size * n_threads > <ptrdiff_t>sizeof(scratch_on_stack):
        scratch = <char *>malloc(rows.scratch_size * n_threads)
        if scratch == NULL:
            raise MemoryError
    rows.scratch = scratch
    if blocks > 64:
        sums = <double *>malloc(blocks * sizeof(double))
        if sums == NULL:
            if scratch != <char *>scratch_on_stack:
                free(scratch)
            raise MemoryError
    rows.sums = sums
    if size < GIL_ELEMENTS:
        in_parallel(do_block, rows, blocks, 1, 0)
    else:
        with nogil:
            in_parallel(do_block, rows, blocks, n_threads, grains)
    for block in range(blocks):
        total += sums[block]
    if sums != sums_on_stack:
        free(sums)
    if scratch != <char *>scratch_on_stack:
        free(scratch)
    return total
