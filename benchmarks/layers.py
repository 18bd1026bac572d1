"""
Draw the layers of both packages, as the import contract in ``pyproject.toml`` has them.

    python benchmarks/layers.py            # write docs/explanation/layers.svg
    python benchmarks/layers.py --check    # exit status 1 if that picture is not the contract's

Modules side by side are one layer: none of them imports another.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "explanation" / "layers.svg"
PACKAGES = ("sfm", "minimateplus")
"""From top to bottom: the relay stands on the instrument library."""
WIDTH, ROW, MARGIN, GAP = 640, 30, 12, 6


def layers_of(contract: dict[str, Any], package: str) -> list[list[str]]:
    """Return the modules of each layer of a package, the top layer first."""
    for one in contract["contracts"]:
        if one["type"] == "layers" and one["containers"] == [package]:
            return [[name.strip() for name in row.split("|")] for row in one["layers"]]
    raise ValueError(f"pyproject.toml: no contract of layers for {package}")


def draw(root: Path) -> str:
    """Return the picture of the contract of that tree, as SVG."""
    with (root / "pyproject.toml").open("rb") as file:
        contract = tomllib.load(file)["tool"]["importlinter"]
    rows, y = [], MARGIN
    for package in PACKAGES:
        rows.append(f'<text x="{MARGIN}" y="{y + 16}" class="package">{package}</text>')
        y += ROW
        for number, layer in enumerate(layers_of(contract, package)):
            width = (WIDTH - 2 * MARGIN - GAP * (len(layer) - 1)) / len(layer)
            for place, module in enumerate(layer):
                x = MARGIN + place * (width + GAP)
                rows.append(
                    f'<rect x="{x:g}" y="{y}" width="{width:g}" height="{ROW - GAP}" '
                    f'class="{"even" if number % 2 else "odd"}"/>'
                )
                rows.append(f'<text x="{x + 8:g}" y="{y + 17}">{module}</text>')
            y += ROW
        y += MARGIN
    style = (
        "text{font:13px sans-serif;fill:#1b1f24}.package{font-weight:bold;font-size:15px}"
        "rect{stroke:#8a94a0}.odd{fill:#eef2f6}.even{fill:#dfe7ee}"
    )
    title = "Layers of seismo-relay: each may import those below it, and none above"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img">',
            f"<title>{title}</title>",
            f"<style>{style}</style>",
            f'<rect width="{WIDTH}" height="{y}" style="fill:#fff;stroke:none"/>',
            *rows,
            "</svg>",
            "",
        ]
    )


def main() -> int:
    """Write the picture, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree whose contract is meant")
    given = parser.parse_args()
    picture = draw(given.root)
    path = given.root / PICTURE.relative_to(ROOT)
    if given.check:
        is_same = path.read_text(encoding="utf-8") == picture
        if not is_same:
            print(f"{path}: differs from pyproject.toml; run python benchmarks/layers.py")
        return not is_same
    path.parent.mkdir(exist_ok=True)
    path.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
