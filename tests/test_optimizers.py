"""Parameter updates and optimisers: against their formulas, step by step, in both backends."""

from __future__ import annotations

import numpy as np
import pytest

from ffkernels import adam_update, momentum_update, sgd_update
from ffkernels.optimizers import SGD, Adam

pytestmark = pytest.mark.usefixtures("backend")

STEPS = 7
SHAPES = {"W1": (3, 4), "b1": (4,), "empty": (0, 2), "scalar": ()}
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}


def arrays(dtype, seed):
    rng = np.random.default_rng(seed)
    return {key: np.asarray(rng.normal(size=shape), dtype) for key, shape in SHAPES.items()}


class Reference:
    """The update formulas in float64, as the papers write them."""

    def __init__(self, params):
        self.params = {key: param.astype(np.float64) for key, param in params.items()}
        self.m = {key: np.zeros(param.shape) for key, param in params.items()}
        self.v = {key: np.zeros(param.shape) for key, param in params.items()}

    def gradients(self, grads, weight_decay):
        for key, p in self.params.items():
            yield key, p, grads[key].astype(np.float64) + weight_decay * p

    def momentum(self, grads, lr, momentum, weight_decay):
        for key, p, g in self.gradients(grads, weight_decay):
            self.m[key] = momentum * self.m[key] + g
            self.params[key] = p - lr * self.m[key]

    def adam(self, grads, step, lr, beta1, beta2, eps, weight_decay):
        for key, p, g in self.gradients(grads, weight_decay):
            self.m[key] = beta1 * self.m[key] + (1 - beta1) * g
            self.v[key] = beta2 * self.v[key] + (1 - beta2) * g * g
            m, v = self.m[key] / (1 - beta1**step), self.v[key] / (1 - beta2**step)
            self.params[key] = p - lr * m / (np.sqrt(v) + eps)


def assert_close(params, reference, dtype):
    for key, param in params.items():
        assert param.dtype == dtype
        np.testing.assert_allclose(
            param, reference.params[key], rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
        )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("as_list", [False, True])
