"""Threads: how many a call uses shows in nothing but time, whoever calls, from where and when."""

import functools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import backend as control

COMPILED = control._compiled is not None
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
needs_signals = pytest.mark.skipif(
    not COMPILED or not hasattr(signal, "pthread_sigmask"), reason="no kernels, or no masks of signals"
)
needs_tasks = pytest.mark.skipif(
    not COMPILED or not os.path.isdir("/proc/self/task"), reason="no kernels, or no list of threads"
)

needs_affinity = pytest.mark.skipif(
    not COMPILED or not sys.platform.startswith("linux") or len(os.sched_getaffinity(0)) < 2,
    reason="no kernels, or no two processors to choose from",
)


# So that the pool gets threads as they are wanted, and not as they pay.
MANY_PROCESSORS = "from ffkernels import _processors\n_processors.affinity = lambda: range(1024)\n"


@pytest.fixture(autouse=True)
def many_processors(monkeypatch):
    monkeypatch.setattr("ffkernels._processors.affinity", lambda: range(1024))


def run(program, before="", many=True, **environment):
    """Run a program that begins with two threads and an array worth both."""
    start = (
        f"import os, sys, threading\n{before}\nimport numpy as np, ffkernels as ff\n"
        f"{MANY_PROCESSORS if many else ''}"
        "ff.set_num_threads(2)\n"
        "x = np.random.default_rng(0).normal(size=(2000, 1000)).astype(np.float32)\n"
        "def tasks(): return len(os.listdir('/proc/self/task'))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", start + program]
    environment = os.environ | {"OMP_NUM_THREADS": "4"} | environment
    # For hangs: an emulator of another processor takes minutes.
    subprocess.run(command, env=environment, check=True, timeout=600)


@pytest.mark.parametrize("shape", [(4000, 300), (200_000, 5), (3, 400_000)])
def test_results_do_not_depend_on_threads(backend, shape):
    rng = np.random.default_rng(2)
    x = rng.normal(size=shape).astype(np.float32)
    y = rng.uniform(size=shape).astype(np.float32)
    t = rng.integers(0, shape[1], shape[0])
    results = []
    for n in (1, 2, 3, 50, 256):
        with ff.num_threads(n):
            results.append(
                [
                    *ff.softmax_cross_entropy_with_grad(x, t), ff.softmax(x, axis=0), ff.tanh(x),
                    *ff.sum_squared_error_with_grad(x, y), ff.sum_squared_error_backward(x, y, 2.0),
                    *ff.cross_entropy_with_grad(y, t), *ff.cross_entropy_with_grad(y, y),
                    *ff.softmax_cross_entropy_with_grad(x, y),
                    *ff.softmax_cross_entropy_with_grad(x, t, label_smoothing=0.1),
                    *ff.tanh_backward_bias(x, y), ff.sigmoid(x[:, ::-1]),
                ]
            )
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


X = np.random.default_rng(5).normal(size=1_000_000).astype(np.float32)


def calls(rng, sizes):
    """Calls of some sizes, in no order, with their results on one thread."""
    outs = {n: np.empty(n, np.float32) for n in sizes}
    with ff.num_threads(1):
        wanted = {n: (ff.sigmoid(X[:n]), ff.softmax(X[:n].reshape(-1, 50))) for n in sizes}
    for n in rng.choice(sizes, 300):
        rows = X[:n].reshape(-1, 50), outs[n].reshape(-1, 50)
        sigmoid = functools.partial(ff.sigmoid, X[:n], out=outs[n])
        softmax = functools.partial(ff.softmax, rows[0], out=rows[1])
        yield from zip((sigmoid, softmax), wanted[n], strict=True)


def check(call, want):
    call.keywords["out"].fill(np.nan)
    np.testing.assert_array_equal(call(), want)


def test_a_call_returns_when_all_is_done(backend):
    """Small and large calls in turns, some after a pause: with helpers awake, asleep and just waking."""
    rng = np.random.default_rng(6)
    for call, want in calls(rng, (20_000, 50_000, 200_000, 1_000_000)):
        with ff.num_threads(int(rng.choice((1, 2, 3, 40)))):
            check(call, want)
        if rng.random() < 0.1:
            time.sleep(0.002)


def test_calls_from_several_threads(backend):
    work = [list(calls(np.random.default_rng(seed), (50_000, 200_000))) for seed in range(4)]
    before = ff.get_num_threads()
    ff.set_num_threads(3)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda mine: [check(*pair) for pair in mine], work))
    finally:
        ff.set_num_threads(before)


