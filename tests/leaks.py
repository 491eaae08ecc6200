"""Whether calls keep anything, answered or refused: `python tests/leaks.py --calls 1000000`.

Counted are references to what a call was given, Python's blocks of memory, and the bytes that the C
library has handed out, which the kernels' own memory comes from.  What leaks grows in every window of
calls alike; the stores of the interpreter, of NumPy and of the C library fill in some of them and then
stay.  So the window that grew least is what counts.  The suite runs a short piece of it (test_leaks.py).
"""

import argparse
import ctypes
import gc
import inspect
import sys
import time
from contextlib import suppress
from functools import partial

import numpy as np

import ffkernels as ff
from ffkernels import layers
from ffkernels._operations import OPERATIONS, UPDATE_NUMBERS

BY_NAME = {operation.name: operation for operation in OPERATIONS}
REFUSALS = (TypeError, ValueError, IndexError)
WINDOWS = 10


class _MallocInfo(ctypes.Structure):
    """What mallinfo2 of glibc returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
                     "fordblks", "keepcost")
    ]  # fmt: skip


try:
    _mallinfo = ctypes.CDLL(None).mallinfo2
    _mallinfo.restype = _MallocInfo
except (AttributeError, OSError, TypeError):  # another C library, or an older one
    _mallinfo = None


#: Bytes of the least that malloc hands out.
UNIT = 16


def handed_out():
    """What malloc has handed out and not got back, in its units; 0 where nobody says."""
    if _mallinfo is None:
        return 0
    info = _mallinfo()
    return (info.uordblks + info.hblkhd) // UNIT


def of_operation(name):
    """Plain calls, others of the general path or with an output, refused ones; what they are given."""
    operation, function = BY_NAME[name], getattr(ff, name)
    plain = operation.draw(np.random.default_rng(0), (6, 5), np.float32)
    tall = operation.draw(np.random.default_rng(0), (20, 130), np.float32)
    tall = [np.repeat(a, 20, axis=0)[::2] for a in tall]
    if operation.kind == "update":
        numbers = UPDATE_NUMBERS[name]
        wide = [np.asfortranarray(a) for a in plain]
        yield "plain", partial(function, *plain, *numbers), plain
        yield "strided", partial(function, *wide, *numbers), wide
        yield "of another shape", partial(function, *plain[:-1], plain[-1][:2], *numbers), plain
        yield "no number", partial(function, *plain, "fast"), plain
        return
    half = [a.astype(np.float16) if a.dtype.kind == "f" else a for a in plain]
    result = function(*plain)
    arrays = [a for a in (result if isinstance(result, tuple) else (result,)) if np.ndim(a)]
    yield "plain", partial(function, *plain), plain
    yield "half precision", partial(function, *half), half
    yield "large", partial(function, *tall), tall
    if arrays:
        out, shorter = np.empty_like(arrays[0]), np.empty((3,), arrays[0].dtype)
        yield "with an output", partial(function, *plain, out=out), [*plain, out]
        yield "with a wrong output", partial(function, *plain, out=shorter), [*plain, shorter]
    if "sample_weight" in inspect.signature(function).parameters:
        weights, fewer = np.ones(6, np.float32), np.ones(4, np.float32)
        yield "weighted", partial(function, *plain, sample_weight=weights), [*plain, weights]
        yield "wrongly weighted", partial(function, *plain, sample_weight=fewer), [*plain, fewer]
    yield "of text", partial(function, *plain[:-1], np.array(["a"])), plain
    yield "of no array", partial(function, *plain[:-1], object()), plain
    yield "of too much", partial(function, *plain, surplus=1), plain


def of_objects():
    """The same of layers, a net, optimisers and the input layer."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(6, 5)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2])
    W, b = rng.normal(size=(5, 3)).astype(np.float32), np.zeros(3, np.float32)
    wrong = np.array([0, 1, 2, 0, 1, 3])

    def there_and_back(layer, *arguments):
        layer.forward(*arguments)
        layer.backward()

    for name in layers.__all__:
        if name == "FeedForward":
            continue
        layer = getattr(layers, name)(*((W, b) if name in ("Affine", "LinearWithLoss") else ()))
        of_values = name in ("IdentityWithLoss", "SigmoidWithLoss")
        more = () if "Loss" not in name else (x,) if of_values else (t,)
        yield name, partial(there_and_back, layer, x, *more), [x, W, b, *more]
        yield f"{name}, refused", partial(there_and_back, layer, "x", *more), [x, *more]
    net = ff.FeedForward([5, 4, 3], seed=0)
    for optimizer in (ff.SGD(1e-3), ff.SGD(1e-3, 0.9), ff.Adam()):
        yield f"train_step, {optimizer}", partial(net.train_step, x, t, optimizer), [x, t]
        yield (
            f"train_step refused, {optimizer}",
            partial(net.train_step, x, wrong, optimizer),
            [x, wrong],
        )
        yield f"update refused, {optimizer}", partial(optimizer.update, [x], [x[0]]), [x]
    yield "predict", partial(net.predict, x), [x]
    yield "loss", partial(net.loss, x, t), [x, t]
    yield "FeedForward", partial(ff.FeedForward, [5, 4, 3], seed=0), []
    yield "linear_cross_entropy", partial(ff.linear_cross_entropy_with_grad, x, W, t, b), [x, W, t, b]
    yield "linear_cross_entropy, refused", partial(ff.linear_cross_entropy, x, W, wrong), [x, W, wrong]
    merged = x[0], x[1], x[2], abs(x[3])
    yield "merge_logsumexp", partial(ff.merge_logsumexp, *merged), merged
    yield "merge_logsumexp, refused", partial(ff.merge_logsumexp, *merged[:3], x.T), merged

    def chosen(name):
        with ff.use_backend(name), ff.num_threads(2):
            ff.relu(x)

    yield "use_backend, num_threads", partial(chosen, "numpy"), [x]
    yield "use_backend, refused", partial(chosen, "fortran"), [x]
    weights = np.ones(6, np.float32)
    yield "weighted", partial(net.gradient, x, t, sample_weight=weights), [x, t, weights]
    layer = ff.InputLayer().fit(x)
    yield "InputLayer.fit", partial(layer.fit, x, sample_weight=weights), [x, weights]
    yield "inspect", partial(ff.inspect, x, t), [x, t]
    yield "InputLayer", partial(layer.transform, x, t), [x, t]
    yield "InputLayer, refused", partial(layer.transform, x[:, :2]), [x]


