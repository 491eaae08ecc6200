"""Parameter updates and optimisers: against their formulas, step by step, in both backends."""

from __future__ import annotations

import copy

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
        ({"a": 2, "b": 3}, {"a": 2, "b": 4}, "grads['b']: expected the shape of params['b'], (3,), got"),
        ([2, 3], [2, 4], "grads[1]: expected the shape of params[1], (3,), got (4,)"),
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


def read_only(array):
    array.flags.writeable = False
    return array


def set_to(name, value):
    return lambda optimizer, params, grads: setattr(optimizer, name, value)


def put(where, make):
    """Replace the last parameter or gradient."""
    return lambda optimizer, params, grads: {"params": params, "grads": grads}[where].update(
        b=make(params["b"].copy())
    )


REFUSED = {
    "a read-only parameter": (put("params", read_only), ValueError, r"params\['b'\]: .*read-only"),
    "integers": (put("params", lambda b: b.astype(int)), TypeError, r"params\['b'\]: .*got int64"),
    "a list": (put("params", list), TypeError, r"params\['b'\]: expected a NumPy array, got list"),
    "another dtype": (put("params", np.float32), TypeError, r"params\['b'\]: .*float64 as in earl"),
    "another shape": (
        lambda optimizer, params, grads: (params.update(b=np.ones(5)), grads.update(b=np.ones(5))),
        ValueError,
        r"params\['b'\]: expected shape \(3,\) as in earlier updates, got \(5,\)",
    ),
    "complex gradients": (put("grads", lambda b: b * 1j), TypeError, r"grads\['b'\]: .*complex"),
    "text": (put("grads", lambda b: ["x"] * 3), TypeError, r"grads\['b'\]: expected real numbers"),
    "no gradient": (put("grads", lambda b: None), TypeError, r"grads\['b'\]: expected real numbers"),
    "a gradient of another shape": (put("grads", lambda b: b[:2]), ValueError, r"grads\['b'\]: "),
    "the parameter as its gradient": (
        lambda optimizer, params, grads: grads.update(b=params["b"]),
        ValueError,
        r"params\['b'\]: expected memory apart from grads\['b'\]",
    ),
    "a view of the parameter as its gradient": (
        lambda optimizer, params, grads: grads.update(b=params["b"][::-1]),
        ValueError,
        r"params\['b'\]: expected memory apart from grads\['b'\]",
    ),
    "a missing gradient": (lambda optimizer, params, grads: grads.pop("b"), ValueError, "grads: expec"),
    "a learning rate of NaN": (set_to("lr", np.nan), ValueError, "lr: expected at least 0, got nan"),
    "a learning rate in text": (set_to("lr", "fast"), TypeError, "lr: expected"),
    "a negative weight decay": (set_to("weight_decay", -1.0), ValueError, "weight_decay: expected at"),
}


def numbers(optimizer, params):
    """All that an update changes, written out."""
    return repr((params, vars(optimizer)))


