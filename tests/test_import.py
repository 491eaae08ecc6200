"""What an import costs and where the version comes from."""

import subprocess
import sys
from importlib import metadata

import pytest

import ffkernels

# Each took between 2 and 30 ms of an import that takes 10 without them.
HEAVY = {"email", "importlib.metadata", "matplotlib", "pandas", "pathlib", "scipy", "sklearn", "zipfile"}


def test_an_import_loads_nothing_heavy_beyond_numpy():
    code = "import sys, numpy; old = set(sys.modules); import ffkernels; print(*set(sys.modules) - old)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "ffkernels.losses" in loaded
    assert not HEAVY & set(loaded)


def test_version_is_the_one_that_was_installed():
    try:
        installed = metadata.version("ffkernels")
    except metadata.PackageNotFoundError:
        pytest.skip("a source tree on the path, never installed")
    assert ffkernels.__version__ == installed
    assert ffkernels.show_config(mode="dicts")["ffkernels"] == installed
