"""The command line: ``python -m ffkernels info``, ``train`` or ``predict``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__, show_config
from ._cli import CommandError

# What the extra ``train`` installs, by the names they are imported under.
_EXTRA = {"matplotlib", "pandas", "sklearn", "tqdm"}


def info(options: argparse.Namespace) -> None:
    show_config()


def train(options: argparse.Namespace) -> None:
    from ._cli import train

    train.run(options)


def predict(options: argparse.Namespace) -> None:
    from ._cli import predict

    predict.run(options)
