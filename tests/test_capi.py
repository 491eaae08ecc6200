"""The C functions: every one through the capsule, then from a compiled package of its own."""

import ctypes
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import _capi
from ffkernels import backend as control
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

FOLDER = Path(ff.__file__).parent
HEADER = Path(ff.get_include(), "ffkernels.h").read_text()
NAME = b"ffkernels_api"
BY_NAME = {operation.name: operation for operation in OPERATIONS}
SIZES = [(1, 1), (1, 10), (3, 10), (4, 10), (16, 2), (37, 10), (37, 32), (37, 33), (2, 5000)]
TYPES = {"f32": np.float32, "f64": np.float64}
TOLERANCE = {"f32": 3e-6, "f64": 5e-15}

needs_kernels = pytest.mark.skipif(control._compiled is None, reason="no compiled kernels")


def members(text):
    """Name, result and arguments of each function a header or a .pxd declares."""
    found = re.findall(r"(void|ptrdiff_t) \(\*(\w+)\)\(([^)]*)\)", text)
    return [(name, result, " ".join(arguments.split())) for result, name, arguments in found]


def c_type(argument):
    if "*" in argument:
        return ctypes.c_void_p
    return ctypes.c_double if argument.startswith("double") else ctypes.c_ssize_t


class Table(ctypes.Structure):
    _fields_ = (
        ("abi_version", ctypes.c_int),
        ("api_version", ctypes.c_int),
        ("isa", ctypes.c_char_p),
        *(
            (
                name,
                ctypes.CFUNCTYPE(
                    None if result == "void" else ctypes.c_ssize_t, *map(c_type, arguments.split(", "))
                ),
            )
            for name, result, arguments in members(HEADER)
        ),
    )


def read(capsule):
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return Table.from_address(get(capsule, NAME))


def capsule_of(table):
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.addressof(table), NAME, None)


@pytest.fixture(params=control._compiled.supported() if control._compiled else [])
def table(request):
    return read(control._compiled.load(request.param).c_functions)


class Room:
    """Memory for an output between two guards."""

    def __init__(self, shape, dtype):
        self.whole = np.full(int(np.prod(shape)) + 64, -7.5, dtype)
        self.array = self.whole[32:-32].reshape(shape)

    def is_intact(self):
        return (self.whole[:32] == -7.5).all() and (self.whole[-32:] == -7.5).all()


def address(array):
    return None if array is None else array.ctypes.data


def check(got, want, kind):
    scale = max(1.0, float(np.max(np.abs(want), initial=0)))
    np.testing.assert_allclose(got, want, rtol=TOLERANCE[kind], atol=TOLERANCE[kind] * scale)


def test_header_and_pxd_declare_the_same():
    assert members(HEADER) == members((FOLDER / "__init__.pxd").read_text())


def test_members_and_version():
    """Packages built before rely on it: more members come with a new API version, at the end."""
    version = int(re.search(r"FFKERNELS_API_VERSION (\d+)", HEADER)[1])
    assert len(members(HEADER)) == {1: 30}[version]


@needs_kernels
def test_table_is_complete(table):
    assert table.isa.decode() in control._compiled.supported()
    assert all(getattr(table, name) for name, _, _ in members(HEADER))
    assert {name[:-4] for name, _, _ in members(HEADER)} <= set(BY_NAME)


@needs_kernels
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "name", sorted({n[:-4] for n, _, _ in members(HEADER)} - {"softmax_cross_entropy"})
)
def test_values(table, name, kind):
    operation = BY_NAME[name]
    function = getattr(table, f"{name}_{kind}")
    rng = np.random.default_rng(0)
    for shape in SIZES:
        arrays = operation.draw(rng, shape, TYPES[kind])
        want = operation.textbook(*(a.astype(np.float64) for a in arrays))
        if operation.kind == "update":
            rooms = [Room(shape, TYPES[kind]) for _ in arrays]
            for room, array in zip(rooms, arrays, strict=True):
                room.array[...] = array
            call = inspect.signature(getattr(ff, name)).bind(
                *(address(room.array) for room in rooms), *UPDATE_NUMBERS[name]
            )
            call.apply_defaults()
            function(int(np.prod(shape)), *call.arguments.values())
            np.testing.assert_array_equal(rooms[1].array, arrays[1])
            del rooms[1]
        else:
            rooms = [Room(want.shape, TYPES[kind])]
            sizes = shape if operation.kind == "rows" else (int(np.prod(shape)),)
            function(*sizes, *map(address, arrays), address(rooms[0].array))
            want = (want,)
        for room, value in zip(rooms, want, strict=True):
            check(room.array, value, kind)
            assert room.is_intact()


