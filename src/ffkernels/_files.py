"""Arrays in ``.npz`` files: written whole or not at all, read without pickle."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ._arguments import Array

if TYPE_CHECKING:
    import zipfile

# The methods of an archive, by their numbers in it.
_STORED, _DEFLATED = 0, 8

#: Bytes that are read at a time.
_BLOCK = 2**20


def write(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays to a file that takes the place of an older one when it is complete.

    Whoever reads meanwhile, or after a crash, finds the older one.
    """
    target = os.path.realpath(os.fsdecode(path))
    if os.path.exists(target) and not os.path.isfile(target):  # a pipe, or a folder, which is refused
        with open(target, "wb") as file:
            np.savez(file, **arrays)
        return
    unfinished = f"{target}.{os.getpid()}.{threading.get_ident()}.tmp"
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
                return {
                    member.filename.removesuffix(".npy"): _array(archive, member)
                    for member in archive.infolist()
                }
        # What a damaged archive raises, by the byte that is wrong.
        except (ArithmeticError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError,
                struct.error, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
            raise foreign(path, writer, error) from error


def foreign(path: str | os.PathLike[str], writer: str, why: object) -> ValueError:
    """What says that a file is none of that writer's."""
    return ValueError(f"path: expected a file from {writer}, got {path}: {why}")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Return the array of a member, for which no memory is taken before its bytes have been counted."""
    if member.compress_type not in (_STORED, _DEFLATED):  # others take memory by what the data say
        raise ValueError(f"{member.filename} is neither stored nor deflated")
    with archive.open(member) as file:
        dtype, size = _described(file, member.filename)
        left = size
        # To the end, where the checksum is compared.
        while left >= 0 and (block := file.read(min(left + 1, _BLOCK))):
            left -= len(block)
    if left and not dtype.hasobject:  # objects are refused as such
        raise ValueError(f"{member.filename} holds another number of bytes than the {size} it claims")
    with archive.open(member) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _described(file: IO[bytes], name: str) -> tuple[np.dtype[Any], int]:
    """Return the type and the bytes of an array, by its header."""
    read = {
        1: np.lib.format.read_array_header_1_0,
        2: np.lib.format.read_array_header_2_0,
        3: np.lib.format.read_array_header_2_0,  # but for names of fields, which do not matter here
    }
    try:
        shape, _, dtype = read[np.lib.format.read_magic(file)[0]](file)
    # A literal of Python's that is damaged: its tokenizer, parser and NumPy each fail in their own ways.
    except Exception as error:
        raise ValueError(f"{name} has no header of an array: {error}") from error
    if any(length < 0 for length in shape):
        raise ValueError(f"{name} claims the shape {shape}")
    return dtype, math.prod(shape) * dtype.itemsize
