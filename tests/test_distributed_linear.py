"""The loss of a linear layer whose classes are shared out over ranks, beside all in one place."""

import doctest

import numpy as np
import pytest

from ffkernels import _linear
from ranks import on_ranks
from test_agreement import same_everywhere
from test_distributed import NAN, alike_everywhere, laid_out, on_each_backend, shares
from test_linear_cross_entropy import reference


def loss_of(x, w, targets, b=None, **options):
    from ffkernels.distributed import linear_cross_entropy_with_grad

    return linear_cross_entropy_with_grad(x, w, targets, b, **options)


def random_call(rng, ranks):
    """All classes in one place, and where each rank's lie."""
    rows, features = int(rng.choice([0, 1, 7, 40])), int(rng.choice([1, 5, 30]))
    classes = int(rng.choice([1, 2, 33, 300]))
    dtype = rng.choice([np.float32, np.float64])
    x = rng.normal(size=(rows, features)).astype(dtype)
    w = (rng.choice([0.1, 2]) * rng.normal(size=(features, classes))).astype(dtype)
    b = rng.normal(size=classes).astype(dtype) if rng.random() < 0.5 else None
    options = {"reduction": str(rng.choice(["mean", "sum", "none"]))}
    if rng.random() < 0.4:
        options["weight"] = rng.uniform(0, 2, classes).round(int(rng.integers(3))).astype(dtype)
    if rng.random() < 0.4:
        options["label_smoothing"] = float(rng.choice([0.1, 1.0]))
    if rng.random() < 0.4:
        options["sample_weight"] = rng.uniform(0, 3, rows).round(int(rng.integers(3)))
    if rng.random() < 0.3:
        t = rng.uniform(size=(rows, classes)).astype(dtype)
    else:
        t = rng.integers(0, classes, rows)
        if rng.random() < 0.4:
            options["ignore_index"] = -1
            t[rng.random(rows) < 0.3] = -1
    return x, w, t, b, options, shares(rng, classes, ranks)


@on_ranks(1, 2, 4)
def test_random_calls(comm):
    least = _linear._LEAST_ROWS
    for implementation in on_each_backend():
        rng, own = np.random.default_rng(comm.size), np.random.default_rng(comm.rank)
        for call in range(30):
            x, w, t, b, options, slices = random_call(rng, comm.size)
            _linear._LEAST_ROWS = int(rng.choice([1, 5, least]))
            chunk_bytes = int(rng.choice([1, 3000, 2**25]))
            want, (want_dx, want_dw, want_db) = reference(x, w, t, b, **options)
            here = slices[comm.rank]
            if "weight" in options:
                options["weight"] = options["weight"][here]
            out = None
            if own.random() < 0.5:
                out = (
                    np.full(x.shape, 7, x.dtype),
                    laid_out(own, np.full(w[:, here].shape, 7, x.dtype)),
                    None,
                )
            loss, (dx, dw, db) = loss_of(
                laid_out(own, x), laid_out(own, w[:, here]), t if t.ndim == 1 else t[:, here],
                None if b is None else b[here], comm=comm, chunk_bytes=chunk_bytes, out=out,
                first_class=here.start if own.random() < 0.5 else None, **options,
            )  # fmt: skip
            alike_everywhere(comm, loss)
            alike_everywhere(comm, dx)
            assert loss.dtype == dx.dtype == dw.dtype == x.dtype
            told = f"{implementation} {call} {x.shape} {w.shape} {options} {slices} {chunk_bytes}"
            for got, exact in (
                (loss, want), (dx, want_dx), (dw, want_dw[:, here]),
                *([] if b is None else [(db, want_db[here])]),
            ):  # fmt: skip
                atol = 300 * np.finfo(x.dtype).eps * max(1, float(np.abs(exact).max(initial=0)))
                np.testing.assert_allclose(got, exact.astype(float), rtol=0, atol=atol, err_msg=told)
            assert (db is None) == (b is None)
            if out is not None:
                assert dx is out[0] and dw is out[1]
    _linear._LEAST_ROWS = least


