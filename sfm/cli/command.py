"""
Commands that change a unit: start, stop, settings, erase, call home, rescue.

Each prints its outcome. An erase needs the serial number and the number of events as options, or
the serial number typed after both were shown.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sfm.cli import views
from sfm.cli.application import (
    MISUSED,
    CommandError,
    Json,
    Relay,
    Unit,
    app,
    err,
    handles_errors,
    print_body,
)
from sfm.cli.unit import ask
from sfm.cli.views import safe_text

__all__ = ["call_home", "erase", "rescue", "start", "stop"]

Yes = Annotated[bool, Parameter(negative=())]
Switch = Annotated[bool | None, Parameter(negative=())]


@app.command
@handles_errors
async def start(
    unit: Unit, *, follow: bool = True, relay: Relay = None, as_json: Json = False
) -> None:
    """
    Start monitoring, and follow the sensor check of about 40 s.

    Through a relay the start goes on there after Ctrl-C; what is printed then names the operation.

    Parameters
    ----------
    follow
        Wait until the unit monitors, for at most 60 s.
    """
    query = {"follow": _word(follow)}
    starting = ask(unit, "/device/monitor/start", relay, method="POST", query=query, is_long=True)
    await _show(starting, as_json)


@app.command
@handles_errors
async def stop(
    unit: Unit, *, wait_for_reply: bool = True, relay: Relay = None, as_json: Json = False
) -> None:
    """
    Stop monitoring.

    Parameters
    ----------
    wait_for_reply
        With --no-wait-for-reply: send the command and return, for a unit that is too busy to
        reply. Whether the unit stopped is then unknown (exit status 5).
    """
    query = {"wait_for_reply": _word(wait_for_reply)}
    await _show(ask(unit, "/device/monitor/stop", relay, method="POST", query=query), as_json)


@app.command
@handles_errors
async def configure(
    unit: Unit,
    *,
    mode: Literal["single_shot", "continuous", "histogram", "histogram_combo"] | None = None,
    sample_rate_hz: int | None = None,
    histogram_interval_s: int | None = None,
    record_time_s: float | None = None,
    geo_range_in_s: float | None = None,
    trigger_level_in_s: float | None = None,
    alarm_level_in_s: float | None = None,
    mic_trigger_psi: float | None = None,
    mic_alarm_psi: float | None = None,
    project: str | None = None,
    client: str | None = None,
    operator: str | None = None,
    location: str | None = None,
    notes: str | None = None,
    serial: str | None = None,
    dry_run: Yes = False,
    relay: Relay = None,
    as_json: Json = False,
) -> None:
    """
    Change the given recording settings; what is not given keeps its value.

    Parameters
    ----------
    mode
        How the unit records.
    sample_rate_hz
        1024, 2048 or 4096 samples a second and channel.
    histogram_interval_s
        2, 5, 15, 60, 300 or 900 s.
    record_time_s
        Behind the trigger, 1 to 100 s.
    geo_range_in_s
        10 or 1.25 in/s.
    trigger_level_in_s
        Of the geophones, 0.02 in/s to the range.
    alarm_level_in_s
        Of the geophones, not below the trigger level.
    mic_trigger_psi
        Of the microphone, psi.
    mic_alarm_psi
        Of the microphone, psi.
    project
        Text of the events recorded from now on; empty for none.
    client
        As project.
    operator
        As project.
    location
        As project.
    notes
        As project.
    serial
        The expected unit; refused when another unit answers.
    dry_run
        Show what would change, byte by byte, and send nothing.
    """
    given = {
        "mode": mode,
        "sample_rate_hz": sample_rate_hz,
        "histogram_interval_s": histogram_interval_s,
        "record_time_s": record_time_s,
        "geo_range_in_s": geo_range_in_s,
        "trigger_level_in_s": trigger_level_in_s,
        "alarm_level_in_s": alarm_level_in_s,
        "mic_trigger_psi": mic_trigger_psi,
        "mic_alarm_psi": mic_alarm_psi,
        "project": project,
        "client": client,
        "operator": operator,
        "location": location,
        "notes": notes,
    }
    await _write(unit, "/device/config", given, serial, dry_run, relay, as_json)


@app.command(name="call-home")
@handles_errors
async def call_home(
    unit: Unit,
    *,
    enabled: bool | None = None,
    dial: str | None = None,
    after_event: bool | None = None,
    at_times: bool | None = None,
    first_enabled: bool | None = None,
    first_time: str | None = None,
    second_enabled: bool | None = None,
    second_time: str | None = None,
    retries: int | None = None,
    retry_wait_s: int | None = None,
    connect_wait_s: int | None = None,
    warm_up_s: int | None = None,
    serial: str | None = None,
    dry_run: Yes = False,
    relay: Relay = None,
    as_json: Json = False,
) -> None:
    """
    Show when and whom the unit calls automatically; with settings given, change them.

    Parameters
    ----------
    enabled
        Whether it calls.
    dial
        Dial string for its modem.
    after_event
        Call after each event.
    at_times
        Call at times of day.
    first_enabled
        Whether the first time is used.
    first_time
        HH:MM by the unit's own clock.
    second_enabled
        Whether the second time is used.
    second_time
        HH:MM by the unit's own clock.
    retries
        Number of retries.
    retry_wait_s
        Wait between two attempts, s.
    connect_wait_s
        Wait for the connection, s.
    warm_up_s
        Warm-up of the modem, s.
    serial
        The expected unit; refused when another unit answers.
    dry_run
        Show what would change, byte by byte, and send nothing.
    """
    given = {
        "enabled": enabled,
        "dial": dial,
        "after_event": after_event,
        "at_times": at_times,
        "first_enabled": first_enabled,
        "first_time": first_time,
        "second_enabled": second_enabled,
        "second_time": second_time,
        "retries": retries,
        "retry_wait_s": retry_wait_s,
        "connect_wait_s": connect_wait_s,
        "warm_up_s": warm_up_s,
    }
    if any(value is not None for value in given.values()):
        await _write(unit, "/device/call_home", given, serial, dry_run, relay, as_json)
        return
    body = await ask(unit, "/device/call_home", relay)
    print_body(body, views.call_home_view, as_json)


@app.command
@handles_errors
async def erase(
    unit: Unit,
    *,
    serial: str | None = None,
    count: int | None = None,
    discard_unarchived: Yes = False,
    relay: Relay = None,
    as_json: Json = False,
) -> None:
    """
    Erase every event of a unit. What was downloaded before stays in the archive.

    Parameters
    ----------
    serial
        The unit's serial number; prompted for at a terminal if not given.
    count
        The number of stored events; read and shown if the serial number is typed.
    discard_unarchived
        Also erase events whose samples are not in the archive.
    """
    typed, stored = serial, count
    if typed is None or stored is None:
        typed, stored = await _agreed(unit, relay, typed)
    body = {"serial": typed, "count": stored, "discard_unarchived": discard_unarchived}
    done = await ask(unit, "/device/events/erase", relay, method="POST", body=body)
    print_body(done, views.command_view, as_json)


async def _agreed(unit: str, relay: str | None, serial: str | None) -> tuple[str, int]:
    """Show which unit will be erased, and ask for its serial number."""
    if not sys.stdin.isatty():
        raise CommandError(
            "an erase from a script needs --serial and --count; nothing was erased", MISUSED
        )
    listed = await ask(unit, "/device/events", relay)
    found, stored = str(listed["provenance"]["serial"]), len(listed["events"])
    err.print(
        safe_text(f"{unit} is unit {found} and stores {stored} events. All of them will be erased.")
    )
    typed = serial
    if typed is None:
        typed = (await asyncio.to_thread(input, "Type its serial number to go on: ")).strip()
    if typed != found:
        raise CommandError(f"that is not {found}; nothing was erased")
    return found, stored


@app.command
@handles_errors
async def rescue(
    unit: Unit, *, serial: str, erase: Yes = False, relay: Relay = None, as_json: Json = False
) -> None:
    """
    Free a unit that dials home endlessly: switch call-home off, in one short session.

    Parameters
    ----------
    serial
        The unit's serial number; refused when another answers.
    erase
        Erase its memory as well, archived or not.
    """
    body = {"serial": serial, "erase": erase}
    await _show(ask(unit, "/device/rescue", relay, method="POST", body=body), as_json)


async def _write(
    unit: str,
    path: str,
    given: dict[str, Any],
    serial: str | None,
    dry_run: bool,
    relay: str | None,
    as_json: bool,
) -> None:
    settings = {name: value for name, value in given.items() if value is not None}
    if not settings:
        err.print("Nothing to change: give at least one setting (--help lists them).")
        raise SystemExit(MISUSED)
    body = settings if serial is None else {**settings, "serial": serial}
    query = {"dry_run": _word(dry_run)}
    await _show(ask(unit, path, relay, method="POST", query=query, body=body), as_json)


async def _show(asked: Coroutine[Any, Any, dict[str, Any]], as_json: bool) -> None:
    print_body(await asked, views.command_view, as_json)


def _word(value: bool) -> str:
    return "true" if value else "false"
