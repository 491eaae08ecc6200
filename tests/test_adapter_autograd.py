"""The functions inside other libraries' differentiation: values, their own gradient checkers, second
derivatives, gradients from behind, transformations, every refusal."""

import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

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
ROWS, LABELS = np.array([0.5, 0.0, 2.0, 1.0]), RNG.integers(0, 2, (4, 5)).astype(float)
W, B = RNG.normal(size=(5, 5)), RNG.normal(size=5)

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
    "leaky_relu": ("leaky_relu", (X,), (), {}),
    "leaky_relu with a slope": ("leaky_relu", (X,), (), {"negative_slope": 0.3}),
    "elu": ("elu", (X,), (), {}),
    "elu with an alpha": ("elu", (X,), (), {"alpha": 0.7}),
    "hard_sigmoid": ("hard_sigmoid", (3 * X,), (), {}),
    "softplus": ("softplus", (X,), (), {}),
    "silu": ("silu", (X,), (), {}),
    "gelu": ("gelu", (X,), (), {}),
    "gelu by tanh": ("gelu", (X,), (), {"approximate": "tanh"}),
    "one sample": ("softmax_cross_entropy", (X[0],), (np.array(2),), {"reduction": "none"}),
    "probabilities with a clip": ("cross_entropy", (P,), (SOFT,), {"eps": 0.1}),
}
for reduction in REDUCTIONS:
    option = {"reduction": reduction}
    everything = {"weight": WEIGHT, "ignore_index": 2, "label_smoothing": 0.1, **option}
    first, rows = {"axis": 0, **option}, {"sample_weight": ROWS, **option}
    labels = {"weight": WEIGHT, "pos_weight": SOFT[:, :1], "sample_weight": ROWS, **option}
    CASES |= {
        f"softmax_cross_entropy, {reduction}": ("softmax_cross_entropy", (X,), (CLASSES,), option),
        f"all options, {reduction}": ("softmax_cross_entropy", (X,), (CLASSES,), everything),
        f"soft targets, {reduction}": ("softmax_cross_entropy", (X,), (SOFT,), first),
        f"cross_entropy, {reduction}": ("cross_entropy", (P,), (CLASSES,), option),
        f"soft cross_entropy, {reduction}": ("cross_entropy", (P,), (SOFT,), first),
        f"sum_squared_error, {reduction}": ("sum_squared_error", (X, Y), (), option),
        f"sigmoid_cross_entropy, {reduction}": ("sigmoid_cross_entropy", (X,), (LABELS,), option),
        f"all weights, {reduction}": ("sigmoid_cross_entropy", (X,), (SOFT,), labels),
        f"weighted rows, {reduction}": ("softmax_cross_entropy", (X,), (CLASSES,), everything | rows),
        f"weighted soft rows, {reduction}": ("softmax_cross_entropy", (X,), (SOFT,), rows),
        f"weighted cross_entropy, {reduction}": ("cross_entropy", (P,), (SOFT,), rows),
        f"weighted squared error, {reduction}": ("sum_squared_error", (X, Y), (), rows),
    }
    if reduction != "none":
        CASES |= {
            f"linear, {reduction}": ("linear_cross_entropy", (X, W), (CLASSES,), option),
            f"linear with all, {reduction}": (
                "linear_cross_entropy",
                (X, W, B),
                (CLASSES,),
                everything | rows | {"chunk_bytes": 64},
            ),
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
    return lambda *x: called(getattr(adapter, name), x, others, options)


def called(function, x, others, options):
    """The bias of a layer comes behind its targets."""
    return function(*x[:2], *others, *x[2:], **options)


def expected(case):
    """The function's own value; a loss that comes with its gradient is summed in another order."""
    name, x, others, options = case
    return called(getattr(ff, name), x, others, options)



def test_nothing_is_imported_with_the_package():
    code = "import sys, ffkernels; print(*{'torch', 'jax', 'autograd'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == ""


@pytest.mark.parametrize("library", [*LIBRARIES, "thinc"])
def test_an_adapter_without_its_library_names_the_extra(library):
    code = (
        f"import sys; sys.modules['{library}'] = None\n"
        "import importlib\n"
        f"try: importlib.import_module('ffkernels.adapters.{library}')\n"
        "except ImportError as error: print(error, error.__cause__)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout == (
        f"ffkernels.adapters.{library} needs {library}, which is not installed: "
        f"pip install 'ffkernels[{library}]' None\n"
    )


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


def derivatives(library, adapter, name, x):
    """The first, and the first and second on their way to be differentiated, of an activation."""
    function = getattr(adapter, name)
    if library == "torch":
        torch = importlib.import_module("torch")
        (leaf,) = tensors(x)
        (kernel,) = _grads(function(leaf).sum(), leaf)
        (first,) = torch.autograd.grad(function(leaf).sum(), leaf, create_graph=True)
        return kernel.numpy(), first.detach().numpy(), _grads(first.sum(), leaf)[0].numpy()
    if library == "jax":
        from jax import grad, vmap

        first = vmap(grad(function))(x)
        return first, first, vmap(grad(grad(function)))(x)
    from autograd import elementwise_grad

    first = elementwise_grad(function)(x)
    return first, first, elementwise_grad(elementwise_grad(function))(x)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["elu", "gelu", "hard_sigmoid", "leaky_relu", "silu", "softplus"])
