"""scikit-learn's MLPClassifier and MLPRegressor on these kernels.

`patch` puts ffkernels into the tables from which scikit-learn's nets draw their activations,
derivatives and losses, and under their optimisers; `unpatch` takes it out again; `patched` is a context.
Estimators, their parameters and what they validate, warn of and store stay scikit-learn's.

Each replacement covers plain arrays of float32 or float64, all of one type, in the compiled backend,
and hands anything else to the function it replaces.  Only scikit-learn's own functions are replaced:
an entry that someone else has put into a table stays.
"""

from __future__ import annotations

import functools
import math
import threading
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import activations, backend, losses, optimizers
from ._extras import missing

try:
    import sklearn
except ModuleNotFoundError as error:
    raise missing(error, "sklearn") from None

__all__ = ["patch", "patched", "unpatch"]


def __dir__() -> list[str]:
    return __all__


#: Minor releases whose neural_network package this module was written and tested against.
KNOWN = ("1.8", "1.9")

Array = npt.NDArray[Any]

_FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


def patch() -> None:
    """Make scikit-learn's nets use ffkernels, in the whole process, until `unpatch`.

    A second call changes nothing.  A fit that runs in another thread goes on with the new functions
    from its next layer.

    Warns
    -----
    RuntimeWarning
        If the installed scikit-learn is of a release this module does not know.  It names the release,
        and nothing is replaced.

    Examples
    --------
    >>> from ffkernels.adapters.sklearn import patch, unpatch
    >>> patch()
    >>> unpatch()
    """
    _switch(permanent=True)


def unpatch() -> None:
    """Undo `patch`: the functions scikit-learn came with are back, the very same objects.

    Without a patch there is nothing to undo.  Inside a `patched` block the block's end does it.

    Examples
    --------
    >>> from ffkernels.adapters.sklearn import unpatch
    >>> unpatch()
    """
    _switch(permanent=False)


@contextmanager
def patched() -> Iterator[None]:
    """Context in which scikit-learn's nets use ffkernels.

    Blocks nest, and blocks of several threads may overlap: the last to end restores scikit-learn's
    functions, unless `patch` was called.

    Warns
    -----
    RuntimeWarning
        As `patch` does.

    Examples
    --------
    >>> from ffkernels.adapters.sklearn import patched
    >>> from sklearn.neural_network import MLPRegressor
    >>> with patched():
    ...     net = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [1.0, 3.0])
    >>> net.predict([[0.5]]).round(1)
    array([2.])
    """
    _switch(blocks=1)
    try:
        yield
    finally:
        _switch(blocks=-1)


# ---- what is replaced ------------------------------------------------------------------------------


class _Replacement(NamedTuple):
    """A name in one of scikit-learn's tables or modules, what it stands for and what it shall."""

    namespace: MutableMapping[str, Any]
    name: str
    theirs: Any
    ours: Any


def _replacements() -> list[_Replacement]:
    # Imported here, since an unknown release may have moved them.
    from sklearn.neural_network import _base, _multilayer_perceptron

    # The nets look these up at every pass, the optimisers at every fit.  What is not named has nothing
    # to gain (identity does nothing) or no kernel (exp, the Poisson loss).
    table: list[tuple[MutableMapping[str, Any], str, Callable[..., Any], Callable[..., Any]]] = [
        (_base.ACTIVATIONS, "relu", _activation, activations.relu),
        (_base.ACTIVATIONS, "logistic", _activation, activations.sigmoid),
        (_base.ACTIVATIONS, "tanh", _activation, activations.tanh),
        (_base.ACTIVATIONS, "softmax", _activation, activations.softmax),
        (_base.DERIVATIVES, "relu", _derivative, activations.relu_backward),
        (_base.DERIVATIVES, "logistic", _derivative, activations.sigmoid_backward),
        (_base.DERIVATIVES, "tanh", _derivative, activations.tanh_backward),
        (_base.LOSS_FUNCTIONS, "squared_error", _loss_of_numbers, _squared_error),
        (_base.LOSS_FUNCTIONS, "log_loss", _loss_of_classes, _log_loss),
        (_base.LOSS_FUNCTIONS, "binary_log_loss", _loss_of_classes, _binary_log_loss),
        # The names under which the nets find them; the classes themselves stay as they are.
        (vars(_multilayer_perceptron), "AdamOptimizer", _optimizer, _adam),
        (vars(_multilayer_perceptron), "SGDOptimizer", _optimizer, _sgd),
    ]
    return [
        _Replacement(namespace, name, namespace[name], adapt(namespace[name], kernel))
        for namespace, name, adapt, kernel in table
        if str(getattr(namespace[name], "__module__", "")).startswith("sklearn.neural_network.")
    ]


