# Functions along an axis: which rows there are, and how each reaches its kernel.
#
# The axes other than that one are joined where the layouts allow; their order stays, because rows are
# numbered in C order.  The last of them is a *series* of rows with one stride between neighbours, and
# series are cut into blocks.  Kernels come in four forms:
#
#     row      one contiguous row
#     rows     sixteen contiguous rows without a gap between them, of a loss with one factor for all
#     lanes    a tile: sixteen rows side by side, one in each SIMD lane; element k of row l is tile[k * ld + l]
#     pick     sixteen rows with any strides, of each of which it reads one element
#
# and a block reaches them in one of six ways (`choose_access`):
#
#     ROWS_IN_PLACE    rows are contiguous: one after the other
#     ROWS_TOGETHER    short rows, without gaps, of a function with a rows kernel: a call and a loop for each row
#                      would take longer than what it computes
#     ROWS_GATHERED    each row is gathered into scratch memory, and scattered back from there; rows of half
#                      precision are converted on the way
#     LANES_IN_PLACE   neighbouring rows lie side by side, as along axis 0 of a C-ordered matrix: sixteen at a
#                      time are a tile as they lie in memory
#     LANES_IN_TILE    short rows, or rows side by side that are of half precision or whose elements would all fall
#                      into a few sets of the cache: sixteen at a time are copied into a tile in scratch memory, and
#                      back
#     PICKED           a function with a pick kernel

cdef enum:
    FIRST, SECOND, OUTPUT        # the arrays of a function along an axis: at most two inputs and an output
    ROW_ARRAYS

cdef enum:
    TILE_DOUBLES = 128           # longest row that goes into a tile, or twice as many floats
    TILE_COLUMN = 2048           # the same for rows side by side: a tile of 128 KiB of float
    LONGEST_COLUMN = 0x7fffffff  # longest row side by side: in float, lanes number its elements in 32 bits
    LONGEST_TOGETHER = 512       # bytes of the longest row of which sixteen are computed together
    FEWEST_IN_TILE = 4           # fewest rows for which a tile pays
    FEWEST_FROM_LINE = 256       # fewest rows side by side for which it pays to begin at a cache line
    CROWDED = 1024               # bytes: at multiples of it lie 1/16 of the sets of a cache

cdef enum Access:
    ROWS_IN_PLACE, ROWS_TOGETHER, ROWS_GATHERED, LANES_IN_PLACE, LANES_IN_TILE, PICKED

ctypedef struct Loss:
    # What the kernels of a cross-entropy take besides their arrays; all 0 for a function that is no loss.
    const cnp.npy_intp *targets  # class index of each row, or NULL
    ptrdiff_t classes            # indices are below
    const void *weight           # of each class, or NULL
    const void *sample_weight    # of each row, or NULL
    bint sample_weight_is_double
    const double *dloss          # gradient of the loss of each row, or NULL
    bint has_ignore_index
    ptrdiff_t ignore_index
    double smoothing
    double factor                # what the gradient is multiplied by
    double eps                   # least probability to take a logarithm of
    double hard, soft            # of several shards: a coefficient is w (hard t + soft)
    double *columns              # of several shards: a table of numbers, `rows` of each kind
    ptrdiff_t rows

# A kernel returns, or stores for each lane, the value of a row: a loss, a logsumexp, 0 where there is
# none.  `row` is the number of the (first) row; `y` and `out` are NULL where there is no such array.  A
# function with `coefficients` has room for them: as a row in `scratch`, as lanes in the tile `y`, which
# then is never the caller's memory.
ctypedef double (*row_kernel_f32)(const Loss *loss, ptrdiff_t row, const float *x, const float *y, float *out,
                                  float *scratch, ptrdiff_t n) noexcept nogil
ctypedef double (*row_kernel_f64)(const Loss *loss, ptrdiff_t row, const double *x, const double *y, double *out,
                                  double *scratch, ptrdiff_t n) noexcept nogil
