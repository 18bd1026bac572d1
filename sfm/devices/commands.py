"""
Commands that change a unit: checked, sent once, verified, and audited.

Every command follows the same steps, with exclusive use of the unit's connection:

1. Write its beginning to the audit log. If the log cannot be written, the command ends here.
2. Read from the unit what the command assumes: its serial number, and for an erase the complete
   memory by a new walk. A mismatch with the caller's values is a ``CommandConflictError``, and
   nothing is sent.
3. Invalidate what the cache contains and the command may change, before the first byte is sent, and
   again after the last byte is received, whatever it was (promise 2).
4. Send it once (``minimateplus.client.commands``). If the link is lost before the acknowledgement,
   the outcome is unknown: the cache treats it as done, and it is never repeated (promise 12).
5. Verify it: read settings back; an erased memory must be empty.
6. Write its end to the audit log.

A caller that disconnects does not stop a command that has begun. ``outcome`` on an error is the
command's outcome: ``refused`` and ``failed`` mean that the unit is unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import (
    MemoryChangedError,
    MiniMateError,
    NotWritableError,
    OutcomeUnknownError,
    ReadBackError,
    SettingError,
)
from minimateplus.link import Address
from minimateplus.model import CallHomeChange, SetupChange, Written
from sfm.access.principal import Principal
from sfm.back_off import BackingOffError
from sfm.cache.freshness import FORCED
from sfm.devices.device import Device
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.fetch import event_names
from sfm.devices.gateway import Gateway, Report
from sfm.devices.progress import report_step
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.errors import SfmError
from sfm.records import payloads
from sfm.records.payloads import Payload
from sfm.store import EraseCheck, StoreError
from sfm.store.audit import AuditEntry
from sfm.store.errors import NoStoreError

__all__ = ["CommandConflictError", "Commands", "Done", "NotMonitoringError", "Outcome"]

T = TypeVar("T")

SENSOR_CHECK_S = 40.0
"""Duration of a unit's sensor check after a start. [C: about 40 s]"""
POLL_CHECK_S = 5.0
GIVE_UP_CHECK_S = 60.0
"""As Blastware does: a poll every 5 s, for up to 60 s. [C]"""

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


class NotMonitoringError(SfmError):
    """A unit acknowledged a start and did not monitor. ``seen`` is the polled state."""

    def __init__(self, done: Done) -> None:
        waited_s = done.detail.get("waited_s")
        super().__init__(
            f"{done.conn_key}: unit {done.serial} acknowledged the start and does not monitor "
            f"{waited_s:g} s later; its sensor check may have failed: check its display, then "
            "start it again"
        )
        self.outcome: Outcome = "unknown"  # it was acknowledged, and its effect was not seen
        self.seen: Payload = {name: done.detail.get(name) for name in ("monitoring", "waited_s")}
        self.seen["audit_number"] = done.audit_number


@dataclass(slots=True)
class _Attempt:
    """One command in progress: its request, the unit it reached, whether anything was sent."""

    command: str
    principal: Principal
    asked: Mapping[str, Any]
    unit: MiniMate | None = None
    sent_before: int = 0
    begun: int | None = None
    """Number of the audit entry of its beginning."""

    def begin(self, unit: MiniMate) -> None:
        self.unit, self.sent_before = unit, unit.commands_sent

    @property
    def is_sent(self) -> bool:
        return self.unit is not None and self.unit.commands_sent > self.sent_before

    def outcome_of(self, error: BaseException) -> Outcome:
        if isinstance(error, OutcomeUnknownError):
            return "unknown"
        if isinstance(error, CommandConflictError | SettingError | NotWritableError):
            return "refused"
        return "unknown" if self.is_sent else "failed"


Act = Callable[[Device, _Attempt, Report], Awaitable[tuple[Outcome, Payload]]]
Write = Callable[[MiniMate, Device, Report], Awaitable[Written]]


