"""Many callers at once: Python's threads, processes however they start, signals while helpers work."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import ffkernels as ff
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

needs_signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such signals")


def prepared(operation, shape):
    """A call, and what it gives when nobody else calls."""
    function = getattr(ff, operation.name)
    arrays = operation.draw(np.random.default_rng(0), shape, np.float32)
    if operation.kind != "update":
        return partial(function, *arrays), function(*arrays)
    numbers = UPDATE_NUMBERS[operation.name]

    def call():
        own = [a.copy() for a in arrays]
        function(*own, *numbers)
        return tuple(own)

    return call, call()


def check(call, want):
    got = call()
    parts = zip(*(r if isinstance(r, tuple) else (r,) for r in (got, want)), strict=True)
    for g, w in parts:
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("shape", [(7, 5), (600, 200)])
def test_every_function_in_many_threads(backend, shape):
    """While another sets how many threads a call may use."""
    calls = [prepared(operation, shape) for operation in OPERATIONS]
    done = threading.Event()
    before = ff.get_num_threads()

    def turn():
        while not done.is_set():
            for n in (1, 2, 7):
                ff.set_num_threads(n)

    turning = threading.Thread(target=turn)
    turning.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: [check(*call) for call in calls], range(8)))
    finally:
        done.set()
        turning.join()
        ff.set_num_threads(before)


def test_nets_of_their_own_in_many_threads(backend):
    """Each thread trains its own; one net predicts for all."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(200, 20)).astype(np.float32), rng.integers(0, 3, 200)
    shared = ff.FeedForward([20, 30, 3], seed=0)
    outputs = shared.predict(x)

    def train(_):
        net, optimizer = ff.FeedForward([20, 30, 3], seed=0), ff.Adam()
        losses = []
        for _ in range(10):
            losses.append(net.train_step(x, t, optimizer))
            np.testing.assert_array_equal(shared.predict(x), outputs)
        return losses

    want = train(0)
    with ThreadPoolExecutor(6) as pool:
        assert all(losses == want for losses in pool.map(train, range(6)))


# Of a program whose processes compute what their parent has computed, in threads.
PROCESSES = """
import sys
import numpy as np, ffkernels as ff

x = np.random.default_rng(0).normal(size=(1000, 500)).astype(np.float32)

def work(k):
    ff.set_num_threads(1 + k % 3)
    y = ff.softmax(x)
    return float((y @ y.T).sum()), y[k].tobytes(), ff.get_backend()

if __name__ == "__main__":
    ff.set_num_threads(2)
    want = [work(k) for k in range(6)]
    {run}
    assert [r[1:] for r in got] == [w[1:] for w in want]
    assert np.allclose([r[0] for r in got], [w[0] for w in want])
    assert work(0)[1] == want[0][1]
"""


def run(tmp_path, program, blas_threads=2):
    path = tmp_path / "program.py"
    path.write_text(program)
    command = [sys.executable, "-W", "ignore", str(path)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(blas_threads)}
    subprocess.run(command, check=True, timeout=1200, env=environment)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path, method):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("no such way to start a process")
    run(tmp_path, PROCESSES.replace("{run}", f"""
    import multiprocessing
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        got = pool.map(work, range(6))
    """))  # fmt: skip


@pytest.mark.parametrize("prefer", ["processes", "threads"])
def test_joblib_beside_scikit_learn(tmp_path, prefer):
    pytest.importorskip("sklearn")
    run(tmp_path, PROCESSES.replace("{run}", f"""
    import joblib
    from sklearn.linear_model import LogisticRegression
    LogisticRegression(max_iter=5).fit(x[:200], np.arange(200) % 2)
    got = joblib.Parallel(2, prefer={prefer!r})(joblib.delayed(work)(k) for k in range(6))
    """))  # fmt: skip


# ---- signals ------------------------------------------------------------------------------------------

LARGE = np.random.default_rng(0).normal(size=(2000, 500)).astype(np.float32)


@needs_signals
def test_signals_that_come_during_calls(backend):
    """They are answered between calls; a call that one comes into gives what it would."""
    came = []
    before = signal.signal(signal.SIGALRM, lambda *_: came.append(ff.relu(np.ones(3))))
    want = ff.softmax(LARGE)
    try:
        with ff.num_threads(3):
            signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
            until = time.monotonic() + 60
            while len(came) < 20 and time.monotonic() < until:
                np.testing.assert_array_equal(ff.softmax(LARGE), want)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(came) >= 20


@needs_signals
def test_a_signal_that_a_thread_waits_for_while_helpers_work(tmp_path):
    """Blocked everywhere but in a helper it would end the process, as in a thread of OpenBLAS."""
    run(tmp_path, """
import os, signal, threading
import numpy as np, ffkernels as ff
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
x, came = np.ones((3000, 500), np.float32), []
ff.set_num_threads(3)
waiting = threading.Thread(target=lambda: came.append(signal.sigwait({signal.SIGUSR1})))
waiting.start()
for k in range(20):
    ff.softmax(x)
    if k == 10: os.kill(os.getpid(), signal.SIGUSR1)
waiting.join()
assert came == [signal.SIGUSR1]
""", blas_threads=1)  # fmt: skip


@needs_signals
def test_an_interrupt_is_answered_when_the_call_ends(tmp_path):
    """And the next call works."""
    run(tmp_path, """
import os, signal, threading, time
import numpy as np, ffkernels as ff
signal.signal(signal.SIGINT, signal.default_int_handler)
x = np.random.default_rng(0).normal(size=(4000, 500)).astype(np.float32)
want = ff.softmax(x)
ff.set_num_threads(3)
for _ in range(3):
    begun = threading.Event()
    def interrupt():
        begun.wait()
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        while True:
            out = np.zeros_like(x)
            begun.set()
            ff.softmax(x, out=out)
            done = out
    except KeyboardInterrupt:
        pass
    thread.join()
    assert (ff.softmax(x) == want).all()
""")  # fmt: skip
