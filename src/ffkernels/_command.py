"""What the commands of ``python -m ffkernels`` share; `ffkernels.__main__` reads the command line.

``bench`` is in `ffkernels._benchmark`, ``train`` and ``predict`` are in `ffkernels._train`.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


class CommandError(Exception):
    """What the user can put right: told in one line, without a traceback."""


def print_json(facts: Mapping[str, Any]) -> None:
    """Print an object on a line of its own, at once; a number that JSON does not have is null."""
    print(json.dumps(_without_nan(facts), allow_nan=False), flush=True)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def in_red(text: str, stream: IO[str]) -> str:
    """Return what shows text in red on a terminal, unless its user sets ``NO_COLOR``."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or sys.platform == "win32"
    return text if plain or not stream.isatty() else f"\033[31m{text}\033[0m"


def progress_bar(*given: Any, seconds: float, **options: Any) -> tqdm[Any]:
    """Return tqdm's bar, of which a log takes a line after so many seconds.

    A terminal draws over the last line, and so shows a new one ten times a second.
    """
    from tqdm import tqdm

    return tqdm(*given, mininterval=0.1 if sys.stderr.isatty() else seconds, **options)
