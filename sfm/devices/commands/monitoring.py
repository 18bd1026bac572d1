"""Start and stop monitoring, and follow the sensor check of a start."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from minimateplus.client import MiniMate
from minimateplus.errors import (
    MiniMateError,
)
from minimateplus.link import Address
from sfm.access.principal import Principal
from sfm.back_off import BackingOffError
from sfm.cache.freshness import FORCED
from sfm.devices.commands.command import Attempt, AuditedCommands, Done, Outcome, completed
from sfm.devices.device import Device
from sfm.devices.progress import report_step
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.devices.target import Target
from sfm.devices.unit_access import Report
from sfm.errors import SfmError
from sfm.records.payloads import Payload
from sfm.store import StoreError

__all__ = ["MonitoringCommands", "NotMonitoringError"]

SENSOR_CHECK_S = 40.0
"""Duration of a unit's sensor check after a start. [C: about 40 s]"""
POLL_CHECK_S = 5.0
GIVE_UP_CHECK_S = 60.0
"""As Blastware does: a poll every 5 s, for up to 60 s. [C]"""

log = structlog.get_logger(__name__)


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


class MonitoringCommands(AuditedCommands):
    """The commands that start and stop monitoring."""

    async def start_monitoring(
        self,
        target: Address | Target,
        principal: Principal,
        *,
        serial: str | None = None,
        follow: bool = True,
        report: Report | None = None,
    ) -> Done:
        """
        Start monitoring; follow the sensor check of about 40 s and report its progress.

        Args:
            target: an address, or what was resolved for a name or serial number.
            principal: who gives the command, for the audit log.
            serial: the expected unit; ``None``: any.
            follow: return when the unit monitors, or after 60 s; else at the acknowledgement.
            report: receives each step, in addition to the followers of the unit's progress.

        Raises:
            CommandConflictError: another unit answers.
            NotMonitoringError: the unit acknowledged, and does not monitor after 60 s.
        """

        reached: list[tuple[Device, Attempt]] = []
        act = partial(self._start, reached)
        asked = _expecting(serial)
        done = await self._run_alone(target, principal, "monitor_start", asked, act)
        if not follow:
            return done
        followed = await self._followed(target, done, partial(self._sensor_check, report=report))
        if followed.detail["monitoring"] is False:
            # The log has the acknowledgement as its end; the polled state is one more entry.
            device, attempt = reached[0]
            seen = self._note(device, attempt, "done", attempt.begun, "unknown", followed.detail)
            try:
                number = await completed(asyncio.create_task(seen))
            except (StoreError, BackingOffError) as error:
                log.error("audit_not_written", command=attempt.command, error=str(error))
                number = None
            raise NotMonitoringError(dataclasses.replace(followed, audit_number=number))
        return followed

    async def _start(
        self,
        reached: list[tuple[Device, Attempt]],
        device: Device,
        attempt: Attempt,
        _: Report,
    ) -> tuple[Outcome, Payload]:
        reached.append((device, attempt))
        await device.run(partial(self._switch, device, attempt, MiniMate.start_monitoring))
        return "done", {}

    async def stop_monitoring(
        self,
        target: Address | Target,
        principal: Principal,
        *,
        serial: str | None = None,
        follow: bool = True,
        wait_for_reply: bool = True,
    ) -> Done:
        """
        Stop monitoring, and read the monitor status afterwards.

        Args:
            target: an address, or what was resolved for a name or serial number.
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
                target, principal, "monitor_stop", asked, self._stop_without_reply
            )
        done = await self._run_alone(
            target, principal, "monitor_stop", _expecting(serial), self._stop
        )
        return await self._followed(target, done, self._poll_once) if follow else done

    async def _stop(self, device: Device, attempt: Attempt, _: Report) -> tuple[Outcome, Payload]:
        await device.run(partial(self._switch, device, attempt, MiniMate.stop_monitoring))
        return "done", {}

    async def _stop_without_reply(
        self, device: Device, attempt: Attempt, _: Report
    ) -> tuple[Outcome, Payload]:
        if device.serial is not None:
            self._check_serial(device, attempt.asked.get("serial"))
        await device.run_without_wake(partial(self._send_stop, device, attempt))
        return "unknown", {"reported": "sent, effect unknown: the relay did not wait for the reply"}

    async def _send_stop(self, device: Device, attempt: Attempt, unit: MiniMate) -> None:
        attempt.begin(unit)
        # Where no unit was met yet it may be any that is known by another route.
        found = [device] if device.serial is not None else self._gateway.registry.every_device()
        for one in found:
            one.durable.invalidate_status()
        try:
            await unit.stop_monitoring_without_reply()
        finally:
            for one in found:
                one.durable.invalidate_status()

    async def _switch(
        self,
        device: Device,
        attempt: Attempt,
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
        self,
        target: Address | Target,
        done: Done,
        poll: Callable[[Address | Target], Awaitable[Payload]],
    ) -> Done:
        began = self._clock()
        try:
            seen = await poll(target)
        except ShuttingDownError as error:
            seen = {"monitoring": None, "poll_failed": str(error)}
        detail = done.detail | seen
        took_s = round(done.took_s + self._clock() - began, 3)
        return dataclasses.replace(done, detail=detail, took_s=took_s)

    async def _sensor_check(
        self, target: Address | Target, report: Report | None = None
    ) -> Payload:
        """Poll every 5 s whether the unit monitors, for at most 60 s."""
        began = self._clock()
        while True:
            await self._sleep(POLL_CHECK_S)
            found = await self._poll_once(target)
            waited_s = self._clock() - began
            what, done_s = "s of the sensor check", round(min(waited_s, SENSOR_CHECK_S), 1)
            self._report_check(target, "step", what=what, done=done_s, total=SENSOR_CHECK_S)
            if report is not None:
                report(what, done_s, SENSOR_CHECK_S)
            if found["monitoring"] or waited_s >= GIVE_UP_CHECK_S:
                self._report_check(target, "done")
                return found | {"waited_s": round(waited_s, 1)}

    def _report_check(self, target: Address | Target, kind: str, **step: Any) -> None:
        # A relay that shuts down has no progress log; the polled state is returned all the same.
        with contextlib.suppress(ShuttingDownError):
            report_step(self._gateway.progress(target), kind, resource="monitor_start", **step)

    async def _poll_once(self, target: Address | Target) -> Payload:
        """Return whether the unit monitors; ``None`` when it cannot be read now."""
        try:
            answer = await self._gateway.monitor_status(target, FORCED)
        except (MiniMateError, BusyError, BackingOffError) as error:
            return {"monitoring": None, "poll_failed": str(error)}
        return {"monitoring": answer.value["monitoring"]}


def _expecting(serial: str | None) -> Payload:
    """Return what a command is asked with, if it is for one unit only."""
    return {} if serial is None else {"serial": serial}
