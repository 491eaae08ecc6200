"""Arrays of other libraries: read where they are, answered with NumPy arrays, refused with reasons."""

import array
import ctypes

import numpy as np
import pytest

import ffkernels as ff
from ffkernels import _arguments
from ffkernels.inputs import InputLayer


class Holder:
    """Of the protocols by which an array is handed on, those that its subclass names."""

    def __init__(self, held):
        self.held = held


class Array(Holder):
    def __array__(self, dtype=None, copy=None):
        return self.held


class Interface(Holder):
    @property
    def __array_interface__(self):
        return self.held.__array_interface__


class DLPack(Holder):
    def __dlpack__(self, **options):
        return self.held.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.held.__dlpack_device__()


class OnGPU(DLPack):
    """Its memory is here, but it says otherwise: whoever reads it has not asked."""

    device = "cuda:0"

    def __dlpack_device__(self):
        return (2, 0)


class AlsoArrayOnGPU(OnGPU, Array):
    pass


def from_ctypes(x):
    kind = ctypes.c_float if x.dtype == np.float32 else ctypes.c_double
    return (kind * x.shape[1] * x.shape[0]).from_buffer(x)


def from_array_module(x):
    return array.array(x.dtype.char, x.tobytes())


def from_torch(x):
    return pytest.importorskip("torch").from_numpy(x)


def from_jax(x):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        return jax.numpy.asarray(x)


def from_pandas(x):
    return pytest.importorskip("pandas").DataFrame(x, copy=False)


def from_arrow(x):
    return pytest.importorskip("pyarrow").array(x.ravel())


# What makes each from a matrix, and where its memory is once made.
EXPORTERS = {
    "__array__": (Array, None),
    "__array_interface__": (Interface, None),
    "DLPack": (DLPack, None),
    "memoryview": (memoryview, None),
    "ctypes": (from_ctypes, None),
    "array": (from_array_module, lambda a: a.buffer_info()[0]),
    "torch": (from_torch, lambda a: a.data_ptr()),
    "torch detached": (lambda x: from_torch(x).requires_grad_().detach(), lambda a: a.data_ptr()),
    "torch in DLPack": (lambda x: DLPack(from_torch(x)), None),
    "jax": (from_jax, lambda a: a.unsafe_buffer_pointer()),
    "pandas frame": (from_pandas, None),
    "pandas column": (lambda x: from_pandas(x)[1], lambda a: a.values.ctypes.data),
    "arrow": (from_arrow, lambda a: a.buffers()[1].address),
    "arrow chunked": (
        lambda x: pytest.importorskip("pyarrow").chunked_array([from_arrow(x)]),
        lambda a: a.chunk(0).buffers()[1].address,
    ),
    "arrow tensor": (lambda x: pytest.importorskip("pyarrow").Tensor.from_numpy(x), None),
}


def matrix(dtype, shape=(6, 5)):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXPORTERS)
def test_read_in_place(name, dtype):
    make, where = EXPORTERS[name]
    x = matrix(dtype)
    value = make(x)
    got = _arguments.real_array(value, "x")
    assert type(got) is np.ndarray and got.dtype == dtype
    assert got.ctypes.data == (where(value) if where else x.ctypes.data)
    if name == "pandas column":
        np.testing.assert_array_equal(got, x[:, 1])
    else:
        np.testing.assert_array_equal(got.ravel(), x.ravel())


@pytest.mark.parametrize("name", EXPORTERS)
def test_answered_with_numpy(backend, name):
    make, _ = EXPORTERS[name]
    x = matrix(np.float32)
    value = make(x)
    plain = np.array(_arguments.real_array(value, "x"))
    for function in (ff.relu, ff.softmax, ff.logsumexp):
        got = function(value)
        assert isinstance(got, (np.ndarray, np.float32)) and got.dtype == np.float32
        np.testing.assert_array_equal(got, function(plain))
    np.testing.assert_array_equal(ff.tanh_backward(value, value), ff.tanh_backward(plain, plain))
    np.testing.assert_array_equal(x, matrix(np.float32))


def test_layouts_are_kept():
    torch, pd = pytest.importorskip("torch"), pytest.importorskip("pandas")
    x = matrix(np.float64, (6, 8))
    for value, want in [
        (torch.from_numpy(x).T, x.T),
        (torch.from_numpy(x)[::2, 1::3], x[::2, 1::3]),
        (DLPack(x[::2, ::-1].T), x[::2, ::-1].T),
        (memoryview(x)[::-2], x[::-2]),
        (pd.DataFrame(x, copy=False).iloc[::2], x[::2]),
    ]:
        got = _arguments.real_array(value, "x")
        assert got.strides == want.strides and got.ctypes.data == want.ctypes.data
        np.testing.assert_array_equal(ff.softmax(value), ff.softmax(want))


