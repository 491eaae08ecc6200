"""A training in a file, written after an epoch, from which it goes on as if it had not been ended."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from .. import _files
from .._command import CommandError
from .fit import History, State

Array = npt.NDArray[Any]

# What the text in a checkpoint begins with; a new layout takes another number.
_FORMAT = "ffkernels checkpoint 1"


@dataclass
class Checkpoint:
    """What a file says: the options of the command line, and the state that `restore` sets."""

    path: Path
    options: dict[str, Any]
    table: list[int] | None
    epochs: int
    _described: dict[str, Any]
    _arrays: dict[str, Array]

    def restore(self, state: State) -> None:
        """Make a training that begins with the same options what it was."""
        try:
            for name, arrays in (("net", state.net.params), ("best", state.best.params)):
                for key, array in arrays.items():
                    stored = self._arrays[f"{name}/{key}"]
                    if stored.shape != array.shape:
                        raise ValueError(f"{name}/{key}: expected {array.shape}, got {stored.shape}")
                    array[...] = stored
            kept = {
                name.removeprefix("optimizer/"): array
                for name, array in self._arrays.items()
                if name.startswith("optimizer/")
            }
            state.optimizer._restore(kept, state.net.params)
            state.rng.bit_generator.state = self._described["rng"]
            state.best.loss, state.best.epoch = self._described["best"]
            state.history = History(**self._described["history"])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise _foreign(self.path, error) from None


def write(path: Path, state: State, options: Mapping[str, Any], table: list[int] | None) -> None:
    """Write a training; a file that is there is replaced when the new one is complete."""
    described = {
        "format": _FORMAT,
        "options": dict(options),
        "table": table,
        "rng": state.rng.bit_generator.state,
        "best": [state.best.loss, state.best.epoch],
        "history": asdict(state.history),
    }
    parts = (
        ("net", state.net.params),
        ("best", state.best.params),
        ("optimizer", state.optimizer._state()),
    )
    arrays = {f"{name}/{key}": array for name, part in parts for key, array in part.items()}
    try:
        _files.write(path, {"training": json.dumps(described), **arrays})
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None


def read(path: Path, names: Iterable[str]) -> Checkpoint:
    """Read what `write` wrote, with the options of these names."""
    try:
        arrays = _files.read(path, "train --checkpoint")
        described = json.loads(str(arrays.pop("training")))
        if described["format"] != _FORMAT:
            raise ValueError(f"its format is {described['format']!r}, not {_FORMAT!r}")
        options = {name: described["options"][name] for name in names}
        epochs = len(described["history"]["training_loss"])
        return Checkpoint(path, options, described["table"], epochs, described, arrays)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise _foreign(path, error) from None


def _foreign(path: Path, error: Exception) -> CommandError:
    cause = error.__cause__ or error
    reason = f"lacks {cause}" if isinstance(cause, KeyError) else cause
    return CommandError(f"{path}: expected a checkpoint that train --checkpoint wrote: {reason}")


def fingerprint(table: Path | None) -> list[int] | None:
    """Return size and checksum of the file with the table: by another one no training goes on."""
    if table is None:
        return None
    size = checksum = 0
    try:
        with open(table, "rb") as file:
            while block := file.read(1 << 20):
                size, checksum = size + len(block), zlib.crc32(block, checksum)
    except OSError as error:
        raise CommandError(f"{table}: {error.strerror or error}") from None
    return [size, checksum]
