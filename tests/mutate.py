"""Whether the tests notice: `python tests/mutate.py --seed 0 --count 40 --only layers`.

An operator, a comparison, a constant or a word of some line of code is changed, drawn by the seed, in a
copy of the tree, and the tests that there are for that file must fail, one file of them after the other,
or take ten times as long as they do.  A change that they all pass is a survivor.

The kernels are built for one instruction set, with all their changes in one build: an expression
becomes a choice between what stands there and what instead, by a number in the environment.  What cannot
be chosen so, a constant of a type for example, is built alone; what does not compile is not counted.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/ffkernels"
KERNELS = ("same_bits", "alike", "values", "semantics", "gradients", "half", "fuzz")
LOSSES = ("same_bits", "semantics", "alike", "values", "sample_weight", "gradients", "half", "fuzz")
#: The tests for files, by the beginning of their path in the package; the first that fits.
TESTS = {
    "_compiled/threads.h": ("threads", "values"),
    "_compiled/blocks": ("threads", "values", "fuzz"),
    "_compiled/walk": ("same_bits", "alike", "threads", "values", "half", "fuzz"),
    "_compiled/half.h": ("half",),
    "_compiled/storage.h": ("half", "values", "fuzz"),
    "_compiled/optimizers": ("optimizers", *KERNELS),
    "_compiled/capi": ("capi",),
    "_compiled/shards": ("linear_cross_entropy", "distributed"),
    "_compiled/logistic_loss": ("sigmoid_cross_entropy", *LOSSES),
    "_compiled/sigmoid_cross": ("sigmoid_cross_entropy", *LOSSES),
    "_compiled/class_loss": LOSSES,
    "_compiled/cross_entropy": LOSSES,
    "_compiled/index_cross": LOSSES,
    "_compiled/soft_cross": LOSSES,
    "_compiled/softmax_cross": LOSSES,
    "_compiled/squared_error": LOSSES,
    "_compiled/": (*KERNELS, "sample_weight", "threads", "many_classes", "memory"),
    "_numpy/_nets": ("layers", "optimizers", "twin"),
    "_numpy/_shards": ("linear_cross_entropy", "distributed"),
    "_numpy/_optimizers": ("optimizers", "alike", "values", "half", "fuzz"),
    "_numpy/_losses": ("alike", "semantics", "values", "twin", "sample_weight", "sigmoid_cross_entropy",
                       "gradients", "half", "fuzz"),
    "_numpy/": ("alike", "values", "twin", "semantics", "from_input", "gradients", "half", "fuzz"),
    "_arguments": ("refusals", "semantics", "alike", "arrays", "sample_weight", "half", "fuzz"),
    "_blas": ("blas", "layers", "linear_cross_entropy"),
    "_files": ("files", "layers"),
    "_limits": ("threads",),
    "_linear": ("linear_cross_entropy", "layers"),
    "_shards": ("linear_cross_entropy", "distributed"),
    "_epochs": ("estimators", "train", "resume"),
    "_train/": ("train", "resume", "train_ranks"),
    "layers": ("layers", "refusals", "files", "half", "memory"),
    "optimizers": ("optimizers", "refusals", "layers", "resume"),
    "linear": ("linear_cross_entropy", "refusals", "layers"),
    "inputs": ("inputs", "tables", "refusals", "fuzz"),
    "_columns": ("inputs", "tables", "refusals", "fuzz"),
    "tables": ("tables", "files"),
    "_text": ("tables", "train"),
    "estimators": ("estimators",),
    "backend": ("contexts", "semantics", "refusals", "import", "threads"),
    "_context": ("contexts",),
    "distributed/_agreement": ("agreement", "distributed"),
    "distributed/_linear": ("distributed_linear",),
    "distributed/_data": ("data_parallel",),
    "distributed/": ("distributed", "distributed_linear"),
    "adapters/_sklearn_fit": ("adapter_sklearn",),
    "adapters/sklearn": ("adapter_sklearn",),
    "adapters/_patch": ("adapter_sklearn", "adapter_thinc", "adapter_mygrad"),
    "adapters/mygrad": ("adapter_mygrad",),
    "adapters/nnfs": ("adapter_nnfs",),
    "adapters/thinc": ("adapter_thinc",),
    "adapters/zero": ("adapter_zero",),
    "adapters/": ("adapter_autograd",),
}  # fmt: skip
#: Of what `same_bits` holds, what such a file of the kernels computes: seconds instead of a minute.
FIRST = {
    "softmax.pxi": "softmax and not cross or logsumexp",
    "cross_entropy.pxi": "cross_entropy and not softmax and not sigmoid",
    "index_cross": "softmax_cross_entropy",
    "soft_cross": "softmax_cross_entropy",
    "sigmoid_cross": "sigmoid_cross_entropy",
    "logistic": "sigmoid_cross_entropy",
    "class_loss": "cross_entropy",
    "squared_error": "squared_error",
    "optimizers": "update",
    "elementwise": "relu or sigmoid_grad or tanh_grad or identity or elu or hard",
    "bias": "relu or bias_tanh or tanh_backward_bias or bias_elu or elu_backward_bias",
    "gates": "softplus or silu or gelu",
    "gelu": "gelu",
    "tanh": "tanh",
    "elementary": "sigmoid or tanh or softmax or elu",
    "logarithm": "softplus or log or softmax_cross",
    "": "softmax or relu or tanh_backward_bias or squared",
}
CHANGES = (
    (r" \+ ", " - "), (r" - ", " + "), (r" \* ", " / "), (r" / ", " * "), (r" // ", " * "),
    (r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "), (r" % ", " * "),
    (r" == ", " != "), (r" != ", " == "), (r" and ", " or "), (r" or ", " and "), (r" && ", " || "),
    (r" \|\| ", " && "), (r"\bnot ", ""), (r" \+= ", " -= "), (r" -= ", " += "), (r" \*= ", " /= "),
    (r"\bTrue\b", "False"), (r"\bFalse\b", "True"),
    (r"\bmin\(", "max("), (r"\bmax\(", "min("), (r" is None", " is not None"),
    (r" is not None", " is None"),
    (r"\bcontinue\b", "break"), (r"(?<![\w.])0(?![\w.])", "1"), (r"(?<![\w.])1(?![\w.])", "2"),
    (r"(?<![\w.])2(?![\w.])", "3"), (r"(?<![\w.])1\.0\b", "2.0"), (r"(?<![\w.])0\.0\b", "1.0"),
)  # fmt: skip
#: Lines that no test can notice: types, names, declarations, and what only costs time.
LEFT_OUT = re.compile(
    r"^\s*(from|import|cimport|@|def |class |ctypedef|#|template|assert|__)"
    r"|GRAIN|grain|Literal|: Any|TypeVar|fetch|FETCH|FEWEST|CROWDED|TILE_COLUMN|strict=|astype.*copy="
    r"|__builtin_shuffle|QuadPart|\bv(ld1|st1|mla|and|cvt)"  # of other compilers and systems
)


def code_of(path):
    """The text of a file, and the same character for character with strings of underscores and comments
    of spaces."""
    text = path.read_text()
    strings = r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    comments = r"/\*(?:.|\n)*?\*/|//[^\n]*|^\s*#[^\n]*" if path.suffix == ".h" else r"#[^\n]*"
    blank = re.compile(f"(?P<string>{strings})|{comments}", re.MULTILINE)

    def blanked(found):
        return re.sub(r"[^\n]", "_" if found["string"] else " ", found[0])

    return text, blank.sub(blanked, text)


class Change(NamedTuple):
    """What stands from `first` to `last` in a file is replaced."""

    path: Path
    first: int
    last: int
    instead: str

    @property
    def name(self):
        return str(self.path.relative_to(PACKAGE))

    @property
    def line(self):
        return self.path.read_text().count("\n", 0, self.first) + 1

    def applied(self, text):
        return text[: self.first] + self.instead + text[self.last :]

    def __str__(self):
        text = self.path.read_text()
        both = "\n    ".join(line_at(t, self.first) for t in (text, self.applied(text)))
        return f"{self.name}:{self.line}\n    {both}"


def changes_of(path):
    text, code = code_of(path)
    for pattern, instead in CHANGES:
        for found in re.finditer(pattern, code):
            start = text.rfind("\n", 0, found.start()) + 1
            if not LEFT_OUT.search(text[start : text.find("\n", found.start())]):
                yield Change(path, found.start(), found.end(), instead)


def line_at(text, place):
    return text[text.rfind("\n", 0, place) + 1 : text.find("\n", place)].strip()


# ---- changes that are chosen when the kernels run -----------------------------------------------------

CHOICE = "ff_change"
#: Before every source, and where Cython looks for what it may call.
IN_CPP = f"""#pragma once
#include <stdlib.h>
static int chosen() {{ const char *n = getenv("FFKERNELS_CHANGE"); return n ? atoi(n) : 0; }}
static const int {CHOICE} = chosen();
"""
IN_CYTHON = f"cdef extern from * nogil:\n    int {CHOICE}\n\n"

OPEN, CLOSED = "([{", ")]}"
ASSIGNMENT = re.compile(r"(?<![=!<>])=(?!=)")
WORDS = {".h": r"return|else|case", ".pxi": r"return|if|elif|while|else|in"}


def expression(code, change):
    """Where the smallest expression that holds a change begins and ends, in code without strings and
    comments; None where a choice is no expression."""
    cython = change.path.suffix == ".pxi"
    assigns = change.instead.endswith("= ") and change.instead[1] in "+-*/"
    if change.instead == "break" or (cython and assigns):
        return None
    words = WORDS[change.path.suffix]
    before, after = re.compile(rf"(?<!\w)({words})\W$"), re.compile(rf"(?<!\w)({words})(?!\w)")
    in_brackets = sum((c in OPEN) - (c in CLOSED) for c in code[: change.first]) > 0

    def ends(place):
        c = code[place]
        if c == ":":
            return ":" not in (code[place - 1], code[place + 1])
        if c == "=":
            return not assigns and bool(ASSIGNMENT.match(code, place))
        return c in ",;" or (c == "\n" and not in_brackets if cython else c == "?")

    start, depth = change.first, 0
    while start:
        c = code[start - 1]
        if c in CLOSED:
            # What comes after a block or a condition is a statement of its own.
            apart = c == "}" or (c == ")" and re.match(r" +[A-Za-z_]", code[start : start + 9]))
            if depth == 0 and apart and not cython:
                break
            depth += 1
        elif c in OPEN:
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and (ends(start - 1) or before.search(code[max(start - 8, 0) : start + 1])):
            break
        start -= 1
    stop, depth = change.last, 0
    while stop < len(code):
        c = code[stop]
        if c in CLOSED and depth == 0:
            break
        depth += (c in OPEN) - (c in CLOSED)
        if depth == 0 and c not in CLOSED and (ends(stop) or after.match(code, stop)):
            break
        stop += 1
    while code[start].isspace():
        start += 1
    return start, len(code[:stop].rstrip())


def with_choices(path, numbered):
    """The text of a file in which each of these changes is made where its number is chosen, and the
    numbers of those that are not in it."""
    text, code = code_of(path)
    cython, left, whole = path.suffix == ".pxi", [], len(text)
    placed = [(expression(code, change), number, change) for number, change in numbered]
    left += [number for place, number, _ in placed if place is None]
    for (start, stop), number, change in sorted((p for p in placed if p[0]), reverse=True):
        if stop > whole:  # in an expression that has one already
            left.append(number)
            continue
        own = text[start:stop]
        other = text[start : change.first] + change.instead + text[change.last : stop]
        chosen = f"({CHOICE} == {number} ? ({other}) : ({own}))"
        if cython:
            chosen = f"(({other}) if {CHOICE} == {number} else ({own}))"
        text, whole = text[:start] + chosen + text[stop:], start
    return text, left


def tests_for(name):
    for start, tests in TESTS.items():
        if name.startswith(start):
            return tests
    return ()


def stages(name):
    """What is run for a file, the quickest first."""
    tests, compiled = [(f"tests/test_{test}.py",) for test in tests_for(name)], "_compiled/" in name
    if compiled:
        tests = [(*test, "-k", "not numpy") for test in tests]
        if "same_bits" in tests_for(name):
            file = name.partition("/")[2]
            some = next(some for part, some in FIRST.items() if file.startswith(part))
            tests.insert(0, ("tests/test_same_bits.py", "-k", some))
    return tests


class Tree:
    """A copy of the repository in which things are changed."""

    def __init__(self, folder, isa):
        self.folder = Path(folder, "tree")
        shutil.copytree(ROOT, self.folder, ignore=shutil.ignore_patterns(".git", "build", ".*cache"))
        self.environment = os.environ | {
            "PYTHONPATH": str(self.folder / "src"), "FFKERNELS_ISA": isa,
            "CXXFLAGS": f"-DNDEBUG -include {folder}/choice.h", "FFKERNELS_REQUIRE_COMPILED": "1",
        }  # fmt: skip
        Path(folder, "choice.h").write_text(IN_CPP)
        self.edit("setup.py", 'for isa in ("baseline", *X86_64)', f"for isa in ({isa!r},)")
        self.edit("setup.py", '"-O3"', '"-O1"')
        self.edit("src/ffkernels/_compiled/kernels.pyx", 'include "', f'{IN_CYTHON}include "')
        for other in (self.folder / "src/ffkernels/_compiled").glob("*.so"):
            if not other.name.startswith(("cpu", isa)):
                other.unlink()
        self.took = {}

    def edit(self, name, before, after):
        text = (self.folder / name).read_text()
        assert before in text, f"{name} is another than this knows"
        (self.folder / name).write_text(text.replace(before, after, 1))

    def place(self, change):
        return self.folder / change.path.relative_to(ROOT)

    def run(self, command, seconds, **environment):
        """Whether a command succeeds in time; what it says goes to a file."""
        with open(self.folder / "said.txt", "w") as said:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment | environment, start_new_session=True,
                stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False

    def build(self):
        return self.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], 1800)

    def build_choices(self, numbered):
        """Builds the kernels with all of these changes but those that cannot be chosen: returns them."""
        left, paths = set(), {change.path for change in numbered.values()}
        while True:
            for path in paths:
                some = [(n, c) for n, c in numbered.items() if c.path == path and n not in left]
                text, others = with_choices(path, some)
                self.place(next(c for c in numbered.values() if c.path == path)).write_text(text)
                left.update(others)
            if self.build():
                return left
            # What C++ says of Cython's functions names none of their lines.
            of_cython = {n for n, change in numbered.items() if change.path.suffix == ".pxi"}
            refused = self.refused() - left or of_cython - left
            assert refused, (self.folder / "said.txt").read_text()[-3000:]
            left |= refused

    def refused(self):
        """The numbers of the choices at the lines that compilers found fault with."""
        found, said = set(), (self.folder / "said.txt").read_text()
        for file, line in re.findall(r"([\w/.]+\.(?:h|pxi)):(\d+):\d+:?", said):
            lines = (self.folder / "src/ffkernels/_compiled" / Path(file).name).read_text().split("\n")
            near = "\n".join(lines[max(int(line) - 3, 0) : int(line) + 2])
            found.update(map(int, re.findall(rf"{CHOICE} == (\d+)", near)))
        return found

    def restore(self, changes):
        for change in changes:
            self.place(change).write_text(change.path.read_text())

    def keep_kernels(self):
        self.kernels = {
            path: path.read_bytes() for path in self.folder.glob("src/ffkernels/_compiled/*.so")
        }

    def restore_kernels(self):
        for path, content in self.kernels.items():
            path.write_bytes(content)
            os.utime(path, (0, 0))  # older than any source, so that the next change is built

    def passes(self, tests, number=0):
        """Whether tests pass, in ten times the time that they take without a change at most."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        seconds = 60 + 10 * self.took.get(tests, 60)
        return self.run(command, seconds, FFKERNELS_CHANGE=str(number))

    def notice(self, name, number=0):
        """The tests that fail for a file as it now is, if any do."""
        return next((tests for tests in stages(name) if not self.passes(tests, number)), None)

    def check(self, tests):
        """That tests pass without a change."""
        if tests not in self.took:
            begun = time.monotonic()
            assert self.passes(tests), f"without a change {tests} do not pass"
            self.took[tests] = time.monotonic() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--only", default="", help="files in whose path this expression is found")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no other after so many"
    )
    parser.add_argument("--isa", default="avx512", help="which instruction set of the kernels")
    options = parser.parse_args()
    files = [p for p in sorted(PACKAGE.rglob("*")) if p.suffix in (".py", ".pxi", ".h")]
    files = [
        p for p in files
        if tests_for(name := str(p.relative_to(PACKAGE))) and re.search(options.only, name)
    ]  # fmt: skip
    drawn = [change for path in files for change in changes_of(path)]
    drawn = random.Random(options.seed).sample(drawn, min(options.count, len(drawn)))
    numbered = {n: c for n, c in enumerate(drawn, start=1) if c.path.suffix != ".py"}
    start, counts = time.monotonic(), Counter()
    with tempfile.TemporaryDirectory() as folder:
        tree, alone = Tree(folder, options.isa), set()
        if numbered:
            alone = tree.build_choices(numbered)
            print(f"{len(numbered) - len(alone)} changes in one build, {len(alone)} alone", flush=True)
            tree.restore(numbered.values())
            tree.keep_kernels()
        choices = numbered.keys() - alone
        for number, change in sorted(enumerate(drawn, start=1), key=lambda pair: pair[0] in alone):
            if time.monotonic() - start > options.seconds:
                break
            built = True
            if number in choices:
                noticed = tree.notice(change.name, number)
            else:
                tree.place(change).write_text(change.applied(change.path.read_text()))
                built = number not in alone or tree.build()
                noticed = tree.notice(change.name) if built else None
                tree.restore([change])
                if number in alone:
                    tree.restore_kernels()
            if noticed:
                tree.check(noticed)
            outcome = "killed" if noticed else "SURVIVES" if built else "does not compile"
            counts[outcome] += 1
            print(f"{outcome}  {change}", flush=True)
    print(f"{counts['killed']} of {counts['killed'] + counts['SURVIVES']} noticed")


if __name__ == "__main__":
    main()
