"""
The instrument library: Instantel MiniMate Plus units, usable without the relay.

=============  ===================================================================================
package        what it contains
=============  ===================================================================================
``errors``     every exception of this package, as one tree
``conversions`` counts to in/s, psi and dB(L)
``model``      what a unit reports, as frozen facts
``wire``       the protocol, pure: bytes to facts and back
``link``       byte links: TCP, serial, RFC 2217, Telnet, replay of a capture
``client``     ``MiniMate``, and ``BlockingMiniMate`` without asyncio: one session with one unit
``simulator``  a simulated unit, faulty links and hostile units
=============  ===================================================================================

Both clients are imported on first use, so that ``import minimateplus.errors`` does not load numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minimateplus.client import BlockingMiniMate, MiniMate

__all__ = ["BlockingMiniMate", "MiniMate"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from minimateplus import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
