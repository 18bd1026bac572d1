"""
The protocol's state machine: which request a unit answers correctly in which state.

The rule: a unit has one record cursor, and answers some requests correctly only at some positions
of it. The table below models this. A client checks a request against it before sending, so it never
sends one that a unit would ignore or answer wrongly; a simulated unit uses the same table to be as
strict.

::

    ASLEEP ──5B──▶ READY ──0A──▶ VISITED ──1E+FE──▶ ARMED ──5A──▶ READING ──5A──▶ READING

A row is a request, a column the state in which it is sent, a cell the next state; a dot is not
allowed. A test compares this picture with ``TRANSITIONS``, cell by cell::

             ASLEEP   READY    VISITED  ARMED    READING
    5B       READY    READY    VISITED  ARMED    READING
    1E       .        READY    READY    READY    READY
    1E+FE    .        .        ARMED    ARMED    ARMED
    0A       .        VISITED  VISITED  VISITED  VISITED
    0C       .        .        VISITED  ARMED    READING
    1F       .        .        VISITED  ARMED    READING
    5A       .        .        .        READING  READING
    other    .        READY    VISITED  ARMED    READING

From VISITED, ARMED and READING the cursor is on a record, which 0C and 1F refer to. A walk that
restarts with a plain 1E leaves the cursor on none: READY. A later 0A visits another record and
disarms.

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
    """The position of a unit's record cursor, and what it is prepared for."""

    ASLEEP = auto()
    READY = auto()
    VISITED = auto()
    ARMED = auto()
    READING = auto()


_AWAKE = (State.READY, State.VISITED, State.ARMED, State.READING)
_ON_RECORD = (State.VISITED, State.ARMED, State.READING)

Input = str
"""A request, as the table names it: the SUB, with ``+FE`` where the token changes its meaning."""

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
"""For each input, the states in which it is allowed, and the state after it."""

_ANYTHING_ELSE = {state: state for state in _AWAKE}


def input_of(request: Frame) -> Input:
    """Return the table's name of a request."""
    armed = request.sub == commands.FIRST_EVENT.sub and request.params[TOKEN_PLACE] == ARM
    return _ARM if armed else f"{request.sub:02X}"


class ProtocolState:
    """The state of one session, on either side of it. Lives as long as the link."""

    def __init__(self) -> None:
        self.state = State.ASLEEP

    def allows(self, request: Frame) -> bool:
        """Return whether a unit in this state answers ``request`` correctly."""
        return self.state in TRANSITIONS.get(input_of(request), _ANYTHING_ELSE)

    def accept(self, request: Frame) -> None:
        """
        Move to the state after ``request``.

        Raises:
            LocalProtocolError: the table does not allow it in this state.
        """
        name = input_of(request)
        table = TRANSITIONS.get(name, _ANYTHING_ELSE)
        if self.state not in table:
            allowed = ", ".join(state.name for state in table)
            raise LocalProtocolError(f"{name} is allowed in {allowed}; this is {self.state.name}")
        self.state = table[self.state]
