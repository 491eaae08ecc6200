"""The plain forms that the benchmarks race against compute what the table says."""

import numpy as np
import pytest

from ffkernels import optimizers
from ffkernels._benchmark.peers import plain
from ffkernels._operations import OPERATIONS
from ffkernels.layers import FeedForward


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_operation(operation):
    arguments = operation.draw(np.random.default_rng(0), (7, 5), np.float64)
    want = operation.textbook(*arguments, **operation.options[0])
    want = want if isinstance(want, tuple) else (want,)
    arrays = [array for array in want if np.shape(array) == (7, 5)]
    call = plain.call(operation.name, arguments, arrays[0] if arrays else None)
    value = call()
    if operation.kind == "update":
        got = (call.arguments[0], *call.arguments[2 : len(arguments)])
    else:
        written = call.arguments[len(arguments) :]
        got = (*(() if value is None else (value,)), *written)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_axis(name):
    x = np.random.default_rng(1).normal(size=(4, 6))
    rows = plain.call(name, [np.ascontiguousarray(x.T)], x.T)
    columns = plain.call(name, [x], x, axis=0)
    rows(), columns()
    np.testing.assert_allclose(columns.arguments[1], rows.arguments[1])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (optimizers.SGD(0.1), plain.SGD(0.1)),
        (optimizers.SGD(0.1, momentum=0.9), plain.SGD(0.1, momentum=0.9)),
        (optimizers.Adam(1e-2), plain.Adam(1e-2)),
    ],
)
def test_training_step(ours, theirs):
    rng = np.random.default_rng(2)
    net = FeedForward([6, 9, 8, 4], dtype=np.float64, seed=0)
    other = plain.Net(net.params)
    for rows in (5, 5, 3):
        x, t = rng.normal(size=(rows, 6)), rng.integers(0, 4, rows)
        assert net.train_step(x, t, ours) == pytest.approx(other.train_step(x, t, theirs))
        for key, param in net.params.items():
            np.testing.assert_allclose(other.params[key], param, rtol=1e-9, atol=1e-12)
