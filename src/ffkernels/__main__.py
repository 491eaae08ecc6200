"""The command line: ``ffkernels``, or ``python -m ffkernels``: info, train, predict, bench."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__, show_config
from ._command import CommandError, in_red, print_json
from ._train.ranks import launched, together
from .layers import ACTIVATIONS

# What the extras ``train`` and ``bench`` bring, under the names by which it is imported.
_EXTRA = ("matplotlib", "pandas", "sklearn", "threadpoolctl", "tqdm")


def _info(options: argparse.Namespace) -> int:
    if options.json:
        print_json(show_config("dicts") or {})
    else:
        show_config()
    return 0


def _train(options: argparse.Namespace) -> int:
    with together() as ranks:
        from ._train import command

        command.run(options, ranks)
    return 0


def _predict(options: argparse.Namespace) -> int:
    from ._train import predict

    predict.run(options)
    return 0


def _bench(options: argparse.Namespace) -> int:
    from ._benchmark import command

    return command.run(options)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 up, got {text}")
    return int(text)


def _seed(text: str) -> int:
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 2**32 - 1, got {text}")
    return int(text)


def _rate(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return float(text)


def _share(text: str) -> float:
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text}")
    return float(text)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(filter(None, text.split(","))))


def _counts(text: str) -> list[int]:
    return sorted({_count(part) for part in text.split(",")})


def _layers(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    called = Path(sys.argv[0]).stem == "ffkernels"
    parser = argparse.ArgumentParser("ffkernels" if called else "python -m ffkernels")
    parser.add_argument("--version", action="version", version=f"ffkernels {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    command = commands.add_parser("info", help="show what runs here, and why")
    command.set_defaults(run=_info)
    command.add_argument("--json", action="store_true", help="as one JSON object")

    command = commands.add_parser(
        "train",
        argument_default=argparse.SUPPRESS,  # to tell what was given; _train/options.py has the defaults
        help="train a net on handwritten digits, or on a table of your own",
        description="""Train a net on scikit-learn's handwritten digits, or with --csv and --target
        on a table of your own; test it on rows held out, and draw what it learnt. Missing values
        may be empty, NA, nan, ? and the like. Numbers may have thousands separators, percent and
        currency signs; dates such as 2024-01-31 become seconds since 1970. Text with few different
        values becomes inputs of 0 and 1. What should not be an input is left out with its reason:
        other text, identifiers, constants, copies of the target. Started by mpiexec, all processes
        train one net, each on its share of every batch.""",
    )
    command.set_defaults(run=_train, extra="train")
    add = command.add_argument
    add("--csv", type=Path, metavar="FILE", help="table to learn from, instead of the digits")
    add("--target", metavar="COLUMN", help="what to predict: a name, or a position from 0")
    add(
        "--task",
        choices=["classification", "regression"],
        help="default: classification of text and of up to 20 different whole numbers",
    )
    add(
        "--keep",
        action="append",
        metavar="COLUMN",
        help="take a column that would be left out, as it is; can be given again",
    )
    add(
        "--drop",
        action="append",
        metavar="COLUMN",
        help="leave a column out; can be given again",
    )
    add(
        "--hidden",
        type=_layers,
        nargs="*",
        metavar="N",
        help="neurons of each hidden layer, 64,32 or 64 32; none for a linear net (default: 256)",
    )
    add(
        "--activation",
        choices=ACTIVATIONS,
        help="of the hidden layers (default: relu)",
    )
    add(
        "--epochs",
        type=_count,
        metavar="N",
        help="at most; ends 20 after the best on validation rows (default: 100)",
    )
    add("--batch-size", type=_count, metavar="N", help="rows a step (default: 32)")
    add("--optimizer", choices=["adam", "sgd"], help="(default: adam)")
    add(
        "--lr",
        type=_rate,
        metavar="RATE",
        help="learning rate (default: 0.001 for adam; 0.01 for sgd, which has momentum 0.9)",
    )
    add(
        "--class-weight",
        choices=["balanced"],
        help="rare classes weigh as much as common ones: rows / (classes x rows of the class)",
    )
    add(
        "--threads",
        type=_count,
        metavar="N",
        help="at most, BLAS's too (default: all processors, divided by the processes of mpiexec)",
    )
    add("--seed", type=_seed, metavar="N", help="of everything random (default: 0)")
    add(
        "--test-size",
        type=_share,
        metavar="SHARE",
        help="of the rows, held out to test (default: 0.2)",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the pictures (default: ffkernels-run)",
    )
    add("--save", type=Path, metavar="FILE", help="write the trained net to an .npz file")
    add("--checkpoint", type=Path, metavar="FILE", help="write the training to a file to go on from")
    add(
        "--checkpoint-every",
        type=_count,
        metavar="N",
        help="epochs from one checkpoint to the next (default: 1)",
    )
    add(
        "--resume",
        type=Path,
        metavar="FILE",
        help="go on from a checkpoint, with its options and on its table, and write on to it",
    )
    add("--json", action="store_true", help="tell it as JSON, an object a line, an epoch a line too")

    command = commands.add_parser(
        "predict",
        help="apply a net that train --save wrote to a table",
        description="""Print a prediction for each row of a table as CSV, for classes with their
        probability. The table needs the columns of the training; others are ignored. In Python,
        ffkernels.tables.TableNet.load does the same.""",
    )
    command.set_defaults(run=_predict, extra="train")
    command.add_argument("model", type=Path, metavar="MODEL", help="from train --save")
    add = command.add_argument
    add("--csv", type=Path, metavar="FILE", required=True)
    add("--probabilities", action="store_true", help="of all classes, in columns P(class)")
    add(
        "--id",
        nargs="?",
        const=True,
        metavar="COLUMN",
        help="begin each line with this column; without a name with the number of the row, counted "
        "from 0 below the names as pandas does",
    )

    command = commands.add_parser(
        "bench",
        help="time every function beside NumPy, PyTorch, JAX, Numba and others",
        description="""Time every function, training steps and epochs in alternating rounds with other
        libraries, as far as they are installed, each in its fastest form, and with the roofline: a
        copy or a sum of arrays of the same bytes. Prints how many times as long they take.
        FFKERNELS_ISA chooses the instruction set; avx2 keeps the others to it too. Close other
        programs first.""",
    )
    command.set_defaults(run=_bench, extra="bench")
    add = command.add_argument
    add(
        "--peers",
        type=_names,
        metavar="NAMES",
        help="out of textbook (NumPy as books print it), numpy (its best plain form), torch, "
        "torch-compile, jax, scipy, numba, tensorflow, sklearn (default: all)",
    )
    add("--backend", choices=["compiled", "numpy"], help="of ours (default: what would run)")
    add(
        "--threads",
        type=_counts,
        metavar="N,N",
        help="how many to use, one after the other (default: 1 and all)",
    )
    add(
        "--save",
        type=Path,
        metavar="DIR",
        help="write bench.json, bench.md and bench.png to a folder",
    )
    add(
        "--against",
        type=Path,
        metavar="FILE",
        help="compare with a bench.json that --save wrote on this machine, or its folder; exit code 1 "
        "where something has become slower by more than 10 %%",
    )
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="cases whose name has one of these in it; * and ? stand for anything: sigmoid*100000",
    )
    add(
        "--quick",
        action="store_true",
        help="fewer sizes and rounds, no epochs, and no torch-compile unless it is named",
    )
    add("--goals", action="store_true", help="also show what the project holds itself to")
    add("--json", action="store_true", help="as one JSON object, which is what --save writes, too")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 1 for a loss of speed, 2 for what to put right."""
    parser = _parser()
    _, rank = launched()
    # Of several ranks one says what is wrong.
    with contextlib.redirect_stderr(io.StringIO()) if rank else contextlib.nullcontext():
        options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return 0
    if hasattr(options, "hidden"):
        options.hidden = list(itertools.chain(*options.hidden))
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough, as `head` has; nor may Python's last flush say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CommandError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        message = f"{error.name} is not installed: pip install 'ffkernels[{options.extra}]'"
    else:
        return code
    print(in_red(f"{parser.prog}: {message}", sys.stderr), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
