"""Every example of a public docstring and of a guide runs, and every public function has both."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ffkernels
from ffkernels import activations, losses

MODULES = ["activations", "backend", "inputs", "layers", "linear", "losses", "optimizers", "tables"]
MODULES += [f"adapters.zero.{name}" for name in ("_differences", "_functions", "_gradient", "_layers")]
ADAPTERS = ["autograd", "jax", "mygrad", "nnfs", "sklearn", "thinc", "torch"]  # may lack their libraries
ROOT = Path(__file__).parents[1]
# Pages with code that needs more than to be run from top to bottom, and the tests that run it.
ELSEWHERE = {
    "docs/adapters-thinc.md": "test_adapter_thinc.py",
    "docs/c-api.md": "test_capi.py",
    "docs/distributed.md": "test_data_parallel.py",
    "docs/tables.md": "test_train.py",
}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in PAGES}
GUIDES = [page for page, text in TEXTS.items() if "```python\n" in text and page not in ELSEWHERE]
PLOT = re.compile(r"^```{plot} plots\.py (\w+)$", re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"ffkernels.{name}")
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed


@pytest.mark.parametrize("name", ADAPTERS)
def test_examples_of_adapters(name):
    """In processes of their own: the 64 bits of JAX that other tests ask for would hold here, too."""
    try:
        importlib.import_module(f"ffkernels.adapters.{name}")
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    program = (
        f"import doctest, ffkernels.adapters.{name} as module\n"
        "outcome = doctest.testmod(module)\n"
        "assert outcome.attempted and not outcome.failed"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=600)


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


def test_every_public_name_is_in_the_api():
    """A module's page lists its `__all__`: so every module has one, and every name a module."""
    listed = re.findall(r"^   (ffkernels\.\S+)$", TEXTS["docs/api.md"], re.MULTILINE)
    packages = [("ffkernels", ffkernels), ("ffkernels.adapters", ffkernels.adapters)]
    modules = [f"{name}.{m.name}" for name, p in packages for m in pkgutil.iter_modules(p.__path__)]
    public = {name for name in modules if not name.rpartition(".")[2].startswith("_")}
    assert public - {"ffkernels.adapters"} | {"ffkernels.get_include"} == set(listed)
    known = {"ffkernels.__version__", "ffkernels.adapters", *listed}
    for name in listed:
        if not name.startswith(("ffkernels.adapters", "ffkernels.estimators", "ffkernels.get_include")):
            known |= {f"ffkernels.{public}" for public in importlib.import_module(name).__all__}
    assert {f"ffkernels.{name}" for name in ffkernels.__all__} <= known


def test_every_function_is_in_the_guide_to_functions():
    guide = (ROOT / "docs/functions.md").read_text()
    absent = [name for name in ffkernels.__all__ if not re.search(rf"(`|ff\.){name}\b", guide)]
    assert absent == ["__version__"]


@pytest.mark.parametrize("page", ELSEWHERE)
def test_pages_whose_code_runs_elsewhere(page):
    test = (ROOT / "tests" / ELSEWHERE[page]).read_text("utf-8")
    assert Path(page).name in test and "```python\n" in TEXTS[page]


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # ten epochs are not meant to be enough
@pytest.mark.parametrize("guide", GUIDES)
def test_examples_of_the_guides(guide, capsys, tmp_path, monkeypatch):
    """From top to bottom, as they are read; what a comment says of a line printed is what it prints."""
    monkeypatch.chdir(tmp_path)
    names, missing = {}, []
    for block in TEXTS[guide].split("```python\n")[1:]:
        code = block.partition("```")[0]
        try:
            exec(code, names)
        except ModuleNotFoundError as error:
            missing.append(error.name)
            continue
        except NameError:
            if missing:  # of a block that did not run
                continue
            raise
        printed = capsys.readouterr().out
        lines = iter(printed.splitlines())
        for said in re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE):
            assert any(f"{said},".startswith(f"{line},") for line in lines), f"{said} of {printed}"
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def test_the_table_of_the_guide_to_your_own_net_is_measured_on_its_code(monkeypatch):
    pytest.importorskip("threadpoolctl")
    own_net = importlib.import_module("own_net")
    for name, value in {"SIZES": [(4, 2)], "EFFORT": own_net.EFFORT._replace(rounds=1, least=1)}.items():
        monkeypatch.setattr(own_net, name, value)
    guide = own_net.GUIDE.read_text().partition("<!-- own net -->")[2].partition("<!-- end")[0]
    measured, shown = (re.findall(r"^\| (.*?) \|", table, re.M) for table in (own_net.table(), guide))
    assert measured == shown and len(shown) == 9


@pytest.mark.parametrize("page", TEXTS)
def test_commands_name_what_there_is(page):
    """Programs of the repository, their options, and the extras that are installed."""
    commands = r"(-m ffkernels|(?:bench|tests|docs)/\w+\.py)((?: [^\s`()]+)*)"
    for program, arguments in re.findall(commands, TEXTS[page]):
        path = "src/ffkernels/__main__.py" if program == "-m ffkernels" else program
        code = (ROOT / path).read_text("utf-8")
        for option in re.findall(r" (--[\w-]+)", arguments):
            assert f'"{option}"' in code, f"{program} {option}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for extras in re.findall(r"pip install '(?:\.|ffkernels)\[([\w,]+)\]'", TEXTS[page]):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys()


@pytest.mark.parametrize("page", TEXTS)
def test_pages_are_whole(page):
    """Every link within the repository leads somewhere, and every formula ends."""
    prose = re.sub(r"^```.*?^```$|`[^`]*`", "", TEXTS[page], flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (ROOT / page).parent.joinpath(link).exists(), link
    assert prose.count("$") % 2 == 0 and all(text.count("$") % 2 == 0 for text in prose.split("$$"))


def test_every_page_is_in_the_site():
    pages = {page.removesuffix(".md") for page in TEXTS if page.startswith("docs/")}
    found = {"docs/index"}
    for page in pages:
        for entries in re.findall(r"```{toctree}\n:hidden:\n(.*?)```", TEXTS[f"{page}.md"], re.DOTALL):
            found |= {f"{page.rpartition('/')[0]}/{entry}" for entry in entries.split()}
    assert found == pages


def test_every_picture_is_drawn(monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.syspath_prepend(ROOT / "docs")
    plots = importlib.import_module("plots")
    shown = PLOT.findall(TEXTS["docs/mathematics.md"])
    assert len(shown) == len(set(shown)) == 15
    for name in shown:
        getattr(plots, name)()
        (number,) = pyplot.get_fignums()
        figure = pyplot.figure(number)
        figure.canvas.draw()
        assert all(axes.lines for axes in figure.axes), name
        pyplot.close(figure)
