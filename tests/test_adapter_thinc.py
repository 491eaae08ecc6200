"""FFKernelsOps against formulas in float64, against thinc's own operations, and in training."""

import math
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("thinc")

from thinc.api import (
    SGD,
    CategoricalCrossentropy,
    Gelu,
    Maxout,
    Mish,
    NumpyOps,
    Relu,
    Sigmoid,
    Softmax,
    Swish,
    chain,
    fix_random_seed,
    get_ops,
    use_ops,
)

from ffkernels.adapters import thinc as adapter
from ffkernels.adapters.thinc import FFKernelsOps

pytestmark = pytest.mark.usefixtures("backend")

OURS, THEIRS = FFKernelsOps(), NumpyOps()
DTYPES = [np.float32, np.float64]

erf = np.vectorize(math.erf, otypes=[float])


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -20, 20)))


FORWARD = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": sigmoid,
    "swish": lambda x: x * sigmoid(x),
    "gelu": lambda x: x / 2 * (1 + erf(x / math.sqrt(2))),
    "gelu_approx": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
}


def numbers(dtype, shape=(37, 29), scale=4, seed=0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def slope(f, x, step=1e-5):
    """Central differences; the step of relu and of the clipped sigmoid is met by no number tried."""
    return (f(x + step) - f(x - step)) / (2 * step)


def backward_arguments(name, dy, x):
    """What thinc's backprop of this name takes after dy."""
    with np.errstate(invalid="ignore"):  # logaddexp warns of a NaN
        y = FORWARD[name](x.astype(np.float64)).astype(x.dtype)
    return {"relu": (y,), "sigmoid": (y,), "swish": (x, y)}.get(name, (x,))


def assert_near(got, wanted, dtype, beyond=0.0, ulps=16):
    assert got.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got, wanted, rtol=ulps * eps, atol=ulps * eps + beyond)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORWARD)
def test_activation_is_its_formula(name, dtype):
    x = numbers(dtype)
    before = x.copy()
    wanted = FORWARD[name](x.astype(np.float64))
    y = getattr(OURS, name)(x)
    assert_near(y, wanted, dtype)
    np.testing.assert_array_equal(x, before)
    assert getattr(OURS, name)(x, inplace=True) is x
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORWARD)
def test_backprop_is_the_slope(name, dtype):
    x, dy = numbers(dtype), numbers(dtype, scale=1, seed=1)
    arguments = backward_arguments(name, dy, x)
    kept = [a.copy() for a in (dy, *arguments)]
    wanted = dy * slope(FORWARD[name], x.astype(np.float64))
    backprop = getattr(OURS, f"backprop_{name}")
    dx = backprop(dy, *arguments)
    # 1 - y in the output's own precision is all that the sigmoid's backward pass has.
    assert_near(dx, wanted, dtype, 1e-8, ulps=32)
    for a, b in zip((dy, *arguments), kept, strict=True):
        np.testing.assert_array_equal(a, b)
    # thinc's sigmoid overwrites the output, every other function the gradient.
    overwritten = arguments[0] if name == "sigmoid" else dy
    assert backprop(dy, *arguments, inplace=True) is overwritten
    np.testing.assert_array_equal(overwritten, dx)


@pytest.mark.parametrize("name", FORWARD)
def test_no_function_is_further_from_its_formula_than_theirs(name):
    x = np.linspace(-12, 12, 100_001)
    wanted = FORWARD[name](x)
    ours = abs(getattr(OURS, name)(x) - wanted).max()
    theirs = abs(getattr(THEIRS, name)(x) - wanted).max()
    assert ours <= theirs + 4 * np.finfo(float).eps * 12


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORWARD)
def test_values_and_types_are_theirs(name, dtype):
    """To within their rounding: thinc's gelu rests on an error function that is off by 7e-8."""
    x, dy = numbers(dtype), numbers(dtype, scale=1, seed=1)
    beyond = 3e-7 if "gelu" in name else 1e-8
    pairs = [(name, (x,)), (f"backprop_{name}", (dy, *backward_arguments(name, dy, x)))]
    for function, arguments in pairs:
        wanted = getattr(THEIRS, function)(*(a.copy() for a in arguments))
        got = getattr(OURS, function)(*arguments)
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6 if dtype == np.float32 else beyond)
        assert got.dtype == wanted.dtype or function == "backprop_gelu_approx"


