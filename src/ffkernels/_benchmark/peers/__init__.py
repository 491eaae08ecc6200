"""How each peer spells an operation of the table, a module a library.

A peer gets what it is best at: its own arrays, made before the timing; results in arrays that are
there, where its functions take them; its fused kernel where it has one; gradients of losses by its
automatic differentiation or written out, whichever its users write and is faster. Which form that is
was found by trying: the modules tell which won, and against what. What a peer lacks is left out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from .base import LEARNING_RATE, Peer
from .jax import JAX
from .numba import Numba
from .numpy import Plain, Textbook
from .scipy import SciPy
from .sklearn import ScikitLearn
from .tensorflow import TensorFlow
from .torch import PyTorch, PyTorchCompiled

__all__ = ["LEARNING_RATE", "PEERS", "Peer", "default", "environment", "lacking"]

PEERS: dict[str, type[Peer]] = {
    "textbook": Textbook,
    "numpy": Plain,
    "torch": PyTorch,
    "torch-compile": PyTorchCompiled,
    "jax": JAX,
    "scipy": SciPy,
    "numba": Numba,
    "tensorflow": TensorFlow,
    "sklearn": ScikitLearn,
}


def default(quick: bool) -> list[str]:
    """Return the peers of a run for which none are named."""
    return [name for name, peer in PEERS.items() if not (quick and peer.slow)]


def lacking(names: Sequence[str]) -> dict[str, str]:
    """Return those peers that cannot run here, with what they lack in words."""
    return {name: why for name in names if (why := PEERS[name].lacks())}


def apart(names: Sequence[str], threads: int) -> list[list[str]]:
    """Return the peers of each process of a measurement with so many threads.

    Numba's threads are OpenMP's, by another copy of the library than PyTorch's. With both in a process
    PyTorch's tanh of 100,000 took 160 times as long as ours on two threads; without Numba, 6 times.
    """
    if threads == 1 or "numba" not in names or len(names) == 1:
        return [list(names)]
    return [[name for name in names if name != "numba"], ["numba"]]


def environment(threads: int, backend: str, folder: str) -> dict[str, str]:
    """Return the environment for a process that measures with so many threads.

    What peers compile is kept in the folder, for the processes of one run. Where ``FFKERNELS_ISA``
    keeps us to AVX2, the peers are kept to it too.
    """
    # OpenBLAS chooses its kernels by this variable, where it is set, and not by the processor.
    kept = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    # What sizes the pools of JAX and Numba, which no call can change, and of OpenMP.
    pools = ("NPROC", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "FFKERNELS_NUM_THREADS")
    avx2 = _only_avx2() if os.environ.get("FFKERNELS_ISA") == "avx2" else {}
    return kept | avx2 | dict.fromkeys(pools, str(threads)) | {
        "FFKERNELS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TORCHINDUCTOR_CACHE_DIR": folder,
        # Compiles in its own process: others, kept in wait, would disturb what is timed.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


def _only_avx2() -> dict[str, str]:
    """Return what tells the peers, and the BLAS that they and we share, to leave AVX-512 alone."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    return {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": " ".join(f for f in found if "AVX512" in f or f == "X86_V4"),
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CPU_NAME": "haswell",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    }
