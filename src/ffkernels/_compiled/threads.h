/* A pool of threads whose caller waits for none that has not begun.

   A call is cut into parts, and each thread has a share of them.  Who is done with its share takes
   parts of the others', so that a helper that comes late, or not at all because the system lets
   something else run, holds nothing up: by then its caller, who is awake, has done its work.  What
   the caller waits for at the end is one part, of those who are still in theirs.

   A helper is IDLE until a caller has POSTED work; it takes that by making it WORKING, and the caller
   takes back what nobody took.  After a call a helper looks out for the next, some microseconds,
   before it sleeps.  One call at a time has the helpers; others meanwhile, from other threads, go
   without.

   Helpers and their locks are Python's own, which it has for every system; they run no Python code. */
#ifndef FFKERNELS_THREADS_H
#define FFKERNELS_THREADS_H

#include <Python.h>
#include <atomic>
#include <stddef.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#define ff_give_way() SwitchToThread()
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#define ff_give_way() sched_yield()
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <emmintrin.h>
#define ff_pause() _mm_pause()
#elif defined(__aarch64__) && defined(__GNUC__)
#define ff_pause() __asm__ __volatile__("yield")
#else
#define ff_pause() ((void)0)
#endif

/* Of OpenMP's threads only their number is used: threadpoolctl limits it. */
#ifdef _OPENMP
#include <omp.h>
#define FF_OPENMP 1
#else
#define FF_OPENMP 0
#define omp_get_max_threads() FF_MAX_THREADS
#endif

enum {
    FF_MAX_THREADS = 1024, /* backend.py refuses more */
    FF_WAITS = 1000,  /* looks for work, or for the end of it, before sleeping: some 30 microseconds */
    FF_YIELD = 20,    /* looks after which others are let run, in case what is awaited is among them */
    FF_WAKE = 8,      /* grains of work for each sleeper that is woken: it costs some 10 microseconds */
    FF_PATIENCE = 8   /* calls in which a helper sleeps through less than that */
};

using std::atomic_flag, std::atomic_int, std::atomic_ptrdiff_t, std::memory_order_relaxed;

typedef void (*part_function)(const void *job, ptrdiff_t part, int thread);

typedef struct {
    part_function run;
    const void *job;
    int threads;
} ff_work;

enum { FF_IDLE, FF_POSTED, FF_WORKING, FF_AWAITED };

typedef struct {
    alignas(64) atomic_ptrdiff_t next; /* part of the share, which ends before `stop` */
    ptrdiff_t stop;
    alignas(64) atomic_int state;
    atomic_int asleep;
    const ff_work *work;
    PyThread_type_lock wake, done; /* both held, but between a release and the other's acquisition */
    unsigned long thread;
    int avoided;                   /* processor that it stays away from, or -1 */
} ff_helper;

static atomic_int ff_wanted = 1;
static int ff_openmp_threads;        /* without a limit; any other number is one */
static ff_helper ff_helpers[FF_MAX_THREADS]; /* the first is the caller: a share without a thread */
static int ff_started = 1;
static int ff_slept_through;         /* calls since helpers fell asleep */
static atomic_flag ff_taken = ATOMIC_FLAG_INIT; /* who has this has everything above */

static void ff_take_parts(const ff_work *work, int thread) {
    for (int k = 0; k < work->threads; k++) {
        ff_helper *share = &ff_helpers[(thread + k) % work->threads];
        ptrdiff_t part;
        while ((part = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed)) < share->stop)
            work->run(work->job, part, thread);
    }
}

/* Looks until it is so, but not for long; returns whether it was. */
static int ff_becomes(atomic_int *state, int wanted) {
    for (int k = 1; k <= FF_WAITS; k++) {
        if (atomic_load(state) == wanted) return 1;
        ff_pause();
        if (k % FF_YIELD == 0) ff_give_way();
    }
    return 0;
}

static void ff_help(void *self) {
    ff_helper *helper = (ff_helper *)self;
    for (;;) {
        int posted = FF_POSTED;
        if (!ff_becomes(&helper->state, FF_POSTED)) {
            atomic_store(&helper->asleep, 1);
            /* Either this sees what was posted, or who posts it sees `asleep` and releases the lock. */
            if (atomic_load(&helper->state) != FF_POSTED || !atomic_exchange(&helper->asleep, 0))
                PyThread_acquire_lock(helper->wake, WAIT_LOCK);
        }
        if (atomic_compare_exchange_strong(&helper->state, &posted, FF_WORKING)) {
            ff_take_parts(helper->work, (int)(helper - ff_helpers));
            if (atomic_exchange(&helper->state, FF_IDLE) == FF_AWAITED) PyThread_release_lock(helper->done);
        }
    }
}

/* Linux wakes a sleeper on the processor of who wakes it, as often as not, and moves one of them
   milliseconds later.  So helpers may run where their caller may, but for where it does. */
static void ff_keep_apart(int threads) {
#if defined(__linux__) && !defined(__ANDROID__)
    const int here = sched_getcpu();
    cpu_set_t allowed;
    for (int t = 1; t < threads; t++) {
        ff_helper *helper = &ff_helpers[t];
        if (helper->avoided == here) continue;
        helper->avoided = here;
        if (here < 0 || pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed)) return;
        CPU_CLR(here, &allowed);
        if (CPU_COUNT(&allowed)) pthread_setaffinity_np((pthread_t)helper->thread, sizeof allowed, &allowed);
    }
#else
    (void)threads;
#endif
}

