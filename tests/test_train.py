"""The command line: `train` on the digits and on tables, `predict`, `info`, and what they refuse."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ffkernels.__main__ import main

for needed in ("matplotlib", "sklearn", "threadpoolctl", "tqdm"):
    pytest.importorskip(needed)
pd = pytest.importorskip("pandas")

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _short_timings(monkeypatch):
    from ffkernels._benchmark.rounds import QUICK
    from ffkernels._train import comparison

    monkeypatch.setattr(comparison, "_EFFORT", QUICK)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(command):
        try:
            code = main(command.split())
        except SystemExit as stop:  # argparse
            code = stop.code
        return code, *capsys.readouterr()

    return run


def table(rows=120, seed=0):
    """Two columns that tell the kind, one of text, an identifier, and gaps in all but the last."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    frame = pd.DataFrame(
        {
            "id": np.arange(rows) + 1000,
            "length": np.where(rng.random(rows) < 0.1, np.nan, kind + rng.normal(0, 0.1, rows)),
            "width": np.where(rng.random(rows) < 0.1, np.nan, -kind + rng.normal(0, 0.1, rows)),
            "colour": rng.choice(["red", "green", None], rows),
            "kind": np.array(["ash", "birch", "cedar"])[kind],
        }
    )
    frame["height"] = 100 * kind + rng.normal(0, 5, rows)
    return frame


def result(out):
    return next(line for line in out.splitlines() if line.startswith("Result"))


def pictures(folder, *names):
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert all(path.read_bytes()[:8] == PNG for path in folder.iterdir())


def test_digits_are_learnt(run, tmp_path):
    code, out, _ = run("train --epochs 40")
    assert code == 0
    accuracy = float(result(out).split()[2].rstrip("%,"))
    assert accuracy >= 97
    for words in (
        "1797 rows",
        "constant (every value is 0)",
        "360 held out",
        "NumPy backend",
        "textbook NumPy",
    ):
        assert words in out
    assert "--keep" not in out  # goes with --csv
    pictures(tmp_path / "ffkernels-run", "curves.png", "confusion.png", "mistakes.png")


def test_classes_of_a_table(run, tmp_path):
    frame = table()
    frame.drop(columns="height").to_csv("trees.csv", index=False)
    code, out, _ = run("train --csv trees.csv --target kind --epochs 60 --output o --save net.npz")
    assert code == 0 and "3 classes" in out and "left out id: identifier-like" in out
    assert float(result(out).split()[2].rstrip("%,")) > 90
    pictures(tmp_path / "o", "curves.png", "confusion.png", "mistakes.png")
    with np.load("net.npz", allow_pickle=False) as npz:
        assert "W1" in npz.files

    code, out, _ = run("predict net.npz --csv trees.csv")
    predicted = pd.read_csv(io.StringIO(out))
    assert code == 0 and list(predicted) == ["kind", "probability"]
    assert np.mean(predicted["kind"] == frame["kind"]) > 0.9
    assert predicted["probability"].between(1 / 3, 1).all()


def test_regression_on_a_table(run, tmp_path):
    frame = table()
    frame.drop(columns="kind").to_csv("trees.csv", index=False)
    code, out, _ = run("train --csv trees.csv --target height --epochs 60 --output o --save net.npz")
    assert code == 0 and "a regression" in out and "RMSE" in result(out)
    pictures(tmp_path / "o", "curves.png", "predicted.png", "mistakes.png")
    code, out, _ = run("predict net.npz --csv trees.csv")
    predicted = pd.read_csv(io.StringIO(out))["height"]
    assert np.corrcoef(predicted, frame["height"])[0, 1] > 0.9


def test_task_and_separator(run):
    frame = table()
    frame["kind"] = np.unique(frame["kind"], return_inverse=True)[1]
    frame.to_csv("numbers.csv", index=False, sep=";", decimal=",")
    command = "train --csv numbers.csv --target kind --epochs 2"
    assert "3 classes" in run(command)[1]
    assert "a regression" in run(f"{command} --task regression")[1]


