"""scikit-learn's nets under the patch: the same fits, its own functions back afterwards, and every way
in which the two could get mixed up."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
import subprocess
import sys
import threading
import types
import warnings
from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import (
    MLPClassifier,
    MLPRegressor,
    _base,
    _multilayer_perceptron,
    _stochastic_optimizers,
)
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.utils import _safe_indexing, gen_batches, shuffle

from ffkernels import get_backend, num_threads, use_backend
from ffkernels.adapters.sklearn import patch, patched, unpatch

TABLES = {
    "ACTIVATIONS": _base.ACTIVATIONS,
    "DERIVATIVES": _base.DERIVATIVES,
    "LOSS_FUNCTIONS": _base.LOSS_FUNCTIONS,
    "module": vars(_multilayer_perceptron),
    "net": vars(BaseMultilayerPerceptron),
}
ORIGINALS = {name: dict(table) for name, table in TABLES.items()}
REPLACED = {
    "ACTIVATIONS": {"relu", "logistic", "tanh", "softmax"},
    "DERIVATIVES": {"relu", "logistic", "tanh"},
    "LOSS_FUNCTIONS": {"squared_error", "log_loss", "binary_log_loss"},
    "module": {
        "AdamOptimizer",
        "SGDOptimizer",
        "_safe_indexing",
        "accuracy_score",
        "gen_batches",
        "shuffle",
    },
    "net": {"_backprop", "_forward_pass_fast"},
}
FLOATS = [np.float64, np.float32]

rng = np.random.default_rng(0)
digits, classes = load_digits(return_X_y=True)
digits, classes = digits[:300] / 16, classes[:300]
WEIGHTS = rng.uniform(0.5, 2, len(digits))
TARGETS = {
    "ten classes": classes,
    "two classes": classes % 2,
    "labels": make_multilabel_classification(len(digits), 5, n_classes=4, random_state=0)[1],
    "a number": digits @ rng.normal(size=64),
    "numbers": digits @ rng.normal(size=(64, 3)),
}


def replaced():
    """What differs from the scikit-learn that was imported."""
    return {
        name: {key for key, value in original.items() if TABLES[name][key] is not value}
        for name, original in ORIGINALS.items()
    }


@pytest.fixture(autouse=True)
def restored():
    assert not any(replaced().values())
    yield
    unpatch()
    assert not any(replaced().values())


@pytest.fixture
def without_theirs(monkeypatch):
    """scikit-learn's own functions fail, where a test wants to be sure of ours."""
    if get_backend() == "numpy":
        return  # for which they are the faster ones
    for name in ("np", "xlogy", "logistic_sigmoid"):
        monkeypatch.setattr(_base, name, None)
    monkeypatch.setattr(_multilayer_perceptron, "safe_sparse_dot", None)
    for optimizer in (_stochastic_optimizers.AdamOptimizer, _stochastic_optimizers.SGDOptimizer):
        monkeypatch.delattr(optimizer, "_get_updates")


def net(targets, **options):
    kind = MLPRegressor if "number" in targets else MLPClassifier
    return kind(**{"hidden_layer_sizes": (12, 7), "random_state": 0, "max_iter": 8} | options)


def fit(estimator, dtype, targets, sample_weight=None, x=digits):
    y = TARGETS[targets]
    if y.dtype == np.float64:
        y = y.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(x.astype(dtype), y, sample_weight)


def assert_same(ours, theirs, dtype=np.float64):
    tolerance = 1e-6 if dtype == np.float64 else 1e-3
    assert ours.n_iter_ == theirs.n_iter_
    for name in ("loss_", "loss_curve_", "validation_scores_"):
        expected = getattr(theirs, name, None)
        if expected is None:
            assert getattr(ours, name, None) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), expected, rtol=tolerance)
            assert np.asarray(getattr(ours, name)).dtype == np.asarray(expected).dtype
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=10 * tolerance)
        assert a.dtype == b.dtype


# --- the same fit --------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_a_fit_is_the_same(activation, solver, dtype, targets, sample_weight, request):
    options = {"activation": activation, "solver": solver, "learning_rate_init": 0.01}
    theirs = fit(net(targets, **options), dtype, targets, sample_weight)
    request.getfixturevalue("without_theirs")
    with patched():
        ours = fit(net(targets, **options), dtype, targets, sample_weight)
    assert_same(ours, theirs, dtype)


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_a_fit_by_lbfgs_is_the_same(activation, targets, sample_weight, request):
    options = {"activation": activation, "solver": "lbfgs"}
    theirs = fit(net(targets, **options), np.float64, targets, sample_weight)
    request.getfixturevalue("without_theirs")
    with patched():
        ours = fit(net(targets, **options), np.float64, targets, sample_weight)
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "sgd", "nesterovs_momentum": False},
        {"solver": "sgd", "momentum": 0},
        {"solver": "sgd", "momentum": 1.0, "learning_rate_init": 1e-4},
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.2},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
        {"beta_1": 0.0, "beta_2": 0.0},
        {"epsilon": 0.1},
        {"early_stopping": True, "max_iter": 20},
        {"batch_size": 7, "shuffle": False},
        {"alpha": 1.0},
        {"hidden_layer_sizes": ()},
    ],
    ids=str,
)
@pytest.mark.usefixtures("backend")
def test_options_of_a_fit(options):
    theirs = fit(net("ten classes", **options), np.float64, "ten classes")
    with patched():
        ours = fit(net("ten classes", **options), np.float64, "ten classes")
    assert_same(ours, theirs)


