"""`mpiexec -n 4 python -m ffkernels train`: the training of one process; how several end together."""

import functools
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ranks
from ffkernels.__main__ import main
from ffkernels._train.ranks import _threads
from ffkernels.layers import FeedForward
from ffkernels.tables import TableNet
from ranks import all_end, environment, mpiexec, wait_for, why_not

for needed in ("matplotlib", "sklearn", "threadpoolctl", "tqdm"):
    pytest.importorskip(needed)
pd = pytest.importorskip("pandas")
load_digits = pytest.importorskip("sklearn.datasets").load_digits

needs_mpi = pytest.mark.skipif(bool(why_not()), reason=why_not())

# What ranks run instead of `-m ffkernels`: in float64, without what follows the training, and with a
# line of the test's own. Each leaves a file with the number of its process.
HOOKED = """
import functools, json, os, signal, sys
import numpy as np
from ffkernels import layers
from ffkernels.__main__ import main
from ffkernels._train import fit, preparation, training
def show(self, history):
    json.dump(vars(history), open(f"{self.options.output}/history.json", "w"))
preparation.FeedForward = functools.partial(layers.FeedForward, dtype=np.float64)
training.Training.show = show
rank = int(os.environ.get("PMI_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK") or 0)
open(f"process {os.getpid()}", "w").close()
steps = 0
def at(wanted, action):
    # Does something at a step of the first layer's forward pass on this rank.
    step = layers.FeedForward._step
    def counted(self, *arguments, **options):
        global steps
        steps += 1
        if steps == wanted:
            action()
        return step(self, *arguments, **options)
    layers.FeedForward._step = counted
"""
WITHOUT = "import sys; sys.modules['{}'] = None; from ffkernels.__main__ import main; sys.exit(main())"
RUN = "\ncodes = [main(command.split()) for command in sys.argv[1:]]\nsys.exit(max(codes))"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def alone(monkeypatch):
    """Runs commands as HOOKED does, in this process."""
    from ffkernels._train import preparation, training

    def show(self, history):
        Path(self.options.output, "history.json").write_text(json.dumps(vars(history)))

    monkeypatch.setattr(preparation, "FeedForward", functools.partial(FeedForward, dtype=np.float64))
    monkeypatch.setattr(training.Training, "show", show)
    return lambda *commands: [main(command.split()) for command in commands]


def table(rows=101):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3))
    kind = np.where(x[:, 0] + rng.normal(0, 0.5, rows) > 0.8, "rare", "common")
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "kind": kind})
    frame["z"] = x[:, 0] - x[:, 1] ** 2
    frame.to_csv("t.csv", index=False)


def history(folder):
    return json.loads(Path(folder, "history.json").read_text())


def gone():
    """Whether every process that left its number ends."""
    started = [int(path.name.split()[1]) for path in Path().glob("process *")]
    assert len(started) >= 2
    return all_end(started)


@needs_mpi
def test_the_same_curve_on_any_number_of_ranks(alone):
    """The last batch has fewer rows than there are ranks."""
    table()
    commands = [
        "--csv t.csv --target kind --drop z --class-weight balanced --batch-size 10 --epochs 12",
        "--csv t.csv --target z --drop kind --batch-size 69 --epochs 6 --optimizer sgd --lr 0.01",
        "--batch-size 100 --epochs 4 --hidden 32,16",
    ]
    curves = []
    for size in (1, 2, 4):
        given = [f"train {command} --output {size}-{k}" for k, command in enumerate(commands)]
        if size == 1:
            assert alone(*given) == [0, 0, 0]
        else:
            run = mpiexec(size, "-c", HOOKED + RUN, *given)
            assert run.returncode == 0, run.stdout
            assert run.stdout.count(f"Ranks     {size} processes on 1 machine, 1 thread each") == 3
        curves.append([history(f"{size}-{k}") for k in range(len(commands))])
    for several in curves[1:]:
        for got, want in zip(several, curves[0], strict=True):
            assert got["best_epoch"] == want["best_epoch"]
            for curve in ("training_loss", "validation_loss", "training_score", "validation_score"):
                np.testing.assert_allclose(got[curve], want[curve], rtol=1e-10)


