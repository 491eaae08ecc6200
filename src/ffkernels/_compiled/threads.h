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
       ASLEEP    OFFERED   its parent                       the parent releases `wake` (ff_rouse)
       OFFERED   AWAKE     the helper, to accept the offer  it works, and counts itself out of `engaged`
       OFFERED   AWAKE     its parent, to withdraw it       the parent counts the helper out of `engaged`
       AWAKE     ASLEEP    the helper                       it acquires `wake`, where it sleeps

   `engaged` counts the helpers with an offer, open or accepted; the call is over when it is 0.  All other
   fields of a team belong to its caller, who may write them while `engaged` is 0.

   Threads and locks are Python's own, which it has for every system; helpers run no Python code. */
#ifndef FFKERNELS_THREADS_H
#define FFKERNELS_THREADS_H

#include <Python.h>

#include <atomic>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
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
#elif defined(_M_ARM64)
#include <intrin.h>
#define ff_pause() __isb(_ARM64_BARRIER_SY)
#else
#define ff_pause() ((void)0)
#endif

#ifdef _WIN32
#define FF_EXPORT extern "C" __declspec(dllexport)
#else
#define FF_EXPORT extern "C" __attribute__((visibility("default")))
#endif

enum {
    FF_MAX_THREADS = 1024,    /* backend.py refuses more */
    FF_MAX_PROCESSORS = 1024, /* that are told apart */
    FF_TEAMS = 4,             /* calls that can have helpers at the same time */
    FF_SPIN = 30000,          /* nanoseconds that a thread spins before it sleeps; to wake it takes 10,000 */
    FF_LOOKS = 20,            /* looks at what it waits for between two yields */
    FF_WAKE = 4,              /* grains, of some 3 us, that a sleeper must get to be woken */
    FF_PATIENCE = 8,          /* or calls in a row that had less than that for it */
    FF_REST = 500000,         /* nanoseconds that one who found no processor is left asleep: doubled for */
    FF_MAX_MISSES = 7,        /* each time that it found none, up to so often */
    FF_UNANSWERED = 2         /* offers in a row after which who is awake, but does not run, is moved */
};

using part_function = void (*)(const void *job, ptrdiff_t part, int thread);

enum ff_state { FF_AWAKE, FF_OFFERED, FF_ASLEEP };

/* Parts first, first + 1, ..., stop - 1, in one word for compare-and-exchange: `first` in its lower half. */
using ff_range = size_t;
constexpr int FF_HALF = 4 * sizeof(ff_range);
constexpr ff_range FF_MAX_PARTS = ((ff_range)1 << FF_HALF) - 1;

static inline ff_range ff_make_range(size_t first, size_t stop) { return stop << FF_HALF | first; }
static inline size_t ff_first(ff_range range) { return range & FF_MAX_PARTS; }
static inline size_t ff_stop(ff_range range) { return range >> FF_HALF; }
static inline size_t ff_length(ff_range range) { return ff_stop(range) - ff_first(range); }

/* Ranges need no order of memory: what a call works on is handed over with `state`. */
constexpr auto ff_relaxed = std::memory_order_relaxed;

struct ff_team;

struct ff_worker {
    alignas(64) std::atomic<ff_range> range; /* thieves look at it: a cache line of its own */
    alignas(64) std::atomic<ff_state> state;
    std::atomic<int> misses;         /* wakings on a processor of another thread's, less those on one of its own */
    std::atomic<int64_t> rests_until; /* after a miss, by `ff_nanoseconds` */
    int passed_over;                 /* times in a row that its parent let it sleep; the parent's own */
    int unanswered;                  /* offers in a row that its parent withdrew; the parent's own */
    int number;                      /* in its team; the caller is 0, and has a range but no thread */
    ff_team *team;
    PyThread_type_lock wake;         /* held, but between its parent's release and its acquisition */
    unsigned long thread;
#if FF_AFFINITY
    int processor;                   /* where it fell asleep */
#endif
};

