"""Nets of others trained with their own kernels and with ours: alternating rounds in one process.

    python bench/clients.py [--only PATTERN]

Prints a Markdown table: the median time of a training with their kernels, how many times faster it is
with ours (median over the rounds, with the quartiles), and the largest relative difference between the
two loss curves. On one thread, by the processor's clock: that on the wall says little on a machine
that others use too.

A client is a module `client_NAME.py` beside this one, named in `CLIENTS`. Its `nets()` maps names of
nets to functions `train(ours)`: they train the net once, from the same start every time, with our
kernels or without, and return the seconds of processor time and the losses on the way.
"""

import argparse
import fnmatch
import statistics
from importlib import import_module

import numpy as np
from threadpoolctl import threadpool_limits

import ffkernels

CLIENTS = ("mygrad", "nnfs", "sklearn", "thinc", "zero")
ROUNDS = 5


def compare(train):
    """Return the median seconds with their kernels, the quartiles of how many times faster it is with
    ours, and how far the losses differ. Who goes first changes from round to round."""
    seconds, losses = {True: [], False: []}, {}
    for i in range(ROUNDS + 1):
        for ours in (True, False) if i % 2 else (False, True):
            taken, losses[ours] = train(ours)
            if i:  # the first round warms up
                seconds[ours].append(taken)
    gains = [a / b for a, b in zip(seconds[False], seconds[True], strict=True)]
    return statistics.median(seconds[False]), statistics.quantiles(gains), difference(losses)


def difference(losses):
    """Return the largest relative difference of two loss curves; infinite if one is longer."""
    if len(losses[True]) != len(losses[False]):
        return float("inf")
    return np.max(np.abs(np.divide(losses[True], losses[False]) - 1))


def main():
    parser = argparse.ArgumentParser("python bench/clients.py")
    parser.add_argument("--only", default="", metavar="PATTERN", help="nets whose name has this in it")
    pattern = f"*{parser.parse_args().only}*"
    ffkernels.set_num_threads(1)
    ffkernels.show_config()
    print("\n| net | own kernels | with ffkernels | quartiles | losses differ by |")
    print("| --- | --- | --- | --- | --- |")
    absent = []
    with threadpool_limits(1):
        for client in CLIENTS:
            try:
                nets = import_module(f"client_{client}").nets()
            except ModuleNotFoundError as error:
                absent.append(f"{client}: {error.name} is not installed")
                continue
            for net, train in nets.items():
                name = f"{client}: {net}"
                if fnmatch.fnmatchcase(name, pattern):
                    theirs, (low, gain, high), apart = compare(train)
                    print(
                        f"| {name} | {1e3 * theirs:.0f} ms | {gain:.2f} x faster "
                        f"| {low:.2f} - {high:.2f} | {apart:.0e} |",
                        flush=True,
                    )
    print("\nSkipped: " + ", ".join(absent) if absent else "")


if __name__ == "__main__":
    main()
