"""A measurement in a process of its own: some peers learn their number of threads when they start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ffkernels

from .._command import CommandError, progress_bar
from . import cases, peers
from .rooflines import ROOFLINE
from .rounds import DEFAULT, QUICK, measure, medians


def measured_apart(
    chosen: Sequence[str], names: Sequence[str], threads: int, *, quick: bool, backend: str, folder: Path
) -> dict[str, Any]:
    """Return the results of cases by their names, and the memory of training steps among them.

    Parameters
    ----------
    chosen : sequence of str
        Names of cases.
    names : sequence of str
        The peers.
    threads : int
    quick : bool
        With fewer rounds.
    backend : str
        Of ours.
    folder : Path
        For what peers compile, and for the results.
    """
    path = folder / "results.json"
    asked = {"chosen": chosen, "names": names, "threads": threads, "quick": quick}
    ended = subprocess.run(
        [sys.executable, "-m", __name__, str(path)],
        env=peers.environment(threads, backend, str(folder)),
        input=json.dumps(asked),
        stdout=2,  # what a peer prints is no result
        text=True,
        check=False,
    )
    if code := ended.returncode:
        raise CommandError(f"the measurement with {threads} thread(s) ended with code {code}")
    measured: dict[str, Any] = json.loads(path.read_text())
    return measured


def _measured(chosen: list[str], names: list[str], threads: int, quick: bool) -> dict[str, Any]:
    ffkernels.set_num_threads(threads)
    loaded = {name: peers.PEERS[name](threads) for name in names}
    found = [case for case in cases.cases([], quick, threads) if case.name in chosen]
    results = []
    with progress_bar(found, desc=f"{threads} thread(s)", unit=" cases", seconds=10) as bar:
        for case in bar:
            bar.set_postfix_str(case.name, refresh=False)
            results.append(_result(case, loaded, threads, quick))
    batches = [case.shape[0] for case in found if case.group == "steps"]
    memory = {str(batch): cases.step_memory(batch) for batch in batches}
    return {"results": results, "step_bytes": memory}


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
    bounds = [seconds.pop(name) for name in list(seconds) if name.startswith(ROOFLINE)]
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
        "seconds": seconds | ({ROOFLINE: min(bounds)} if bounds else {}),
        "ns_an_element": 1e9 * ours / case.elements,
        "us_a_call": 1e6 * ours,
        "times_as_long": {name: s / ours for name, s in seconds.items() if name != cases.OURS},
        "of_the_roofline": ours / min(bounds) if bounds else None,
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(_measured(**json.load(sys.stdin))))
