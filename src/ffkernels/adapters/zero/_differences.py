"""Where the book computes another value, and the choice between both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Where the book computes another value: the name of each difference, and what the book does.
DIFFERENCES = {
    "relu_grad_at_zero": "relu_grad is 1 at 0, not 0",
    "log_offset": "the logarithms of the cross-entropies are of y + 1e-7, not of y",
    "argmax_targets": "rows of probabilities count in the cross-entropies as their largest class",
    "dout_of_loss": "SoftmaxWithLoss.backward takes its dout as 1",
    "one_sample": "SoftmaxWithLoss.backward divides one sample with a one-hot target by its classes",
}

_of_process: frozenset[str] = frozenset()
_of_context: ContextVar[frozenset[str]] = ContextVar("ffkernels.adapters.zero.use_book_values")


def from_book() -> frozenset[str]:
    """The differences that are taken from the book here."""
    return _of_context.get(_of_process)


def _checked(names: tuple[str, ...]) -> frozenset[str]:
    for name in names:
        if name not in DIFFERENCES:
            raise ValueError(f"names: expected some of {list(DIFFERENCES)}, got {name!r}")
    return frozenset(names)


def set_book_values(*names: str) -> None:
    """Take the book's values for these differences and the exact ones for all others.

    It holds for the whole process, but not within `use_book_values`; without names every value is exact
    again.

    Parameters
    ----------
    *names : str
        Keys of `DIFFERENCES`; ``*DIFFERENCES`` for all.

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> from ffkernels.adapters import zero
    >>> zero.set_book_values("relu_grad_at_zero")
    >>> zero.relu_grad([-1.0, 0.0, 2.0])
    array([0., 1., 1.])
    >>> zero.set_book_values()
    >>> zero.relu_grad([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    global _of_process
    _of_process = _checked(names)


@contextmanager
def use_book_values(*names: str) -> Iterator[None]:
    """Context of `set_book_values`, for the current thread or asyncio task.

    Parameters
    ----------
    *names : str
        Keys of `DIFFERENCES`.

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> from ffkernels.adapters import zero
    >>> with zero.use_book_values("log_offset"):
    ...     print(zero.cross_entropy_error([[1.0, 0.0]], [1]).round(4))
    16.1181
    """
    before = _of_context.set(_checked(names))
    try:
        yield
    finally:
        _of_context.reset(before)