def test_a_loss_as_small_as_the_clipping_is_the_same():
    options = {"solver": "lbfgs", "alpha": 0.0, "tol": 0.0, "max_iter": 200}
    theirs = fit(net("two classes", **options), np.float64, "two classes")
    assert theirs.loss_ < 1e-6
    with patched():
        p = np.array([[1.0], [0.0], [1e-17], [0.3]])
        for name, q in (("binary_log_loss", p), ("log_loss", np.hstack([p, 1 - p]))):
            for row in range(len(p)):
                for y in (True, False):
                    y_true = np.array([[y, not y]])[:, : q.shape[1]]
                    np.testing.assert_allclose(
                        _base.LOSS_FUNCTIONS[name](y_true, q[row : row + 1]),
                        ORIGINALS["LOSS_FUNCTIONS"][name](y_true, q[row : row + 1]),
                        rtol=1e-12,
                    )


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        ("a number", {"loss": "poisson"}),
        ("numbers", {"loss": "poisson", "solver": "lbfgs"}),
        ("ten classes", {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_what_is_not_covered_falls_through(targets, options, kind):
    x = digits * (digits > 0.5)
    y = np.abs(TARGETS[targets])

    def train():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return net(targets, **options).fit(kind(x), y)

    theirs = train()
    with patched():
        ours = train()
        np.testing.assert_allclose(ours.predict(kind(x)), theirs.predict(kind(x)), rtol=1e-6)
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    ("solver", "targets"),
    [("adam", "numbers"), ("sgd", "numbers"), ("lbfgs", "numbers"), ("lbfgs", "ten classes")],
)
def test_mixed_types_fall_through(solver, targets):
    # float64 are these numbers, and by the release of SciPy the parameters that L-BFGS hands out
    x, y = digits.astype(np.float32), TARGETS[targets]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = net(targets, solver=solver).fit(x, y)
        with patched():
            ours = net(targets, solver=solver).fit(x, y)
    assert_same(ours, theirs, np.float32)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_unaligned_parameters_fall_through(solver):
    def unaligned(array):
        memory = np.empty(array.nbytes + 1, np.uint8)[1:]
        copied = memory.view(array.dtype).reshape(array.shape)
        copied[...] = array
        return copied

    theirs, ours = (
        fit(net("numbers", solver=solver, warm_start=True), np.float64, "numbers") for _ in range(2)
    )
    ours.coefs_ = [unaligned(coef) for coef in ours.coefs_]
    fit(theirs, np.float64, "numbers")
    with patched():
        fit(ours, np.float64, "numbers")
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        ("ten classes", {}),
        ("two classes", {"solver": "sgd"}),
        ("labels", {"activation": "tanh"}),
        ("numbers", {"activation": "logistic"}),
        ("ten classes", {"solver": "lbfgs", "max_iter": 30}),
        ("numbers", {"solver": "lbfgs", "activation": "tanh", "max_iter": 30}),
    ],
    ids=str,
)
def test_loss_curves_agree_to_rounding(targets, options):
    theirs = fit(net(targets, **options), np.float64, targets, WEIGHTS)
    with patched():
        ours = fit(net(targets, **options), np.float64, targets, WEIGHTS)
    expected = getattr(theirs, "loss_curve_", [theirs.loss_])
    np.testing.assert_allclose(getattr(ours, "loss_curve_", [ours.loss_]), expected, rtol=5e-12)


def test_a_loss_of_sure_classes_is_the_same():
    options = {"solver": "lbfgs", "alpha": 0.0, "tol": 0.0, "max_iter": 200}
    theirs = fit(net("ten classes", **options), np.float64, "ten classes")
    with patched():
        ours = fit(net("ten classes", **options), np.float64, "ten classes")
    assert theirs.loss_ < 1e-6
    # What rounding changes grows over 200 iterations.
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("targets", TARGETS)
def test_steps_from_where_theirs_stopped(targets, activation):
    theirs = fit(net(targets, activation=activation, warm_start=True), np.float64, targets)
    ours = copy.deepcopy(theirs)
    for n in (300, 17, 1, 40, 300):  # batches of other sizes
        rows = slice(300 - n, None) if "number" in targets else slice(None)
        theirs.partial_fit(digits[rows], TARGETS[targets][rows])
        with patched():
            ours.partial_fit(digits[rows], TARGETS[targets][rows])
    fit(theirs, np.float64, targets)
    with patched():
        fit(ours, np.float64, targets)
    assert_same(ours, theirs)


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("targets", TARGETS)
def test_early_stopping_is_the_same(targets, sample_weight):
    options = {"early_stopping": True, "max_iter": 30, "n_iter_no_change": 3, "batch_size": 32}
    options |= {"validation_fraction": 0.3, "learning_rate_init": 0.02}
    theirs = fit(net(targets, **options), np.float64, targets, sample_weight)
    with patched():
        ours = fit(net(targets, **options), np.float64, targets, sample_weight)
    assert_same(ours, theirs)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)


