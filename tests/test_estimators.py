"""The estimators by scikit-learn's own checks, and what they are made of."""

import doctest
import functools
import subprocess
import sys
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")
from sklearn.utils import estimator_checks  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from ffkernels import estimators  # noqa: E402
from ffkernels.estimators import FeedForwardClassifier, FeedForwardRegressor  # noqa: E402


def test_without_scikit_learn_the_extra_is_named():
    code = "import sys; sys.modules['sklearn'] = None\nimport ffkernels.estimators"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ffkernels.estimators needs sklearn, which is not installed" in run.stderr.splitlines()[-1]
    assert run.stderr.endswith("pip install 'ffkernels[sklearn]'\n")


def test_examples():
    outcome = doctest.testmod(estimators)
    assert outcome.attempted and not outcome.failed


WEIGHTS_AS_ROWS = "check_sample_weight_equivalence_on_dense_data"
FULL_BATCH = {"batch_size": 10_000, "validation_fraction": 0.0, "max_iter": 30}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [FeedForwardClassifier(), FeedForwardRegressor()],
    expected_failed_checks=lambda _: {WEIGHTS_AS_ROWS: "batches of other rows"},
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", [FeedForwardClassifier, FeedForwardRegressor])
def test_scikit_learns_own_check_of_weights_on_full_batches(kind):
    getattr(estimator_checks, WEIGHTS_AS_ROWS)(kind.__name__, kind(**FULL_BATCH))


def weighted(kind, rng):
    """Rows with gaps, targets of several outputs for regression, and whole weights, some 0."""
    x, weight = rng.normal(size=(40, 3)), rng.integers(0, 4, 40)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = rng.integers(0, 3, 40) if kind is FeedForwardClassifier else rng.normal(size=(40, 2))
    return x, y, weight


@pytest.mark.parametrize("options", [
    {"missing": "mean"}, {"missing": "median", "scale": "minmax"}, {"missing": "zero", "scale": None},
    {"solver": "sgd", "hidden_layer_sizes": ()}, {"class_weight": "balanced"},
    {"class_weight": {0: 1, 1: 5, 2: 0.5}},
])  # fmt: skip
@pytest.mark.parametrize("kind", [FeedForwardClassifier, FeedForwardRegressor])
def test_weights_are_as_many_rows(kind, options):
    if "class_weight" in options and kind is FeedForwardRegressor:
        pytest.skip("has no classes")
    x, y, weight = weighted(kind, np.random.default_rng(1))
    rows = np.repeat(np.arange(len(x)), weight)
    make = functools.partial(kind, activation="tanh", random_state=0, **(FULL_BATCH | options))
    want, got = make().fit(x[rows], y[rows]), make().fit(x, y, sample_weight=weight)
    again = make().fit(x, y, sample_weight=weight / 7)
    outputs = "predict_proba" if kind is FeedForwardClassifier else "predict"
    for net in (got, again):
        np.testing.assert_allclose(net.loss_curve_, want.loss_curve_, rtol=1e-9)
        np.testing.assert_allclose(getattr(net, outputs)(x), getattr(want, outputs)(x), rtol=1e-6)


@pytest.mark.parametrize("kind", [FeedForwardClassifier, FeedForwardRegressor])
def test_rows_without_weight_are_left_out(kind):
    """To the last bit, in batches and with rows held back: nothing is drawn for them."""
    x, y, weight = weighted(kind, np.random.default_rng(2))
    kept = weight > 0
    make = functools.partial(kind, batch_size=8, max_iter=5, random_state=0)
    want = make().fit(x[kept], y[kept], sample_weight=weight[kept])
    got = make().fit(x, y, sample_weight=weight)
    assert got.loss_curve_ == want.loss_curve_ and got.best_loss_ == want.best_loss_
    np.testing.assert_array_equal(got.predict(x), want.predict(x))
    ones = make().fit(x, y, sample_weight=np.ones(40))
    np.testing.assert_allclose(ones.loss_curve_, make().fit(x, y).loss_curve_, rtol=1e-9)


def test_a_class_without_weight_is_none():
    x, y = bundled("iris")
    net = FeedForwardClassifier(max_iter=2).fit(x, y, sample_weight=y != 1)
    assert list(net.classes_) == [0, 2]