def test_the_same_seed_gives_the_same_net(run, tmp_path):
    table().to_csv("trees.csv", index=False)
    for name in ("a", "b", "c"):
        seed = 1 if name == "c" else 0
        run(f"train --csv trees.csv --target kind --epochs 3 --seed {seed} --save {name}.npz")
    a, b, c = (np.load(tmp_path / f"{name}.npz")["W1"] for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def write_refused(folder):
    table().to_csv(folder / "trees.csv", index=False)
    (folder / "empty.csv").write_text("")
    (folder / "names.csv").write_text("a,b,y\n")
    (folder / "ragged.csv").write_text("a,y\n1,2,3\n")
    pd.DataFrame({"a": range(30), "y": 1}).to_csv(folder / "one.csv", index=False)
    pd.DataFrame({"a": range(30), "y": np.nan}).to_csv(folder / "unknown.csv", index=False)
    gone = {"a": np.nan, "b": None, "y": [0, 1] * 15}
    pd.DataFrame(gone).to_csv(folder / "gone.csv", index=False)
    few = {"a": [0.1, 0.7, 0.2, 0.4], "y": [0.1, 0.2, 0.3, 0.4]}
    pd.DataFrame(few).to_csv(folder / "few.csv", index=False)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train --csv nowhere.csv --target y", "nowhere.csv: No such file"),
        ("train --csv . --target y", "directory"),
        ("train --csv empty.csv --target y", "empty.csv: the file is empty"),
        ("train --csv names.csv --target y", "names.csv: no rows below the names"),
        ("train --csv ragged.csv --target y", "the first line has 2 values, line 2 has 3"),
        ("train --csv trees.csv", "--csv needs --target, one of the columns id, length"),
        ("train --csv trees.csv --target age", "no column 'age'; there are id, length"),
        ("train --target y", "--target, --task, --keep and --drop go with --csv"),
        ("train --csv one.csv --target y", "nothing to learn, every value is 1"),
        ("train --csv unknown.csv --target y", "y: every value is missing"),
        ("train --csv gone.csv --target y", "left out a: mostly missing (100% of the rows)"),
        ("train --csv few.csv --target y", "4 rows are too few"),
        ("train --csv trees.csv --target kind --task regression", "regression needs numbers, got '"),
        ("train --csv trees.csv --target kind --output trees.csv/x", "trees.csv/x: Not a directory"),
        ("train --csv trees.csv --target kind --save no/net.npz", "no: no such folder"),
        ("train --csv trees.csv --target kind --lr 1e38", "lower --lr"),
        ("train --epochs 0", "expected a number from 1 up, got 0"),
        ("train --test-size 1", "expected a number between 0 and 1, got 1"),
        ("train --lr nan", "expected a positive number, got nan"),
        ("predict nowhere.npz --csv trees.csv", "nowhere.npz: No such file"),
        (
            "predict trees.csv --csv trees.csv",
            "expected a file that train --save or TableNet.save wrote, got tre",
        ),
    ],
)
def test_refusals_take_one_line(run, tmp_path, command, words):
    write_refused(tmp_path)
    code, _, err = run(command)
    assert code == 2
    assert words in err.splitlines()[-1]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_bundled_tables(run, name):
    """From the file to the predictions of another process, and the same from Python."""
    from sklearn import datasets

    from ffkernels.tables import TableNet

    least = {"iris": 0.85, "wine": 0.9, "breast_cancer": 0.9, "diabetes": 0.2}[name]
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    frame, names = bunch.frame, getattr(bunch, "target_names", None)
    if names is not None:
        frame["target"] = names[frame["target"]]
    frame.to_csv("table.csv", index=False)
    code, out, _ = run("train --csv table.csv --target target --save net.npz")
    assert code == 0 and "left out" not in out
    said = result(out).split()
    reached = float(said[4]) if names is None else float(said[2].rstrip("%,")) / 100
    assert reached > least
    assert "with scikit-learn's default net in the same" in out
    code, out, err = run("predict net.npz --csv table.csv" + " --probabilities" * (names is not None))
    assert code == 0 and not err
    predicted = pd.read_csv(io.StringIO(out))
    model = TableNet.load("net.npz")
    again = model.predict(frame)
    if names is None:
        np.testing.assert_allclose(predicted["target"], again, rtol=1e-6)
        return
    assert np.mean(again == frame["target"]) > least
    np.testing.assert_array_equal(predicted["target"], again)
    each = predicted[[f"P({label})" for label in model.classes]]
    np.testing.assert_allclose(each, model.predict_proba(frame), rtol=1e-5)
    np.testing.assert_allclose(each.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(predicted["probability"], each.max(axis=1))


def test_the_guide(run):
    """Every command of docs/tables.md, and its Python, in one namespace."""
    from sklearn import datasets

    bunch = datasets.load_iris(as_frame=True)
    frame = bunch.data.rename(columns=lambda name: name.removesuffix(" (cm)"))
    frame.assign(species=bunch.target_names[bunch.target]).to_csv("iris.csv", index=False)
    frame.to_csv("new.csv", index=False)
    guide = (Path(__file__).parents[1] / "docs" / "tables.md").read_text(encoding="utf-8")
    commands = [line for line in guide.splitlines() if line.startswith("    python -m ffkernels ")]
    assert len(commands) == 2
    for command in commands:
        assert run(command.removeprefix("    python -m ffkernels "))[0] == 0
    known = {}
    for block in guide.split("```python\n")[1:]:
        exec(block.partition("```")[0], known)
    assert repr(known["model"]) in guide
    assert known["model"].predict([[5.1, 3.5, 1.4, 0.2]]) == "setosa"
    assert known["loss"] < 0.1 and list(known["table"]) == ["age", "income"]
    assert known["scores"].mean() > 0.9


def train(run, text, options="--target y --epochs 1", name="t.csv", encoding="utf-8"):
    with open(name, "w", encoding=encoding, newline="") as file:
        file.write(text)
    return run(f"train --csv {name} {options}")


def numbers(rows=60, seed=0):
    """Lines of two numbers and a class that depends on the first."""
    rng = np.random.default_rng(seed)
    return [(a, b, "no" if a < 0.5 else "yes") for a, b in rng.random((rows, 2)).round(4)]


def lines(rows, separator=","):
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


@pytest.mark.parametrize("first", ["3,4,yes", "0.5,1.5,no", "1,2,yes", "2024-01-01,7%,no"])
def test_a_first_line_of_values_is_no_header(run, first):
    dates = [(f"2024-02-{1 + k % 28:02}", b, y) for k, (_, b, y) in enumerate(numbers())]
    rows = dates if first.startswith("2024") else numbers()
    code, out, _ = train(run, first + "\n" + lines(rows), "--target 2 --epochs 1")
    assert code == 0 and "61 rows of 3 columns" in out
    assert "no line of names: the columns are called column 0, column 1 and 1 more" in out


def test_a_header_that_counts_is_told(run):
    code, out, _ = train(run, "0,1,2\n" + lines(numbers()), "--target 2 --epochs 1")
    assert code == 0 and "60 rows of 3 columns" in out
    assert "the first line, 0, 1, 2, taken for names" in out


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp1252"]
)
def test_encodings_and_blanks_around_names(run, encoding):
    mark = "\ufeff" if encoding[-3:] in ("-le", "-be") else ""
    text = f"{mark} größe , b ,y\n" + lines(numbers())
    code, _, _ = train(run, text, "--target y --epochs 1 --save net.npz", encoding=encoding)
    assert code == 0
    from ffkernels.tables import TableNet

    assert [column.name for column in TableNet.load("net.npz").columns] == ["größe", "b"]