def layouts(x):
    read_only = x.copy()
    read_only.flags.writeable = False
    return {
        "Fortran order": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=0)[::2],
        "read-only": read_only,
        "big-endian": x.astype(">f8"),
        "list": x.tolist(),
        "half": x.astype(np.float16),
    }


@pytest.mark.parametrize("shuffled", [True, False], ids=["shuffled", "in order"])
@pytest.mark.parametrize("layout", layouts(digits))
def test_inputs_of_any_layout(layout, shuffled):
    x, options = layouts(digits)[layout], {"batch_size": 50, "max_iter": 3, "shuffle": shuffled}
    before = copy.deepcopy(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = net("ten classes", **options).fit(x, classes)
        with patched():
            ours = net("ten classes", **options).fit(x, classes)
    assert_same(ours, theirs)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float32, np.bool_])
def test_numbers_of_other_types(dtype, solver, request):
    y = (10 * digits[:, 20:22]).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = net("numbers", solver=solver).fit(digits, y)
        if dtype != np.bool_:
            request.getfixturevalue("without_theirs")
        with patched():
            ours = net("numbers", solver=solver).fit(digits, y)
    assert_same(ours, theirs)


def test_parameters_in_fortran_order():
    theirs, ours = (
        fit(net("ten classes", warm_start=True), np.float64, "ten classes") for _ in range(2)
    )
    ours.coefs_ = [np.asfortranarray(coef) for coef in ours.coefs_]
    fit(theirs, np.float64, "ten classes")
    with patched():
        fit(ours, np.float64, "ten classes")
    assert_same(ours, theirs)


@pytest.mark.parametrize("first", FLOATS)
def test_a_net_goes_on_with_inputs_of_another_type(first):
    theirs, ours = (net("ten classes") for _ in range(2))
    for dtype in (first, np.float32, np.float64, np.float32):
        theirs.partial_fit(digits.astype(dtype), classes, classes=np.arange(10))
        with patched():
            ours.partial_fit(digits.astype(dtype), classes, classes=np.arange(10))
    assert_same(ours, theirs, np.float32)


# --- loss and gradients of a batch ---------------------------------------------------------------


def gradients(estimator, x, y, weight=None, lists=None):
    """Loss and gradients by the estimator's `_backprop`; copies, since its arrays serve again."""
    layers = len(estimator.coefs_)
    lists = lists or ([None] * (layers + 1), *([None] * layers for _ in range(3)))
    lists[0][0] = x
    loss, coef_grads, intercept_grads = estimator._backprop(x, y, weight, *lists)
    return loss, [grad.copy() for grad in coef_grads + intercept_grads]


def softmax_log_loss(z, y):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log((p * y).sum(axis=1)), p - y


def logistic_log_loss(z, y):
    p = 1 / (1 + np.exp(-z))
    return -np.log(np.where(y, p, 1 - p)).sum(axis=1), p - y


def squared_error(z, y):
    return 0.5 * ((z - y) ** 2).mean(axis=1), z - y


HIDDEN = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "logistic": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "relu": (lambda z: z * (z > 0), lambda z: 1.0 * (z > 0)),
    "tanh": (np.tanh, lambda z: np.cosh(z) ** -2.0),
}


def reference(estimator, x, y, weight):
    """The same from the formulas, in float64."""
    act, slope = HIDDEN[estimator.activation]
    loss = {"softmax": softmax_log_loss, "logistic": logistic_log_loss, "identity": squared_error}
    Ws, bs = ([p.astype(float) for p in ps] for ps in (estimator.coefs_, estimator.intercepts_))
    weight = np.ones(len(x)) if weight is None else weight
    outputs, zs = [x.astype(float)], []
    for W, b in zip(Ws, bs, strict=True):
        zs.append(outputs[-1] @ W + b)
        outputs.append(act(zs[-1]))
    values, delta = loss[estimator.out_activation_](zs[-1], y)
    share = weight / weight.sum()
    penalty = estimator.alpha / weight.sum()
    value = values @ share + 0.5 * penalty * sum((W**2).sum() for W in Ws)
    delta = delta * share[:, None]
    coef_grads, intercept_grads = [], []
    for i in reversed(range(len(Ws))):
        coef_grads.insert(0, outputs[i].T @ delta + penalty * Ws[i])
        intercept_grads.insert(0, delta.sum(axis=0))
        if i:
            delta = (delta @ Ws[i].T) * slope(zs[i - 1])
    return value, coef_grads + intercept_grads


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS[:40]], ids=["", "weighted"])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", HIDDEN)
def test_loss_and_gradients_are_those_of_the_formulas(activation, dtype, targets, sample_weight):
    trained = fit(net(targets, activation=activation, alpha=0.3), dtype, targets)
    y = TARGETS[targets]
    y = y if "number" in targets else trained._label_binarizer.transform(y).astype(bool)
    y = y.reshape(len(y), -1)
    eps, lists = 1e4 * float(np.finfo(dtype).eps), None
    with patched():
        for rows in (slice(40), slice(40, 80), slice(80, 97), slice(5, 45)):
            x, t = digits[rows].astype(dtype), y[rows].astype(bool if y.dtype == bool else dtype)
            weight = sample_weight if sample_weight is None else sample_weight[: len(x)]
            if lists is None:
                lists = ([None] * 4, *([None] * 3 for _ in range(3)))
            loss, grads = gradients(trained, x, t, weight, lists)
            expected_loss, expected = reference(trained, x, t, weight)
            assert loss == pytest.approx(expected_loss, rel=eps)
            for grad, wanted in zip(grads, expected, strict=True):
                assert grad.dtype == dtype
                np.testing.assert_allclose(grad, wanted, rtol=eps, atol=eps * np.abs(wanted).max())


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "found",
    [np.asfortranarray, np.float32, read_only, lambda array: array[:-1], lambda array: None],
    ids=["Fortran order", "float32", "read-only", "smaller", "nothing"],
)
def test_what_is_in_the_lists_may_be_anything(found):
    trained = fit(net("ten classes"), np.float64, "ten classes")
    y = np.eye(10, dtype=bool)[classes]
    sizes = [64, 12, 7, 10]
    shapes = list(itertools.pairwise(sizes))
    lists = (
        [None, *(found(np.ones((len(digits), size))) for size in sizes[1:])],
        [found(np.ones((len(digits), size))) for size in sizes[1:]],
        [found(np.ones(shape)) for shape in shapes],
        [found(np.ones(size)) for size in sizes[1:]],
    )
    expected_loss, expected = gradients(trained, digits, y)
    with patched():
        loss, grads = gradients(trained, digits, y, None, lists)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    for ours, wanted in zip(grads, expected, strict=True):
        assert type(ours) is np.ndarray
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, wanted, rtol=1e-10, atol=1e-15)


