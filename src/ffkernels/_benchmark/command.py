"""``python -m ffkernels bench``: every operation beside its peers and beside the roofline."""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ffkernels

from .._command import CommandError, print_json
from . import cases, goals, peers, report
from .history import Key, Saved
from .process import measured_apart


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks for; return the exit code, which tells of a loss."""
    wanted = options.peers or peers.default(options.quick)
    unknown = [name for name in wanted if name not in peers.PEERS]
    if unknown:
        raise CommandError(f"--peers: expected names out of {', '.join(peers.PEERS)}, got {unknown[0]}")
    for pattern in options.only:
        if not cases.cases([pattern], options.quick, threads=1):
            raise CommandError(f"--only: no case has a name like {pattern}")
    if options.save:
        try:
            options.save.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"{options.save}: {error.strerror or error}") from None
    lacking = peers.lacking(wanted)
    for name, why in lacking.items():
        print(f"{peers.PEERS[name].title} {why}: left out", file=sys.stderr)
    found = [name for name in wanted if name not in lacking]
    backend = options.backend or ffkernels.get_backend()
    try:
        with ffkernels.use_backend(backend):
            machine = _machine()
    except ImportError as error:
        raise CommandError(f"--backend: {error}") from None
    threads = options.threads or sorted({1, ffkernels.get_num_threads()})
    measured: dict[str, Any] = {
        "machine": machine,
        "peers": {name: peers.PEERS[name].version() for name in found},
        "lacking": lacking,
        "threads": threads,
    }
    saved = Saved(options.against, machine, measured["peers"]) if options.against else None
    chosen = {
        count: [case.name for case in cases.cases(options.only, options.quick, count)]
        for count in threads
    }
    with tempfile.TemporaryDirectory() as folder:

        def measure(chosen: Mapping[int, list[str]]) -> dict[str, Any]:
            return _measured(chosen, found, options.quick, backend, Path(folder))

        measured |= measure(chosen)
        if saved:
            measured["against"] = saved.compare(
                measured["results"], lambda keys: measure(_by_threads(keys))["results"]
            )
    _add_gain(measured["results"])
    measured["wanted"] = goals.judge(measured)
    files = report.save(measured, options.save, goals=options.goals) if options.save else []
    if options.json:
        print_json(measured)
    else:
        print(report.text(measured, everything=bool(options.only), goals=options.goals))
        for path in files:
            print(path)
    return 1 if saved and measured["against"]["slower"] else 0


def _measured(
    chosen: Mapping[int, list[str]], names: list[str], quick: bool, backend: str, folder: Path
) -> dict[str, Any]:
    """Return the results of cases by how many threads measure them, and the memory of training steps."""
    results: list[dict[str, Any]] = []
    memory: dict[str, int] = {}
    for threads, some in chosen.items():
        first, *others = (
            measured_apart(some, part, threads, quick=quick, backend=backend, folder=folder)
            for part in peers.apart(names, threads)
        )
        for other in others:
            _add_peers(first["results"], other["results"])
        results += first["results"]
        memory |= first["step_bytes"]
    return {"results": results, "step_bytes": memory}


def _by_threads(keys: Iterable[Key]) -> dict[int, list[str]]:
    chosen: dict[int, list[str]] = {}
    for case, threads in keys:
        chosen.setdefault(threads, []).append(case)
    return chosen


def _add_peers(results: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Add how long peers took in another process, beside ours in that process."""
    for result, other in zip(results, others, strict=True):
        for key in ("seconds", "times_as_long"):
            result[key] = other[key] | result[key]


def _add_gain(results: list[dict[str, Any]]) -> None:
    """Add how many times as long as each result ours on one thread took, by the figures themselves."""
    alone = {result["case"]: result["us_a_call"] for result in results if result["threads"] == 1}
    for result in results:
        one = alone.get(result["case"]) if result["threads"] > 1 else None
        result["gain_over_one_thread"] = one and one / result["us_a_call"]


def _machine() -> dict[str, Any]:
    config = ffkernels.show_config("dicts") or {}
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "processors": ffkernels.get_num_threads(),
        **{name: value for name, value in config.items() if name != "threads"},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