def test_files_that_are_no_text(run, tmp_path):
    (tmp_path / "t.csv").write_bytes(b"PK\3\4" + bytes(range(256)))
    code, _, err = run("train --csv t.csv --target y")
    assert code == 2 and "t.csv: expected text, got a file with zero bytes; save it as CSV" in err


def test_ragged_tables_are_told_by_their_lines(run):
    rows = lines(numbers(200)).splitlines(keepends=True)
    rows[150] = "0.1,0.2,yes,4\n"
    code, _, err = train(run, "a,b,y\n" + "".join(rows))
    assert code == 2 and "t.csv: the first line has 3 values, line 152 has 4" in err
    rows[150], rows[20] = "0.1,0.2\n", "\n0.1\n"
    code, out, _ = train(run, "a,b,y\n" + "".join(rows))
    assert code == 0 and "fewer than 3 values in lines 23, 153: the rest taken as missing" in out
    assert "200 rows" in out


@pytest.mark.parametrize(
    ("write", "separator", "told"),
    [
        (lambda v: f'"{v:,.2f}"', ",", "'2,"),
        (lambda v: f"{v:,.2f}", ";", "'2,"),
        (lambda v: f"{v:,.2f}".translate({44: ".", 46: ","}), ";", "'2."),
        (lambda v: f"{v:.2f}".replace(".", ","), ";", None),
        (lambda v: f"{v:.2f}", ";", None),
        (lambda v: f'"{v:.2f}"'.replace(".", ","), ",", "'2"),
        (lambda v: f"{v:.2f} %", ",", "%"),
        (lambda v: f"$ {v:.2f}", ",", "$"),
        (lambda v: f"-{v:.2f} €", ",", "€"),
        (lambda v: f"{v:,.2f}".replace(",", " "), ",", "'2 "),
        (lambda v: f"{v:,.2f}".replace(",", "'"), ",", "2'"),
    ],
)
def test_numbers_as_people_write_them(write, separator, told, tmp_path):
    from ffkernels._train.csv_files import read_csv

    values = np.random.default_rng(0).normal(2500, 200, 60).round(2)
    rows = [(write(v), "x") for v in [*values, 999.5, 1234567.25]]
    text = lines([("price", "y"), *rows], separator)
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    frame, remarks = read_csv(tmp_path / "t.csv")
    sign = -1 if "€" in write(1) else 1
    np.testing.assert_array_equal(frame["price"], sign * np.array([*values, 999.5, 1234567.25]))
    assert bool(remarks) == bool(told)
    assert told is None or ("read as numbers" in remarks[0] and told in remarks[0].replace('"', ""))


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y"])
def test_dates_are_numbers(run, form):
    rng = np.random.default_rng(0)
    days = pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, 200), "D")
    rows = [(day.strftime(form), "late" if day.year > 2024 else "early") for day in days]
    rows[3] = ("", rows[3][1])
    code, out, _ = train(run, "when,y\n" + lines(rows), "--target y --save net.npz --epochs 60")
    assert code == 0 and float(result(out).split()[2].rstrip("%,")) > 85
    code, out, _ = run("predict net.npz --csv t.csv --id when")
    assert code == 0 and out.splitlines()[1].startswith(f"{days[0]:%Y-%m-%d},")
    from ffkernels.tables import TableNet

    model, early = TableNet.load("net.npz"), np.datetime64("2024-02-01")
    for first in ({"when": ["2024-02-01", None]}, {"when": np.array([early, "NaT"], "M8[ns]")}):
        assert model.predict(first)[0] == "early"
    with pytest.raises(TypeError, match="x, column 'when': expected dates such as 2024-01-31, got "):
        model.predict({"when": ["yesterday"]})
    code, _, err = run("predict net.npz --csv other.csv")
    with open("other.csv", "w") as file:
        file.write("when\nyesterday\ntoday\n")
    code, _, err = run("predict net.npz --csv other.csv")
    assert code == 2 and "when: expected dates as in the training, got 'yesterday'" in err


