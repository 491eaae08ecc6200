"""Nothing crashes: any layout, type, value and option, and callers who change what they passed.

Random calls by fuzz.py, a short piece of what it does for hours; what it has found; what it cannot draw.
"""

from functools import partial

import numpy as np
import pytest

import ffkernels as ff
import fuzz
from ffkernels import _numpy
from ffkernels._operations import OPERATIONS

needs_kernels = pytest.mark.skipif(ff.get_isa() is None, reason="no compiled kernels to compare with")
CASES = 500


@pytest.fixture(autouse=True)
def as_before():
    isa, threads = ff.get_isa(), ff.get_num_threads()
    yield
    if isa is not None:
        ff.set_isa(isa)
    ff.set_num_threads(threads)


@needs_kernels
@pytest.mark.parametrize("seed", range(8))
def test_any_call(seed):
    assert fuzz.run_cases(seed, range(CASES)) > CASES


@needs_kernels
@pytest.mark.parametrize("name", sorted(fuzz.BY_NAME))
def test_any_call_of_a_function(name):
    """Each has its share, however many there are."""
    for number in range(40):
        draw = fuzz.Draw(f"{name}/{number}")
        draw.what = []
        ff.set_isa(draw.choice(fuzz.instruction_sets()))
        with np.errstate(all="ignore"):
            fuzz.of_function(draw, name)


def twisted(function, what):
    """The function with a defect of some kind."""

    def changed(x, out):
        if what == "a refusal in other words" and isinstance(x, str):
            raise TypeError("no")
        result = function(x, out)
        if isinstance(x, np.ndarray) and x.size and x.flags.writeable and x.dtype == np.float32:
            if what == "an input that is written":
                x.flat[0] += 1
            elif what == "a value" and out is None and x.ndim:
                result.flat[-1] += 1
            elif what == "a type":
                return result.astype(np.float64)
        return result

    return changed


@needs_kernels
@pytest.mark.parametrize(
    "what", ["a refusal in other words", "an input that is written", "a value", "a type"]
)
def test_defects_are_found(monkeypatch, what):
    monkeypatch.setattr(_numpy, "tanh", twisted(_numpy.tanh, what))
    monkeypatch.setattr(fuzz, "JUNK", ("x",))
    with pytest.raises(fuzz.Finding):
        for number in range(2000):
            draw = fuzz.Draw(number)
            draw.what = []
            with np.errstate(all="ignore"):
                fuzz.of_function(draw, "tanh")


# ---- what was found -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(o.name for o in OPERATIONS if o.kind == "elementwise"))
def test_every_step_of_inputs_and_outputs(backend, name, dtype):
    """NumPy 2.4 negates wrongly what lies four floats, or eight doubles, apart."""
    operation, out = fuzz.BY_NAME[name], np.zeros(320, dtype)
    arrays = operation.draw(np.random.default_rng(0), (320,), dtype)
    function = getattr(ff, name)
    for step in (1, 2, 3, 4, 5, 8, -4, -8):
        apart = [a[::step][:20] for a in arrays]
        want = function(*(a.copy() for a in apart))
        for other in (1, 2, 3, 4, 8, -2):
            got = function(*apart, out=out[::other][:20])
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_of_minus_zero(backend, dtype):
    """As one of 0: less than none there is not, and any more of it is a gain."""
    for rows in (1, 33):
        p, indices = np.full((rows, 3), -0.0, dtype), np.full(rows, 1)
        p[:, 0] = 1
        for t in (indices, np.eye(3, dtype=dtype)[indices]):
            loss, grad = ff.cross_entropy_with_grad(p, t, reduction="none")
            assert (loss == np.inf).all() and (grad[:, 1] == -np.inf).all()
            back = ff.cross_entropy_backward(p, t, reduction="none")
            np.testing.assert_array_equal(back, grad)


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_what_comes_beside_an_output_of_a_subclass(backend, reduction):
    """An array, as without one; the output is what was given."""
    x, t = np.ones((5, 3), np.float32), np.array([0, 1, 2, 0, 1])
    for function, other in (
        (ff.softmax_cross_entropy_with_grad, t),
        (ff.softmax_cross_entropy_with_grad, x),
        (ff.cross_entropy_with_grad, x),
        (ff.sum_squared_error_with_grad, x),
    ):
        want, _ = function(x, other, reduction=reduction)
        out = np.zeros((5, 3), np.float32).view(fuzz.Subclass)
        loss, grad = function(x, other, reduction=reduction, out=out)
        assert grad is out and type(loss) is type(want)
        np.testing.assert_array_equal(loss, want)


