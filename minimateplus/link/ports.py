"""The serial ports of this machine."""

from __future__ import annotations

from dataclasses import dataclass

import serialx

__all__ = [
    "SerialPort",
    "list_ports",
]


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A serial port that is there. Whether it is free, and yours, only opening it tells."""

    port: str
    description: str | None
    """What its adapter says of itself; ``None``: nothing."""


def list_ports() -> list[SerialPort]:
    """
    Return the serial ports of this machine, by name; none of them is opened.

    The name is the system's own (``/dev/ttyUSB0``), which settings are written with, and not the
    longer one that is made of what the adapter says.
    """
    found = serialx.list_serial_ports()
    return sorted(
        (
            SerialPort(one.resolved_device, one.interface_description or one.product)
            for one in found
        ),
        key=lambda one: one.port,
    )
