"""Debian's Chromium, as tests and benchmarks start it."""

from __future__ import annotations

import shutil

PROGRAMS = "chromium-headless-shell", "chromium", "chromium-browser"
"""The first is the same browser without a screen, in two thirds of the processor time."""
CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
"""The program, where there is one."""

ARGUMENTS = (
    "--no-sandbox",  # tests may run as root, where Chromium has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Nothing that asks another host, or that a machine without a screen lacks."""
