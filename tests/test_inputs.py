"""The input layer against its formulas, and what inspection finds."""

import numpy as np
import pytest

from ffkernels.inputs import InputLayer, inspect

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (50, 4))


def test_standardising_is_fitted_on_training_data_alone():
    layer = InputLayer(dtype=np.float64).fit(X)
    new = RNG.normal(0, 1, (7, 4))
    np.testing.assert_allclose(layer.transform(new), (new - X.mean(0)) / X.std(0), rtol=1e-12)


def test_minmax_and_constant_columns():
    table = np.column_stack([X, np.full(50, 0.1)])
    got = InputLayer(scale="minmax", dtype=np.float64).fit_transform(table)
    assert got.min() == 0 and got.max() == 1
    assert (got[:, 4] == 0).all()


@pytest.mark.parametrize("missing", ["zero", "mean", "median"])
def test_filling(missing):
    table = X.copy()
    table[3, 1] = np.nan
    rest = np.delete(table[:, 1], 3)
    want = {"zero": 0.0, "mean": rest.mean(), "median": np.median(rest)}[missing]
    got = InputLayer(missing=missing, scale=None, dtype=np.float64).fit_transform(table)
    assert got[3, 1] == pytest.approx(want)


def test_dropping_rows_takes_the_targets_along():
    table = X.copy()
    table[[3, 8], 1] = np.nan
    got, targets = InputLayer(missing="drop").fit_transform(table, np.arange(50))
    assert len(got) == 48 and list(targets) == [i for i in range(50) if i not in (3, 8)]


def test_columns_mostly_missing_are_left_out():
    table = X.copy()
    table[:40, 2] = np.nan
    layer = InputLayer(max_missing=0.5).fit(table)
    assert list(layer.columns_) == [0, 1, 3]
    assert layer.transform(X).shape == (50, 3)


def test_state_restores_the_layer():
    layer = InputLayer(missing="mean").fit(X)
    np.testing.assert_array_equal(InputLayer.from_state(layer.state()).transform(X), layer.transform(X))


def test_joining():
    assert InputLayer().fit_transform([X, X[:, 0]]).shape == (50, 5)
    with pytest.raises(ValueError, match=r"x\[1\]: expected 50 rows"):
        InputLayer().fit([X, X[:3]])


def test_refusals():
    with pytest.raises(ValueError, match="row 2, column 1"):
        table = X.copy()
        table[2, 1] = np.inf
        InputLayer().fit(table)
    with pytest.raises(TypeError, match="real numbers"):
        InputLayer().fit([["a"]])
    with pytest.raises(RuntimeError, match="fit before transform"):
        InputLayer().transform(X)
    with pytest.raises(ValueError, match="expected 4 columns, got 3"):
        InputLayer().fit(X).transform(X[:, :3])
    with pytest.raises(ValueError, match="missing"):
        InputLayer(missing="guess").fit(X)


def test_inspection_finds_what_was_planted():
    rows = 200
    target = RNG.normal(size=rows)
    mostly = np.where(RNG.random(rows) < 0.8, np.nan, 1.0 * np.arange(rows))
    outlier = RNG.normal(size=rows)
    outlier[5] = 1e6
    columns = [
        RNG.normal(size=rows), mostly, np.full(rows, 2.5), np.exp(target), np.arange(rows) + 1000.0,
        RNG.choice(10**9, rows, replace=False), outlier,
    ]  # fmt: skip
    found = {f.column: f.reason.split(":")[0] for f in inspect(np.column_stack(columns), target)}
    assert found == {
        1: "mostly missing", 2: "constant", 3: "a copy or transform of the target",
        4: "identifier-like", 5: "identifier-like", 6: "gross outliers",
    }  # fmt: skip


def test_inspection_is_silent_about_ordinary_columns():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert inspect(rng.normal(size=(100, 5)), rng.normal(size=100)) == []
