"""
Links: opaque bytes over a road. Every one of them is a ``Link``; nothing above asks which.

``open_link`` makes one from an address as a person writes it:

==============================  ===========================================================
``tcp://HOST[:PORT]``           the TCP port of a modem or a serial server; port 12345
``serial:PORT[:BAUD]``          a serial port; 38400 baud, 8N1, no flow control
``/dev/ttyUSB0``, ``COM3``      the same, at 38400 baud
``rfc2217://HOST:PORT``         a serial port behind an RFC 2217 server
``telnet://HOST:PORT``          the Telnet port of a serial server, with the server's own speed
``replay:FILE``                 a recorded conversation (docs/capture-format.md)
==============================  ===========================================================

A link lives from ``open_link`` to ``close``; whoever opened it closes it, on every path.
"""

from minimateplus.link.address import Address, parse_address
from minimateplus.link.deadlines import Deadlines
from minimateplus.link.link import Link
from minimateplus.link.open import open_link

__all__ = ["Address", "Deadlines", "Link", "open_link", "parse_address"]
