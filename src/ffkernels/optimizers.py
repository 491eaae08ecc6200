"""Parameter updates: one pass over memory each, in place; and the optimisers made of them.

Each update reads a parameter, its gradient and its state once and writes them once, where NumPy's
operators would make a pass and a temporary for every term of the formula.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from . import _numpy
from ._arguments import FLOATS, Array, at_least, check_parameters
from ._context import choice as _choice
from ._numpy import _nets

__all__ = ["SGD", "Adam", "Optimizer", "adam_update", "momentum_update", "sgd_update"]


def __dir__() -> list[str]:
    return __all__


Params = Mapping[Any, Array] | Sequence[Array]
Grads = Mapping[Any, npt.ArrayLike] | Sequence[npt.ArrayLike]

# What an optimiser keeps of one parameter.
_State = tuple[Array, ...]


def sgd_update(param: Array, grad: npt.ArrayLike, lr: float, weight_decay: float = 0.0) -> None:
    """One step of stochastic gradient descent, in place.

    g = grad + weight_decay·param;  param ← param - lr·g

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Overwritten.
    grad : array_like of the same shape
        Gradient of the loss; converted to the dtype of `param`.
    lr : float
        Learning rate.
    weight_decay : float, default 0.0
        Strength of the L2 penalty ½·weight_decay·Σ param².

    Raises
    ------
    TypeError
        If `param` is not a float32 or float64 array, or another argument is not real.
    ValueError
        If the shapes differ, or `param` is read-only or overlaps `grad`.

    Notes
    -----
    H. Robbins, S. Monro, "A stochastic approximation method", 1951.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import sgd_update
    >>> w = np.array([1.0, 2.0])
    >>> sgd_update(w, [10.0, -10.0], lr=0.1)
    >>> w
    array([0., 3.])
    """
    _choice().kernels.sgd_update(param, grad, lr, weight_decay)


def momentum_update(
    param: Array,
    grad: npt.ArrayLike,
    velocity: Array,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
) -> None:
    """One step of gradient descent with momentum, in place.

    g = grad + weight_decay·param;  velocity ← momentum·velocity + g;  param ← param - lr·velocity

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Overwritten.
    grad : array_like of the same shape
        Gradient of the loss; converted to the dtype of `param`.
    velocity : ndarray of the same shape and dtype
        The running sum of gradients, zeros before the first step. Overwritten.
    lr : float
        Learning rate.
    momentum : float
        What is kept of the velocity from step to step.
    weight_decay : float, default 0.0
        Strength of the L2 penalty ½·weight_decay·Σ param².

    Raises
    ------
    TypeError
        If `param` or `velocity` is not a float32 or float64 array, or another argument is not
        real.
    ValueError
        If the shapes differ, or an array to be written is read-only or overlaps another.

    Notes
    -----
    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, in
    PyTorch's form, where the learning rate scales the velocity: when it changes, the next step
    changes with it. The deep-learning-from-scratch books keep -lr inside the velocity; at a
    constant learning rate both walk the same path.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import momentum_update
    >>> w, v = np.array([1.0]), np.array([0.0])
    >>> for _ in range(2):
    ...     momentum_update(w, [1.0], v, lr=0.5, momentum=0.5)
    >>> w, v
    (array([-0.25]), array([1.5]))
    """
    _choice().kernels.momentum_update(param, grad, velocity, lr, momentum, weight_decay)


def adam_update(
    param: Array,
    grad: npt.ArrayLike,
    m: Array,
    v: Array,
    step: int,
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """One step of Adam, in place.

    g = grad + weight_decay·param;  m ← β₁·m + (1-β₁)·g;  v ← β₂·v + (1-β₂)·g²;
    param ← param - lr·m̂/(√v̂ + eps)  with  m̂ = m/(1-β₁ˢᵗᵉᵖ),  v̂ = v/(1-β₂ˢᵗᵉᵖ)

    Parameters
    ----------
    param : ndarray of float32 or float64, any shape
        Overwritten.
    grad : array_like of the same shape
        Gradient of the loss; converted to the dtype of `param`.
    m, v : ndarray of the same shape and dtype
        Running means of the gradient and of its square, zeros before the first step. Overwritten.
    step : int
        The number of this step, counted from 1.
    lr : float, default 1e-3
        Learning rate.
    beta1, beta2 : float, default 0.9 and 0.999
        What is kept of the running means from step to step, at least 0 and below 1.
    eps : float, default 1e-8
        Keeps the division finite.
    weight_decay : float, default 0.0
        Strength of the L2 penalty ½·weight_decay·Σ param², a part of the gradient, unlike AdamW's.

    Raises
    ------
    TypeError
        If `param`, `m` or `v` is not a float32 or float64 array, `step` is not an integer, or
        another argument is not real.
    ValueError
        If the shapes differ, an array to be written is read-only or overlaps another, `step` is
        below 1, or a beta is not in [0, 1).

    Notes
    -----
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels import adam_update
    >>> w, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
    >>> adam_update(w, [1e-3, -1e3], m, v, step=1, lr=0.5, eps=0.0)
    >>> w
    array([0.5, 1.5])
    """
    _choice().kernels.adam_update(param, grad, m, v, step, lr, beta1, beta2, eps, weight_decay)


class Optimizer(Protocol):
    """What a training step asks of an optimiser: `SGD`, `Adam`, or anything of that shape."""

    def update(self, params: Any, grads: Any) -> None:
        """Change the parameters in place, given their gradients under the same keys."""


def refuse_optimizer(optimizer: Any) -> None:
    """TypeError for what has no update, and for a class, which has one but no parameters' state."""
    if not isinstance(optimizer, type) and callable(getattr(optimizer, "update", None)):
        return
    if isinstance(optimizer, type):
        came = f"the class {optimizer.__name__}: write {optimizer.__name__}(...)"
    else:
        came = repr(optimizer) if isinstance(optimizer, str) else type(optimizer).__name__
    raise TypeError(
        "optimizer: expected SGD(lr=0.1), Adam() or another object with update(params, grads), "
        f"got {came}"
    )


