"""Time and memory of `linear_cross_entropy_with_grad`, and of what else gives the same.

    python bench/linear_cross_entropy.py [--classes 1000 32000] [--threads 1 2] [--curve]
        [--write docs/large-vocabularies.md]

Times are also given over that of the three products alone, into arrays that are there; memory is the
most in use beyond what was there before the call and the gradients. With --curve ours by `chunk_bytes`.
The longer a call takes the fewer rounds there are: all together take ten minutes.
"""

import argparse
import ctypes
import os
import statistics
import time
from importlib.util import find_spec

import numpy as np
from report import write_section
from threadpoolctl import threadpool_limits

import ffkernels as ff
from ffkernels._benchmark.markdown import table
from ffkernels._benchmark.rooflines import linear_products

ROWS, FEATURES = 1024, 256
CLASSES = (1000, 4000, 32_000, 64_000, 128_000, 256_000)
CHUNKS = [2**k for k in range(21, 28)]
MEMORY = 2**25  # what ours take unless told otherwise
PAUSE = 0.05
SECONDS = 12  # for the rounds of one number of classes; there is at least one


def draw(classes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, FEATURES), np.float32)
    w = rng.standard_normal((FEATURES, classes), np.float32)
    w *= np.float32(FEATURES**-0.5)
    return x, w, rng.integers(0, classes, ROWS)


def products(x, w, t):
    return linear_products(x, w)


def one_product(x, w, t):
    z = np.empty((len(x), w.shape[1]), x.dtype)
    return lambda: np.matmul(x, w, out=z)


def ours(x, w, t, chunk_bytes=None):
    out = np.empty_like(x), np.empty_like(w), None
    return lambda: ff.linear_cross_entropy_with_grad(x, w, t, chunk_bytes=chunk_bytes, out=out)


def ours_alone(x, w, t):
    return lambda: ff.linear_cross_entropy(x, w, t)


def unfused(x, w, t):
    dx, dw = np.empty_like(x), np.empty_like(w)

    def call():
        z = x @ w
        ff.softmax_cross_entropy_with_grad(z, t, out=z)
        np.matmul(z, w.T, out=dx)
        np.matmul(x.T, z, out=dw)

    return call


def pytorch(x, w, t, **options):
    import torch

    x, w, t = torch.from_numpy(x), torch.from_numpy(w.T.copy()), torch.from_numpy(t)
    x.requires_grad_()
    w.requires_grad_()

    def call():
        x.grad = w.grad = None
        torch.nn.functional.linear_cross_entropy(x, w, t, **options).backward()

    return call


def pytorch_in_chunks(x, w, t):
    import torch

    # Left to itself it takes 2 MB and up to 40 times as long.
    rows = max(1, MEMORY // (x.itemsize * w.shape[1]))
    return pytorch(x, w, t, options=torch.nn.LinearCrossEntropyOptions(batch_chunk_size=rows))


def memory(call, made):
    """The most bytes in use during a call beyond those before it and those that are its results."""
    if not os.path.exists("/proc/self/clear_refs"):
        return float("nan")
    ctypes.CDLL(None).malloc_trim(0)  # what was freed is given back
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = status("VmRSS")
    call()
    return status("VmHWM") - before - made


def status(name):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))


def compare(contenders, classes, threads, rounds):
    """For each its name, its median time in seconds and over that of its bound, its bytes."""
    x, w, t = draw(classes)
    # One thread by the process's time, so that what else the machine does counts for little.
    clock = time.process_time if threads == 1 else time.perf_counter
    calls = {name: make(x, w, t) for name, make in contenders.items()}
    times = {name: [] for name in calls}
    taken = {}
    end = time.perf_counter() + SECONDS
    for turn in range(rounds):
        if turn > 1 and time.perf_counter() > end:
            break
        for name, call in calls.items():
            if not turn:  # not timed; what BLAS takes once for all is there in the next
                call()
                continue
            time.sleep(PAUSE)
            if times[name] and times[name][-1] < 1:
                call()  # a longer one is its own warm-up
            begin = clock()
            if name in taken:
                call()
            else:
                taken[name] = memory(call, x.nbytes + w.nbytes if name.startswith("PyTorch") else 0)
            times[name].append(clock() - begin)
    times = {name: statistics.median(turns) for name, turns in times.items()}
    for name in calls:
        bound = times["its product" if name == "ours, loss alone" else "products"]
        yield name, times[name], times[name] / bound, taken[name]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--curve", action="store_true", help="ours by chunk_bytes")
    parser.add_argument("--write", help="the document whose table to replace")
    options = parser.parse_args()
    contenders = {"products": products, "ours": ours}
    if options.curve:
        contenders |= {
            f"{chunk >> 20} MiB": lambda *arrays, chunk=chunk: ours(*arrays, chunk) for chunk in CHUNKS
        }
        del contenders["ours"]
    else:
        contenders |= {"its product": one_product, "ours, loss alone": ours_alone, "unfused": unfused}
        if find_spec("torch") is not None:
            contenders |= {"PyTorch": pytorch, "PyTorch in chunks": pytorch_in_chunks}
    print(f"{ROWS} rows, {FEATURES} features, float32, {ff.get_backend()} {ff.get_isa()}")
    lines = []
    for threads in options.threads:
        ff.set_num_threads(threads)
        if find_spec("torch") is not None:
            import torch

            torch.set_num_threads(threads)
        with threadpool_limits(threads):
            for classes in options.classes:
                line = [f"{classes:,}", str(threads)]
                for name, took, ratio, taken in compare(
                    contenders, classes, threads, 1 + options.rounds
                ):
                    print(
                        f"{classes:7} classes {threads} threads  {name:18}{1e3 * took:9.1f} ms "
                        f"{ratio:6.2f} x {taken / 1e6:8.0f} MB",
                        flush=True,
                    )
                    if name == "products":
                        line.append(f"{1e3 * took:.0f} ms")
                    elif name != "its product":
                        line.append(f"{ratio:.2f}, {taken / 1e6:.0f} MB")
                lines.append(line)
    if options.write:
        names = [name for name in contenders if name != "its product"]
        section = "curve" if options.curve else "linear"
        write_section(options.write, section, table(["classes", "threads", *names], lines))


if __name__ == "__main__":
    main()
