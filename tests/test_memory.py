"""Memory that runs out, and numbers of rows and elements that few machines can hold.

Where there is none left a call raises MemoryError, and all goes on soundly.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

import ffkernels as ff
import leaks
from test_many_classes import free_memory

resource = pytest.importorskip("resource")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no limit on memory that holds")
BACKENDS = sorted({ff.get_backend(), "numpy"})
GIB = 2**30

# The start of a program in which `limited(call, more)` calls with only so many bytes more to be had.
LIMIT = """
import resource, sys
sys.path.insert(0, {tests!r})
import numpy as np, ffkernels as ff
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS
ff.set_backend({backend!r})
refused = 0

def limited(call, more):
    global refused
    with open("/proc/self/statm") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + more, resource.RLIM_INFINITY))
    try:
        return call()
    except MemoryError:
        refused += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)

def same(a, b):
    a, b = (x if isinstance(x, tuple) else (x,) for x in (a, b))
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))

SOME = [more << 20 for more in (0, 1, 3, 5, 9)]
# OpenBLAS takes memory of its own when it is first called, and ends the process where there is none.
for dtype in (np.float32, np.float64):
    np.matmul(np.ones((300, 300), dtype), np.ones((300, 300), dtype))
"""


def run(backend, program):
    start = LIMIT.format(backend=backend, tests=os.path.dirname(__file__))
    # glibc asks the system for every array, and gives back each that is freed.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    subprocess.run([sys.executable, "-c", start + program], env=environment, check=True, timeout=1200)


@linux
@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_that_find_no_memory(backend):
    """Each gives the right result or MemoryError, writes to no input, and works again afterwards."""
    run(backend, """
for operation in OPERATIONS:
    arrays = operation.draw(np.random.default_rng(0), (1000, 1000), np.float32)
    if operation.kind == "update":
        continue  # in place: what was updated when memory ran out stays so
    function = getattr(ff, operation.name)
    want, before = function(*arrays), [a.copy() for a in arrays]
    for more in SOME:
        ff.set_num_threads(3)
        got = limited(lambda: function(*arrays), more)
        assert got is None or same(got, want), operation.name
        del got
    assert all(map(np.array_equal, arrays, before)), operation.name
    assert same(function(*arrays), want), operation.name
assert refused > len(OPERATIONS) / 2, refused
""")  # fmt: skip


@linux
@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_that_cannot_be_started(backend):
    run(backend, """
x = np.random.default_rng(0).normal(size=(2000, 1000)).astype(np.float32)
out = np.empty_like(x)
with ff.num_threads(1): want = ff.softmax(x)
ff.set_num_threads(8)
for more in (0, 0, 1 << 20, 9 << 20):
    got = limited(lambda: ff.softmax(x, out=out), more)
    assert got is None or same(got, want)
assert same(ff.softmax(x), want)
""")  # fmt: skip


@linux
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_net_that_finds_no_memory(backend):
    """It goes on as soon as there is some, with the batch for which there was none, too."""
    run(backend, """
x = np.random.default_rng(0).normal(size=(4000, 20)).astype(np.float32)
t = np.arange(4000) % 3
for make in (lambda: ff.SGD(1e-3), lambda: ff.SGD(1e-3, 0.9), ff.Adam):
    for loss, targets in (("softmax_cross_entropy", t), ("sum_squared_error", np.eye(3)[t])):
        net, other = (ff.FeedForward([20, 300, 300, 3], loss=loss, seed=0) for _ in range(2))
        optimizer = make()
        for more in SOME:
            limited(lambda: net.train_step(x, targets, optimizer), more)
            limited(lambda: net.predict(x), more)
            limited(lambda: net.loss(x, targets), more)
        for name, param in other.params.items(): param[...] = net.params[name]
        ones = [one.train_step(x, targets, make()) for one in (net, other) for _ in range(2)]
        assert np.isfinite(ones).all() and ones[:2] == ones[2:], ones
assert refused
""")  # fmt: skip


@linux
@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_and_wide_losses_that_find_no_memory(backend):
    run(backend, """
from ffkernels import layers
rng = np.random.default_rng(0)
x, W = rng.normal(size=(500, 100)).astype("f4"), rng.normal(size=(100, 3000)).astype("f4")
b, t = np.zeros(3000, "f4"), rng.integers(0, 3000, 500)
layer, last = layers.Affine(W, b), layers.LinearWithLoss(W, b)
y, loss = layer.forward(x).copy(), last.forward(x, t)
for rows in (500, 400):
    for more in SOME:
        for call in (lambda: layer.forward(x[:rows]), lambda: last.forward(x[:rows], t[:rows])):
            limited(call, more)
    assert np.allclose(layer.forward(x[:rows]), y[:rows], atol=1e-4)
    assert layer.backward(y[:rows]).shape == (rows, 100)
assert np.isclose(last.forward(x, t), loss)
for more in SOME:
    got = limited(lambda: ff.linear_cross_entropy(x, W, t, b), more)
    assert got is None or np.isclose(got, loss)
