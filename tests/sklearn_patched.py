"""pytest plugin: scikit-learn's own tests under the patch.

    PYTHONPATH=tests python -m pytest -p sklearn_patched --pyargs sklearn.neural_network
"""

import warnings

from ffkernels.adapters.sklearn import patch


def pytest_configure():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an unknown release must not pass for a tested one
        patch()
