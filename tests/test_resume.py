"""`train --checkpoint` and `--resume`: a training that was ended goes on as if it had not been."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ffkernels.__main__ import main

for needed in ("matplotlib", "sklearn", "threadpoolctl", "tqdm"):
    pytest.importorskip(needed)
pd = pytest.importorskip("pandas")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; returns its exit code, output, errors and history."""
    from ffkernels._benchmark.rounds import QUICK
    from ffkernels._train import comparison, figures, training

    histories = []
    monkeypatch.setattr(comparison, "_EFFORT", QUICK)
    monkeypatch.setattr(figures, "curves", lambda history, *_: histories.append(history))
    for name in ("predicted", "confusion", "images", "rows"):
        monkeypatch.setattr(figures, name, lambda *_: None)
    monkeypatch.setattr(training, "peer_outputs", lambda both, x, *_: (np.zeros((len(x), *SHAPE)), 0))
    monkeypatch.chdir(tmp_path)

    def run(command):
        histories.clear()
        try:
            code = main(command.split())
        except SystemExit as stop:  # argparse
            code = stop.code
        return code, *capsys.readouterr(), *histories

    return run


CURVES = ("training_loss", "validation_loss", "training_score", "validation_score")
SHAPE = [2]  # of one row of what scikit-learn's net would say


def table(path="t.csv", seed=0, rows=90):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    kind = np.where(x[:, 0] + rng.normal(0, 0.5, rows) > 0, "yes", "no")
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "z": 3 * x[:, 0] - x[:, 1] ** 2, "kind": kind})
    frame.to_csv(path, index=False)


OPTIONS = {
    "adam": "--target kind --drop z",
    "momentum": "--target kind --drop z --optimizer sgd --lr 0.05 --class-weight balanced --hidden 8,8",
    "regression": "--target z --keep a --drop kind --activation tanh --seed 5 --test-size 0.3",
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("after", [1, 4])
def test_resumed_is_uninterrupted_bit_for_bit(run, monkeypatch, options, after):
    monkeypatch.setattr("test_resume.SHAPE", [] if "z --keep" in options else [2])
    table()
    whole = run(f"train --csv t.csv {options} --batch-size 16 --epochs 9 --save whole.npz")
    begun = run(f"train --csv t.csv {options} --batch-size 16 --epochs {after} --checkpoint c.npz")
    resumed = run("train --resume c.npz --epochs 9 --save resumed.npz")
    assert (whole[0], begun[0], resumed[0]) == (0, 0, 0), resumed[2]
    assert f"Resumed   c.npz, after epoch {after}" in resumed[1]
    assert begun[3].epochs == after and resumed[3].epochs == 9
    for curve in CURVES:
        assert getattr(resumed[3], curve) == getattr(whole[3], curve)
    assert resumed[3].best_epoch == whole[3].best_epoch
    assert resumed[3].seconds > begun[3].seconds
    with np.load("whole.npz") as one, np.load("resumed.npz") as other:
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])


def test_the_training_loss_is_the_mean_over_all_rows(run, monkeypatch):
    """Of a net that all but stays as it is, in batches that do not go into the rows."""
    from ffkernels._train import command

    jobs, trained = [], command.fit
    monkeypatch.setattr(command, "fit", lambda job, *rest: jobs.append(job) or trained(job, *rest))
    table()
    history = run("train --csv t.csv --target kind --drop z --lr 1e-12 --batch-size 25 --epochs 2")[3]
    (job,) = jobs
    assert len(job.training.x) % 25
    for rows, curve in (job.training, history.training_loss), (job.validation, history.validation_loss):
        np.testing.assert_allclose(curve, [job.state.net.loss(rows.x, rows.t)] * 2, 1e-5)