def test_what_is_left_out_has_its_true_reason_and_can_be_overruled(run):
    rows = [
        (k, f"n{k}", f"{1 + k % 12:02}/{1 + k % 28:02}/2024", 10115 + 7 * (k % 9), *row)
        for k, row in enumerate(numbers(100))
    ]
    text = "count,name,day,zip,a,b,y\n" + lines(rows)
    code, out, _ = train(run, text)
    assert code == 0
    for words in (
        "left out count: identifier-like (100 different values in 100 rows)",
        "left out name: identifier-like (100 different values in 100 rows)",
        "left out day: dates such as '0",
        "mind zip: nominal codes (9 different values in 100 rows, by their name): taken as categories",
        "Inputs    11, from 3 of 6 columns",
        "--keep COLUMN takes one as it is, --drop COLUMN leaves one out",
    ):
        assert words in out
    options = (
        "--target y --epochs 1 --keep count --keep name --keep zip --drop a --drop day --save k.npz"
    )
    code, out, _ = train(run, text, options)
    assert code == 0 and "left out" not in out and "from 4 of 4 columns" in out
    from ffkernels.tables import TableNet

    columns = {column.name: column.categories for column in TableNet.load("k.npz").columns}
    assert list(columns) == ["count", "name", "zip", "b"] and columns["zip"] is columns["count"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--keep y", "--keep y: that is the target"),
        ("--drop y", "--drop y: that is the target"),
        ("--drop c", "no column 'c'; there are a, b, y"),
        ("--drop a --keep a", "a: either --keep or --drop"),
        ("--drop a --drop b", "no column is left to learn from"),
        ("--class-weight some", "invalid choice: 'some'"),
        ("--threads 0", "expected a number from 1 up, got 0"),
        ("--threads 99999", "--threads: expected an integer from 1 to 1024"),
        ("--hidden 8,0", "expected a number from 1 up, got 0"),
        ("--save .", "Is a directory"),
    ],
)
def test_options_that_do_not_fit(run, options, words):
    code, _, err = train(run, "a,b,y\n" + lines(numbers()), f"--target y {options}")
    assert code == 2 and words in err.splitlines()[-1]


