"""``python -m ffkernels train``: from a table to a trained net, its figures and its pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from .. import backend, optimizers
from ..inputs import InputLayer, inspect
from ..layers import FeedForward
from . import CommandError, figures, tables
from .model import Model
from .tables import Column, Target, listed
from .timing import step_times
from .training import History, Rows, accuracy, fit, r_squared

Array = npt.NDArray[Any]
Positions = npt.NDArray[np.intp]

_VALIDATION_SHARE = 0.1
_MIN_ROWS = 10
_LEARNING_RATES = {"adam": 1e-3, "sgd": 1e-2}
_MOMENTUM = 0.9
# Remarks of a kind that are printed before the list is cut short.
_MOST_REMARKS = 12
# How many of the worst rows are drawn, as images and as charts.
_IMAGES, _CHARTS = 12, 6


def run(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    _prepare_paths(options)
    if options.csv is None:
        title, name, frame, remarks = "scikit-learn's digits", "digit", tables.digits(), []
    else:
        title, (frame, remarks) = options.csv.name, tables.read_csv(options.csv)
        name = tables.find_column(frame, options.target)
    target, more = tables.find_target(frame[name], options.task)
    table = frame.drop(columns=name).iloc[target.rows]
    split = _split(target, options.test_size, options.seed)
    kind = f"{len(target.classes)} classes" if target.classes else "numbers"
    _say(
        "Data",
        f"{title}: {len(table)} rows, {table.shape[1]} columns; {name}: {kind}",
        *remarks,
        *more,
        f"{len(split.training)} rows to train on, {len(split.validation)} to validate, "
        f"{len(split.test)} held out to test",
    )

    training = table.iloc[split.training]
    columns = _choose_inputs(training, target.values[split.training])
    x = tables.encode(training, columns)
    # Pixels share one scale; what columns of a table measure has a scale each.
    input_layer = InputLayer(scale="minmax" if options.csv is None else "standard").fit(x)
    loss = "softmax_cross_entropy" if target.classes else "sum_squared_error"
    sizes = [x.shape[1], *options.hidden, len(target.classes or [name])]
    net = FeedForward(sizes, options.activation, loss, seed=options.seed)
    model = Model(columns, input_layer, net, name, target.classes)
    if not target.classes:
        model.mean = float(target.values[split.training].mean())
        model.scale = float(target.values[split.training].std()) or 1.0
    t = target.values if target.classes else (target.values[:, None] - model.mean) / model.scale

    lr = options.lr if options.lr is not None else _LEARNING_RATES[options.optimizer]
    _say(
        "Net",
        f"{'-'.join(map(str, sizes))}, {options.activation}; {options.optimizer}, learning rate "
        f"{lr:g}, batches of {options.batch_size}",
        f"on the {backend.get_backend()} backend",
    )

    def optimizer(module: ModuleType) -> Any:
        return module.SGD(lr, _MOMENTUM) if options.optimizer == "sgd" else module.Adam(lr)
