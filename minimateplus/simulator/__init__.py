"""
A unit that is not there: memory, behaviour, scenes. Answers on TCP, a pty, or in memory.

It speaks through the same codec as the client, so it shares our mistakes about the wire: it judges
behaviour, captured frames from real units judge the protocol. It says of itself that it is
simulated, in its serial number (``SIM...``) and in the text of its identity block.
"""

from minimateplus.simulator.serve import (
    ServedPty,
    ServedTcp,
    connect_memory,
    serve_link,
    serve_pty,
    serve_tcp,
)
from minimateplus.simulator.unit import SimulatedUnit

__all__ = [
    "ServedPty",
    "ServedTcp",
    "SimulatedUnit",
    "connect_memory",
    "serve_link",
    "serve_pty",
    "serve_tcp",
]