def test_a_table_whose_only_input_counts(run):
    text = "n,y\n" + lines((k, "early" if k < 30 else "late") for k in range(1, 61))
    code, _, err = train(run, text)
    assert code == 2 and "--keep COLUMN takes one all the same" in err
    assert train(run, text, "--target y --keep n --epochs 2")[0] == 0


@pytest.mark.parametrize("layers", ["16,8", "16 8"])
def test_layers_with_commas_or_blanks(run, layers):
    assert (
        "Net       2-16-8-2"
        in train(run, "a,b,y\n" + lines(numbers()), f"--target y --hidden {layers}")[1]
    )


def test_balanced_classes(run):
    """The rare class is found where without weights it never pays to name it."""
    rng = np.random.default_rng(0)
    rare = rng.random(1500) < 0.06
    rows = zip(rng.normal(1.0 * rare, 1), np.where(rare, "rare", "common"), strict=True)
    text = "a,y\n" + lines(rows)
    found = []
    for options in ("", "--class-weight balanced"):
        code, out, _ = train(run, text, f"--target y --epochs 10 --save net.npz {options}")
        assert code == 0 and ("Weights" in out) == bool(options)
        predicted = pd.read_csv(io.StringIO(run("predict net.npz --csv t.csv")[1]))["y"]
        found.append(np.mean(predicted[rare] == "rare"))
    assert found[0] < 0.3 and found[1] > 0.5
    code, _, err = train(run, lines([("a", "y"), *((k % 7 + 0.5, k / 9) for k in range(60))]),
                         "--target y --class-weight balanced")  # fmt: skip
    assert code == 2 and "--class-weight is for classes, y is a regression" in err


def test_threads(run):
    import ffkernels

    before = ffkernels.get_num_threads()
    try:
        assert train(run, "a,b,y\n" + lines(numbers()), "--target y --epochs 1 --threads 1")[0] == 0
        assert ffkernels.get_num_threads() == 1
    finally:
        ffkernels.set_num_threads(before)


def test_labels_with_dollars_and_long_names(run, tmp_path, monkeypatch):
    from matplotlib.text import Text

    from ffkernels._train import figures

    drawn = []
    keep = Text.draw
    monkeypatch.setattr(Text, "draw", lambda self, *a: drawn.append(self.get_text()) or keep(self, *a))
    long = "the income of the household before taxes"
    rows = [
        (a, b, "$10-$20" if y == "yes" else "a range above all others ($20-$30)")
        for a, b, y in numbers()
    ]
    code, _, _ = train(run, f"{long},$b$,$y$\n" + lines(rows), "--target $y$ --epochs 1")
    assert code == 0
    assert "$10-$20" in drawn and "a range abo…-$30)" not in drawn and "a range abo… $30)" not in drawn
    assert figures.cut(long, 24) == "the income of t…re taxes"
    assert any(text.startswith("the income of t…re taxes = 0.") for text in drawn)
    assert any("rows count from 0" in text for text in drawn)
    assert {len(text) for text in drawn if text.endswith("$30)")} == {18}


