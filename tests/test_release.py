"""The version stands in one place, and what repeats it for its readers says the same."""

import ast
import re
import tomllib
from pathlib import Path

import ffkernels

ROOT = Path(__file__).parents[1]
VERSION = ffkernels.__version__
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def citation(field):
    """A field of CITATION.cff, of those that are a line; None where it is not there."""
    found = re.search(rf"^{field}: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    return found and found[1].strip('"')


def newest_in_changelog():
    """The version of the first heading, and when it was released; None before that."""
    heading = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    version, date = re.fullmatch(r"(\S+) \((unreleased|\d{4}-\d\d-\d\d)\)", heading).groups()
    return version, None if date == "unreleased" else date


def test_the_version_is_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_the_build_reads_the_version():
    assert "version" not in PROJECT["project"] and "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "ffkernels.__version__"}


def test_the_changelog_begins_with_the_version():
    assert newest_in_changelog()[0] == VERSION


def test_the_citation_is_of_the_version():
    assert citation("version") == VERSION
    assert citation("date-released") == newest_in_changelog()[1]


def test_the_citation_is_of_this_project():
    assert citation("license") == PROJECT["project"]["license"]
    assert citation("title").startswith(PROJECT["project"]["name"])
    assert citation("keywords") == f"[{', '.join(PROJECT['project']['keywords'])}]"


def test_nothing_else_names_the_version():
    """No other module has it in a string, and no page tells it."""
    package = ROOT / "src/ffkernels"
    naming = []
    for path in [*package.rglob("*.py"), ROOT / "setup.py", *ROOT.glob("docs/**/*.py")]:
        nodes = ast.walk(ast.parse(path.read_text()))
        naming += [path for node in nodes if isinstance(node, ast.Constant) and node.value == VERSION]
    assert naming == [package / "__init__.py"]
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    told = re.compile(rf"ffkernels[ -]v?{re.escape(VERSION)}\b", re.IGNORECASE)
    assert [page.name for page in pages if told.search(page.read_text())] == []
