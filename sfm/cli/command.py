"""
Commands that change a unit: start, stop, settings, erase, call home, rescue.

Each prints its outcome. An erase needs the serial number and the number of events as options, or
the serial number typed after both were shown.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, Literal, get_type_hints

from cyclopts import Parameter

from minimateplus.model import CallHomeChange, RecordMode, SetupChange
from minimateplus.wire.setup_changes import LIMITS
from sfm.cli import views
from sfm.cli.application import (
    MISUSED,
    UNKNOWN,
    CommandError,
    Json,
    Unit,
    app,
    err,
    handles_errors,
    print_body,
)
from sfm.cli.asking import ask
from sfm.cli.fetch import how_to_fetch
from sfm.cli.routing import UNIT_DEFAULTS, Kind, UnitOptions
from sfm.cli.views import safe_text

__all__ = ["call_home", "erase", "rescue", "start", "stop"]

Yes = Annotated[bool, Parameter(negative=())]
Switch = Annotated[bool | None, Parameter(negative=())]


@app.command
@handles_errors
async def start(
    unit: Unit, *, follow: bool = True, at: UnitOptions = UNIT_DEFAULTS, as_json: Json = False
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
    path = "/device/monitor/start"
    await _show(_command(unit, path, at, query=query, is_long=True), as_json)


@app.command
@handles_errors
async def stop(
    unit: Unit,
    *,
    wait_for_reply: bool = True,
    at: UnitOptions = UNIT_DEFAULTS,
    as_json: Json = False,
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
    await _show(_command(unit, "/device/monitor/stop", at, query=query), as_json)


def _command(
    unit: str, path: str, at: UnitOptions, **more: Any
) -> Coroutine[Any, Any, dict[str, Any]]:
    return ask(unit, path, at, "command", method="POST", **more)


def _options(change: type, helps: dict[str, str]) -> Any:
    """
    Return a class with an option for each field of ``change``, which is the table of settings.

    ``helps`` describes each; the limits of numbers, from ``wire.setup_changes``, are added to it.
    """
    fields = []
    modes: Any = Literal[tuple(mode.name.lower() for mode in RecordMode)]
    for name, hint in get_type_hints(change).items():
        limit = LIMITS.get(name)
        words = helps[name] if limit is None else f"{helps[name]} {limit.in_words}"
        shape: Any = modes | None if name == "mode" else hint
        option = Annotated[shape, Parameter(help=words)]
        fields.append((name, option, dataclasses.field(default=None)))
    name = f"{change.__name__}Options"
    here = {"__module__": __name__}  # cyclopts takes the options only of a class of a module
    return dataclasses.make_dataclass(name, fields, kw_only=True, namespace=here)


_TEXT = "Text of the events recorded from now on; empty for none."
SetupOptions = _options(
    SetupChange,
    {
        "mode": "How the unit records.",
        "sample_rate_hz": "Of each channel:",
        "histogram_interval_s": "Length of an interval:",
        "record_time_s": "After the trigger:",
        "geo_range_in_s": "Of the geophones:",
        "trigger_level_in_s": "Of the geophones, at most their range:",
        "alarm_level_in_s": "Of the geophones, not below the trigger level:",
        "mic_trigger_psi": "Of the microphone:",
        "mic_alarm_psi": "Of the microphone:",
        **dict.fromkeys(("project", "client", "operator", "location", "notes"), _TEXT),
    },
)
CallHomeOptions = _options(
    CallHomeChange,
    {
        "enabled": "Whether it calls.",
        "dial": "Dial string for its modem.",
        "after_event": "Call after each event.",
        "at_times": "Call at times of day.",
        "first_enabled": "Whether the first time is used.",
        "first_time": "HH:MM by the unit's own clock.",
        "second_enabled": "Whether the second time is used.",
        "second_time": "HH:MM by the unit's own clock.",
        "retries": "Number of retries:",
        "retry_wait_s": "Wait between two attempts:",
        "connect_wait_s": "Wait for the connection:",
        "warm_up_s": "Warm-up of the modem:",
    },
)


@app.command
@handles_errors
async def configure(
    unit: Unit,
    *,
    settings: Annotated[SetupOptions | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
    serial: str | None = None,
    dry_run: Yes = False,
    at: UnitOptions = UNIT_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Change the given recording settings; settings not given stay as they are.

    Parameters
    ----------
    serial
        The expected unit; refused when another unit answers.
    dry_run
        Show what would change, byte by byte, and send nothing.
    """
    await _write(unit, "/device/config", settings, serial, dry_run, at, as_json)


