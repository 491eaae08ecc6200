"""Arrays in ``.npz`` files: written whole or not at all, read without pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._arguments import Array


def write(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays to a file that takes the place of an older one when it is complete.

    Whoever reads meanwhile, or after a crash, finds the older one.
    """
    target = os.path.realpath(os.fsdecode(path))
    if os.path.exists(target) and not os.path.isfile(target):  # a pipe, or a folder, which is refused
        with open(target, "wb") as file:
            np.savez(file, **arrays)
        return
    unfinished = f"{target}.{os.getpid()}.tmp"
    try:
        with open(unfinished, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())  # else a loss of power may leave the new name with no contents
        if os.path.exists(target):
            os.chmod(unfinished, os.stat(target).st_mode & 0o7777)
        os.replace(unfinished, target)
    except BaseException:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise


def read(path: str | os.PathLike[str], writer: str) -> dict[str, Array]:
    """Return the arrays of a file, or tell by ValueError that it is none of that writer's."""
    import struct
    import zipfile  # with what it imports, a third of the package's import
    import zlib

    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"{damaged} is damaged")
            file.seek(0)
            with np.load(file, allow_pickle=False) as npz:
                return dict(npz)
        # What a damaged archive raises, by the byte that is wrong.
        except (ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
                ValueError, struct.error, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
            raise ValueError(f"path: expected a file from {writer}, got {path}: {error}") from error