@on_ranks(2)
def test_confident_rows_keep_their_digits(comm):
    """Wherever the target lies, to the last places of the loss and of the gradient at its weight."""
    width = 20
    classes = width * comm.size
    for _ in on_each_backend():
        for dtype, lead in ((np.float32, 80), (np.float64, 600)):
            t = np.array([0, 7, width, classes - 1])
            x, w = np.eye(4, dtype=dtype), np.zeros((4, classes), dtype)
            w[np.arange(4), t] = lead
            first = comm.rank * width
            loss, (_, dw, _) = loss_of(x, w[:, first : first + width], t, comm=comm, reduction="sum")
            rest = (classes - 1) * np.exp(-np.longdouble(lead))
            ulps = 8 * np.finfo(dtype).eps
            assert abs(loss / (4 * np.log1p(rest)) - 1) <= ulps
            rows = np.flatnonzero((t >= first) & (t < first + width))
            assert np.all(abs(dw[rows, t[rows] - first] / (-rest / (1 + rest)) - 1) <= ulps)


@on_ranks(2)
def test_half_precision_lists_and_nan(comm):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(9, 6)).astype(np.float16), rng.normal(size=(6, 40)).astype(np.float16)
    t, here = rng.integers(0, 40, 9), slice(0, 15) if comm.rank == 0 else slice(15, 40)
    for _ in on_each_backend():
        for chunk_bytes in (500, None):
            want, (want_dx, want_dw, _) = reference(x, w, t)
            loss, (dx, dw, _) = loss_of(x, w[:, here], t, comm=comm, chunk_bytes=chunk_bytes)
            assert loss.dtype == np.float32 and dx.dtype == dw.dtype == np.float16
            assert loss == pytest.approx(float(want), rel=1e-6)
            np.testing.assert_allclose(dx, want_dx.astype(float), rtol=1e-3, atol=1e-7)
            np.testing.assert_allclose(dw, want_dw[:, here].astype(float), rtol=1e-3, atol=1e-7)
        loss, (dx, _, _) = loss_of([[1, 2]], [[comm.rank, 2], [0, 1]], [1], comm=comm)
        want, (want_dx, *_) = reference([[1, 2]], [[0, 2, 1, 2], [0, 1, 0, 1]], [1])
        assert dx.dtype == np.float64 and loss == pytest.approx(float(want), rel=1e-14)
        np.testing.assert_allclose(dx, want_dx.astype(float), rtol=1e-13)
        rows = np.arange(9) != 4
        broken = x.astype(np.float64)
        broken[4] = NAN
        losses, (dx, _, _) = loss_of(broken, w[:, here].astype(float), t, comm=comm, reduction="none")
        assert np.isnan(losses).tolist() == (~rows).tolist() and np.isfinite(dx[rows]).all()


@on_ranks(2, 4)
def test_ranks_that_disagree_say_the_same(comm):
    x, w, t, b = (
        np.zeros((4, 5), "f4"),
        np.zeros((5, 3), "f4"),
        np.array([0, 1, 2, 3]),
        np.zeros(3, "f4"),
    )
    odd = comm.rank == comm.size - 1
    cases = {
        "dtype of x": (x.astype("f8"), w.astype("f8"), t, None, {}),
        "shape of x": (x[:3], w, t[:3], None, {}),
        "b": (x, w, t, b, {}),
        "targets": (x, w, np.zeros((4, 3)), None, {}),
        "weight": (x, w, t, None, {"weight": np.ones(3)}),
        "ignore_index": (x, w, t, None, {"ignore_index": -1}),
        "label_smoothing": (x, w, t, None, {"label_smoothing": 0.1}),
        "sample_weight": (x, w, t, None, {"sample_weight": np.ones(4)}),
        "reduction": (x, w, t, None, {"reduction": "sum"}),
        "class indices in targets": (x, w, t[::-1], None, {}),
        "chunk_bytes": (x, w, t, None, {"chunk_bytes": 1000}),
    }
    for _ in on_each_backend():
        for name, others in cases.items():
            *arguments, options = others if odd else (x, w, t, None, {})
            out = np.full(arguments[0].shape, 7, arguments[0].dtype), None, None
            message = same_everywhere(
                comm,
                ValueError,
                lambda: loss_of(*arguments, comm=comm, out=out, **options),  # noqa: B023
            )
            assert message.startswith(f"ValueError: {name}: expected the same on every rank, got ")
            assert (out[0] == 7).all()
        wrong = {"comm": comm, "first_class": 4 if odd else None}
        message = same_everywhere(comm, ValueError, lambda: loss_of(x, w, t, **wrong))  # noqa: B023
        assert message.startswith(f"ValueError: first_class: expected {3 * (comm.size - 1)} on rank")
        loss_of(x, w, t, comm=comm)  # they are still in step


