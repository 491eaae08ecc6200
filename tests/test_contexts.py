"""Choices for a while: each thread and each asyncio task has its own."""

import asyncio
import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import _numpy
from ffkernels.adapters import zero
from test_threads import needs_fork, needs_tasks, run

needs_kernels = pytest.mark.skipif(ff.get_isa() is None, reason="no kernels to choose")




def state():
    return ff.get_backend(), ff.get_num_threads(), float(zero.relu_grad(0.0))


def choices():
    """Two of everything there is to choose for a while, and how the state then is."""
    book = ("relu_grad_at_zero",)
    first = ff.use_backend("numpy"), ff.num_threads(3), zero.use_book_values(*book)
    second = ff.use_backend(ff.get_backend()), ff.num_threads(5), zero.use_book_values()
    return (first, ("numpy", 3, 1.0)), (second, (ff.get_backend(), 5, 0.0))


def in_threads(*functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result(60) for future in [pool.submit(f) for f in functions]]


@pytest.mark.parametrize("last", [0, 1])
def test_two_threads_do_not_undo_each_other(last):
    """Both enter before one of them leaves, in either order."""
    before, barrier, left = state(), threading.Barrier(2, timeout=60), threading.Event()

    def work(number, contexts, want):
        barrier.wait()
        backend, threads, book = contexts
        with backend, threads, book:
            barrier.wait()
            assert state() == want
            barrier.wait()
            if number == last:
                assert left.wait(60)
                assert state() == want
        if number != last:
            left.set()
        barrier.wait()
        return state()

    both = [lambda k=k, c=c: work(k, *c) for k, c in enumerate(choices())]
    assert in_threads(*both) == [before, before]
    assert state() == before


def test_a_call_goes_where_its_own_thread_chose(monkeypatch):
    if ff.get_isa() is None:
        pytest.skip("no kernels to choose")
    callers, relu = set(), _numpy.relu
    barrier = threading.Barrier(2, timeout=60)

    def counted(x, out):
        callers.add(threading.get_ident())
        return relu(x, out)

    monkeypatch.setattr(_numpy, "relu", counted)

    def work(name):
        with ff.use_backend(name):
            barrier.wait()
            for _ in range(50):
                np.testing.assert_array_equal(ff.relu(np.array([-1.0, 2.0])), [0, 2])
            barrier.wait()
        return threading.get_ident()

    by_numpy, _ = in_threads(lambda: work("numpy"), lambda: work("compiled"))
    assert callers == {by_numpy}


def test_asyncio_tasks_choose_for_themselves():
    before = state()

    async def work(contexts, want, ready, go):
        backend, threads, book = contexts
        with backend, threads, book:
            ready.set()
            await go.wait()
            assert state() == want

            async def child():
                return state()

            created = asyncio.create_task(child())
        assert await created == want  # as it was when the task was created
        return state()

    async def main():
        events = [(asyncio.Event(), asyncio.Event()) for _ in range(2)]
        tasks = [
            asyncio.create_task(work(*c, *e)) for c, e in zip(choices(), events, strict=True)
        ]
        for ready, _ in events:
            await ready.wait()
        assert state() == before
        events[0][1].set()
        assert await tasks[0] == before
        events[1][1].set()
        assert await tasks[1] == before

    asyncio.run(main())


def test_a_thread_begins_with_the_process_s_choice_or_a_copied_context():
    before = state()
    backend, threads, book = choices()[0][0]
    with backend, threads, book:
        here, copied = state(), contextvars.copy_context()
        assert here != before
        assert in_threads(state, lambda: copied.run(state)) == [before, here]


def test_what_is_set_meanwhile_holds_for_others_and_afterwards():
    before = state()
    try:
        with ff.use_backend("numpy"), ff.num_threads(3), zero.use_book_values():
            ff.set_num_threads(2)
            zero.set_book_values("relu_grad_at_zero")
            if ff.get_isa() is not None:
                ff.set_backend("compiled")
            assert state() == ("numpy", 3, 0.0)
            assert in_threads(state) == [("numpy" if ff.get_isa() is None else "compiled", 2, 1.0)]
            ff.set_backend("numpy")
        assert state() == ("numpy", 2, 1.0)
    finally:
        ff.set_backend(before[0])
        ff.set_num_threads(before[1])
        zero.set_book_values()
    assert state() == before


