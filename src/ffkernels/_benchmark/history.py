"""A run against one that was saved before: what has become slower since.

The clock of a machine changes, and so does what else it does. So no time is compared with one of another
run, but ours over those of what ran beside it: the roofline, and the peers that are the same release in
both runs. The median of these ratios counts, so that one contender's bad luck does not. What seems
slower is measured again, and told only if it is slower every time.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._command import CommandError
from .rooflines import ROOFLINE

Result = dict[str, Any]
#: A case, and how many threads it was measured with.
Key = tuple[str, int]

#: How many times as long as before is a loss.
LOSS = 1.10
# How often what seems slower is measured in all.
_TURNS = 3
# What has to be the same for a comparison to say anything.
_MACHINE = ("processor", "backend", "isa")


class Saved:
    """A run that was saved, as far as what is measured now can be compared with it.

    Parameters
    ----------
    path : Path
        A ``bench.json``, or its folder.
    machine, peers : mapping
        As they are now.
    """

    def __init__(self, path: Path, machine: Mapping[str, Any], peers: Mapping[str, str]) -> None:
        self.path = path / "bench.json" if path.is_dir() else path
        try:
            saved = json.loads(self.path.read_text(encoding="utf-8"))
            self.machine: dict[str, Any] = saved["machine"]
            self._results = {_key(result): _times(result) for result in saved["results"]}
            were = {name: self.machine[name] for name in (*_MACHINE, "numpy", "ffkernels", "date")}
            others = saved["peers"]
            self._beside = [name for name, release in peers.items() if others.get(name) == release]
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror or error}") from None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise CommandError(f"{self.path}: expected what bench --save wrote: {error!r}") from None
        for name in _MACHINE:
            if were[name] != machine[name]:
                raise CommandError(
                    f"{self.path}: was measured with another {name}: {were[name]}, not {machine[name]}"
                )
        if were["numpy"] == machine["numpy"]:  # whose loops and BLAS are the roofline
            self._beside.append(ROOFLINE)
        if not self._beside:
            raise CommandError(f"{self.path}: NumPy and every peer were other releases then")

    def compare(
        self, results: Iterable[Result], again: Callable[[list[Key]], Iterable[Result]]
    ) -> dict[str, Any]:
        """Return what has become slower; `again` measures some of the results once more."""
        changes = {_key(result): self._change(result) for result in results if self._known(result)}
        if not changes:
            raise CommandError(f"{self.path}: holds none of the cases that were measured now")
        slower = {key: [change] for key, change in changes.items() if change > LOSS}
        for _ in range(_TURNS - 1):
            for result in again(list(slower)) if slower else ():
                slower[_key(result)].append(self._change(result))
            slower = {key: turns for key, turns in slower.items() if turns[-1] > LOSS}
        return {
            "file": str(self.path),
            "ffkernels": self.machine["ffkernels"],
            "date": self.machine["date"],
            "beside": self._beside,
            "cases": len(changes),
            "quartiles": np.quantile(list(changes.values()), (0.25, 0.5, 0.75)).tolist(),
            "slower": [
                {"case": case, "threads": threads, "times_as_long": turns}
                for (case, threads), turns in slower.items()
            ],
        }

    def _known(self, result: Result) -> list[str]:
        """Return what a case was measured beside in both runs."""
        then, now = self._results.get(_key(result), {}), _times(result)
        return [name for name in self._beside if name in then and name in now]

    def _change(self, result: Result) -> float:
        """Return how many times as long as then ours takes."""
        then, now = self._results[_key(result)], _times(result)
        return statistics.median(then[name] / now[name] for name in self._known(result))


def _key(result: Result) -> Key:
    return result["case"], result["threads"]


def _times(result: Result) -> dict[str, float]:
    """Return how many times as long as ours others take, the roofline among them."""
    bound = result["of_the_roofline"]
    return result["times_as_long"] | ({ROOFLINE: 1 / bound} if bound else {})