def saturated(dtype):
    """A net that is sure of every class, of most of them wrongly."""
    trained = fit(net("ten classes"), dtype, "ten classes")
    trained.coefs_[-1] *= 300
    return trained


@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_probabilities_are_clipped_where_theirs_are(dtype, sample_weight):
    x, y = digits.astype(dtype), np.eye(10, dtype=bool)[classes]
    eps = 1e3 * float(np.finfo(dtype).eps)
    for rows in (slice(None), *(slice(i, i + 1) for i in range(20))):
        weight = sample_weight if sample_weight is None else sample_weight[rows]
        theirs_loss, theirs = gradients(saturated(dtype), x[rows], y[rows], weight)
        with patched():
            loss, grads = gradients(saturated(dtype), x[rows], y[rows], weight)
        assert loss == pytest.approx(theirs_loss, rel=eps)
        for ours, wanted in zip(grads, theirs, strict=True):
            # Theirs rounds p - 1, which the weights of the last layer then multiply.
            np.testing.assert_allclose(ours, wanted, rtol=eps, atol=300 * eps)


@pytest.mark.parametrize(
    ("targets", "y"),
    [
        ("ten classes", np.eye(10, dtype=bool)[classes] & (classes != 3)[:, np.newaxis]),
        ("ten classes", 0.5 * np.eye(10)[classes]),
        ("ten classes", np.eye(10, dtype=np.int64)[classes]),
        ("numbers", TARGETS["numbers"][:, :1]),
    ],
    ids=["a class not seen", "half a class", "integers", "broadcast"],
)
def test_targets_that_a_fit_does_not_make(targets, y):
    trained = fit(net(targets), np.float64, targets)
    theirs_loss, theirs = gradients(trained, digits, y)
    with patched():
        loss, grads = gradients(trained, digits, y)
    assert loss == pytest.approx(theirs_loss, rel=1e-12)
    for ours, wanted in zip(grads, theirs, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-10, atol=1e-14)


def test_weights_of_a_batch_that_sum_to_zero_are_refused_by_theirs():
    weights = np.zeros(len(digits))
    weights[0] = 1.0
    for context in (nullcontext(), patched()):
        with context, pytest.raises(ZeroDivisionError):
            net("ten classes", batch_size=50).fit(digits, classes, weights)


@pytest.mark.parametrize("scores", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_scores_that_are_not_finite(scores):
    trained = fit(net("ten classes"), np.float64, "ten classes")
    trained.intercepts_[-1][3] = scores
    y = np.eye(10, dtype=bool)[classes]
    theirs, theirs_grads = gradients(trained, digits, y)
    with patched():
        ours, grads = gradients(trained, digits, y)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    for grad, wanted in zip(grads, theirs_grads, strict=True):
        np.testing.assert_array_equal(np.isfinite(grad), np.isfinite(wanted))


# --- predictions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(), (12,), (12, 7)], ids=str)
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_predictions_are_the_same(activation, dtype, targets, hidden, request):
    trained = fit(net(targets, activation=activation, hidden_layer_sizes=hidden), dtype, targets)
    x = rng.uniform(size=(1100, 64)).astype(dtype)
    predict = trained.predict if "number" in targets else trained.predict_proba
    theirs = {n: predict(x[:n]) for n in (1, 2, 511, 512, 513, 1024, 1100)}
    request.getfixturevalue("without_theirs")
    before = x.copy()
    with patched():
        ours = {n: predict(x[:n]) for n in theirs}
        again = predict(x[:1])
    for n, expected in theirs.items():
        tolerance = 1e3 * np.finfo(dtype).eps
        np.testing.assert_allclose(ours[n], expected, rtol=tolerance, atol=tolerance)
        assert ours[n].dtype == expected.dtype
        assert ours[n].shape == expected.shape
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(again, ours[1])


@pytest.mark.parametrize("kind", [np.asfortranarray, sparse.csr_matrix, np.float32, np.longdouble, list])
def test_predictions_of_other_inputs(kind):
    trained = fit(net("ten classes"), np.float64, "ten classes")
    x = kind(digits)
    expected = trained.predict_proba(x)
    with patched():
        ours = trained.predict_proba(x)
        with pytest.raises(ValueError, match="features"):
            trained.predict(digits[:, :5])
        with pytest.raises(ValueError, match="NaN"):
            trained.predict(np.full((2, 64), np.nan))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    assert ours.dtype == expected.dtype


def test_one_row_without_a_check():
    trained = fit(net("numbers"), np.float64, "numbers")
    expected = trained._forward_pass_fast(digits[0], check_input=False)
    with patched():
        ours = trained._forward_pass_fast(digits[0], check_input=False)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 10, 11])