class SGD:
    """Stochastic gradient descent, with momentum and weight decay if wanted.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. It may be changed between updates, as the others may.
    momentum : float, default 0.0
        What is kept of the velocity from update to update, at least 0 and below 1.
    weight_decay : float, default 0.0
        Strength of the L2 penalty, at least 0; it applies to every parameter, biases too.

    Raises
    ------
    TypeError, ValueError
        If one of them is not a number, or out of range.

    Notes
    -----
    See `sgd_update` and `momentum_update` for the formulas. The velocity of a parameter is kept
    under its key: use one optimiser for one net.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.optimizers import SGD
    >>> params = {"w": np.array([4.0])}
    >>> optimizer = SGD(lr=0.25)
    >>> for _ in range(3):  # down the slope of w²
    ...     optimizer.update(params, {"w": 2 * params["w"]})
    >>> params["w"]
    array([0.5])
    """

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.lr = at_least(lr, "lr", 0)
        self.momentum = at_least(momentum, "momentum", 0, 1)
        self.weight_decay = at_least(weight_decay, "weight_decay", 0)
        self._velocities: dict[Hashable, _State] = {}

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr}, momentum={self.momentum}, weight_decay={self.weight_decay})"

    def update(self, params: Params, grads: Grads) -> None:
        """Take one step against the gradients, changing the parameters in place.

        Parameters
        ----------
        params : dict or list of ndarray of float32 or float64
            Overwritten.
        grads : dict with the same keys, or list of the same length
            Gradients of the parameters' shapes.

        Raises
        ------
        TypeError
            For what `sgd_update` refuses.
        ValueError
            For what it refuses, a learning rate or another number out of range, or if keys, lengths
            or shapes differ, or a shape is not that of earlier updates.

        Notes
        -----
        What is refused changes nothing: no parameter, and no velocity.
        """
        lr, momentum = at_least(self.lr, "lr", 0), at_least(self.momentum, "momentum", 0, 1)
        weight_decay = at_least(self.weight_decay, "weight_decay", 0)
        if momentum == 0:
            matched = _matched(params, grads, self._velocities, 0)
            _run("sgd_update", [each[1:3] for each in matched], (lr, weight_decay))
            return
        matched = _matched(params, grads, self._velocities, 1)
        self._velocities.update([(key, state) for key, _, _, state in matched])
        _run(
            "momentum_update",
            [(param, grad, *state) for _, param, grad, state in matched],
            (lr, momentum, weight_decay),
        )

    def _state(self) -> dict[str, Array]:
        """What is kept of each parameter from update to update, for `_restore`."""
        return {f"velocity/{key}": velocity for key, (velocity,) in self._velocities.items()}

    def _restore(self, state: Mapping[str, Array], params: Mapping[str, Array]) -> None:
        names = params if state else ()  # before the first update there is none
        self._velocities = {key: (_like(params[key], state[f"velocity/{key}"]),) for key in names}


