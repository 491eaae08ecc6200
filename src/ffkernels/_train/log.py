"""What a training tells on its way: lines for people, or with ``--json`` an object a line."""

from __future__ import annotations

from typing import Any

from .._command import print_json


class Log:
    """Where a training says what it does."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, label: str, *lines: str, **facts: Any) -> None:
        """Print lines beside what they are about; or the facts in them, under ``event`` the label.

        The facts are described in ``docs/command-line.md``.
        """
        if self._as_json:
            print_json({"event": label.lower(), **facts})
            return
        for line in lines:
            print(f"{label:9} {line}")
            label = ""
