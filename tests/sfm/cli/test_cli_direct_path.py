"""Which device files are opened: on the command line any, through a relay the system's ports."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from kit.relay_process import PATIENCE_S, RUN, environment, relay

SIMULATOR = [*RUN, "simulate", "--pty", "--serial", "SIM0701", "--events", "1"]


@contextmanager
def terminal_of_a_unit() -> Iterator[str]:
    """Yield the path of a pseudo terminal on which a simulated unit answers."""
    with subprocess.Popen(
        SIMULATOR, env=environment(None), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            line = running.stdout.readline()
            assert running.stdout.readline() == "Ctrl-C stops.\n"
            yield line.split("answers at ")[1].strip()
        finally:
            running.terminate()


def test_who_sits_at_the_terminal_may_name_any_path_and_a_web_page_may_not(tmp_path: Path) -> None:
    with terminal_of_a_unit() as terminal, relay() as started:
        link = tmp_path / "instrument"
        link.symlink_to(terminal)
        for path in (terminal, str(link)):
            through_relay = httpx.get(
                f"{started.base}/device/info", params={"port": path}, timeout=PATIENCE_S
            )
            assert through_relay.status_code == 403
            assert through_relay.json()["type"] == "urn:seismo-relay:problem:forbidden-address"
        for path in (terminal, str(link)):
            direct = subprocess.run(
                [*RUN, "info", path if path == terminal else f"serial:{path}:38400", "--json"],
                env=environment(None),
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            assert direct.returncode == 0, direct.stderr
            assert json.loads(direct.stdout)["serial"] == "SIM0701"
