"""``python -m ffkernels train``: from a table to a trained net, its figures and its pictures."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

from .. import backend, optimizers
from ..inputs import InputLayer, inspect
from ..layers import FeedForward
from . import CommandError, figures, tables
from .model import Model
from .tables import Column, Target
from .timing import step_times
from .training import Rows, accuracy, fit, r_squared

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.intp]

_VALIDATION_SHARE = 0.1
_LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
_MOMENTUM = 0.9
# Remarks on columns that are printed before the list is cut short.
_MOST_REMARKS = 12
# How many of the worst rows are drawn: as images, as charts.
_IMAGES, _CHARTS = 12, 6


class Split(NamedTuple):
    """The positions of the rows for each use."""

    training: Positions
    validation: Positions
    test: Positions


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if options.csv is None and (options.target or options.task):
        raise CommandError("--target and --task go with --csv")
    _prepare_paths(options.output, options.save)
    table, target = _read(options)
    split = _split(target, options.test_size, options.seed)
    columns = _choose_inputs(table, target, split.training)
    model = _untrained(options, columns, table, target, split.training)
    training, validation, test = (
        Rows(model.inputs(table.iloc[part]), model.targets(target.values[part])) for part in split
    )
    lr = _LEARNING_RATES[options.optimizer] if options.lr is None else options.lr

    def optimizer(module: ModuleType) -> Any:
        return module.Adam(lr) if options.optimizer == "adam" else module.SGD(lr, _MOMENTUM)

    _say(
        "Rows",
        f"{len(training.x)} to train on, {len(validation.x)} to validate, "
        f"{len(test.x)} held out to test",
    )
    _say(
        "Net",
        f"{'-'.join(map(str, model.net.sizes))}, {options.activation}; {options.optimizer}, "
        f"learning rate {lr:g}, batches of {options.batch_size}; "
        f"backend {backend.get_backend()}",
    )
    history = fit(
        model.net,
        optimizer(optimizers),
        training,
        validation,
        score=r_squared if target.classes is None else accuracy,
        epochs=options.epochs,
        batch_size=options.batch_size,
        seed=options.seed,
    )
    _say(
        "Training",
        f"{history.seconds:.2f} s, {history.epochs} epochs; kept is epoch {history.best_epoch}, "
        "the best on the validation rows",
    )
    outputs, true = model.outputs(test.x), target.values[split.test]
    _say("Result", _judge(outputs, true, target.classes))
    times = step_times(model.net, optimizer, training, options.batch_size)
    _say("A step", *_compare(times))
    curves = options.output / "curves.png"
    figures.curves(history, "R²" if target.classes is None else "accuracy", curves)
    held_out = table.iloc[split.test]
    _say("Pictures", str(curves), *map(str, _draw(options, model, held_out, outputs, true)))
    if options.save:
        model.save(options.save)
        _say("Saved", f"{options.save}, for python -m ffkernels predict")


def _prepare_paths(output: Path, save: Path | None) -> None:
    """Fail before the training where its results could not be written after it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{output}: {error.strerror or error}") from None
    if save is not None and not save.parent.is_dir():
        raise CommandError(f"{save.parent}: no such folder")


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
    return frame.drop(columns=name).iloc[target.rows], target


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


def _choose_inputs(table: pd.DataFrame, target: Target, training: Positions) -> list[Column]:
    """Return the columns that a net can learn from, of all that the table has."""
    suspects: list[str] = []
    remarks: list[str] = []
    # All rows, in their order: identifiers show in it.
    for finding in inspect(tables.codes(table), target.values, list(table.columns)):
        if "outlier" not in finding.reason:
            suspects.append(finding.name)
            remarks.append(f"left out {finding}")
        elif not tables.is_text(table[finding.name]):
            # An error, or the very thing to learn from: the user knows.
            remarks.append(f"mind {finding}")
    columns, more = tables.choose_columns(table.iloc[training].drop(columns=suspects))
    remarks += more
    if not columns:
        raise CommandError("; ".join(["no column is left to learn from", *remarks[:_MOST_REMARKS]]))
    if len(remarks) > _MOST_REMARKS:
        remarks[_MOST_REMARKS:] = [f"and {len(remarks) - _MOST_REMARKS} more remarks of the kind"]
    count = sum(len(column.inputs) for column in columns)
    _say("Inputs", f"{count}, from {len(columns)} of {table.shape[1]} columns", *remarks)
    return columns


def _untrained(
    options: argparse.Namespace,
    columns: list[Column],
    table: pd.DataFrame,
    target: Target,
    training: Positions,
) -> Model:
    """Return a model that is fitted to the training rows, but for its net."""
    x = tables.encode(table.iloc[training], columns)
    # Pixels share one scale; what the columns of a table measure has a scale each.
    scale: Any = "minmax" if options.csv is None else "standard"
    input_layer = InputLayer(missing="mean", scale=scale).fit(x)
    outputs = 1 if target.classes is None else len(target.classes)
    net = FeedForward(
        [x.shape[1], *options.hidden, outputs],
        options.activation,
        "sum_squared_error" if target.classes is None else "softmax_cross_entropy",
        seed=options.seed,
    )
    model = Model(columns, input_layer, net, target.name, target.classes)
    if target.classes is None:
        values = target.values[training]
        model.mean, model.scale = float(values.mean()), float(values.std()) or 1.0
    return model


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
    options: argparse.Namespace, model: Model, table: pd.DataFrame, outputs: Array, true: Array
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
        right = f"{model.target}: {len(true) - len(wrong)} of {count} right"
        figures.confusion(true, guess, model.classes, right, path)
        if len(wrong):
            worst = wrong[np.argsort(-sure[wrong], kind="stable")]
            heading = f"Most confidently wrong, of {len(wrong)} mistakes among {count}"
        else:
            worst = np.argsort(sure, kind="stable")
            heading = f"No mistakes among {count}: the least confident"
        captions = [
            f"true {model.classes[true[k]]},\npredicted {model.classes[guess[k]]} ({sure[k]:.0%})"
            for k in worst[:_IMAGES]
        ]
    if options.csv is None:
        pictures = table.to_numpy()[worst[:_IMAGES]].reshape(-1, 8, 8)
        figures.images(pictures, captions, heading, worst_path)
    else:
        worst = worst[:_CHARTS]
        numbered = [
            f"row {table.index[k] + 1}: {caption}"
            for k, caption in zip(worst, captions, strict=False)
        ]
        inputs = table[[column.name for column in model.columns]]
        figures.rows(inputs, worst, numbered, heading, worst_path)
    return [path, worst_path]
