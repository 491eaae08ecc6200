"""MyGrad's functions under the patch: against formulas in float64, against MyGrad's own, in training."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

pytest.importorskip("mygrad")

import mygrad
from mygrad import tanh  # before any patch, as users import them
from mygrad.nnet import (
    elu,
    leaky_relu,
    logsoftmax,
    negative_log_likelihood,
    relu,
    sigmoid,
    softmax,
    softmax_crossentropy,
)

from ffkernels.adapters.mygrad import _replacements, patch, patched, unpatch

DTYPES = [np.float32, np.float64]


@pytest.fixture(autouse=True)
def _unpatched():
    yield
    unpatch()
    assert not replaced()


def entries():
    """The entries that a patch replaces; asked for without one."""
    return [(holder, name, theirs) for holder, name, theirs, _ in ENTRIES]


ENTRIES = _replacements()


def replaced():
    return [name for holder, name, theirs in entries() if getattr(holder, name) is not theirs]


def numbers(shape, dtype, seed=0, scale=3):
    x = (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)
    if x.size > 4:
        x.flat[:2] = 0  # where derivatives jump
    return x


def softmax_of(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_back(dy, x):
    y = softmax_of(x)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


#: Name: the function, its formula, its vector-Jacobian product from the input, as MyGrad documents them.
FUNCTIONS = {
    "relu": (relu, lambda x: np.maximum(x, 0), lambda dy, x: dy * (x > 0)),
    "sigmoid": (
        sigmoid,
        lambda x: 1 / (1 + np.exp(-x)),
        lambda dy, x: dy / (2 + np.exp(-x) + np.exp(x)),
    ),
    "tanh": (tanh, np.tanh, lambda dy, x: dy / np.cosh(x) ** 2),
    "elu": (
        partial(elu, alpha=0.7),
        lambda x: np.where(x < 0, 0.7 * np.expm1(x), x),
        lambda dy, x: dy * np.where(x < 0, 0.7 * np.exp(x), 1),
    ),
    "leaky_relu": (
        partial(leaky_relu, slope=0.1),
        lambda x: np.where(x > 0, x, 0.1 * x),
        lambda dy, x: dy * np.where(x > 0, 1, np.where(x < 0, 0.1, 0)),
    ),
    "softmax": (softmax, softmax_of, softmax_back),
    "logsoftmax": (
        logsoftmax,
        lambda x: np.log(softmax_of(x)),
        lambda dy, x: dy - softmax_of(x) * dy.sum(axis=-1, keepdims=True),
    ),
}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_formula_and_gradient(name, dtype):
    function, formula, backward = FUNCTIONS[name]
    data, dy = numbers((7, 13), dtype), numbers((7, 13), dtype, seed=1)
    x = mygrad.tensor(data)
    with patched():
        y = function(x)
        (y * dy).sum().backward()
    exact, slope = np.float64(data), np.float64(dy)
    rtol, atol = (2e-6, 1e-6) if dtype is np.float32 else (1e-14, 1e-15)
    np.testing.assert_allclose(y.data, formula(exact), rtol, atol)
    np.testing.assert_allclose(x.grad, backward(slope, exact), rtol, 4 * atol)
    assert x.grad.dtype == dtype
    assert y.dtype == (np.float64 if name == "leaky_relu" else dtype)  # to MyGrad a slope is float64


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_losses(dtype, weighted):
    logits, classes = numbers((9, 5), dtype), np.arange(9) % 5
    rows, p = np.arange(9), softmax_of(np.float64(logits))
    rtol = 2e-6 if dtype is np.float32 else 1e-14
    with patched():
        x = mygrad.tensor(logits)
        loss = softmax_crossentropy(x, classes)
        (2 * loss).backward()
    np.testing.assert_allclose(loss.data, -np.log(p[rows, classes]).mean(), rtol)
    np.testing.assert_allclose(x.grad, 2 * (p - np.eye(5)[classes]) / 9, rtol, rtol)

    weights = np.linspace(1, 2, 5) if weighted else None
    with patched():
        x = mygrad.tensor(logits)
        loss = negative_log_likelihood(x, classes, weights=weights)
        (2 * loss).backward()
    factors = weights[classes] if weighted else np.ones(9)
    np.testing.assert_allclose(loss.data, -(np.float64(logits)[rows, classes] * factors).mean(), rtol)
    np.testing.assert_allclose(x.grad, -2 * np.eye(5)[classes] * factors[:, None] / 9, rtol)


# --- as theirs -----------------------------------------------------------------------------------

LOSSES = {f.__name__: f for f in (softmax_crossentropy, negative_log_likelihood)}
ALL = [*FUNCTIONS, *LOSSES]


def call(name, x, **options):
    if name in LOSSES:
        return LOSSES[name](x, np.arange(len(x)) % x.shape[1], **options)
    return FUNCTIONS[name][0](x, **options)


def both(run):
    """What `run` returns without the patch and with it; or what it raises."""
    outcomes = []
    for context in (None, patched()):
        try:
            if context is None:
                outcomes.append(run())
            else:
                with context:
                    outcomes.append(run())
        except Exception as error:
            outcomes.append((type(error), str(error)))
    return outcomes


def assert_alike(theirs, ours, rtol=1e-12):
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours, strict=True):
        if isinstance(a, np.ndarray):
            assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(b, a, rtol, rtol)
        else:
            assert a == b


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, "list"])
@pytest.mark.parametrize("name", ALL)
def test_types_and_constants(name, dtype):
    data = numbers((6, 5), np.float64).round()
    data = data if dtype == "list" else data.astype(dtype)
    if dtype == "list" and name in LOSSES:
        data = np.asfortranarray(data)

    def run():
        x = mygrad.tensor(data) if dtype == "list" or data.dtype.kind == "f" else data
        y = call(name, x)
        constant = call(name, data if name in LOSSES else data.tolist(), constant=True)
        y.sum().backward()
        grad = x.grad if isinstance(x, mygrad.Tensor) else None
        return y.data, y.constant, constant.data, constant.constant, grad

    theirs, ours = both(run)
    assert_alike(theirs, ours, {np.float16: 1e-2, np.float32: 1e-5}.get(dtype, 1e-12))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ALL)
def test_random_shapes(name, seed):
    rng = np.random.default_rng([seed, *name.encode()])
    shape = rng.integers(6, size=rng.integers(5))
    data = np.asarray(numbers(shape, np.float64, seed), order=rng.choice(["C", "F"]))

    def run():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs divides by the length of an empty batch
            x = mygrad.tensor(data)
            y = call(name, x)
            (y * y).sum().backward()
        return y.data, x.grad

    theirs, ours = both(run)
    assert_alike(theirs, ours)


@pytest.mark.parametrize("axis", [0, 1, -1, -3, None, (0, 2), 3, "1"])
@pytest.mark.parametrize("function", [softmax, logsoftmax])
def test_axes(function, axis):
    def run():
        x = mygrad.tensor(numbers((3, 4, 5), np.float64))
        y = function(x, axis)
        (y * y).sum().backward()
        return y.data, x.grad

    theirs, ours = both(run)
    assert_alike(theirs, ours)


@pytest.mark.parametrize("name", ALL)
def test_no_autodiff(name):
    def run():
        x = mygrad.tensor(numbers((4, 3), np.float64))
        with mygrad.no_autodiff:
            y = call(name, x)
        return y.data, y.creator, y.constant, x.grad

    theirs, ours = both(run)
    assert_alike(theirs, ours)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_views_and_updates_in_place(name):
    """The gradient is of what an operation read and wrote, whatever becomes of the tensors."""

    def run():
        x = mygrad.tensor(numbers((6, 5), np.float64))
        view = x[::2, 1:]
        y = call(name, view)
        kept = y.data.copy()
        y[:2] = 7
        view *= 2
        z = call(name, y) + call(name, view) + call(name, y)
        (z * z).sum().backward()
        return kept, y.data, z.data, x.data, x.grad, view.grad, y.grad

    theirs, ours = both(run)
    assert_alike(theirs, ours)


def test_the_options_of_a_ufunc():
    x = numbers((6, 5), np.float64)

    def run():
        t, out = mygrad.tensor(x), np.zeros((6, 5))
        where = x > 0
        masked = tanh(t, where=where, out=out)
        single = tanh(t, dtype=np.float32)
        onto = tanh(t, out=mygrad.zeros((6, 5)))
        (masked + single + onto + np.tanh(t)).sum().backward()
        return masked.data, single.data, onto.data, t.grad

    theirs, ours = both(run)
    assert_alike(theirs, ours, 1e-6)


@pytest.mark.parametrize(
    "run",
    [
        lambda x: softmax_crossentropy(x, np.arange(6)[:, None]),
        lambda x: softmax_crossentropy(x, np.arange(5)),
        lambda x: softmax_crossentropy(x, np.ones(6)),
        lambda x: softmax_crossentropy(x, [0, 1, 2, 3, 4, 5]),
        lambda x: softmax_crossentropy(x[0], [0]),
        lambda x: negative_log_likelihood(x, [0, 1, 2, 3, 4, 5]),
        lambda x: negative_log_likelihood(x, np.arange(6) % 5, weights=np.ones(3)),
        lambda x: leaky_relu(x, "0.1"),
        lambda x: leaky_relu(x, np.ones(2)),
        lambda x: elu(x, None),
        lambda x: relu("x"),
        lambda x: tanh(x, dtype="U1"),
    ],
)
def test_refusals_are_theirs(run):
    def refused():
        x = mygrad.tensor(numbers((6, 5), np.float64))
        try:
            run(x)
        finally:
            assert x.data.flags.writeable  # the guard of a refused call is gone
        return ()

    theirs, ours = both(refused)
    assert theirs == ours and isinstance(theirs[0], type)


@pytest.mark.parametrize("function", [softmax_crossentropy, negative_log_likelihood])
def test_classes_that_count_from_the_end(function):
    classes = np.array([-1, 0, -5, 4])

    def run():
        x = mygrad.tensor(numbers((4, 5), np.float64))
        loss = function(x, classes)
        loss.backward()
        return loss.data, x.grad

    theirs, ours = both(run)
    assert_alike(theirs, ours)


def test_weights_that_are_trained():
    def run():
        weights = mygrad.tensor([1.0, 2.0, 3.0])
        x = mygrad.tensor(numbers((3, 3), np.float64))
        negative_log_likelihood(x, [0, 1, 1], weights=weights).backward()
        return x.grad, weights.grad

    theirs, ours = both(run)
    assert_alike(theirs, ours)


def test_gradients_that_come_in_as_another_type():
    x = mygrad.tensor(numbers((4, 3), np.float32))
    with patched():
        (relu(x) * np.full((4, 3), 1 / 3)).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, np.where(x.data > 0, np.float32(1 / 3), 0))


# --- on and off ----------------------------------------------------------------------------------


def test_everything_is_replaced_and_comes_back():
    assert len(ENTRIES) == 9
    with patched():
        assert len(replaced()) == 9
        with patched():
            pass
        assert len(replaced()) == 9
    assert not replaced()
    patch()
    with patched():
        unpatch()
        assert len(replaced()) == 9
    assert not replaced()


def test_operations_are_ours():
    x = mygrad.tensor(numbers((4, 3), np.float64))
    with patched():
        operations = [call(name, x).creator for name in ALL]
    defined_in = {type(op).__call__.__globals__["__name__"] for op in operations}
    assert defined_in == {"ffkernels.adapters.mygrad"}


def test_operations_keep_their_names():
    with patched():
        operation = relu(mygrad.tensor([1.0])).creator
    assert (type(operation).__name__, type(operation).__module__) == (
        "ReLu",
        "mygrad.nnet.activations.relu",
    )


@pytest.mark.parametrize("name", ALL)
def test_a_graph_outlives_the_patch(name):
    data = numbers((4, 3), np.float64)
    grads = []
    for forward, backward in ((patch, unpatch), (unpatch, patch), (unpatch, unpatch)):
        x = mygrad.tensor(data)
        forward()
        y = call(name, x)
        backward()
        (y * y).sum().backward()
        grads.append(x.grad)
        unpatch()
    np.testing.assert_allclose(grads[0], grads[2], 1e-12, 1e-15)
    np.testing.assert_array_equal(grads[1], grads[2])


def test_what_others_put_there_stays(monkeypatch):
    class Mine(mygrad.operation_base.Operation):
        pass

    holder, name, _ = entries()[0]
    monkeypatch.setattr(holder, name, Mine)
    with patched():
        assert getattr(holder, name) is Mine


def test_threads():
    data = numbers((50, 7), np.float64)
    want = np.tanh(data)

    def work(_):
        for _ in range(50):
            with patched():
                np.testing.assert_allclose(tanh(data).data, want, 1e-14)

    with mygrad.no_autodiff, ThreadPoolExecutor(4) as pool:  # which holds for all threads at once
        list(pool.map(work, range(4)))


@pytest.mark.parametrize("version", ["1.9.0", "3.0"])
def test_an_unknown_release_is_named_and_left_alone(version, monkeypatch):
    monkeypatch.setattr(mygrad, "__version__", version)
    with pytest.warns(RuntimeWarning, match=f"MyGrad {version} is not a release"):
        patch()
    assert not replaced()


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "elu", "leaky_relu"])
def test_loss_curves(name, dtype):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((60, 8)).astype(dtype)
    classes = (inputs @ rng.standard_normal((8, 4))).argmax(axis=1)
    start = [0.5 * rng.standard_normal(shape).astype(dtype) for shape in ((8, 16), 16, (16, 4), 4)]

    def curve():
        parameters = [mygrad.tensor(array.copy()) for array in start]
        w, b, v, c = parameters
        loss_values = []
        for _ in range(60):
            loss = softmax_crossentropy(call(name, inputs @ w + b) @ v + c, classes)
            loss.backward()
            loss_values.append(loss.item())
            for parameter in parameters:
                parameter.data -= dtype(0.5) * parameter.grad
        return loss_values

    theirs, ours = both(curve)
    assert theirs[-1] < 0.3 * theirs[0]
    np.testing.assert_allclose(ours, theirs, 1e-9 if dtype is np.float64 else 1e-4)