def test_resume_alone_is_enough(run, monkeypatch, tmp_path):
    """Also from another folder: what was asked for is done where it was asked for."""
    from ffkernels._train import checkpoint

    table()
    command = "train --csv t.csv --target kind --drop z --epochs 6"
    whole = run(f"{command} --save whole.npz")[3]
    write = checkpoint.write

    def killed(path, state, *rest):
        write(path, state, *rest)
        if state.history.epochs == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "write", killed)
        run(f"{command} --checkpoint c.npz --checkpoint-every 2 --save net.npz --output o")
    assert not os.path.exists("net.npz")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    written = []
    monkeypatch.setattr(checkpoint, "write", lambda *given: written.append(given[1].history.epochs))
    code, out, _, resumed = run("train --resume ../c.npz")
    assert code == 0 and resumed.validation_loss == whole.validation_loss and written == [6]
    assert not os.listdir() and str(tmp_path / "o" / "curves.png") in out
    with np.load(tmp_path / "whole.npz") as one, np.load(tmp_path / "net.npz") as other:
        np.testing.assert_array_equal(one["W1"], other["W1"])


def test_early_stopping_goes_on_counting(run, monkeypatch):
    from ffkernels._train import fit

    monkeypatch.setattr(fit, "_PATIENCE", 3)
    table()
    command = "train --csv t.csv --target kind --drop z --hidden 64 --lr 0.05 --batch-size 8"
    whole = run(f"{command} --save whole.npz")[3]
    stop, best = whole.epochs, whole.best_epoch
    assert best + 3 == stop < 100
    for after in range(1, stop + 1):
        run(f"{command} --epochs {after} --checkpoint c.npz")
        _, out, _, resumed = run("train --resume c.npz --epochs 100 --save resumed.npz")
        assert resumed.validation_loss == whole.validation_loss and resumed.best_epoch == best
        assert f"{stop} epochs; kept is epoch {best}" in out
        with np.load("whole.npz") as one, np.load("resumed.npz") as other:
            np.testing.assert_array_equal(one["W1"], other["W1"])


def test_a_checkpoint_every_so_many_epochs(run, monkeypatch):
    from ffkernels._train import checkpoint

    written = []
    write = checkpoint.write

    def watch(path, state, *rest):
        written.append((str(path), state.history.epochs))
        write(path, state, *rest)

    monkeypatch.setattr(checkpoint, "write", watch)
    table()
    command = "train --csv t.csv --target kind --drop z --checkpoint c.npz"
    assert run(f"{command} --epochs 7 --checkpoint-every 3")[0] == 0
    assert written == [("c.npz", 3), ("c.npz", 6)]
    written.clear()
    assert run("train --resume c.npz --epochs 9")[0] == 0
    assert written == [("c.npz", 9)]
    written.clear()
    assert run("train --resume c.npz --epochs 11 --checkpoint d.npz --checkpoint-every 1")[0] == 0
    assert written == [("d.npz", 10), ("d.npz", 11)]
    assert sorted(os.listdir()) == ["c.npz", "d.npz", "ffkernels-run", "t.csv"]


def test_from_another_folder_and_on_another_path(run, monkeypatch, tmp_path):
    table()
    assert run("train --csv t.csv --target kind --drop z --epochs 1 --checkpoint c.npz")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("train --resume ../c.npz --epochs 2")[3].epochs == 2
    os.rename("../t.csv", "moved.csv")
    code, _, err = run("train --resume ../c.npz")
    assert code == 2 and "t.csv: No such file" in err
    assert run("train --resume ../c.npz --csv moved.csv --epochs 3")[3].epochs == 3
    table("moved.csv", seed=1)
    code, _, err = run("train --resume ../c.npz --csv moved.csv")
    assert code == 2 and "moved.csv: not the table that ../c.npz was trained on" in err


@pytest.mark.parametrize("option", ["--hidden 8", "--lr 0.1", "--batch-size 64", "--drop a", "--seed 1"])
def test_what_makes_a_training_what_it_is_cannot_change(run, option):
    table()
    run("train --csv t.csv --target kind --drop z --epochs 1 --checkpoint c.npz")
    code, _, err = run(f"train --resume c.npz {option}")
    said = f"{option.split()[0]}: the training that --resume goes on with has its own"
    assert code == 2 and said in err


