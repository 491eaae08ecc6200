"""How exact the elementwise kernels are: over every float32 there is, and dense samples of float64.

    python bench/accuracy.py                         all of it, about an hour on one core
    python bench/accuracy.py --thin 1024             every 1024th input, a few seconds
    python bench/accuracy.py --functions exp,tanh --on avx2,baseline --dtypes float32
    python bench/accuracy.py --write docs/accuracy.md

An error is the distance to the exact value in units of the last place *of the exact value* (its
spacing, 2^-149 or 2^-1074 at least), so that a correctly rounded result is off by 0.5 at most; what
overflows to infinity counts as 2^128 or 2^1024.  The exit status tells whether all held: 1.0 ulp,
monotone where the function is, odd or even bit for bit, exact limits, NaN for NaN.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from report import write_section

import ffkernels
from ffkernels import _numpy, backend
from ffkernels._benchmark.markdown import table

Array = np.ndarray[Any, np.dtype[Any]]

#: What every compiled kernel is held to.
BOUND = 1.0

CHUNK = 1 << 18

# ---- references ------------------------------------------------------------------------------------
#
# float32 is checked against these formulas in float64, float64 against the same in long double.
# NumPy's exp, log and tanh are off by less than 1 ulp there, which the formulas at most quadruple:
# 4 * 2^-52 of the value, 2^-27 ulp of float32 (7e-9), or 4 * 2^-63, 2^-9 ulp of float64 (0.002)
# where long double has 64 bits.  Rounding the reference gives the correctly rounded result except
# within so little of a tie.


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _sigmoid_grad(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return e / ((1 + e) * (1 + e))


def _step(x: Array) -> Array:
    return np.where(np.isnan(x), x, x > 0)


def _bell(a: Array) -> Array:
    """e^(-a^2/2), the square of a as a sum of two: the first is exact."""
    a = np.minimum(a, 300)  # from where on it is 0
    upper = a.astype(np.float32).astype(a.dtype)
    return np.exp(upper * upper / -2) * np.exp((a - upper) * (a + upper) / -2)


def _upper_tail(a: Array) -> Array:
    """Phi(-a) for a >= 0, by the power series below 2 and Laplace's continued fraction from there on."""
    small = np.minimum(a, 2)
    term = total = small
    for k in range(1, 60):
        term = term * (small * small) / (2 * k + 1)
        total = total + term
    large = np.clip(a, 2, 300)
    fraction = large
    for k in range(150, 0, -1):
        fraction = large + k / fraction
    phi_0 = 1 / np.sqrt(8 * np.arctan(a.dtype.type(1)))
    return np.where(a < 2, 0.5 - phi_0 * _bell(small) * total, phi_0 * _bell(large) / fraction)


def _normal(x: Array) -> Array:
    """Phi(x)"""
    tail = _upper_tail(np.abs(x))
    return np.where(x < 0, tail, 1 - tail)


def _density(x: Array) -> Array:
    return _bell(np.abs(x)) / np.sqrt(8 * np.arctan(x.dtype.type(1)))


def _times(x: Array, y: Array) -> Array:
    """A product that is its limit where y is 0."""
    return np.where(y == 0, x.dtype.type(-0.0), x * y)


def _cubic(x: Array) -> tuple[Array, Array]:
    """The gate of gelu's approximation and x times its derivative."""
    c = np.sqrt(2 / np.arctan(x.dtype.type(1)))
    k = x.dtype.type(44715) / 1000000
    return c * (x + k * x**3), c * (x + 3 * k * x**3)


def _gate_slope(z: Array, w: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e * (1 + e + w), 1 + e * (1 + w)) / ((1 + e) * (1 + e))


def _gate_size(z: Array, w: Array) -> Array:
    """The larger one of both terms of that slope."""
    return _sigmoid(z) * np.maximum(1, np.abs(w) * _sigmoid(-z))


