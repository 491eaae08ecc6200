"""Every example of a public docstring and of a guide runs, and every public function has both."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import ffkernels
from ffkernels import activations, losses

MODULES = ["activations", "backend", "inputs", "layers", "linear", "losses", "optimizers", "tables"]
ROOT = Path(__file__).parents[1]
# That for thinc has its own test, which also reads the results; so has that for C.
GUIDES = ["README"]
GUIDES += [f"docs/{name}" for name in ("start", "mathematics", "functions", "large-vocabularies", "your-own-net")]
GUIDES += [f"docs/adapters-{name}" for name in ("autograd", "mygrad", "nnfs", "sklearn", "zero")]


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


@pytest.mark.parametrize("name", [*activations.__all__, *losses.__all__])
def test_docstrings_name_dtypes_and_show_options(name):
    function = getattr(ffkernels, name)
    described, _, examples = function.__doc__.partition("    Examples\n")
    assert "dtype" in described.partition("    Returns\n")[2].partition("\n\n")[0]
    if name in losses.__all__:
        shown = {"out"} | ({"weight"} & set(inspect.signature(function).parameters))
        assert all(f"{option}=" in examples for option in shown)


def test_every_function_is_in_the_guide_to_functions():
    guide = (ROOT / "docs/functions.md").read_text()
    absent = [name for name in ffkernels.__all__ if not re.search(rf"(`|ff\.){name}\b", guide)]
    assert absent == ["__version__"]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # ten epochs are not meant to be enough
@pytest.mark.parametrize("guide", GUIDES)
def test_examples_of_the_guides(guide, capsys):
    """From top to bottom, as they are read; what a comment says of a line printed is what it prints."""
    names, missing = {}, []
    for block in (ROOT / f"{guide}.md").read_text().split("```python\n")[1:]:
        code = block.partition("```")[0]
        try:
            exec(code, names)
        except ModuleNotFoundError as error:
            missing.append(error.name)
            continue
        printed = capsys.readouterr().out
        lines = iter(printed.splitlines())
        for said in re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE):
            assert any(f"{said},".startswith(f"{line},") for line in lines), f"{said} of {printed}"
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def test_the_table_of_the_guide_to_your_own_net_is_measured_on_its_code(monkeypatch):
    pytest.importorskip("threadpoolctl")
    own_net = importlib.import_module("own_net")
    for name, value in {"SIZES": [(4, 2)], "ROUNDS": 1, "CALLS": 1}.items():
        monkeypatch.setattr(own_net, name, value)
    guide = own_net.GUIDE.read_text().partition("<!-- own net -->")[2].partition("<!-- end")[0]
    measured, shown = (re.findall(r"^\| (.*?) \|", table, re.M) for table in (own_net.table(), guide))
    assert measured == shown and len(shown) == 9