class Commands:
    """
    The commands of every unit. Lives as long as its gateway, and owns nothing.

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

    # --- monitoring -----------------------------------------------------------------------------

    async def start_monitoring(
        self,
        address: Address,
        principal: Principal,
        *,
        serial: str | None = None,
        follow: bool = True,
        report: Report | None = None,
    ) -> Done:
        """
        Start monitoring; follow the sensor check of about 40 s and report its progress.

        Args:
            address: of the unit.
            principal: who gives the command, for the audit log.
            serial: the expected unit; ``None``: any.
            follow: return when the unit monitors, or after 60 s; else at the acknowledgement.
            report: receives each step, in addition to the followers of the unit's progress.

        Raises:
            CommandConflictError: another unit answers.
            NotMonitoringError: the unit acknowledged, and does not monitor after 60 s.
        """

        reached: list[tuple[Device, _Attempt]] = []
        act = partial(self._start, reached)
        asked = _expecting(serial)
        done = await self._run_alone(address, principal, "monitor_start", asked, act)
        if not follow:
            return done
        followed = await self._followed(address, done, partial(self._sensor_check, report=report))
        if followed.detail["monitoring"] is False:
            # The log has the acknowledgement as its end; the polled state is one more entry.
            device, attempt = reached[0]
            seen = self._note(device, attempt, "done", attempt.begun, "unknown", followed.detail)
            try:
                number = await _completed(asyncio.create_task(seen))
            except (StoreError, BackingOffError) as error:
                log.error("audit_not_written", command=attempt.command, error=str(error))
                number = None
            raise NotMonitoringError(dataclasses.replace(followed, audit_number=number))
        return followed

    async def _start(
        self,
        reached: list[tuple[Device, _Attempt]],
        device: Device,
        attempt: _Attempt,
        _: Report,
    ) -> tuple[Outcome, Payload]:
        reached.append((device, attempt))
        await device.run(partial(self._switch, device, attempt, MiniMate.start_monitoring))
        return "done", {}

    async def stop_monitoring(
        self,
        address: Address,
        principal: Principal,
        *,
        serial: str | None = None,
        follow: bool = True,
        wait_for_reply: bool = True,
    ) -> Done:
        """
        Stop monitoring, and read the monitor status afterwards.

        Args:
            address: of the unit.
            principal: who gives the command, for the audit log.
            serial: the expected unit; ``None``: any. Without a reply it is compared with the unit
                that answered last.
            follow: read the monitor status afterwards.
            wait_for_reply: False for a busy unit: send the command only; the outcome is
                ``unknown``.

        Raises:
            CommandConflictError: another unit answers.
        """

        if not wait_for_reply:
            asked = {"wait_for_reply": False, **_expecting(serial)}
            return await self._run_alone(
                address, principal, "monitor_stop", asked, self._stop_without_reply
            )
        done = await self._run_alone(
            address, principal, "monitor_stop", _expecting(serial), self._stop
        )
        return await self._followed(address, done, self._poll_once) if follow else done

    async def _stop(self, device: Device, attempt: _Attempt, _: Report) -> tuple[Outcome, Payload]:
        await device.run(partial(self._switch, device, attempt, MiniMate.stop_monitoring))
        return "done", {}

    async def _stop_without_reply(
        self, device: Device, attempt: _Attempt, _: Report
    ) -> tuple[Outcome, Payload]:
        if device.serial is not None:
            self._check_serial(device, attempt.asked.get("serial"))
        await device.connection.run_without_wake(partial(self._send_stop, device, attempt))
        return "unknown", {"reported": "sent, effect unknown: the relay did not wait for the reply"}

    async def _send_stop(self, device: Device, attempt: _Attempt, unit: MiniMate) -> None:
        attempt.begin(unit)
        device.durable.invalidate_status()
        try:
            await unit.stop_monitoring_without_reply()
        finally:
            device.durable.invalidate_status()

    async def _switch(
        self,
        device: Device,
        attempt: _Attempt,
        switch: Callable[[MiniMate], Awaitable[None]],
        unit: MiniMate,
    ) -> None:
        """Start or stop monitoring; the status is invalid before the first byte, and after."""
        attempt.begin(unit)
        await self._same_unit(device, unit, attempt.asked.get("serial"))
        device.durable.invalidate_status()
        try:
            await switch(unit)
        finally:
            device.durable.invalidate_status()

    async def _followed(
        self, address: Address, done: Done, poll: Callable[[Address], Awaitable[Payload]]
    ) -> Done:
        began = self._clock()
        try:
            seen = await poll(address)
        except ShuttingDownError as error:
            seen = {"monitoring": None, "poll_failed": str(error)}
        detail = done.detail | seen
        took_s = round(done.took_s + self._clock() - began, 3)
        return dataclasses.replace(done, detail=detail, took_s=took_s)

    async def _sensor_check(self, address: Address, report: Report | None = None) -> Payload:
        """Poll every 5 s whether the unit monitors, for at most 60 s."""
        began = self._clock()
        while True:
            await self._sleep(POLL_CHECK_S)
            found = await self._poll_once(address)
            waited_s = self._clock() - began
            what, done_s = "s of the sensor check", round(min(waited_s, SENSOR_CHECK_S), 1)
            self._report_check(address, "step", what=what, done=done_s, total=SENSOR_CHECK_S)
            if report is not None:
                report(what, done_s, SENSOR_CHECK_S)
            if found["monitoring"] or waited_s >= GIVE_UP_CHECK_S:
                self._report_check(address, "done")
                return found | {"waited_s": round(waited_s, 1)}

    def _report_check(self, address: Address, kind: str, **step: Any) -> None:
        # A relay that shuts down has no progress log; the polled state is returned all the same.
        with contextlib.suppress(ShuttingDownError):
            report_step(self._gateway.progress(address), kind, resource="monitor_start", **step)

    async def _poll_once(self, address: Address) -> Payload:
        """Return whether the unit monitors; ``None`` when it cannot be read now."""
        try:
            answer = await self._gateway.monitor_status(address, FORCED)
        except (MiniMateError, BusyError, BackingOffError) as error:
            return {"monitoring": None, "poll_failed": str(error)}
        return {"monitoring": answer.value["monitoring"]}

    # --- settings -------------------------------------------------------------------------------

    async def change_setup(
        self,
        address: Address,
        principal: Principal,
        change: SetupChange,
        *,
        serial: str | None = None,
        dry_run: bool = False,
    ) -> Done:
        """
        Change the given recording settings.

        Args:
            address: of the unit.
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
        return await self._change(address, principal, "config", asked, write)

    async def change_call_home(
        self,
        address: Address,
        principal: Principal,
        change: CallHomeChange,
        *,
        serial: str | None = None,
        dry_run: bool = False,
    ) -> Done:
        """Change the given call-home settings; as ``change_setup``."""
        write = partial(_write_call_home, change, dry_run)
        asked = _given(change, dry_run=dry_run, serial=serial)
        return await self._change(address, principal, "call_home", asked, write)

    async def _change(
        self,
        address: Address,
        principal: Principal,
        command: str,
        asked: Payload,
        write: Write,
    ) -> Done:
        return await self._run_alone(
            address, principal, command, asked, partial(self._write, write)
        )

    async def _write(
        self, write: Write, device: Device, attempt: _Attempt, report: Report
    ) -> tuple[Outcome, Payload]:
        operation = partial(self._write_in_session, write, device, attempt, report)
        return await device.run(operation)

    async def _write_in_session(
        self, write: Write, device: Device, attempt: _Attempt, report: Report, unit: MiniMate
    ) -> tuple[Outcome, Payload]:
        attempt.begin(unit)
        await self._same_unit(device, unit, attempt.asked.get("serial"))
        written = await self._invalidating(device, attempt, write(unit, device, report))
        outcome = _outcome_of(written.is_written, attempt.asked["dry_run"])
        return outcome, payloads.written_payload(written)

    async def _invalidating(
        self, device: Device, attempt: _Attempt, writing: Awaitable[Written]
    ) -> Written:
        """Await a write of settings, and invalidate them again after its last byte."""
        try:
            return await writing
        finally:
            if attempt.is_sent:
                await self._invalidate_quietly(device)

    @staticmethod
    async def _invalidate_quietly(device: Device) -> None:
        """Invalidate settings again. The database recorded it before the first byte."""
        try:
            await device.durable.invalidate_settings()
        except (StoreError, BackingOffError) as error:
            log.warning("settings_not_forgotten_twice", unit=device.conn_key, error=str(error))

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

    # --- memory ---------------------------------------------------------------------------------

    async def erase(
        self,
        address: Address,
        principal: Principal,
        *,
        serial: str,
        count: int,
        discard_unarchived: bool = False,
    ) -> Done:
        """
        Erase every event of a unit.

        Args:
            address: of the unit.
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
        return await self._run_alone(address, principal, "erase", asked, self._walk_and_erase)

    async def _walk_and_erase(
        self, device: Device, attempt: _Attempt, report: Report
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
        self, device: Device, attempt: _Attempt, report: Report, unit: MiniMate
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
        self, address: Address, principal: Principal, *, serial: str, erase: bool = False
    ) -> Done:
        """
        Free a unit that dials home endlessly: identify, switch call-home off, erase if requested.

        One short session, hung up at once. It reads no list, because the event chain of such a unit
        may be damaged [C: BE9558]; so an erase here includes what is not archived, and only the
        serial number protects against a mistake.
        """

        asked = {"serial": serial, "erase": erase}
        return await self._run_alone(address, principal, "rescue", asked, self._rescue)

    async def _rescue(
        self, device: Device, attempt: _Attempt, _: Report
    ) -> tuple[Outcome, Payload]:
        try:
            return await device.run(partial(self._rescue_in_session, device, attempt))
        finally:
            await device.connection.hang_up()

    async def _rescue_in_session(
        self, device: Device, attempt: _Attempt, unit: MiniMate
    ) -> tuple[Outcome, Payload]:
        serial, erases = attempt.asked["serial"], attempt.asked["erase"]
        attempt.begin(unit)
        found = await unit.read_serial()
        await device.identification.recognise(found, device.durable.generation)
        if found != serial:
            raise CommandConflictError(
                f"{device.conn_key}: the rescue is for unit {serial}, and {found} answers "
                "there; nothing was sent",
                "serial-differs",
                serial=found,
            )
        off = CallHomeChange(enabled=False)
        writing = unit.write_call_home(off, before=device.durable.invalidate_settings)
        written = await self._invalidating(device, attempt, writing)
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
            return await self._gateway.store_service.erase_check(
                device.conn_key, len(events), events
            )
        except NoStoreError:
            return everything
        except (StoreError, BackingOffError) as error:
            log.warning("archive_not_asked", unit=device.conn_key, error=str(error))
            return everything

    # --- one command ----------------------------------------------------------------------------

    async def _run_alone(
        self,
        address: Address,
        principal: Principal,
        command: str,
        asked: Mapping[str, Any],
        act: Act,
    ) -> Done:
        attempt = _Attempt(command, principal, asked)
        return await self._gateway.run_alone(
            address, command, partial(self._recorded, attempt, act)
        )

    async def _recorded(self, attempt: _Attempt, act: Act, device: Device, report: Report) -> Done:
        """Run a command between two entries of the audit log."""
        began, spent = self._clock(), device.connection.exchanges
        noting = asyncio.create_task(
            self._note(device, attempt, "begun", None, "begun", attempt.asked)
        )
        try:
            begun = attempt.begun = await _completed(noting)
            outcome, detail = await act(device, attempt, report)
        except BaseException as error:
            outcome = attempt.outcome_of(error)
            why = {"error": f"{type(error).__name__}: {error}".rstrip(": ")}
            with contextlib.suppress(StoreError, BackingOffError):  # no beginning, no end
                await self._note_end(device, attempt, await noting, outcome, why)
            if isinstance(error, Exception):
                error.outcome = outcome  # type: ignore[attr-defined]  # part of the problem
            raise
        number = await self._note_end(device, attempt, begun, outcome, detail)
        return Done(
            command=attempt.command,
            outcome=outcome,
            conn_key=device.conn_key,
            serial=device.serial,
            simulated=device.simulated,
            epoch=self._gateway.cache.epoch(device.conn_key).number,
            exchanges=device.connection.exchanges - spent,
            took_s=round(self._clock() - began, 3),
            audit_number=number,
            detail=detail,
        )

    async def _note_end(
        self,
        device: Device,
        attempt: _Attempt,
        begun: int | None,
        outcome: Outcome,
        detail: Payload,
    ) -> int | None:
        noted: Literal["done", "refused", "failed", "unknown"]
        noted = "done" if outcome in ("unchanged", "dry_run") else outcome  # type: ignore[assignment]
        ended = detail if noted == outcome else {**detail, "result": outcome}
        try:
            ending = self._note(device, attempt, "ended", begun, noted, ended)
            return await _completed(asyncio.create_task(ending))
        except (StoreError, BackingOffError) as error:
            # The beginning is in the log; only the end is missing.
            log.error("audit_end_not_written", command=attempt.command, error=str(error))
            return None

    async def _note(
        self,
        device: Device,
        attempt: _Attempt,
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


def _expecting(serial: str | None) -> Payload:
    """Return what a command is asked with, if it is for one unit only."""
    return {} if serial is None else {"serial": serial}


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


async def _completed(noting: asyncio.Task[T]) -> T:
    """Await an audit entry, also when the relay is stopped meanwhile."""
    try:
        return await asyncio.shield(noting)
    except asyncio.CancelledError:
        await asyncio.wait([noting])
        raise


def _given(change: SetupChange | CallHomeChange, **more: Any) -> Payload:
    """Return the given settings, without those left out."""
    asked = {f.name: payloads.plain(getattr(change, f.name)) for f in dataclasses.fields(change)}
    return {name: value for name, value in (asked | more).items() if value is not None}
