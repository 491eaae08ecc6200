"""Whether the tests notice: `python tests/mutate.py --seed 0 --count 40 --only layers`.

An operator, a comparison, a constant or a word of some line of code is changed, drawn by the seed, in a
copy of the tree; of the kernels one instruction set is built anew; and the tests that there are for that
file must fail, or take ten times as long as they do.  A change that they all pass is a survivor.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ("alike", "values", "semantics", "gradients", "same_bits", "fuzz")
#: The tests for files, by the beginning of their path in the package; the first that fits.
TESTS = {
    "_compiled/threads.h": ("threads", "values"),
    "_compiled/blocks": ("threads", "values", "fuzz"),
    "_compiled/walk": ("alike", "threads", "values", "fuzz"),
    "_compiled/optimizers": ("optimizers", *KERNELS),
    "_compiled/capi": ("capi",),
    "_compiled/shards": ("twin", "alike"),
    "_compiled/": (*KERNELS, "threads", "many_classes", "memory"),
    "_numpy/_nets": ("layers", "optimizers", "twin"),
    "_numpy/_shards": ("twin", "alike"),
    "_numpy/": ("twin", "values", "semantics", "alike", "gradients", "fuzz"),
    "_arguments": ("refusals", "semantics", "fuzz", "arrays", "alike"),
    "_blas": ("blas", "layers", "linear_cross_entropy"),
    "_files": ("files", "layers"),
    "layers": ("layers", "refusals", "files", "memory"),
    "optimizers": ("optimizers", "refusals", "layers"),
    "linear": ("linear_cross_entropy", "refusals", "layers"),
    "inputs": ("inputs", "tables", "refusals", "fuzz"),
    "_columns": ("inputs", "tables", "refusals", "fuzz"),
    "tables": ("tables", "files"),
    "_text": ("tables", "train"),
    "estimators": ("estimators",),
    "backend": ("contexts", "semantics", "refusals", "import", "threads"),
    "_context": ("contexts",),
    "adapters/_sklearn_fit": ("adapter_sklearn",),
    "adapters/sklearn": ("adapter_sklearn",),
    "adapters/thinc": ("adapter_thinc",),
    "adapters/zero": ("adapter_zero",),
    "adapters/": ("adapter_autograd",),
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
    r"|GRAIN|grain|Literal|: Any|TypeVar|prefetch"
)


def code_of(path):
    """The text of a file with strings and comments blanked, character for character."""
    text = path.read_text()
    kinds = [r'"""(?:.|\n)*?"""', r'"(?:\\.|[^"\\\n])*"', r"'(?:\\.|[^'\\\n])*'"]
    kinds += [r"/\*(?:.|\n)*?\*/", r"//[^\n]*", r"^\s*#[^\n]*"] if path.suffix == ".h" else [r"#[^\n]*"]
    blank = re.compile("|".join(kinds), re.MULTILINE)
    return text, blank.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def mutants(path):
    """Every change to a file: its line, what stands there and what instead, and the text with it."""
    text, code = code_of(path)
    for pattern, instead in CHANGES:
        for found in re.finditer(pattern, code):
            start = text.rfind("\n", 0, found.start()) + 1
            line = text[start : text.find("\n", found.start())]
            if not LEFT_OUT.search(line):
                changed = text[: found.start()] + instead + text[found.end() :]
                after = changed[start : changed.find("\n", found.start())]
                yield text.count("\n", 0, start) + 1, line.strip(), after.strip(), changed


def tests_for(name):
    for start, tests in TESTS.items():
        if name.startswith(start):
            return [f"tests/test_{test}.py" for test in tests]
    return []


class Tree:
    """A copy of the repository in which things are changed."""

    def __init__(self, folder, isa):
        self.folder = Path(folder, "tree")
        shutil.copytree(ROOT, self.folder, ignore=shutil.ignore_patterns(".git", "build", ".*cache"))
        self.environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "FFKERNELS_ISA": isa}
        setup = self.folder / "setup.py"
        text = setup.read_text()
        one = text.replace('for isa in ("baseline", *X86_64)', f"for isa in ({isa!r},)").replace(
            '"-O3"', '"-O1"'
        )
        assert one.count(f"({isa!r},)") == 1 and '"-O1"' in one, "setup.py is another than this knows"
        setup.write_text(one)
        for other in (self.folder / "src/ffkernels/_compiled").glob("*.so"):
            if not other.name.startswith(("cpu", isa)):
                other.unlink()

    def run(self, command, seconds):
        """Whether a command succeeds in time."""
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False

    def build(self):
        return self.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], 1800)

    def keep_kernels(self):
        self.kernels = {
            path: path.read_bytes() for path in self.folder.glob("src/ffkernels/_compiled/*.so")
        }

    def restore_kernels(self):
        for path, content in self.kernels.items():
            path.write_bytes(content)
            os.utime(path, (0, 0))  # older than any source, so that the next change is built

    def passes(self, tests, seconds=3600):
        return self.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests], seconds
        )


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
    package = ROOT / "src/ffkernels"
    files = [p for p in sorted(package.rglob("*")) if p.suffix in (".py", ".pxi", ".pyx", ".h")]
    files = [
        p for p in files if re.search(options.only, str(p)) and tests_for(str(p.relative_to(package)))
    ]
    drawn = [(path, mutant) for path in files for mutant in mutants(path)]
    drawn = random.Random(options.seed).sample(drawn, min(options.count, len(drawn)))
    killed, survivors, start, took = 0, [], time.monotonic(), {}
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(folder, options.isa)
        if any("_compiled" in str(path) for path, _ in drawn):
            assert tree.build(), "the kernels do not build"
            tree.keep_kernels()
        for path, (line, before, after, text) in drawn:
            if time.monotonic() - start > options.seconds:
                break
            name = str(path.relative_to(package))
            tests, compiled = tests_for(name), "_compiled" in name
            if tuple(tests) not in took:
                begun = time.monotonic()
                assert tree.passes(tests), f"without a change, {tests} do not pass"
                took[tuple(tests)] = time.monotonic() - begun
            target = tree.folder / path.relative_to(ROOT)
            kept = target.read_text()
            target.write_text(text)
            noticed = compiled and not tree.build()
            noticed = noticed or not tree.passes(tests, 60 + 10 * took[tuple(tests)])
            target.write_text(kept)
            killed += noticed
            print(
                f"{'killed' if noticed else 'SURVIVES'}  {name}:{line}\n    {before}\n    {after}",
                flush=True,
            )
            if not noticed:
                survivors.append((name, line))
            if compiled:
                tree.restore_kernels()
    print(f"{killed} of {killed + len(survivors)} noticed; not {survivors}")


if __name__ == "__main__":
    main()
