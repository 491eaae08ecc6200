"""What the build asks of a compiler, and what it does where the answer is no."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src/ffkernels/_compiled"

pytest.importorskip("Cython")
if not (ROOT / "setup.py").exists():
    pytest.skip("no sources to build", allow_module_level=True)



def gcc():
    """Where g++ is; on macOS something else has its name."""
    path = shutil.which("g++")
    version = path and subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    return path if version and "Free Software Foundation" in version else None


GCC = gcc()
needs_gcc = pytest.mark.skipif(not GCC or os.name != "posix", reason="no gcc")
needs_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="for x86-64")


def script(folder, text):
    """A compiler of a few lines of shell."""
    path = folder / "c++"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def configured(monkeypatch):
    """The command that builds, once it has asked the compiler that CXX names."""

    def configure(cxx, kind=None):
        given = {}
        monkeypatch.setattr(setuptools, "setup", given.update)
        monkeypatch.setenv("CXX", cxx)
        monkeypatch.chdir(ROOT)
        specification = importlib.util.spec_from_file_location("ffkernels_setup", ROOT / "setup.py")
        specification.loader.exec_module(importlib.util.module_from_spec(specification))
        command = setuptools.Distribution(given).get_command_obj("build_ext")
        command.ensure_finalized()

        def build_extensions():
            command.compiler.compiler_type = kind or command.compiler.compiler_type
            command.configure()

        monkeypatch.setattr(command, "build_extensions", build_extensions)
        command.run()
        return command

    return configure


def flags_of(command):
    return {e.name.rpartition(".")[2]: e.extra_compile_args for e in command.extensions}


@needs_gcc
@pytest.mark.parametrize("wrapper", ["", "env "])
def test_flags_are_found_behind_a_wrapper(configured, wrapper):
    flags = flags_of(configured(wrapper + GCC))
    for isa in flags.keys() - {"cpu"}:
        assert "-fopenmp-simd" in flags[isa]
        assert "-fno-loop-unroll-and-jam" in flags[isa]


@needs_gcc
@needs_x86_64
def test_instruction_sets_of_this_machine(configured):
    flags = flags_of(configured(GCC))
    assert [*flags] == ["cpu", "baseline", "avx2", "avx512"]
    assert "-mavx512f" in flags["avx512"] and "-mavx512f" not in flags["avx2"] + flags["baseline"]


@needs_gcc
def test_instruction_sets_are_the_target_s(configured, tmp_path):
    """A compiler on this machine for another, or for several at once."""
    flags = flags_of(configured(script(tmp_path, f'exec {GCC} -U__x86_64__ "$@"')))
    assert [*flags] == ["cpu", "baseline"]


@needs_gcc
def test_no_openmp_is_linked(configured):
    """A second copy of its library beside PyTorch's or scikit-learn's is a known trouble."""
    for extension in configured(GCC).extensions:
        assert ("-fopenmp-simd" in extension.extra_compile_args) == (not extension.name.endswith("cpu"))
        assert "-fopenmp" not in extension.extra_compile_args + extension.extra_link_args
    for extension in configured(GCC, "msvc").extensions:
        assert extension.name.endswith("cpu") or "/NODEFAULTLIB:vcomp" in extension.extra_link_args


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no list of what is loaded")
def test_no_openmp_is_loaded():
    program = (
        "import ffkernels as ff, numpy as np\n"
        "for isa in ff.show_config('dicts')['isa_supported']:\n"
        "    ff.set_isa(isa)\n"
        "    ff.softmax(np.ones((1000, 1000)))\n"
        "print(open('/proc/self/maps').read())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not re.findall(r"/lib(?:gomp|omp|iomp)\S*", run.stdout)


@needs_gcc
def test_flags_of_gcc_are_for_gcc(configured, tmp_path):
    flags = flags_of(configured(script(tmp_path, f'exec {GCC} -D__clang__ "$@"')))
    assert "-fno-loop-unroll-and-jam" not in flags["baseline"] and "-fno-math-errno" in flags["baseline"]


@needs_gcc
def test_flags_of_msvc_are_for_msvc(configured):
    """Told by the compiler: on Windows there are others."""
    for kind in ("unix", "mingw32", "msvc"):
        flags = flags_of(configured(GCC, kind))
        assert ("/O2" in flags["baseline"]) == (kind == "msvc") != ("-O3" in flags["baseline"])


def build(folder, cxx, required="0"):
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", folder / "lib"]
    return subprocess.run(
        [*command, "--build-temp", folder / "temp"],
        env=os.environ | {"CXX": cxx, "FFKERNELS_REQUIRE_COMPILED": required},
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_nothing_is_built_without_omp_simd(tmp_path):
    """Nor kernels that compute one element after the other; an error where kernels are required."""
    if os.name != "posix":
        pytest.skip("a compiler of a few lines of shell")
    none = f'for a; do case "$a" in -fopenmp*) exit 1;; esac; done; exec {GCC or "false"} "$@"'
    for cxx in ("false", "no-such-compiler", script(tmp_path, none)):
        run = build(tmp_path, cxx)
        assert run.returncode == 0 and "`omp simd`" in run.stdout + run.stderr
        assert not [*tmp_path.glob("lib/**/*.so")]
        run = build(tmp_path, cxx, required="1")
        assert run.returncode != 0 and "`omp simd`" in run.stdout + run.stderr


def test_a_wheel_without_kernels_is_for_every_platform(tmp_path):
    commands = [
        *("egg_info", "--egg-base", tmp_path, "build", "--build-base", tmp_path),
        *("bdist_wheel", "--bdist-dir", tmp_path / "wheel", "--dist-dir", tmp_path),
    ]
    subprocess.run(
        [sys.executable, "setup.py", "-q", *commands],
        env=os.environ | {"FFKERNELS_PURE": "1", "FFKERNELS_REQUIRE_COMPILED": "1", "CXX": "false"},
        cwd=ROOT, capture_output=True, check=True, timeout=600,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    program = "import ffkernels as ff; print(ff.__file__, ff.get_backend(), ff.relu([-1.0, 2.0]))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(wheel)},  # Python imports from it as it is
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.split(maxsplit=1)[1] == "numpy [0. 2.]\n" and str(wheel) in run.stdout


def compiles(folder, compiler, header, *flags):
    """Tries to compile a header beside declarations of Python's; returns what the compiler says."""
    (folder / "Python.h").write_text(
        "#include <stdlib.h>\n"
        "typedef void *PyThread_type_lock;\n"
        "#define WAIT_LOCK 1\n"
        "#define PYTHREAD_INVALID_THREAD_ID ((unsigned long)-1)\n"
        "unsigned long PyThread_start_new_thread(void (*)(void *), void *);\n"
        "PyThread_type_lock PyThread_allocate_lock(void);\n"
        "int PyThread_acquire_lock(PyThread_type_lock, int);\n"
        "void PyThread_release_lock(PyThread_type_lock);\n"
    )
    source = folder / "header.cpp"
    source.write_text(f'#include "{header}"\nint main() {{ return 0; }}\n')
    strict = ("-std=gnu++17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function")
    places = (f"-I{folder}", f"-I{SOURCES}")
    run = subprocess.run(
        [compiler, *strict, *places, *flags, "-fsyntax-only", source], capture_output=True, text=True
    )
    return run.stderr