def test_swish_is_not_clipped():
    """thinc's is x times a sigmoid that is never below 2e-9."""
    x = np.array([-1000.0, -30.0, -21.0])
    np.testing.assert_allclose(OURS.swish(x), x * np.exp(x) / (1 + np.exp(x)), rtol=1e-14)
    assert THEIRS.swish(x)[0] < -1e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inplace", [False, True])
def test_sigmoid_stays_within_the_limits_of_thinc(dtype, inplace):
    x = np.array([-np.inf, -1000, -20.5, 20.5, 1000, np.inf], dtype)
    wanted = [1 / (1 + math.exp(20))] * 3 + [1 / (1 + math.exp(-20))] * 3
    y = OURS.sigmoid(x, inplace=inplace)
    np.testing.assert_allclose(y, wanted, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("threshold", [-1.0, 0.5, 5.0, 20.0, 200.0])
def test_mish_is_the_identity_from_its_threshold_on(threshold):
    x, dy = numbers(np.float32, scale=20), numbers(np.float32, seed=1)
    y, dx = OURS.mish(x, threshold), OURS.backprop_mish(dy, x, threshold)
    above = x >= threshold
    np.testing.assert_array_equal(y[above], x[above])
    np.testing.assert_array_equal(dx[above], dy[above])
    np.testing.assert_allclose(y, THEIRS.mish(x, threshold), rtol=1e-5, atol=1e-6)
    # Near its root the slope is a difference of larger numbers.
    wanted = THEIRS.backprop_mish(dy.astype(float), x.astype(float), threshold)
    np.testing.assert_allclose(dx, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORWARD)
def test_extreme_inputs_neither_warn_nor_spread(name, dtype):
    x = np.array([-1e4, -700, -89, -21, -1e-30, 0, 1e-30, 21, 89, 700, 1e4], dtype)
    one = np.ones_like(x)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = getattr(OURS, name)(x)
        dx = getattr(OURS, f"backprop_{name}")(one, *backward_arguments(name, one, x))
    wanted = np.where(x < 0, 0, x) if name != "sigmoid" else sigmoid(x.astype(float))
    np.testing.assert_allclose(y, wanted, rtol=1e-6, atol=1e-4)  # -21 and -1e4 times sigmoid(-20)
    assert np.isfinite(dx).all()
    x[3] = np.nan
    y = getattr(OURS, name)(x)
    dx = getattr(OURS, f"backprop_{name}")(one, *backward_arguments(name, one, x))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    np.testing.assert_array_equal(np.isnan(dx), np.isnan(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 3])
def test_softmax(dtype, axis, temperature):
    x, dy = numbers(dtype), numbers(dtype, seed=1)
    before = x.copy()
    e = np.exp(x.astype(float) / temperature)
    wanted = e / e.sum(axis, keepdims=True)
    y = OURS.softmax(x, axis=axis, temperature=temperature)
    assert_near(y, wanted, dtype, ulps=32)
    dx = OURS.backprop_softmax(y, dy, axis=axis, temperature=temperature)
    grad = wanted * (dy - (wanted * dy).sum(axis, keepdims=True)) / temperature
    assert_near(dx, grad, dtype, ulps=64)
    # As in thinc, "in place" is not.
    again = OURS.softmax(x, axis=axis, temperature=temperature, inplace=True)
    np.testing.assert_array_equal(again, y)
    np.testing.assert_array_equal(x, before)


# Short sequences go to thinc's code, long ones to the kernels.
@pytest.mark.parametrize("lengths", [[3, 0, 1, 5], [2500, 0, 1, 1700], [2000], []])
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_sequences(lengths, width, dtype):
    lengths = np.array(lengths, np.int32)
    x = numbers(dtype, (lengths.sum(), width), scale=12)
    dy = numbers(dtype, x.shape, seed=1)
    before = x.copy()
    wanted, grad = np.empty(x.shape), np.empty(x.shape)
    for rows in np.split(np.arange(len(x)), lengths.cumsum()):
        e = np.exp(np.clip(x[rows].astype(float), -20, 20))
        wanted[rows] = e / e.sum(0)
        p, d = wanted[rows], dy[rows]
        grad[rows] = p * (d - (p * d).sum(0))
    y = OURS.softmax_sequences(x, lengths)
    # thinc sums a long sequence one number after another.
    assert_near(y, wanted, dtype, ulps=128)
    assert_near(OURS.backprop_softmax_sequences(dy, y, lengths), grad, dtype, ulps=256)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("rows", [3, 5000])
def test_sequences_that_do_not_fit_are_refused_as_by_thinc(rows):
    x = numbers(np.float32, (rows, 2))
    for lengths in ([rows + 1], [-1, rows + 1], [rows - 1]):
        lengths = np.array(lengths, np.int32)
        with pytest.raises((ValueError, IndexError)):
            OURS.softmax_sequences(x, lengths)
        with pytest.raises((ValueError, IndexError)):
            OURS.backprop_softmax_sequences(x, x, lengths)
    with pytest.raises(NotImplementedError):
        OURS.softmax_sequences(x[None], np.array([rows], np.int32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(3, 5), (100, 64), (0, 64)])
def test_maxout_is_bit_for_bit_theirs(dtype, pieces, shape):
    x = numbers(dtype, (*shape, pieces)).round()  # many ties
    before = x.copy()
    for ours, theirs in zip(OURS.maxout(x), THEIRS.maxout(x), strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.flags.c_contiguous and ours.base is None
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(x, before)


def swish_of(x):
    """The output that thinc's backward pass looks at, and ours does not."""
    return (x / (1 + np.exp(-x))).astype(x.dtype)


def calls():
    """Every function replaced, with arguments of a kind, as name and a function of the kind."""
    for name in FORWARD:
        yield name, lambda make: (make(0),)
        if name == "swish":
            yield "backprop_swish", lambda make: (make(0), make(1), swish_of(make(1)))
        else:
            yield f"backprop_{name}", lambda make: (make(0), make(1))
    yield "softmax", lambda make: (make(0),)
    yield "backprop_softmax", lambda make: (make(0), make(1))


CALLS = dict(calls())
THINC_CHECKS_SHAPES = ["backprop_relu", "backprop_mish"]


def test_every_function_replaced_is_tried_here():
    tried = {*CALLS, "maxout", "softmax_sequences", "backprop_softmax_sequences"}
    assert tried == {name for name in vars(FFKernelsOps) if not name.startswith("_")} - {"name"}


KINDS = {
    "transposed": lambda a: a.T,
    "Fortran order": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "three dimensions": lambda a: a.reshape(2, 2, 3),
    "one dimension": np.ravel,
    "empty": lambda a: a[:0],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_any_layout(name, kind):
    arrays = CALLS[name](lambda seed: KINDS[kind](numbers(np.float64, (4, 3), 1, seed)))
    plain = [np.ascontiguousarray(a) for a in arrays]
    wanted = getattr(THEIRS, name)(*plain)
    np.testing.assert_allclose(getattr(OURS, name)(*arrays), wanted, rtol=1e-6, atol=3e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.int64, ">f4", np.longdouble])
@pytest.mark.parametrize("name", [n for n in CALLS if n != "relu"])
def test_other_types_go_to_thinc(name, dtype):
    arrays = CALLS[name](lambda seed: numbers(np.float64, (4, 3), 2, seed).astype(dtype))
    wanted = getattr(THEIRS, name)(*[a.copy() for a in arrays])
    got = getattr(OURS, name)(*arrays)
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)


class Labelled(np.ndarray):
    """An array of someone else's class."""


@pytest.mark.parametrize("name", CALLS)
def test_subclasses_and_mixed_types_go_to_thinc(name):
    arrays = CALLS[name](lambda seed: numbers(np.float32, (4, 3), 1, seed).view(Labelled))
    wanted = getattr(THEIRS, name)(*[a.copy() for a in arrays])
    got = getattr(OURS, name)(*arrays)
    assert type(got) is type(wanted)
    np.testing.assert_array_equal(got, wanted)
    if len(arrays) > 1:
        mixed = [a.view(np.ndarray).astype(DTYPES[i % 2]) for i, a in enumerate(arrays)]
        wanted = getattr(THEIRS, name)(*[a.copy() for a in mixed])
        got = getattr(OURS, name)(*mixed)
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", [n for n in CALLS if "softmax" not in n])
def test_no_dimensions(name):
    arrays = CALLS[name](lambda seed: np.array(0.5 + seed))
    wanted = getattr(THEIRS, name)(*arrays)
    np.testing.assert_array_equal(getattr(OURS, name)(*arrays), wanted)


@pytest.mark.parametrize(
    "name", [n for n in CALLS if n.startswith("backprop") and n not in THINC_CHECKS_SHAPES]
)
def test_gradients_broadcast_where_thinc_broadcasts(name):
    arrays = CALLS[name](lambda seed: numbers(np.float32, (4, 3), 1, seed))
    one = [a[:1] if i == (name == "backprop_softmax") else a for i, a in enumerate(arrays)]
    wanted = getattr(THEIRS, name)(*one)
    got = getattr(OURS, name)(*one)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)  # theirs on our sigmoid


