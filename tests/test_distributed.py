"""Cross-entropy of logits whose classes are shared out over ranks, beside that of all in one place."""

import doctest
from itertools import pairwise

import numpy as np
import pytest

import ffkernels as ff
from conftest import implementations
from ffkernels import _arguments, _shards
from ffkernels._context import choice
from ranks import on_ranks
from test_agreement import same_everywhere

INF, NAN = np.inf, np.nan


def loss_of(logits, targets, **options):
    from ffkernels.distributed import softmax_cross_entropy_with_grad

    return softmax_cross_entropy_with_grad(logits, targets, **options)


def on_each_backend():
    for implementation in implementations():
        name, _, isa = implementation.partition(":")
        if isa:
            ff.set_isa(isa)
        with ff.use_backend(name):
            yield implementation


def shares(rng, classes, ranks):
    """Slices of consecutive classes, one a rank, of any length."""
    cuts = [0, *np.sort(rng.integers(0, classes + 1, ranks - 1)), classes]
    return [slice(*pair) for pair in pairwise(cuts)]


def expected(
    x, t, weight=None, ignore_index=None, label_smoothing=0.0, sample_weight=None, reduction="mean"
):
    """Loss and gradient of all classes, as the formula has it, in long double."""
    classes = x.shape[-1]
    x = x.astype(np.longdouble)
    w = np.ones(classes) if weight is None else weight.astype(np.longdouble)
    counts = np.ones(len(x), bool)
    hot = t
    if t.ndim == 1:
        counts = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
        hot = np.eye(classes)[np.where(counts, t, 0)]
    each = np.ones(len(x)) if sample_weight is None else sample_weight.astype(np.longdouble)
    a = w * ((1 - label_smoothing) * hot + label_smoothing / classes) * (each * counts)[:, None]
    m = x.max(-1, keepdims=True)
    e = np.exp(x - m)
    total = e.sum(-1, keepdims=True)
    losses = np.where(a == 0, 0, a * (np.log(total) + m - x)).sum(-1)
    grads = e / total * a.sum(-1, keepdims=True) - a
    if reduction == "none":
        return losses, grads
    count = 1.0
    if reduction == "mean":
        count = (w[t[counts]] * each[counts]).sum() if t.ndim == 1 else each.sum()
    count = count or 1.0
    return losses.sum() / count, grads / count


def alike_everywhere(comm, loss):
    said = comm.allgather((np.asarray(loss).tobytes(), loss.dtype, np.shape(loss)))
    assert all(other == said[0] for other in said)


def laid_out(rng, array):
    """The same values, somewhere else in memory."""
    kind = rng.integers(5)
    if kind == 0:
        return np.asfortranarray(array)
    if kind == 1:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if kind == 2:
        return array[::-1, ::-1].copy()[::-1, ::-1]
    return array.copy()


def random_call(rng, ranks):
    rows, classes = int(rng.choice([0, 1, 3, 17, 40])), int(rng.choice([1, 2, 5, 33, 300, 2500]))
    dtype = rng.choice([np.float32, np.float64])
    x = (rng.choice([0.1, 3, 30]) * rng.normal(size=(rows, classes))).astype(dtype)
    options = {"reduction": str(rng.choice(["mean", "sum", "none"]))}
    if rng.random() < 0.4:
        options["weight"] = rng.uniform(0, 2, classes).round(int(rng.integers(3))).astype(dtype)
    if rng.random() < 0.4:
        options["label_smoothing"] = float(rng.choice([0.1, 1.0]))
    if rng.random() < 0.3:
        t = rng.uniform(size=(rows, classes)).astype(dtype)
        t /= t.sum(-1, keepdims=True)
    else:
        t = rng.integers(0, classes, rows)
        if rng.random() < 0.4:
            options["ignore_index"] = int(rng.choice([-1, 0, 10**6]))
            t[rng.random(rows) < 0.3] = options["ignore_index"]
    if rng.random() < 0.4:
        options["sample_weight"] = rng.uniform(0, 3, rows).round(int(rng.integers(3)))
    return x, t, options, shares(rng, classes, ranks)


