"""
Everything that can go wrong with a unit, and who is to blame.

::

    MiniMateError
    ├── LinkError                 the road
    │   ├── ConnectError          nobody there, or refused
    │   ├── ConnectTimeoutError   no answer to the knock within the deadline
    │   └── LinkClosedError       the far end hung up, or the road was cut
    ├── UnitError                 the far end
    │   ├── ReplyTimeoutError     it was silent for longer than the deadline
    │   ├── DeadlineError         the whole operation took longer than it was given
    │   ├── RemoteProtocolError   it said something that the wire facts do not allow
    │   │   ├── KeyChainError     its chain of event keys loops, jumps or breaks
    │   │   ├── SampleDecodeError an event body could not be read
    │   │   ├── DuplicateReplyError  a reply that was received before came again, unasked
    │   │   └── LineSharedError   a reply came that we did not ask for: another program is there
    │   ├── NoSuchEventError      it holds no event of that index or key
    │   ├── MemoryChangedError    its memory changed while we read it
    │   │   └── RecordDiffersError  only bytes of unknown meaning differ: nothing is proven
    │   ├── NotWritableError      it does not show where that setting lies; nothing was written
    │   └── OutcomeUnknownError   a command was sent, and what became of it is not known
    │       └── ReadBackError     it acknowledged a command, and then shows something else
    ├── LocalProtocolError        us: we were about to say what the wire does not allow now
    ├── SettingError              us: a setting that a unit cannot take; names the field
    ├── SampleRangeError          us: samples that the event body has no form for
    └── CaptureError              a capture file that is none, or does not fit what was asked

Nothing else leaves this package for a reason that lies with the unit or the road: foreign
exceptions (``OSError``, serialx, ``TimeoutError``) are translated where they arise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimateplus.model import Waveform

__all__ = [
    "CaptureError",
    "ConnectError",
    "ConnectTimeoutError",
    "DeadlineError",
    "DuplicateReplyError",
    "KeyChainError",
    "LineSharedError",
    "LinkClosedError",
    "LinkError",
    "LocalProtocolError",
    "MemoryChangedError",
    "MiniMateError",
    "NoSuchEventError",
    "NotWritableError",
    "OutcomeUnknownError",
    "ReadBackError",
    "RecordDiffersError",
    "RemoteProtocolError",
    "ReplyTimeoutError",
    "SampleDecodeError",
    "SampleRangeError",
    "SettingError",
    "UnitError",
]


class MiniMateError(Exception):
    """
    Anything that went wrong with a unit, the road to it, or our own use of them.

    ``diagnosis`` is the name of the cause, where the bytes prove one (``minimateplus.link.
    diagnosis``).
    """

    diagnosis: str | None = None


class LinkError(MiniMateError):
    """The road to the unit failed."""


class ConnectError(LinkError):
    """No link could be opened: refused, unknown host, no such serial port."""


class ConnectTimeoutError(ConnectError):
    """Nobody answered the attempt to connect within ``Deadlines.connect_s``."""


class LinkClosedError(LinkError):
    """The link ended in the middle of a conversation."""


class UnitError(MiniMateError):
    """The link is there; what came over it, or did not, is the trouble."""


class ReplyTimeoutError(UnitError):
    """The unit did not answer a request within ``Deadlines.reply_s``."""


class DeadlineError(UnitError):
    """The whole operation took longer than ``Deadlines.operation_s``."""


class RemoteProtocolError(UnitError):
    """The far end answered, but not as a MiniMate Plus does."""


class KeyChainError(RemoteProtocolError):
    """The chain of event keys repeats itself, is endless or breaks off: read nothing from it."""


class SampleDecodeError(RemoteProtocolError):
    """
    An event body holds no samples that this decoder can vouch for.

    ``waveform`` holds the event and its image, without samples, when the whole image was read:
    the bytes are worth keeping whether or not they can be decoded.
    """

    waveform: Waveform | None = None
    recording_id: str | None = None
    """Under which id the archive keeps the image; ``None``: it does not."""


class DuplicateReplyError(RemoteProtocolError):
    """
    A reply arrived again that was received before in this session, and no request was open for it.

    The session is over: the next such reply could be taken for another request's. A read may be
    tried once more in a new session.
    """


class LineSharedError(RemoteProtocolError):
    """
    A reply arrived that answers no request of ours: another program is using the unit's line.

    A unit has one record cursor, and a reply to 1F carries no key, so nothing read in this session
    proves anything.
    """


class NoSuchEventError(UnitError):
    """The unit holds no event of that index or key."""


class MemoryChangedError(UnitError):
    """The unit's memory changed during the read; what was read is thrown away."""


class RecordDiffersError(MemoryChangedError):
    """
    A record has the time, peaks and project that it had, and other bytes of unknown meaning.

    ``offsets`` are the places that differ. Whether the event is another one is not known.
    """

    def __init__(self, message: str, offsets: frozenset[int] = frozenset()) -> None:
        super().__init__(message)
        self.offsets = offsets


class NotWritableError(UnitError):
    """The unit does not show where a setting lies, or its blocks: nothing was written."""


class OutcomeUnknownError(UnitError):
    """
    A command went out, and whether the unit followed it is not known. It is never repeated.

    ``__cause__`` says what went wrong. Read the unit before you give the command again.
    """


class ReadBackError(OutcomeUnknownError):
    """The unit acknowledged a command, and shows something else when it is read afterwards."""


class LocalProtocolError(MiniMateError):
    """A request was about to be sent that the unit would ignore or answer wrongly now."""


class SettingError(MiniMateError, ValueError):
    """
    A setting that a unit cannot take. Nothing was sent.

    ``field`` is the name of it, ``reason`` what it may be.
    """

    def __init__(self, field: str, reason: str = "a unit cannot take it") -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SampleRangeError(MiniMateError, ValueError):
    """Samples that the event body has no form for: a step beyond 12 bits, or no int16."""


class CaptureError(MiniMateError):
    """A capture file that cannot be read, or a replay asked for something it does not hold."""
