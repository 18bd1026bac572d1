"""
Who may say what next.

The rule: a unit remembers where its record cursor stands, and answers some commands rightly only
from some places. The table below is that memory. A client asks it before it sends, so it never
sends what a unit would ignore or answer wrongly; a simulated unit asks the same table to be as
strict.

::

    ASLEEP ──5B──▶ READY ──0A──▶ VISITED ──1E+FE──▶ ARMED ──5A──▶ READING ──5A──▶ READING

A row is what is said, a column where it is said, a cell where it leads; a dot is refused. A test
holds this picture against ``TRANSITIONS``, cell by cell::

             ASLEEP   READY    VISITED  ARMED    READING
    5B       READY    READY    VISITED  ARMED    READING
    1E       .        READY    READY    READY    READY
    1E+FE    .        .        ARMED    ARMED    ARMED
    0A       .        VISITED  VISITED  VISITED  VISITED
    0C       .        .        VISITED  ARMED    READING
    1F       .        .        VISITED  ARMED    READING
    5A       .        .        .        READING  READING
    other    .        READY    VISITED  ARMED    READING

From VISITED, ARMED and READING the cursor is on a record: 0C and 1F speak of it. A walk restarted
with a plain 1E leaves the cursor nowhere: READY. A later 0A visits another record and disarms.

Evidence: 1F answers correctly only when 0A or 0C visited the present key [C 2026-03-31]; 0A must
precede 0C [C]; 5A is ignored until 1E with FE was sent between 0A and 0C [C 2026-04-06].
Our reading [I]: a plain 1E drops the cursor, and a unit asleep answers nothing but POLL (5B).
"""

from __future__ import annotations

from enum import Enum, auto

from minimateplus.errors import LocalProtocolError
from minimateplus.wire import commands
from minimateplus.wire.commands import ARM
from minimateplus.wire.framing import Frame

__all__ = [
    "TOKEN_PLACE",
    "TRANSITIONS",
    "Input",
    "ProtocolState",
    "State",
    "input_of",
]

TOKEN_PLACE = 7


class State(Enum):
    """Where a unit's record cursor stands."""

    ASLEEP = auto()
    READY = auto()
    VISITED = auto()
    ARMED = auto()
    READING = auto()


_AWAKE = (State.READY, State.VISITED, State.ARMED, State.READING)
_ON_RECORD = (State.VISITED, State.ARMED, State.READING)

Input = str
"""What is said: the SUB, with ``+FE`` where the token changes its meaning."""

_FIRST = f"{commands.FIRST_EVENT.sub:02X}"
_ARM = f"{_FIRST}+FE"
_HEADER = f"{commands.RECORD_HEADER.sub:02X}"
_RECORD = f"{commands.WAVEFORM_RECORD.sub:02X}"
_NEXT = f"{commands.NEXT_EVENT.sub:02X}"
_BULK = f"{commands.BULK_READ.sub:02X}"
_POLL = f"{commands.POLL.sub:02X}"

TRANSITIONS: dict[Input, dict[State, State]] = {
    _POLL: {State.ASLEEP: State.READY} | {state: state for state in _AWAKE},
    _FIRST: dict.fromkeys(_AWAKE, State.READY),
    _ARM: dict.fromkeys(_ON_RECORD, State.ARMED),
    _HEADER: dict.fromkeys(_AWAKE, State.VISITED),
    _RECORD: {state: state for state in _ON_RECORD},
    _NEXT: {state: state for state in _ON_RECORD},
    _BULK: dict.fromkeys((State.ARMED, State.READING), State.READING),
}
"""For each word, the states in which it may be said and where it leads."""

_ANYTHING_ELSE = {state: state for state in _AWAKE}


def input_of(request: Frame) -> Input:
    """Return how the table names a request."""
    armed = request.sub == commands.FIRST_EVENT.sub and request.params[TOKEN_PLACE] == ARM
    return _ARM if armed else f"{request.sub:02X}"


class ProtocolState:
    """The state of one conversation, on either side of it. Lives as long as the link."""

    def __init__(self) -> None:
        self.state = State.ASLEEP

    def allows(self, request: Frame) -> bool:
        """Return whether a unit in this state answers ``request`` rightly."""
        return self.state in TRANSITIONS.get(input_of(request), _ANYTHING_ELSE)

    def accept(self, request: Frame) -> None:
        """
        Note that ``request`` is said.

        Raises:
            LocalProtocolError: the table has no such word in this state.
        """
        word = input_of(request)
        table = TRANSITIONS.get(word, _ANYTHING_ELSE)
        if self.state not in table:
            allowed = ", ".join(state.name for state in table)
            raise LocalProtocolError(f"{word} may be said in {allowed}; this is {self.state.name}")
        self.state = table[self.state]
