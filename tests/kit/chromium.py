"""Debian's Chromium, as tests and benchmarks start it."""

from __future__ import annotations

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
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