@on_ranks(1, 2, 4)
def test_random_calls(comm):
    tolerance = {np.dtype("f4"): 2e-6, np.dtype("f8"): 4e-15}
    for implementation in on_each_backend():
        rng, own = np.random.default_rng(comm.size), np.random.default_rng(comm.rank)
        for call in range(60):
            x, t, options, slices = random_call(rng, comm.size)
            want, want_grad = expected(x, t, **options)
            here = slices[comm.rank]
            if "weight" in options:
                options["weight"] = options["weight"][here]
            targets = t if t.ndim == 1 else laid_out(own, t[:, here])
            if t.ndim == 1 and own.random() < 0.3:
                targets = t.astype("i2" if t.size == 0 or t.max() < 2**15 else ">i4")
            logits = laid_out(own, x[:, here])
            kind = own.integers(3)
            out = [None, np.full(logits.shape, 7, x.dtype), logits][kind]
            first = here.start if own.random() < 0.5 else None
            before = logits.copy()
            loss, grad = loss_of(logits, targets, comm=comm, first_class=first, out=out, **options)
            alike_everywhere(comm, loss)
            close = {"rtol": 0, "err_msg": f"{implementation} {call} {x.shape} {options} {slices}"}
            close["atol"] = tolerance[x.dtype] * max(1, np.abs(want).max(initial=0))
            assert loss.dtype == grad.dtype == x.dtype and np.shape(loss) == np.shape(want)
            np.testing.assert_allclose(loss, want.astype(x.dtype), **close)
            # Of a gradient p - 1 long double keeps this much, where others are nothing beside it.
            close["atol"] = tolerance[x.dtype] * np.abs(want_grad).max(initial=1e-300) + 1e-18
            np.testing.assert_allclose(grad, want_grad[:, here], **close)
            if out is not None:
                assert grad is out
            if kind != 2:
                np.testing.assert_array_equal(logits, before)


@on_ranks(2, 4)
def test_confident_rows_keep_their_digits(comm):
    """Wherever the target lies, to the last places of the loss and of the gradient at the target."""
    width = 50
    classes = width * comm.size
    for implementation in on_each_backend():
        for dtype, least in ((np.float32, 80), (np.float64, 600)):
            lead = np.linspace(3, least, 4 * comm.size).astype(dtype)
            t = np.arange(len(lead)) * (classes - 1) // (len(lead) - 1)
            x = np.zeros((len(lead), classes), dtype)
            x[np.arange(len(lead)), t] = lead
            far = np.exp(-lead.astype(np.longdouble))
            rest = (classes - 1) * far
            here = slice(comm.rank * width, (comm.rank + 1) * width)
            soft = np.eye(classes, dtype=dtype)[t]
            for targets in (t, soft[:, here]):
                loss, grad = loss_of(x[:, here], targets, comm=comm, reduction="none")
                want = np.broadcast_to((far / (1 + rest))[:, None], x.shape).copy()
                want[np.arange(len(lead)), t] = -rest / (1 + rest)
                ulps = 8 * np.finfo(dtype).eps
                np.testing.assert_allclose(loss, np.log1p(rest).astype(dtype), rtol=ulps)
                np.testing.assert_allclose(
                    grad, want[:, here].astype(dtype), rtol=ulps, err_msg=f"{implementation} {dtype}"
                )


@on_ranks(1, 4)
def test_several_ranks_may_hold_the_maximum(comm):
    """Each counts once, and what is left of the rest with them."""
    for _ in on_each_backend():
        for dtype, ulps in ((np.float32, 5e-7), (np.float64, 1e-15)):
            x = np.full((3, 3), -30, dtype)
            x[:, 1] = 5
            tail = 2 * comm.size * np.exp(np.longdouble(-35))
            for targets in ([1, 1, 1], [3 * comm.size - 2] * 3):
                loss, grad = loss_of(x, targets, comm=comm, reduction="sum")
                rivals = comm.size - 1 + tail
                assert loss == pytest.approx(float(3 * np.log1p(rivals)), rel=ulps)
                mine = targets[0] // 3 == comm.rank
                want = (-rivals if mine else 1) / (1 + rivals)
                np.testing.assert_allclose(grad[:, 1].astype(float), float(want), rtol=ulps)