def test_files_that_are_no_checkpoint(run):
    table()
    command = "train --csv t.csv --target kind --drop z --epochs 2 --hidden 4"
    run(f"{command} --checkpoint c.npz --save net.npz")
    whole = Path("c.npz").read_bytes()

    def refused(content, words):
        Path("bad.npz").write_bytes(content)
        code, _, err = run("train --resume bad.npz")
        assert code == 2 and "bad.npz: expected a checkpoint that train --checkpoint wrote" in err
        assert words in err and "Traceback" not in err

    refused(b"", "not a zip file")
    refused(b"a,b\n1,2\n", "not a zip file")
    refused(Path("net.npz").read_bytes(), "lacks 'training'")
    rng = np.random.default_rng(0)
    for end in rng.integers(1, len(whole), 4):
        refused(whole[:end], "")
    for at in np.linspace(0, len(whole) - 1, 20).astype(int):  # a wrong byte anywhere is no crash
        Path("bad.npz").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        code, _, err, *_ = run("train --resume bad.npz")
        assert code == 0 or (code == 2 and "bad.npz: expected a checkpoint" in err), (at, err)
    with np.load("c.npz") as npz:
        arrays = dict(npz)
    described = json.loads(str(arrays["training"]))

    def changed(**parts):
        np.savez("bad.npz", **{k: v for k, v in (arrays | parts).items() if v is not None})
        return Path("bad.npz").read_bytes()

    refused(changed(training=json.dumps(described | {"format": "other"})), "its format is 'other'")
    refused(changed(training="{"), "")
    refused(changed(training="[]"), "")
    refused(changed(training="[" * 100_000), "")
    for part in ("options", "history", "rng", "best", "table"):
        less = {name: value for name, value in described.items() if name != part}
        refused(changed(training=json.dumps(less)), f"lacks '{part}'")
    fewer = {name: value for name, value in described["options"].items() if name != "hidden"}
    refused(changed(training=json.dumps(described | {"options": fewer})), "lacks 'hidden'")
    for name in ("net/W1", "best/b1", "optimizer/m/W1", "optimizer/step/b2"):
        refused(changed(**{name: None}), f"lacks '{name.removeprefix('optimizer/')}'")
    refused(changed(**{"net/W1": np.zeros((9, 9))}), "net/W1: expected (2, 4), got (9, 9)")
    refused(changed(**{"optimizer/v/W1": np.zeros((9, 9))}), "expected shape (2, 4), got (9, 9)")
    refused(changed(training=np.array([{}])), "")
    code, _, err = run("train --resume nowhere.npz")
    assert code == 2 and "nowhere.npz: No such file" in err
    code, _, err = run("predict c.npz --csv t.csv")
    assert code == 2 and "expected a file that train --save or TableNet.save wrote, got c.npz" in err


def test_a_checkpoint_that_cannot_be_written_is_told_before_the_training(run):
    table()
    command = "train --csv t.csv --target kind --drop z"
    code, out, err = run(f"{command} --checkpoint nowhere/c.npz")
    assert code == 2 and "nowhere: no such folder" in err and not out


def test_options_that_do_not_fit(run):
    table()
    command = "train --csv t.csv --target kind --drop z"
    code, _, err = run(f"{command} --checkpoint-every 2")
    assert code == 2 and "--checkpoint-every goes with --checkpoint or --resume" in err
    code, _, err = run(f"{command} --checkpoint n.npz --save n.npz")
    assert code == 2 and "n.npz: expected two files for --checkpoint and --save, got one" in err
    code, _, err = run(f"{command} --checkpoint n.npz --checkpoint-every 0")
    assert code == 2 and "expected a number from 1 up, got 0" in err


def test_one_that_fails_later_leaves_the_last(run, monkeypatch):
    table()
    command = "train --csv t.csv --target kind --drop z --checkpoint c.npz"
    run(f"{command} --epochs 2")
    whole = Path("c.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        code, _, err = run("train --resume c.npz --epochs 3")
    assert code == 2 and "c.npz: No space left on device" in err
    assert Path("c.npz").read_bytes() == whole
    assert run("train --resume c.npz --epochs 3")[3].epochs == 3