ctypedef double (*row_kernel_f16)(const Loss *loss, ptrdiff_t row, const float16 *x, const float16 *y, float16 *out,
                                  float *scratch, ptrdiff_t n) noexcept nogil
ctypedef double (*row_kernel_bf16)(const Loss *loss, ptrdiff_t row, const bfloat16 *x, const bfloat16 *y, bfloat16 *out,
                                   float *scratch, ptrdiff_t n) noexcept nogil
ctypedef void (*rows_kernel_f32)(const Loss *loss, ptrdiff_t row, int rows, const float *x, float *out,
                                 ptrdiff_t n) noexcept nogil
ctypedef void (*rows_kernel_f64)(const Loss *loss, ptrdiff_t row, int rows, const double *x, double *out,
                                 ptrdiff_t n) noexcept nogil
ctypedef void (*lanes_kernel_f32)(const Loss *loss, ptrdiff_t row, int rows, const float *x, ptrdiff_t ld_x,
                                  const float *y, ptrdiff_t ld_y, float *out, ptrdiff_t ld_out, ptrdiff_t n,
                                  double *value) noexcept nogil
ctypedef void (*lanes_kernel_f64)(const Loss *loss, ptrdiff_t row, int rows, const double *x, ptrdiff_t ld_x,
                                  const double *y, ptrdiff_t ld_y, double *out, ptrdiff_t ld_out, ptrdiff_t n,
                                  double *value) noexcept nogil
ctypedef void (*pick_kernel_f32)(const Loss *loss, ptrdiff_t row, int rows, const float *x, ptrdiff_t row_stride,
                                 ptrdiff_t axis_stride, double *value) noexcept nogil
ctypedef void (*pick_kernel_f64)(const Loss *loss, ptrdiff_t row, int rows, const double *x, ptrdiff_t row_stride,
                                 ptrdiff_t axis_stride, double *value) noexcept nogil

ctypedef struct kernel_pair:
    # One function: a row and a lanes kernel that compute the same, or one of them, or a pick kernel; a rows kernel
    # that computes the same as well.
    row_kernel_f32 row_f32
    row_kernel_f64 row_f64
    rows_kernel_f32 rows_f32
    rows_kernel_f64 rows_f64
    row_kernel_f16 row_f16       # these also take rows of half precision as they are, with a row of scratch memory
    row_kernel_bf16 row_bf16
    lanes_kernel_f32 lanes_f32
    lanes_kernel_f64 lanes_f64
    pick_kernel_f32 pick_f32
    pick_kernel_f64 pick_f64
    bint coefficients            # it turns its targets into coefficients of every class, in memory of its own
    ptrdiff_t grain              # elements a thread must have
    ptrdiff_t longest_in_tile[2]  # for float and double, found by measurement

ctypedef struct Rows:
    const kernel_pair *kernels
    Loss loss
    bint is_double
    ptrdiff_t itemsize           # of the type to compute in
    ptrdiff_t n                  # length of a row
    Axes axes                    # all but that of the rows; the last one is a series
    ptrdiff_t axis_stride[ROW_ARRAYS]  # between neighbours in a row, in bytes
    ptrdiff_t row_stride[ROW_ARRAYS]   # between rows of a series, in bytes
    bint converted               # some array is of half precision
    Storage row_storage          # of all arrays, where a row kernel takes rows as they are
    ptrdiff_t series, rows_a_series, blocks_a_series, rows_a_block
    Access access
    bint summed                  # the values are added up, so that blocks must not depend on alignment
    bint from_line               # groups of columns begin where a cache line of the output does
    void *values                 # one for each row, or NULL
    Storage values_storage
    BlockSums sums
    char *scratch
    ptrdiff_t scratch_bytes      # for each thread

cdef union Scratch:
    float f32[4 * FF_LANES * TILE_DOUBLES]
    double f64[2 * FF_LANES * TILE_DOUBLES]


