"""
Adds to the bill of materials which package needs which, from the comments of the lock.

``python bill_of_materials.py LOCK BILL`` rewrites BILL, a CycloneDX document that cyclonedx-py made
of LOCK: it reads no ``# via`` comments, and leaves a list in which the program needs nothing.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

__all__ = ["complete", "needs_of"]

PROGRAM = "seismo-relay"
_PIN = re.compile(r"([A-Za-z0-9._-]+)==")
_VIA = re.compile(r"    #   (?:via )?([a-z][A-Za-z0-9._-]*)")
_VIA_ALONE = re.compile(r"    # via ([a-z][A-Za-z0-9._-]*)")


def needs_of(lock: str) -> dict[str, set[str]]:
    """Return which packages each package of a lock needs; ``PROGRAM`` is one of them."""
    needs: dict[str, set[str]] = {PROGRAM: set()}
    package = ""
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            package = pin[1]
            needs.setdefault(package, set())
        elif via := _VIA.match(line) or _VIA_ALONE.match(line):
            needs.setdefault(via[1], set()).add(package)
    return needs


def complete(bill: dict[str, Any], needs: dict[str, set[str]]) -> None:
    """
    Write into a bill what each of its packages needs.

    Raises:
        KeyError: the bill lacks a package of the lock.
    """
    refs: dict[str, list[str]] = {PROGRAM: [bill["metadata"]["component"]["bom-ref"]]}
    for one in bill["components"]:
        refs.setdefault(one["name"], []).append(one["bom-ref"])
    bill["dependencies"] = [
        {"ref": ref, "dependsOn": sorted(each for name in wanted for each in refs[name])}
        for package, wanted in sorted(needs.items())
        for ref in refs[package]
    ]


def main() -> None:
    """Rewrite the bill named on the command line."""
    lock, path = map(Path, sys.argv[1:])
    bill = json.loads(path.read_text("utf-8"))
    complete(bill, needs_of(lock.read_text("utf-8")))
    path.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