def repeat(call, times):
    for _ in range(times):
        with suppress(*REFUSALS):
            call()


def allowed(calls):
    """What so many calls may seem to keep: what counts takes 40 units for itself, and one of a thousand
    calls that keeps something is a leak."""
    return 100 + calls // 1000


def kept(call, arrays, calls, measures):
    """What the window that grew least has kept, for each measure, and of references to each array.

    A window in which none of them grew beyond what is allowed is the last.
    """
    things = [*arrays, np.float32, np.ndarray, call, *getattr(call, "args", ())]
    measures = [*measures, *(partial(sys.getrefcount, thing) for thing in things)]
    repeat(call, max(50, calls // 10))
    least = [sys.maxsize] * len(measures)
    for _ in range(WINDOWS):
        gc.collect()
        before = [measure() for measure in measures]
        repeat(call, calls)
        gc.collect()
        grown = [measure() - start for measure, start in zip(measures, before, strict=True)]
        least = list(map(min, least, grown))
        if max(least) < allowed(calls):
            break
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1_000_000, help="of each function")
    parser.add_argument("--only", default="", help="functions whose name holds this")
    parser.add_argument("--backend", choices=["compiled", "numpy"], default=ff.get_backend())
    options = parser.parse_args()
    ff.set_backend(options.backend)
    ff.set_num_threads(1)
    leaks, start = 0, time.monotonic()
    sources = {name: partial(of_operation, name) for name in sorted(BY_NAME)} | {"objects": of_objects}
    for name, source in sources.items():
        if options.only not in name:
            continue
        kinds, made = list(source()), 0
        calls = options.calls // (10 if name == "objects" else len(kinds))
        for kind, call, arrays in kinds:
            made += (share := calls // 100 if kind == "large" else calls)
            least = kept(call, arrays, share, [sys.getallocatedblocks, handed_out])
            if max(least) >= allowed(share):
                leaks += 1
                blocks, handed, *references = least
                handed *= UNIT
                print(f"{name}, {kind}: {blocks} blocks, {handed} bytes, {max(references)} references")
        print(f"{name}: {made} calls, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{leaks} leaks")
    return bool(leaks)


if __name__ == "__main__":
    sys.exit(main())
