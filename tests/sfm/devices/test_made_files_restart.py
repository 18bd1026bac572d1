"""A ZIP of reports or exports over the end of its relay: stopped, and killed while it is made."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kit.command_process import CommandProcess
from kit.relay_process import PATIENCE_S, environment
from kit.unit_thread import UnitThread

from minimateplus.simulator import SimulatedUnit

KINDS = ("exports", "reports")
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")


class Killable:
    """A relay in a process of its own, that a test ends as it likes."""

    def __init__(self, process: CommandProcess, client: httpx.Client) -> None:
        self.process, self.client = process, client

    def stop(self, number: int) -> None:
        os.kill(self.process.pid, number)
        self.process.wait(PATIENCE_S)

    def children(self) -> list[int]:
        """Return the processes that it began."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [
            int(child)
            for task in tasks.iterdir()
            for child in (task / "children").read_text().split()
        ]

    def ended(self, location: str) -> dict[str, Any]:
        """Return an operation when it has ended; its progress is a stream that ends with it."""
        self.client.get(f"{location}/progress").raise_for_status()
        found: dict[str, Any] = self.client.get(location).json()
        return found


@contextmanager
def running(database: Path) -> Iterator[Killable]:
    settings = environment(database)
    with CommandProcess("serve", "--http-port", "0", env=settings) as process:
        limit = threading.Timer(PATIENCE_S, process.kill)
        limit.start()
        try:
            lines = iter(process.stderr.readline, "")
            base = next(m[1] for line in lines if (m := re.search(r"answers at (\S+);", line)))
            threading.Thread(target=process.stderr.read, daemon=True).start()
            with httpx.Client(base_url=base, timeout=PATIENCE_S) as client:
                yield Killable(process, client)
        finally:
            limit.cancel()
            process.kill()
            process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A database with four recordings, and their ids."""
    database = tmp_path_factory.mktemp("made") / "relay.sqlite"
    unit = UnitThread(SimulatedUnit("SIM0020", seed=3))
    try:
        for seed in range(4):
            unit.do(lambda seed=seed: unit.unit.record_event(seed=seed))  # type: ignore[misc]
        where: dict[str, str | int] = {"host": "127.0.0.1", "tcp_port": unit.port}
        with running(database) as relay:
            for index in range(4):
                relay.client.get(f"/device/event/{index}/waveform", params=where)
            rows = relay.client.get("/archive/events").json()["events"]
            relay.stop(signal.SIGTERM)
    finally:
        unit.close()
    return database, [row["id"] for row in rows]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", KINDS)
def test_a_zip_that_was_made_is_there_after_a_restart(
    archive: tuple[Path, list[str]], kind: str, end: int
) -> None:
    database, ids = archive
    with running(database) as relay:
        accepted = relay.client.post(f"/archive/{kind}", json={"recordings": ids})
        done = relay.ended(accepted.headers["location"])
        assert done["state"] == "done", done
        before = relay.client.get(done["result"]["href"])
        relay.stop(end)
    with running(database) as relay:
        assert relay.client.get(accepted.headers["location"]).json() == done
        after = relay.client.get(done["result"]["href"])
        assert after.content == before.content
        assert after.headers["content-disposition"] == before.headers["content-disposition"]
        with zipfile.ZipFile(io.BytesIO(after.content)) as file:
            assert file.testzip() is None
            assert len(file.namelist()) == len(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_while_a_zip_is_made_leaves_an_interrupted_operation_and_no_file(
    archive: tuple[Path, list[str]], kind: str
) -> None:
    database, ids = archive
    folder = database.with_name(f"{database.name}.files") / kind
    with running(database) as relay:
        first = relay.client.post(f"/archive/{kind}", json={"recordings": ids[:1]})
        assert relay.ended(first.headers["location"])["state"] == "done"
        [worker] = relay.children()
        os.kill(worker, signal.SIGSTOP)  # so that the ZIP is not done before the kill
        try:
            accepted = relay.client.post(f"/archive/{kind}", json={"recordings": ids})
            location = accepted.headers["location"]
            with relay.client.stream("GET", f"{location}/progress") as steps:
                assert next(line for line in steps.iter_lines() if '"done"' in line)
                (folder / "0123.part").write_bytes(b"half a ZIP")
                relay.stop(signal.SIGKILL)
        finally:
            os.kill(worker, signal.SIGKILL)
    with running(database) as relay:
        found = relay.client.get(location).json()
        assert (found["state"], found["result"]) == ("failed", None)
        assert found["problem"]["type"].endswith(":shutting-down")
        assert "ask for them again" in found["problem"]["detail"]
        assert [path.name for path in folder.iterdir() if path.suffix == ".part"] == []
        again = relay.client.post(f"/archive/{kind}", json={"recordings": ids[:1]})
        assert relay.ended(again.headers["location"])["state"] == "done"
