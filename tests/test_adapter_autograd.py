"""The functions inside other libraries' differentiation: values, their own gradient checkers, second
derivatives, gradients from behind, transformations, every refusal."""

import importlib
import subprocess
import sys
import threading

import numpy as np
import pytest

import ffkernels as ff

LIBRARIES = ("autograd", "jax", "torch")
REDUCTIONS = ("mean", "sum", "none")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 4, 5))
P = RNG.uniform(0.2, 0.7, (4, 5))
SOFT, WEIGHT = RNG.dirichlet(np.ones(5), 4), RNG.uniform(0.5, 2, 5)
CLASSES = np.array([0, 3, 2, 1])

# name of the function, what it is differentiated by, what follows, options
CASES = {
    "relu": ("relu", (X,), (), {}),
    "sigmoid": ("sigmoid", (X,), (), {}),
    "tanh": ("tanh", (X,), (), {}),
    "softmax": ("softmax", (X,), (), {}),
    "softmax along the first axis": ("softmax", (X,), (), {"axis": 0}),
    "log_softmax": ("log_softmax", (X,), (), {}),
    "log_softmax along the first axis": ("log_softmax", (X,), (), {"axis": 0}),
    "logsumexp": ("logsumexp", (X,), (), {}),
    "logsumexp along the first axis": ("logsumexp", (X,), (), {"axis": 0, "keepdims": True}),
    "one sample": ("softmax_cross_entropy", (X[0],), (np.array(2),), {"reduction": "none"}),
    "probabilities with a clip": ("cross_entropy", (P,), (SOFT,), {"eps": 0.1}),
}
for reduction in REDUCTIONS:
    option = {"reduction": reduction}
    everything = {"weight": WEIGHT, "ignore_index": 2, "label_smoothing": 0.1, **option}
    first = {"axis": 0, **option}
    CASES |= {
        f"softmax_cross_entropy, {reduction}": ("softmax_cross_entropy", (X,), (CLASSES,), option),
        f"all options, {reduction}": ("softmax_cross_entropy", (X,), (CLASSES,), everything),
        f"soft targets, {reduction}": ("softmax_cross_entropy", (X,), (SOFT,), first),
        f"cross_entropy, {reduction}": ("cross_entropy", (P,), (CLASSES,), option),
        f"soft cross_entropy, {reduction}": ("cross_entropy", (P,), (SOFT,), first),
        f"sum_squared_error, {reduction}": ("sum_squared_error", (X, Y), (), option),
    }
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture
def autograd():
    pytest.importorskip("autograd")
    return importlib.import_module("ffkernels.adapters.autograd")


@pytest.fixture
def torch():
    pytest.importorskip("torch")
    return importlib.import_module("ffkernels.adapters.torch")


@pytest.fixture
def jax():
    library = pytest.importorskip("jax")
    before = library.config.jax_enable_x64
    library.config.update("jax_enable_x64", True)
    yield importlib.import_module("ffkernels.adapters.jax")
    library.config.update("jax_enable_x64", before)


def bound(adapter, case, constant=lambda array: array):
    """A case's function of what it is differentiated by."""
    name, _, others, options = case
    others = [constant(array) for array in others]
    options = {
        key: constant(value) if isinstance(value, np.ndarray) else value
        for key, value in options.items()
    }
    return lambda *x: getattr(adapter, name)(*x, *others, **options)


def expected(case):
    """The function's own value; a loss that comes with its gradient is summed in another order."""
    name, x, others, options = case
    return getattr(ff, name)(*x, *others, **options)




def test_nothing_is_imported_with_the_package():
    code = "import sys, ffkernels; print(*{'torch', 'jax', 'autograd'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == ""


@pytest.mark.parametrize("library", LIBRARIES)
def test_all_names_are_those_of_ffkernels(library, request):
    adapter = request.getfixturevalue(library)
    assert set(adapter.__all__) <= set(ff.__all__)
    assert {name for name, *_ in CASES.values()} == set(adapter.__all__)


