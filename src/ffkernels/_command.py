"""What the commands of ``python -m ffkernels`` share; `ffkernels.__main__` reads the command line.

``bench`` is in `ffkernels._benchmark`, ``train`` and ``predict`` are in `ffkernels._train`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


class CommandError(Exception):
    """What the user can put right: told in one line, without a traceback."""


def progress_bar(*given: Any, seconds: float, **options: Any) -> tqdm[Any]:
    """Return tqdm's bar, of which a log takes a line after so many seconds.

    A terminal draws over the last line, and so shows a new one ten times a second.
    """
    from tqdm import tqdm

    return tqdm(*given, mininterval=0.1 if sys.stderr.isatty() else seconds, **options)
