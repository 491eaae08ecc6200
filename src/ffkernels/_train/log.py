"""What a training says on its way."""

from __future__ import annotations


def say(label: str, *lines: str) -> None:
    """Print lines beside what they are about."""
    for line in lines:
        print(f"{label:9} {line}")
        label = ""
