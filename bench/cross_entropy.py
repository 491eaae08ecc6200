"""Softmax cross-entropy with gradient against textbook NumPy: alternating rounds, medians.

    python bench/cross_entropy.py
"""

import statistics
import time

import numpy as np

import ffkernels


def textbook(x, t, out):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    rows = np.arange(len(t))
    loss = -np.log(p[rows, t]).mean()
    p[rows, t] -= 1
    np.divide(p, len(t), out=out)
    return loss, out


def seconds(function, *arguments, repeat):
    start = time.perf_counter()
    for _ in range(repeat):
        function(*arguments)
    return (time.perf_counter() - start) / repeat


def fused(x, t, out):
    return ffkernels.softmax_cross_entropy_with_grad(x, t, out=out)


def copy(x, t, out):
    np.copyto(out, x)


def main():
    ffkernels.show_config()
    rng = np.random.default_rng(0)
    for threads in (1, ffkernels.get_num_threads()):
        ffkernels.set_num_threads(threads)
        for rows, classes in ((64, 10), (512, 1000), (512, 32000)):
            x = (3 * rng.standard_normal((rows, classes))).astype(np.float32)
            t = rng.integers(0, classes, rows)
            out = np.empty_like(x)
            repeat = max(1, 1_000_000 // x.size)
            times = {f: [] for f in (fused, textbook, copy)}
            for _ in range(31 if x.size < 10**6 else 7):
                for function, taken in times.items():
                    taken.append(seconds(function, x, t, out, repeat=repeat))
            ours, theirs, copied = (statistics.median(v) for v in times.values())
            print(
                f"{threads} thread(s) {rows}x{classes}: {1e6 * ours:.2f} us, "
                f"{1e9 * ours / x.size:.3f} ns an element, {theirs / ours:.1f} x textbook NumPy, "
                f"{ours / copied:.2f} copies"
            )


if __name__ == "__main__":
    main()
