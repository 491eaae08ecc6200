"""What the hot loops take on Arm's and Apple's processors, by LLVM's models of them.

    python bench/neon.py                          the table
    python bench/neon.py --write docs/speed.md    the same into the guide

A model counts what the units of a processor can take in a cycle, and knows neither caches nor what a
queue holds: it is a bound.  Needs llvm-mca, and clang++ or Debian's aarch64-linux-gnu-g++ or both.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from report import write_section

ROOT = Path(__file__).resolve().parent.parent

FLAGS = ["-O3", "-std=gnu++17", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
GCC_ONLY = ("-fno-loop-unroll-and-jam", "-fno-tree-loop-distribute-patterns")
# LLVM has no model of Apple's later cores but Cyclone's, of 2013.
PROCESSORS = {"neoverse-n1": "Neoverse N1", "neoverse-v1": "Neoverse V1", "neoverse-v2": "Neoverse V2",
              "apple-m1": "Apple M1"}  # fmt: skip

# What a function does, its C++, and an instruction that only its loop has.
LOOPS = {
    "cross_entropy_max": ("cross-entropy: maximum", "row_max(x, n)", "fcmgt"),
    "cross_entropy_exp": ("cross-entropy: exponential and sum", "row_exp_excess(x, x[-1], y, n)", "fml"),
    "cross_entropy_scale": ("cross-entropy: factor", "(row_scale(x, *scalars, y, n), 0)", "fmul"),
    "relu": ("relu", "(spans<elementwise::relu>[0](operand, scalars, n), 0)", "fcm"),
    "sigmoid": ("sigmoid", "(spans<elementwise::sigmoid>[0](operand, scalars, n), 0)", "fdiv"),
    "tanh": ("tanh", "(spans<elementwise::tanh>[0](operand, scalars, n), 0)", "tbl"),
}
SOURCE = '#include "elementwise.h"\n#include "rows.h"\nusing namespace ffkernels;\n' + "".join(
    f'extern "C" double hot_{name}(const float *x, float *y, char *const *operand, '
    f"const double *scalars, ptrdiff_t n) {{ return {code}; }}\n"
    for name, (_, code, _) in LOOPS.items()
)


def newest(name):
    for version in (*(f"-{n}" for n in range(25, 13, -1)), ""):
        if path := shutil.which(name + version):
            return path
    return None


def compilers():
    if gcc := shutil.which("aarch64-linux-gnu-g++"):
        yield "gcc", [gcc, *GCC_ONLY]
    if clang := newest("clang++"):
        yield "clang", [clang, "--target=aarch64-linux-gnu"]


def called(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def assembly(compiler):
    """Functions by name, each a list of lines without directives."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "hot.cpp"), Path(folder, "hot.s")
        source.write_text(SOURCE)
        flags = [*FLAGS, "-fopenmp-simd", f"-I{ROOT}/src/ffkernels/_compiled"]
        called(*compiler, *flags, "-S", source, "-o", output)
        functions, lines = {}, []
        for line in output.read_text().splitlines():
            line = line.partition("//")[0].strip()
            if label := re.fullmatch(r"([A-Za-z_][\w.]*):", line):
                lines = functions.setdefault(label[1], [])
            elif line and (not line.startswith(".") or line.endswith(":")):
                lines.append(line)
    return functions


def inner_loops(lines):
    """Instructions from a label to a jump back to it, without a loop inside, a call or a return."""
    places = {line[:-1]: i for i, line in enumerate(lines) if line.endswith(":")}
    loops = []
    for i, line in enumerate(lines):
        jump = re.match(r"(?:b|b\.?\w\w|cbn?z|tbn?z)\s.*?([.\w]+)$", line)
        if jump and (first := places.get(jump[1], i)) < i:
            loops.append((first, i))
    for first, last in loops:
        if not any(first <= a and b <= last and (a, b) != (first, last) for a, b in loops):
            loop = [each for each in lines[first : last + 1] if not each.endswith(":")]
            if not any(re.match(r"(ret|blr?)\b", each) for each in loop):
                yield loop


def hot_loop(functions, name):
    """The loop that does the arithmetic of a function, or of the one that it hands on to."""
    marker = LOOPS[name][2]
    lines = functions[f"hot_{name}"]
    if not any(line.startswith(marker) for line in lines):
        target = next(found[1] for line in lines if (found := re.match(r"bl?\s+(_ZN[\w.]+)$", line)))
        lines = functions[target]
    return max(inner_loops(lines), key=lambda loop: sum(line.startswith(marker) for line in loop))


def values_of(loop):
    """How many floats a turn works on: those it stores, or loads where it stores none."""
    for kind in ("st", "ld"):
        # Not of the stack, which x29 points into as well.
        moves = [line for line in loop if line.startswith(kind) and re.search(r"\[x(?!29)", line)]
        if moves:
            return 4 * sum(len(re.findall(r"\bq\d+", line)) for line in moves)
    raise ValueError("a loop that neither loads nor stores vectors")


def cycles(loop, processor):
    """Of one turn, when many follow each other."""
    text = called(newest("llvm-mca"), "-mtriple=aarch64", f"-mcpu={processor}", "-iterations=200",
                  input="\n".join(loop))  # fmt: skip
    return int(re.search(r"Total Cycles:\s+(\d+)", text)[1]) / 200


def table():
    rows = []
    for compiler, command in compilers():
        functions = assembly(command)
        for name, (title, _, _) in LOOPS.items():
            loop = hot_loop(functions, name)
            turn = {processor: cycles(loop, processor) for processor in PROCESSORS}
            per_block = 16 / values_of(loop)
            cells = (per_block * len(loop), *(per_block * c for c in turn.values()))
            rows.append([title, compiler, *(f"{cell:.0f}" for cell in cells)])
    head = ["sixteen floats", "compiler", "instructions", *PROCESSORS.values()]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in [head, ["---"] * len(head), *rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", metavar="FILE")
    given = parser.parse_args()
    if given.write:
        write_section(given.write, "neon", table())
    else:
        print(table())


if __name__ == "__main__":
    main()