@on_ranks(2)
def test_what_one_rank_refuses_every_rank_refuses(comm):
    x, w, t, b = (
        np.zeros((4, 5), "f4"),
        np.zeros((5, 3), "f4"),
        np.array([0, 1, 2, 3]),
        np.zeros(3, "f4"),
    )
    odd = comm.rank == comm.size - 1
    for _ in on_each_backend():
        for kind, said, arguments, options in [
            (TypeError, "x: expected real numbers", (x * 1j, w, t), {}),
            (ValueError, "x: expected shape (N, D)", (x[0], w, t), {}),
            (ValueError, "x: expected at least one column", (x[:, :0], w[:0], t), {}),
            (ValueError, "w: expected shape (5, C)", (x, w[:4], t), {}),
            (TypeError, "w: expected the dtype of x", (x, w.astype("f8"), t), {}),
            (ValueError, "b: expected shape (3,)", (x, w, t, b[:2]), {}),
            (ValueError, "targets: expected class indices of shape", (x, w, t[:3]), {}),
            (ValueError, "chunk_bytes: expected at least 1", (x, w, t), {"chunk_bytes": 0}),
            (ValueError, "weight: expected one number", (x, w, t), {"weight": np.ones(5)}),
            (
                ValueError,
                "sample_weight: expected finite",
                (x, w, t),
                {"sample_weight": np.full(4, NAN)},
            ),
            (ValueError, "first_class: expected the number", (x, w, t), {"first_class": -1}),
            (TypeError, "out: expected arrays (dx, dw, db)", (x, w, t), {"out": x}),
            (ValueError, "out (dw): expected memory apart from w", (x, w, t), {"out": (None, w, None)}),
        ]:
            if not odd:
                arguments, options = (x, w, t), {}
            message = same_everywhere(comm, kind, lambda: loss_of(*arguments, comm=comm, **options))  # noqa: B023
            assert message.startswith(f"{kind.__name__}: {said}") and message.endswith(" (on rank 1)")
        message = same_everywhere(comm, IndexError, lambda: loss_of(x, w, [0, 1, 6, 2], comm=comm))
        assert message.startswith(
            "IndexError: targets: class index 6 at position 2 is out of range for 6"
        )
        loss_of(x, w, t, comm=comm)


@on_ranks(2)
def test_nothing_to_divide_by(comm):
    w, b = np.ones((5, 3 * comm.rank), np.float32), np.ones(3 * comm.rank, np.float32)
    for _ in on_each_backend():
        for x, t in ((np.ones((0, 5), "f4"), []), (np.ones((2, 5), "f4"), [9, 9])):
            out = np.full(x.shape, NAN, "f4"), np.full(w.shape, NAN, "f4"), np.full(b.shape, NAN, "f4")
            loss, grads = loss_of(x, w, t, b, comm=comm, ignore_index=9, out=out)
            assert loss == 0 and not any(grad.any() for grad in grads)
        loss, (dx, _, _) = loss_of(np.ones((2, 5), "f4"), w, [0, 2], comm=comm)  # rank 0 has no class
        assert loss == pytest.approx(np.log(3), rel=1e-6) and not dx.any()


@on_ranks(1)
def test_examples(comm):
    from ffkernels.distributed import _linear_cross_entropy

    tried = doctest.testmod(_linear_cross_entropy)
    assert tried.failed == 0 and tried.attempted > 5


def test_it_is_named_where_it_is_called():
    pytest.importorskip("mpi4py")
    import ffkernels.distributed

    assert "linear_cross_entropy_with_grad" in dir(ffkernels.distributed)
