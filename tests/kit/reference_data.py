"""
Reference data beside the repository: printed values of standards, exports by the vendor's program.

They are not part of the project (their licences differ), so tests read them where they are. Where
they are missing, the tests that need them are skipped with that reason.
"""

from __future__ import annotations

from pathlib import Path

from kit.peers import lack

FOLDER = Path(__file__).parents[2].parent / "shared" / "data"


def reference(name: str) -> Path:
    """Return the path of a file of reference data; skip the test where it is missing."""
    path = FOLDER / name
    if not path.exists():
        lack(f"../shared/data/{name} is not here")
    return path
