#!/usr/bin/env bash
# Which lines the suite runs: of Python by coverage, of the kernels by gcov, on one instruction set.
#
#     tests/coverage.sh [ISA [TESTS...]]
set -euo pipefail
cd "$(dirname "$0")/.."

isa=${1:-avx512}
tests=("${@:2}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r CONTRIBUTING.md CHANGELOG.md LICENSE .ci pyproject.toml setup.py README.md docs src tests bench "$work"
cd "$work"
rm -f src/ffkernels/_compiled/*.so

# One instruction set, with few optimisations, so that lines are still lines.
sed -i "s/for isa in (\"baseline\", \*X86_64)/for isa in (\"$isa\",)/; s/\"-O3\"/\"-O1\"/; s/\"-g0\"/\"-g\", \"--coverage\"/" setup.py
grep -q "(\"$isa\",)" setup.py
sed -i "s/cythonize(\[extension\], /cythonize([extension], emit_linenums=True, /" setup.py
grep -q "emit_linenums" setup.py
export FFKERNELS_ISA=$isa FFKERNELS_REQUIRE_COMPILED=1 PYTHONPATH=$work/src LDFLAGS="--coverage ${LDFLAGS:-}"
python setup.py -q build_ext --inplace
[ -n "$(find build -name '*.gcno')" ] # else there is nothing that counts

# With the processes that tests start, ranks of MPI among them.
cat >.coveragerc <<CONFIGURATION
[run]
source = ffkernels
parallel = true
patch = subprocess, _exit
data_file = $work/.coverage
CONFIGURATION
python -m coverage run -m pytest "${tests[@]}" || true
python -m coverage combine -q
python -m coverage report --skip-covered --show-missing

echo
echo "kernels ($isa): lines that ran, and of each file those that did not"
find build -name '*.gcda' -exec gcov -r -s "$work" -p -j -t {} + 2>/dev/null | python tests/gcov_lines.py