@needs_fork
def test_a_forked_child_has_threads_of_its_own():
    run(
        "y = ff.softmax(x)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    same = (ff.softmax(x) == y).all() and ff.get_num_threads() == 2\n"
        "    with ff.num_threads(3): same = same and (ff.softmax(x) == y).all()\n"
        "    os._exit(0 if same else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert (ff.softmax(x) == y).all()\n"
    )


@needs_fork
def test_a_fork_during_a_call():
    run(
        "y = ff.softmax(x)\n"
        "stop = False\n"
        "def work():\n"
        "    while not stop: ff.softmax(x)\n"
        "thread = threading.Thread(target=work)\n"
        "thread.start()\n"
        "codes = []\n"
        "for _ in range(20):\n"
        "    child = os.fork()\n"
        "    if child == 0: os._exit(0 if (ff.softmax(x) == y).all() else 1)\n"
        "    codes.append(os.waitpid(child, 0)[1])\n"
        "stop = True\n"
        "thread.join()\n"
        "assert not any(codes)\n"
    )


@needs_tasks
def test_threads_are_started_when_they_are_needed():
    run(
        "before = tasks()\n"
        "ff.softmax(x[:2])\n"
        "with ff.num_threads(1): ff.softmax(x)\n"
        "assert tasks() == before\n"
        "for _ in range(3): ff.softmax(x)\n"
        "assert tasks() == before + 1\n"
        "with ff.num_threads(5): ff.softmax(x)\n"
        "assert tasks() == before + 4\n"
    )


@needs_affinity
def test_an_affinity_that_the_user_sets_stays():
    """That of a helper, wherever its callers run."""
    run(
        "import time\n"
        "allowed = os.sched_getaffinity(0)\n"
        "first, *_, last = sorted(allowed)\n"
        "before = set(os.listdir('/proc/self/task'))\n"
        "ff.softmax(x)\n"
        "helper, = map(int, set(os.listdir('/proc/self/task')) - before)\n"
        "for chosen in first, last:\n"
        "    os.sched_setaffinity(helper, {chosen})\n"
        "    for processor in first, last, first:\n"
        "        os.sched_setaffinity(0, {processor})  # moves there, and may go on elsewhere\n"
        "        os.sched_setaffinity(0, allowed)\n"
        "        for _ in range(3):\n"
        "            ff.softmax(x)\n"
        "            time.sleep(0.002)  # so that the next call finds it asleep\n"
        "        assert os.sched_getaffinity(helper) == {chosen}\n"
    )


@needs_affinity
def test_many_threads_on_one_processor():
    run(
        "want = ff.softmax(x)\n"
        "with ff.num_threads(50):\n"
        "    for _ in range(5): assert (ff.softmax(x) == want).all()\n",
        before="os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
    )


@needs_affinity
def test_helpers_without_a_processor_are_left_asleep():
    """A call wakes as many helpers as can be of use, not as many as are wanted."""
    run(
        "import time\n"
        "def wakings():\n"
        "    total = 0\n"
        "    for helper in helpers:\n"
        "        with open(f'/proc/self/task/{helper}/status') as status:\n"
        "            total += int(status.read().partition('\\nvoluntary')[2].split()[1])\n"
        "    return total\n"
        "before = set(os.listdir('/proc/self/task'))\n"
        "ff.set_num_threads(200)\n"
        "ff.softmax(x)\n"
        "helpers = set(os.listdir('/proc/self/task')) - before\n"
        "assert len(helpers) == 199\n"
        "time.sleep(0.1)\n"
        "start = wakings()\n"
        "for _ in range(20):\n"
        "    ff.softmax(x)\n"
        "    time.sleep(0.01)\n"
        "assert wakings() - start < 20 * 20\n",
        before="os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])",
    )


@needs_affinity
def test_a_helper_without_a_processor_is_woken_again_when_there_is_one():
    """After a tenth of a second, not after some number of calls."""
    run(
        "import time\n"
        "small = x.ravel()[:100_000]\n"
        "before = set(os.listdir('/proc/self/task'))\n"
        "ff.softmax(x)\n"
        "helper, = map(int, set(os.listdir('/proc/self/task')) - before)\n"
        "allowed = os.sched_getaffinity(0)\n"
        "def move(processors):\n"
        "    for task in 0, helper: os.sched_setaffinity(task, processors)\n"
        "def calls(n):\n"
        "    for _ in range(n):\n"
        "        ff.sigmoid(small)\n"
        "        time.sleep(0.002)\n"
        "def wakings():\n"
        "    with open(f'/proc/self/task/{helper}/status') as status:\n"
        "        return int(status.read().partition('\\nvoluntary')[2].split()[1])\n"
        "move({min(allowed)})\n"
        "calls(40)\n"
        "move(allowed)\n"
        "time.sleep(0.2)\n"
        "start = wakings()\n"
        "calls(3)\n"
        "until = time.monotonic() + 20  # in which it has run, and sleeps again\n"
        "while wakings() == start:\n"
        "    assert time.monotonic() < until\n"
        "    time.sleep(0.01)\n"
    )