def test_derivatives_far_out(library, name, request):
    """They are the kernel's, NaN and infinities too, where formulas say infinity times 0."""
    adapter = request.getfixturevalue(library)
    x = np.concatenate([np.linspace(-30, 30, 61) + 0.1, [-np.inf, -1e4, 1e4, np.inf, np.nan]])
    want = getattr(ff, f"{name}_backward")(np.ones_like(x), x)
    kernel, first, second = derivatives(library, adapter, name, x)
    np.testing.assert_allclose(kernel, want, rtol=1e-15)
    np.testing.assert_allclose(first, want, rtol=1e-12, atol=1e-14)
    with np.errstate(invalid="ignore"):
        step = 1e-5
        around = [getattr(ff, f"{name}_backward")(np.ones_like(x), x + h) for h in (step, -step)]
        slope = (around[0] - around[1]) / (2 * step)
    np.testing.assert_allclose(second[:-1], slope[:-1], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("library", LIBRARIES)
def test_second_derivatives_of_confident_labels(library, request):
    """s(x) s(-x), where the gradient alone has lost s(-x)."""
    adapter = request.getfixturevalue(library)
    x = np.linspace(20, 25, 11).astype(np.float32)
    x[-1] = np.inf  # of a row that counts for nothing
    t, rows = np.ones_like(x), np.append(np.ones(10), 0)

    def loss(x):
        return adapter.sigmoid_cross_entropy(x, t, sample_weight=rows, reduction="sum")

    if library == "torch":
        torch = importlib.import_module("torch")
        t, rows = from_numpy(t), from_numpy(rows)
        (leaf,) = tensors(x)
        (slope,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
        (got,) = _grads(slope.sum(), leaf)
    elif library == "jax":
        from jax import grad

        got = grad(lambda x: grad(loss)(x).sum())(x)
    else:
        from autograd import grad

        got = grad(lambda x: grad(loss)(x).sum())(x)
    wide = x.astype(float)
    want = np.append(1 / (np.exp(wide[:-1]) + 2 + np.exp(-wide[:-1])), 0)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
def test_losses_of_a_layer_stay_together(library, request):
    adapter = request.getfixturevalue(library)
    x, w, t = (from_numpy(a) if library == "torch" else a for a in (X, W, CLASSES))
    with pytest.raises(ValueError, match='reduction: expected "mean" or "sum", got \'none\''):
        adapter.linear_cross_entropy(x, w, t, reduction="none")
    with pytest.raises(ValueError, match="reduction"):
        adapter.linear_cross_entropy(x, w, t, reduction="total")


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
    with pytest.raises(NotImplementedError, match="pos_weight"):
        grad(lambda w: autograd.sigmoid_cross_entropy(X, LABELS, pos_weight=w))(WEIGHT)
    with pytest.raises(NotImplementedError, match="targets"):
        grad(autograd.linear_cross_entropy, 2)(X, W, SOFT)
    with pytest.raises(NotImplementedError):
        grad(autograd.elu, 1)(X, 0.7)
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
        with pytest.raises(TypeError, match=r"got torch\.complex64"):
            function(library.ones(2, dtype=library.complex64))
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


# What a backward pass leaves in x.grad is the caller's, as it is with PyTorch's own losses.

LOSSES_OF_TORCH = {
    "softmax_cross_entropy": (
        lambda F, x: F.softmax_cross_entropy(x, from_numpy(CLASSES)),
        lambda torch, x: torch.nn.functional.cross_entropy(x, from_numpy(CLASSES)),
    ),
    "cross_entropy": (
        lambda F, x: F.cross_entropy(x, from_numpy(CLASSES)),
        lambda torch, x: torch.nn.functional.nll_loss(x.log(), from_numpy(CLASSES)),
    ),
    "sum_squared_error": (
        lambda F, x: F.sum_squared_error(x, from_numpy(Y)),
        lambda torch, x: 2.5 * torch.nn.functional.mse_loss(x, from_numpy(Y)),
    ),
}


def twice_with_zeros_between(torch, x, loss):
    value = loss(x)
    value.backward(retain_graph=True)
    x.grad.data.zero_()
    value.backward()


def three_times_in_a_row(torch, x, loss):
    value = loss(x)
    for retain_graph in (True, True, False):
        value.backward(retain_graph=retain_graph)


def zero_grad_without_none(torch, x, loss):
    value, optimizer = loss(x), torch.optim.SGD([x], lr=0.1)
    value.backward(retain_graph=True)
    optimizer.zero_grad(set_to_none=False)
    value.backward()


def clipped_between(torch, x, loss):
    value = loss(x)
    value.backward(retain_graph=True)
    torch.nn.utils.clip_grad_norm_([x], 1e-3)
    value.backward()


def hook_that_writes(torch, x, loss):
    x.register_hook(lambda grad: grad.mul_(0.5))
    value = loss(x)
    value.backward(retain_graph=True)
    value.backward()


def scaled_and_divided(torch, x, loss):
    value = loss(x)
    (value * 1024).backward(retain_graph=True)
    x.grad /= 1024
    (value / 4).backward(retain_graph=True)
    value.backward()


def two_losses_of_one(torch, x, loss):
    (loss(x) + 3 * loss(x)).backward()


def gradient_of_the_gradient(torch, x, loss):
    value = loss(x)
    (grad,) = torch.autograd.grad(value, x, create_graph=True)
    grad.pow(2).sum().backward(retain_graph=True)
    x.grad.data.mul_(3)
    (value + grad.sum()).backward()


def batch_of_gradients(torch, x, loss):
    value = loss(x)
    (grads,) = torch.autograd.grad(
        value, x, torch.tensor([1.0, 3.0], dtype=x.dtype), is_grads_batched=True, retain_graph=True
    )
    value.backward()
    x.grad += grads.sum(0)


BACKWARDS = [
    twice_with_zeros_between,
    three_times_in_a_row,
    zero_grad_without_none,
    clipped_between,
    hook_that_writes,
    scaled_and_divided,
    two_losses_of_one,
    gradient_of_the_gradient,
    batch_of_gradients,
]


@pytest.mark.parametrize("backwards", BACKWARDS)
@pytest.mark.parametrize("loss", LOSSES_OF_TORCH.values(), ids=LOSSES_OF_TORCH)
def test_torch_gradients_are_the_callers(torch, loss, backwards):
    import torch as library

    ours, own = loss
    (x,), (z,) = tensors(P), tensors(P)
    backwards(library, x, lambda x: ours(torch, x))
    backwards(library, z, lambda z: own(library, z))
    assert z.grad.any()
    np.testing.assert_allclose(x.grad, z.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES_OF_TORCH.values(), ids=LOSSES_OF_TORCH)
def test_torch_second_backward_without_the_graph_is_refused(torch, loss):
    (x,) = tensors(P)
    value = loss[0](torch, x)
    value.backward()
    kept = x.grad.clone()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        value.backward()
    np.testing.assert_array_equal(x.grad, kept)


def test_torch_without_word_of_the_graph_gradients_are_copied(torch, monkeypatch):
    """Older releases do not say whether the graph is kept."""
    import torch as library

    monkeypatch.setattr(torch, "_graph_is_kept", lambda: True)
    (x,), (z,) = tensors(P), tensors(P)
    twice_with_zeros_between(library, x, lambda x: torch.softmax_cross_entropy(x, CLASSES))
    torch.softmax_cross_entropy(z, CLASSES).backward()
    np.testing.assert_array_equal(x.grad, z.grad)


def test_torch_checkpoints(torch):
    from torch.utils.checkpoint import checkpoint

    (x,), (z,) = tensors(X), tensors(X)
    for reentrant in (False, True):
        x.grad = z.grad = None
        checkpoint(
            lambda x: torch.softmax_cross_entropy(torch.tanh(x), CLASSES), x, use_reentrant=reentrant
        ).backward()
        torch.softmax_cross_entropy(torch.tanh(z), CLASSES).backward()
        np.testing.assert_array_equal(x.grad, z.grad)


# Near 1 a derivative is what is left of a difference: of two numbers of float32, not of their squares.


@pytest.mark.parametrize("near", [2.0, 5.0, 7.5])
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_torch_derivatives_where_confident(torch, name, near):
    """By way of the kernel, and by PyTorch's operators where the gradient is differentiated."""
    import torch as library

    x = np.linspace(near, near + 0.5, 101).astype(np.float32)
    (leaf,) = tensors(x)
    y = getattr(torch, name)(leaf)
    exact = y.detach().numpy().astype(np.float64)
    want = (1 - exact) * (1 + exact) if name == "tanh" else exact * (1 - exact)
    assert (want > 0).all()
    (kernel,) = library.autograd.grad(y.sum(), leaf, retain_graph=True)
    (formula,) = library.autograd.grad(y.sum(), leaf, create_graph=True)
    batched = library.func.vmap(library.func.grad(getattr(torch, name)))(leaf.detach())
    _, forwards = library.func.jvp(getattr(torch, name), (leaf.detach(),), (library.ones(101),))
    for got in (kernel, formula.detach(), batched, forwards):
        np.testing.assert_allclose(got, want, rtol=3e-7)


def bent(name, y):
    """Second derivatives by the result."""
    return -2 * y * (1 - y) * (1 + y) if name == "tanh" else y * (1 - y) * (1 - 2 * y)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_second_derivatives_where_confident(library, name, request):
    adapter = request.getfixturevalue(library)
    function = getattr(adapter, name)
    x = np.linspace(4, 6, 101).astype(np.float32)
    y = getattr(ff, name)(x).astype(np.float64)
    if library == "torch":
        (leaf,) = tensors(x)
        (slope,) = importlib.import_module("torch").autograd.grad(
            function(leaf).sum(), leaf, create_graph=True
        )
        (got,) = _grads(slope.sum(), leaf)
    elif library == "jax":
        from jax import grad, vmap

        got = vmap(grad(grad(function)))(x)
    else:
        from autograd import elementwise_grad

        got = elementwise_grad(elementwise_grad(function))(x)
    assert got.dtype == np.float32 or str(got.dtype) == "torch.float32"
    np.testing.assert_allclose(got, bent(name, y), rtol=1e-6)


# torch.func, in every combination, against PyTorch's own functions in float64.


def _by_tanh(torch, x):
    return x / 2 * (1 + torch.tanh((x + 0.044715 * x**3) * np.sqrt(2 / np.pi)))


ACTIVATIONS = {
    "leaky_relu": lambda torch, x, slope=0.01: torch.where(x > 0, x, slope * x),
    "elu": lambda torch, x, alpha=1.0: torch.where(x > 0, x, alpha * torch.expm1(x)),
    "hard_sigmoid": lambda torch, x: (x / 6 + 0.5).clamp(0, 1),
    "softplus": lambda torch, x: torch.log1p(torch.exp(x)),
    "silu": lambda torch, x: x / (1 + torch.exp(-x)),
    "gelu": lambda torch, x, approximate="none": (
        _by_tanh(torch, x) if approximate == "tanh" else x / 2 * (1 + torch.erf(x / np.sqrt(2)))
    ),
}


def reference(name, others, options):
    """The same of PyTorch's own operators, which its transforms take."""
    import torch

    options = {"axis": -1, "reduction": "mean"} | options
    axis, reduction = options["axis"], options["reduction"]
    each = options.get("sample_weight")
    if name in ACTIVATIONS:
        return lambda x: ACTIVATIONS[name](torch, x, *list(options.values())[2:])
    if name in ("relu", "sigmoid", "tanh"):
        return getattr(torch, name)
    if name in ("softmax", "log_softmax"):
        return lambda x: getattr(torch, name)(x, axis)
    if name == "logsumexp":
        return lambda x: torch.logsumexp(x, axis, options.get("keepdims", False))
    reduced = {
        "mean": lambda e: e.mean() if each is None else e.sum() / (each.sum() * e.numel() / len(e)),
        "sum": lambda e: e.sum(),
        "none": lambda e: e,
    }[reduction]

    def rows(losses):
        return losses if each is None else losses * each.reshape(-1, *(1 for _ in losses.shape[1:]))

    if name == "sum_squared_error":
        return lambda x, t: reduced(rows(((x - t) ** 2).sum(-1) / 2))
    (t,) = others
    if name == "sigmoid_cross_entropy":
        weight, positive = options.get("weight", 1), options.get("pos_weight", 1)
        zero = torch.zeros((), dtype=torch.float64)

        def elements(x):
            no, yes = torch.logaddexp(zero, x), torch.logaddexp(zero, -x)
            return reduced(rows(weight * (positive * t * yes + (1 - t) * no)))

        return elements
    if name == "linear_cross_entropy":
        whole = reference("softmax_cross_entropy", others, options)
        return lambda x, w, *b: whole(x @ w + (b[0] if b else 0))
    kept = {k: v for k, v in options.items() if k in ("weight", "ignore_index", "label_smoothing")}
    if name == "softmax_cross_entropy":

        def softmax_cross_entropy(x):
            losses = torch.nn.functional.cross_entropy(
                x.movedim(axis, -1),
                t.movedim(axis, -1) if t.dtype.is_floating_point else t,
                reduction=reduction if each is None else "none",
                **kept,
            )
            if each is None:
                return losses
            if reduction != "mean":
                return reduced(losses * each)
            counted = each
            if not t.dtype.is_floating_point:
                counted = each * kept["weight"][t] * (t != kept["ignore_index"])
            return (losses * each).sum() / counted.sum()

        return softmax_cross_entropy
    eps = options.get("eps", 0.0)

    def cross_entropy(p):  # clipped values with the slope at the clip
        p = p.movedim(axis, -1)
        clipped = p.clamp(min=eps)
        logs = clipped.log() + torch.where(p < eps, (p - p.detach()) / max(eps, 1e-300), 0)
        soft = t.movedim(axis, -1) if t.dtype.is_floating_point else torch.eye(5, dtype=p.dtype)[t]
        return reduced(rows(-(soft * logs).sum(-1)))

    return cross_entropy


def transforms():
    from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

    def squares(f):
        return lambda *x: (f(*x) ** 2).sum()

    def batch(x):
        return [a.new_tensor([1.0, 0.9, 1.1]).reshape(3, *(1 for _ in a.shape)) * a for a in x]

    return {
        "grad": lambda f, x: grad(squares(f))(*x),
        "vjp": lambda f, x: (lambda y, back: back(y.detach().clone()))(*vjp(f, *x)),
        "jvp": lambda f, x: jvp(f, tuple(x), tuple(a.cos() for a in x)),
        "jacrev": lambda f, x: jacrev(f)(*x),
        "jacfwd": lambda f, x: jacfwd(f)(*x),
        "hessian": lambda f, x: hessian(squares(f))(*x),
        "jacrev of jacrev": lambda f, x: jacrev(jacrev(squares(f)))(*x),
        "vmap": lambda f, x: vmap(f)(*batch(x)),
        "vmap along the last axis": lambda f, x: vmap(f, in_dims=-1, out_dims=-1)(
            *(a.movedim(0, -1) for a in batch(x))
        ),
        "vmap of vmap": lambda f, x: vmap(vmap(f))(*(a.unsqueeze(1) for a in batch(x))),
        "vmap of grad": lambda f, x: vmap(grad(squares(f)))(*batch(x)),
        "grad of vmap": lambda f, x: grad(squares(vmap(f)))(*batch(x)),
        "vmap of hessian": lambda f, x: vmap(hessian(squares(f)))(*batch(x)),
    }


TRANSFORMS = [
    *("grad", "vjp", "jvp", "jacrev", "jacfwd", "hessian", "jacrev of jacrev"),
    *("vmap", "vmap along the last axis", "vmap of vmap"),
    *("vmap of grad", "grad of vmap", "vmap of hessian"),
]


@pytest.mark.parametrize("transform", TRANSFORMS)
@every_case
def test_torch_transforms(torch, case, transform):
    from torch.utils._pytree import tree_leaves

    name, arrays, others, options = case
    constants = [from_numpy(array) for array in others]
    given = {k: from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    x, transform = tensors(*arrays, grad=False), transforms()[transform]
    got = tree_leaves(transform(bound(torch, case, from_numpy), x))
    want = tree_leaves(transform(reference(name, constants, given), x))
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("soft", [False, True])
def test_torch_vmap_over_targets_and_weights(torch, soft, reduction):
    from torch.func import grad, vmap

    x, targets = np.stack([X, -X]), np.stack([CLASSES, CLASSES[::-1]])
    if soft:
        targets = np.stack([SOFT, SOFT[::-1]])
    weights, options = np.stack([WEIGHT, 2 * WEIGHT]), {"reduction": reduction}
    if not soft:
        options["ignore_index"] = 2

    def loss(x, t, weight):
        return torch.softmax_cross_entropy(x, t, weight=weight, **options)

    tensors_ = [from_numpy(a.copy()) for a in (x, targets, weights)]
    for in_dims in ((0, 0, 0), (0, 0, None), (None, 0, None), (0, None, None), (None, None, 0)):
        args = [a if dim == 0 else a[0] for a, dim in zip(tensors_, in_dims, strict=True)]
        got = vmap(loss, in_dims)(*args)
        slopes = vmap(grad(lambda *args: loss(*args).sum()), in_dims)(*args)
        for i in range(2):
            one = [a[i] if dim == 0 else a for a, dim in zip(args, in_dims, strict=True)]
            want, slope = ff.softmax_cross_entropy_with_grad(one[0], one[1], weight=one[2], **options)
            np.testing.assert_allclose(got[i], want, rtol=1e-14)
            np.testing.assert_allclose(slopes[i], slope, rtol=1e-13, atol=1e-16)


def test_torch_vmap_with_nothing_counted(torch):
    from torch.func import grad, vmap

    t = from_numpy(np.stack([CLASSES, np.full(4, 2)]))

    def loss(x, t):
        return torch.softmax_cross_entropy(x, t, ignore_index=2)

    (x,) = tensors(X, grad=False)
    assert vmap(loss, (None, 0))(x, t)[1] == 0
    assert not vmap(grad(loss), (None, 0))(x, t)[1].any()


def test_torch_per_sample_gradients_of_lists(torch):
    from torch.func import grad, vmap

    (x,) = tensors(np.stack([X, -X]), grad=False)
    got = vmap(grad(lambda x: torch.softmax_cross_entropy(x, [0, 3, 2, 1])))(x)
    for i in range(2):
        want = ff.softmax_cross_entropy_with_grad(x[i], CLASSES)[1]
        np.testing.assert_allclose(got[i], want, rtol=1e-13)


def test_torch_transforms_refuse_what_the_functions_do(torch):
    import torch as library
    from torch.func import grad, vmap

    x, t = library.ones(3, 2, 4), library.zeros(3, 2, dtype=library.int64)
    t[1, 1] = 4
    with pytest.raises(IndexError, match="class index 4"):
        vmap(torch.softmax_cross_entropy)(x, t)
    with pytest.raises(IndexError, match="class index 4"):
        vmap(grad(torch.softmax_cross_entropy))(x, t)
    with pytest.raises(ValueError, match="reduction"):
        vmap(lambda x: torch.softmax_cross_entropy(x, [0, 1], reduction="total"))(x)
    with pytest.raises(np.exceptions.AxisError):
        vmap(lambda x: torch.softmax(x, 2))(x)
    with pytest.raises(ValueError, match=r"t: expected the shape of y, \(2, 4\), got \(4, 2\)"):
        vmap(torch.sum_squared_error)(x, x.mT)
    with pytest.raises(ValueError, match="y: expected at least one dimension"):
        vmap(torch.sum_squared_error)(x[:, 0, 0], x[:, 0, 0])
    with pytest.raises(TypeError, match="x: expected a tensor of float16"):
        vmap(torch.tanh)(t)
    with pytest.raises(ValueError, match="targets: expected a tensor that needs no gradient"):
        grad(lambda t: torch.softmax_cross_entropy(x[0], t))(x[0])


@every_case
def test_torch_forward_mode(torch, case):
    """Dual numbers, outside of torch.func."""
    from torch.autograd import gradcheck

    f, x = bound(torch, case, from_numpy), tensors(*case[1])
    forwards = {"check_forward_ad": True, "check_batched_forward_grad": True}
    assert gradcheck(f, x, check_backward_ad=False, **forwards)
    assert gradcheck(f, x, check_batched_grad=True)


# torch.compile: one graph, with an operator for each function.


@pytest.fixture
def compiled(torch):
    import torch as library

    library._dynamo.reset()
    yield lambda f, **options: library.compile(f, backend="aot_eager", **options)
    library._dynamo.reset()


@pytest.mark.parametrize("fullgraph", [False, True])
@every_case
def test_torch_compiled(torch, case, compiled, fullgraph):
    f = bound(torch, case, from_numpy)

    def run(f):
        x = tensors(*case[1])
        y = f(*x)
        y.pow(2).sum().backward()
        return y, *(a.grad for a in x)

    for got, want in zip(run(compiled(f, fullgraph=fullgraph)), run(f), strict=True):
        np.testing.assert_allclose(got.detach(), want.detach(), rtol=1e-12, atol=1e-15)
    x = tensors(*case[1], grad=False)
    np.testing.assert_allclose(compiled(f, fullgraph=fullgraph)(*x), expected(case), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_torch_compiled_types(torch, compiled, dtype):
    import torch as library

    dtype = getattr(library, dtype)

    def loss(x):
        return torch.softmax_cross_entropy(torch.tanh(x.mT), [0, 3, 2, 1, 0])

    results = []
    for f in (compiled(loss, fullgraph=True), loss):
        (x,) = tensors(X, dtype=dtype)
        value = f(x)
        value.backward()
        assert value.dtype == library.float32 and x.grad.dtype == dtype
        results.append((value.item(), x.grad.double().numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=2 ** -6, atol=1e-4)


def test_torch_compiled_operators_keep_the_rules(torch):
    """PyTorch's own check of schema, fake results and gradients."""
    import torch as library

    (x,) = tensors(X)
    t, options = from_numpy(CLASSES), (-1, None, None, 0.1, None, "mean")
    for name, *args in (
        ("tanh", x),
        ("gelu", x, "tanh"),
        ("leaky_relu", x, 0.3),
        ("sigmoid_cross_entropy", x, from_numpy(LABELS), None, None, from_numpy(ROWS), "none"),
        ("softmax", x, 0),
        ("logsumexp", x, 0),
        ("softmax_cross_entropy", x.T.contiguous().T, t, *options),
        ("cross_entropy", x.detach().exp().requires_grad_(), t, *options[:-1], "none"),
        ("sum_squared_error", x, from_numpy(Y), None, "none"),
    ):
        operator = getattr(library.ops.ffkernels, name).default
        library.library.opcheck(operator, tuple(args))


def test_torch_compiled_with_transforms_inside(torch, compiled):
    """They are left to Python; where the whole must be one graph, refused."""
    import torch as library
    from torch.func import grad, vmap

    (x,) = tensors(np.stack([X, -X]), grad=False)
    per_sample = vmap(grad(lambda x: torch.softmax_cross_entropy(x, from_numpy(CLASSES))))
    np.testing.assert_allclose(compiled(per_sample)(x), per_sample(x), rtol=1e-15)
    library._dynamo.reset()
    with pytest.raises(library._dynamo.exc.Unsupported, match="_apply_in_transform"):
        compiled(per_sample, fullgraph=True)(x)


@pytest.mark.parametrize("name", ["tanh", "softmax_cross_entropy"])
def test_torch_compiled_with_dual_numbers(torch, compiled, name):
    """Their tangents are not lost, whether the program was compiled before or for them."""
    from torch.autograd import forward_ad

    (x, dx) = tensors(X, Y, grad=False)
    others = (from_numpy(CLASSES),) if name == "softmax_cross_entropy" else ()

    def f(x):
        return getattr(torch, name)(x, *others)

    quick = compiled(f)
    quick(x)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, dx)
        got = [forward_ad.unpack_dual(g(dual)).tangent for g in (quick, compiled(f), f)]
    assert got[2].any()
    for tangent in got[:2]:
        np.testing.assert_allclose(tangent, got[2], rtol=1e-12)


def test_torch_compiled_refusals(torch, compiled):
    import torch as library

    with pytest.raises(IndexError, match="class index 5"):
        compiled(lambda x: torch.softmax_cross_entropy(x, [0, 1, 5, 2]), fullgraph=True)(
            library.ones(4, 5)
        )
    with pytest.raises(TypeError, match="x: expected a tensor of float16"):
        compiled(torch.tanh)(library.ones(3, dtype=library.int64))


# bfloat16


@every_case
def test_torch_bfloat16(torch, case):
    """As from float32, rounded once."""
    import torch as library

    f = bound(torch, case, from_numpy)
    x = tensors(*case[1], dtype=library.bfloat16)
    wide = [a.detach().float().requires_grad_() for a in x]
    y, z = f(*x), f(*wide)
    loss = case[0].endswith(("_entropy", "_error"))
    assert y.dtype == (library.float32 if loss else library.bfloat16)
    np.testing.assert_allclose(
        y.detach().float(), z.detach(), rtol=1e-6 if loss else 2**-8, atol=1e-30
    )
    y.sum().backward()
    z.sum().backward()
    for a, b in zip(x, wide, strict=True):
        assert a.grad.dtype == library.bfloat16
        np.testing.assert_allclose(a.grad.float(), b.grad, rtol=2**-5, atol=2**-6)
    plain = f(*(a.detach() for a in x))
    np.testing.assert_allclose(plain.float(), y.detach().float(), rtol=1e-6)


def test_torch_bfloat16_copies_nothing_and_mixes_with_its_own(torch):
    import torch as library

    (x,) = tensors(X, dtype=library.bfloat16, grad=False)
    seen = []
    real = torch._activations.softmax
    array = torch._array(x)
    assert array.__array_interface__["data"][0] == x.data_ptr()
    seen.append(real(array))
    back = torch._tensor(seen[0])
    assert back.data_ptr() == seen[0].__array_interface__["data"][0]
    want = library.softmax(x.float(), -1)
    np.testing.assert_allclose(back.float(), want, rtol=2**-8)
    with library.autocast("cpu", library.bfloat16):
        layer = library.nn.Linear(5, 3)
        loss = torch.softmax_cross_entropy(layer(x.float()), from_numpy(CLASSES % 3))
        loss.backward()
    assert loss.dtype == library.float32 and layer.weight.grad.any()


def test_torch_bfloat16_without_ml_dtypes(torch, monkeypatch):
    import torch as library

    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"pip install 'ffkernels\[torch\]'"):
        torch.tanh(library.ones(2, dtype=library.bfloat16))


def test_torch_layer_is_not_copied_and_makes_no_logits(torch):
    """The weight of a layer as its transpose, by way of the kernel; PyTorch's own to second order."""
    import torch as library

    library.manual_seed(0)
    last, x = library.nn.Linear(8, 40), library.randn(6, 8, requires_grad=True)
    t = library.arange(6)
    seen = []
    kernel = torch._linear.linear_cross_entropy_with_grad

    def spy(x, w, **options):
        seen.append(w)
        return kernel(x, w, **options)

    torch._linear.linear_cross_entropy_with_grad = spy
    try:
        loss = torch.linear_cross_entropy(x, last.weight.T, t, last.bias)
    finally:
        torch._linear.linear_cross_entropy_with_grad = kernel
    assert np.shares_memory(seen[0], last.weight.detach().numpy())
    inputs = (x, last.weight, last.bias)
    want = library.nn.functional.cross_entropy(last(x), t)
    for a, b in zip(_grads(loss, *inputs), _grads(want, *inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    with library.no_grad():
        np.testing.assert_allclose(
            torch.linear_cross_entropy(x, last.weight.T, t, last.bias), want.detach(), rtol=1e-6
        )


def test_torch_hands_no_tensor_to_the_numpy_functions(torch, monkeypatch):
    """They read arrays; a tensor that requires a gradient is none of theirs."""
    import torch as library

    given = []
    for module in (torch._activations, torch._losses):
        for name in module.__all__:
            function = getattr(module, name)

            def spy(*args, _function=function, **options):
                given.extend([*args, *options.values()])
                return _function(*args, **options)

            monkeypatch.setattr(module, name, spy)
    adapter = importlib.reload(torch)
    try:
        for name, arrays, others, options in CASES.values():
            x = tensors(*arrays)
            f = bound(adapter, (name, arrays, others, options), from_numpy)
            for value in (f(*x), f(*tensors(*arrays, grad=False))):
                assert value is not None
            f(*x).sum().backward()
            (slope,) = library.autograd.grad(f(*x).pow(2).sum(), x[:1], create_graph=True)
            slope.sum().backward()
    finally:
        monkeypatch.undo()
        importlib.reload(torch)
    assert given
    assert not any(isinstance(value, library.Tensor) for value in given)


def test_torch_tensors_whose_sign_is_put_off(torch):
    import torch as library

    z = library.complex(*tensors(X, Y, grad=False)).conj().imag
    assert z.is_neg()
    np.testing.assert_array_equal(torch.tanh(z), ff.tanh(-Y))


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
    refused(ValueError, "sample_weight: expected one", loss, X, CLASSES, sample_weight=np.ones(5))
    refused(ValueError, "sample_weight", jax.sum_squared_error, X, Y, sample_weight=np.ones(5))
    labels = jax.sigmoid_cross_entropy
    refused(ValueError, "targets: expected the shape of logits", labels, X, LABELS[:, :4])
    refused(ValueError, "pos_weight: expected a shape", labels, X, LABELS, pos_weight=np.ones(4))
    refused(ValueError, "reduction", labels, X, LABELS, reduction="total")
    refused(ValueError, r"w: expected shape \(5, C\)", jax.linear_cross_entropy, X, W[:4], CLASSES)
    refused(TypeError, "w: expected the dtype", jax.linear_cross_entropy, X, W.astype("f"), CLASSES)
    refused(ValueError, "alpha: expected a finite number", jax.elu, X, alpha=np.inf)
    refused(ValueError, "approximate", jax.gelu, X, approximate="erf")


def test_jax_refuses_options_that_are_traced(jax):
    from jax import jit

    for option, function in (
        ({"axis": 1}, lambda **options: jax.softmax(X, **options)),
        ({"ignore_index": 1}, lambda **options: jax.softmax_cross_entropy(X, CLASSES, **options)),
        ({"label_smoothing": 0.1}, lambda **options: jax.softmax_cross_entropy(X, CLASSES, **options)),
        ({"eps": 0.1}, lambda **options: jax.cross_entropy(P, CLASSES, **options)),
        ({"alpha": 0.1}, lambda **options: jax.elu(X, **options)),
    ):
        (name,) = option
        with pytest.raises(TypeError, match=f"{name}: expected .*, got DynamicJaxprTracer"):
            jit(function)(**option)
        assert jit(function, static_argnames=name)(**option).dtype == np.float64


def test_jax_refuses_the_types_of_nothing_too(jax):
    """Without rows no target can be out of range, but one can be of another shape or type."""
    for targets, error in ((np.zeros(3, int), ValueError), (np.zeros(0), TypeError)):
        with pytest.raises(error, match="targets: expected"):
            jax.softmax_cross_entropy(np.zeros((0, 3)), targets)


AT_RUN_TIME = {
    "a class index": ({}, [0, 1, 5, 2], r"IndexError: targets: class index 5 at position 2"),
    "a negative index": ({}, [0, -1, 3, 2], r"IndexError: targets: class index -1 at position 1"),
    "a negative weight": ({"weight": [1.0, -1, 1, 1, 1]}, CLASSES, "ValueError: weight: expected fini"),
    "a NaN weight": ({"weight": [1.0, np.nan, 1, 1, 1]}, CLASSES, "ValueError: weight: expected fini"),
    "a negative row": ({"sample_weight": [1.0, -1, 1, 1]}, CLASSES, "ValueError: sample_weight: expec"),
    "an infinite weight": ({"weight": [np.inf, 1, 1, 1, 1]}, CLASSES, "ValueError: weight: expected"),
}


@pytest.mark.parametrize("how", ["eager", "jit", "grad", "vmap"])
@pytest.mark.parametrize(("options", "targets", "meant"), AT_RUN_TIME.values(), ids=AT_RUN_TIME)
def test_jax_raises_what_the_program_meets(jax, options, targets, meant, how):
    import jax as library

    options = {name: np.array(value) for name, value in options.items()}
    f = {
        "eager": lambda f: f,
        "jit": library.jit,
        "grad": lambda f: library.jit(library.grad(f)),
        "vmap": lambda f: library.jit(lambda x, t: library.vmap(f, (0, None))(x[None], t)),
    }[how](lambda x, t: jax.softmax_cross_entropy(x, t, **options))
    # Outside of jit it depends on the thread that runs the call which of them JAX makes of it.
    errors = (library.errors.JaxRuntimeError, *([ValueError] if how == "eager" else []))
    with pytest.raises(errors, match=f"INVALID_ARGUMENT: {meant}"):
        f(X, np.array(targets)).block_until_ready()


def test_jax_takes_no_gradient_by_targets(jax):
    from jax import grad

    assert not grad(jax.softmax_cross_entropy, 1)(X, SOFT).any()


UNKNOWN = {
    "1.0": "#define XLA_FFI_API_MAJOR 1\n#define XLA_FFI_API_MINOR 0\n",
    "0.0": "#define XLA_FFI_API_MAJOR 0\n#define XLA_FFI_API_MINOR 0\n",
    "?.?": "// elsewhere by now\n",
    "an unknown one": None,
}


@pytest.mark.parametrize(("version", "header"), UNKNOWN.items(), ids=UNKNOWN)
def test_jax_with_another_interface_is_refused(jax, version, header, tmp_path):
    if header is not None:
        (tmp_path / "xla/ffi/api").mkdir(parents=True)
        (tmp_path / "xla/ffi/api/c_api.h").write_text(header)
    code = (
        "import sys, jax; jax.ffi.include_dir = lambda: sys.argv[1]\n"
        "try: import ffkernels.adapters.jax\n"
        "except ImportError as error: print(error)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    words = "expected version 0.1 of XLA's foreign function interface, or a later one of 0; JAX "
    assert printed.stdout.startswith(f"ffkernels.adapters.jax: {words}")
    assert f" has {version}" in printed.stdout


def test_jax_from_many_threads(jax):
    """Programs that run side by side, each with calls that XLA may make side by side."""
    import jax as library

    @library.jit
    def losses(x):
        return [jax.softmax_cross_entropy(x + k, np.zeros(512, int)) for k in range(8)]

    x = np.random.default_rng(1).normal(size=(512, 1000)).astype(np.float32)
    want = ff.softmax_cross_entropy(x, np.zeros(512, int))

    def run(_):
        for _ in range(10):
            np.testing.assert_allclose(losses(x), want, 1e-5)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
