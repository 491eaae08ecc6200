"""Python functions as targets of XLA's foreign function interface, on the CPU.

`jax.pure_callback` copies every array on the way in and out, and may wait for a thread that waits for
it. XLA's own interface hands over addresses: `call` puts a call of a Python function into a program,
and XLA then calls `_handle` with the memory of the arguments and of the results to be written.

The structures are those of XLA's ``c_api.h``, to which versions of the same major number only add. JAX
installs that header, and says there which version it has: before anything is registered another one is
refused. XLA asks a handler in its turn for the version it was written for, and refuses to register one
that it no longer supports.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

_TARGET = "ffkernels"
_MAJOR, _MINOR = 0, 1  # version of the interface, that of JAX 0.5
_METADATA = 1  # the extension that asks for it
_EXECUTE = 3  # the stage of a program that runs
_INVALID_ARGUMENT = 3  # code of an error

_DTYPES = {
    1: np.dtype(np.bool_),
    2: np.dtype(np.int8),
    3: np.dtype(np.int16),
    4: np.dtype(np.int32),
    5: np.dtype(np.int64),
    6: np.dtype(np.uint8),
    7: np.dtype(np.uint16),
    8: np.dtype(np.uint32),
    9: np.dtype(np.uint64),
    10: np.dtype(np.float16),
    11: np.dtype(np.float32),
    12: np.dtype(np.float64),
    16: np.dtype(ml_dtypes.bfloat16),
}


class _Version(Structure):
    _fields_ = (("size", c_size_t), ("extension", c_void_p), ("major", c_int), ("minor", c_int))


class _Metadata(Structure):
    _fields_ = (("size", c_size_t), ("version", _Version), ("traits", c_uint32))


class _Extension(Structure):
    _fields_ = (
        ("size", c_size_t),
        ("type", c_int),
        ("next", c_void_p),
        ("metadata", POINTER(_Metadata)),
    )


class _Error(Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("message", c_char_p),
        ("code", c_int),
    )


class _Api(Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("version", _Version),
        ("internal", c_void_p),
        ("create_error", ctypes.CFUNCTYPE(c_void_p, POINTER(_Error))),
    )


class _Buffer(Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("dtype", c_int),
        ("data", c_void_p),
        ("ndim", c_int64),
        ("shape", POINTER(c_int64)),
    )


class _Buffers(Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("count", c_int64),
        ("types", c_void_p),
        ("buffers", POINTER(POINTER(_Buffer))),
    )


class _String(Structure):
    _fields_ = (("characters", c_void_p), ("length", c_size_t))


class _Attributes(Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", c_void_p),
        ("count", c_int64),
        ("types", c_void_p),
        ("names", c_void_p),
        ("strings", POINTER(POINTER(_String))),
    )


class _Frame(Structure):
    _fields_ = (
        ("size", c_size_t),
        ("extension", POINTER(_Extension)),
        ("api", POINTER(_Api)),
        ("context", c_void_p),
        ("stage", c_int),
        ("arguments", _Buffers),
        ("results", _Buffers),
        ("attributes", _Attributes),
    )


def _version() -> str:
    """Of the interface that JAX was built with, by the header that it installs."""
    header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h")
    try:
        text = header.read_text(encoding="utf-8")
    except OSError as error:
        return f"an unknown one ({error})"
    said = dict(re.findall(r"^#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", text, re.MULTILINE))
    return f"{said.get('MAJOR', '?')}.{said.get('MINOR', '?')}"


def _refuse_other_versions() -> None:
    """ImportError where structures may be others than those above."""
    version = _version()
    major, _, minor = version.partition(".")
    if major != str(_MAJOR) or not minor.isdigit() or int(minor) < _MINOR:
        raise ImportError(
            f"ffkernels.adapters.jax: expected version {_MAJOR}.{_MINOR} of XLA's foreign function "
            f"interface, or a later one of {_MAJOR}; JAX {jax.__version__} has {version}"
        )


_functions: dict[str, Callable[..., None]] = {}


def _array(buffer: _Buffer) -> Any:
    dtype, shape = _DTYPES[buffer.dtype], buffer.shape[: buffer.ndim]
    size = dtype.itemsize
    for n in shape:
        size *= n
    if not size:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(buffer.data))


def _arrays(buffers: _Buffers) -> list[Any]:
    return [_array(buffers.buffers[i].contents) for i in range(buffers.count)]


@lru_cache
def _parse(call: bytes) -> Any:
    name, options = json.loads(call)
    return _functions[name], options


@ctypes.CFUNCTYPE(c_void_p, POINTER(_Frame))
def _handle(pointer: Any) -> Any:
    frame = pointer.contents
    try:
        if frame.extension and frame.extension.contents.type == _METADATA:
            metadata = frame.extension.contents.metadata.contents
            metadata.version.major, metadata.version.minor = _MAJOR, _MINOR
            metadata.traits = 0
        elif frame.stage == _EXECUTE:
            string = frame.attributes.strings[0].contents
            function, options = _parse(ctypes.string_at(string.characters, string.length))
            function(*_arrays(frame.arguments), out=_arrays(frame.results), **options)
    except BaseException as error:  # which must not leave: XLA knows no Python
        message = f"{type(error).__name__}: {error}".encode()
        created = _Error(ctypes.sizeof(_Error), None, message, _INVALID_ARGUMENT)
        return frame.api.contents.create_error(ctypes.byref(created))
    return None


_refuse_other_versions()
jax.ffi.register_ffi_target(_TARGET, jax.ffi.pycapsule(_handle), platform="cpu")


def target(function: Callable[..., None]) -> Callable[..., None]:
    """Make ``function(*arrays, out=list of arrays, **options)`` known to `call`, under its name."""
    _functions[function.__name__] = function
    return function


def call(name: str, results: Any, /, *args: Any, **options: Any) -> Any:
    """JAX arrays like `results`, filled by a `target` when the program runs.

    The options travel as text in the program, which JAX may keep on disk for another process.
    Under vmap all arrays, results included, have the batch's axes in front.
    """
    function = jax.ffi.ffi_call(_TARGET, results, vmap_method="broadcast_all")
    return function(*args, call=json.dumps([name, options], sort_keys=True))
