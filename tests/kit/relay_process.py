"""The real relay in a process of its own, as its user starts it."""

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
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SFM_")}
    url = "none" if database is None else f"sqlite:///{database}"
    return {**kept, "COLUMNS": "1000", "SFM_DATABASE_URL": url, **settings}


@contextmanager
def relay(*words: str, database: Path | None = None, **settings: str) -> Iterator[Relay]:
    """Run the relay in a process of its own until the block ends."""
    with _run(RUN, *words, database=database, **settings) as started:
        yield started


@contextmanager
def relay_with_files(files: int) -> Iterator[Relay]:
    """Run a relay that may have so many files open at once."""
    with _run(["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *RUN]) as started:
        yield started


@contextmanager
def _run(
    run: list[str], *words: str, database: Path | None = None, **settings: str
) -> Iterator[Relay]:
    port = () if "--http-port" in words else ("--http-port", "0")
    started = subprocess.Popen(
        [*run, "serve", *port, *words],
        env=environment(database, **settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    err = started.stderr
    assert err is not None
    limit = threading.Timer(PATIENCE_S, started.kill)
    limit.start()
    try:
        output, base = "", None
        while base is None and (line := err.readline()):
            output += line
            base = re.search(r"answers at (\S+);", line)
        assert base is not None, output
        if "insecure" in "".join(words):
            output += err.readline()
        # The bound is for the start. What it says from now on must not fill the pipe.
        limit.cancel()
        later: list[str] = []
        drained = threading.Thread(target=lambda: later.extend(err), daemon=True)
        drained.start()
        try:
            yield Relay(base[1], output, started.pid, later)
        finally:
            died = started.poll()
            started.terminate()
            drained.join()
        assert died is None, f"the relay ended by itself ({died}): {''.join(later)[-4000:]}"
    finally:
        limit.cancel()
        started.terminate()
        started.communicate()


@contextmanager
def relay_to_stop(settings: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Run a relay that the block itself stops; yield its base address and its process id."""
    command = [*RUN, "serve", "--http-port", "0"]
    started = subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True)
    limit = threading.Timer(PATIENCE_S, started.kill)
    limit.start()
    try:
        assert started.stderr is not None
        lines = iter(started.stderr.readline, "")
        base = next(m[1] for line in lines if (m := re.search(r"answers at (\S+);", line)))
        yield base, started.pid
        started.stderr.read()  # it ends by itself, or by the limit
        assert started.wait() == 0
    finally:
        limit.cancel()
        started.kill()
        started.wait()
        if started.stderr is not None:
            started.stderr.close()


def refused(*words: str, database: Path | None = None, **settings: str) -> str:
    """Return what a relay says that does not start."""
    ran = subprocess.run(
        [*RUN, "serve", "--http-port", "0", *words],
        env=environment(database, **settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert "answers at" not in ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stderr


def new_token(database: Path, role: Role) -> str:
    with Store.open(f"sqlite:///{database}") as store:
        return store.write(
            tokens.create, role.value, role.value, (), datetime.now(UTC), token_bytes
        )[1]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
