"""
Run benchmarks of this tree and of an older one in turns, and print the ratios of their figures.

The method. Each script runs in both trees, one after the other, as often as asked. A row is what
its line says before the first number; its figures are the numbers of that line, and a row of the
same name with more or fewer of them is one of another table. The ratio of the medians is printed,
now to before; which direction is better the script's own table says. Both trees use the packages of
the Python that runs this.

    python benchmarks/compare.py OLD_TREE bench_codec.py bench_http.py --times 5

What a row is called today and was called then: ``--renamed held_events=events_entry``.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parents[1]
FIGURE = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w.])")

Figures = dict[tuple[str, int], list[list[float]]]
"""The figures of each row, by its name and their number, run by run."""


def run(tree: Path, script: str, figures: Figures, renamed: dict[str, str]) -> None:
    """Run a script in its tree and add the figures of its rows, by what they are called today."""
    path = os.pathsep.join(map(str, (tree, tree / "tests")))
    done = subprocess.run(
        [sys.executable, str(tree / "benchmarks" / script)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        cells = FIGURE.findall(line)
        first = FIGURE.search(line)
        row = "" if first is None else line[: first.start()].strip(" |")
        for then, today in renamed.items():
            row = row.replace(then, today)
        if row and not row.isdigit():
            figures[row, len(cells)].append([float(cell.replace(",", "")) for cell in cells])


def ratios(before: list[list[float]], now: list[list[float]]) -> list[float]:
    """Return the ratio of each figure's medians, where there was one."""
    pairs = zip(zip(*before, strict=True), zip(*now, strict=True), strict=True)
    medians = [(statistics.median(old), statistics.median(new)) for old, new in pairs]
    return [new / old for old, new in medians if old]


def main() -> None:
    """Print a table for each script."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("old", type=Path)
    words.add_argument("scripts", nargs="+")
    words.add_argument("--times", type=int, default=5)
    words.add_argument("--renamed", action="append", default=[], metavar="THEN=TODAY")
    given = words.parse_args()
    renamed = dict(pair.split("=", 1) for pair in given.renamed)
    for script in given.scripts:
        before: Figures = defaultdict(list)
        now: Figures = defaultdict(list)
        for _ in range(given.times):
            run(given.old.resolve(), script, before, renamed)
            run(HERE, script, now, {})
        print(f"\n{script}, {given.times} runs of each in turns\n| row | now / before |\n|---|---|")
        for row, figures in now.items():
            found = ratios(before[row], figures) if row in before else []
            if found:
                print(f"| {row[0]} | {', '.join(f'{ratio:.2f}' for ratio in found)} |", flush=True)


if __name__ == "__main__":
    main()
