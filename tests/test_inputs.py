"""The input layer against its formulas, and what inspection finds."""

import datetime
import warnings
from decimal import Decimal
from fractions import Fraction

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


@pytest.mark.parametrize("scale", ["standard", "minmax", None])
@pytest.mark.parametrize("missing", ["zero", "mean", "median", "drop"])
def test_weights_are_as_many_rows(missing, scale):
    rng = np.random.default_rng(4)
    table, weight = X.copy(), rng.integers(0, 4, 50)
    table[rng.random(table.shape) < 0.2] = np.nan
    table[weight == 0] *= 1e3
    table[weight > 1, 3] = np.nan  # fewer rows than half, with more than half of the weight
    options = {"missing": missing, "scale": scale, "max_missing": 0.6, "dtype": np.float64}
    want = InputLayer(**options).fit(np.repeat(table, weight, axis=0))
    assert list(want.columns_) == [0, 1, 2]
    for given in (weight, weight / 3, list(weight * 1e-300)):
        got = InputLayer(**options).fit(table, sample_weight=given)
        np.testing.assert_array_equal(got.columns_, want.columns_)
        for name in ("fill_", "offset_", "scale_"):
            np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-13)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.zeros(50), "expected at least one above zero, got only zeros"),
        (np.ones(49), r"expected one number a row, shape \(50,\), got \(49,\)"),
        (-np.ones(50), "expected finite numbers of at least 0, got -1 at position 0"),
    ],
)
def test_weights_that_are_refused(weight, words):
    with pytest.raises(ValueError, match=f"sample_weight: {words}"):
        InputLayer().fit(X, sample_weight=weight)


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


@pytest.mark.parametrize("weights", [None, [1e-3, 1.0]])
def test_a_standard_deviation_below_the_smallest_float(weights):
    """It is rounded up to that float: by zero there is nothing to divide."""
    x = [[0.0], [5e-324]]
    low, high = InputLayer().fit(x, sample_weight=weights).transform(x)
    assert high - low == 1 and abs(low) <= 1


