"""A training on a table, from the options to the pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import backend, get_num_threads, optimizers
from .._command import CommandError
from .._epochs import LEARNING_RATES, MOMENTUM
from ..tables import TableNet, label
from . import checkpoint, figures
from .comparison import peer_outputs, step_times
from .fit import History, Job, Rows, State, accuracy, blas_threads, r_squared
from .log import Log
from .options import chosen_options, kept_options, prepare_paths
from .preparation import choose_inputs, read_table, split, targets, untrained
from .results import draw, judge, judged_in_words, score, score_in_words, steps_in_words

Array = npt.NDArray[Any]


class Training:
    """A training as the first rank knows it: made of a table, and shown when it is done."""

    def __init__(self, given: argparse.Namespace, machines: list[int]) -> None:
        self.options, stored = chosen_options(given)
        options, self.log = self.options, Log(self.options.json)
        say = self.log.say
        if options.csv is None and (options.target or options.task or options.keep or options.drop):
            raise CommandError("--target, --task, --keep and --drop go with --csv")
        prepare_paths(options.output, options.save, options.checkpoint)
        table, target = read_table(options, self.log)
        if options.class_weight and target.classes is None:
            raise CommandError(f"--class-weight is for classes, {target.name} is a regression")
        parts = split(target, options.test_size, options.seed)
        columns = choose_inputs(options, table, target, parts.training, self.log)
        self.model = model = untrained(options, columns, table, target, parts.training)
        self.held_out, self.true = table.iloc[parts.test], target.values[parts.test]
        training, validation = (
            Rows(model.inputs(table.iloc[part]), targets(model, target.values[part]))
            for part in (parts.training, parts.validation)
        )
        weight = None
        if options.class_weight:
            counts = np.bincount(training.t, minlength=len(model.classes or ()))
            weight = (len(training.t) / (len(counts) * counts)).astype(model.net.dtype)
            say("Weights", _weights(weight, model), weights=weight.tolist())
        if options.lr is None:
            options.lr = LEARNING_RATES[options.optimizer]
        say(
            "Rows",
            f"{len(training.x)} to train on, {len(validation.x)} to validate, "
            f"{len(self.true)} held out to test",
            training=len(training.x),
            validation=len(validation.x),
            test=len(self.true),
        )
        watched = r_squared if target.classes is None else accuracy
        say(
            "Net",
            f"{'-'.join(map(str, model.net.sizes))}, {options.activation}; {options.optimizer}, "
            f"learning rate {options.lr:g}, batches of {options.batch_size}; "
            f"backend {backend.get_backend()}",
            sizes=model.net.sizes,
            activation=options.activation,
            optimizer=options.optimizer,
            learning_rate=options.lr,
            batch_size=options.batch_size,
            score=watched.__name__,
            backend=backend.get_backend(),
        )
        if sum(machines) > 1:
            ranks = {"processes": sum(machines), "machines": len(machines), "threads": get_num_threads()}
            say("Ranks", _ranks(**ranks), **ranks)
        state = State.begin(model.net, self._optimizer(optimizers), options.seed)
        if stored is not None:
            stored.restore(state)
            told = f"{stored.path}, after epoch {stored.epochs}"
            say("Resumed", told, file=str(stored.path), epoch=stored.epochs)
        sizes = options.epochs, options.batch_size
        self.job = Job(state, training, validation, watched, *sizes, weight)

    def _optimizer(self, module: ModuleType) -> Any:
        """Return the optimiser, made of the classes of a module."""
        lr = self.options.lr
        return module.Adam(lr) if self.options.optimizer == "adam" else module.SGD(lr, MOMENTUM)

    def after_epoch(self, state: State) -> None:
        """Write a checkpoint where one is due, and tell what the progress bar tells people."""
        options, history = self.options, state.history
        if options.checkpoint and history.epochs % options.checkpoint_every == 0:
            checkpoint.write(options.checkpoint, state, kept_options(options), options.fingerprint)
        self.log.say(
            "Epoch",
            epoch=history.epochs,
            training_loss=history.training_loss[-1],
            validation_loss=history.validation_loss[-1],
            training_score=history.training_score[-1],
            validation_score=history.validation_score[-1],
            seconds=history.seconds,
        )

    def show(self, history: History) -> None:
        """Save the net, say how good it is, and draw what it learnt."""
        options, model, say = self.options, self.model, self.log.say
        say(
            "Training",
            f"{history.seconds:.2f} s, {history.epochs} epochs; kept is epoch {history.best_epoch}, "
            "the best on the validation rows",
            seconds=history.seconds,
            epochs=history.epochs,
            best_epoch=history.best_epoch,
        )
        if options.save:
            _save(model, options.save)
            use = "for python -m ffkernels predict and ffkernels.tables.TableNet.load"
            say("Saved", f"{options.save}, {use}", file=str(options.save))
        training, outputs = self.job.training, model.outputs(self.held_out)
        with blas_threads(model.net, options.batch_size, options.threads):
            both = Rows(*map(np.concatenate, zip(training, self.job.validation, strict=True)))
            x = model.inputs(self.held_out)
            peer, epochs = peer_outputs(both, x, history.seconds, options.seed)
        if model.classes is None:
            peer = model.mean + model.scale * peer
        judged, theirs = judge(outputs, self.true, model.classes), score(peer, self.true, model.classes)
        say(
            "Result",
            judged_in_words(judged),
            f"{score_in_words(theirs)} with scikit-learn's default net in the same "
            f"{history.seconds:.2f} s, {epochs} epochs, as a check",
            **judged,
            sklearn=theirs | {"epochs": epochs},
        )
        times = step_times(model.net, self._optimizer, training, options.batch_size)
        say("Step", *steps_in_words(times), seconds=times)
        curves = options.output / "curves.png"
        figures.curves(history, "R²" if model.classes is None else "accuracy", curves)
        drawn = draw(options, model, self.held_out, outputs, self.true)
        pictures = [str(path) for path in (curves, *drawn)]
        say("Pictures", *pictures, files=pictures)


def _ranks(processes: int, machines: int, threads: int) -> str:
    return (
        f"{processes} processes on {machines} machine{'s' if machines > 1 else ''}, "
        f"{threads} thread{'s' if threads > 1 else ''} each"
    )


def _weights(weight: Array, model: TableNet) -> str:
    least, most = weight.argmin(), weight.argmax()
    names = [label(name) for name in model.classes or ()]
    return f"from {weight[least]:.3g} for {names[least]} to {weight[most]:.3g} for {names[most]}"


def _save(model: TableNet, path: Path) -> None:
    try:
        model.save(path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