@needs_tasks
def test_callers_at_the_same_time_have_helpers_each():
    """Of four threads each of two callers gets two, so that the second has a helper of its own."""
    run(
        "import time\n"
        "def helpers(): return set(map(int, os.listdir('/proc/self/task'))) - others\n"
        "others = set()\n"
        "others = helpers()\n"
        "ff.set_num_threads(4)\n"
        "ff.softmax(x)\n"
        "assert len(helpers()) == 3\n"
        "until = time.monotonic() + 20\n"
        "def work():\n"
        "    others.add(threading.get_native_id())\n"
        "    both.wait()\n"
        "    while len(helpers()) == 3 and time.monotonic() < until: ff.softmax(x)\n"
        "both = threading.Barrier(2)\n"
        "callers = [threading.Thread(target=work) for _ in range(2)]\n"
        "for caller in callers: caller.start()\n"
        "for caller in callers: caller.join()\n"
        "assert len(helpers()) == 4\n"
    )


@needs_signals
def test_helpers_leave_signals_to_the_application():
    """What the application blocks in order to wait for it would end the process in a helper."""
    run(
        "import signal\n"
        "mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"
        "ff.softmax(x)\n"
        "assert signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1}) == mask\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "assert signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1\n",
        OPENBLAS_NUM_THREADS="1",  # its threads do take them
    )


@needs_tasks
@needs_signals
def test_helpers_take_the_signals_of_their_own_faults():
    """So that faulthandler can tell of them."""
    run(
        "import signal, time\n"
        "def blocked(task):\n"
        "    with open(f'/proc/self/task/{task}/status') as lines:\n"
        "        mask = next(int(line.split()[1], 16) for line in lines if line.startswith('SigBlk'))\n"
        "    return {s for s in signal.Signals if mask >> (s - 1) & 1}\n"
        "before = set(os.listdir('/proc/self/task'))\n"
        "ff.softmax(x)\n"
        "helper, = set(os.listdir('/proc/self/task')) - before\n"
        "for _ in range(1000):  # until it runs, nothing at all gets through to it\n"
        "    if signal.SIGSEGV not in blocked(helper): break\n"
        "    time.sleep(0.01)\n"
        "assert {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1} <= blocked(helper)\n"
        "assert not {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL} & blocked(helper)\n"
    )


APIS = pytest.mark.parametrize("api", [None, "openmp"])


def limited(program, api=None, before="", **environment):
    """Run a program with `limit(n)` and `threads()`: as many as any call so far has had, the last one on
    four.  threadpoolctl is imported first; `before` runs before the package is imported."""
    pytest.importorskip("threadpoolctl")
    run(
        "others = tasks() - 1\n"
        "def threads():\n"
        "    with ff.num_threads(4): ff.softmax(x)\n"
        "    return tasks() - others\n"
        f"{program}",
        "import numpy, threadpoolctl\n"
        "threadpoolctl.threadpool_limits(4, user_api='blas')  # starts as many as it ever has\n"
        f"def limit(n): return threadpoolctl.threadpool_limits(n, user_api={api!r})\n"
        f"{before}",
        **environment,
    )


@needs_tasks
@APIS
def test_limits_hold(api):
    limited(
        "with limit(1): assert threads() == 1\n"
        "with limit(3):\n"
        "    with limit(1): assert threads() == 1\n"
        "    with limit(2): assert threads() == 2\n"
        "    assert threads() == 3\n"
        "assert threads() == 4\n",
        api,
    )


@needs_tasks
def test_limits_from_before_the_import_hold():
    limited(
        "assert threads() == 1\n"
        "with limit(2): assert threads() == 2\n"
        "assert threads() == 2\n"
        "standing.restore_original_limits()\n"
        "with limit(3): assert threads() == 3\n"
        "assert threads() == 4\n",
        before="standing = limit(1)",
    )


@needs_tasks
def test_limits_that_ended_before_the_import_do_not_hold():
    limited(
        "assert threads() == 4\n",
        before=(
            "with limit(1) as over: pass\n"
            "standing = threadpoolctl.threadpool_limits(2, user_api='blas')"
        ),
    )


@needs_tasks
def test_limits_hold_when_threadpoolctl_is_imported_last():
    limited(
        "import threadpoolctl\n"
        "assert 'ffkernels' in [x['internal_api'] for x in threadpoolctl.threadpool_info()]\n"
        "with limit(1): assert threads() == 1\n"
        "assert threads() == 4\n",
        before="del threadpoolctl, sys.modules['threadpoolctl']",
    )


