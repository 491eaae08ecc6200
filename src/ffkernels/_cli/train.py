"""``python -m ffkernels train``: from a table to a trained net, its figures and its pictures."""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

from .. import backend, get_num_threads, optimizers
from .._training import LEARNING_RATES, MOMENTUM
from ..inputs import InputLayer, inspect
from ..layers import FeedForward
from ..tables import Column, TableNet, encode, label
from . import CommandError, checkpoint, figures, tables
from .checkpoint import Checkpoint
from .tables import Target
from .timing import step_times
from .training import History, Job, Rows, State, accuracy, blas_threads, peer_outputs, r_squared

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.intp]

_VALIDATION_SHARE = 0.1
# Remarks on columns that are printed before the list is cut short.
_MOST_REMARKS = 12
_COUNTED = "(rows count from 0 below the names, as pandas.read_csv counts them)"
# How many of the worst rows are drawn: as images, as charts.
_IMAGES, _CHARTS = 12, 6

# What makes a training what it is: going on from a checkpoint changes none of these.
_FIXED: dict[str, Any] = {
    "target": None,
    "task": None,
    "keep": [],
    "drop": [],
    "hidden": [256],
    "activation": "relu",
    "batch_size": 32,
    "optimizer": "adam",
    "lr": None,
    "class_weight": None,
    "seed": 0,
    "test_size": 0.2,
}
# What it keeps to unless told otherwise; paths are found again from another folder, too.
_PATHS: dict[str, Path | None] = {"csv": None, "output": Path("ffkernels-run"), "save": None}
_KEPT = _FIXED | {"epochs": 100, "checkpoint_every": 1} | _PATHS
_DEFAULTS = _KEPT | {"threads": None, "checkpoint": None, "resume": None}


class Split(NamedTuple):
    """The positions of the rows for each use."""

    training: Positions
    validation: Positions
    test: Positions


class Training:
    """A training as the first rank knows it: made of a table, and shown when it is done."""

    def __init__(self, given: argparse.Namespace, machines: list[int]) -> None:
        self.options, stored = _options(given)
        options = self.options
        if options.csv is None and (options.target or options.task or options.keep or options.drop):
            raise CommandError("--target, --task, --keep and --drop go with --csv")
        _prepare_paths(options.output, options.save, options.checkpoint)
        table, target = _read(options)
        if options.class_weight and target.classes is None:
            raise CommandError(f"--class-weight is for classes, {target.name} is a regression")
        split = _split(target, options.test_size, options.seed)
        columns = _choose_inputs(options, table, target, split.training)
        self.model = model = _untrained(options, columns, table, target, split.training)
        self.held_out, self.true = table.iloc[split.test], target.values[split.test]
        training, validation = (
            Rows(model.inputs(table.iloc[part]), _targets(model, target.values[part]))
            for part in (split.training, split.validation)
        )
        weight = None
        if options.class_weight:
            counts = np.bincount(training.t, minlength=len(model.classes or ()))
            weight = (len(training.t) / (len(counts) * counts)).astype(model.net.dtype)
            _say("Weights", *_weights(weight, model))
        if options.lr is None:
            options.lr = LEARNING_RATES[options.optimizer]
        _say(
            "Rows",
            f"{len(training.x)} to train on, {len(validation.x)} to validate, "
            f"{len(self.true)} held out to test",
        )
        _say(
            "Net",
            f"{'-'.join(map(str, model.net.sizes))}, {options.activation}; {options.optimizer}, "
            f"learning rate {options.lr:g}, batches of {options.batch_size}; "
            f"backend {backend.get_backend()}",
        )
        if sum(machines) > 1:
            _say("Ranks", _ranks(machines))
        state = State.begin(model.net, self._optimizer(optimizers), options.seed)
        if stored is not None:
            stored.restore(state)
            _say("Resumed", f"{stored.path}, after epoch {stored.epochs}")
        score = r_squared if target.classes is None else accuracy
        sizes = options.epochs, options.batch_size
        self.job = Job(state, training, validation, score, *sizes, weight)

    def _optimizer(self, module: ModuleType) -> Any:
        """Return the optimiser, made of the classes of a module."""
        lr = self.options.lr
        return module.Adam(lr) if self.options.optimizer == "adam" else module.SGD(lr, MOMENTUM)

    def after_epoch(self, state: State) -> None:
        """Write a checkpoint where one is due."""
        options = self.options
        if options.checkpoint and state.history.epochs % options.checkpoint_every == 0:
            checkpoint.write(options.checkpoint, state, _kept_options(options), options.fingerprint)

    def show(self, history: History) -> None:
        """Save the net, say how good it is, and draw what it learnt."""
        options, model = self.options, self.model
        _say(
            "Training",
            f"{history.seconds:.2f} s, {history.epochs} epochs; kept is epoch {history.best_epoch}, "
            "the best on the validation rows",
        )
        if options.save:
            _save(model, options.save)
        training, outputs = self.job.training, model.outputs(self.held_out)
        with blas_threads(model.net, options.batch_size, options.threads):
            both = Rows(*map(np.concatenate, zip(training, self.job.validation, strict=True)))
            x = model.inputs(self.held_out)
            peer, epochs = peer_outputs(both, x, history.seconds, options.seed)
        if model.classes is None:
            peer = model.mean + model.scale * peer
        _say(
            "Result",
            _judge(outputs, self.true, model.classes),
            f"{_score(peer, self.true, model.classes)} with scikit-learn's default net in the same "
            f"{history.seconds:.2f} s, {epochs} epochs, as a check",
        )
        _say("A step", *_compare(step_times(model.net, self._optimizer, training, options.batch_size)))
        curves = options.output / "curves.png"
        figures.curves(history, "R²" if model.classes is None else "accuracy", curves)
        drawn = _draw(options, model, self.held_out, outputs, self.true)
        _say("Pictures", str(curves), *map(str, drawn))