@on_ranks(4)
def test_maxima_far_apart(comm):
    """What a rank's own maximum was is no trace in the result: beside the largest numbers, and where the
    difference is rounded."""
    for _ in on_each_backend():
        for dtype, step in ((np.float32, 20.3), (np.float64, 171.7)):
            rng = np.random.default_rng(7)
            x = rng.normal(size=(20, 8 * comm.size)).astype(dtype)
            x += np.repeat(rng.permutation(comm.size), 8).astype(dtype) * dtype(step)
            t = rng.integers(0, x.shape[1], 20)
            here = slice(8 * comm.rank, 8 * comm.rank + 8)
            want, want_grad = expected(x, t, reduction="none")
            loss, grad = loss_of(x[:, here], t, comm=comm, reduction="none")
            ulps = (20 if ff.get_backend() == "numpy" else 5) * np.finfo(dtype).eps
            np.testing.assert_allclose(loss, want.astype(dtype), rtol=ulps)
            np.testing.assert_allclose(
                grad, want_grad[:, here].astype(dtype), rtol=ulps, atol=np.finfo(dtype).tiny
            )
            huge = np.finfo(dtype).max
            x = np.full((1, 2), huge if comm.rank == comm.size - 1 else -huge, dtype)
            loss, grad = loss_of(x, [2 * comm.size - 1], comm=comm)
            assert loss == dtype(np.log(2))
            np.testing.assert_array_equal(grad, [[0.5, -0.5] if comm.rank == comm.size - 1 else [0, 0]])


@on_ranks(1, 4)
def test_nan_and_infinities(comm):
    """As in one process: in the row that has them, on every rank, and in no other."""
    last = comm.rank == comm.size - 1
    for implementation in on_each_backend():
        for dtype in (np.float32, np.float64):
            x = np.zeros((7, 2), dtype)
            x[0, 0] = -INF  # a masked class of every rank
            if last:
                x[1] = -INF  # no class of the last rank counts
                x[2, 1] = NAN
                x[3, 0] = INF
                x[6, 1] = -INF
            x[4] = -INF  # nothing anywhere
            t = np.array([1, 0, 0, 0, 0, 0, 2 * comm.size - 1])  # of row 6: the masked class
            n = 2 * comm.size
            alone = comm.size == 1
            want = [np.log(n / 2), NAN if alone else np.log(n - 2), NAN, NAN, NAN, np.log(n), INF]
            one_hot = np.eye(n, dtype=dtype)[t][:, 2 * comm.rank : 2 * comm.rank + 2]
            for targets, smoothing in ((t, 0.0), (one_hot, 0.0), (t, 0.25)):
                options = {"comm": comm, "reduction": "none", "label_smoothing": smoothing}
                loss, grad = loss_of(x, targets, **options)
                alike_everywhere(comm, loss)
                nan = [False, alone, True, True, True, False, False]
                assert np.isnan(loss).tolist() == nan, (implementation, loss)
                assert np.isnan(grad).all(-1).tolist() == nan and np.isnan(grad).any(-1).tolist() == nan
                if smoothing:
                    assert loss[0] == loss[6] == INF and (alone or loss[1] == INF)
                else:
                    np.testing.assert_allclose(loss, want, rtol=1e-6)
                assert loss[6] == INF and np.isfinite(grad[6]).all()
                if not smoothing:
                    assert grad[0, 0] == 0 and (alone or not last or (grad[1] == 0).all())
            ignoring = {"comm": comm, "reduction": "sum", "ignore_index": 0}
            loss, grad = loss_of(x[1:6], np.zeros(5, int), **ignoring)
            assert loss == 0 and not grad.any() and not np.signbit(grad).any()
            weight = np.ones(2, dtype) if not last else np.array([1, 0], dtype)
            loss, grad = loss_of(x, t, comm=comm, reduction="none", weight=weight)
            assert loss[6] == 0 and not grad[6].any() and np.isnan(loss).tolist() == nan


@on_ranks(2)
def test_rows_of_weight_0_may_hold_anything(comm):
    rng = np.random.default_rng(4)
    for _ in on_each_backend():
        x, t = rng.normal(size=(5, 6)), np.array([0, 5, 2, 3, 1])
        soft, here = np.full((5, 6), 1 / 6), slice(3 * comm.rank, 3 * comm.rank + 3)
        each = np.array([1.0, 0.0, 2.0, 0.5, 3.0])
        for targets, smoothing in ((t, 0.0), (t, 0.2), (soft, 0.0)):
            options = {"label_smoothing": smoothing, "sample_weight": each}
            want, want_grad = expected(x, targets, **options)
            x[1] = NAN
            loss, grad = loss_of(
                x[:, here], targets if targets is t else soft[:, here], comm=comm, **options
            )
            x[1] = 0
            alike_everywhere(comm, loss)
            assert loss == pytest.approx(float(want), rel=1e-14) and (grad[1] == 0).all()
            np.testing.assert_allclose(grad, want_grad[:, here].astype(float), rtol=1e-13, atol=1e-16)