@pytest.mark.parametrize("axis", [None, (0, 1)])
def test_softmax_over_several_axes_goes_to_thinc(axis):
    x, dy = numbers(np.float32), numbers(np.float32, seed=1)
    y = OURS.softmax(x, axis=axis)
    np.testing.assert_array_equal(y, THEIRS.softmax(x, axis=axis))
    wanted = THEIRS.backprop_softmax(y, dy, axis=axis)
    np.testing.assert_array_equal(OURS.backprop_softmax(y, dy, axis=axis), wanted)


@pytest.mark.parametrize("name", [n for n in CALLS if n.startswith("backprop")])
def test_shapes_that_do_not_agree_are_refused(name):
    arrays = list(CALLS[name](lambda seed: numbers(np.float32, (4, 3), 1, seed)))
    for i in range(len(arrays)):
        with pytest.raises(ValueError):
            getattr(OURS, name)(*arrays[:i], arrays[i][:, :2], *arrays[i + 1 :])


def test_thinc_finds_the_name():
    assert type(get_ops("ffkernels")) is FFKernelsOps
    assert isinstance(get_ops("cpu"), NumpyOps) and type(get_ops("cpu")) is not FFKernelsOps
    with use_ops("ffkernels"):
        assert type(Relu(2).ops) is FFKernelsOps
    assert not OURS.__class__(use_blis=False).use_blis


