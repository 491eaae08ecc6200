"""From which size on a second thread pays, for each class of function.

    python bench/threads.py

Below twice the sizes built in (GRAIN_MEMORY, GRAIN_MATHS and GRAIN_ROWS in blocks.pxi) one
thread does the work however many there are: to find the sizes themselves, build with grains of 1.
The fastest rounds tell more than the medians where the machine is not quiet.
"""

import statistics

import numpy as np

import ffkernels
from ffkernels._benchmark.cases import our_call
from ffkernels._benchmark.rounds import Effort, measure
from ffkernels._operations import OPERATIONS

BY_NAME = {operation.name: operation for operation in OPERATIONS}
CLASSES = {
    "GRAIN_MEMORY": ("relu", "relu_backward", "bias_relu", "relu_backward_bias", "adam_update"),
    "GRAIN_MATHS": ("sigmoid", "tanh", "bias_sigmoid"),
    "GRAIN_ROWS": (
        "softmax", "softmax_backward", "log_softmax", "logsumexp", "softmax_cross_entropy_with_grad",
    ),
}  # fmt: skip
SIZES = [2**k for k in range(13, 23)]
COLUMNS = {"GRAIN_ROWS": (16, 1024)}
EFFORT = Effort(rounds=101, least=15, seconds=0.7, turn=1e-4)
# What a second thread has to gain before it pays for the power it takes.
PAYS = 1.1


def call(name, size, columns):
    operation = BY_NAME[name]
    shape = (size // columns, columns) if operation.kind in ("bias", "rows", "loss") else (size,)
    return our_call(operation, operation.draw(np.random.default_rng(0), shape, np.float32))[0]


def main():
    before = {n: lambda n=n: ffkernels.set_num_threads(n) for n in (1, 2)}
    print("two threads over one: the medians' speed-up, and that of the fastest rounds")
    print(f"{'elements':41}" + "".join(f"{size:>11}" for size in SIZES))
    for grain, names in CLASSES.items():
        for name in names:
            for columns in COLUMNS.get(grain, (256,)):
                pays, cells = None, []
                for size in SIZES:
                    one = call(name, size, columns)
                    turns = measure({1: one, 2: one}, EFFORT, threads=2, before=before)
                    median = statistics.median(turns[1]) / statistics.median(turns[2])
                    fastest = min(turns[1]) / min(turns[2])
                    cells.append(f"{median:.2f} {fastest:.2f}")
                    pays = (pays or size) if fastest >= PAYS else None
                label = f"{grain} {name} {columns}"[:41]
                pays_from = "never" if pays is None else f"from {pays}"
                print(f"{label:41}" + "".join(f"{cell:>11}" for cell in cells), pays_from, flush=True)


if __name__ == "__main__":
    main()
