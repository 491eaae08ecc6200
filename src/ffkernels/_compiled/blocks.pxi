# How work is cut for threads.
#
# Blocks have a size that depends on the shape alone, and each has a sum of its own: no result depends on
# the number of threads, or on which of them took a block.

# Elements a thread must have for a second one to pay, by what an element costs: three or four
# microseconds of work.
cdef enum:
    GRAIN_MEMORY = 1 << 15       # a load, a store and little more
    GRAIN_MATHS = 1 << 13        # an exp or a division
    GRAIN_ROWS = 1 << 12         # several passes, an exp among them

cdef enum:
    BLOCK_ELEMENTS = 1 << 12     # a block of rows has as many elements, or is one row
    GIL_ELEMENTS = 1 << 13       # below, letting go of the GIL costs more than others gain
    FIRST_SUMS = 64              # for so many blocks no memory has to be allocated

cdef object threads_of_context = _context.threads
cdef int most_threads = 1        # that a context may have


cdef int threads_here(ptrdiff_t grains) noexcept:
    """How many threads so many grains of work deserve, at least one for each, by what the context of the call
    wants or else the process."""
    cdef object wanted
    if grains < 2:
        return 1
    wanted = get_value(threads_of_context)
    if wanted is None:
        return threads_for(grains)
    return <int>min(grains, <ptrdiff_t>min(<int>wanted, most_threads))


ctypedef struct BlockSums:
    double *of                   # one for each block
    double first[FIRST_SUMS]


cdef void run_blocks(part_function run, const void *job, ptrdiff_t blocks, ptrdiff_t size, int n_threads,
                     ptrdiff_t grains) noexcept:
    """Runs a job of `size` elements, block by block."""
    if size < GIL_ELEMENTS:
        in_parallel(run, job, blocks, 1, 0)
    else:
        with nogil:
            in_parallel(run, job, blocks, n_threads, grains)


cdef double run_summed_blocks(part_function run, const void *job, BlockSums *sums, ptrdiff_t blocks, ptrdiff_t size,
                              int n_threads, ptrdiff_t grains) except? -1:
    """The same for a job that puts a sum for each block into `sums.of`; returns the sum of all, in order."""
    cdef double total = 0
    cdef ptrdiff_t block
    sums.of = sums.first
    if blocks > FIRST_SUMS:
        sums.of = <double *>malloc(blocks * sizeof(double))
        if sums.of == NULL:
            raise MemoryError
    run_blocks(run, job, blocks, size, n_threads, grains)
    for block in range(blocks):
        total += sums.of[block]
    if blocks > FIRST_SUMS:
        free(sums.of)
    return total
