"""Both backends on arguments drawn at random: the same result, or the same refusal word for word."""

import numpy as np
import pytest

import ffkernels as ff
from ffkernels._operations import OPERATIONS

BY_NAME = {operation.name: operation for operation in OPERATIONS if operation.kind != "update"}
SHAPES = [(), (0,), (1,), (5,), (33,), (3, 0), (0, 4), (1, 7), (5, 3), (4, 17), (2, 3, 4), (2, 1, 20)]
TYPES = ["f4"] * 4 + ["f8"] * 4 + ["f2", "i1", "u8", "?", ">f4", ">f8", "g", "c8", "O", "U1"]
RELATIVE = {2: 2e-3, 4: 3e-6, 8: 1e-12}
CALLS = 60


def laid_out(rng, array):
    """The same values, or for a broadcast the first row's, somewhere else in memory."""
    backwards = (slice(None, None, -1),) * array.ndim
    kind = rng.integers(7)
    if kind == 0:
        return np.asfortranarray(array)
    if kind == 1 and array.ndim:
        return array[backwards].copy()[backwards]
    if kind == 2 and array.ndim and len(array):
        return np.broadcast_to(array[:1], array.shape)
    if kind == 3 and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if kind == 4:
        array = array.copy()
        array.flags.writeable = False
    return array.tolist() if kind == 5 else array


def arguments(rng, operation):
    """Arguments of one call, of mixed types now and then, with NaN, infinities and zeros among them."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    try:
        drawn = operation.draw(rng, shape, np.float64)
    except (IndexError, ValueError):  # no such rows: what a caller might try all the same
        drawn = np.ones(shape), np.ones(shape)
    dtype = TYPES[rng.integers(len(TYPES))]
    for array in drawn:
        array = np.array(array)
        if array.dtype.kind == "f":
            if array.size and rng.random() < 0.3:
                array.flat[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf, 0, 1e-40])
            with np.errstate(all="ignore"):
                array = array.astype(dtype if rng.random() < 0.9 else "f4")
        yield laid_out(rng, array)


def options(rng, operation, result):
    yield from operation.options[rng.integers(len(operation.options))].items()
    along = operation.name.startswith(("softmax", "log", "cross"))
    if along and rng.random() < 0.5:
        yield "axis", int(rng.integers(-3, 3))
    if operation.kind == "loss" and rng.random() < 0.5:
        yield "reduction", str(rng.choice(["mean", "sum", "none", "avg"]))
    if result is not None and rng.random() < 0.3:
        array = np.asarray(result[0 if operation.kind == "bias" else -1])
        yield "out", np.full(array.shape, 7, rng.choice([array.dtype, np.dtype("f4")]))


def outcome(function, backend, drawn, chosen):
    chosen = {key: v.copy() if isinstance(v, np.ndarray) else v for key, v in chosen.items()}
    with ff.use_backend(backend):
        try:
            result = function(*drawn, **chosen)
        except Exception as error:
            return type(error), str(error)
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_backends_are_alike(backend, name):
    if backend == "numpy":
        pytest.skip("the twin is what the others are compared with")
    rng = np.random.default_rng(list(name.encode()))
    function, answered = getattr(ff, name), 0
    for _ in range(CALLS):
        drawn = tuple(arguments(rng, BY_NAME[name]))
        plain = outcome(function, "numpy", drawn, {})
        chosen = dict(options(rng, BY_NAME[name], None if isinstance(plain[0], type) else plain))
        want = outcome(function, "numpy", drawn, chosen)
        got = outcome(function, "compiled", drawn, chosen)
        if isinstance(want[0], type):
            assert got == want
            continue
        answered += 1
        for g, w in zip(got, want, strict=True):
            assert type(g) is type(w) and g.dtype == w.dtype and g.shape == w.shape
            scale = np.max(np.abs(w), where=np.isfinite(w), initial=0)
            relative = RELATIVE[w.dtype.itemsize]
            np.testing.assert_allclose(g, w, rtol=relative, atol=relative * min(scale, 1e3) + 1e-15)
    assert answered > CALLS / 5