@on_ranks(2)
def test_nothing_to_divide_by(comm):
    for _ in on_each_backend():
        for dtype in (np.float32, np.float64):
            loss, grad = loss_of(np.ones((0, 3), dtype), [], comm=comm)
            assert loss == 0 and loss.dtype == dtype and grad.shape == (0, 3)
            loss, grad = loss_of(np.ones((2, 3), dtype), [9, 9], comm=comm, ignore_index=9)
            assert loss == 0 and not grad.any()
            # No class at all, and no row that asks for one.
            loss, grad = loss_of(np.ones((2, 0), dtype), [9, 9], comm=comm, ignore_index=9)
            assert loss == 0 and grad.shape == (2, 0)


def joined(parts, soft, merged=_shards.merged):
    """The statistics of several shards as of one."""
    maximum = np.max([own[_shards.MAXIMUM] for own in parts], 0)
    return merged(sum(_shards.shares(own, maximum, soft) for own in parts), maximum)


def test_shards_in_one_process(backend):
    """Blocks of classes, without MPI; and some of them joined first, as those of a rank would be."""
    rng = np.random.default_rng(6)
    kernels = choice().kernels
    for _ in range(60):
        x, t, options, blocks = random_call(rng, 4)
        want, want_grad = expected(x, t, **options)
        shards, parts, grads = [], [], []
        for block in blocks:
            weight = options.get("weight")
            call = _arguments.loss_of_some_classes(
                "logits", x[:, block], t if t.ndim == 1 else t[:, block], -1,
                None if weight is None else weight[block], options.get("ignore_index"),
                options.get("label_smoothing", 0.0), options["reduction"], options.get("sample_weight"),
            )  # fmt: skip
            shards.append(_shards.shard(call, block.start, x.shape[1]))
            parts.append(np.empty((_shards.STATISTICS, len(x))))
            grads.append(np.empty_like(call.scores))
            kernels.shard_statistics(shards[-1], grads[-1], parts[-1])
        soft, own = shards[0].has_coefficients, parts
        whole = joined([joined(own[:2], soft), joined(own[2:], soft)], soft, _shards.complete)
        at_once = joined(own, soft, _shards.complete)
        needed = slice(_shards.OTHERS if soft else _shards.TOTAL)
        np.testing.assert_allclose(whole[needed], at_once[needed], rtol=1e-14, atol=1e-14)
        factor = _shards.factor(shards[0], call.reduction, sum(map(_shards.counted, shards)))
        for shard, part, grad in zip(shards, parts, grads, strict=True):
            kernels.shard_gradient(shard, grad, _shards.gradient(part, at_once, shard, factor))
        losses = _shards.losses(whole, shards[0].sample_weight)
        loss = losses if options["reduction"] == "none" else losses.sum() * factor
        ulps = (4e-15 if x.dtype == np.float64 else 2e-6) * max(1, np.abs(want).max(initial=0))
        np.testing.assert_allclose(loss, want.astype(float), rtol=0, atol=ulps)
        ulps = (4e-15 if x.dtype == np.float64 else 2e-6) * np.abs(want_grad).max(initial=1e-300)
        got = np.concatenate(grads, axis=1)
        np.testing.assert_allclose(got, want_grad.astype(float), rtol=0, atol=ulps)