def check_clipped(by_p):
    """Second derivatives of cross_entropy where some probabilities are clipped: 0 there."""
    eps = 0.4
    assert 0 < np.sum(eps > P) < P.size
    want = np.where(eps <= P, SOFT / P**2 / 4, 0)
    np.testing.assert_allclose(by_p(P, SOFT, eps), want, rtol=1e-12)


# --- HIPS autograd ---------------------------------------------------------------------------------


@every_case
def test_autograd(autograd, case, backend):
    from autograd.test_util import check_grads

    f, x = bound(autograd, case), case[1]
    np.testing.assert_allclose(f(*x), expected(case), rtol=1e-14)
    check_grads(f, tuple(range(len(x))), order=2)(*x)


def test_autograd_gradient_from_behind(autograd):
    from autograd import elementwise_grad, grad

    case = CASES["softmax_cross_entropy, mean"]
    f = bound(autograd, case)
    np.testing.assert_allclose(grad(lambda x: -3 * f(x))(X), -3 * grad(f)(X), rtol=1e-15)
    rows = bound(autograd, CASES["softmax_cross_entropy, none"])
    factors = np.array([1.0, 0.0, -2.0, 5.0])
    got = grad(lambda x: (factors * rows(x)).sum())(X)
    np.testing.assert_allclose(got, factors[:, None] * elementwise_grad(rows)(X), rtol=1e-15)


def test_autograd_where_clipped(autograd):
    from autograd import elementwise_grad, grad

    check_clipped(
        lambda p, t, eps: elementwise_grad(grad(lambda p: autograd.cross_entropy(p, t, eps=eps)))(p)
    )


def test_autograd_takes_no_gradient_by_targets(autograd):
    from autograd import grad

    with pytest.raises(NotImplementedError, match="targets"):
        grad(autograd.softmax_cross_entropy, 1)(X, SOFT)
    with pytest.raises(NotImplementedError, match="weight"):
        grad(lambda w: autograd.softmax_cross_entropy(X, CLASSES, weight=w))(WEIGHT)
    with pytest.raises(NotImplementedError, match="t:"):
        grad(autograd.cross_entropy, 1)(P, SOFT)
    with pytest.raises(IndexError, match="class index 9 at position 0"):
        grad(autograd.softmax_cross_entropy)(X, [9, 0, 0, 0])


# --- PyTorch ---------------------------------------------------------------------------------------


def tensors(*arrays, grad=True, dtype=None):
    import torch

    return [torch.tensor(a, dtype=dtype, requires_grad=grad) for a in arrays]


def from_numpy(array):
    import torch

    return torch.from_numpy(array)


@every_case
def test_torch(torch, case, backend):
    from torch.autograd import gradcheck, gradgradcheck

    f, x = bound(torch, case, from_numpy), tensors(*case[1])
    y = f(*x)
    assert y.requires_grad
    np.testing.assert_allclose(y.detach().numpy(), expected(case), rtol=1e-14)
    assert gradcheck(f, x)
    assert gradgradcheck(f, x)
    plain = f(*tensors(*case[1], grad=False))
    assert not plain.requires_grad
    np.testing.assert_allclose(plain.numpy(), expected(case), rtol=1e-14)


def test_torch_gradient_from_behind(torch):
    f = bound(torch, CASES["softmax_cross_entropy, mean"], from_numpy)
    (x,), (z,) = tensors(X), tensors(X)
    f(x).backward()
    (-3 * f(z)).backward()
    assert not (x.grad.requires_grad or z.grad.requires_grad)
    np.testing.assert_allclose(z.grad, -3 * x.grad, rtol=1e-15)
    f(x).backward()
    f(x).backward()
    np.testing.assert_allclose(x.grad, -z.grad, rtol=1e-15)  # summed, the kernel's own left alone


@every_case
def test_torch_gradient_to_be_differentiated_is_the_same(torch, case):
    import torch as library

    f, x = bound(torch, case, from_numpy), tensors(*case[1])
    plain = library.autograd.grad(f(*x).pow(2).sum(), x)
    kept = library.autograd.grad(f(*x).pow(2).sum(), x, create_graph=True)
    for a, b in zip(plain, kept, strict=True):
        assert b.requires_grad and not a.requires_grad
        np.testing.assert_allclose(b.detach(), a, rtol=1e-12, atol=1e-15)


