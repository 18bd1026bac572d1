"""
Every exception of this package, as one tree; each class names the party at fault.

::

    MiniMateError
    ├── LinkError                    the link
    │   ├── ConnectError             refused, unknown host, no such serial port
    │   │   └── ConnectTimeoutError  no connection within ``Deadlines.connect_s``
    │   └── LinkClosedError          the far end disconnected, or the link broke
    │       └── CaptureEndedError    a replay: the capture ends here (``link.capture``)
    ├── UnitError                    the far end
    │   ├── ReplyTimeoutError        no reply within ``Deadlines.reply_s``
    │   ├── DeadlineError            no progress within ``Deadlines.operation_s``
    │   ├── RemoteProtocolError      it sent something that the protocol does not allow
    │   │   ├── KeyChainError        its chain of event keys loops, jumps or breaks
    │   │   ├── SampleDecodeError    an event body could not be decoded
    │   │   ├── DuplicateReplyError  an earlier reply was received again, unrequested
    │   │   └── LineSharedError      an unrequested reply: another program uses the line
    │   ├── NoSuchEventError         it has no event with that index or key
    │   ├── MemoryChangedError       its memory changed during the read
    │   │   └── RecordDiffersError   only bytes of unknown meaning differ: nothing is proven
    │   ├── NotWritableError         the setting's place is not known; nothing was written
    │   └── OutcomeUnknownError      a command was sent, and its outcome is not known
    │       └── ReadBackError        it acknowledged a write, and reads back otherwise
    ├── LocalProtocolError           the caller: a request that the protocol forbids now
    ├── SettingError                 the caller: an invalid setting; names the field
    ├── SampleRangeError             the caller: samples that an event body cannot encode
    └── CaptureError                 the capture file: unreadable, or it does not match

No other exception leaves this package because of a unit or a link: foreign exceptions
(``OSError``, serialx, ``TimeoutError``) are translated where they are raised.
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
    The root of the tree: a failure of a unit, of its link, or of their use.

    ``diagnosis`` names the cause where the received bytes prove one
    (``minimateplus.link.diagnosis``).
    """

    diagnosis: str | None = None


class LinkError(MiniMateError):
    """The link to the unit failed."""


class ConnectError(LinkError):
    """No link could be opened: refused, unknown host, no such serial port."""


class ConnectTimeoutError(ConnectError):
    """The far end did not accept the connection within ``Deadlines.connect_s``."""


class LinkClosedError(LinkError):
    """The link ended during a session."""


class UnitError(MiniMateError):
    """The link works, but the far end's reply is missing, wrong or unusable."""


class ReplyTimeoutError(UnitError):
    """The unit did not reply to a request within ``Deadlines.reply_s``."""


class DeadlineError(UnitError):
    """The operation made no progress for ``Deadlines.operation_s``."""


class RemoteProtocolError(UnitError):
    """The far end replied, but not as a MiniMate Plus does."""


class KeyChainError(RemoteProtocolError):
    """The chain of event keys loops, is endless or breaks off: none of it can be used."""


class SampleDecodeError(RemoteProtocolError):
    """
    An event body has no valid samples.

    ``waveform`` is the event with its image and without samples, if the whole image was read. Keep
    its bytes: a later version may decode them.
    """

    waveform: Waveform | None = None
    recording_id: str | None = None
    """The id of the image in the archive; ``None``: it was not archived."""


class DuplicateReplyError(RemoteProtocolError):
    """
    A reply that was received earlier in this session arrived again, with no request open for it.

    The session ends, because the next such reply could be mistaken for another request's. A read
    may be repeated once in a new session.
    """


class LineSharedError(RemoteProtocolError):
    """
    A reply to a request that we did not send arrived: another program is using the unit's line.

    A unit has one record cursor, and a reply to 1F has no key in it, so nothing that was read in
    this session is proven.
    """


class NoSuchEventError(UnitError):
    """The unit has no event with that index or key."""


class MemoryChangedError(UnitError):
    """The unit's memory changed during the read; the result is discarded."""


class RecordDiffersError(MemoryChangedError):
    """
    A record has the same time, peaks and project as before, but bytes of unknown meaning differ.

    ``offsets`` are the offsets of these bytes. Whether it is another event is not known.
    """

    def __init__(self, message: str, offsets: frozenset[int] = frozenset()) -> None:
        super().__init__(message)
        self.offsets = offsets


class NotWritableError(UnitError):
    """The unit's blocks do not show where a setting is stored; nothing was written."""


class OutcomeUnknownError(UnitError):
    """
    A command was sent, and whether the unit executed it is not known. It is never repeated.

    ``__cause__`` is the failure. Read the unit's state before you send the command again.
    """


class ReadBackError(OutcomeUnknownError):
    """The unit acknowledged a write, but other values are read back afterwards."""


class LocalProtocolError(MiniMateError):
    """A request that the unit would ignore or answer wrongly in its present state; not sent."""


class SettingError(MiniMateError, ValueError):
    """
    A setting with a value that a unit cannot store. Nothing was sent.

    ``field`` is its name, ``reason`` the values that it may have.
    """

    def __init__(self, field: str, reason: str = "a unit cannot take it") -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class SampleRangeError(MiniMateError, ValueError):
    """Samples that an event body cannot encode: a delta beyond 12 bits, or not an int16."""


class CaptureError(MiniMateError):
    """A capture file that cannot be read, or a replay whose host sends other bytes."""
