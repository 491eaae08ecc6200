"""What several ranks gain on this machine, what each sends, and how long they are at it.

    python bench/distributed.py [--ranks 1,2,4] [--write docs/distributed.md]

Starts itself once under mpiexec, with as many ranks as the largest number it measures, a thread each;
smaller numbers are groups of them, in turn, while the others sleep. Times are those of the slowest rank,
medians over the rounds. The share of communication counts the wait for slower ranks too.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from report import write_section

import ffkernels
from ffkernels._benchmark.markdown import table
from ffkernels.distributed import (
    DataParallel,
    linear_cross_entropy_with_grad,
    softmax_cross_entropy_with_grad,
)

ROUNDS = 31
PAUSE = 0.01  # seconds, before each call that is timed
POLL = 0.001  # how often a rank that has no part looks whether it has

# Without which Open MPI refuses root, and more ranks than processors.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


# ---- what is measured: what a rank of a communicator calls ------------------------------------------


def cross_entropy(comm: Any, rows: int, classes: int) -> Callable[[], Any]:
    """The vocabulary-parallel loss with its gradient; without a communicator that of one process."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes // (comm.size if comm else 1))).astype(np.float32)
    out = np.empty_like(logits)
    if not comm:
        return lambda: ffkernels.softmax_cross_entropy_with_grad(logits, targets, out=out)
    return lambda: softmax_cross_entropy_with_grad(logits, targets, comm=comm, out=out)


def linear_cross_entropy(comm: Any, rows: int, features: int, classes: int) -> Callable[[], Any]:
    """The same from the inputs and weights of the last layer."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, rows)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    w = rng.normal(size=(features, classes // (comm.size if comm else 1))).astype(np.float32)
    out = np.empty_like(x), np.empty_like(w), None
    if not comm:
        return lambda: ffkernels.linear_cross_entropy_with_grad(x, w, targets, out=out)
    return lambda: linear_cross_entropy_with_grad(x, w, targets, comm=comm, out=out)


def train_step(comm: Any, batch: int) -> Callable[[], Any]:
    """A step of the net of `python -m ffkernels bench`, each rank with its share of the batch."""
    rng = np.random.default_rng(0)
    rows = batch // (comm.size if comm else 1)
    x, t = rng.normal(size=(rows, 784)).astype(np.float32), rng.integers(0, 10, rows)
    net, optimizer = ffkernels.FeedForward([784, 256, 256, 10], seed=0), ffkernels.SGD(0.01)
    step = (DataParallel(net, comm) if comm else net).train_step
    return lambda: step(x, t, optimizer)


MEASUREMENTS = {
    "training step, 1024x784": functools.partial(train_step, batch=1024),
    "cross-entropy, 512x32000": functools.partial(cross_entropy, rows=512, classes=32_000),
    "linear, 256x64 to 32000": functools.partial(
        linear_cross_entropy, rows=256, features=64, classes=32_000
    ),
    "cross-entropy, 64x256000": functools.partial(cross_entropy, rows=64, classes=256_000),
}


# ---- on the ranks ----------------------------------------------------------------------------------


def metered(comm: Any) -> Any:
    """The same communicator, which also counts the bytes that its rank hands over and the seconds."""
    from mpi4py import MPI

    class Metered(MPI.Intracomm):
        sent, seconds = 0, 0.0

    def counting(name: str) -> Callable[..., None]:
        def collective(self: Any, mine: Any, *others: Any) -> None:
            start = time.perf_counter()
            getattr(MPI.Intracomm, name)(self, mine, *others)
            self.seconds += time.perf_counter() - start
            sends = self.rank == 0 if name == "Bcast" else mine is not MPI.IN_PLACE or name != "Reduce"
            if sends and self.size > 1:
                self.sent += (others[0] if mine is MPI.IN_PLACE else mine).nbytes

        return collective

    for name in ("Allgather", "Allgatherv", "Allreduce", "Bcast", "Reduce", "Reduce_scatter"):
        setattr(Metered, name, counting(name))
    return Metered(comm)


def settle(world: Any) -> None:
    """Waits until every rank has come here, asleep: MPI's own waits keep a processor busy."""
    request = world.Ibarrier()
    while not request.Test():
        time.sleep(POLL)


