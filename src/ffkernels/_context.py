"""What holds for the current context: each thread and asyncio task has its own, as of `np.errstate`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any


class Choice:
    """A module of kernels that was chosen; whoever has the choice sees another one take its place."""

    __slots__ = ("kernels",)

    def __init__(self) -> None:
        self.kernels: Any = None


#: What a context has that chose none.
PROCESS = Choice()

backend: ContextVar[Choice] = ContextVar("ffkernels.use_backend", default=PROCESS)

#: The choice that holds here: ``choice().kernels`` are the functions that the public ones call. To look
#: for it takes 2 to 5 ns more than one choice for the whole process did; relu of ten values takes 155.
choice = backend.get

#: Not set where the process's number holds.
threads: ContextVar[int] = ContextVar("ffkernels.num_threads")