def _options(given: argparse.Namespace) -> tuple[argparse.Namespace, Checkpoint | None]:
    """Return all options: those given, before those of a checkpoint, before the usual ones."""
    chosen = {name: value for name, value in vars(given).items() if name in _DEFAULTS}
    path, stored, saved = chosen.get("resume"), None, {}
    if path is not None:
        if fixed := [name for name in chosen if name in _FIXED]:
            raise CommandError(
                f"--{fixed[0].replace('_', '-')}: the training that --resume goes on with has its own"
            )
        stored = checkpoint.read(path, _KEPT)
        saved = stored.options | {"checkpoint": path}
        saved |= {name: saved[name] and Path(saved[name]) for name in _PATHS}
    options = argparse.Namespace(**copy.deepcopy(_DEFAULTS | saved) | chosen)
    if options.checkpoint is None and "checkpoint_every" in chosen:
        raise CommandError("--checkpoint-every goes with --checkpoint or --resume")
    if options.checkpoint is not None and options.checkpoint == options.save:
        raise CommandError(f"{options.save}: expected two files for --checkpoint and --save, got one")
    # Only for a checkpoint: a table may also come through a pipe, which is read once.
    options.fingerprint = checkpoint.fingerprint(options.csv) if options.checkpoint else None
    if stored is not None and options.fingerprint != stored.table:
        raise CommandError(f"{options.csv}: not the table that {path} was trained on")
    return options, stored


def _kept_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a checkpoint says of the command line."""
    kept = {name: getattr(options, name) for name in _KEPT}
    return kept | {name: kept[name] and str(kept[name].absolute()) for name in _PATHS}


def _ranks(machines: list[int]) -> str:
    threads = get_num_threads()
    return (
        f"{sum(machines)} processes on {len(machines)} machine{'s' if len(machines) > 1 else ''}, "
        f"{threads} thread{'s' if threads > 1 else ''} each"
    )


def _prepare_paths(output: Path, *files: Path | None) -> None:
    """Fail before the training where its results could not be written after it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror or error}") from None
    for path in filter(None, files):
        if not path.parent.is_dir():
            raise CommandError(f"{path.parent}: no such folder")
        new = not path.exists()
        try:
            with open(path, "ab"):
                pass
            if new:
                path.unlink()
            elif path.is_file():  # whose place another one will take
                with tempfile.TemporaryFile(dir=path.resolve().parent):
                    pass
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror or error}") from None


