"""What every command does alike: JSON and nothing else on stdout, colours only where they are wanted."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ffkernels
from ffkernels.__main__ import main
from ffkernels._command import in_red, print_json

GUIDE = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text(encoding="utf-8")
RED = "\033[31m"


def documented(section, header="key"):
    """The rows of a table in the guide: what is code in the first cell, and what is in the second."""
    row = r"\|[^\n]*\n"
    table = rf"^### {section}\n.*?^\| {header} {row}{row}((?:{row})+)"
    rows = re.search(table, GUIDE, re.M | re.S)[1].splitlines()
    return [[re.findall(r"`(\w+)`", cell) for cell in row.strip("|").split("|")] for row in rows]


def keys(section, header="key"):
    return {key for first, _ in documented(section, header) for key in first}


def strict(text):
    """What is on a line of JSON, without the constants that JSON does not have."""
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs a command in an empty folder; returns its exit code, the objects it printed, its errors."""
    monkeypatch.chdir(tmp_path)

    def run(command):
        code = main(command.split())
        out, err = capfd.readouterr()
        return code, [strict(line) for line in out.splitlines()], err

    return run


def test_info(run):
    code, (config,), err = run("info --json")
    assert code == 0 and not err
    assert config == json.loads(json.dumps(ffkernels.show_config("dicts")))
    assert set(config) == keys("info")


def test_what_json_has_no_number_for_is_null(capsys):
    print_json({"a": math.nan, "b": [1.5, -math.inf, {"c": np.float64("inf")}], "é": (1, None)})
    out = capsys.readouterr().out
    assert strict(out) == {"a": None, "b": [1.5, None, {"c": None}], "é": [1, None]}
    assert out.isascii() and out.count("\n") == 1