def test_what_a_shard_keeps(backend):
    """On every backend the same, and a maximum without NaN, which MPI would not know how to compare."""
    rng = np.random.default_rng(5)
    for dtype in (np.float32, np.float64):
        x = rng.normal(size=(6, 40)).astype(dtype)
        x[1, 3], x[2], x[3], x[4, 5] = NAN, NAN, -INF, INF
        t = np.array([0, 39, 3, -7, 60, 2])
        for options in ({}, {"label_smoothing": 0.1}, {"weight": rng.uniform(size=40).astype(dtype)}):
            options = {"weight": None, "ignore_index": -7, "label_smoothing": 0.0} | options
            call = _arguments.loss_of_some_classes("logits", x, t, -1, *options.values(), "sum")
            shard = _shards.shard(call, 0, 80)
            work, own = np.empty_like(x), np.empty((_shards.STATISTICS, 6))
            choice().kernels.shard_statistics(shard, work, own)
            want_work, want = np.empty_like(x), np.empty((_shards.STATISTICS, 6))
            with ff.use_backend("numpy"):
                choice().kernels.shard_statistics(shard, want_work, want)
            finite = [0, 3, 5]  # in the others it is enough that the sum is NaN
            np.testing.assert_allclose(work[finite], want_work[finite], rtol=20 * np.finfo(dtype).eps)
            np.testing.assert_allclose(own[:4, finite], want[:4, finite], rtol=40 * np.finfo(dtype).eps)
            maxima = [x[0].max(), np.nanmax(x[1]), -INF, 0, INF, x[5].max()]
            np.testing.assert_array_equal(own[_shards.MAXIMUM], maxima)
            nan = [False, True, True, False, True, False]
            np.testing.assert_array_equal(np.isnan(own[_shards.EXCESS]), nan)
            here = [True, True, True, False, call.label_smoothing > 0, True]
            np.testing.assert_array_equal(own[_shards.TOTAL] > 0, here)


@on_ranks(2)
def test_any_shape_and_dtype(comm):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 3, 10))
    t = rng.integers(0, 10, (2, 3))
    here = slice(0, 4) if comm.rank == 0 else slice(4, 10)
    for _ in on_each_backend():
        want, want_grad = expected(x.reshape(6, 10), t.reshape(6), reduction="none")
        for logits in (x[..., here], x.transpose(2, 0, 1).copy().transpose(1, 2, 0)[..., here]):
            loss, grad = loss_of(logits, t, comm=comm, reduction="none")
            np.testing.assert_allclose(loss, want.reshape(2, 3).astype(float), rtol=1e-14)
            wanted = want_grad[:, here].reshape(2, 3, -1).astype(float)
            np.testing.assert_allclose(grad, wanted, rtol=1e-13)
        loss, grad = loss_of(x[0, 0, here], t[0, 0], comm=comm, reduction="none")
        assert loss == pytest.approx(float(want[0]), rel=1e-14) and np.ndim(loss) == 0
        half = x[0].astype(np.float16)
        loss, grad = loss_of(half[:, here], t[0], comm=comm)
        want_loss, want_half = expected(half, t[0])
        assert loss.dtype == np.float32 and grad.dtype == np.float16
        assert loss == pytest.approx(float(want_loss), rel=1e-6)
        np.testing.assert_allclose(grad, want_half[:, here].astype(float), rtol=2e-3, atol=1e-6)
        loss, grad = loss_of([[comm.rank, 2]], [1], comm=comm)
        assert loss.dtype == grad.dtype == np.float64
        assert loss == pytest.approx(float(expected(np.array([[0, 2, 1, 2]]), np.array([1]))[0]))


# ---- what is refused -------------------------------------------------------------------------------


def refused(comm, kind, logits, targets, **options):
    """What every rank raises; what was to be written is untouched."""
    options |= {"comm": comm, "out": np.full(np.shape(logits), 7, getattr(logits, "dtype", float))}
    message = same_everywhere(comm, kind, lambda: loss_of(logits, targets, **options))
    assert (options["out"] == 7).all()
    return message


@on_ranks(2, 4)
def test_ranks_that_disagree_say_the_same(comm):
    x, t = np.zeros((4, 3), np.float32), np.array([0, 1, 2, 3])
    odd = comm.rank == comm.size - 1
    same = {"reduction": "mean"}
    cases = {
        "rows of logits": (x[: 3 + (not odd)], t[: 3 + (not odd)], same),
        "dtype of logits": (x.astype(np.float64 if odd else np.float32), t, same),
        "targets": (x, x if odd else t, same),
        "weight": (x, t, {"weight": None if odd else np.ones(3)}),
        "ignore_index": (x, t, {"ignore_index": -1 if odd else None}),
        "label_smoothing": (x, t, {"label_smoothing": 0.1 if odd else 0.0}),
        "sample_weight": (x, t, {"sample_weight": np.arange(4) + odd}),
        "reduction": (x, t, {"reduction": "sum" if odd else "mean"}),
        "class indices in targets": (x, t[::-1] if odd else t, same),
    }
    for _ in on_each_backend():
        for name, (logits, targets, options) in cases.items():
            message = refused(comm, ValueError, logits, targets, **options)
            assert message.startswith(f"ValueError: {name}: expected the same on every rank, got ")
            assert message.endswith(f" on rank {comm.size - 1}")
        message = refused(comm, ValueError, x, t, first_class=4 if odd else None)
        right = 3 * (comm.size - 1)
        said = f"expected {right} on rank {comm.size - 1}, after the classes of the ranks before, got 4"
        assert message == f"ValueError: first_class: {said}"
        loss_of(x, t, comm=comm)  # they are still in step


