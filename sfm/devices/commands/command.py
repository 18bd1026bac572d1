"""
One command: its checks of the unit, its two entries in the audit log, and what became of it.

Steps 1 and 6 of every command, and what the steps between share.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import (
    NotWritableError,
    OutcomeUnknownError,
    SettingError,
)
from minimateplus.link import Address
from sfm.access.principal import Principal
from sfm.back_off import BackingOffError
from sfm.devices.device import Device
from sfm.devices.gateway import Gateway
from sfm.devices.route import OtherUnitError
from sfm.devices.target import Target
from sfm.devices.unit_access import Report
from sfm.errors import SfmError
from sfm.records.payloads import Payload
from sfm.store import StoreError
from sfm.store.audit import AuditEntry
from sfm.store.errors import NoSuchUnitError

__all__ = [
    "Act",
    "Attempt",
    "AuditedCommands",
    "CommandConflictError",
    "Done",
    "Outcome",
    "completed",
]

T = TypeVar("T")

Outcome = Literal["done", "unchanged", "dry_run", "refused", "failed", "unknown"]
Reason = Literal[
    "serial-differs", "count-differs", "not-archived", "memory-changed", "walk-not-finished"
]

log = structlog.get_logger(__name__)


class CommandConflictError(SfmError):
    """The command does not match the unit's state (``reason``); the unit is unchanged."""

    def __init__(self, message: str, reason: Reason, **facts: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.facts = facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result of a command that did not end in an error."""

    command: str
    outcome: Outcome
    conn_key: str
    serial: str | None
    simulated: bool | None
    epoch: int
    exchanges: int
    took_s: float
    audit_number: int | None
    """Number of its last audit entry; ``None``: there is no audit log, or it failed."""
    detail: Payload = field(default_factory=dict)


@dataclass(slots=True)
class Attempt:
    """One command in progress: its request, the unit it reached, whether anything was sent."""

    command: str
    principal: Principal
    asked: Mapping[str, Any]
    unit: MiniMate | None = None
    sent_before: int = 0
    begun: int | None = None
    """Number of the audit entry of its beginning."""
    is_noted: bool = False
    """Whether its beginning is in the audit log, if there is one."""
    device: Device | None = None
    """Where it was left because another unit answered; it goes on with that one."""
    exchanges: int = 0
    """What it has cost."""

    def begin(self, unit: MiniMate) -> None:
        """Note which unit was reached, before anything is sent to it."""
        self.unit, self.sent_before = unit, unit.commands_sent

    @property
    def is_sent(self) -> bool:
        """Whether a byte of the command may have reached the unit."""
        return self.unit is not None and self.unit.commands_sent > self.sent_before

    def outcome_of(self, error: BaseException) -> Outcome:
        """Return what became of a command that ended in ``error``."""
        if isinstance(error, OutcomeUnknownError):
            return "unknown"
        if isinstance(error, CommandConflictError | SettingError | NotWritableError):
            return "refused"
        return "unknown" if self.is_sent else "failed"


Act = Callable[[Device, Attempt, Report], Awaitable[tuple[Outcome, Payload]]]


class AuditedCommands:
    """
    What commands of every kind share: each runs between two entries of the audit log.

    Lives as long as its gateway, and owns nothing.

    Args:
        gateway: gives exclusive use of a unit's connection.
        wall: the current time, UTC, for the audit log.
        clock: monotonic seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._gateway = gateway
        self._wall = wall
        self._clock = clock
        self._sleep = sleep

    async def _run_alone(
        self,
        target: Address | Target,
        principal: Principal,
        command: str,
        asked: Mapping[str, Any],
        act: Act,
    ) -> Done:
        attempt = Attempt(command, principal, asked)
        with self._gateway.writing_its_end():
            try:
                return await self._gateway.run_alone(
                    target, command, partial(self._recorded, attempt, act)
                )
            except NoSuchUnitError as error:
                if (device := attempt.device) is None:
                    raise
                conflict = CommandConflictError(
                    f"{error}; the command is for {asked.get('serial')}, and nothing was sent",
                    "serial-differs",
                )
                await self._end_failed(device, attempt, conflict)
                conflict.outcome = "refused"  # type: ignore[attr-defined]  # part of the problem
                raise conflict from error
            except BaseException as error:
                # It met another unit, and did not get that one's turn: nothing was sent.
                if attempt.device is not None:
                    await self._end_failed(attempt.device, attempt, error)
                    error.outcome = "failed"  # type: ignore[attr-defined]  # part of the problem
                raise

    async def _recorded(self, attempt: Attempt, act: Act, device: Device, report: Report) -> Done:
        """
        Run a command between two entries of the audit log.

        It begins once: where another unit answers than was known at the route, it goes on with that
        one, before which nothing was sent.
        """
        began, spent = self._clock(), device.usage.exchanges
        attempt.device = None
        noting: asyncio.Task[int | None] | None = None
        if not attempt.is_noted:
            noting = asyncio.create_task(
                self._note(device, attempt, "begun", None, "begun", attempt.asked)
            )
        try:
            if noting is not None:
                attempt.begun, attempt.is_noted = await completed(noting), True
            outcome, detail = await act(device, attempt, report)
        except OtherUnitError:
            attempt.device = device  # its end is still to be written
            attempt.exchanges += device.usage.exchanges - spent
            raise
        except BaseException as error:
            with contextlib.suppress(StoreError, BackingOffError):  # no beginning, no end
                if noting is not None:
                    attempt.begun = await noting
                await self._end_failed(device, attempt, error)
            if isinstance(error, Exception):
                error.outcome = attempt.outcome_of(error)  # type: ignore[attr-defined]  # as above
            raise
        attempt.exchanges += device.usage.exchanges - spent
        number = await self._note_end(device, attempt, attempt.begun, outcome, detail)
        return Done(
            command=attempt.command,
            outcome=outcome,
            conn_key=device.conn_key,
            serial=device.serial,
            simulated=device.simulated,
            epoch=device.durable.epoch,
            exchanges=attempt.exchanges,
            took_s=round(self._clock() - began, 3),
            audit_number=number,
            detail=detail,
        )

    async def _end_failed(self, device: Device, attempt: Attempt, error: BaseException) -> None:
        why = {"error": f"{type(error).__name__}: {error}".rstrip(": ")}
        outcome = attempt.outcome_of(error)
        await self._note_end(device, attempt, attempt.begun, outcome, why)

    async def _note_end(
        self,
        device: Device,
        attempt: Attempt,
        begun: int | None,
        outcome: Outcome,
        detail: Payload,
    ) -> int | None:
        noted: Literal["done", "refused", "failed", "unknown"]
        noted = "done" if outcome in ("unchanged", "dry_run") else outcome  # type: ignore[assignment]
        ended = detail if noted == outcome else {**detail, "result": outcome}
        try:
            ending = self._note(device, attempt, "ended", begun, noted, ended)
            return await completed(asyncio.create_task(ending))
        except (StoreError, BackingOffError) as error:
            # The beginning is in the log; only the end is missing.
            log.error("audit_end_not_written", command=attempt.command, error=str(error))
            return None

    async def _note(
        self,
        device: Device,
        attempt: Attempt,
        phase: Literal["begun", "ended", "done"],
        of: int | None,
        outcome: Literal["begun", "done", "refused", "failed", "unknown"],
        detail: Mapping[str, Any],
    ) -> int | None:
        principal = attempt.principal
        log.info(
            "command",
            command=attempt.command,
            phase=phase,
            outcome=outcome,
            unit=device.conn_key,
            serial=device.serial,
            by=principal.name,
            origin=principal.origin,
        )
        return await self._gateway.store_service.note(
            AuditEntry(
                at=self._wall(),
                actor=principal.name,
                role=principal.role.value,
                origin=principal.origin,
                unit=device.conn_key,
                serial=device.serial,
                command=attempt.command,
                phase=phase,
                of=of,
                outcome=outcome,
                detail=detail,
            )
        )

    async def _same_unit(self, device: Device, unit: MiniMate, serial: str | None) -> None:
        await device.identification.identify(unit)
        self._check_serial(device, serial)

    @staticmethod
    def _check_serial(device: Device, serial: str | None) -> None:
        if serial is not None and device.serial != serial:
            raise CommandConflictError(
                f"{device.conn_key}: the command is for unit {serial}, and {device.serial} answers "
                "there; nothing was sent; if that is the unit you mean, give its serial number",
                "serial-differs",
                serial=device.serial,
            )


async def completed(noting: asyncio.Task[T]) -> T:
    """Await an audit entry, also when the relay is stopped meanwhile."""
    try:
        return await asyncio.shield(noting)
    except asyncio.CancelledError:
        await asyncio.wait([noting])
        raise