@needs_mpi
def test_one_rank_speaks_and_writes(monkeypatch):
    """As users start it, without a word on threads."""
    given = environment()
    for name in ("FFKERNELS_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        given.pop(name)
    monkeypatch.setattr(ranks, "environment", lambda: given)
    run = mpiexec(2, "-m", "ffkernels", "train", "--epochs", "3", "--save", "net.npz")
    assert run.returncode == 0, run.stdout
    for label in ("Data  ", "Net  ", "Training  ", "Saved  ", "Result  ", "Step  ", "Pictures  "):
        assert run.stdout.count(label) == 1, run.stdout
    assert "Ranks     2 processes on 1 machine, " in run.stdout
    # What is saved and shown is the net that was trained.
    result = next(line for line in run.stdout.splitlines() if line.startswith("Result"))
    assert float(result.split()[2].rstrip("%,")) > 85, run.stdout
    frame = load_digits(as_frame=True)
    assert np.mean(TableNet.load("net.npz").predict(frame.data) == frame.target) > 0.85
    assert run.stdout.count("| 123/123 [") == 1, run.stdout
    assert sorted(path.name for path in Path().iterdir()) == ["ffkernels-run", "net.npz"]
    assert len(list(Path("ffkernels-run").iterdir())) == 3


@needs_mpi
def test_one_rank_tells_it_as_json():
    run = mpiexec(2, "-m", "ffkernels", "train", "--epochs", "2", "--json")
    assert run.returncode == 0, run.stdout
    # Behind what the progress bar left on the line: both outputs come as one.
    told = [json.loads(text) for text in re.findall('{"event".*', run.stdout)]
    events = [event["event"] for event in told]
    assert events.count("ranks") == 1 and events.count("epoch") == 2 and len(set(events)) == 10, events
    ranks = told[events.index("ranks")]
    assert set(ranks) == {"event", "processes", "machines", "threads"} and ranks["processes"] == 2


@needs_mpi
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train --csv nowhere.csv --target y", "nowhere.csv: No such file"),
        ("train --hidden 0", "expected a number from 1 up, got 0"),
    ],
)
def test_what_the_user_can_put_right_is_said_once(command, words):
    run = mpiexec(2, "-m", "ffkernels", *command.split())
    assert run.returncode == 2 and run.stdout.count(words) == 1
    assert "Traceback" not in run.stdout and "abort" not in run.stdout.lower()


@needs_mpi
@pytest.mark.parametrize(
    ("line", "words"),
    [
        # In a step the others are told; between two they wait in the next, and have to be ended.
        ("if rank == 1: at(7, lambda: {}['gone'])", "KeyError: 'gone' (on rank 1)"),
        ("if rank == 1: fit.epoch = lambda *a: {}['gone']", "rank 1: Traceback"),
    ],
)
def test_an_exception_on_one_rank_ends_all(line, words):
    run = mpiexec(2, "-c", f"{HOOKED}\n{line}\n{RUN}", "train")
    assert run.returncode not in (0, 2) and run.stdout.count(words) == 1, run.stdout
    assert "KeyError: 'gone'" in run.stdout
    assert gone()


@needs_mpi
def test_ctrl_c_ends_all():
    line = "at(30, lambda: open('begun', 'w').close())"
    process = ranks.start(2, "-c", f"{HOOKED}\n{line}\n{RUN}", "train --epochs 100000 --lr 1e-9")
    try:
        wait_for(Path("begun").exists, process)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        ranks.end(process)
    assert process.returncode != 0 and gone()


@needs_mpi
def test_a_killed_rank_leaves_no_process_and_a_checkpoint_that_resumes(alone):
    table()
    # 72 rows of 101 are trained on: 8 steps an epoch.
    command = "--csv t.csv --target kind --drop z --batch-size 10 --optimizer sgd"
    assert alone(f"train {command} --epochs 9 --output whole") == [0]
    line = "if rank == 1: at(5 * 8 + 3, lambda: os.kill(os.getpid(), signal.SIGKILL))"
    begin = f"train {command} --epochs 9 --output killed --checkpoint c.npz"
    killed = mpiexec(2, "-c", f"{HOOKED}\n{line}\n{RUN}", begin)
    assert killed.returncode != 0 and gone()
    assert not Path("killed/history.json").exists()
    assert [path.name for path in Path().glob("c.npz*")] == ["c.npz"]
    for size in (2, 1):
        resume = f"train --resume c.npz --checkpoint {size}.npz --output {size} --epochs 9"
        if size == 1:
            assert alone(resume) == [0]
        else:
            run = mpiexec(size, "-c", HOOKED + RUN, resume)
            assert run.returncode == 0 and "Resumed   c.npz, after epoch 5" in run.stdout, run.stdout
        for curve in ("training_loss", "validation_loss"):
            np.testing.assert_allclose(history(str(size))[curve], history("whole")[curve], rtol=1e-10)