cdef kernel_pair kernels_of(row_kernel_f32 row_f32, row_kernel_f64 row_f64, lanes_kernel_f32 lanes_f32,
                            lanes_kernel_f64 lanes_f64, ptrdiff_t in_tile_f32=0, ptrdiff_t in_tile_f64=0) noexcept:
    """A function, the longest rows for which a tile pays, and what suits most of the rest: its definition changes
    what does not suit it."""
    cdef kernel_pair kernels
    kernels.row_f32, kernels.row_f64 = row_f32, row_f64
    kernels.lanes_f32, kernels.lanes_f64 = lanes_f32, lanes_f64
    kernels.rows_f32 = NULL
    kernels.rows_f64 = NULL
    kernels.row_f16 = NULL
    kernels.row_bf16 = NULL
    kernels.pick_f32 = NULL
    kernels.pick_f64 = NULL
    kernels.coefficients = False
    kernels.grain = GRAIN_ROWS
    kernels.longest_in_tile[0], kernels.longest_in_tile[1] = in_tile_f32, in_tile_f64
    return kernels


# ---- one row, or one tile ----------------------------------------------------------------------------
#
# `start` is where a series begins in each array, `first` the number of its first row among all, `row`
# counts within the series.

cdef inline char *row_at(const Rows *rows, char *const *start, int array, ptrdiff_t row) noexcept nogil:
    """NULL of an array there is not."""
    if start[array] == NULL:
        return NULL
    return start[array] + row * rows.row_stride[array]


cdef inline bint is_in_place(const Rows *rows, int array, const real *_) noexcept nogil:
    """Whether the elements of a row lie as a kernel takes them."""
    return (
        rows.axis_stride[array] == <ptrdiff_t>sizeof(real)
        and rows.axes.storage[array] == (FLOAT32 if sizeof(real) == sizeof(float) else FLOAT64)
    )


cdef inline double call_row(const Rows *rows, ptrdiff_t row, const real *x, const real *y, real *out,
                            real *scratch) noexcept nogil:
    if real is float:
        return rows.kernels.row_f32(&rows.loss, row, x, y, out, scratch, rows.n)
    else:
        return rows.kernels.row_f64(&rows.loss, row, x, y, out, scratch, rows.n)


cdef inline double call_half_row(const Rows *rows, ptrdiff_t row, const char *x, const char *y, char *out,
                                 float *scratch) noexcept nogil:
    if rows.row_storage == FLOAT16:
        return rows.kernels.row_f16(
            &rows.loss, row, <const float16 *>x, <const float16 *>y, <float16 *>out, scratch, rows.n)
    return rows.kernels.row_bf16(
        &rows.loss, row, <const bfloat16 *>x, <const bfloat16 *>y, <bfloat16 *>out, scratch, rows.n)


cdef inline void call_lanes(const Rows *rows, ptrdiff_t row, int count, const real *x, ptrdiff_t ld_x, const real *y,
                            ptrdiff_t ld_y, real *out, ptrdiff_t ld_out, double *value) noexcept nogil:
    if real is float:
        rows.kernels.lanes_f32(&rows.loss, row, count, x, ld_x, y, ld_y, out, ld_out, rows.n, value)
    else:
        rows.kernels.lanes_f64(&rows.loss, row, count, x, ld_x, y, ld_y, out, ld_out, rows.n, value)


cdef double row_gathered(const Rows *rows, char *const *start, ptrdiff_t first, ptrdiff_t row,
                         real *scratch) noexcept nogil:
    """A row of which some arrays have their elements apart, or of half precision: gathered, computed, scattered."""
    cdef char *strided[ROW_ARRAYS]
    cdef real *contiguous[ROW_ARRAYS]
    cdef double value
    cdef int k
    for k in range(ROW_ARRAYS):
        strided[k] = row_at(rows, start, k, row)
        contiguous[k] = <real *>strided[k]
        if strided[k] != NULL and not is_in_place(rows, k, scratch):
            # The output in the place of the first, where that is scratch memory as well.
            contiguous[k] = scratch + (SECOND if k == SECOND else FIRST) * rows.n
            if k != OUTPUT:
                gather(rows.axes.storage[k], strided[k], rows.axis_stride[k], contiguous[k], rows.n)
    value = call_row(rows, first + row, contiguous[FIRST], contiguous[SECOND], contiguous[OUTPUT],
                     scratch + 2 * rows.n)
    if strided[OUTPUT] != NULL and not is_in_place(rows, OUTPUT, scratch):
        scatter(rows.axes.storage[OUTPUT], contiguous[OUTPUT], strided[OUTPUT], rows.axis_stride[OUTPUT], rows.n)
    return value


