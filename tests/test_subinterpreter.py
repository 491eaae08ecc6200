"""Interpreters of one process: the first that imports NumPy has ffkernels, any other is refused."""

import subprocess
import sys

# A program in which `run(code)` runs code in a subinterpreter that shares its lock with the main one, as
# embedding servers make them.  The module has no public name before 3.14.
START = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    other = interpreters.create("legacy")
else:
    import _xxsubinterpreters as interpreters
    other = interpreters.create(isolated=False)
def run(code):
    failure = interpreters.run_string(other, code)  # raised before 3.13
    if failure:
        raise RuntimeError(failure.formatted)
"""

WORK = """
import numpy as np, ffkernels as ff
ff.set_num_threads(2)
x = np.arange(2_000_000, dtype=np.float32).reshape(2000, 1000) / 1e6
print(ff.get_backend(), float(abs(ff.softmax(x).sum(axis=1) - 1).max()) < 1e-5)
try:
    ff.relu([["a"]])
except TypeError as error:
    print(error)
"""


def printed(program):
    command = [sys.executable, "-W", "ignore", "-c", START + program]  # NumPy warns of subinterpreters
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_a_subinterpreter_has_functions_refusals_and_threads():
    backend, message = printed(f"run({WORK!r})")
    assert backend.endswith(" True") and message.startswith("x: expected real numbers")


def test_a_second_interpreter_is_refused_and_the_first_goes_on():
    lines = printed(f"""
{WORK}
try:
    run("import ffkernels")
except Exception as error:
    print("ImportError" in str(error))
{WORK}
""")
    assert lines == [*lines[:2], "True", *lines[:2]]