def test_torch_where_clipped(torch):
    import torch as library

    def by_p(p, t, eps):
        (p,) = tensors(p)
        loss = torch.cross_entropy(p, from_numpy(t), eps=eps)
        (grad,) = library.autograd.grad(loss, p, create_graph=True)
        return _grads(grad.sum(), p)[0]

    check_clipped(by_p)


def test_torch_gradient_by_one_of_two(torch):
    y, t = tensors(X, Y)
    both = [grad.clone() for grad in _grads(torch.sum_squared_error(y, t), y, t)]
    np.testing.assert_array_equal(both[0], -both[1])
    (only,) = _grads(torch.sum_squared_error(y.detach(), t), t)
    np.testing.assert_array_equal(only, both[1])
    (only,) = _grads(torch.sum_squared_error(y, t.detach()), y)
    np.testing.assert_array_equal(only, both[0])


def _grads(loss, *x):
    import torch

    return torch.autograd.grad(loss, x)


def test_torch_copies_nothing(torch, monkeypatch):
    seen = []
    kernel = ff.softmax_cross_entropy_with_grad

    def spy(logits, targets, **options):
        loss, grad = kernel(logits, targets, **options)
        seen.extend([logits, targets, grad])
        return loss, grad

    monkeypatch.setattr(torch._losses, "softmax_cross_entropy_with_grad", spy)
    (x,), t = tensors(X), from_numpy(CLASSES)
    (grad,) = _grads(torch.softmax_cross_entropy(x.T, t.new_tensor([0, 1, 2, 3, 0])), x)
    assert np.shares_memory(seen[0], x.detach().numpy())
    assert np.shares_memory(seen[2], grad.numpy())
    torch.softmax_cross_entropy(x, t)
    assert np.shares_memory(seen[4], t.numpy())
    y = torch.relu(x)
    assert y.dtype == x.dtype and y.shape == x.shape


def test_torch_types(torch):
    import torch as library

    (x,) = tensors(X, dtype=library.float32)
    loss = torch.softmax_cross_entropy(x, from_numpy(SOFT), reduction="none")
    loss.sum().backward()
    assert loss.dtype == x.grad.dtype == library.float32
    (x,) = tensors(X, dtype=library.float16)
    loss = torch.softmax_cross_entropy(x, from_numpy(CLASSES), reduction="none")
    loss.sum().backward()
    assert loss.dtype == library.float32 and x.grad.dtype == library.float16
    assert torch.tanh(library.tensor(0.5)).shape == ()


def test_torch_refusals(torch):
    import torch as library

    x, soft = library.ones(2, 3), library.ones(2, 3, requires_grad=True)
    for function in (torch.relu, torch.softmax, torch.logsumexp):
        with pytest.raises(TypeError, match="x: expected a tensor, got list"):
            function([1.0])
        with pytest.raises(TypeError, match="x: expected a tensor of float16"):
            function(library.ones(2, dtype=library.int64))
        with pytest.raises(TypeError, match=r"got torch\.bfloat16"):
            function(library.ones(2, dtype=library.bfloat16))
        with pytest.raises(ValueError, match="on the CPU, got one on meta"):
            function(library.ones(2, device="meta"))
    with pytest.raises(ValueError, match="targets: expected a tensor that needs no gradient"):
        torch.softmax_cross_entropy(x, soft)
    with pytest.raises(ValueError, match="weight"):
        torch.softmax_cross_entropy(x, library.tensor([0, 1]), weight=soft[0])
    with pytest.raises(ValueError, match="t: "):
        torch.cross_entropy(x, soft)
    with pytest.raises(IndexError, match="class index 3 at position 1"):
        torch.softmax_cross_entropy(x, library.tensor([0, 3]))
    with pytest.raises(ValueError, match="t: expected the shape of y"):
        torch.sum_squared_error(x, library.ones(3))
    with pytest.raises(np.exceptions.AxisError):
        torch.softmax(x, 2)