@app.command(name="call-home")
@handles_errors
async def call_home(
    unit: Unit,
    *,
    settings: Annotated[CallHomeOptions | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
    serial: str | None = None,
    dry_run: Yes = False,
    at: UnitOptions = UNIT_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Show when and whom the unit calls automatically; with settings given, change them.

    Parameters
    ----------
    serial
        The expected unit; refused when another unit answers.
    dry_run
        Show what would change, byte by byte, and send nothing.
    """
    if settings is not None:
        await _write(unit, "/device/call_home", settings, serial, dry_run, at, as_json)
        return
    body = await ask(unit, "/device/call_home", at)
    print_body(body, views.call_home_view, as_json)


@app.command
@handles_errors
async def erase(
    unit: Unit,
    *,
    serial: str | None = None,
    count: int | None = None,
    discard_unarchived: Yes = False,
    at: UnitOptions = UNIT_DEFAULTS,
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
        typed, stored = await _agreed(unit, at, typed)
    body = {"serial": typed, "count": stored, "discard_unarchived": discard_unarchived}
    try:
        done = await _command(unit, "/device/events/erase", at, body=body)
    except CommandError as refused:
        if (advice := how_to_fetch(unit, at, refused.problem)) is not None:
            err.print(safe_text(advice), soft_wrap=True)
        raise
    print_body(done, views.command_view, as_json)


async def _agreed(unit: str, at: UnitOptions, serial: str | None) -> tuple[str, int]:
    """Show which unit will be erased, and ask for its serial number."""
    if not sys.stdin.isatty():
        raise CommandError(
            "an erase from a script needs --serial and --count; nothing was erased", MISUSED
        )
    listed = await ask(unit, "/device/events", at)
    found, stored = str(listed["provenance"]["serial"]), len(listed["events"])
    err.print(
        safe_text(
            f"{unit} is unit {found} and stores {views.counted(stored, 'events')}. "
            "The whole memory will be erased."
        )
    )
    typed = serial
    if typed is None:
        import asyncio

        typed = (await asyncio.to_thread(input, "Type its serial number to go on: ")).strip()
    if typed != found:
        raise CommandError(f"that is not {found}; nothing was erased")
    return found, stored


@app.command
@handles_errors
async def rescue(
    unit: Unit,
    *,
    serial: str,
    erase: Yes = False,
    at: UnitOptions = UNIT_DEFAULTS,
    as_json: Json = False,
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
    await _show(_command(unit, "/device/rescue", at, body=body), as_json)


async def _write(
    unit: str,
    path: str,
    given: Any,
    serial: str | None,
    dry_run: bool,
    at: UnitOptions,
    as_json: bool,
) -> None:
    values = {} if given is None else dataclasses.asdict(given)
    settings = {name: value for name, value in values.items() if value is not None}
    if not settings:
        raise CommandError(
            "nothing to change: give at least one setting (--help lists them)", MISUSED
        )
    body = settings if serial is None else {**settings, "serial": serial}
    query = {"dry_run": _word(dry_run)}
    kind: Kind = "read" if dry_run else "command"
    await _show(ask(unit, path, at, kind, method="POST", query=query, body=body), as_json)


async def _show(asked: Coroutine[Any, Any, dict[str, Any]], as_json: bool) -> None:
    body = await asked
    print_body(body, views.command_view, as_json)
    if body["outcome"] == "unknown":
        raise CommandError(
            "The outcome is unknown. Read the unit before you repeat the command.",
            UNKNOWN,
            is_answered=True,
        )


def _word(value: bool) -> str:
    return "true" if value else "false"
