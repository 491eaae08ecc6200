"""Half precision beside float32, and beside PyTorch: `python bench/half.py`.

Times of float16 and bfloat16 as multiples of float32's, best of alternating rounds on one thread, in
arrays that fit a cache and in arrays that do not. PyTorch's columns are its own times over ours.
"""

import sys

import ml_dtypes
import numpy as np

import ffkernels as ff
from ffkernels._benchmark.rounds import Call, Effort, measure

TYPES = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
EFFORT = Effort(rounds=9, least=9, seconds=0, turn=0.01)


def best_times(functions):
    """The best of alternating rounds for each function, in seconds."""
    turns = measure({k: Call(function) for k, function in enumerate(functions)}, EFFORT)
    return [min(seconds) for seconds in turns.values()]


def drawn(shape, arrays, dtype):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, dtype=np.float32).astype(dtype) for _ in range(arrays)]


def cases():
    """A title, arrays and shape, our call and PyTorch's, or None where it has none."""

    def into(function, **keywords):
        return lambda out, *x: function(*x, out=out, **keywords)

    for shape in ((100_000,), (1 << 24,)):
        yield "relu", 1, shape, into(ff.relu), lambda torch, x: torch.relu(x)
        yield "sigmoid", 1, shape, into(ff.sigmoid), lambda torch, x: torch.sigmoid(x)
        yield "tanh", 1, shape, into(ff.tanh), lambda torch, x: torch.tanh(x)
        yield (
            "tanh_backward",
            2,
            shape,
            into(ff.tanh_backward),
            lambda torch, dy, y: torch.ops.aten.tanh_backward(dy, y),
        )
    for shape in ((64, 10), (1000, 1000)):
        yield "softmax", 1, shape, into(ff.softmax), lambda torch, x: torch.softmax(x, -1)
    yield (
        "softmax, axis 0",
        1,
        (1000, 1000),
        into(ff.softmax, axis=0),
        lambda torch, x: torch.softmax(x, 0),
    )
    for rows, classes in ((64, 10), (512, 1000), (512, 32000)):
        t = np.random.default_rng(1).integers(0, classes, rows)

        def ours(out, x, t=t):
            ff.softmax_cross_entropy_with_grad(x, t, out=out)

        def theirs(torch, x, t=t):
            x = x.detach().requires_grad_()
            torch.nn.functional.cross_entropy(x, torch.from_numpy(t)).backward()

        yield "cross-entropy, gradient", 1, (rows, classes), ours, theirs


def as_tensor(torch, array):
    if array.dtype == TYPES[2]:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def main():
    ff.set_num_threads(1)
    try:
        import torch
    except ImportError:
        torch = None
    else:
        torch.set_num_threads(1)
    print(
        "| function | shape | float32, ns an element | float16 | bfloat16 | PyTorch float16 | bfloat16 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for title, arrays, shape, ours, theirs in cases():
        calls, others = [], []
        for dtype in TYPES:
            x = drawn(shape, arrays, dtype)
            out = np.ones(shape, dtype)
            calls.append(lambda x=x, out=out, ours=ours: ours(out, *x))
            if torch is not None:
                tensors = [as_tensor(torch, a) for a in x]
                others.append(lambda tensors=tensors, theirs=theirs: theirs(torch, *tensors))
        times = best_times(calls + others[1:])
        cells = [f"{times[0] / np.prod(shape) * 1e9:.3f}", *(f"{t / times[0]:.2f}" for t in times[1:3])]
        cells += [f"{times[k + 2] / times[k]:.1f}" for k in (1, 2)] if torch is not None else ["", ""]
        print(f"| {title} | {'x'.join(map(str, shape))} | {' | '.join(cells)} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