def installed_entry_points():
    return [p for p in metadata.entry_points(group="thinc_ops") if p.value.startswith("ffkernels.")]


@pytest.mark.skipif(not installed_entry_points(), reason="a source tree, not installed")
def test_thinc_finds_the_entry_point():
    (point,) = installed_entry_points()
    assert (point.name, point.load()) == ("ffkernels", FFKernelsOps)
    # In a process that never imports the adapter itself.
    program = (
        "import sys\n"
        "from thinc.api import Relu, use_ops\n"
        "assert 'ffkernels' not in sys.modules\n"
        "with use_ops('ffkernels'):\n"
        "    print(type(Relu(2).ops).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "FFKernelsOps", done.stderr


def test_the_example_of_the_guide_runs_as_printed():
    guide = Path(__file__).parents[1] / "docs" / "adapters-thinc.md"
    names = {}
    exec(guide.read_text().split("```python\n")[1].split("```")[0], names)
    assert type(names["model"].ops) is FFKernelsOps
    assert names["dx"].shape == names["x"].shape


def losses(ops, layer, dtype=np.float32):
    fix_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 20)).astype(dtype)
    t = np.eye(5, dtype=dtype)[np.argmax(x @ rng.standard_normal((20, 5)), axis=1)]
    curve = []
    with use_ops(ops):
        model = chain(layer(32), layer(32), Softmax(5))
        model.initialize(x, t)
        optimizer = SGD(0.1)
        for first in 32 * (np.arange(40) % 8):
            rows = slice(first, first + 32)
            y, backprop = model.begin_update(x[rows])
            gradient, loss = CategoricalCrossentropy()(y, t[rows])
            backprop(gradient)
            model.finish_update(optimizer)
            curve.append(loss)
    return np.array(curve, float)


@pytest.mark.parametrize("layer", [Relu, Sigmoid, Gelu, Swish, Mish, Maxout])
def test_training_agrees_with_theirs(layer, monkeypatch):
    monkeypatch.setattr(adapter, "MAXOUT_SIZE", 1)
    ours, theirs = losses("ffkernels", layer), losses("numpy", layer)
    assert theirs[-8:].mean() < theirs[:8].mean()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
