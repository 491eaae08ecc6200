"""Activations that go back from their input: limits, digits, options, half precision, layers, nets."""

import itertools
import pickle

import mpmath
import numpy as np
import pytest

import ffkernels as ff
from ffkernels import layers
from ffkernels._benchmark.peers import textbook
from ffkernels._operations import FROM_INPUT, OPERATIONS
from ffkernels.layers import FeedForward
from ffkernels.optimizers import SGD, Adam

BY_NAME = {operation.name: operation for operation in OPERATIONS}
CASES = [(name, options) for name in FROM_INPUT for options in BY_NAME[name].options]
INF, NAN = np.inf, np.nan
DTYPES = [np.float32, np.float64]

#: f and f' at -inf, -10^4, 0, 10^4 and inf, with the default numbers.
LIMITS = {
    "leaky_relu": ([-INF, -100, 0, 1e4, INF], [0.01, 0.01, 0.01, 1, 1]),
    "elu": ([-1, -1, 0, 1e4, INF], [0, 0, 1, 1, 1]),
    "hard_sigmoid": ([0, 0, 0.5, 1, 1], [0, 0, 1 / 6, 0, 0]),
    "softplus": ([0, 0, np.log(2), 1e4, INF], [0, 0, 0.5, 1, 1]),
    "silu": ([-0.0, -0.0, 0, 1e4, INF], [0, 0, 0.5, 1, 1]),
    "gelu": ([-0.0, -0.0, 0, 1e4, INF], [0, 0, 0.5, 1, 1]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_limits(backend, name, options, dtype):
    if options in ({"negative_slope": -1.5}, {"alpha": 0.3}):
        pytest.skip("the limits are those of the defaults")
    x = np.array([-INF, -1e4, 0, 1e4, INF, NAN], dtype)
    with np.errstate(all="raise"):
        y = getattr(ff, name)(x, **options)
        dx = getattr(ff, f"{name}_backward")(np.ones_like(x), x, **options)
    for got, want in zip((y, dx), LIMITS[name], strict=True):
        np.testing.assert_allclose(got[:-1], np.array(want, dtype), rtol=4 * np.finfo(dtype).eps)
        assert np.isnan(got[-1])
    if name in ("silu", "gelu"):
        assert np.signbit(y[:2]).all() and not np.signbit(y[2])
    if name != "hard_sigmoid" and name != "softplus":
        assert np.signbit(getattr(ff, name)(np.array([-0.0], dtype), **options))[0]


def mp_function(name, options):
    """The function and its slope in many digits."""
    sqrt, exp = mpmath.sqrt, mpmath.exp
    if name == "gelu" and options["approximate"] == "tanh":
        c, k = sqrt(2 / mpmath.pi), mpmath.mpf(44715) / 10**6
        f = lambda x: x / (1 + exp(-2 * c * (x + k * x**3)))  # noqa: E731
    else:
        f = {
            "leaky_relu": lambda x: x if x > 0 else x * mpmath.mpf(options["negative_slope"]),
            "elu": lambda x: x if x > 0 else mpmath.mpf(options["alpha"]) * mpmath.expm1(x),
            "hard_sigmoid": lambda x: min(max(x + 3, 0), 6) / 6,
            "softplus": lambda x: mpmath.log1p(exp(x)),
            "silu": lambda x: x / (1 + exp(-x)),
            "gelu": lambda x: x * mpmath.erfc(-x / sqrt(2)) / 2,
        }[name]
    return f, lambda x: mpmath.diff(f, x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_digits(backend, name, options, dtype):
    """With a relative error, far down where nothing but a tail is left too; kinks are left out."""
    x = [-36.5, -12.3, -7.7, -2.9, -1.1, -0.3, -1e-3, -1e-12, 1e-12, 0.02, 0.6, 1.7, 2.8, 6.1, 17, 33.3]
    x = np.array(x, dtype)
    numbers = {key: float(dtype(v)) for key, v in options.items() if key != "approximate"}
    f, slope = mp_function(name, options | numbers)
    ulps = 1000 if backend == "numpy" and options == {"approximate": "tanh"} else 20
    with mpmath.workdps(60):
        want = np.array([float(f(mpmath.mpf(float(v)))) for v in x])
        slopes = np.array([float(slope(mpmath.mpf(float(v)))) for v in x])
    tiny = np.finfo(dtype).tiny
    rtol = ulps * np.finfo(dtype).eps
    np.testing.assert_allclose(getattr(ff, name)(x, **options), want.astype(dtype), rtol=rtol, atol=tiny)
    dx = getattr(ff, f"{name}_backward")(np.full_like(x, 3), x, **options)
    np.testing.assert_allclose(dx, (3 * slopes).astype(dtype), rtol=2 * rtol, atol=3 * tiny)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_half_precision_is_the_result_of_float32_rounded_once(backend, name, options):
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        want = getattr(ff, name)(x.astype(np.float32), **options).astype(np.float16)
        got = getattr(ff, name)(x, **options)
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("form", ["{}", "{}_backward", "bias_{}", "{}_backward_bias"])
@pytest.mark.parametrize(("name", "option"), [("leaky_relu", "negative_slope"), ("elu", "alpha")])
def test_numbers_are_checked(backend, name, option, form):
    operation = BY_NAME[form.format(name)]
    function = getattr(ff, operation.name)
    arguments = operation.draw(np.random.default_rng(0), (3, 4), np.float32)
    out = np.full((3, 4), 7, np.float32)
    for value, error, words in [
        ("much", TypeError, f"{option}: expected real numbers"),
        (None, TypeError, option),
        ([1.0, 2.0], TypeError, f"{option}: expected a number, got an array of shape"),
        (NAN, ValueError, f"{option}: expected a finite number, got nan"),
        (INF, ValueError, f"{option}: expected a finite number, got inf"),
    ]:
        with pytest.raises(error, match=words):
            function(*arguments, **{option: value}, out=out)
    assert (out == 7).all()
    np.testing.assert_array_equal(
        np.concatenate([np.ravel(a) for a in function(*arguments, **{option: 2})]),
        np.concatenate([np.ravel(a) for a in function(*arguments, **{option: np.float32(2)})]),
    )


@pytest.mark.parametrize("form", ["{}", "{}_backward", "bias_{}", "{}_backward_bias"])
def test_the_approximation_is_named(backend, form):
    operation = BY_NAME[form.format("gelu")]
    arguments = operation.draw(np.random.default_rng(0), (3, 4), np.float32)
    for value in ("erf", None, True, 1):
        with pytest.raises(ValueError, match='approximate: expected "none" or "tanh", got'):
            getattr(ff, operation.name)(*arguments, approximate=value)


@pytest.mark.parametrize("name", FROM_INPUT)
def test_what_is_saved_is_called_x(backend, name):
    with pytest.raises(ValueError, match=r"x: expected the shape of dy, \(3,\), got \(2,\)"):
        getattr(ff, f"{name}_backward")(np.ones(3), np.ones(2))


def test_a_bias_that_does_not_fit(backend):
    dy, x, b = np.ones((4, 3), np.float32), np.ones((4, 3), np.float32), np.ones(3, np.float32)
    backward = ff.silu_backward_bias
    out, out_bias = np.full_like(x, 7), np.full(3, 7, np.float32)
    for arguments, options, error, words in [
        ((dy, x[:2], b), {}, ValueError, "x: expected the shape of dy"),
        ((dy, x, b[:2]), {}, ValueError, "b: expected the shape of x's last axis"),
        ((dy[0, 0], x[0, 0], b), {}, ValueError, "dy: expected at least one dimension"),
        ((dy, x, "b"), {}, TypeError, "b: expected real numbers"),
        ((dy, x, b), {"out": dy[:2]}, ValueError, "out: expected shape"),
        ((dy[0], x[0], b), {"out": b}, ValueError, "out: expected memory apart from b"),
        ((dy, x, b), {"out_bias": dy[0]}, ValueError, "out_bias: expected memory apart from dy"),
        ((dy, x, b), {"out_bias": x[0]}, ValueError, "out_bias: expected memory apart from x"),
        ((dy, x, b), {"out_bias": np.ones(3)}, TypeError, "out_bias: expected dtype"),
        ((dy.astype(np.float16), x.astype(np.float16), b), {"out": out, "out_bias": out_bias[:2]},
         ValueError, "out_bias: expected shape"),
    ]:  # fmt: skip
        with pytest.raises(error, match=words):
            backward(*arguments, **options)
    assert (out == 7).all() and (out_bias == 7).all()
    memory = np.ones(8, np.float32)
    with pytest.raises(ValueError, match="out_bias: expected memory apart from b"):
        backward(dy, x, memory[:3], out_bias=memory[1:4])
    want = backward(dy, x, b)
    got = backward(dy, x, b, out=x, out_bias=b)
    assert got[0] is x and got[1] is b
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("name", FROM_INPUT)
def test_a_wider_bias_decides_the_type(backend, name):
    rng = np.random.default_rng(0)
    dy, x, b = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.normal(size=3)
    dy, x = dy.astype(np.float32), x.astype(np.float32)
    got = getattr(ff, f"{name}_backward_bias")(dy, x, b)
    want = getattr(ff, f"{name}_backward_bias")(dy.astype(float), x.astype(float), b)
    for g, w in zip(got, want, strict=True):
        assert g.dtype == np.float64
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize(
    ("layer", "name", "options"),
    [
        ("LeakyRelu", "leaky_relu", {}), ("LeakyRelu", "leaky_relu", {"negative_slope": 0.2}),
        ("Elu", "elu", {}), ("Elu", "elu", {"alpha": 0.5}), ("HardSigmoid", "hard_sigmoid", {}),
        ("Softplus", "softplus", {}), ("Silu", "silu", {}), ("Gelu", "gelu", {}),
        ("Gelu", "gelu", {"approximate": "tanh"}),
    ],
)  # fmt: skip
def test_layers(backend, layer, name, options):
    rng = np.random.default_rng(1)
    x, dout = rng.normal(size=(2, 6, 5))
    made = getattr(layers, layer)(**options)
    with pytest.raises(RuntimeError, match=f"{layer}.backward: expected a call of forward"):
        made.backward()
    y = made.forward(x)
    np.testing.assert_array_equal(y, getattr(ff, name)(x, **options))
    for given, upstream in ((dout, dout), (1.0, np.ones_like(x))):
        want = getattr(ff, f"{name}_backward")(upstream, x, **options)
        np.testing.assert_array_equal(made.backward(given), want)
    assert made.forward(2 * x) is y and made.params == [] and repr(made).startswith(f"{layer}(")
    for value in options.values():
        assert repr(value) in repr(made)
    copying = getattr(layers, layer)(copy=True, **options)
    assert copying.forward(x) is not copying.forward(x)
    assert pickle.loads(pickle.dumps(made)).forward(x).shape == x.shape


def test_layers_check_their_numbers():
    with pytest.raises(ValueError, match="negative_slope: expected a finite number"):
        layers.LeakyRelu(NAN)
    with pytest.raises(TypeError, match="alpha: expected"):
        layers.Elu("a")
    with pytest.raises(ValueError, match="approximate: expected"):
        layers.Gelu("erf")


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sum_squared_error"])
@pytest.mark.parametrize("name", FROM_INPUT)
def test_a_net_trains_as_the_textbook_does(backend, name, loss):
    rng = np.random.default_rng(2)
    net = FeedForward([6, 9, 8, 4], name, loss, np.float64, seed=0)
    plain = textbook.Net(net.params, name, loss)
    optimizers = [SGD(0.1), textbook.SGD(0.1, 0.0)], [Adam(0.01), textbook.Adam(0.01)]
    for (ours, theirs), rows in itertools.product(optimizers, (20, 7, 7)):
        x = rng.normal(size=(rows, 6))
        t = rng.integers(0, 4, rows) if loss == "softmax_cross_entropy" else rng.normal(size=(rows, 4))
        before = float(net.loss(x, t))
        assert net.train_step(x, t, ours) == pytest.approx(before, rel=1e-12)
        assert plain.train_step(x, t, theirs) == pytest.approx(before, rel=1e-4)  # log(y + 1e-7)
        for key, param in net.params.items():
            np.testing.assert_allclose(plain.params[key], param, rtol=1e-7, atol=1e-9)
    outputs = net.predict(x)
    assert outputs.shape == (7, 4) and net.predict(x) is not outputs


@pytest.mark.parametrize("name", FROM_INPUT)
def test_a_net_with_a_wide_output(backend, name, monkeypatch):
    """Whose last layer's scores are never made as a whole."""
    rng = np.random.default_rng(3)
    x, t = rng.normal(size=(5, 6)), rng.integers(0, 4, 5)
    net = FeedForward([6, 7, 4], name, dtype=np.float64, seed=0)
    want = {key: grad.copy() for key, grad in net.gradient(x, t).items()}
    monkeypatch.setattr("ffkernels.layers._net.CHUNK_BYTES", 8)
    wide = FeedForward([6, 7, 4], name, dtype=np.float64, seed=0)
    for key, grad in wide.gradient(x, t).items():
        np.testing.assert_allclose(grad, want[key], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_as_pytorch(backend, name, options):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(4)
    x, dy = 3 * rng.normal(size=(2, 40, 33))
    theirs = {"hard_sigmoid": functional.hardsigmoid}.get(name) or getattr(functional, name)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    y = theirs(tensor, **options)
    y.backward(torch.from_numpy(dy))
    # PyTorch's softplus is x from 20 on, and its hard sigmoid goes back by a sixth of float32.
    got = getattr(ff, name)(x, **options)
    np.testing.assert_allclose(got, y.detach().numpy(), rtol=1e-8, atol=1e-14)
    dx = getattr(ff, f"{name}_backward")(dy, x, **options)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=5e-8, atol=1e-13)