@pytest.fixture
def train(run, monkeypatch):
    for needed in ("matplotlib", "pandas", "sklearn", "threadpoolctl", "tqdm"):
        pytest.importorskip(needed)
    from ffkernels._benchmark.rounds import QUICK
    from ffkernels._train import comparison

    monkeypatch.setattr(comparison, "_EFFORT", QUICK)
    rng = np.random.default_rng(0)
    rows = [(a, b, "no" if a < 0.5 else "yes", k) for k, (a, b) in enumerate(rng.random((60, 2)))]
    Path("t.csv").write_text("a,b,y,id\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return lambda options: run(f"train --csv t.csv --json {options}")


def test_a_training_of_classes(train, run):
    known = {event: {"event", *names} for (event,), names in documented("train", "event")}
    options = "--target y --epochs 4 --hidden 8,4 --class-weight balanced --save net.npz"
    code, told, err = train(f"{options} --checkpoint c.npz")
    assert code == 0 and "steps" in err  # of the progress bar
    left_out = ["ranks", "resumed"]
    order = [event for event in known if event not in left_out]
    assert [*dict.fromkeys(event["event"] for event in told)] == order
    for event in told:
        regression = {"r_squared", "rmse", "standard_deviation"}
        of_classes = known[event["event"]] - (regression if event["event"] == "result" else set())
        assert set(event) == of_classes
    by_event = {event["event"]: event for event in told}
    data, inputs, rows = (by_event[name] for name in ("data", "inputs", "rows"))
    assert (data["rows"], data["columns"]) == (60, 4)
    assert (data["target"], data["classes"]) == ("y", ["no", "yes"])
    assert inputs["columns"] == ["a", "b"] and inputs["inputs"] == 2
    assert "left out id: identifier-like" in inputs["remarks"][0] and len(inputs["remarks"]) == 1
    assert rows["training"] + rows["validation"] + rows["test"] == 60
    assert by_event["net"]["sizes"] == [2, 8, 4, 2] and by_event["net"]["score"] == "accuracy"
    assert len(by_event["weights"]["weights"]) == 2

    epochs = [event for event in told if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2, 3, 4]
    for event in epochs:
        assert 0 < event["validation_loss"] < 10 and 0 <= event["training_score"] <= 1
    assert by_event["training"]["epochs"] == 4 and by_event["training"]["best_epoch"] in range(1, 5)
    result = by_event["result"]
    assert result["accuracy"] == result["right"] / result["rows"] and result["rows"] == rows["test"]
    assert 0 <= result["sklearn"]["accuracy"] <= 1 and result["sklearn"]["epochs"] >= 1
    assert set(by_event["step"]["seconds"]) == {ffkernels.get_backend(), "numpy", "textbook"}
    assert all(Path(name).exists() for name in by_event["pictures"]["files"])
    assert by_event["saved"]["file"] == "net.npz"

    code, told, _ = run("train --resume c.npz --epochs 5 --json")
    (resumed,) = (event for event in told if event["event"] == "resumed")
    assert code == 0 and set(resumed) == known["resumed"] and resumed["epoch"] == 4
    assert [event["epoch"] for event in told if event["event"] == "epoch"] == [5]


def test_a_training_of_a_regression(train):
    code, told, _ = train("--target b --drop y --epochs 1")
    by_event = {event["event"]: event for event in told}
    assert code == 0 and by_event["data"]["classes"] is None
    assert set(by_event["result"]) == {
        "event", "rows", "sklearn", "r_squared", "rmse", "standard_deviation",
    }  # fmt: skip
    assert by_event["net"]["score"] == "r_squared" in by_event["result"]["sklearn"]
    assert by_event["training"]["epochs"] == 1


def test_an_error_is_no_result(train):
    code, told, err = train("--target y --lr 1e38")
    assert code == 2 and "lower --lr" in err.splitlines()[-1]
    assert [event["event"] for event in told] == ["data", "inputs", "rows", "net"]


def test_epochs_can_be_read_while_they_run(train):
    command = [sys.executable, "-m", "ffkernels", "train", "--csv", "t.csv", "--target", "y", "--json"]
    with subprocess.Popen(
        [*command, "--epochs", "100000", "--lr", "1e-9"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while strict(process.stdout.readline())["event"] != "epoch":
            pass
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 1


def test_bench(run, tmp_path, monkeypatch):
    for needed in ("matplotlib", "threadpoolctl", "tqdm"):
        pytest.importorskip(needed)
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "sitecustomize.py").write_text("print('what a peer says when it is loaded')")
    path = os.pathsep.join([str(tmp_path / "noise"), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    chosen = "--only softmax_backward*x10 train_step --quick --peers numpy,scipy --threads 1,2 --goals"
    code, (measured,), err = run(f"bench {chosen} --json --save o")
    assert code == 0 and "what a peer says" in err
    assert measured == json.loads((tmp_path / "o" / "bench.json").read_text())
    assert set(measured) == keys("bench") - {"against"}
    of_machine = (keys("info") - {"threads"}) | {"date", "processor", "processors"}
    assert set(measured["machine"]) == of_machine
    (of_goals,) = (names for first, names in documented("bench") if first == ["wanted"])
    assert measured["wanted"] and all(set(row) == set(of_goals) for row in measured["wanted"])
    assert len(measured["results"]) > 2
    for result in measured["results"]:
        assert set(result) == keys("bench", "key of a result")

    code, (again,), _ = run(f"bench {chosen} --json --against o")
    assert code in (0, 1) and set(again) == set(measured) | {"against"}
    assert set(again["against"]) == keys("bench", "key of a comparison")


class Terminal:
    def __init__(self, is_one):
        self.isatty = lambda: is_one


@pytest.mark.parametrize(
    ("set_to", "terminal", "red"),
    [
        ({}, True, True),
        ({"NO_COLOR": ""}, True, True),  # as no-color.org has it
        ({"NO_COLOR": "0"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, False, False),
    ],
)
def test_what_is_red(monkeypatch, set_to, terminal, red):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert in_red("words", Terminal(terminal)) == (f"{RED}words\033[0m" if red else "words")


@pytest.mark.parametrize("no_color", [None, "1"])
def test_no_color_on_a_terminal(no_color):
    """An error and a result, on a terminal of their own."""
    pty = pytest.importorskip("pty")
    given = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    given |= {"TERM": "xterm"} | ({"NO_COLOR": no_color} if no_color else {})
    for command in ("train --threads 99999", "info"):
        read, write = pty.openpty()
        call = [sys.executable, "-m", "ffkernels", *command.split()]
        process = subprocess.Popen(call, env=given, stdout=write, stderr=write, stdin=write)
        os.close(write)
        shown = b""
        while True:
            try:
                part = os.read(read, 4096)
            except OSError:  # Linux's way to say that the terminal was closed
                break
            if not part:
                break
            shown += part
        os.close(read)
        failed = command.startswith("train")
        assert process.wait() == (2 if failed else 0)
        assert (RED.encode() in shown) == (failed and no_color is None), shown
        assert (b"expected an integer from 1 to 1024" if failed else b"backend") in shown


def test_an_error_in_a_pipe_is_not_coloured():
    call = [sys.executable, "-m", "ffkernels", "train", "--threads", "99999"]
    given = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.run(call, env=given | {"TERM": "xterm"}, capture_output=True)
    assert process.returncode == 2 and b"\033" not in process.stderr and not process.stdout
