"""The words that the project has given up for standard ones appear nowhere again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("minimateplus", "sfm", "webapp/src", "docs", "benchmarks", "tests")
FILES = ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")
SUFFIXES = {".py", ".md", ".ts", ".tsx", ".css", ".js", ".toml", ".txt"}

RETIRED = {
    "allowance": "token bucket",
    "boarded": "joined",
    "boarding": "late join",
    "boards": "joins",
    "conversation": "session",
    "conversations": "sessions",
    "converse": "exchange",
    "departures": "reads",
    "door": "authentication",
    "doors": "late join",
    "flights": "shared reads",
    "floors": "layers",
    "guests": "layers",
    "he": "the reader, the client",
    "him": "the reader, the client",
    "his": "the reader's, the client's",
    "keeper": "store service",
    "keepers": "store service",
    "neighbourhood": "rate-limit key",
    "rivals": "peers",
    "road": "link",
    "roads": "links",
    "said": "returned, sent, reported",
    "saying": "sending",
    "talk": "session, exchange",
    "talking": "session, exchange",
    "talks": "session, exchange",
    "told": "reported, last returned",
    "unheard": "wait_for_reply=false",
    "upkeep": "maintenance",
    "vouched": "valid",
    "vouches": "is valid",
    "whoever": "the client, the reader",
}
"""Each with its standard word. They are met as words and as parts of names."""

ALLOWED = {
    "tests/docs/test_words.py": "lists them",
    "benchmarks/structure.py": "measures older trees too",
    "tests/proofs/simulation/answer_trace.py": "translates the names of an older tree",
    "tests/proofs/simulation/test_answer_trace.py": "the same",
    "tests/proofs/simulation/answers_before_layout.txt": "hashes",
}
HISTORY = ("docs/decisions/", "tests/proofs/fuzz/corpus/", "webapp/src/api/schema.d.ts")
"""Decisions keep the words of their day; the others are recorded or generated."""

PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def retired(text: str) -> Iterator[str]:
    """Yield each line with a retired word, its number before it and the standard word after it."""
    for number, line in enumerate(text.splitlines(), 1):
        for part in PART.findall(line):
            if part.lower() in RETIRED:
                yield f"{number}: {part}, use {RETIRED[part.lower()]}: {line.strip()[:80]}"


def sources() -> Iterator[Path]:
    for place in PLACES:
        yield from (p for p in (ROOT / place).rglob("*") if p.suffix in SUFFIXES)
    yield from (ROOT / name for name in FILES)


def test_no_retired_word_is_used() -> None:
    found = [
        f"{name}:{line}"
        for path in sources()
        if (name := path.relative_to(ROOT).as_posix()) not in ALLOWED
        and not name.startswith(HISTORY)
        and "/web/" not in f"/{name}"
        for line in retired(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "the road to the unit",
        "class DeadRoad(FaultyLink):",
        "told_list = 1",
        "const whoever = 3;",
        "MAX_TALKS = 2",
    ],
)
def test_a_retired_word_is_found_in_prose_and_in_names(line: str) -> None:
    assert len(list(retired(line))) == 1


@pytest.mark.parametrize("line", ["broadcast", "the theme", "a board", "Math.floor(x)", "this"])
def test_other_words_that_contain_one_are_not(line: str) -> None:
    assert list(retired(line)) == []
