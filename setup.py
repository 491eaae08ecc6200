"""Builds the kernels once for each instruction set, from the same sources.

Every extension is optional: where one does not compile, the installation goes on without it, and
without any of them the NumPy backend serves.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("src/ffkernels/_compiled")
INCLUDE = Path("src/ffkernels/include")
MSVC = sys.platform == "win32"

# No flag here changes what a sum or a NaN is.  The two `-fno-` of gcc and clang only say that nobody
# reads errno or the floating-point exception flags, without which no square root and no
# comparison vectorises; contraction is off so that every fused multiply-add is one we wrote.
COMMON = (
    ["/O2", "/fp:precise", "/openmp:experimental", "/std:c11", "/experimental:c11atomics"]
    if MSVC
    else [
        *("-O3", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"),
        "-g0",  # Python's own flags ask for debug information: three quarters of a wheel
    ]
)
# gcc joins two turns of a loop over blocks and then keeps the accumulators of a row in memory: sums
# took 0.18 ns an element instead of 0.05, maxima 0.10 instead of 0.03.  And it makes a memset of a
# loop that sets accumulators to 0, in stores of half their width, for which the load that follows
# has to wait: 20 ns a row.
GCC_ONLY = ("-fno-loop-unroll-and-jam", "-fno-tree-loop-distribute-patterns")
ISAS: dict[str, list[str]] = {"baseline": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    ISAS |= (
        {"avx2": ["/arch:AVX2"], "avx512": ["/arch:AVX512"]}
        if MSVC
        else {
            "avx2": ["-mavx2", "-mfma"],
            # Full width: compilers prefer half of it for fear of clock changes long gone.
            "avx512": [
                *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma"),
                "-mprefer-vector-width=512",
            ],
        }
    )


class BuildKernels(build_ext):
    """Adds what only some compilers have: OpenMP (its `simd`, its limits), flags of gcc alone."""

    def build_extensions(self) -> None:
        if not MSVC:
            openmp = next((f for f in ("-fopenmp", "-fopenmp-simd") if self._compiles(f)), None)
            flags = [flag for flag in GCC_ONLY if self._compiles(flag)] + ([openmp] if openmp else [])
            for extension in self.extensions:
                if not extension.name.endswith(".cpu"):
                    extension.extra_compile_args += flags
                    if openmp == "-fopenmp":
                        extension.extra_link_args.append(openmp)
        super().build_extensions()

    def _compiles(self, flag: str) -> bool:
        """Whether a program using the flag compiles and links, without a warning."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            header = "#include <omp.h>\n" if flag == "-fopenmp" else ""
            source.write_text(header + "int main(void) { return 0; }\n")
            program = str(Path(folder, "probe"))
            command = [self.compiler.compiler[0], "-Werror", flag, str(source), "-o", program]
            try:
                return subprocess.run(command, capture_output=True, check=False).returncode == 0
            except OSError:
                return False


def extension(name: str, source: str, flags: list[str]) -> Extension:
    return Extension(
        f"ffkernels._compiled.{name}",
        [str(SOURCES / source)],
        include_dirs=[str(SOURCES), str(INCLUDE), np.get_include()],
        depends=[str(path) for folder in (SOURCES, INCLUDE) for path in folder.glob("*.h")],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=COMMON + flags,
    )


# One pass of Cython for each instruction set, each with a folder of its own: the C source is named
# after the .pyx, the module after the instruction set.
modules = cythonize([extension("cpu", "cpu.pyx", [])], build_dir="build/cython/cpu")
for isa, flags in ISAS.items():
    modules += cythonize([extension(isa, "kernels.pyx", flags)], build_dir=f"build/cython/{isa}")
for module in modules:
    module.optional = True  # here, because cythonize drops it

setup(
    ext_modules=modules,
    cmdclass={"build_ext": BuildKernels},
    options={"build_ext": {"parallel": os.cpu_count()}},
)
