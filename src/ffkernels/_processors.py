"""How many processors this process may use."""

from __future__ import annotations

import math
import os


def quota() -> float:
    """Processors a control group grants, infinite without a limit."""
    def read(name: str) -> str:
        with open(f"/sys/fs/cgroup/{name}", encoding="ascii") as file:
            return file.read()

    try:
        limit, period = read("cpu.max").split()
        return math.inf if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int(read("cpu/cpu.cfs_quota_us"))
        return limit_us / int(read("cpu/cpu.cfs_period_us")) if limit_us > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def affinity() -> frozenset[int]:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def available() -> int:
    """Of them as many as the quota is good for."""
    processors = len(affinity())
    return max(1, math.ceil(min(quota(), processors)))