def timed(call: Callable[[], Any], comm: Any) -> tuple[float, float, int]:
    """Seconds of a call, seconds in communication, bytes sent."""
    time.sleep(PAUSE)
    call()
    if comm:
        comm.Barrier()
        comm.sent, comm.seconds = 0, 0.0
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    return (seconds, comm.seconds, comm.sent) if comm else (seconds, 0.0, 0)


def measure(
    world: Any, counts: list[int], prepare: Callable[[Any], Callable[[], Any]]
) -> dict[int, Any]:
    """On rank 0 for each number of ranks, 0 being one process without MPI, all that `timed` tells:
    an array of rounds, ranks, and the three."""
    parts = {}
    for ranks in (0, *counts):
        group = world.Split(0 if world.rank < max(ranks, 1) else 1)
        if world.rank < max(ranks, 1):
            comm = metered(group) if ranks else None
            parts[ranks] = prepare(comm), comm
    noted: dict[int, list[tuple[float, float, int]]] = {ranks: [] for ranks in (0, *counts)}
    for _ in range(ROUNDS):
        for ranks in noted:
            settle(world)
            if ranks in parts:
                noted[ranks].append(timed(*parts[ranks]))
    settle(world)
    every = {ranks: world.gather(turns) for ranks, turns in noted.items()}
    return {ranks: np.swapaxes(list(filter(None, told)), 0, 1) for ranks, told in every.items() if told}


def rows_of(name: str, told: dict[int, Any]) -> list[list[str]]:
    """A line of the table for each number of ranks."""
    slowest = {ranks: turns[..., 0].max(1) for ranks, turns in told.items()}
    lines = []
    for ranks, turns in told.items():
        seconds = statistics.median(slowest[ranks])
        against = statistics.median(slowest[ranks] / slowest[0])
        share = np.median(turns[..., 1].mean(1) / turns[..., 0].mean(1)) if ranks else 0
        lines.append([
            name, str(ranks or "one process"), f"{1e3 * seconds:.2f}", f"{against:.2f}",
            f"{int(turns[..., 2].max()):,}" if ranks > 1 else "", f"{share:.0%}" if ranks > 1 else "",
        ])  # fmt: skip
    return lines


def on_a_rank(counts: list[int], write: str | None) -> None:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    lines = []
    for name, prepare in MEASUREMENTS.items():
        told = measure(world, counts, prepare)
        if world.rank == 0:
            lines += rows_of(name, told)
            print(f"{name}: done", file=sys.stderr, flush=True)
    if world.rank == 0:
        header = ["", "ranks", "ms", "of one process", "bytes a rank sends", "communication"]
        text = table(header, lines)
        print(text)
        if write:
            write_section(write, "distributed", text)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ranks = "how many, one number after the other (default: 1,2,4); ranks that wait disturb others"
    parser.add_argument("--ranks", type=numbers, default=[1, 2, 4], metavar="N,N", help=ranks)
    parser.add_argument("--write", help="the document whose table to replace")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank:
        on_a_rank(given.ranks, given.write)
        return 0
    here = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    launcher = shutil.which("mpiexec", path=here)
    if launcher is None:
        parser.error("there is no mpiexec: pip install mpich")
    threads = dict.fromkeys(["FFKERNELS_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
    # By mpi4py's own runner, which ends all ranks where one raises.
    command = [launcher, "-n", str(max(given.ranks)), sys.executable, "-m", "mpi4py", __file__, "--rank"]
    command += ["--ranks", ",".join(map(str, given.ranks))]
    command += ["--write", given.write] if given.write else []
    return subprocess.run(command, env=os.environ | OPEN_MPI | threads).returncode


if __name__ == "__main__":
    sys.exit(main())
