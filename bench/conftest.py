"""What is compared: ffkernels, the roofline and every peer that is installed.

The cases are those of ``python -m ffkernels bench --quick``. That command measures in alternating
rounds, which is what to compare libraries by; these suites are for comparing one version of ours
with another: ``pytest bench/ --benchmark-autosave``, then the same with ``--benchmark-compare``.
"""

import os
import tempfile

import pytest

import ffkernels
from ffkernels._benchmark import cases, peers

WANTED = peers.default(quick=True)
FOUND = [name for name in WANTED if name not in peers.lacking(WANTED)]


def pytest_configure():
    environment = peers.environment(
        ffkernels.get_num_threads(), ffkernels.get_backend(), tempfile.gettempdir()
    )
    os.environ.update(environment)


@pytest.fixture(scope="session")
def loaded():
    return {name: peers.PEERS[name](ffkernels.get_num_threads()) for name in FOUND}


@pytest.fixture(params=[cases.OURS, cases.ROOFLINE, *FOUND])
def contender(request):
    return request.param


@pytest.fixture
def run(benchmark, loaded, contender):
    """Time one contender of a case."""

    def time(case):
        benchmark.group = case.name
        threads = ffkernels.get_num_threads()
        with case.limits(threads):
            peer = {contender: loaded[contender]} if contender in loaded else {}
            calls = case.contenders(peer, threads)
            if contender not in calls:
                pytest.skip(f"{contender} has no {case.operation}")
            call = calls[contender]
            benchmark(call.function, *call.arguments, **call.keywords)

    return time


def selected(multiplies):
    """Return the cases with matrix products in them, or all others, as parameters."""
    return [
        pytest.param(case, id=case.name.replace(" ", "-"))
        for case in cases.cases([], quick=True, threads=1)
        if case.multiplies == multiplies
    ]
