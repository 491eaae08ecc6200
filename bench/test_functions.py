"""Every operation of the table, at a few sizes."""

import pytest

from conftest import selected


@pytest.mark.benchmark(max_time=0.1, min_rounds=5, warmup=True, warmup_iterations=2)
@pytest.mark.parametrize("case", selected(multiplies=False))
def test_function(run, case):
    run(case)