struct ff_team {
    alignas(64) std::atomic<bool> taken; /* whether a call has this team */
    alignas(64) std::atomic<int> engaged;
    alignas(64) part_function run;   /* the call, as `in_parallel` was given it */
    const void *job;
    size_t parts;
    double grains;
    int threads;
    std::atomic<unsigned> call;      /* its number */
    int started;                     /* workers that there are, the caller among them */
    PyThread_type_lock all_done;     /* held, but between a helper's release and the caller's acquisition */
    std::atomic<unsigned> last_call[FF_MAX_PROCESSORS]; /* number of the last one that claimed each processor */
    ff_worker workers[FF_MAX_THREADS];
};

constexpr int FF_WAITED_FOR = 1 << 20; /* added to `engaged` by a caller who sleeps */

static ff_team ff_teams[FF_TEAMS];
static std::atomic<int> ff_wanted{1};

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
template <class T>
static bool ff_spin_until(const std::atomic<T> &variable, T value) {
    int64_t now, end = 0;
    do {
        for (int k = 0; k < FF_LOOKS; k++) {
            if (variable.load() == value) return true;
            ff_pause();
        }
        ff_yield();
        now = ff_nanoseconds();
        if (!end) end = now + FF_SPIN;
    } while (now < end);
    return false;
}

/* Moves the first part of a worker's range to `part`; returns whether there was one. */
static bool ff_take_part(ff_worker *self, ptrdiff_t *part) {
    ff_range range = self->range.load(ff_relaxed);
    while (ff_length(range)) {
        if (self->range.compare_exchange_weak(range, range + 1, ff_relaxed)) {
            *part = (ptrdiff_t)ff_first(range);
            return true;
        }
    }
    return false;
}

/* Fills the empty range of a worker with the upper half of another's, its parent's if possible; returns
   whether anything was left.  Ranges are looked at before they are written: most looks find nothing. */