def _covered(*arrays: Any) -> bool:
    """Plain arrays of one type that the kernels compute in.  With mixed types, which come of float32
    inputs and a float64 target, converting costs more than the kernels gain; and without compiled
    kernels scikit-learn's own formulas are the faster ones."""
    return backend.get_backend() == "compiled" and all(
        type(array) is np.ndarray
        and array.dtype in _FLOATS
        and array.dtype == arrays[0].dtype
        and array.flags.aligned
        for array in arrays
    )


def _activation(theirs: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    def activation(X: Any) -> None:
        if _covered(X):
            kernel(X, out=X)
        else:
            theirs(X)

    return activation


def _derivative(theirs: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    def derivative(Z: Any, delta: Any) -> None:
        if _covered(Z, delta):
            kernel(delta, Z, out=delta)
        else:
            theirs(Z, delta)

    return derivative


def _loss_of_numbers(theirs: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    return _loss(theirs, kernel, lambda y_true, y_pred: _covered(y_pred, y_true))


def _loss_of_classes(theirs: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    return _loss(
        theirs,
        kernel,
        lambda y_true, y_prob: (
            _covered(y_prob) and type(y_true) is np.ndarray and y_true.dtype == np.bool_
        ),
    )


def _loss(
    theirs: Callable[..., Any], kernel: Callable[..., Any], covers: Callable[[Any, Any], bool]
) -> Callable[..., Any]:
    """The kernel sums over the batch, each row times its weight."""

    @functools.wraps(theirs)
    def loss(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if covers(y_true, y_pred) and y_true.ndim == 2 and y_true.shape == y_pred.shape:
            total = len(y_true) if sample_weight is None else sample_weight.sum()
            if total != 0:
                return kernel(y_true, y_pred, sample_weight) / total
        return theirs(y_true, y_pred, sample_weight)  # also refuses weights that sum to zero

    return loss


def _squared_error(y_true: Array, y_pred: Array, sample_weight: Array | None) -> Any:
    outputs = y_true.shape[1]
    if sample_weight is None:
        return losses.sum_squared_error(y_pred, y_true, reduction="sum") / outputs
    return losses.sum_squared_error(y_pred, y_true, reduction="none") @ sample_weight / outputs


def _log_loss(y_true: Array, y_prob: Array, sample_weight: Array | None) -> Any:
    if y_prob.shape[1] == 1:  # of the second of two classes
        return _binary_log_loss(y_true, y_prob, sample_weight)
    if sample_weight is None:
        share = y_true.astype(y_prob.dtype)
    else:
        share = np.multiply(y_true, sample_weight[:, np.newaxis], dtype=y_prob.dtype)
    return _log_sum(share, y_prob)


def _binary_log_loss(y_true: Array, y_prob: Array, sample_weight: Array | None) -> Any:
    share = np.ones_like(y_prob)
    if sample_weight is not None:
        share *= sample_weight[:, np.newaxis]
    return _log_sum(share, np.where(y_true, y_prob, 1 - y_prob))


def _log_sum(share: Array, p: Array) -> Any:
    """-sum share log p, p clipped on both sides as scikit-learn clips it.  As one long row, which is
    much faster than many short ones."""
    eps = float(np.finfo(p.dtype).eps)
    p = np.minimum(p, 1 - eps)
    return np.float64(losses.cross_entropy(p.reshape(-1), share.reshape(-1), eps=eps))


def _optimizer(theirs: Any, step: Callable[..., None]) -> Any:
    """Updates each parameter in place, where theirs makes a temporary array for every operator."""

    @functools.wraps(theirs, updated=())
    class Optimizer(theirs):  # type: ignore[misc]
        def update_params(self, params: list[Any], grads: list[Any]) -> None:
            step(self, params, grads, super().update_params)

        def __reduce__(self) -> tuple[Any, ...]:
            # Pickled and copied as theirs, so that estimators can be loaded without ffkernels.
            return theirs, ([],), vars(self)

    return Optimizer


def _adam(optimizer: Any, params: list[Any], grads: list[Any], theirs: Callable[..., None]) -> None:
    state = list(zip(params, grads, optimizer.ms, optimizer.vs, strict=True))
    if not all(_covered(param, m, v) for param, _, m, v in state):
        theirs(params, grads)
        return
    beta1, beta2 = optimizer.beta_1, optimizer.beta_2
    optimizer.t += 1
    unbias = math.sqrt(1 - beta2**optimizer.t)
    lr = optimizer.learning_rate_init
    optimizer.learning_rate = lr * unbias / (1 - beta1**optimizer.t)
    # scikit-learn adds epsilon to the root of v before taking the bias out of it.
    eps = optimizer.epsilon / unbias
    for param, grad, m, v in state:
        grad = grad.astype(param.dtype, copy=False)
        optimizers.adam_update(param, grad, m, v, optimizer.t, lr, beta1, beta2, eps)


def _sgd(optimizer: Any, params: list[Any], grads: list[Any], theirs: Callable[..., None]) -> None:
    state = list(zip(params, grads, optimizer.velocities, strict=True))
    if not all(_covered(param, velocity) for param, _, velocity in state):
        theirs(params, grads)
        return
    lr, momentum = optimizer.learning_rate, optimizer.momentum
    for param, grad, velocity in state:
        grad = grad.astype(param.dtype, copy=False)
        # With the learning rate in the velocity, which sgd_update knows as a step of plain descent.
        velocity *= momentum
        optimizers.sgd_update(velocity, grad, lr)
        if optimizer.nesterov:
            optimizers.sgd_update(param, velocity, -momentum)
            optimizers.sgd_update(param, grad, lr)
        else:
            optimizers.sgd_update(param, velocity, -1.0)


# ---- on and off ------------------------------------------------------------------------------------

_lock = threading.Lock()
_permanent = False
_blocks = 0
_installed: list[_Replacement] = []


def _switch(permanent: bool | None = None, blocks: int = 0) -> None:
    """Replaces or restores as the calls so far ask for."""
    global _permanent, _blocks
    with _lock:
        wanted = (_permanent if permanent is None else permanent) or _blocks + blocks > 0
        if wanted and not _installed:
            _install()
        elif not wanted:
            _restore()
        # Last, since a warning may have been turned into an exception.
        _permanent = _permanent if permanent is None else permanent
        _blocks += blocks


def _install() -> None:
    if ".".join(sklearn.__version__.split(".")[:2]) not in KNOWN:
        warnings.warn(
            f"scikit-learn {sklearn.__version__} is not a release that ffkernels knows "
            f"({', '.join(KNOWN)}): its nets keep their own functions",
            RuntimeWarning,
            stacklevel=4,
        )
        return
    _installed.extend(_replacements())
    for namespace, name, _, ours in _installed:
        namespace[name] = ours


def _restore() -> None:
    while _installed:
        namespace, name, theirs, ours = _installed.pop()
        if namespace[name] is ours:  # else someone has replaced ours since
            namespace[name] = theirs
