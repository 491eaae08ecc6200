"""The command line: `train` on the digits and on tables, `predict`, `info`, and what they refuse."""

import io
import subprocess
import sys

import numpy as np
import pytest

from ffkernels.__main__ import main

for needed in ("matplotlib", "sklearn", "threadpoolctl", "tqdm"):
    pytest.importorskip(needed)
pd = pytest.importorskip("pandas")

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _short_timings(monkeypatch):
    from ffkernels._cli import timing

    monkeypatch.setattr(timing, "_BUDGET", 0.02)


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
    for words in ("1797 rows", "constant (every value is 0)", "360 held out", "NumPy backend", "textbook NumPy"):
        assert words in out
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
        ("train --csv ragged.csv --target y", "first line has 2 values, another has 3"),
        ("train --csv trees.csv", "--csv needs --target, one of the columns id, length"),
        ("train --csv trees.csv --target age", "no column 'age'; there are id, length"),
        ("train --target y", "--target and --task go with --csv"),
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
        ("predict trees.csv --csv trees.csv", "not a file that train --save wrote"),
        ("", "required: COMMAND"),
    ],
)
def test_refusals_take_one_line(run, tmp_path, command, words):
    write_refused(tmp_path)
    code, _, err = run(command)
    assert code == 2
    assert words in err.splitlines()[-1]


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