@needs_tasks
def test_threads_without_threadpoolctl():
    run(
        "others = tasks() - 1\n"
        "with ff.num_threads(3): ff.softmax(x)\n"
        "assert tasks() - others == 3\n",
        before="sys.modules['threadpoolctl'] = None  # as if it were not installed",
    )


@needs_tasks
def test_more_threads_than_openmp_would_take():
    limited(
        "with limit(1): assert threads() == 1\n"
        "with limit(3): assert threads() == 3\n"
        "assert threads() == 4\n",
        OMP_NUM_THREADS="2",
    )


@pytest.fixture
def limits():
    """threadpoolctl, with four threads and four processors to limit."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    if not COMPILED:
        pytest.skip("no kernels")
    before = ff.get_num_threads()
    ff.set_num_threads(4)
    yield threadpoolctl.threadpool_limits
    ff.set_num_threads(before)


def test_limits_are_shown(limits):
    import threadpoolctl

    def ours():
        return [info for info in threadpoolctl.threadpool_info() if info["internal_api"] == "ffkernels"]

    files = {os.path.realpath(control.compiled_kernels().__file__)}
    assert files <= {info["filepath"] for info in ours()}
    for info in ours():
        assert info["user_api"] == "openmp" and info["version"] == ff.__version__
        assert info["num_threads"] == 4
    with limits(3):
        assert {info["num_threads"] for info in ours()} == {3} == {ff.get_num_threads()}
        assert ff.show_config("dicts")["threads"] == 3
    assert {info["num_threads"] for info in ours()} == {4} == {ff.get_num_threads()}
    for info in threadpoolctl.threadpool_info(debugging_info=True):  # which tries limits
        assert info["internal_api"] != "ffkernels" or info["thread_limit_scope"] == "process"
    assert ff.get_num_threads() == 4


def test_limits_of_other_libraries_are_not_ours(limits):
    with limits(1, user_api="blas"):
        assert ff.get_num_threads() == 4
        ff.set_num_threads(5)
    assert ff.get_num_threads() == 5


def test_what_is_set_meanwhile_counts_when_the_limit_is_lifted(limits):
    with limits(2):
        ff.set_num_threads(6)
        assert ff.get_num_threads() == 2
    assert ff.get_num_threads() == 6
    with limits(8):
        assert ff.get_num_threads() == 6


def test_limits_end_in_any_order(limits):
    """As they do in several Python threads."""
    first, second = limits(1), limits(2)
    first.restore_original_limits()
    assert ff.get_num_threads() == 2
    second.restore_original_limits()
    assert ff.get_num_threads() == 4


def test_a_limit_on_every_instruction_set(limits):
    before = ff.get_isa()
    try:
        with limits(3):
            for isa in ff.show_config("dicts")["isa_supported"]:
                ff.set_isa(isa)
                assert ff.get_num_threads() == 3
                with limits(1):
                    assert ff.get_num_threads() == 1
        assert ff.get_num_threads() == 4
    finally:
        ff.set_isa(before)


@needs_tasks
def test_no_more_threads_than_processors():
    run(
        "others = tasks() - 1\n"
        "ff.set_num_threads(64)\n"
        "ff.softmax(x)\n"
        "assert ff.get_num_threads() == 64 and tasks() - others == 2\n",
        many=False,
        before="from ffkernels import _processors\n_processors.affinity = lambda: {0, 1}",
    )


def test_threads_from_the_environment():
    run("", before="import ffkernels\nassert ffkernels.get_num_threads() == 3", OMP_NUM_THREADS="3,2")
    run(
        "",
        before="import ffkernels\nassert ffkernels.get_num_threads() == 5",
        OMP_NUM_THREADS="3",
        FFKERNELS_NUM_THREADS="5",
    )


def test_workers_of_joblib_share_the_processors():
    pytest.importorskip("joblib")
    program = (
        "import joblib, ffkernels\n"
        "with joblib.parallel_config('loky', n_jobs=2, inner_max_num_threads=3):\n"
        "    print(joblib.Parallel()(joblib.delayed(ffkernels.get_num_threads)() for _ in range(2)))\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=600
    )
    assert run.stdout == "[3, 3]\n"


def test_numbers_of_threads_that_there_are():
    """What the pool can hold: what is ours to refuse is refused, OpenMP's number is no request to us."""
    run("ff.set_num_threads(1024); assert ff.get_num_threads() == 1024")
    run("", before=(
        "os.environ['OMP_NUM_THREADS'] = '5000'\n"
        "import ffkernels\n"
        "assert ffkernels.get_num_threads() == 1024"
    ))  # fmt: skip
