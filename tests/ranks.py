"""Tests that run on several ranks of MPI, each started by pytest itself.

    @on_ranks(2, 4)
    def test_ranks_are_numbered(comm):
        assert 0 <= comm.rank < comm.size

The function is run by every rank of `mpiexec -n 2`, then of `mpiexec -n 4`, with `MPI.COMM_WORLD`. What
ranks raise, or where they stood when the time was up, is the failure's message. This module is also the
script that the ranks run: `python ranks.py MODULE FUNCTION DIRECTORY`.
"""

import faulthandler
import functools
import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import pytest

# Seconds: a rank that takes longer ends itself, a launcher that still waits is ended.
LIMIT = int(os.environ.get("FFKERNELS_TEST_LIMIT", 300))
GRACE = 20
# How long ranks have to say what they raised before the first ends all.
LAST_WORDS = 0.5

# Open MPI refuses root, and more ranks than processors, unless told; MPICH knows none of these.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def launcher():
    """The `mpiexec` of this environment, else of the path."""
    here = os.path.dirname(sys.executable)
    return shutil.which("mpiexec", path=os.pathsep.join([here, os.environ.get("PATH", "")]))


@functools.cache
def why_not():
    """Why nothing can run on ranks here, or an empty string."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: pip install 'ffkernels[mpi]'"
    if launcher() is None:
        return "there is no mpiexec: pip install mpich"
    run = mpiexec(1, "-c", "from mpi4py import MPI")
    return f"mpiexec does not start: {run.stdout.strip()}" if run.returncode else ""


def environment():
    """What ranks need: the modules of this process, a thread each."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path]))
    threads = dict.fromkeys(["FFKERNELS_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
    return os.environ | OPEN_MPI | threads | {"PYTHONPATH": path}


def start(ranks, *arguments):
    """Python with these arguments on so many ranks, in a process group of its own."""
    return subprocess.Popen(
        [launcher(), "-n", str(ranks), sys.executable, *arguments],
        env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def end(process):
    """Ends a launcher with its ranks: asked first, since Open MPI's would outlive it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def alive(pid):
    """Whether a process runs: one that has ended may be listed for as long as nobody asks how."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.parents[1].is_dir() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def all_end(pids, seconds=60.0):
    """Whether none of these processes runs any more by then."""
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def wait_for(condition, process, seconds=300.0):
    """Until something holds that the ranks of a launcher bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline and process.poll() is None, "it did not come to that"
        time.sleep(0.02)


def mpiexec(ranks, *arguments, limit=LIMIT):
    """The same, run to its end; what it printed is in `stdout`."""
    process = start(ranks, *arguments)
    try:
        printed, _ = process.communicate(timeout=limit)
    finally:
        end(process)
    return subprocess.CompletedProcess(process.args, process.returncode, printed)


def on_ranks(*sizes):
    """Makes a test of a function that every rank is to run."""

    def decorate(function):
        @pytest.mark.parametrize("ranks", sizes)
        def test(ranks):
            if why_not():
                pytest.skip(why_not())
            with tempfile.TemporaryDirectory() as directory:
                module = function.__module__
                run = mpiexec(ranks, __file__, module, function.__name__, directory, limit=LIMIT + GRACE)
                failures = [path.read_text() for path in sorted(Path(directory).iterdir())]
            if run.returncode or any(failures):
                pytest.fail("\n".join([*filter(None, failures), run.stdout]), pytrace=False)

        test.__name__, test.__doc__, test.on_a_rank = function.__name__, function.__doc__, function
        return test

    return decorate


def main(module, name, directory):
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    with open(Path(directory, f"rank {comm.rank} of {comm.size}"), "w") as report:
        try:
            function = getattr(importlib.import_module(module), name).on_a_rank
            faulthandler.dump_traceback_later(LIMIT, exit=True, file=report)
            function(comm)
        except BaseException:
            report.write(f"rank {comm.rank} of {comm.size}: {traceback.format_exc()}")
            report.flush()
            time.sleep(LAST_WORDS)
            comm.Abort(1)
        faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main(*sys.argv[1:])
