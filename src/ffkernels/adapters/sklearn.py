"""scikit-learn's MLPClassifier and MLPRegressor on these kernels.

`patch` replaces what scikit-learn's epoch loop calls for each batch (in `_sklearn_fit`), and the entries
of the tables from which its nets draw their activations, derivatives and losses; `unpatch` takes it out
again; `patched` is a context.  `_replacements` lists it all.  The loop itself, the estimators, their
parameters and what they validate, warn of and store stay scikit-learn's.

Each replacement covers plain arrays of float32 or float64, all of one type, in the compiled backend,
and hands anything else to the function it replaces.  Only scikit-learn's own functions are replaced:
what someone else has put in their place stays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import activations, losses
from . import _sklearn_fit as _fit
from ._extras import missing
from ._patch import Patch, Replacement, covered, made

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


def patch() -> None:
    """Make scikit-learn's nets use ffkernels, in the whole process, until `unpatch`.

    A second call changes nothing.  A fit that runs in another thread goes on with the new functions
    from its next batch.

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
    _patch.switch(permanent=True)


def unpatch() -> None:
    """Undo `patch`: the functions scikit-learn came with are back, the very same objects.

    Without a patch there is nothing to undo.  Inside a `patched` block the block's end does it.

    Examples
    --------
    >>> from ffkernels.adapters.sklearn import unpatch
    >>> unpatch()
    """
    _patch.switch(permanent=False)


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
    with _patch.block():
        yield


# ---- what is replaced ------------------------------------------------------------------------------


def _replacements() -> list[Replacement]:
    # Imported here, since an unknown release may have moved them.
    from sklearn.neural_network import _base, _multilayer_perceptron
    from sklearn.neural_network._base import ACTIVATIONS, DERIVATIVES, LOSS_FUNCTIONS

    # The nets look these up at every pass.  What is not named has no kernel: exp, the Poisson loss.
    entries = made(
        _is_theirs,
        (ACTIVATIONS, "identity", _unchanged),  # it does nothing, but a layer of it has kernels
        (ACTIVATIONS, "relu", _activation, activations.relu),
        (ACTIVATIONS, "logistic", _activation, activations.sigmoid),
        (ACTIVATIONS, "tanh", _activation, activations.tanh),
        (ACTIVATIONS, "softmax", _activation, activations.softmax),
        (DERIVATIVES, "identity", _unchanged),
        (DERIVATIVES, "relu", _derivative, activations.relu_backward),
        (DERIVATIVES, "logistic", _derivative, activations.sigmoid_backward),
        (DERIVATIVES, "tanh", _derivative, activations.tanh_backward),
        (LOSS_FUNCTIONS, "squared_error", _loss_of_numbers, _squared_error),
        (LOSS_FUNCTIONS, "log_loss", _loss_of_classes, _log_loss),
        (LOSS_FUNCTIONS, "binary_log_loss", _loss_of_classes, _binary_log_loss),
    )
    ours = frozenset((entry.name, entry.ours) for entry in entries)
    net_class = _multilayer_perceptron.BaseMultilayerPerceptron
    validate_data = _multilayer_perceptron.validate_data
    return entries + made(
        _is_theirs,
        # Called once an epoch: for its order, its batches, and the score of early stopping, which shares
        # its forward pass with predictions.
        (_multilayer_perceptron, "shuffle", _fit.shuffle_indices),
        (_multilayer_perceptron, "gen_batches", _fit.unchecked),
        (net_class, "_forward_pass_fast", _fit.forward_pass_fast, validate_data, _base, ours),
        (_multilayer_perceptron, "accuracy_score", _fit.agreement),
        # For each batch.
        (_multilayer_perceptron, "_safe_indexing", _fit.take_rows),
        (net_class, "_backprop", _fit.backprop, net_class, _base, ours),
        # The names under which the nets find them; the classes themselves stay as they are.
        (_multilayer_perceptron, "AdamOptimizer", _fit.in_place, _fit.adam_step),
        (_multilayer_perceptron, "SGDOptimizer", _fit.in_place, _fit.sgd_step),
    )


def _is_theirs(entry: Any) -> bool:
    """Written in scikit-learn.  A wrapper of one of its functions may bear its name and module, but not
    its globals."""
    if isinstance(entry, type):
        return entry.__module__.startswith("sklearn.")
    return str(getattr(entry, "__globals__", {}).get("__name__", "")).startswith("sklearn.")


def _unchanged(theirs: Callable[..., Any]) -> Callable[..., Any]:
    return theirs


def _activation(theirs: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    def activation(X: Any) -> None:
        if covered(X):
            kernel(X, out=X)
        else:
            theirs(X)

    return activation


def _derivative(theirs: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    def derivative(Z: Any, delta: Any) -> None:
        if covered(Z, delta):
            kernel(delta, Z, out=delta)
        else:
            theirs(Z, delta)

    return derivative


def _loss_of_numbers(theirs: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    return _loss(theirs, kernel, lambda y_true, y_pred: covered(y_pred, y_true))


def _loss_of_classes(theirs: Callable[..., Any], kernel: Callable[..., Any]) -> Callable[..., Any]:
    return _loss(
        theirs,
        kernel,
        lambda y_true, y_prob: (
            covered(y_prob) and type(y_true) is np.ndarray and y_true.dtype == np.bool_
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


_patch = Patch("scikit-learn", sklearn, KNOWN, "its nets", _replacements)
