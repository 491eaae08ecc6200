"""The stub of the compiled kernels says what they are, and the same as their twin."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import ffkernels
from ffkernels import _numpy

try:
    from ffkernels import _compiled
except ImportError:
    ISAS = ()
else:
    ISAS = _compiled.supported()

FOLDER = Path(ffkernels.__file__).parent / "_compiled"
STUB = ast.parse((FOLDER / "baseline.pyi").read_text())
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
VALUES = {node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign)}
#: What the twin has no use for: threads, and what the others are made of, for measurements.
COMPILED_ALONE = {"set_num_threads", "exp", "log"}

kernels = pytest.mark.parametrize("isa", ISAS)


def parameters(name):
    return [argument.arg for argument in FUNCTIONS[name].args.args]


@kernels
def test_the_stub_is_complete(isa):
    module = importlib.import_module(f"ffkernels._compiled.{isa}")
    public = {name for name in dir(module) if not name.startswith("_")}
    assert public == set(FUNCTIONS) | {name for name in VALUES if not name.startswith("_")}


@kernels
@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_are_called_as_the_stub_says(isa, name):
    """By their names and none else: it is the values that are refused."""
    function = getattr(importlib.import_module(f"ffkernels._compiled.{isa}"), name)
    with pytest.raises((TypeError, ValueError, AttributeError)) as refused:
        function(**dict.fromkeys(parameters(name), ...))
    assert f"{name}()" not in str(refused.value)
    with pytest.raises(TypeError, match=rf"{name}\(\)"):
        function(**dict.fromkeys([*parameters(name), "another"], ...))


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - COMPILED_ALONE))
def test_the_twin_has_the_same_parameters(name):
    assert list(inspect.signature(getattr(_numpy, name)).parameters) == parameters(name)


def test_every_instruction_set_has_the_same_stub():
    stubs = {path.stem: path.read_text() for path in FOLDER.glob("*.pyi")}
    assert set(stubs) == {"baseline", "avx2", "avx512", "cpu"}
    assert stubs["avx2"] == stubs["avx512"] == "from .baseline import *\n"
