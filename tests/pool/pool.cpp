/* The pool of threads alone, without Python: for thread sanitizers, other C libraries and other systems.

   Every part of a call has to run exactly once, on a thread with a number that the call may have, and what it
   wrote has to be there when the call returns.  Prints what went wrong, and returns how much did. */
#include "threads.h"

#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

static std::atomic<int> failures{0};

static void expect(bool holds, const char *what) {
    if (holds) return;
    failures++;
    std::printf("failed: %s\n", what);
}

/* `times` of each part and `threads` are written by helpers without any order of their own, so that a call that
   returned too early, or ran a part twice, is a race that a sanitizer sees as well. */
struct job {
    std::vector<int> times, threads;
    int work;

    job(ptrdiff_t parts, int work) : times((size_t)parts), threads((size_t)parts, -1), work(work) {}
};

static void run_part(const void *given, ptrdiff_t part, int thread) {
    job *const j = static_cast<job *>(const_cast<void *>(given));
    volatile double sum = 0;
    for (int k = 0; k < j->work; k++) sum = sum + k;
    j->times[(size_t)part]++;
    j->threads[(size_t)part] = thread;
}

static bool is_done(const job &j, int threads) {
    for (const int times : j.times)
        if (times != 1) return false;
    for (const int thread : j.threads)
        if (thread < 0 || thread >= threads) return false;
    return true;
}

static bool call(ptrdiff_t parts, int threads, int work, ptrdiff_t grains) {
    job j(parts, work);
    in_parallel(run_part, &j, parts, threads, grains);
    return is_done(j, threads);
}

/* Calls of many sizes with pauses between them in which helpers spin, fall asleep, or have slept long. */
static void many_calls(unsigned seed, int calls) {
    std::mt19937 rng(seed);
    const auto below = [&](unsigned n) { return (int)(rng() % n); };
    for (int k = 0; k < calls; k++) {
        const int threads = 1 + below(9);
        expect(call(1 + below(300), threads, below(2000), 1 + below(100)), "every part runs once");
        if (below(8) == 0) std::this_thread::sleep_for(std::chrono::microseconds(below(200)));
    }
}

int main(int, char **) {
    prepare_threads();
    want_threads(8);

    expect(call(0, 4, 0, 1), "a call without parts");
    expect(call(1, 4, 10, 1), "a call of one part");
    many_calls(0, 2000);

    want_threads(64);
    expect(threads_for(1) == 1 && threads_for(3) <= 3 && threads_for(1000) <= 64, "as many threads as the work deserves");
    for (int k = 0; k < 100; k++) expect(call(1000, 64, 100, 1000), "more threads than processors");

    /* More callers than there are teams, while another changes how many threads are wanted. */
    std::vector<std::thread> callers;
    for (unsigned seed = 1; seed <= FF_TEAMS + 3; seed++) callers.emplace_back(many_calls, seed, 500);
    for (int n = 0; n < 200; n++) {
        want_threads(1 + n % 16);
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    for (std::thread &caller : callers) caller.join();

#ifndef _WIN32
    for (int k = 0; k < 5; k++) {
        expect(call(100, 4, 1000, 100), "a call before a fork");
        std::fflush(stdout);
        const pid_t child = fork();
        if (!child) _exit(call(100, 4, 1000, 100) ? 0 : 1);
        int status = -1;
        waitpid(child, &status, 0);
        expect(status == 0, "a call of a child");
        expect(call(100, 4, 1000, 100), "a call after a fork");
    }
#endif
    std::printf("%d failed\n", failures.load());
    return failures ? 1 : 0;
}