def test_sgd_follows_its_formula(dtype, momentum, weight_decay, as_list):
    params = arrays(dtype, 0)
    reference = Reference(params)
    optimizer = SGD(0.1, momentum, weight_decay)
    for step in range(STEPS):
        grads = arrays(dtype, step + 1)
        if as_list:
            optimizer.update(list(params.values()), list(grads.values()))
        else:
            optimizer.update(params, grads)
        reference.momentum(grads, 0.1, momentum, weight_decay)
    assert_close(params, reference, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("as_list", [False, True])
def test_adam_follows_its_formula(dtype, weight_decay, as_list):
    params = arrays(dtype, 0)
    reference = Reference(params)
    optimizer = Adam(0.01, (0.8, 0.95), 1e-6, weight_decay)
    for step in range(1, STEPS + 1):
        grads = arrays(dtype, step)
        if as_list:
            optimizer.update(list(params.values()), list(grads.values()))
        else:
            optimizer.update(params, grads)
        reference.adam(grads, step, 0.01, 0.8, 0.95, 1e-6, weight_decay)
    assert_close(params, reference, dtype)


def test_defaults_are_those_of_the_paper():
    a, b = np.ones(3), np.ones(3)
    m, v = np.zeros(3), np.zeros(3)
    grad = np.array([1.0, -2.0, 0.0])
    adam_update(a, grad, m, v, 1)
    Adam().update([b], [grad])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(m, 0.1 * grad)
    np.testing.assert_allclose(v, 0.001 * grad**2)


def test_updates_return_nothing_and_keep_gradients():
    param, grad, state, other = (np.full(3, value) for value in (1.0, 2.0, 0.0, 0.0))
    assert sgd_update(param, grad, 0.1) is None
    assert momentum_update(param, grad, state, 0.1, 0.9) is None
    assert adam_update(param, grad, state, other, 1) is None
    assert (grad == 2.0).all()


def test_hyperparameters_may_change_between_updates():
    params = [np.zeros(1)]
    optimizer = SGD(lr=1.0)
    optimizer.update(params, [np.ones(1)])
    optimizer.lr = 0.5
    optimizer.update(params, [np.ones(1)])
    optimizer.momentum = 0.5
    optimizer.update(params, [np.ones(1)])
    assert params[0] == -2.0


def test_parameters_may_join_and_pause():
    """Adam counts the steps of each parameter: a late one is corrected for its own first step."""
    params = {"a": np.zeros(1), "b": np.zeros(1)}
    optimizer = Adam(lr=0.5, eps=0.0)
    for _ in range(3):
        optimizer.update({"a": params["a"]}, {"a": np.ones(1)})
    optimizer.update(params, {"a": np.ones(1), "b": np.ones(1)})
    np.testing.assert_allclose(params["a"], -2.0)
    np.testing.assert_allclose(params["b"], -0.5)


OPTIMIZERS = {"sgd": lambda: SGD(0.1), "momentum": lambda: SGD(0.1, momentum=0.9), "adam": Adam}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("params", "grads", "message"),
    [
        ({"a": 2, "b": 3}, {"a": 2}, "grads: expected keys ['a', 'b'], got ['a']"),
        ({"a": 2}, {"a": 2, "b": 3}, "grads: expected keys ['a'], got ['a', 'b']"),
        ([2, 3], [2], "grads: expected keys [0, 1], got [0]"),
        ({"a": 2, "b": 3}, {"a": 2, "b": 4}, "grads['b']: expected shape (3,), got"),
        ([2, 3], [2, 4], "grads[1]: expected shape (3,), got (4,)"),
        ({"a": 2}, [2], "grads: expected keys ['a'], got [0]"),
    ],
)
def test_refusals_change_nothing(optimizer, params, grads, message):
    def ones(sizes):
        if isinstance(sizes, dict):
            return {key: np.ones(size) for key, size in sizes.items()}
        return [np.ones(size) for size in sizes]

    params, grads = ones(params), ones(grads)
    with pytest.raises(ValueError) as caught:
        OPTIMIZERS[optimizer]().update(params, grads)
    assert message in str(caught.value)
    for param in params.values() if isinstance(params, dict) else params:
        assert (param == 1).all()


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_one_optimizer_for_one_net(optimizer):
    optimizer = OPTIMIZERS[optimizer]()
    optimizer.update({"a": np.ones(1), "b": np.ones(2)}, {"a": np.ones(1), "b": np.ones(2)})
    params = {"a": np.ones(1), "b": np.ones(3)}
    with pytest.raises(ValueError, match=r"params\['b'\]: expected shape \(2,\) as in earlier"):
        optimizer.update(params, {"a": np.ones(1), "b": np.ones(3)})
    assert params["a"] == 1


def test_parameters_must_be_float_arrays():
    with pytest.raises(TypeError, match="param: expected dtype float32 or float64, got int64"):
        SGD(0.1).update([np.ones(2, np.int64)], [np.ones(2)])


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (lambda: SGD(-0.1), "lr: expected at least 0"),
        (lambda: SGD(np.nan), "lr: expected at least 0"),
        (lambda: SGD(0.1, momentum=1.0), "momentum: expected at least 0 and below 1"),
        (lambda: SGD(0.1, weight_decay=-1), "weight_decay: expected at least 0"),
        (lambda: Adam(lr=-1), "lr: expected at least 0"),
        (lambda: Adam(betas=(1.0, 0.9)), r"betas\[0\]: expected at least 0 and below 1"),
        (lambda: Adam(betas=(0.9, -0.1)), r"betas\[1\]: expected at least 0 and below 1"),
        (lambda: Adam(eps=-1), "eps: expected at least 0"),
        (lambda: Adam(weight_decay=-1), "weight_decay: expected at least 0"),
    ],
)
def test_hyperparameters_out_of_range(construct, message):
    with pytest.raises(ValueError, match=message):
        construct()