@pytest.mark.parametrize("scale", ["standard", "minmax"])
@pytest.mark.parametrize("missing", ["zero", "mean", "median"])
@pytest.mark.parametrize("value", [0.1, 1e16 / 3, 1e20 / 3, -1e300, 1.7e308, 5e-324, 0.0])
def test_a_constant_column_becomes_exactly_0(value, missing, scale):
    for rows in (1, 7, 1000):
        layer = InputLayer(missing=missing, scale=scale, dtype=np.float64).fit(np.full((rows, 1), value))
        # Whatever comes later: the net has learnt nothing of it.
        np.testing.assert_array_equal(layer.transform([[value], [value / 3], [7.0]]), 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_variation_by_rounding_alone_becomes_0(dtype):
    value = dtype(1e16 / 3)
    near = np.array([value, np.nextafter(value, dtype(np.inf)), np.nextafter(value, dtype(0))] * 300)
    np.testing.assert_array_equal(InputLayer(dtype=np.float64).fit_transform(near), 0.0)
    assert [f.reason for f in inspect(near)] == ["constant"]
    far = value * (1 + np.arange(900, dtype=dtype) * dtype(1e-5))
    assert InputLayer(dtype=np.float64).fit_transform(far).std() == pytest.approx(1)
    assert "constant" not in [f.reason for f in inspect(far)]


def exactly_standardised(values):
    """In rational numbers, but for the last root."""
    values = [Fraction(int(v)) if isinstance(v, np.integer) else Fraction(float(v)) for v in values]
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    return np.array([float((v - mean) ** 2 / variance) ** 0.5 * (1 if v > mean else -1) for v in values])


@pytest.mark.parametrize(
    "values",
    [
        1.7e18 + 1000.0 * np.arange(1000),
        np.int64(17 * 10**17) + 1000 * np.arange(1000),
        np.int64(17 * 10**17) + np.arange(1000),
        np.arange(300).astype(np.uint64) + np.uint64(2**64 - 300),
        np.array([-(2**63), 2**63 - 1, 0, 1, 5]),
        np.random.default_rng(5).normal(1e8, 1e-6, 1000),
        np.array([1e300, 2e300, 5e299] * 5),
        np.array([3e-310, 1e-310, 2e-310]),
        np.array([1e-200, 3e-200, 1e-201]),
    ],
)
def test_columns_far_from_0_keep_their_digits(values):
    got = InputLayer(dtype=np.float64).fit_transform(values)
    np.testing.assert_allclose(got[:, 0], exactly_standardised(values), rtol=0, atol=1e-10)
    ends = InputLayer(scale="minmax", dtype=np.float64).fit_transform(values)
    assert ends.min() == 0 and ends.max() == 1


def test_large_whole_numbers_beside_gaps():
    pandas = pytest.importorskip("pandas")
    whole = np.int64(17 * 10**17) + np.arange(1000)
    frame = pandas.DataFrame({"id": pandas.array(whole, "Int64"), "x": 1.5})
    frame.loc[3, "id"] = pandas.NA
    layer = InputLayer(missing="drop", dtype=np.float64)
    want = exactly_standardised(np.delete(whole, 3))
    np.testing.assert_allclose(layer.fit_transform(frame)[:, 0], want, atol=1e-10)


def test_dates_are_seconds_in_every_unit_and_nat_is_missing():
    days = np.array(["2024-01-01", "NaT", "2024-01-03", "1950-06-01"], "M8[D]")
    layer = InputLayer(missing="mean", dtype=np.float64).fit(days)
    seconds = np.delete(days, 1).astype("M8[s]").astype(float)
    want = (seconds - seconds.mean()) / np.sqrt(((seconds - seconds.mean()) ** 2).sum() / 4)
    for unit in ("D", "s", "ms", "us", "ns"):
        got = layer.transform(days.astype(f"M8[{unit}]"))[:, 0]
        np.testing.assert_allclose(np.delete(got, 1), want, atol=1e-12)
        assert got[1] == pytest.approx(0, abs=1e-12)
    spans = np.array([1500, -2500, "NaT", 0], "m8[ms]")
    got = InputLayer(scale=None, dtype=np.float64).fit_transform(spans)
    np.testing.assert_array_equal(got[:, 0], [1.5, -2.5, 0, 0])
    within = np.datetime64("2024-01-01T00:00:00.000000000") + np.arange(500)
    got = InputLayer(dtype=np.float64).fit_transform(within)
    np.testing.assert_allclose(got[:, 0], exactly_standardised(np.arange(500)), atol=1e-9)
    got = InputLayer(scale=None).fit_transform({"day": [datetime.date(1970, 1, 2), None]})
    np.testing.assert_array_equal(got, [[86400], [0]])


@pytest.mark.parametrize(
    "x",
    [
        np.array([[1 + 2j]]),
        np.array([[1 + 2j]], object),
        np.array([[1 + 0j]], np.complex64),
        {"a": [1.0, 2j]},
    ],
)
def test_complex_numbers_are_refused(x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (InputLayer().fit, inspect):
            with pytest.raises(TypeError, match=r"x.*: expected real numbers, got .*complex"):
                function(x)


def test_state_keeps_what_the_layer_was_told():
    table = np.column_stack([X, np.full(50, 3.0)])
    table[:30, 0] = np.nan
    layer = InputLayer("median", max_missing=0.5, scale="minmax", dtype=np.float64).fit(table)
    again = InputLayer.from_state(layer.state())
    assert vars(again).keys() == vars(layer).keys()
    assert (again.missing, again.max_missing, again.scale) == ("median", 0.5, "minmax")
    np.testing.assert_array_equal(again.transform(table), layer.transform(table))
    np.testing.assert_array_equal(again.fit(table).columns_, [1, 2, 3, 4])


COLUMNS = {"a": [1.0, 2.0, None, 4.0], "b": [3, 1, 2, 2], "c": [True, False, None, True]}
TABLE = np.array([[1, 3, 1], [2, 1, 0], [np.nan, 2, np.nan], [4, 2, 1]])


def tables_of_columns():
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    records = [tuple(row) for row in TABLE]
    yield COLUMNS
    yield {name: np.array(values, object) for name, values in COLUMNS.items()}
    yield np.array(records, [("a", "f4"), ("b", "f8"), ("c", "f2")])
    yield pyarrow.table(COLUMNS)
    yield pyarrow.RecordBatch.from_pydict(COLUMNS)
    frame = pandas.DataFrame(COLUMNS)
    yield frame
    yield frame.convert_dtypes()
    yield frame.convert_dtypes(dtype_backend="pyarrow")
    yield frame.astype({"a": "Float32", "b": "category", "c": "boolean"})
    yield frame.astype({"b": object}).assign(a=[Decimal(1), Decimal(2), pandas.NA, Decimal(4)])
    try:
        import polars
    except ModuleNotFoundError:
        return
    yield polars.DataFrame(COLUMNS)


def test_tables_of_named_columns():
    for table in tables_of_columns():
        layer = InputLayer(missing="mean", dtype=np.float64).fit(table)
        assert layer.feature_names_in_ == ["a", "b", "c"]
        for other in tables_of_columns():  # what was fitted on one library's takes another's
            np.testing.assert_array_equal(
                layer.transform(other), InputLayer("mean", dtype=np.float64).fit_transform(TABLE)
            )
        with pytest.raises(ValueError, match=r"expected columns \['a', 'b', 'c'\], got \['a', 'c'"):
            layer.transform({"a": [1.0], "c": [1.0], "b": [0.0]})
    with pytest.raises(TypeError, match=r"x, column 'b': expected real numbers, got .*'red'"):
        InputLayer().fit({"a": [1.0], "b": ["red"]})
    with pytest.raises(ValueError, match="x, column 'b': expected 2 rows like column 'a', got 1"):
        InputLayer().fit({"a": [1.0, 2.0], "b": [3.0]})
    for function in (InputLayer().fit, inspect):
        with pytest.raises(ValueError, match="x: expected at least one column, got none"):
            function({})
        with pytest.raises(ValueError, match="got inf in row 1, column 'b'"):
            function({"a": [1.0, 2.0], "b": [3.0, np.inf]})


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ([], ValueError, "x: expected at least one row, got none"),
        ([[]], ValueError, "x: expected at least one column, got none"),
        ({"a": []}, ValueError, "x: expected at least one row, got none"),
        ([["1.5", "b"]], TypeError, "x: expected real numbers, got could not convert .*: 'b'"),
        ({"a": np.array([[1, 2], [3]], object)}, TypeError, "x, column 'a': expected real numbers"),
        ({"a": [[1, 2], [3, 4]]}, ValueError, "x, column 'a': expected one dimension, got 2"),
        (np.array([["1e400"]]).astype(np.longdouble), ValueError, "expected finite numbers"),
        ({"a": np.ma.masked_array([1, 2], [0, 1])}, TypeError, "x, column 'a': expected a plain array"),
    ],
)
def test_what_is_no_table_of_numbers(x, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=words):
            InputLayer().fit(x)