@needs_gcc
@needs_x86_64
def test_arithmetic_wider_than_its_type_is_refused(tmp_path):
    assert compiles(tmp_path, GCC, "simd.h") == ""
    assert "FLT_EVAL_METHOD" in compiles(tmp_path, GCC, "simd.h", "-mfpmath=387")


@needs_gcc
@needs_x86_64
def test_every_fast_fused_multiply_add_is_used(tmp_path):
    """On processors that have a macro of their own for it, and where only C's macros tell."""
    def has_fma(*flags):
        command = [GCC, "-std=gnu++17", "-x", "c++", "-dM", "-E", SOURCES / "simd.h", *flags]
        macros = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return "#define FF_HAS_FMA 1\n" in macros

    assert has_fma("-mfma") and not has_fma()
    fast = ("-D__FP_FAST_FMA=1", "-D__FP_FAST_FMAF=1")
    assert has_fma(*fast) and not has_fma(fast[0]) and not has_fma(fast[1])


@pytest.mark.parametrize(
    "compiler", ["g++", "clang++", "clang++-14", "clang++-19", "x86_64-w64-mingw32-g++-posix"]
)
@pytest.mark.parametrize("header", ["threads.h", "rows.h", "elementwise.h"])
def test_headers_compile_alone_with_every_compiler(tmp_path, compiler, header):
    """Without a warning, which a later compiler may take for an error."""
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    assert compiles(tmp_path, compiler, header, "-fopenmp-simd") == ""


def signatures(text, type_name):
    """Names of primitives with their parameters, as one who reads either language sees them."""
    text = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    text = text.replace("computed<T>", type_name).replace("Storage ", "storage ")
    name = r"((?:row|lanes)_\w+|(?:load|store)_tile)"
    pattern = rf"(?:inline )?(?:void|double|{type_name}) {name}(?:\[T\])?\(([^)]*)\)"
    found = {}
    for name, parameters in re.findall(pattern, text):
        parameters = re.sub(r"__restrict ?", "", parameters)
        # A number of the array's type is a double to Cython, which converts it.
        parameters = re.sub(rf"\b{type_name} (?=\w)", "double ", parameters)
        found[name] = re.sub(rf"\b{type_name}\b", "T", parameters)
    return found


HEADERS_OF_PRIMITIVES = ("rows.h", "storage.h", "logarithm.h", "logistic_loss.h")


def test_primitives_are_declared_as_they_are_defined():
    """The compiler sees that types agree where one is called: names, order and leftovers are left."""
    headers = "".join((SOURCES / name).read_text() for name in HEADERS_OF_PRIMITIVES)
    defined = signatures(headers, "real")
    declared = signatures((SOURCES / "primitives.pxi").read_text(), "T")
    assert len(declared) > 30
    private = {"row_count"}
    assert declared == {name: given for name, given in defined.items() if name not in private}
