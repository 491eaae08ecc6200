"""Every example of a public docstring and of a guide runs, and every public function has one."""

import doctest
import importlib
from pathlib import Path

import pytest

import ffkernels

MODULES = ["activations", "backend", "inputs", "layers", "losses", "optimizers", "tables"]
ROOT = Path(__file__).parents[1]
# That for thinc has its own test, which also reads the results.
GUIDES = ["README.md", *(f"docs/adapters-{name}.md" for name in ("autograd", "sklearn", "zero"))]
EXAMPLES = [
    pytest.param(block.partition("```")[0], id=f"{guide}-{k}")
    for guide in GUIDES
    for k, block in enumerate((ROOT / guide).read_text().split("```python\n")[1:])
]


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


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # ten epochs are not meant to be enough
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_guides(example):
    try:
        exec(example, {})
    except ModuleNotFoundError as missing:
        pytest.skip(f"{missing.name} is not installed")
