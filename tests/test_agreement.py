"""Ranks that were not called alike all say so, with the same words."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from ffkernels.distributed import _agreement
from ranks import all_end, end, environment, mpiexec, on_ranks, start, wait_for, why_not


def same_everywhere(comm, kind, call):
    """What a call raises, once it is known to be the same on every rank."""
    try:
        call()
    except kind as error:
        said = comm.allgather(f"{type(error).__name__}: {error}")
    else:
        raise AssertionError(f"rank {comm.rank} raised nothing")
    assert len(set(said)) == 1, said
    return said[0]


@on_ranks(1, 4)
def test_numbers_of_every_rank(comm):
    numbers = _agreement.agree(comm, "call", {"shape": (3, 4)}, (comm.rank, -(2**62) - comm.rank))
    np.testing.assert_array_equal(numbers, [[rank, -(2**62) - rank] for rank in range(comm.size)])


@on_ranks(2, 4)
def test_the_first_difference_is_named(comm):
    last = comm.rank == comm.size - 1
    for given, name, said in [
        ({"shape": (3, 5 if last else 4), "dtype": "float32"}, "shape", "(3, 4) on rank 0 and (3, 5)"),
        ({"shape": (3, 4), "dtype": "float64" if last else "float32"}, "dtype", "float32 on rank 0 and"),
        ({"targets": _agreement.contents(np.arange(3) + last)}, "targets", "values of digest"),
    ]:
        message = same_everywhere(comm, ValueError, lambda: _agreement.agree(comm, "f", given))  # noqa: B023
        assert message.startswith(f"ValueError: {name}: expected the same on every rank, got {said}")
        assert message.endswith(f" on rank {comm.size - 1}")
    call = "f" if last else "g"
    message = same_everywhere(comm, ValueError, lambda: _agreement.agree(comm, call, {"other": call}))
    said = f"got g on rank 0 and f on rank {comm.size - 1}"
    assert message == f"ValueError: call: expected the same on every rank, {said}"


@on_ranks(4)
def test_what_one_rank_refuses_all_refuse(comm):
    class Own(ZeroDivisionError):
        pass

    last = comm.size - 1
    for error, kind, said in [
        (TypeError("x: expected"), TypeError, f"TypeError: x: expected (on rank {last})"),
        (IndexError("x: expected"), IndexError, f"IndexError: x: expected (on rank {last})"),
        (np.exceptions.AxisError("none"), IndexError, f"IndexError: none (on rank {last})"),
        (Own("none"), RuntimeError, f"RuntimeError: Own: none (on rank {last})"),
    ]:

        def call(error=error):
            if comm.rank == last:
                _agreement.refuse(comm, error)
            _agreement.agree(comm, "f", {})

        assert same_everywhere(comm, kind, call) == said
    message = same_everywhere(comm, ValueError, lambda: _agreement.refuse(comm, ValueError("all")))
    assert message == "ValueError: all"
    mine = ValueError(f"of rank {comm.rank}")
    message = same_everywhere(comm, ValueError, lambda: _agreement.refuse(comm, mine))
    assert message == "ValueError: of rank 0 (on rank 0)"


@on_ranks(2)
def test_what_is_no_communicator(comm):
    from mpi4py import MPI

    _agreement.check_communicator(comm)
    _agreement.check_communicator(comm.Create_cart([comm.size]))
    for other, said in [(None, "NoneType"), (MPI, "module"), (0, "int")]:
        with pytest.raises(TypeError, match=f"comm: expected a communicator of mpi4py.*, got {said}"):
            _agreement.check_communicator(other)
    with pytest.raises(ValueError, match=r"comm: .*, got MPI\.COMM_NULL"):
        _agreement.check_communicator(MPI.COMM_NULL)
    halves = comm.Split(comm.rank)
    across = halves.Create_intercomm(0, comm, 1 - comm.rank)
    with pytest.raises(TypeError, match=r"comm: .*, got Intercomm"):
        _agreement.check_communicator(across)


def test_without_mpi4py_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"needs mpi4py.*pip install 'ffkernels\[mpi\]'"):
        _agreement.check_communicator(None)


def test_without_a_library_of_mpi_the_extra_is_named():
    pytest.importorskip("mpi4py")
    code = "from ffkernels.distributed import _agreement; _agreement.check_communicator(None)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env=environment() | {"MPI4PY_LIBMPI": "/nowhere"},
    )  # fmt: skip
    assert "ImportError: ffkernels.distributed needs a library of MPI, as from pip in" in run.stderr


# ---- the tests' own launcher -----------------------------------------------------------------------


@on_ranks(2)
def fails_on_rank_1(comm):
    assert comm.rank == 0, "as it should"
    comm.Barrier()


@on_ranks(2)
def waits_for_ever(comm):
    if comm.rank == 0:
        comm.Barrier()
    time.sleep(1000)


@pytest.mark.parametrize(
    "test, limit, said",
    [
        (fails_on_rank_1, 300, "rank 1 of 2: (.|\n)*as it should"),
        (waits_for_ever, 2, "in waits_for_ever"),
    ],
)
def test_a_failure_or_a_hang_on_a_rank_is_one_here(test, limit, said, monkeypatch):
    if why_not():
        pytest.skip(why_not())
    monkeypatch.setenv("FFKERNELS_TEST_LIMIT", str(limit))
    with pytest.raises(pytest.fail.Exception, match=said):
        test(2)


def test_no_rank_outlives_a_launcher_that_is_ended(tmp_path):
    if why_not():
        pytest.skip(why_not())
    code = (
        "from mpi4py import MPI; import os, time\n"
        f"open({str(tmp_path)!r} + f'/{{os.getpid()}}', 'w').close(); time.sleep(1000)"
    )
    process = start(2, "-c", code)
    try:
        wait_for(lambda: len(os.listdir(tmp_path)) == 2, process)
    finally:
        end(process)
    assert all_end([int(name) for name in os.listdir(tmp_path)])


def test_a_launcher_has_a_limit():
    if why_not():
        pytest.skip(why_not())
    with pytest.raises(subprocess.TimeoutExpired):
        mpiexec(1, "-c", "import time; time.sleep(1000)", limit=1)
