"""Change recording and call-home settings: written once, read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from minimateplus.client import MiniMate
from minimateplus.link import Address
from minimateplus.model import CallHomeChange, SetupChange, Written
from sfm.access.principal import Principal
from sfm.back_off import BackingOffError
from sfm.devices.commands.command import Attempt, AuditedCommands, Done, Outcome
from sfm.devices.device import Device
from sfm.devices.target import Target
from sfm.devices.unit_access import Report
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.store import StoreError

__all__ = ["SettingsCommands", "invalidating"]

Write = Callable[[MiniMate, Device, Report], Awaitable[Written]]

log = structlog.get_logger(__name__)


class SettingsCommands(AuditedCommands):
    """The commands that change settings."""

    async def change_setup(
        self,
        target: Address | Target,
        principal: Principal,
        change: SetupChange,
        *,
        serial: str | None = None,
        dry_run: bool = False,
    ) -> Done:
        """
        Change the given recording settings.

        Args:
            target: an address, or what was resolved for a name or serial number.
            principal: who gives the command, for the audit log.
            change: the settings to change.
            serial: the expected unit; ``None``: any.
            dry_run: only report what would change, byte by byte.

        Raises:
            SettingError: a value that a unit cannot take.
            NotWritableError: the unit does not show where it stores a setting.
            CommandConflictError: another unit answers.
        """

        write = partial(_write_setup, change, dry_run)
        asked = _given(change, dry_run=dry_run, serial=serial)
        return await self._change(target, principal, "config", asked, write)

    async def change_call_home(
        self,
        target: Address | Target,
        principal: Principal,
        change: CallHomeChange,
        *,
        serial: str | None = None,
        dry_run: bool = False,
    ) -> Done:
        """Change the given call-home settings; as ``change_setup``."""
        write = partial(_write_call_home, change, dry_run)
        asked = _given(change, dry_run=dry_run, serial=serial)
        return await self._change(target, principal, "call_home", asked, write)

    async def _change(
        self,
        target: Address | Target,
        principal: Principal,
        command: str,
        asked: Payload,
        write: Write,
    ) -> Done:
        return await self._run_alone(target, principal, command, asked, partial(self._write, write))

    async def _write(
        self, write: Write, device: Device, attempt: Attempt, report: Report
    ) -> tuple[Outcome, Payload]:
        operation = partial(self._write_in_session, write, device, attempt, report)
        return await device.run(operation)

    async def _write_in_session(
        self, write: Write, device: Device, attempt: Attempt, report: Report, unit: MiniMate
    ) -> tuple[Outcome, Payload]:
        attempt.begin(unit)
        await self._same_unit(device, unit, attempt.asked.get("serial"))
        written = await invalidating(device, attempt, write(unit, device, report))
        outcome = _outcome_of(written.is_written, attempt.asked["dry_run"])
        return outcome, payloads.written_payload(written)


async def invalidating(device: Device, attempt: Attempt, writing: Awaitable[Written]) -> Written:
    """Await a write of settings, and invalidate them again after its last byte."""
    try:
        return await writing
    finally:
        if attempt.is_sent:
            await _invalidate_quietly(device)


async def _invalidate_quietly(device: Device) -> None:
    """Invalidate settings again. The database recorded it before the first byte."""
    try:
        await device.durable.invalidate_settings()
    except (StoreError, BackingOffError) as error:
        log.warning("settings_not_forgotten_twice", unit=device.conn_key, error=str(error))


def _outcome_of(is_written: bool, dry_run: bool) -> Outcome:
    return "done" if is_written else "dry_run" if dry_run else "unchanged"


def _write_setup(
    change: SetupChange, dry_run: bool, unit: MiniMate, device: Device, report: Report
) -> Awaitable[Written]:
    return unit.write_setup(
        change,
        dry_run=dry_run,
        before=device.durable.invalidate_settings,
        on_step=lambda n, of: report("blocks written", n, of),
    )


def _write_call_home(
    change: CallHomeChange, dry_run: bool, unit: MiniMate, device: Device, _: Report
) -> Awaitable[Written]:
    return unit.write_call_home(change, dry_run=dry_run, before=device.durable.invalidate_settings)


def _given(change: SetupChange | CallHomeChange, **more: Any) -> Payload:
    """Return the given settings, without those left out."""
    asked = {f.name: payloads.plain(getattr(change, f.name)) for f in dataclasses.fields(change)}
    return {name: value for name, value in (asked | more).items() if value is not None}