def test_the_net_is_saved_before_anything_is_drawn(run, monkeypatch):
    from ffkernels._train import figures

    monkeypatch.setattr(figures, "curves", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(run, "a,b,y\n" + lines(numbers()), "--target y --epochs 1 --save net.npz")
    assert run("predict net.npz --csv t.csv")[0] == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_to_is_found_before_the_training(run, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, out, err = train(run, "a,b,y\n" + lines(numbers()), "--target y --save locked/net.npz")
    assert code == 2 and "locked/net.npz: Permission denied" in err and not out


def test_rows_in_pictures_count_as_pandas_does(run, monkeypatch):
    from ffkernels._train import figures

    captions = []
    monkeypatch.setattr(figures, "rows", lambda frame, at, said, *a: captions.extend(said))
    text = "a,b,y\n\n" + lines(numbers())
    assert train(run, text, "--target y --epochs 1")[0] == 0
    frame = pd.read_csv(io.StringIO(text))
    assert len(captions) > 1
    for caption in captions:
        row, said = caption.split(":")
        assert said.split()[1].rstrip(",") == frame["y"][int(row.removeprefix("row "))]


def test_predictions_with_the_number_or_the_id_of_each_row(run):
    rows = [(f"{k:05}", *row) for k, row in enumerate(numbers())]
    text = "id,a,b,y\n" + lines(rows)
    assert train(run, text, "--target y --epochs 1 --save net.npz")[0] == 0
    first = [
        run(f"predict net.npz --csv t.csv {o}")[1].splitlines()[:3] for o in ("--id id", "--id", "")
    ]
    assert [line.split(",")[0] for line in first[0]] == ["id", "00000", "00001"]
    assert [line.split(",")[0] for line in first[1]] == ["row", "0", "1"]
    assert [line.split(",", 1)[1] for line in first[0]] == first[2]
    code, _, err = run("predict net.npz --csv t.csv --id name")
    assert code == 2 and "no column 'name'" in err


def test_a_target_called_probability(run):
    text = "a,b,probability\n" + lines(numbers())
    assert train(run, text, "--target probability --epochs 1 --save net.npz")[0] == 0
    predicted = pd.read_csv(io.StringIO(run("predict net.npz --csv t.csv")[1]))
    assert list(predicted) == ["probability", "probability.1"]
    assert (
        set(predicted["probability"]) <= {"no", "yes"}
        and predicted["probability.1"].between(0.5, 1).all()
    )


def test_predictions_say_what_the_training_did_not_hold(run):
    rows = [(a, ["red", "blue"][k % 2], y) for k, (a, b, y) in enumerate(numbers())]
    assert train(run, "a,colour,y\n" + lines(rows), "--target y --epochs 1 --save net.npz")[0] == 0
    with open("other.csv", "w") as file:
        file.write("a,colour\n1.5,red\nn.a.,green\n")
    code, out, err = run("predict net.npz --csv other.csv")
    assert code == 0 and len(out.splitlines()) == 3
    assert "a: 'n.a.' taken as missing among numbers" in err
    assert "colour: not in the training, in 1 rows: 'green'" in err
    with open("other.csv", "w") as file:
        file.write("a,colour\nn.a.,green\n")
    code, _, err = run("predict net.npz --csv other.csv")
    assert code == 2 and "a: expected numbers as in the training, got 'n.a.'" in err


def test_a_closed_pipe_is_no_error(run, tmp_path):
    assert train(run, "a,b,y\n" + lines(numbers(40_000)), "--target y --epochs 1 --save net.npz")[0] == 0
    command = [sys.executable, "-m", "ffkernels", "predict", "net.npz", "--csv", "t.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "y,probability\n"
        process.stdout.close()
        assert process.stderr.read() == ""


def test_help_and_version(run):
    from ffkernels import __version__

    code, out, _ = run("")
    assert code == 0 and "train" in out and "predict" in out
    code, out, _ = run("--version")
    assert code == 0 and out == f"ffkernels {__version__}\n"


def test_predict_names_the_columns_it_lacks(run):
    frame = table()
    frame.to_csv("trees.csv", index=False)
    run("train --csv trees.csv --target kind --epochs 1 --save net.npz")
    frame[["width", "colour"]].to_csv("less.csv", index=False)
    code, _, err = run("predict net.npz --csv less.csv")
    assert code == 2 and "lacks columns of the training: length" in err


@pytest.mark.parametrize("name", ["pandas", "threadpoolctl"])
def test_a_missing_extra_is_named(name):
    program = f"import sys; sys.modules[{name!r}] = None; from ffkernels.__main__ import main; "
    command = [sys.executable, "-c", program + "sys.exit(main(['train']))"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr.strip().endswith(f"{name} is not installed: pip install 'ffkernels[train]'")


def test_info(run):
    code, out, _ = run("info")
    assert code == 0
    assert {"ffkernels", "backend", "why", "threads"} <= {line.split()[0] for line in out.splitlines()}
