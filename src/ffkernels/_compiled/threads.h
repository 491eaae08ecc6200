/* A fork-join pool of threads with work stealing; its caller never waits for a helper that has not begun.

   A call is cut into parts, numbered from 0.  Each thread has a range of them and takes parts from its
   front; a thread whose range is empty steals the upper half of another's.  At first the caller has all.
   A helper that comes late, or never because the system runs something else, so holds nothing up: what the
   caller waits for at the end is one part of each thread that is still in one.

   The caller and its helpers are a team, in a binary tree: thread k offers work to its children 2k + 1 and
   2k + 2 when it has got work itself, and only if that is enough for another thread.  So 63 sleepers are
   woken in six steps rather than one after the other, and threads that would find nothing are left alone.
   Calls that are made at the same time, by several Python threads, have a team each.

   The state of a helper, which is a single atomic:

       from      to        changed by                       and then
       AWAKE     OFFERED   its parent                       the helper, who spins, sees it
       ASLEEP    OFFERED   its parent                       the parent releases `wake` (ff_wake)
       OFFERED   AWAKE     the helper, to accept the offer  it works, and counts itself out of `engaged`
       OFFERED   AWAKE     its parent, to withdraw it       the parent counts the helper out of `engaged`
       AWAKE     ASLEEP    the helper                       it acquires `wake`, where it sleeps

   `engaged` counts the helpers with an offer, open or accepted; the call is over when it is 0.  All other
   fields of a team belong to its caller, who may write them while `engaged` is 0.

   Threads and locks are Python's own, which it has for every system; helpers run no Python code. */
#ifndef FFKERNELS_THREADS_H
#define FFKERNELS_THREADS_H

#include <Python.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#define ff_yield() SwitchToThread()
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#define ff_yield() sched_yield()
#endif

#if defined(__linux__) && !defined(__ANDROID__)
#define FF_AFFINITY 1
#else
#define FF_AFFINITY 0
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <emmintrin.h>
#define ff_pause() _mm_pause()
#elif defined(__aarch64__) && defined(__GNUC__)
#define ff_pause() __asm__ __volatile__("isb") /* `yield` does nothing on most; this takes some 10 ns */
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
    FF_MAX_THREADS = 1024,    /* backend.py refuses more */
    FF_MAX_PROCESSORS = 1024, /* that are told apart */
    FF_TEAMS = 4,             /* calls that can have helpers at the same time */
    FF_SPIN = 30000,          /* nanoseconds that a thread spins before it sleeps; to wake it takes 10,000 */
    FF_LOOKS = 20,            /* looks at what it waits for between two yields */
    FF_WAKE = 4,              /* grains, of some 3 us, that a sleeper must get to be woken */
    FF_PATIENCE = 8,          /* or calls in a row that had less than that for it */
    FF_MAX_MISSES = 5         /* times at most that both are doubled because it woke on a taken processor */
};

typedef void (*part_function)(const void *job, ptrdiff_t part, int thread);

enum { FF_AWAKE, FF_OFFERED, FF_ASLEEP };

/* Parts first, first + 1, ..., stop - 1, in one word for compare-and-exchange: `first` in its lower half. */
typedef size_t ff_range;
enum { FF_HALF = 4 * sizeof(ff_range) };
static const ff_range FF_MAX_PARTS = ((ff_range)1 << FF_HALF) - 1;

static inline ff_range ff_make_range(size_t first, size_t stop) { return stop << FF_HALF | first; }
static inline size_t ff_first(ff_range range) { return range & FF_MAX_PARTS; }
static inline size_t ff_stop(ff_range range) { return range >> FF_HALF; }
static inline size_t ff_length(ff_range range) { return ff_stop(range) - ff_first(range); }

typedef struct ff_team ff_team;

typedef struct {
    alignas(64) atomic_size_t range; /* thieves look at it: a cache line of its own */
    alignas(64) atomic_int state;
    atomic_int misses;               /* times in a row that it woke where another thread of the call was */
    int passed_over;                 /* times in a row that its parent let it sleep; the parent's own */
    int number;                      /* in its team; the caller is 0, and has a range but no thread */
    ff_team *team;
    PyThread_type_lock wake;         /* held, but between its parent's release and its acquisition */
    unsigned long thread;
#if FF_AFFINITY
    int processor;                   /* where it fell asleep */
#endif
} ff_worker;

