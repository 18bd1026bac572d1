"""
Links: streams of bytes to a unit. Each is a ``Link``; the client does not depend on which.

``open_link`` opens one from an address as a person writes it:

==============================  ===========================================================
``tcp://HOST[:PORT]``           the TCP port of a modem or a serial server; port 12345
``serial:PORT[:BAUD]``          a serial port; 38400 baud, 8N1, no flow control
``/dev/ttyUSB0``, ``COM3``      the same, at 38400 baud
``rfc2217://HOST:PORT``         a serial port behind an RFC 2217 server
``telnet://HOST:PORT``          the Telnet port of a serial server, with the server's own speed
``replay:FILE``                 a recorded session (docs/reference/capture-format.md)
==============================  ===========================================================

A link lives from ``open_link`` to ``close``; the caller of ``open_link`` closes it, on every path.
"""

from minimateplus.link.address import Address, parse_address
from minimateplus.link.deadlines import Deadlines
from minimateplus.link.link import Link
from minimateplus.link.open import open_link

__all__ = ["Address", "Deadlines", "Link", "open_link", "parse_address"]