@on_ranks(2)
def test_what_one_rank_refuses_every_rank_refuses(comm):
    x, t = np.zeros((4, 3), np.float32), np.array([0, 1, 2, 3])
    odd = comm.rank == comm.size - 1
    for _ in on_each_backend():
        for kind, said, logits, targets, options in [
            (TypeError, "logits: expected real numbers", x.astype(complex) if odd else x, t, {}),
            (TypeError, "targets: expected integers", x, t.astype(float) if odd else t, {}),
            (ValueError, "targets: expected class indices of shape", x, t[:3] if odd else t, {}),
            (ValueError, "weight: expected one number", x, t, {"weight": np.ones(5 if odd else 3)}),
            (
                ValueError,
                "sample_weight: expected one",
                x,
                t,
                {"sample_weight": np.ones(5 if odd else 4)},
            ),
            (ValueError, "label_smoothing: expected 0 to 1", x, t, {"label_smoothing": 2 if odd else 0}),
            (ValueError, "reduction: expected", x, t, {"reduction": "avg" if odd else "mean"}),
            (ValueError, "first_class: expected the number", x, t, {"first_class": -1 if odd else None}),
            (TypeError, "first_class: expected an integer", x, t, {"first_class": 0.5 if odd else None}),
            (TypeError, "ignore_index: expected an integer", x, t, {"ignore_index": "a" if odd else 1}),
        ]:
            message = refused(comm, kind, logits, targets, **options)
            assert message.startswith(f"{kind.__name__}: {said}")
            assert message.endswith(f" (on rank {comm.size - 1})")
        classes = 3 * comm.size
        message = refused(comm, IndexError, x, [0, 1, classes, 2])
        said = f"class index {classes} at position 2 is out of range for {classes} classes"
        assert message.startswith(f"IndexError: targets: {said}")
        message = refused(comm, IndexError, x, [0, -1, 0, 2], ignore_index=-2)
        assert "class index -1 at position 1" in message
        loss_of(x, t, comm=comm)


@on_ranks(2)
def test_outputs_that_would_do_harm(comm):
    x, t = np.zeros((4, 3), np.float32), np.array([0, 1, 2, 3])
    soft = np.full((4, 3), 1 / 6, np.float32)
    for kind, said, targets, out in [
        (TypeError, "out: expected dtype float32", t, np.empty((4, 3))),
        (ValueError, "out: expected shape", t, np.empty((4, 2), np.float32)),
        (ValueError, "out: expected memory apart from logits", t, x[::-1]),
        (ValueError, "out: expected memory apart from targets, got", soft, soft),
    ]:
        message = same_everywhere(comm, kind, lambda: loss_of(x, targets, comm=comm, out=out))  # noqa: B023
        assert message.startswith(f"{kind.__name__}: {said}")
    assert not x.any() and (soft == np.float32(1 / 6)).all()


@on_ranks(1)
def test_examples(comm):
    from ffkernels.distributed import _cross_entropy

    assert doctest.testmod(_cross_entropy) == (0, 12)


@on_ranks(4)
def test_what_travels(comm):
    """A few numbers a row, whatever the number of classes."""
    from mpi4py import MPI

    class Counting(MPI.Intracomm):
        sent = 0

        def count(self, buffer):
            Counting.sent += buffer.nbytes

        def Allgather(self, mine, every):
            self.count(mine)
            super().Allgather(mine, every)

        def Allreduce(self, mine, every, op):
            self.count(mine)
            super().Allreduce(mine, every, op)

        def Reduce(self, mine, every):
            self.count(every if mine is MPI.IN_PLACE else mine)
            super().Reduce(mine, every)

        def Bcast(self, mine):
            self.count(mine)
            super().Bcast(mine)

        def allgather(self, thing):
            raise AssertionError("pickled")

    for classes in (10, 1000):
        Counting.sent = 0
        loss_of(np.zeros((64, classes)), np.arange(64) % classes, comm=Counting(comm))
        assert 0 < Counting.sent <= 8 * ((1 + 4 + 4) * 64 + 10)
