"""The real relay in a process of its own, by the command line that its user gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes

from kit.command_process import CommandProcess
from kit.empty_databases import write_database
from sfm.access.principal import Role
from sfm.store import Store, tokens

RUN = [sys.executable, "-c", "from sfm.cli import main; main()"]
PATIENCE_S = 60.0
"""A bound for a machine that is busy; nothing is judged by it."""


@dataclass
class Relay:
    base: str
    output: str
    pid: int
    log: list[str] = field(default_factory=list)
    """What it has written since; grows."""

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])


def environment(database: Path | None, **settings: str) -> dict[str, str]:
    """Return the environment of a relay with a database, which is made if it does not exist."""
    if database is not None and not database.exists():
        write_database(database)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SFM_")}
    url = "none" if database is None else f"sqlite:///{database}"
    ours = {"SFM_DATABASE_URL": url, "SFM_HTTP_PORT": "1", "SFM_CONFIG": "none"}
    return {**kept, "COLUMNS": "1000", **ours, **settings}


@contextmanager
def relay(*words: str, database: Path | None = None, **settings: str) -> Iterator[Relay]:
    """Run the relay in a process of its own until the block ends."""
    with (
        _serving(*words, database=database, **settings) as process,
        _answering(process, *words) as started,
    ):
        yield started


@contextmanager
def relay_from_scratch(
    *words: str, database: Path | None = None, files: int | None = None, **settings: str
) -> Iterator[Relay]:
    """
    The same in a process that shares nothing with another, for what the system counts of it.

    Args:
        words: of ``serve``.
        database: a file; none if not given.
        files: how many it may have open at once; as many as this process if not given.
        settings: in the environment.
    """
    limited = () if files is None else ("sh", "-c", f'ulimit -n {files}; exec "$@"', "sh")
    process = subprocess.Popen(
        [*limited, *RUN, "serve", "--http-port", "0", *words],
        env=environment(database, **settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with _answering(process, *words) as started:
            yield started
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def relay_to_stop(settings: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Run a relay that the block itself stops; yield its base address and its process id."""
    with CommandProcess("serve", "--http-port", "0", env=settings) as process:
        limit = threading.Timer(PATIENCE_S, process.kill)
        limit.start()
        try:
            lines = iter(process.stderr.readline, "")
            base = next(m[1] for line in lines if (m := re.search(r"answers at (\S+);", line)))
            yield base, process.pid
            process.stderr.read()  # it ends by itself, or by the limit
            assert process.wait() == 0
        finally:
            limit.cancel()


def refused(*words: str, database: Path | None = None, **settings: str) -> str:
    """Return what a relay says that does not start."""
    with _serving(*words, database=database, **settings) as process:
        _, err = process.communicate(PATIENCE_S)
        assert process.returncode in (1, 2, 4), err
    assert "answers at" not in err
    assert "Traceback" not in err
    return err


def _serving(*words: str, database: Path | None, **settings: str) -> CommandProcess:
    port = () if "--http-port" in words else ("--http-port", "0")
    return CommandProcess("serve", *port, *words, env=environment(database, **settings))


@contextmanager
def _answering(process: CommandProcess | subprocess.Popen[str], *words: str) -> Iterator[Relay]:
    """Wait until a relay answers; at the end of the block it must still run, and is stopped."""
    err = process.stderr
    assert err is not None
    # The bound is for the start.
    limit = threading.Timer(PATIENCE_S, process.kill)
    limit.start()
    try:
        output, base = "", None
        while base is None and (line := err.readline()):
            output += line
            base = re.search(r"answers at (\S+);", line)
        assert base is not None, output
        if "insecure" in "".join(words):
            output += err.readline()
    finally:
        limit.cancel()
    # What it says from now on must not fill the pipe.
    later: list[str] = []
    drained = threading.Thread(target=lambda: later.extend(err), daemon=True)
    drained.start()
    try:
        yield Relay(base[1], output, process.pid, later)
    finally:
        died = process.poll()
        process.terminate()
        drained.join()
    assert died is None, f"the relay ended by itself ({died}): {''.join(later)[-4000:]}"


def new_token(database: Path, role: Role) -> str:
    with Store.open(f"sqlite:///{database}") as store:
        return store.write(
            tokens.create, role.value, role.value, (), datetime.now(UTC), token_bytes
        )[1]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
