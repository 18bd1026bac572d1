"""The kept corpus, replayed: whatever once took a fuzzer to a new place is judged in each run."""

from __future__ import annotations

from pathlib import Path

import pytest
from targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
MAX_CUTS = 20
MAX_BYTES = 100_000
"""Of all files together: the corpus is kept minimised."""


def kept(target: str) -> list[Path]:
    return sorted((CORPUS / target).iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzer_found_holds_every_property(target: str) -> None:
    files = kept(target)
    assert len(files) >= 10
    for file in files:
        try:
            TARGETS[target](file.read_bytes())
        except Exception as error:
            error.add_note(f"with {file}")
            raise


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzer_found_cut_anywhere_holds_every_property_too(target: str) -> None:
    for file in kept(target):
        data = file.read_bytes()
        cuts = {*range(min(len(data), MAX_CUTS)), *range(0, len(data), 1 + len(data) // MAX_CUTS)}
        for cut in sorted(cuts):
            try:
                TARGETS[target](data[:cut])
            except Exception as error:
                error.add_note(f"with the first {cut} bytes of {file}")
                raise


def test_the_corpus_is_of_these_targets_and_small() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert sum(file.stat().st_size for name in TARGETS for file in kept(name)) <= MAX_BYTES
