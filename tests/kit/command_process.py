"""
Command lines in processes of their own, forked from one that has imported what they need.

The imports of a relay take a second of processor time, which each process started from scratch
takes again. One process for each test run imports them, and forks (``multiprocessing``'s fork
server); a child has an environment, outputs, signals and an exit status of its own, and runs
``sfm.cli.main`` as the installed command does. Tests of what a process imports, may open, or takes
of memory start it from scratch instead (``kit.relay_process.RUN``).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing import context
from multiprocessing.reduction import DupFd
from typing import IO, Any

__all__ = ["CommandProcess", "fork_context"]

PRELOADED = [
    "sfm.api.app",
    "sfm.server",
    "sfm.store.database",
    "minimateplus.simulator",
    "uvicorn",
    "httpx",
    "cyclopts",
    "rich.console",
]
"""
Nothing of ``sfm.cli``: its consoles read their width from the environment when they are made.
"""


def fork_context() -> context.ForkServerContext:
    """Return what starts processes from one that has imported what a relay needs."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    return found


class _Output:
    """The end of a pipe that a child writes to; a descriptor is only given while it starts."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> Any:
        return DupFd(self.number)

    def __setstate__(self, given: Any) -> None:
        self.number = given.detach()


def _run(words: tuple[str, ...], env: dict[str, str], outputs: dict[int, _Output]) -> None:
    """Be the command line."""
    for number, output in outputs.items():
        os.dup2(output.number, number)
        os.close(output.number)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["seismo-relay", *words]
    from sfm.cli import main

    main()


class CommandProcess:
    """
    A running command line, with as much of ``subprocess.Popen`` as tests use. Use it in a ``with``
    block, at whose end it is killed.

    Args:
        words: of the command line, without the program.
        env: the whole environment.
        stdout: whether to read its standard output; else it goes where this process's goes.
    """

    def __init__(self, *words: str, env: Mapping[str, str], stdout: bool = False) -> None:
        self.stdout: IO[str] | None = None
        read_err, write_err = os.pipe()
        self.stderr: IO[str] = os.fdopen(read_err)
        writes = {2: write_err}
        if stdout:
            read_out, writes[1] = os.pipe()
            self.stdout = os.fdopen(read_out)
        given = {number: _Output(write) for number, write in writes.items()}
        self._process = fork_context().Process(target=_run, args=(words, dict(env), given))
        self._process.start()
        for write in writes.values():
            os.close(write)
        self._status: int | None = None
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __enter__(self) -> CommandProcess:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.kill()
            self.wait()
            self._process.close()
        finally:
            for stream in (self.stdout, self.stderr):
                if stream is not None:
                    stream.close()

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; ``None``: it was not seen to end."""
        return self._status

    def poll(self) -> int | None:
        """Return the exit status; ``None``: it runs."""
        if self._status is None:
            self._status = self._process.exitcode
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """
        Return the exit status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it runs after ``timeout`` seconds.
        """
        if self._status is None:
            self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("seismo-relay", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            # It may have ended, and its status may not be here yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM, if it runs."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, if it runs."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """
        Return the rest of both outputs and wait for its end.

        Raises:
            subprocess.TimeoutExpired: it runs after ``timeout`` seconds.
        """
        limit = threading.Timer(timeout or threading.TIMEOUT_MAX, self.kill)
        limit.start()
        found: list[str] = []
        out = self.stdout
        reading = threading.Thread(target=lambda: found.append("" if out is None else out.read()))
        reading.start()
        err = self.stderr.read()
        reading.join()
        status = self.wait()
        limit.cancel()
        if status == -signal.SIGKILL:
            raise subprocess.TimeoutExpired("seismo-relay", timeout or 0.0, found[0], err)
        return found[0], err
