/* OpenMP where the compiler has it, one thread where it has not. */
#ifndef FFKERNELS_THREADS_H
#define FFKERNELS_THREADS_H

#ifdef _OPENMP
#include <omp.h>
#define FF_OPENMP 1
#else
#define FF_OPENMP 0
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
#endif

#if defined(__clang__)
#define FF_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define FF_COMPILER "gcc " __VERSION__
#elif defined(_MSC_VER)
#define FF_STRING_(x) #x
#define FF_STRING(x) FF_STRING_(x)
#define FF_COMPILER "msvc " FF_STRING(_MSC_FULL_VER)
#else
#define FF_COMPILER "unknown"
#endif

#endif
