"""``python -m ffkernels bench``: every operation beside its peers and beside the roofline."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

import ffkernels

from . import CommandError, cases, goals, peers, report
from .rounds import DEFAULT, QUICK, measure, medians


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
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
        "results": [],
        "memory of a training step": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for count in threads:
            first, *others = (
                _in_a_process_of_its_own(options, names, backend, count, Path(folder))
                for names in peers.apart(found, count)
            )
            for other in others:
                _add_peers(first["results"], other["results"])
            measured["results"] += first["results"]
            measured["memory of a training step"] |= first["memory of a training step"]
    _add_gain(measured["results"])
    measured["wanted"] = goals.judge(measured)
    print(report.text(measured, everything=bool(options.only), goals=options.goals))
    if options.save:
        for path in report.save(measured, options.save, goals=options.goals):
            print(path)


def _add_peers(results: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Add how long peers took in another process, beside ours in that process."""
    for result, other in zip(results, others, strict=True):
        for key in ("seconds", "times as long"):
            result[key] = other[key] | result[key]


def _add_gain(results: list[dict[str, Any]]) -> None:
    """Add how many times as long as each result ours on one thread took, by the figures themselves."""
    alone = {result["case"]: result["us a call"] for result in results if result["threads"] == 1}
    for result in results:
        one = alone.get(result["case"]) if result["threads"] > 1 else None
        result["gain over one thread"] = one and one / result["us a call"]


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


def _in_a_process_of_its_own(
    options: argparse.Namespace, names: list[str], backend: str, threads: int, folder: Path
) -> Any:
    """Measure with so many threads; some peers learn their number only when they start."""
    path = folder / "results.json"
    asked = {"only": options.only, "quick": options.quick, "names": names, "threads": threads}
    command = [sys.executable, "-m", __name__, json.dumps(asked), str(path)]
    environment = peers.environment(threads, backend, str(folder))
    code = subprocess.run(command, env=environment, check=False).returncode
    if code:
        raise CommandError(f"the measurement with {threads} thread(s) ended with code {code}")
    return json.loads(path.read_text())


def _measure(only: list[str], quick: bool, names: list[str], threads: int) -> dict[str, Any]:
    ffkernels.set_num_threads(threads)
    loaded = {name: peers.PEERS[name](threads) for name in names}
    chosen = cases.cases(only, quick, threads)
    results = []
    # A log takes a line where a terminal draws over the last.
    interval = 0.1 if sys.stderr.isatty() else 10.0
    with tqdm(chosen, desc=f"{threads} thread(s)", unit=" cases", mininterval=interval) as bar:
        for case in bar:
            bar.set_postfix_str(case.name, refresh=False)
            results.append(_result(case, loaded, threads, quick))
    batches = [case.shape[0] for case in chosen if case.group == "steps"]
    memory = {str(batch): cases.step_memory(batch) for batch in batches}
    return {"results": results, "memory of a training step": memory}


def _result(
    case: cases.Case, loaded: dict[str, peers.Peer], threads: int, quick: bool
) -> dict[str, Any]:
    with case.limits(threads):
        turns = measure(
            case.contenders(loaded, threads),
            QUICK if quick else DEFAULT,
            threads=threads,
            pause=case.pause,
        )
    seconds = medians(turns)
    rooflines = [seconds.pop(name) for name in list(seconds) if name.startswith(cases.ROOFLINE)]
    ours = seconds[cases.OURS]
    return {
        "case": case.name,
        "operation": case.operation,
        "size": case.size,
        "group": case.group,
        "shape": case.shape,
        "dtype": case.dtype,
        "elements": case.elements,
        "threads": threads,
        "rounds": len(turns[cases.OURS]),
        "seconds": seconds | ({cases.ROOFLINE: min(rooflines)} if rooflines else {}),
        "ns an element": 1e9 * ours / case.elements,
        "us a call": 1e6 * ours,
        "times as long": {name: s / ours for name, s in seconds.items() if name != cases.OURS},
        "of the roofline": ours / min(rooflines) if rooflines else None,
    }


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps(_measure(**asked)))