def test_no_rows_come_out_as_none():
    layer = InputLayer().fit({"a": [1.0, 2.0], "b": [0.0, 5.0]})
    assert layer.transform({"a": [], "b": []}).shape == (0, 2)


def test_dates_of_every_library():
    pandas = pytest.importorskip("pandas")
    moments = pandas.Series(pandas.to_datetime(["2024-01-01", None, "1950-01-03"]))
    want = [[1704067200.0], [0.0], [-630979200.0]]
    zone = moments.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    given = [moments, zone, moments.dt.date, moments.astype(object)]
    if pytest.importorskip("pyarrow"):
        given += [
            moments.astype(f"{kind}[pyarrow]") for kind in ("date32", "timestamp[ns]", "timestamp[s]")
        ]
    for column in given:
        got = InputLayer(scale=None, dtype=np.float64).fit_transform(pandas.DataFrame({"when": column}))
        np.testing.assert_array_equal(got, want)


def test_inspection_of_tables_of_named_columns():
    pyarrow = pytest.importorskip("pyarrow")
    kinds = ["a", "b"] * 20
    columns = {"x": RNG.normal(size=40), "unit": np.ones(40), "kind": kinds, "key": list("abcd") * 10}
    for table in (columns, pyarrow.table(columns)):
        assert [(f.name, f.reason) for f in inspect(table, kinds)] == [
            ("unit", "constant"), ("kind", "a copy or transform of the target"),
        ]  # fmt: skip