TARGETS = {
    "memoryview": memoryview,
    "DLPack": DLPack,
    "torch": from_torch,
    "pandas": lambda t: pytest.importorskip("pandas").Series(t, copy=False),
    "pandas Int64": lambda t: pytest.importorskip("pandas").Series(t, copy=False).astype("Int64"),
    "arrow": from_arrow,
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets(backend, name):
    x, t = matrix(np.float32), np.array([0, 4, 2, 1, 3, 0])
    value = TARGETS[name](t)
    call = _arguments.check_class_loss("logits", x, value, -1, None, None, 0.0, "mean")
    if name != "pandas Int64":
        assert np.shares_memory(call.indices, np.asarray(_arguments.any_array(value, "targets")))
    loss, grad = ff.softmax_cross_entropy_with_grad(x, value)
    want = ff.softmax_cross_entropy_with_grad(x, t)
    assert loss == want[0]
    np.testing.assert_array_equal(grad, want[1])


@pytest.mark.parametrize("make", [Array, DLPack, memoryview, from_torch])
def test_an_output_in_the_memory_of_an_input(backend, make):
    x = matrix(np.float32, (7, 5))
    want = ff.softmax(x[1:])
    with pytest.raises(ValueError, match="out: expected memory apart from x"):
        ff.softmax(make(x[1:]), out=x[:-1])
    logits, t = np.ones((7, 5), np.float32), np.zeros(7, int)
    with pytest.raises(ValueError, match="out: expected memory apart from weight"):
        ff.softmax_cross_entropy_with_grad(logits, t, weight=make(logits[6]), out=logits)
    np.testing.assert_array_equal(x, matrix(np.float32, (7, 5)))
    assert ff.softmax(make(x[1:]), out=x[1:]) is not None
    np.testing.assert_array_equal(x[1:], want)


R = np.ones((3, 4), np.float32)
T = np.zeros(3, int)
MASKED = np.ma.masked_array(R, R > 0)
CALLS = {
    "x": lambda value: ff.relu(value),
    "y": lambda value: ff.relu_backward(R, value),
    "b": lambda value: ff.bias_relu(R, value),
    "logits": lambda value: ff.softmax_cross_entropy(value, T),
    "targets": lambda value: ff.softmax_cross_entropy(R, value),
    "weight": lambda value: ff.softmax_cross_entropy(R, T, weight=value),
    "p": lambda value: ff.cross_entropy(value, T),
    "dloss": lambda value: ff.softmax_cross_entropy_backward(R, T, value, reduction="none"),
    "grad": lambda value: ff.sgd_update(R.copy(), value, 0.1),
    "param": lambda value: ff.sgd_update(value, R, 0.1),
    "out": lambda value: ff.relu(R, out=value),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "make", [lambda: MASKED, lambda: np.ma.masked_array(R), lambda: np.ma.masked, lambda: np.matrix(R)]
)
def test_masks_and_matrices_are_refused(backend, name, make):
    with pytest.raises(TypeError, match=rf"^{name}: expected .*, got (Masked|matrix)"):
        CALLS[name](make())


@pytest.mark.parametrize("name", set(CALLS) - {"param", "out"})
@pytest.mark.parametrize("kind", [OnGPU, AlsoArrayOnGPU])
def test_other_devices_are_refused(backend, name, kind):
    with pytest.raises(TypeError, match=f"^{name}: expected an array in main memory, got one on cuda:0"):
        CALLS[name](kind(R))


@pytest.mark.parametrize("name", set(CALLS) - {"param", "out"})
def test_a_gradient_is_not_cut_off_in_silence(backend, name):
    value = from_torch(R[0] if name == "b" else R).requires_grad_()
    words = "expected an array without a gradient to follow, got a Tensor with requires_grad=True"
    with pytest.raises(TypeError, match=rf"^{name}: {words}.*ffkernels.adapters.torch.*{name}.detach"):
        CALLS[name](value)


def test_a_device_without_a_name():
    class Nameless(DLPack):
        def __dlpack_device__(self):
            return (10, 1)

    with pytest.raises(TypeError, match=r"x: expected an array in main memory, got one on \(10, 1\)"):
        ff.relu(Nameless(R))


def objects_of_pandas():
    pd = pytest.importorskip("pandas")
    return pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, pd.NA]}, dtype=object)


def sparse_of_scipy():
    return pytest.importorskip("scipy.sparse").eye_array(3).tocsr()


def of_torch(**options):
    return pytest.importorskip("torch").ones(3, **options)


class Unreadable(DLPack):
    def __dlpack__(self, **options):
        raise BufferError("not for export")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (objects_of_pandas, r"got dtype object \(NAType, float\)"),
        (sparse_of_scipy, r"got dtype object \(csr_array\)"),
        (lambda: np.array([1.0, None]), r"got dtype object \(NoneType, float\)"),
        (object, r"got dtype object \(object\)"),
        (lambda: b"1234", r"got dtype \|S4"),
        (lambda: of_torch(dtype=pytest.importorskip("torch").bfloat16), "got Tensor: .*BFloat16"),
        (lambda: of_torch(device="meta"), "got Tensor: .*meta"),
        (lambda: of_torch().to_sparse(), "got Tensor: .*Sparse"),
        (lambda: Unreadable(R), "got Unreadable: not for export"),
        (lambda: [[1.0], [1.0, 2.0]], "expected rows of one length, got a ragged list"),
    ],
)
def test_what_is_no_real_array(backend, make, words):
    with pytest.raises((TypeError, ValueError), match=f"^x: .*{words}"):
        ff.softmax(make())


def test_missing_targets_are_refused(backend):
    pd = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match="targets: expected integers as class indices"):
        ff.softmax_cross_entropy(R, pd.Series([0, 1, None], dtype="Int64"))


def test_traced_values_of_jax_are_refused():
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match=r"^x: expected an array that NumPy can read, got"):
        jax.jit(ff.softmax)(R)


def test_the_input_layer_refuses_masks():
    for value in (MASKED, [MASKED, R]):
        with pytest.raises(TypeError, match="expected a plain array, got MaskedArray"):
            InputLayer().fit(value)
    with pytest.raises(TypeError, match="y: expected a plain array, got MaskedArray"):
        InputLayer().fit(R).transform(R, np.ma.masked_array(T))
