"""The code blocks of the documentation's pages, and which of them are not run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"^(?:\*For you to run; our tests skip it, because it needs (?P<needs>[^\n]+)\.\*\n\n)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str
    needs: str | None
    """What it needs that is not here; ``None``: a test runs it."""


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks in their order."""
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(name, found["language"], found["text"], found["needs"])
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def block(page: str, language: str, number: int = 0) -> str:
    """Return the text of a page's block of a language that is run."""
    found = [b for b in blocks_of(ROOT / page) if b.language == language and b.needs is None]
    return found[number].text
