"""A net on several ranks takes the steps of one process, and is the same on all, bit for bit."""

import contextlib
import doctest
import io
import os
import re
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ffkernels import use_backend
from ffkernels.backend import _compiled
from ffkernels.distributed import DataParallel
from ffkernels.layers import FeedForward
from ffkernels.optimizers import SGD, Adam
from ranks import on_ranks
from references import normal

BACKENDS = ["numpy"] + ["compiled"] * (_compiled is not None)
OPTIMIZERS = {  # by the targets that they are tried with
    "indices": lambda: Adam(0.02),
    "probabilities": lambda: SGD(0.05, 0.9, 1e-3),
    "values": lambda: SGD(0.2),
}
ROWS = 23


def targets(kind):
    rng = np.random.default_rng(5)
    if kind == "indices":
        return rng.integers(0, 3, ROWS)
    if kind == "probabilities":  # with weights, so that rows do not sum to 1
        return rng.random((ROWS, 3))
    return rng.normal(size=(ROWS, 3))


def cuts(comm):
    """Where each rank's rows end: shares of one size, of several, none for all but the last or first."""
    even = [ROWS * k // comm.size for k in range(comm.size + 1)]
    return [even, [0, *[5] * (comm.size - 1), ROWS], [*[0] * comm.size, ROWS], [0, *[ROWS] * comm.size]]


def same_everywhere(comm, net):
    """Whether the parameters are the same on every rank, bit for bit."""
    return len(set(comm.allgather(b"".join(p.tobytes() for p in net.params.values())))) == 1


@on_ranks(1, 2, 4)
def test_steps_are_those_of_one_process(comm):
    x = normal(ROWS, 4)
    for backend in BACKENDS:
        for kind, make in OPTIMIZERS.items():
            loss = "sum_squared_error" if kind == "values" else "softmax_cross_entropy"
            t = targets(kind)
            for ends in cuts(comm):
                own = slice(ends[comm.rank], ends[comm.rank + 1])
                with use_backend(backend):
                    alone = FeedForward([4, 6, 3], "tanh", loss, np.float64, seed=0)
                    shared = FeedForward([4, 6, 3], "tanh", loss, np.float64, seed=comm.rank)
                    net = DataParallel(shared, comm)
                    one, all_ = make(), make()
                    for _ in range(6):
                        grads = {name: g.copy() for name, g in alone.gradient(x, t).items()}
                        expected = alone.train_step(x, t, one)
                        got = net.train_step(x[own], t[own], all_)
                        np.testing.assert_allclose(got, expected, rtol=1e-12)
                        for name, grad in shared.grads.items():
                            np.testing.assert_allclose(grad, grads[name], 1e-10, 1e-14)
                    assert isinstance(got, np.float64)
                    assert same_everywhere(comm, shared)


@on_ranks(1, 2, 4)
def test_weights_of_rows_are_averaged_over_all_ranks(comm):
    x, t, weight = normal(ROWS, 4), targets("indices"), np.arange(ROWS) % 3 / 2
    for ends in cuts(comm):
        own = slice(ends[comm.rank], ends[comm.rank + 1])
        alone, shared = (FeedForward([4, 6, 3], "tanh", dtype=np.float64, seed=0) for _ in range(2))
        net, one, all_ = DataParallel(shared, comm), Adam(), Adam()
        for _ in range(3):
            expected = alone.train_step(x, t, one, sample_weight=weight)
            got = net.train_step(x[own], t[own], all_, sample_weight=weight[own])
            np.testing.assert_allclose(got, expected, rtol=1e-12)
        for name, param in shared.params.items():
            np.testing.assert_allclose(param, alone.params[name], 1e-9, 1e-12)


@on_ranks(2, 4)
def test_parameters_stay_the_same_bit_for_bit(comm):
    """In float32, over many steps, with other rows and another start on every rank."""
    for backend, make in zip(BACKENDS, OPTIMIZERS.values(), strict=False):
        with use_backend(backend):
            net = FeedForward([20, 30, 7], seed=comm.rank)
            first = comm.bcast(net.params)
            parallel, optimizer = DataParallel(net, comm), make()
            for name, param in net.params.items():
                np.testing.assert_array_equal(param, first[name])
            rng, losses = np.random.default_rng(comm.rank), []
            for rows in rng.integers(0, 40, 100):
                x = rng.normal(size=(rows, 20)).astype(np.float32)
                losses.append(parallel.train_step(x, rng.integers(0, 7, rows), optimizer))
            assert len(set(comm.allgather(np.array(losses).tobytes()))) == 1
            assert same_everywhere(comm, net)
            assert not np.array_equal(net.params["W1"], first["W1"])


@on_ranks(2)
def test_without_rows_on_any_rank_nothing_moves(comm):
    net = FeedForward([4, 5, 3], seed=0)
    before = {name: param.copy() for name, param in net.params.items()}
    assert DataParallel(net, comm).train_step(np.empty((0, 4)), np.empty(0, int), SGD(1.0)) == 0
    for name, param in net.params.items():
        np.testing.assert_array_equal(param, before[name])


@on_ranks(2, 4)
def test_what_one_rank_refuses_all_refuse(comm):
    net = FeedForward([4, 5, 3], seed=0)
    parallel, last = DataParallel(net, comm), comm.rank == comm.size - 1
    x, t, optimizer = normal(6, 4), np.arange(6) % 3, SGD(0.1)
    parallel.train_step(x, t, optimizer)
    before = {name: param.copy() for name, param in net.params.items()}
    refused = [
        (ValueError, r"x: expected shape \(N, 4\)", (x[:, :3], t, optimizer)),
        (IndexError, "class index 9 at position 0", (x, t + 9, optimizer)),
        (TypeError, "t.*: expected", (x, t * 1j, optimizer)),
        (TypeError, "optimizer: expected SGD", (x, t, SGD)),
    ]
    for kind, words, arguments in refused:
        with pytest.raises(kind, match=rf"{words}.* \(on rank {comm.size - 1}\)") as caught:
            parallel.train_step(*(arguments if last else (x, t, optimizer)))
        assert len(set(comm.allgather(str(caught.value)))) == 1
        for name, param in net.params.items():
            np.testing.assert_array_equal(param, before[name])
    assert np.isfinite(parallel.train_step(x, t, optimizer))
    assert same_everywhere(comm, net)


@on_ranks(2, 4)
def test_nets_and_optimizers_that_differ(comm):
    last = comm.rank == comm.size - 1
    nets = [
        FeedForward([4, 6 if last else 5, 3]),
        FeedForward([4, 5, 3], "tanh" if last else "relu"),
        FeedForward([4, 5, 3], loss="sum_squared_error" if last else "softmax_cross_entropy"),
        FeedForward([4, 5, 3], dtype=np.float64 if last else np.float32),
    ]
    for net in nets:
        with pytest.raises(ValueError, match=r"net: expected the same on every rank, got FeedForward"):
            DataParallel(net, comm)
    if _compiled is not None:
        with (
            use_backend("numpy" if last else "compiled"),
            pytest.raises(ValueError, match=r"backend: .* got compiled on rank 0 and numpy on rank"),
        ):
            DataParallel(FeedForward([4, 5, 3]), comm)
    with pytest.raises(TypeError, match="net: expected a FeedForward, got dict"):
        DataParallel({} if last else FeedForward([4, 5, 3]), comm)
    with pytest.raises(TypeError, match="comm: expected a communicator"):
        DataParallel(FeedForward([4, 5, 3]), None)
    parallel = DataParallel(FeedForward([4, 5, 3]), comm)
    with pytest.raises(ValueError, match=r"optimizer: .*, got SGD\(lr=0.1, .* and SGD\(lr=0.2, "):
        parallel.train_step(normal(2, 4), [0, 1], SGD(0.2 if last else 0.1))
    assert np.isfinite(parallel.train_step(normal(2, 4), [0, 1], SGD(0.1)))


@on_ranks(2)
def test_predict_loss_and_save_are_the_nets_own(comm):
    net = FeedForward([4, 5, 3], seed=0)
    parallel = DataParallel(net, comm)
    assert repr(parallel) == f"DataParallel({net!r}, rank {comm.rank} of 2)"
    x, t = normal(3 + comm.rank, 4), [0, 1, 2, 0][: 3 + comm.rank]
    np.testing.assert_array_equal(parallel.predict(x), net.predict(x))
    assert parallel.loss(x, t) == net.loss(x, t)
    with tempfile.TemporaryDirectory() as own:
        folder = comm.bcast(own)
        parallel.save(f"{folder}/{comm.rank}.npz")
        comm.Barrier()
        assert os.listdir(folder) == ["0.npz"]
        loaded = FeedForward.load(f"{folder}/0.npz")
        np.testing.assert_array_equal(loaded.params["W1"], net.params["W1"])
        comm.Barrier()


@on_ranks(2)
def test_from_the_second_step_on_nothing_is_allocated(comm):
    rows = 5000
    net = DataParallel(FeedForward([8, 30, 4], seed=0), comm)
    x, t, optimizer = normal(rows, 8, dtype=np.float32), np.zeros(rows, int), SGD(0.01)
    net.train_step(x, t, optimizer)
    tracemalloc.start()
    peaks = []
    for _ in range(3):
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        net.train_step(x, t, optimizer)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    assert min(peaks) < rows * 4 * 4 / 4  # a quarter of the net's outputs


@on_ranks(1, 2)
def test_the_example(comm):
    from ffkernels.distributed import _data_parallel

    failed, tried = doctest.testmod(_data_parallel)
    assert not failed and tried > 8


@on_ranks(2)
def test_the_guide(comm):
    """Its code runs, and its figures are what its formulas make of its constants."""
    guide = Path(__file__).parents[1].joinpath("docs/distributed.md").read_text()
    names, printed = {}, io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
    ):
        for block in guide.split("```python\n")[1:]:
            exec(block.partition("```")[0], names)
    said = re.findall(r"^ *print\(.*\)  # (.*)$", guide, re.MULTILINE)
    assert len(said) == 3 and printed.getvalue().splitlines() == said
    steps = {"16": 0.374e-3, "100": 1.38e-3, "1024": 13e-3}
    ranks = (2, 8, 64, 256, 1024)
    lines = re.findall(r"^\| (\d+ Gb/s) \| (.*) \|$", guide, re.MULTILINE)
    assert len(lines) == 12
    for name, cells in lines:
        network, (first, *rest) = names["networks"][name], cells.split(" | ")
        if first in steps and rest[0].endswith("%"):
            want = [names["data_parallel"](p, steps[first], 4 * 269_325, *network) for p in ranks]
            assert rest == [f"{share:.0%}" for share in want]
        else:
            want = [names["vocabulary_parallel"](p, 7.75e-3, 512, *network) for p in ranks]
            assert [first, *rest] == [f"{times:.1f}" for times in want]
    net = FeedForward([784, 256, 256, 10])
    assert sum(param.size for param in net.params.values()) + 3 == 269_325
