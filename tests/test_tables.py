"""Nets with their table: the same predictions from every kind of table, and files that are none."""

import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from ffkernels import _text
from ffkernels._columns import RawColumn
from ffkernels.inputs import InputLayer
from ffkernels.layers import TABLE, FeedForward
from ffkernels.tables import Column, TableNet, encode

COLUMNS = [Column("size"), Column("colour", ["blue", "red"]), Column("zip", [1067.0, 10115.0])]
SIZES = [1.5, None, 3.0, 2.0, 7.0]
TABLE_OF_ALL = {
    "size": SIZES,
    "note": ["left", "out", "of", "it", "!"],
    "colour": ["red", "blue", None, "green", "red"],
    "zip": [1067, 10115, 1067, 5, 1067],
}
ENCODED = np.array(
    [[1.5, 0, 1, 1, 0], [np.nan, 1, 0, 0, 1], [3, 0, 0, 1, 0], [2, 0, 0, 0, 0], [7, 0, 1, 1, 0]]
)


@pytest.fixture
def model():
    layer = InputLayer("mean").fit(encode(COLUMNS, TABLE_OF_ALL))
    net = FeedForward([5, 4, 3], seed=1)
    return TableNet(COLUMNS, layer, net, "kind", ["ash", "birch", "cedar"])


@pytest.fixture
def regression():
    net = FeedForward([1, 3, 1], loss="sum_squared_error", seed=1)
    return TableNet(
        [Column("size")], InputLayer().fit({"size": [1.0, 4.0]}), net, "height", None, 100.0, 7.0
    )


def tables():
    yield TABLE_OF_ALL
    rows = [list(row) for row in zip(*(TABLE_OF_ALL[c.name] for c in COLUMNS), strict=True)]
    yield rows
    yield np.array(rows, object)
    filled = [tuple(-1 if item is None else item for item in row) for row in rows]
    array = np.array(filled, [("size", "f8"), ("colour", "U8"), ("zip", "i4")])
    array["size"][1], array["colour"][2] = np.nan, ""
    yield array[["zip", "size", "colour"]]
    try:
        import pandas
    except ModuleNotFoundError:
        return
    frame = pandas.DataFrame(TABLE_OF_ALL)
    yield frame
    yield frame[["zip", "colour", "size"]].convert_dtypes()
    yield frame.astype({"zip": "category", "colour": "category"})
    try:
        import pyarrow
    except ModuleNotFoundError:
        return
    yield pyarrow.table(TABLE_OF_ALL)


def test_every_kind_of_table_gives_the_same(model):
    inputs = InputLayer("mean").fit_transform(ENCODED)
    want = model.net.predict(inputs)
    for table in tables():
        np.testing.assert_array_equal(model.inputs(table), inputs)
        np.testing.assert_array_equal(model.predict_proba(table), want)
        assert (
            model.predict(table).tolist() == np.array(["ash", "birch", "cedar"])[want.argmax(1)].tolist()
        )


def test_one_row_as_a_dictionary(model):
    row = {name: values[0] for name, values in TABLE_OF_ALL.items()}
    np.testing.assert_array_equal(model.predict_proba(row), model.predict_proba(TABLE_OF_ALL)[:1])


def test_a_regression_predicts_in_its_own_unit(regression):
    got = regression.predict([[1.0], [4.0]])
    want = 100 + 7 * regression.net.predict([[-1.0], [1.0]])[:, 0].astype(float)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    with pytest.raises(
        TypeError, match="predict_proba: expected a net for classes, got a regression of h"
    ):
        regression.predict_proba([[1.0]])


def test_classes_that_are_numbers_stay_numbers(model):
    model.classes = [0, 1, 7]
    assert model.predict(TABLE_OF_ALL).dtype.kind == "i"


def test_saved_models_come_back(model, regression, tmp_path):
    for one, table in ((model, TABLE_OF_ALL), (regression, {"size": SIZES})):
        one.save(tmp_path / "net.npz")
        again = TableNet.load(tmp_path / "net.npz")
        assert repr(again) == repr(one)
        assert again.columns == one.columns
        np.testing.assert_array_equal(again.predict(table), one.predict(table))
        np.testing.assert_array_equal(again.outputs(table), one.outputs(table))


def test_a_saved_model_needs_numpy_alone(model, tmp_path):
    model.save(tmp_path / "net.npz")
    code = (
        "import sys\nsys.modules.update(dict.fromkeys(['pandas', 'sklearn', 'pyarrow']))\n"
        "from ffkernels.tables import TableNet\n"
        "print(*TableNet.load(sys.argv[1]).predict([[1.5, 'red', 1067], [None, 'blue', None]]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "net.npz")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == model.predict([[1.5, "red", 1067], [None, "blue", None]]).tolist()


def test_a_net_of_raw_columns_is_not_taken_for_one_of_its_inputs(model, tmp_path):
    model.save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"net\.npz, which takes the raw columns .*TableNet\.load"):
        FeedForward.load(tmp_path / "net.npz")


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ({"size": [1.0], "colour": ["red"]}, ValueError, "got none of the name 'zip'"),
        ([[1.0, "red"]], ValueError, r"expected shape \(rows, 3\) with columns \['size'.* got \(1, 2\)"),
        ([1.0, 2.0, 3.0], ValueError, r"expected shape \(rows, 3\) .*got \(3,\)"),
        ([["big", "red", 5]], TypeError, "x, column 'size': expected real numbers, got .*'big'"),
        ({"size": [1.0], "colour": ["red"], "zip": ["x"]}, TypeError, "x, column 'zip': expected real"),
        ({"size": [1.0, 2.0], "colour": ["red"], "zip": [5]}, ValueError, "expected 2 rows like column"),
        (
            {"size": [np.inf], "colour": ["red"], "zip": [5]},
            ValueError,
            "got inf in row 0, column 'size'",
        ),
    ],
)
def test_tables_that_do_not_fit(model, x, error, words):
    with pytest.raises(error, match=words):
        model.predict(x)