def test_an_output_of_its_own_beside_lists(backend):
    """Lists, numbers and tensors have no memory to lie in."""
    x, out = np.ones((3, 2), np.float32), np.empty((3, 2), np.float32)
    for targets in ([0, 1, 1], [[0, 1]] * 3, np.array([0, 1, 1])):
        _, want = ff.softmax_cross_entropy_with_grad(x, targets, weight=[1, 2])
        _, got = ff.softmax_cross_entropy_with_grad(x, targets, weight=[1, 2], out=out)
        assert got is out
        np.testing.assert_array_equal(got, want)
        back = ff.softmax_cross_entropy_backward(x, targets, [1, 1, 1], reduction="none", out=out)
        assert back is out


@pytest.mark.parametrize("name", ["sgd_update", "momentum_update", "adam_update"])
def test_two_wrong_arguments_of_an_update(backend, name):
    """Numbers are looked at first, in both backends."""
    (operation,) = (o for o in OPERATIONS if o.name == name)
    arrays = operation.draw(np.random.default_rng(0), (3,), np.float16)
    step = [1] if name == "adam_update" else []
    rest = [0.9] if name == "momentum_update" else []
    with pytest.raises(TypeError, match=r"^lr: expected real numbers"):
        getattr(ff, name)(*arrays, *step, "fast", *rest)


@pytest.mark.parametrize(
    "name", sorted(name for name in fuzz.BY_NAME if "dloss" in fuzz.parameters(name))
)
def test_no_gradient_from_behind(backend, name):
    """None is not 1, although 1 is what there is without it."""
    x, t = fuzz.BY_NAME[name].draw(np.random.default_rng(0), (4, 3), np.float32)
    for reduction in ("mean", "none"):
        with pytest.raises(TypeError, match=r"^dloss: expected real numbers .* got dtype object"):
            getattr(ff, name)(x, t, dloss=None, reduction=reduction)


def test_numbers_beyond_floats_in_tables():
    for x in ([[10**400]], [[-(10**400), 1]], {"a": [10**400]}):
        with pytest.raises(ValueError, match="expected finite numbers or NaN, got int too large"):
            ff.InputLayer().fit(x)


# ---- what it cannot draw ------------------------------------------------------------------------------


def test_strides_of_a_single_element_say_nothing(backend):
    x = np.full((1, 1), -1, np.float32)
    assert ff.relu(x, out=x[::-1]) == 0 and x == 0


INDEX_LOSSES = [
    ff.softmax_cross_entropy_backward,
    partial(ff.softmax_cross_entropy_backward, weight=np.ones(4, np.float32)),
    partial(ff.softmax_cross_entropy_backward, label_smoothing=0.1),
    ff.cross_entropy_backward,
]


@pytest.mark.parametrize("loss", range(len(INDEX_LOSSES)))
@pytest.mark.parametrize("wrong", [4, 10**12, -(10**12)])
def test_targets_that_change_during_the_call(backend, loss, wrong):
    if backend == "numpy":
        pytest.skip("NumPy looks at every index it uses")
    targets = np.array([1, 2, 3])

    class Changing:
        def __array__(self, dtype=None, copy=None):
            targets[:] = wrong
            return np.array(1.0)

    p = np.full((3, 4), 0.25, np.float32)
    assert (INDEX_LOSSES[loss](p, targets, Changing()) == 0).all()


def test_a_row_longer_than_memory(backend):
    if backend == "numpy":
        pytest.skip("NumPy would run for years")
    x = np.broadcast_to(np.float32(0), (2**60,))
    loss = partial(ff.softmax_cross_entropy, targets=np.array(0))
    for call in (ff.softmax, ff.relu, ff.logsumexp, loss, partial(loss, label_smoothing=0.1)):
        with pytest.raises(MemoryError):
            call(x)
