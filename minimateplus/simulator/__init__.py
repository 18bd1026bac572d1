"""
A simulated unit: event memory, behaviour, and ways to serve it over TCP, a pty or in memory.

It uses the same codec as the client and shares its mistakes about the wire. It therefore judges
behaviour only; captured frames from real units judge the protocol. It identifies itself as
simulated, by its serial number (``SIM...``) and by a text in its identity block.

``pty.serve_pty`` serves a unit on a pseudo-terminal, on POSIX systems only.
"""

from minimateplus.simulator.serve import ServedTcp, connect_memory, serve_link, serve_tcp
from minimateplus.simulator.unit import SimulatedUnit

__all__ = ["ServedTcp", "SimulatedUnit", "connect_memory", "serve_link", "serve_tcp"]
