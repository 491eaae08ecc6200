"""A training step of a net for images of 28 x 28 beside its products; a wide layer with its loss."""

import pytest

from conftest import selected


@pytest.mark.benchmark(max_time=1.0, min_rounds=5, warmup=True, warmup_iterations=2)
@pytest.mark.parametrize("case", selected(multiplies=True))
def test_step(run, case):
    run(case)