def test_torch_training_is_that_of_its_own_functions(torch):
    import torch as library

    def train(activation, loss):
        library.manual_seed(0)
        x, t = library.randn(50, 8, dtype=library.float64), library.arange(50) % 3
        net = [library.nn.Linear(8, 16).double(), library.nn.Linear(16, 3).double()]
        params = [param for layer in net for param in layer.parameters()]
        optimiser = library.optim.SGD(params, lr=0.5, momentum=0.9)
        losses = []
        for _ in range(40):
            optimiser.zero_grad()
            value = loss(net[1](activation(net[0](x))), t)
            value.backward()
            optimiser.step()
            losses.append(value.item())
        return losses

    theirs = train(library.tanh, library.nn.functional.cross_entropy)
    ours = train(torch.tanh, torch.softmax_cross_entropy)
    assert theirs[-1] < theirs[0] / 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


# --- JAX -------------------------------------------------------------------------------------------


@every_case
def test_jax(jax, case):
    from jax import jit
    from jax.test_util import check_grads

    f, x = bound(jax, case, _device), [_device(a) for a in case[1]]
    np.testing.assert_allclose(f(*x), expected(case), rtol=1e-14)
    np.testing.assert_allclose(jit(f)(*x), expected(case), rtol=1e-14)
    check_grads(jit(f), x, order=2)


def _device(array):
    import jax.numpy as jnp

    return jnp.asarray(array)


@every_case
def test_jax_vmap(jax, case):
    from jax import grad, jit, vmap

    f, x = bound(jax, case, _device), [_device(a) for a in case[1]]
    batch = [np.stack([a, 0.9 * a, 1.1 * a]) for a in x]

    def slope(*x):
        return grad(lambda *x: (2 * f(*x) ** 2).sum())(*x)

    for function in (f, slope):
        one_by_one = np.stack([function(*element) for element in zip(*batch, strict=True)])
        together = jit(vmap(function))(*batch)
        np.testing.assert_allclose(together, one_by_one, rtol=1e-12, atol=1e-15)
        nested = vmap(vmap(function, in_axes=1), in_axes=2)
        moved = [np.moveaxis(a[None], (0, 1), (1, 2)) for a in batch]
        np.testing.assert_allclose(nested(*moved)[:, 0], one_by_one, rtol=1e-12, atol=1e-15)


def test_jax_vmap_over_targets_and_weights(jax):
    from jax import vmap

    targets, weights = np.stack([CLASSES, CLASSES[::-1]]), np.stack([WEIGHT, 2 * WEIGHT])

    def loss(t, weight):
        return jax.softmax_cross_entropy(X, t, weight=weight, reduction="none")

    got = vmap(loss)(targets, weights)
    for row, t, weight in zip(got, targets, weights, strict=True):
        want = ff.softmax_cross_entropy(X, t, weight=weight, reduction="none")
        np.testing.assert_array_equal(row, want)


def test_jax_gradient_from_behind(jax, backend):
    from jax import grad, jit, vjp

    f = bound(jax, CASES["softmax_cross_entropy, mean"])
    np.testing.assert_allclose(jit(grad(lambda x: -3 * f(x)))(X), -3 * grad(f)(X), rtol=1e-15)
    rows = bound(jax, CASES["softmax_cross_entropy, none"])
    _, back = vjp(rows, X)
    _, want = ff.softmax_cross_entropy_with_grad(X, CLASSES, reduction="none")
    factors = np.array([1.0, 0.0, -2.0, 5.0])
    np.testing.assert_allclose(back(factors)[0], factors[:, None] * want, rtol=1e-15)


def test_jax_where_clipped(jax):
    from jax import grad

    def by_p(p, t, eps):
        return grad(lambda p: grad(jax.cross_entropy)(p, t, eps=eps).sum())(p)

    check_clipped(by_p)


