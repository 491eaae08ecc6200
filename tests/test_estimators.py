"""The estimators by scikit-learn's own checks, and what they are made of."""

import doctest
import subprocess
import sys
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")
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


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([FeedForwardClassifier(), FeedForwardRegressor()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


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
