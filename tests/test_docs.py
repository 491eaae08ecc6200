"""Every example of a public docstring runs, and every public function has one."""

import doctest
import importlib

import pytest

import ffkernels

MODULES = ["activations", "backend", "inputs", "layers", "losses", "optimizers"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"ffkernels.{name}")
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed


@pytest.mark.parametrize(
    "name", [n for n in ffkernels.__all__ if callable(getattr(ffkernels, n)) and "et_" not in n]
)
def test_functions_have_examples(name):
    if name == "show_config":
        pytest.skip("prints what is here")
    assert ">>>" in getattr(ffkernels, name).__doc__
