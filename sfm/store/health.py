"""
``StoreHealth``: what works, what failed, and when the database may be tried again.

A failing database is left alone for a delay that doubles (``sfm.back_off``), like a failing unit.
Reads that fail do not delay writes; while writes fail, a successful read does not end the problem.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from sfm.back_off import BackOff
from sfm.records.payloads import Payload
from sfm.store.errors import RevisionError, StoreError, StoreInUseError

__all__ = ["StoreHealth"]

log = structlog.get_logger(__name__)


class StoreHealth:
    """
    The database's state. Lives as long as the executor that reports to it.

    Args:
        clock: monotonic seconds.
        wall: the time of day, UTC.
    """

    def __init__(self, *, clock: Callable[[], float], wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self.back_off = BackOff("the database", clock)
        self.problem: StoreError | None = None
        """The latest failure; ``None``: the database works."""
        self._problem_since: datetime | None = None
        self.writes_fail = False
        self.failures = 0
        """Failures that are the database's fault."""
        self.writes = 0
        """Writes that are durable."""
        self.waiting_records = 0
        """Records in the backlog."""

    @property
    def problem_kind(self) -> str | None:
        """The problem in one word; ``None``: there is none."""
        return None if self.problem is None else self.problem.kind

    def failed(self, error: StoreError, *, blocks_writes: bool) -> None:
        """Note a failure; ``blocks_writes``: of a write, or to open the database."""
        self.failures += 1
        if blocks_writes:
            self.back_off.failed(error)
            self.writes_fail = True
        if self.problem is None:
            self._problem_since = self._wall()
        is_new = self.problem is None or self.problem.kind != error.kind
        if is_new and not isinstance(error, RevisionError | StoreInUseError):
            log.error("store_failed", problem=error.kind, error=str(error))
        self.problem = error

    def succeeded(self) -> None:
        """Note that the database works; any problem is over."""
        self.back_off.succeeded()
        if self.problem is not None:
            log.info("store_recovered", problem=self.problem.kind, waiting=self.waiting_records)
        self.problem = self._problem_since = None
        self.writes_fail = False

    def payload(self) -> Payload:
        """Return the problem as plain values."""
        since = self._problem_since
        return {
            "problem": self.problem_kind,
            "detail": None if self.problem is None else str(self.problem),
            "since": None if since is None else since.isoformat(timespec="seconds"),
        }