assert refused
""")  # fmt: skip


@pytest.mark.parametrize("name", sorted(leaks.BY_NAME))
def test_any_allocation_of_python_that_fails(name):
    """The kernels' own path raises MemoryError, whichever of the allocations of a call it is."""
    testcapi = pytest.importorskip("_testcapi")
    if ff.get_isa() is None:
        pytest.skip("NumPy's own functions do not stand it")
    with ff.use_backend("compiled"):
        for kind, call, _ in leaks.of_operation(name):
            if kind not in ("plain", "with an output"):
                continue
            call()
            for allocation in range(20):
                testcapi.set_nomemory(allocation, allocation + 1)
                try:
                    call()
                except MemoryError:
                    pass
                finally:
                    testcapi.remove_mem_hooks()


# ---- more rows than float32 has numbers for, more elements than 32 bits count -------------------------

MANY = 2**24 + 8


@pytest.mark.skipif(free_memory() < 2 * GIB, reason="too little memory")
def test_more_rows_than_the_integers_of_float32(backend):
    """Of ones the sum is their number, of which float32 has no more than 2^24 one by one."""
    x, t = np.ones((MANY, 1), np.float32), np.zeros((MANY, 1), np.float32)
    assert ff.sum_squared_error(x, t, reduction="sum") == MANY / 2
    assert ff.sum_squared_error(x, t) == 0.5
    assert ff.identity_backward_bias(x, x)[1] == MANY
    assert ff.relu_backward_bias(x, x)[1] == MANY
    assert ff.logsumexp(t[:, 0]) == np.float32(np.log(MANY))
    assert ff.logsumexp(t, axis=0) == np.float32(np.log(MANY))
    if backend == "numpy":
        return  # counts rows in integers, and takes half a minute
    loss, grad = ff.cross_entropy_with_grad(x, np.zeros(MANY, np.int8))
    assert loss == 0 and grad[-1] == np.float32(-1 / MANY)
    del grad
    two = np.zeros((MANY, 2), np.float32)
    loss = ff.softmax_cross_entropy(two, np.zeros(MANY, np.int8), reduction="sum")
    np.testing.assert_allclose(loss, MANY * np.log(2), rtol=1e-7)
    two[-1] = 100, 0
    t = np.ones(MANY, np.int8)
    loss, grad = ff.softmax_cross_entropy_with_grad(two, t, reduction="sum", out=two)
    np.testing.assert_allclose(loss, (MANY - 1) * np.log(2) + 100, rtol=1e-7)
    np.testing.assert_allclose(grad[-2:], [[0.5, -0.5], [1, -1]])


@pytest.mark.skipif(free_memory() < 2 * GIB, reason="too little memory")
def test_more_columns_than_the_integers_of_float32(backend):
    x = np.zeros((1, MANY), np.float32)
    x[0, -1] = 20
    want = np.exp(-20) * (MANY - 1)
    loss, grad = ff.softmax_cross_entropy_with_grad(x, [MANY - 1])
    np.testing.assert_allclose(loss, np.log1p(want), rtol=1e-5)
    np.testing.assert_allclose(grad[0, -1], -want / (1 + want), rtol=1e-5)
    p = ff.softmax(x, out=x)[0, [0, -1]]
    np.testing.assert_allclose(p, np.array([np.exp(-20), 1]) / (1 + want), rtol=1e-5)


HUGE = 2**31 + 40


@pytest.mark.slow
@pytest.mark.skipif(free_memory() < 11 * GIB, reason="too little memory")
def test_more_elements_than_32_bits_count():
    """In place, and by rows, by columns and strided; looked at around 2^31 and at the end."""
    if ff.get_isa() is None:
        pytest.skip("NumPy's own functions, with many times the memory")
    with ff.use_backend("compiled"):
        x = np.full(HUGE, -2, np.float32)
        places = [0, 2**31 - 1, 2**31, HUGE - 1]
        x[places] = 3
        ff.relu(x, out=x)
        assert (x[places] == 3).all()
        assert not x[1 : 2**31 - 1 : 2**20].any() and not x[2**31 + 1 : -1].any()
        ff.relu(x[::-2], out=x[::-2])
        assert (x[places] == 3).all()
        assert ff.logsumexp(x) == np.float32(np.log(HUGE - 4 + 4 * np.exp(3)))
        rows = x.reshape(-1, 8)
        rows[...] = 0
        targets = np.full(len(rows), 7, np.int8)
        rows[-1, 7] = 50
        loss, grad = ff.softmax_cross_entropy_with_grad(rows, targets, reduction="sum", out=rows)
        np.testing.assert_allclose(loss, (len(rows) - 1) * np.log(8), rtol=1e-7)
        np.testing.assert_allclose(grad[-2], [1 / 8] * 7 + [-7 / 8], rtol=1e-6)
        np.testing.assert_allclose(grad[-1], [np.exp(-50)] * 7 + [-7 * np.exp(-50)], rtol=1e-5)
        columns = x.reshape(8, -1)
        columns[...] = 0
        ff.softmax(columns, axis=0, out=columns)
        assert (columns[:, [0, 2**28, -1]] == 1 / 8).all()
        x[...] = 1
        ff.sgd_update(x, np.broadcast_to(np.float32(1), x.shape), 0.5)
        assert (x[places] == 0.5).all() and (x[:: 2**20] == 0.5).all()
