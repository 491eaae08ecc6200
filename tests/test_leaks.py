"""No call keeps a reference or memory, whether it is answered or refused: a short piece of leaks.py."""

import gc
import itertools
import sys
import tracemalloc
from functools import partial

import numpy as np
import pytest

import ffkernels as ff
import leaks

CALLS = 200
pytestmark = pytest.mark.memory
BACKENDS = sorted({ff.get_backend(), "numpy"})


def traced():
    return tracemalloc.get_traced_memory()[0] // leaks.UNIT


@pytest.fixture(autouse=True)
def counting():
    gc.freeze()  # so that the collections look at what the calls made alone
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.unfreeze()


def check(kinds):
    for kind, call, arrays in kinds:
        least = leaks.kept(call, arrays, CALLS, [traced, leaks.handed_out])
        assert max(least) < leaks.allowed(CALLS), kind


# References are counted in the code that all instruction sets share.
@pytest.mark.parametrize("name", sorted(leaks.BY_NAME))
@pytest.mark.parametrize("implementation", BACKENDS)
def test_functions_keep_nothing(implementation, name):
    with ff.use_backend(implementation), ff.num_threads(1):
        check(leaks.of_operation(name))


@pytest.mark.parametrize("implementation", BACKENDS)
def test_layers_nets_and_optimisers_keep_nothing(implementation):
    with ff.use_backend(implementation), ff.num_threads(1):
        check(leaks.of_objects())


def test_what_is_kept_is_counted():
    """A reference, an object, and memory of the C library's."""
    array, store = np.ones(3), []
    least = leaks.kept(partial(store.append, array), [array], CALLS, [leaks.handed_out])
    assert least[1] == CALLS
    least = leaks.kept(lambda: store.append(object()), [], CALLS, [traced, sys.getallocatedblocks])
    assert least[0] >= CALLS and least[1] >= CALLS
    calls = itertools.count()
    least = leaks.kept(lambda: next(calls) % 9 or store.append(array), [array], 9 * CALLS, [])
    assert least[0] == CALLS > leaks.allowed(9 * CALLS)
    if leaks.handed_out():
        least = leaks.kept(lambda: store.append(np.ones(2000)), [], CALLS, [leaks.handed_out])
        assert least[0] >= 1000 * CALLS