@pytest.mark.parametrize("launcher", ["PMI", "OMPI_COMM_WORLD"])
def test_without_mpi4py_it_does_not_train_several_times(launcher):
    code = WITHOUT.format("mpi4py")
    for rank in (0, 1):
        given = environment() | {f"{launcher}_SIZE": "2", f"{launcher}_RANK": str(rank)}
        call = [sys.executable, "-c", code, "train"]
        run = subprocess.run(call, env=given, capture_output=True, text=True)
        assert run.returncode == 2 and not run.stdout and not os.path.exists("ffkernels-run")
        said = "one of 2 processes, but mpi4py is not installed: pip install 'ffkernels[mpi]'"
        assert (said in run.stderr) == (rank == 0) and "Traceback" not in run.stderr


@needs_mpi
def test_a_launcher_of_another_mpi_is_told():
    given = environment() | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}
    call = [sys.executable, "-m", "ffkernels", "train"]
    run = subprocess.run(call, env=given, capture_output=True, text=True)
    assert run.returncode == 2 and "one of 2 processes, but MPI counts 1: the launcher" in run.stderr


def test_one_process_does_not_import_mpi4py():
    """Neither without a launcher, nor as the one process of a script of Slurm's or of `mpiexec -n 1`."""
    code = """
import os, sys
from ffkernels.__main__ import main
for given in {}, {"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, {"PMI_SIZE": "1", "PMI_RANK": "0"}:
    os.environ |= given
    main(["train", "--csv", "nowhere.csv", "--target", "y"])
    print("mpi4py" in sys.modules, "ffkernels.distributed" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert run.stdout == 3 * "False False\n"
    assert run.stderr.count("nowhere.csv: No such file") == 3


@needs_mpi
def test_only_the_first_rank_imports_what_reads_and_draws():
    code = """
import os, sys
from ffkernels.__main__ import main
try:
    sys.exit(main(["train", "--lr", "1e30"]))
finally:
    name = "imported" if {"pandas", "sklearn", "matplotlib"} & set(sys.modules) else "not"
    open(f"{name} {os.getpid()}", "w").close()
"""
    run = mpiexec(2, "-c", code)
    assert run.returncode == 2
    assert run.stdout.count("the loss grew past all bounds in epoch 1: lower --lr") == 1
    assert len(list(Path().glob("imported *"))) == len(list(Path().glob("not *"))) == 1


@needs_mpi
def test_an_extra_that_lacks_is_named_once():
    code = WITHOUT.format("pandas")
    run = mpiexec(2, "-c", code, "train")
    assert run.returncode == 2, run.stdout
    assert run.stdout.count("pandas is not installed: pip install 'ffkernels[train]'") == 1


@pytest.mark.parametrize(
    ("granted", "threads"),
    [
        ([(range(8), math.inf)] * 2, [4, 4]),  # not bound
        ([(range(8), math.inf)] * 3, [2, 2, 2]),
        ([(range(2), math.inf)] * 4, [1, 1, 1, 1]),  # more ranks than processors
        ([(range(4), math.inf), (range(4, 8), math.inf)], [4, 4]),  # each to a socket
        ([({0}, math.inf), ({1}, math.inf)], [1, 1]),  # each to a core
        ([(range(8), math.inf), ({0, 1}, math.inf)], [7, 1]),
        ([(range(64), 4.0)] * 2, [2, 2]),  # in a container that is granted four
        ([(range(64), 1.5)] * 2, [1, 1]),
    ],
)
def test_processors_are_divided_by_the_ranks_of_a_machine(granted, threads):
    granted = [(frozenset(processors), quota) for processors, quota in granted]
    assert [_threads(granted, rank) for rank in range(len(granted))] == threads