class Adam:
    """Adam: steps of about the learning rate, whatever the gradient's scale.

    Parameters
    ----------
    lr : float, default 1e-3
        Learning rate, at least 0. It may be changed between updates, as the others may.
    betas : pair of float, default (0.9, 0.999)
        What is kept of the running means of the gradient and of its square, at least 0 and below
        1.
    eps : float, default 1e-8
        Keeps the division finite, at least 0.
    weight_decay : float, default 0.0
        Strength of the L2 penalty, at least 0; it applies to every parameter, biases too.

    Raises
    ------
    TypeError, ValueError
        If one of them is not a number, or out of range.

    Notes
    -----
    See `adam_update` for the formula. Means and step count of a parameter are kept under its key:
    use one optimiser for one net.

    Examples
    --------
    >>> import numpy as np
    >>> from ffkernels.optimizers import Adam
    >>> params = [np.array([1.0, 1.0])]
    >>> optimizer = Adam(lr=0.1, eps=0.0)
    >>> for _ in range(3):
    ...     optimizer.update(params, [[1e-6, -1e6]])
    >>> params[0].round(6)
    array([0.7, 1.3])
    """

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.lr = at_least(lr, "lr", 0)
        self.betas = _betas(betas)
        self.eps = at_least(eps, "eps", 0)
        self.weight_decay = at_least(weight_decay, "weight_decay", 0)
        self._means: dict[Hashable, _State] = {}
        self._steps: Counter[Hashable] = Counter()

    def __repr__(self) -> str:
        return (
            f"Adam(lr={self.lr}, betas={self.betas}, eps={self.eps}, weight_decay={self.weight_decay})"
        )

    def update(self, params: Params, grads: Grads) -> None:
        """Take one step against the gradients, changing the parameters in place.

        Parameters
        ----------
        params : dict or list of ndarray of float32 or float64
            Overwritten.
        grads : dict with the same keys, or list of the same length
            Gradients of the parameters' shapes.

        Raises
        ------
        TypeError
            For what `adam_update` refuses.
        ValueError
            For what it refuses, a learning rate or another number out of range, or if keys, lengths
            or shapes differ, or a shape is not that of earlier updates.

        Notes
        -----
        What is refused changes nothing: no parameter, no mean, and it is not counted as a step.
        """
        lr, eps = at_least(self.lr, "lr", 0), at_least(self.eps, "eps", 0)
        beta1, beta2 = _betas(self.betas)
        weight_decay = at_least(self.weight_decay, "weight_decay", 0)
        calls = []
        steps = self._steps
        for key, param, grad, state in _matched(params, grads, self._means, 2):
            self._means[key] = state
            steps[key] = step = steps[key] + 1
            calls.append((param, grad, *state, step))
        _run("adam_update", calls, (lr, beta1, beta2, eps, weight_decay))

    def _state(self) -> dict[str, Array]:
        """What is kept of each parameter from update to update, for `_restore`."""
        state = {f"step/{key}": np.array(step) for key, step in self._steps.items()}
        for key, means in self._means.items():
            state |= {f"{name}/{key}": mean for name, mean in zip("mv", means, strict=True)}
        return state

    def _restore(self, state: Mapping[str, Array], params: Mapping[str, Array]) -> None:
        names = params if state else ()  # before the first update there is none
        self._steps = Counter({key: int(state[f"step/{key}"]) for key in names})
        self._means = {
            key: tuple(_like(params[key], state[f"{name}/{key}"]) for name in "mv") for key in names
        }


