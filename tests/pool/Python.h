/* What threads.h takes from Python, by the C++ library: so the pool is compiled, and run, where there is no
   Python to be had for a system. */
#ifndef FFKERNELS_TESTS_PYTHON_H
#define FFKERNELS_TESTS_PYTHON_H

#include <semaphore>
#include <stdint.h>
#include <system_error>
#include <thread>

using PyThread_type_lock = std::binary_semaphore *;
#define WAIT_LOCK 1
#define PYTHREAD_INVALID_THREAD_ID ((unsigned long)-1)

inline PyThread_type_lock PyThread_allocate_lock() { return new std::binary_semaphore(1); }

inline int PyThread_acquire_lock(PyThread_type_lock lock, int) {
    lock->acquire();
    return 1;
}

inline void PyThread_release_lock(PyThread_type_lock lock) { lock->release(); }

inline unsigned long PyThread_start_new_thread(void (*run)(void *), void *argument) {
    try {
        std::thread thread(run, argument);
        const auto handle = (uintptr_t)thread.native_handle();
        thread.detach();
        return (unsigned long)handle;
    } catch (const std::system_error &) {
        return PYTHREAD_INVALID_THREAD_ID;
    }
}

#endif
