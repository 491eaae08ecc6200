"""Sums up gcov's JSON on standard input for coverage.sh: of each file the lines that did not run.

A line of a template counts as run where one of its instances ran.
"""

import json
import sys
from collections import defaultdict

runs = defaultdict(lambda: defaultdict(int))
for report in sys.stdin:
    for file in json.loads(report)["files"]:
        if "_compiled/" in file["file"] and not file["file"].endswith((".c", ".cpp")):
            for line in file["lines"]:
                runs[file["file"].rpartition("_compiled/")[2]][line["line_number"]] += line["count"]
total = ran = 0
for name, lines in sorted(runs.items()):
    missed = sorted(number for number, count in lines.items() if not count)
    total, ran = total + len(lines), ran + len(lines) - len(missed)
    print(f"{name:24} {len(lines) - len(missed):5} of {len(lines):5}  {', '.join(map(str, missed))}")
print(f"{'together':24} {ran:5} of {total:5}  {100 * ran / max(total, 1):.1f} %")
