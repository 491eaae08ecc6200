"""What an import costs, what a user finds in each namespace, and how the functions are called."""

import importlib
import inspect
import subprocess
import sys
from importlib import metadata
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

import ffkernels

# Each took between 2 and 30 ms of an import that takes 10 without them.
HEAVY = {"email", "importlib.metadata", "matplotlib", "pandas", "pathlib", "scipy", "sklearn", "zipfile"}

MODULES = [
    "activations", "backend", "distributed", "inputs", "layers",
    "linear", "losses", "optimizers", "tables",
]  # fmt: skip
ADAPTERS = ["autograd", "jax", "mygrad", "nnfs", "sklearn", "thinc", "torch", "zero"]


def test_an_import_loads_nothing_heavy_beyond_numpy():
    code = "import sys, numpy; old = set(sys.modules); import ffkernels; print(*set(sys.modules) - old)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "ffkernels.losses" in loaded
    assert not HEAVY & set(loaded)
    assert not [name for name in loaded if name.startswith("ffkernels.adapters.")]


def test_version_is_the_one_that_was_installed():
    try:
        installed = metadata.version("ffkernels")
    except metadata.PackageNotFoundError:
        pytest.skip("a source tree on the path, never installed")
    assert ffkernels.__version__ == installed
    assert ffkernels.show_config(mode="dicts")["ffkernels"] == installed


def modules():
    yield ffkernels
    for name in MODULES:
        yield importlib.import_module(f"ffkernels.{name}")
    for name in ADAPTERS:
        try:
            yield importlib.import_module(f"ffkernels.adapters.{name}")
        except ImportError:  # of its library
            continue


def test_namespaces_hold_what_is_ours_and_public():
    for module in modules():
        assert dir(module) == sorted(module.__all__), module.__name__
        for name in dir(module):
            value = getattr(module, name)
            where = "__name__" if inspect.ismodule(value) else "__module__"
            home = getattr(value, where, "ffkernels")
            # What autograd wraps says that it is autograd's.
            assert home.startswith(("ffkernels", "autograd.tracer")), f"{module.__name__}.{name}"


def test_what_a_first_script_needs_is_at_the_top():
    from ffkernels import inputs, layers, optimizers

    assert ffkernels.FeedForward is layers.FeedForward
    assert (ffkernels.SGD, ffkernels.Adam) == (optimizers.SGD, optimizers.Adam)
    assert (ffkernels.InputLayer, ffkernels.inspect) == (inputs.InputLayer, inputs.inspect)


def test_adapters_are_listed_and_imported_when_asked_for():
    code = (
        "import sys, ffkernels as ff\n"
        "assert 'ffkernels.adapters.zero' not in sys.modules\n"
        "print(*dir(ff.adapters), ff.adapters.zero.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [*ADAPTERS, "ffkernels.adapters.zero"]
    with pytest.raises(AttributeError, match=r"ffkernels\.adapters.* has no attribute 'tensorflow'"):
        ffkernels.adapters.tensorflow  # noqa: B018


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_without_its_library_names_the_extra(name):
    """The library is hidden: importing it fails as it does where it is not installed."""
    if name in ("nnfs", "zero"):
        pytest.skip("needs no library")
    code = f"import sys; sys.modules['{name}'] = None\nimport ffkernels\nffkernels.adapters.{name}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"pip install 'ffkernels[{name}]'" in run.stderr.splitlines()[-1]


SHAPING = {"negative_slope", "alpha", "approximate"}


def test_options_are_passed_by_name():
    """But `axis` and `out` of the activations may come by position, as NumPy's and SciPy's do, and what
    shapes an activation, as PyTorch's."""
    from ffkernels import activations, losses

    for module, placed in ((activations, SHAPING | {"axis", "out", "out_bias"}), (losses, {"dloss"})):
        for function in (getattr(module, name) for name in module.__all__):
            for parameter in inspect.signature(function).parameters.values():
                by_position = parameter.default is parameter.empty or parameter.name in placed
                kind = parameter.POSITIONAL_OR_KEYWORD if by_position else parameter.KEYWORD_ONLY
                assert parameter.kind is kind, f"{function.__name__}: {parameter.name}"


def choices(function, name):
    """What help() shows that a parameter may be."""
    parameter = inspect.signature(function).parameters[name]
    hint = get_type_hints(function.__init__ if inspect.isclass(function) else function)[name]
    assert get_origin(hint) is Literal and str(parameter.annotation).startswith("Literal[")
    return get_args(hint)


def test_signatures_show_their_choices():
    reduced = 0
    for module in modules():
        for function in filter(inspect.isfunction, (getattr(module, name) for name in module.__all__)):
            if "reduction" in inspect.signature(function).parameters:
                kinds = ("mean", "sum", "none")
                if function.__name__ == "linear_cross_entropy" and ".adapters." in function.__module__:
                    kinds = kinds[:2]  # the losses of rows have no gradient there
                assert choices(function, "reduction") == kinds
                reduced += 1
    assert reduced >= 2 * 9  # at the top and in `losses`
    assert choices(ffkernels.show_config, "mode") == ("stdout", "dicts")
    hints = get_type_hints(ffkernels.FeedForward.__init__)
    assert get_args(hints["activation"]) == ffkernels.layers.ACTIVATIONS
    assert all(f'"{name}"' in ffkernels.FeedForward.__doc__ for name in ffkernels.layers.ACTIVATIONS)
    assert choices(ffkernels.FeedForward, "loss") == (
        "softmax_cross_entropy", "sigmoid_cross_entropy", "sum_squared_error",
    )  # fmt: skip
    assert choices(ffkernels.InputLayer, "missing") == ("zero", "mean", "median", "drop")
    for function in (ffkernels.set_backend, ffkernels.use_backend):
        assert choices(function, "name") == ("compiled", "numpy")
