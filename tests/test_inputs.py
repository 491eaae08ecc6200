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
    with pytest.raises(ValueError, match="got int32"):
        InputLayer(dtype=np.int32).fit(X)
    with pytest.raises(ValueError, match="range of float64"):
        InputLayer(scale="minmax").fit([[1e308], [-1e308]])
    with pytest.raises(ValueError, match="missing"):
        InputLayer(missing="guess").fit(X)


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    layer = InputLayer(missing="mean").fit(frame)
    np.testing.assert_array_equal(layer.transform(frame), InputLayer(missing="mean").fit_transform(X))
    assert layer.transform(X).shape == (50, 4)
    with pytest.raises(ValueError, match=r"expected columns \['a', 'b', 'c', 'd'\], got \['b'"):
        layer.transform(frame[list("bacd")])
    gaps = frame.convert_dtypes()
    gaps.iloc[3, 1] = pandas.NA
    assert layer.transform(gaps)[3, 1] == pytest.approx(0, abs=1e-6)
    assert InputLayer().fit_transform([frame, frame["a"]]).shape == (50, 5)
    frame["b"] = 2.0
    assert [str(f) for f in inspect(frame)] == ["b: constant (2)"]
    frame["b"] = "text"
    with pytest.raises(TypeError, match="x: expected real numbers"):
        InputLayer().fit(frame)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_blocks_of_rows(dtype):
    """More rows than are taken at a time, in every type; the caller's array stays as it was."""
    table = np.random.default_rng(1).normal(3, 2, (40_000, 3)).astype(dtype)
    table[::7, 1] = np.nan
    before = table.copy()
    got = InputLayer(missing="median", dtype=np.float64).fit_transform(table)
    wide = table.astype(np.float64)
    wide[::7, 1] = np.nanmedian(wide[:, 1])
    np.testing.assert_allclose(got, (wide - wide.mean(0)) / wide.std(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(table, before)


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


@pytest.mark.parametrize(
    ("reason", "plant"),
    [
        ("a copy or transform of the target", lambda t, rng: (t - 1.0) ** 2),
        ("a copy or transform of the target", lambda t, rng: np.array([2.0, 0.0, 1.0])[t]),
        ("a copy or transform of the target", lambda t, rng: t + 0.01 * rng.normal(size=t.size)),
        ("identifier-like", lambda t, rng: rng.permutation(t.size) + 1e6),
        ("gross outliers", lambda t, rng: (rng.random(t.size) < 0.1) + 1e5 * (np.arange(t.size) == 7)),
    ],
)
def test_inspection_beside_classes(reason, plant):
    rng = np.random.default_rng(3)
    target = np.arange(120) % 3
    rng.shuffle(target)
    (found,) = inspect(plant(target, rng)[:, None], target)
    assert found.reason.split(":")[0] == reason


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits"])
def test_inspection_of_ordinary_tables(name):
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    found = {finding.column for finding in inspect(x, y)}
    assert found == set(np.flatnonzero(np.ptp(x, axis=0) == 0))


def test_inspection_is_silent_about_ordinary_columns():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert inspect(rng.normal(size=(100, 5)), rng.normal(size=100)) == []