def test_jax_loops_and_rematerialises(jax):
    import jax as library

    f = bound(jax, CASES["softmax_cross_entropy, mean"])

    @library.jit
    def descend(x):
        def step(x, _):
            return x - library.grad(library.checkpoint(lambda x: f(jax.tanh(x))))(x), f(x)

        return library.lax.scan(step, x, length=20)

    x, losses = X, []
    for _ in range(20):
        losses.append(ff.softmax_cross_entropy(x, CLASSES))
        y = ff.tanh(x)
        x = x - ff.tanh_backward(ff.softmax_cross_entropy_with_grad(y, CLASSES)[1], y)
    got, got_losses = descend(_device(X))
    np.testing.assert_allclose(got, x, rtol=1e-10)
    np.testing.assert_allclose(got_losses, losses, rtol=1e-12)


def test_jax_types(jax):
    import jax as library
    import jax.numpy as jnp

    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32):
        x = jnp.asarray(X, dtype)
        assert jax.sigmoid(x).dtype == library.grad(lambda x: jax.softmax(x)[0, 0])(x).dtype == dtype
        for loss in (
            lambda x: jax.softmax_cross_entropy(x, CLASSES),
            lambda x: jax.cross_entropy(jax.softmax(x), CLASSES),
            lambda x: jax.sum_squared_error(x, x + 1),
        ):
            value, grad = library.value_and_grad(loss)(x)
            assert value.dtype == jnp.float32 and grad.dtype == dtype
    assert jax.relu(jnp.arange(3)).dtype == jnp.float64
    assert jax.tanh(0.0).shape == ()
    assert jax.softmax(jnp.zeros((0, 3))).shape == (0, 3)
    assert jax.softmax_cross_entropy(jnp.zeros((0, 3)), jnp.zeros(0, int)) == 0


def test_jax_refuses_when_tracing(jax):
    from jax import jit

    def refused(error, match, function, *args, **options):
        with pytest.raises(error, match=match):
            jit(lambda *args: function(*args, **options))(*args)

    loss = jax.softmax_cross_entropy
    refused(TypeError, "x: expected real numbers", jax.relu, X.astype(complex))
    refused(np.exceptions.AxisError, "axis 2", jax.softmax, X, axis=2)
    refused(ValueError, "targets: expected class indices of shape", loss, X, np.zeros(3, int))
    refused(TypeError, "targets: expected integers", loss, X, np.zeros(4))
    refused(ValueError, "weight: expected one number a class", loss, X, CLASSES, weight=np.ones(4))
    refused(ValueError, "reduction", loss, X, CLASSES, reduction="total")
    refused(ValueError, "label_smoothing", loss, X, CLASSES, label_smoothing=2)
    refused(TypeError, "ignore_index", loss, X, CLASSES, ignore_index=1.5)
    refused(ValueError, "eps", jax.cross_entropy, P, CLASSES, eps=-1)
    refused(ValueError, "t: expected the shape of y", jax.sum_squared_error, X, Y[:, :4])
    refused(ValueError, "reduction", jax.sum_squared_error, X, Y, reduction="total")
    refused(ValueError, "y: expected at least one dimension", jax.sum_squared_error, 1.0, 1.0)


def test_jax_raises_what_the_program_meets(jax):
    import jax as library

    meant = r"IndexError: targets: class index 5 at position 2"
    with pytest.raises(library.errors.JaxRuntimeError, match=meant):
        library.jit(jax.softmax_cross_entropy)(X, np.array([0, 1, 5, 2])).block_until_ready()


def test_jax_takes_no_gradient_by_targets(jax):
    from jax import grad

    assert not grad(jax.softmax_cross_entropy, 1)(X, SOFT).any()


def test_jax_from_many_threads(jax):
    """Programs that run side by side, each with calls that XLA may make side by side."""
    import jax as library

    @library.jit
    def losses(x):
        return [jax.softmax_cross_entropy(x + k, np.zeros(512, int)) for k in range(8)]

    x = np.random.default_rng(1).normal(size=(512, 1000)).astype(np.float32)
    want = ff.softmax_cross_entropy(x, np.zeros(512, int))
    wrong = []

    def run():
        for _ in range(10):
            wrong.extend(v for v in losses(x) if abs(float(v) / want - 1) > 1e-5)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
