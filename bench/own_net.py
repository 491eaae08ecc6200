"""What each step of docs/your-own-net.md gains, with the very code that it shows.

    python bench/own_net.py [--write docs/your-own-net.md]

Prints a Markdown table: the median time of a training step in plain NumPy, and how many times as fast
each step of the guide makes it, the median over alternating rounds. On one thread.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
from report import write_section
from threadpoolctl import threadpool_limits

import ffkernels
from ffkernels._benchmark import markdown
from ffkernels._benchmark.rounds import Call, Effort, measure

GUIDE = Path(__file__).parents[1] / "docs" / "your-own-net.md"
SIZES = [(hidden, rows) for hidden in (64, 256) for rows in (32, 256)]
EFFORT = Effort(rounds=60, least=60, seconds=0)
LR = 1e-6  # nothing is learnt by heart: fading gradients become denormal, and products slow


class Ready:
    """`FeedForward` with `Adam`, called as the guide's nets are."""

    def __init__(self, sizes, lr):
        self.net, self.adam = ffkernels.FeedForward(sizes, seed=0), ffkernels.Adam(lr)

    def train_step(self, x, t):
        return self.net.train_step(x, t, self.adam)


def nets():
    """Return the guide's nets under what the table calls them; the first is the plain one."""
    names = {}
    for block in GUIDE.read_text().split("```python\n")[1:]:
        exec(block.partition("```")[0], names)
    return {
        "before": names["Net"],
        "1. Adam": names["WithAdam"],
        "2. and bias with activation": names["WithBias"],
        "3. and loss": names["WithLoss"],
        "4. and memory kept": names["FastNet"],
        "activations and loss alone": names["FunctionByFunction"],
        "`FeedForward`": Ready,
    }


def compare(contenders, hidden, rows):
    """Return the median seconds of the first contender's step, and the gains of the others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 64)).astype(np.float32)
    t = rng.integers(0, 10, rows)
    trained = {name: net([64, hidden, hidden, 10], LR) for name, net in contenders.items()}
    seconds = measure({name: Call(net.train_step, (x, t)) for name, net in trained.items()}, EFFORT)
    own, *others = seconds
    gains = {
        name: statistics.median(a / b for a, b in zip(seconds[own], seconds[name], strict=True))
        for name in others
    }
    return statistics.median(seconds[own]), gains


def table():
    with threadpool_limits(1), ffkernels.num_threads(1):
        contenders = nets()
        columns = [compare(contenders, hidden, rows) for hidden, rows in SIZES]
    first, *others = contenders
    header = ["", *(f"H {hidden}, batch {rows}" for hidden, rows in SIZES)]
    lines = [
        [first, *(f"{1e6 * own:.0f} us" for own, _ in columns)],
        *([name, *(f"{gains[name]:.2f} x" for _, gains in columns)] for name in others),
    ]
    return markdown.table(header, lines) + "\n"


def main():
    parser = argparse.ArgumentParser("python bench/own_net.py")
    parser.add_argument("--write", metavar="FILE", help="put the table into this document")
    path = parser.parse_args().write
    ffkernels.show_config()
    text = table()
    print("\n" + text)
    if path:
        write_section(path, "own net", text)


if __name__ == "__main__":
    main()
