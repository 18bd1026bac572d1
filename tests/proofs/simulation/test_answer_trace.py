from __future__ import annotations

from pathlib import Path

import pytest
from answer_trace import hash_of, plain, trace
from mutations import MUTATIONS, Mutation, planted

RECORDED = Path(__file__).with_name("answers_before_layout.txt")
PLANTED = [mutation for mutation in MUTATIONS if mutation.grain == "record"][:6]


def test_the_trace_of_a_world_is_repeatable() -> None:
    for seed in range(6):
        assert hash_of("record", seed) == hash_of("record", seed)


def test_every_world_of_a_trace_has_a_hash_of_its_own() -> None:
    hashes = [line.split()[2] for line in RECORDED.read_text().splitlines()]
    assert len(set(hashes)) == len(hashes) == 1000


def test_a_trace_has_every_reader_who_received_an_answer() -> None:
    answers, _ = trace("record", 0)
    readers = [answer[0] for answer in answers]
    assert len(set(readers)) == len(readers) == 6


@pytest.mark.parametrize("mutation", PLANTED, ids=lambda mutation: mutation.name)
def test_a_planted_fault_changes_the_trace_of_the_world_that_catches_it(
    mutation: Mutation,
) -> None:
    sound = hash_of("record", mutation.found)
    with planted(mutation):
        assert hash_of("record", mutation.found) != sound


def test_a_changed_value_changes_the_trace_and_a_renamed_one_does_not() -> None:
    assert plain({"valid_samples": [1, 2]}) == plain({"vouched": [1, 2]})
    assert plain({"valid_samples": [1, 2]}) != plain({"valid_samples": [1, 3]})