@pytest.mark.parametrize("kind", [FeedForwardClassifier, FeedForwardRegressor])
@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [
        (np.zeros(40), ValueError, "sample_weight: expected at least one above zero, got only zeros"),
        (np.ones(39), ValueError, r"sample_weight: .* a row, shape \(40,\), got \(39,\)"),
        (np.ones((40, 1)), ValueError, r"sample_weight: .* got \(40, 1\)"),
        (-np.ones(40), ValueError, "sample_weight: expected finite numbers of at least 0, got -1 at"),
        (np.full(40, np.inf), ValueError, "sample_weight: expected finite numbers"),
        (["a"] * 40, TypeError, "sample_weight: expected real numbers"),
    ],
)
def test_weights_that_do_not_fit(kind, weight, error, words):
    x, y, _ = weighted(kind, np.random.default_rng(3))
    with pytest.raises(error, match=words):
        kind().fit(x, y, sample_weight=weight)


def bundled(name):
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(return_X_y=True)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_bundled_tables_in_a_pipeline_and_a_grid_search(name):
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    x, y = bundled(name)
    least, kind = (0.3, FeedForwardRegressor) if name == "diabetes" else (0.9, FeedForwardClassifier)
    assert cross_val_score(kind(random_state=0), x, y).mean() > least
    if name == "iris":
        pipeline = make_pipeline(PolynomialFeatures(2), kind(max_iter=60, random_state=0))
        grid = {"feedforwardclassifier__hidden_layer_sizes": [(), (16,)]}
        assert GridSearchCV(pipeline, grid).fit(x, y).best_score_ > 0.8


def test_gaps_are_filled_and_frames_known_by_name():
    pandas = pytest.importorskip("pandas")
    x, y = bundled("iris")
    frame = pandas.DataFrame(x, columns=list("abcd"))
    frame.iloc[::7, 2] = np.nan
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    net = FeedForwardClassifier(random_state=0).fit(frame, names)
    assert net.score(frame, names) > 0.9
    assert list(net.feature_names_in_) == list("abcd") and list(net.classes_) == sorted(set(names))
    np.testing.assert_allclose(net.predict_proba(frame).sum(axis=1), 1, rtol=1e-12)
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame[list("badc")])


def test_balanced_classes_find_the_rare_one():
    rng = np.random.default_rng(0)
    rare = rng.random(1500) < 0.06
    x = rng.normal(1.0 * rare, 1)[:, None]
    found = [
        np.mean(
            FeedForwardClassifier(max_iter=10, class_weight=w, random_state=0)
            .fit(x, rare)
            .predict(x)[rare]
        )
        for w in (None, "balanced", {False: 1, True: 16})
    ]
    assert found[0] < 0.3 and min(found[1:]) > 0.5


def test_the_net_is_left_at_its_best_and_stops_when_nothing_falls():
    x, y = bundled("wine")
    net = FeedForwardClassifier(random_state=0, learning_rate_init=0.05, n_iter_no_change=3).fit(x, y)
    assert net.n_iter_ == len(net.loss_curve_) < 100
    again = FeedForwardClassifier(random_state=0, learning_rate_init=0.05, max_iter=net.n_iter_ - 3).fit(
        x, y
    )
    assert again.best_loss_ == net.best_loss_
    np.testing.assert_array_equal(again.predict_proba(x), net.predict_proba(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_that_of_the_inputs(dtype):
    x, y = bundled("iris")
    assert FeedForwardClassifier(max_iter=2).fit(x.astype(dtype), y).net_.dtype == dtype


def test_few_rows():
    for rows in (1, 2, 3, 5):
        net = FeedForwardRegressor(max_iter=3).fit(np.ones((rows, 2)), np.arange(rows))
        assert net.predict(np.ones((1, 2))).shape == (1,)
        FeedForwardClassifier(max_iter=3).fit(np.ones((rows, 2)), np.arange(rows))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"solver": "lbfgs"}, "solver: expected 'adam' or 'sgd', got 'lbfgs'"),
        ({"missing": "drop"}, "missing: expected 'zero', 'mean' or 'median', got 'drop'"),
        ({"max_iter": 0}, "max_iter: expected a number from 1 up, got 0"),
        ({"batch_size": -1}, "batch_size: expected a number from 1 up"),
        ({"validation_fraction": 1.0}, "validation_fraction: expected 0 to below 1"),
        ({"activation": "swish"}, "activation: expected one of"),
        ({"scale": "robust"}, "scale: expected one of"),
        ({"learning_rate_init": 1e30, "solver": "sgd"}, "learning_rate_init: expected one under which"),
    ],
)
def test_parameters_that_do_not_fit(parameters, words):
    x, y = bundled("diabetes")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=words):
            FeedForwardRegressor(**parameters).fit(x, y)