@pytest.mark.parametrize("gap", [None, np.nan, "pandas.NA"])
def test_inspection_where_labels_are_missing(gap):
    if gap == "pandas.NA":
        gap = pytest.importorskip("pandas").NA
    kinds = np.array(["ash", "birch", "cedar"] * 40, object)
    codes = np.unique(kinds, return_inverse=True)[1]
    kinds[[5, 17]] = gap
    copy = np.where(np.arange(120) == 5, 2.0, codes)  # agrees where there is a label
    found = inspect(np.column_stack([copy, RNG.normal(size=120)]), kinds)
    assert [(f.column, f.reason) for f in found] == [(0, "a copy or transform of the target")]
    numbers = RNG.normal(size=120)
    copy = numbers**3
    numbers[[5, 17]] = np.nan
    assert [f.column for f in inspect(np.column_stack([copy, codes]), numbers)] == [0]


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
    assert [str(f) for f in inspect(frame)] == ["b: constant (every value is 2)"]
    frame["b"] = "text"
    with pytest.raises(TypeError, match="x, column 'b': expected real numbers"):
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


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: np.sort(rng.choice(20_000, 400, replace=False)) + 7000,  # in order, with gaps
        lambda rng: rng.choice(4000, 400, replace=False),  # by chance, 20 pairs would be equal
        lambda rng: rng.choice(10**9, 400, replace=False),
        lambda rng: np.array([f"K{k:05d}" for k in rng.permutation(400)]),
        lambda rng: 17 * 10**17 + rng.permutation(400),  # that float64 cannot tell apart
    ],
)
def test_identifiers_of_many_kinds(draw, seed):
    (found,) = inspect({"x": draw(np.random.default_rng(seed))})
    assert str(found) == "x: identifier-like (400 different values in 400 rows)"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: np.round(np.exp(rng.normal(12, 1, 400))),  # people of a town
        lambda rng: np.sort(np.round(rng.normal(5e5, 1e5, 400))),  # prices, sorted
        lambda rng: np.round(rng.normal(70_000, 9000, 60)),  # grams
        lambda rng: rng.integers(0, 4000, 400),
        lambda rng: rng.choice(["a", "b"], 400),
    ],
)
def test_whole_numbers_that_were_measured_are_no_identifiers(draw, seed):
    values = draw(np.random.default_rng(seed))
    assert inspect({"x": values}) == []
    if len(np.unique(values)) == len(values):
        for name in ("id", "customer_id", "customerId", "Key", "ID"):
            assert [f.reason for f in inspect({name: values})] == ["identifier-like"]
        assert inspect({"width": values, "idea": values, "KEYS": values}) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("count", [8, 12, 30])
def test_nominal_codes(count, classes, seed):
    rng = np.random.default_rng(seed)
    place = rng.integers(0, count, 1200)
    codes = np.sort(rng.choice(90_000, count, replace=False)) + 10_000
    order = np.arange(count) * {8: 3, 12: 5, 30: 11}[count] % count
    levels = np.linspace(-2, 2, count)[order]  # no order along the codes
    target = levels[place] + rng.normal(0, 0.5, 1200)
    noise, smooth = rng.normal(size=1200), (place - count / 2) ** 2 / count + rng.normal(0, 0.5, 1200)
    if classes:
        target, noise, smooth = (np.digitize(t, [-1.0, 1.0]) for t in (target, noise, smooth))
    (found,) = inspect({"place": codes[place]}, target)
    assert (found.reason, found.figure) == ("nominal codes", count)
    assert inspect({"place": codes[place]}, noise) == inspect({"place": codes[place]}, smooth) == []
    (found,) = inspect({"Zip Code": codes[place]}, noise)
    assert found.meaning == f"{count} different values in 1200 rows, by their name"


def test_inspection_judges_every_bundled_table_rightly():
    """Not one false alarm in 124 columns."""
    datasets = pytest.importorskip("sklearn.datasets")
    pytest.importorskip("pandas")
    for name in ("iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud"):
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=True)
        for target in [y] if y.ndim == 1 else [y[column] for column in y]:
            alarms = [f for f in inspect(x, target) if np.ptp(x[f.name]) > 0]
            assert alarms == []


def test_an_input_layer_says_what_it_is():
    layer = InputLayer("mean", scale=None)
    assert repr(layer) == "InputLayer(missing='mean', max_missing=1.0, scale=None, dtype=float32)"


def test_a_column_of_which_just_so_much_may_be_missing():
    x = [[1.0, np.nan, np.nan], [2.0, 3.0, np.nan]]
    assert InputLayer(max_missing=0.5).fit(x).columns_.tolist() == [0, 1]
    assert InputLayer(max_missing=0.0).fit(x).columns_.tolist() == [0]
    assert InputLayer().fit(x).columns_.tolist() == [0, 1, 2]
