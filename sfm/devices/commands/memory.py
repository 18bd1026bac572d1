"""Erase a unit's memory, and free a unit that dials home endlessly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import (
    MemoryChangedError,
    MiniMateError,
    OutcomeUnknownError,
    ReadBackError,
)
from minimateplus.link import Address
from minimateplus.model import CallHomeChange
from sfm.access.principal import Principal
from sfm.back_off import BackingOffError
from sfm.devices.commands.command import (
    Attempt,
    AuditedCommands,
    CommandConflictError,
    Done,
    Outcome,
)
from sfm.devices.commands.settings import invalidating
from sfm.devices.device import Device
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.fetch import event_names
from sfm.devices.target import Target
from sfm.devices.unit_access import Report
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.store import EraseCheck, StoreError
from sfm.store.errors import NoStoreError

__all__ = ["MemoryCommands"]

log = structlog.get_logger(__name__)


class MemoryCommands(AuditedCommands):
    """The commands that erase events."""

    async def erase(
        self,
        target: Address | Target,
        principal: Principal,
        *,
        serial: str,
        count: int,
        discard_unarchived: bool = False,
    ) -> Done:
        """
        Erase every event of a unit.

        Args:
            target: an address, or what was resolved for a name or serial number.
            principal: who gives the command, for the audit log.
            serial: the expected unit.
            count: the expected number of events. The memory is walked again, keys and records, and
                both are compared; just before the erase the lifetime counter once more, and the
                last event's key.
            discard_unarchived: also erase events whose complete image is not archived.

        Raises:
            CommandConflictError: something differs, or is not archived.
            ReadBackError: the unit acknowledged, and its memory is not empty.
        """

        asked = {"serial": serial, "count": count, "discard_unarchived": discard_unarchived}
        return await self._run_alone(target, principal, "erase", asked, self._walk_and_erase)

    async def _walk_and_erase(
        self, device: Device, attempt: Attempt, report: Report
    ) -> tuple[Outcome, Payload]:
        count = attempt.asked["count"]
        try:
            return await device.run(partial(self._erase_walked, device, attempt, report))
        except ListIncompleteError as error:
            raise CommandConflictError(
                f"{device.conn_key}: the event list could not be read to its end "
                f"({error.walked} of {count} events); nothing was erased; use a better link, "
                "or erase at the keypad",
                "walk-not-finished",
                walked=error.walked,
            ) from error
        except MemoryChangedError as error:
            raise CommandConflictError(
                f"{device.conn_key}: the memory changed while its list was read; nothing was "
                "erased; stop monitoring first, then try again",
                "memory-changed",
            ) from error

    async def _erase_walked(
        self, device: Device, attempt: Attempt, report: Report, unit: MiniMate
    ) -> tuple[Outcome, Payload]:
        """Walk the memory, compare what is there with what was asked, and erase it."""
        serial, count = attempt.asked["serial"], attempt.asked["count"]
        # 1. How long it takes. Then walk, and never rely on a cached list: only a walk detects what
        #    another program erased.
        estimate_s = await device.event_list.walk_estimate_s(unit, count)
        report(f"s estimated to read the {count} events again", 0, round(estimate_s, 1))
        events, proven = await device.walk_memory(
            unit, lambda done: report("events read again", done, count)
        )
        # 2. The unit and its memory match the caller's values.
        attempt.begin(unit)
        if device.serial != serial:
            await self._same_unit(device, unit, serial)
        if len(events) != count:
            raise CommandConflictError(
                f"{device.conn_key}: {serial} stores {len(events)} events, not {count}; "
                "nothing was erased; read the event list again",
                "count-differs",
                count=len(events),
            )
        if not events:
            return "unchanged", {"erased": 0, "not_archived": [], "contradicted": []}
        # 3. Everything is archived, or the caller accepts the loss.
        check = await self._erase_check(device, events)
        lost, contradicted = check.unarchived, check.contradicted
        if lost and not attempt.asked["discard_unarchived"]:
            raise CommandConflictError(
                f"{device.conn_key}: {_what_is_lost(check, count)}",
                "not-archived",
                unarchived=lost,
                contradicted=contradicted,
                missing=event_names(events, lost),
            )
        # 4. Erase.
        report("events erased", 0, count)
        erase = partial(unit.erase_proven, serial=serial, proven=proven)
        await self._erase(device, unit, attempt.principal, erase)
        report("events erased", count, count)
        return "done", {"erased": count, "not_archived": lost, "contradicted": contradicted}

    async def rescue(
        self, target: Address | Target, principal: Principal, *, serial: str, erase: bool = False
    ) -> Done:
        """
        Free a unit that dials home endlessly: identify, switch call-home off, erase if requested.

        One short session, hung up at once. It reads no list, because the event chain of such a unit
        may be damaged [C: BE9558]; so an erase here includes what is not archived, and only the
        serial number protects against a mistake.
        """

        asked = {"serial": serial, "erase": erase}
        return await self._run_alone(target, principal, "rescue", asked, self._rescue)

    async def _rescue(self, device: Device, attempt: Attempt, _: Report) -> tuple[Outcome, Payload]:
        try:
            return await device.run(partial(self._rescue_in_session, device, attempt))
        finally:
            await device.hang_up()

    async def _rescue_in_session(
        self, device: Device, attempt: Attempt, unit: MiniMate
    ) -> tuple[Outcome, Payload]:
        serial, erases = attempt.asked["serial"], attempt.asked["erase"]
        attempt.begin(unit)
        found, _ = await device.identification.name(unit)
        if found != serial:
            raise CommandConflictError(
                f"{device.conn_key}: the rescue is for unit {serial}, and {found} answers "
                "there; nothing was sent",
                "serial-differs",
                serial=found,
            )
        off = CallHomeChange(enabled=False)
        writing = unit.write_call_home(off, before=device.durable.invalidate_settings)
        written = await invalidating(device, attempt, writing)
        if erases:
            erase = partial(unit.erase_without_walk, serial=serial)
            await self._erase(device, unit, attempt.principal, erase)
        outcome: Outcome = "done" if written.is_written or erases else "unchanged"
        return outcome, payloads.written_payload(written) | {"erased": erases}

    async def _erase(
        self,
        device: Device,
        unit: MiniMate,
        principal: Principal,
        erase: Callable[[], Awaitable[None]],
    ) -> None:
        reason = f"erased through this relay, by {principal.name}"
        await device.durable.drop(device.durable.generation, reason)
        # The walk took time: the archive's file may have been removed meanwhile.
        self._gateway.store_service.check_file()
        try:
            await erase()
        except MemoryChangedError as error:
            raise CommandConflictError(str(error), "memory-changed") from error
        finally:
            await device.durable.drop_again(reason)
        try:
            probe = await unit.read_probe()
        except MiniMateError as error:
            raise OutcomeUnknownError(
                f"{unit.name}: the unit acknowledged the erase, and then could not be read: {error}"
            ) from error
        if not probe.is_empty:
            raise ReadBackError(
                f"{unit.name}: the unit acknowledged the erase and is not empty: its last event is "
                f"{probe.last_timestamp or 'of an unknown time'}; it may have recorded one since; "
                "read the event list"
            )

    async def _erase_check(self, device: Device, events: list[Payload]) -> EraseCheck:
        """Return which events would be lost."""
        everything = EraseCheck(unarchived=[event["index"] for event in events], contradicted=[])
        try:
            return await self._gateway.store_service.erase_check(device.key, len(events), events)
        except NoStoreError:
            return everything
        except (StoreError, BackingOffError) as error:
            log.warning("archive_not_asked", unit=device.conn_key, error=str(error))
            return everything


def _what_is_lost(check: EraseCheck, count: int) -> str:
    """Return why an erase was refused for unarchived events, and what to do."""
    contradicted = [index for index in check.unarchived if index in check.contradicted]
    absent = len(check.unarchived) - len(contradicted)
    reasons = []
    if absent:
        reasons.append(
            f"{absent} of {count} events are not in the archive with their complete image; "
            "fetch them first"
        )
    if contradicted:
        listed = ", ".join(map(str, contradicted))
        reasons.append(
            f"the parts of {len(contradicted)} of {count} events contradict one another (event "
            f"{listed}); fetch them once more with all=true, and they count when the same bytes "
            "come again"
        )
    return f"{'; '.join(reasons)}; nothing was erased; or set discard_unarchived"