@needs_kernels
@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("sgd_update", (0.1, 0.2)),
        ("momentum_update", (0.1, 0.7, 0.2)),
        ("adam_update", (4, 0.1, 0.8, 0.95, 0.01, 0.2)),
    ],
)
def test_updates_take_their_numbers_in_order(table, name, numbers):
    arrays = BY_NAME[name].draw(np.random.default_rng(3), (33,), np.float64)
    with ff.use_backend("numpy"):
        want = [array.copy() for array in arrays]
        getattr(ff, name)(*want, *numbers)
    getattr(table, f"{name}_f64")(33, *map(address, arrays), *numbers)
    for array, value in zip(arrays, want, strict=True):
        np.testing.assert_allclose(array, value, rtol=1e-14)


def reference(x, t, weight):
    """Loss and gradient before any factor, in long double."""
    x = x.astype(np.longdouble)
    e = np.exp(x - x.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    w = np.ones(x.shape[1]) if weight is None else weight.astype(np.longdouble)
    rows = np.arange(len(t))
    return -(w[t] * np.log(p[rows, t])).sum(), w[t][:, None] * (p - np.eye(x.shape[1])[t])


@needs_kernels
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_cross_entropy(table, kind, weighted):
    function = getattr(table, f"softmax_cross_entropy_{kind}")
    rng = np.random.default_rng(1)
    for rows, n in SIZES:
        x = (3 * rng.normal(size=(rows, n))).astype(TYPES[kind])
        t = rng.integers(0, n, rows, dtype=np.intp)
        weight = rng.uniform(0.5, 2, n).astype(TYPES[kind]) if weighted else None
        want, slope = reference(x, t, weight)
        room, loss, alone = Room(x.shape, x.dtype), ctypes.c_double(), ctypes.c_double()
        inputs = rows, n, address(x), address(t), address(weight), 0.25
        assert function(*inputs, ctypes.addressof(loss), address(room.array)) == -1
        check(loss.value, float(want), kind)
        check(room.array, 0.25 * slope.astype(np.float64), kind)
        assert room.is_intact()
        assert function(*inputs, ctypes.addressof(alone), None) == -1
        check(alone.value, float(want), kind)
        assert function(*inputs, ctypes.addressof(loss), address(x)) == -1
        np.testing.assert_array_equal(x, room.array)


@needs_kernels
@pytest.mark.parametrize("n", [1, 10, 100])
@pytest.mark.parametrize("wrong", [-1, "n", np.iinfo(np.intp).min, np.iinfo(np.intp).max])
def test_a_bad_target_is_told_and_nothing_written(table, n, wrong):
    x, t = np.ones((20, n), np.float32), np.zeros(20, np.intp)
    t[[13, 17]] = n if wrong == "n" else wrong
    grad, loss = np.full_like(x, 7), ctypes.c_double(7)
    inputs = 20, n, address(x), address(t), None, 1.0
    assert table.softmax_cross_entropy_f32(*inputs, ctypes.addressof(loss), address(grad)) == 13
    assert loss.value == 7 and (grad == 7).all()


@needs_kernels
def test_nothing_to_do(table):
    t, loss = np.zeros(2, np.intp), ctypes.c_double(7)
    end = (None, 1.0, ctypes.addressof(loss), None)
    assert table.softmax_cross_entropy_f64(2, 0, None, address(t), *end) == 0
    assert table.softmax_cross_entropy_f64(2, -3, None, address(t), *end) == 0
    assert loss.value == 7
    assert table.softmax_cross_entropy_f64(0, 3, None, None, *end) == -1
    assert loss.value == 0
    for rows, n in [(0, 0), (0, 3), (3, 0), (-1, 3), (3, -1)]:
        table.softmax_f32(rows, n, None, None)
    table.relu_f32(0, None, None)
    table.tanh_f64(-1, None, None)


@needs_kernels
def test_the_capsule_follows_the_active_instruction_set():
    before = ff.get_isa()
    for isa in control._compiled.supported():
        ff.set_isa(isa)
        assert read(_capi.capsule()).isa.decode() == isa
    ff.set_isa(before)


def without_kernels(program, *path):
    """What a process says in which no kernels were built."""
    program = f"import sys; sys.modules['ffkernels._compiled.cpu'] = None\n{program}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (FOLDER.parent, *path)))}
    environment.pop("FFKERNELS_BACKEND", None)
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode
    return run.stderr


def test_no_kernels_no_capsule():
    said = without_kernels("import ffkernels\nffkernels.get_include()\nffkernels._capi.capsule()")
    assert "ImportError: the C functions of ffkernels are not available: no compiled kernels" in said


# ---- a package that calls them -------------------------------------------------------------------


@pytest.fixture(scope="module")
def build():
    """Builds the package of a folder, as its authors would."""
    if control._compiled is None:
        pytest.skip("no compiled kernels")
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    if sys.platform != "win32":
        for variable in ("CC", "CXX"):
            compiler = os.environ.get(variable) or sysconfig.get_config_var(variable) or "cc"
            if shutil.which(compiler.split()[0]) is None:
                pytest.skip(f"no {compiler}")

    def in_folder(folder):
        run = python(folder, "setup.py", "build_ext", "--inplace")
        assert run.returncode == 0, run.stdout + run.stderr
        return folder

    return in_folder


def python(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def built(build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "capi_package"
    shutil.copytree(Path(__file__).parent / "capi_package", folder)
    return build(folder)


@pytest.fixture
def package(built, monkeypatch):
    """Its modules."""
    monkeypatch.syspath_prepend(built)
    yield {name: importlib.import_module(name) for name in ("from_cython", "from_c", "from_cpp")}


def batches(dtype, count=5, rows=64, n=10):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(count, rows, n)).astype(dtype)
    return x, rng.integers(0, n, (count, rows), dtype=np.intp), np.empty_like(x), np.empty(count)


@pytest.mark.parametrize("kind", TYPES)
def test_from_cython(package, kind):
    x, t, grads, means = batches(TYPES[kind])
    package["from_cython"].losses(x, t, grads, means)
    for logits, targets, grad, mean in zip(x, t, grads, means, strict=True):
        loss, slope = reference(logits, targets, None)
        check(mean, float(loss / 64), kind)
        check(grad, (slope / 64).astype(np.float64), kind)
    t[3, 41] = 10
    with pytest.raises(IndexError, match="batch 3, row 41: class 10 of 10"):
        package["from_cython"].losses(x, t, grads, means)


@pytest.mark.parametrize(("k", "source"), [(0, "train.pyx"), (1, "softmax.c")])
def test_examples_of_the_guide(build, tmp_path, k, source):
    guide = (Path(__file__).parents[1] / "docs" / "c-api.md").read_text()
    files = (source, "setup.py", "call.py")
    blocks = re.findall(r"```(?:cython|c|python)\n(.*?)```", guide, re.DOTALL)
    for name, block in zip(files, blocks[3 * k : 3 * k + 3], strict=True):
        (tmp_path / name).write_text(block)
    build(tmp_path)
    run = python(tmp_path, "call.py")
    assert run.returncode == 0, run.stderr
    said = blocks[3 * k + 2].rpartition("  # ")[2].strip()
    assert f"{said},".startswith(f"{run.stdout.strip()},")


@pytest.mark.parametrize("language", ["from_c", "from_cpp"])
def test_from_c(package, language):
    x = batches(np.float32)[0]
    e = np.exp(x.astype(np.float64))
    package[language].softmax(x, 10)
    check(x, e / e.sum(-1, keepdims=True), "f32")


def test_functions_taken_outlive_the_choice(package):
    module = package["from_cython"]
    before, isas = ff.get_isa(), control._compiled.supported()
    for isa in isas:
        ff.set_isa(isa)
        module.take()
        ff.set_isa(isas[-1])
        with ff.use_backend("numpy"):
            assert module.isa() == isa
            test_from_cython(package, "f32")
    ff.set_isa(before)
    module.take()


def test_from_many_threads(package):
    x, t, grads, means = batches(np.float32, count=64)

    def work(part):
        for _ in range(50):
            package["from_cython"].losses(x[part], t[part], grads[part], means[part])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [slice(i, i + 8) for i in range(0, 64, 8)]))
    again, alone = np.empty_like(grads), np.empty(64)
    package["from_cython"].losses(x, t, again, alone)
    np.testing.assert_array_equal(grads, again)
    np.testing.assert_array_equal(means, alone)


@pytest.mark.parametrize(
    ("abi", "api", "accepted"),
    [(0, 0, True), (0, 1, True), (0, -1, False), (1, 0, False), (-1, 5, False)],
)
def test_versions(package, monkeypatch, abi, api, accepted):
    """Steps from the version that the package was built with."""
    copy = Table.from_buffer_copy(read(_capi.capsule()))
    copy.abi_version += abi
    copy.api_version += api
    monkeypatch.setattr(_capi, "capsule", lambda: capsule_of(copy))
    if accepted:
        package["from_cython"].take()
    else:
        with pytest.raises(ImportError, match=f"expected C interface .* got {1 + abi}.{1 + api}$"):
            package["from_cython"].take()
    monkeypatch.undo()
    importlib.import_module("from_cython").take()


def test_a_package_without_kernels(built):
    for name in ("from_cython", "from_c"):
        said = without_kernels(f"import {name}", built)
        assert "ImportError: the C functions of ffkernels are not available: no compiled" in said
