"""The options of a training: those given, those that a checkpoint keeps, and the usual ones."""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path
from typing import Any

from .._command import CommandError
from . import checkpoint
from .checkpoint import Checkpoint

# What makes a training what it is: going on from a checkpoint changes none of these.
_FIXED: dict[str, Any] = {
    "target": None,
    "task": None,
    "keep": [],
    "drop": [],
    "hidden": [256],
    "activation": "relu",
    "batch_size": 32,
    "optimizer": "adam",
    "lr": None,
    "class_weight": None,
    "seed": 0,
    "test_size": 0.2,
}
# What it keeps to unless told otherwise; paths are found again from another folder, too.
_PATHS: dict[str, Path | None] = {"csv": None, "output": Path("ffkernels-run"), "save": None}
_KEPT = _FIXED | {"epochs": 100, "checkpoint_every": 1} | _PATHS
_DEFAULTS = _KEPT | {"threads": None, "checkpoint": None, "resume": None, "json": False}


def chosen_options(given: argparse.Namespace) -> tuple[argparse.Namespace, Checkpoint | None]:
    """Return all options: those given, before those of a checkpoint, before the usual ones."""
    chosen = {name: value for name, value in vars(given).items() if name in _DEFAULTS}
    path, stored, saved = chosen.get("resume"), None, {}
    if path is not None:
        if fixed := [name for name in chosen if name in _FIXED]:
            raise CommandError(
                f"--{fixed[0].replace('_', '-')}: the training that --resume goes on with has its own"
            )
        stored = checkpoint.read(path, _KEPT)
        saved = stored.options | {"checkpoint": path}
        saved |= {name: saved[name] and Path(saved[name]) for name in _PATHS}
    options = argparse.Namespace(**copy.deepcopy(_DEFAULTS | saved) | chosen)
    if options.checkpoint is None and "checkpoint_every" in chosen:
        raise CommandError("--checkpoint-every goes with --checkpoint or --resume")
    if options.checkpoint is not None and options.checkpoint == options.save:
        raise CommandError(f"{options.save}: expected two files for --checkpoint and --save, got one")
    # Only for a checkpoint: a table may also come through a pipe, which is read once.
    options.fingerprint = checkpoint.fingerprint(options.csv) if options.checkpoint else None
    if stored is not None and options.fingerprint != stored.table:
        raise CommandError(f"{options.csv}: not the table that {path} was trained on")
    return options, stored


def kept_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a checkpoint says of the command line."""
    kept = {name: getattr(options, name) for name in _KEPT}
    return kept | {name: kept[name] and str(kept[name].absolute()) for name in _PATHS}


def prepare_paths(output: Path, *files: Path | None) -> None:
    """Fail before the training where its results could not be written after it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror or error}") from None
    for path in filter(None, files):
        if not path.parent.is_dir():
            raise CommandError(f"{path.parent}: no such folder")
        new = not path.exists()
        try:
            with open(path, "ab"):
                pass
            if new:
                path.unlink()
            elif path.is_file():  # whose place another one will take
                with tempfile.TemporaryFile(dir=path.resolve().parent):
                    pass
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from None
