"""
``Worker``: one process beside the relay's, for what would hold the event loop: analysis, reports.

It is started at the first call, runs one call at a time, and ends when its standard input does, so
that it never survives a relay that was killed. Calls and results are pickles, each behind its
length; the process is ours and speaks with nobody else.

``python -m sfm.worker`` is that process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import struct
import sys
from collections.abc import Callable
from typing import IO, ParamSpec, TypeVar

from sfm.errors import SfmError

__all__ = ["InProcessWorker", "Worker", "WorkerBusyError", "WorkerError"]

P = ParamSpec("P")
T = TypeVar("T")

LENGTH = struct.Struct("!Q")
MAX_CALL_S = 60.0
MAX_WAITING = 200
"""Calls that wait for the process; the events of one request, and of the work in the background."""


class WorkerError(SfmError):
    """The worker process ended, or did not finish a call in time; the next call starts another."""


class WorkerBusyError(SfmError):
    """Too many calls wait for the worker process; retry later."""


class Worker:
    """
    The process. Lives as long as the relay; ``close`` it.

    Args:
        max_call_s: after which a call is given up, and the process with it.
        max_waiting: how many calls may wait.
    """

    def __init__(self, max_call_s: float = MAX_CALL_S, max_waiting: int = MAX_WAITING) -> None:
        self._max_call_s = max_call_s
        self._max_waiting = max_waiting
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._is_closed = False

    @property
    def process_id(self) -> int | None:
        """Of the process; ``None``: none runs."""
        return None if self._process is None else self._process.pid

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Return ``function(...)``, computed in the process; what it raises is raised here.

        The function is found by its name in its module; arguments and result are copied.

        Raises:
            WorkerBusyError: too many calls wait.
            WorkerError: the process ended, or took too long.
        """
        if self._waiting >= self._max_waiting:
            raise WorkerBusyError(f"{self._waiting} computations wait already; retry in a moment")
        call = pickle.dumps((function, args, kwargs))
        self._waiting += 1
        try:
            async with self._turn:
                reply = await self._exchange(call)
        finally:
            self._waiting -= 1
        is_error, value = pickle.loads(reply)
        if is_error:
            raise value
        result: T = value
        return result

    async def close(self) -> None:
        """End the process; a call under way fails."""
        self._is_closed = True
        if self._process is not None:
            _kill(self._process)
        async with self._turn:
            await self._end()

    async def _exchange(self, call: bytes) -> bytes:
        if self._is_closed:
            raise WorkerError("the relay is shutting down")
        process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        is_done = False
        try:
            async with asyncio.timeout(self._max_call_s):
                process.stdin.write(LENGTH.pack(len(call)) + call)
                await process.stdin.drain()
                [length] = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
                reply = await process.stdout.readexactly(length)
            is_done = True
            return reply
        except TimeoutError:
            raise WorkerError(f"a computation took longer than {self._max_call_s:g} s") from None
        except (OSError, asyncio.IncompleteReadError):
            raise WorkerError("the process that computes ended unexpectedly; try again") from None
        finally:
            if not is_done:
                # Also after a cancelled call: its reply must not answer the next one.
                await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sfm.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C at a terminal is for the relay, which ends this process itself.
            process_group=0,
        )
        return self._process

    async def _end(self) -> None:
        """End the process and close its pipes; only where no call reads from it."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            await process.communicate()


class InProcessWorker(Worker):
    """Computes in this process: for a program whose one user waits for nothing else meanwhile."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return ``function(...)``; what it raises is raised here."""
        return function(*args, **kwargs)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def serve(calls: IO[bytes], replies: IO[bytes]) -> None:
    """Answer calls until there are no more."""
    while True:
        head = calls.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return
        function, args, kwargs = pickle.loads(calls.read(LENGTH.unpack(head)[0]))
        try:
            reply = pickle.dumps((False, function(*args, **kwargs)))
        except Exception as error:
            reply = _error_reply(error)
        replies.write(LENGTH.pack(len(reply)) + reply)
        replies.flush()


def _error_reply(error: Exception) -> bytes:
    """Return an exception as a reply; one that cannot be copied becomes words."""
    try:
        reply = pickle.dumps((True, error))
        pickle.loads(reply)
    except Exception:
        return pickle.dumps((True, WorkerError(f"{type(error).__name__}: {error}")))
    return reply


def main() -> None:
    """Serve standard input and output; what a computation prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