def _save(model: TableNet, path: Path) -> None:
    try:
        model.save(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    _say("Saved", f"{path}, for python -m ffkernels predict and ffkernels.tables.TableNet.load")


def _say(label: str, *lines: str) -> None:
    for line in lines:
        print(f"{label:9} {line}")
        label = ""


def _read(options: argparse.Namespace) -> tuple[pd.DataFrame, Target]:
    """Return the columns but the target's, and the target, of the rows that have one."""
    if options.csv is None:
        title, name, frame = "scikit-learn's digits", "digit", tables.digits()
        remarks: list[str] = []
    else:
        title, (frame, remarks) = str(options.csv), tables.read_csv(options.csv)
        if options.target is None:
            names = tables.listed(frame.columns, 20)
            raise CommandError(f"--csv needs --target, one of the columns {names}")
        name = tables.find_column(frame, options.target)
    target, more = tables.find_target(frame[name], options.task)
    kind = "numbers, a regression" if target.classes is None else f"{len(target.classes)} classes"
    told = "" if options.task or options.csv is None else ", unless --task says otherwise"
    _say(
        "Data",
        f"{title}: {len(frame)} rows of {len(frame.columns)} columns",
        f"target {name}: {kind}{told}",
        *remarks,
        *more,
    )
    table = frame.drop(columns=name)
    for option, wanted in (("--keep", options.keep), ("--drop", options.drop)):
        wanted[:] = [tables.find_column(frame, column) for column in wanted]
        if name in wanted:
            raise CommandError(f"{option} {name}: that is the target")
    if twice := [column for column in options.keep if column in options.drop]:
        raise CommandError(f"{twice[0]}: either --keep or --drop")
    return table.drop(columns=options.drop).iloc[target.rows], target


def _split(target: Target, test_size: float, seed: int) -> Split:
    """Draw the rows for each use, of every class its share."""

    def draw(rows: Any, share: float) -> Any:
        # A row of each class; of a regression two, between which there is a variance.
        least = 2 if target.classes is None else len(target.classes)
        wanted = max(math.ceil(share * len(rows)), least)
        classes = None if target.classes is None else target.values[rows]
        return train_test_split(rows, test_size=wanted, stratify=classes, random_state=seed)

    try:
        rest, test = draw(np.arange(len(target.rows)), test_size)
        training, validation = draw(rest, _VALIDATION_SHARE)
        return Split(training, validation, test)
    except ValueError:
        raise CommandError(
            f"{len(target.rows)} rows are too few to train, to validate and to test with "
            f"{test_size:.0%} of them: add rows, or set --test-size"
        ) from None


def _choose_inputs(
    options: argparse.Namespace, table: pd.DataFrame, target: Target, training: Positions
) -> list[Column]:
    """Return the columns that a net can learn from, of all that the table has."""
    suspects: list[str] = []
    nominal: list[str] = []
    remarks: list[str] = []
    # All rows, in their order: identifiers show in it.
    for finding in inspect(table, target.values) if len(table.columns) else ():
        name, reason = finding.name, finding.reason
        if name in options.keep:
            continue
        if reason == "nominal codes":
            nominal.append(name)
            taken = "categories" if finding.figure <= tables.MAX_CATEGORIES else "numbers"
            remarks.append(f"mind {finding}: taken as {taken}")
        elif reason != "gross outliers":
            suspects.append(name)
            remarks.append(f"left out {finding}")
        else:
            # An error, or the very thing to learn from: the user knows.
            remarks.append(f"mind {finding}")
    columns, more = tables.choose_columns(
        table.iloc[training].drop(columns=suspects), nominal, options.keep
    )
    remarks += more
    if not columns:
        raise CommandError(
            "; ".join(["no column is left to learn from", *remarks[:_MOST_REMARKS]])
            + "; --keep COLUMN takes one all the same"
        )
    if len(remarks) > _MOST_REMARKS:
        remarks[_MOST_REMARKS:] = [f"and {len(remarks) - _MOST_REMARKS} more remarks of the kind"]
    if remarks and options.csv:
        remarks.append("(--keep COLUMN takes one as it is, --drop COLUMN leaves one out)")
    count = sum(len(column.inputs) for column in columns)
    _say("Inputs", f"{count}, from {len(columns)} of {table.shape[1]} columns", *remarks)
    return columns


def _untrained(
    options: argparse.Namespace,
    columns: list[Column],
    table: pd.DataFrame,
    target: Target,
    training: Positions,
) -> TableNet:
    """Return a model that is fitted to the training rows, but for its net."""
    x = encode(columns, table.iloc[training])
    # Pixels share one scale; what the columns of a table measure has a scale each.
    scale: Any = "minmax" if options.csv is None else "standard"
    input_layer = InputLayer(missing="mean", scale=scale).fit(x)
    outputs = 1 if target.classes is None else len(target.classes)
    net = FeedForward(
        [len(x), *options.hidden, outputs],
        options.activation,
        "sum_squared_error" if target.classes is None else "softmax_cross_entropy",
        seed=options.seed,
    )
    model = TableNet(columns, input_layer, net, target.name, target.classes)
    if target.classes is None:
        values = target.values[training]
        model.mean, model.scale = float(values.mean()), float(values.std()) or 1.0
    return model


def _targets(model: TableNet, values: Array) -> Array:
    """Return numbers of classes, or values of the target, as the net takes them."""
    if model.classes is not None:
        return values
    return ((values - model.mean) / model.scale).astype(model.net.dtype)[:, None]


def _weights(weight: Array, model: TableNet) -> list[str]:
    least, most = weight.argmin(), weight.argmax()
    names = [label(name) for name in model.classes or ()]
    return [f"from {weight[least]:.3g} for {names[least]} to {weight[most]:.3g} for {names[most]}"]


def _judge(outputs: Array, true: Array, classes: Any) -> str:
    """Say how good the net is on held-out rows, and how good one that knows no inputs is."""
    if classes is None:
        return (
            f"RMSE {root_mean_squared_error(true, outputs):.4g}, R² {r2_score(true, outputs):.3f} "
            f"on {len(true)} held-out rows (their standard deviation: {true.std():.4g})"
        )
    right = np.count_nonzero(outputs.argmax(axis=1) == true)
    return (
        f"accuracy {right / len(true):.2%}, {right} of {len(true)} held-out rows "
        f"(the commonest class alone: {np.bincount(true).max() / len(true):.2%})"
    )


def _score(outputs: Array, true: Array, classes: Any) -> str:
    if classes is None:
        return f"R² {r2_score(true, outputs):.3f}"
    return f"{np.mean(outputs.argmax(axis=1) == true):.2%}"


def _compare(times: dict[str, float]) -> list[str]:
    named = {
        "compiled": "compiled kernels",
        "numpy": "NumPy backend",
        "textbook": "textbook NumPy",
    }
    first = next(iter(times.values()))
    return [
        f"{1e6 * seconds:8.1f} µs  {named[name]}"
        + ("" if seconds == first else f", {seconds / first:.2f} times as long")
        for name, seconds in times.items()
    ]


def _draw(
    options: argparse.Namespace, model: TableNet, table: pd.DataFrame, outputs: Array, true: Array
) -> list[Path]:
    """Draw predicted against true, and the worst of the held-out rows."""
    worst_path = options.output / "mistakes.png"
    count = f"{len(true)} held-out rows"
    if model.classes is None:
        path = options.output / "predicted.png"
        explained = f"R² {r2_score(true, outputs):.3f} on {count}"
        figures.predicted(true, outputs, model.target, explained, path)
        worst = np.argsort(-np.abs(outputs - true), kind="stable")
        heading = f"The largest errors among {count}"
        captions = [f"true {true[k]:.4g}, predicted {outputs[k]:.4g}" for k in worst[:_CHARTS]]
    else:
        path = options.output / "confusion.png"
        guess, sure = outputs.argmax(axis=1), outputs.max(axis=1)
        wrong = np.flatnonzero(guess != true)
        right = f"{figures.cut(model.target, 24)}: {len(true) - len(wrong)} of {count} right"
        names = [label(name) for name in model.classes]
        figures.confusion(true, guess, names, right, path)
        if len(wrong):
            worst = wrong[np.argsort(-sure[wrong], kind="stable")]
            heading = f"Most confidently wrong, of {len(wrong)} mistakes among {count}"
        else:
            worst = np.argsort(sure, kind="stable")
            heading = f"No mistakes among {count}: the least confident"
        captions = [
            f"true {figures.cut(names[true[k]], 24)},\n"
            f"predicted {figures.cut(names[guess[k]], 24)} ({sure[k]:.0%})"
            for k in worst[:_IMAGES]
        ]
    if options.csv is None:
        pictures = table.to_numpy()[worst[:_IMAGES]].reshape(-1, 8, 8)
        figures.images(pictures, captions, heading, worst_path)
    else:
        worst = worst[:_CHARTS]
        numbered = [
            f"row {table.index[k]}: {caption}" for k, caption in zip(worst, captions, strict=False)
        ]
        inputs = table[[column.name for column in model.columns]]
        figures.rows(inputs, worst, numbered, f"{heading}\n{_COUNTED}", worst_path)
    return [path, worst_path]