def _like(param: Array, stored: Array) -> Array:
    """A copy of what was stored of a parameter's state, laid out as the parameter is."""
    if stored.shape != param.shape:
        raise ValueError(f"state: expected shape {param.shape}, got {stored.shape}")
    kept = np.empty_like(param)
    kept[...] = stored
    return kept


def _betas(betas: Any) -> tuple[float, float]:
    try:
        beta1, beta2 = betas
    except (TypeError, ValueError):
        raise TypeError(f"betas: expected a pair of numbers, got {betas!r}") from None
    return at_least(beta1, "betas[0]", 0, 1), at_least(beta2, "betas[1]", 0, 1)


def _by_key(arrays: Any, name: str) -> Mapping[Hashable, Any]:
    if type(arrays) is dict or isinstance(arrays, Mapping):
        return arrays
    try:
        return dict(enumerate(arrays))
    except TypeError:
        raise TypeError(
            f"{name}: expected a dict or a list of arrays, got {type(arrays).__name__}"
        ) from None


def _is_plain(param: Any, grad: Any) -> bool:
    """Whether no update refuses these: what training meets at every step, told in half a microsecond."""
    if not (type(param) is type(grad) is np.ndarray and param.dtype in FLOATS):
        return False
    flags = param.flags
    return (
        grad.dtype == param.dtype
        and grad.shape == param.shape
        and (flags.carray or (flags.behaved and flags.f_contiguous))
        # Two arrays that own their memory lie apart, which is told in a third of the time.
        and (
            (flags.owndata and grad.flags.owndata and param is not grad)
            or not np.may_share_memory(param, grad)
        )
    )


def _matched(
    params: Params, grads: Grads, states: dict[Hashable, _State], arrays: int
) -> list[tuple[Hashable, Array, npt.ArrayLike, _State]]:
    """Return key, parameter, gradient and state of each, or refuse before anything is changed.

    The state is so many arrays, zeros for a parameter without, which the update is to keep.
    """
    params, grads = _by_key(params, "params"), _by_key(grads, "grads")
    if params.keys() != grads.keys():
        raise ValueError(f"grads: expected keys {list(params)}, got {list(grads)}")
    matched = []
    for key, param in params.items():
        grad = grads[key]
        if not _is_plain(param, grad):
            param, grad = check_parameters((f"params[{key!r}]", f"grads[{key!r}]"), (param, grad))
        state = states.get(key) if arrays else ()
        if state is None:
            state = tuple(np.zeros_like(param) for _ in range(arrays))
        elif state:
            kept = state[0]
            if kept.shape != param.shape:
                raise ValueError(
                    f"params[{key!r}]: expected shape {kept.shape} as in earlier updates, "
                    f"got {param.shape}"
                )
            if kept.dtype != param.dtype:
                raise TypeError(
                    f"params[{key!r}]: expected dtype {kept.dtype} as in earlier updates, "
                    f"got {param.dtype}"
                )
        matched.append((key, param, grad, state))
    return matched


def _run(name: str, arguments: Iterable[tuple[Any, ...]], numbers: tuple[float, ...]) -> None:
    """Call an update for each parameter; the twin's without a second check."""
    kernels = _choice().kernels
    if kernels is _numpy:
        _nets.run(name, arguments, numbers)
        return
    update = getattr(kernels, name)
    for each in arguments:
        update(*each, *numbers)
