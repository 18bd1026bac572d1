"""
How a simulated unit accepts new settings: complete, in the captured order, or not at all.

The rule: each frame must be the next one of ``SETUP_ORDER`` or ``CALL_HOME_ORDER``; any other gets
no reply, and the write starts again. The new settings take effect with the last confirming command.
What a real unit does with an incomplete write is unknown [U]; ours discards it.
"""

from __future__ import annotations

from minimateplus.wire import commands, layouts
from minimateplus.wire.framing import Frame

__all__ = [
    "CALL_HOME_ORDER",
    "SETUP_ORDER",
    "SIZES",
    "SettingsWrite",
]

SETUP_ORDER = (0x68, 0x73, 0x71, 0x71, 0x71, 0x72, 0x82, 0x83, 0x69, 0x74, 0x72)
"""SUBs of a setup write. [C: frames 102 to 112 of the capture of 2026-03-11]"""
CALL_HOME_ORDER = (0x7E, 0x7F)
SIZES = {
    0x68: commands.EVENT_COUNTER.fetch_bytes,
    0x82: commands.TRIGGER_BLOCK.fetch_bytes,
    0x69: commands.UNKNOWN_BLOCK.fetch_bytes,
    0x7E: layouts.CALL_HOME.size + len(commands.CALL_HOME_TAIL),
}
"""Data bytes of each block; the other commands have none, and those of 71 have their pages'."""


class SettingsWrite:
    """One write in one session. Lives as long as the session."""

    def __init__(self) -> None:
        self._restart()
        self.setup: bytes | None = None
        """A complete new setup block, once it was received."""
        self.call_home: bytes | None = None
        """A complete new call-home block, once it was received."""

    def _restart(self) -> None:
        self._received: list[int] = []
        self._pages: list[bytes] = []
        self._call_home = b""

    def takes(self, request: Frame) -> bool:
        """Return whether ``request`` is the next one of the order, with the right size."""
        received = [*self._received, request.sub]
        orders = (SETUP_ORDER, CALL_HOME_ORDER)
        order = next((o for o in orders if received == list(o[: len(received)])), None)
        if order is None or not self._fits(request):
            self._restart()
            return False
        self._received = received
        if request.sub == commands.WRITE_SETUP.sub:
            self._pages.append(request.payload)
        elif request.sub == commands.WRITE_CALL_HOME.sub:
            self._call_home = request.payload[: layouts.CALL_HOME.size]
        if len(received) == len(order):
            pages, call_home = b"".join(self._pages), self._call_home
            self._restart()
            self.setup, self.call_home = pages or None, call_home or None
        return True

    def _fits(self, request: Frame) -> bool:
        if request.length != len(request.payload):
            return False
        if request.sub != commands.WRITE_SETUP.sub:
            return len(request.payload) == (SIZES.get(request.sub) or 0)
        if len(self._pages) >= len(commands.SETUP_PAGES):
            return False
        length, address = commands.SETUP_PAGES[len(self._pages)]
        return (length, commands.page_params(address)) == (len(request.payload), request.params)
