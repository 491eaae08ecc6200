"""Functions of ours in the place of another library's, and out of it again."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .. import backend

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def covered(first: Any, *others: Any) -> bool:
    """Plain arrays of one type that the kernels compute in.  With mixed types, which come of float32
    inputs and a float64 target, converting costs more than the kernels gain; and without compiled
    kernels the library's own formulas are the faster ones."""
    return (
        backend.get_backend() == "compiled"
        and type(first) is np.ndarray
        and first.dtype in _FLOATS
        and first.flags.aligned
        and _alike(others, first.dtype)
    )


def _alike(arrays: Iterable[Any], dtype: np.dtype[Any]) -> bool:
    for array in arrays:
        if type(array) is not np.ndarray or array.dtype != dtype or not array.flags.aligned:
            return False
    return True


class Replacement(NamedTuple):
    """An entry of a table, module, class or function of the library, and what takes its place."""

    holder: Any
    name: str
    theirs: Any
    ours: Any


def made(belongs: Callable[[Any], bool], *rows: Any) -> list[Replacement]:
    """Of each row a holder, a name, and the function that makes ours, with its arguments after theirs.
    What does not belong to the library, since someone else has put it there, stays, and is left out."""
    return [
        Replacement(holder, name, theirs, make(theirs, *arguments))
        for holder, name, make, *arguments in rows
        if belongs(theirs := _get(holder, name))
    ]


def _get(holder: Any, name: str) -> Any:
    return holder[name] if isinstance(holder, dict) else getattr(holder, name)


def _set(holder: Any, name: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[name] = value
    else:
        setattr(holder, name, value)


class Patch:
    """What stands in the place of a library's functions while a patch or a block asks for it.

    Parameters
    ----------
    name, module
        The library's, which has a ``__version__``.
    known
        Minor releases whose functions may be replaced; of others it warns, and replaces nothing.
    nouns
        What keeps its own functions then.
    replacements
        Makes the list when it is wanted, since another release may have moved what it names.
    """

    def __init__(
        self,
        name: str,
        module: Any,
        known: tuple[str, ...],
        nouns: str,
        replacements: Callable[[], list[Replacement]],
    ) -> None:
        self._name, self._module, self._known, self._nouns = name, module, known, nouns
        self._replacements = replacements
        self._lock = threading.Lock()
        self._permanent = False
        self._blocks = 0
        self._installed: list[Replacement] = []

    def switch(self, permanent: bool | None = None, blocks: int = 0) -> None:
        """Replaces or restores as the calls so far ask for."""
        with self._lock:
            wanted = (self._permanent if permanent is None else permanent) or self._blocks + blocks > 0
            if wanted and not self._installed:
                self._install()
            elif not wanted:
                self._restore()
            # Last, since a warning may have been turned into an exception.
            self._permanent = self._permanent if permanent is None else permanent
            self._blocks += blocks

    @contextmanager
    def block(self) -> Iterator[None]:
        self.switch(blocks=1)
        try:
            yield
        finally:
            self.switch(blocks=-1)

    def _install(self) -> None:
        release = self._module.__version__
        if ".".join(release.split(".")[:2]) not in self._known:
            warnings.warn(
                f"{self._name} {release} is not a release that ffkernels knows "
                f"({', '.join(self._known)}): {self._nouns} keep their own functions",
                RuntimeWarning,
                stacklevel=4,
            )
            return
        self._installed.extend(self._replacements())
        for holder, name, _, ours in self._installed:
            _set(holder, name, ours)

    def _restore(self) -> None:
        while self._installed:
            holder, name, theirs, ours = self._installed.pop()
            if _get(holder, name) is ours:  # else someone has replaced ours since
                _set(holder, name, theirs)
