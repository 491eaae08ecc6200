"""The site's configuration: `python -m sphinx -W --keep-going docs build/site`.

Sphinx with numpydoc and NumPy's theme, as NumPy, SciPy and scikit-learn have it, since the
docstrings are numpydoc; MyST, so that the guides are Markdown, which reads as well in the
repository.
"""

import re
from importlib import import_module

import ffkernels

MODULES = ["activations", "backend", "inputs", "layers", "linear", "losses", "optimizers"]

# Libraries that look for PyTorch see that it is not here: before it is mocked.
for module in ("estimators", "adapters.jax", "adapters.mygrad", "adapters.sklearn", "adapters.thinc"):
    import_module(f"ffkernels.{module}")

project = "ffkernels"
author = "The ffkernels developers"
copyright = author
version = release = ffkernels.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas need no other server
    "matplotlib.sphinxext.plot_directive",
]
templates_path = ["_templates"]
exclude_patterns = ["_templates"]
default_role = "autolink"

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

# A module of the API lists its `__all__`; what is a name of the package too goes by that.
autosummary_ignore_module_all = False
short = {
    (module.__name__, name)
    for module in map(import_module, ("ffkernels." + name for name in MODULES))
    for name in module.__all__
    if getattr(ffkernels, name, None) is getattr(module, name)
}
autosummary_context = {"short": short}
autodoc_typehints = "none"  # numpydoc says the types in words
autodoc_mock_imports = ["torch"]  # several GB, of which the docstrings need nothing
numpydoc_show_class_members = False

plot_formats = ["svg"]
plot_html_show_formats = plot_html_show_source_link = False

html_title = "ffkernels"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}
html_sidebars = {page: [] for page in ("index", "start", "mathematics")}  # nothing below them
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system says
html_show_sourcelink = False


def setup(app):
    app.connect("source-read", plots_as_rst)


def plots_as_rst(app, name, source):
    """Matplotlib's `plot` writes reStructuredText, which it can hand to a parser of that alone."""
    plot = r"^```{plot} (.*)\n(:alt: .*)\n```$"
    source[0] = re.sub(plot, r"```{eval-rst}\n.. plot:: \1\n   \2\n```", source[0], flags=re.MULTILINE)