struct ff_team {
    alignas(64) atomic_int taken;    /* whether a call has this team */
    alignas(64) atomic_int engaged;
    alignas(64) part_function run;   /* the call, as `in_parallel` was given it */
    const void *job;
    size_t parts;
    double grains;
    int threads;
    atomic_uint call;                /* its number */
    int started;                     /* workers that there are, the caller among them */
    PyThread_type_lock all_done;     /* held, but between a helper's release and the caller's acquisition */
    atomic_uint last_call[FF_MAX_PROCESSORS]; /* number of the last call with a thread on each processor */
    ff_worker workers[FF_MAX_THREADS];
};

enum { FF_WAITED_FOR = 1 << 20 }; /* added to `engaged` by a caller who sleeps */

static ff_team ff_teams[FF_TEAMS];
static atomic_int ff_wanted = 1;
static int ff_openmp_threads; /* without a limit; any other number is one */

static int64_t ff_nanoseconds(void) {
#ifdef _WIN32
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (int64_t)((double)count.QuadPart * 1e9 / (double)frequency.QuadPart);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

/* Spins until the value is there, for FF_SPIN at most; returns whether it came.  It yields meanwhile, in
   case the thread that would set it has no processor. */
static int ff_spin_until(atomic_int *variable, int value) {
    int64_t now, end = 0;
    do {
        for (int k = 0; k < FF_LOOKS; k++) {
            if (atomic_load(variable) == value) return 1;
            ff_pause();
        }
        ff_yield();
        now = ff_nanoseconds();
        if (!end) end = now + FF_SPIN;
    } while (now < end);
    return 0;
}

/* Moves the first part of a worker's range to `part`; returns whether there was one. */
static int ff_take_part(ff_worker *self, ptrdiff_t *part) {
    ff_range range = atomic_load_explicit(&self->range, memory_order_relaxed);
    while (ff_length(range)) {
        if (atomic_compare_exchange_weak_explicit(&self->range, &range, range + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *part = (ptrdiff_t)ff_first(range);
            return 1;
        }
    }
    return 0;
}

/* Fills the empty range of a worker with the upper half of another's, its parent's if possible; returns
   whether anything was left.  Ranges are looked at before they are written: most looks find nothing. */
static int ff_steal(ff_team *team, ff_worker *self) {
    int number = (self->number - 1) / 2;
    for (int k = 0; k < team->threads; k++, number++) {
        if (number == team->threads) number = 0;
        ff_worker *victim = &team->workers[number];
        ff_range range = atomic_load_explicit(&victim->range, memory_order_relaxed);
        while (ff_length(range)) {
            const size_t middle = ff_first(range) + ff_length(range) / 2;
            if (atomic_compare_exchange_weak_explicit(&victim->range, &range,
                                                      ff_make_range(ff_first(range), middle),
                                                      memory_order_relaxed, memory_order_relaxed)) {
                atomic_store_explicit(&self->range, ff_make_range(middle, ff_stop(range)), memory_order_relaxed);
                return 1;
            }
        }
    }
    return 0;
}

/* Runs parts until none is left that has not been taken. */
static void ff_work(ff_team *team, ff_worker *self) {
    ptrdiff_t part;
    do {
        while (ff_take_part(self, &part)) team->run(team->job, part, self->number);
    } while (ff_steal(team, self));
}

static void ff_note_processor(ff_worker *self) {
#if FF_AFFINITY
    self->processor = sched_getcpu();
#else
    (void)self;
#endif
}

/* Linux wakes a sleeper where it ran last.  If that is where its waker runs, it is moved milliseconds later,
   when the work is done: so for the moment of waking it must not run there.  Its affinity is then again what
   it was, which may be the user's choice. */
static void ff_wake(ff_worker *sleeper) {
#if FF_AFFINITY
    const int here = sched_getcpu();
    const pthread_t thread = (pthread_t)sleeper->thread;
    cpu_set_t allowed;
    if (here >= 0 && here == sleeper->processor && !pthread_getaffinity_np(thread, sizeof allowed, &allowed)) {
        cpu_set_t elsewhere = allowed;
        CPU_CLR(here, &elsewhere);
        if (CPU_COUNT(&elsewhere) && !pthread_setaffinity_np(thread, sizeof elsewhere, &elsewhere)) {
            PyThread_release_lock(sleeper->wake);
            pthread_setaffinity_np(thread, sizeof allowed, &allowed);
            return;
        }
    }
#endif
    PyThread_release_lock(sleeper->wake);
}

/* Offers work to a helper if it is worth it: `share` is what the helper would get, in grains.  A sleeper that
   found no processor of its own lately must get more, or have been passed over more often. */
static void ff_offer(ff_team *team, ff_worker *child, double share) {
    if (atomic_load(&child->state) == FF_ASLEEP) {
        const int misses = atomic_load_explicit(&child->misses, memory_order_relaxed);
        if (share < FF_WAKE << misses && ++child->passed_over < FF_PATIENCE << misses) return;
    }
    child->passed_over = 0;
    atomic_fetch_add(&team->engaged, 1);
    if (atomic_exchange(&child->state, FF_OFFERED) == FF_ASLEEP) ff_wake(child);
}

static void ff_offer_to_children(ff_team *team, const ff_worker *self) {
    const size_t left = ff_length(atomic_load_explicit(&self->range, memory_order_relaxed));
    const double grains = team->grains * (double)left / (double)team->parts;
    for (int k = 1; k <= 2 && 2 * self->number + k < team->threads && grains >= k + 1; k++)
        ff_offer(team, &team->workers[2 * self->number + k], grains / (k + 1));
}

static void ff_withdraw_offers(ff_team *team, const ff_worker *self) {
    for (int k = 2 * self->number + 1; k <= 2 * self->number + 2 && k < team->threads; k++) {
        int offered = FF_OFFERED;
        if (atomic_load(&team->workers[k].state) == FF_OFFERED &&
            atomic_compare_exchange_strong(&team->workers[k].state, &offered, FF_AWAKE))
            atomic_fetch_sub(&team->engaged, 1);
    }
}

/* Whether another thread of the call has claimed the processor that this one runs on.  With `claim` this one
   has it from now on. */
static int ff_processor_is_taken(ff_team *team, int claim) {
#if FF_AFFINITY
    const unsigned here = (unsigned)sched_getcpu(), call = atomic_load(&team->call);
    if (here >= FF_MAX_PROCESSORS) return 0;
    return (claim ? atomic_exchange(&team->last_call[here], call) : atomic_load(&team->last_call[here])) == call;
#else
    (void)team, (void)claim;
    return 0;
#endif
}

/* Takes part in the call, with a processor to itself. */
static void ff_join(ff_team *team, ff_worker *self) {
    if (!ff_steal(team, self)) return;
    ff_offer_to_children(team, self);
    ff_work(team, self);
    ff_withdraw_offers(team, self);
}

static void ff_help(void *worker) {
    ff_worker *self = (ff_worker *)worker;
    ff_team *team = self->team;
    int taken = 1;
    for (;;) {
        int state = FF_AWAKE, slept = 0;
        /* Without a processor to itself it does not spin: it would be in the way of those who work. */
        if (taken || !ff_spin_until(&self->state, FF_OFFERED)) {
            ff_note_processor(self);
            slept = atomic_compare_exchange_strong(&self->state, &state, FF_ASLEEP);
            if (slept) PyThread_acquire_lock(self->wake, WAIT_LOCK);
        }
        state = FF_OFFERED;
        const int accepted = atomic_compare_exchange_strong(&self->state, &state, FF_AWAKE);
        taken = ff_processor_is_taken(team, accepted);
        if (slept) {
            const int misses = atomic_load_explicit(&self->misses, memory_order_relaxed);
            atomic_store_explicit(&self->misses, taken ? misses + (misses < FF_MAX_MISSES) : 0, memory_order_relaxed);
        }
        if (accepted) {
            if (!taken) ff_join(team, self);
            if (atomic_fetch_sub(&team->engaged, 1) == FF_WAITED_FOR + 1) PyThread_release_lock(team->all_done);
        }
    }
}

/* A child process has the memory of the helpers, but not the threads. */
static void ff_forget_helpers(void) {
    for (ff_team *team = ff_teams; team < ff_teams + FF_TEAMS; team++) {
        for (int k = 0; k <= team->started && k < FF_MAX_THREADS; k++) { /* one was just being started */
            atomic_store(&team->workers[k].range, 0);
            team->workers[k].wake = NULL;
        }
        team->started = 0;
        team->all_done = NULL;
        atomic_store(&team->engaged, 0);
        atomic_store(&team->taken, 0);
    }
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

/* Starts one more helper of a team; returns whether there was a thread to be had. */
static int ff_start_helper(ff_team *team, ff_worker *helper) {
    helper->number = (int)(helper - team->workers);
    helper->team = team;
    helper->passed_over = 0;
    atomic_store(&helper->misses, 0);
    atomic_store(&helper->state, FF_AWAKE);
    if (!helper->wake) helper->wake = ff_held_lock();
    if (!helper->wake) return 0;
    const ff_signals before = ff_block_signals();
    helper->thread = PyThread_start_new_thread(ff_help, helper);
    ff_restore_signals(before);
    return helper->thread != PYTHREAD_INVALID_THREAD_ID;
}

/* Starts helpers until a team has as many threads as wanted; returns how many there are. */
static int ff_start(ff_team *team, int threads) {
    if (!team->all_done) team->all_done = ff_held_lock();
    if (!team->all_done) return 1;
    if (!team->started) team->started = 1;
    while (team->started < threads && ff_start_helper(team, &team->workers[team->started])) team->started++;
    return threads < team->started ? threads : team->started;
}

/* Waits for the helpers that are still in a part. */
static void ff_wait_for_helpers(ff_team *team) {
    if (ff_spin_until(&team->engaged, 0)) return;
    if (atomic_fetch_add(&team->engaged, FF_WAITED_FOR)) PyThread_acquire_lock(team->all_done, WAIT_LOCK);
    atomic_store(&team->engaged, 0);
}

/* Runs the call of a team and returns when all parts are done. */
static void ff_run_as_caller(ff_team *team) {
    ff_worker *self = &team->workers[0];
    atomic_store_explicit(&self->range, ff_make_range(0, team->parts), memory_order_relaxed);
    atomic_fetch_add(&team->call, 1);
    ff_processor_is_taken(team, 1);
    ff_offer_to_children(team, self);
    ff_work(team, self);
    ff_withdraw_offers(team, self);
    ff_wait_for_helpers(team);
}

/* A team that no call has; NULL where there is none. */
static ff_team *ff_take_team(void) {
    for (ff_team *team = ff_teams; team < ff_teams + FF_TEAMS; team++)
        if (!atomic_load(&team->taken) && !atomic_exchange(&team->taken, 1)) return team;
    return NULL;
}

/* As many threads as one of the calls in progress may have. */
static int ff_fair_share(void) {
    int calls = 0;
    for (int k = 0; k < FF_TEAMS; k++) calls += atomic_load(&ff_teams[k].taken);
    return (atomic_load(&ff_wanted) + calls - 1) / (calls ? calls : 1);
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

/* Calls run(job, part, thread) once for each part, on at most so many threads, which are numbered from 0.
   `grains` is the work in units of the least that is worth a thread that is awake. */
static void in_parallel(part_function run, const void *job, ptrdiff_t parts, int threads, ptrdiff_t grains) {
    ff_team *team = threads > 1 && (size_t)parts <= FF_MAX_PARTS ? ff_take_team() : NULL;
    if (team) {
        const int fair = ff_fair_share();
        threads = fair < threads ? fair : threads;
        threads = threads > 1 ? ff_start(team, threads) : 1;
    }
    if (team && threads > 1) {
        team->run = run;
        team->job = job;
        team->parts = (size_t)parts;
        team->grains = (double)grains;
        team->threads = threads;
        ff_run_as_caller(team);
    } else {
        for (ptrdiff_t part = 0; part < parts; part++) run(job, part, 0);
    }
    if (team) atomic_store(&team->taken, 0);
}

#endif