@pytest.mark.parametrize("batch_size", [1, 3, 10, np.int64(5)])
def test_batches_are_theirs(n, batch_size):
    with patched():
        ours = list(_multilayer_perceptron.gen_batches(n, batch_size))
    assert ours == list(gen_batches(n, batch_size))


def coded(*names):
    return np.array(names)[[0, 1, 1, 2, 0, 2, 1]], np.array(names)[[0, 1, 2, 2, 1, 2, 1]]


@pytest.mark.parametrize(
    "sample_weight", [None, np.array([1.0, 2, 3, 0, 5, 6, 7])], ids=["", "weighted"]
)
@pytest.mark.parametrize(
    "labels",
    [
        coded(3, 1, 2),
        coded("a", "b", "cc"),
        coded(1.0, 2.0, 5.0),
        tuple(rng.integers(0, 2, (2, 7, 3))),
        ([1, 2, 1, 1, 1, 1, 2], coded(1, 2, 2)[0]),
    ],
    ids=["integers", "strings", "floats", "several", "list"],
)
def test_the_score_of_early_stopping_is_the_same(labels, sample_weight):
    with patched():
        ours = _multilayer_perceptron.accuracy_score(*labels, sample_weight=sample_weight)
        count = _multilayer_perceptron.accuracy_score(*labels, normalize=False)
    assert ours == accuracy_score(*labels, sample_weight=sample_weight)
    assert type(ours) is float
    assert count == accuracy_score(*labels, normalize=False)


@pytest.mark.parametrize(
    "labels", [(np.array([1, 1, 2]), np.array([1])), (np.array([1, 2]), np.array(["1", "2"]))], ids=str
)
def test_labels_that_cannot_be_compared_are_left_to_theirs(labels):
    def outcome(score):
        try:
            return score(*labels)
        except (TypeError, ValueError) as error:
            return str(error)

    with patched():
        assert outcome(_multilayer_perceptron.accuracy_score) == outcome(accuracy_score)


# --- the rows of a batch -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 1797])
def test_rows_are_shuffled_by_the_same_draws(n):
    theirs, ours = np.random.RandomState(3), np.random.RandomState(3)
    a = b = np.arange(n)
    with patched():
        for _ in range(3):
            a = shuffle(a, random_state=theirs)
            b = _multilayer_perceptron.shuffle(b, random_state=ours)
            np.testing.assert_array_equal(a, b)
        assert theirs.randint(2**31) == ours.randint(2**31)
        a, b = (f(np.arange(9), random_state=5) for f in (shuffle, _multilayer_perceptron.shuffle))
        np.testing.assert_array_equal(a, b)  # falls through, as does all but one plain vector
        for arrays, options in (
            (([1, 2, 3],), {}),
            ((np.arange(3), np.arange(3)), {}),
            ((np.arange(8),), {"n_samples": 3}),
            ((np.eye(3),), {}),
        ):
            a, b = (
                f(*arrays, random_state=np.random.RandomState(0), **options)
                for f in (shuffle, _multilayer_perceptron.shuffle)
            )
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "x",
    [
        digits,
        np.asfortranarray(digits),
        digits[:, 0],
        digits[::2, ::3],
        sparse.csr_matrix(digits),
        digits.tolist(),
    ],
    ids=["C order", "Fortran order", "vector", "strided", "sparse", "list"],
)
@pytest.mark.parametrize(
    "indices", [np.array([3, 0, -1, 3]), np.array([2, 7], np.int32), np.arange(150) % 2 == 0, [5, 6]]
)
def test_rows_are_taken_as_theirs_takes_them(x, indices):
    def dense(rows):
        return rows.toarray() if sparse.issparse(rows) else np.asarray(rows)

    if np.asarray(indices).dtype == bool and np.shape(x)[0] != 150:
        x = x[:150]
    with patched():
        rows = _multilayer_perceptron._safe_indexing(x, indices)
    np.testing.assert_array_equal(dense(rows), dense(_safe_indexing(x, indices)))
    assert not np.shares_memory(dense(rows), dense(x)) or isinstance(x, list)


# --- one function --------------------------------------------------------------------------------


def arrays(dtype):
    x = (3 * rng.normal(size=(9, 12))).astype(dtype)
    x[0, :4] = 0.0, -0.0, 40.0, -40.0
    strange = x[:, :6].copy()
    strange[1] = [np.nan, np.inf, -np.inf, 0.0, 1.0, 2.0]
    return {
        "C order": x,
        "Fortran order": np.asfortranarray(x),
        "strided": x[::2, ::3],
        "one element": x[:1, :1].copy(),
        "not finite": strange,
        "of no rows": x[:0],
    }