def test_text_is_read_as_in_training(model, regression):
    for text in (" 2.5 ", "$2.50", "2.5 %", "2,5", "+2.5e0"):
        np.testing.assert_array_equal(regression.predict([[text]]), regression.predict([[2.5]]))
    for text in ("?", "NA", "", None, np.nan):
        np.testing.assert_array_equal(regression.predict([[text]]), regression.predict([[np.nan]]))
    assert Column("x").encode(RawColumn(np.array(["1,234"])))[0] == 1234
    assert Column("x", decimal_commas=True).encode(RawColumn(np.array(["1,234"])))[0] == 1.234
    (when,) = Column("x", dates=True).encode(RawColumn(np.array(["2024-1-2", "02.01.2024", "?"])))
    np.testing.assert_array_equal(when, [1704153600.0, 1704153600.0, np.nan])


@pytest.mark.parametrize(
    ("texts", "decimal_commas", "want"),
    [
        (["1,234", "12"], False, [1234, 12]),
        (["1,234", "12"], True, [1.234, 12]),
        (["1,234.5", "1,5"], True, [np.nan, 1.5]),
        (["1.234,5", "1,5"], False, [1234.5, 1.5]),
        (["0.997", "0.5"], True, [0.997, 0.5]),
        (["1.234.567", "1"], False, [1234567, 1]),
        (["12,34,567", "1"], False, [np.nan, 1]),
        (["-$ 1,234", "€5", "7 £"], False, [-1234, 5, 7]),
        (["- 5", "1_000", "inf", "0x10", "1e5", ".5", "5.", "1 2", None], False,
         [np.nan, np.nan, np.nan, np.nan, 1e5, 0.5, 5, np.nan, np.nan]),
        (["1 234 567,5", "1\u202f234"], True, [1234567.5, 1234]),
    ],
)  # fmt: skip
def test_numbers_in_text(texts, decimal_commas, want):
    np.testing.assert_array_equal(_text.numbers(texts, decimal_commas), want)


def test_dates_in_text():
    texts = [
        "2024-01-31", "2024/1/31", "31.01.2024", "2024-01-31T12:30", "2024-01-31 12:30:15.25",
        "2024-01-31T12:00:00+02:00", "2024-01-31T12:00Z", "2024-13-01", "01/02/2024", "2024", None,
    ]  # fmt: skip
    want = np.array([
        "2024-01-31", "2024-01-31", "2024-01-31", "2024-01-31T12:30", "2024-01-31T12:30:15.25",
        "2024-01-31T10:00", "2024-01-31T12:00", "NaT", "NaT", "NaT", "NaT",
    ], "M8[us]")  # fmt: skip
    np.testing.assert_array_equal(_text.dates(texts), want)


def test_names_that_meet():
    columns = [Column("a=b"), Column("a", ["b", "c"])]
    encoded = encode(columns, {"a": ["b", "c"], "a=b": [5.0, 6.0]})
    np.testing.assert_array_equal(np.transpose(list(encoded.values())), [[5, 1, 0], [6, 0, 1]])


@pytest.mark.parametrize("step", range(4))
def test_any_wrong_byte_gives_words(regression, tmp_path, step):
    path = tmp_path / "net.npz"
    regression.save(path)
    whole = path.read_bytes()
    want = regression.predict([[2.0]])
    for at in range(step, len(whole), 4):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                got = TableNet.load(path).predict([[2.0]])
            except ValueError as error:
                assert str(error).startswith(
                    "path: expected a file that train --save or TableNet.save wr"
                )
            else:
                np.testing.assert_array_equal(got, want)  # a date, a comment
        path.write_bytes(whole[:at])
        with pytest.raises(ValueError, match="path: expected a file that train --save"):
            TableNet.load(path)


def table_of(path):
    with np.load(path) as arrays:
        return dict(arrays), json.loads(str(arrays[f"extras/{TABLE}"]))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: [],
        lambda table: {},
        lambda table: None,
        lambda table: {**table, "columns": []},
        lambda table: {**table, "columns": None},
        lambda table: {**table, "columns": [{"name": "size", "categories": ["a", "b"]}]},
        lambda table: {**table, "columns": [{"name": "size", "kind": "number"}]},
        lambda table: {**table, "columns": [["size", None]]},
        lambda table: {**table, "columns": ["size"]},
        lambda table: {**table, "classes": ["a", "b"]},
        lambda table: {**table, "scale": "wide"},
        lambda table: {**table, "input_layer": {}},
        lambda table: {**table, "input_layer": {**table["input_layer"], "offset": [1, 2]}},
        lambda table: {**table, "input_layer": {**table["input_layer"], "columns": [3]}},
        lambda table: {**table, "input_layer": {**table["input_layer"], "dtype": "complex64"}},
    ],
)
def test_foreign_tables_give_words(regression, tmp_path, change):
    regression.save(tmp_path / "net.npz")
    arrays, table = table_of(tmp_path / "net.npz")
    arrays[f"extras/{TABLE}"] = np.array(json.dumps(change(table)))
    np.savez(tmp_path / "net.npz", **arrays)
    with pytest.raises(ValueError, match="path: expected a file that train --save or"):
        TableNet.load(tmp_path / "net.npz")


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "net.npz"
    with pytest.raises(FileNotFoundError):
        TableNet.load(path)
    FeedForward([2, 2]).save(path)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("notes.txt", "no arrays")
    for content in (path.read_bytes(), b"", b"text", other.getvalue()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="path: expected a file that train --save"):
            TableNet.load(path)
