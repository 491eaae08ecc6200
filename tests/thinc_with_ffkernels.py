"""A pytest plugin that runs thinc's own tests on FFKernelsOps: `pytest -p thinc_with_ffkernels`.

Every test that thinc parametrizes over its NumPy operations meets ours as well, and every test that
asks for the current operations gets ours.
"""

import pytest
from thinc.api import NumpyOps, set_current_ops

from ffkernels.adapters.thinc import FFKernelsOps


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    for mark in metafunc.definition.iter_markers("parametrize"):
        values = mark.args[1]
        if not isinstance(values, list):
            continue
        # thinc's tests share these lists: extend each once.
        if any(isinstance(value, FFKernelsOps) or value is FFKernelsOps for value in values):
            continue
        if any(type(value) is NumpyOps for value in values):
            values.append(FFKernelsOps())
        elif any(value is NumpyOps for value in values):
            values.append(FFKernelsOps)


@pytest.fixture(autouse=True)
def _on_ffkernels():
    set_current_ops(FFKernelsOps())