@pytest.mark.parametrize("layout", arrays(np.float64))
@pytest.mark.parametrize("dtype", [*FLOATS, np.dtype(">f8"), np.float16, np.longdouble])
@pytest.mark.parametrize("name", ["identity", "exp", "relu", "logistic", "tanh", "softmax"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_activation_is_theirs_to_rounding(name, dtype, layout):
    x = arrays(dtype)[layout]
    theirs, ours = x.copy("K"), x.copy("K")
    ORIGINALS["ACTIVATIONS"][name](theirs)
    with patched():
        assert _base.ACTIVATIONS[name](ours) is None
    tiny = np.finfo(dtype).smallest_normal
    np.testing.assert_allclose(ours, theirs, rtol=20 * np.finfo(dtype).eps, atol=tiny)


@pytest.mark.parametrize("layout", set(arrays(np.float64)) - {"not finite"})
@pytest.mark.parametrize("dtype", [(a, b) for a in (*FLOATS, np.float16) for b in FLOATS])
@pytest.mark.parametrize("name", ["identity", "relu", "logistic", "tanh"])
def test_a_derivative_is_theirs_to_rounding(name, dtype, layout):
    z = arrays(dtype[0])[layout].copy("K")
    ORIGINALS["ACTIVATIONS"][name](z)
    theirs = rng.normal(size=z.shape).astype(dtype[1])
    ours = theirs.copy("K")
    ORIGINALS["DERIVATIVES"][name](z, theirs)
    with patched():
        assert _base.DERIVATIVES[name](z, ours) is None
    # 1 - z^2 cancels where z is near 1, in theirs.
    np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=4 * max(np.finfo(d).eps for d in dtype))


@pytest.mark.parametrize("sample_weight", [False, True])
@pytest.mark.parametrize("columns", [1, 2, 5])
@pytest.mark.parametrize("dtype", [*FLOATS, np.float16])
@pytest.mark.parametrize("name", ["squared_error", "poisson", "log_loss", "binary_log_loss"])
def test_a_loss_is_theirs_to_rounding(name, dtype, columns, sample_weight):
    p = rng.dirichlet(np.ones(columns), 40) if columns > 1 else rng.uniform(size=(40, 1))
    p[:2] = [[0.0], [1.0]] if columns == 1 else np.eye(columns)[:2]
    p = p.astype(dtype)
    y = rng.integers(0, 2, p.shape).astype(bool) if "log" in name else rng.normal(size=p.shape) ** 2
    if name == "log_loss" and columns > 1:
        y = np.eye(columns, dtype=bool)[rng.integers(0, columns, 40)]
    if "log" not in name:
        y, p = y.astype(dtype), (p + 0.01).astype(dtype)
    weight = rng.uniform(size=40) if sample_weight else None
    with patched():
        ours = _base.LOSS_FUNCTIONS[name](y, p, weight)
    theirs = ORIGINALS["LOSS_FUNCTIONS"][name](y, p, weight)
    np.testing.assert_allclose(ours, theirs, rtol=100 * np.finfo(dtype).eps)
    assert ours.dtype == theirs.dtype


def test_weights_that_sum_to_zero_are_refused_by_theirs():
    y, p = np.eye(3, dtype=bool), np.full((3, 3), 1 / 3)
    with patched(), pytest.raises(ZeroDivisionError):
        _base.LOSS_FUNCTIONS["log_loss"](y, p, np.zeros(3))


def test_nan_stays_nan():
    y, p = np.eye(3, dtype=bool), np.full((3, 3), 1 / 3)
    p[1] = np.nan
    with patched():
        assert np.isnan(_base.LOSS_FUNCTIONS["log_loss"](y, p))
        assert np.isnan(_base.LOSS_FUNCTIONS["binary_log_loss"](y, p))
        assert np.isnan(_base.LOSS_FUNCTIONS["squared_error"](y.astype(float), p))


def test_the_numpy_backend_leaves_the_work_to_theirs(monkeypatch):
    calls = []
    monkeypatch.setattr("ffkernels._numpy.tanh", lambda *arguments: calls.append(arguments))
    with use_backend("numpy"), patched():
        x = np.ones((2, 3))
        _base.ACTIVATIONS["tanh"](x)
    assert not calls
    np.testing.assert_array_equal(x, np.tanh(1.0))


# --- what stays scikit-learn's -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["_backprop", "_forward_pass", "_compute_loss_grad"])
@pytest.mark.parametrize("where", ["subclass", "instance"])
def test_methods_of_others_are_called(method, where, monkeypatch):
    calls = []

    def counted(self, *arguments):
        calls.append(method)
        return getattr(super(Net, self), method)(*arguments)

    class Net(MLPClassifier):
        pass

    def train():
        estimator = Net((12, 7), max_iter=3, random_state=0)
        if where == "instance":
            monkeypatch.setattr(estimator, method, types.MethodType(counted, estimator), raising=False)
        return fit(estimator, np.float64, "ten classes")

    if where == "subclass":
        setattr(Net, method, counted)
    theirs = train()
    expected = len(calls)
    calls.clear()
    with patched():
        ours = train()
    assert len(calls) == expected > 0
    assert_same(ours, theirs)


def test_a_subclass_may_keep_the_gradients_it_gets():
    kept = []

    class Net(MLPClassifier):
        def _backprop(self, *arguments):
            result = super()._backprop(*arguments)
            kept.append((result[1][0], result[1][0].copy()))
            return result

    with patched():
        fit(Net((12,), max_iter=2, random_state=0, batch_size=100), np.float64, "ten classes")
    for grad, copied in kept:
        np.testing.assert_array_equal(grad, copied)


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("ACTIVATIONS", "relu"),
        ("ACTIVATIONS", "softmax"),
        ("DERIVATIVES", "relu"),
        ("LOSS_FUNCTIONS", "log_loss"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_entries_of_others_are_called(table, name, when, monkeypatch):
    calls, own = [], TABLES[table][name]

    @functools.wraps(own)  # with the name and the module of theirs
    def mine(*arguments):
        calls.append(name)
        return own(*arguments)

    expected = fit(net("ten classes"), np.float64, "ten classes")
    if when == "before":
        monkeypatch.setitem(TABLES[table], name, mine)
    with patched():
        if when == "after":
            monkeypatch.setitem(TABLES[table], name, mine)
        ours = fit(net("ten classes"), np.float64, "ten classes")
        assert TABLES[table][name] is mine
        if when == "after":
            monkeypatch.undo()
    assert calls
    assert_same(ours, expected)


def test_verbose_prints_the_same(capsys):
    options = {"verbose": True, "tol": 0.05, "n_iter_no_change": 2, "max_iter": 40, "solver": "sgd"}
    options |= {"learning_rate": "adaptive", "early_stopping": True}
    printed = []
    for context in (nullcontext(), patched()):
        with context:
            fit(net("ten classes", **options), np.float64, "ten classes")
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Setting learning rate" in printed[0]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_an_interrupted_fit_keeps_what_it_has(solver):
    class Net(MLPClassifier):
        def _update_no_improvement_count(self, *arguments):
            if self.n_iter_ == 3:
                raise KeyboardInterrupt
            super()._update_no_improvement_count(*arguments)

    options = {"solver": solver, "random_state": 0, "hidden_layer_sizes": (12,)}
    fitted = []
    for context in (nullcontext(), patched()):
        with context, pytest.warns(UserWarning, match="Training interrupted by user"):
            fitted.append(Net(**options).fit(digits, classes))
    assert fitted[1].n_iter_ == 3
    assert_same(fitted[1], fitted[0])


def test_an_interrupted_batch_ends_the_fit(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with patched():
        monkeypatch.setitem(_base.LOSS_FUNCTIONS, "log_loss", interrupt)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            fitted = net("ten classes").fit(digits, classes)
        assert fitted.n_iter_ == 0
        monkeypatch.undo()


def test_functions_of_lbfgs_are_counted():
    fits = []
    for context in (nullcontext(), patched()):
        with context, pytest.warns(ConvergenceWarning):
            fits.append(net("ten classes", solver="lbfgs", max_fun=7, max_iter=50).fit(digits, classes))
    assert fits[0].n_iter_ == fits[1].n_iter_ < 50
    assert_same(fits[1], fits[0])


def test_grid_search_in_several_processes():
    search = GridSearchCV(
        net("ten classes", max_iter=5),
        {"alpha": [1e-4, 1.0], "activation": ["relu", "tanh"]},
        cv=2,
        n_jobs=2,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = clone(search).fit(digits, classes)
        with patched():
            ours = clone(search).fit(digits, classes)
    assert ours.best_params_ == theirs.best_params_
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"]
    )
    assert_same(ours.best_estimator_, theirs.best_estimator_)


def test_fits_do_not_depend_on_threads():
    fits = []
    for threads in (1, 2):
        with num_threads(threads), patched():
            options = {"hidden_layer_sizes": (300, 300), "max_iter": 2}
            fits.append(fit(net("ten classes", **options), np.float64, "ten classes"))
    for a, b in zip(fits[0].coefs_, fits[1].coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_fitted_is_loaded_without_ffkernels(tmp_path):
    solvers = ("adam", "sgd", "lbfgs")
    with patched():
        nets = [fit(net("ten classes", solver=s), np.float64, "ten classes") for s in solvers]
    for fitted in nets:
        for array in fitted.coefs_ + fitted.intercepts_:
            assert type(array) is np.ndarray
            assert len(pickle.dumps(array)) < array.nbytes + 500
    (tmp_path / "nets").write_bytes(pickle.dumps(nets))
    np.save(tmp_path / "x.npy", digits)
    code = (
        "import pickle, sys; import numpy as np; sys.modules['ffkernels'] = None; "
        "nets = pickle.load(open('nets', 'rb')); x = np.load('x.npy'); "
        "np.save('p.npy', [net.predict_proba(x) for net in nets]); "
        "[net.partial_fit(x, net.predict(x)) for net in nets[:2]]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    expected = [fitted.predict_proba(digits) for fitted in nets]
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_warnings_and_refusals_are_theirs():
    with patched():
        with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
            net("ten classes", max_iter=1).fit(digits, classes)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            net("ten classes").fit(np.where(digits > 0.9, np.nan, digits), classes)
        with pytest.raises(ValueError, match="non-finite parameter weights"):
            net("a number", solver="sgd", learning_rate_init=1e6).fit(1e6 * digits, TARGETS["a number"])


def test_what_was_fitted_is_pickled_and_copied_as_theirs():
    with patched():
        for solver in ("adam", "sgd"):
            fitted = fit(net("ten classes", solver=solver), np.float64, "ten classes")
            data = pickle.dumps(fitted)
            assert b"ffkernels" not in data
            for twin in (pickle.loads(data), copy.deepcopy(fitted)):
                assert type(twin._optimizer) in vars(_stochastic_optimizers).values()
                assert vars(twin._optimizer).keys() == vars(fitted._optimizer).keys()
                np.testing.assert_array_equal(twin.predict_proba(digits), fitted.predict_proba(digits))
                with patched():
                    twin.partial_fit(digits, classes)
                fitted_again = copy.deepcopy(fitted).partial_fit(digits, classes)
                assert_same(twin, fitted_again)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_training_goes_on_across_patch_and_unpatch(solver):
    theirs, ours = (net("ten classes", solver=solver) for _ in range(2))
    for step in range(6):
        theirs.partial_fit(digits, classes, classes=np.arange(10))
        if step % 2:
            patch()
        else:
            unpatch()
        ours.partial_fit(digits, classes, classes=np.arange(10))
    unpatch()
    assert_same(ours, theirs)


# --- on and off ----------------------------------------------------------------------------------


def test_patching_twice_is_patching_once():
    patch()
    first = {name: dict(table) for name, table in TABLES.items()}
    assert replaced() == REPLACED
    patch()
    assert {name: dict(table) for name, table in TABLES.items()} == first
    unpatch()
    assert not any(replaced().values())
    unpatch()
    assert not any(replaced().values())


def test_blocks_nest():
    with patched():
        with patched():
            assert replaced() == REPLACED
        assert replaced() == REPLACED
        patch()
    assert replaced() == REPLACED
    with patched():
        unpatch()
        assert replaced() == REPLACED  # a block keeps what it promised
    assert not any(replaced().values())
    with pytest.raises(KeyError), patched():
        raise KeyError
    assert not any(replaced().values())


def test_what_others_put_into_the_tables_stays(monkeypatch):
    def mine(X):
        X *= 2

    monkeypatch.setitem(_base.ACTIVATIONS, "tanh", mine)
    monkeypatch.setitem(_base.ACTIVATIONS, "double", mine)
    with patched():
        assert _base.ACTIVATIONS["tanh"] is mine
        assert _base.ACTIVATIONS["double"] is mine
        _base.ACTIVATIONS["relu"] = mine
    assert _base.ACTIVATIONS["tanh"] is mine
    assert _base.ACTIVATIONS["relu"] is mine
    _base.ACTIVATIONS["relu"] = ORIGINALS["ACTIVATIONS"]["relu"]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("targets", ["ten classes", "numbers"])
def test_a_running_fit_goes_on_across_patch_and_unpatch(solver, targets):
    class Switched(MLPClassifier if targets == "ten classes" else MLPRegressor):
        def _update_no_improvement_count(self, *arguments):
            if self.n_iter_ % 3 == 0:
                patch()
            elif self.n_iter_ % 3 == 1:
                unpatch()
            super()._update_no_improvement_count(*arguments)

    options = {"solver": solver, "batch_size": 70, "max_iter": 12}
    theirs = fit(net(targets, **options), np.float64, targets)
    for begin in (patch, unpatch):
        begin()
        estimator = Switched(hidden_layer_sizes=(12, 7), random_state=0, **options)
        ours = fit(estimator, np.float64, targets)
        unpatch()
        assert_same(ours, theirs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_threads_may_fit_at_the_same_time():
    expected = {targets: fit(net(targets), np.float64, targets) for targets in TARGETS}
    fits = {}

    def train(targets):
        with patched():
            fits[targets] = fit(net(targets), np.float64, targets)

    threads = [threading.Thread(target=train, args=(targets,)) for targets in TARGETS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for targets, theirs in expected.items():
        assert_same(fits[targets], theirs)


def test_threads_may_fit_while_others_patch():
    expected = fit(net("ten classes"), np.float64, "ten classes")
    stop, fits = threading.Event(), []

    def train():
        while not stop.is_set() or not fits:
            fits.append(fit(net("ten classes"), np.float64, "ten classes"))

    def toggle():
        for _ in range(200):
            with patched():
                pass

    trainer = threading.Thread(target=train)
    togglers = [threading.Thread(target=toggle) for _ in range(4)]
    for thread in (trainer, *togglers):
        thread.start()
    for thread in togglers:
        thread.join()
    assert not any(replaced().values())
    stop.set()
    trainer.join()
    for fitted in fits:
        assert_same(fitted, expected)


@pytest.mark.parametrize("version", ["1.7.2", "1.10.0", "2.0.dev0"])
def test_an_unknown_release_is_named_and_left_alone(version, monkeypatch):
    monkeypatch.setattr(sklearn, "__version__", version)
    with pytest.warns(RuntimeWarning, match=f"scikit-learn {version} is not a release"):
        patch()
    assert not any(replaced().values())
    unpatch()
    with pytest.warns(RuntimeWarning, match=version), patched():
        assert not any(replaced().values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match=version):
            patch()
    monkeypatch.undo()
    with patched():
        assert replaced() == REPLACED