def test_an_exception_ends_a_choice_and_what_is_refused_begins_none():
    before = state()
    with pytest.raises(KeyError), ff.use_backend("numpy"), ff.num_threads(3):
        raise KeyError
    assert state() == before
    for refused in (ff.use_backend("fortran"), ff.num_threads(0), zero.use_book_values("typo")):
        with pytest.raises(ValueError, match="expected"), refused:
            raise AssertionError
    assert state() == before

    @ff.num_threads(3)
    @ff.use_backend("numpy")
    def decorated():
        return state()

    assert decorated()[:2] == decorated()[:2] == ("numpy", 3)
    assert state() == before


@needs_kernels
def test_an_instruction_set_is_taken_by_those_who_chose_compiled_before():
    before = ff.get_isa()
    supported = ff.backend._compiled.supported()
    try:
        with ff.use_backend("compiled"):
            for isa in supported:
                ff.set_isa(isa)
                assert (ff.get_isa(), ff.get_backend()) == (isa, "compiled")
                assert ff.backend.compiled_kernels() is ff._context.choice().kernels
                assert in_threads(ff.get_backend) == ["compiled"]
        with ff.use_backend("numpy"):
            ff.set_isa(before)
            assert ff.get_backend() == "numpy"
    finally:
        ff.set_isa(before)


@needs_kernels
def test_limits_hold_in_contexts_too():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with ff.num_threads(4):
        with threadpoolctl.threadpool_limits(2):
            assert ff.get_num_threads() == 2
            with ff.num_threads(3):
                assert ff.get_num_threads() == 2
        assert ff.get_num_threads() == 4


@needs_tasks
def test_kernels_have_the_threads_of_their_caller_s_context():
    """While one thread wants one, another has what the process wants, and a third has five."""
    run(
        "others = tasks()\n"
        "inside, leave = threading.Barrier(2), threading.Event()\n"
        "def one():\n"
        "    with ff.num_threads(1):\n"
        "        for _ in range(2): ff.softmax(x); inside.wait()\n"
        "        leave.wait()\n"  # an ended thread stays in the list for a while after join()
        "thread = threading.Thread(target=one, daemon=True)\n"
        "thread.start(); inside.wait()\n"
        "assert tasks() == others + 1\n"  # `thread`, which started no other
        "ff.softmax(x)\n"
        "assert tasks() == others + 2\n"
        "with ff.num_threads(5): ff.softmax(x)\n"
        "assert tasks() == others + 5\n"
        "inside.wait()\n"
        "assert tasks() == others + 5\n"
        "leave.set()\n"
    )


@needs_tasks
def test_kernels_keep_to_limits_in_contexts():
    pytest.importorskip("threadpoolctl")
    run(
        "import threadpoolctl\n"
        "others = tasks()\n"
        "with ff.num_threads(6):\n"
        "    with threadpoolctl.threadpool_limits(1, 'openmp'): ff.softmax(x)\n"
        "    assert tasks() == others\n"
        "    with threadpoolctl.threadpool_limits(3, 'openmp'): ff.softmax(x)\n"
        "    assert tasks() == others + 2\n"
        "    ff.softmax(x)\n"
        "    assert tasks() == others + 5\n"
    )


@needs_tasks
@pytest.mark.parametrize("call", [
    "ff.relu(x)", "ff.softmax(x)", "ff.tanh_backward_bias(x, x)", "ff.sigmoid_cross_entropy(x, x)",
    "ff.sum_squared_error(x, x)", "ff.sgd_update(x, x.copy(), 0.0)",
])  # fmt: skip
def test_every_way_into_the_pool_asks_the_context(call):
    run(
        "x = abs(x)\n"
        "others = tasks()\n"
        f"with ff.num_threads(1): {call}\n"
        "assert tasks() == others\n"
        f"with ff.num_threads(4): {call}\n"
        "assert tasks() == others + 3\n"
    )


@needs_fork
def test_a_forked_child_is_in_its_parent_s_context():
    with ff.use_backend("numpy"), ff.num_threads(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if state()[:2] == ("numpy", 3) else 1)
        assert os.waitpid(child, 0)[1] == 0
