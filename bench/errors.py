"""The worst errors of softmax and cross-entropy, ours and those of PyTorch, JAX, SciPy and textbooks.

    python bench/errors.py                          all cases, about a minute
    python bench/errors.py --classes 10,1000
    python bench/errors.py --write docs/accuracy.md

Errors are in units of the last place of the exact value, element by element, the worst of all rows
and class counts.  Exact means from the inputs as given, in long double, each sum and difference
taken so that nothing cancels; where the exact value is below the smallest normal number, anything
from 0 to that number is right.  The exit status tells whether our kernels kept to BOUND, log-sum-exp
apart, and were nowhere worse than a peer by more than 1 ulp.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from accuracy import distance, implementations, ulps
from report import write_section

import ffkernels
from ffkernels._benchmark.markdown import table

Array = np.ndarray[Any, np.dtype[Any]]
Results = dict[str, Array]

BOUND = {np.dtype(np.float32): 4.0, np.dtype(np.float64): 5.0}

CLASSES = (1, 2, 3, 10, 33, 100, 1000, 50_257, 1_000_000)

#: What is compared, in the order of the tables.
QUANTITIES = ("loss", "gradient", "softmax", "log_softmax", "logsumexp")

# ---- cases: logits and targets ---------------------------------------------------------------------


def _rows(classes: int) -> int:
    return int(np.clip(400_000 // classes, 2, 512))


def normal(rng: np.random.Generator, classes: int, dtype: Any) -> tuple[Array, Array]:
    x = 3 * rng.standard_normal((_rows(classes), classes))
    return x, rng.integers(0, classes, len(x))


def one_huge(rng: np.random.Generator, classes: int, dtype: Any) -> tuple[Array, Array]:
    x, t = normal(rng, classes, dtype)
    x[np.arange(len(x)), rng.integers(0, classes, len(x))] = 1e4
    return x, t


def all_equal(rng: np.random.Generator, classes: int, dtype: Any) -> tuple[Array, Array]:
    value = rng.uniform(-10, 10, (_rows(classes), 1))
    return np.repeat(value, classes, 1), rng.integers(0, classes, len(value))


def alternating(rng: np.random.Generator, classes: int, dtype: Any) -> tuple[Array, Array]:
    sign = 1 - 2 * (np.arange(classes) % 2)
    x = 1e4 * sign * np.ones((_rows(classes), 1))
    return x, rng.integers(0, classes, len(x))


def slow_ramp(rng: np.random.Generator, classes: int, dtype: Any) -> tuple[Array, Array]:
    height = rng.uniform(0.1, 20, (_rows(classes), 1))
    return height * np.linspace(0, 1, classes), rng.integers(0, classes, len(height))


def _lead(below: Array, dtype: Any) -> tuple[Array, Array]:
    leads = np.geomspace(3, 80 if dtype == np.float32 else 700, len(below))
    t = np.arange(len(below)) % below.shape[1]
    below[np.arange(len(below)), t] = leads
    return below, t


def confident_level(rng: np.random.Generator, classes: int, dtype: Any) -> tuple[Array, Array]:
    return _lead(np.zeros((max(_rows(classes), 8), classes)), dtype)


def confident_normal(rng: np.random.Generator, classes: int, dtype: Any) -> tuple[Array, Array]:
    below = rng.standard_normal((max(_rows(classes), 8), classes))
    return _lead(np.minimum(below - 0.5, 0), dtype)


CASES: dict[str, Callable[[np.random.Generator, int, Any], tuple[Array, Array]]] = {
    "normal": normal,
    "one logit of 1e4": one_huge,
    "all equal": all_equal,
    "1e4, -1e4, 1e4, ...": alternating,
    "slow ramp": slow_ramp,
    "lead of 3 to 80 (700) over 0": confident_level,
    "the same over normal logits": confident_normal,
}

# ---- the exact values ------------------------------------------------------------------------------


def exact(x: Array, t: Array) -> Results:
    """In long double.  Sums run over the largest logit last or leave it out, and p - 1 is minus the
    sum of the other probabilities, so that every value has an error of a few 2^-64."""
    x = x.astype(np.longdouble)
    rows = np.arange(len(x))
    leader = x.argmax(axis=1)
    d = x - x[rows, leader][:, None]
    e = np.exp(d)
    others = e.copy()
    others[rows, leader] = 0
    rest = others.sum(axis=1)
    total = 1 + rest
    log_total = np.log1p(rest)
    p = e / total[:, None]
    grad = p.copy()
    others[rows, leader] = 1
    others[rows, t] = 0
    grad[rows, t] = -others.sum(axis=1) / total
    return {
        "loss": log_total - d[rows, t],
        "gradient": grad,
        "softmax": p,
        "log_softmax": d - log_total[:, None],
        "logsumexp": x[rows, leader] + log_total,
    }


# ---- contenders ------------------------------------------------------------------------------------


def ours(where: str) -> Callable[[Array, Array], Results]:
    def run(x: Array, t: Array) -> Results:
        if where != "numpy":
            ffkernels.set_isa(where)
        with ffkernels.use_backend("numpy" if where == "numpy" else "compiled"):
            loss, grad = ffkernels.softmax_cross_entropy_with_grad(x, t, reduction="none")
            return {
                "loss": loss,
                "gradient": grad,
                "softmax": ffkernels.softmax(x),
                "log_softmax": ffkernels.log_softmax(x),
                "logsumexp": ffkernels.logsumexp(x),
            }

    return run


def textbook(x: Array, t: Array) -> Results:
    rows = np.arange(len(x))
    m = x.max(axis=1, keepdims=True)
    e = np.exp(x - m)
    total = e.sum(axis=1, keepdims=True)
    p = e / total
    grad = p.copy()
    grad[rows, t] -= 1
    with np.errstate(divide="ignore"):
        loss, log_p = -np.log(p[rows, t]), np.log(p)
    return {
        "loss": loss, "gradient": grad, "softmax": p, "log_softmax": log_p,
        "logsumexp": (m + np.log(total))[:, 0],
    }  # fmt: skip


def _torch() -> Callable[[Array, Array], Results]:
    import torch

    def run(x: Array, t: Array) -> Results:
        logits = torch.from_numpy(x).requires_grad_()
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(t), reduction="none")
        loss.sum().backward()
        with torch.no_grad():
            return {
                "loss": loss.numpy(),
                "gradient": logits.grad.numpy(),
                "softmax": torch.softmax(logits, 1).numpy(),
                "log_softmax": torch.log_softmax(logits, 1).numpy(),
                "logsumexp": torch.logsumexp(logits, 1).numpy(),
            }

    return run


def _jax() -> Callable[[Array, Array], Results]:
    import jax

    jax.config.update("jax_enable_x64", True)

    def losses(x: Any, t: Any) -> Any:
        return -jax.numpy.take_along_axis(jax.nn.log_softmax(x), t[:, None], 1)[:, 0]

    @jax.jit
    def all_of_it(x: Any, t: Any) -> Any:
        return {
            "loss": losses(x, t),
            "gradient": jax.grad(lambda x: losses(x, t).sum())(x),
            "softmax": jax.nn.softmax(x),
            "log_softmax": jax.nn.log_softmax(x),
            "logsumexp": jax.nn.logsumexp(x, axis=1),
        }

    return lambda x, t: {name: np.asarray(value) for name, value in all_of_it(x, t).items()}


def _scipy() -> Callable[[Array, Array], Results]:
    from scipy import special

    def run(x: Array, t: Array) -> Results:
        rows = np.arange(len(x))
        p, log_p = special.softmax(x, axis=1), special.log_softmax(x, axis=1)
        grad = p.copy()
        grad[rows, t] -= 1
        return {
            "loss": -log_p[rows, t], "gradient": grad, "softmax": p, "log_softmax": log_p,
            "logsumexp": special.logsumexp(x, axis=1),
        }  # fmt: skip

    return run


PEERS = {"PyTorch": _torch, "JAX": _jax, "SciPy": _scipy, "textbook": lambda: textbook}

# ---- measuring -------------------------------------------------------------------------------------


def error(got: Array, want: Array) -> float:
    """The worst error in ulp; see the top for values below the smallest normal number."""
    tiny = np.finfo(got.dtype).smallest_normal
    lost = (np.abs(want) < tiny) & (np.abs(got) <= tiny) & (got * want >= 0)
    return float(np.where(lost, 0, ulps(got, want)).max(initial=0))


def measure(
    contenders: dict[str, Callable[[Array, Array], Results]],
    classes: tuple[int, ...],
    dtype: Any,
    cases: Iterable[str] = CASES,
) -> dict[tuple[str, str, int], dict[str, float]]:
    """Errors by quantity, case and class count, each for every contender."""
    errors: dict[tuple[str, str, int], dict[str, float]] = {}
    for case in cases:
        for count in classes:
            x, t = CASES[case](np.random.default_rng(count), count, dtype)
            x = np.ascontiguousarray(x, dtype)
            want = exact(x, t)
            for name, run in contenders.items():
                got = run(x.copy(), t)
                for quantity in QUANTITIES:
                    key = quantity, case, count
                    errors.setdefault(key, {})[name] = error(got[quantity], want[quantity])
    return errors


def apart(
    on: dict[str, Callable[[Array, Array], Results]], classes: tuple[int, ...], dtype: Any
) -> dict[str, int]:
    """How far the results of instruction sets lie apart, in floating-point numbers between them."""
    far = dict.fromkeys(QUANTITIES, 0)
    for draw in CASES.values():
        for count in classes:
            x, t = draw(np.random.default_rng(count), count, dtype)
            first, *others = (run(np.ascontiguousarray(x, dtype), t) for run in on.values())
            for other in others:
                for quantity in QUANTITIES:
                    far[quantity] = max(far[quantity], distance(first[quantity], other[quantity]))
    return far


def lost_to(errors: dict[str, float], own: list[str], peers: list[str]) -> list[tuple[str, str]]:
    """Pairs of one of ours and a peer that was more exact by more than 1 ulp."""
    return [(a, b) for a in own for b in peers if errors[a] > errors[b] + 1]


def shown(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.1e}" if np.isfinite(value) else "inf"


def main() -> int:
    own = {name: ours(name) for name in implementations()}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", default=",".join(map(str, CLASSES)))
    parser.add_argument("--dtypes", default="float32,float64")
    parser.add_argument("--write", metavar="FILE", help="put the tables into this document")
    arguments = parser.parse_args()
    classes = tuple(map(int, arguments.classes.split(",")))
    contenders = dict(own)
    absent = []
    for name, load in PEERS.items():
        try:
            contenders[name] = load()
        except ImportError:
            absent.append(name)
    compiled = [name for name in own if name != "numpy"]
    peers = [name for name in contenders if name not in own]
    body: dict[str, list[list[str]]] = {quantity: [] for quantity in QUANTITIES}
    broken = []
    differences = []
    for dtype in map(np.dtype, arguments.dtypes.split(",")):
        errors = measure(contenders, classes, dtype)
        if len(compiled) > 1:
            far = apart({name: own[name] for name in compiled}, classes, dtype)
            differences.append([dtype.name, *map(str, far.values())])
        for quantity in QUANTITIES:
            for case in CASES:
                worst = {
                    name: max(errors[quantity, case, count][name] for count in classes)
                    for name in contenders
                }
                body[quantity].append([case, dtype.name, *(shown(worst[name]) for name in contenders)])
        for (quantity, case, count), of in errors.items():
            where = f"{quantity}, {case}, {dtype}, C = {count}"
            # log-sum-exp near 0 is a difference: its last place is finer than that of its terms.
            if quantity != "logsumexp":
                broken += (f"{where}: {a} {of[a]:.2f} ulp" for a in compiled if of[a] > BOUND[dtype])
            broken += (
                f"{where}: {a} {of[a]:.2f} ulp, {b} {of[b]:.2f}" for a, b in lost_to(of, compiled, peers)
            )
    text = "\n".join(
        f"{quantity.replace('_', '-')}, worst error in ulp:\n\n"
        + table(("logits", "type", *contenders), body[quantity])
        + "\n"
        for quantity in QUANTITIES
    )
    if differences:
        text += (
            f"\nHow far {' and '.join(compiled)} lie apart at most, in ulp:\n\n"
            + table(("type", *QUANTITIES), differences)
            + "\n"
        )
    if absent:
        text += f"\nNot installed here: {', '.join(absent)}.\n"
    print(text)
    print("\n".join(broken), file=sys.stderr)
    if arguments.write:
        write_section(arguments.write, "errors", text)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
