"""``python -m ffkernels train``: what each process of a training does."""

from __future__ import annotations

import argparse

from .. import get_num_threads
from .fit import Job, fit
from .ranks import Ranks


def run(given: argparse.Namespace, ranks: Ranks) -> None:
    """Do what the command line asks for: the first rank prepares it, and shows what came of it."""
    threads = getattr(given, "threads", None)
    machines = ranks.limit_threads(threads)
    # Alone, BLAS takes what it finds; ranks of one machine share its processors.
    threads = threads or (get_num_threads() if ranks.size > 1 else None)
    made = []

    def prepare() -> Job:
        from .training import Training  # the other ranks need none of what it imports

        made.append(Training(given, machines))
        return made[0].job

    job = ranks.from_first(prepare)
    history = fit(job, ranks, threads, made[0].after_epoch if made else None)
    if made:
        made[0].show(history)
    ranks.wait()
