"""
The tree of commands: importing a module puts its commands on the app.

``app_for`` imports one module for a command line that names its command, and all of them where any
may be needed: for the help of the whole, for a word that is no command, for completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from sfm.cli.application import app

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["GROUPS", "MODULES", "app_for", "whole_app"]

MODULES = {
    "access": ("audit", "token"),
    "analyse": ("analyse",),
    "archive": ("archive",),
    "capture": ("capture", "replay"),
    "command": ("call-home", "configure", "erase", "rescue", "start", "stop"),
    "completion": ("completion",),
    "database": ("db",),
    "doctor": ("doctor",),
    "export": ("export",),
    "fetch": ("fetch",),
    "limits": ("limits",),
    "operation": ("operation",),
    "relay": ("demo", "serve", "simulate"),
    "report": ("report",),
    "roster": ("location", "unit"),
    "unit": ("events", "info", "status", "waveform"),
    "verify": ("verify",),
}
"""The commands of each module."""


GROUPS = {
    "Read a unit": ("info", "status", "events", "waveform", "fetch"),
    "Results and files": ("analyse", "limits", "report", "verify", "export"),
    "Archive": ("archive", "db"),
    "Change a unit": ("start", "stop", "configure", "call-home", "erase", "rescue", "operation"),
    "Run the relay": ("serve", "doctor", "unit", "location", "token", "audit"),
    "Try and investigate": ("demo", "simulate", "capture", "replay"),
    "This program": ("completion", "--help", "--version"),
}
"""Headings of ``--help``, and the commands under each."""


def whole_app() -> App:
    """Return the app with every command, under the headings of ``--help``."""
    from cyclopts import Group

    for name in MODULES:
        import_module(f"sfm.cli.{name}")
    for place, (title, names) in enumerate(GROUPS.items()):
        group = Group(title, sort_key=place)
        for name in names:
            app[name].group = group
    return app


def app_for(words: Sequence[str]) -> App:
    """Return the app with the command that ``words`` begin with; with all if they name none."""
    first = words[0] if words else None
    name = next((name for name, commands in MODULES.items() if first in commands), None)
    if name is None or name == "completion":
        return whole_app()
    import_module(f"sfm.cli.{name}")
    return app