@dataclass(frozen=True)
class Function:
    """An elementwise kernel of one argument and what is known of it.

    `parity` is 1 for an even function, -1 for an odd one, else 0; `rises` is 1 or -1 as it does so
    or falls for x > 0, 0 if it does both or neighbours may be an ulp in the wrong order; `limits` are
    arguments with exact values; `arguments` are what the kernel, whose name is the first word, takes
    besides x; `bounds` are for float32 and float64.
    """

    name: str
    reference: Callable[[Array], Array]
    parity: int
    rises: int
    limits: tuple[tuple[float, float], ...]
    arguments: tuple[Any, ...] = ()
    bounds: tuple[float, float] = (BOUND, BOUND)


INF, NAN = np.inf, np.nan

FUNCTIONS: dict[str, Function] = {
    f.name: f
    for f in (
        Function("exp", np.exp, 0, 1, ((0.0, 1), (-0.0, 1), (INF, INF), (-INF, 0.0))),
        Function(
            "log", np.log, 0, 1,
            ((1, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1, NAN), (-INF, NAN)),
        ),
        Function("sigmoid", _sigmoid, 0, 1, ((0.0, 0.5), (-0.0, 0.5), (INF, 1), (-INF, 0.0))),
        Function("tanh", np.tanh, -1, 1, ((0.0, 0.0), (-0.0, -0.0), (INF, 1), (-INF, -1))),
        Function(
            "sigmoid_grad", _sigmoid_grad, 1, -1, ((0.0, 0.25), (-0.0, 0.25), (INF, 0.0), (-INF, 0.0))
        ),
        Function(
            "tanh_grad", lambda x: 4 * _sigmoid_grad(2 * x), 1, -1,
            ((0.0, 1), (-0.0, 1), (INF, 0.0), (-INF, 0.0)),
        ),
        Function("relu_grad", _step, 0, 1, ((0.0, 0.0), (-0.0, 0.0), (INF, 1), (-INF, 0.0))),
        Function(
            "leaky_relu", lambda x: np.where(x < 0, -1.5 * x, x), 0, 0,
            ((0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, INF)), (-1.5,),
        ),
        Function(
            "elu", lambda x: np.where(x > 0, x, np.expm1(x)), 0, 1,
            ((0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1)), (1.0,),
        ),
        Function(
            "hard_sigmoid", lambda x: (np.clip(x, -3, 3) + 3) / 6, 0, 1,
            ((0.0, 0.5), (-3, 0.0), (3, 1), (INF, 1), (-INF, 0.0)),
        ),
        Function(
            "softplus", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 0, 0,
            ((INF, INF), (-INF, 0.0), (1e4, 1e4), (-1e4, 0.0)),
        ),
        Function(
            "silu", lambda x: _times(x, _sigmoid(x)), 0, 0,
            ((0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -0.0), (1e4, 1e4), (-1e4, -0.0)),
        ),
        Function(
            "gelu", lambda x: _times(x, _normal(x)), 0, 0,
            ((0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -0.0), (1e4, 1e4), (-1e4, -0.0)),
            ("none",), (7.0, 25.0),
        ),
        Function(
            "gelu tanh", lambda x: _times(x, _sigmoid(_cubic(x)[0])), 0, 0,
            ((0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -0.0), (1e4, 1e4), (-1e4, -0.0)),
            ("tanh",), (1.1, 1.3),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Backward:
    """A gradient of two arguments, dy and what the forward pass left, with the range of the latter.

    Where terms of the slope may cancel, errors are counted in last places of the larger one, `size`.
    """

    reference: Callable[[Array, Array], Array]
    low: float
    high: float
    bound: float
    arguments: tuple[Any, ...] = ()
    size: Callable[[Array], Array] | None = None


BACKWARDS: dict[str, Backward] = {
    "relu_backward": Backward(lambda dy, y: np.where(y > 0, dy, 0), -2, 2, 0.5),
    "sigmoid_backward": Backward(lambda dy, y: dy * (y * (1 - y)), 0, 1, 2.5),
    "tanh_backward": Backward(lambda dy, y: dy * ((1 - y) * (1 + y)), -1, 1, 2.5),
    "leaky_relu_backward": Backward(lambda dy, x: np.where(x > 0, dy, -1.5 * dy), -2, 2, 0.5, (-1.5,)),
    "elu_backward": Backward(lambda dy, x: np.where(x > 0, dy, dy * np.exp(x)), -60, 60, 2.0, (1.0,)),
    "hard_sigmoid_backward": Backward(lambda dy, x: np.where(np.abs(x) < 3, dy / 6, 0), -5, 5, 0.5),
    "softplus_backward": Backward(lambda dy, x: dy * _sigmoid(x), -60, 60, 2.0),
    "silu_backward": Backward(
        lambda dy, x: dy * _gate_slope(x, x), -60, 60, 5.0, (), lambda x: _gate_size(x, x)
    ),
    "gelu_backward": Backward(
        lambda dy, x: dy * (_normal(x) + x * _density(x)), -12, 12, 5.0, ("none",),
        lambda x: np.maximum(_normal(x), np.abs(x) * _density(x)),
    ),
    "gelu_backward tanh": Backward(
        lambda dy, x: dy * _gate_slope(*_cubic(x)), -9, 9, 7.0, ("tanh",),
        lambda x: _gate_size(*_cubic(x)),
    ),
}  # fmt: skip

WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}
BITS = {np.dtype(np.float32): np.uint32, np.dtype(np.float64): np.uint64}

# ---- inputs ----------------------------------------------------------------------------------------

#: Worst cases for the correct rounding of exp, log and tanh in double precision: a few of those
#: published with the CORE-MATH project, after Lefevre and Muller.
_HARD = (
    *("0x1.0122ef37212ebp-1", "0x1.1cb3082a6fdc1p-1", "0x1.346375690c81cp-1", "0x1.5c9bfc868b554p-1"),
    *("0x1.6e9b76e472c48p-1", "0x1.a6e14fa6ddd29p-1", "0x1.d293ca826821fp-1", "0x1.0f67c115ce1dep+0"),
    *("0x1.1991573fa50e2p+0", "0x1.30922e18227bap+0", "0x1.5661a638ea367p+0", "0x1.a6ae5142326b5p+0"),
    *("0x1.1e852e6951306p+1", "0x1.8402e125922c2p+1", "0x1.05eb7625384e6p+2", "0x1.62e4952207533p+2"),
    *("0x1.d0e162effea7dp+2", "0x1.4f13cc6f7929ep+3", "0x1.0af4fba7063b8p+4", "0x1.85265c4f0ca53p+6"),
    *("0x1.13eb03a6df309p+7", "0x1.cc9952467a0b3p+8", "0x1.02c72cd3dea4ap+9", "0x1.223a1f0a08134p+28"),
    *("0x1.be845183ac751p+29", "0x1.863e449c53727p+40", "0x1.0a402fcc79297p-25", "0x1.000b47bdb383fp-9"),
    *("0x1.002b19915b12bp-7", "0x1.004524207fad9p-3", "0x1.015cee8026857p+1", "0x1.0487b6ec9ca7ap+4"),
    *("0x1.30fc1931f09c9p+4",),
)

#: With the one of the Handbook of Floating-Point Arithmetic, chapter 12.
HARD = (7.5417527749959590085e-10, *map(float.fromhex, _HARD))


def special(dtype: Any) -> Array:
    """Positive arguments where something happens: both sides of every switch of the kernels, ends of
    the intervals of their argument reduction, powers of two, hard cases; each with its neighbours.
    """
    dtype = np.dtype(dtype)
    info = np.finfo(dtype)
    low = float(np.log(info.smallest_normal))
    half = np.log(2) * (np.arange(1100) + 0.5)
    powers = np.arange(info.minexp - info.nmant, info.maxexp, dtype=np.float64)
    points = [
        # Where tanh of float32 takes another polynomial, that of float64 another n, and where tanh and
        # sigmoid are 1.
        *(1 / 3, 2 / 3, 4 / 3, 2.0, 10 / 3, 14 / 3, 22 / 3, 9.02),
        *(np.log(2) / 2 * (np.arange(60) + 0.498)),
        *(20.0, 40.0),
        # Below the smallest normal number, below half of the smallest, above the largest.
        *(-low, 2 * -low, -low / 2),
        *(-low + info.nmant * np.log(2) + np.log(f) for f in (1, 2, 4)),
        *(float(np.log(info.max)), float(np.log(info.max)) / 2, 88.0, 89.0, 106.0, 710.0, 748.0),
        *half,
        *(half / 2),
        *np.ldexp(1.0, powers.astype(int)),
        *np.ldexp(np.sqrt(0.5), powers.astype(int)),
        *HARD,
        float(info.max),
    ]
    with np.errstate(over="ignore"):
        at = np.array(points).astype(dtype)
    bits = at[np.isfinite(at)].view(BITS[dtype]).astype(np.int64)
    near = np.unique(bits[:, None] + np.arange(-8, 9))
    last = int(np.array(INF, dtype).view(BITS[dtype])) + 2  # infinity and two NaNs
    return near[(near >= 0) & (near <= last)].astype(BITS[dtype])


def inputs(dtype: Any, thin: int) -> Iterator[Array]:
    """Chunks of non-negative numbers, infinity and NaNs, in order of their bits.

    Of float32 every `thin`-th there is; of float64 a sample of 2^24 / `thin`, half of it spread over
    all exponents, half where the functions are neither 0 nor 1.  With what is `special`, always.
    """
    dtype = np.dtype(dtype)
    extra = special(dtype)
    if dtype == np.float32:
        for first in range(0, 1 << 31, CHUNK * thin):
            last = min(first + CHUNK * thin, 1 << 31)
            bits = np.arange(first, last, thin, np.uint32)
            if thin > 1:
                bits = np.union1d(bits, extra[(extra >= first) & (extra < last)])
            yield bits.view(dtype)
        return
    rng = np.random.default_rng(0)
    count = max((1 << 24) // thin, 1 << 12)
    everywhere = rng.integers(0, int(np.array(INF).view(np.uint64)), count // 2, np.uint64)
    near = np.concatenate(
        [rng.uniform(0, 750, count // 4), np.exp2(rng.uniform(-30, 5, count // 4))]
    )
    bits = np.unique(np.concatenate([everywhere, near.view(np.uint64), extra]))
    for first in range(0, len(bits), CHUNK):
        yield bits[first : first + CHUNK].view(dtype)


def chunks(dtype: Any, thin: int) -> int:
    """How many there are of `inputs`, nearly."""
    return max(1, (1 << 31 if dtype == np.float32 else 1 << 24) // (CHUNK * thin))


def implementations() -> dict[str, ModuleType]:
    """The compiled kernels for each instruction set of this machine, and the NumPy twin."""
    compiled = backend._compiled
    names = compiled.supported() if compiled else ()
    return {name: compiled.load(name) for name in reversed(names)} | {"numpy": _numpy}


# ---- measuring -------------------------------------------------------------------------------------


def spacing(want: Array, dtype: Any) -> Array:
    """One unit in the last place of `dtype` at the exact value."""
    info = np.finfo(dtype)
    exponent = np.maximum(np.frexp(want)[1] - 1, info.minexp)
    return np.ldexp(want.dtype.type(1), exponent - info.nmant)


def ulps(got: Array, want: Array, size: Array | None = None) -> Array:
    """Errors of `got` in ulp against a reference of a wider type, or in ulp of another size; infinite
    for a NaN too many or too few."""
    wide = got.astype(want.dtype)
    limit = np.ldexp(want.dtype.type(1), np.finfo(got.dtype).maxexp)
    with np.errstate(all="ignore"):
        wide = np.where(np.isinf(wide) & np.isfinite(want), np.copysign(limit, wide), wide)
        error = np.abs(wide - want) / spacing(want if size is None else size, got.dtype)
    error = np.where(wide == want, 0, error)
    error = np.where(np.isnan(error), INF, error)
    return np.where(np.isnan(got) & np.isnan(want), 0, error)


@dataclass
class Tally:
    """What was seen of one function on one implementation."""

    bound: float = BOUND
    count: int = 0
    off: int = 0  # not correctly rounded
    worst: float = 0.0
    at: tuple[float, ...] = ()
    falls: int = 0  # neighbours in the wrong order
    odd_ones: int = 0  # f(-x) that is not f(x) or -f(x)
    wrong_limits: list[str] = field(default_factory=list)
    last: dict[int, Array] = field(default_factory=dict)

    def compare(
        self, got: Array, want: Array, rounded: Array, *arguments: Array, size: Array | None = None
    ) -> None:
        self.count += got.size
        if not self.at:
            self.at = tuple(float(a.flat[0]) for a in arguments)
        off = np.flatnonzero(got != rounded)
        if off.size:
            off = off[~(np.isnan(got[off]) & np.isnan(want[off]))]
        if not off.size:
            return
        self.off += off.size
        error = ulps(got[off], want[off], None if size is None else size[off])
        worst = int(error.argmax())
        if error[worst] > self.worst:
            self.worst = float(error[worst])
            self.at = tuple(float(a[off[worst]]) for a in arguments)

    def order(self, got: Array, rises: int, side: int) -> None:
        """Counts what runs against `rises`, the neighbours in two chunks included."""
        if not rises:
            return
        if side in self.last:
            got = np.concatenate([self.last[side], got])
        self.last[side] = got[-1:]
        against = got[1:] < got[:-1] if rises > 0 else got[1:] > got[:-1]
        self.falls += int(np.count_nonzero(against))

    @property
    def good(self) -> bool:
        return not (self.worst > self.bound or self.falls or self.odd_ones or self.wrong_limits)


def same_bits(a: Array, b: Array) -> Array:
    """Where two results are the same, the sign of a zero included; NaNs are all one."""
    return (a.view(BITS[a.dtype]) == b.view(BITS[b.dtype])) | (np.isnan(a) & np.isnan(b))


def call(kernels: ModuleType, name: str, *arrays: Array) -> Array:
    """A kernel's result; its name is the first word of that of the row."""
    known: Any = FUNCTIONS[name] if name in FUNCTIONS else BACKWARDS[name]
    return getattr(kernels, name.partition(" ")[0])(*arrays, *known.arguments, None)


def check_limits(function: Function, kernels: ModuleType, dtype: Any) -> list[str]:
    x = np.array([x for x, _ in function.limits] + [NAN], dtype)
    want = np.array([y for _, y in function.limits] + [NAN], dtype)
    got = call(kernels, function.name, x)
    wrong = ~same_bits(got, want)
    return [f"{a} -> {b}" for a, b in zip(x[wrong], got[wrong], strict=True)]


Key = tuple[str, str]  # function, implementation


def measure(
    dtype: Any,
    names: list[str],
    on: dict[str, ModuleType],
    thin: int,
    progress: Callable[[Iterator[Array]], Iterator[Array]] = iter,
) -> tuple[dict[Key, Tally], dict[str, int]]:
    """Tallies of functions on implementations, and how far apart the latter's results lie, in
    floating-point numbers between them, the twin left out."""
    dtype = np.dtype(dtype)
    wide = WIDER[dtype]
    tallies: dict[Key, Tally] = {}
    apart: dict[str, int] = dict.fromkeys(names, 0)
    for name in names:
        for where, kernels in on.items():
            if hasattr(kernels, name.partition(" ")[0]):
                tallies[name, where] = Tally(
                    FUNCTIONS[name].bounds[dtype == np.float64],
                    wrong_limits=check_limits(FUNCTIONS[name], kernels, dtype),
                )
    for x in progress(inputs(dtype, thin)):
        for name in names:
            function = FUNCTIONS[name]
            with np.errstate(all="ignore"):
                want = {1: function.reference(x.astype(wide))}
                if function.parity:
                    want[-1] = function.parity * want[1]
                else:
                    want[-1] = function.reference((-x).astype(wide))
                rounded = {side: w.astype(dtype) for side, w in want.items()}
            compiled: dict[int, Array] = {}
            for where, kernels in on.items():
                if (name, where) not in tallies:
                    continue
                tally = tallies[name, where]
                got = {side: call(kernels, name, x if side > 0 else -x) for side in (1, -1)}
                for side in (1, -1):
                    argument = x if side > 0 else -x
                    tally.compare(got[side], want[side], rounded[side], argument)
                    rises = function.rises * (1 if side > 0 or function.parity > 0 else -1)
                    tally.order(got[side], rises, side)
                    if kernels is not _numpy:
                        if side in compiled:
                            apart[name] = max(apart[name], distance(compiled[side], got[side]))
                        compiled.setdefault(side, got[side])
                if function.parity:
                    mirrored = got[-1] if function.parity > 0 else -got[-1]
                    tally.odd_ones += int(np.count_nonzero(~same_bits(got[1], mirrored)))
    return tallies, apart


def distance(a: Array, b: Array) -> int:
    """How far two results lie apart at most, in ulp of the smaller one."""
    differ = (a != b) & np.isfinite(a) & np.isfinite(b)
    if not differ.any():
        return 0
    one, two = a[differ].astype(WIDER[a.dtype]), b[differ].astype(WIDER[a.dtype])
    unit = spacing(np.minimum(np.abs(one), np.abs(two)), a.dtype)
    return round(float((np.abs(one - two) / unit).max()))


def backward_samples(dtype: Any, low: float, high: float, count: int) -> tuple[Array, Array]:
    """dy of every size and sign, and y within [low, high], crowded at 0 and at both ends."""
    rng = np.random.default_rng(1)
    info = np.finfo(dtype)
    quarter = count // 4
    small = np.exp2(rng.uniform(info.minexp, 0, quarter))
    y = np.concatenate(
        [
            rng.uniform(low, high, count - 3 * quarter),
            high * (1 - np.exp2(rng.uniform(-info.nmant - 1, 0, quarter))),
            small * rng.choice([low, high], quarter),
            rng.choice([0.0, low, high, low / 2, high / 2], quarter),
        ]
    )
    dy = np.exp2(rng.uniform(info.minexp, info.maxexp, count)) * rng.choice([-1, 1], count)
    dy[: count // 2] = rng.standard_normal(count // 2)
    return rng.permutation(dy).astype(dtype), y.astype(dtype)


def measure_backwards(
    dtype: Any, names: list[str], on: dict[str, ModuleType], thin: int
) -> dict[Key, Tally]:
    """Tallies of the gradients of two arguments, over a sample of 2^24 / `thin`."""
    dtype = np.dtype(dtype)
    tallies: dict[Key, Tally] = {}
    for name in names:
        known = BACKWARDS[name]
        low, high = known.low, known.high
        dy, y = backward_samples(dtype, low, high, max((1 << 24) // thin, 1 << 12))
        wide_dy, wide_y = dy.astype(WIDER[dtype]), y.astype(WIDER[dtype])
        with np.errstate(all="ignore"):
            want = known.reference(wide_dy, wide_y)
            size = np.abs(wide_dy) * known.size(wide_y) if known.size else None
            rounded = want.astype(dtype)
        for where, kernels in on.items():
            tally = tallies[name, where] = Tally(known.bound)
            tally.compare(call(kernels, name, dy, y), want, rounded, dy, y, size=size)
            limits = np.array([INF, -INF, NAN, 1, 0], dtype), np.array([high / 2] * 3 + [NAN, 0], dtype)
            got = call(kernels, name, *limits)
            if not (np.isinf(got[:2]).all() and np.isnan(got[2:4]).all() and got[4] == 0):
                tally.wrong_limits.append(f"{limits} -> {got}")
    return tallies


# ---- as a program ----------------------------------------------------------------------------------

HEADER = (
    *("function", "type", "on", "inputs", "worst, ulp", "at", "correctly rounded"),
    *("monotone", "symmetric", "limits"),
)


def _held(problems: Any) -> str:
    return "no" if problems else "yes"


def _falls(tally: Tally) -> str:
    return _held(tally.falls) + (f" ({tally.falls:,})" if tally.falls else "")


def rows(dtype: Any, tallies: dict[Key, Tally]) -> Iterator[list[str]]:
    for (name, where), tally in tallies.items():
        two = name in BACKWARDS
        parity = 0 if two else FUNCTIONS[name].parity
        off = 100 * tally.off / max(tally.count, 1)
        yield [
            *(name, np.dtype(dtype).name, where, f"{tally.count:,}"),
            f"{tally.worst:.4f}" if tally.off else "<= 0.5",
            ", ".join(f"{a:.9g}" for a in tally.at) if tally.off else "",
            f"{100 - off:.3f} %",
            "" if two or not FUNCTIONS[name].rises else _falls(tally),
            _held(tally.odd_ones) if parity else "",
            _held(tally.wrong_limits),
        ]


def main() -> int:
    from tqdm import tqdm

    available = implementations()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--thin", type=int, default=1, help="look at every N-th input only")
    parser.add_argument("--functions", default=",".join([*FUNCTIONS, *BACKWARDS]))
    parser.add_argument("--on", default=",".join(available), help="instruction sets, and numpy")
    parser.add_argument("--dtypes", default="float32,float64")
    parser.add_argument("--write", metavar="FILE", help="put the tables into this document")
    arguments = parser.parse_args()
    names = arguments.functions.split(",")
    known = [*FUNCTIONS, *BACKWARDS]
    for name in names:
        if name not in known:
            parser.error(f"--functions: expected some of {', '.join(known)}; got {name}")
    on = {}
    for name in arguments.on.split(","):
        if name not in available:
            parser.error(f"--on: expected some of {', '.join(available)}; got {name}")
        on[name] = available[name]
        if name != "numpy":
            on[name].set_num_threads(1, 1)
    singles = [name for name in names if name in FUNCTIONS]
    pairs = [name for name in names if name in BACKWARDS]
    body: list[list[str]] = []
    differences: list[list[str]] = []
    good = True
    for dtype in map(np.dtype, arguments.dtypes.split(",")):
        if np.finfo(WIDER[dtype]).nmant <= np.finfo(dtype).nmant + 8:
            print(f"{dtype} is left out: long double is no wider here")
            continue

        def bar(chunk: Iterator[Array], dtype: Any = dtype) -> Iterator[Array]:
            return tqdm(chunk, str(dtype), chunks(dtype, arguments.thin), unit="chunk", mininterval=1)

        tallies, apart = measure(dtype, singles, on, arguments.thin, bar)
        tallies |= measure_backwards(dtype, pairs, on, arguments.thin)
        body += rows(dtype, tallies)
        differences += ([name, dtype.name, str(far)] for name, far in apart.items())
        good &= all(t.good for (_, where), t in tallies.items() if where != "numpy")
        for (name, where), tally in tallies.items():
            for wrong in tally.wrong_limits:
                print(f"{name} of {dtype} on {where}: {wrong}", file=sys.stderr)
    text = table(HEADER, body) + "\n"
    compiled = [name for name in on if name != "numpy"]
    if len(compiled) > 1 and differences:
        text += (
            f"\nHow far {' and '.join(compiled)} lie apart at most, in ulp:\n\n"
            + table(("function", "type", "ulp"), differences)
            + "\n"
        )
    print(text)
    if arguments.write:
        write_section(arguments.write, "accuracy", text)
    return 0 if good else 1


if __name__ == "__main__":
    ffkernels.set_num_threads(1)
    sys.exit(main())