static bool ff_steal(ff_team *team, ff_worker *self) {
    int number = (self->number - 1) / 2;
    for (int k = 0; k < team->threads; k++, number++) {
        if (number == team->threads) number = 0;
        ff_worker *victim = &team->workers[number];
        ff_range range = victim->range.load(ff_relaxed);
        while (ff_length(range)) {
            const size_t middle = ff_first(range) + ff_length(range) / 2;
            if (victim->range.compare_exchange_weak(range, ff_make_range(ff_first(range), middle), ff_relaxed)) {
                self->range.store(ff_make_range(middle, ff_stop(range)), ff_relaxed);
                return true;
            }
        }
    }
    return false;
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

/* Has a helper run that sleeps, or one that is awake but waits for a processor.  Linux wakes a sleeper where
   it ran last, or where its waker runs.  If the waker is there, the helper is moved milliseconds later, when
   the work is done: so for the moment of the call it must not run there.  Its affinity is then again what it
   was, which may be the user's choice. */
static void ff_rouse(ff_worker *helper, bool asleep) {
#if FF_AFFINITY
    const int here = sched_getcpu();
    const pthread_t thread = (pthread_t)helper->thread;
    cpu_set_t allowed;
    bool moved = false;
    if (here >= 0 && (!asleep || here == helper->processor) &&
        !pthread_getaffinity_np(thread, sizeof allowed, &allowed)) {
        cpu_set_t elsewhere = allowed;
        CPU_CLR(here, &elsewhere);
        moved = CPU_COUNT(&elsewhere) && !pthread_setaffinity_np(thread, sizeof elsewhere, &elsewhere);
    }
    if (asleep) PyThread_release_lock(helper->wake);
    if (moved) pthread_setaffinity_np(thread, sizeof allowed, &allowed);
#else
    if (asleep) PyThread_release_lock(helper->wake);
#endif
}

/* Whether a sleeper that would get so many grains is worth waking. */
static bool ff_is_worth_waking(ff_worker *child, double share) {
    if (share < (double)FF_WAKE && ++child->passed_over < FF_PATIENCE) return false;
    const int misses = child->misses.load(ff_relaxed);
    return !misses || share >= FF_WAKE << misses || ff_nanoseconds() >= child->rests_until.load(ff_relaxed);
}

/* Offers work to a helper if it is worth it: `share` is what the helper would get, in grains. */
static void ff_offer(ff_team *team, ff_worker *child, double share) {
    if (child->state.load() == FF_ASLEEP && !ff_is_worth_waking(child, share)) return;
    child->passed_over = 0;
    team->engaged.fetch_add(1);
    const bool asleep = child->state.exchange(FF_OFFERED) == FF_ASLEEP;
    if (asleep || child->unanswered == FF_UNANSWERED) ff_rouse(child, asleep);
}

static void ff_offer_to_children(ff_team *team, const ff_worker *self) {
    const size_t left = ff_length(self->range.load(ff_relaxed));
    const double grains = team->grains * (double)left / (double)team->parts;
    for (int k = 1; k <= 2 && 2 * self->number + k < team->threads && grains >= k + 1; k++)
        ff_offer(team, &team->workers[2 * self->number + k], grains / (k + 1));
}

static void ff_withdraw_offers(ff_team *team, const ff_worker *self) {
    for (int k = 2 * self->number + 1; k <= 2 * self->number + 2 && k < team->threads; k++) {
        ff_worker *child = &team->workers[k];
        ff_state offered = FF_OFFERED;
        if (child->state.load() == FF_OFFERED && child->state.compare_exchange_strong(offered, FF_AWAKE)) {
            child->unanswered++;
            team->engaged.fetch_sub(1);
        } else {
            child->unanswered = 0;
        }
    }
}

/* Whether another thread of the call has claimed the processor that this one runs on.  With `claim` this one
   has it from now on. */
static bool ff_processor_is_taken(ff_team *team, bool claim) {
#if FF_AFFINITY
    const unsigned here = (unsigned)sched_getcpu(), call = team->call.load();
    if (here >= FF_MAX_PROCESSORS) return false;
    return (claim ? team->last_call[here].exchange(call) : team->last_call[here].load()) == call;
#else
    (void)team, (void)claim;
    return false;
#endif
}

/* Takes part in the call, with a processor to itself. */
static void ff_join(ff_team *team, ff_worker *self) {
    if (!ff_steal(team, self)) return;
    ff_offer_to_children(team, self);
    ff_work(team, self);
    ff_withdraw_offers(team, self);
}

/* What waking it was good for: whether it found its processor taken. */
static void ff_count_miss(ff_worker *self, bool taken) {
    int misses = self->misses.load(ff_relaxed);
    if (taken && misses < FF_MAX_MISSES) misses++;
    if (!taken && misses) misses--;
    self->misses.store(misses, ff_relaxed);
    if (taken) self->rests_until.store(ff_nanoseconds() + ((int64_t)FF_REST << misses), ff_relaxed);
}

static void ff_help(void *worker) {
    ff_worker *self = static_cast<ff_worker *>(worker);
    ff_team *team = self->team;
    bool taken = true;
    for (;;) {
        ff_state state = FF_AWAKE;
        bool slept = false;
        /* Without a processor to itself it does not spin: it would be in the way of those who work. */
        if (taken || !ff_spin_until(self->state, FF_OFFERED)) {
            ff_note_processor(self);
            slept = self->state.compare_exchange_strong(state, FF_ASLEEP);
            if (slept) PyThread_acquire_lock(self->wake, WAIT_LOCK);
        }
        state = FF_OFFERED;
        const bool accepted = self->state.compare_exchange_strong(state, FF_AWAKE);
        taken = ff_processor_is_taken(team, accepted);
        if (slept) {
            ff_count_miss(self, taken);
        }
        if (accepted) {
            if (!taken) ff_join(team, self);
            if (team->engaged.fetch_sub(1) == FF_WAITED_FOR + 1) PyThread_release_lock(team->all_done);
        }
    }
}

#ifndef _WIN32
/* A child process has the memory of the helpers, but not the threads. */
static void ff_forget_helpers(void) {
    for (ff_team *team = ff_teams; team < ff_teams + FF_TEAMS; team++) {
        for (int k = 0; k <= team->started && k < FF_MAX_THREADS; k++) { /* one was just being started */
            team->workers[k].range.store(0);
            team->workers[k].wake = nullptr;
        }
        team->started = 0;
        team->all_done = nullptr;
        team->engaged.store(0);
        team->taken.store(false);
    }
}
#endif

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
static void ff_restore_signals(ff_signals before) { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
#endif

/* Starts one more helper of a team; returns whether there was a thread to be had. */
static bool ff_start_helper(ff_team *team, ff_worker *helper) {
    helper->number = (int)(helper - team->workers);
    helper->team = team;
    helper->passed_over = 0;
    helper->unanswered = 0;
    helper->misses.store(0);
    helper->state.store(FF_AWAKE);
    if (!helper->wake) helper->wake = ff_held_lock();
    if (!helper->wake) return false;
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
    if (ff_spin_until(team->engaged, 0)) return;
    if (team->engaged.fetch_add(FF_WAITED_FOR)) PyThread_acquire_lock(team->all_done, WAIT_LOCK);
    team->engaged.store(0);
}

/* Runs the call of a team and returns when all parts are done. */
static void ff_run_as_caller(ff_team *team) {
    ff_worker *self = &team->workers[0];
    self->range.store(ff_make_range(0, team->parts), ff_relaxed);
    team->call.fetch_add(1);
    ff_processor_is_taken(team, true);
    ff_offer_to_children(team, self);
    ff_work(team, self);
    ff_withdraw_offers(team, self);
    ff_wait_for_helpers(team);
}

/* A team that no call has; nullptr where there is none. */
static ff_team *ff_take_team(void) {
    for (ff_team *team = ff_teams; team < ff_teams + FF_TEAMS; team++)
        if (!team->taken.load() && !team->taken.exchange(true)) return team;
    return nullptr;
}

/* As many threads as each of the calls in progress, one of them the asking one's, may have.  A call may ask
   for more threads than the process wants. */
static int ff_fair_share(int asked) {
    const int wanted = ff_wanted.load();
    int calls = 0;
    for (int k = 0; k < FF_TEAMS; k++) calls += ff_teams[k].taken.load();
    return ((asked > wanted ? asked : wanted) + calls - 1) / calls;
}

static void want_threads(int n) { ff_wanted.store(n < FF_MAX_THREADS ? n : FF_MAX_THREADS); }

/* By its name threadpoolctl knows a module of kernels (_limits.py). */
FF_EXPORT int ffkernels_num_threads(void) { return ff_wanted.load(); }

/* How many threads so many grains of work deserve, at least one for each. */
static int threads_for(ptrdiff_t grains) {
    const int wanted = ff_wanted.load(ff_relaxed);
    const int n = grains < wanted ? (int)grains : wanted;
    return n > 1 ? n : 1;
}

static void prepare_threads(void) {
#ifndef _WIN32
    pthread_atfork(nullptr, nullptr, ff_forget_helpers);
#endif
}

/* Calls run(job, part, thread) once for each part, on at most so many threads, which are numbered from 0.
   `grains` is the work in units of the least that is worth a thread that is awake. */
static void in_parallel(part_function run, const void *job, ptrdiff_t parts, int threads, ptrdiff_t grains) {
    ff_team *team = threads > 1 && (size_t)parts <= FF_MAX_PARTS ? ff_take_team() : nullptr;
    if (team) {
        const int fair = ff_fair_share(threads);
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
    if (team) team->taken.store(false);
}

#endif
