"""scikit-learn's nets under the patch: the same fits, its own functions back afterwards, and every way
in which the two could get mixed up."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
from scipy import sparse
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import (
    MLPClassifier,
    MLPRegressor,
    _base,
    _multilayer_perceptron,
    _stochastic_optimizers,
)

from ffkernels import get_backend, use_backend
from ffkernels.adapters.sklearn import patch, patched, unpatch

TABLES = {
    "ACTIVATIONS": _base.ACTIVATIONS,
    "DERIVATIVES": _base.DERIVATIVES,
    "LOSS_FUNCTIONS": _base.LOSS_FUNCTIONS,
    "module": vars(_multilayer_perceptron),
}
ORIGINALS = {name: dict(table) for name, table in TABLES.items()}
REPLACED = {
    "ACTIVATIONS": {"relu", "logistic", "tanh", "softmax"},
    "DERIVATIVES": {"relu", "logistic", "tanh"},
    "LOSS_FUNCTIONS": {"squared_error", "log_loss", "binary_log_loss"},
    "module": {"AdamOptimizer", "SGDOptimizer"},
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


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_mixed_types_fall_through(solver):
    x, y = digits.astype(np.float32), TARGETS["numbers"]  # which scikit-learn then computes in both
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = net("numbers", solver=solver).fit(x, y)
        with patched():
            ours = net("numbers", solver=solver).fit(x, y)
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
