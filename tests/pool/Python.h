/* What threads.h takes from Python, by the C++ library: so the pool is compiled, and run, where there is no
   Python to be had for a system. */
#ifndef FFKERNELS_TESTS_PYTHON_H
#define FFKERNELS_TESTS_PYTHON_H

#include <condition_variable>
#include <mutex>
#include <stdint.h>
#include <system_error>
#include <thread>

/* Not std::binary_semaphore: that of gcc 12 without futexes, as for Windows, can miss a release and sleep forever. */
struct python_lock {
    std::mutex mutex;
    std::condition_variable released;
    bool held = false;
};
using PyThread_type_lock = python_lock *;
#define WAIT_LOCK 1
#define PYTHREAD_INVALID_THREAD_ID ((unsigned long)-1)

inline PyThread_type_lock PyThread_allocate_lock() { return new python_lock; }

inline int PyThread_acquire_lock(PyThread_type_lock lock, int) {
    std::unique_lock<std::mutex> own(lock->mutex);
    lock->released.wait(own, [lock] { return !lock->held; });
    lock->held = true;
    return 1;
}

inline void PyThread_release_lock(PyThread_type_lock lock) {
    const std::lock_guard<std::mutex> own(lock->mutex);
    lock->held = false;
    lock->released.notify_one();
}

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