cdef inline void rows_together(const Rows *rows, char *const *start, ptrdiff_t first, ptrdiff_t row, int count,
                               double *value, real *_) noexcept nogil:
    """At most sixteen rows of a gradient, which have no values."""
    cdef const real *x = <const real *>row_at(rows, start, FIRST, row)
    cdef real *out = <real *>row_at(rows, start, OUTPUT, row)
    if real is float:
        rows.kernels.rows_f32(&rows.loss, first + row, count, x, out, rows.n)
    else:
        rows.kernels.rows_f64(&rows.loss, first + row, count, x, out, rows.n)
    memset(value, 0, FF_LANES * sizeof(double))


cdef inline void lanes_in_place(const Rows *rows, char *const *start, ptrdiff_t first, ptrdiff_t row, double *value,
                                real *_) noexcept nogil:
    """Sixteen rows side by side."""
    call_lanes(
        rows, first + row, FF_LANES,
        <const real *>row_at(rows, start, FIRST, row), rows.axis_stride[FIRST] // <ptrdiff_t>sizeof(real),
        <const real *>row_at(rows, start, SECOND, row), rows.axis_stride[SECOND] // <ptrdiff_t>sizeof(real),
        <real *>row_at(rows, start, OUTPUT, row), rows.axis_stride[OUTPUT] // <ptrdiff_t>sizeof(real), value)


cdef void lanes_in_tile(const Rows *rows, char *const *start, ptrdiff_t first, ptrdiff_t row, int count, double *value,
                        real *tile) noexcept nogil:
    """At most sixteen rows, in a tile for each input; the output is computed in the place of the first."""
    cdef const char *x = row_at(rows, start, FIRST, row)
    cdef const char *y = row_at(rows, start, SECOND, row)
    cdef char *out = row_at(rows, start, OUTPUT, row)
    cdef real *second = tile + rows.n * FF_LANES
    load_tile(rows.axes.storage[FIRST], x, rows.row_stride[FIRST], rows.axis_stride[FIRST], count, rows.n, tile)
    if y != NULL:
        load_tile(rows.axes.storage[SECOND], y, rows.row_stride[SECOND], rows.axis_stride[SECOND], count, rows.n,
                  second)
    call_lanes(rows, first + row, count, tile, FF_LANES, second, FF_LANES, <real *>NULL if out == NULL else tile,
               FF_LANES, value)
    if out != NULL:
        store_tile(rows.axes.storage[OUTPUT], <const real *>tile, count, rows.n, out, rows.row_stride[OUTPUT],
                   rows.axis_stride[OUTPUT])


cdef inline void pick(const Rows *rows, char *const *start, ptrdiff_t first, ptrdiff_t row, int count, double *value,
                      real *_) noexcept nogil:
    """At most sixteen rows, of each of which one element counts."""
    cdef const real *x = <const real *>row_at(rows, start, FIRST, row)
    cdef ptrdiff_t row_stride = rows.row_stride[FIRST], axis_stride = rows.axis_stride[FIRST], target
    cdef real picked[FF_LANES]
    cdef int l
    if rows.converted:
        for l in range(count):
            target = class_of(&rows.loss, first + row + l)
            picked[l] = 1
            if target >= 0:
                gather(rows.axes.storage[FIRST], <const char *>x + l * row_stride + target * axis_stride, 0, picked + l,
                       1)
        x, row_stride, axis_stride = picked, sizeof(real), 0
    row_stride //= <ptrdiff_t>sizeof(real)
    axis_stride //= <ptrdiff_t>sizeof(real)
    if real is float:
        rows.kernels.pick_f32(&rows.loss, first + row, count, x, row_stride, axis_stride, value)
    else:
        rows.kernels.pick_f64(&rows.loss, first + row, count, x, row_stride, axis_stride, value)


# ---- a block of rows -----------------------------------------------------------------------------------

cdef inline void store_value(const Rows *rows, ptrdiff_t row, double value, real *_) noexcept nogil:
    if rows.values != NULL:
        store_value_at(rows.values_storage, <real>value, rows.values, row)


cdef double run_rows_in_place(const Rows *rows, char *const *start, ptrdiff_t first, ptrdiff_t row, ptrdiff_t stop,
                              real *scratch) noexcept nogil:
    """Contiguous rows from `row` to `stop`, one after the other; returns the sum of their values."""
    cdef char *x = row_at(rows, start, FIRST, row)
    cdef char *y = row_at(rows, start, SECOND, row)
    cdef char *out = row_at(rows, start, OUTPUT, row)
    cdef double value, sum = 0
    while row < stop:
        if rows.converted:
            value = call_half_row(rows, first + row, x, y, out, <float *>scratch)
        else:
            value = call_row(rows, first + row, <real *>x, <real *>y, <real *>out, scratch)
        sum += value
        store_value(rows, first + row, value, scratch)
        row += 1
        x += rows.row_stride[FIRST]
        if y != NULL:
            y += rows.row_stride[SECOND]
        if out != NULL:
            out += rows.row_stride[OUTPUT]
    return sum


cdef double run_groups(const Rows *rows, char *const *start, ptrdiff_t first, ptrdiff_t row, ptrdiff_t stop,
                       ptrdiff_t lead, real *scratch) noexcept nogil:
    """The same, sixteen at a time where the access allows; the first `lead` rows of a series are a group of
    their own."""
    cdef double value[FF_LANES]
    cdef double sum = 0
    cdef int i, count
    while row < stop:
        count = <int>min(lead - row if row < lead else stop - row, FF_LANES)
        if rows.access == LANES_IN_PLACE and count == FF_LANES:
            lanes_in_place(rows, start, first, row, value, scratch)
        elif rows.access == LANES_IN_TILE or rows.from_line:
            lanes_in_tile(rows, start, first, row, count, value, scratch)
        elif rows.access == ROWS_TOGETHER:
            rows_together(rows, start, first, row, count, value, scratch)
        elif rows.access == PICKED:
            pick(rows, start, first, row, count, value, scratch)
        else:
            count = 1
            value[0] = row_gathered(rows, start, first, row, scratch)
        for i in range(count):
            sum += value[i]
            store_value(rows, first + row + i, value[i], scratch)
        row += count
    return sum


cdef inline double run_rows_between(const Rows *rows, char *const *start, ptrdiff_t first, ptrdiff_t row,
                                    ptrdiff_t stop, ptrdiff_t lead, real *scratch) noexcept nogil:
    if rows.access == ROWS_IN_PLACE:
        return run_rows_in_place(rows, start, first, row, stop, scratch)
    return run_groups(rows, start, first, row, stop, lead, scratch)


cdef void run_block(const void *job, ptrdiff_t block, int thread) noexcept nogil:
    cdef const Rows *rows = <const Rows *>job
    cdef ptrdiff_t series = block // rows.blocks_a_series, lead = 0
    cdef ptrdiff_t row = block % rows.blocks_a_series * rows.rows_a_block
    cdef ptrdiff_t stop = row + rows.rows_a_block
    cdef char *scratch = rows.scratch + thread * rows.scratch_bytes
    cdef char *start[MAX_OPERANDS]
    find_position(&rows.axes, rows.axes.ndim - 1, series, start)
    if rows.from_line:
        # Rows side by side before the first whose output begins a cache line; blocks begin as far on.
        lead = (-<ptrdiff_t>start[OUTPUT] & (FF_LINE - 1)) // rows.itemsize
        if row > 0:
            row += lead
    stop = min(stop + lead, rows.rows_a_series)
    if rows.is_double:
        rows.sums.of[block] = run_rows_between(
            rows, start, series * rows.rows_a_series, row, stop, lead, <double *>scratch)
    else:
        rows.sums.of[block] = run_rows_between(
            rows, start, series * rows.rows_a_series, row, stop, lead, <float *>scratch)


# ---- all rows --------------------------------------------------------------------------------------------

cdef void begin_rows(Rows *rows, const kernel_pair *kernels, cnp.ndarray like, int axis) noexcept:
    """Takes type and shape from one array; `add_rows` then adds each."""
    cdef int i, k, ndim = cnp.PyArray_NDIM(like)
    memset(&rows.loss, 0, sizeof(Loss))
    rows.kernels = kernels
    rows.is_double = is_double(like)
    rows.itemsize = stored_size(work_storage(like))
    rows.converted = False
    rows.n = cnp.PyArray_DIM(like, axis)
    rows.summed = False
    rows.values = NULL
    rows.axes.operands = ROW_ARRAYS
    rows.axes.ndim = 0
    for i in range(ndim):
        if i != axis:
            rows.axes.shape[rows.axes.ndim] = cnp.PyArray_DIM(like, i)
            for k in range(ROW_ARRAYS):
                rows.axes.strides[k][rows.axes.ndim] = 0
            rows.axes.ndim += 1
    for k in range(ROW_ARRAYS):
        rows.axes.data[k] = NULL
        rows.axes.storage[k] = work_storage(like)
        rows.axis_stride[k] = rows.itemsize


cdef void add_rows(Rows *rows, int k, cnp.ndarray a, int axis) noexcept:
    cdef int i, outer = 0
    rows.axes.data[k] = <char *>cnp.PyArray_DATA(a)
    rows.axes.storage[k] = storage_of(a)
    rows.converted = rows.converted or is_half(a)
    rows.axis_stride[k] = cnp.PyArray_STRIDE(a, axis) if rows.n != 1 else cnp.PyArray_ITEMSIZE(a)
    for i in range(cnp.PyArray_NDIM(a)):
        if i != axis:
            rows.axes.strides[k][outer] = cnp.PyArray_STRIDE(a, i)
            outer += 1


cdef void take_series(Rows *rows) noexcept:
    """Joins the axes, and takes the last one as the series."""
    cdef int i, k, last
    join_axes(&rows.axes)
    if rows.axes.ndim == 0:
        rows.axes.ndim = 1
        rows.axes.shape[0] = 1
        for k in range(ROW_ARRAYS):
            rows.axes.strides[k][0] = 0
    last = rows.axes.ndim - 1
    rows.rows_a_series = rows.axes.shape[last]
    for k in range(ROW_ARRAYS):
        rows.row_stride[k] = rows.axes.strides[k][last]
    rows.series = 1
    for i in range(last):
        rows.series *= rows.axes.shape[i]


cdef bint takes_half(const Rows *rows) noexcept:
    """Whether the row kernel takes half precision, and all arrays are of the same."""
    cdef int k
    for k in range(ROW_ARRAYS):
        if rows.axes.data[k] != NULL and rows.axes.storage[k] != rows.row_storage:
            return False
    return has_half and rows.kernels.row_f16 != NULL


cdef bint has_one_factor(const Loss *loss) noexcept:
    """Whether all rows of a gradient that count are multiplied by the same."""
    return loss.weight == NULL and loss.sample_weight == NULL and loss.dloss == NULL


cdef Access choose_access(const Rows *rows) noexcept:
    cdef const kernel_pair *kernels = rows.kernels
    cdef bint has_row = kernels.row_f32 != NULL, has_lanes = kernels.lanes_f32 != NULL
    cdef bint contiguous = True, without_gaps = True, side_by_side = True, crowded = False
    cdef ptrdiff_t itemsize
    cdef int k
    for k in range(ROW_ARRAYS):
        if rows.axes.data[k] != NULL:
            itemsize = stored_size(rows.axes.storage[k])
            contiguous = contiguous and rows.axis_stride[k] == itemsize
            without_gaps = without_gaps and rows.row_stride[k] == rows.n * itemsize
            side_by_side = side_by_side and rows.row_stride[k] == itemsize
            crowded = crowded or rows.axis_stride[k] % CROWDED == 0
    side_by_side = side_by_side and rows.rows_a_series >= FF_LANES and 1 < rows.n <= LONGEST_COLUMN
    if not has_row and not has_lanes:
        return PICKED
    if (kernels.rows_f32 != NULL and contiguous and without_gaps and not rows.converted
            and rows.n * rows.itemsize <= LONGEST_TOGETHER and has_one_factor(&rows.loss)):
        return ROWS_TOGETHER
    if has_lanes and side_by_side and rows.n <= TILE_COLUMN and (crowded or kernels.coefficients):
        return LANES_IN_TILE
    if has_lanes and side_by_side and not kernels.coefficients:
        return LANES_IN_TILE if rows.converted else LANES_IN_PLACE
    if has_lanes and rows.n <= kernels.longest_in_tile[rows.is_double] and rows.rows_a_series >= FEWEST_IN_TILE:
        return LANES_IN_TILE
    return ROWS_IN_PLACE if contiguous and (not rows.converted or takes_half(rows)) else ROWS_GATHERED


cdef ptrdiff_t scratch_rows(const Rows *rows) noexcept:
    """How many rows of scratch memory a thread needs."""
    if rows.access == LANES_IN_TILE or rows.from_line:
        return FF_LANES * (2 if rows.axes.data[SECOND] != NULL or rows.kernels.coefficients else 1)
    if rows.access == ROWS_GATHERED or rows.access == LANES_IN_PLACE:
        return 3
    return 1 if rows.kernels.coefficients or rows.converted else 0


cdef double run_rows(Rows *rows) except? -1:
    """Runs the kernels over every row; returns the sum of their values, in an order that depends on the
    shape alone."""
    cdef ptrdiff_t elements, size, grains, blocks, n_scratch
    cdef Scratch on_stack
    cdef int n_threads
    take_series(rows)
    if rows.series == 0 or rows.rows_a_series == 0:
        return 0
    rows.row_storage = rows.axes.storage[FIRST]
    rows.access = choose_access(rows)
    rows.from_line = (
        rows.access == LANES_IN_PLACE and rows.axes.data[OUTPUT] != NULL and not rows.summed
        and rows.rows_a_series >= FEWEST_FROM_LINE and rows.n <= TILE_COLUMN
    )
    elements = 1 if rows.access == PICKED else rows.n     # of a row that are looked at
    rows.rows_a_block = max(1, BLOCK_ELEMENTS // max(elements, 1))
    if rows.access != ROWS_IN_PLACE:
        rows.rows_a_block = max(FF_LANES, rows.rows_a_block // FF_LANES * FF_LANES)
    rows.blocks_a_series = (rows.rows_a_series + rows.rows_a_block - 1) // rows.rows_a_block
    blocks = rows.series * rows.blocks_a_series
    size = rows.series * rows.rows_a_series * elements
    grains = 0 if size < GIL_ELEMENTS else size // rows.kernels.grain
    n_threads = <int>min(threads_here(grains), blocks)
    n_scratch = scratch_rows(rows) * n_threads
    if n_scratch and rows.n > PTRDIFF_MAX // 16 // n_scratch:
        raise MemoryError        # a row that is broadcast can be longer than memory
    rows.scratch_bytes = scratch_rows(rows) * rows.n * rows.itemsize
    rows.scratch = <char *>&on_stack
    if rows.scratch_bytes * n_threads > <ptrdiff_t>sizeof(on_stack):
        rows.scratch = <char *>malloc(rows.scratch_bytes * n_threads)
        if rows.scratch == NULL:
            raise MemoryError
    try:
        return run_summed_blocks(run_block, rows, &rows.sums, blocks, size, n_threads, grains)
    finally:
        if rows.scratch != <char *>&on_stack:
            free(rows.scratch)
