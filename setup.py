"""Builds the kernels once for each instruction set, from the same sources.

Every extension is optional: where one does not compile, the installation goes on without it, and
without any of them the NumPy backend serves.  FFKERNELS_REQUIRE_COMPILED=1 makes that an error.
FFKERNELS_PURE=1 builds none, for the wheel of every platform that has no other: py3-none-any.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, CompileError

SOURCES = Path("src/ffkernels/_compiled")
INCLUDE = Path("src/ffkernels/include")

# No flag here changes what a sum or a NaN is.  The two `-fno-` of gcc and clang only say that nobody
# reads errno or the floating-point exception flags, without which no square root and no
# comparison vectorises; contraction is off so that every fused multiply-add is one we wrote.
COMMON = [
    *("-O3", "-std=gnu++17", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"),
    *("-fno-exceptions", "-fno-rtti"),  # so that nothing of the C++ library is linked
    "-g0",  # Python's own flags ask for debug information: three quarters of a wheel
]
# MSVC has `omp simd` with OpenMP alone, and names its library in every object; without a call to it
# nothing is linked.
COMMON_MSVC = ["/O2", "/fp:precise", "/openmp:experimental", "/std:c++17"]
# gcc joins two turns of a loop over blocks and then keeps the accumulators of a row in memory: sums
# took 0.18 ns an element instead of 0.05, maxima 0.10 instead of 0.03.  And it makes a memset of a
# loop that sets accumulators to 0, in stores of half their width, for which the load that follows
# has to wait: 20 ns a row.  And where a loop of a few instructions begins is left to chance: across two
# lines of the cache it takes twice the time, and a small matrix by columns took 1.4 times as long.
GCC_ONLY = ("-fno-loop-unroll-and-jam", "-fno-tree-loop-distribute-patterns", "-falign-loops=32")
# Instruction sets of x86-64 beyond its baseline: flags of gcc and clang, flags of MSVC.
X86_64 = {
    "avx2": (["-mavx2", "-mfma", "-mf16c"], ["/arch:AVX2"]),
    "avx512": (
        [
            *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"),
            # Full width: compilers prefer half of it for fear of clock changes long gone.
            "-mprefer-vector-width=512",
        ],
        ["/arch:AVX512"],
    ),
}


def says_yes(variable: str) -> bool:
    return os.environ.get(variable, "0") not in ("", "0")


@contextmanager
def hushed() -> Iterator[None]:
    """Without a word from a compiler: that it lacks what it is asked for is no error."""
    streams = sys.stdout, sys.stderr
    kept = os.dup(1), os.dup(2)
    for stream in streams:
        stream.flush()
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        for stream in streams:
            stream.flush()
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)


class BuildKernels(build_ext):
    """Asks the compiler what it compiles for and which flags it knows, then has it build what it can.

    It is asked as setuptools calls it: with its wrapper, its environment and its target.  Of several
    architectures in one go, as for macOS's universal2, what one of them lacks cannot be built.
    """

    def build_extensions(self) -> None:
        self.configure()
        if self.has_simd:
            for extension in self.extensions:
                # Each with a folder of its own: the C++ source is named after the .pyx, the module after
                # the instruction set.
                folder = f"build/cython/{isa_of(extension)}"
                extension.sources = cythonize([extension], build_dir=folder)[0].sources
                extension.language = "c"  # for the linker: all that is used of C++'s library is headers
        super().build_extensions()

    def build_extension(self, extension: Extension) -> None:
        if not self.has_simd:
            raise CompileError("the C++ compiler does not work, or does not know `omp simd`")
        super().build_extension(extension)

    def configure(self) -> None:
        """Keeps the instruction sets that the target may have, and gives each its flags."""
        msvc = self.compiler.compiler_type == "msvc"
        simd = [] if msvc else ["-fopenmp-simd"]  # for MSVC it is among the common flags
        self.has_simd = self.holds("defined(_OPENMP)", COMMON_MSVC) if msvc else self.holds("1", simd)
        is_gcc = "defined(__GNUC__) && !defined(__clang__)"
        flags = simd + [flag for flag in GCC_ONLY if self.holds(is_gcc, [flag])]
        if not self.holds("defined(__x86_64__) || defined(_M_X64)"):
            self.extensions = [e for e in self.extensions if isa_of(e) not in X86_64]
        for extension in self.extensions:
            extension.optional = not says_yes("FFKERNELS_REQUIRE_COMPILED")
            extension.extra_compile_args = list(COMMON_MSVC if msvc else COMMON)
            extension.extra_compile_args += X86_64.get(isa_of(extension), ([], []))[msvc]
            if isa_of(extension) != "cpu":
                extension.extra_compile_args += flags
                extension.extra_link_args = ["/NODEFAULTLIB:vcomp"] if msvc else []

    def holds(self, condition: str, flags: Sequence[str] = ()) -> bool:
        """Whether the preprocessor finds a condition true in a program that builds with these flags."""
        program = f"""
            #include <stddef.h>
            #if !({condition})
            #error it does not hold
            #endif
            int main() {{ return 0; }}
        """
        with tempfile.TemporaryDirectory() as folder, hushed():
            source = Path(folder, "probe.cpp")
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=list(flags)
                )
                self.compiler.link_executable(objects, "probe", output_dir=folder)
            except (BaseError, CCompilerError):
                return False
            return True


def isa_of(extension: Extension) -> str:
    """What it is for: an instruction set, or `cpu`, which tells which of them there are."""
    return extension.name.rpartition(".")[2]


def extension(name: str, source: str) -> Extension:
    return Extension(
        f"ffkernels._compiled.{name}",
        [str(SOURCES / source)],
        language="c++",
        include_dirs=[str(SOURCES), str(INCLUDE), np.get_include()],
        depends=[str(path) for folder in (SOURCES, INCLUDE) for path in folder.glob("*.h")],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    )


EXTENSIONS = [
    extension("cpu", "cpu.pyx"),
    *(extension(isa, "kernels.pyx") for isa in ("baseline", *X86_64)),
]

setup(
    ext_modules=[] if says_yes("FFKERNELS_PURE") else EXTENSIONS,
    cmdclass={"build_ext": BuildKernels},
    options={"build_ext": {"parallel": os.cpu_count()}},
)