@pytest.mark.parametrize(("spoil", "error", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("updates_before", [0, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_update_is_done_wholly_or_not_at_all(optimizer, updates_before, spoil, error, message):
    """Whatever is wrong with the last parameter: the first is not changed, no step is counted."""
    if "as in earl" in message and (optimizer == "sgd" or not updates_before):
        pytest.skip("nothing is kept yet that would differ")
    optimizer, twin = OPTIMIZERS[optimizer](), OPTIMIZERS[optimizer]()
    params, grads = ({key: np.full(n, value) for key, n in (("a", 2), ("b", 3))} for value in (1.0, 0.5))
    same = {key: param.copy() for key, param in params.items()}
    for _ in range(updates_before):
        optimizer.update(params, grads)
        twin.update(same, grads)
    spoilt_params, spoilt_grads = dict(params), dict(grads)
    spoil(optimizer, spoilt_params, spoilt_grads)
    before = numbers(optimizer, (params, spoilt_params))
    with pytest.raises(error, match=message):
        optimizer.update(spoilt_params, spoilt_grads)
    assert numbers(optimizer, (params, spoilt_params)) == before
    optimizer.lr, optimizer.weight_decay = twin.lr, twin.weight_decay
    optimizer.update(params, grads)
    twin.update(same, grads)
    assert numbers(optimizer, params) == numbers(twin, same)


@pytest.mark.parametrize("betas", [(0.9, 1.0), (np.nan, 0.9), (0.9,), 0.9])
def test_adam_refuses_betas_at_an_update(betas):
    params, optimizer = [np.ones(2), np.ones(2)], Adam()
    optimizer.betas = betas
    before = numbers(optimizer, params)
    with pytest.raises((TypeError, ValueError), match="betas"):
        optimizer.update(params, [np.ones(2)] * 2)
    assert numbers(optimizer, params) == before


def test_parameters_that_join_are_checked_before_any_is_changed():
    optimizer, first = Adam(), np.ones(2)
    optimizer.update({"a": first}, {"a": np.ones(2)})
    before = numbers(optimizer, first)
    with pytest.raises(TypeError, match=r"params\['b'\]"):
        optimizer.update({"a": first, "b": np.ones(2, int)}, {"a": np.ones(2), "b": np.ones(2)})
    assert numbers(optimizer, first) == before


def test_gradients_and_parameters_of_any_layout():
    """What the quick check does not know is checked and converted with care."""
    for param, grad in (
        (np.ones((3, 4)).T, np.arange(12.0).reshape(4, 3)),
        (np.ones((4, 6))[:, ::2], np.arange(12.0).reshape(4, 3)),
        (np.ones((4, 3)), np.arange(12.0).reshape(4, 3).tolist()),
        (np.ones((4, 3)), read_only(np.arange(12.0, dtype=np.float32).reshape(4, 3))),
    ):
        SGD(0.5).update([param], [grad])
        np.testing.assert_array_equal(param, 1 - 0.5 * np.arange(12).reshape(4, 3))


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_one_optimizer_for_one_net(optimizer):
    optimizer = OPTIMIZERS[optimizer]()
    optimizer.update({"a": np.ones(1), "b": np.ones(2)}, {"a": np.ones(1), "b": np.ones(2)})
    params = {"a": np.ones(1), "b": np.ones(3)}
    with pytest.raises(ValueError, match=r"params\['b'\]: expected shape \(2,\) as in earlier"):
        optimizer.update(params, {"a": np.ones(1), "b": np.ones(3)})
    assert params["a"] == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_parameters_come_as_a_dict_or_a_list(optimizer):
    with pytest.raises(TypeError, match="params: expected a dict or a list of arrays, got NoneType"):
        OPTIMIZERS[optimizer]().update(None, [])


def test_parameters_must_be_float_arrays():
    with pytest.raises(TypeError, match=r"params\[0\]: expected dtype float32 or float64, got int64"):
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


def test_what_optimizers_say_they_are():
    for text in (
        "SGD(lr=0.1, momentum=0.9, weight_decay=0.0)",
        "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)",
    ):
        assert repr(eval(text, {"SGD": SGD, "Adam": Adam})) == text


@pytest.mark.parametrize("make", [lambda: SGD(0.1), lambda: SGD(0.1, 0.9), Adam])
@pytest.mark.parametrize("before", [0, 3])
def test_a_restored_state_is_the_kept_one(make, before):
    """As `train --resume` restores it."""
    rng = np.random.default_rng(0)
    params = {"W": np.asfortranarray(rng.normal(size=(3, 4))), "b": rng.normal(size=4)}
    one, other = make(), make()
    for _ in range(before):
        one.update(params, {name: rng.normal(size=param.shape) for name, param in params.items()})
    state = {name: array.copy() for name, array in one._state().items()}
    twins = copy.deepcopy(params)
    other._restore(state, twins)
    for _ in range(3):
        grads = {name: rng.normal(size=param.shape) for name, param in params.items()}
        one.update(params, grads)
        other.update(twins, grads)
        for name, param in params.items():
            np.testing.assert_array_equal(twins[name], param)
    if state:
        with pytest.raises(ValueError, match=r"state: expected shape \(4,\), got \(3, 4\)"):
            wrong = {name: np.ones((3, 4)) if array.ndim else array for name, array in state.items()}
            other._restore(wrong, twins)
