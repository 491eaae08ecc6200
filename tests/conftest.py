"""Every test that asks for `backend` runs on each backend and each instruction set there is."""

import os
import sys

import pytest

import ffkernels
from ffkernels import backend as control

# Under an emulator `sys.executable` is a program of the other processor, which does not start as it is.
sys.executable = os.environ.get("FFKERNELS_TEST_PYTHON", sys.executable)


def implementations():
    names = ["numpy"]
    if control._compiled is not None:
        names += [f"compiled:{isa}" for isa in control._compiled.supported()]
    return names


@pytest.fixture(params=implementations())
def backend(request):
    name, _, isa = request.param.partition(":")
    before = ffkernels.get_isa(), ffkernels.get_backend()
    if isa:
        ffkernels.set_isa(isa)
    ffkernels.set_backend(name)  # for the threads too that a test starts
    yield request.param
    if isa:
        ffkernels.set_isa(before[0])
    ffkernels.set_backend(before[1])