/* A child has the memory of the helpers, but not the threads. */
static void ff_forget_helpers(void) {
    for (; ff_started > 1; ff_started--) {
        ff_helper *helper = &ff_helpers[ff_started - 1];
        helper->wake = helper->done = NULL;
        atomic_store(&helper->state, FF_IDLE);
        atomic_store(&helper->asleep, 0);
    }
    atomic_flag_clear(&ff_taken);
}

static PyThread_type_lock ff_held_lock(void) {
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock) PyThread_acquire_lock(lock, WAIT_LOCK);
    return lock;
}

/* A thread has its signal mask from who starts it.  With the caller's it would take what the application
   has blocked to wait for; so none but the signals of its own faults, which tools report. */
#ifdef _WIN32
typedef int ff_signals;
static ff_signals ff_block_signals(void) { return 0; }
static void ff_restore_signals(ff_signals before) { (void)before; }
#else
typedef sigset_t ff_signals;
static ff_signals ff_block_signals(void) {
    ff_signals blocked, before;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    return before;
}
static void ff_restore_signals(ff_signals before) { pthread_sigmask(SIG_SETMASK, &before, NULL); }
#endif

/* Starts helpers until there are as many threads as wanted; returns how many there are. */
static int ff_start(int threads) {
    for (; ff_started < threads; ff_started++) {
        ff_helper *helper = &ff_helpers[ff_started];
        if (!helper->wake) helper->wake = ff_held_lock();
        if (!helper->done) helper->done = ff_held_lock();
        if (!helper->wake || !helper->done) break;
        helper->avoided = -1;
        const ff_signals before = ff_block_signals();
        helper->thread = PyThread_start_new_thread(ff_help, helper);
        ff_restore_signals(before);
        if (helper->thread == PYTHREAD_INVALID_THREAD_ID) break;
    }
    return threads < ff_started ? threads : ff_started;
}

static void ff_post(const ff_work *work, ptrdiff_t grains) {
    ptrdiff_t wakes = ff_slept_through < FF_PATIENCE ? grains / FF_WAKE : work->threads;
    int asleep = 0;
    ff_keep_apart(work->threads);
    for (int t = 1; t < work->threads; t++) {
        ff_helper *helper = &ff_helpers[t];
        helper->work = work;
        atomic_store(&helper->state, FF_POSTED);
        if (!atomic_load(&helper->asleep)) continue;
        if (wakes-- <= 0)
            asleep = 1;
        else if (atomic_exchange(&helper->asleep, 0))
            PyThread_release_lock(helper->wake);
    }
    ff_slept_through = asleep ? ff_slept_through + 1 : 0;
}

static void ff_take_back(const ff_work *work) {
    for (int t = 1; t < work->threads; t++) {
        ff_helper *helper = &ff_helpers[t];
        int posted = FF_POSTED, working = FF_WORKING;
        if (!atomic_compare_exchange_strong(&helper->state, &posted, FF_IDLE) &&
            !ff_becomes(&helper->state, FF_IDLE) &&
            atomic_compare_exchange_strong(&helper->state, &working, FF_AWAITED))
            PyThread_acquire_lock(helper->done, WAIT_LOCK);
    }
}

static void want_threads(int n) { atomic_store(&ff_wanted, n < FF_MAX_THREADS ? n : FF_MAX_THREADS); }

/* How many threads so many grains of work deserve, at least one for each. */
static int threads_for(ptrdiff_t grains) {
    int n = atomic_load_explicit(&ff_wanted, memory_order_relaxed);
    if (n > grains) n = (int)grains;
    if (n > 1) {
        const int limit = omp_get_max_threads();
        if (limit != ff_openmp_threads && limit < n) n = limit;
    }
    return n > 1 ? n : 1;
}

/* What OpenMP has without a limit only a new thread can tell: a limit is of the thread that sets it, and
   may stand when this module is loaded. */
static void ff_note_openmp(void) { ff_openmp_threads = omp_get_max_threads(); }

#if !FF_OPENMP
static void ff_ask_new_thread(void) {}
#elif defined(_WIN32)
static DWORD WINAPI ff_new_thread(void *unused) {
    (void)unused;
    ff_note_openmp();
    return 0;
}

static void ff_ask_new_thread(void) {
    HANDLE thread = CreateThread(NULL, 0, ff_new_thread, NULL, 0, NULL);
    if (!thread) return;
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}
#else
static void *ff_new_thread(void *unused) {
    (void)unused;
    ff_note_openmp();
    return NULL;
}

static void ff_ask_new_thread(void) {
    pthread_t thread;
    const ff_signals before = ff_block_signals();
    if (!pthread_create(&thread, NULL, ff_new_thread, NULL)) pthread_join(thread, NULL);
    ff_restore_signals(before);
}
#endif

static void prepare_threads(void) {
    ff_note_openmp();
    ff_ask_new_thread();
#ifndef _WIN32
    pthread_atfork(NULL, NULL, ff_forget_helpers);
#endif
}

/* Runs every part once, by at most so many threads, each of which says its number from 0 up.  `grains`
   is the whole in units of the least that is worth a thread that is awake. */
static void in_parallel(part_function run, const void *job, ptrdiff_t parts, int threads, ptrdiff_t grains) {
    if (threads == 1 || atomic_flag_test_and_set(&ff_taken)) {
        for (ptrdiff_t part = 0; part < parts; part++) run(job, part, 0);
        return;
    }
    const ff_work work = {run, job, ff_start(threads)};
    for (int t = 0; t < work.threads; t++) {
        atomic_store(&ff_helpers[t].next, parts * t / work.threads);
        ff_helpers[t].stop = parts * (t + 1) / work.threads;
    }
    ff_post(&work, grains);
    ff_take_parts(&work, 0);
    ff_take_back(&work);
    atomic_flag_clear(&ff_taken);
}

#endif
