from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimateplus.errors import LocalProtocolError
from minimateplus.wire import commands, protocol_state
from minimateplus.wire.commands import ARM, COMMANDS, NO_PARAMS, token_params
from minimateplus.wire.framing import Frame
from minimateplus.wire.protocol_state import TRANSITIONS, ProtocolState, State, input_of

ASLEEP, READY, VISITED, ARMED, READING = State

# Written down once more, from the fact sheet and not from the code: the states in which each word
# may be sent, and where it leads. A command without a row is under "other".
MATRIX: dict[str, dict[State, State]] = {
    "5B": {ASLEEP: READY, READY: READY, VISITED: VISITED, ARMED: ARMED, READING: READING},
    "1E": {READY: READY, VISITED: READY, ARMED: READY, READING: READY},
    "1E+FE": {VISITED: ARMED, ARMED: ARMED, READING: ARMED},
    "0A": {READY: VISITED, VISITED: VISITED, ARMED: VISITED, READING: VISITED},
    "0C": {VISITED: VISITED, ARMED: ARMED, READING: READING},
    "1F": {VISITED: VISITED, ARMED: ARMED, READING: READING},
    "5A": {ARMED: READING, READING: READING},
    "other": {READY: READY, VISITED: VISITED, ARMED: ARMED, READING: READING},
}
OTHERS = [f"{sub:02X}" for sub in (0x01, 0x06, 0x08, 0x15, 0x1A, 0x1C, 0x96, 0x97, 0xA3, 0x00)]
WORDS = [word for word in MATRIX if word != "other"] + OTHERS
CELLS = [(word, state) for word in WORDS for state in State]


def request(word: str) -> Frame:
    sub, _, token = word.partition("+")
    return Frame(int(sub, 16), 0, token_params(ARM) if token else NO_PARAMS, b"")


def standing(state: State) -> ProtocolState:
    run = ProtocolState()
    run.state = state
    return run


@pytest.mark.parametrize(("word", "state"), CELLS, ids=[f"{w} in {s.name}" for w, s in CELLS])
def test_each_word_leads_where_the_matrix_says_or_is_refused(word: str, state: State) -> None:
    leads_to = MATRIX.get(word, MATRIX["other"]).get(state)
    run = standing(state)
    assert run.allows(request(word)) is (leads_to is not None)
    if leads_to is None:
        with pytest.raises(LocalProtocolError, match=re.escape(word)):
            run.accept(request(word))
        assert run.state is state, "a command that was refused was not sent"
    else:
        run.accept(request(word))
        assert run.state is leads_to


def test_the_picture_is_the_table_cell_by_cell() -> None:
    doc = protocol_state.__doc__ or ""
    lines = [line.split() for line in doc.splitlines()]
    head = next(at for at, cells in enumerate(lines) if cells == [state.name for state in State])
    drawn: dict[str, dict[State, State]] = {}
    for word, *cells in lines[head + 1 : head + 1 + len(MATRIX)]:
        assert len(cells) == len(State)
        drawn[word] = {
            state: State[cell] for state, cell in zip(State, cells, strict=True) if cell != "."
        }
    assert drawn == {**TRANSITIONS, "other": protocol_state._ANYTHING_ELSE}


def test_the_arrows_of_the_picture_are_in_the_table() -> None:
    doc = protocol_state.__doc__ or ""
    arrows = re.findall(r"(?=\b([A-Z]+) ──([0-9A-F+]+)──▶ ([A-Z]+))", doc)
    assert [arrow[1] for arrow in arrows] == ["5B", "0A", "1E+FE", "5A", "5A"]
    for start, word, end in arrows:
        assert TRANSITIONS[word][State[start]] is State[end]


def test_every_word_of_the_table_is_a_command() -> None:
    assert {request(word).sub for word in TRANSITIONS} <= set(COMMANDS)
    assert all(input_of(request(word)) == word for word in TRANSITIONS)


def test_the_token_is_a_word_of_its_own_only_with_1e() -> None:
    armed = token_params(ARM)
    assert input_of(Frame(0x1E, 0, armed, b"")) == "1E+FE"
    assert input_of(Frame(0x1E, 8, armed, b"")) == "1E+FE"
    assert input_of(Frame(0x1E, 0, token_params(0x64), b"")) == "1E"
    assert input_of(Frame(0x1E, 0, bytes(6) + b"\xfe" + bytes(3), b"")) == "1E"
    assert input_of(Frame(0x1F, 0, armed, b"")) == "1F"


@pytest.mark.parametrize("sub", sorted(set(COMMANDS) - {commands.POLL.sub}))
def test_nothing_is_sent_before_poll(sub: int) -> None:
    with pytest.raises(LocalProtocolError, match="ASLEEP"):
        ProtocolState().accept(Frame(sub, 0, NO_PARAMS, b""))


@pytest.mark.parametrize("word", ["0C", "1F", "1E+FE", "5A"])
def test_nothing_of_a_record_is_asked_before_0a_visited_it(word: str) -> None:
    run = ProtocolState()
    run.accept(request("5B"))
    with pytest.raises(LocalProtocolError, match="READY"):
        run.accept(request(word))


def test_the_captured_download_is_allowed_word_by_word() -> None:
    # protocol.md section 5, event download, final order of v0.14.3.
    run = ProtocolState()
    for word in ("5B", "5B", "15", "15", "1E", "1E"):
        run.accept(request(word))
    for _ in range(2):
        for word in ("0A", "0A", "1E+FE", "1E+FE", "0C", "0C", "1F", *["5B"] * 6, "5A", "5A", "1F"):
            run.accept(request(word))
    assert run.state is READING


@pytest.mark.parametrize("state", [ARMED, READING])
@pytest.mark.parametrize("word", ["0A", "1E"])
def test_a_later_0a_or_a_walk_started_again_disarms(state: State, word: str) -> None:
    run = standing(state)
    run.accept(request(word))
    with pytest.raises(LocalProtocolError, match="5A is allowed in ARMED, READING"):
        run.accept(request("5A"))


@given(st.lists(st.sampled_from(WORDS)))
def test_two_machines_that_hear_the_same_words_stand_alike(words: list[str]) -> None:
    client, unit = ProtocolState(), ProtocolState()
    for word in words:
        if client.allows(request(word)):
            client.accept(request(word))
            assert unit.allows(request(word))
            unit.accept(request(word))
        assert client.state is unit.state
