"""The serial ports of this machine."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "SerialPort",
    "list_ports",
]


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A serial port of this machine. Only opening it shows whether it is free and accessible."""

    port: str
    description: str | None
    """The adapter's description; ``None``: it has none."""


def list_ports() -> list[SerialPort]:
    """
    Return the serial ports of this machine, by name; none of them is opened.

    The name is the system's own (``/dev/ttyUSB0``), which settings are written with, and not the
    longer one that is derived from the adapter's description.
    """
    import serialx  # asyncio and all of its platform's parts; most commands need neither

    found = serialx.list_serial_ports()
    return sorted(
        (
            SerialPort(one.resolved_device, one.interface_description or one.product)
            for one in found
        ),
        key=lambda one: one.port,
    )
