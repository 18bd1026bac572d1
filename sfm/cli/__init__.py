"""
``seismo-relay``: the relay, a simulated unit, and what to ask of either.

A unit is named in one of two ways. By its own address (``tcp://10.0.0.5:12345``,
``/dev/ttyUSB0``, ``rfc2217://...``) it is asked directly, no server needed. By the name of its
location, its serial number or as ``HOST[:PORT]`` it is asked through the relay at ``--relay``. With
``--relay`` given, every address goes through it.

Exit status: 0 done; 1 the unit, the link or the relay failed; 2 the command line is wrong;
5 the outcome is unknown; 7 answered, but not completely; 130 Ctrl-C.
"""

from __future__ import annotations

# Importing a module puts its commands on the app.
from sfm.cli import (  # noqa: F401
    access,
    archive,
    capture,
    command,
    database,
    doctor,
    fetch,
    relay,
    roster,
    unit,
)
from sfm.cli.application import app, main

__all__ = ["app", "main"]
