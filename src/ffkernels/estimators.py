"""`FeedForward` as estimators of scikit-learn: the input layer and the net in one.

For pipelines, grid searches and cross-validation; parameters have the names of scikit-learn's own
`MLPClassifier`. Needs scikit-learn 1.6 or later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np

from ._arguments import Array, check_sample_weight
from ._epochs import LEARNING_RATES, MOMENTUM, Best, epoch
from .adapters._extras import missing
from .inputs import InputLayer
from .layers import Activation, FeedForward
from .optimizers import SGD, Adam

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import check_random_state, compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError as error:
    raise missing(error, "sklearn", "ffkernels.estimators") from None

__all__ = ["FeedForwardClassifier", "FeedForwardRegressor"]


def __dir__() -> list[str]:
    return __all__


class _FeedForward(BaseEstimator):
    """What both estimators share: parameters, scaled inputs and the training."""

    _loss: Literal["softmax_cross_entropy", "sum_squared_error"]

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (256,),
        activation: Activation = "relu",
        *,
        solver: Literal["adam", "sgd"] = "adam",
        learning_rate_init: float | None = None,
        batch_size: int = 32,
        max_iter: int = 100,
        n_iter_no_change: int = 20,
        validation_fraction: float = 0.1,
        missing: Literal["zero", "mean", "median"] = "mean",
        scale: Literal["standard", "minmax"] | None = "standard",
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.n_iter_no_change = n_iter_no_change
        self.validation_fraction = validation_fraction
        self.missing = missing
        self.scale = scale
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _check(self) -> None:
        if self.solver not in LEARNING_RATES:
            raise ValueError(f"solver: expected 'adam' or 'sgd', got {self.solver!r}")
        if self.missing not in ("zero", "mean", "median"):
            raise ValueError(f"missing: expected 'zero', 'mean' or 'median', got {self.missing!r}")
        for name in ("batch_size", "max_iter", "n_iter_no_change"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number from 1 up, got {getattr(self, name)}")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction: expected 0 to below 1, got {self.validation_fraction}"
            )

    def _fit(
        self, x: Array, t: Array, outputs: int, classes: Array | None, weights: Array | None
    ) -> None:
        """Train on inputs as they came, and targets and weights as the net takes them."""
        random = check_random_state(self.random_state)
        training = validation = rows = np.arange(len(x))
        # Of a regression at least two rows are held back, of classes one of each.
        counts = [len(x) // 2] if classes is None else np.unique(classes, return_counts=True)[1]
        held = max(round(self.validation_fraction * len(x)), 2, len(counts))
        if self.validation_fraction and min(counts) >= 2 and len(x) >= 2 * held:
            training, validation = train_test_split(
                rows, test_size=held, stratify=classes, random_state=random
            )

        def weights_of(part: Array) -> Array | None:
            return None if weights is None else weights[part]

        self.input_layer_ = InputLayer(self.missing, scale=self.scale, dtype=x.dtype)
        inputs = self.input_layer_.fit(x[training], None, weights_of(training)).transform(x)
        rng = np.random.default_rng(random.randint(2**31))
        sizes = [x.shape[1], *self.hidden_layer_sizes, outputs]
        self.net_ = FeedForward(sizes, self.activation, self._loss, x.dtype, rng)
        rate = self.learning_rate_init
        rate = LEARNING_RATES[self.solver] if rate is None else rate
        optimizer = Adam(rate) if self.solver == "adam" else SGD(rate, MOMENTUM)
        best, self.loss_curve_ = Best(self.net_), []
        with np.errstate(all="ignore"):  # a learning rate set too high is told below, once
            for number in range(1, self.max_iter + 1):
                parts = epoch(
                    self.net_, optimizer, inputs[training], t[training], self.batch_size, rng,
                    sample_weight=weights_of(training),
                )  # fmt: skip
                self.loss_curve_.append(sum(parts))
                held_back = inputs[validation], t[validation]
                loss = float(self.net_.loss(*held_back, sample_weight=weights_of(validation)))
                if not np.isfinite(loss):
                    raise ValueError(
                        f"learning_rate_init: expected one under which the loss falls, got {rate}, "
                        f"at which it grew past all bounds in epoch {number}"
                    )
                if best.update(loss, number) >= self.n_iter_no_change:
                    break
        best.restore()
        self.n_iter_, self.best_loss_ = number, best.loss

    def _outputs(self, x: Any) -> Array:
        check_is_fitted(self)
        x = validate_data(
            self, x, reset=False, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan"
        )
        return self.net_.predict(self.input_layer_.transform(x))


def _with_weight(X: Array, y: Array, sample_weight: Any) -> tuple[Array, Array, Array | None]:
    """The rows that have a weight, and the weights; all rows if there are none."""
    if sample_weight is None:
        return X, y, None
    weights = check_sample_weight(sample_weight, X.shape[:1])
    kept = weights > 0
    if not kept.any():
        raise ValueError("sample_weight: expected at least one above zero, got only zeros")
    return X[kept], y[kept], weights[kept]


class FeedForwardClassifier(ClassifierMixin, _FeedForward):
    """A net for classes, with the input layer before it.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default (256,)
        Neurons of each hidden layer; none for a linear net.
    activation : str, default "relu"
        Of the hidden layers.
    solver : {"adam", "sgd"}, default "adam"
        ``"sgd"`` has momentum 0.9.
    learning_rate_init : float, optional
        Default 0.001 for Adam, 0.01 for SGD.
    batch_size : int, default 32
    max_iter : int, default 100
        Epochs at most.
    n_iter_no_change : int, default 20
        Epochs without a lower loss on the validation rows after which training stops. Kept is the
        net at its best on them.
    validation_fraction : float, default 0.1
        Of the rows; of every class its share. With 0, or where there are too few rows, the loss on
        the training rows decides.
    missing : {"zero", "mean", "median"}, default "mean"
        How NaN is filled, as in `InputLayer`.
    scale : {"standard", "minmax", None}, default "standard"
        As in `InputLayer`.
    class_weight : dict, "balanced" or None
        Weights of the classes in the loss, as everywhere in scikit-learn.
    random_state : int, RandomState instance or None

    Attributes
    ----------
    classes_ : ndarray
    net_ : FeedForward
        Computes in float32 where ``X`` is float32, else in float64.
    input_layer_ : InputLayer
    n_iter_ : int
        Epochs that were run.
    loss_curve_ : list of float
        The mean training loss of each.
    best_loss_ : float
        The lowest on the validation rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from ffkernels.estimators import FeedForwardClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> FeedForwardClassifier(random_state=0).fit(x, y).score(x, y) > 0.9
    True
    """

    _loss = "softmax_cross_entropy"

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (256,),
        activation: Activation = "relu",
        *,
        solver: Literal["adam", "sgd"] = "adam",
        learning_rate_init: float | None = None,
        batch_size: int = 32,
        max_iter: int = 100,
        n_iter_no_change: int = 20,
        validation_fraction: float = 0.1,
        missing: Literal["zero", "mean", "median"] = "mean",
        scale: Literal["standard", "minmax"] | None = "standard",
        class_weight: Any = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            max_iter=max_iter,
            n_iter_no_change=n_iter_no_change,
            validation_fraction=validation_fraction,
            missing=missing,
            scale=scale,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows X, shape (rows, columns), with the class of each in y.

        A row of ``sample_weight`` 2 counts as two in the loss, the scales of the inputs and balanced
        classes, and is one in a batch; one of 0 is left out.
        """
        self._check()
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan")
        check_classification_targets(y)
        X, y, weights = _with_weight(X, y, sample_weight)
        self.classes_, t = np.unique(y, return_inverse=True)
        classes = t
        if self.class_weight is not None:
            # A class's probabilities times its weight: a row with the weight in the class's place.
            if weights is not None and self.class_weight == "balanced":  # by rows for some releases
                weight = weights.sum() / (len(self.classes_) * np.bincount(t, weights))
            else:
                weight = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            t = np.diag(weight).astype(X.dtype)[t]
        self._fit(X, t, len(self.classes_), classes, weights)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each of ``classes_`` for each row."""
        return self._outputs(X)

    def predict(self, X: Any) -> Array:
        """Return the likeliest class of each row."""
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(axis=1)]


class FeedForwardRegressor(RegressorMixin, _FeedForward):
    """A net for numbers, with the input layer before it.

    Parameters and attributes are those of `FeedForwardClassifier`, without ``class_weight`` and
    ``classes_``. Several outputs are learnt together; each is scaled to mean 0 and standard deviation
    1 for the training.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from ffkernels.estimators import FeedForwardRegressor
    >>> x, y = load_diabetes(return_X_y=True)
    >>> FeedForwardRegressor(random_state=0).fit(x, y).score(x, y) > 0.4
    True
    """

    _loss = "sum_squared_error"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows X, shape (rows, columns), with a number of each, or a row of them, in y.

        A row of ``sample_weight`` 2 counts as two in the loss and the scales of inputs and targets, and
        is one in a batch; one of 0 is left out.
        """
        self._check()
        X, y = validate_data(
            self,
            X,
            y,
            dtype=(np.float64, np.float32),
            ensure_all_finite="allow-nan",
            multi_output=True,
            y_numeric=True,
        )
        X, y, weights = _with_weight(X, y, sample_weight)
        self._single = y.ndim == 1
        columns = y.reshape(len(y), -1)
        self.target_scaler_ = StandardScaler().fit(columns, sample_weight=weights)
        t = self.target_scaler_.transform(columns).astype(X.dtype)
        self._fit(X, t, columns.shape[1], None, weights)
        return self

    def predict(self, X: Any) -> Array:
        """Return the number, or the row of them, of each row."""
        outputs = self._outputs(X)
        values = self.target_scaler_.inverse_transform(outputs)
        return values[:, 0] if self._single else values
